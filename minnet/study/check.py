"""The gradient of a config, measured: entry by entry by complex step and by central differences, and all of it at once
along a random direction.

An error is |measured - derived| over the largest |dL| of its group (W1, b1, W2, ...), or over FLOOR times the largest
of all where that is more: behind units that are all saturated, rounding is all that is left of a gradient.

The tolerances come from 8,000 random nets (0 to 10 layers, every activation, road and setting; sparse rows, rows of
zeros, inputs up to 1e9). The largest errors of right gradients, with inputs of size 1 and with large ones: by complex
step 9e-12 and 2e-10, along the direction 7e-14 and 2e-12, in float32 0.001 and 0.06. Differences came to 5e-10 and 6e-9
in the middle; above CENTRAL they were never further off than L is rounded.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import training
from minnet.core.gradcheck import central_differences, complex_step, relative_error
from minnet.core.network import MLP
from minnet.experiment import Experiment
from minnet.study.text import paint, table, wrapped

ROWS = 32  # of the training part, at most
SEED = 0  # of masks, samples and directions: the same report each time
WORK, CALLS = 1_500_000_000, 80_000  # multiplications for all entries; the calls for one last as long as CALLS
FLOOR = 1e-3
COMPLEX, CENTRAL, OWN = 1e-9, 1e-6, 0.2  # the largest errors that pass; OWN in the net's own dtype
EPS = float(np.finfo(np.float64).eps)
STEPS = [EPS ** (1 / 3) * scale for scale in (1, 1e-3, 1e-6)]  # of central differences; small ones for large inputs
ZERO = 1e-14  # an |a| that another order of summing makes 0
MOVED = 1e-3  # how far biases go to leave units that stand at their kink
KINKED = ("relu", "leaky_relu")
SHOWN = 3  # kinks


@dataclass(frozen=True)
class Group:
    """One W or b: its entries and how many were measured, its largest |dL|, how many met a kink, and what is wrong with
    it, if anything. `errors` by complex step, by central differences, and by complex step in the net's own dtype."""

    name: str
    entries: int
    checked: int
    largest: float
    errors: tuple[float, float, float]
    kinks: int
    fault: str


@dataclass(frozen=True)
class Report:
    """What a check over the first `rows` training rows came to.

    `kinks` in words; `measured`, `derived`, `error`: dL/dt of L(theta + t v) at t = 0, for a random v, and dtheta . v;
    their difference over the norm of all dtheta_j v_j. `moved`: there, biases have left units that stand at a kink.
    """

    experiment: Experiment
    rows: int
    groups: list[Group]
    kinks: list[str]
    measured: float
    derived: float
    error: float
    moved: bool

    @property
    def ok(self) -> bool:
        """Whether nothing is at fault."""
        return self.error <= COMPLEX and not any(group.fault for group in self.groups)


def check(experiment: Experiment) -> Report:
    """Measure the gradient of the experiment's net as it stands; some seconds up to some millions of parameters."""
    net, part = experiment.net, experiment.parts["train"]
    n = min(experiment.config.train.batch_size, ROWS, len(part.y))
    X = part.X1[:n] if hasattr(part.X1, "tocsr") else part.X1[:n, :-1]
    with np.errstate(all="ignore"), training.blas_threads(net, 0):
        witness, spans = _Witness(net, X, part.y[:n]), _spans(net)
        most = max(1, WORK // (CALLS + (n + 5) * net.theta.size) // len(spans))
        groups = [witness.group(span, _sample(span, witness.dtheta, most)) for span in spans]
        return Report(experiment, n, groups, witness.kinks, *witness.direction())


@dataclass(frozen=True)
class _Span:
    """Where a group lies in theta."""

    name: str
    start: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return prod(self.shape)

    def entry(self, j: int) -> str:
        """The name of theta_j: W1[3, 5]."""
        return f"{self.name}[{', '.join(map(str, np.unravel_index(j - self.start, self.shape)))}]"


def _spans(net: MLP) -> list[_Span]:
    spans, start = [], 0
    for l, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), start=1):
        spans += [_Span(f"W{l}", start, W.shape), _Span(f"b{l}", start + W.size, b.shape)]
        start += W.size + b.size
    return spans


