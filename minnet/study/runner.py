"""A learner's file in a process of its own: `python -I runner.py FD`, started by grade.py.

It is two processes. The guard ends the other one, and all that this one has started, when its
standard input closes: when the grader says so, or is gone. The other runs the file and answers
the grader over the socket FD, without standard input, within LIMITS, and on Linux, where it may,
without a network and without sight of other processes. Only NumPy is imported, minnet is not.

A message is its length (8 bytes), a line of JSON and arrays as .npy, which are never pickled.
"""

import ctypes
import io
import json
import linecache
import os
import resource
import signal
import socket
import struct
import symtable
import sys
import tracemalloc
import types
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np
from numpy.lib.format import read_array, write_array
from numpy.typing import NDArray

Message = tuple[dict[str, Any], list[NDArray]]
MODULE = "minnet_exercise"  # the name under which the file runs
MOST = 1 << 20  # bytes of a message, or of the file
PRINTED = 100_000  # characters of one call
LONGEST = 200  # characters of an error's message
FRAMES = 5  # lines of its traceback
NOT_YET = "not solved yet"
LIMITS = {"AS": 2 << 30, "FSIZE": 10 << 20, "NPROC": 64, "CORE": 0}  # of resource.RLIMIT_...
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000  # of Linux's sched.h
DIE_WITH_PARENT, ADOPT_ORPHANS = 1, 36  # of its prctl.h


def packed(note: dict[str, Any], arrays: list[NDArray]) -> bytes:
    """A message."""
    body = io.BytesIO()
    body.write(json.dumps(note).encode() + b"\n")
    for array in arrays:
        write_array(body, array, allow_pickle=False)
    return struct.pack(">Q", body.tell()) + body.getvalue()


def received(recv: Callable[[int], bytes]) -> Message:
    """The next message. Raises EOFError at the end, and anything if it is none."""

    def exactly(n: int) -> bytes:
        data = bytearray()
        while len(data) < n:
            if not (more := recv(n - len(data))):
                raise EOFError
            data += more
        return bytes(data)

    (n,) = struct.unpack(">Q", exactly(8))
    if n > 2 * MOST:
        raise ValueError(f"a message of {n} bytes")
    body, arrays = io.BytesIO(exactly(n)), []
    note = json.loads(body.readline())
    while body.tell() < n:
        arrays.append(read_array(body, allow_pickle=False, max_header_size=1000))
    return note, arrays


class Printed(io.StringIO):
    """What is printed, up to a limit."""

    def write(self, text: str) -> int:
        """Raises RuntimeError beyond the limit."""
        if self.tell() + len(text) > PRINTED:
            raise RuntimeError(f"prints more than {PRINTED:,} characters")
        return super().write(text)


def answered(function: Callable[..., Any], args: list[Any], file: str) -> Message:
    """What the function returns, and its arguments after the call, as arrays, how many of them it
    returned, what that is in words, what it printed, the bytes that it held, and its error."""
    printed, parts, got, error, held = Printed(), list[Any](), "", "", 0
    with redirect_stdout(printed), redirect_stderr(printed):
        tracemalloc.start()
        try:
            x = function(*args)
            held = tracemalloc.get_traced_memory()[1]
            parts, got = [*map(_plain, x if isinstance(x, tuple | list) else [x])], _kind(x)
        except BaseException as e:  # it may do anything, sys.exit() too
            error = _said(e, file)
        tracemalloc.stop()
    if any(part is None for part in parts):
        parts = []
    note = {"returned": len(parts), "got": got, "printed": printed.getvalue()[: 10 * LONGEST]}
    after = [x for x in args if isinstance(x, np.ndarray)]
    return note | {"held": held, "error": error}, parts + after


def _plain(x: Any) -> NDArray | None:
    """x as an array, if it is one of numbers, or a number, and not too large for a message."""
    array = np.asarray(x if isinstance(x, np.ndarray | np.generic | float | int) else None)
    return array if array.dtype.kind in "biufc" and array.nbytes <= MOST // 8 else None


