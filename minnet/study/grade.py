"""The exercises of docs/exercises, checked: `minnet study --grade FILE`.

The file runs in a process of its own (runner.py), one for each function, of which nothing is
believed but numbers: each function is called on known and on random cases, and what comes back as
plain arrays is held here against the core's right numbers and differences. Wrong functions are
called on the same cases: the one that returns the same wrong numbers is named.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet.errors import DataError, one_line
from minnet.files import named
from minnet.study import runner
from minnet.study.exercises import EXERCISES, SIZES, Claim, Exercise, WrongError, drawn
from minnet.study.mistakes import MISTAKES
from minnet.study.text import array_lines, numbers, paint, wrapped

SECONDS = 10  # for the checks of one function, the start of its process included
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
NO_ANSWER = "it has written to the grader's pipe what is no answer"
SHOWN = 12  # numbers of an input, and lines of what is printed
NEAR = 1e-7  # of the largest number: how far differences may be off
Ask = Callable[[str, tuple], runner.Message]


class Part(NamedTuple):
    """One function of the file: what is wrong with each claim about it, if anything, what mistake
    it looks like, and what it printed."""

    name: str
    faults: dict[str, str]
    likely: str
    printed: list[str]

    @property
    def ok(self) -> bool:
        """Whether all its checks pass."""
        return not any(self.faults.values())


def grade(path: Path) -> list[Part]:
    """Check the functions of exercises in a file. Raises FileError if it cannot be read, DataError
    if it is no regular file, cannot be run, or has none."""
    source = _source(path)
    with np.errstate(all="ignore"):
        with running(path, source) as stranger:
            names = stranger.names()
            parts = [part(names[0], stranger.ask)]
        for name in names[1:]:
            with running(path, source) as stranger:
                stranger.names()
                parts.append(part(name, stranger.ask))
    return parts


def lines(parts: list[Part], colour: bool = False) -> list[str]:
    """The result for the terminal: a line for each check, what a mistake looks like, and what was
    printed."""
    out, faults = list[str](), list[str]()
    for each in parts:
        out.append(paint(each.name, "bold", colour))
        for claim, fault in each.faults.items():
            mark, style = ("no", "red") if fault else ("ok", "green")
            text = wrapped(claim + f": {fault}" * bool(fault), 4, hyphens=False)
            out += [paint(mark, style, colour) + text[0][2:], *text[1:]]
        out += wrapped(each.likely, hyphens=False)
        out += [paint(line, "dim", colour) for line in each.printed]
        out.append("")
        faults += each.faults.values()
    return [*out, f"{faults.count('')} of {len(faults)} checks pass"]


def _source(path: Path) -> NDArray:
    """The bytes of a regular file."""
    with named(path, "read", of=Exception):  # a path may hold a NUL
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for a FIFO
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError(one_line(f"{path}: is not a regular file"))
            content = file.read(runner.MOST + 1)
    if len(content) > runner.MOST:
        raise DataError(one_line(f"{path}: is longer than {runner.MOST:,} bytes"))
    return np.frombuffer(content, np.uint8)


@contextmanager
def running(path: Path, source: NDArray) -> Iterator["Stranger"]:
    """Start the process, in a folder of its own; at the end nothing of it is left."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="minnet-", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-I", runner.__file__, str(theirs.fileno())]
        with (
            ours,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # which ends it when it closes
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=os.environ | ONE_THREAD | {"HOME": folder, "TMPDIR": folder},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            ) as guard,
        ):
            theirs.close()
            yield Stranger(path, source, ours, guard)


