"""The exercises of docs/exercises, checked: `minnet study --grade FILE`.

Each function of EXERCISES in the file is called on small cases, and held against the core's right
numbers and differences. Wrong functions are called on the same cases: the one that returns the same
wrong numbers is named.
"""

import io
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from inspect import signature
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, one_line
from minnet.study.exercises import EXERCISES, Claim, Exercise, WrongError
from minnet.study.mistakes import MISTAKES, Function
from minnet.study.text import numbers, paint, wrapped

MODULE = "minnet_exercise"  # the name under which the file runs
LONGEST = 200  # characters of an error's message
TOLERANCE = 1e-7  # of the largest number


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


def grade(path: Path) -> list[Part]:
    """Check the functions of exercises in a file. Raises ConfigError if it cannot be read or run,
    or has none."""
    with _quiet():
        return [_part(name, f, str(path)) for name, f in _load(path).items()]


def lines(parts: list[Part], colour: bool = False) -> list[str]:
    """The result for the terminal: a line for each check, then what a mistake looks like."""
    out, faults = list[str](), list[str]()
    for part in parts:
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
    module = sys.modules[MODULE] = types.ModuleType(MODULE)  # where dataclasses look for it
    module.__file__ = str(path)
    _, fault = _tried(lambda: exec(compile(source, path, "exec"), vars(module)), str(path))
    if fault:
        raise ConfigError(f"{path}: does not run: {fault}")
    found = {name: f for name in EXERCISES if callable(f := vars(module).get(name))}
    own = {name: f for name, f in found.items() if getattr(f, "__module__", MODULE) == MODULE}
    if not own:
        raise ConfigError(f"{path}: has no function of an exercise: {', '.join(EXERCISES)}")
    return own


def _tried(ask: Function, file: str = "") -> tuple[Any, str]:
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
    lines = [n for frame, n in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    line, message = [getattr(error, "lineno", None), *lines][-1], ""
    with suppress(Exception):  # where __str__ is the learner's too
        message = one_line(error.msg if isinstance(error, SyntaxError) else error)[:LONGEST]
    if isinstance(error, WrongError):
        return message
    return type(error).__name__ + f": {message}" * bool(message) + f" (line {line})" * bool(line)


def _part(name: str, function: Function, file: str) -> Part:
    exercise, changed = EXERCISES[name], list[str]()
    right, names = exercise.right, exercise.returns

    def asked(*args: Any) -> Any:
        """What the function returns for copies of its arguments, if it has the right form."""
        got = function(*(copies := _copies(args)))
        for what, before, after in zip(signature(right).parameters, args, copies, strict=False):
            if isinstance(before, np.ndarray):
                changed.append(_difference(what, before, after, 0))
        return _formed(names, right(*args), got)

    cases = exercise.cases
    faults = {exercise.form: _tried(partial(asked, *next(iter(cases.values()))), file)[1]}
    if not faults[exercise.form]:  # of another form, nothing can be compared
        claims: dict[str, Claim] = {
            about: lambda f, case=case: (names, right(*case), f(*case))  # type: ignore[misc]
            for about, case in cases.items()
        }
        for claim, ask in (claims | exercise.claims).items():
            compared, fault = _tried(partial(ask, asked), file)
            faults[claim] = fault or _difference(*compared)
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
    array = np.asarray(got if isinstance(got, kinds) else None)
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


def _difference(names: str, expected: Any, got: Any, tolerance: float = TOLERANCE) -> str:
    """The first number that is off by more than `tolerance` of the largest, or not finite where the
    right one is, in words; empty if none is."""
    for name, right, x in zip(names.split(", "), _arrays(expected), _arrays(got), strict=True):
        if x.shape != right.shape:
            return f"{name} has shape {x.shape}, not {right.shape}"
        finite = np.isfinite(right)
        largest = np.abs(right[finite]).max(initial=0) or 1
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


def _likely(function: Function, exercise: Exercise) -> str:
    """What the function's wrong numbers look like, in the first case in which it gives any."""

    def same(one: Any, other: Any) -> bool:  # numbers of any kind and shape
        return _tried(partial(_difference, exercise.returns, one, other)) == ("", "")

    for case in exercise.cases.values():
        got, fault = _tried(partial(function, *_copies(case)))
        if not fault and not same(exercise.right(*case), got):
            for name, wrong in exercise.wrong(case):
                if same(wrong, got):
                    return _named(name)
            break
    advice, _ = _tried(partial(exercise.advice, function))
    return f"Perhaps: {advice}." if advice else ""


def _named(name: str) -> str:
    if name not in MISTAKES:
        return f"Perhaps: {name}."
    return f"This looks like {name}: {MISTAKES[name].summary} See: minnet study --mistake {name}"
