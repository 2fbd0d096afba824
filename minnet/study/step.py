"""Every number of one step: forward, the softmax Jacobian, backward, differences and the optimizer, on one row.

The numbers are what the net's own forward and backward left in their workspace. Each carries the number of the line
that made it, which stands there as a comment, `# (7)`; `docs/backprop.md` goes by the same numbers.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import training
from minnet.core.gradcheck import complex_step, measured_gradient, relative_error
from minnet.core.network import MLP, Workspace
from minnet.core.optimizers import blocks, new_state
from minnet.core.softmax import ROADS, cross_entropy, dz_by_road, softmax, softmax_jacobian
from minnet.study.subject import Subject
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped

PACKAGE = Path(__file__).resolve().parent.parent
MOST_CLASSES = 200  # with more, J is left out: it has their square in entries
MOST_ENTRIES = 1000  # of a W or b are measured


@dataclass(frozen=True)
class Line:
    """One number or array: the step that made it (0: none), its name, formula and value, and what to see in it."""

    step: int
    name: str
    formula: str
    value: Any
    note: str = ""


@dataclass(frozen=True)
class Trace:
    """One step on one row: what it is about, and the lines under their titles."""

    heading: str
    sections: dict[str, list[Line]]


@cache
def locations() -> dict[int, tuple[str, int, str]]:
    """File, line number and source of each numbered step.

    >>> locations()[5]  # doctest: +ELLIPSIS
    ('core/network.py', ..., '_affine(ws.h1[-1], self.Wb[-1], out=ws.a[-1])  # (5) z = h @ W + b')
    """
    found = {}
    for path in [*sorted((PACKAGE / "core").glob("*.py")), PACKAGE / "training.py"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if tag := re.search(r"# \((\d+)\)", line):
                found[int(tag[1])] = (path.relative_to(PACKAGE).as_posix(), number, line.strip())
    return found


def trace(subject: Subject) -> Trace:
    """One step of the subject's net on its row."""
    config, net, X, y = subject.config, subject.net, subject.X, subject.y
    seed = config.train.seed
    with training.blas_threads(net, 0):  # one: with so little work, two mostly wait for each other
        X1, Y, r, dlogp, ws = net.prepare(X, [y], rng=np.random.default_rng(seed))
        net.forward(X1, ws)
        loss = net.loss(dlogp, r, ws) + net.penalty()
        dtheta = net.backward(dlogp, ws).copy()
        sections = {
            "the net": _parameters(net),
            "forward": _forward(net, ws),
            "loss": _loss(net, ws, Y, r, dlogp, loss),
            "from the loss to the logits": _logits(net, ws, Y, r, dlogp),
            "backward": _backward(net, ws),
            "measured": _measured(net, X, y, dtheta, seed),
            "one step of the optimizer": _step(subject, dtheta, loss),
        }
    sizes = "-".join(map(str, net.layer_sizes))
    heading = f"net {sizes}, {'/'.join(dict.fromkeys(net.activation)) or 'no hidden layer'}, {net.dtype}, "
    heading += f"{net.theta.size:,} parameters; {subject.about}"
    return Trace(heading, sections)


def _parameters(net: MLP) -> list[Line]:
    lines = []
    for l, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        lines += [Line(0, f"W[{l}]", "weights, a row for each unit that comes in", W), Line(0, f"b[{l}]", "biases", b)]
    return lines


def _forward(net: MLP, ws: Workspace) -> list[Line]:
    ones = "X, and a column of ones for the biases"
    if not isinstance(ws.h1[0], np.ndarray):
        ones = "X, sparse: so b is added without a column of ones"
    lines = [Line(1, "X1", ones, _dense(ws.h1[0]))]
    for l, name in enumerate(net.activation):
        lines.append(Line(2, f"a[{l}]", f"{_h(l, ws)} @ W[{l}] + b[{l}]", ws.a[l]))
        lines.append(Line(3, f"h[{l + 1}]", f"{name}(a[{l}])", ws.h[l + 1]))
        if ws.mask:
            lines.append(Line(4, f"kept[{l + 1}]", f"h[{l + 1}] * mask[{l + 1}]: dropout", ws.kept[l + 1]))
    last = len(net.weights) - 1
    lines += [
        Line(5, "z", f"{_h(last, ws)} @ W[{last}] + b[{last}]: the logits", ws.z),
        Line(6, "shifted", "z - max(z)", ws.shifted),
        Line(7, "total", "sum(exp(shifted))", ws.total),
        Line(8, "p", "softmax(z) = exp(shifted) / total", ws.p, f"sum(p) = {float(ws.p.sum()):.15g}"),
    ]
    return lines


