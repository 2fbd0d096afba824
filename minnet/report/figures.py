"""The figures of a report, as SVG: one function draws each, narrow enough for a phone.

A figure on a page takes the page's colors; as a file it stands by itself.
"""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray

from minnet.errors import one_line
from minnet.report.evaluation import BINS, Bin, Tested
from minnet.report.saved import Epochs, Group

# distinct for every reader, after Okabe and Ito, in shades that show on white and on black
COLORS = ["#2e86c8", "#e0662d", "#1f9e78", "#b565b0", "#c29a00", "#56a8d8", "#a0522d", "#d4576b"]
COLORS += ["#7a7fd0", "#6b8e23"]
Line = tuple[Epochs, str, str]  # a column of a run over epochs, and a name for the legend
WIDTH = 5.0  # inches
NUMBERED = 20  # classes, at most, of a confusion matrix with numbers
STYLE: dict[Any, Any] = {
    **matplotlib.rcParamsDefault,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.prop_cycle": cycler("color", COLORS),  # "C0", "C1", ...
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.xmargin": 0,
    "figure.constrained_layout.use": True,
    "image.interpolation": "none",
    "lines.markeredgecolor": "black",
    "lines.markeredgewidth": 0.4,
    "path.simplify": False,  # every epoch stays a point
    "svg.fonttype": "none",  # text stays text, to be read, searched and copied
    "svg.hashsalt": "minnet",  # the same ids each time
    "text.parse_math": False,  # a label may hold a $
}


def svg(figure: Figure) -> str:
    """The figure as the text of an SVG file."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()


def inline(name: str, svg: str) -> str:
    """The SVG for a page: no background, the color of text for black, ids that begin with the name.

    Where matplotlib leaves out black, which is SVG's default, the page's style takes over.
    """

    def tag(match: re.Match) -> str:
        colored = match[0].replace("#000000", "currentColor").replace("#ffffff", "none")
        return re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\1{name}-", colored)

    return re.sub("<[^>]+>", tag, svg[svg.index("<svg") :])  # not the text between tags


def label(name: object, longest: int = 24) -> str:
    """A name short enough for a figure, of printable characters."""
    text = one_line(name)
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[half + 1 - longest :]}"


def curves(epochs: Epochs, best: int) -> Figure:
    """Loss, accuracy and learning rate over epochs; epoch `best`, unless 0, is marked."""
    panels = {
        panel: [(epochs, f"{part}_{panel}", part) for part in ("train", "validation")]
        for panel in ("loss", "accuracy")
    }
    panels["learning rate"] = [(epochs, "learning_rate", "learning rate")]
    figure = _over_epochs(panels)
    loss, accuracy, rate = figure.axes
    rate.set_ylim(bottom=0)
    if best:
        for axis in (loss, accuracy):
            axis.axvline(best, color="slategrey", linewidth=1, linestyle=":")
        loss.set_title(f"best: epoch {best}", loc="right", fontsize=9)
    return figure


def sizes(epochs: Epochs) -> Figure:
    """Over epochs, each layer's gradient, and its update relative to its weights."""
    L = sum(name.startswith("gradient_") for name in epochs)
    titles = {"gradient": "norm of the gradient", "update": "norm of the update / of the weights"}
    panels = {
        title: [(epochs, f"{kind}_{l}", f"layer {l}") for l in range(1, L + 1)]
        for kind, title in titles.items()
    }
    return _over_epochs(panels, wide=2)


def overlaid(groups: list[Group]) -> Figure:
    """Loss and accuracy of all runs, in validation where there is such a part, else in training."""
    panels: dict[str, list[Line]] = {"loss": [], "accuracy": []}
    for panel, lines in panels.items():
        for group in groups:
            for run in group.runs:
                column, name = f"validation_{panel}", label(group.name)
                if np.isnan(run.epochs[column]).all():
                    column, name = f"train_{panel}", f"{name} (train)"
                lines.append((run.epochs, column, name))
    return _over_epochs(panels)


def _over_epochs(panels: dict[str, list[Line]], wide: int = 1) -> Figure:
    """Panels of lines, one below the other; lines of one name have one color. The scales of the
    first `wide` panels are logarithmic if values spread over a factor of 30; zeros are left out."""
    names = list(dict.fromkeys(name for lines in panels.values() for *_, name in lines))
    figure = Figure(figsize=(WIDTH, 0.8 + 1.7 * len(panels)))
    axes = figure.subplots(len(panels), sharex=True)
    for i, (axis, (title, lines)) in enumerate(zip(axes, panels.items(), strict=True)):
        axis.set_title(title)
        for epochs, column, name in lines:
            x, y = epochs["epoch"], epochs[column]
            if np.isfinite(y).any():
                marker = "o" if len(x) == 1 else ""  # a line of one point would not be seen
                axis.plot(x, y, marker=marker, color=f"C{names.index(name)}", label=name)
        values = np.concatenate([epochs[column] for epochs, column, _ in lines])
        values = values[values > 0]
        if i < wide and values.size and values.max() > 30 * values.min():
            axis.set_yscale("log", nonpositive="mask")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("")
    _legend(axes[0])
    axis.set_xlabel("epoch")
    axis.locator_params("x", integer=True, nbins=8, min_n_ticks=1)
    return figure


