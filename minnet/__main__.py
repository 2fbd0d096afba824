"""Where a command begins: `python -m minnet`, `minnet` and train.py. What could end it with lines
that are not its own is settled before anything is imported that takes time."""

import os
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

from minnet.errors import SIGNALS, one_line

LEAST = 600_000_000  # bytes of addresses; with fewer, what NumPy and SciPy load hangs or crashes


def main(argv: list[str] | None = None) -> int:
    """Run one command in a process of its own; returns its exit code, as cli.main does."""
    for number in SIGNALS:
        signal.signal(number, lambda number, _: _leave("interrupted", 128 + number))
    for handle, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed: no file of ours may get its number
            os.open(os.devnull, os.O_RDONLY)  # so that what is written to it fails
            setattr(sys, name, open(handle, "w" if handle else "r"))  # noqa: SIM115, PTH123
    try:
        _prepare()
        from minnet import cli

        code = cli.main(argv)
        if code > 128 and "mpi4py" not in sys.modules:  # which has to end in order
            os._exit(code)  # what was interrupted could crash Python's own end, or change the code
        return code
    except (ImportError, MemoryError) as error:
        return _leave(one_line(f"{type(error).__name__}: {error}"), 1)
    except KeyboardInterrupt:  # a second one, while the command ends
        return _leave("interrupted", 128 + signal.SIGINT)
    finally:  # what is done is done
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _leave(line: str, code: int) -> int:
    """End at once: there is nothing half written."""
    try:
        os.write(2, f"minnet: {line}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(code)


def _prepare() -> None:
    """Settle what libraries would take from the limits and the environment, and let none of them
    print: what concerns the user is a note of ours."""
    import logging
    import resource
    import warnings

    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each of its threads takes addresses
            if most < LEAST:
                what = f"{most // 10**6} MB of memory are allowed (see ulimit -a)"
                _leave(f"{what}, less than the {LEAST // 10**6} MB that NumPy needs: allow more", 1)
    os.environ["MPLBACKEND"] = "agg"  # another one may not exist
    logging.disable()
    warnings.showwarning = lambda *_, **__: None
    sys.unraisablehook = _come_again


def _come_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Send a signal again that came where Python drops errors, as while it frees an object."""
    import threading

    if isinstance(ignored.exc_value, KeyboardInterrupt):
        threading.Timer(0.01, os.kill, [os.getpid(), *ignored.exc_value.args]).start()


if __name__ == "__main__":
    sys.exit(main())
