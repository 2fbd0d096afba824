"""The training loop: epochs of steps, evaluated, recorded, and stopped."""

import json
import math
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minnet.config import Config
from minnet.core.network import MLP, ROWS, Tape
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings, Step, clip_by_norm, flush
from minnet.core.softmax import cross_entropy
from minnet.data import Part
from minnet.distributed import ALONE, Alone
from minnet.errors import ConfigError, TrainingError

LARGEST = sys.float_info.max
EXPLODED = 1e4  # a run is given up when its loss exceeds this multiple of the first


class Rates(Protocol):
    """The learning rate of each step t = 0, 1, ..., such as a Schedule."""

    def rate(self, t: int) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Recipe:
    """How to train, under the names of the config's keys; `rule` is the optimizer's name. `alpha`
    adds alpha/2 * sum(W^2) to the *sum* of a batch's losses, as scikit-learn does, on top of the
    net's own penalty `l2`."""

    rule: str
    settings: Settings
    schedule: Rates
    epochs: int
    batch_size: int
    patience: int = 0
    watch: str = "loss"
    max_grad_norm: float = 0.0
    checkpoint_seconds: float = 0.0
    shuffle: bool = True
    alpha: float = 0.0
    l2: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. The training figures are means over its steps, as the net then was,
    with dropout, label smoothing and class weights; the validation figures are plain, at its end.
    `seconds` count from the start of the run. `gradient` and `update` have one figure per layer, in
    the last step: the norm of its gradient, and how far the step moved [W; b] relative to its norm.
    """

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


def figures(epoch: Epoch) -> dict[str, Any]:
    """An epoch's figures by name, as metrics.csv has them; those of layers last, counted from 1."""
    plain = dict(vars(epoch))
    layers = {name: plain.pop(name) for name in ("gradient", "update")}
    return plain | {
        f"{name}_{l}": v for name in layers for l, v in enumerate(layers[name], start=1)
    }


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, share of rows that are right, and the class (n,) predicted for each."""

    loss: float
    accuracy: float
    predicted: NDArray


@dataclass
class State:
    """Where a run stands: with the config and the data, all that it takes to continue as if it had
    never stopped.

    `optimizer` is the optimizer's state and t its steps so far, `step` those in the current epoch,
    over which losses, weight and right rows are summed; `order` is the random state that the
    epoch's order of rows was drawn from; best_theta holds the weights of best_epoch; the run is
    given up if a loss exceeds `limit`. `rate`, `norms` and `tapes` live within an epoch.
    """

    net: MLP
    optimizer: NDArray
    rng: np.random.Generator
    order: dict[str, Any]
    best_theta: NDArray
    epoch: int = 1
    step: int = 0
    t: int = 0
    losses: float = 0.0
    weight: float = 0.0
    correct: int = 0
    first_loss: float = math.nan
    limit: float = LARGEST
    best_figure: float = math.inf
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[Epoch] = field(default_factory=list)
    rate: float = 0.0
    norms: tuple[tuple[float, ...], ...] = ()
    tapes: dict[int, Tape] = field(default_factory=dict)

    @classmethod
    def start(cls, net: MLP, rule: str, seed: int) -> "State":
        """The start of a run, with the net's weights as they are."""
        rng = np.random.default_rng([seed, 1])  # apart from the stream of the initial weights
        optimizer = np.zeros((OPTIMIZERS[rule].vectors, net.theta.size), net.dtype)
        return cls(net, optimizer, rng, dict(rng.bit_generator.state), net.theta.copy())

    def use_best(self) -> None:
        """Give the net the weights of the best epoch, if one was finished."""
        if self.best_epoch:
            self.net.theta[:] = self.best_theta

    @property
    def vectors(self) -> dict[str, NDArray]:
        """The state's large arrays."""
        return {"theta": self.net.theta, "best": self.best_theta, "optimizer": self.optimizer}

    def arrays(self) -> dict[str, NDArray]:
        """The state as arrays, for a checkpoint. A number that is not finite yet is left out."""
        numbers = {name: np.array(float(getattr(self, name))) for name in NUMBERS}
        finite = {name: number for name, number in numbers.items() if np.isfinite(number)}
        rows = [[v for v in figures(epoch).values() if v is not None] for epoch in self.history]
        random = {"rng": _packed(self.rng.bit_generator.state), "order": _packed(self.order)}
        return self.vectors | finite | random | {"history": np.array(rows, np.float64)}

    def restore(self, arrays: dict[str, NDArray]) -> None:
        """Take over a state that `arrays` gave, its weights in the net. Raises ValueError, KeyError
        or TypeError if it is of another net or rule."""
        for name, vector in self.vectors.items():
            if arrays[name].shape != vector.shape:
                raise ValueError(f"{name} has shape {arrays[name].shape}, not {vector.shape}")
            vector[:] = arrays[name]
        for name in NUMBERS:
            if name in arrays:
                setattr(self, name, type(getattr(self, name))(arrays[name]))
        self.rng.bit_generator.state = _unpacked(arrays["rng"])
        self.order = _unpacked(arrays["order"])
        L = len(self.net.layers)
        for row in arrays["history"].tolist():
            plain: list[Any] = row[: -2 * L]
            plain[4:-2] = plain[4:-2] or [None, None]  # without a validation part
            plain[0], plain[-1] = int(plain[0]), int(plain[-1])  # epoch and best_epoch
            self.history.append(Epoch(*plain, *map(tuple, (row[-2 * L : -L], row[-L:]))))


