"""The multilayer perceptron: one flat parameter vector, forward and backward side by side.

Forward, layer by layer:         a = h @ W + b,   h = f(a),   and last z = a, p = softmax(z), L
Backward, in the other order:    dz,   dW = h^T @ da,   db = sum of da over rows,   dh = da @ W^T,   da = dh * f'(a)

Each layer's b lies in theta right below its W, so that [W; b] is one matrix Wb, and each h carries a last
column of ones: h1 @ Wb is then h @ W + b, and h1^T @ da is dW with db as its last row. One product each.
"""

from collections.abc import Sequence
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minnet.core.activations import ACTIVATIONS
from minnet.core.softmax import ROADS, dz_by_road, mean_cross_entropy, one_hot, softmax

ROWS = 1024  # rows at a time when predicting, so that activations are held for so many only
BLOCK = 2**14  # numbers of W at a time when the penalty is added, so that they stay in the cache


class Workspace:
    """The arrays of one pass over N rows, made once and reused; all that was computed can be read here.

    h1[l] (N, n_in + 1) enters layer l, and h1[0] is X1; a[l] (N, n_out) leaves it, and the last is z, or z's second
    column where there is one output unit.
    h[l] (N, n_in) is the activation before dropout, mask[l] what dropout multiplies it by, and kept[l] the
    result, which is h1[l] less its ones; without dropout h[l] is kept[l]. shifted, total, log_total, p: see softmax.
    dp, dz, dh[l], da[l]: the gradients of p, z, h[l], a[l]; mean_dp (N, 1) is <dp, p>. `uniform` and scratch[l] are
    room for the draws of masks and for slopes. The N rows may be the slice `rows` of a batch of `whole` rows, of which
    other processes have the rest: masks are drawn for all of it, so that they are the same however it is cut.

    Arrays (N, K) lie in memory column by column: NumPy then works on N numbers at a time where it reduces over
    the classes or spreads a number per row, not on K, which is mostly smaller.
    """

    def __init__(
        self, net: "MLP", N: int, backward: bool = True, rows: slice | None = None, whole: int | None = None
    ) -> None:
        def array(*shape: int) -> NDArray:
            return np.empty(shape, net.dtype)

        def columns(n: int) -> NDArray:
            return np.empty((n, N), net.dtype).T

        hidden, n_out, K = net.layer_sizes[1:-1], net.layer_sizes[-1], net.K
        dropout = backward and net.dropout > 0
        self.N = N
        self.rows, self.whole = rows or slice(0, N), N if whole is None else whole
        self.z = columns(K)
        self.z[:, 0] = 0  # the first of two classes, where there is one output unit
        self.a = [*(array(N, n) for n in hidden), self.z[:, -n_out:]]
        self.h1: list[Any] = [None, *(np.ones((N, n + 1), net.dtype) for n in hidden)]
        self.kept: list[Any] = [None, *(h1[:, :-1] for h1 in self.h1[1:])]
        self.h: list[Any] = [None, *(array(N, n) for n in hidden)] if dropout else self.kept
        self.mask: list[Any] = [None, *(np.ones((N, n), net.dtype) for n in hidden)] if dropout else []
        self.uniform = np.empty(self.whole * max(hidden, default=0) if dropout else 0, np.float32)
        self.shifted, self.p, self.total, self.log_total = columns(K), columns(K), array(N, 1), array(N, 1)
        if backward:
            self.dp, self.dz, self.mean_dp = columns(K), columns(K), array(N, 1)
            self.dh: list[Any] = [None, *(array(N, n) for n in hidden)]
            self.da = [*(array(N, n) for n in hidden), self.dz[:, -n_out:]]
            scratch = array(N, max(hidden, default=0))
            self.scratch: list[Any] = [None, *(scratch[:, :n] for n in hidden)]


