"""The page of one run and the page of several, and how a page is written."""

import shlex
import warnings
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minnet import config, files, metrics, runs, sweep
from minnet.errors import VERSION, ConfigError, MinnetError, one_line
from minnet.report import evaluation, figures, saved
from minnet.report.evaluation import Shape, Tested
from minnet.report.figures import label
from minnet.report.saved import Group, Run

MISTAKES = 12  # shown, at most
FEATURES = 8  # columns shown of each mistake that is not an image
COLUMNS = 15  # shown, those that matter most
UNITS = 64  # of the first layer, those with the largest weights


def write(
    folders: list[Path], out: Path | None = None, shape: Shape = None
) -> tuple[Path, list[str]]:
    """Write report.html and pictures/, of one run into its folder, or of several compared into
    report/, or into `out`; returns the page's path, and notes on what was left out. `shape` is that
    of rows that are images. Raises ConfigError if there is no run or no place for the page,
    DataError if a file is damaged."""
    out = out or (folders[0] if len(folders) == 1 else Path("report"))
    groups = [saved.read(folder) for folder in folders]
    names = [group.name for group in groups]
    for group, folder in zip(groups, folders, strict=True):
        if names.count(group.name) > 1:
            group.name = one_line(folder)
    alone = len(groups) == 1 and groups[0].planned == 1
    for run in (run for group in groups for run in group.runs if run.untested and not alone):
        raise ConfigError(f"{run.folder}: nothing was tested, so there is nothing to compare")
    if shape and not alone:
        raise ConfigError("--image: only the page of one run shows images: leave it out")
    # warnings may be of missing glyphs, of which a browser has more
    with matplotlib.rc_context(figures.STYLE), warnings.catch_warnings(action="ignore"):
        page = of_run(groups[0], shape) if alone else of_groups(groups)
    for group in groups:
        if group.ranking:
            head, *rows = group.ranking
            text = "By the mean in validation. Test figures on this page are those of the first."
            page.table(f"Sweep of {group.name}", text, head, [*map(tuple, rows)], 2)
    page.write(out)
    return out / runs.REPORT, page.notes


@dataclass
class Page:
    """A page in the making: the HTML of its sections with figures and of those below, the SVG of
    each picture, and notes on what was left out."""

    title: str
    lines: list[str]
    figures: str = ""
    below: str = ""
    pictures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def show(self, name: str, title: str, text: str, figure: Figure) -> None:
        """Add a figure, also as a picture of that name; none if there is nothing in it."""
        if not any(np.isfinite(axis.dataLim.x0) for axis in figure.axes):
            return
        svg = self.pictures[name] = figures.svg(figure)
        caption = f"<figcaption>{html(text)}</figcaption>"
        self.figures += section(title, f"<figure>{figures.inline(name, svg)}{caption}</figure>")

    def add(self, title: str, text: str, content: str) -> None:
        """Add HTML below the figures, with a text above it."""
        self.below += section(title, f"<p>{html(text)}</p>\n{content}")

    def table(self, title: str, text: str, head: list[str], rows: list[tuple], n: int) -> None:
        """Add a table, of which the last n columns are numbers."""
        lines = ["".join(f"<th>{html(cell)}</th>" for cell in head)]
        lines += ["".join(f"<td>{html(cell)}</td>" for cell in row) for row in rows]
        content = "\n".join(f"<tr>{line}</tr>" for line in lines)
        self.add(title, text, f"<table class=n{n}>\n{content}\n</table>")

    def write(self, folder: Path) -> None:
        """Write the page and its pictures. Raises ConfigError if one would replace another file."""
        content = {f"pictures/{name}.svg": svg for name, svg in self.pictures.items()}
        template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
        shown = {"title": html(self.title), "mark": runs.REPORT_MARK, "version": VERSION}
        shown["lines"] = "\n".join(f"<p>{html(line)}</p>" for line in self.lines)
        content[runs.REPORT] = template.substitute(vars(self) | shown)
        for path in () if runs.is_report(folder) else map(folder.joinpath, content):
            if path.exists():
                raise ConfigError(f"{one_line(path)}: not by minnet report: move it, or use --out")
        runs.clear_report(folder, content)
        files.make_folder(folder / "pictures")
        for name, text in reversed(content.items()):  # the page, which marks the others as ours
            files.write(folder / name, text.encode(errors="xmlcharrefreplace"))


