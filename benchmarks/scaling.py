"""python -m benchmarks.scaling [--large]: how training scales over processes, measured here and predicted for more.

Measures the time of a step by rows, of an Allreduce by numbers and processes, and of whole steps in two processes;
fits a model to the first two; and writes docs/scaling.md, in which what is measured and what is predicted stand apart.
With --large it also trains from 4 GB on the disk, made on the spot, and from memory. It needs the extra `mpi`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.__main__ import machine
from benchmarks.nets import NETS

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "scaling.md"
NUMBERS = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)  # in an Allreduce
NODES = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
TURNS = 7


@dataclass(frozen=True)
class Network:
    """What an Allreduce costs: alpha, the seconds until a message is there; beta, seconds a byte. Adding is in beta."""

    name: str
    alpha: float
    beta: float

    def allreduce(self, numbers: int, nodes: int) -> float:
        """Seconds for so many numbers of float32: the faster of recursive doubling and of Rabenseifner's algorithm, as
        Thakur, Rabenseifner and Gropp 2005 (section 4.5) have their costs."""
        rounds, size = math.ceil(math.log2(nodes)), 4 * numbers
        doubling = rounds * (self.alpha + size * self.beta)
        halving = 2 * rounds * self.alpha + 2 * (nodes - 1) / nodes * size * self.beta
        return min(doubling, halving) if nodes > 1 else 0.0


# assumed, not measured: of the order that such networks give to MPI, through the kernel's TCP or from user space
NETWORKS = (
    Network("1 Gbit/s Ethernet, TCP", 50e-6, 1 / 0.117e9),
    Network("10 Gbit/s Ethernet, TCP", 30e-6, 1 / 1.1e9),
    Network("100 Gbit/s, RDMA", 3e-6, 1 / 11e9),
    Network("200 Gbit/s InfiniBand", 2e-6, 1 / 22e9),
)


@dataclass(frozen=True)
class Cost:
    """A step's seconds for m rows: fixed, for calls and the update, and by the row."""

    fixed: float
    row: float

    def compute(self, rows: float) -> float:
        """Seconds of a step on so many rows."""
        return self.fixed + self.row * rows

    def step(self, batch: int, nodes: int, network: Network, numbers: int) -> float:
        """Seconds of a step on a batch that is shared by the nodes."""
        return self.compute(math.ceil(batch / nodes)) + network.allreduce(numbers, nodes)

    def enough(self, batch: int, network: Network, numbers: int) -> int:
        """The least number of nodes, a power of 2 up to 1,024, with which a step is within 5% of the fastest."""
        times = {2**k: self.step(batch, 2**k, network, numbers) for k in range(11)}
        return min(nodes for nodes, seconds in times.items() if seconds <= 1.05 * min(times.values()))

    def batch_needed(self, nodes: int, network: Network, numbers: int) -> float:
        """Rows in a batch with which half of each step goes into rows."""
        return nodes * (self.fixed + network.allreduce(numbers, nodes)) / self.row


def fit(rows: dict[int, float]) -> Cost:
    """The line through the times of steps, each weighted by 1/time: relative errors count."""
    m, t = np.array(list(rows), float), np.array(list(rows.values()))
    fixed, row = np.linalg.lstsq(np.stack([1 / t, m / t], axis=1), np.ones(len(t)), rcond=None)[0]
    return Cost(max(0.0, float(fixed)), float(row))


def fit_network(times: dict[int, float]) -> Network:
    """alpha and beta of an Allreduce between two processes, from its times by numbers."""
    size, t = 4 * np.array(list(times), float), np.array(list(times.values()))
    alpha, beta = np.linalg.lstsq(np.stack([1 / t, size / t], axis=1), np.ones(len(t)), rcond=None)[0]
    return Network("this machine, memory", max(0.0, float(alpha)), float(beta))


