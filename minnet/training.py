"""The one training loop, and the measuring of a net on a part of the data."""

import contextlib
import functools
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.batches import ALONE, Batches, Part
from minnet.config import Config, OptimizerConfig, TrainConfig
from minnet.core.network import MLP, ROWS
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings, State, blocks, clip_by_norm, decay, flush, new_state
from minnet.core.softmax import cross_entropy
from minnet.errors import ConfigError, TrainingError
from minnet.parallel import Alone
from minnet.sizes import Blocks, LayerSizes

LARGE = 2**22  # rows of a batch times parameters, from which two threads are faster than one
EXPLODED = 1e4  # a loss this many times the first one is beyond coming back


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. The training figures are means over its steps, as the net then was, with dropout,
    label smoothing and class weights; the validation figures are plain, at its end. `seconds` since the start.
    `gradient` and `update` are the sizes of each layer in its last step: see LayerSizes."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    best_epoch: int
    gradient: tuple[float, ...] = ()
    update: tuple[float, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, share of rows right, and the class (n,) that each row was given."""

    loss: float
    accuracy: float
    predicted: NDArray


def build(config: Config, D: int, K: int, class_weight: NDArray | None) -> MLP:
    """The net that the config describes, for D features and K classes, with its initial weights."""
    model, train = config.model, config.train
    return MLP(
        [D, *model.hidden, K],
        model.activation,
        output_gradient=model.output_gradient,
        dropout=model.dropout,
        l2=0.0 if config.optimizer.name == "adamw" else config.optimizer.weight_decay,
        label_smoothing=train.label_smoothing,
        class_weight=class_weight,
        dtype=model.dtype,
        seed=train.seed,
    )


@dataclass
class Progress:
    """Where a run stands: with the config and the data, all that it takes to go on as if it had never stopped.

    `optimizer` is the optimizer's state, t its steps so far, `step` those in the `epoch` at hand, over which losses,
    weight and rows right are summed; `order` is the random state from which the epoch's order of rows was drawn.
    Once the run has ended, the best weights are in the net and those of the last step in best_theta: `swapped`.
    """

    net: MLP
    optimizer: State
    rng: np.random.Generator
    order: dict[str, Any]
    best_theta: NDArray
    swapped: bool = False
    epoch: int = 1
    step: int = 0
    t: int = 0
    losses: float = 0.0
    weight: float = 0.0
    correct: int = 0
    first_loss: float = math.nan
    best_figure: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)


def start(net: MLP, config: Config) -> Progress:
    """The start of a run, with the net's weights as they are."""
    rng = np.random.default_rng([config.train.seed, 1])  # a stream of its own, apart from the initial weights
    optimizer = new_state(config.optimizer.name, net.theta)
    return Progress(net, optimizer, rng, rng.bit_generator.state, net.theta.copy())  # type: ignore[arg-type]


def train(
    net: MLP,
    training: Part,
    validation: Part | None,
    config: Config,
    interrupted: threading.Event | None = None,
    progress: Progress | None = None,
    *,
    schedule: Schedule | None = None,
    shuffle: bool = True,
    alpha: float = 0.0,
    constants: Settings | None = None,
    team: Alone = ALONE,
) -> Iterator[Epoch | None]:
    """Train the net in place, yielding an Epoch after each, and None where an epoch is so long that the run should be
    saved within it. `progress` is where to start from, and is kept up to date at each yield and at the end.
    `schedule` and `constants` take the place of the config's, and without `shuffle` rows keep their order. `alpha` adds
    alpha/2 * sum(W^2) to the *sum* of a batch's losses, as scikit-learn has it, and the penalty to the training loss.

    With a validation part, the run ends `patience` epochs after its best loss or accuracy there, and the weights of
    that epoch come back. Once `interrupted` is set, the run ends after the step at hand in the same way; an
    epoch cut short is not yielded, and counts only if no epoch was finished. With a `team`, every process calls this
    with the same arguments, and takes its share of each batch.

    Raises TrainingError when loss or weights stop being finite, or the loss explodes.
    """
    settings, constants = config.train, constants or optimizer_constants(config.optimizer)
    run, interrupted = progress or start(net, config), interrupted or threading.Event()
    theta_blocks, sizes = blocks(net.theta, net.dtheta, run.optimizer), LayerSizes(net)
    batches = Batches(training, net, settings.batch_size, team)
    schedule = schedule or learning_rates(config, batches.steps)
    l2 = net.l2
    saved = time.perf_counter()
    begun = saved - run.seconds
    if run.swapped:
        swap_best(run)

    while run.epoch <= settings.epochs and not _patience_is_over(run, validation, settings):
        limit = _limit(run, net)
        rate = 0.0
        order, before = _order(run, len(training.y), shuffle), run.correct if team.rank == 0 else 0
        for batch in batches.epoch(order, run.step, before):
            rate = schedule.rate(run.t)
            run.t += 1
            run.step += 1
            if net.dropout:
                net.draw_masks(batch.ws, run.rng)
            z = net.forward(batch.X1, batch.ws)
            loss = float(net.loss(batch.dlogp, batch.r, batch.ws))
            if alpha:
                net.l2 = l2 + alpha / batch.w
                loss += float(net.penalty())
            net.backward(batch.dlogp, batch.ws)
            due = 0 < settings.checkpoint_seconds <= time.perf_counter() - saved
            wishes = (team.size > 1 and interrupted.is_set(), due)  # alone, it is heard after the step at hand
            loss, w, (stop, due) = team.average(net.dtheta, loss, batch.w, wishes)

            if not loss <= limit:
                raise _lost(run, loss, config)
            if run.t == 1:
                run.first_loss = loss
                limit = _limit(run, net)
            watched = sizes.watch(theta_blocks) if run.step == batches.steps else theta_blocks
            take_step(net, watched, config, constants, run.t, rate)

            np.copyto(batch.z, z)
            run.losses += loss * w
            run.weight += w
            if stop or (team.size == 1 and interrupted.is_set()):
                interrupted.set()
                break
            if due and run.step < batches.steps:
                run.correct, run.seconds = _count(team, batches.correct(run.step)), time.perf_counter() - begun
                yield None
                saved = time.perf_counter()
        run.correct, run.seconds = _count(team, batches.correct(run.step)), time.perf_counter() - begun
        cut_short = run.step < batches.steps
        if not (cut_short and run.best_epoch) and not np.isfinite(net.theta).all():
            raise _diverged("a weight is not finite", run, config)
        if cut_short:
            break
        flush(run.optimizer)

        measured = evaluate(net, validation, team) if validation is not None else None
        if measured and not math.isfinite(measured.loss):
            raise _diverged(f"the validation loss is {measured.loss}", run, config)
        yield _end_epoch(run, measured, settings.watch, rate, len(training.y), time.perf_counter() - begun, sizes)
        if _count(team, interrupted.is_set()):
            interrupted.set()
            break
    if run.best_epoch:
        swap_best(run)


def _count(team: Alone, n: int) -> int:
    """The sum of n over the team."""
    return int(team.add(np.array(int(n)))) if team.size > 1 else int(n)


def swap_best(run: Progress) -> None:
    """Exchange the net's weights with the best ones, a block at a time."""
    run.swapped = not run.swapped
    for theta, best, _ in blocks(run.net.theta, run.best_theta, {}):
        last = theta.copy()
        theta[:] = best
        best[:] = last


BY_LAYER = ("gradient", "update")  # figures of an epoch that each layer has one of
NUMBERS = ("epoch", "step", "t", "losses", "weight", "correct", "first_loss", "best_figure", "best_epoch", "seconds")


def snapshot(run: Progress) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """All of a run's progress as arrays, the net's own among them, and as entries for JSON."""
    theta, best = (run.best_theta, run.net.theta) if run.swapped else (run.net.theta, run.best_theta)
    arrays = {"theta": theta, "best_theta": best} | {f"optimizer_{name}": v for name, v in run.optimizer.items()}
    entries: dict[str, Any] = {name: _json_number(getattr(run, name)) for name in NUMBERS}
    entries |= {"rng": run.rng.bit_generator.state, "order": run.order}
    rows = [figures(epoch) for epoch in run.history]
    columns = [name for name, value in rows[0].items() if value is not None] if rows else ["epoch"]
    arrays["history"] = np.array([[row[name] for name in columns] for row in rows], np.float64).reshape(
        -1, len(columns)
    )
    return arrays, entries | {"columns": columns}


def restore(net: MLP, config: Config, arrays: dict[str, NDArray], entries: dict[str, Any]) -> Progress:
    """The progress that `snapshot` kept, with its weights in the net."""
    run = start(net, config)
    net.theta[:], run.best_theta[:] = arrays["theta"], arrays["best_theta"]
    for name, vector in run.optimizer.items():
        vector[:] = arrays[f"optimizer_{name}"]
    for name in NUMBERS:
        setattr(run, name, getattr(run, name) if entries[name] is None else entries[name])
    run.rng.bit_generator.state, run.order = entries["rng"], entries["order"]
    for row in arrays["history"].tolist():
        values = dict(zip(entries["columns"], row, strict=True))
        kept: dict[str, Any] = {f.name: values.get(f.name) for f in fields(Epoch)}
        kept |= {name: int(values[name]) for name in ("epoch", "best_epoch")}
        kept |= {name: tuple(v for column, v in values.items() if column.startswith(f"{name}_")) for name in BY_LAYER}
        run.history.append(Epoch(**kept))
    return run


def figures(epoch: Epoch) -> dict[str, Any]:
    """An epoch's figures by name, as metrics.csv and checkpoints have them; those of layers last, numbered from 1."""
    values = {f.name: getattr(epoch, f.name) for f in fields(Epoch) if f.name not in BY_LAYER}
    return values | {f"{name}_{l}": size for name in BY_LAYER for l, size in enumerate(getattr(epoch, name), start=1)}


def _json_number(value: float) -> float | None:
    """JSON has neither NaN nor infinity: they are what a run starts with, and left out."""
    return value if math.isfinite(value) else None


def _order(run: Progress, N: int, shuffle: bool) -> NDArray:
    """The order of rows in the epoch at hand; a run that goes on keeps the random state that it stopped with."""
    if not shuffle:
        return np.arange(N)
    now = run.rng.bit_generator.state
    if run.step:
        run.rng.bit_generator.state = run.order
    else:
        run.order = now  # type: ignore[assignment]
    order = run.rng.permutation(N)
    if run.step:
        run.rng.bit_generator.state = now
    return order


def _limit(run: Progress, net: MLP) -> float:
    """The loss from which a run is lost: none before the first step."""
    return EXPLODED * max(run.first_loss, math.log(net.K)) if run.t else sys.float_info.max


def _patience_is_over(run: Progress, validation: Part | None, settings: TrainConfig) -> bool:
    return bool(validation and settings.patience and run.epoch - 1 - run.best_epoch >= settings.patience)


def _end_epoch(
    run: Progress, measured: Measured | None, watch: str, rate: float, N: int, seconds: float, sizes: LayerSizes
) -> Epoch:
    """Note the epoch, and its weights if they are the best so far; the next one begins."""
    figure = math.inf if measured is None else measured.loss if watch == "loss" else -measured.accuracy
    if measured is None or figure < run.best_figure:
        run.best_epoch, run.best_figure = run.epoch, figure
        run.best_theta[:] = run.net.theta
    epoch = Epoch(
        run.epoch,
        rate,
        run.losses / (run.weight or 1),
        run.correct / N,
        measured.loss if measured else None,
        measured.accuracy if measured else None,
        seconds,
        run.best_epoch,
        tuple(sizes.gradient),
        tuple(sizes.update),
    )
    run.history.append(epoch)
    run.epoch, run.step, run.losses, run.weight, run.correct, run.seconds = run.epoch + 1, 0, 0.0, 0.0, 0, seconds
    return epoch


def take_step(
    net: MLP,
    theta_blocks: Blocks,
    config: Config,
    constants: Settings,
    t: int,
    learning_rate: float,
) -> None:
    """Step t = 1, 2, ... of the optimizer, from net.dtheta, which is used up: clip, decay, update."""
    optimizer = config.optimizer
    if config.train.max_grad_norm:
        clip_by_norm(net.dtheta, config.train.max_grad_norm)  # (27)
    if optimizer.name == "adamw":
        decay(net.weights, optimizer.weight_decay, learning_rate)  # (28)
    for block in theta_blocks:
        OPTIMIZERS[optimizer.name](*block, t, learning_rate, constants)  # (29)


class _AtWork:
    """How many nets are in training in this process, and the limit of BLAS's threads that the first of them set."""

    lock = threading.Lock()
    nets = 0
    limit: Any = None


@contextlib.contextmanager
def blas_threads(net: MLP, batch_size: int, at_most_now: bool = False) -> Iterator[None]:
    """While inside, BLAS uses one thread, or two if batches are large.

    How many threads share a product changes its last bits. So their number has to follow from the config, not from
    the machine or its settings; only where there is just one core, large batches too have one thread. With
    `at_most_now` it is never more than BLAS uses at the moment, where that was set for a worker among others; and
    while several nets are in training in this process, it is one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = min(2, cores) if batch_size * net.theta.size >= LARGE else 1
    blas = _blas()
    with _AtWork.lock:
        if at_most_now:
            threads = min([threads, *(library["num_threads"] for library in blas.info())])
        _AtWork.nets += 1
        _take_control(blas)
        limit = blas.limit(limits=threads if _AtWork.nets == 1 else 1)
        _AtWork.limit = _AtWork.limit or limit
    try:
        yield
    finally:
        with _AtWork.lock:
            _AtWork.nets -= 1
            if not _AtWork.nets:
                _take_control(blas)
                _AtWork.limit.restore_original_limits()
                _take_control(blas)
                _AtWork.limit = None


def _take_control(blas: Any) -> None:
    """From threadpoolctl 3.8 on, only one thread can change the limit until it lets go of it; any may here, under
    the lock."""
    for library in blas.lib_controllers:
        getattr(library, "clear_controlling_thread", lambda force: None)(force=True)


@functools.cache
def _blas() -> Any:
    """The BLAS libraries of this process."""
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController().select(user_api="blas")


def evaluate(net: MLP, part: Part, team: Alone = ALONE) -> Measured:
    """Mean cross-entropy and accuracy of the net on a part, without dropout, smoothing or weights of classes; the mean
    is over the weights of the rows where they have any. Each process of a team takes its share of the rows."""
    mine, w = team.share(len(part.y)), part.w
    predicted, sums = np.zeros(len(part.y), np.intp), np.zeros(2)
    for start in range(mine.start, mine.stop, ROWS):
        rows = slice(start, min(start + ROWS, mine.stop))
        z = net.logits(part.X1[rows], has_ones=True)
        z.argmax(axis=1, out=predicted[rows])
        losses, right = cross_entropy(z, part.y[rows]), predicted[rows] == part.y[rows]
        sums += [losses.sum(dtype=np.float64), right.sum()] if w is None else [w[rows] @ losses, w[rows] @ right]
    loss, correct = team.add(sums).tolist()
    total = len(part.y) if w is None else w.sum()
    return Measured(loss / total, correct / total, team.add(predicted))


def class_weights(setting: str | dict[str, float], y: NDArray, classes: NDArray) -> NDArray | None:
    """(K,) weights of the classes, or None where all are alike.

    "balanced" is n / (K n_k), as in scikit-learn; a table gives weights by label, and 1 to those left out.
    Raises ConfigError for a label that the data do not have.
    """
    if setting == "none":
        return None
    if isinstance(setting, str):
        return len(y) / (len(classes) * np.maximum(np.bincount(y, minlength=len(classes)), 1))
    labels = [str(label) for label in classes]
    for label in setting:
        if label not in labels:
            raise ConfigError(f"train.class_weight: there is no class {label!r}, only {', '.join(labels[:20])}")
    weights = np.array([setting.get(label, 1.0) for label in labels])
    if not weights.any():
        raise ConfigError("train.class_weight: at least one class needs a weight above 0")
    return weights


def optimizer_constants(optimizer: OptimizerConfig) -> Settings:
    """The constants of the update rules, from the config."""
    return Settings(optimizer.momentum, optimizer.beta1, optimizer.beta2, optimizer.epsilon)


def learning_rates(config: Config, steps: int) -> Schedule:
    """The config's schedule, from epochs to steps; `steps` is the number in an epoch."""
    optimizer = config.optimizer
    return Schedule(
        optimizer.learning_rate,
        optimizer.schedule,
        steps=config.train.epochs * steps,
        warmup=round(optimizer.warmup_epochs * steps),
        every=max(1, round(optimizer.step_epochs * steps)),
        factor=optimizer.step_factor,
    )


def _lost(run: Progress, loss: float, config: Config) -> TrainingError:
    """What to say of a loss that is not finite, or beyond coming back."""
    if not np.isfinite(run.net.theta).all():
        return _diverged("a weight is not finite", run, config)
    after = f", after {run.first_loss:.3g} at the first step" if run.t > 1 else ""
    return _diverged(f"the loss is {loss:.3g}{after}", run, config)


def _diverged(what: str, run: Progress, config: Config) -> TrainingError:
    advice = [f"a smaller optimizer.learning_rate than {config.optimizer.learning_rate:g}"]
    advice += ["train.max_grad_norm=1"] if not config.train.max_grad_norm else []
    advice += ["data.scale=standard"] if config.data.scale == "none" else []
    return TrainingError(f"training diverged in epoch {run.epoch} at step {run.t}: {what}; try {', or '.join(advice)}")
