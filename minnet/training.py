"""The training loop: epochs of steps, evaluated, recorded, and stopped."""

import json
import math
import sys
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minnet import files
from minnet.config import Config, TrainConfig
from minnet.core.network import MLP, ROWS, Tape, inner
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings, Step, clip_by_norm, flush
from minnet.core.softmax import cross_entropy, softmax
from minnet.data import Part
from minnet.distributed import ALONE, Team
from minnet.errors import ConfigError, TrainingError
from minnet.metrics import WATCHED

Parts: TypeAlias = dict[str, Part]
Stop: TypeAlias = threading.Event | None
LARGEST = sys.float_info.max
TEMPERATURES = np.geomspace(0.4, 3, 41)  # no lower, so that few rows do not make p too sure
LARGEST_BATCH = 256  # of those that follow from the number of rows
EXPLODED = 1e4  # a run is given up when its loss exceeds this multiple of the first


@dataclass(frozen=True)
class Recipe:
    """How to train: the config's [train], the optimizer's name and constants, and rate(t), the
    learning rate of step t = 0, 1, ...

    With `alpha`, losses are scikit-learn's: `decay` adds to them; what is recorded has this in it,
    is `clipped` and counts rows, not their weights; no finite loss ends the run; and neither the
    accuracy nor norms are measured. `orders` gives the order of rows in each epoch. `forgives`:
    numbers that are not finite end nothing, as the best weights come back."""

    train: TrainConfig
    rule: str
    settings: Settings
    rate: Callable[[int], float]
    l2: float = 0.0
    alpha: float | None = None
    orders: Iterator[NDArray] | None = None
    forgives: bool = False


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch: in training, means over its steps and members, as the net then was,
    with dropout, smoothing and class weights; in validation, of the mean p, at its end, the loss
    with class weights; `watched` is the one that `train.watch` names. `seconds` count from the
    start of the run. `gradient` and `update` are of the last step, layer by layer: the norm of the
    gradient, and that of the change of [W; b] over that of [W; b], over all members."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    best_epoch: int
    watched: float | None = None
    gradient: Sequence[float] = ()
    update: Sequence[float] = ()


def figures(epoch: Epoch) -> dict[str, Any]:
    """An epoch's figures by name, as metrics.csv has them; those of layers last, counted from 1."""
    plain = dict(vars(epoch))
    layers = {name: plain.pop(name) for name in ("gradient", "update")}
    return plain | {f"{n}_{l}": v for n, each in layers.items() for l, v in enumerate(each, 1)}


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, share of rows that are right, the class (n,) predicted for each, and p
    (n, K), or (0, K) where only the class was asked for."""

    loss: float
    accuracy: float
    predicted: NDArray
    p: NDArray


@dataclass
class State:
    """Where a run stands: with config and data, all that it takes to continue as if uninterrupted.
    `optimizer` is the optimizer's state and t its steps so far, `step` those in this epoch, over
    which losses, weight and right rows are summed; `order` is the random state that this epoch's
    order of rows was drawn from. A loss above `limit` ends the run. `rate` and `norms` are of the
    last step."""

    net: MLP
    optimizer: NDArray
    rng: np.random.Generator
    best_theta: NDArray
    order: dict[str, Any] = field(default_factory=dict)
    epoch: int = 1
    step: int = 0
    t: int = 0
    losses: float = 0.0
    weight: float = 0.0
    correct: int = 0
    first_loss: float = 0.0
    limit: float = LARGEST
    best_figure: float = LARGEST
    best_epoch: int = 0
    seconds: float = 0.0
    rate: float = 0.0
    norms: Sequence[Sequence[float]] = ()
    history: list[Epoch] = field(default_factory=list)

    @classmethod
    def start(cls, net: MLP, rule: str, seed: int) -> "State":
        """The start of a run, with the net's weights as they are."""
        rng = np.random.default_rng([seed, 1])  # apart from the stream of the initial weights
        optimizer = np.zeros((OPTIMIZERS[rule].vectors, net.theta.size), net.dtype)
        return cls(net, optimizer, rng, net.theta.copy())

    def use_best(self) -> None:
        """Give the net the weights of the best epoch, if one was finished."""
        if self.best_epoch:
            self.net.theta[:] = self.best_theta

    @property
    def members(self) -> int:
        """The number of nets, M."""
        return self.net.theta.size // self.net.theta.shape[-1]

    @property
    def vectors(self) -> dict[str, NDArray]:
        """The state's large arrays."""
        return {"theta": self.net.theta, "best": self.best_theta, "optimizer": self.optimizer}

    def arrays(self) -> dict[str, NDArray]:
        """The state for a checkpoint: the large arrays, and all else as the bytes of its JSON."""
        large = ("net", "optimizer", "best_theta")
        rest = {name: value for name, value in vars(self).items() if name not in large}
        rest["rng"] = self.rng.bit_generator.state
        text = json.dumps(rest, default=vars)  # of an Epoch
        return self.vectors | {"rest": np.frombuffer(text.encode(), np.uint8)}

    def restore(self, arrays: dict[str, NDArray], steps: int) -> None:
        """Take over what `arrays` gave, in a run of so many steps an epoch. Raises an exception of
        any kind if that is no state which such a run of this net and rule can be in."""
        for name, vector in self.vectors.items():
            given = arrays[name]
            if (given.dtype, given.shape) != (vector.dtype, vector.shape):
                what = f"{given.dtype} of shape {given.shape}, not {vector.dtype} {vector.shape}"
                raise ValueError(f"{name} is {what}")
            vector[:] = given
        rest = json.loads(arrays["rest"].tobytes())
        now, self.order = rest.pop("rng"), rest.pop("order")
        for rng, state in ((np.random.default_rng(), self.order or now), (self.rng, now)):
            rng.bit_generator.state = state
            if rng.bit_generator.state != state:
                raise ValueError("a random state is damaged")
        others = (*self.vectors, "net", "best_theta", "rng", "order")
        kinds = {name: k for name, k in typing.get_type_hints(State).items() if name not in others}
        if not files.fits(rest | {"best_figure": abs(rest["best_figure"])}, kinds):
            raise ValueError("a figure is of another type, not finite or negative")
        history = [Epoch(**figures) for figures in rest.pop("history")]
        n, step, best = len(history), rest["step"], history[-1].best_epoch if history else 0
        layers = {len(x) for epoch in history for x in (epoch.gradient, epoch.update)}
        right = [[epoch.epoch for epoch in history] == [*range(1, n + 1)], rest["epoch"] == n + 1]
        right += [step < steps, rest["t"] == n * steps + step, bool(self.order) >= bool(step)]
        right += [rest["best_epoch"] == best <= n, layers <= {len(self.net.layers)}]
        if not all(right):
            raise ValueError("its epochs and steps do not fit each other")
        vars(self).update(rest, history=history)


