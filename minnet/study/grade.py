"""The exercises of docs/exercises, checked: `minnet study --grade FILE`.

Each function of EXERCISES that stands in the file is called on small cases, and stands beside the core's right numbers
and differences. Where it is wrong, wrong functions are called on the same cases: the one that gives the same numbers is
named.
"""

import io
import sys
import textwrap
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError
from minnet.study.exercises import EXERCISES, Exercise, Function, WrongError
from minnet.study.mistakes import MISTAKES
from minnet.study.text import WIDTH, numbers, paint

MODULE = "minnet_exercise"  # the name under which the file runs
LONGEST = 200  # characters of an error's message


@dataclass(frozen=True)
class Result:
    """A claim, and what is wrong with it, if anything."""

    claim: str
    fault: str


@dataclass(frozen=True)
class Part:
    """One function of the file: its results, and what mistake it looks like, if any."""

    name: str
    results: list[Result]
    likely: str

    @property
    def ok(self) -> bool:
        """Whether all its checks pass."""
        return not any(result.fault for result in self.results)


@dataclass(frozen=True)
class Graded:
    """The functions of exercises that a file holds, checked."""

    path: Path
    parts: list[Part]

    @property
    def ok(self) -> bool:
        """Whether all checks of all functions pass."""
        return all(part.ok for part in self.parts)


def grade(path: Path) -> Graded:
    """Check the functions of exercises in the file. Raises ConfigError where it is missing, no Python, or has none."""
    with _quiet():
        functions = _load(path)
        return Graded(path, [_part(name, function, str(path)) for name, function in functions.items()])


def lines(graded: Graded, colour: bool = False) -> list[str]:
    """What came out, for the terminal: a line for each check, then what a mistake looks like."""
    out = []
    for part in graded.parts:
        out.append(paint(part.name, "bold", colour))
        for result in part.results:
            mark, style = ("no", "red") if result.fault else ("ok", "green")
            text = _wrapped(result.claim + (f": {result.fault}" if result.fault else ""), indent="    ")
            out += [paint(mark, style, colour) + text[0][2:], *text[1:]]
        out += [*_wrapped(part.likely), ""]
    right = sum(not result.fault for part in graded.parts for result in part.results)
    return [*out, f"{right} of {sum(len(part.results) for part in graded.parts)} checks pass"]


def _wrapped(text: str, indent: str = "") -> list[str]:
    """Without a break in a mistake's name."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, nothing that the learner's code prints or warns of is seen, and input() finds nothing to read."""
    stdin, sys.stdin = sys.stdin, io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdin = stdin
        sys.modules.pop(MODULE, None)


def _load(path: Path) -> dict[str, Function]:
    """The functions of exercises that the file itself defines, in their order."""
    try:
        source = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    module = sys.modules[MODULE] = types.ModuleType(MODULE)  # dataclasses look their module up there
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner's file may do anything, sys.exit() too
        raise ConfigError(f"{path} does not run: {_said(error, str(path))}") from None
    found = {name: vars(module).get(name) for name in EXERCISES}
    own = {name: f for name, f in found.items() if callable(f) and getattr(f, "__module__", MODULE) == MODULE}
    if not own:
        raise ConfigError(f"{path} has no function of an exercise: {', '.join(EXERCISES)}")
    return own


def _part(name: str, function: Function, file: str) -> Part:
    exercise = EXERCISES[name]
    asked = _Asked(function, exercise)
    first = next(iter(exercise.cases.values()))
    results = [_result(f"{exercise.names}: shape {exercise.shape}", partial(asked, *first), None, exercise, file)]
    if not results[0].fault:
        for claim, args in exercise.cases.items():
            results.append(_result(claim, _beside(asked, args), exercise.names, exercise, file))
        for claim, (names, ask) in exercise.more.items():
            results.append(_result(claim, partial(ask, asked), names, exercise, file))
        results.append(Result("what goes in is left as it was", asked.changed))
    wrong = any(result.fault for result in results)
    return Part(name, results, _likely(function, exercise) if wrong else "")


def _beside(asked: "_Asked", args: tuple) -> Function:
    return lambda: (asked.exercise.right(*args), asked(*args))


def _result(claim: str, ask: Function, names: str | None, exercise: Exercise, file: str) -> Result:
    """Whether (expected, came) are the same; without names, only whether it comes at all."""
    try:
        expected, came = ask() if names else (ask(), None)
        return Result(claim, _difference(names, expected, came, exercise.tolerance) if names else "")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a learner's function may raise anything, SystemExit too
        return Result(claim, _said(error, file))


