"""The page of one run and the page of several, and how a page is written."""

import shlex
import warnings
from dataclasses import replace
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from minnet import __version__, config, files, runs, sweep
from minnet.errors import ConfigError, MinnetError, one_line
from minnet.report import evaluation, figures, saved
from minnet.report.evaluation import Shape, Tested
from minnet.report.figures import label
from minnet.report.saved import Group, Run

MISTAKES = 12  # shown, at most
FEATURES = 8  # columns shown of each mistake that is not an image
UNITS = 64  # of the first layer, those with the largest weights
FINEST = 300  # classes, at most, of a confusion matrix that is drawn


def write(folders: list[Path], out: Path, shape: Shape) -> tuple[Path, list[str]]:
    """Write report.html and pictures/ into `out`: one run, or several compared.

    `shape` is that of the images that the rows are, if it is not known. Gives the page's path and
    a note on each thing that had to be left out. Raises ConfigError if there is no run or no place
    for the page, DataError if a file is damaged.
    """
    groups = [saved.read(folder) for folder in folders]
    names = [group.name for group in groups]
    for group, folder in zip(groups, folders, strict=True):
        if names.count(group.name) > 1:
            group.name = one_line(folder)
    alone = len(groups) == 1 and groups[0].planned == 1
    if shape and not alone:
        raise ConfigError("--image: only the page of one run shows images: leave it out")
    # warnings may be of missing glyphs, of which a browser has more
    with matplotlib.rc_context(figures.STYLE), warnings.catch_warnings(action="ignore"):
        page = of_run(groups[0], shape) if alone else of_groups(groups)
    page.write(out)
    return out / runs.REPORT, page.notes


class Page:
    """A page in the making: sections with figures, sections below them, the SVG of each picture,
    and what was left out."""

    def __init__(self, title: str, lines: list[str]) -> None:
        self.title, self.lines = title, lines
        self.figures, self.below, self.notes = list[str](), list[str](), list[str]()
        self.pictures: dict[str, str] = {}

    def add(self, title: str, content: str, text: str = "") -> None:
        """Add HTML below the figures, with a text above it."""
        above = f"<p class=faint>{html(text)}</p>\n" if text else ""
        self.below.append(section(title, above + content))

    def show(self, name: str, title: str, text: str, figure: Figure) -> None:
        """Add a figure, also as a picture of that name."""
        svg = self.pictures[name] = figures.svg(figure)
        caption = f"<figcaption>{html(text)}</figcaption>"
        content = f"<figure>{figures.inline(name, svg)}{caption}</figure>"
        self.figures.append(section(title, content))

    def write(self, folder: Path) -> None:
        """Write the page and its pictures. Raises ConfigError if one would replace another file."""
        content = {f"pictures/{name}.svg": svg for name, svg in self.pictures.items()}
        template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
        content[runs.REPORT] = template.substitute(
            title=html(self.title),
            mark=runs.REPORT_MARK,
            lines="\n".join(f"<p>{html(line)}</p>" for line in self.lines),
            figures="\n".join(self.figures),
            below="\n".join(self.below),
            version=__version__,
        )
        for path in () if runs.is_report(folder) else map(folder.joinpath, content):
            if path.exists():
                what = "not written by minnet report: move it, or choose --out"
                raise ConfigError(f"{one_line(path)}: {what}")
        runs.clear_report(folder)
        files.make_folder(folder / "pictures")
        for name, text in content.items():
            files.write(folder / name, text.encode(errors="xmlcharrefreplace"))


def html(content: object) -> str:
    """The content as text of a page, on one line."""
    return escape(one_line(content))


def section(title: str, content: str) -> str:
    """HTML below a title."""
    return f"<section><h2>{html(title)}</h2>\n{content}\n</section>"


def table(head: list[str], rows: list[tuple], numbers: int) -> str:
    """An HTML table, of which the last columns, so many, are numbers."""
    lines = [("th", head), *(("td", row) for row in rows)]
    cells = ("".join(f"<{tag}>{html(cell)}</{tag}>" for cell in row) for tag, row in lines)
    return "\n".join([f"<table class=n{numbers}>", *(f"<tr>{c}</tr>" for c in cells), "</table>"])


def config_text(run: Run) -> str:
    """The config of a run, as its file has it."""
    return f"<pre>{escape(config.dumps(run.config).strip())}</pre>"


# One run


def of_run(group: Group, shape: Shape) -> Page:
    """All that there is to show of a run; `shape` is that of its images, if it was given."""
    run = group.runs[0]
    page, trained = Page(group.name, _summary(run)), len(run.epochs["epoch"])
    if trained:
        _curves(page, run)
    if run.result:
        _by_class(page, run.result)
        try:
            test = evaluation.test_part(run)
        except MinnetError as error:
            page.notes.append(f"{error}; figures that need the test rows are left out")
        else:
            _test_part(page, test, evaluation.image_shape(test, shape))
    else:
        page.notes.append(f"{run.folder}: unfinished, so it has no test figures")
    if trained:
        text = (
            "At the last step of each epoch; the gradient before it is clipped. As a rule of "
            "thumb, an update is 0.001 of the weights."
        )
        page.show("sizes", "Gradients and updates", text, figures.sizes(run.epochs))
    versions = run.result["versions"] if run.result else {}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    command = escape(shlex.join(["minnet", "train", str(run.folder / "config.toml")]))
    page.add("Run it again", f"<pre>{command}</pre>", text)
    page.add("Config", config_text(run))
    return page


