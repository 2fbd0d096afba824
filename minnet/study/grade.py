"""The exercises of docs/exercises, checked: `minnet study --grade FILE`.

The file runs in a process of its own (runner.py), one for each function, of which nothing is
believed but numbers: each function is called on known and on random cases, and what comes back as
plain arrays is held here against the core's right numbers. Wrong functions are called on the case
that failed: the one that returns the same wrong numbers is named.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError, did_you_mean, one_line, short
from minnet.files import FileError, append, named
from minnet.study import runner, solutions
from minnet.study.exercises import EXERCISES, SIZES, WrongError, drawn
from minnet.study.mistakes import MISTAKES
from minnet.study.text import WIDTH, array_lines, numbers, paint, wrapped

SECONDS = 10  # for the checks of one function, the start of its process included
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
NO_ANSWER = "it has written to the grader's pipe what is no answer"
SHOWN = 12  # lines of what is printed
EXACT = 1e-12  # of the largest number: how far off it may be where even float32 is right
Ask = Callable[[str, tuple], runner.Message]


class Part(NamedTuple):
    """One function of the file: what was checked, up to what failed, each with the lines that say
    what is wrong, if anything; what mistake it looks like; and what it printed."""

    name: str
    faults: dict[str, list[str]]
    likely: str
    printed: list[str]

    @property
    def ok(self) -> bool:
        """Whether all its checks pass."""
        return not any(self.faults.values())


def grade(path: Path, only: str | None = None) -> list[Part]:
    """Check the functions of exercises in a file, or only one. Raises ConfigError if no exercise
    has this name, FileError if the file cannot be read, DataError if it is no regular file, cannot
    be run, or has no such function."""
    names, parts, source = (
        [*EXERCISES] if only is None else [known(only)],
        list[Part](),
        _source(path),
    )
    with np.errstate(all="ignore"):
        while names:
            with running(path, source) as stranger:
                names = stranger.names(names)
                parts.append(part(names.pop(0), stranger.ask))
    return parts


def known(name: str) -> str:
    """The name of a function of an exercise. Raises ConfigError if it is none."""
    if name not in EXERCISES:
        hint = did_you_mean(name, EXERCISES) or f"; choose from {', '.join(EXERCISES)}"
        raise ConfigError(f"no exercise asks for {short(name)}{hint}")
    return name


def attempts(parts: Sequence[Part] = ()) -> set[str]:
    """The functions that have been graded, other than as stubs, these parts included. They stand in
    a file of the user's state folder (XDG base directories); if it cannot be written, it is not."""
    seen = {part.name for part in parts if [runner.NOT_YET] not in part.faults.values()}
    with suppress(OSError, FileError, RuntimeError, ValueError):  # RuntimeError: no home is known
        folder = Path(os.environ.get("XDG_STATE_HOME", ""))
        folder = folder if folder.is_absolute() else Path("~/.local/state").expanduser()
        path = folder / "minnet" / "attempts"
        path.parent.mkdir(parents=True, exist_ok=True)
        before = {*path.read_text(encoding="utf-8").split()} if path.exists() else set()
        for name in sorted(seen - before):
            append(path, name)
        seen |= before
    return seen


def solution(name: str, give_up: bool) -> list[str]:
    """Our solution, with those of ours that it calls. Raises ConfigError if no exercise has this
    name, or the learner has neither tried it nor given up."""
    if not give_up and known(name) not in attempts():
        raise ConfigError(f"{name}: try it first, with minnet study --grade FILE; or --give-up")
    head, *texts = Path(solutions.__file__).read_text(encoding="utf-8").split("\n\n\n")
    names = {name, *getattr(solutions, known(name)).__code__.co_names}
    found = [text for text in texts if text[4 : text.index("(")] in names]
    return "\n\n\n".join([head, *found]).rstrip().splitlines()


