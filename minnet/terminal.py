"""What a run says in a terminal, in plain text."""

import shutil
from typing import Any

from minnet.experiment import Experiment
from minnet.repeat import Ended, Mean, Plan
from minnet.runs import Run
from minnet.training import Epoch, Measured

MANY_CLASSES = 20  # with more, the tables show the classes with the most mistakes
NAME_WIDTH = 24


def opening(experiment: Experiment, processes: int = 1) -> str:
    """Two lines: the data and its parts, the net and how it is trained; and what there is to know of the rows."""
    shared = f", shared by {processes} processes" if processes > 1 else ""
    dataset, net, config = experiment.dataset, experiment.net, experiment.config
    parts = ", ".join(f"{name} {len(part.y)}" for name, part in experiment.parts.items())
    activations = "/".join(dict.fromkeys(net.activation)) or "no hidden layer"
    N, D = dataset.X.shape[0], dataset.X.shape[1] + len(dataset.text)
    batch = min(config.train.batch_size, len(experiment.parts["train"].y))
    return (
        f"{dataset.name}: {N:,} rows, {D:,} features, {len(dataset.classes)} classes; {parts}\n"
        f"net {'-'.join(map(str, net.layer_sizes))}, {activations}, {net.theta.size:,} parameters; "
        f"{config.optimizer.name}, learning rate {config.optimizer.learning_rate:g}, batches of {batch}{shared}"
        + "".join(f"\n{note}" for note in dataset.notes)
    )


def going_on(run: Run) -> str:
    """One line: where the run goes on; and another if its last bits may change."""
    done, epochs = len(run.progress.history), run.experiment.config.train.epochs
    return "\n".join([f"going on after {done} of {epochs} epochs and {run.progress.t:,} steps", *run.notes])


def progress(epoch: Epoch) -> str:
    """The figures of one epoch, for the progress bar."""
    text = f"loss {epoch.train_loss:.4f}"
    if epoch.validation_loss is not None:
        text += f", validation {epoch.validation_loss:.4f} ({epoch.validation_accuracy:.1%} right)"
    return text


def repeating(plan: Plan, processes: int) -> str:
    """One line: how many runs, with which seeds, and how many of them at once."""
    data, train, last = plan.config.data.split_seed, plan.config.train.seed, plan.runs - 1
    seeds = f"data.split_seed {data} to {data + last}, train.seed {train} to {train + last}"
    return f"{plan.runs} runs, {processes} at a time: {seeds}\n"


def ended(run: Ended) -> str:
    """One line: the figures of one of several runs."""
    assert run.result is not None
    result, of = run.result, f"epoch {run.result['best_epoch']} of {run.result['epochs']}"
    figures = f"test accuracy {result['test_accuracy']:.4f}, test loss {result['test_loss']:.4f}"
    return f"seed-{run.number:<4d} {figures}, {of}, {result['seconds']:.2f} s"


def repeated(plan: Plan, figures: dict[str, Mean], runs: int) -> str:
    """What the runs came to, and what the interval stands for."""
    lines = [f"{'':15s}  mean \N{PLUS-MINUS SIGN} sd          95% interval of the mean"]
    for name, found in figures.items():
        spread = f"{found.mean:.4f} \N{PLUS-MINUS SIGN} {found.sd:.4f}"
        lines.append(f"{name.replace('_', ' '):15s}  {spread:15s}  {found.low:.4f} to {found.high:.4f}")
    allowed = "allows for splits that share rows (Nadeau and Bengio 2003)"
    known = f"is of these test rows alone: {plan.config.data.test_source} is the test part of each run"
    lines.append(f"{runs} of {plan.runs} runs; the interval {known if plan.config.data.test_source else allowed}")
    return "\n".join(lines)


def closing(result: dict[str, Any]) -> str:
    """The final figures: losses and accuracies, a line for each class, the confusion matrix."""
    names = [str(name) for name in result["classes"]]
    sections = [_summary(result), _losses(result), _per_class(result, names, "test part")]
    return "\n\n".join([*sections, _confusion(result, names, " (result.json has the matrix)")])


