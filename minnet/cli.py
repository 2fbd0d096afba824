"""The command line: arguments, progress, exit codes. All printing happens here."""

import argparse
import contextlib
import difflib
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minnet import config as configs
from minnet import data, experiment, parallel, prediction, repeat, runs, storage, terminal, training
from minnet.errors import ConfigError, MinnetError, one_line
from minnet.study import text
from minnet.training import Epoch

DEFAULT_CONFIG = "digits"
USAGE = """usage: minnet train [CONFIG.toml] [section.key=value ...]   train a classifier
       minnet train --resume DIR                            go on with a run
       minnet train --repeat N                              the same with N seeds: mean, spread and interval
       minnet report RUN [RUN ...]                          show runs on a page, as pictures and tables
       minnet predict MODEL DATA                            predict the classes of a file's rows, as CSV
       minnet evaluate MODEL DATA                           measure a model on a file with labels
       minnet shard SOURCE DIR                              turn data into a folder that need not fit into memory
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
        commands = {"train": _train, "predict": _predict, "evaluate": _evaluate, "report": _report}
        commands |= {"shard": _shard, "study": _study, "check": _check}
        if argv[0] not in commands:
            near = difflib.get_close_matches(argv[0], commands, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else f": choose from {', '.join(commands)}"
            raise ConfigError(f"unknown command {argv[0]!r}{hint}")
        return commands[argv[0]](argv[1:])
    except (MinnetError, MemoryError, KeyboardInterrupt) as error:
        return _fail(*_explained(error, argv[0] if argv else ""))


def _explained(error: BaseException, command: str) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, MinnetError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory: try a smaller model.hidden or train.batch_size", 1
    if isinstance(error, KeyboardInterrupt):
        what = "interrupted before the model was saved" if command == "train" else "interrupted"
        return what, 128 + (error.args or [signal.SIGINT])[0]
    return f"{type(error).__name__}: {one_line(error)}", 1


@contextlib.contextmanager
def _team() -> Iterator[parallel.Alone]:
    """The processes that mpiexec has started, or this one. An error in one of them ends all, with one line."""
    team = parallel.team()
    if not isinstance(team, parallel.Ranks):
        yield team
        return
    try:
        yield team
    except (Exception, KeyboardInterrupt) as error:
        line, code = _explained(error, "train")
        if team.rank:
            time.sleep(1)  # a mistake that all meet is said by the first, which ends this wait, too
            line = f"rank {team.rank} of {team.size}: {line}"
        _fail(line, code)
        team.abort(code)


def _train(argv: list[str]) -> int:
    """The command `train`, in each of the processes that mpiexec has started, or in this one."""
    with _team() as team:
        if team.rank:  # the first alone speaks
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives
        options = _train_options(argv)
        options.team = team
        if team.size > 1 and options.repeat is not None:
            raise ConfigError("--repeat has its own processes: start it without mpiexec")
        options.quiet = options.quiet or team.rank > 0
        return _train_together(options)
    return 1


def _train_together(options: argparse.Namespace) -> int:
    """One run in a folder of its own, or several that differ in their seeds."""
    if options.report:
        _check_plot()
    if options.resume is not None:
        return _resume(options)
    path, overrides = _config_path(options.arguments)
    config = configs.load(path, overrides)
    if options.print_config:
        _say(configs.dumps(config).rstrip())
        return 0
    if options.repeat is not None:
        repeat.check(options.repeat, config)
    say = _silent if options.quiet else _say
    if options.team.rank == 0:
        storage.check_folder(options.out, options.overwrite)
    _say_loading(config, say)
    with _reading(options.quiet) as progress, _in_turn(config, options.team):
        prepared = experiment.prepare(config, progress, options.team)
    say(terminal.opening(prepared, options.team.size))
    if options.team.rank:
        return _run(runs.begin(Path(), prepared, options.team), options)
    own = data.is_file(config.data.source) and any(argument.startswith("data.source=") for argument in overrides)
    name = Path(config.data.source).name.partition(".")[0] if own else path.stem
    folder = storage.claim_folder(options.out, name or path.stem, options.overwrite)
    with storage.locked(folder):
        storage.check_folder(folder, options.overwrite)  # again: another run may just have been at work there
        storage.clear(folder)
        if options.repeat is not None:
            del prepared  # each run loads it for itself
            return _repeat(repeat.begin(folder, config, options.repeat), options)
        return _run(runs.begin(folder, prepared, options.team), options)


def _resume(options: argparse.Namespace) -> int:
    """The command `train --resume DIR`: go on with a run that was stopped, killed, or is to have more epochs."""
    if options.out or options.overwrite or options.print_config or options.repeat is not None:
        raise ConfigError(
            "--resume goes on in the run's own folder: it takes no --out, --overwrite, --repeat or --print-config"
        )
    for argument in options.arguments:
        if "=" not in argument:
            raise ConfigError(f"{argument}: --resume takes the config from the run's folder, not from a file")
    with storage.locked(options.resume) if options.team.rank == 0 else contextlib.nullcontext():
        if (options.resume / storage.REPEAT_FILE).exists():
            if options.team.size > 1:
                raise ConfigError(f"{options.resume}: its runs have their own processes: go on without mpiexec")
            return _repeat(repeat.go_on(options.resume, options.arguments), options)
        with _reading(options.quiet) as progress:
            run = runs.go_on(options.resume, options.arguments, progress, options.team)
        say = _silent if options.quiet else _say
        say(terminal.opening(run.experiment, options.team.size))
        say(terminal.going_on(run))
        return _run(run, options)


def _run(run: runs.Run, options: argparse.Namespace) -> int:
    """Train, write down what there is to write, and end with the exit code."""
    quiet = options.quiet
    config, parts = run.experiment.config, run.experiment.parts
    # a run that diverges overflows on its way; the loop says so itself
    with (
        _graceful() as stop,
        np.errstate(all="ignore"),
        # processes side by side have a core each
        training.blas_threads(run.experiment.net, config.train.batch_size if run.team.size == 1 else 0),
    ):
        epochs = training.train(
            run.experiment.net,
            parts["train"],
            parts.get("validation"),
            config,
            stop.event,
            run.progress,
            team=run.team,
        )
        with _hint_at_resume(run.folder):
            for epoch in _with_bar(epochs, run, quiet):
                runs.note(run, epoch)
            result = runs.finish(run, interrupted=stop.event.is_set())
    if not quiet:
        _say("\n" + terminal.closing(result) + f"\n\nsaved in {run.folder}")
    if stop.event.is_set():
        code = 128 + (stop.signal or signal.SIGINT)  # the signal may have reached another process alone
        goes_on = f"minnet train --resume {run.folder} goes on"
        said = f"interrupted; the best weights so far are in {run.folder}; {goes_on}"
        return _fail(said, code) if run.writes else code
    if options.report and run.writes:
        _write_report([run.folder], run.folder, None, quiet)
    return 0


def _repeat(plan: repeat.Plan, options: argparse.Namespace) -> int:
    """Train with each seed, and say what it came to; ends with the exit code."""
    say = _silent if options.quiet else _say
    say(terminal.repeating(plan, min(len(repeat.cores()), plan.runs)))
    results, failed = {}, {}
    with _graceful() as stop:
        for ended in repeat.run(plan, stop.event):
            if ended.result is not None:
                results[ended.number] = ended.result
                say(terminal.ended(ended))
            elif not stop.event.is_set():
                failed[ended.number] = ended
    if stop.event.is_set():
        goes_on = f"minnet train --resume {plan.folder} goes on"
        return _fail(f"interrupted after {len(results)} of {plan.runs} runs; {goes_on}", 128 + stop.signal)
    for number, ended in sorted(failed.items()):
        _note([f"seed-{number}: {ended.line}"])
    if len(results) > 1:
        figures = repeat.finish(plan, [results[number] for number in sorted(results)])
        say(f"\n{terminal.repeated(plan, figures, len(results))}\n\nsaved in {plan.folder}")
        if options.report:
            _write_report([plan.folder], plan.folder, None, options.quiet)
    if failed:
        return _fail(f"{len(failed)} of {plan.runs} runs failed, and no figure has them in it", 1)
    return 0


def _report(argv: list[str]) -> int:
    """The command `report`: runs on a page."""
    parser = _Parser(
        prog="minnet report",
        usage="%(prog)s RUN [RUN ...] [--out DIR] [--image HxW]",
        description="Write report.html, a page that needs no other file, and its pictures: of one run, or of several "
        "beside each other; a run that was repeated counts as several.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write (default: the run's folder; for several, report/)"
    )
    parser.add_argument("--image", type=_shape, metavar="HxW", help="rows are images of this height and width")
    options = parser.parse_intermixed_args(argv)
    _check_plot()
    folder = options.runs[0] if len(options.runs) == 1 else Path("report")
    _write_report(options.runs, options.out or folder, options.image, quiet=False)
    return 0


def _write_report(folders: list[Path], out: Path, shape: tuple[int, int] | None, quiet: bool) -> None:
    from minnet.report import write

    with np.errstate(all="ignore"):
        path, notes = write.write(folders, out, shape)
    _note(notes)
    if not quiet:
        _say(f"report in {path}")


def _check_plot() -> None:
    """Raises MinnetError where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MinnetError("a report needs matplotlib: pip install 'minnet[plot]'")