class Stranger:
    """A process that runs a file. Whatever it does, its questions end within SECONDS."""

    def __init__(
        self, path: Path, source: NDArray, pipe: socket.socket, guard: subprocess.Popen
    ) -> None:
        self.path, self.source, self.pipe, self.guard = path, source, pipe, guard
        self.deadline, self.end = time.monotonic() + SECONDS, ""

    def names(self) -> list[str]:
        """The functions of exercises that the file itself defines. Raises DataError if none."""
        note: dict[str, Any] = {"path": str(self.path), "names": [*EXERCISES]}
        try:
            note, _ = self._talk(note, [self.source])
            fault, found = str(note["error"]), [name for name in EXERCISES if name in note["names"]]
        except (WrongError, LookupError, TypeError) as error:
            fault, found = str(error), []
        if fault:
            raise DataError(one_line(f"{self.path}: does not run: {fault}"))
        if not found:
            wanted = ", ".join(EXERCISES)
            raise DataError(one_line(f"{self.path}: has no function of an exercise: {wanted}"))
        return found

    def ask(self, name: str, args: tuple) -> runner.Message:
        """What runner.answered says of a function. The process may ask back for the values of the
        first argument, if that is a function. Raises WrongError if the process gives no answer."""
        f = args[0] if callable(args[0]) else None
        arrays = [np.asarray(x) for x in args if not callable(x)]
        message = self._talk({"call": name, "f": f is not None}, arrays)
        while f and message[0].get("asks"):
            note, value = {"error": ""}, np.array(np.nan)
            x = [*message[1], value][0]
            if x.shape != arrays[0].shape or x.dtype.kind not in "fiu":
                note["error"] = f"f takes an array {arrays[0].shape} of float64"
            else:
                value = np.array(f(x.astype(np.float64)))
            message = self._talk(note, [value])
        return message

    def _talk(self, note: dict[str, Any], arrays: list[NDArray]) -> runner.Message:
        """Send a message, and return the next one."""
        if not self.end:
            try:
                self._in_time().sendall(runner.packed(note, arrays))
                message = runner.received(lambda n: self._in_time().recv(n))
                numeric = all(x.dtype.kind in "biufc" for x in message[1])
                if numeric and isinstance(message[0], dict):
                    return message
                self.end = NO_ANSWER
            except TimeoutError:
                self.end = f"no answer within {SECONDS} s; does a loop never end?"
            except (EOFError, OSError):
                self.end = f"no answer: its process ended with {self._code()}"
            except Exception:  # its bytes may be anything
                self.end = NO_ANSWER
        raise WrongError(self.end)

    def _in_time(self) -> socket.socket:
        """The pipe, whose next call waits until the deadline at most. Raises TimeoutError after."""
        if (left := self.deadline - time.monotonic()) <= 0:
            raise TimeoutError
        self.pipe.settimeout(left)
        return self.pipe

    def _code(self) -> str:
        """How the process ended, in words; ends it if it has not."""
        self.guard.communicate()
        code = self.guard.returncode
        with suppress(ValueError):
            return signal.Signals(code - 128).name
        return f"exit code {code}"


