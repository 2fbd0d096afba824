"""The figures of a report, as SVG: one function draws each, narrow enough for a phone.

A figure on a page takes the page's colors; as a file it stands by itself.
"""

import io
import re
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from numpy.typing import NDArray

from minnet.errors import one_line
from minnet.metrics import BINS, Bins
from minnet.report.evaluation import Tested
from minnet.report.saved import Epochs, Group

# distinct for every reader, after Okabe and Ito, in shades that show on white and on black
COLORS = ["#2e86c8", "#e0662d", "#1f9e78", "#b565b0", "#c29a00", "#56a8d8", "#a0522d", "#d4576b"]
COLORS += ["#7a7fd0", "#6b8e23"]
Line = tuple[Epochs, str, str]  # a column of a run over epochs, and a name for the legend
LINEAR = ("accuracy", "learning rate")  # panels whose scale is never logarithmic
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
    "lines.markersize": 5,
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
    Where matplotlib leaves out black, which is SVG's default, the page's style takes over."""

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
    parts = ("train", "validation")
    panels = {f: [(epochs, f"{part}_{f}", part) for part in parts] for f in ("loss", "accuracy")}
    figure = _over_epochs(panels | {"learning rate": [(epochs, "learning_rate", "")]})
    loss, accuracy, rate = figure.axes
    rate.set_ylim(bottom=0)
    if best:
        loss.set_title(f"best: epoch {best}", loc="right", fontsize=9)
        for axis in (loss, accuracy):
            axis.axvline(best, color="slategrey", linewidth=1, linestyle=":")
    return figure


def sizes(epochs: Epochs) -> Figure:
    """Over epochs, each layer's gradient, and its update relative to its weights."""
    panels = {}
    for what, of in (("gradient", ""), ("update", " / of the weights")):
        columns = [name for name in epochs if name.startswith(what)]
        lines = [(epochs, name, name.replace(f"{what}_", "layer ")) for name in columns]
        panels[f"norm of the {what}{of}"] = lines
    return _over_epochs(panels)


def overlaid(groups: list[Group]) -> Figure:
    """Loss and accuracy of all runs, in validation where there is such a part, else in training."""
    panels: dict[str, list[Line]] = {"loss": [], "accuracy": []}
    for name, run in ((label(group.name), run) for group in groups for run in group.runs):
        part = "validation"
        if np.isnan(run.epochs["validation_loss"]).all():
            part, name = "train", f"{name} (train)"
        for panel, lines in panels.items():
            lines.append((run.epochs, f"{part}_{panel}", name))
    return _over_epochs(panels)


def _over_epochs(panels: dict[str, list[Line]]) -> Figure:
    """Panels of lines, one below the other; lines of one name have one color. Losses and norms that
    spread over a factor of 30 have a logarithmic scale, which leaves out zeros."""
    axes, colors = _axes(0.8 + 1.7 * len(panels), len(panels)), dict[str, str]()
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        for epochs, column, name in lines:
            x, y = epochs["epoch"], epochs[column]
            if np.isfinite(y).any():
                color = colors.setdefault(name, f"C{len(colors)}")
                marker = "o" if len(x) == 1 else ""  # a line of one point would not be seen
                axis.plot(x, y, marker=marker, color=color, label=name)
        if title not in LINEAR and axis.dataLim.y1 > 30 * axis.dataLim.minposy:
            axis.set_yscale("log", nonpositive="mask")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter("")
    _legend(axes[0])
    axis.set_xlabel("epoch")
    axis.locator_params("x", integer=True, nbins=8, min_n_ticks=1)
    return axis.figure


def _axes(height: float, rows: int = 1, **options: Any) -> Any:
    """The axes of a new figure, one or several below each other."""
    return Figure(figsize=(WIDTH, height)).subplots(rows, sharex=True, **options)