def folds(y: NDArray, members: int, seed: int) -> NDArray:
    """Which member leaves out each row (n,), of labels y (n,): equal shares of each class."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), y))
    fold = np.empty(len(y), np.intp)
    fold[order] = np.arange(len(y)) % members
    return fold


def settled(config: Config, part: Part) -> Config:
    """The config with the numbers that it leaves to the rows of the training part."""
    n, epochs, size = part.rows, config.train.epochs, config.train.batch_size
    power = min(LARGEST_BATCH, max(32, 2 ** int(math.log2(max(1, n / 20)))))
    size = size or math.ceil(n / math.ceil(n / power))  # so that the last batch is no smaller one
    epochs = epochs or max(40, math.ceil(1500 / math.ceil(n / size)))
    return replace(config, train=replace(config.train, epochs=epochs, batch_size=size))


def build(config: Config, D: int, K: int, class_weight: NDArray | None = None) -> MLP:
    """The net that the config describes, for D features and K classes, with its initial weights."""
    settings = _keys(config.model, "activation", "output_gradient", "dropout", "dtype")
    settings |= _keys(config.train, "label_smoothing", "seed")
    settings["members"] = config.model.members if config.model.members > 1 else None
    sizes = [D, *config.model.hidden, K]
    return MLP(sizes, l2=_penalty(config), class_weight=class_weight, **settings)


def recipe(config: Config, net: MLP, N: int) -> Recipe:
    """How the config trains the net on N rows."""
    constants = _keys(config.optimizer, "momentum", "beta1", "beta2", "epsilon", "weight_decay")
    settings, rate = Settings(**constants, weights=net.weights), schedule(config, N).rate
    return Recipe(config.train, config.optimizer.name, settings, rate, _penalty(config))


def schedule(config: Config, N: int) -> Schedule:
    """The config's schedule on N rows, in steps."""
    optimizer, train = config.optimizer, config.train
    epochs = train.epochs, optimizer.warmup_epochs, optimizer.step_epochs
    steps, warmup, every = (round(n * math.ceil(N / train.batch_size)) for n in epochs)
    shape = optimizer.schedule, steps, warmup, max(1, every), optimizer.step_factor
    return Schedule(optimizer.learning_rate, *shape)


