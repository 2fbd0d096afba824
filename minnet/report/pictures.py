"""The pictures of runs. Each function draws what it is given, as a figure narrow enough for a phone."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minnet.report.folder import Group
from minnet.report.rows import Calibration
from minnet.report.svg import INK, label

# told apart by everybody, after Okabe and Ito, in shades that show on white and on black
BLUE, ORANGE, GREEN, PURPLE, GREY = "#2e86c8", "#e0662d", "#1f9e78", "#b565b0", "#8a919c"
COLORS = (BLUE, ORANGE, GREEN, PURPLE, "#c29a00", "#56a8d8", "#a0522d", "#d4576b", "#7a7fd0", "#6b8e23")
WIDTH = 5.0  # inches
NAME = 24  # letters of a run's name, at most
NUMBERED = 20  # classes of a confusion matrix whose numbers are written in it
SHADES = LinearSegmentedColormap.from_list("shades", [(*to_rgb(BLUE), 0.0), (*to_rgb(BLUE), 1.0)])


def curves(epochs: dict[str, NDArray], best: int | None) -> Figure:
    """Loss, accuracy and learning rate over epochs; the best epoch marked."""
    figure, axes = _panels(3, 5.6, [3, 3, 1.2])
    for axis, figure_name in zip(axes[:2], ("loss", "accuracy"), strict=True):
        for part, color in (("train", ORANGE), ("validation", BLUE)):
            values = epochs[f"{part}_{figure_name}"]
            if np.isfinite(values).any():
                _line(axis, epochs["epoch"], values, color=color, label=part, gid=f"{part}_{figure_name}")
        axis.set_title(figure_name)
        if best:
            _mark(axis, best, len(epochs["epoch"]), "best" if figure_name == "loss" else "")
    _log_if_wide(axes[0])
    figure.legend(handles=axes[0].get_legend_handles_labels()[0], loc="outside upper left", ncols=2)
    _line(axes[2], epochs["epoch"], epochs["learning_rate"], color=GREY, gid="learning_rate")
    axes[2].set_title("learning rate")
    axes[2].set_ylim(bottom=0)
    _epochs_below(axes[2], len(epochs["epoch"]))
    return figure


def sizes(epochs: dict[str, NDArray]) -> Figure:
    """Of each layer, the size of the gradient and of the update relative to the weights, on logarithmic scales."""
    figure, axes = _panels(2, 4.6, [1, 1])
    titles = {"gradient": "norm of the gradient", "update": "norm of the update / norm of the weights"}
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        names = [name for name in epochs if name.startswith(f"{kind}_")]
        for l, name in enumerate(names):
            values = np.where(epochs[name] > 0, epochs[name], np.nan)
            _line(axis, epochs["epoch"], values, color=_color(l, len(names)), label=f"layer {l + 1}", gid=name)
        if any(np.nanmax(np.r_[0, epochs[name]]) > 0 for name in names):
            _log(axis)
        axis.set_title(title)
    if len(axes[0].lines) <= len(COLORS):
        figure.legend(handles=list(axes[0].lines), loc="outside upper left", ncols=4)
    _epochs_below(axes[1], len(epochs["epoch"]))
    return figure


def confusion(matrix: NDArray, names: Sequence[str]) -> Figure:
    """A row for each true class, a column for each predicted; shades are shares of the row."""
    K = len(names)
    figure = Figure(figsize=(WIDTH, WIDTH), layout="constrained")
    axis = figure.subplots()
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axis.imshow(share, cmap=SHADES, vmin=0, vmax=1)
    size = 10 if K <= 12 else 7
    if K <= NUMBERED:
        for i, j in np.argwhere(matrix):
            color = "#ffffff" if share[i, j] > 0.6 else INK
            axis.text(j, i, f"{matrix[i, j]}", ha="center", va="center", color=color, fontsize=size)
        turned = 0 if sum(map(len, names)) < 45 else 90
        axis.set_xticks(range(K), names, rotation=turned, fontsize=size)
        axis.set_yticks(range(K), names, fontsize=size)
    else:
        axis.set(xticks=[], yticks=[])
    axis.set(xlabel="predicted", ylabel="true")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(K + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(K + 1) - 0.5, minor=True)
    if K <= NUMBERED:
        axis.grid(which="minor", color=GREY, linewidth=0.3)
    axis.tick_params(which="minor", length=0)
    return figure


def reliability(found: Calibration) -> Figure:
    """Confidence against the share that is right, with 95% intervals; below, how many rows each bin has."""
    figure, (axis, below) = _panels(2, 5.4, [4, 1])
    axis.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    there = found.count > 0
    n, right = found.count[there], found.accuracy[there]
    low, high = wilson(right * n, n)
    axis.vlines(found.confidence[there], low, high, color=BLUE, linewidth=1.2)
    axis.plot(found.confidence[there], right, "o", color=BLUE, markersize=5, gid="reliability")
    axis.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), title="share of rows that are right")
    axis.text(1, 0.02, f"calibration error {found.error:.4f}", ha="right")
    bins = len(found.count)
    below.bar((np.arange(bins) + 0.5) / bins, found.count, width=0.9 / bins, color=GREY)
    for b in np.flatnonzero(there):
        below.text((b + 0.5) / bins, found.count[b], f"{found.count[b]}", ha="center", va="bottom", fontsize=8)
    below.set(xlabel="confidence: the largest p of a row", title="rows", ylim=(0, 1.35 * found.count.max()), yticks=[])
    return figure


def wilson(right: NDArray, n: NDArray) -> tuple[NDArray, NDArray]:
    """A 95% interval for the chance of being right, where so many of n rows were (Wilson 1927).

    >>> low, high = wilson(np.array([355]), np.array([360]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.9679, 0.9941)
    """
    from scipy.stats import binomtest

    found = [binomtest(round(k), int(m)).proportion_ci(method="wilson") for k, m in zip(right.tolist(), n, strict=True)]
    return np.array([ci.low for ci in found]), np.array([ci.high for ci in found])


def images(pixels: Sequence[NDArray], titles: Sequence[str], columns: int) -> Figure:
    """Grey images in rows of so many, each with a title."""
    lines = -(-len(pixels) // columns)
    figure = Figure(figsize=(WIDTH, lines * (WIDTH / columns + 0.32) + 0.1), layout="constrained")
    for axis in figure.subplots(lines, columns, squeeze=False).flat:
        axis.axis("off")
    for axis, image, title in zip(figure.axes, pixels, titles, strict=False):
        axis.imshow(image, cmap="gray")
        axis.set_title(title, loc="center", fontsize=8)
    return figure


def weights(W: NDArray, shape: tuple[int, int], columns: int = 8) -> Figure:
    """The columns of W (D, n) as images: red where a lit pixel raises the unit's a, blue where it lowers it."""
    n, (height, width) = W.shape[1], shape
    lines = -(-n // columns)
    sheet = np.full((lines * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for u in range(n):
        top, left = u // columns * (height + 1), u % columns * (width + 1)
        sheet[top : top + height, left : left + width] = W[:, u].reshape(shape)
    most = float(np.abs(W).max()) or 1.0
    figure = Figure(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1] + 0.6), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(sheet, cmap="RdBu_r", vmin=-most, vmax=most)
    axis.axis("off")
    figure.colorbar(shown, ax=axis, orientation="horizontal", shrink=0.5, aspect=30, ticks=[-most, 0, most])
    return figure


def regions(
    grid: tuple[NDArray, NDArray, NDArray],
    X: NDArray,
    y: NDArray,
    predicted: NDArray,
    names: list[str],
    axes: list[str],
) -> Figure:
    """The predicted class over two features, paler where p is unsure; the test rows, those that are wrong ringed."""
    x0, x1, p = grid
    figure = Figure(figsize=(WIDTH, WIDTH), layout="constrained")
    axis = figure.subplots()
    K = p.shape[-1]
    colors = np.array([to_rgb(_color(k, K)) for k in range(K)])
    sure = (p.max(axis=-1) - 1 / K) / (1 - 1 / K)
    rgba = np.dstack([colors[p.argmax(axis=-1)], 0.12 + 0.5 * sure])
    axis.imshow(rgba, origin="lower", extent=(x0[0], x0[-1], x1[0], x1[-1]), aspect="auto")
    for k in range(K):
        axis.plot(*X[y == k].T, "o", color=_color(k, K), markersize=3.5, markeredgecolor=INK, markeredgewidth=0.4)
    wrong = predicted != y
    axis.plot(*X[wrong].T, "o", color="none", markersize=8, markeredgecolor=INK, markeredgewidth=1.2, gid="wrong")
    axis.set(xlabel=axes[0], ylabel=axes[1], xlim=(x0[0], x0[-1]), ylim=(x1[0], x1[-1]))
    if K <= len(COLORS):  # noqa: SIM300
        handles: list[Any] = [axis.plot([], [], "o", color=_color(k, K), label=name)[0] for k, name in enumerate(names)]
        figure.legend(handles=handles, loc="outside upper left", ncols=_columns(names))
    return figure


def overlaid(groups: Sequence[Group]) -> Figure:
    """Loss and accuracy over epochs of all runs, in validation where there is such a part, else in training."""
    figure, axes = _panels(2, 5.2, [1, 1])
    longest = 0
    named: dict[int, tuple[Any, str]] = {}
    for axis, figure_name in zip(axes, ("loss", "accuracy"), strict=True):
        for g, group in enumerate(groups):
            for r, run in enumerate(group.runs):
                epochs = run.epochs
                validation = np.isfinite(epochs[f"validation_{figure_name}"]).any()
                values = epochs[f"{'validation' if validation else 'train'}_{figure_name}"]
                style = {"color": _color(g, len(groups)), "alpha": 1 if len(group.runs) == 1 else 0.45}
                line = _line(axis, epochs["epoch"], values, **style, gid=f"{figure_name}-{g}-{r}")
                named.setdefault(g, (line, f"{label(group.name, NAME)}{'' if validation else ' (train)'}"))
                longest = max(longest, len(values))
        axis.set_title(figure_name)
    _log_if_wide(axes[0])
    if len(groups) <= len(COLORS):
        lines, names = [line for line, _ in named.values()], [name for _, name in named.values()]
        legend = figure.legend(lines, map(str, range(len(lines))), loc="outside upper left", ncols=_columns(names))
        for text, name in zip(legend.get_texts(), names, strict=True):
            text.set_text(name)  # now, as a legend leaves names out that begin with _
    _epochs_below(axes[1], longest)
    return figure


def scores(groups: Sequence[Group]) -> Figure:
    """The test accuracy of every run as a dot, each group on a line, with mean and interval where it is repeated."""
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(groups)), layout="constrained")
    axis = figure.subplots()
    for g, group in enumerate(groups):
        found = [run.result["test_accuracy"] for run in group.runs if run.result]
        color = _color(g, len(groups))
        axis.plot(found, [g] * len(found), "o", color=color, alpha=0.6, markersize=5, gid=f"scores-{g}")
        if group.figures:
            mean = group.figures["test_accuracy"]
            axis.plot([mean.low, mean.high], [g + 0.25] * 2, color=color, linewidth=2)
            axis.plot(mean.mean, g + 0.25, "|", color=color, markersize=10, markeredgewidth=2)
    axis.set_yticks(range(len(groups)), [label(group.name, NAME) for group in groups])
    axis.set(ylim=(len(groups) - 0.4, -0.5), xlabel="test accuracy")
    axis.margins(x=0.08)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return figure


def _columns(names: Sequence[str]) -> int:
    """Into how many columns names of a legend go, which is as wide as the picture."""
    return max(1, min(4, 60 // (max(map(len, names), default=0) + 6)))


def _panels(n: int, height: float, ratios: Sequence[float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(n, 1, sharex=True, height_ratios=ratios)


def _line(axis: Axes, x: NDArray, y: NDArray, *, gid: str, **style: Any) -> Any:
    """A line with a point for each epoch; where there is just one, that point."""
    (line,) = axis.plot(x, y, marker="o" if len(x) == 1 else "", **style)
    line.set_gid(gid)
    return line


def _mark(axis: Axes, epoch: int, epochs: int, text: str) -> None:
    """A vertical line at an epoch, and a text on the side of it where there is more room."""
    left = epoch > epochs / 2
    axis.axvline(epoch, color=GREY, linewidth=1, linestyle=":")
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
    place |= {"xytext": (-4 if left else 4, 0), "ha": "right" if left else "left"}
    axis.annotate(text and f"{text}: epoch {epoch}", (epoch, 1), fontsize=9, **place)


def _log_if_wide(axis: Axes) -> None:
    """A logarithmic scale where the largest value is more than 30 times the smallest."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axis.lines] or [np.zeros(0)])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 30 * values.min():
        _log(axis)


def _log(axis: Axes) -> None:
    """A logarithmic scale with plain numbers at its powers of 10, and between them where there is only one."""
    axis.set_yscale("log")
    plain = matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}")
    axis.yaxis.set_major_formatter(plain)
    low, high = axis.get_ylim()
    between = plain if high < 10 * low else matplotlib.ticker.NullFormatter()
    axis.yaxis.set_minor_formatter(between)


def _epochs_below(axis: Axes, n: int) -> None:
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axis.set_xlim(0.5 if n < 2 else 1, 1.5 if n < 2 else n)


def _color(k: int, n: int) -> str:
    """The colour of one of n: the first ones are easiest to tell apart."""
    if n <= len(COLORS):
        return COLORS[k]
    return matplotlib.colors.to_hex(matplotlib.colormaps["hsv"](k / n))