def evaluation(name: str, measured: Measured, result: dict[str, Any], classes: list[Any]) -> str:
    """The figures of a model on the rows of the file `name`."""
    names = [str(label) for label in classes]
    head = f"{name}: {len(measured.predicted):,} rows, loss {measured.loss:.4f}, accuracy {measured.accuracy:.4f}"
    return "\n\n".join([head, _per_class(result, names, "by class"), _confusion(result, names)])


def _summary(result: dict[str, Any]) -> str:
    epochs, seconds = result["epochs"], result["seconds"]
    if not epochs:
        return "stopped within the first epoch; the weights are the last ones"
    text = f"{epochs} epoch{'s' if epochs != 1 else ''} in {seconds:.2f} s"
    if result["validation_loss"] is None:
        return f"{text}; no validation part, so the weights are the last ones"
    return f"{text}; kept the weights of epoch {result['best_epoch']}, best in validation"


def _losses(result: dict[str, Any]) -> str:
    lines = ["              loss  accuracy"]
    for part in ("train", "validation", "test"):
        if result[f"{part}_loss"] is not None:
            lines.append(f"{part:10s}{result[f'{part}_loss']:8.4f}{result[f'{part}_accuracy']:10.4f}")
    return "\n".join(lines)


def _per_class(result: dict[str, Any], names: list[str], title: str) -> str:
    figures = result["per_class"]
    rows = list(zip(names, figures["precision"], figures["recall"], figures["f1"], figures["rows"], strict=True))
    if len(rows) > MANY_CLASSES:
        rows = sorted(rows, key=lambda row: row[3])[:MANY_CLASSES]
        title += f", the {MANY_CLASSES} classes of {len(names)} with the lowest f1"
    width = max(len("macro mean"), *(len(_short(name)) for name in names))
    lines = [title, f"{'class':{width}s}  precision  recall      f1    rows"]
    for name, precision, recall, f1, count in rows:
        lines.append(f"{_short(name):{width}s}  {precision:9.4f}{recall:8.4f}{f1:8.4f}{count:8d}")
    means = [sum(figures[figure]) / len(names) for figure in ("precision", "recall", "f1")]
    lines.append(f"{'macro mean':{width}s}  {means[0]:9.4f}{means[1]:8.4f}{means[2]:8.4f}{sum(figures['rows']):8d}")
    return "\n".join(lines)


def _confusion(result: dict[str, Any], names: list[str], where: str = "") -> str:
    """The matrix, with dots for zeros; where it is too wide, the largest entries off its diagonal, and where it is."""
    matrix = result["confusion"]
    left = max(len(_short(name)) for name in names)
    cell = max(len(str(count)) for row in matrix for count in row)
    heads = [_short(name) for name in names]
    if left + len(names) * (max(map(len, heads), default=0) + 2) > _width():
        heads = [str(j + 1) for j in range(len(names))]  # numbers for names that do not fit above their columns
    cell = max(cell, *map(len, heads)) + 2
    if len(names) <= MANY_CLASSES and left + 4 + len(names) * cell <= _width():
        numbered = heads != [_short(name) for name in names]
        lines = ["confusion: a row for each true class, a column for each predicted"]
        lines.append(" " * (left + 4 * numbered) + "".join(f"{head:>{cell}s}" for head in heads))
        for j, (name, row) in enumerate(zip(names, matrix, strict=True), start=1):
            number = f"{j:3d} " if numbered else ""
            cells = "".join(f"{count or '.':>{cell}}" for count in row)
            lines.append(f"{number}{_short(name):{left}s}{cells}")
        return "\n".join(lines)
    pairs = [(n, i, j) for i, row in enumerate(matrix) for j, n in enumerate(row) if i != j and n]
    lines = [f"confusion: the most frequent of {sum(n for n, _, _ in pairs)} mistakes{where}"]
    most = sorted(pairs, reverse=True)[:10]
    lines += [f"{n:8d}  {_short(names[i])} taken for {_short(names[j])}" for n, i, j in most]
    return "\n".join(lines)


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 2] + ".."


def _width() -> int:
    return shutil.get_terminal_size().columns
