"""Every number of one step on one row: forward, the softmax Jacobian, backward and the optimizer.

No formula of the net is worked out here. `traced` records what each numbered line of the core, such
as `# (7)`, assigns when it runs; STEPS names it. docs/backprop.md uses the same numbers.
"""

import json
import math  # noqa: F401  for LOG_K
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet import training
from minnet.core.gradcheck import complex_step
from minnet.core.softmax import OUTPUT_GRADIENTS, log_softmax, softmax
from minnet.distributed import blas_threads
from minnet.errors import ConfigError, did_you_mean, short
from minnet.study.check import Witness, groups
from minnet.study.subject import Subject
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped

PACKAGE = Path(__file__).resolve().parent.parent
MOST_CLASSES = 200  # with more, J is left out: it has K^2 entries
MOST_ENTRIES = 1000  # of a W or b are measured

NORM = "its norm was {np.max(norm):.4g}"
LOG_K = "before training, expect about log K = {math.log(self.K):.4f}, the loss of p = 1/K"
# Step, name, formula, value and note of each array that a numbered line makes. The value is an
# expression in the variables of that line, `returned` if it returns it; the others are f-strings.
STEPS: list[tuple[Any, ...]] = [
    (1, "h[0]", "X, the inputs", "tape[0].h"),
    (2, "a[{l}]", "h[{l}] @ W[{l}] + b[{l}]", "now.a"),
    (3, "h[{l + 1}]", "{name}(a[{l}])", "above.h"),
    (3, "slope[{l}]", "{name}'(a[{l}])", "now.slope", "{_off('off', now.slope)}"),
    (4, "mask[{l + 1}]", "dropout: 0, or 1/(1 - rate)", "now.mask", "{_off('dropped', now.mask)}"),
    (4, "h[{l + 1}]", "h[{l + 1}] * mask[{l + 1}]", "above.h"),
    (4, "slope[{l}]", "slope[{l}] * mask[{l + 1}]", "now.slope"),
    (5, "z", "h[{len(tape) - 1}] @ W[{len(tape) - 1}] + b[{len(tape) - 1}]: the logits", "tape.z"),
    (6, "shifted", "z - max(z)", "shifted"),
    (7, "total", "sum(exp(shifted))", "total"),
    (8, "p", "exp(shifted) / total", "p", "sum(p) = {p.sum():.15g}"),
    (9, "log_p", "shifted - log(total)", "log_p"),
    (10, "r", "the row's share of the mean", "np.ravel(r)"),
    (11, "Y", "the label as a distribution", "Y.T"),
    (12, "T", "r Y", "T.T"),
    (13, "L", "-<T, log p> = -sum(T * log_p)", "L", LOG_K),
    (14, "dp", "-T / p", "returned"),
    (15, "J", "dp_i/dz_k = p_i (delta_ik - p_k)", "returned[0]"),
    (16, "dz", "J^T dp", "returned"),
    (17, "mean_dp", "<dp, p>, the mean of dp under p", "mean_dp"),
    (18, "dz", "p * (dp - mean_dp): the same without J", "returned"),
    (19, "dz", "r (p - Y): the same by algebra", "returned"),
    (20, "dW[{l}]", "h[{l}].T @ da[{l}]", "layer.dW"),
    (20, "db[{l}]", "sum of da[{l}] over the rows", "layer.db"),
    (21, "dW[{l}]", "dW[{l}] + l2 W[{l}]", "layer.dW"),
    (22, "dh[{l}]", "da[{l}] @ W[{l}].T", "dh"),
    (23, "da[{l - 1}]", "dh[{l}] * slope[{l - 1}]", "da"),
    (24, "dtheta", "scaled to a norm of at most {max_norm:g}", "dtheta", NORM),
    (25, "W", "W - rate weight_decay W", "W"),
    (26, "change", "what {recipe.rule} adds to theta", "net.theta"),
]
WHY = {
    1: "the inputs are the first h, so that all layers have one formula",
    2: "each unit weighs what enters, adds it up, and adds its bias",
    3: "without a bend between them, two layers would be no more than one; (23) needs the slope",
    4: "units drop out at random, so none can rely on another; 1/(1 - rate) keeps the mean",
    5: "the last layer has no bend: softmax takes any numbers",
    6: "the same number taken off all logits cancels in p, and exp of at most 0 cannot overflow",
    7: "what exp has to be divided by for p to sum to 1",
    8: "positive numbers that sum to 1: a probability for each class",
    9: "from the logits, since p may underflow to 0, which has no log",
    10: "L is a mean, and this is the row's part in it; all gradients get it once, through T",
    11: "what p should be",
    12: "the target and the row's share in one array: of y, L and dz need nothing else",
    13: "-log p is 0 for a sure hit and grows without bound towards a sure miss",
    14: "the derivative of log p is 1/p: the smaller p, the more a small rise of it is worth",
    15: "all p_i share one sum, so each moves with every logit: a matrix, not a vector",
    16: "z_k reaches L through every p_i: a sum over i",
    17: "what all dp_i have in common changes nothing, since p sums to 1; (18) takes it off",
    18: "J^T = diag(p) - p p^T, multiplied out: 2K products in place of K^2",
    19: "p cancels the 1/p of dp, so nothing is divided any more",
    20: "W_ij reaches L through a_j alone, times h_i; rows share W and b, so they are summed",
    21: "the derivative of l2/2 sum(W^2)",
    22: "h_i reaches L through every a_j, times W_ij: a sum over j, hence W^T",
    23: "each h_i depends on its own a_i alone: J is diagonal, and slope is that diagonal",
    24: "so that one bad batch cannot throw theta far; the direction stays",
    25: "weights shrink apart from the gradient, which the rule would scale",
    26: "dtheta points to where L grows, so theta goes the other way",
    "C": "nothing is subtracted, so h can be tiny and no digit is lost",
    "D": "it takes L alone and none of the derivation, so it cannot repeat its mistakes",
}