def _penalty(config: Config) -> float:
    optimizer = config.optimizer
    return 0.0 if OPTIMIZERS[optimizer.name].decoupled else optimizer.weight_decay


def _keys(section: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(section, name) for name in names}


def train(
    net: MLP, parts: Parts, recipe: Recipe, state: State, stop: Stop = None, team: Team = ALONE
) -> Iterator[Epoch | None]:
    """Train the net in place on parts["train"], yielding an Epoch after each, and None where an
    epoch takes so long that the run should be saved within it. `state` is where to start, and up to
    date at each yield and at the end.

    With parts["validation"], training ends `patience` epochs after the best; `state.use_best` puts
    in the weights of that. Once `stop` is set, training ends after the current step; an epoch cut
    short is not yielded. In a team, every process calls this, and takes its share of each batch.
    Raises TrainingError if a member's loss or weight is not finite, or its loss explodes."""
    part, stop = parts["train"], stop or threading.Event()
    validation = parts.get("validation", part if part.fold is not None else None)
    N, size, tapes = part.rows, min(recipe.train.batch_size, part.rows), dict[int, Tape]()
    patience = recipe.train.patience if validation and recipe.train.patience else math.inf
    steps, saved = math.ceil(N / size), time.perf_counter()
    flat, keep = net.dtheta.reshape(-1), recipe.train.watch in WATCHED
    began = saved - state.seconds
    while state.epoch <= recipe.train.epochs and state.epoch - state.best_epoch <= patience:
        order, stopped = _order(state, part, recipe.orders), 0.0
        if not state.step:
            state.losses, state.weight, state.correct = 0.0, 0.0, 0
        while state.step < steps and not stopped:
            rows = order[..., state.step * size : (state.step + 1) * size]
            due: float = 0 < recipe.train.checkpoint_seconds <= time.perf_counter() - saved
            mine = gradient(state, part, rows, recipe, tapes, team)
            loss, weight, right, stopped, due = team.average(flat, *mine, stop.is_set(), due)
            state.step, state.t = state.step + 1, state.t + 1
            if not (loss <= state.limit or recipe.forgives):
                after = f", after {state.first_loss:.3g} at the first step" if state.t > 1 else ""
                raise _diverged(state, f"the loss is {loss:.3g}{after}")
            if state.t == 1:
                limit = EXPLODED * max(loss, math.log(net.K)) if recipe.alpha is None else LARGEST
                state.first_loss, state.limit = loss, limit / state.members  # the mean's, if of one
            state.losses, state.weight = state.losses + loss * weight, state.weight + weight
            state.correct += int(right)
            update(net, recipe, state, last=state.step == steps and recipe.alpha is None)
            stopped = stopped or (team.size == 1 and stop.is_set())
            if due and state.step < steps:
                state.seconds = time.perf_counter() - began
                yield None
                saved = time.perf_counter()
        whole = state.step == steps
        checked = (whole or not state.best_epoch) and not recipe.forgives
        if checked and not np.isfinite(net.theta).all():
            raise _diverged(state)
        how = {"by_class": True, "keep": keep, "held_out": "validation" not in parts}
        measured = evaluate(net, validation, team, **how) if validation and whole else None
        state.seconds = time.perf_counter() - began
        if whole:
            yield _end_epoch(state, measured, recipe, parts)
        if not whole or team.add(np.array(int(stop.is_set()))):
            stop.set()
            break


def gradient(
    state: State, part: Part, rows: NDArray, recipe: Recipe, tapes: dict[int, Tape], team: Team
) -> tuple[float, float, int]:
    """The mean loss over this process's share of a batch, rows (n,) or (M, n), and members, with
    dtheta in the net; the weight of these rows, and how many are right, by all members. There is a
    tape for each number of rows."""
    net, N = state.net, rows.shape[-1]
    share = team.share(N)
    mine = rows if team.size == 1 else rows[..., share]
    n = mine.shape[-1]
    tape = tapes.get(n) or tapes.setdefault(n, Tape(net, *mine.shape))
    if net.dropout:  # masks of the whole batch, so that they do not depend on how it is shared
        for record, mask in zip(tape, net.dropout_masks(N, state.rng), strict=False):
            record.mask = mask[..., share, :]
    X = part.X.take(mine, axis=0) if isinstance(part.X, np.ndarray) else part.X[mine]
    y, w = part.y[mine], None if part.w is None else part.w[mine].reshape(-1)
    T, weight = net.targets(y.reshape(-1), w)
    if mine.ndim > 1:  # rows of their own: r is a share of each member's mean
        T = np.moveaxis(len(mine) * T.T.reshape(net.K, *mine.shape), 0, -1)
    net.step(X, T, tape)
    loss, right = tape.L, 0  # what is recorded has no penalty in it
    if recipe.alpha is None:
        right = int(np.count_nonzero(tape.z.argmax(axis=-1) == y))
    else:
        loss = clipped(T, tape) + decay(net, recipe.l2 + recipe.alpha / (weight or 1))
        weight = float(n)
    loss = loss if tape.z.ndim == 2 else loss.mean()
    return float(loss), weight, right


