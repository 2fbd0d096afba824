"""A part of the data as the net takes it, shuffled and cut into batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.core.network import MLP, Workspace
from minnet.parallel import Alone

CHUNK_BYTES = 2**25  # rows, dlogp and z of a chunk; while it is filled, targets take up to 1.5 times as much
ALONE = Alone()
CHUNK_BATCHES = 1024  # and so many batches, each of which is a few Python objects


@dataclass
class Part:
    """The rows of one part as the net takes them: X1 (n, D + 1), scaled, with its ones, or sparse (n, D); y (n,); and
    the weights w (n,) of the rows, None where they are all alike."""

    X1: Any
    y: NDArray
    w: NDArray | None = None


@dataclass(slots=True)
class Batch:
    """One batch: X1, dlogp (n, K) = -r Y and r (n, 1) as the net takes them; z (n, K), where its logits are to be left;
    its workspace; its weight w, summed over the rows."""

    X1: Any
    dlogp: NDArray
    r: NDArray
    z: NDArray
    ws: Workspace
    w: float = 0.0


class Batches:
    """A part in batches, in a new order each epoch; of each batch, this process has the share that `team` gives it.

    Rows are copied in that order into buffers, a chunk at a time. Batches are views of the buffers, made once;
    sparse rows, which have no buffer, are cut anew each time.
    """

    def __init__(self, part: Part, net: MLP, batch_size: int, team: Alone = ALONE) -> None:
        self.part, self.net = part, net
        self.N = len(part.y)
        self.n = n = min(batch_size, self.N)
        self.steps = math.ceil(self.N / n)
        self.share, self.share_of_last = team.share(n), team.share(self.N % n)
        m, left = (share.stop - share.start for share in (self.share, self.share_of_last))
        self.counted = 0  # rows right in the chunks before the one at hand
        self.first = self.whole = 0  # its first batch, and how many full ones it has
        self.sparse = hasattr(part.X1, "tocsr")
        columns = 0 if self.sparse else part.X1.shape[1]
        X = part.X1
        row_bytes = (X.data.nbytes + X.indices.nbytes) / self.N if self.sparse else X.shape[1] * net.dtype.itemsize
        row_bytes += 2 * net.K * net.dtype.itemsize  # dlogp and z
        in_chunk = int(CHUNK_BYTES / (n * row_bytes))
        self.S = S = min(self.steps, CHUNK_BATCHES, max(1, in_chunk))
        self.X1 = None if self.sparse else np.empty((S * m + left, columns), net.dtype)
        self.y = np.empty(S * m + left, np.intp)
        self.full = _Group(self, 0, S, self.share, n)
        before = self.N // n % S * m  # rows of full batches in the last chunk
        self.last = _Group(self, before, 1, self.share_of_last, self.N % n) if self.N % n else None

    def epoch(self, order: NDArray, done: int = 0, correct: int = 0) -> Iterator[Batch]:
        """Batches that together hold every row once, in this order (N,), but for the first `done`, in which `correct`
        rows were right."""
        self.counted = correct
        n, m = self.n, self.full.n
        for start in range(0, self.N, self.S * n):
            rows = order[start : start + self.S * n]
            self.first, self.whole = start // n, len(rows) // n
            left_out = max(0, done - self.first)
            if left_out * n >= len(rows):
                continue
            batches = self._fill(rows)
            self.y[: left_out * m] = -1  # no class: these are in `correct` already
            yield from batches[left_out:]
            self.counted = self.correct(self.first + len(batches))
        self.first = self.steps

    def correct(self, done: int) -> int:
        """In how many rows of the epoch's first `done` batches, the last of them in the chunk at hand, the logits that
        were left in z are largest for the row's own class."""
        batches = done - self.first
        whole = min(batches, self.whole)
        end = whole * self.full.n
        count = self.counted + self.full.correct(self.y[:end], whole)
        if self.last and batches > self.whole:
            count += self.last.correct(self.y[end : end + self.last.n], 1)
        return count

    def _fill(self, rows: NDArray) -> list[Batch]:
        """The batches of one chunk, with this process's share of these rows of the part copied into the buffers."""
        whole = self.whole * self.n
        full, last = rows[:whole].reshape(self.whole, self.n)[:, self.share].ravel(), rows[whole:][self.share_of_last]
        rows, end = np.concatenate([full, last]) if len(last) else full, len(full)
        C = len(rows)
        np.take(self.part.y, rows, out=self.y[:C], mode="clip")
        Y, w = self.net.targets(self.y[:C], None if self.part.w is None else self.part.w[rows])
        batches = self.full.fill(Y[:end], w[:end], self.whole)
        if self.last and whole < self.N % (self.S * self.n):
            batches += self.last.fill(Y[end:], w[end:], 1)
        if self.X1 is not None:  # mode "clip", as "raise" would copy twice
            np.take(self.part.X1, rows, axis=0, out=self.X1[:C], mode="clip")
        else:
            chunk = self.part.X1[rows]
            m = self.full.n
            for s, batch in enumerate(batches):
                batch.X1 = chunk[s * m : (s + 1) * m]
        return batches


class _Group:
    """S batches of n rows each, from row `start` of the buffers on, with all their targets and logits in three arrays,
    r (S, n, 1), dlogp and z (S, K, n); column by column, as the workspace has what the softmax meets. One workspace
    serves them all."""

    def __init__(self, batches: Batches, start: int, S: int, share: slice, whole: int) -> None:
        net, self.n = batches.net, share.stop - share.start
        n = self.n
        self.r = np.empty((S, n, 1), net.dtype)
        self.dlogp, self.z = (np.empty((S, net.K, n), net.dtype) for _ in range(2))
        ws = Workspace(net, n, rows=share, whole=whole)
        self.batches = []
        for s in range(S):
            rows = slice(start + s * n, start + (s + 1) * n)
            X1 = None if batches.X1 is None else batches.X1[rows]
            self.batches.append(Batch(X1, self.dlogp[s].T, self.r[s], self.z[s].T, ws))

    def fill(self, Y: NDArray, w: NDArray, S: int) -> list[Batch]:
        """S batches for rows with targets Y (S n, K) and weights w (S n,), with these in place."""
        n, K = self.n, Y.shape[1]
        Y, w = Y.reshape(S, n, K), w.reshape(S, n, 1)
        total = w.sum(axis=1, keepdims=True)
        np.divide(w, np.where(total > 0, total, 1), out=self.r[:S], casting="same_kind")
        np.multiply(Y.transpose(0, 2, 1), -self.r[:S].transpose(0, 2, 1), out=self.dlogp[:S])
        for batch, weight in zip(self.batches, total[:, 0, 0].tolist(), strict=False):
            batch.w = weight
        return self.batches[:S]

    def correct(self, y: NDArray, S: int) -> int:
        """In how many rows, with labels y (S n,), the class of the largest logit is the right one."""
        return int(np.count_nonzero(self.z[:S].argmax(axis=1) == y.reshape(S, self.n)))
