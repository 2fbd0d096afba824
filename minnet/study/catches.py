"""What catches each mistake of mistakes.py; and the gallery in print: list, table, one mistake.

Nothing here knows which check catches what: each runs with the mistake in the core. None catches
all of them. The difference of L comes nearest, but misses what takes large logits or a second step,
and a net that cannot learn.
"""

import textwrap
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core
from minnet import config, runs, training
from minnet.core.gradcheck import central_differences, relative_error
from minnet.core.network import MLP
from minnet.errors import ConfigError, TrainingError, did_you_mean, one_line, short
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Change, Function, Mistake, swapped
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped
from minnet.study.text import table as aligned

Z = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 1.5], [2.0, 0.0, -0.5]])  # N = K: no shape is an error
K, I = 3, np.eye(3)
WEIGHTS = (1.0, 2.0, 1.0)  # of the rows: with equal ones, a net of zeros has no gradient to measure
LARGE = np.array([[[0.0, gap, 0.0]] for gap in (50, 1000)])  # logits, of which 0 is the true one
# 96 rows of wine are left for training: 6 batches of 16, or 32 of K
WINE = """data.source=wine data.test_size=82 data.validation_size=0 model.hidden=[16,16]
optimizer.name=sgd optimizer.learning_rate=0.1 train.epochs=30 train.batch_size=16"""


def measured_J(softmax: Function) -> NDArray:
    """J (N, K, K) at Z by central differences of a softmax, entry by entry of Z."""
    J = np.empty((K, K, K))
    for n, k in np.ndindex(K, K):
        step = 1e-6 * np.outer(I[n], I[k])
        J[n, :, k] = (softmax(Z + step) - softmax(Z - step))[n] / 2e-6
    return J


def _J() -> NDArray:
    return core.softmax_jacobian(core.softmax(Z))


def _loss(net: MLP) -> Loss:
    X = np.random.default_rng(5).normal(size=(K, net.layer_sizes[0]))
    return Loss(net, np.float64, X, range(K), WEIGHTS, seed=0)


def _gradient_error(net: MLP) -> float:
    L = _loss(net)
    return relative_error(central_differences(L, net.theta), L.gradient(net.theta))


def _same_again(net: MLP) -> bool:
    L = _loss(net)
    return np.array_equal(L.gradient(net.theta), L.gradient(net.theta))


def _dz(net: MLP, z: NDArray, Y: NDArray) -> NDArray:
    return core.OUTPUT_GRADIENTS[net.output_gradient](core.softmax(z), Y / len(Y))


def _is_p_minus_y(net: MLP, z: NDArray, Y: NDArray) -> bool:
    """Whether dz is (p - Y)/N, with the p that the core now makes."""
    return np.allclose(_dz(net, z, Y), (core.softmax(z) - Y) / len(Y), atol=1e-9)


def _large(net: MLP) -> bool:
    losses = [core.cross_entropy(z, [0])[0] for z in LARGE]
    dz = [_dz(net, z, I[:1]) for z in LARGE]
    return np.allclose(losses, LARGE.max(axis=(1, 2))) and np.allclose(dz, I[1] - I[0], atol=1e-9)


# What each is about, and whether a net passes it
CHECKS: dict[str, tuple[str, Callable[[MLP], bool]]] = {
    "sym": ("J symmetric", lambda net: np.allclose(_J(), _J().mT, atol=1e-12)),
    "rows": ("rows of J sum to 0", lambda net: np.allclose(_J().sum(axis=-1), 0, atol=1e-12)),
    "sum p": ("p sums to 1", lambda net: np.allclose(core.softmax(Z).sum(axis=-1), 1, atol=1e-12)),
    "p-y 1": ("p-y, one class", lambda net: _is_p_minus_y(net, Z[:1], I[:1])),
    "p-y K": ("p-y, every class", lambda net: _is_p_minus_y(net, Z, I)),
    "diff J": ("difference of J", lambda net: np.allclose(_J(), measured_J(core.softmax), 0, 1e-8)),
    "diff L": ("difference of L", lambda net: _gradient_error(net) < 1e-6),
    "again": ("the same gradient again", _same_again),
    "large": ("large logits", _large),
}


