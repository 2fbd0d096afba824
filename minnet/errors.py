"""The version, and typed errors by whose mistake it is; a message is one line: what, where, what
to do."""

import signal
from collections.abc import Iterable

VERSION = "0.1.0"
# which end a command in order, with 128 + number; under nohup it outlives its terminal
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    SIGNALS.remove(signal.SIGHUP)


class MinnetError(Exception):
    """Any error that minnet raises on purpose; the command line exits with `exit_code`."""

    exit_code = 1


class ConfigError(MinnetError):
    """A mistake in the arguments or the config."""

    exit_code = 2


class DataError(MinnetError):
    """Data that cannot be loaded or used."""


class ModelFileError(MinnetError):
    """A model that no file can hold, or a file that is damaged or no model or checkpoint."""


class TrainingError(MinnetError):
    """A run that cannot continue, for example because it diverged."""


class MinnetWarning(UserWarning):
    """What was decided where Python code gave rows; the command line prints it as a note."""


def visible(text: str) -> str:
    """The text, with what a terminal would not print, but act on, as an escape.

    >>> visible("a b\\x1b[2J\\u202e")
    'a b\\\\x1b[2J\\\\u202e'
    """
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """The text, or an error's message, on one line, as `visible` shows it.

    >>> one_line("a\\n b\\x1b[2J")
    'a b\\\\x1b[2J'
    """
    return visible(" ".join(str(text).split()))


def short(text: object) -> str:
    """The text quoted, on one line, shortened to 40 characters.

    >>> short("a,b"), short("x" * 50)
    ("'a,b'", "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'")
    """
    text = str(text)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """The end of a message that names the nearest choice; empty if none is near.

    >>> did_you_mean("dropuot", ["dropout", "hidden"]), did_you_mean("x", ["dropout"])
    ('; did you mean dropout?', '')
    """
    import difflib  # not before it is known what to do on a signal

    near = difflib.get_close_matches(word, list(choices), 1, cutoff)
    return f"; did you mean {near[0]}?" if near else ""
