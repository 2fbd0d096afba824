"""The exercises of docs/exercises, checked: `minnet study --grade FILE`.

Each function of EXERCISES in the file is called on small cases, and held against the core's right
numbers and differences. If it is wrong, wrong functions are called on the same cases: the one that
returns the same numbers is named.
"""

import io
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError
from minnet.study.exercises import EXERCISES, Exercise, WrongError, value
from minnet.study.mistakes import MISTAKES, Function
from minnet.study.text import numbers, paint, wrapped

MODULE = "minnet_exercise"  # the name under which the file runs
LONGEST = 200  # characters of an error's message


class Part(NamedTuple):
    """One function of the file: what is wrong with each claim about it, if anything, and what
    mistake it looks like."""

    name: str
    faults: dict[str, str]
    likely: str

    @property
    def ok(self) -> bool:
        """Whether all its checks pass."""
        return not any(self.faults.values())


class Graded(NamedTuple):
    """The functions of exercises in a file, checked."""

    path: Path
    parts: list[Part]

    @property
    def ok(self) -> bool:
        """Whether all checks of all functions pass."""
        return all(part.ok for part in self.parts)


def grade(path: Path) -> Graded:
    """Check the functions of exercises in a file. Raises ConfigError if it cannot be read or run,
    or has none."""
    with _quiet():
        functions = _load(path)
        return Graded(path, [_part(name, f, str(path)) for name, f in functions.items()])


def lines(graded: Graded, colour: bool = False) -> list[str]:
    """The result for the terminal: a line for each check, then what a mistake looks like."""
    out, faults = list[str](), list[str]()
    for part in graded.parts:
        out.append(paint(part.name, "bold", colour))
        for claim, fault in part.faults.items():
            mark, style = ("no", "red") if fault else ("ok", "green")
            text = wrapped(claim + f": {fault}" * bool(fault), 4, hyphens=False)
            out += [paint(mark, style, colour) + text[0][2:], *text[1:]]
        out += [*wrapped(part.likely, hyphens=False), ""]
        faults += part.faults.values()
    return [*out, f"{faults.count('')} of {len(faults)} checks pass"]


@contextmanager
def _quiet() -> Iterator[None]:
    """While inside, nothing that the learner's code prints or warns of is seen, and input() finds
    nothing to read."""
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
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    module = types.ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module  # where dataclasses look for it
    _, fault = _tried(lambda: exec(compile(source, path, "exec"), module.__dict__), str(path))
    if fault:
        raise ConfigError(f"{path}: does not run: {fault}")
    found = {name: f for name in EXERCISES if callable(f := vars(module).get(name))}
    own = {name: f for name, f in found.items() if getattr(f, "__module__", MODULE) == MODULE}
    if not own:
        raise ConfigError(f"{path}: has no function of an exercise: {', '.join(EXERCISES)}")
    return own


def _tried(ask: Callable[[], Any], file: str) -> tuple[Any, str]:
    """What the learner's code returns, or None and what it raises, in one line."""
    try:
        return ask(), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may do anything, sys.exit() too
        return None, _said(error, file)


def _said(error: BaseException, file: str) -> str:
    """An error in one line, with the last line of the file that it went through."""
    if isinstance(error, NotImplementedError):
        return "not solved yet"
    line, frame = getattr(error, "lineno", None), error.__traceback__
    while frame:
        line = frame.tb_lineno if frame.tb_frame.f_code.co_filename == file else line
        frame = frame.tb_next
    message = ""
    with suppress(Exception):
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    message = " ".join("".join(c if c.isprintable() else " " for c in message).split())[:LONGEST]
    if isinstance(error, WrongError):
        return message
    return type(error).__name__ + f": {message}" * bool(message) + f" (line {line})" * bool(line)


def _part(name: str, function: Function, file: str) -> Part:
    exercise, changed, faults = EXERCISES[name], list[str](), dict[str, str]()

    def right(*args: Any) -> Any:
        return exercise.answer(args)

    def asked(*args: Any) -> Any:
        """What the function returns for copies of its arguments, if it has the right form."""
        copies = _copies(args)
        got = function(*copies)
        for what, before, after in zip(exercise.takes.split(", "), args, copies, strict=True):
            if isinstance(before, np.ndarray):
                changed.append(_difference(what, before, after, 0))
        return _formed(exercise.returns, right(*args), got)

    first = next(iter(exercise.cases.values()))
    checks = {f"{exercise.returns}: shape {exercise.shape}": ("", f"f({first}), 0")}
    for about, case in exercise.cases.items():
        checks[about] = (exercise.returns, f"right({case}), f({case})")
    for claim, (names, code) in (checks | exercise.claims).items():
        pair, faults[claim] = _tried(partial(value, code, f=asked, raw=function, right=right), file)
        if not names and faults[claim]:  # of another form, nothing can be compared
            break
        if names and pair:
            faults[claim] = _difference(names, pair[0], pair[1], exercise.tolerance)
    else:
        faults["its arguments stay as they are"] = next(filter(None, changed), "")
    return Part(name, faults, _likely(function, exercise) if any(faults.values()) else "")