NUMBERS = [f.name for f in fields(State) if f.type in (int, float)]


def _packed(state: Any) -> NDArray:
    """A generator's state, whose numbers have up to 128 bits, as the bytes of its JSON."""
    return np.frombuffer(json.dumps(state).encode(), np.uint8)


def _unpacked(content: NDArray) -> dict[str, Any]:
    return json.loads(content.tobytes())


def build(config: Config, D: int, K: int, class_weight: NDArray | None) -> MLP:
    """The net that the config describes, for D features and K classes, with its initial weights."""
    model, decoupled = config.model, OPTIMIZERS[config.optimizer.name].decoupled
    return MLP(
        [D, *model.hidden, K],
        model.activation,
        output_gradient=model.output_gradient,
        dropout=model.dropout,
        l2=0.0 if decoupled else config.optimizer.weight_decay,
        label_smoothing=config.train.label_smoothing,
        class_weight=class_weight,
        dtype=model.dtype,
        seed=config.train.seed,
    )


def recipe(config: Config, net: MLP, N: int) -> Recipe:
    """How the config trains the net on N rows, with the schedule in steps."""
    optimizer, train = config.optimizer, config.train
    steps = math.ceil(N / train.batch_size)
    constants = ("momentum", "beta1", "beta2", "epsilon", "weight_decay")
    settings = Settings(**{key: getattr(optimizer, key) for key in constants}, weights=net.weights)
    schedule = Schedule(
        optimizer.learning_rate,
        optimizer.schedule,
        steps=train.epochs * steps,
        warmup=round(optimizer.warmup_epochs * steps),
        every=max(1, round(optimizer.step_epochs * steps)),
        factor=optimizer.step_factor,
    )
    keys = ("epochs", "batch_size", "patience", "watch", "max_grad_norm", "checkpoint_seconds")
    same: dict[str, Any] = {key: getattr(train, key) for key in keys}
    return Recipe(optimizer.name, settings, schedule, **same)


