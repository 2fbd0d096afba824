"""How jobs are run: in a process for each peer, or each in a process of its own."""

import importlib.util
import json
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import threadpoolctl

from benchmarks.jobs import Answer

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"scikit-learn": "sklearn", "PyTorch": "torch", "JAX": "jax", "picture": "matplotlib"}
At = tuple[str, str]  # row and column of a table
Answers = dict[At, list[Answer]]  # one for each turn


def in_turns(
    rows: Iterable[str], peers: Iterable[str], do: Callable[[str, str, int], Answer], turns: int
) -> Answers:
    """The answers of do(row, peer, turn), row by row. The peers take turns, the first of which is
    not counted unless it is the only one."""
    answers, peers = defaultdict(list), list(peers)
    for row in rows:
        for turn in range(turns + 1):
            for peer in reversed(peers) if turn % 2 else peers:
                answers[row, peer].append(do(row, peer, turn))
        print(f"  {row}", file=sys.stderr, flush=True)
    return {at: found[1:] or found for at, found in answers.items()}


def in_workers(
    peers: dict[str, Any], job: Callable[..., Answer], rows: dict[str, Any], turns: int
) -> Answers:
    """The answers to job(peer, rows[row]) of the installed peers. Each has a process of its own, so
    that none runs among another's threads; peers[peer] is what ProcessPoolExecutor starts it with.
    """
    context, installed = multiprocessing.get_context("spawn"), filter(is_installed, peers)
    pools = {peer: ProcessPoolExecutor(1, context, *peers[peer]) for peer in installed}

    def do(row: str, peer: str, turn: int) -> Answer:
        answer = pools[peer].submit(job, peer, rows[row]).result()
        time.sleep(0.05)  # until BLAS threads that wait for more work stop spinning
        return answer

    answers = in_turns(rows, pools, do, turns)
    for pool in pools.values():
        pool.shutdown()
    return answers


def is_installed(peer: str) -> bool:
    """Whether what a peer or the picture imports is installed. "JAX, step" is JAX."""
    return importlib.util.find_spec(MODULES.get(peer.partition(",")[0], "numpy")) is not None


def launch(arguments: list[str]) -> Answer:
    """Seconds and peak bytes of a Python process, and its job's answer, or what it printed."""
    line = [sys.executable, str(ROOT / "benchmarks" / "launch.py"), *arguments]
    answer = json.loads(subprocess.check_output(line, cwd=ROOT))
    printed = answer.pop("printed")
    return answer | (json.loads(printed) if printed.startswith("{") else {"printed": printed})


def job(name: str, *arguments: object) -> list[str]:
    """The arguments of a Python process that does one job of jobs.py and prints the answer."""
    code = f"import json; from benchmarks.jobs import *; print(json.dumps({name}{arguments!r}))"
    return ["-c", code]


def machine() -> str:
    """What the figures were measured on, as a list."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = re.search("model name\t: (.*)", info)
    versions = {found.name: found.version for found in distributions()}
    packages = ("numpy", "scikit-learn", "torch", "jax")
    blas = threadpoolctl.threadpool_info()[0]
    about = [
        f"{name[1] if name else platform.processor()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        *(f"{package} {versions[package]}" for package in packages if package in versions),
        f"{blas['internal_api']} {blas['version']}, {blas['num_threads']} threads",
    ]
    return "\n".join(f"- {line}" for line in about)