class Line(NamedTuple):
    """A number or array: the step that made it (0: none; C or D: measured), its name, formula and
    value, and a note."""

    step: Any
    name: str
    formula: str
    value: Any
    note: str = ""


class Trace(NamedTuple):
    """One step on one row: what it is about, and its lines under their titles."""

    heading: str
    sections: dict[str, list[Line]]


@cache
def locations() -> dict[Any, tuple[str, int, str]]:
    """File, line number and source of each numbered step, and of the measuring lines (C) and (D).

    >>> locations()[14]  # doctest: +ELLIPSIS
    ('core/softmax.py', ..., 'return -T / p  # (14) dp = -T/p')
    """
    found = {}
    for path in [*sorted((PACKAGE / "core").glob("*.py")), PACKAGE / "training.py"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if tag := re.search(r"# \((\d+|[A-Z])\)", line):
                step = int(tag[1]) if tag[1].isdigit() else tag[1]
                found[step] = (path.relative_to(PACKAGE).as_posix(), number, line.strip())
    return found


@contextmanager
def traced() -> Iterator[list[Line]]:
    """While inside, collect what each numbered line assigns, in the order in which they run."""
    steps = {(str(PACKAGE / file), line): step for step, (file, line, _) in locations().items()}
    files, lines = {file for file, _ in steps}, list[Line]()

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        file, step = frame.f_code.co_filename, None

        def follow(frame: FrameType, event: str, returned: Any) -> Any:
            """Python calls this before each line, and before the function returns."""
            nonlocal step
            if step and event != "exception":  # that line has now run
                lines.extend(_assigned(step, {**frame.f_locals, "returned": returned}))
            step = steps.get((file, frame.f_lineno)) if event == "line" else None
            return follow

        return follow if file in files else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield lines
    finally:
        sys.settrace(before)


def _assigned(step: Any, variables: dict[str, Any]) -> Iterator[Line]:
    for number, name, formula, value, *note in STEPS:
        if number == step:
            texts = (eval(f"f{text!r}", globals(), variables) for text in (name, formula, *note))
            name, formula, *note = texts
            yield Line(step, name, formula, np.array(eval(value, globals(), variables)), *note)


def _off(what: str, x: NDArray) -> str:
    """Which units have a 0 in x (1, n)."""
    units = np.flatnonzero(x[0] == 0)
    shown = np.array2string(units, threshold=12)[1:-1]
    return f"{what}: {len(units)} of {x.shape[1]} units" + f" ({shown})" * bool(len(units))


def trace(subject: Subject) -> Trace:
    """One step of the subject's net on its row. The net's theta stays as it is."""
    net, seed = subject.net, subject.config.train.seed
    after = net.astype(net.dtype)
    recipe = training.recipe(subject.config, after, subject.rows)
    state = training.State.start(after, recipe.rule, seed)
    state.t = 1
    with blas_threads(0):  # one: with so little work, two mostly wait for each other
        with traced() as made:
            X, T, tape = net.prepare(subject.X, [subject.y], rng=np.random.default_rng(seed))
            loss = net.step(X, T, tape)
            after.dtheta[:] = dtheta = net.dtheta.copy()
            training.update(after, recipe, state)
        with traced() as ways:
            for method, f in OUTPUT_GRADIENTS.items():
                if method != "jacobian" or net.K <= MOST_CLASSES:
                    f(tape.p, T)

        def steps(first: int, last: int) -> list[Line]:
            return [line for line in made if first <= line.step <= last]

        *clipped, change = steps(24, 26)
        sections = {
            "the net": _given(subject),
            "forward": steps(1, 9),
            "loss": steps(10, 13),
            "from the loss to the logits": _logits(ways, tape.z[0].astype(np.float64), T[0]),
            "backward": [
                Line(0, f"da[{len(tape) - 1}]", f"dz, by {net.output_gradient!r}", tape.dz),
                *steps(20, 23),
            ],
            "measured": _measured(subject),
            "one step of the optimizer": [
                Line(0, "dtheta", "dW and db of every layer, laid out as theta", dtheta),
                Line(0, "rate", "the learning rate of the first step", state.rate),
                *clipped,
                change._replace(value=change.value - net.theta),
                Line(13, "L", "before the step", loss),
                Line(13, "L", "after it, on the same row", after.loss(X, T, tape)),
            ],
        }
    if net.l2:
        sections["loss"].append(Line(0, "L", "L + l2/2 sum(W^2): with the penalty", loss))
    sizes = "-".join(map(str, net.layer_sizes))
    activations = "/".join(dict.fromkeys(net.activation)) or "no hidden layer"
    heading = f"net {sizes}, {activations}, {net.dtype}, {net.theta.size:,} parameters"
    return Trace(f"{heading}; {subject.about}", sections)


def _given(subject: Subject) -> list[Line]:
    X = subject.X
    lines = [Line(0, "X", "the row", X if isinstance(X, np.ndarray) else X.toarray())]
    for l, layer in enumerate(subject.net.layers):
        lines.append(Line(0, f"W[{l}]", "weights, one row per unit that enters", layer.W))
        lines.append(Line(0, f"b[{l}]", "biases", layer.b))
    return lines


def _logits(ways: list[Line], z: NDArray, T: NDArray) -> list[Line]:
    """The output gradients, J with what must hold for it, and dz measured; z and T (K,)."""
    lines = []
    for step, line in sorted({line.step: line for line in ways}.items()):
        lines += [line, *(_facts(line.value, z) if step == 15 else [])]
    measured = complex_step(lambda z: -(T * log_softmax(z)).sum(), z)
    lines.append(Line("C", "dz", "Im L(z_k + ih) / h: the same, measured", measured[None]))
    apart = np.ptp([line.value for line in lines if line.name == "dz"], axis=0).max()
    return [*lines, Line(0, "", "largest difference between these dz", apart)]


def _facts(J: NDArray, z: NDArray) -> list[Line]:
    eigenvalues = np.linalg.eigvalsh(J) if np.isfinite(J).all() else np.full(len(J), np.nan)
    measured = [complex_step(lambda z, i=i: softmax(z)[i], z) for i in range(len(z))]  # type: ignore[misc]
    error = np.abs(J - measured).max()
    return [
        Line(0, "", "row sums of J: 0, since z + c gives the same p", J.sum(axis=1)),
        Line(0, "", "eigenvalues of J: one is 0, none exceeds 1/2", eigenvalues),
        Line("C", "", "Im p_i(z_k + ih) / h: J measured, largest error", error),
    ]


def _measured(subject: Subject) -> list[Line]:
    """The relative error of each dW and db, by complex step and by central differences."""
    witness = Witness(subject.net, subject.X, [subject.y], subject.config.train.seed)
    lines = []
    for name, l, places in groups(subject.net):
        g = witness.group(f"d{name}[{l}]", places, MOST_ENTRIES)
        which = f"{g.checked:,} of {g.entries:,}: relative error by complex step"
        lines.append(Line("C", g.name, which, g.errors[0]))
        lines.append(Line("D", g.name, "the same by central differences", g.errors[1]))
    return lines


def at(traced: Trace, where: str) -> Trace:
    """The lines of one name alone: 1.dW for dW[1], out.dz for dz, or the name as it is printed.
    Raises ConfigError if nothing has it."""
    layer, _, name = where.rpartition(".")
    names = {line.name for section in traced.sections.values() for line in section} - {""}
    last = sum(name.startswith("W[") for name in names) - 1
    wanted = {where, f"{name}[{layer}]", *([name, f"{name}[{last}]"] if layer == "out" else [])}
    if not names & wanted:
        hint = did_you_mean(name, names) or "; minnet study prints all names"
        raise ConfigError(f"--at {short(where)}: no line has this name{hint}")
    found = {
        title: [line for line in section if line.name in wanted]
        for title, section in traced.sections.items()
    }
    return Trace(traced.heading, {title: section for title, section in found.items() if section})


def lines(traced: Trace, colour: bool = False, why: bool = False, full: bool = False) -> list[str]:
    """The trace as text, at most 100 columns wide; with a reason where a step comes first, and, if
    `full`, with the code and every digit."""
    text, reasons = wrapped(traced.heading), WHY.copy() if why else {}
    for title, section in traced.sections.items():
        text += ["", paint(title, "bold", colour)]
        for line in section:
            text += _shown(line, reasons.pop(line.step, ""), full, colour)
    return text


def _shown(line: Line, reason: str, full: bool, colour: bool) -> list[str]:
    """A line's step, name, formula, shape or scalar, and place in the code; why; its array; its
    note."""
    file, number, source = locations()[line.step] if line.step else ("", "", "")
    tag, value = f"({line.step})" if line.step else "", np.asarray(line.value)
    middle = str(value.shape) if value.ndim else str(numbers(value))
    text = f"{f'{tag:>5} {line.name:9} {line.formula}':{WIDTH - 38}} {middle:>14}"
    text += paint(f"{f'{file}:{number}':>{WIDTH - len(text)}}", "dim", colour) if file else ""
    array = array_lines(value, indent=8) if value.ndim else []
    if full:
        every = np.array2string(value, WIDTH - 8, floatmode="unique", threshold=sys.maxsize)
        array = [*wrapped(source, 8), *textwrap.indent(every, " " * 8).splitlines()]
    under = [*wrapped(f"why: {reason}" * bool(reason), 8), *array]
    return [text, *under, *(paint(note, "dim", colour) for note in wrapped(line.note, indent=10))]


def as_data(traced: Trace) -> dict[str, Any]:
    """The trace for JSON, with every number; what is not finite becomes null."""
    sections = {title: [*map(_as_data, section)] for title, section in traced.sections.items()}
    return {"heading": traced.heading, "sections": sections}


def _as_data(line: Line) -> dict[str, Any]:
    value = np.asarray(line.value, np.float64)
    finite = json.loads(json.dumps(value.tolist()), parse_constant=lambda name: None)
    place = zip(("file", "line", "source"), locations().get(line.step, [None] * 3), strict=True)
    content = {"step": line.step or None, "shape": list(value.shape), "value": finite}
    return line._asdict() | dict(place) | content
