"""python -m benchmarks.worker: one process, which does one job a line and answers a line each.

Every peer has a process of its own, so that none runs among the waiting threads of another.
"""

import contextlib
import importlib
import json
import sys


def main() -> None:
    """Read jobs, {"job": a function of benchmarks.jobs, ...its arguments}, until the input ends."""
    jobs = importlib.import_module("benchmarks.jobs")
    answers = sys.stdout
    for line in sys.stdin:
        job = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = getattr(jobs, job.pop("job"))(**job)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