def decay(net: MLP, l2: float) -> Any:
    """l2/2 * sum(W^2) of each net, whose gradient l2 W is added to dtheta: of all layers at once,
    in half the time of the net's own penalty."""
    if not l2:
        return 0.0
    Ws = net.theta * _of_weights(net.dtype, *net.layer_sizes)
    penalty = l2 / 2 * np.vecdot(Ws, Ws)
    Ws *= l2
    net.dtheta += Ws
    return penalty


@cache
def _of_weights(dtype: np.dtype, *sizes: int) -> NDArray:
    """1 where theta has a weight, 0 where it has a bias."""
    ones = [np.repeat([1, 0], [n * m, m]) for n, m in pairwise(sizes)]
    return np.concatenate(ones).astype(dtype)


def clipped(T: NDArray, tape: Tape) -> Any:
    """The loss of a step, but each row's at most -log eps: scikit-learn keeps p above eps. The
    gradient does not know of it."""
    floor = _log_eps(tape.z.dtype)
    if np.minimum.reduce(tape.log_p, axis=None) < floor:
        return -inner(T, np.maximum(tape.log_p, floor))
    return tape.L


@cache
def _log_eps(dtype: np.dtype) -> NDArray:
    return np.log(np.finfo(dtype).eps)


def update(net: MLP, recipe: Recipe, state: State, last: bool = False) -> None:
    """Step t = 1, 2, ... of the optimizer, from net.dtheta, which is used up: clip, then update. In
    the last of an epoch, state.norms becomes its figures by layer, of gradients before clipping."""
    state.rate, layers = recipe.rate(state.t - 1), net.layers if last else []
    before = [(layer.Wb.copy(), _norm(layer.Wb) or 1.0) for layer in layers]
    norms = [_norm(layer.dWb) for layer in layers]
    if recipe.train.max_grad_norm:
        clip_by_norm(net.dtheta, recipe.train.max_grad_norm)
    step = Step(state.t, state.rate, recipe.settings)
    OPTIMIZERS[recipe.rule].take(step, net.theta, net.dtheta, state.optimizer)  # (26) theta
    if last:
        for layer, (Wb, _) in zip(layers, before, strict=True):
            np.subtract(layer.Wb, Wb, out=Wb)
        state.norms = norms, [min(_norm(Wb) / norm, LARGEST) for Wb, norm in before]


def _norm(x: NDArray) -> float:
    """The Euclidean norm, summed in float64 and not by BLAS, whose sum depends on its threads. No
    file holds infinity: the largest number stands for it."""
    squares = np.einsum("...ij,...ij->...", x, x, dtype=np.float64)
    return min(math.sqrt(squares.sum()), LARGEST)


def evaluate(
    net: MLP,
    part: Part,
    team: Team = ALONE,
    *,
    by_class: bool = False,
    keep: bool = False,
    held_out: bool = False,
) -> Measured:
    """Mean cross-entropy and accuracy on a part, without dropout or smoothing; means over the rows'
    weights if they have any, and `by_class`, the loss by class weights, too. With `keep`, p is
    kept; `held_out`, each member predicts the fold that it leaves out. Each process of a team takes
    its share of the rows."""
    N, w = len(part.y), np.broadcast_to(1.0, len(part.y)) if part.w is None else part.w
    predicted, sums = np.zeros(N, np.intp), np.zeros((2, 2))
    p, c = np.zeros((N if keep else 0, net.K), net.dtype), net.class_weight if by_class else None
    for one, rows in _blocks(net, part, team, held_out):
        z, y = one.logits(part.X[rows]), part.y[rows]
        predicted[rows] = z.argmax(axis=1)
        by = np.stack([w[rows] if c is None else w[rows] * c[y], w[rows]])
        sums[0] += (by * [cross_entropy(z, y), predicted[rows] == y]).sum(axis=1)
        sums[1] += by.sum(axis=1)
        if keep:
            p[rows] = softmax(z)
    loss, accuracy = np.divide(*team.add(sums)).tolist()
    return Measured(loss, accuracy, team.add(predicted), team.add(p))