def html(content: object) -> str:
    """The content as text of a page, on one line."""
    return escape(one_line(content))


def section(title: str, content: str) -> str:
    """HTML below a title."""
    return f"<section><h2>{html(title)}</h2>\n{content}\n</section>\n"


def of_run(group: Group, shape: Shape) -> Page:
    """All that there is to show of a run; `shape` is that of its images, if it was given."""
    run = group.runs[0]
    page = Page(group.name, _summary(run))
    _curves(page, run)
    if run.untested:
        page.notes.append(f"{run.folder}: has no test part, so it has no test figures")
    elif run.result:
        _by_class(page, run.result)
        try:
            test = evaluation.test_part(run)
        except MinnetError as error:
            page.notes.append(f"{error}; figures that need the test rows are left out")
        else:
            _test_part(page, test, evaluation.image_shape(test, shape))
    else:
        page.notes.append(f"{run.folder}: unfinished, so it has no test figures")
    text = "At the last step of each epoch; the gradient before it is clipped. "
    text += "As a rule of thumb, an update is 0.001 of the weights."
    page.show("sizes", "Gradients and updates", text, figures.sizes(run.epochs))
    versions = run.result["versions"] if run.result else {}
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    command = shlex.join(["minnet", "train", str(run.folder / "config.toml")])
    page.add("Run it again", text, f"<pre>{escape(command)}</pre>")
    page.add("Config", "", f"<pre>{escape(config.dumps(run.config))}</pre>")
    return page


def _summary(run: Run) -> list[str]:
    source, result = run.config.data.source, run.result
    if result is None:
        done, most = len(run.epochs["epoch"]), run.config.train.epochs
        return [f"{source}: unfinished after {done} of at most {most} epochs"]
    K, rows = len(result["classes"]), result["rows"].items()
    parts = ", ".join(f"{name} {n:,}" for name, n in rows)
    best = f"{result['best_epoch']}{'; interrupted' if result['interrupted'] else ''}"
    return [
        f"{source}: {K} classes; rows: {parts}; {result['parameters']:,} parameters",
        "Nothing was tested" if run.untested else _tested(result),
        f"{result['epochs']} epochs in {result['seconds']:.2f} s; weights of epoch {best}",
    ]


def _tested(result: dict[str, Any]) -> str:
    n = result["rows"]["test"]
    right = n - metrics.mistakes(result)[0]
    low, high = metrics.wilson(right, n)
    accuracy = f"{right:,} of {n:,} rows; 95% Wilson interval {low:.4f} to {high:.4f}"
    scores = f"test loss {result['test_loss']:.4f}, macro F1 {result['macro_f1']:.4f}"
    return f"Test accuracy {result['test_accuracy']:.4f} ({accuracy}), {scores}"


def _curves(page: Page, run: Run) -> None:
    watch, best = run.config.train.watch, 0
    text = "Training figures are means over the steps of an epoch, while the net is learning."
    watched = run.epochs["watched"] * (1 if watch == "loss" else -1)
    if np.isfinite(watched).any():
        best = int(np.nanargmin(watched)) + 1
        name = watch.replace("_", " ")
        text = f"Epoch {best} has the best validation {name}. {text}"
    page.show("curves", "Learning curves", text, figures.curves(run.epochs, best))


def _by_class(page: Page, result: dict[str, Any]) -> None:
    """The confusion matrix and the figures of each class."""
    (wrong, confusions), names = metrics.mistakes(result), result["classes"]
    if len(names) <= metrics.MATRIX:
        text = f"{wrong:,} of {result['rows']['test']:,} test rows are wrong; "
        matrix, short = np.array(result["confusion"]), [label(name, 12) for name in names]
        figure = figures.confusion(matrix, short)
        page.show("confusion", "Confusion matrix", f"{text}shades are shares of a row.", figure)
    rows, most = [], dict[int, str]()
    for taken, i, j in confusions:  # the most frequent of each class stays
        most.setdefault(i, f"{label(names[j])} ({taken:,})")
    by_class = zip(names, *result["per_class"].values(), strict=True)
    for i, (name, *scores, n) in enumerate(by_class):
        rows.append((name, most.get(i, ""), *(f"{score:.4f}" for score in scores), f"{n:,}"))
    head = ["class", "most often taken for", "precision", "recall", "F1", "rows"]
    page.table("Test figures by class", "", head, rows, 4)


