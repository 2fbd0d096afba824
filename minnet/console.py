"""What the command line prints: figures in plain text, progress bars, notes and errors."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from minnet.config import FETCHED, Config
from minnet.errors import MinnetError, one_line
from minnet.runs import Prepared, Run, figures_by_class
from minnet.study.text import table
from minnet.training import Epoch, Measured

if TYPE_CHECKING:
    from minnet.sweep import Ended, Mean, Plan

MANY_CLASSES = 20  # with more, tables show only the classes with the most mistakes
NAME_WIDTH = 24
BAR: Any = {"leave": False, "dynamic_ncols": True}


def say(text: str, end: str = "\n") -> bool:
    """Print; once nobody reads any more (`| head`), do nothing. Returns whether somebody reads.

    Raises MinnetError if standard output cannot be written, as on a full disk.
    """
    try:
        print(text, end=end, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            reason = f"standard output cannot be written: {error.strerror}"
            raise MinnetError(reason) from None
        return False
    return True


def fail(message: object, code: int) -> int:
    """Print one line on stderr, unless that is closed; returns the exit code."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"minnet: {one_line(message)}\n")
    return code


def note(lines: Iterable[str]) -> None:
    """Print what is good to know on stderr, as standard output may be a file of predictions."""
    for line in lines:
        fail(f"note: {line}", 0)


def silence(quiet: bool) -> contextlib.AbstractContextManager[Any]:
    """While inside, if `quiet`, nothing is printed on standard output."""
    return contextlib.redirect_stdout(None) if quiet else contextlib.nullcontext()


def _has_bars(quiet: bool) -> bool:
    return not quiet and sys.stderr is not None and sys.stderr.isatty()


def loading(config: Config, quiet: bool) -> contextlib.AbstractContextManager[Any]:
    """Say that a data set may have to be downloaded; then as `reading`."""
    if config.data.source in FETCHED or config.data.source.startswith("openml:"):
        say(f"loading {config.data.source}; scikit-learn downloads it the first time")
    return reading(quiet)


@contextlib.contextmanager
def reading(quiet: bool = False) -> Iterator[Callable[[int], object] | None]:
    """What to tell of bytes read: a bar on stderr, if that is a terminal and it takes a while."""
    if not _has_bars(quiet):
        yield None
        return
    from tqdm import tqdm

    with tqdm(desc="reading", unit="B", unit_scale=True, delay=1, **BAR) as bar:
        yield bar.update


def follow(epochs: Iterable[Epoch], run: Run, quiet: bool) -> None:
    """Train to the end, with a bar on stderr if that is a terminal."""
    from tqdm import tqdm

    config, done, no_bar = run.prepared.config, len(run.state.history), not _has_bars(quiet)
    about: Any = {"desc": config.data.source, "unit": "epoch", "disable": no_bar, **BAR}
    with tqdm(total=config.train.epochs, initial=done, **about) as bar:
        for epoch in epochs:
            bar.set_postfix_str(progress(epoch), refresh=False)
            bar.update()


def progress(epoch: Epoch) -> str:
    """The figures of one epoch, for the progress bar."""
    text = f"loss {epoch.train_loss:.4f}"
    if epoch.validation_loss is not None:
        text += f", validation {epoch.validation_loss:.4f} ({epoch.validation_accuracy:.1%} right)"
    return text


def opening(prepared: Prepared, processes: int = 1) -> str:
    """Two lines, the data with its parts and the net with how it is trained; then the notes."""
    data, net, config = prepared.data, prepared.net, prepared.config
    parts = ", ".join(f"{name} {len(part.y)}" for name, part in prepared.parts.items())
    activations = "/".join(dict.fromkeys(net.activation)) or "no hidden layer"
    batch = min(config.train.batch_size, len(prepared.parts["train"].y))
    shared = f", shared by {processes} processes" if processes > 1 else ""
    return "\n".join(
        [
            f"{data.name}: {len(data.y):,} rows, {len(data.table.columns):,} features, "
            f"{len(data.classes)} classes; {parts}",
            f"net {'-'.join(map(str, net.layer_sizes))}, {activations}, "
            f"{net.theta.size:,} parameters; {config.optimizer.name}, "
            f"learning rate {config.optimizer.learning_rate:g}, batches of {batch}{shared}",
            *data.notes,
        ]
    )


def resumed(run: Run) -> str:
    """One line, where the run resumes; and another if its last bits may change."""
    done, epochs = len(run.state.history), run.prepared.config.train.epochs
    return "\n".join(
        [f"resumed after {done} of {epochs} epochs, {run.state.t:,} steps", *run.notes]
    )


def repeating(plan: "Plan", processes: int) -> str:
    """One line: how many runs, how many of them at once, and their seeds."""
    data, train, last = plan.config.data.split_seed, plan.config.train.seed, plan.runs - 1
    seeds = f"data.split_seed {data} to {data + last}, train.seed {train} to {train + last}"
    return f"{plan.runs} runs, {processes} at a time: {seeds}\n"