def _sample(span: _Span, dtheta: NDArray, most: int) -> NDArray:
    """The entries of theta to measure: all of the group, or those of the largest |dL| and others at random."""
    if most >= span.size:
        return np.arange(span.start, span.start + span.size)
    top = min(5, (most + 1) // 2)
    largest = np.argpartition(np.abs(dtheta[span.start :][: span.size]), -top)[-top:]
    return span.start + np.union1d(largest, np.random.default_rng(SEED).choice(span.size, most - top, replace=False))


class _Pass:
    """L and dtheta at any theta, by the net's own code in one dtype, over the same rows and under the same masks."""

    def __init__(self, net: MLP, X: Any, y: NDArray, dtype: Any) -> None:
        self.net = net.astype(dtype)
        rng = np.random.default_rng(SEED) if net.dropout else None
        self.X1, _, self.r, self.dlogp, self.ws = self.net.prepare(X, y, rng=rng)

    def loss(self, theta: NDArray) -> Any:
        self.net.theta[:] = theta
        self.net.forward(self.X1, self.ws)
        return self.net.loss(self.dlogp, self.r, self.ws) + self.net.penalty()

    def gradient(self, theta: NDArray) -> NDArray:
        self.loss(theta)
        return self.net.backward(self.dlogp, self.ws).copy()

    def bent(self, theta: NDArray) -> dict[int, NDArray]:
        """a (N, n) of each layer l = 1, 2, ... whose activation has a kink."""
        self.loss(theta)
        return {l: self.ws.a[l - 1].copy() for l, f in enumerate(self.net.activation, start=1) if f in KINKED}


class _Witness:
    """Measures the gradient of one net at its theta, and notes the kinks it meets."""

    def __init__(self, net: MLP, X: Any, y: NDArray) -> None:
        self.real, self.complex, own = (_Pass(net, X, y, dtype) for dtype in (np.float64, np.complex128, net.dtype))
        self.theta, self.kinks = net.theta.astype(np.float64), list[str]()
        self.a, rounded = self.real.bent(self.theta), own.bent(net.theta)
        self.own_kink = self._unit({l: (a > 0) != (rounded[l] > 0) for l, a in self.a.items()})
        self.dtheta, self.own_dtheta = self.real.gradient(self.theta), own.gradient(net.theta)
        # what |dL| is at most, or would be for the last W if each row were wrong
        largest = np.maximum(np.abs(self.dtheta).max(), abs(self.real.ws.h1[-1]).max() * self.real.r.max())
        self.L, self.floor = abs(self.real.loss(self.theta)), FLOOR * largest
        self.moved, self.moved_dtheta = self.theta, self.dtheta
        if self._unit({l: np.abs(a) <= ZERO for l, a in self.a.items()}):
            for b in self.real.net.biases:
                b += MOVED * np.random.default_rng(SEED).normal(size=b.shape)
            self.moved = self.real.net.theta.copy()
            self.moved_dtheta = self.real.gradient(self.moved)

    def direction(self) -> tuple[float, float, float, bool]:
        """All parameters at once, as Report has it. No entry of v is near 0, so none of theta can hide."""
        rng, P = np.random.default_rng(SEED), self.theta.size
        v = rng.uniform(0.5, 1.5, P) * rng.choice([-1, 1], P)
        measured = float(complex_step(lambda t: self.complex.loss(self.moved + t * v), np.zeros(1))[0])
        derived = float(self.moved_dtheta @ v)
        norm = np.maximum(np.linalg.norm(self.moved_dtheta * v), self.floor * np.linalg.norm(v))
        return measured, derived, float(abs(measured - derived) / (norm or 1)), self.moved is not self.theta

    def group(self, span: _Span, entries: NDArray) -> Group:
        """The group by these entries of theta. At a kink complex step counts with the biases moved, and differences do
        not count, nor where they step over one."""
        derived, own = self.dtheta[entries], self.own_dtheta[entries]
        largest = np.abs(self.dtheta[span.start :][: span.size]).max()
        size = np.maximum(self.floor, largest)

        measured = complex_step(self.complex.loss, self.theta, entries=entries)
        kinked = self._kinks(span, entries, np.flatnonzero(~(np.abs(measured - derived) <= COMPLEX * size)))
        measured[kinked] = complex_step(self.complex.loss, self.moved, entries=entries[kinked])
        derived[kinked] = self.moved_dtheta[entries[kinked]]
        own[kinked] = measured[kinked]

        central, left = derived.copy(), np.setdiff1d(np.arange(len(entries)), kinked)
        for h in STEPS:
            central[left] = central_differences(self.real.loss, self.theta, h, entries[left])
            noise = 10 * EPS * self.L / h  # of rounding L
            left = left[~(np.abs(central[left] - derived[left]) <= CENTRAL * size + noise)]
            crossing = self._kinks(span, entries, left, h)
            central[crossing] = derived[crossing]
            kinked, left = np.union1d(kinked, crossing), np.setdiff1d(left, crossing)

        by_complex, by_central, in_own = (
            relative_error(np.append(x, size), np.append(other, size))  # at least over size
            for x, other in ((measured, derived), (central, derived), (measured, own))
        )
        fault = ""
        if not by_complex <= COMPLEX:
            fault = _worst(span, entries, measured, derived, "complex step")
        elif left.size:
            fault = _worst(span, entries[left], central[left], derived[left], "central differences")
        elif not in_own <= OWN and not self.own_kink:
            fault = _worst(span, entries, measured, own, "complex step", f" in {own.dtype}")
        errors = (by_complex, by_central, in_own)
        return Group(span.name, span.size, len(entries), float(largest), errors, len(kinked), fault)

    def _kinks(self, span: _Span, entries: NDArray, off: NDArray, h: float = 0.0) -> NDArray:
        """Those places in `entries`, of the places `off`, where a kink explains the error, and a note of each: a unit
        that crosses a = 0 within the step h, or, for complex step, one that stands there and moves."""
        explained = []
        for k in off.tolist():
            j, theta = entries[k], self.theta.astype(np.float64 if h else np.complex128)
            if h:
                step = h * max(1, abs(theta[j]))
                theta[j] += step
                above = self.real.bent(theta)
                theta[j] -= 2 * step
                where = {l: (a > 0) != (above[l] > 0) for l, a in self.real.bent(theta).items()}
            else:
                theta[j] += 1e-30j
                where = {l: (np.abs(a) <= ZERO) & (a.imag != 0) for l, a in self.complex.bent(theta).items()}
            unit = self._unit(where)
            if unit:
                explained.append(k)
                self.kinks.append(f"{unit}, {'within the step of' if h else 'moved by'} {span.entry(j)}")
        return np.array(explained, dtype=np.intp)

    def _unit(self, where: dict[int, NDArray]) -> str:
        """The first unit for which `where` (N, n) of its layer is true, with its a; "" if there is none."""
        for l, units in where.items():
            if units.any():
                row, unit = np.unravel_index(units.argmax(), units.shape)
                a = self.a[l][row, unit]
                return f"layer {l}, unit {unit} of row {row} has a = {'0' if abs(a) <= ZERO else f'{a:.1e}'}"
        return ""


def _worst(span: _Span, entries: NDArray, measured: NDArray, derived: NDArray, method: str, dtype: str = "") -> str:
    """What is wrong with the entry of the largest error."""
    error = np.abs(measured - derived)
    k = int(np.where(np.isfinite(error), error, np.inf).argmax())
    return f"{span.entry(entries[k])} is {measured[k]:.6e} by {method}, but {derived[k]:.6e} as derived{dtype}"


def lines(report: Report, colour: bool = False) -> list[str]:
    """The report on 100 columns: what was checked, a row for each group, all at once, kinks, faults, the verdict."""
    own = [report.experiment.net.dtype.name][: report.experiment.net.dtype != np.float64]
    rows = [["", "entries", "checked", "largest |dL|", "complex step", "central", *own, ""]]
    for g in report.groups:
        errors = [f"{error:.1e}" for error in g.errors[: 2 + len(own)]]
        verdict = "FAULT" if g.fault else f"ok, {g.kinks} at a kink" if g.kinks else "ok"
        rows.append([g.name, f"{g.entries:,}", f"{g.checked:,}", f"{g.largest:.2e}", *errors, f"{verdict:<18}"])
    texts = [(text, "bold") for text in _heading(report)] + [(line, "") for line in table(rows)]
    texts += [(_along(report), "" if report.error <= COMPLEX else "red")]
    texts += [(f"kink: {kink}", "dim") for kink in report.kinks[:SHOWN]]
    texts += [(f"and {more:,} more", "dim") for more in [len(report.kinks) - SHOWN] if more > 0]
    texts += [(f"FAULT: {g.fault}", "red") for g in report.groups if g.fault]
    texts += [(_verdict(report), "green" if report.ok else "red")]
    return [paint(line, style, colour and style != "") for text, style in texts for line in wrapped(text)]


def _heading(report: Report) -> list[str]:
    net, config = report.experiment.net, report.experiment.config
    layers = " ".join(["-".join(map(str, net.layer_sizes)), *dict.fromkeys(net.activation)])
    decay = config.optimizer.weight_decay if config.optimizer.name == "adamw" else 0
    return [
        f"{report.experiment.dataset.name}, the first {report.rows} training rows, through {layers} in {net.dtype}",
        f"output gradient {net.output_gradient}, dropout {net.dropout:g}{' (masks held)' if net.dropout else ''}, "
        f"l2 {net.l2:g}{f' (the decay of adamw, {decay:g}, is no part of L)' if decay else ''}, "
        f"label smoothing {net.label_smoothing:g}, class weights {config.train.class_weight}",
    ]


def _along(report: Report) -> str:
    moved = f" (with biases moved by some {MOVED:g}, off the kinks)" if report.moved else ""
    return (
        f"all along a random direction{moved}: measured {report.measured:.6e}, derived {report.derived:.6e}, "
        f"error {report.error:.1e}  {'ok' if report.error <= COMPLEX else 'FAULT'}"
    )


def _verdict(report: Report) -> str:
    groups, wrong = report.groups, [g.name for g in report.groups if g.fault]
    if report.ok:
        checked, entries = sum(g.checked for g in groups), sum(g.entries for g in groups)
        return f"the gradient is right: {checked:,} of {entries:,} derivatives one by one, and all of them at once"
    if not wrong:
        return "the gradient is WRONG in what was not measured one by one: it differs along the random direction"
    advice = f"look at {wrong[-1]} first, the nearest to the loss"
    if all(max(g.errors[:2]) <= CENTRAL for g in groups):
        advice = f"{report.experiment.net.dtype} loses it; scale the data, or try model.dtype=float64"
    return f"the gradient is WRONG in {', '.join(wrong)}: {advice}"