def _legend(axis: Axes) -> None:
    """A legend above the axes, in as many columns as fit; none if it would be too long."""
    named = {str(line.get_label()): line for line in axis.lines}
    if len(named) <= len(COLORS):
        columns = min(4, max(1, 60 // (max(map(len, named), default=0) + 6)))
        lines = list(named.values())
        axis.figure.legend(lines, list(named), loc="outside upper left", ncols=columns)


def confusion(matrix: NDArray, names: list[str]) -> Figure:
    """A row for each true class, shaded by its shares; a column for each predicted class."""
    K, figure = len(names), Figure(figsize=(WIDTH, WIDTH))
    axis = figure.subplots()
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(np.dstack([np.broadcast_to(to_rgb("C0"), (K, K, 3)), share]))
    axis.set(xlabel="predicted", ylabel="true", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if K <= NUMBERED:
        for i, j in np.argwhere(matrix):
            color = "#fefefe" if share[i, j] > 0.6 else "black"
            axis.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=color, fontsize=8)
        turned = 90 * (sum(map(len, names)) > 44)
        axis.set_xticks(range(K), names, rotation=turned, fontsize=8)
        axis.set_yticks(range(K), names, fontsize=8)
        for lines in (axis.hlines, axis.vlines):
            lines(np.arange(K + 1) - 0.5, -0.5, K - 0.5, color="slategrey", linewidth=0.3)
        axis.tick_params(length=0)
    return figure


def reliability(bins: list[Bin]) -> Figure:
    """Accuracy over confidence with 95% intervals; below, the number of rows in each bin."""
    figure = Figure(figsize=(WIDTH, 5.4))
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    middle, rows, confidence, accuracy, low, high = np.transpose(bins)
    axis.plot([0, 1], [0, 1], color="slategrey", linewidth=1, linestyle=":")
    axis.vlines(confidence, low, high, color="C0")
    axis.plot(confidence, accuracy, "o", color="C0", markersize=5)
    axis.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), title="accuracy")
    below.bar_label(below.bar(middle, rows, 0.9 / BINS, color="slategrey"), fmt="%d", fontsize=8)
    below.set(xlabel="confidence (largest p)", title="rows", ylim=(0, 1.35 * max(rows)), yticks=[])
    return figure


def images(pixels: NDArray, columns: int, titles: list[str], **shades: Any) -> Figure:
    """Images (n, height, width) side by side, each below its title; shades are imshow's."""
    gap = -(-max(pixels.shape[1:]) // 7)
    around = ((0, -len(pixels) % columns), (gap, 0), (0, gap))
    tiles = np.pad(np.float64(pixels), around, constant_values=np.nan)
    _, height, width = tiles.shape
    sheet = tiles.reshape(-1, columns, height, width).swapaxes(1, 2).reshape(-1, columns * width)
    figure = Figure(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1]))
    axis = figure.subplots()
    axis.axis("off")
    axis.imshow(sheet, **shades)
    for i, title in enumerate(titles):
        top = i // columns * height + gap
        axis.text(i % columns * width, top - 0.7, title, fontsize=8)
    return figure


def regions(test: Tested, lines: NDArray, p: NDArray) -> Figure:
    """The predicted class over two features, paler where p is unsure; the test rows on it, the
    wrong ones ringed. `lines` and p are those of evaluation.over_grid."""
    table, preprocessing = test.prepared.data.table, test.model.preprocessing
    K, figure = p.shape[-1], Figure(figsize=(WIDTH, WIDTH))
    axis = figure.subplots()
    rgb = np.array([to_rgb(f"C{k}") for k in range(K)])[p.argmax(axis=-1)]
    sure = (p.max(axis=-1) - 1 / K) / (1 - 1 / K)
    (left, right), (bottom, top) = lines[[0, -1]].T
    box = (left, right, bottom, top)
    axis.imshow(np.dstack([rgb, 0.12 + 0.5 * sure]), origin="lower", extent=box, aspect="auto")
    X = table.X[test.rows]
    X = np.where(np.isnan(X), preprocessing.fill, X)
    for k, name in enumerate(test.model.classes_):
        axis.plot(*X[test.y == k].T, "o", color=f"C{k}", markersize=3.5, label=label(name))
    _legend(axis)
    wrong = X[test.p.argmax(axis=1) != test.y]
    axis.plot(*wrong.T, "o", color="none", markersize=8, markeredgewidth=1.2)
    axis.set(xlim=box[:2], ylim=box[2:])
    axis.set(xlabel=label(table.names[0], 40), ylabel=label(table.names[1], 40))
    return figure


def scores(groups: list[Group]) -> Figure:
    """Each run's test accuracy as a dot, one line per group, with mean and interval if repeated."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(groups)))
    axis = figure.subplots()
    for g, group in enumerate(groups):
        color, found = f"C{g}", [r["test_accuracy"] for r in group.results]
        axis.plot(found, [g] * len(found), "o", color=color, alpha=0.6, markersize=5)
        if group.figures:
            mean = group.figures["test_accuracy"]
            gaps = [[mean.mean - mean.low], [mean.high - mean.mean]]
            axis.errorbar(mean.mean, g + 0.25, xerr=gaps, fmt="|", color=color, ms=10, mew=1.5)
    axis.set_yticks(range(len(groups)), [label(group.name) for group in groups])
    axis.set(ylim=(len(groups) - 0.4, -0.5), xlabel="test accuracy")
    axis.margins(x=0.08)
    return figure