def _summary(run: Run) -> list[str]:
    """What a reader wants to know first."""
    source, result = run.config.data.source, run.result
    if result is None:
        done, most = len(run.epochs["epoch"]), run.config.train.epochs
        return [f"{source}: unfinished after {done} of at most {most} epochs"]
    K, right, n = len(result["classes"]), np.trace(result["confusion"]), np.sum(result["confusion"])
    low, high = evaluation.wilson(right, n)
    rows = ", ".join(f"{name} {rows:,}" for name, rows in result["rows"].items())
    accuracy = f"{right:,} of {n:,} rows; 95% Wilson interval {low:.4f} to {high:.4f}"
    scores = f"test loss {result['test_loss']:.4f}, macro F1 {result['macro_f1']:.4f}"
    stopped = "; interrupted" if result["interrupted"] else ""
    return [
        f"{source}: {K} classes; rows: {rows}; {result['parameters']:,} parameters",
        f"Test accuracy {result['test_accuracy']:.4f} ({accuracy}), {scores}",
        f"{result['epochs']} epochs in {result['seconds']:.2f} s; weights of epoch "
        f"{result['best_epoch']}{stopped}",
    ]


def _curves(page: Page, run: Run) -> None:
    watch, best = run.config.train.watch, 0
    text = "Training figures are means over the steps of an epoch, while the net is learning."
    watched = run.epochs[f"validation_{watch}"] * (1 if watch == "loss" else -1)
    if np.isfinite(watched).any():
        best = int(np.nanargmin(watched)) + 1
        text = f"Epoch {best} has the best validation {watch}. {text}"
    page.show("curves", "Learning curves", text, figures.curves(run.epochs, best))


def _by_class(page: Page, result: dict[str, Any]) -> None:
    """The confusion matrix and the figures of each class."""
    matrix, names = np.array(result["confusion"]), result["classes"]
    wrong = matrix - np.diag(np.diag(matrix))
    if len(names) <= FINEST:
        text = (
            f"{wrong.sum():,} of {matrix.sum():,} test rows are wrong; shades are shares of a row."
        )
        figure = figures.confusion(matrix, [label(name, 12) for name in names])
        page.show("confusion", "Confusion matrix", text, figure)
    rows = []
    by_class = [result["per_class"][name] for name in saved.OF_CLASS]
    for name, taken, *scores, n in zip(names, wrong, *by_class, strict=True):
        k = int(taken.argmax())
        most = f"{label(names[k])} ({taken[k]:,})" if taken[k] else ""
        rows.append((name, most, *(f"{score:.4f}" for score in scores), f"{n:,}"))
    head = ["class", "most often taken for", "precision", "recall", "F1", "rows"]
    page.add("Test figures by class", table(head, rows, 4))


def _test_part(page: Page, test: Tested, shape: Shape) -> None:
    """All that needs the rows of the test part."""
    bins = evaluation.calibration(test.p, test.y)
    text = (
        "Are 9 in 10 rows with confidence 0.9 right? Lines are 95% Wilson intervals. The mean gap "
        f"between confidence and accuracy (calibration error) is {evaluation.gap(bins):.4f}."
    )
    page.show("reliability", "Reliability", text, figures.reliability(bins))
    _mistakes(page, test, shape)
    if shape:
        W = test.model.net.weights[0].T
        largest = W[np.argsort(-np.linalg.norm(W, axis=1))[:UNITS]]
        most = np.abs(largest).max()
        text = (
            f"{len(largest)} of {len(W)} units, those with the largest weights: red where a bright "
            f"pixel raises the unit, blue where it lowers it, darkest at {most:.3g}."
        )
        shades = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
        figure = figures.images(largest.reshape(-1, *shape), 8, [], **shades)
        page.show("weights", "Weights of the first layer", text, figure)
    source = test.prepared.data.table
    if len(source.columns) == len(source.names) == 2 and isinstance(source.X, np.ndarray):
        text = "The predicted class, paler where p is unsure, and test rows, ringed if wrong."
        figure = figures.regions(test, *evaluation.over_grid(test))
        page.show("regions", "Decision regions", text, figure)