def lines(parts: list[Part], colour: bool = False) -> list[str]:
    """The result for the terminal: a line for each check, what a mistake looks like, and what was
    printed."""
    out = list[str]()
    for each in parts:
        out.append(paint(each.name, "bold", colour))
        for claim, fault in each.faults.items():
            mark, style = ("no", "red") if fault else ("ok", "green")
            text = wrapped(": ".join([claim, *fault[:1]]), 3, hyphens=False)
            out += [paint(mark, style, colour) + text[0][2:], *text[1:], *fault[1:]]
        out += wrapped(each.likely, hyphens=False)
        out += [paint(line, "dim", colour) for line in each.printed]
        out.append("")
    return [*out, f"{sum(each.ok for each in parts)} of {len(parts)} right"]


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

    def names(self, wanted: list[str]) -> list[str]:
        """Which of these functions the file itself defines. Raises DataError if it is none."""
        note: dict[str, Any] = {"path": str(self.path), "names": wanted}
        try:
            note, _ = self._talk(note, [self.source])
            fault, found = str(note["error"]), [name for name in wanted if name in note["names"]]
        except (WrongError, LookupError, TypeError) as error:
            fault, found = str(error), []
        if fault:
            raise DataError(one_line(f"{self.path}: does not run: {fault}"))
        if not found:
            raise DataError(one_line(f"{self.path}: has no function {' or '.join(wanted)}"))
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
    """The learner's function: takes arguments, returns arrays of any form. Notes what was printed,
    the first argument that changed, the bytes that a call held, and the case that was wrong with
    what came back."""

    def __init__(self, name: str, ask: Ask) -> None:
        self.exercise, self.ask = EXERCISES[name], partial(ask, name)
        self.printed, self.changed, self.held, self.got = "", "", 0, ""
        self.case, self.returned = (), list[NDArray]()

    def __call__(self, *args: Any) -> list[NDArray]:
        """Raises WrongError for an error, and for what is no array."""
        note, arrays = self.ask(args)
        named = zip(self.exercise.arguments, args, strict=False)
        before = {name: x for name, x in named if isinstance(x, np.ndarray)}
        try:
            printed, error, got = (str(note[key]) for key in ("printed", "error", "got"))
            n, self.held = int(note["returned"]), int(note["held"])
        except Exception:  # it may hold anything
            raise WrongError(NO_ANSWER) from None
        self.printed, self.got = self.printed or printed, one_line(got)[: runner.LONGEST]
        if error:
            said = [one_line(line)[: runner.LONGEST] for line in error.splitlines()[:9]]
            raise WrongError(said[0], *(each for line in said[1:] for each in wrapped(line, 5)))
        if n < 1 or len(arrays) != n + len(before):
            raise WrongError(f"expected {self.exercise.returns}, got {self.got}")
        for (name, x), after in zip(before.items(), arrays[n:], strict=True):
            self.changed = self.changed or _difference(name, x, after, 0)
        return arrays[:n]

    def judge(self, case: tuple) -> None:
        """Raises WrongError for another form or other numbers than the right ones."""
        exercise, self.case, self.returned = self.exercise, case, []
        right = _arrays(exercise.right(*case))
        shown = dict(zip(exercise.arguments, case, strict=True))
        try:
            self.returned = self(*case)
            names = exercise.returns.split(", ")
            if len(self.returned) != len(right):
                raise WrongError(f"expected {exercise.returns}, got {self.got}")
            for fault in filter(None, map(_form, names, right, self.returned)):
                raise WrongError(fault)
            for name, expected, x in zip(names, right, self.returned, strict=True):
                shown |= {"returned": x, "expected": expected}
                self.compare(name, expected, x)
        except WrongError as error:
            if error.args[0] != runner.NOT_YET:
                error.args += (*_beside(shown),)
            raise
        self.case = ()

    def compare(self, name: str, expected: NDArray, x: NDArray) -> None:
        """Raises WrongError for the first number that is too far off. Any step may be of float32;
        but where that holds all of what is expected, such steps lose nothing either."""
        exact, single = (np.array_equal(x, x.real.astype(np.float32)) for x in (expected, x))
        tolerance = EXACT if exact and not single else self.exercise.tolerance
        if fault := _difference(name, expected, x, tolerance, self.exercise.size):
            raise WrongError(fault)