def _loss(net: MLP, ws: Workspace, Y: NDArray, r: NDArray, dlogp: NDArray, loss: Any) -> list[Line]:
    K = net.K
    note = f"before training, expect about log K = log {K} = {math.log(K):.4f}, the loss of p = 1/K"
    if net.l2:
        note = f"with the penalty l2/2 sum(W^2) = {float(net.penalty()):.4g}; " + note
    return [
        Line(9, "Y", "the label as a distribution", Y),
        Line(10, "r", "the row's share of the mean, 1/N", r),
        Line(11, "dlogp", "dL/dlog p = -r Y", dlogp),
        Line(12, "L", "<dlogp, log p> = -sum(Y log p)", float(loss), note),
    ]


def _logits(net: MLP, ws: Workspace, Y: NDArray, r: NDArray, dlogp: NDArray) -> list[Line]:
    """The three roads to dz, each by the core's own function, and dz measured."""
    K = net.K
    roads = ROADS if K <= MOST_CLASSES else ROADS[1:]
    dp, mean_dp = np.empty_like(ws.p), np.empty_like(ws.total)
    dz = {road: dz_by_road(ws.p, dlogp, road) for road in roads}
    dz_by_road(ws.p, dlogp, "vjp", dp=dp, mean_dp=mean_dp)
    lines = [Line(13, "dp", "dL/dp = dlogp / p = -r Y/p", dp)]
    if "jacobian" in dz:
        J = softmax_jacobian(ws.p[0])
        lines += [
            Line(14, "J", "dp_i/dz_k = p_i (delta_ik - p_k)", J),
            Line(0, "", "row sums of J: 0, as p always sums to 1", J.sum(axis=1)),
            Line(0, "", "eigenvalues of J: 0 once, all at most 1/2", _eigenvalues(J)),
            Line(25, "", "Im p_i(z_k + ih) / h: J measured, off by at most", _apart(J, _measured_jacobian(ws.z[0]))),
            Line(15, "dz", "J^T dp", dz["jacobian"]),
        ]
    z = ws.z[0].astype(np.float64)
    dz_measured = complex_step(lambda z: cross_entropy(z, Y[0].astype(z.dtype)) * r[0, 0], z)
    everything = [*dz.values(), dz_measured[None]]
    apart = max(_apart(one, other) for one in everything for other in everything)
    return [
        *lines,
        Line(16, "mean_dp", "<dp, p>, the mean of dp under p", mean_dp),
        Line(17, "dz", "p * (dp - <dp, p>): the same without J", dz["vjp"]),
        Line(18, "dz", "r (p - Y): the same by hand", dz["fused"]),
        Line(25, "dz", "Im L(z_k + ih) / h: the same, measured", dz_measured[None]),
        Line(0, "", f"largest difference; backward goes on with {net.output_gradient!r}", apart),
    ]


def _eigenvalues(J: NDArray) -> NDArray:
    """The eigenvalues (K,) of J, lowest first; NaN where J is not finite, for which NumPy raises an error."""
    return np.linalg.eigvalsh(J) if np.isfinite(J).all() else np.full(len(J), np.nan)


def _measured_jacobian(z: NDArray) -> NDArray:
    """J (K, K) of softmax at z (K,), a row for each p_i, by complex step."""

    def p(i: int) -> Callable[[NDArray], Any]:
        return lambda z: softmax(z)[i]

    return np.array([complex_step(p(i), z.astype(np.float64)) for i in range(len(z))])


def _apart(one: NDArray, other: NDArray) -> float:
    """The largest difference between two arrays."""
    return float(np.abs(one - other).max())


def _backward(net: MLP, ws: Workspace) -> list[Line]:
    """dW, db, dh and da of each layer, the last layer first."""
    lines = []
    for l in reversed(range(len(net.weights))):
        dW, db = net.dWb[l][:-1], net.dWb[l][-1]
        da = "dz" if l == len(net.weights) - 1 else f"da[{l}]"
        penalty = f" + l2 W[{l}]" if net.l2 else ""
        lines.append(Line(24 if net.l2 else 19, f"dW[{l}]", f"{_h(l, ws)}.T @ {da}{penalty}", dW))
        lines.append(Line(19, f"db[{l}]", f"sum of {da} over the rows", db))
        if l > 0:
            masked = f"({da} @ W[{l}].T) * mask[{l}]" if ws.mask else f"{da} @ W[{l}].T"
            slope, scratch = np.empty_like(ws.a[l - 1]), np.empty_like(ws.a[l - 1])
            net.f[l - 1].slope(ws.a[l - 1], ws.h[l], slope, scratch)
            lines += [
                Line(21 if ws.mask else 20, f"dh[{l}]", masked, ws.dh[l]),
                Line(22, "", f"f'(a[{l - 1}]), f = {net.activation[l - 1]}", slope, _off(slope, ws, l)),
                Line(23, f"da[{l - 1}]", f"dh[{l}] * f'(a[{l - 1}])", ws.da[l - 1]),
            ]
    return lines