def _mistakes(page: Page, test: Tested, shape: Shape) -> None:
    """The wrong rows with the highest confidence, as images or as a table."""
    wrong, source = evaluation.mistakes(test.p, test.y), test.prepared.data.table
    if not len(wrong):
        return
    title, text = "Most confident mistakes", f"The most confident of {len(wrong):,} wrong test rows"
    shown, classes = wrong[:MISTAKES], test.model.classes_
    true, predicted, p = classes[test.y], classes[test.p.argmax(axis=1)], test.p.max(axis=1)
    if shape:
        pixels = evaluation.dense(source.X[test.rows[shown]]).reshape(-1, *shape)
        titles = [f"{label(true[i], 9)} → {label(predicted[i], 9)}, {p[i]:.3f}" for i in shown]
        text += ": true class → predicted class, and its p."
        page.show("mistakes", title, text, figures.images(pixels, 4, titles, cmap="gray"))
    else:
        rows = []
        for i in shown:
            number = test.rows[i] if source.numbers is None else source.numbers[test.rows[i]]
            cells = evaluation.features(test, i, FEATURES)
            rows.append((true[i], predicted[i], cells, number, f"{p[i]:.4f}"))
        text += ", with the features in which each is most unusual first."
        head = ["true", "predicted", "features", source.unit, "p"]
        page.add(title, table(head, rows, 2), text)


# Several runs


def of_groups(groups: list[Group]) -> Page:
    """Scores, curves, a table sorted by test accuracy, and what differs in the configs."""
    groups = sorted(groups, key=lambda group: -group.mean("test_accuracy"))
    names = [group.name for group in groups]
    title = ", ".join(names) if len(names) <= 4 else f"{len(names)} runs"
    repeated = [group for group in groups if group.planned > 1]
    page = Page(title, [_spread(group) for group in repeated])
    if any(group.results for group in groups):
        text = (
            "Each dot is a run; lines are 95% intervals for means of repeated runs, corrected for "
            "splits that share rows (Nadeau and Bengio 2003)."
        )
        page.show("scores", "Test accuracy", text, figures.scores(groups))
    if any(len(run.epochs["epoch"]) for group in groups for run in group.runs):
        text = "In validation, or, without a validation part, in training."
        page.show("curves", "Learning curves", text, figures.overlaid(groups))
    page.add("Runs by test accuracy", _scores(groups))
    if len(groups) > 1:
        _paired(page, [group for group in groups if group.figures])
        page.add("Config differences", _differences(groups))
    for group in repeated:
        each = [Group(run.folder.name, [run]) for run in group.runs]
        page.add(f"Runs of {group.name}", _scores(each))
    if len(groups) == 1 and groups[0].runs:
        page.add("Config of the first run", config_text(groups[0].runs[0]))
    return page


def _spread(group: Group) -> str:
    """How far a repeated run is, and its test accuracy."""
    line = f"{group.name}: {len(group.results)} of {group.planned} runs finished"
    if group.figures:
        mean = group.figures["test_accuracy"]
        line += f", test accuracy {mean.mean:.4f} ± {mean.sd:.4f}"
        line += f" (95% interval {mean.low:.4f} to {mean.high:.4f})"
    return line


def _scores(groups: list[Group]) -> str:
    """A table of means over the finished runs of each group."""
    rows = []
    for group in groups:
        sd = {name: f" ± {mean.sd:.4f}" for name, mean in group.figures.items()}
        cells = [f"{group.mean(name):.4f}{sd.get(name, '')}" for name in sweep.FIGURES]
        epochs = f"{group.mean('epochs'):.4g} ({group.mean('best_epoch'):.4g})"
        cells += [epochs, f"{group.mean('seconds'):.2f}"]
        rows.append((group.name, *(cells if group.results else ["unfinished"] + [""] * 4)))
    head = ["run", "accuracy", "loss", "macro F1", "epochs (best)", "seconds"]
    return table(head, rows, 5)


def _paired(page: Page, groups: list[Group]) -> None:
    """Compare each repeated group with the first one, on the test parts that both have."""
    rows = []
    for group in groups[1:]:
        first, scores = _by_test_part(groups[0]), _by_test_part(group)
        gaps = [scores[part] - first[part] for part in scores if part in first]
        if len(gaps) > 1:
            ratio = sweep.test_ratio(groups[0].runs[0].config, groups[0].results[0])
            found = sweep.interval(gaps, ratio)
            interval = f"{found.low:+.4f} to {found.high:+.4f}"
            rows.append((group.name, f"{found.mean:+.4f}", interval, len(gaps)))
    if rows:
        text = "Differences in test accuracy, split by split: more telling than two intervals."
        head = ["run", "difference", "95% interval", "splits"]
        page.add(f"Compared with {groups[0].name}", table(head, rows, 3), text)


def _by_test_part(group: Group) -> dict[str, float]:
    """The test accuracy of each finished run, by all that determines its test part."""
    other = dict[str, Any](scale="", categorical=[], validation_size=0, validation_source="")
    return {
        repr(replace(run.config.data, **other)): run.result["test_accuracy"]
        for run in group.runs
        if run.result
    }


def _differences(groups: list[Group]) -> str:
    """A table of the keys that are not the same in all groups, and of who has which value."""
    rows = []
    for key in config.KEYS:
        who: dict[str, list[str]] = {}
        for group in groups:
            values = [str(config.values(run.config)[key]) for run in group.runs]
            shown = " to ".join(dict.fromkeys(values[:1] + values[-1:]))  # of seeds
            who.setdefault(shown, []).append(group.name)
        rows += [(key, value, ", ".join(names)) for value, names in who.items() if len(who) > 1]
    if not rows:
        return "<p>None: the configs are the same.</p>"
    return table(["key", "value", "runs"], rows, 0)