def _said(error: BaseException, file: str) -> str:
    """An error in one line, with the last line of the file that it went through."""
    if isinstance(error, NotImplementedError):
        return "not solved yet"
    line, frame = getattr(error, "lineno", None), error.__traceback__
    while frame:
        line = frame.tb_lineno if frame.tb_frame.f_code.co_filename == file else line
        frame = frame.tb_next
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        message = ""
    message = " ".join("".join(c if c.isprintable() else " " for c in message).split())[:LONGEST]
    if isinstance(error, WrongError):
        return message
    return type(error).__name__ + (f": {message}" if message else "") + (f" (line {line})" if line else "")


class _Asked:
    """The learner's function: called with copies, which it is to leave alone; what comes is to have the right form."""

    def __init__(self, function: Function, exercise: Exercise) -> None:
        self.function, self.exercise, self.changed = function, exercise, ""

    def __call__(self, *args: Any) -> Any:
        right = self.exercise.right
        copies = _copies(args)
        came = self.function(*copies)
        for name, before, after in zip(signature(right).parameters, args, copies, strict=False):
            if isinstance(before, np.ndarray) and not self.changed:
                self.changed = _difference(name, before, after, 0)
        return _formed(self.exercise.names, right(*args), came)


def _copies(args: tuple) -> list:
    return [x.copy() if isinstance(x, np.ndarray) else x for x in args]


def _formed(names: str, expected: Any, came: Any) -> Any:
    """What came as arrays, if it has the form of what was expected. Raises WrongError if not."""
    if isinstance(expected, tuple):
        if not isinstance(came, tuple | list) or len(came) != len(expected):
            raise WrongError(f"{names} expected, {_kind(came)} came")
        return tuple(_formed(*each) for each in zip(names.split(", "), expected, came, strict=True))
    expected = np.asarray(expected)
    if not isinstance(came, np.ndarray | (np.generic if expected.ndim else np.generic | float | int)):
        raise WrongError(f"{names}: {_kind(expected)} expected, {_kind(came)} came")
    came = np.asarray(came)
    if came.shape != expected.shape or (expected.ndim and came.dtype != expected.dtype):
        raise WrongError(f"{names}: {_kind(expected)} expected, {_kind(came)} came")
    return came


def _kind(x: Any) -> str:
    if x is None:
        return "None (is there a return?)"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    if isinstance(x, np.ndarray | np.generic):
        return f"an array {x.shape} of {x.dtype}" if x.ndim else f"one number ({x.dtype})"
    return f"a value of type {type(x).__name__}"


def _difference(names: str, expected: Any, came: Any, tolerance: float) -> str:
    """The first number that is wrong, in words; empty if none is."""
    for name, right, x in zip(names.split(", "), _parts(expected), _parts(came), strict=True):
        if x.shape != right.shape:
            return f"{name} has shape {x.shape}, not {right.shape}"
        wrong = ~(np.abs(x - right) <= tolerance * (np.abs(right).max(initial=0) or 1))
        for place in np.argwhere(wrong):
            one, other = x[tuple(place)], right[tuple(place)]
            texts = [str(numbers([value])[0]) for value in (one, other)]
            texts = [repr(value.item()) for value in (one, other)] if texts[0] == texts[1] else texts
            where = f"[{', '.join(map(str, place))}]" if len(place) else ""
            return f"{name}{where} is {texts[0]}, not {texts[1]}"
    return ""


def _parts(x: Any) -> list[NDArray]:
    return [np.asarray(each) for each in x] if isinstance(x, tuple | list) else [np.asarray(x)]


def _likely(function: Function, exercise: Exercise) -> str:
    """What the function's wrong numbers look like: of the first case in which it gives any."""
    for args in exercise.cases.values():
        came = _answer(function, args)
        if came is None or _same(came, _parts(exercise.right(*args)), exercise.tolerance):
            continue
        for name, suspect in exercise.suspects:
            wrong = _answer(suspect, args)
            if wrong is not None and _same(came, wrong, exercise.tolerance):
                return _named(name)
        break
    try:
        return exercise.advice(function)
    except KeyboardInterrupt:
        raise
    except BaseException:  # it calls the learner's function
        return ""


def _answer(function: Function, args: tuple) -> list[NDArray] | None:
    try:
        answer = _parts(function(*_copies(args)))
        return answer if all(x.dtype.kind in "biuf" for x in answer) else None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None


def _same(one: list[NDArray], other: list[NDArray], tolerance: float) -> bool:
    """Whether they are equal to rounding; what is not finite is equal."""
    if [x.shape for x in one] != [x.shape for x in other]:
        return False
    for x, right in zip(one, other, strict=True):
        finite = np.isfinite(right)
        largest = np.abs(right[finite]).max(initial=0) or 1
        if (np.isfinite(x) != finite).any() or (np.abs(x - right)[finite] > tolerance * largest).any():
            return False
    return True


def _named(name: str) -> str:
    if name not in MISTAKES:
        return f"Perhaps: {name}."
    sentence = MISTAKES[name].sentence.partition(". ")[0].rstrip(".")
    return f"This looks like {name}: {sentence}. See: minnet study --mistake {name}"
