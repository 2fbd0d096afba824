"""The gradient of a config, measured: entry by entry by complex step and by central differences,
and all of it at once along a random direction.

An error is |measured - derived| over the largest |dL| of its group (W1, b1, W2, ...), or over FLOOR
times the largest of all if that is more: where all units are saturated, only rounding is left.

In 8,000 random nets (0 to 10 layers, every setting, sparse rows, inputs up to 1e9) the largest
errors of right gradients, with inputs of size 1 and with large ones, were: by complex step 9e-12
and 2e-10, along the direction 7e-14 and 2e-12, in float32 0.001 and 0.06. Central differences had a
median of 5e-10 and 6e-9; above CENTRAL, they were never off by more than the rounding of L.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minnet import training
from minnet.core.gradcheck import central_differences, complex_step, relative_error
from minnet.core.network import MLP
from minnet.core.optimizers import OPTIMIZERS
from minnet.distributed import blas_threads
from minnet.runs import Prepared
from minnet.study.subject import of_members
from minnet.study.text import paint, table, wrapped

ROWS = 32  # of the training part, at most
SEED = 0  # of masks, samples and directions: the same report each time
WORK, CALLS = 1_500_000_000, 80_000  # multiplications in all; one call of L costs CALLS more
FLOOR = 1e-3
COMPLEX, CENTRAL, OWN = 1e-9, 1e-6, 0.2  # the largest errors that pass; OWN: in the net's dtype
EPS = float(np.finfo(np.float64).eps)
STEPS = [EPS ** (1 / 3) * scale for scale in (1, 1e-3, 1e-6)]  # small ones for large inputs
ZERO = 1e-14  # an |a| that summing in another order would make 0
MOVED = 1e-3  # how far biases move, so that no unit is exactly at its kink
KINKED = ("relu", "leaky_relu")
SHOWN = 3  # kinks


class Loss:
    """L as a function of theta (P,), by the line that training runs, in one dtype and over the same
    rows. With `seed`, dropout acts, and its masks stay the same."""

    def __init__(
        self, net: MLP, dtype: Any, X: Any, y: Any, sample_weight: Any = None, seed: Any = None
    ) -> None:
        self.net, rng = net.astype(dtype), None if seed is None else np.random.default_rng(seed)
        self.batch = self.net.prepare(X, y, sample_weight, rng)

    def __call__(self, theta: NDArray) -> Any:
        """L at theta."""
        self.net.theta[:] = theta
        return self.net.loss(*self.batch)

    def gradient(self, theta: NDArray) -> NDArray:
        """dtheta (P,) at theta, as derived."""
        self.net.theta[:] = theta
        self.net.step(*self.batch)
        return self.net.dtheta.copy()

    def bent(self, theta: NDArray) -> NDArray:
        """a (N, n) at theta of all units whose activation has a kink, side by side."""
        self(theta)
        tape, names = self.batch[2], self.net.activation
        kinked = [record.a for record, f in zip(tape, names, strict=False) if f in KINKED]
        return np.hstack([tape.z[:, :0], *kinked])


class Group(NamedTuple):
    """One W or b: its entries and how many were measured, its largest |dL|, its errors, how many
    entries met a kink, and what is wrong, if anything. The errors are by complex step, by central
    differences, and by complex step in the net's own dtype."""

    name: str
    entries: int
    checked: int
    largest: float
    errors: list[float]
    kinks: int
    fault: str


class Report(NamedTuple):
    """A check over the first `rows` training rows. `kinks` are described in words; `measured`,
    `derived`, `error`: dL/dt of L(theta + t v) at t = 0 for a random v, dtheta . v, and their
    difference over the norm of all dtheta_j v_j."""

    prepared: Prepared
    rows: int
    groups: list[Group]
    kinks: list[str]
    measured: float
    derived: float
    error: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.error <= COMPLEX and not any(group.fault for group in self.groups)


