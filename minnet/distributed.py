"""One process, or many that train as one by MPI; and how many threads BLAS uses.

Each takes a share of every batch. The mean loss over the batch is that of the shares by weight, and
so is its gradient, sum_r w_r dtheta_r / sum_r w_r: one Allreduce of one flat buffer a step.
"""

import contextlib
import functools
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, MinnetError

# set by launchers for the processes that they start: MPICH and Intel MPI, Open MPI, Slurm
LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK")
FORWARDING = 0.3  # seconds in which mpiexec passes on what was printed, before it kills all
LARGE = 2**22  # rows of a batch times parameters, from which two threads are faster than one


@dataclass(frozen=True)
class Team:
    """The processes that train as one, by MPI's comm, and which of them this is."""

    rank: int = 0
    size: int = 1
    comm: Any = None

    def share(self, n: int) -> slice:
        """Which of n rows this process takes: as many as any other, or one more, or none."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def average(self, dtheta: NDArray, loss: float, weight: float, *counts: float) -> list[float]:
        """Replace dtheta (P,), of rows of this total weight, by that of the whole batch. Returns
        the batch's loss and weight, and the sum of each count over all processes."""
        if self.size == 1:
            return [loss, weight, *counts]
        mine = np.empty(dtheta.size + 2 + len(counts), dtheta.dtype)
        np.multiply(dtheta, weight, out=mine[: dtheta.size])
        mine[dtheta.size :] = [loss * weight, weight, *counts]
        total = self.add(mine)
        loss_sum, weight, *sums = total[dtheta.size :].tolist()
        if weight:  # otherwise there is only the penalty, which is the same everywhere
            np.divide(total[: dtheta.size], weight, out=dtheta)
            loss = loss_sum / weight
        return [loss, weight, *sums]

    def add(self, x: NDArray) -> NDArray:
        """The sum of the arrays x of all processes."""
        if self.size == 1:
            return x
        total = np.empty_like(x)
        self.comm.Allreduce(x, total)
        return total

    def check_same(self, what: str, text: str) -> None:
        """Raise ConfigError unless this text, of their config or data, is that of all processes."""
        digest = hashlib.sha256(text.encode(errors="replace")).digest()
        mine = np.array([*digest])
        if (self.add(mine) != self.size * mine).any():
            raise ConfigError(f"the processes differ in their {what}: give all of them the same")

    def abort(self, code: int) -> None:
        """End all processes at once with this exit code."""
        time.sleep(FORWARDING)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add lines of its own
        self.comm.Abort(code)


ALONE = Team()


def team() -> Team:
    """The processes that mpiexec started, or this one. Raises MinnetError if they cannot meet."""
    launched = [name for name in LAUNCHED if name in os.environ]
    if not launched:
        return ALONE
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MinnetError(f"mpiexec needs mpi4py ({error}): pip install mpi4py mpich") from None
    started, comm = os.environ[launched[0]], MPI.COMM_WORLD
    if comm.size == 1 and started != "1" and launched[0] != "PMIX_RANK":
        what = f"mpiexec started {started} processes, but mpi4py sees one"
        raise MinnetError(f"{what}: they are of different MPIs")
    return Team(comm.rank, comm.size, comm)


_limits: list[Any] = []  # one for each net in training; the first knows the number before
_lock = threading.Lock()


@contextlib.contextmanager
def blas_threads(work: int, at_most_now: bool = False) -> Iterator[None]:
    """While inside, BLAS uses one thread, or two if `work`, rows of a batch times parameters, is
    LARGE, there are two cores, and no other net trains in this process. Their number changes the
    last bits, so it follows from the config rather than from the machine. With `at_most_now` it is
    never more than now, which may have been set for one worker among others."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads, blas = min(2, cores or 1) if work >= LARGE else 1, _blas()
    with _lock:
        if at_most_now:
            threads = min([threads, *(library["num_threads"] for library in blas.info())])
        _take_control(blas)
        _limits.append(blas.limit(limits=1 if _limits else threads))
    try:
        yield
    finally:
        with _lock:
            last = _limits.pop()
            if not _limits:
                _take_control(blas)
                last.restore_original_limits()
                _take_control(blas)


def _take_control(blas: Any) -> None:
    """From threadpoolctl 3.8, only one thread may set limits until it gives up. Here any may."""
    for library in blas.lib_controllers:
        getattr(library, "clear_controlling_thread", lambda force: None)(force=True)


@functools.cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController().select(user_api="blas")