def _shape(text: str) -> tuple[int, int]:
    """(28, 28) from "28x28"."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 28x28")
    return int(height), int(width)


@contextlib.contextmanager
def _in_turn(config: configs.Config, team: parallel.Alone) -> Iterator[None]:
    """Lets the first process load what may have to be downloaded, and then the others."""
    fetched = config.data.source in configs.FETCHED or config.data.source.startswith("openml:")
    if fetched and team.rank:
        team.add(np.zeros(1))
    yield
    if fetched and not team.rank:
        team.add(np.zeros(1))


@contextlib.contextmanager
def _hint_at_resume(folder: Path) -> Iterator[None]:
    """Adds to the error of a file that could not be written that the run is not lost."""
    try:
        yield
    except MinnetError as error:
        if type(error) is not MinnetError:
            raise
        raise MinnetError(f"{error}; minnet train --resume {folder} goes on from the last checkpoint") from None


def _predict(argv: list[str]) -> int:
    """The command `predict`: the classes of a file's rows, as CSV."""
    parser = _model_parser("predict", "Predict the classes of the rows of a file, as CSV.", "[--proba] [--out FILE]")
    parser.add_argument("--proba", action="store_true", help="give the probability of each class, too")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to this file, not to standard output")
    parser.add_argument("--overwrite", action="store_true", help="let the file go that --out names")
    options = parser.parse_intermixed_args(argv)
    with contextlib.suppress(OSError):  # a name too long, for one: writing says so
        if options.out and options.out.exists() and not options.overwrite:
            raise ConfigError(f"{options.out}: exists; choose another file, or let it go with --overwrite")
    model = prediction.load(options.model)
    with _reading(quiet=False) as progress:
        table = prediction.read(model, options.data, labels=False, progress=progress)
    lines = prediction.csv_lines(model, table, options.proba)
    if options.out:
        storage.write(options.out, (block.encode(errors="backslashreplace") for block in lines))
    elif not all(_say(block, end="") for block in lines):
        return 0
    _note(prediction.unknown_values(model, table))
    return 0


