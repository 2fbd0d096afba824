"""The command line: arguments, progress, exit codes. All printing happens here."""

import argparse
import contextlib
import difflib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minnet import config as configs
from minnet import experiment, storage, terminal, training
from minnet.errors import ConfigError, MinnetError
from minnet.study import text
from minnet.training import Epoch

DEFAULT_CONFIG = "digits"
METRICS = [f.name for f in fields(Epoch) if f.name != "best_epoch"]
USAGE = """usage: minnet train [CONFIG.toml] [section.key=value ...]   train a classifier
       minnet study [CONFIG.toml] [section.key=value ...]   print every number of one step of backprop
       minnet check [CONFIG.toml] [section.key=value ...]   check the gradient of a config

minnet COMMAND --help says more."""


class _Parser(argparse.ArgumentParser):
    """Answers a mistake with one line that names the nearest option."""

    def error(self, message: str) -> NoReturn:
        options = [option for action in self._actions for option in action.option_strings]
        word = message.rpartition(" ")[2].partition("=")[0]
        near = difflib.get_close_matches(word, options, 1, 0.6) if word.startswith("-") else []
        raise ConfigError(message + (f"; did you mean {near[0]}?" if near else f"; see {self.prog} --help"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 2 a mistake in the arguments or config, 1 a problem with
    data, files or the run, 130 and 143 after SIGINT and SIGTERM."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if not argv:
            raise ConfigError("no command: try minnet train, or minnet --help")
        if argv[0] in ("-h", "--help"):
            _say(USAGE)
            return 0
        if argv[0] == "--version":
            from minnet import __version__

            _say(f"minnet {__version__}")
            return 0
        commands = {"train": _train, "study": _study, "check": _check}
        if argv[0] not in commands:
            near = difflib.get_close_matches(argv[0], commands, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else f": choose from {', '.join(commands)}"
            raise ConfigError(f"unknown command {argv[0]!r}{hint}")
        return commands[argv[0]](argv[1:])
    except MinnetError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError:
        return _fail("out of memory: try a smaller model.hidden or train.batch_size", 1)
    except KeyboardInterrupt as stopped:
        return _fail("interrupted before the model was saved", 128 + (stopped.args or [signal.SIGINT])[0])


def _train(argv: list[str]) -> int:
    """The command `train`: one run in a folder of its own."""
    options = _train_options(argv)
    path, overrides = _config_path(options.arguments)
    config = configs.load(path, overrides)
    if options.print_config:
        _say(configs.dumps(config).rstrip())
        return 0
    say = _silent if options.quiet else _say
    storage.check_folder(options.out, options.overwrite)

    if config.data.source in configs.FETCHED or config.data.source.startswith("openml:"):
        say(f"loading {config.data.source}; the first time, scikit-learn downloads it")
    run = experiment.prepare(config)
    say(terminal.opening(run))
    folder = storage.claim_folder(options.out, path.stem, options.overwrite)
    storage.write(folder / "config.toml", configs.dumps(config).encode())
    storage.append(folder / "metrics.csv", ",".join(METRICS))

    last = None
    parts = (run.parts["train"], run.parts.get("validation"))
    # a run that diverges overflows on its way; the loop says so itself
    with _graceful() as stop, np.errstate(all="ignore"), training.blas_threads(run.net, config.train.batch_size):
        for last in _with_bar(training.train(run.net, *parts, config, stop.event), config, options.quiet):
            storage.append(folder / "metrics.csv", ",".join(_cell(getattr(last, name)) for name in METRICS))
        measured = experiment.measure(run)
        result = experiment.result(run, measured, last, interrupted=stop.event.is_set())
        storage.write_model(folder / "model.npz", *experiment.model_file(run))
        storage.write_json(folder / "result.json", result)
        say("\n" + terminal.closing(result) + f"\n\nsaved in {folder}")
    if stop.event.is_set():
        return _fail(f"interrupted; the best weights so far are in {folder}", 128 + stop.signal)
    return 0


def _study(argv: list[str]) -> int:
    """The command `study`: one step of backprop in numbers, a mistake from the gallery, or an exercise graded."""
    options = _study_options(argv)
    alone = [f"--{name}" for name in ("mistake", "grade") if getattr(options, name) is not None]
    colour = text.has_colour()
    others = options.arguments or options.model or options.row is not None or options.json
    if len(alone) > 1 or (alone and others):
        raise ConfigError(f"{alone[0]} takes no config and no other option")
    with np.errstate(all="ignore"):  # wrong code overflows, and right numbers are shown whatever they are
        if options.mistake is not None:
            from minnet.study import catches

            lists = {"list": catches.listing, "table": catches.table}
            shown = lists[options.mistake]() if options.mistake in lists else catches.show(options.mistake, colour)
            _say("\n".join(shown))
            return 0
        if options.grade is not None:
            from minnet.study import grade

            graded = grade.grade(options.grade)
            _say("\n".join(grade.lines(graded, colour)))
            return 0 if graded.ok else 1

        from minnet.study import step

        traced = step.trace(_subject(options))
        _say(_json(step.as_data(traced)) if options.json else "\n".join(step.lines(traced, colour)))
    return 0


def _subject(options: argparse.Namespace) -> Any:
    """The net and the row that the arguments of `study` ask for."""
    from minnet.study import subject

    row = 0 if options.row is None else options.row
    named = any("=" not in argument for argument in options.arguments)
    if options.model is not None and not named:
        storage.read_model(options.model)  # says first what is wrong with it
        path = options.model if options.model.is_dir() else options.model.parent
        return subject.of_data(configs.load(path / "config.toml", options.arguments), row, options.model)
    if named or options.row is not None:
        return subject.of_data(configs.load(*_config_path(options.arguments)), row, options.model)
    return subject.friendly(options.arguments)


def _check(argv: list[str]) -> int:
    """The command `check`: the gradient of a config against complex step and central differences."""
    parser = _Parser(
        prog="minnet check",
        usage="%(prog)s [CONFIG.toml] [section.key=value ...]",
        description="Check the gradient of a config, layer by layer, against complex step and central differences. "
        "Exit code 0 if it is right, 1 if it is wrong.",
        allow_abbrev=False,
    )
    _add_config(parser)
    options = parser.parse_intermixed_args(argv)

    from minnet.study import check

    with np.errstate(all="ignore"):
        report = check.check(experiment.prepare(configs.load(*_config_path(options.arguments))))
    _say("\n".join(check.lines(report, text.has_colour())))
    return 0 if report.ok else 1


def _train_options(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="minnet train",
        usage="%(prog)s [CONFIG.toml] [section.key=value ...] [--out DIR] [--overwrite] [--quiet] [--print-config]",
        description="Train a classifier and write it, with its figures, to a folder of its own.",
        epilog=f"keys, with their defaults and types:\n\n{configs.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_config(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/CONFIG, -2, -3, ...)")
    parser.add_argument("--overwrite", action="store_true", help="let the run go that is in that folder already")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    parser.add_argument("--print-config", action="store_true", help="print the whole config that would run, and exit")
    return parser.parse_intermixed_args(argv)


def _study_options(argv: list[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="minnet study",
        usage="%(prog)s [CONFIG.toml] [section.key=value ...] [--row I] [--model RUN] [--json]\n"
        "       %(prog)s --mistake NAME | list | table\n       %(prog)s --grade FILE",
        description="Print every number of one step of backprop: of a net of 2-3-3 units with friendly numbers, or of "
        "a row of data with its config's own net. (7) is the line of the code that bears the comment # (7).",
        allow_abbrev=False,
    )
    _add_config(parser)
    parser.add_argument("--row", type=int, metavar="I", help="the row of the config's data, counted from 0 (default 0)")
    parser.add_argument("--model", type=Path, metavar="RUN", help="a run's folder or model.npz: its trained weights")
    parser.add_argument("--json", action="store_true", help="the same as JSON, with every number of every array")
    parser.add_argument("--mistake", metavar="NAME", help="a classic mistake, and what catches it; list names them all")
    parser.add_argument("--grade", type=Path, metavar="FILE", help="check a solved exercise of docs/exercises")
    return parser.parse_intermixed_args(argv)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="CONFIG.toml, section.key=value",
        help="a config file, or the name of a shipped one (default: digits); values, read as TOML, in place of its own",
    )


def _config_path(arguments: list[str]) -> tuple[Path, list[str]]:
    """The config file among the arguments, or the default one, and the overrides. Raises ConfigError."""
    files = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    if not files:
        return _shipped()[DEFAULT_CONFIG], overrides
    path = Path(files[0])
    if files[0] != arguments[0] or len(files) > 1 or files[0] in configs.KEYS:
        configs.parse_override(files[-1])  # raises, and names the nearest key
    try:
        path.stat()
    except FileNotFoundError:
        if files[0] in _shipped():
            return _shipped()[files[0]], overrides
        near = difflib.get_close_matches(path.stem, _shipped(), 1, 0.6)
        hint = f"; did you mean {_shipped()[near[0]]}?" if near else f"; shipped: {', '.join(_shipped())}"
        raise ConfigError(f"{path}: no such config file{hint}") from None
    except OSError:
        pass  # configs.load says what is wrong with it
    return path, overrides


def _shipped() -> dict[str, Path]:
    """The configs that come with minnet, by name: beside the package in its repository, inside it when installed."""
    package = Path(__file__).parent
    for folder in (package.parent / "configs", package / "configs"):
        if folder.is_dir():
            return {path.stem: _relative(path) for path in sorted(folder.glob("*.toml"))}
    return {}


def _relative(path: Path) -> Path:
    with contextlib.suppress(ValueError, OSError):
        return path.relative_to(Path.cwd())
    return path


class _Stop:
    """Set by the first SIGINT or SIGTERM; a second one stops at once."""

    def __init__(self) -> None:
        self.event, self.signal = threading.Event(), 0

    def __call__(self, number: int, frame: Any) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt(number)
        self.signal = number
        self.event.set()


@contextlib.contextmanager
def _graceful() -> Iterator[_Stop]:
    """While inside, signals ask the run to end after the step at hand."""
    stop = _Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_bar(epochs: Iterable[Epoch], config: configs.Config, quiet: bool) -> Iterator[Epoch]:
    """The same epochs, with a progress bar on stderr if that is a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield from epochs
        return
    from tqdm import tqdm

    with tqdm(total=config.train.epochs, desc=config.data.source, unit="epoch", leave=False, dynamic_ncols=True) as bar:
        for epoch in epochs:
            bar.set_postfix_str(terminal.progress(epoch), refresh=False)
            bar.update()
            yield epoch


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _cell(value: float | int | None) -> str:
    """One value of metrics.csv, with all its digits; empty where there is none."""
    return "" if value is None else repr(value)


def _say(text: str) -> None:
    """Print, unless nobody reads any more (`| head`): a run goes on without its audience.

    Raises MinnetError where standard output is a full disk.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise MinnetError(f"standard output cannot be written: {error.strerror}") from None


def _silent(text: str) -> None:
    pass


def _fail(message: str, code: int) -> int:
    print("minnet:", *message.split(), file=sys.stderr)  # one line, whatever the names in it
    return code