def train(
    net: MLP,
    parts: dict[str, Part],
    recipe: Recipe,
    state: State,
    stop: threading.Event | None = None,
    team: Alone = ALONE,
) -> Iterator[Epoch | None]:
    """Train the net in place on parts["train"], yielding an Epoch after each, and None where an
    epoch takes so long that the run should be saved within it. `state` says where to start, and is
    up to date at each yield and at the end.

    With parts["validation"], training ends `patience` epochs after its best figure there; state has
    the weights of that epoch, `use_best` puts them in. Once `stop` is set, training ends after the
    current step; an epoch cut short is not yielded. In a team, every process calls this with the
    same arguments and takes its share of each batch.

    Raises TrainingError when the loss or a weight is no longer finite, or the loss explodes.
    """
    part, validation, stop = parts["train"], parts.get("validation"), stop or threading.Event()
    N, size = len(part.y), min(recipe.batch_size, len(part.y))
    steps, saved = math.ceil(N / size), time.perf_counter()
    began = saved - state.seconds
    while state.epoch <= recipe.epochs and not (validation and _is_over(state, recipe)):
        order, stopped = _order(state, N, recipe.shuffle), 0.0
        while state.step < steps and not stopped:
            rows = order[state.step * size : (state.step + 1) * size]
            due: float = 0 < recipe.checkpoint_seconds <= time.perf_counter() - saved
            figures = gradient(net, part, rows, recipe, state, team)
            figures = team.average(net.dtheta, *figures, stop.is_set(), due)
            stopped, due = _add(state, *figures)
            update(net, recipe, state, last=state.step == steps)
            stopped = stopped or (team.size == 1 and stop.is_set())
            if due and state.step < steps:
                state.seconds = time.perf_counter() - began
                yield None
                saved = time.perf_counter()
        state.seconds = time.perf_counter() - began
        if not (state.step < steps and state.best_epoch) and not np.isfinite(net.theta).all():
            raise _diverged("a weight is not finite", state)
        if state.step < steps:
            stop.set()
            break
        measured = evaluate(net, validation, team) if validation else None
        state.seconds = time.perf_counter() - began
        yield _end_epoch(state, measured, recipe, N)
        if team.add(np.array(int(stop.is_set()))):
            stop.set()
            break


def gradient(
    net: MLP, part: Part, rows: NDArray, recipe: Recipe, state: State, team: Alone = ALONE
) -> tuple[float, ...]:
    """The mean loss over this process's share of a batch, with dtheta in the net; the weight of
    these rows, and how many of them are right."""
    share = team.share(len(rows))
    mine = rows if team.size == 1 else rows[share]
    n = len(mine)
    tape = state.tapes.get(n) or state.tapes.setdefault(n, Tape(net, n))
    if net.dropout:  # masks of the whole batch, so that they do not depend on how it is shared
        for record, mask in zip(tape, net.dropout_masks(len(rows), state.rng), strict=False):
            record.mask = mask[share]
    X = part.X.take(mine, axis=0) if isinstance(part.X, np.ndarray) else part.X[mine]
    y = part.y[mine]
    T, weight = net.targets(y, None if part.w is None else part.w[mine])
    if recipe.alpha:
        net.l2 = recipe.l2 + recipe.alpha / weight
    loss = net.step(X, T, tape)
    if not recipe.alpha:
        loss = tape.L  # what is recorded has no penalty in it
    return float(loss), weight, int(np.count_nonzero(tape.z.argmax(axis=1) == y))


def _add(
    state: State, loss: float, weight: float, right: float, *asked: float
) -> tuple[float, ...]:
    """Add a step's figures to those of the epoch, and return what was asked for."""
    state.step += 1
    state.t += 1
    if not loss <= state.limit:
        raise _diverged(f"the loss is {loss:.3g}", state)
    if state.t == 1:
        state.first_loss, state.limit = loss, EXPLODED * max(loss, math.log(state.net.K))
    state.losses += loss * weight
    state.weight += weight
    state.correct += int(right)
    return asked


def update(net: MLP, recipe: Recipe, state: State, last: bool = False) -> None:
    """Step t = 1, 2, ... of the optimizer, from net.dtheta, which is used up: clip, then update.

    In the last step of an epoch, state.norms becomes the norm of each layer's gradient, before it
    is clipped, and the norm of each layer's update relative to that of [W; b]."""
    state.rate, layers = recipe.schedule.rate(state.t - 1), net.layers if last else []
    gradient, before = [_norm(layer.dWb) for layer in layers], [layer.Wb.copy() for layer in layers]
    if recipe.max_grad_norm:
        clip_by_norm(net.dtheta, recipe.max_grad_norm)
    step = Step(state.t, state.rate, recipe.settings)
    OPTIMIZERS[recipe.rule].take(step, net.theta, net.dtheta, state.optimizer)  # (26) theta
    if last:
        norms = [_norm(Wb) or 1.0 for Wb in before]
        for layer, Wb in zip(layers, before, strict=True):
            np.subtract(layer.Wb, Wb, out=Wb)
        moved = (min(_norm(Wb) / norm, LARGEST) for Wb, norm in zip(before, norms, strict=True))
        state.norms = tuple(gradient), tuple(moved)


def _norm(x: NDArray) -> float:
    """The Euclidean norm, summed in float64, and not by BLAS, whose sum changes with the number
    of its threads. No file holds infinity: the largest number stands for it."""
    return min(math.sqrt(np.einsum("ij,ij->", x, x, dtype=np.float64)), LARGEST)