def caught(mistake: Mistake, wrong: bool = True) -> dict[str, bool | str]:
    """Which of CHECKS catch the mistake: True, False, or the text of the error that it raises. If
    not `wrong`, the same of the right code in the same net."""

    def fails(passes: Callable[[MLP], bool]) -> bool:
        return not passes(_net(mistake, [4, 5, 5, K]))

    change = mistake.change if wrong else None
    return {head: _tried(change, fails, passes) for head, (_, passes) in CHECKS.items()}


def _tried(change: Change | None, ask: Function, *args: Any) -> Any:
    """What is returned with this change in the core, or in words what is raised."""
    try:
        with swapped(change):
            return ask(*args)
    except TrainingError:
        return "diverges"
    except Exception as error:  # wrong code may raise anything
        return f"{type(error).__name__}: {one_line(error)}"


def _config(mistake: Mistake, *settings: str) -> config.Config:
    """A config that can show the mistake; of tanh unless it is about relu, whose kinks disturb
    differences."""
    method = f"model.output_gradient={mistake.change.method}"
    own = [*config.PLAIN, "model.activation=tanh", method]
    return config.load(None, [*own, *settings, *mistake.settings])


def _net(mistake: Mistake, layer_sizes: list[int], *settings: str) -> MLP:
    own = (f"model.hidden={layer_sizes[1:-1]}", "model.dtype=float64", "train.seed=1", *settings)
    return training.build(_config(mistake, *own), layer_sizes[0], K, None)


def trained(mistake: Mistake, wrong: bool = True) -> float | str:
    """The accuracy on the test part of wine that training reaches with the mistake; "diverges"; or
    the text of the error that it raises. If not `wrong`, the same of the right code."""

    def train() -> runs.Prepared:
        prepared = runs.prepare(_config(mistake, *WINE.split()))
        net, parts = prepared.net, prepared.parts
        recipe = training.recipe(prepared.config, net, len(parts["train"].y))
        state = training.State.start(net, recipe.rule, prepared.config.train.seed)
        for _ in training.train(net, parts, recipe, state):
            pass
        return prepared

    found = _tried(mistake.change if wrong else None, train)
    if isinstance(found, str):
        return found
    return training.evaluate(found.net, found.parts["test"]).accuracy


# In print


def example(mistake: Mistake, wrong: bool) -> dict[str, NDArray]:
    """The arrays of one step of a net 3-3-3 on three rows, in the order in which they are made,
    with the mistake if `wrong`. Its weights pass each input on to one logit, and the inputs are
    logarithms, so that p comes in tenths."""
    tenths = np.array([[5.0, 4.0, 1.0], [1.0, 6.0, 3.0], [2.0, 1.0, 7.0]])
    X = mistake.gap * I if mistake.gap else np.where(tenths == 1, -1, np.log(tenths))  # relu(-1)=0
    with swapped(mistake.change if wrong else None):
        net = _net(mistake, [3, 3, K], "model.activation=relu")
        if mistake.change.function != MLP.initialise:
            net.weights[0][:], net.weights[1][:] = I, I[[1, 2, 0]]
        X, T, tape = net.prepare(X, range(K), WEIGHTS, np.random.default_rng(0))
        L = [net.step(X, T, tape) for _ in range(2)][-1]  # some mistakes leave something behind
        J, dp = core.softmax_jacobian(tape.p[0]), core.loss_gradient(tape.p, T)
    first, last = tape
    arrays = {"b of layer 1": net.biases[0], "W of layer 1": net.weights[0], "h of layer 1": last.h}
    arrays |= {"p": tape.p, "L": np.array([L]), "J of the first row": np.broadcast_to(J, (K, K))}
    arrays |= {"dp": dp, "dz": tape.dz, "dh of layer 1": last.dh, "da of layer 1": first.da}
    return arrays | {"dW of layer 1": net.layers[0].dW}