def check(prepared: Prepared) -> Report:
    """Measure the gradient of a net as it is, or of its first member; takes seconds for up to some
    million parameters."""
    net, part = training.member(prepared.net, 0), prepared.parts["train"]
    n = min(prepared.config.train.batch_size, ROWS, len(part.y))
    with np.errstate(all="ignore"), blas_threads(0):
        witness = Witness(net, part.X[:n], part.y[:n], SEED)
        most = max(1, WORK // (CALLS + (n + 5) * net.theta.size) // (2 * len(net.layers)))
        found = [witness.group(f"{name}{l + 1}", at, most) for name, l, at in groups(net)]
        return Report(prepared, n, found, witness.kinks, *witness.direction())


def groups(net: MLP) -> Iterator[tuple[str, int, NDArray]]:
    """For each W and b: "W" or "b", its layer from 0, and where in theta each of its entries is."""
    places = net.astype(np.float64)
    places.theta[:] = np.arange(net.theta.size)
    for l, layer in enumerate(places.layers):
        yield "W", l, layer.W.astype(int)
        yield "b", l, layer.b.astype(int)


class Witness:
    """Measures the gradient of one net at its theta, and notes the kinks that it meets. If a unit
    is exactly at its kink, where no derivative exists, the biases are moved a little."""

    def __init__(self, net: MLP, X: Any, y: ArrayLike, seed: int) -> None:
        dtypes = (np.float64, np.complex128, net.dtype)
        self.real, self.complex, own = (Loss(net, d, X, y, seed=seed) for d in dtypes)
        kinked = [l for l, name in enumerate(net.activation, start=1) if name in KINKED]
        self.units = [f"layer {l}, unit {i}" for l in kinked for i in range(net.layer_sizes[l])]
        standing = np.argwhere(np.abs(self.real.bent(net.theta)) <= ZERO)
        moved = f"has a = 0: all biases moved by about {MOVED:g}"
        self.kinks = [f"{self.units[unit]} of row {row} {moved}" for row, unit in standing]
        for b in self.real.net.biases if self.kinks else []:
            b += MOVED * np.random.default_rng(SEED).normal(size=b.shape)
        self.theta = self.real.net.theta.copy()
        self.dtheta, self.own_dtheta = (f.gradient(self.theta) for f in (self.real, own))
        self.a, self.L = self.real.bent(self.theta), abs(self.real(self.theta))
        self.own_kink = ((self.a > 0) != (own.bent(self.theta) > 0)).any()
        _, T, tape = self.real.batch
        # what |dL| is at most, or would be for the last W if each row were wrong
        largest = np.maximum(np.abs(self.dtheta).max(), abs(tape[-1].h1).max() * T.max())
        self.floor = FLOOR * largest

    def direction(self) -> tuple[float, float, float]:
        """All parameters at once, as Report has it. No entry of v is near 0, so all count."""
        rng, P = np.random.default_rng(SEED), self.theta.size
        v = rng.uniform(0.5, 1.5, P) * rng.choice([-1, 1], P)
        (measured,) = complex_step(lambda t: self.complex(self.theta + t * v), np.zeros(1)).tolist()
        derived, sizes = float(self.dtheta @ v), [self.dtheta * v, self.floor * v]
        norm = float(np.linalg.norm(sizes, axis=1).max()) or 1
        return measured, derived, abs(measured - derived) / norm

    def group(self, name: str, places: NDArray, most: int) -> Group:
        """The group at these places of theta, by `most` of its entries. Where a central difference
        steps over a kink, it does not count."""
        entries = _sample(places.ravel(), self.dtheta, most)
        names = [f"{name}[{', '.join(map(str, np.argwhere(places == j)[0]))}]" for j in entries]
        derived, own = self.dtheta[entries], self.own_dtheta[entries]
        largest = np.abs(self.dtheta[places]).max()
        size, left, kinks = np.maximum(self.floor, largest), np.arange(len(entries)), 0
        measured, central = complex_step(self.complex, self.theta, entries=entries), derived.copy()
        for h in STEPS:
            central[left] = central_differences(self.real, self.theta, h, entries[left])
            noise = 10 * EPS * self.L / h  # of rounding L
            left = left[~(np.abs(central[left] - derived[left]) <= CENTRAL * size + noise)]
            crossing = [k for k in left if self._steps_over_a_kink(h, entries[k], names[k])]
            central[crossing] = derived[crossing]
            left, kinks = np.setdiff1d(left, crossing), kinks + len(crossing)

        pairs = ((measured, derived), (central, derived), (measured, own))
        errors = [relative_error(np.append(x, size), np.append(d, size)) for x, d in pairs]
        fault = ""
        if not errors[0] <= COMPLEX:
            fault = _worst(names, measured, derived, "complex step")
        elif left.size:
            wrong = [names[k] for k in left]
            fault = _worst(wrong, central[left], derived[left], "central differences")
        elif not errors[2] <= OWN and not self.own_kink:
            fault = f"{_worst(names, measured, own, 'complex step')} in {own.dtype}"
        return Group(name, places.size, len(entries), float(largest), errors, kinks, fault)

    def _steps_over_a_kink(self, h: float, j: int, name: str) -> bool:
        """Whether a unit's a crosses 0 within the step h of theta_j, which is noted."""
        theta, step = self.theta.copy(), h * max(1, abs(self.theta[j]))
        theta[j] += step
        above = self.real.bent(theta) > 0
        theta[j] -= 2 * step
        crosses = np.argwhere(above != (self.real.bent(theta) > 0))
        for row, unit in crosses[:1]:
            what = f"has a = {self.a[row, unit]:.1e}, within the step of {name}"
            self.kinks.append(f"{self.units[unit]} of row {row} {what}")
        return len(crosses) > 0


def _sample(places: NDArray, dtheta: NDArray, most: int) -> NDArray:
    """All places of a group, or those of the largest |dL| and others at random."""
    if most >= places.size:
        return places
    top = min(5, (most + 1) // 2)
    largest = places[np.abs(dtheta[places]).argsort()[-top:]]
    others = np.random.default_rng(SEED).choice(places, most - top, replace=False)
    return np.union1d(largest, others)


def _worst(names: list[str], measured: NDArray, derived: NDArray, method: str) -> str:
    """What is wrong with the entry of the largest error."""
    k = int(np.abs(measured - derived).argmax())
    return f"{names[k]} is {measured[k]:.6e} by {method}, but {derived[k]:.6e} as derived"


def lines(report: Report, colour: bool = False) -> list[str]:
    """The report on 100 columns: what was checked, each group, all at once, kinks, the verdict."""
    dtype = report.prepared.net.dtype
    methods = ["complex step", "central", dtype.name][: 2 + (dtype != np.float64)]
    rows = [["", "entries", "checked", "largest |dL|", *methods, ""]]
    for g in report.groups:
        verdict = "FAULT" if g.fault else f"ok, {g.kinks} at a kink" if g.kinks else "ok"
        counts = [f"{g.entries:,}", f"{g.checked:,}", f"{g.largest:.2e}"]
        errors = [f"{error:.1e}" for error in g.errors[: len(methods)]]
        rows.append([g.name, *counts, *errors, f"{verdict:<18}"])
    along, shown = report.error <= COMPLEX, [f"kink: {kink}" for kink in report.kinks[:SHOWN]]
    if len(report.kinks) > SHOWN:
        shown.append(f"and {len(report.kinks) - SHOWN:,} more")
    error = f"derived {report.derived:.6e}, error {report.error:.1e}  {'ok' if along else 'FAULT'}"
    texts = [(line, "bold") for line in _heading(report)] + [(line, "") for line in table(rows)]
    along_v = f"all along a random direction: measured {report.measured:.6e}, {error}"
    texts += [(along_v, "" if along else "red"), *((kink, "dim") for kink in shown)]
    texts += [(f"FAULT: {g.fault}", "red") for g in report.groups if g.fault]
    texts += [(_verdict(report), "green" if report.ok else "red")]
    return [paint(line, style, colour) for text, style in texts for line in wrapped(text)]


def _heading(report: Report) -> list[str]:
    net, config = report.prepared.net, report.prepared.config
    layers = " ".join(["-".join(map(str, net.layer_sizes)), *dict.fromkeys(net.activation)])
    rule, decay = config.optimizer.name, config.optimizer.weight_decay
    decoupled = OPTIMIZERS[rule].decoupled and decay > 0
    apart = f" ({rule}'s decay, {decay:g}, is not in L)" * decoupled
    drops = " (masks held)" if net.layers[1:] else " (no hidden layer: not checked)"
    masks = drops * (net.dropout > 0)
    return [
        f"{report.prepared.data.name}, the first {report.rows} training rows, "
        f"through {layers} in {net.dtype}{of_members(config)}",
        f"output gradient {net.output_gradient}, dropout {net.dropout:g}{masks}, l2 {net.l2:g}"
        f"{apart}, label smoothing {net.label_smoothing:g}, "
        f"class weights {config.train.class_weight}",
    ]


def _verdict(report: Report) -> str:
    found, wrong = report.groups, [g.name for g in report.groups if g.fault]
    if report.ok:
        checked, entries = sum(g.checked for g in found), sum(g.entries for g in found)
        counts = f"{checked:,} of {entries:,} derivatives one by one, and all of them at once"
        return f"the gradient is right: {counts}"
    if not wrong:
        return "the gradient is WRONG in what was not measured one by one: see the random direction"
    advice = f"look at {wrong[-1]} first, the nearest to the loss"
    if all(max(g.errors[:2]) <= CENTRAL for g in found):
        dtype = report.prepared.net.dtype
        advice = f"{dtype} loses it; scale the data, or try model.dtype=float64"
    return f"the gradient is WRONG in {', '.join(wrong)}: {advice}"