def _test_part(page: Page, test: Tested, shape: Shape) -> None:
    X, columns = test.table.X, test.table.columns
    if isinstance(X, np.ndarray) and not shape:
        _importance(page, test)
    bins = metrics.calibration(test.confidence, test.predicted == test.y)
    text = "Are 9 in 10 rows with confidence 0.9 right? Lines are 95% Wilson intervals. The mean "
    text += f"gap between confidence and accuracy (calibration error) is {bins.gap:.4f}."
    page.show("reliability", "Reliability", text, figures.reliability(bins))
    if len(wrong := evaluation.mistakes(test)):
        _mistakes(page, test, wrong, shape)
    if shape:
        _weights(page, test, shape)
    if columns == test.table.names and len(columns) == 2 and isinstance(X, np.ndarray):
        text = "The predicted class, paler where p is unsure, and test rows, ringed if wrong."
        figure = figures.regions(test, *evaluation.over_grid(test))
        page.show("regions", "Decision regions", text, figure)


def _importance(page: Page, test: Tested) -> None:
    columns, rise, n = evaluation.importance(test)
    text = f"How much the loss of {n:,} test rows rises when one column's cells are shuffled: bars "
    text += f"are means of {rise.shape[1]} shuffles, lines their range. Columns that tell much "
    text += "the same stand in for each other, so each may look needless."
    if len(columns) < (D := len(test.table.columns)):
        text += f" Of {D:,} columns, the {len(columns)} with the largest weights were shuffled."
    figure = figures.importance(columns[:COLUMNS], rise[:COLUMNS])
    page.show("importance", "Columns that matter", text, figure)


def _mistakes(page: Page, test: Tested, wrong: NDArray, shape: Shape) -> None:
    shown, classes = wrong[:MISTAKES], test.model.classes_
    table, p = test.table.take(test.rows[shown]), test.confidence[shown]
    true, predicted = classes[test.y[shown]], classes[test.predicted[shown]]
    title, text = "Most confident mistakes", f"The most confident of {len(wrong):,} wrong test rows"
    if shape:
        each = zip(true, predicted, p, strict=True)
        titles = [f"{label(y, 9)} → {label(other, 9)}, {p:.3f}" for y, other, p in each]
        pixels = table.X.toarray() if table.sparse else table.X
        figure = figures.images(pixels.reshape(-1, *shape), 4, titles, cmap="gray")
        page.show("mistakes", title, f"{text}: true class → predicted class, and its p.", figure)
    else:
        cells = [evaluation.features(test, i, FEATURES) for i in shown]
        numbers: Any = table.numbers
        lines = zip(true, predicted, cells, numbers, [f"{x:.4f}" for x in p], strict=True)
        head = ["true", "predicted", "features", table.unit, "p"]
        text += ", with the features in which each is most unusual first."
        page.table(title, text, head, list(lines), 2)