def _kind(x: Any) -> str:
    if x is None:
        return "None (is there a return?)"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    if isinstance(x, np.ndarray | np.generic):
        return f"an array {x.shape} of {x.dtype}" if x.ndim else f"one number ({x.dtype})"
    return f"a value of type {type(x).__name__}"


def _said(error: BaseException, file: str) -> str:
    """An error in words, and below it the last lines of the file that it went through."""
    if isinstance(error, NotImplementedError):
        return NOT_YET
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename == file]
    lines = [f"at line {x.lineno}, in {x.name}: {x.line}" for x in frames[-FRAMES:]]
    message = ""
    with suppress(BaseException):  # where __str__ is the learner's too
        message = " ".join(str(error).split())[:LONGEST]
    return "\n".join([type(error).__name__ + f": {message}" * bool(message), *lines])


class NumPyAlone:
    """A finder of modules that does not let the answers be imported."""

    def find_spec(self, name: str, *_: Any) -> None:
        """Raises ImportError for minnet."""
        if name == "minnet":
            raise ImportError("minnet holds the answers; write yours in NumPy alone")


def serve(pipe: socket.socket) -> None:
    """Run the file that comes first, say which functions it has, then call them as asked."""

    def f(x: Any) -> Any:
        """The function of an exercise whose argument is one: the grader knows it."""
        array = _plain(np.asarray(x))
        if array is None:
            raise TypeError(f"f takes an array (n,) of float64, not {_kind(x)}")
        pipe.sendall(packed({"asks": True}, [array]))
        note, [value] = received(pipe.recv)
        if note["error"]:
            raise ValueError(note["error"])
        return value[()]

    note, [source] = received(pipe.recv)
    path, content = note["path"], source.tobytes()
    text = content.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[path] = (len(content), None, text, path)  # for tracebacks; it runs elsewhere
    module = sys.modules[MODULE] = types.ModuleType(MODULE)  # where dataclasses look for it
    module.__file__ = path
    sys.meta_path.insert(0, NumPyAlone())
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    done, _ = answered(lambda: exec(compile(content, path, "exec"), vars(module)), [], path)
    names: list[str] = []
    if not done["error"]:
        top = symtable.symtable(content, path, "exec").get_symbols()  # type: ignore[arg-type]
        imported = {name.get_name() for name in top if name.is_imported() > name.is_assigned()}
        there = {name for name, x in vars(module).items() if callable(x)} - imported
        names = [name for name in note["names"] if name in there]
    pipe.sendall(packed(done | {"names": names}, []))
    while True:
        note, arrays = received(pipe.recv)
        args = [f] * note["f"] + [x if x.ndim else x.item() for x in arrays]
        function = getattr(module, note["call"])
        pipe.sendall(packed(*answered(function, args, path)))


def guard(child: int) -> None:
    """End the child and all its descendants once standard input closes; its exit code is ours, 128
    plus the number of a signal."""
    os.read(0, 1)
    for end in (os.killpg, os.kill):
        with suppress(OSError):
            end(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = Path(f"/proc/self/task/{os.getpid()}/children")  # Linux gives us the orphans
    with suppress(OSError):
        while pids := [*map(int, left.read_text().split())]:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    os._exit(code if code >= 0 else 128 - code)


def main(fd: int) -> None:
    """Become the guard and the process that it guards."""
    libc = ctypes.CDLL(None)
    with suppress(AttributeError):  # not Linux
        libc.unshare(NEW_USER | NEW_PID | NEW_NET)  # if that is not allowed, nothing changes
        libc.prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    if child := os.fork():
        os.close(fd)
        guard(child)
    with suppress(AttributeError):
        libc.prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, most in LIMITS.items():
        with suppress(AttributeError, OSError, ValueError):  # not here, or lower already
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    with suppress(EOFError):
        serve(socket.socket(fileno=fd))


if __name__ == "__main__":
    main(int(sys.argv[1]))