class Asked:
    """The learner's function: takes arguments, returns arrays of the right form. Notes what was
    printed, the first argument that changed, and whether numbers came in single precision."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.exercise, self.ask = EXERCISES[name], partial(ask, name)
        self.printed, self.changed, self.got, self.single, self.held = "", "", "", False, 0

    @property
    def tolerance(self) -> float:
        """Of its numbers."""
        return self.exercise.tolerances[self.single]

    def raw(self, *args: Any) -> list[NDArray]:
        """The arrays that it returns, of any form. Raises WrongError for an error, and for what is
        no array."""
        note, arrays = self.ask(args)
        parameters = zip(signature(self.exercise.right).parameters, args, strict=False)
        before = {what: x for what, x in parameters if isinstance(x, np.ndarray)}
        try:
            printed, error, got = (str(note[key]) for key in ("printed", "error", "got"))
            n, self.held = int(note["returned"]), int(note["held"])
        except Exception:  # it may hold anything
            raise WrongError(NO_ANSWER) from None
        self.printed, self.got = self.printed or printed, one_line(got)[: runner.LONGEST]
        if error:
            raise WrongError(one_line(error)[: 2 * runner.LONGEST])
        if n < 1 or len(arrays) != n + len(before):
            raise WrongError(f"expected {self.exercise.returns}, got {self.got}")
        for (what, x), after in zip(before.items(), arrays[n:], strict=True):
            self.changed = self.changed or _difference(what, x, after, 0)
        return arrays[:n]

    def __call__(self, *args: Any) -> Any:
        """Raises WrongError as `raw` does, and for another form."""
        arrays, right = self.raw(*args), _arrays(self.exercise.right(*args))
        if len(arrays) != len(right):
            raise WrongError(f"expected {self.exercise.returns}, got {self.got}")
        for name, expected, x in zip(self.exercise.returns.split(", "), right, arrays, strict=True):
            kinds = "f" if expected.ndim else "iuf"
            if x.shape != expected.shape or x.dtype.kind not in kinds or x.dtype == np.float16:
                wanted = f"an array {expected.shape}" if expected.ndim else "one number"
                got = f"an array {x.shape}" if x.ndim else "one number"
                raise WrongError(f"{name}: expected {wanted} of float64, got {got} of {x.dtype}")
            self.single |= x.dtype == np.float32
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def difference(self, case: tuple) -> str:
        """The first number that is wrong in this case, and the case, if any is."""
        got, right = self(*case), self.exercise.right(*case)
        fault = _difference(self.exercise.returns, right, got, self.tolerance)
        return fault and fault + _inputs(self.exercise, case)


def part(name: str, ask: Ask) -> Part:
    """Check one function by what `ask(name, args)` says of its calls, as runner.answered does."""
    asked, exercise, rng = Asked(name, ask), EXERCISES[name], np.random.default_rng()
    first, *others = exercise.cases.items()
    some = [drawn(exercise, rng, large, *sizes) for sizes in SIZES for large in (False, True)]
    faults = {exercise.form: _tried(lambda: asked(*first[1]))}
    if not faults[exercise.form]:  # of another form, nothing can be compared
        for about, case in (first, *others):
            faults[about] = _tried(partial(asked.difference, case))
        each = (_tried(partial(asked.difference, case)) for case in [*some, first[1]])
        faults[f"{len(some)} random cases"] = next(filter(None, each), "")
        for claim, compare in exercise.claims.items():
            if not (asked.single and "difference" in claim):  # its rounding would be all of them
                faults[claim] = _tried(partial(_compared, compare, asked))
        faults["its arguments stay as they are"] = asked.changed
    printed = asked.printed.splitlines()
    shown = [f"printed: {one_line(line)}"[:100] for line in printed[:SHOWN]]
    return Part(name, faults, _likely(asked) if any(faults.values()) else "", shown)


def _tried(ask: Callable[[], Any]) -> str:
    """What is wrong, in one line."""
    try:
        fault = ask()
    except WrongError as error:
        return str(error)
    return fault if isinstance(fault, str) else ""


def _compared(compare: Claim, asked: Asked) -> str:
    return _difference(*compare(asked), max(NEAR, asked.tolerance))


def _inputs(exercise: Exercise, case: tuple) -> str:
    """The arguments of a case, where they are few numbers."""
    names, texts = signature(exercise.right).parameters, list[str]()
    for name, x in zip(names, case, strict=False):
        if np.size(x) > SHOWN:
            return ""
        if not callable(x):
            rows = [" ".join(line.split()) for line in array_lines(x)]
            texts.append(f"{name} = [{'; '.join(rows)}]" if np.ndim(x) else f"{name} = {x}")
    return f" ({', '.join(texts)})"


def _difference(names: str, expected: Any, got: Any, tolerance: float = NEAR) -> str:
    """The first number that is off by more than `tolerance` of the largest, or not finite where the
    right one is, in words; empty if none is."""
    for name, right, x in zip(names.split(", "), _arrays(expected), _arrays(got), strict=True):
        if x.shape != right.shape:
            return f"{name} has shape {x.shape}, not {right.shape}"
        finite = np.isfinite(right)
        # near 0, a loss has the rounding of log 1, and float32 that of 1 - p
        least = name in ("L", "losses") or x.dtype == np.float32
        largest = np.abs(right[finite]).max(initial=least)
        largest = largest if largest > 1e-300 else 1  # the core's p is never 0
        close = np.where(finite, np.isclose(x, right, 0, tolerance * largest), ~np.isfinite(x))
        for place in map(tuple, np.argwhere(~close)):
            pair = x[place], right[place]
            texts = [str(numbers(number)) for number in pair]
            if texts[0] == texts[1]:
                texts = [repr(number.item()) for number in pair]
            where = f"[{', '.join(map(str, place))}]" if place else ""
            return f"{name}{where} is {texts[0]}, not {texts[1]}"
    return ""


def _arrays(x: Any) -> list[NDArray]:
    return [np.asarray(each) for each in (x if isinstance(x, tuple | list) else [x])]


def _likely(asked: Asked) -> str:
    """What the function's wrong numbers look like, in the first case in which it gives any."""
    exercise, advice = asked.exercise, ""

    def same(one: Any, other: Any) -> bool:  # of any number and shape
        with suppress(ValueError):
            return not _difference(exercise.returns, one, other, max(NEAR, asked.tolerance))
        return False

    with suppress(WrongError):
        for case in exercise.cases.values():
            if not same(exercise.right(*case), got := asked.raw(*case)):
                for name, wrong in exercise.wrong(case):
                    if same(wrong, got):
                        return _named(name)
                break
        advice = exercise.advice(asked)
    return f"Perhaps: {advice}." if advice else ""


def _named(name: str) -> str:
    if name not in MISTAKES:
        return f"Perhaps: {name}."
    return f"This looks like {name}: {MISTAKES[name].summary} See: minnet study --mistake {name}"
