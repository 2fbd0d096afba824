"""What catches each mistake of mistakes.py; and the gallery in print: list, table, one mistake.

Nothing here knows which check catches what: each runs with the mistake in the core. None catches
all of them. The difference of L comes nearest, but misses what takes large logits, and a net that
cannot learn.
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core
from minnet import config, runs, training
from minnet.core.activations import relu
from minnet.core.gradcheck import central_differences, relative_error
from minnet.core.network import MLP
from minnet.core.softmax import OUTPUT_GRADIENTS
from minnet.errors import TrainingError, one_line
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Mistake, find, swapped
from minnet.study.step import locations
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped
from minnet.study.text import table as aligned

Z = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 1.5], [2.0, 0.0, -0.5]])  # N = K: no shape is an error
K = Z.shape[1]
WEIGHTS = (1.0, 2.0, 1.0)  # of the rows: with equal ones, a net of zeros has no gradient to measure
LARGE = [np.array([[0.0, gap, 0.0]]) for gap in (50, 1000)]  # logits, of which 0 is the true one
WINE = (  # 96 rows are left for training: 6 batches of 16, or 32 of K
    *("data.source=wine", "data.test_size=82", "data.validation_size=0"),
    *("model.hidden=[16, 16]", "model.activation=tanh", "optimizer.name=sgd"),
    *("optimizer.learning_rate=0.1", "train.epochs=30"),
)
# of MLP, and of the config
KEYS = {
    "dropout": "model.dropout",
    "l2": "optimizer.weight_decay",
    "activation": "model.activation",
}


def _J() -> NDArray:
    """J (N, K, K) at Z, by the core as it now is."""
    return core.softmax_jacobian(core.softmax(Z))


def _measured_J() -> NDArray:
    """J at Z by central differences of p, row by row."""
    h, J = 1e-6, np.empty((K, K, K))
    for n, k in np.ndindex(K, K):
        step = np.zeros((K, K))
        step[n, k] = h
        J[n, :, k] = (core.softmax(Z + step) - core.softmax(Z - step))[n] / (2 * h)
    return J


def _is_p_minus_y(net: MLP, z: NDArray, Y: NDArray, right: NDArray | None = None) -> bool:
    """Whether dz is (p - Y)/N, with the p that the core now makes, or with the right one."""
    p, T = core.softmax(z), Y / len(Y)
    dz = OUTPUT_GRADIENTS[net.output_gradient](p, T)
    return np.allclose(dz, (p if right is None else right) / len(Y) - T, atol=1e-9)


def _gradient_error(net: MLP) -> float:
    X = np.random.default_rng(5).normal(size=(K, net.layer_sizes[0]))
    f = Loss(net, np.float64, X, range(K), WEIGHTS, seed=0)
    return relative_error(central_differences(f, net.theta), f.gradient(net.theta))


# What each is about, and whether a net passes it
CHECKS: dict[str, tuple[str, Callable[[MLP], bool]]] = {
    "sym": ("J symmetric", lambda net: np.allclose(_J(), _J().mT, atol=1e-12)),
    "rows": ("rows of J sum to 0", lambda net: np.allclose(_J().sum(axis=-1), 0, atol=1e-12)),
    "sum p": ("p sums to 1", lambda net: np.allclose(core.softmax(Z).sum(axis=-1), 1, atol=1e-12)),
    "p-y 1": ("p-y, one class", lambda net: _is_p_minus_y(net, Z[:1], np.eye(K)[:1])),
    "p-y K": ("p-y, every class", lambda net: _is_p_minus_y(net, Z, np.eye(K))),
    "diff J": ("difference of J", lambda net: np.allclose(_J(), _measured_J(), atol=1e-8)),
    "diff L": ("difference of L", lambda net: _gradient_error(net) < 1e-6),
    "large": (
        "large logits",
        lambda net: all(_is_p_minus_y(net, z, np.eye(K)[:1], np.eye(K)[1:2]) for z in LARGE),
    ),
}


def caught(mistake: Mistake, wrong: bool = True) -> dict[str, bool | str]:
    """Which of CHECKS catch the mistake: True, False, or the text of the error that it raises. If
    not `wrong`, the same of the right code in the same net."""

    def fails(passes: Callable[[MLP], bool]) -> bool:
        return not passes(_net(mistake, [4, 5, 5, K]))

    swap = mistake if wrong else None
    return {head: _tried(swap, partial(fails, passes)) for head, (_, passes) in CHECKS.items()}


def _tried(swap: Mistake | None, ask: Callable[[], Any]) -> Any:
    """What is returned with this mistake in the core, or in words what is raised."""
    try:
        with swapped(swap):
            return ask()
    except TrainingError:
        return "diverges"
    except Exception as error:  # wrong code may raise anything
        return f"{type(error).__name__}: {one_line(error)}"


def _net(mistake: Mistake, layer_sizes: list[int], activation: str = "tanh") -> MLP:
    """A net that can show the mistake; of tanh unless it is about relu, whose kinks disturb
    differences."""
    options = {"activation": activation} | mistake.options
    return MLP(layer_sizes, dtype="float64", output_gradient=mistake.method, seed=1, **options)


def trained(mistake: Mistake, wrong: bool = True) -> float | str:
    """The accuracy on the test part of wine that training reaches with the mistake; "diverges"; or
    the text of the error that it raises. If not `wrong`, the same of the right code."""
    own = [f"model.output_gradient={mistake.method}", f"train.batch_size={mistake.batch_size}"]
    own += [f"{KEYS[name]}={value}" for name, value in mistake.options.items()]

    def train() -> runs.Prepared:
        prepared = runs.prepare(config.load(None, [*WINE, *own]))
        net, parts = prepared.net, prepared.parts
        recipe = training.recipe(prepared.config, net, len(parts["train"].y))
        state = training.State.start(net, recipe.rule, prepared.config.train.seed)
        for _ in training.train(net, parts, recipe, state):
            pass
        return prepared

    found = _tried(mistake if wrong else None, train)
    if isinstance(found, str):
        return found
    return training.evaluate(found.net, found.parts["test"]).accuracy


# In print


def example(mistake: Mistake, wrong: bool) -> dict[str, NDArray]:
    """The arrays of one step of a net 3-3-3 on three rows, in the order in which they are made,
    with the mistake if `wrong`. Its weights pass each input on to one logit, and the inputs are
    logarithms, so that p comes in tenths."""
    tenths = np.array([[5.0, 4.0, 1.0], [1.0, 6.0, 3.0], [2.0, 1.0, 7.0]])
    X = np.where(tenths == 1, -1, np.log(tenths))  # relu(-1) = log 1
    X = mistake.gap * np.eye(K) if mistake.gap else X
    with swapped(mistake if wrong else None):
        net = _net(mistake, [3, 3, K], "relu")
        if mistake.replaces != "initialise":
            net.weights[0][:], net.weights[1][:] = np.eye(3), np.eye(3)[[1, 2, 0]]
        X, T, tape = net.prepare(X, range(K), WEIGHTS, np.random.default_rng(0))
        L = net.step(X, T, tape)
        J, dp = core.softmax_jacobian(tape.p)[0], core.loss_gradient(tape.p, T)
    first, last = tape
    return {
        "b of layer 1": net.biases[0],
        "W of layer 1": net.weights[0],
        "h of layer 1": last.h,
        "p": tape.p,
        "L": np.array([L]),
        "J of the first row": J,
        "dp": dp,
        "dz": tape.dz,
        "dh of layer 1": last.dh,
        "da of layer 1": first.da,
        "dW of layer 1": net.layers[0].dW,
    }


def differing(mistake: Mistake) -> dict[str, tuple[NDArray, NDArray]]:
    """The arrays of the example that the mistake changes, (right, wrong), in order."""
    wrong = example(mistake, wrong=True)
    pairs = {name: (x, wrong[name]) for name, x in example(mistake, wrong=False).items()}
    return {
        name: pair for name, pair in pairs.items() if not np.allclose(*pair, rtol=0, atol=1e-12)
    }


def listing() -> list[str]:
    """Each mistake's name and the first sentence about it."""
    lines, width = [], max(map(len, MISTAKES)) + 2
    for name, mistake in MISTAKES.items():
        text = f"{name:{width}}{mistake.sentence.partition('. ')[0].rstrip('.')}."
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * width)
    return lines