def ended(run: "Ended") -> str:
    """One line: the figures of one of several runs."""
    result: Any = run.result
    figures = f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}"
    epoch = f"epoch {result['best_epoch']} of {result['epochs']}"
    return f"seed-{run.number:<4d} {figures}, {epoch}, {result['seconds']:.2f} s"


def repeated(plan: "Plan", figures: dict[str, "Mean"], runs: int) -> str:
    """Mean, spread and interval of each figure over the runs, and what the interval means."""
    rows = [["", "mean \N{PLUS-MINUS SIGN} sd", "95% interval of the mean"]]
    for name, found in figures.items():
        spread = f"{found.mean:.4f} \N{PLUS-MINUS SIGN} {found.sd:.4f}"
        rows.append([name.replace("_", " "), spread, f"{found.low:.4f} to {found.high:.4f}"])
    test = plan.config.data.test_source
    meaning = "accounts for splits that share rows (Nadeau and Bengio 2003)"
    if test:
        meaning = f"is for these test rows only: each run is tested on {test}"
    return "\n".join([*table(rows, left=3), f"{runs} of {plan.runs} runs; the interval {meaning}"])


def closing(result: dict[str, Any]) -> str:
    """The final figures: losses and accuracies, a line for each class, the confusion matrix."""
    rows = [["", "loss", "accuracy"]]
    for part in ("train", "validation", "test"):
        if result[f"{part}_loss"] is not None:
            loss, accuracy = result[f"{part}_loss"], result[f"{part}_accuracy"]
            rows.append([part, f"{loss:.4f}", f"{accuracy:.4f}"])
    sections = [_summary(result), "\n".join(table(rows)), _per_class(result, "test part")]
    return "\n\n".join([*sections, _confusion(result, " (result.json has the matrix)")])


def evaluation(name: str, measured: Measured, y: NDArray, classes: list[Any]) -> str:
    """The figures of a model on the rows of the file `name`, whose classes are classes[y]."""
    result = figures_by_class(y, measured.predicted, len(classes)) | {"classes": classes}
    rows = f"{len(measured.predicted):,} rows"
    head = f"{name}: {rows}, loss {measured.loss:.4f}, accuracy {measured.accuracy:.4f}"
    return "\n\n".join([head, _per_class(result, "by class"), _confusion(result)])


def _summary(result: dict[str, Any]) -> str:
    epochs = result["epochs"]
    if not epochs:
        return "stopped in the first epoch; kept the last weights"
    text = f"{epochs} epoch{'s' if epochs > 1 else ''} in {result['seconds']:.2f} s"
    if result["validation_loss"] is None:
        return f"{text}; no validation part, so kept the last weights"
    return f"{text}; kept the weights of epoch {result['best_epoch']}, best in validation"


def _per_class(result: dict[str, Any], title: str) -> str:
    figures, names = result["per_class"], _names(result)
    columns = [figures[figure] for figure in ("precision", "recall", "f1")]
    rows = [*zip(*columns, figures["rows"], names, strict=True)]
    if len(names) > MANY_CLASSES:
        title += f", the {MANY_CLASSES} classes of {len(names)} with the lowest f1"
        rows = sorted(rows, key=lambda row: row[2])[:MANY_CLASSES]
    means = [sum(column) / len(names) for column in columns]
    rows.append((*means, sum(figures["rows"]), "macro mean"))
    cells = [[name, *(f"{x:.4f}" for x in shown), str(n)] for *shown, n, name in rows]
    return "\n".join([title, *table([["class", "precision", "recall", "f1", "rows"], *cells])])


def _confusion(result: dict[str, Any], where: str = "") -> str:
    """The matrix, with dots for zeros; if it is too wide, its largest entries off the diagonal."""
    matrix, names = result["confusion"], _names(result)
    numbers = [f"{j}" for j in range(1, len(names) + 1)]
    counts = [[f"{n or '.'}" for n in row] for row in matrix]
    named = [[name, *row] for name, row in zip(names, counts, strict=True)]
    numbered = [[number, *row] for number, row in zip(numbers, named, strict=True)]
    for left, rows in ((1, [["", *names], *named]), (2, [["", "", *numbers], *numbered])):
        lines = table(rows, left=left)
        if len(names) <= MANY_CLASSES and len(lines[-1]) <= shutil.get_terminal_size().columns:
            title = "confusion: a row for each true class, a column for each predicted one"
            return "\n".join([title, *lines])
    pairs = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    lines = [f"{n:8d}  {names[i]} taken for {names[j]}" for n, i, j in sorted(pairs)[:-11:-1]]
    total = sum(n for n, _, _ in pairs)
    return "\n".join([f"confusion: the most frequent of {total} mistakes{where}", *lines])


def _names(result: dict[str, Any]) -> list[str]:
    """The names of the classes, the long ones shortened."""
    names = [str(label) for label in result["classes"]]
    return [name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 2]}.." for name in names]
