"""The multilayer perceptron: one flat parameter vector, forward and backward side by side.

Forward, layer by layer:    a = h @ W + b,  h = f(a);  at the top z = a,  p = softmax(z),  L
Backward, in reverse order: dz;  dW = h^T @ da,  db = sum of da,  dh = da @ W^T,  da = dh * f'(a)

The bias is the last row of its weight matrix, Wb = [W; b], and every h has a last column of ones,
h1 = [h 1]: then h1 @ Wb = h @ W + b, and h1^T @ da is dW with db below it. One product does both.

Everything works on the last two axes, so M nets, the members of an ensemble, are one more axis in
front of all of these: theta (M, P), W (M, n_in, n_out), h (M, N, n), and so on.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import index
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from minnet.core.activations import ACTIVATIONS, HE
from minnet.core.softmax import OUTPUT_GRADIENTS, Array, one_hot, softmax, softmax_and_log

Weights: TypeAlias = ArrayLike | None
Rng: TypeAlias = np.random.Generator | None
FEW = 1024  # classes, up to which a table of K x K numbers is small
ROWS = 1024  # predicted at a time, so that memory does not grow with the number of rows


class Layer:
    """One layer's W (n_in, n_out) and b (n_out,), [W; b], and their gradients: views into theta."""

    def __init__(self, Wb: Array, dWb: Array) -> None:
        self.Wb, self.W, self.b = Wb, Wb[..., :-1, :], Wb[..., -1, :]
        self.dWb, self.dW, self.db = dWb, dWb[..., :-1, :], dWb[..., -1, :]
        self.WT = self.W.mT


class Record:
    """What one layer computes for N rows: h (N, n_in) enters and a (N, n_out) leaves; slope is
    f'(a), mask what dropout multiplies f(a) by; dh and da are gradients. h1 is h and its ones."""

    def __init__(self, enter: Sequence[int], leave: Sequence[int], dtype: DTypeLike) -> None:
        self.h1: Any = np.ones((*enter[:-1], enter[-1] + 1), dtype)
        self.h, self.h1T, self.dh = self.h1[..., :-1], self.h1.mT, np.empty(enter, dtype)
        self.a, self.slope, self.da = (np.empty(leave, dtype) for _ in range(3))
        self.mask: Array | None = None


class Tape(list[Record]):
    """One record per layer: everything that a pass over N rows computes, made once for a batch size
    and reused, for dense X or for sparse X. Tape(net, M, N) is for an X (M, N, D): own rows.

    z, p, log_p and dz (N, K) lie in memory column by column: NumPy then works on N numbers at a
    time, not on a few classes. L is the loss without the penalty."""

    def __init__(self, net: "MLP", *rows: int) -> None:
        members, N = net.theta.shape[:-1], rows[-1]
        shapes: list[Any] = [(*members, N, n) for n in net.layer_sizes]
        shapes[0] = (*rows, net.layer_sizes[0])  # members share X, unless each has rows of its own
        super().__init__(Record(*ends, net.dtype) for ends in pairwise(shapes))
        self.z = np.zeros((*members, net.K, N), net.dtype).mT
        self[-1].a = self.z[..., -net.layer_sizes[-1] :]
        self.p = self.log_p = self.dz = self.z
        self.L: Any = np.nan