def show(name: str, colour: bool = False) -> list[str]:
    """One mistake: its code, which says who makes it and why, the right code, its numbers beside
    the right ones, and what catches it. Raises ConfigError for an unknown name."""
    mistake = find(name)
    wrong = inspect.getsource(mistake.function).splitlines()
    lines = [paint("wrong", "red", colour), *wrong, ""]
    lines += [paint("right", "green", colour), *_right_code(mistake), ""]
    gap = f", with logits {mistake.gap} apart" if mistake.gap else ""
    lines += [f"one step of a net 3-3-3 on three rows, one per class, weighted 1, 2, 1{gap}"]
    arrays = differing(mistake)
    for label in dict.fromkeys((next(iter(arrays)), next(reversed(arrays)))):
        lines += _side_by_side(label, *arrays[label], colour)
    row, errors = _row(mistake)
    return [*lines, "", "what catches it", *_table([row], colour), *errors]


def _right_code(mistake: Mistake) -> list[str]:
    """The core's line and its place; or its function, where no single line is to blame."""
    if mistake.step is None:
        right = getattr(MLP, mistake.replaces, relu)
        place, code = right.__module__.replace(".", "/") + ".py", inspect.getsource(right)
        return [f"{place}", *textwrap.dedent(code).splitlines()]
    file, number, line = locations()[mistake.step]
    return [f"step ({mistake.step}), minnet/{file}:{number}", re.sub(r"# type: \S+\s+", "", line)]


