"""python -m benchmarks.scaling: write the tables of docs/scaling.md, on training in many processes
and from the disk. It needs the extra mpi and 10 GB of disk.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import report, running
from benchmarks.nets import NETS
from benchmarks.running import Answer, Answers, in_turns, job, launch

DOCUMENT = running.ROOT / "docs" / "scaling.md"
TURNS, GIGABYTES = 3, 4.0
ONE, TWO = "the batch", "the batch, 2 processes"
PARTS = {"1/8 of the batch": 8, "1/4": 4, "1/2": 2, ONE: 1, TWO: 1}
NUMBERS = {f"{P:,}": P for P in (10**2, 10**4, 10**6, 10**7)}
NODES = [2**k for k in range(11)]
NETWORKS = {  # assumed: seconds until a message is there, and a byte, of the order that MPI reaches
    "1 Gbit/s Ethernet, TCP": (50e-6, 1 / 0.117e9),
    "10 Gbit/s Ethernet, TCP": (30e-6, 1 / 1.1e9),
    "100 Gbit/s, RDMA": (3e-6, 1 / 11e9),
    "200 Gbit/s InfiniBand": (2e-6, 1 / 22e9),
}


def in_ranks(n: int, name: str, argument: object) -> Answer:
    """The answer of the first of n processes of mpiexec to end, with one BLAS thread each."""
    line = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(n), sys.executable]
    one = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    line += job(name, argument)
    printed = subprocess.check_output(line, env=one, cwd=running.ROOT, text=True)
    return json.JSONDecoder().raw_decode(printed)[0]


def shared(row: str, column: str, turn: int) -> Answer:
    """A step on part of a batch, or on a batch that two processes share."""
    net = NETS[row]._replace(batch=NETS[row].batch // PARTS[column])
    return in_ranks(2 if column == TWO else 1, "shared_step", net)


def average(row: str, column: str, turn: int) -> Answer:
    """The average of an array over the processes, in one Allreduce."""
    return in_ranks(int(column[0]), "average", NUMBERS[row])


def line(times: dict[float, float]) -> tuple[float, float]:
    """a and b of t = a + b x, by least relative squares; neither is below 0."""
    t = np.array(list(times.values()))
    b, a = np.polyfit(list(times), t, 1, w=1 / t)
    return max(0.0, float(a)), max(0.0, float(b))


def allreduce(P: int, nodes: int, alpha: float, beta: float) -> float:
    """Seconds for P float32: the faster of recursive doubling and Rabenseifner's algorithm (Thakur,
    Rabenseifner and Gropp 2005, section 4.5)."""
    rounds, seconds = math.ceil(math.log2(nodes)), 4 * P * beta
    doubling, halving = alpha + seconds, 2 * rounds * alpha + 2 * (nodes - 1) / nodes * seconds
    return min(rounds * doubling, halving)


def predicted(steps: Answers, averages: Answers) -> dict[str, str]:
    """A step as fixed + row * rows + Allreduce, fitted to what was measured; and for each network
    the least nodes with which it is within 5% of the fastest, and how many times as fast it is."""
    us = {at: median(turn["us"] for turn in turns) for at, turns in (steps | averages).items()}
    here = line({4 * P: us[row, "2 processes"] / 1e6 for row, P in NUMBERS.items()})
    model, stops = {}, {}
    for row, net in NETS.items():
        P = sum((n_in + 1) * n_out for n_in, n_out in pairwise(net.sizes))
        alone = {net.batch // n: us[row, part] / 1e6 for part, n in PARTS.items() if part != TWO}
        fixed, each = line(alone)
        compute = {n: fixed + each * math.ceil(net.batch / n) for n in NODES}
        model[row, "fixed, µs"] = f"{fixed * 1e6:,.1f}"
        model[row, "a row, µs"] = f"{each * 1e6:.3g}"
        model[row, "speed-up of 2 processes"] = f"{us[row, ONE] / us[row, TWO]:.2f}"
        model[row, "by the model"] = f"{compute[1] / (compute[2] + allreduce(P, 2, *here)):.2f}"
        for name, network in NETWORKS.items():
            times = {n: compute[n] + allreduce(P, n, *network) for n in NODES}
            nodes = min(n for n in NODES if times[n] <= 1.05 * min(times.values()))
            stops[row, name] = f"{nodes} ({times[1] / times[nodes]:.1f})"
    return {"model": report.grid(model), "stops": report.grid(stops)}


def disk() -> Answers:
    """Training from a folder, whose rows stay on the disk, and from an .npz, read into memory."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("MINNET_SCRATCH")) as room:
        run = ["--quiet", "--overwrite", "--out", f"{room}/run", "train.epochs=2"]
        run += ["model.hidden=[256,128]", "train.batch_size=128"]

        def do(row: str, column: str, turn: int) -> Answer:
            return launch(["-m", "minnet", "train", f"data.source={room}/{column}", *run])

        answers = {}
        for gigabytes in (GIGABYTES / 10, GIGABYTES):
            N = int(gigabytes * 1e9 / 4 / 784)
            write_rows(Path(room), N)
            answers |= in_turns([f"{gigabytes:g} GB, {N:,} rows"], ["folder", "file.npz"], do, 0)
        return answers


def write_rows(room: Path, N: int, D: int = 784) -> None:
    """Clouds of points around ten centers, in a folder and in an .npz."""
    rng, folder = np.random.default_rng(0), room / "folder"
    folder.mkdir(exist_ok=True)
    centers, y = rng.normal(size=(10, D)).astype(np.float32), rng.integers(0, 10, N)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (N, D))
    for start in range(0, N, 2**13):
        labels = y[start : start + 2**13]
        noise = rng.standard_normal((len(labels), D), np.float32)
        X[start : start + 2**13] = centers[labels] + 4 * noise
    np.save(folder / "y.npy", y)
    np.savez(room / "file.npz", X=X, y=y)


def main() -> None:
    """Measure, predict, write."""
    steps = in_turns(NETS, PARTS, shared, TURNS)
    averages = in_turns(NUMBERS, ["2 processes", "4 processes"], average, TURNS)
    blocks = report.tables({"shared": steps, "averages": averages, "disk": disk()})
    blocks |= {"machine": running.machine(), **predicted(steps, averages)}
    report.fill(DOCUMENT, blocks)


if __name__ == "__main__":
    main()
