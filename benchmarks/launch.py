"""python benchmarks/launch.py ARGUMENT ...: run Python with these arguments, and print its seconds and peak of memory.

On Linux the peak of a process is never below what the process that forked it took then. So that small ones are not all
measured as large as the benchmark, with its numpy, this script stands between: it imports next to nothing, and is run
as a file, since as a module of a package it could come to import more.
"""

import json
import os
import subprocess
import sys
import time


def launch(arguments: list[str]) -> dict:
    """What the call printed, the seconds it took and its bytes at the peak."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return {"seconds": seconds, "bytes": usage.ru_maxrss * unit, "printed": printed.strip()}


if __name__ == "__main__":
    print(json.dumps(launch(sys.argv[1:])))