class MLP:
    """A classifier of layers h @ W + b with an activation after each but the last, which softmax follows.

    layer_sizes       [D, hidden..., K]; [D, K] alone is softmax regression. With one output unit there are two
                      classes with logits (0, a): softmax of these is (1 - p, p), p = sigmoid(a), and [D, 1] alone
                      is logistic regression
    activation        a name in ACTIVATIONS for all hidden layers, or one name for each
    output_gradient   the road from loss to logits: "jacobian", "vjp" or "fused" (softmax.py)
    dropout           the chance that a hidden activation is dropped in training; the others grow by 1/(1 - dropout)
    l2                adds l2/2 * sum(W^2) to the loss; biases are left alone
    label_smoothing   trains towards (1 - s) Y + s/K
    class_weight      (K,) or None: multiplies the weight of each row of a class
    dtype             of theta and of all arrays: float32, float64, or complex to check derivatives
    seed              a whole number or a numpy Generator, for the weights at the start

    theta (P,) holds W and b of each layer in turn; weights[l] (n_in, n_out) and biases[l] (n_out,) are views
    into it, dtheta its gradient. Update theta in place: binding it anew detaches the views.

    Raises ValueError for sizes, names or rates that make no sense, TypeError for sizes that are not whole.

    >>> net = MLP([4, 8, 3], activation="tanh", seed=1)
    >>> net.theta.size, net.weights[0].shape, net.biases[1].shape
    (67, (4, 8), (3,))
    """

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
    ) -> None:
        self.layer_sizes = [index(n) for n in layer_sizes]
        hidden = len(self.layer_sizes) - 2
        self.activation = [activation] * hidden if isinstance(activation, str) else list(activation)
        self.output_gradient, self.dropout, self.l2 = output_gradient, dropout, l2
        self.label_smoothing = label_smoothing
        self.K = max(2, *self.layer_sizes[-1:], 0)
        self.class_weight = None if class_weight is None else _weights(class_weight, self.K, "class_weight")
        self.dtype = np.dtype(dtype)
        self._validate(activation)

        self.f = [ACTIVATIONS[name] for name in self.activation]
        P = sum((n_in + 1) * n_out for n_in, n_out in pairwise(self.layer_sizes))
        self.theta, self.dtheta = np.zeros(P, self.dtype), np.zeros(P, self.dtype)
        self._view_layers()
        self.initialise(np.random.default_rng(seed))

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: views, which would become arrays of their own there, are left out."""
        views = {"Wb", "dWb", "weights", "biases", "blocks"}
        return {name: value for name, value in self.__dict__.items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view_layers()

    def _validate(self, activation: str | Sequence[str]) -> None:
        hidden = len(self.layer_sizes) - 2
        if hidden < 0 or min(self.layer_sizes) < 1:
            raise ValueError(f"layer_sizes must be [D, hidden..., K], each at least 1: got {self.layer_sizes}")
        if len(self.activation) != hidden:
            raise ValueError(f"{len(self.activation)} activations for {hidden} hidden layers: {activation}")
        for name in [activation] if isinstance(activation, str) else self.activation:
            if name not in ACTIVATIONS:
                raise ValueError(f"unknown activation {name!r}: choose from {', '.join(ACTIVATIONS)}")
        if self.output_gradient not in ROADS:
            raise ValueError(f"unknown output_gradient {self.output_gradient!r}: choose from {', '.join(ROADS)}")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1: got {getattr(self, name)}")
        if not 0 <= self.l2 < np.inf:
            raise ValueError(f"l2 must be at least 0: got {self.l2}")
        if self.dtype.kind not in "fc":
            raise ValueError(f"dtype must be floating or complex: got {self.dtype}")

    def _view_layers(self) -> None:
        """The views [W; b] (n_in + 1, n_out) of each layer into theta and dtheta, and W and b of theta's."""
        shapes = [(n_in + 1, n_out) for n_in, n_out in pairwise(self.layer_sizes)]
        cuts = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
        self.Wb, self.dWb = (
            [part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)]
            for flat in (self.theta, self.dtheta)
        )
        self.weights, self.biases = [Wb[:-1] for Wb in self.Wb], [Wb[-1] for Wb in self.Wb]
        room = np.empty(min(self.theta.size, BLOCK), self.dtype)
        self.blocks = [  # W, dW and room for l2 W, flat
            (W, dW, room[: len(W)])
            for Wb, dWb in zip(self.Wb, self.dWb, strict=True)
            for W, dW in zip(_cut(Wb[:-1]), _cut(dWb[:-1]), strict=True)
        ]

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw the weights so that activations keep their size from layer to layer; biases become 0.

        "he": normal, variance 2/n_in, where half of the units are off (He et al. 2015, eq. 10). "glorot":
        uniform, variance 2/(n_in + n_out) (Glorot and Bengio 2010, eq. 16); also for the logits.
        """
        schemes = [ACTIVATIONS[name].initialisation for name in self.activation] + ["glorot"]
        for W, b, scheme in zip(self.weights, self.biases, schemes, strict=True):
            n_in, n_out = W.shape
            limit = np.sqrt(6 / (n_in + n_out))
            W[:] = rng.normal(0, np.sqrt(2 / n_in), W.shape) if scheme == "he" else rng.uniform(-limit, limit, W.shape)
            b[:] = 0

    def forward(self, X1: Any, ws: Workspace) -> NDArray:
        """z (N, K) from X1 (N, D + 1), a dense array, or from a scipy sparse X (N, D); all steps stay in ws."""
        ws.h1[0] = X1
        for l, f in enumerate(self.f):
            _affine(ws.h1[l], self.Wb[l], out=ws.a[l])  # (2) a = h @ W + b
            f.function(ws.a[l], ws.h[l + 1])  # (3) h = f(a)
            if ws.mask:
                np.multiply(ws.h[l + 1], ws.mask[l + 1], out=ws.kept[l + 1])  # (4) dropout: h * mask
        _affine(ws.h1[-1], self.Wb[-1], out=ws.a[-1])  # (5) z = h @ W + b
        return ws.z

    def loss(self, dlogp: NDArray, r: NDArray, ws: Workspace) -> Any:
        """Mean cross-entropy after `forward`, from row shares r (N, 1) and dlogp (N, K) = -r Y; leaves p in ws."""
        softmax(ws.z, ws.p, ws.shifted, ws.total)
        return mean_cross_entropy(ws.shifted, ws.total, dlogp, r, ws.log_total)

    def penalty(self) -> Any:
        """l2/2 * sum(W^2), which `loss_and_gradient` adds to the mean cross-entropy."""
        return self.l2 / 2 * sum(np.dot(W, W) for W, _, _ in self.blocks) if self.l2 else 0.0

    def backward(self, dlogp: NDArray, ws: Workspace) -> NDArray:
        """dtheta (P,) after `loss`: dz, then back through the layers. The 1/N of the mean enters here, with dlogp."""
        dz_by_road(ws.p, dlogp, self.output_gradient, ws.dp, ws.dz, ws.mean_dp)
        da = ws.da[-1]
        for l in reversed(range(len(self.Wb))):
            _affine_transposed(ws.h1[l], da, out=self.dWb[l])  # (19) dW = h^T @ da, db = sum of da over rows
            if l > 0:
                dh = np.dot(da, self.weights[l].T, out=ws.dh[l])  # (20) dh = da @ W^T
                if ws.mask:
                    np.multiply(dh, ws.mask[l], out=dh)  # (21) the units that dropout kept, and as much larger
                da = ws.da[l - 1]
                self.f[l - 1].slope(ws.a[l - 1], ws.h[l], da, ws.scratch[l])  # (22) f'(a)
                np.multiply(dh, da, out=da)  # (23) da = dh * f'(a)
        if self.l2:
            self._add_penalty_gradient()
        return self.dtheta

    def _add_penalty_gradient(self) -> None:
        """dW += l2 * W, a block at a time."""
        for W, dW, room in self.blocks:
            dW += np.multiply(W, self.l2, out=room)  # (24) dW += l2 W

    def draw_masks(self, ws: Workspace, rng: np.random.Generator) -> None:
        """New dropout masks: 0 with chance `dropout`, else 1/(1 - dropout), so that the mean stays (inverted dropout,
        Srivastava et al. 2014, section 10). They hold until drawn again, which gradient checks rely on."""
        keep = 1 - self.dropout
        for mask in ws.mask[1:]:
            n = mask.shape[1]
            uniform = ws.uniform[: ws.whole * n].reshape(ws.whole, n)
            rng.random(out=uniform, dtype=np.float32)
            np.less(uniform[ws.rows], keep, out=mask)
            np.divide(mask, keep, out=mask)

    def targets(self, y: ArrayLike, sample_weight: ArrayLike | None = None) -> tuple[NDArray, NDArray]:
        """Y (N, K), smoothed, and the rows' weights (N,), from labels (N,) or distributions (N, K).

        Raises ValueError for labels out of range, for distributions that are none, and for weights that are
        negative, not finite or all zero.
        """
        y, K = np.asarray(y), self.K
        Y = one_hot(y, (len(y), K), self.dtype)
        if y.ndim == 2 and not ((y >= 0).all() and np.allclose(y.sum(axis=1), 1, atol=1e-3)):
            raise ValueError("the rows of a two-dimensional y must be distributions: not negative, summing to 1")
        w = np.ones(len(y)) if sample_weight is None else _weights(sample_weight, len(y), "sample_weight")
        if self.class_weight is not None:
            w = w * (Y.real @ self.class_weight)
        if self.label_smoothing:
            Y = (1 - self.label_smoothing) * Y + self.label_smoothing / K
        return Y.astype(self.dtype, copy=False), w

    def shares(self, w: NDArray) -> NDArray:
        """r (N, 1), each row's share of the mean: w / sum(w); all 0 where no row has weight."""
        return (w / (w.sum() or 1)).astype(self.dtype)[:, None]

    def loss_and_gradient(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[Any, NDArray]:
        """The mean loss, penalty included, over X (N, D) and y, labels (N,) or distributions (N, K); and dtheta (P,).

        With sample_weight (N,) the mean is over sum(w). Dropout acts only when `rng` is given.

        >>> net = MLP([2, 3], seed=0)
        >>> loss, dtheta = net.loss_and_gradient([[0.0, 1.0]], [2])
        >>> net.theta -= 0.1 * dtheta
        >>> bool(net.loss_and_gradient([[0.0, 1.0]], [2])[0] < loss)
        True
        """
        X1, _, r, dlogp, ws = self.prepare(X, y, sample_weight, rng)
        self.forward(X1, ws)
        loss = self.loss(dlogp, r, ws) + self.penalty()
        return loss, self.backward(dlogp, ws).copy()

    def prepare(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        rng: np.random.Generator | None = None,
    ) -> tuple[Any, NDArray, NDArray, NDArray, Workspace]:
        """What a pass over X and y starts from: X1, Y (N, K), r (N, 1), dlogp (N, K) and a workspace with its masks."""
        X1 = self.with_ones(X)  # (1)
        Y, w = self.targets(y, sample_weight)  # (9) one-hot, or smoothed, or as given
        if X1.shape[0] != len(Y):
            raise ValueError(f"X has {X1.shape[0]} rows, y has {len(Y)}")
        r, ws = self.shares(w), Workspace(self, len(Y))  # (10) 1/N, or w / sum(w)
        dlogp = -r * Y  # (11)
        if rng is not None:
            self.draw_masks(ws, rng)
        return X1, Y, r, dlogp, ws

    def with_ones(self, X: Any) -> Any:
        """X (N, D) in the dtype of the net with a column of ones, (N, D + 1); a sparse X stays (N, D).

        Raises ValueError where X does not have D columns.
        """
        X, D = _rows(X), self.layer_sizes[0]
        if X.ndim != 2 or X.shape[1] != D:
            raise ValueError(f"X has shape {X.shape}: this net takes (N, {D})")
        if not isinstance(X, np.ndarray):
            return X.astype(self.dtype, copy=False)
        X1 = np.ones((len(X), D + 1), self.dtype)
        X1[:, :-1] = X
        return X1

    def logits(self, X: Any, has_ones: bool = False) -> NDArray:
        """z (N, K) for X (N, D), or for X1 (N, D + 1) if `has_ones`; without dropout, a block of rows at a time."""
        X = _rows(X)
        z = np.empty((X.shape[0], self.K), self.dtype)
        ws = Workspace(self, min(ROWS, len(z)), backward=False)
        for start in range(0, len(z), ROWS):
            block = X[start : start + ROWS]
            if block.shape[0] < ws.N:
                ws = Workspace(self, block.shape[0], backward=False)
            z[start : start + ROWS] = self.forward(block if has_ones else self.with_ones(block), ws)
        return z

    def predict_proba(self, X: Any) -> NDArray:
        """p (N, K) for X (N, D)."""
        return softmax(self.logits(X))

    def predict(self, X: Any) -> NDArray:
        """The likeliest class 0..K-1 of each row of X (N, D), as (N,)."""
        return self.logits(X).argmax(axis=1)

    def astype(self, dtype: DTypeLike) -> "MLP":
        """A copy of the net in another dtype."""
        net = MLP(
            self.layer_sizes,
            self.activation,
            output_gradient=self.output_gradient,
            dropout=self.dropout,
            l2=self.l2,
            label_smoothing=self.label_smoothing,
            class_weight=self.class_weight,
            dtype=dtype,
        )
        net.theta[:] = self.theta
        return net


def _weights(w: ArrayLike, n: int, name: str) -> NDArray:
    """w (n,) in float64, if a mean can be weighted with it. Raises ValueError, naming it, if not."""
    w = np.asarray(w, np.float64)
    with np.errstate(over="ignore"):
        if not (w.shape == (n,) and (w >= 0).all() and 0 < w.sum() < np.inf):
            raise ValueError(f"{name} needs {n} numbers with a finite sum, none negative, not all zero")
    return w


def _cut(W: NDArray) -> list[NDArray]:
    """Flat views of at most BLOCK numbers that together are W."""
    flat = W.reshape(-1)
    return [flat[start : start + BLOCK] for start in range(0, flat.size, BLOCK)]


def _rows(X: Any) -> Any:
    """X as an array, or as a scipy sparse matrix by rows; scipy itself is not imported here."""
    return X.tocsr() if hasattr(X, "tocsr") else np.asarray(X)


def _affine(h1: Any, Wb: NDArray, out: NDArray) -> None:
    """a = h1 @ Wb; a sparse X has no column of ones, so there b is added by hand."""
    if isinstance(h1, np.ndarray):
        np.matmul(h1, Wb, out=out)
    else:
        np.add(h1 @ Wb[:-1], Wb[-1], out=out)


def _affine_transposed(h1: Any, da: NDArray, out: NDArray) -> None:
    """dWb = h1^T @ da: dW, and as its last row db, where the ones of h1 have summed da over the rows."""
    if isinstance(h1, np.ndarray):
        np.dot(h1.T, da, out=out)
    else:
        # only the columns that have values in these rows: scipy's product would make all of dW anew
        columns, indices = np.unique(h1.indices, return_inverse=True)
        values = type(h1)((h1.data, indices, h1.indptr), shape=(len(da), len(columns)))
        out[:-1] = 0
        out[columns] = values.T @ da
        np.sum(da, axis=0, out=out[-1])
