"""Where the command line starts: `minnet`, `python -m minnet` and `python train.py`."""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Sequence
from types import FrameType

LEAST = 2**30  # bytes of addresses: with fewer, libraries end without a line, or never
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command in a process of its own; returns its exit code. A signal ends it in one line,
    also while minnet is imported, and after what is half written was removed."""
    for stream in (0, 1, 2):  # what is opened next must not take the place of a closed one
        try:
            os.fstat(stream)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if resource.RLIM_INFINITY != limit < LEAST:
        _say("out of memory: minnet needs a limit of 1 GB or more; see ulimit -v")
        return 1
    caught = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
    for number in caught:  # not those that nohup or a shell has switched off
        signal.signal(number, _end)
    from minnet import cli

    for number in caught:
        signal.signal(number, _interrupt)
    try:
        return cli.main(arguments)
    except KeyboardInterrupt as error:  # while the line of another one was printed
        return 128 + int(error.args[0])


def _end(number: int, frame: FrameType | None) -> None:
    _say("interrupted")
    os._exit(128 + number)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"minnet: {line}\n".encode())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    sys.exit(main())
