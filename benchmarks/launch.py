"""python benchmarks/launch.py ARGUMENT ...: run Python, and print its seconds, its peak memory in
bytes and what it printed.

On Linux a process's peak is never below that of the process that forked it. So this one, which
imports next to nothing, stands between the benchmarks with their NumPy and what they measure.
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.PIPE) as process:
        printed = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, unit = time.perf_counter() - start, 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "bytes": usage.ru_maxrss * unit, "printed": printed}))
    sys.exit(process.returncode)
