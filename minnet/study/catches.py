"""What catches each mistake of mistakes.py, and the gallery on paper: list, table, and each mistake on show.

Nothing below knows which check catches what: each is run with the mistake swapped into the core. None catches them all.
The difference of L comes nearest, but needs large logits beside it, and the eye on what should learn and does not.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import minnet.core.softmax as core_softmax
from minnet import config, experiment, training
from minnet.core.activations import relu_slope
from minnet.core.gradcheck import gradient_errors
from minnet.core.network import MLP
from minnet.core.softmax import softmax
from minnet.errors import TrainingError
from minnet.study.mistakes import MISTAKES, Mistake, find, swapped
from minnet.study.step import locations
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped
from minnet.study.text import table as aligned

Z = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 1.5], [2.0, 0.0, -0.5]])  # (N, K), N = K: wrong shapes stay silent
K = Z.shape[1]
WEIGHTS = (1.0, 2.0, 1.0)  # of the rows: with equal ones, each class once, a net of zeros has no gradient to measure
ROUNDING = 1e-15  # is shown as 0
GAPS = (50, 1000)  # between the largest logit and the true one
WINE = (
    *("data.source=wine", "data.test_size=82", "data.validation_size=0"),  # 96 rows are left: 6 batches of 16, 32 of K
    *("model.hidden=[16, 16]", "model.activation=tanh", "optimizer.name=sgd", "optimizer.learning_rate=0.1"),
    "train.epochs=30",
)
KEYS = {"dropout": "model.dropout", "l2": "optimizer.weight_decay", "activation": "model.activation"}  # MLP's: config's

Check = Callable[[MLP], bool]  # takes a net that has the mistake; True where it notices


def _j_is_not_symmetric(net: MLP) -> bool:
    J = _jacobian()
    return not np.allclose(J, J.transpose(0, 2, 1), atol=1e-12)


def _j_has_rows_with_a_sum(net: MLP) -> bool:
    return not np.allclose(_jacobian().sum(axis=-1), 0, atol=1e-12)


def _p_does_not_sum_to_1(net: MLP) -> bool:
    return not np.allclose(core_softmax.softmax(Z).sum(axis=-1), 1, atol=1e-12)


def _dz_of_one_class_is_off(net: MLP) -> bool:
    return not _dz_is_p_minus_y(net, Z[:1], np.eye(K)[:1])


def _dz_of_some_class_is_off(net: MLP) -> bool:
    return not _dz_is_p_minus_y(net, Z, np.eye(K))


def _j_differs_from_differences(net: MLP) -> bool:
    measured, h = np.empty((K, K, K)), 1e-6
    for n, k in np.ndindex(K, K):  # row n alone moves
        step = np.zeros((K, K))
        step[n, k] = h
        p_above, p_below = core_softmax.softmax(Z + step), core_softmax.softmax(Z - step)
        measured[n, :, k] = (p_above[n] - p_below[n]) / (2 * h)
    return not np.allclose(_jacobian(), measured, atol=1e-8)


def _gradient_differs_from_differences(net: MLP) -> bool:
    X = np.random.default_rng(5).normal(size=(K, net.layer_sizes[0]))
    return not gradient_errors(net, X, range(K), WEIGHTS, method="central", rng_seed=0)["theta"] < 1e-6


def _large_logits_break_it(net: MLP) -> bool:
    gaps = [np.array([[0.0, gap, 0.0]]) for gap in GAPS]
    return not all(_dz_is_p_minus_y(net, z, np.eye(K)[:1], softmax(z)) for z in gaps)


def _jacobian() -> NDArray:
    """J (N, K, K) at Z, by the core as it now is."""
    return core_softmax.softmax_jacobian(core_softmax.softmax(Z))


def _dz_is_p_minus_y(net: MLP, z: NDArray, Y: NDArray, p: NDArray | None = None) -> bool:
    """Whether dz is (p - Y)/N, with the p that the core now makes unless another is given."""
    own_p = core_softmax.softmax(z)
    dz = core_softmax.dz_by_road(own_p, -Y / len(Y), net.output_gradient)
    return np.allclose(dz, ((own_p if p is None else p) - Y) / len(Y), atol=1e-9)


CHECKS: dict[str, tuple[str, Check]] = {
    "sym": ("J symmetric", _j_is_not_symmetric),
    "rows": ("rows of J sum to 0", _j_has_rows_with_a_sum),
    "sum p": ("p sums to 1", _p_does_not_sum_to_1),
    "p-y 1": ("p-y, one class", _dz_of_one_class_is_off),
    "p-y K": ("p-y, every class", _dz_of_some_class_is_off),
    "diff J": ("difference of J", _j_differs_from_differences),
    "diff L": ("difference of L", _gradient_differs_from_differences),
    "large": ("large logits", _large_logits_break_it),
}


def caught(mistake: Mistake, wrong: bool = True) -> dict[str, bool | str]:
    """Which of CHECKS notice the mistake: True, False, or the text of the error that it raises; of the right code in
    the same net where `wrong` is False."""
    return {head: _noticed(check, mistake if wrong else None, mistake) for head, (_, check) in CHECKS.items()}


def _noticed(check: Check, swap: Mistake | None, mistake: Mistake) -> bool | str:
    try:
        with swapped(swap):
            return check(_net(mistake, [4, 5, 5, K]))
    except Exception as error:  # wrong code may raise anything
        return f"{type(error).__name__}: {error}"


def _net(mistake: Mistake, layer_sizes: list[int], activation: str = "tanh") -> MLP:
    """A net that can show the mistake; of tanh unless it is about relu, whose kinks upset differences."""
    options = {"activation": activation} | mistake.options
    return MLP(layer_sizes, dtype="float64", output_gradient=mistake.road, seed=1, **options)


def trained(mistake: Mistake, wrong: bool = True) -> float | str:
    """The accuracy on the test part of wine that the real training loop reaches with the mistake; "diverges", or the
    text of the error that it raises; of the right code with the same settings where `wrong` is False."""
    own = [f"model.output_gradient={mistake.road}", f"train.batch_size={mistake.batch_size}"]
    own += [f"{KEYS[name]}={value}" for name, value in mistake.options.items()]
    settings = config.load(None, [*WINE, *own])
    try:
        with swapped(mistake if wrong else None):
            run = experiment.prepare(settings)
            for _ in training.train(run.net, run.parts["train"], None, settings):
                pass
            return training.evaluate(run.net, run.parts["test"]).accuracy
    except TrainingError:
        return "diverges"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# The gallery on paper


def example(mistake: Mistake, wrong: bool) -> dict[str, NDArray]:
    """The arrays of one step of a net 3-3-3 on three rows, in the order in which they are made; with the mistake in if
    `wrong`. Its weights pass each input on to one logit, and the inputs are logarithms, so that p comes in tenths."""
    tenths = np.array([[5.0, 4.0, 1.0], [1.0, 6.0, 3.0], [2.0, 1.0, 7.0]])
    X = mistake.gap * np.eye(K) if mistake.gap else np.where(tenths == 1, -1, np.log(tenths))  # relu(-1) = log 1
    with swapped(mistake if wrong else None):
        net = _net(mistake, [3, 3, K], "relu")
        if mistake.replaces != "MLP.initialise":
            net.weights[0][:], net.weights[1][:] = np.eye(3), np.eye(3)[[1, 2, 0]]  # logit k from input k - 1
        X1, _, r, dlogp, ws = net.prepare(X, range(K), WEIGHTS, rng=np.random.default_rng(0))
        net.forward(X1, ws)
        loss = net.loss(dlogp, r, ws) + net.penalty()
        net.backward(dlogp, ws)
        J = core_softmax.softmax_jacobian(ws.p)[0]
    arrays = {"b of layer 1": net.biases[0], "W of layer 1": net.weights[0], "h of layer 1": ws.h[1], "p": ws.p}
    arrays |= {"L": np.array([loss]), "J of the first row": J}
    arrays |= {} if mistake.road == "fused" else {"dp": ws.dp}
    arrays |= {"dz": ws.dz, "dh of layer 1": ws.dh[1], "da of layer 1": ws.da[0]}
    return arrays | {"dW of layer 1": net.dWb[0][:-1]}


def differing(mistake: Mistake) -> dict[str, tuple[NDArray, NDArray]]:
    """The arrays of the example that the mistake changes, (right, wrong): where it enters first, where it ends last."""
    right, wrong = example(mistake, wrong=False), example(mistake, wrong=True)
    close = {name: np.allclose(right[name], wrong[name], rtol=0, atol=1e-12) for name in right}
    return {name: (right[name], wrong[name]) for name in right if not close[name]}


def code(function: Callable[..., object]) -> list[str]:
    """A function's source without its docstring, indented, on 100 columns."""
    source = textwrap.dedent(inspect.getsource(function))
    docstring = ast.parse(source).body[0].body[0]  # type: ignore[attr-defined]
    lines = source.splitlines()
    return _indented(lines[: docstring.lineno - 1] + lines[docstring.end_lineno :])