def in_ranks(n: int, code: str, *arguments: str) -> dict:
    """What the first of n processes prints at the end, as JSON."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    line = [str(mpiexec), "-n", str(n), sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


STEPS = """
import json, sys, time, numpy as np
from dataclasses import replace
from minnet import config, parallel, training
from minnet.batches import Part
from benchmarks.nets import NETS
name, batch, turns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
net, team = NETS[name], parallel.team()
steps = max(4, min(200, 60000 // max(1, batch) // max(1, net.sizes[0] // 64)))
rng = np.random.default_rng(0)
X1 = np.ones((steps * batch, net.sizes[0] + 1), np.float32)
X1[:, :-1] = rng.standard_normal((len(X1), net.sizes[0]))
part = Part(X1, rng.integers(0, net.sizes[-1], len(X1)))
c = config.load(None, [f"model.hidden={list(net.sizes[1:-1])}", f"train.batch_size={batch}", "train.patience=0",
                       f"train.epochs={turns + 1}"])
mlp = training.build(c, net.sizes[0], net.sizes[-1], None)
with training.blas_threads(mlp, 0):
    seconds = [epoch.seconds for epoch in training.train(mlp, part, None, c, team=team) if epoch]
if team.rank == 0:
    print(json.dumps({"seconds": float(np.median(np.diff(seconds))) / steps, "P": mlp.theta.size}))
"""

ALLREDUCE = """
import json, sys, time, numpy as np
from minnet import parallel
team = parallel.team()
times = {}
for P in map(int, sys.argv[1:]):
    dtheta = np.ones(P, np.float32)
    repeats = max(3, min(500, 10**7 // P))
    found = []
    for turn in range(8):
        start = time.perf_counter()
        for _ in range(repeats):
            team.average(dtheta, 1.0, 1.0, (False, False))
        found.append((time.perf_counter() - start) / repeats)
    own = []
    room = np.empty_like(dtheta)
    for turn in range(8):  # the two passes over the buffer that are not the network's
        start = time.perf_counter()
        for _ in range(repeats):
            np.multiply(dtheta, 1.0, out=room)
            np.divide(room, 1.0, out=dtheta)
        own.append((time.perf_counter() - start) / repeats)
    times[P] = [float(np.median(found[1:])), float(np.median(own[1:]))]
if team.rank == 0:
    print(json.dumps(times))
"""


def measure(say: Callable[[str], object]) -> dict:
    """All that is measured, but for the large run."""
    found: dict = {"rows": {}, "pairs": {}, "P": {}}
    for name, net in NETS.items():
        found["rows"][name] = {}
        for m in sorted({1, max(1, net.batch // 8), net.batch // 4, net.batch // 2, net.batch, 2 * net.batch}):
            answer = in_ranks(1, STEPS, name, str(m), str(TURNS))
            found["rows"][name][m], found["P"][name] = answer["seconds"], answer["P"]
        found["pairs"][name] = {n: in_ranks(n, STEPS, name, str(net.batch), str(TURNS))["seconds"] for n in (1, 2)}
        say(name)
    found["allreduce"] = {n: in_ranks(n, ALLREDUCE, *map(str, NUMBERS)) for n in (2, 4)}
    return found


LARGE = """
import json, resource, sys, time
from minnet import cli
import minnet.tables.arrays as arrays
folder, out, memory = sys.argv[1:4]
if memory == "memory":
    arrays.MAPPED_BYTES = 1 << 60
code = cli.main(["train", f"data.source={folder}", "--out", out, "--quiet", *sys.argv[4:]])
result = json.load(open(f"{out}/result.json"))
rows = [line.split(",") for line in open(f"{out}/metrics.csv")][1:]
seconds = [float(row[6]) for row in rows]
print(json.dumps({"code": code, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                  "row": (seconds[-1] - seconds[0]) / (len(seconds) - 1) / result["rows"]["train"],
                  "accuracy": result["test_accuracy"], "rows": result["rows"]}))
"""


def large(say: Callable[[str], object], gigabytes: float = 4.0, D: int = 784) -> dict:
    """Training of two epochs from the disk and from memory on so many GB of float32, and from the disk on a tenth."""
    found: dict = {"D": D}
    settings = ["model.hidden=[256, 128]", "train.batch_size=128", "train.epochs=2", "train.label_smoothing=0"]
    settings += ["optimizer.learning_rate=0.001"]
    with tempfile.TemporaryDirectory(dir=os.environ.get("MINNET_SCRATCH")) as room:
        for share in (0.1, 1.0):
            folder = Path(room) / f"rows{share}"
            N = int(gigabytes * share * 1e9 / 4 / D)
            make(folder, N, D)
            found[str(share)] = {"bytes": (folder / "X.npy").stat().st_size, "N": N}
            for kind in ("disk", "memory"):
                answer = in_ranks(1, LARGE, str(folder), str(folder / kind), kind, *settings)
                found[str(share)][kind] = answer
                say(f"{share} {kind}: {answer['peak'] / 1e6:.0f} MB, {answer['row'] * 1e6:.1f} µs a row")
    return found


def make(folder: Path, N: int, D: int) -> None:
    """Clouds of points around ten centers, a block at a time, as X.npy and y.npy."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    centers, y = rng.normal(size=(10, D)).astype(np.float32), rng.integers(0, 10, N)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (N, D))
    for start in range(0, N, 2**13):
        rows = slice(start, start + 2**13)
        X[rows] = centers[y[rows]] + 4 * rng.standard_normal((len(y[rows]), D), dtype=np.float32)
    X.flush()
    np.save(folder / "y.npy", y)


def main() -> None:
    """Measure, fit, predict, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--large", action="store_true", help="measure the 4 GB too (some minutes, 5 GB of disk)")
    parser.add_argument("--keep", type=Path, help="write what is measured to this file, or take it from there")
    options = parser.parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", file=sys.stderr)

    if options.keep and options.keep.exists():
        found = json.loads(options.keep.read_text())
    else:
        found = {"machine": machine(), **measure(say)}
        if options.keep:
            options.keep.write_text(json.dumps(found))
    if options.large:
        found["large"] = large(say)
    found = json.loads(json.dumps(found))  # as it would come back from a file
    if options.keep:
        options.keep.write_text(json.dumps(found))
    from benchmarks import scaling_text

    DOCUMENT.write_text(scaling_text.document(found), encoding="utf-8")


if __name__ == "__main__":
    main()