def _blocks(net: MLP, part: Part, team: Team, held_out: bool) -> Iterator[tuple[MLP, Any]]:
    """The nets that predict, and the rows for each: a slice, or those of a member's fold."""
    if held_out:
        for m in range(len(net.theta)):
            rows = np.flatnonzero(part.fold == m)
            yield member(net, m), rows[team.share(len(rows))]
        return
    mine = team.share(len(part.y))
    for start in range(mine.start, mine.stop, ROWS):
        yield net, slice(start, min(start + ROWS, mine.stop))


def calibrate(net: MLP, part: Part) -> None:
    """Divide the logits by the temperature of least loss (Guo et al. 2017, section 4.2) on a part,
    or on the folds that members left out: label smoothing makes p too flat. The last layer's W and
    b take it in."""
    z, held_out = np.empty((len(part.y), net.K)), part.fold is not None
    for one, rows in _blocks(net, part, ALONE, held_out):
        z[rows] = one.logits(part.X[rows])
    losses = [cross_entropy(z / T, part.y).mean() for T in TEMPERATURES]
    net.layers[-1].Wb[:] /= TEMPERATURES[int(np.argmin(losses))]


def member(net: MLP, m: int) -> MLP:
    """Member m as a net of its own, whose theta is a view; a single net is its only one."""
    if net.theta.ndim == 1:
        return net
    one = MLP.__new__(MLP)
    one.__setstate__(net.__getstate__() | {"theta": net.theta[m], "dtheta": net.dtheta[m]})
    return one


def class_weights(setting: str | dict[str, float], y: NDArray, classes: NDArray) -> NDArray | None:
    """(K,) weights of the classes, None if all are alike: "balanced", n / (K n_k), or by label, 1
    if left out. Raises ConfigError for an unknown label, and if all are 0."""
    if setting == "none":
        return None
    if isinstance(setting, str):
        return len(y) / (len(classes) * np.maximum(np.bincount(y, minlength=len(classes)), 1))
    weights = {str(label): 1.0 for label in classes}
    if unknown := sorted(setting.keys() - weights.keys()):
        known = ", ".join([*weights][:20])
        raise ConfigError(f"train.class_weight: there is no class {unknown[0]!r}, only {known}")
    weights |= setting
    if not any(weights.values()):
        raise ConfigError("train.class_weight: at least one class needs a weight above 0")
    return np.array([*weights.values()])


def _order(state: State, part: Part, orders: Iterator[NDArray] | None) -> NDArray:
    """The order of rows (n,) in this epoch, or (M, n) without each member's fold; drawn again where
    a run was stopped within the epoch."""
    if orders:
        return next(orders)
    rng = state.rng
    if state.step:
        rng = np.random.default_rng()
        rng.bit_generator.state = state.order
    state.order = dict(rng.bit_generator.state)
    if part.fold is None:
        return rng.permutation(part.rows)
    others = (np.flatnonzero(part.fold != m) for m in range(len(state.net.theta)))
    return np.stack([rng.permutation(rows)[: part.rows] for rows in others])


def _end_epoch(state: State, measured: Measured | None, recipe: Recipe, parts: Parts) -> Epoch:
    """Record the epoch, and its weights if they are the best so far, and begin the next one."""
    flush(state.optimizer)
    loss = accuracy = watched = None
    figure, watch = -float(state.epoch), recipe.train.watch  # without validation the last is best
    if measured:
        loss, accuracy = measured.loss, measured.accuracy
        if not (math.isfinite(loss) or recipe.forgives):
            raise _diverged(state, f"the validation loss is {loss}")
        watched = loss if watch == "loss" else accuracy
        if watch in WATCHED:
            y = parts.get("validation", parts["train"]).y
            watched = WATCHED[watch](y, measured.predicted, measured.p)
        figure = watched if watch == "loss" else -watched
    if figure < state.best_figure:
        state.best_epoch, state.best_figure = state.epoch, figure
        state.best_theta[:] = state.net.theta
    mean, right = state.losses / (state.weight or 1), state.correct / parts["train"].rows
    figures = state.epoch, state.rate, mean, right / state.members, loss, accuracy, state.seconds
    state.history.append(Epoch(*figures, state.best_epoch, watched, *state.norms))
    state.epoch, state.step = state.epoch + 1, 0
    return state.history[-1]


def _diverged(state: State, what: str = "") -> TrainingError:
    what = what if np.isfinite(state.net.theta).all() else "a weight is not finite"
    return TrainingError(f"training diverged in epoch {state.epoch} at step {state.t}: {what}")