def _side_by_side(label: str, right: NDArray, wrong: NDArray, colour: bool) -> list[str]:
    with np.errstate(invalid="ignore"):
        apart = numbers(np.abs(right - wrong).max())
        left, other = (array_lines(x.round(15), width=WIDTH // 2 - 4) for x in (right, wrong))
    lines, width = [f"  {label}: right, wrong; largest difference {apart}"], len(left[0]) + 4
    for one, two in zip(left, other, strict=True):
        lines.append(f"  {one:{width}}{paint(two, 'red', colour)}")
    return lines


def table() -> list[str]:
    """All mistakes, and which checks catch them."""
    return _table([_row(mistake)[0] for mistake in MISTAKES.values()], colour=False)


def _row(mistake: Mistake) -> tuple[list[str], list[str]]:
    """The mistake's row of the table, and the errors that it raises."""
    verdicts = caught(mistake) | {"wine": trained(mistake), "right": trained(mistake, wrong=False)}
    cells, errors = [mistake.name], []
    for head, verdict in verdicts.items():
        if isinstance(verdict, bool):
            cells.append("yes" if verdict else "-")
        elif isinstance(verdict, float):
            cells.append(f"{verdict:.3f}")
        elif verdict == "diverges":
            cells.append(verdict)
        else:
            cells.append("error")
            errors += wrapped(f"{head}: {verdict}")
    return cells, errors


def _table(rows: list[list[str]], colour: bool) -> list[str]:
    """The rows below the columns' heads, and what the heads stand for."""
    lines = aligned([["", *CHECKS, "wine", "right"], *rows])
    legend = "; ".join(f"{head}: {meaning}" for head, (meaning, _) in CHECKS.items())
    legend += "; wine: test accuracy after training with the mistake; right: with the right code"
    return [paint(lines[0], "dim", colour), *lines[1:], "", *wrapped(legend)]
