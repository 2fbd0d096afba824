"""What the command line prints: figures in plain text, progress bars, notes and errors."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from minnet import config as configs
from minnet import metrics, sweep
from minnet.config import FETCHED
from minnet.errors import MinnetError, one_line, visible
from minnet.runs import Prepared, Run
from minnet.study.text import table
from minnet.sweep import Mean, Plan, Tried, cores
from minnet.training import Epoch

MANY_CLASSES = 20  # with more, tables show only the classes with the most mistakes
NAME_WIDTH = 24
SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC, each class against the rest",
    "calibration_error": "calibration error",
    "baseline_accuracy": "accuracy of always the most frequent class",
    "baseline_loss": "loss of the class frequencies",
}


def say(text: str, coloured: bool = False) -> None:
    """Print lines, in which, unless they are `coloured`, no name or label can move the cursor."""
    put(f"{text if coloured else visible(text)}\n")


def put(text: str) -> bool:
    """Print; once nobody reads any more (`| head`), do nothing. Returns whether somebody reads.
    Raises MinnetError if standard output cannot be written, as on a full disk."""
    try:
        _write(sys.stdout, text)
    except BrokenPipeError:
        return False
    except OSError as error:
        raise MinnetError(f"cannot write to standard output: {error.strerror}") from None
    return True


def _write(stream: TextIO | None, text: str) -> None:
    """Write to a stream, if there is one. After an OSError what it holds back is dropped, as Python
    would try again at the end, and change the exit code."""
    if stream is not None:
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            raise


def fail(message: object, code: int) -> int:
    """Print a message on stderr, unless that is closed; returns the exit code."""
    text = "\n  ".join(map(one_line, str(message).splitlines()))
    with contextlib.suppress(OSError, ValueError):
        _write(sys.stderr, f"minnet: {text}\n")
    return code


def note(lines: Iterable[str]) -> None:
    """Print notes on stderr, as standard output may be a file of predictions; not in silence."""
    for line in lines if sys.stdout else ():
        fail(f"note: {one_line(line)}", 0)


def silence(quiet: bool) -> contextlib.AbstractContextManager[Any]:
    """While inside, if `quiet`, nothing is printed on standard output, and there are no bars."""
    return contextlib.redirect_stdout(None if quiet else sys.stdout)


@contextlib.contextmanager
def _bar(**about: Any) -> Iterator[Any]:
    """A progress bar on stderr; None if that is no terminal, or in silence."""
    if sys.stdout is None or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(leave=False, dynamic_ncols=True, **about) as bar:
        yield bar


@contextlib.contextmanager
def reading(source: str = "") -> Iterator[Callable[[int], object] | None]:
    """What to tell of bytes read: a bar, if reading takes a while. Says if minnet may download."""
    if source in FETCHED or source.startswith("openml:"):
        say(f"loading {source}; scikit-learn downloads it the first time")
    with _bar(desc="reading", unit="B", unit_scale=True, delay=1) as bar:
        yield None if bar is None else bar.update


def follow(epochs: Iterable[Epoch], run: Run) -> None:
    """Train to the end, with a bar."""
    config, done = run.prepared.config, len(run.state.history)
    about = {"desc": one_line(config.data.source), "total": config.train.epochs, "initial": done}
    with _bar(unit="epoch", **about) as bar:
        for epoch in epochs:
            if bar is not None:
                bar.set_postfix_str(progress(epoch), refresh=False)
                bar.update()


def progress(epoch: Epoch) -> str:
    """The figures of one epoch, for the progress bar."""
    text = f"loss {epoch.train_loss:.4f}"
    if epoch.validation_loss is not None:
        text += f", validation {epoch.validation_loss:.4f} ({epoch.validation_accuracy:.1%} right)"
    return text


def opening(prepared: Prepared, processes: int = 1) -> str:
    """Two lines, the data with its parts and the net with how it is trained."""
    data, net, optimizer = prepared.data, prepared.net, prepared.config.optimizer
    parts = ", ".join(f"{name} {len(part.y)}" for name, part in prepared.parts.items())
    size = f"{len(data.y):,} rows, {len(data.table.columns):,} features"
    layers, members = "-".join(map(str, net.layer_sizes)), prepared.config.model.members
    nets = f"{members} nets" if members > 1 else "net"
    activations = "/".join(dict.fromkeys(net.activation)) or "no hidden layer"
    batch = min(prepared.config.train.batch_size, len(prepared.parts["train"].y))
    shared = f", shared by {processes} processes" if processes > 1 else ""
    lines = [
        f"{data.name}: {size}, {len(data.classes)} classes; {parts}",
        f"{nets} {layers}, {activations}, {net.theta.size:,} parameters; {optimizer.name}, "
        f"learning rate {optimizer.learning_rate:g}, batches of {batch}{shared}",
    ]
    return "\n".join(lines)


def resumed(run: Run) -> str:
    """One line, where the run resumes; and another if its last bits may change."""
    done, epochs = len(run.state.history), run.prepared.config.train.epochs
    head = f"resumed after {done} of {epochs} epochs, {run.state.t:,} steps"
    return "\n".join([head, *run.notes])


def repeating(plan: Plan) -> str:
    """One line: how many runs, how many of them at once, and in what they differ."""
    first, last = (configs.values(plan.runs[i].config) for i in (0, -1))
    parts = [f"{name} {values}" for name, values in plan.grid.items()]
    if plan.repeat > 1:
        parts += [f"{name} {first[name]} to {last[name]}" for name in sweep.SEEDS]
    runs = len(plan.runs)
    return f"{runs} runs, {min(len(cores()), runs)} at a time: {', '.join(parts)}\n"


def ended(plan: Plan, run: sweep.Run) -> str:
    """One line: the figures of one of several runs; of a sweep, none of the test part."""
    result: Any = run.result
    names = [plan.figure] if plan.grid else ["test_accuracy", "test_loss"]
    figures = ", ".join(f"{name.replace('_', ' ')} {result[name]:.4f}" for name in names)
    epoch = f"epoch {result['best_epoch']} of {result['epochs']}"
    return f"{run.name:<9s} {figures}, {epoch}, {result['seconds']:.2f} s"


def ranked(plan: Plan, tried: list[Tried]) -> str:
    """The ranking of a sweep, and what is chosen; the figures below are of this alone."""
    chosen = sweep.values(plan, tried[0].runs[0]).items()
    lines = table(sweep.table(plan, tried), left=len(plan.grid) + 4)
    lines += ["", f"chosen in validation: {', '.join(f'{name} {x}' for name, x in chosen)}"]
    return "\n".join(lines)


def repeated(plan: Plan, figures: dict[str, Mean], runs: int) -> str:
    """Mean, spread and interval of each figure over the runs, and what the interval means."""
    rows = [["", "mean ± sd", "95% interval of the mean"]]
    for name, found in figures.items():
        spread, ends = f"{found.mean:.4f} ± {found.sd:.4f}", f"{found.low:.4f} to {found.high:.4f}"
        rows.append([name.replace("_", " "), spread, ends])
    meaning = "accounts for splits that share rows (Nadeau and Bengio 2003)"
    if test := plan.config.data.test_source:
        meaning = f"is for these test rows only: each run is tested on {test}"
    lines = [*table(rows, left=3), f"{runs} of {plan.repeat} runs; the interval {meaning}"]
    return "\n".join(lines)


def closing(result: dict[str, Any]) -> str:
    """The final figures: losses and accuracies, those of the test part as a whole, a line for each
    class, the confusion matrix."""
    epochs, rows = result["epochs"], [["", "loss", "accuracy"]]
    head = f"{epochs} epoch{'s' * (epochs > 1)} in {result['seconds']:.2f} s; "
    if not epochs:
        head = "stopped in the first epoch; kept the last weights"
    elif result["validation_loss"] is None:
        head += "no validation part, so kept the last weights"
    else:
        head += f"kept the weights of epoch {result['best_epoch']}, best in validation"
    for part in ("train", "validation", "test"):
        if result[f"{part}_loss"] is not None:
            rows.append([part, *(f"{result[f'{part}_{x}']:.4f}" for x in rows[0][1:])])
    sections = [head, "\n".join(table(rows))]
    if result["test_loss"] is None:
        return "\n\n".join([*sections, "no test part, so nothing was tested"])
    sections += [_scores(result, "test part"), _per_class(result)]
    return "\n\n".join([*sections, _confusion(result, " (result.json has more)")])


def evaluation(name: str, result: dict[str, Any]) -> str:
    """The figures of a model on the rows of the file `name`."""
    figures = f"loss {result['loss']:.4f}, accuracy {result['accuracy']:.4f}"
    head = f"{name}: {result['rows']:,} rows, {figures}"
    return "\n\n".join([_scores(result, head), _per_class(result), _confusion(result)])


def _scores(result: dict[str, Any], title: str) -> str:
    """The figures of all classes together, those that there are."""
    found = {text: result[name] for name, text in SCORES.items() if result[name] is not None}
    return "\n".join([title, *table([[text, f"{x:.4f}"] for text, x in found.items()])])


def _per_class(result: dict[str, Any]) -> str:
    figures, names, title = result["per_class"], _names(result), "by class"
    rows = [*zip(names, *figures.values(), strict=True)]
    if len(names) > MANY_CLASSES:
        title += f", the {MANY_CLASSES} classes of {len(names)} with the lowest f1"
        rows = sorted(rows, key=lambda row: row[3])[:MANY_CLASSES]
    *sums, total = map(sum, figures.values())
    rows.append(("macro mean", *(x / len(names) for x in sums), total))
    cells = [[name, *(f"{x:.4f}" for x in shown), str(n)] for name, *shown, n in rows]
    return "\n".join([title, *table([["class", *figures], *cells])])


def _confusion(result: dict[str, Any], where: str = "") -> str:
    """The matrix, with dots for zeros; if it is too wide, its largest entries off the diagonal."""
    (wrong, found), names = metrics.mistakes(result), _names(result)
    numbers = [f"{j}" for j in range(1, len(names) + 1)]
    few = [[names], [numbers, names]] if len(names) <= MANY_CLASSES else []
    for heads in few:  # numbers, if the names are too wide for columns
        cells = [[f"{n or '.'}" for n in row] for row in result["confusion"]]
        rows = [[*head, *row] for *head, row in zip(*heads, cells, strict=True)]
        lines = table([[""] * len(heads) + heads[0], *rows], len(heads))
        if len(lines[-1]) <= shutil.get_terminal_size().columns:
            title = "confusion: a row for each true class, a column for each predicted one"
            return "\n".join([title, *lines])
    lines = [f"{n:8d}  {names[i]} taken for {names[j]}" for n, i, j in found[:10]]
    title = f"confusion: the most frequent of {wrong} mistakes{where}"
    return "\n".join([title, *lines])


def _names(result: dict[str, Any]) -> list[str]:
    """The names of the classes, the long ones shortened."""
    names = [one_line(label) for label in result["classes"]]
    return [name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 2]}.." for name in names]