class MLP:
    """A classifier: layers h @ W + b, an activation after each but the last, then softmax.

    layer_sizes      [D, hidden..., K]; [D, K] alone is softmax regression. With one output unit the
                     two classes have the logits (0, a), and [D, 1] is logistic regression
    activation       a name in ACTIVATIONS for all hidden layers, or one name for each
    output_gradient  how the loss reaches the logits: "jacobian", "vjp" or "fused" (softmax.py)
    dropout          probability that a hidden unit is dropped in training
    l2               adds l2/2 * sum(W^2) to the loss; biases are left out
    label_smoothing  s: trains towards (1 - s) Y + s/K
    class_weight     (K,) or None: multiplies the weight of each row by that of its class
    dtype            float32, float64, or complex to measure derivatives
    seed             a whole number or a numpy Generator, for the initial weights
    members          M nets side by side, member m as the single net of seed + m; None for one net

    theta (P,) holds W and b of each layer in turn and dtheta its gradient; layers[l], weights[l]
    and biases[l] are views, so update theta in place. Raises ValueError for settings that make no
    sense, TypeError for sizes that are not whole numbers."""

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        *,
        output_gradient: str = "vjp",
        dropout: float = 0.0,
        l2: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: ArrayLike | None = None,
        dtype: DTypeLike = "float32",
        seed: int | np.random.Generator = 0,
        members: int | None = None,
    ) -> None:
        self.layer_sizes, hidden = [index(n) for n in layer_sizes], len(layer_sizes) - 2
        self.activation = [activation] * hidden if isinstance(activation, str) else [*activation]
        self.output_gradient, self.dropout, self.l2 = output_gradient, dropout, l2
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.label_smoothing = label_smoothing
        self.K, sizes = max(2, *self.layer_sizes[-1:], 0), self.layer_sizes
        names = [activation] if isinstance(activation, str) else self.activation
        _require(hidden >= 0 and min(sizes) > 0, f"layer_sizes must be [D, ..., K]: got {sizes}")
        _require(len(self.activation) == hidden, f"{len(names)} activations, {hidden} layers")
        _require({*names} <= {*ACTIVATIONS}, f"activation {names}: choose from {[*ACTIVATIONS]}")
        known = output_gradient in OUTPUT_GRADIENTS
        _require(known, f"output_gradient {output_gradient!r}: choose from {[*OUTPUT_GRADIENTS]}")
        sound = 0 <= dropout < 1 and 0 <= label_smoothing < 1
        _require(sound, f"dropout {dropout}, label_smoothing {label_smoothing}: not in [0, 1)")
        _require(0 <= l2 < np.inf, f"l2 must be at least 0 and finite: got {l2}")
        _require(self.dtype.kind in "fc", f"dtype must be floating or complex: got {self.dtype}")
        w = class_weight
        self.class_weight = None if w is None else checked_weights(w, self.K, "class_weight")
        P = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
        shape = (P,) if members is None else (members, P)
        self.theta, self.dtheta = np.zeros(shape, self.dtype), np.zeros(shape, self.dtype)
        self._view_layers()
        for m in np.ndindex(shape[:-1]):
            self.initialise(np.random.default_rng(seed + m[0] if m else seed), m)

    def _view_layers(self) -> None:
        self.layers, start = list[Layer](), 0
        for shape in ((n_in + 1, n_out) for n_in, n_out in pairwise(self.layer_sizes)):
            cut, start = slice(start, start + shape[0] * shape[1]), start + shape[0] * shape[1]
            both = (flat[..., cut] for flat in (self.theta, self.dtheta))
            self.layers.append(Layer(*(part.reshape(*part.shape[:-1], *shape) for part in both)))
        self.weights = [layer.W for layer in self.layers]
        self.biases = [layer.b for layer in self.layers]
        self.classes = np.empty(0)  # until soft_labels has made them
        self.classes = self.soft_labels(np.arange(self.K if self.K <= FEW else 0))

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, in which views would become arrays of their own."""
        views = ("layers", "weights", "biases", "classes")
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view_layers()

    def initialise(self, rng: np.random.Generator, member: tuple[int, ...] = ()) -> None:
        """Draw weights that keep the size of activations from layer to layer: normal of variance
        2/n_in below a rectifier (He et al. 2015, eq. 10), elsewhere uniform of variance
        2/(n_in + n_out) (Glorot and Bengio 2010, eq. 16). Biases become 0."""
        for layer, name in zip(self.layers, [*self.activation, "identity"], strict=True):
            W, b = layer.W[member], layer.b[member]
            n_in, n_out = W.shape
            sd, limit, b[:] = np.sqrt(2 / n_in), np.sqrt(6 / (n_in + n_out)), 0
            W[:] = rng.normal(0, sd, W.shape) if name in HE else rng.uniform(-limit, limit, W.shape)

    def forward(self, X: Any, tape: Tape, slopes: bool = True) -> Array:
        """The logits z (N, K) of X (N, D), dense or scipy sparse. Dropout acts where the tape has
        masks. `backward` needs `slopes`."""
        if isinstance(X, np.ndarray):
            tape[0].h[...] = X  # (1) h = X, beside its column of ones
        else:
            tape[0].h1, tape[0].h1T = X, X.T
        for l, name in enumerate(self.activation):
            now, above = tape[l], tape[l + 1]
            affine(now.h1, self.layers[l], now.a)  # (2) a = h @ W + b
            ACTIVATIONS[name](now.a, above.h, now.slope if slopes else None)  # (3) h = f(a), f'(a)
            if now.mask is not None:
                now.slope *= now.mask
                above.h *= now.mask  # (4) dropout: h * mask, and so f'(a) * mask
        affine(tape[-1].h1, self.layers[-1], tape[-1].a)  # (5) z = h @ W + b
        return tape.z

    def backward(self, dz: Array, tape: Tape) -> Array:
        """dtheta (P,) after `forward`, from dz (N, K). The 1/N of the mean is in dz, through T."""
        dot = np.dot if self.theta.ndim == 1 else np.matmul  # the same; np.dot starts sooner
        da = tape[-1].da = dz if self.layer_sizes[-1] > 1 else dz[..., 1:]
        for l in reversed(range(len(self.layers))):
            now, layer = tape[l], self.layers[l]
            affine_backward(now.h1T, da, layer, dot)  # (20) dW = h^T @ da, db = sum of da over rows
            if self.l2:
                layer.dW += self.l2 * layer.W  # (21) dW = h^T @ da + l2 W
            if l > 0:
                below = tape[l - 1]
                dh = dot(da, layer.WT, out=now.dh)  # (22) dh = da @ W^T
                da = np.multiply(dh, below.slope, out=below.da)  # (23) da = dh * f'(a)
        return self.dtheta

    def loss(self, X: Any, T: Array, tape: Tape) -> Any:
        """L of rows X (N, D) with T (N, K) = r Y, the forward half of `step`; (M,) for members."""
        tape.p, tape.log_p = softmax_and_log(self.forward(X, tape))
        tape.L = L = -inner(T, tape.log_p)  # (13) L = -<T, log p>
        return L + self.penalty() if self.l2 else L

    def penalty(self) -> Any:
        """l2/2 * sum(W^2), the part of the loss that `l2` adds."""
        return self.l2 / 2 * sum(np.einsum("...ij,...ij->...", W, W) for W in self.weights)

    def step(self, X: Any, T: Array, tape: Tape) -> Any:
        """L of rows X (N, D) with T (N, K), and its gradient in dtheta: what training runs, `minnet
        study` prints and `minnet check` differentiates."""
        L = self.loss(X, T, tape)
        tape.dz = OUTPUT_GRADIENTS[self.output_gradient](tape.p, T)
        self.backward(tape.dz, tape)
        return L

    def targets(self, y: ArrayLike, sample_weight: Weights = None) -> tuple[Array, float]:
        """T (N, K) = r Y, and the sum of the rows' weights, for labels y (N,) in 0..K-1 or
        distributions y (N, K), which are not checked."""
        y, w = np.asarray(y), 1.0 if sample_weight is None else np.asarray(sample_weight, float)
        if self.class_weight is not None:
            w = w * (one_hot(y, (len(y), self.K)) @ self.class_weight)
        total = float(w.sum()) if isinstance(w, np.ndarray) else float(len(y))
        r = w / (total or 1)  # (10) r = w / sum(w), or 1/N
        Y = self.soft_labels(y)  # (11) Y, transposed
        T = np.multiply(r, Y, dtype=self.dtype)  # (12) T = r Y, transposed
        return T.T, total

    def soft_labels(self, y: Array) -> Array:
        """Y^T (K, N) of labels or distributions, smoothed: (1 - s) Y + s/K (Szegedy et al. 2016)"""
        if y.ndim == 1 and self.classes.size:
            return self.classes.take(y, axis=1)
        s, Y = self.label_smoothing, one_hot(y, (len(y), self.K), self.dtype).T
        return (1 - s) * Y + s / self.K if s else Y

    def prepare(
        self, X: Any, y: ArrayLike, sample_weight: Weights = None, rng: Rng = None
    ) -> tuple[Any, Array, Tape]:
        """X, T and a tape for `step`; dropout acts if `rng` is given. Raises ValueError for an X
        without D columns, labels out of range, rows of y that are not distributions, and weights
        that are negative, not finite or all zero."""
        X, y = self.rows(X), np.asarray(y)
        N, Y = len(y), one_hot(y, (len(y), self.K))
        sound = y.ndim == 1 or ((Y >= 0).all() and np.allclose(Y.sum(axis=1), 1, atol=1e-3))
        _require(sound, "the rows of a two-dimensional y must be distributions, which sum to 1")
        _require(X.shape[0] == N, f"X has {X.shape[0]} rows, y has {N}")
        if sample_weight is not None:
            checked_weights(sample_weight, N, "sample_weight")
        tape = Tape(self, N)
        if rng is not None and self.dropout:
            for record, mask in zip(tape, self.dropout_masks(N, rng), strict=False):
                record.mask = mask
        return X, self.targets(y, sample_weight)[0], tape

    def loss_and_gradient(
        self, X: Any, y: ArrayLike, sample_weight: Weights = None, rng: Rng = None
    ) -> tuple[Any, Array]:
        """The mean loss over X (N, D) and y, labels (N,) or distributions (N, K), penalty included,
        and a copy of dtheta (P,). With sample_weight (N,) the mean is over sum(w). Dropout acts if
        `rng` is given. Raises ValueError as `prepare` does.

        >>> net = MLP([2, 3], seed=0)
        >>> loss, dtheta = net.loss_and_gradient([[0.0, 1.0]], [2])
        >>> net.theta -= 0.1 * dtheta
        >>> bool(net.loss_and_gradient([[0.0, 1.0]], [2])[0] < loss)
        True
        """
        return self.step(*self.prepare(X, y, sample_weight, rng)), self.dtheta.copy()

    def dropout_masks(self, N: int, rng: np.random.Generator) -> Iterator[Array]:
        """For each hidden layer a mask (N, n): 0 with probability `dropout`, else 1/(1 - dropout),
        which preserves the mean (inverted dropout, Srivastava et al. 2014, section 10)."""
        keep = 1 - self.dropout
        for n in self.layer_sizes[1:-1]:
            kept = rng.random((*self.theta.shape[:-1], N, n), dtype=np.float32) < keep
            yield kept.astype(self.dtype) / keep

    def rows(self, X: Any) -> Any:
        """X as an array or a scipy csr matrix. Raises ValueError if it does not have D columns."""
        X, D = X.tocsr() if hasattr(X, "tocsr") else np.asarray(X), self.layer_sizes[0]
        _require(X.ndim == 2 and X.shape[1] == D, f"X has shape {X.shape}: this net takes (N, {D})")
        return X if isinstance(X, np.ndarray) else X.astype(self.dtype, copy=False)

    def logits(self, X: Any) -> Array:
        """z (N, K) for X (N, D), without dropout, by blocks of rows; of members, log of mean p."""
        X, tape = self.rows(X), Tape(self, 0)
        z = np.empty((X.shape[0], self.K), self.dtype)
        for at in (slice(i, i + ROWS) for i in range(0, X.shape[0], ROWS)):
            block = X[at]
            tape = tape if tape.z.shape[-2] == block.shape[0] else Tape(self, block.shape[0])
            a = self.forward(block, tape, slopes=False)
            z[at] = a if a.ndim < 3 else np.logaddexp.reduce(softmax_and_log(a)[1]) - np.log(len(a))
        return z

    def predict_proba(self, X: Any) -> Array:
        """p (N, K) for X (N, D)."""
        return softmax(self.logits(X))

    def predict(self, X: Any) -> Array:
        """The most probable class 0..K-1 of each row of X (N, D), as (N,)."""
        return self.logits(X).argmax(axis=-1)

    def astype(self, dtype: DTypeLike) -> "MLP":
        """A copy of the net in another dtype."""
        net, theta = MLP.__new__(MLP), self.theta.astype(dtype)
        own = {"theta": theta, "dtheta": np.zeros_like(theta), "dtype": theta.dtype}
        net.__setstate__(self.__getstate__() | own)
        return net


def affine(h1: Any, layer: Layer, a: Array) -> None:
    """a = h1 @ Wb = h @ W + b. A sparse X has no column of ones, so there b is added."""
    if isinstance(h1, np.ndarray):
        np.matmul(h1, layer.Wb, out=a)
        return
    for m in np.ndindex(a.shape[:-2]):
        np.add(h1 @ layer.W[m], layer.b[m], out=a[m])


def affine_backward(h1T: Any, da: Array, layer: Layer, dot: Any) -> None:
    """dWb = h1^T @ da: dW, and below it db, as the ones of h1 sum da over the rows."""
    if isinstance(h1T, np.ndarray):
        dot(h1T, da, out=layer.dWb)
        return
    for m in np.ndindex(da.shape[:-2]):
        layer.dW[m] = h1T @ da[m]
    np.sum(da, axis=-2, out=layer.db)


def inner(T: Array, log_p: Array) -> Any:
    """<T, log p> of each net. np.vdot starts sooner; transposed, arrays lie as it reads them."""
    return np.vdot(T.T, log_p.T) if log_p.ndim == 2 else (T * log_p).sum(axis=(-2, -1))


def _require(sound: Any, complaint: str) -> None:
    if not sound:
        raise ValueError(complaint)


def checked_weights(w: ArrayLike, n: int, name: str) -> Array:
    """w (n,) in float64. Raises ValueError unless it can weight a mean."""
    w = np.asarray(w, np.float64)
    with np.errstate(over="ignore"):
        sound = w.shape == (n,) and (w >= 0).all() and 0 < w.sum() < np.inf
    _require(sound, f"{name} needs {n} numbers with a finite sum, none negative, not all zero")
    return w
