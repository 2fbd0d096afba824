"""The command line: arguments, signals and exit codes.

The docstring of a command is what its --help prints, and where its arguments are declared: one a
line, whose value says its type.
"""

import argparse
import contextlib
import importlib.util
import inspect
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from minnet import config as configs
from minnet import console, data, distributed, files, model, runs
from minnet.console import fail, note, say
from minnet.errors import ConfigError, MinnetError, did_you_mean
from minnet.study.text import has_colour

if TYPE_CHECKING:
    from minnet.sweep import Plan

USAGE = """usage: minnet COMMAND ...

  train     train a classifier, with one seed or several, or resume a run
  predict   predict the class of each row of a file, as CSV
  evaluate  test a model on labelled rows
  report    show one run, or several side by side, on a page
  shard     convert data that is larger than memory
  study     print every number of one step of backprop
  check     check the gradient of a config

minnet COMMAND --help shows its arguments."""
KEYS = "Keys, with their defaults; a value on the command line is TOML or a bare word:"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done; 2 wrong arguments or config; 1 a problem with
    data, files or the run; 130 and 143 after SIGINT and SIGTERM."""
    command, *arguments = list(sys.argv[1:] if argv is None else argv) or [""]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if command in COMMANDS:
            return COMMANDS[command](arguments)
        if command in ("-h", "--help"):
            say(USAGE)
        elif command == "--version":
            from minnet import __version__

            say(f"minnet {__version__}")
        elif command:
            hint = did_you_mean(command, COMMANDS) or f"; choose from {', '.join(COMMANDS)}"
            raise ConfigError(f"unknown command {command!r}{hint}")
        else:
            raise ConfigError("no command: try minnet train, or minnet --help")
        return 0
    except (MinnetError, MemoryError, KeyboardInterrupt) as error:
        return fail(*_explained(error, command))


def _explained(error: BaseException, command: str) -> tuple[str, int]:
    """The line to print for an error, and the exit code."""
    if isinstance(error, MinnetError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return "out of memory: try a smaller model.hidden or train.batch_size", 1
    if isinstance(error, KeyboardInterrupt):
        line = "interrupted before the model was saved" if command == "train" else "interrupted"
        return line, 128 + (error.args or [signal.SIGINT])[0]
    return f"{type(error).__name__}: {error}", 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        options = [option for action in self._actions for option in action.option_strings]
        word = message.rpartition(" ")[2].partition("=")[0]
        hint = did_you_mean(word, options) if word.startswith("-") else ""
        raise ConfigError(message + (hint or f"; see {self.prog} --help"))

    def print_help(self, file: Any = None) -> None:
        say(f"{self.description}{self.epilog or ''}")


def _parse(
    command: Callable[[list[str]], int], argv: list[str], epilog: str = ""
) -> argparse.Namespace:
    """The arguments of a command, as its docstring declares them."""
    text = inspect.getdoc(command) or ""
    parser = _Parser(f"minnet {command.__name__}", None, text, epilog, allow_abbrev=False)
    types: dict[str, Any] = {"N": int, "I": int, "HxW": _size, "NAME": str}
    for name, value in re.findall(r"^ +([\[A-Z-]\S*)(?: (\S+))?  ", text, re.MULTILINE):
        if name.startswith("--") and not value:
            parser.add_argument(name, action="store_true")
        elif "|" in value:
            parser.add_argument(name, choices=value.split("|"), metavar=value)
        elif name.startswith("--"):
            parser.add_argument(name, type=types.get(value, Path), metavar=value)
        else:
            nargs = {"": None, "...": "+", "...]": "*"}[value]
            parser.add_argument(name.strip("[").lower(), nargs=nargs, metavar=name)
    return parser.parse_intermixed_args(argv)


def _size(text: str) -> tuple[int, int]:
    """(28, 28) from "28x28"."""
    sides = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.lower())
    if sides is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 28x28")
    return int(sides[1]), int(sides[2])


class _Stop(threading.Event):
    """While entered, set by the first SIGINT or SIGTERM; a second one interrupts at once."""

    code = 128 + signal.SIGINT  # if the signal has reached another process of a team alone

    def __call__(self, number: int, frame: Any) -> None:
        if self.is_set():
            raise KeyboardInterrupt(number)
        self.code = 128 + number
        self.set()

    def __enter__(self) -> "_Stop":
        signals = (signal.SIGINT, signal.SIGTERM)
        self.before = {number: signal.signal(number, self) for number in signals}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def train(argv: list[str]) -> int:
    """usage: minnet train [CONFIG.toml] [section.key=value ...] [--out DIR] [--overwrite] [--quiet]
           minnet train ... [--repeat N] [--report] [--print-config]
           minnet train --resume DIR [train.epochs=N] [--report] [--quiet]

    Train a classifier, and write it and its figures to a new folder.

      [CONFIG ...]    a config file, or the name of a shipped one (digits); section.key=value
      --out DIR       the run's folder (default: runs/CONFIG, then runs/CONFIG-2, ...)
      --overwrite     replace the existing run
      --resume DIR    resume the run in this folder
      --repeat N      train with N seeds, and print mean and spread
      --report        write report.html to the run's folder at the end
      --quiet         print only errors
      --print-config  print the complete config and exit
    """
    team = distributed.team()
    if not isinstance(team, distributed.Ranks):
        return _train(argv, team)
    try:
        with console.silence(team.rank > 0):  # rank 0 alone speaks
            return _train(argv, team)
    except (Exception, KeyboardInterrupt) as error:  # in one process, and all have to end
        line, code = _explained(error, "train")
        if team.rank:
            time.sleep(1)  # an error that all meet is reported by rank 0, which ends this wait
            line = f"rank {team.rank} of {team.size}: {line}"
        fail(line, code)
        team.abort(code)
        return code


def _train(argv: list[str], team: distributed.Alone) -> int:
    options = _parse(train, argv, f"\n\n{KEYS}\n\n{configs.describe()}")
    options.quiet = options.quiet or team.rank > 0
    if options.report:
        _check_plot()
    if options.resume is not None:
        with console.silence(options.quiet):
            return _resume(options, team)
    path, overrides = configs.locate(options.config)
    config = configs.load(path, overrides)
    if options.print_config:
        say(configs.dumps(config).rstrip())
        return 0
    if options.repeat is not None:
        from minnet import sweep

        if team.size > 1:
            raise ConfigError("--repeat starts its own processes: leave out mpiexec")
        sweep.check(options.repeat, config)
    named = any(override.startswith("data.source=") for override in overrides)
    name = runs.folder_name(config, path.stem) if named else path.stem
    with console.silence(options.quiet):
        if not team.rank:
            runs.check_folder(options.out, options.overwrite)
        with console.loading(config, options.quiet) as progress:
            prepared = runs.prepare(config, progress, team)
        say(console.opening(prepared, team.size))
        if team.rank:
            return _run(runs.begin(Path(), prepared, team), options)
        with runs.claimed(options.out, name, options.overwrite) as folder:
            if options.repeat is None:
                return _run(runs.begin(folder, prepared, team), options)
            del prepared  # each run loads it for itself
            return _repeat(sweep.begin(folder, config, options.repeat), options)


def _resume(options: argparse.Namespace, team: distributed.Alone) -> int:
    if options.out or options.overwrite or options.print_config or options.repeat is not None:
        others = "--out, --overwrite, --repeat or --print-config"
        raise ConfigError(f"--resume continues in the run's own folder: it takes no {others}")
    for argument in options.config:
        if "=" not in argument:
            raise ConfigError(
                f"{argument}: --resume takes the config in the run's folder, no other"
            )
    folder = options.resume
    with contextlib.nullcontext() if team.rank else files.locked(folder):
        if (folder / runs.REPEAT_FILE).exists():
            from minnet import sweep

            if team.size > 1:
                raise ConfigError(f"{folder}: its runs are separate processes: leave out mpiexec")
            return _repeat(sweep.resume(folder, options.config), options)
        with console.reading(options.quiet) as progress:
            run = runs.resume(folder, options.config, progress, team)
        say(f"{console.opening(run.prepared, team.size)}\n{console.resumed(run)}")
        return _run(run, options)


def _run(run: runs.Run, options: argparse.Namespace) -> int:
    with _Stop() as stop:
        console.follow(runs.epochs(run, stop), run, options.quiet)
        result = runs.finish(run, interrupted=stop.is_set())
    say(f"\n{console.closing(result)}\n\nsaved in {run.folder}")
    if not run.writes:
        return stop.code if stop.is_set() else 0
    if stop.is_set():
        hint = f"resume with: minnet train --resume {run.folder}"
        return fail(f"interrupted; the best weights so far are in {run.folder}; {hint}", stop.code)
    if options.report:
        _write_report([run.folder], run.folder)
    return 0


def _repeat(plan: "Plan", options: argparse.Namespace) -> int:
    from minnet import sweep

    say(console.repeating(plan, min(len(sweep.cores()), plan.runs)))
    results, failed = {}, {}
    with _Stop() as stop:
        for ended in sweep.run(plan, stop):
            if ended.result is None:
                failed[ended.number] = ended.line
            else:
                results[ended.number] = ended.result
                say(console.ended(ended))
    if stop.is_set():
        hint = f"resume with: minnet train --resume {plan.folder}"
        return fail(f"interrupted after {len(results)} of {plan.runs} runs; {hint}", stop.code)
    note(f"seed-{number}: {line}" for number, line in sorted(failed.items()))
    if len(results) > 1:
        figures = sweep.finish(plan, [results[number] for number in sorted(results)])
        say(f"\n{console.repeated(plan, figures, len(results))}\n\nsaved in {plan.folder}")
        if options.report:
            _write_report([plan.folder], plan.folder)
    if failed:
        return fail(f"{len(failed)} of {plan.runs} runs failed; no figure includes them", 1)
    return 0


def report(argv: list[str]) -> int:
    """usage: minnet report RUN [RUN ...] [--out DIR] [--image HxW]

    Write report.html, a page that needs no other file, and its pictures: of one run, or of several
    side by side. A run with --repeat counts as several.

      RUN ...      a run's folder
      --out DIR    where to write (default: the run's folder; for several runs, report/)
      --image HxW  show rows as images of this height and width
    """
    options = _parse(report, argv)
    _check_plot()
    folders = [Path(run) for run in options.run]
    out = folders[0] if len(folders) == 1 else Path("report")
    _write_report(folders, options.out or out, options.image)
    return 0


def _write_report(folders: list[Path], out: Path, size: tuple[int, int] | None = None) -> None:
    from minnet.report import page

    path, notes = page.write(folders, out, size)
    note(notes)
    say(f"report in {path}")


def _check_plot() -> None:
    """Raise MinnetError if matplotlib is not installed, before anything takes time."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MinnetError("a report needs matplotlib: pip install 'minnet[plot]'")


def predict(argv: list[str]) -> int:
    """usage: minnet predict MODEL DATA [--proba] [--out FILE] [--overwrite]

    Predict the class of each row of a file, as CSV.

      MODEL        a run's folder, or its model.npz
      DATA         a file or folder, as data.source
      --proba      add the probability of each class
      --out FILE   write to this file instead of standard output
      --overwrite  overwrite the --out file
    """
    options = _parse(predict, argv)
    with contextlib.suppress(OSError):  # such as a name that is too long, which writing reports
        if options.out and options.out.exists() and not options.overwrite:
            raise ConfigError(f"{options.out}: exists; choose another file, or use --overwrite")
    trained, table = _model_and_table(options, labels=False)
    lines = model.csv_lines(trained, table, options.proba)
    if options.out:
        files.write(options.out, (block.encode(errors="backslashreplace") for block in lines))
    elif not all(say(block, end="") for block in lines):
        return 0
    note(model.unknown_values(trained, table))
    return 0


def evaluate(argv: list[str]) -> int:
    """usage: minnet evaluate MODEL DATA

    Test a model on the labelled rows of a file.

      MODEL   a run's folder, or its model.npz
      DATA    a file or folder, as data.source
    """
    options = _parse(evaluate, argv)
    trained, table = _model_and_table(options, labels=True)
    measured, y = model.evaluate(trained, table)
    say(console.evaluation(options.data, measured, y, trained.classes_.tolist()))
    note(model.unknown_values(trained, table))
    return 0


def _model_and_table(options: argparse.Namespace, labels: bool) -> tuple[model.Model, Any]:
    trained = model.load(options.model)
    with console.reading() as progress:
        return trained, model.read(trained, options.data, labels, progress)


def shard(argv: list[str]) -> int:
    """usage: minnet shard SOURCE DIR [data.target=COLUMN] [data.header=true] [--dtype float32]

    Convert a CSV, an svmlight file or a data set, a block of rows at a time, to a folder of .npy
    files, which training reads from the disk if they are large.

      SOURCE                   as data.source
      DIR                      an empty or new folder
      [KEY ...]                how to read the source: data.target=COLUMN, ...
      --dtype float32|float64  of dense X (default: float64)
    """
    options = _parse(shard, argv)
    keys = [f"data.{key}" for key in data.SHARD_KEYS]
    for override in options.key:
        if configs.parse_override(override)[0] not in keys:
            raise ConfigError(f"{override}: shard takes {', '.join(keys)}")
    source = f"data.source={json.dumps(options.source)}"
    config = configs.load(None, [source, *options.key]).data
    with console.reading() as progress:
        N, D = data.shard(config, Path(options.dir), options.dtype or "float64", progress)
    train_on = f"minnet train data.source={options.dir}"
    say(f"{options.dir}: {N:,} rows, {D:,} features; {train_on}")
    return 0


def study(argv: list[str]) -> int:
    """usage: minnet study [CONFIG.toml] [section.key=value ...] [--row I] [--model RUN] [--json]
           minnet study --mistake NAME | list | table
           minnet study --grade FILE

    Print every number of one step of backprop: for a net of 2-3-3 units with round numbers, or for
    one row of data and its config's net. (7) is the line of code with the comment # (7).

      [CONFIG ...]    a config file, or the name of a shipped one; section.key=value
      --row I         the row of the config's data, from 0 (default: 0)
      --model RUN     use the trained weights of a run's folder or model.npz
      --json          print JSON with every number of every array
      --mistake NAME  show a classic mistake and what catches it; list names them all
      --grade FILE    check a solution of an exercise of docs/exercises
    """
    options = _parse(study, argv)
    alone = [f"--{name}" for name in ("mistake", "grade") if getattr(options, name) is not None]
    others = options.config or options.model or options.row is not None or options.json
    if len(alone) > 1 or (alone and others):
        raise ConfigError(f"{alone[0]} takes no config and no other option")
    code, colour = 0, has_colour()
    with np.errstate(all="ignore"):  # wrong code overflows; right numbers are shown as they are
        if options.mistake is not None:
            from minnet.study import catches

            lists = {"list": catches.listing, "table": catches.table}
            show = lists.get(options.mistake)
            lines = show() if show else catches.show(options.mistake, colour)
        elif options.grade is not None:
            from minnet.study import grade

            graded = grade.grade(options.grade)
            code, lines = 0 if graded.ok else 1, grade.lines(graded, colour)
        else:
            from minnet.study import step

            traced = step.trace(_subject(options))
            lines = step.lines(traced, colour)
            if options.json:
                content = step.as_data(traced)
                lines = [json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)]
    say("\n".join(lines))
    return code


def _subject(options: argparse.Namespace) -> Any:
    """The net and the row to study."""
    from minnet.study import subject

    named = any("=" not in argument for argument in options.config)
    if options.model is None and options.row is None and not named:
        return subject.friendly(options.config)
    path, overrides = configs.locate(options.config)
    if options.model is not None and not named:
        model.load(options.model)  # says first what is wrong with it
        folder = options.model if options.model.is_dir() else options.model.parent
        path = folder / "config.toml"
    return subject.of_data(configs.load(path, overrides), options.row or 0, options.model)


def check(argv: list[str]) -> int:
    """usage: minnet check [CONFIG.toml] [section.key=value ...]

    Check the gradient of a config, layer by layer, against complex step and central differences.
    The exit code is 0 if it is right, 1 if it is wrong.

      [CONFIG ...]  a config file, or the name of a shipped one (digits); section.key=value
    """
    options = _parse(check, argv)

    from minnet.study import check as checks

    with np.errstate(all="ignore"):
        found = checks.check(runs.prepare(configs.load(*configs.locate(options.config))))
    say("\n".join(checks.lines(found, has_colour())))
    return 0 if found.ok else 1


COMMANDS = {f.__name__: f for f in (train, predict, evaluate, report, shard, study, check)}