def _off(slope: NDArray, ws: Workspace, l: int) -> str:
    """Which units of layer l let no gradient through."""
    n = slope.shape[1]
    notes = []
    for what, off in {"off": slope[0] == 0, "dropped": ws.mask[l][0] == 0 if ws.mask else np.zeros(n, bool)}.items():
        units = np.flatnonzero(off)
        if units.size or what == "off":
            shown = ", ".join(map(str, units[:12])) + (", …" if units.size > 12 else "")
            notes.append(f"{what}: {units.size} of {n} units" + (f" ({shown})" if units.size else ""))
    return "; ".join(notes)


def _measured(net: MLP, X: NDArray, y: int, dtheta: NDArray, seed: int) -> list[Line]:
    """The relative error of each W and b, against complex step and central differences."""
    place = net.astype(np.float64)
    place.theta[:] = np.arange(net.theta.size)
    lines = []
    for l in range(len(net.weights)):
        for name, where in ((f"dW[{l}]", place.weights[l]), (f"db[{l}]", place.biases[l])):
            entries = where.ravel().astype(int)
            few = entries[:: -(-len(entries) // MOST_ENTRIES)]
            errors = []
            for method in ("complex", "central"):
                measured = measured_gradient(net, X, [y], method=method, rng_seed=seed, entries=few)
                errors.append(relative_error(measured, dtheta[few]))
            which = "all" if len(few) == len(entries) else f"{len(few):,} of"
            lines.append(Line(25, name, f"{which} {len(entries):,}: relative error by complex step", errors[0]))
            lines.append(Line(26, name, "the same by central differences", errors[1]))
    return lines


def _step(subject: Subject, dtheta: NDArray, loss: Any) -> list[Line]:
    """The first step of the config's optimizer from here, and the loss after it."""
    config, net = subject.config, subject.net
    rate = training.learning_rates(config, subject.steps).rate(0)
    after = net.astype(net.dtype)
    after.dtheta[:] = dtheta
    state_blocks = blocks(after.theta, after.dtheta, new_state(config.optimizer.name, after.theta))
    training.take_step(after, state_blocks, config, training.optimizer_constants(config.optimizer), 1, rate)
    loss_after, _ = after.loss_and_gradient(subject.X, [subject.y], rng=np.random.default_rng(config.train.seed))
    return [
        Line(0, "dtheta", "dW and db of every layer, flat, as theta is", dtheta),
        Line(0, "rate", f"the learning rate of the first step, schedule {config.optimizer.schedule!r}", rate),
        Line(29, "change", f"what {config.optimizer.name} adds to theta", after.theta - net.theta),
        Line(12, "L", "before the step", float(loss)),
        Line(12, "L", "after it, on the same row", float(loss_after)),
    ]


def _h(l: int, ws: Workspace) -> str:
    """What enters layer l."""
    return "X" if l == 0 else f"kept[{l}]" if ws.mask else f"h[{l}]"


def _dense(X: Any) -> NDArray:
    return X.toarray() if hasattr(X, "toarray") else X


def lines(traced: Trace, colour: bool = False) -> list[str]:
    """The trace as text, at most 100 columns wide."""
    text = wrapped(traced.heading)
    for title, section in traced.sections.items():
        text += ["", paint(title, "bold", colour)]
        for line in section:
            text += _shown(line, colour)
    return text


def _shown(line: Line, colour: bool) -> list[str]:
    """A line's step, name, formula, shape or scalar and place in the code; below, its array and its note."""
    tag = f"({line.step})" if line.step else ""
    place = "{}:{}".format(*locations()[line.step]) if line.step else ""
    value = np.asarray(line.value)
    middle = str(value.shape) if value.ndim else str(numbers(value))
    left = f"{tag:>5s} {line.name:9s} {line.formula}"
    text = [f"{left:{WIDTH - 38}s} {middle:>14s}"]
    text[0] += paint(f"{place:>{WIDTH - len(text[0])}s}", "dim", colour) if place else ""
    if value.ndim:
        text += array_lines(value, indent=8)
    return text + [paint(note, "dim", colour) for note in wrapped(line.note, indent=10)]


def as_data(traced: Trace) -> dict[str, Any]:
    """The trace for JSON, with every number; what is not finite becomes null."""
    return {
        "heading": traced.heading,
        "sections": {title: [_as_data(line) for line in section] for title, section in traced.sections.items()},
    }


def _as_data(line: Line) -> dict[str, Any]:
    value = np.asarray(line.value, np.float64)
    file, number, source = locations()[line.step] if line.step else (None, None, None)
    listed = np.where(np.isfinite(value), value.astype(object), None).tolist()  # type: ignore[call-overload]
    place = {"step": line.step or None, "file": file, "line": number, "source": source}
    content = {"name": line.name, "formula": line.formula, "shape": list(value.shape), "value": listed}
    return place | content | {"note": line.note}