def _indented(lines: list[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(f"    {line}", WIDTH, subsequent_indent=" " * 12)]


def listing() -> list[str]:
    """Each mistake's name and the first sentence about it."""
    width = max(map(len, MISTAKES)) + 2
    lines = []
    for name, mistake in MISTAKES.items():
        text = wrapped(mistake.sentence.partition(". ")[0].rstrip(".") + ".", indent=width)
        lines += [name.ljust(width) + text[0].lstrip(), *text[1:]]
    return lines


def show(name: str, colour: bool = False) -> list[str]:
    """One mistake: who makes it and why, its code, its numbers beside the right ones, and what catches it.

    Raises ConfigError for an unknown name.
    """
    mistake = find(name)
    lines = [paint(name, "bold", colour), *wrapped(mistake.sentence), ""]
    lines += [paint("wrong", "red", colour), *code(mistake.function)]
    lines += [paint("right", "green", colour), *_right_code(mistake), ""]
    gap = f", with logits {mistake.gap} apart" if mistake.gap else ""
    lines += [f"one step of a net 3-3-3 on three rows, one of each class, weighted 1, 2, 1{gap}"]
    arrays = differing(mistake)
    for label in dict.fromkeys((next(iter(arrays)), next(reversed(arrays)))):
        lines += _side_by_side(label, *arrays[label], colour)
    row, errors = _row(mistake)
    return [*lines, "", "what catches it", *_table([row], colour), *errors]


def table() -> list[str]:
    """All mistakes, and which checks catch them."""
    return _table([_row(mistake)[0] for mistake in MISTAKES.values()], colour=False)


def _table(rows: list[list[str]], colour: bool) -> list[str]:
    """The rows below the columns' heads, and what the heads stand for."""
    lines = aligned([["", *CHECKS, "wine", "right"], *rows])
    legend = "; ".join(f"{head}: {meaning}" for head, (meaning, _) in CHECKS.items())
    legend += "; wine: the test accuracy that training with the mistake reaches, and that of the right code"
    return [paint(lines[0], "dim", colour), *lines[1:], "", *wrapped(legend)]


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


def _right_code(mistake: Mistake) -> list[str]:
    """The core's line, and where it is; or its function, where no single line is to blame."""
    if mistake.step is None:
        right: Callable[..., object] = getattr(MLP, mistake.replaces.removeprefix("MLP."), relu_slope)
        return [f"    {right.__module__.replace('.', '/')}.py", *code(right)]
    file, number, line = locations()[mistake.step]
    return [
        f"    step ({mistake.step}), minnet/{file}:{number}",
        *_indented([re.sub(r"# type: ignore\S*\s+", "", line)]),
    ]


def _side_by_side(label: str, right: NDArray, wrong: NDArray, colour: bool) -> list[str]:
    with np.errstate(invalid="ignore"):
        apart = np.abs(right - wrong).max()
        left, other = (array_lines(np.where(np.abs(x) < ROUNDING, 0, x), width=WIDTH // 2 - 4) for x in (right, wrong))
    width = max(map(len, left)) + 4
    lines = [f"  {label}: right, wrong; largest difference {numbers(apart)}"]
    return lines + [f"  {one:{width}}{paint(two, 'red', colour)}" for one, two in zip(left, other, strict=True)]