def _legend(axis: Axes) -> None:
    """A legend above the axes, in as many columns as fit; none if it would be too long."""
    named = {str(line.get_label()): line for line in axis.lines}
    if len(named) <= len(COLORS):
        columns = min(4, 60 // (max(map(len, named), default=0) + 6))
        axis.figure.legend([*named.values()], [*named], loc="outside upper left", ncols=columns)


def confusion(matrix: NDArray, names: list[str]) -> Figure:
    """A row for each true class, shaded by its shares; a column for each predicted class."""
    K, axis = len(names), _axes(WIDTH)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(np.dstack([np.full((K, K, 3), to_rgb("C0")), share]))
    axis.set(xlabel="predicted", ylabel="true", xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    if K <= NUMBERED:
        for i, j in np.argwhere(matrix):
            color = "#fefefe" if share[i, j] > 0.6 else "black"
            axis.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=color, fontsize=8)
        axis.set_xticks(range(K), names, rotation=90 * (sum(map(len, names)) > 44))
        axis.set_yticks(range(K), names)
        axis.tick_params(length=0, labelsize=8)
        for lines in (axis.hlines, axis.vlines):
            lines(np.arange(K + 1) - 0.5, -0.5, K - 0.5, color="slategrey", linewidth=0.3)
    return axis.figure


def reliability(bins: Bins) -> Figure:
    """Accuracy over confidence with 95% intervals; below, the number of rows in each bin."""
    axis, below = _axes(5.4, 2, height_ratios=[4, 1])
    axis.plot([0, 1], [0, 1], color="slategrey", linewidth=1, linestyle=":")
    axis.vlines(bins.confidence, bins.low, bins.high, color="C0")
    axis.plot(bins.confidence, bins.accuracy, "o", color="C0")
    axis.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), title="accuracy")
    bars = below.bar(bins.middle, bins.rows, 0.9 / BINS, color="slategrey")
    below.bar_label(bars, fmt="%d", fontsize=8)
    below.set(xlabel="confidence (largest p)", title="rows", ymargin=0.35, yticks=[])
    return axis.figure


def importance(columns: list[str], rise: NDArray) -> Figure:
    """A bar for each column's mean rise (c, shuffles) of the loss; a line from least to most."""
    places, axis = range(len(columns)), _axes(0.7 + 0.25 * len(columns))
    axis.barh(places, rise.mean(axis=1), 0.7, color="C0")
    axis.hlines(places, rise.min(axis=1), rise.max(axis=1), "black", linewidth=1)
    axis.set_yticks(places, [label(name) for name in columns])
    axis.set(ylim=(len(columns) - 0.4, -0.6), xlabel="rise of the loss", xmargin=0.02)
    return axis.figure


def images(pixels: NDArray, columns: int, titles: list[str], **shades: Any) -> Figure:
    """Images (n, height, width) side by side, each below its title; shades are imshow's."""
    gap = -(-max(pixels.shape[1:]) // 7)
    around = ((0, -len(pixels) % columns), (gap, 0), (0, gap))
    tiles = np.pad(np.float64(pixels), around, constant_values=np.nan)
    _, height, width = tiles.shape
    sheet = np.block([[*tiles[i : i + columns]] for i in range(0, len(tiles), columns)])
    axis = _axes(WIDTH * sheet.shape[0] / sheet.shape[1])
    axis.axis("off")
    axis.imshow(sheet, **shades)
    for i, title in enumerate(titles):
        row, column = divmod(i, columns)
        axis.text(column * width, row * height + gap - 0.7, title, fontsize=8)
    return axis.figure


def regions(test: Tested, lines: NDArray, p: NDArray) -> Figure:
    """The predicted class over two features, paler where p is unsure; the test rows on it, the
    wrong ones ringed. `lines` and p are those of evaluation.over_grid."""
    axis, classes, names = _axes(WIDTH), test.model.classes_, test.table.names
    K, box = len(classes), lines[[0, -1]].T.ravel()
    colors = to_rgba_array([f"C{k}" for k in range(K)])[p.argmax(axis=-1)]
    colors[..., 3] = 0.12 + 0.5 * (p.max(axis=-1) - 1 / K) / (1 - 1 / K)
    axis.imshow(colors, origin="lower", extent=box, aspect="auto")
    X = test.model.preprocessing.encode(test.table.take(test.rows))
    for k, name in enumerate(classes):
        axis.plot(*X[test.y == k].T, "o", color=f"C{k}", markersize=3.5, label=label(name))
    _legend(axis)
    wrong = X[test.predicted != test.y]
    axis.plot(*wrong.T, "o", color="none", markersize=8, markeredgewidth=1.2)
    axis.set(xlabel=label(names[0], 40), ylabel=label(names[1], 40))
    return axis.figure


def scores(groups: list[Group]) -> Figure:
    """Each run's test accuracy as a dot, one line per group, with mean and interval if repeated."""
    axis = _axes(0.9 + 0.42 * len(groups))
    for g, group in enumerate(groups):
        color, found = f"C{g}", [result["test_accuracy"] for result in group.results]
        axis.plot(found, [g] * len(found), "o", color=color, alpha=0.6)
        if mean := group.figures.get("test_accuracy"):
            axis.hlines(g + 0.25, mean.low, mean.high, color)
            axis.plot(mean.mean, g + 0.25, "|", color=color, markersize=10, markeredgewidth=1.5)
    axis.set_yticks(range(len(groups)), [label(group.name) for group in groups])
    axis.set(ylim=(len(groups) - 0.4, -0.5), xlabel="test accuracy", xmargin=0.08)
    return axis.figure