def _evaluate(argv: list[str]) -> int:
    """The command `evaluate`: a model's figures on a file with labels."""
    parser = _model_parser("evaluate", "Measure a model on the rows of a file with labels.", "")
    options = parser.parse_intermixed_args(argv)
    model = prediction.load(options.model)
    with _reading(quiet=False) as progress:
        table = prediction.read(model, options.data, labels=True, progress=progress)
    measured, y = prediction.evaluate(model, table)
    figures = experiment.figures_by_class(y, measured.predicted, len(model.classes_))
    _say(terminal.evaluation(options.data, measured, figures, model.classes_.tolist()))
    _note(prediction.unknown_values(model, table))
    return 0


def _model_parser(command: str, description: str, options: str) -> _Parser:
    usage = f"%(prog)s MODEL DATA {options}".rstrip()
    parser = _Parser(prog=f"minnet {command}", usage=usage, description=description, allow_abbrev=False)
    parser.add_argument("model", type=Path, metavar="MODEL", help="a run's folder, or its model.npz")
    parser.add_argument("data", metavar="DATA", help="a file or folder of the kinds that data.source takes")
    return parser


def _shard(argv: list[str]) -> int:
    """The command `shard`: a source as a folder that training reads from the disk."""
    parser = _Parser(
        prog="minnet shard",
        usage="%(prog)s SOURCE DIR [data.target=COLUMN] [data.header=true] [--dtype float32]",
        description="Write a CSV, an svmlight file or a data set as a folder of X.npy (X.npz where rows are sparse), "
        "y.npy and names.npy, a block of rows at a time. Training reads a large one from the disk.",
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="SOURCE", help="as data.source")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or not there")
    parser.add_argument("overrides", nargs="*", metavar="data.KEY=VALUE", help="how the source is to be read")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="of dense X (float64)")
    options = parser.parse_intermixed_args(argv)
    from minnet import shard

    for override in options.overrides:
        if override.partition("=")[0] not in [f"data.{key}" for key in shard.KEYS]:
            configs.parse_override(override)
            raise ConfigError(f"{override}: shard takes data.{', data.'.join(shard.KEYS)}")
    config = configs.load(None, [f"data.source={json.dumps(options.source)}", *options.overrides]).data
    with _reading(quiet=False) as progress:
        N, D = shard.shard(config, options.folder, options.dtype, progress)
    _say(f"{options.folder}: {N:,} rows, {D:,} features; minnet train data.source={options.folder}")
    return 0


