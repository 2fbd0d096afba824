"""One process, or many that train as one by MPI: the same three methods.

A batch is cut into a share for each process, and each takes the mean loss over its own rows, and the gradient. The
mean over the batch is the mean of these by weight, sum_r w_r dtheta_r / sum_r w_r, and so is its gradient: one
Allreduce of one flat buffer a step. All then take the same step from the same theta.
"""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import MinnetError

# what launchers set for the processes that they start: MPICH and Intel MPI, Open MPI, Slurm
LAUNCHED = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK")


class Alone:
    """The one process that there is."""

    rank, size = 0, 1

    def share(self, n: int) -> slice:
        """Which of n rows are this process's."""
        return slice(0, n)

    def average(
        self, dtheta: NDArray, loss: float, w: float, wishes: tuple[bool, ...]
    ) -> tuple[float, float, tuple[bool, ...]]:
        """Replace dtheta (P,), of rows of weight w in all, by that of the whole batch; gives the batch's loss and
        weight, and for each wish whether any process has it."""
        return loss, w, wishes

    def add(self, x: NDArray) -> NDArray:
        """The sum of the arrays x of all processes."""
        return x


class Ranks(Alone):
    """One of the processes that mpiexec has started."""

    def __init__(self, comm: Any) -> None:
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        self.buffer = np.empty(0)

    def share(self, n: int) -> slice:
        """Which of n rows are this process's: shares differ by one row at most, and may be empty."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def average(
        self, dtheta: NDArray, loss: float, w: float, wishes: tuple[bool, ...]
    ) -> tuple[float, float, tuple[bool, ...]]:
        """As Alone has it."""
        P = dtheta.size
        if self.buffer.size != P + 2 + len(wishes) or self.buffer.dtype != dtheta.dtype:
            self.buffer = np.empty(P + 2 + len(wishes), dtheta.dtype)
        gradient, rest = self.buffer[:P], self.buffer[P:]
        np.multiply(dtheta, w, out=gradient)
        rest[:] = [loss * w, w, *wishes]
        self.comm.Allreduce(_in_place(), self.buffer)
        total = float(rest[1])
        if total:  # else there is the penalty alone, which is the same everywhere
            np.divide(gradient, total, out=dtheta)
            loss = float(rest[0]) / total
        return loss, total, tuple((rest[2:] > 0).tolist())

    def add(self, x: NDArray) -> NDArray:
        """As Alone has it."""
        total = np.empty_like(x)
        self.comm.Allreduce(x, total)
        return total

    def abort(self, code: int) -> None:
        """End all processes at once, with this exit code."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # MPI would add lines of its own
        self.comm.Abort(code)


def team() -> Alone | Ranks:
    """All the processes that mpiexec has started, or this one. Raises MinnetError where they cannot work together."""
    launched = [name for name in LAUNCHED if name in os.environ]
    if not launched:
        return Alone()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MinnetError(f"mpiexec started this, which needs mpi4py ({error}): pip install 'minnet[mpi]'") from None
    started = os.environ[launched[0]]
    if MPI.COMM_WORLD.Get_size() > 1:
        return Ranks(MPI.COMM_WORLD)
    if launched[0] != "PMIX_RANK" and started != "1":
        raise MinnetError(f"mpiexec started {started} processes that mpi4py cannot see: they are of different MPIs")
    return Alone()


def _in_place() -> Any:
    from mpi4py import MPI

    return MPI.IN_PLACE
