"""The command line: arguments, signals and exit codes.

A command's docstring is what its --help prints. It also declares the arguments, one a line.
"""

import argparse
import contextlib
import importlib.util
import inspect
import json
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from minnet import config as configs
from minnet import console, data, distributed, errors, files, model, onnx, runs, sweep
from minnet.console import fail, note, put, say
from minnet.errors import ConfigError, DataError, MinnetError, did_you_mean, one_line
from minnet.study.text import has_colour

USAGE = """usage: minnet COMMAND ...

  train     train a classifier, with one seed or several, or resume a run
  predict   predict the class of each row of a file, as CSV
  evaluate  test a model on labelled rows
  export    write a model as ONNX
  report    show one run, or several side by side, on a page
  shard     convert data that is larger than memory
  study     print every number of one step of backprop
  check     check the gradient of a config

minnet COMMAND --help shows its arguments."""
PAGE = Path("softmax.html")
KEYS = "Keys, with their defaults; a value on the command line is TOML or a bare word:"

ALONE = {  # options of study that take no others but these, of which the first is theirs alone
    "mistake": (),
    "grade": ("only",),
    "solution": ("give_up",),
    "page": ("overwrite", "config", "row", "model"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done; 2 wrong arguments or config; 1 a problem with
    data, files or the run; 128 + number after a signal."""
    command, *arguments = list(sys.argv[1:] if argv is None else argv) or [""]
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    team, stop = distributed.ALONE, _Stop()
    try:
        with stop:
            if command in ("-h", "--help", "--version"):
                say(f"minnet {errors.VERSION}" if command == "--version" else USAGE)
                return 0
            if command not in COMMANDS:
                what = f"unknown command {command!r}" if command else "no command"
                hint = did_you_mean(command, COMMANDS) or f"; choose from {', '.join(COMMANDS)}"
                raise ConfigError(f"{what}{hint}")
            team = distributed.team() if command == "train" else team
            with console.silence(team.rank > 0):  # rank 0 alone speaks
                return COMMANDS[command](_parse(COMMANDS[command], arguments))
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, ImportError) and stop.is_set():  # a module made this of the signal
            return _end(KeyboardInterrupt(stop.code - 128, ""), command, team)
        return _end(error, command, team)


def _end(error: BaseException, command: str, team: distributed.Team) -> int:
    """Print the line for an error, and end all processes of a team; returns the exit code."""
    code = 1
    if isinstance(error, MinnetError):
        lines = isinstance(error, DataError)  # all problems of a table
        line, code = str(error) if lines else one_line(error), error.exit_code
    elif isinstance(error, MemoryError):
        line = "out of memory: allow this process more, or give it fewer rows"
        line += " or a smaller model.hidden or train.batch_size" * (command == "train")
    elif isinstance(error, KeyboardInterrupt):
        number, hint = error.args if len(error.args) == 2 else (signal.SIGINT, "")
        line, code = f"interrupted{hint}", 128 + number
    elif team.size > 1:
        line = one_line(f"{type(error).__name__}: {error}")
    else:
        raise error  # a bug, with its traceback
    if team.rank:
        time.sleep(1)  # an error that all meet is reported by rank 0, which ends this wait
        line = f"rank {team.rank} of {team.size}: {line}"
    fail(line, code)
    if team.size > 1:
        team.abort(code)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        options = [option for action in self._actions for option in action.option_strings]
        word = message.rpartition(" ")[2].partition("=")[0]
        hint = did_you_mean(word, options) if word.startswith("-") else ""
        raise ConfigError(message + (hint or f"; see {self.prog} --help"))

    def print_help(self, file: Any = None) -> None:
        say(f"{self.description}{self.epilog}")


def _parse(command: Callable, argv: list[str]) -> argparse.Namespace:
    """The arguments of a command, as its docstring declares them."""
    text = inspect.getdoc(command) or ""
    epilog = f"\n\n{KEYS}\n\n{configs.describe()}" if command is train else ""
    parser = _Parser(f"minnet {command.__name__}", None, text, epilog, allow_abbrev=False)
    types: dict[str, Any] = {"N": int, "I": int, "HxW": _size, "NAME": str}
    for name, value in re.findall(r"^ +([\[A-Z-]\S*)(?: (\S+))?  ", text, re.MULTILINE):
        if name.startswith("--") and not value:
            parser.add_argument(name, action="store_true")
        elif "|" in value:
            parser.add_argument(name, choices=value.split("|"), metavar=value)
        elif name.startswith("--"):
            many: Any = {"action": "append", "default": [], "type": str}
            one = {"type": types.get(value, Path)}
            if value == "[FILE]":
                one |= {"nargs": "?", "const": PAGE}
            parser.add_argument(name, metavar=value, **many if value.endswith("...") else one)
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
    """While entered, set by the first of errors.SIGNALS, for the run in this folder; a second one
    interrupts at once. Without a folder, the first one does."""

    code = 128 + signal.SIGINT  # if the signal has reached another process of a team alone

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.folder = folder

    def __call__(self, number: int, frame: Any) -> None:
        at_once, self.code = self.is_set() or self.folder is None, 128 + number
        self.set()
        if at_once:
            raise KeyboardInterrupt(number, (self.folder and _resuming(self.folder)) or "")

    def __enter__(self) -> "_Stop":
        self.before = {number: signal.signal(number, self) for number in errors.SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


def _resuming(folder: Path) -> str:
    """The end of a line about a run that can be resumed, unless somebody has removed it."""
    command = shlex.join(["minnet", "train", "--resume", str(folder)])
    return f"; resume with: {command}" if (folder / "config.toml").exists() else ""


def train(options: argparse.Namespace) -> int:
    """usage: minnet train [TABLE | CONFIG.toml] [section.key=value ...] [--out DIR] [--overwrite]
           minnet train ... [--repeat N] [--sweep KEY=LIST ...] [--report] [--quiet]
           minnet train ... --print-config
           minnet train --resume DIR [train.epochs=N] [--report] [--quiet]

    Train a classifier, and write it and its figures to a new folder.

      [TABLE ...]     a table, such as people.csv, a config file, or the name of a shipped one
                      (digits); then section.key=value
      --out DIR       the run's folder (default: runs/CONFIG, then runs/CONFIG-2, ...)
      --overwrite     replace the existing run
      --resume DIR    resume the run in this folder
      --repeat N      train with N seeds and print mean and spread
      --sweep KEY=LIST...  train with each value of a list, such as 'model.hidden=[[64], [64, 32]]',
                      and rank them in validation; given again for other keys, all combinations
      --report        write report.html to the run's folder at the end
      --quiet         print only errors
      --print-config  print the complete config and exit
    """
    team = distributed.team()
    if options.report:
        _need("a report", "matplotlib")
    with console.silence(options.quiet and not options.print_config):
        return _train(options, team) if options.resume is None else _resume(options, team)


def _train(options: argparse.Namespace, team: distributed.Team) -> int:
    path, overrides = configs.locate(options.table)
    config = configs.load(path, overrides)
    if options.print_config:
        put(configs.dumps(config))  # as it is, to be loaded
        return 0
    team.check_same("config", configs.dumps(config))
    plan = None
    if options.sweep or options.repeat is not None:
        if team.size > 1:
            raise ConfigError("--repeat and --sweep start their own processes: leave out mpiexec")
        if config.data.source == "-":
            raise ConfigError("--repeat and --sweep read the data in each run: save them in a file")
        if not (config.data.test_size or config.data.test_source):
            raise ConfigError("--repeat and --sweep end in test figures: data.test_size=0 has none")
        number = 1 if options.repeat is None else options.repeat
        plan = sweep.plan(config, sweep.grid(options.sweep), number)
    named = any(override.startswith("data.source=") for override in overrides)
    name = path.stem if path and not named else runs.folder_name(config, "table")
    if not team.rank:
        runs.check_folder(options.out, options.overwrite)
    with console.reading(config.data.source) as progress:
        prepared = runs.prepare(config, progress, team)
    say(console.opening(prepared, team.size))
    note(prepared.data.notes)
    claimed = runs.claimed(options.out, name, options.overwrite)
    with contextlib.nullcontext(Path()) if team.rank else claimed as folder:
        if plan is None:
            return _run(runs.begin(folder, prepared, team), options.report)
        del prepared  # each run loads it for itself
        return _repeat(sweep.begin(folder, plan), options.report)


def _resume(options: argparse.Namespace, team: distributed.Team) -> int:
    new = options.out, options.overwrite, options.sweep, options.print_config
    if any(new) or options.repeat is not None:
        raise ConfigError("--resume takes no --out, --overwrite, --repeat, --sweep, --print-config")
    folder = options.resume
    team.check_same("config", f"{folder} {options.table}")
    with contextlib.nullcontext() if team.rank else files.locked(folder):
        if (folder / runs.REPEAT_FILE).exists():
            if team.size > 1:
                raise ConfigError(f"{folder}: its runs are separate processes: leave out mpiexec")
            return _repeat(sweep.resume(folder, options.table), options.report)
        with console.reading() as progress:
            run = runs.resume(folder, options.table, progress, team)
        say(f"{console.opening(run.prepared, team.size)}\n{console.resumed(run)}")
        return _run(run, options.report)


def _run(run: runs.Run, reported: bool) -> int:
    run.team.check_same("data", repr(run.about["digests"]))
    with _Stop(run.folder) as stop:
        console.follow(runs.epochs(run, stop), run)
        result = runs.finish(run, interrupted=stop.is_set())
    say(f"\n{console.closing(result)}\n\nsaved in {run.folder}")
    if run.team.rank:
        return stop.code if stop.is_set() else 0
    if stop.is_set():
        what = f"interrupted; the best weights so far are in {run.folder}"
        return fail(f"{what}{_resuming(run.folder)}", stop.code)
    if reported:
        _write_report([run.folder])
    return 0


def _repeat(plan: sweep.Plan, reported: bool) -> int:
    say(console.repeating(plan))
    with _Stop(plan.folder) as stop:
        for run in sweep.run(plan, stop):
            if run.result:
                say(console.ended(plan, run))
            elif not stop.is_set():
                note([f"{run.name}: {run.line}"])
    ranked, number = sweep.ranking(plan), len(plan.runs)
    done = sum(len(tried.results) for tried in ranked)
    if stop.is_set():
        what = f"interrupted after {done} of {number} runs"
        return fail(f"{what}{_resuming(plan.folder)}", stop.code)
    if len(ranked[0].results) >= min(2, plan.repeat):
        figures = sweep.finish(plan, ranked)
        best = ranked[0].results
        if plan.grid:
            say(f"\n{console.ranked(plan, ranked)}")
        end = console.repeated(plan, figures, len(best)) if figures else console.closing(best[0])
        say(f"\n{end}\n\nsaved in {plan.folder}")
        if reported:
            _write_report([plan.folder])
    if done < number:
        return fail(f"{number - done} of {number} runs failed; no figure includes them", 1)
    return 0


def report(options: argparse.Namespace) -> int:
    """usage: minnet report RUN [RUN ...] [--out DIR] [--image HxW]

    Write report.html, a self-contained page, and its pictures, for one run or several side by side.
    A run with --repeat counts as several, one with --sweep as those of the best values.

      RUN ...      a run's folder
      --out DIR    where to write (default: the run's folder; for several runs, report/)
      --image HxW  show rows as images of this height and width
    """
    _need("a report", "matplotlib")
    _write_report([Path(run) for run in options.run], options.out, options.image)
    return 0


def _write_report(folders: list[Path], out: Path | None = None, size: Any = None) -> None:
    from minnet.report import page

    path, notes = page.write(folders, out, size)
    note(notes)
    say(f"report in {path}")


def _need(what: str, package: str) -> None:
    """Raise MinnetError without a package, before anything takes time."""
    if importlib.util.find_spec(package) is None:
        raise MinnetError(f"{what} needs {package}: pip install {package}")


def predict(options: argparse.Namespace) -> int:
    """usage: minnet predict MODEL DATA [--proba] [--keep COLUMN ...] [--out FILE]

    Predict the class of each row of a file, as CSV.

      MODEL             a run's folder, or its model.npz
      DATA              a file or folder, as data.source; - is standard input
      --proba           add the probability of each class
      --keep COLUMN...  begin with this column of DATA, such as an id; may be repeated
      --out FILE        write to this file instead of standard output, which is -
      --overwrite       overwrite the --out file
    """
    out = None if str(options.out) in ("-", "/dev/stdout") else options.out
    _check_new(out, options.overwrite)
    trained = model.load(options.model)
    with console.reading() as progress:
        table, kept = model.read(trained, options.data, False, progress, options.keep)
    note(model.notes(trained, table))
    lines = model.csv_lines(trained, table, options.proba, kept)
    if out:
        encoded = (block.encode(errors="backslashreplace") for block in lines)
        files.write(out, encoded, options.overwrite)
    else:
        all(map(put, lines))  # while somebody reads
    return 0


def _check_new(out: Path | None, overwrite: bool) -> None:
    """Raise ConfigError if a file is there that is to stay, before anything takes time."""
    with contextlib.suppress(OSError):  # such as a name that is too long, which writing reports
        if out and out.exists() and not overwrite:
            raise ConfigError(f"{out}: exists; choose another file, or use --overwrite")


def export(options: argparse.Namespace) -> int:
    """usage: minnet export MODEL [--out FILE] [--overwrite]

    Write a model with its preprocessing as one ONNX graph, and compare it with the model in
    onnxruntime. Its inputs are the columns of the table, (N, 1) of numbers or strings, or X (N, D)
    if it was trained on arrays; its outputs are label (N,) and probabilities (N, K).

      MODEL        a run's folder, or its model.npz
      --out FILE   the file to write (default: model.onnx)
      --overwrite  overwrite the file
    """
    _need("export", "onnx")
    out = options.out or Path("model.onnx")
    _check_new(out, options.overwrite)
    if not onnx.export(model.load(options.model), out, options.overwrite):
        note([f"{out}: not compared with the model: pip install onnxruntime"])
    say(f"model in {out}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """usage: minnet evaluate MODEL DATA [--json]

    Test a model on the labelled rows of a file.

      MODEL   a run's folder, or its model.npz
      DATA    a file or folder, as data.source; - is standard input
      --json  print the figures as JSON
    """
    trained = model.load(options.model)
    with console.reading() as progress:
        table, _ = model.read(trained, options.data, True, progress)
    found = model.evaluate(trained, table)
    printed = json.dumps(found, indent=1, allow_nan=False)
    say(printed if options.json else console.evaluation(options.data, found))
    note(model.notes(trained, table))
    return 0


def shard(options: argparse.Namespace) -> int:
    """usage: minnet shard SOURCE DIR [data.target=COLUMN] [data.header=true] [--dtype float32]

    Convert a CSV, an svmlight file or a data set, a block of rows at a time, to a folder of .npy
    files, which training reads from the disk if they are large.

      SOURCE                   as data.source
      DIR                      an empty or new folder
      [KEY ...]                how to read the source: data.target=COLUMN, ...
      --dtype float32|float64  of dense X (default: float64)
    """
    keys = [f"data.{key}" for key in data.SHARD_KEYS]
    for override in options.key:
        if configs.parse_override(override)[0] not in keys:
            raise ConfigError(f"{override}: shard takes {', '.join(keys)}")
    source = f"data.source={json.dumps(options.source, ensure_ascii=False)}"
    config = configs.load(None, [source, *options.key]).data
    with console.reading() as progress:
        N, D = data.shard(config, Path(options.dir), options.dtype or "float64", progress)
    command = shlex.join(["minnet", "train", f"data.source={options.dir}"])
    say(f"{options.dir}: {N:,} rows, {D:,} features; {command}")
    return 0


def study(options: argparse.Namespace) -> int:
    """usage: minnet study [CONFIG.toml] [section.key=value ...] [--row I] [--model RUN]
                        [--why] [--at NAME] [--json]
           minnet study ... --page [FILE] [--overwrite]
           minnet study --mistake NAME | list | table
           minnet study --grade FILE [--only NAME]
           minnet study --solution NAME [--give-up]

    Print every number of one step of backprop, for a 2-3-3 net with round numbers, or for one row
    of data and the net of its config. Step (7) is the line of code marked # (7).

      [CONFIG ...]     a config file or the name of a shipped one; section.key=value
      --row I          the row of the config's data, from 0 (default: 0)
      --model RUN      use the trained weights of a run's folder or model.npz
      --why            say of each step why it is so
      --at NAME        print one array in full, such as 1.dW or out.dz
      --json           print JSON with every number of every array
      --page [FILE]    write a page on which you move its softmax Jacobian (softmax.html)
      --overwrite      overwrite the --page file
      --mistake NAME   show a classic mistake and what catches it; list names them all
      --grade FILE     check solutions to exercises in docs/exercises
      --only NAME      check this function alone
      --solution NAME  print our solution to a function that you have had checked
      --give-up        print it without
    """
    colour, code = has_colour(), 0
    _check_study(options)
    with np.errstate(all="ignore"):  # wrong code overflows; right numbers are shown as they are
        if options.mistake is not None:
            from minnet.study import catches

            name, lists = options.mistake, {"list": catches.listing, "table": catches.table}
            lines = lists[name]() if name in lists else catches.show(name, colour)
        elif options.grade is not None:
            from minnet.study import grade

            grade.attempts(parts := grade.grade(options.grade, options.only))
            code, lines = int(not all(part.ok for part in parts)), grade.lines(parts, colour)
        elif options.solution is not None:
            from minnet.study import grade

            lines = grade.solution(options.solution, options.give_up)
        else:
            from minnet.study import page, step, subject

            chosen = subject.choose(options.config, options.row, options.model)
            if options.page:
                files.write(options.page, page.page(chosen).encode(), options.overwrite)
                lines = [f"page in {options.page}"]
            else:
                traced = step.trace(chosen)
                if full := options.at is not None:
                    traced = step.at(traced, options.at)
                lines = step.lines(traced, colour, options.why or full, full)
                if options.json:
                    lines = [json.dumps(step.as_data(traced), indent=1)]
    say("\n".join(lines), colour)
    return code


def _check_study(options: argparse.Namespace) -> None:
    """Raise ConfigError for options that do not go together."""
    given = {name for name, x in vars(options).items() if x not in (None, []) and x is not False}
    for mode, own in ALONE.items():
        if mode in given and (other := min(given - {mode, *own}, default="")):
            what = "config" if other == "config" else f"--{other}"
            raise ConfigError(f"--{mode} takes no {what}".replace("_", "-"))
        if own and own[0] in given and mode not in given:
            raise ConfigError(f"--{own[0]} belongs to --{mode}".replace("_", "-"))
    if options.page and options.page.suffix != ".html":
        raise ConfigError(f"--page {options.page}: is not the name of a page, as softmax.html")
    _check_new(options.page, options.overwrite)


def check(options: argparse.Namespace) -> int:
    """usage: minnet check [CONFIG.toml] [section.key=value ...]

    Check the gradient of a config, layer by layer, against complex step and central differences.
    The exit code is 0 if it is right, 1 if it is wrong. Of members, the first is checked.

      [CONFIG ...]  a config file or the name of a shipped one (default: digits); section.key=value
    """
    from minnet.study import check as checks

    with np.errstate(all="ignore"):
        found = checks.check(runs.prepare(configs.load(*configs.locate(options.config))))
    colour = has_colour()
    say("\n".join(checks.lines(found, colour)), colour)
    return 0 if found.ok else 1


COMMANDS = {f.__name__: f for f in (train, predict, evaluate, export, report, shard, study, check)}