def evaluate(net: MLP, part: Part, team: Alone = ALONE) -> Measured:
    """Mean cross-entropy and accuracy on a part, without dropout, smoothing or class weights; means
    over the rows' weights if they have any. Each process of a team takes its share of the rows."""
    mine, w = team.share(len(part.y)), np.ones(1) if part.w is None else part.w
    predicted, sums = np.zeros(len(part.y), np.intp), np.zeros(2)
    for start in range(mine.start, mine.stop, ROWS):
        rows = slice(start, min(start + ROWS, mine.stop))
        z = net.logits(part.X[rows])
        z.argmax(axis=1, out=predicted[rows])
        losses, right = cross_entropy(z, part.y[rows]), predicted[rows] == part.y[rows]
        if part.w is None:
            sums += [losses.sum(dtype=np.float64), right.sum()]
        else:
            sums += [w[rows] @ losses, w[rows] @ right]
    loss, correct = team.add(sums).tolist()
    total = len(part.y) if part.w is None else float(w.sum())
    return Measured(loss / total, correct / total, team.add(predicted))


def class_weights(setting: str | dict[str, float], y: NDArray, classes: NDArray) -> NDArray | None:
    """(K,) weights of the classes, or None if all are alike.

    "balanced" is n / (K n_k), as in scikit-learn; a table gives weights by label, 1 if left out.
    Raises ConfigError for a label that the data do not have.
    """
    if setting == "none":
        return None
    if isinstance(setting, str):
        return len(y) / (len(classes) * np.maximum(np.bincount(y, minlength=len(classes)), 1))
    labels = [str(label) for label in classes]
    for label in setting:
        if label not in labels:
            known = ", ".join(labels[:20])
            raise ConfigError(f"train.class_weight: there is no class {label!r}, only {known}")
    weights = np.array([setting.get(label, 1.0) for label in labels])
    if not weights.any():
        raise ConfigError("train.class_weight: at least one class needs a weight above 0")
    return weights


def _order(state: State, N: int, shuffle: bool) -> NDArray:
    """The order of rows in the current epoch. A run that was stopped within it draws it again from
    the random state that the epoch began with."""
    now = state.rng.bit_generator.state
    if not shuffle:
        return np.arange(N)
    if not state.step:
        state.order = dict(now)
        return state.rng.permutation(N)
    state.rng.bit_generator.state = state.order
    order = state.rng.permutation(N)
    state.rng.bit_generator.state = now
    return order


def _is_over(state: State, recipe: Recipe) -> bool:
    """Whether `patience` epochs have passed since the best."""
    return bool(recipe.patience and state.epoch - 1 - state.best_epoch >= recipe.patience)


def _end_epoch(state: State, measured: Measured | None, recipe: Recipe, N: int) -> Epoch:
    """Record the epoch, and its weights if they are the best so far, and begin the next one."""
    flush(state.optimizer)
    figure, loss, accuracy = math.inf, None, None
    if measured:
        loss, accuracy = measured.loss, measured.accuracy
        if not math.isfinite(loss):
            raise _diverged(f"the validation loss is {loss}", state)
        figure = loss if recipe.watch == "loss" else -accuracy
    if measured is None or figure < state.best_figure:
        state.best_epoch, state.best_figure = state.epoch, figure
        state.best_theta[:] = state.net.theta
    mean, right = state.losses / (state.weight or 1), state.correct / N
    epoch = Epoch(
        *(state.epoch, state.rate, mean, right, loss, accuracy, state.seconds, state.best_epoch),
        *state.norms,
    )
    state.history.append(epoch)
    state.epoch, state.step = state.epoch + 1, 0
    state.losses, state.weight, state.correct = 0.0, 0.0, 0
    return epoch


def _diverged(what: str, state: State) -> TrainingError:
    """What to say of a loss or a weight that is not finite, or of a loss that explodes."""
    if not np.isfinite(state.net.theta).all():
        what = "a weight is not finite"
    elif state.t > 1 and what.startswith("the loss"):
        what += f", after {state.first_loss:.3g} at the first step"
    return TrainingError(f"training diverged in epoch {state.epoch} at step {state.t}: {what}")