def part(name: str, ask: Ask) -> Part:
    """Check one function, by what `ask(name, args)` says of its calls as runner.answered does, up
    to the first check that fails."""
    asked, exercise, rng = Asked(name, ask), EXERCISES[name], np.random.default_rng()
    some = (drawn(exercise, rng, *sizes, large=large) for sizes in SIZES for large in (False, True))
    again = next(iter(exercise.cases.values()))  # nothing may be left of earlier calls
    cases = exercise.cases | {f"{2 * len(SIZES)} random cases": some, "the first again": again}
    faults, likely = dict[str, list[str]](), ""
    for title, what in cases.items():
        try:
            faults[title] = []
            if callable(what):
                asked.compare(*what(asked))
            for case in () if callable(what) else what:
                asked.judge(case)
        except WrongError as error:
            faults[title], likely = [*error.args], _likely(asked)
            break
    else:
        faults["its arguments stay as they are"] = [asked.changed] if asked.changed else []
    printed = [one_line(line)[:90] for line in asked.printed.splitlines()[:SHOWN]]
    return Part(name, faults, likely, [f"printed: {line}" for line in printed])


def _form(name: str, expected: NDArray, x: NDArray) -> str:
    """What is wrong with the shape or the kind of numbers of x."""
    kinds = "b" if expected.dtype.kind == "b" else "f" if expected.ndim else "iuf"
    if x.shape == expected.shape and x.dtype.kind in kinds and x.dtype != np.float16:
        return ""
    wanted = f"an array {expected.shape} of float64" if expected.ndim else "one number of float64"
    got = f"an array {x.shape}" if x.ndim else "one number"
    wanted = "True or False" if kinds == "b" else wanted
    return f"{name}: expected {wanted}, got {got} of {x.dtype}"


def _difference(name: str, right: NDArray, x: NDArray, tolerance: float, size: float = 0) -> str:
    """The first number that is off by more than `tolerance` of the largest, or of `size`, or not
    finite where the right one is, in words; empty if none is."""
    if np.array_equal(x, right):
        return ""
    if x.shape != right.shape:
        return f"{name} has shape {x.shape}, not {right.shape}"
    finite = np.isfinite(right)
    off = tolerance * (np.abs(right[finite]).max(initial=size) or 1)
    close = np.where(finite, np.isclose(x, right, 0, off), ~np.isfinite(x))
    for place in map(tuple, np.argwhere(~close)[:1]):
        pair = x[place], right[place]
        texts = [str(numbers(number)) for number in pair]
        if texts[0] == texts[1]:
            texts = [repr(number.item()) for number in pair]
        where = f"[{', '.join(map(str, place))}]" if place else ""
        return f"{name}{where} is {texts[0]}, not {texts[1]}"
    return ""


def _beside(named: dict[str, Any]) -> list[str]:
    """Arrays, each beside its name; of a function, the first line about it."""
    lines, width = list[str](), max(map(len, named)) + 5
    for name, x in named.items():
        if callable(x):
            rows = ["  " + (x.__doc__ or "as above").partition("\n")[0]]
        else:
            rows = array_lines(np.reshape(x, (-1, *np.shape(x)[-1:])), width=WIDTH - width)
        heads = [f"     {name}", *[""] * len(rows)]
        lines += [f"{head:{width}}{row}" for head, row in zip(heads, rows, strict=False)]
    return lines


def _arrays(x: Any) -> list[NDArray]:
    return [np.asarray(each) for each in (x if isinstance(x, tuple | list) else [x])]


def _likely(asked: Asked) -> str:
    """What the wrong numbers of the function's last case look like, if that was wrong."""
    exercise, case = asked.exercise, asked.case

    def alike(one: list[NDArray], other: list[NDArray]) -> bool:  # of any number and shape
        off = (
            _difference("", *pair, 1e-5, exercise.size) for pair in zip(one, other, strict=False)
        )
        return len(one) == len(other) and not any(off)

    if not case:
        return ""
    for said, answer in exercise.wrong(case):
        wrong = _arrays(answer)
        if alike(wrong, asked.returned) and not alike(wrong, _arrays(exercise.right(*case))):
            if said not in MISTAKES:
                return f"Perhaps: {said}."
            see = f"See: minnet study --mistake {said}"
            return f"This looks like {said}: {MISTAKES[said].summary} {see}"
    return ""