def differing(mistake: Mistake) -> dict[str, tuple[NDArray, NDArray]]:
    """The arrays of the example that the mistake changes, (right, wrong), in order."""
    right, wrong = (example(mistake, each) for each in (False, True))
    pairs = {name: (right[name], wrong[name]) for name in right}
    return {name: pair for name, pair in pairs.items() if not np.allclose(*pair, 0, 1e-12)}


def listing() -> list[str]:
    """Each mistake's name and the first sentence about it."""
    lines, width = [], max(map(len, MISTAKES)) + 2
    for name, mistake in MISTAKES.items():
        text = f"{name:{width}}{mistake.summary}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * width)
    return lines


def show(name: str, colour: bool = False) -> list[str]:
    """One mistake: who makes it and why, its code beside the right code, its numbers beside the
    right ones, and what catches it. Raises ConfigError for an unknown name."""
    if name not in MISTAKES:
        near = did_you_mean(name.lower(), MISTAKES, 0.4)
        hint = near or "; minnet study --mistake list lists them"
        raise ConfigError(f"no mistake is called {short(name)}{hint}")
    mistake = MISTAKES[name]
    file = mistake.change.function.__module__.replace(".", "/")
    lines = [*wrapped(mistake.why), ""]
    for number, right, wrong in mistake.change.lines():
        lines += [f"{file}.py:{number}", paint(f"  right  {right}", "green", colour)]
        lines += [paint(f"  wrong  {wrong}", "red", colour)]
    gap = f", with logits {mistake.gap} apart" if mistake.gap else ""
    lines += ["", f"one step of a net 3-3-3 on three rows, one per class, weighted 1, 2, 1{gap}"]
    arrays = differing(mistake)
    first, *_, last = [*arrays] * 2  # the same if there is only one
    for label in dict.fromkeys((first, last)):
        lines += _side_by_side(label, *arrays[label], colour)
    return [*lines, "", "what catches it", *table([name], colour)]


def _side_by_side(label: str, right: NDArray, wrong: NDArray, colour: bool) -> list[str]:
    with np.errstate(invalid="ignore"):
        apart = numbers(np.abs(right - wrong).max())
        left, other = (array_lines(x.round(15), width=WIDTH // 2 - 4) for x in (right, wrong))
    lines, width = [f"  {label}: right, wrong; largest difference {apart}"], len(left[0]) + 4
    for one, two in zip(left, other, strict=True):
        lines.append(f"  {one:{width}}{paint(two, 'red', colour)}")
    return lines


def table(names: Iterable[str] = MISTAKES, colour: bool = False) -> list[str]:
    """Which checks catch these mistakes, what the columns stand for, and the errors raised."""
    heads = [*CHECKS, "wine", "right"]
    rows, errors = [["", *heads]], list[str]()
    for name in names:
        mistake = MISTAKES[name]
        verdicts = [*caught(mistake).values(), trained(mistake), trained(mistake, wrong=False)]
        for head, verdict in zip(heads, verdicts, strict=True):
            if isinstance(verdict, str) and verdict != "diverges":
                errors += wrapped(f"{head}: {verdict}")
        rows.append([name, *map(_cell, verdicts)])
    lines = aligned(rows)
    legend = "; ".join(f"{head}: {meaning}" for head, (meaning, _) in CHECKS.items())
    legend += "; wine: test accuracy after training with the mistake; right: with the right code"
    return [paint(lines[0], "dim", colour), *lines[1:], "", *wrapped(legend), *errors]


def _cell(verdict: bool | float | str) -> str:
    if isinstance(verdict, bool):
        return "yes" if verdict else "-"
    if isinstance(verdict, float):
        return f"{verdict:.3f}"
    return "diverges" if verdict == "diverges" else "error"