@contextlib.contextmanager
def _reading(quiet: bool) -> Iterator[Callable[[int], object] | None]:
    """What to tell of the bytes read: a bar on stderr, if that is a terminal and it takes a while."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc="reading", unit="B", unit_scale=True, leave=False, delay=1, dynamic_ncols=True) as bar:
        yield bar.update


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
        usage="%(prog)s [CONFIG.toml] [section.key=value ...] [--out DIR] [--overwrite] [--quiet] [--print-config]\n"
        "       %(prog)s ... [--repeat N] [--report]\n"
        "       %(prog)s --resume DIR [train.epochs=N] [--report] [--quiet]",
        description="Train a classifier and write it, with its figures, to a folder of its own.",
        epilog=f"keys, with their defaults and types:\n\n{configs.describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_config(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/CONFIG, -2, -3, ...)")
    parser.add_argument("--overwrite", action="store_true", help="let the run go that is in that folder already")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with the run in this folder")
    parser.add_argument("--repeat", type=int, metavar="N", help="train with N seeds, and give mean and spread")
    parser.add_argument("--report", action="store_true", help="write report.html into the folder at the end")
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
    if files[0] in _shipped() and not path.is_file():
        return _shipped()[files[0]], overrides
    try:
        path.stat()
    except FileNotFoundError:
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


def _with_bar(epochs: Iterable[Epoch | None], run: runs.Run, quiet: bool) -> Iterator[Epoch | None]:
    """The same epochs, with a progress bar on stderr if that is a terminal."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield from epochs
        return
    from tqdm import tqdm

    config, done = run.experiment.config, len(run.progress.history)
    total, style = config.train.epochs, {"unit": "epoch", "leave": False, "dynamic_ncols": True}
    with tqdm(total=total, initial=done, desc=config.data.source, **style) as bar:
        for epoch in epochs:
            if epoch is not None:
                bar.set_postfix_str(terminal.progress(epoch), refresh=False)
                bar.update()
            yield epoch


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _say_loading(config: configs.Config, say: Callable[[str], object]) -> None:
    if config.data.source in configs.FETCHED or config.data.source.startswith("openml:"):
        say(f"loading {config.data.source}; the first time, scikit-learn downloads it")


def _say(text: str, end: str = "\n") -> bool:
    """Print, unless nobody reads any more (`| head`): a run goes on without its audience. Whether somebody reads.

    Raises MinnetError where standard output is a full disk.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise MinnetError(f"standard output cannot be written: {error.strerror}") from None
        return False
    return True


def _note(lines: Iterable[str]) -> None:
    """What is good to know, one line each, on stderr: standard output may go into a pipe."""
    for line in lines:
        _fail(f"note: {line}", 0)


def _silent(text: str) -> None:
    pass


def _fail(message: str, code: int) -> int:
    print("minnet:", *message.split(), file=sys.stderr)  # one line, whatever the names in it
    return code
