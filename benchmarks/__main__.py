"""python -m benchmarks [--only CASE] [--turns N], or --beside CHECKOUT

Time minnet beside its peers, and write RESULTS.md and results.svg; with --only, print one case's
tables instead. Peers that are not installed are left out: pip install -e ".[bench]". They take
turns, each in a process of its own; figures are medians, and ratios medians of each turn's ratio.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import jobs, report, running
from benchmarks.nets import NETS, Net
from benchmarks.peers import use
from benchmarks.running import Answers, in_turns, in_workers, job, launch

FEW = 3  # turns at most of what takes long
PAIRS = 10  # turns beside an older checkout, for each turn asked for
N, D = 1_000_000, 50  # of the file that is read
DOCUMENT, PICTURE = (Path(__file__).with_name(name) for name in ("RESULTS.md", "results.svg"))
USUAL = ("minnet", "scikit-learn", "PyTorch")
SMALL, DIGITS, MEDIUM, WIDE = NETS
TWO_EPOCHS = {SMALL: NETS[SMALL]._replace(epochs=2)}
FITTED = [(row, dtype) for row in (SMALL, DIGITS, MEDIUM) for dtype in ("float32", "float64")]
FITTED = {f"{row}, {dtype}": NETS[row]._replace(dtype=dtype) for row, dtype in FITTED}
GROWN = {f"{n:,} rows": Net((64, 64, 10), 32, n) for n in (1024, 10_240, 102_400, 1_024_000)}
GROWN |= {f"{n:,} units": Net((784, n, 10), 128, 2560) for n in (16, 64, 256, 1024, 2048)}
CLASSES = {f"{K:,} classes": K for K in (10, 100, 1000, 10_000)}
PREDICTED = {row: NETS[row] for row in (DIGITS, MEDIUM)}
TIMED = {  # peers, their job, what it is done for in each row, turns at most
    "steps": (("floor", *USUAL, "JAX, step", "JAX, epoch"), jobs.train, NETS, 99),
    "scalar": (("minnet", "scalar"), jobs.train, TWO_EPOCHS, FEW),
    "fits": (("minnet.MLPClassifier", "scikit-learn"), jobs.train, FITTED, 99),
    "growth": (USUAL, jobs.train, GROWN, FEW),
    "gradients": (("jacobian", "vjp", "fused"), jobs.output_gradient, CLASSES, FEW),
    "predict": (USUAL, jobs.predict, PREDICTED, 99),
}


def timed(case: str, turns: int) -> Answers:
    """The answers of the peers that are installed."""
    peers, do, rows, most = TIMED[case]
    return in_workers(dict.fromkeys(peers, ()), do, rows, min(turns, most))


def processes(turns: int) -> Answers:
    """Starts and whole commands."""
    with tempfile.TemporaryDirectory() as folder:
        model, rows, run = (str(Path(folder, name)) for name in ("model", "rows.csv", "run"))
        launch(["-m", "minnet", "train", "iris", "--quiet", "--out", model])
        np.savetxt(rows, np.random.default_rng(0).random((100, 4)), "%.3f", ",")
        calls = {
            "import numpy": ["-c", "import numpy"],
            "import minnet": ["-c", "import minnet"],
            "minnet --help": ["-m", "minnet", "--help"],
            "minnet study": ["-m", "minnet", "study"],
            "minnet predict, 100 rows": ["-m", "minnet", "predict", model, rows],
            "import sklearn.datasets": ["-c", "import sklearn.datasets"],
            "train.py": ["train.py", "--quiet", "--overwrite", "--out", run],
        }
        return in_turns(calls, ["process"], lambda row, _, turn: launch(calls[row]), turns)


def whole(turns: int) -> Answers:
    """Whole processes that train, in each turn from another seed."""
    peers = filter(running.is_installed, (*USUAL, "JAX, epoch"))
    call = lambda row, peer, turn: launch(job("whole", peer, NETS[row], turn))  # noqa: E731
    return in_turns(NETS, peers, call, min(turns, FEW))


def reading(turns: int) -> Answers:
    """Reading a text file of N x D numbers, 1,000 rows over and over."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "numbers.csv")
        block = np.random.default_rng(0).normal(size=(1000, D)).tolist()
        text = "".join(",".join(f"{x:.6g}" for x in row) + "\n" for row in block)
        with path.open("w") as file:
            file.writelines(text for _ in range(N // 1000))
        call = lambda row, peer, turn: launch(job("read", peer, str(path)))  # noqa: E731
        return in_turns(["numbers"], ["minnet", "numpy.loadtxt"], call, min(turns, FEW))


def members() -> str:
    """What benchmarks.members prints, with one BLAS thread."""
    code = "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'; from benchmarks import members"
    return f"```text\n{launch(['-c', f'{code}; members.main()'])['printed'].rstrip()}\n```"


def pairs(turns: int, checkout: str) -> Answers:
    """Steps of another checkout's minnet and of this one."""
    peers = {"before": (use, (str(Path(checkout).resolve()),)), "minnet": ()}
    return in_workers(peers, jobs.train, NETS, PAIRS * turns)


def main() -> None:
    """Run the cases, and write or print their tables."""
    cases = {case: partial(timed, case) for case in TIMED}
    cases |= {"processes": processes, "whole": whole, "reading": reading}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=cases, help="print one case's tables")
    parser.add_argument("--turns", type=int, default=7, help="how often each peer is timed")
    parser.add_argument("--beside", metavar="CHECKOUT", help="only steps, beside an older minnet")
    options = parser.parse_args()
    if not running.is_installed("picture"):
        parser.error('the picture needs matplotlib: pip install -e ".[bench]"')
    if options.beside:
        cases = {"beside": partial(pairs, checkout=options.beside)}
    results = {name: cases[name](options.turns) for name in options.only or cases}
    blocks = report.tables(results)
    if options.only:
        print(*(f"{name}\n\n{block}\n" for name, block in blocks.items()), sep="\n")
        return
    if not options.beside:
        blocks |= {"machine": running.machine(), "members": members()}
        PICTURE.write_text(report.picture(results), encoding="utf-8")
    report.fill(DOCUMENT, blocks)


if __name__ == "__main__":
    main()
