"""A part of the data as the net takes it, shuffled and cut into batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.core.network import MLP, Workspace

CHUNK_BYTES = 32_000_000  # so many bytes of rows are held twice at a time


@dataclass
class Part:
    """The rows of one part as the net takes them: X1 (n, D + 1), scaled, with its ones, or sparse (n, D); y (n,)."""

    X1: Any
    y: NDArray


@dataclass(slots=True)
class Batch:
    """One batch: its rows in the buffers; X1, Y, r as the net takes them; where the classes go that are predicted;
    its workspace; its weight w, summed over the rows."""

    rows: slice
    X1: Any
    Y: NDArray
    r: NDArray
    predicted: NDArray
    ws: Workspace
    w: float = 0.0


class Batches:
    """A part in batches, in a new order each epoch.

    Rows are copied in that order into buffers, a chunk of CHUNK_BYTES at a time or all at once if they fit.
    Batches are views of the buffers, made once; sparse rows, which have no buffer, are cut anew each time.
    """

    def __init__(self, part: Part, net: MLP, batch_size: int) -> None:
        self.part, self.net = part, net
        self.N, K = len(part.y), net.layer_sizes[-1]
        n = min(batch_size, self.N)
        self.steps, self.correct = math.ceil(self.N / n), 0
        self.sparse = hasattr(part.X1, "tocsr")
        row_bytes = net.dtype.itemsize * ((0 if self.sparse else part.X1.shape[1]) + K)
        self.C = min(self.steps, max(1, CHUNK_BYTES // (row_bytes * n))) * n
        self.X1 = None if self.sparse else np.empty((self.C, part.X1.shape[1]), net.dtype)
        self.Y, self.r = np.empty((self.C, K), net.dtype), np.empty((self.C, 1), net.dtype)
        self.y, self.predicted = np.empty(self.C, np.intp), np.empty(self.C, np.intp)
        ws = Workspace(net, n)
        self.full = [self._batch(start, start + n, ws) for start in range(0, self.C, n)]
        left = self.N % n
        start = self.N % self.C - left
        self.last = self._batch(start, start + left, Workspace(net, left)) if left else None

    def _batch(self, start: int, stop: int, ws: Workspace) -> Batch:
        rows = slice(start, stop)
        X1 = None if self.X1 is None else self.X1[rows]
        return Batch(rows, X1, self.Y[rows], self.r[rows], self.predicted[rows], ws)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Batches that together hold every row once. After the last, `correct` rows of them were predicted right."""
        order, self.correct = rng.permutation(self.N), 0
        for start in range(0, self.N, self.C):
            rows = order[start : start + self.C]
            yield from self._fill(rows)
            self.correct += int(np.count_nonzero(self.predicted[: len(rows)] == self.y[: len(rows)]))

    def _fill(self, rows: NDArray) -> list[Batch]:
        """The batches of one chunk, with these rows of the part copied into the buffers."""
        C = len(rows)
        batches = self.full[: C // self.full[0].ws.N]
        if self.last and C < self.C:
            batches = [*batches, self.last]
        np.take(self.part.y, rows, out=self.y[:C], mode="clip")
        self.Y[:C], w = self.net.targets(self.y[:C])
        chunk = self.part.X1[rows] if self.X1 is None else None
        if self.X1 is not None:  # mode "clip", as "raise" would copy twice
            np.take(self.part.X1, rows, axis=0, out=self.X1[:C], mode="clip")
        for batch in batches:
            if chunk is not None:
                batch.X1 = chunk[batch.rows]
            batch.r[:] = self.net.shares(w[batch.rows])
            batch.w = float(w[batch.rows].sum())
        return batches