def _copies(args: tuple) -> list:
    return [x.copy() if isinstance(x, np.ndarray) else x for x in args]


def _formed(names: str, expected: Any, got: Any) -> Any:
    """`got` as arrays, if it has the form of what is expected. Raises WrongError if not."""
    if isinstance(expected, tuple):
        if not isinstance(got, tuple | list) or len(got) != len(expected):
            raise WrongError(f"expected {names}, got {_kind(got)}")
        return tuple(map(_formed, names.split(", "), expected, got))
    expected = np.asarray(expected)
    kinds = np.ndarray | np.generic if expected.ndim else np.ndarray | np.generic | float | int
    array = np.asarray(got) if isinstance(got, kinds) else np.array(None)
    right_dtype = array.dtype == expected.dtype or not expected.ndim
    if array.dtype == object or array.shape != expected.shape or not right_dtype:
        raise WrongError(f"{names}: expected {_kind(expected)}, got {_kind(got)}")
    return array


def _kind(x: Any) -> str:
    if x is None:
        return "None (is there a return?)"
    if isinstance(x, tuple | list):
        return f"a {type(x).__name__} of {len(x)}"
    if isinstance(x, np.ndarray | np.generic):
        return f"an array {x.shape} of {x.dtype}" if x.ndim else f"one number ({x.dtype})"
    return f"a value of type {type(x).__name__}"


def _difference(names: str, expected: Any, got: Any, tolerance: float) -> str:
    """The first number that is wrong, in words; empty if none is."""
    for name, right, x in zip(names.split(", "), _arrays(expected), _arrays(got), strict=True):
        if x.shape != right.shape:
            return f"{name} has shape {x.shape}, not {right.shape}"
        for place in np.argwhere(~_close(x, right, tolerance)):
            pair = (x[tuple(place)], right[tuple(place)])
            texts = [str(numbers(number)) for number in pair]
            if texts[0] == texts[1]:
                texts = [repr(number.item()) for number in pair]
            where = f"[{', '.join(map(str, place))}]" if len(place) else ""
            return f"{name}{where} is {texts[0]}, not {texts[1]}"
    return ""


def _arrays(x: Any) -> list[NDArray]:
    return [np.asarray(each) for each in (x if isinstance(x, tuple | list) else [x])]


def _close(x: NDArray, right: NDArray, tolerance: float) -> NDArray:
    """Where they are equal to `tolerance` of the largest number, or both not finite."""
    finite = np.isfinite(right)
    largest = np.abs(right[finite]).max(initial=0) or 1
    return np.where(finite, np.isclose(x, right, 0, tolerance * largest), ~np.isfinite(x))


def _likely(function: Function, exercise: Exercise) -> str:
    """What the function's wrong numbers look like, in the first case in which it gives any."""

    def same(one: list[NDArray], other: list[NDArray]) -> bool:
        if [x.shape for x in one] != [x.shape for x in other]:
            return False
        return all(_close(x, y, exercise.tolerance).all() for x, y in zip(one, other, strict=True))

    for case in exercise.cases.values():
        args = value(f"({case},)")
        got = _answer(partial(_call, function, args))
        if not got or same(got, _arrays(exercise.answer(args))):
            continue
        for name, suspect in exercise.suspects(args):
            if same(got, _answer(suspect)):
                return _named(name)
        break
    advice, _ = _tried(partial(value, exercise.advice, f=function), "")
    return f"Perhaps: {advice}." if advice else ""


def _call(function: Function, args: tuple) -> Any:
    return function(*_copies(args))


def _answer(ask: Callable[[], Any]) -> list[NDArray]:
    """What is returned, as arrays of numbers; empty if it is none."""
    arrays, _ = _tried(lambda: _arrays(ask()), "")
    return arrays if arrays and all(x.dtype.kind in "biuf" for x in arrays) else []


def _named(name: str) -> str:
    if name not in MISTAKES:
        return f"Perhaps: {name}."
    sentence = MISTAKES[name].sentence.partition(". ")[0].rstrip(".")
    return f"This looks like {name}: {sentence}. See: minnet study --mistake {name}"
