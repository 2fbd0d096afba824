"""Where a command begins: `python -m minnet`, `minnet` and train.py. What could end it with lines
that are not its own is settled before anything is imported that takes time."""

import os
import signal
import sys

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
        threading.Timer(0.01, os.kill, [os.getpid(), ignored.exc_value.args[0]]).start()


if __name__ == "__main__":
    sys.exit(main())
