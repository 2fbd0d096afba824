"""One process, or many that train as one by MPI; and how many threads BLAS uses.

Each process takes a share of every batch, with the mean loss over its own rows and its gradient.
The mean over the batch is the mean of these by weight, sum_r w_r dtheta_r / sum_r w_r, and so is
its gradient: one Allreduce of one flat buffer a step. All then take the same step from the same
theta.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import MinnetError

# set by launchers for the processes that they start: MPICH and Intel MPI, Open MPI, Slurm
LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK")
LARGE = 2**22  # rows of a batch times parameters, from which two threads are faster than one


class Alone:
    """The only process."""

    rank, size = 0, 1

    def share(self, n: int) -> slice:
        """Which of n rows this process takes."""
        return slice(0, n)

    def average(
        self, dtheta: NDArray, loss: float, weight: float, *counts: float
    ) -> tuple[float, ...]:
        """Replace dtheta (P,), of rows with this total weight, by that of the whole batch. Returns
        the batch's loss and weight, and the sum of each count over all processes."""
        return loss, weight, *counts

    def add(self, x: NDArray) -> NDArray:
        """The sum of the arrays x of all processes."""
        return x


class Ranks(Alone):
    """One of the processes that mpiexec started."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()

    def share(self, n: int) -> slice:
        """As in Alone. Shares differ by at most one row, and may be empty."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def average(
        self, dtheta: NDArray, loss: float, weight: float, *counts: float
    ) -> tuple[float, ...]:
        """As in Alone."""
        mine = np.empty(dtheta.size + 2 + len(counts), dtheta.dtype)
        np.multiply(dtheta, weight, out=mine[: dtheta.size])
        mine[dtheta.size :] = [loss * weight, weight, *counts]
        total = self.add(mine)
        loss_sum, weight, *sums = total[dtheta.size :].tolist()
        if weight:  # otherwise there is only the penalty, which is the same everywhere
            np.divide(total[: dtheta.size], weight, out=dtheta)
            loss = loss_sum / weight
        return loss, weight, *sums

    def add(self, x: NDArray) -> NDArray:
        """As in Alone."""
        total = np.empty_like(x)
        self.comm.Allreduce(x, total)
        return total

    def abort(self, code: int) -> None:
        """End all processes at once with this exit code."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add lines of its own
        self.comm.Abort(code)


ALONE = Alone()


def team() -> Alone | Ranks:
    """All the processes that mpiexec started, or this one. Raises MinnetError if they cannot work
    together."""
    launched = [name for name in LAUNCHED if name in os.environ]
    if not launched:
        return ALONE
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MinnetError(f"mpiexec needs mpi4py ({error}): pip install 'minnet[mpi]'") from None
    started = os.environ[launched[0]]
    if MPI.COMM_WORLD.Get_size() > 1:
        return Ranks(MPI.COMM_WORLD)
    if launched[0] != "PMIX_RANK" and started != "1":
        raise MinnetError(
            f"mpiexec started {started} processes, but mpi4py sees one: they are of different MPIs"
        )
    return ALONE


class _Training:
    """How many nets are being trained in this process, and the thread limit set by the first."""

    lock = threading.Lock()
    nets = 0
    limit: Any = None


@contextlib.contextmanager
def blas_threads(work: int, at_most_now: bool = False) -> Iterator[None]:
    """While inside, BLAS uses one thread, or two if `work`, rows of a batch times parameters, is
    large.

    How many threads share a product changes its last bits, so their number has to follow from the
    config, not from the machine; only with a single core do large batches get one thread too. With
    `at_most_now` it never exceeds what BLAS uses now, which may have been set for one worker among
    others. While several nets train in this process, it is one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = min(2, cores or 1) if work >= LARGE else 1
    blas = _blas()
    with _Training.lock:
        if at_most_now:
            threads = min([threads, *(library["num_threads"] for library in blas.info())])
        _Training.nets += 1
        _take_control(blas)
        limit = blas.limit(limits=threads if _Training.nets == 1 else 1)
        _Training.limit = _Training.limit or limit
    try:
        yield
    finally:
        with _Training.lock:
            _Training.nets -= 1
            if not _Training.nets:
                _take_control(blas)
                _Training.limit.restore_original_limits()
                _take_control(blas)
                _Training.limit = None


def _take_control(blas: Any) -> None:
    """From threadpoolctl 3.8, only one thread may change the limit until it gives up control. Here
    any may, under the lock."""
    for library in blas.lib_controllers:
        getattr(library, "clear_controlling_thread", lambda force: None)(force=True)


@functools.cache
def _blas() -> Any:
    """The BLAS libraries of this process."""
    from threadpoolctl import ThreadpoolController  # comes with scikit-learn

    return ThreadpoolController().select(user_api="blas")
