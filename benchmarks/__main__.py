"""python -m benchmarks [--quick] [CASE ...]: time minnet beside its peers and write RESULTS.md and results.svg.

Peers that are not installed are left out (pip install -e ".[bench]" installs them). They take turns, each in a
process of its own, several times over; figures are medians, with the smallest and the largest beside them, and ratios
are the median of the ratios of each turn. Where one turn takes long, there are at most FEW. --quick takes one turn of
everything, and writes nothing.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks import report
from benchmarks.nets import NETS

PACKAGES = {"scikit-learn": "sklearn", "PyTorch": "torch", "JAX, step": "jax", "JAX, epoch": "jax", "JAX": "jax"}
ROADS, CLASSES = ("jacobian", "vjp", "fused"), (10, 100, 1000, 10_000)
ROWS, WIDTHS = (1_000, 10_000, 100_000, 1_000_000), (16, 64, 256, 1024, 2048)
FEW = 3  # turns at most of what takes long
LAUNCH = Path(__file__).with_name("launch.py")
ONE_CALL_EACH = {  # whole processes
    "import numpy": ["-c", "import numpy"],
    "import minnet": ["-c", "import minnet"],
    report.DATA_SETS: ["-c", "import sklearn.datasets"],
    report.COMMAND: ["train.py", "configs/digits.toml", "--quiet", "--overwrite", "--out"],
}


class Worker:
    """A process of benchmarks.worker."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def do(self, job: str, **arguments) -> dict:
        """The answer to a job."""
        self.process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process for {job} {arguments} ended: see above")
        time.sleep(0.05)  # threads that wait for more stop turning in circles
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def installed(peers) -> list[str]:
    """Those that can be imported."""
    return [peer for peer in peers if peer not in PACKAGES or importlib.util.find_spec(PACKAGES[peer])]


def taking_turns(peers: list[str], jobs: dict, turns: int) -> dict:
    """{(job's name, peer): [answers]}, from {name: (job, arguments, peers that do it)}; a first turn is not counted."""
    answers = defaultdict(list)
    workers = {peer: Worker() for peer in peers}
    for name, (job, arguments, doing) in jobs.items():
        for turn in range(turns + 1):
            for peer in [peer for peer in doing if peer in workers]:
                answer = workers[peer].do(job, peer=peer, **arguments)
                if turn > 0 or turns == 0:
                    answers[name, peer].append(answer)
        say(f"  {name}")
    for worker in workers.values():
        worker.close()
    return answers


def steps(turns: int) -> dict:
    """Training steps on the four nets."""
    peers = installed(["floor", "minnet", "scikit-learn", "PyTorch", "JAX, step", "JAX, epoch"])
    jobs = {name: ("train", {"net": name}, peers) for name in NETS}
    jobs["iris, 2 epochs"] = ("train", {"net": "iris", "epochs": 2}, ["minnet", "scalar"])
    return taking_turns([*peers, "scalar"], jobs, turns)


def fits(turns: int) -> dict:
    """MLPClassifier.fit, in both dtypes."""
    peers = ["minnet", "scikit-learn"]
    jobs = {
        f"{net} {dtype}": ("fit", {"net": net, "dtype": dtype}, peers)
        for net in ("iris", "digits", "784-256")
        for dtype in ("float32", "float64")
    }
    return taking_turns(peers, jobs, turns)


def growth(turns: int) -> dict:
    """How cost grows with rows and with width."""
    peers = installed(["minnet", "scikit-learn", "PyTorch"])
    jobs = {f"{n} rows": ("rows", {"n": n}, peers) for n in ROWS}
    jobs |= {f"{n} units": ("width", {"n": n}, peers) for n in WIDTHS}
    return taking_turns(peers, jobs, min(turns, FEW))


def roads(turns: int) -> dict:
    """The three roads from p to dz, in time and memory."""
    worker = Worker()
    answers = {
        (road, K): [worker.do("road", road=road, K=K) for _ in range(min(turns, FEW) or 1)]
        for K in CLASSES
        for road in ROADS
    }
    worker.close()
    say("  roads")
    return answers


def prediction(turns: int) -> dict:
    """Rows a second, from X to probabilities."""
    peers = installed(["minnet", "scikit-learn", "PyTorch"])
    jobs = {name: ("predict", {"net": name}, peers) for name in ("digits", "784-256")}
    return taking_turns(peers, jobs, turns)


def processes(turns: int, scratch: Path) -> dict:
    """Whole processes: seconds, bytes at the peak, and for the cold starts accuracy and epochs."""
    calls = {name: [*arguments] for name, arguments in ONE_CALL_EACH.items()}
    calls[report.COMMAND].append(str(scratch / "run"))
    for net in NETS:
        for peer in installed(["minnet", "scikit-learn", "PyTorch", "JAX"]):
            calls[net, peer] = ["-m", "benchmarks.cold", peer, net]
    answers = defaultdict(list)
    for turn in range(min(turns, FEW) + 1):
        for name, arguments in calls.items():
            seed = [str(turn)] if isinstance(name, tuple) else []
            answer = launch(name, [*arguments, *seed])
            if turn > 0 or turns == 0:
                answers[name].append(answer)
        say(f"  whole processes, turn {turn}")
    return answers


def launch(name, arguments: list[str]) -> dict:
    """A Python process's seconds, bytes at the peak, accuracy and epochs; by a small process, see launch.py."""
    call = subprocess.run([sys.executable, str(LAUNCH), *arguments], stdout=subprocess.PIPE, text=True)
    if call.returncode != 0:
        raise SystemExit(f"{name} failed")
    answer = json.loads(call.stdout)
    if isinstance(name, tuple):
        accuracy, epochs = answer["printed"].split()
        answer |= {"accuracy": float(accuracy), "epochs": int(epochs)}
    return answer


CASES = {"steps": steps, "fits": fits, "growth": growth, "roads": roads, "predict": prediction, "processes": processes}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    blas = json.loads(
        subprocess.run(
            [sys.executable, "-c", "import json, numpy, threadpoolctl as t; print(json.dumps(t.threadpool_info()))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )
    about = {"processor": f"{cpu}, {os.cpu_count()} cores", "Python": platform.python_version()}
    for name in ("numpy", "scikit-learn", "torch", "jax"):
        if importlib.util.find_spec({"scikit-learn": "sklearn"}.get(name, name)):
            about[name] = importlib.metadata.version(name)
    for library in blas[:1]:
        about["NumPy's BLAS"] = f"{library['internal_api']} {library['version']}, {library['num_threads']} threads"
    return about


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run the cases, and write them down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"only these of {', '.join(CASES)}; nothing is written"
    )
    parser.add_argument(
        "--turns",
        type=int,
        default=7,
        help=f"how often each peer is timed (7); growth, roads, processes: at most {FEW}",
    )
    parser.add_argument("--quick", action="store_true", help="one turn, nothing is written")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}: choose from {', '.join(CASES)}")
    writes = not (options.cases or options.quick)
    if writes and not importlib.util.find_spec("matplotlib"):
        parser.error('the picture needs matplotlib: pip install -e ".[bench]"')
    turns, results = 0 if options.quick else options.turns, {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.cases or CASES:
            say(name)
            results[name] = CASES[name](turns, Path(scratch)) if name == "processes" else CASES[name](turns)
    text = report.markdown(results, machine())
    if writes:
        folder = Path(__file__).parent
        (folder / "RESULTS.md").write_text(text, encoding="utf-8")
        report.picture(results, folder / "results.svg")
    else:
        print(text)


if __name__ == "__main__":
    main()