def _weights(page: Page, test: Tested, shape: tuple[int, int]) -> None:
    D, W = len(test.model.preprocessing.names), test.model.net.weights[0]
    W = W.reshape(-1, *W.shape[-2:])[0, :D].T  # of the first member
    largest = W[np.argsort(-np.linalg.norm(W, axis=1))[:UNITS]]
    most = np.abs(largest).max()
    text = f"{len(largest)} of {len(W)} units, those with the largest weights: red where a bright "
    text += f"pixel raises the unit, blue where it lowers it, darkest at {most:.3g}."
    tiles, shades = largest.reshape(-1, *shape), {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    page.show("weights", "Weights of the first layer", text, figures.images(tiles, 8, [], **shades))


def of_groups(groups: list[Group]) -> Page:
    """Scores, curves, a table sorted by test accuracy, and what differs in the configs."""
    groups = sorted(groups, key=lambda group: -group.mean("test_accuracy"))
    names, repeated = [g.name for g in groups], [g for g in groups if g.planned > 1]
    title = ", ".join(names) if len(names) <= 4 else f"{len(names)} runs"
    page = Page(title, [_spread(group) for group in repeated])
    text = "Each dot is a run; lines are 95% intervals for means of repeated runs, corrected for "
    text += "splits that share rows (Nadeau and Bengio 2003)."
    page.show("scores", "Test accuracy", text, figures.scores(groups))
    text = "In validation, or, without a validation part, in training."
    page.show("curves", "Learning curves", text, figures.overlaid(groups))
    _scores(page, "Runs by test accuracy", groups)
    if len(groups) > 1:
        _paired(page, [group for group in groups if group.figures])
        _differences(page, groups)
    for group in repeated:
        _scores(page, f"Runs of {group.name}", [Group(r.folder.name, [r]) for r in group.runs])
    if len(groups) == 1 and groups[0].runs:
        first = config.dumps(groups[0].runs[0].config)
        page.add("Config of the first run", "", f"<pre>{escape(first)}</pre>")
    return page


def _spread(group: Group) -> str:
    line = f"{group.name}: {len(group.results)} of {group.planned} runs finished"
    if mean := group.figures.get("test_accuracy"):
        line += f", test accuracy {mean.mean:.4f} ± {mean.sd:.4f} "
        line += f"(95% interval {mean.low:.4f} to {mean.high:.4f})"
    return line


def _scores(page: Page, title: str, groups: list[Group]) -> None:
    """A table of means over the finished runs of each group."""
    rows = []
    for group in groups:
        sd = {name: f" ± {mean.sd:.4f}" for name, mean in group.figures.items()}
        cells = [f"{group.mean(name):.4f}{sd.get(name, '')}" for name in sweep.FIGURES]
        cells.append(f"{group.mean('epochs'):.4g} ({group.mean('best_epoch'):.4g})")
        cells.append(f"{group.mean('seconds'):.2f}")
        rows.append((group.name, *(cells if group.results else ["unfinished"] + [""] * 4)))
    head = ["run", "accuracy", "loss", "macro F1", "epochs (best)", "seconds"]
    page.table(title, "", head, rows, 5)


def _paired(page: Page, groups: list[Group]) -> None:
    """Compare each repeated group with the first one, on the test parts that both have."""
    rows = []
    for group in groups[1:]:
        first, scores = _by_test_part(groups[0]), _by_test_part(group)
        gaps = [scores[part] - first[part] for part in scores if part in first]
        if len(gaps) > 1:
            ratio = sweep.test_ratio(groups[0].runs[0].config, groups[0].results[0])
            gap = sweep.interval(gaps, ratio)
            interval = f"{gap.low:+.4f} to {gap.high:+.4f}"
            rows.append((group.name, f"{gap.mean:+.4f}", interval, len(gaps)))
    if rows:
        text = "Differences in test accuracy, split by split: more telling than two intervals."
        head = ["run", "difference", "95% interval", "splits"]
        page.table(f"Compared with {groups[0].name}", text, head, rows, 3)


def _by_test_part(group: Group) -> dict[str, float]:
    """The test accuracy of each finished run, by all that determines its test part."""
    found = {}
    for run in group.runs:
        part = replace(run.config.data, scale="", validation_size=0, validation_source="")
        if run.result:
            found[repr(replace(part, categorical=[]))] = run.result["test_accuracy"]
    return found


def _differences(page: Page, groups: list[Group]) -> None:
    """A table of the keys that are not the same in all groups, and of who has which value."""
    rows = []
    for key in config.KEYS:
        who: dict[str, list[str]] = {}
        for group in groups:
            ends = group.runs[:1] + group.runs[-1:]  # of seeds
            shown = " to ".join({str(config.values(run.config)[key]): 0 for run in ends})
            who.setdefault(shown, []).append(group.name)
        rows += [(key, value, ", ".join(names)) for value, names in who.items() if len(who) > 1]
    text = "" if rows else "None: the configs are the same."
    page.table("Config differences", text, ["key", "value", "runs"], rows, 0)
