"""The pictures of backprop.md: `python docs/figures.py` draws them anew into docs/figures (it needs
matplotlib).

Each picture has two functions. `*_data` asks minnet for the numbers; `draw_*` draws them and does
no math. The numbers are also written into the SVG, where a test compares them with what minnet says
today.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minnet
from minnet.core.gradcheck import central_differences, complex_step, relative_error
from minnet.core.softmax import (
    OUTPUT_GRADIENTS,
    loss_gradient,
    softmax,
    softmax_jacobian,
    softmax_vjp,
)
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES
from minnet.study.step import STEPS

FOLDER = Path(__file__).parent / "figures"
Data = dict[str, NDArray]
MINUS = "\N{MINUS SIGN}"

# of the colours that Okabe and Ito chose so that everybody can tell them apart
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#666666"
STYLE = {
    "svg.hashsalt": "minnet",  # else the names of clip paths differ from run to run
    "svg.fonttype": "path",  # letters as outlines look the same to every reader
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def jacobian_data() -> Data:
    """J and p for an unsure p, and for the surer one that logits six times as large give."""
    z = np.array([0.0, 0.5, 1.0, 0.2, -0.5])
    p = softmax([z, 6 * z])
    return {"p": p, "J": softmax_jacobian(p)}


def draw_jacobian(data: Data) -> Figure:
    """Two heat maps on one colour scale, and p as bars below the columns."""
    figure = Figure(figsize=(8.6, 5.4), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=[4, 1], sharex=True)
    K = data["p"].shape[-1]
    for (top, bottom), p, J, title in zip(
        axes.T,
        data["p"],
        data["J"],
        ("p unsure: each logit moves all of p", "p sure: hardly anything moves"),
        strict=True,
    ):
        # 1/4, the largest value that p (1 - p) can have, ends the scale
        map_ = top.pcolormesh(
            J, cmap="RdBu_r", vmin=-0.25, vmax=0.25, edgecolors="white", linewidth=1
        )
        for i, k in np.ndindex(J.shape):
            color = "white" if abs(J[i, k]) > 0.17 else GREY if abs(J[i, k]) < 0.005 else "black"
            top.text(k + 0.5, i + 0.5, _signed(J[i, k]), ha="center", va="center", color=color)
        top.set(
            title=title, xlim=(0, K), ylim=(K, 0), yticks=np.arange(K) + 0.5, yticklabels=range(K)
        )
        bottom.bar(np.arange(K) + 0.5, p, width=0.96, color=GREY)
        for k in range(K):
            bottom.text(k + 0.5, p[k] + 0.05, f"{p[k]:.2f}", ha="center")
        bottom.set(
            ylim=(0, 1.2), yticks=[], xticks=np.arange(K) + 0.5, xticklabels=range(K), xlabel="$k$"
        )
        for axis in (top, bottom):
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("$i$", rotation=0, labelpad=10)
    axes[1, 0].set_ylabel("$p_k$", rotation=0, labelpad=14, va="center")
    figure.colorbar(
        map_,
        ax=axes[0, :],
        ticks=[-0.25, 0, 0.25],
        label="$J_{ik} = dp_i/dz_k$",
        aspect=28,
        pad=0.02,
    )
    return figure


def _signed(x: float) -> str:
    """x to two digits, without the minus of a -0.00."""
    text = f"{x:.2f}"
    return text.replace("-", MINUS) if float(text) else "0.00"


def logit_gap_data() -> Data:
    """|dz_t| in float32, in three ways, for two classes where the wrong one is ahead by 0 to
    110."""
    gap = np.linspace(0, 110, 221, dtype=np.float32)
    p, T = softmax(np.stack([0 * gap, gap], axis=-1)), np.array([[1, 0]], np.float32)
    dz = {
        "clipped": softmax_vjp(p, MISTAKES["clip-in-division"].change.wrong(p, T)),
        "floored": OUTPUT_GRADIENTS["vjp"](p, T),
        "fused": OUTPUT_GRADIENTS["fused"](p, T),
    }
    overflow = np.log(np.finfo(np.float32).max)  # from this gap on, 1/p exceeds any float32
    return {"gap": gap, **{way: np.abs(x[:, 0]) for way, x in dz.items()}, "overflow": overflow}


def draw_logit_gap(data: Data) -> Figure:
    """Three lines of which two lie on each other."""
    figure, axis = _figure("Clip p only where it divides, and the worst mistakes teach nothing")
    axis.vlines(data["overflow"], 0, 0.97, color=GREY, linewidth=1, linestyle=":")
    axis.text(
        data["overflow"] - 1,
        0.5,
        "here 1/p overflows\nin float32: without\nthe floor, NaN",
        ha="right",
        color=GREY,
    )
    axis.plot(
        data["gap"], data["fused"], color=BLUE, linewidth=7, alpha=0.35, solid_capstyle="butt"
    )
    axis.plot(data["gap"], data["floored"], color=BLUE, linewidth=1.8)
    axis.plot(data["gap"], data["clipped"], color=ORANGE, linewidth=2.2)
    both = f"p {MINUS} y (wide), and J$^T$ dp through dp = {MINUS}y/p with p floored (thin)"
    axis.text(110, 1.05, both, color=BLUE, ha="right")
    axis.text(25.8, 0.80, "p clipped only\nwhere it divides", color=ORANGE, ha="right")
    for gap, text in ((30, "{:.0%} left"), (50, "nothing left")):
        left = float(np.interp(gap, data["gap"], data["clipped"]))
        axis.plot(gap, left, "o", color=ORANGE)
        axis.text(gap + 1.2, left + 0.03, text.format(left), color=ORANGE)
    axis.set(xlim=(0, 111), ylim=(-0.02, 1.14), xticks=range(0, 111, 10))
    axis.set(
        xlabel="how far a wrong logit is ahead of the true one",
        ylabel="gradient at the true logit, $|dz_t|$",
    )
    return figure


def one_sided_differences(f: Callable[[NDArray], Any], x: NDArray, h: float) -> NDArray:
    """df/dx (n,) by (f(x + h) - f(x)) / h, which minnet does not use: the picture shows why."""
    gradient, start, x = np.empty_like(x), f(x), x.copy()
    for j in range(x.size):
        original = x[j]
        x[j] = above = original + h
        gradient[j] = (f(x) - start) / (above - original)
        x[j] = original
    return gradient


def step_size_data() -> Data:
    """Relative error against the backward pass in float64, for each step h, on the loss of a 4-6-3
    net."""
    # from float32, so that all precisions differentiate at the very same theta and X
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    net, y = minnet.MLP([4, 6, 3], "tanh", dtype="float32", seed=1), np.array([0, 2, 1, 1, 0])
    real, single, complex_ = (Loss(net, d, X, y) for d in (np.float64, np.float32, np.complex128))
    theta = net.theta.astype(np.float64)
    dtheta = real.gradient(theta)

    h, h_complex = np.logspace(-16, -1, 61), np.logspace(-30, -1, 59)
    h32 = h[h > np.finfo(np.float32).eps / 2]  # a smaller step does not move a float32 near 1
    ways = {
        "one-sided": (h, lambda step: one_sided_differences(real, theta, step)),
        "central": (h, lambda step: central_differences(real, theta, step)),
        "float32": (h32, lambda step: central_differences(single, net.theta, step)),
        "complex": (h_complex, lambda step: complex_step(complex_, theta, step)),
    }
    data = {
        "default h": np.cbrt(np.finfo(np.float64).eps),
        "default h, float32": np.cbrt(np.finfo(np.float32).eps),
    }
    for name, (steps, measure) in ways.items():
        data[f"h, {name}"] = steps
        data[name] = np.array([relative_error(measure(step), dtheta) for step in steps])
    return data


def draw_step_size(data: Data) -> Figure:
    """Four lines, and the default step of the two central ones."""
    figure, axis = _figure(
        "Differences are best at one h; the complex step is exact at any small h"
    )
    colors = {"one-sided": PURPLE, "float32": ORANGE, "central": BLUE, "complex": GREEN}
    for name, color in colors.items():
        axis.loglog(data[f"h, {name}"], data[name], color=color, linewidth=1.8)
    for name, default in (("central", "default h"), ("float32", "default h, float32")):
        logs = (np.log(data[key]) for key in (default, f"h, {name}", name))
        axis.plot(data[default], np.exp(np.interp(*logs)), "o", color=colors[name], markersize=7)
    axis.text(3e-13, 1e-1, "one-sided", color=PURPLE)
    axis.text(1.5e-12, 2e-6, "central", color=BLUE, ha="right")
    axis.text(2e-6, 1e0, "central in float32", color=ORANGE)
    axis.text(1e-23, 3e-15, "complex step", color=GREEN)
    axis.text(
        1.5e-6,
        1.3e-10,
        r"the dots: minnet's h, $\sqrt[3]{\mathrm{eps}}$",
        color=GREY,
        ha="right",
        va="center",
    )
    axis.set(xlim=(3e-31, 1), ylim=(3e-17, 1e1), xticks=[10.0**n for n in range(-30, 1, 5)])
    axis.set(xlabel="step $h$", ylabel="relative error of the gradient")
    return figure


def flow_data() -> Data:
    """The shape of every array in one step of a 2-3-3 net on 5 rows, and the numbers of the lines
    that make them."""
    net = minnet.MLP([2, 3, 3])
    X, T, tape = net.prepare(np.zeros((5, 2)), np.zeros(5, int))
    arrays = {"L": net.step(X, T, tape), "X": X, "a[0]": tape[0].a, "h[1]": tape[1].h, "z": tape.z}
    arrays |= {"p": tape.p, "dp": loss_gradient(tape.p, T), "dz": tape.dz}
    arrays |= {"da[0]": tape[0].da, "dh[1]": tape[1].dh}
    for l, layer in enumerate(net.layers):
        arrays |= {f"{name}[{l}]": getattr(layer, name) for name in ("W", "b", "dW", "db")}
    shapes = {name: np.array(np.shape(array), int) for name, array in arrays.items()}
    steps = {name.partition("[")[0]: np.array(step) for step, name, *_ in reversed(STEPS[1:])}
    made = ("a", "h", "z", "p", "L", "dp", "dz", "dW", "dh", "da")
    return shapes | {f"line of {name}": steps[name] for name in made}


def draw_flow(data: Data) -> Figure:
    """Forward to the right, backward to the left below it, and each gradient under what it belongs
    to."""
    figure, axis = _figure(
        "Forward and back: each gradient stands below its array and has its shape"
    )
    axis.set(xlim=(-0.65, 10.5), ylim=(-0.5, 3.75))
    axis.axis("off")
    x_of = {"X": 0, "a[0]": 2, "h[1]": 4, "z": 6, "p": 8, "L": 10}
    up, down = 2.3, 1.0

    def box(x: float, y: float, color: str, *names: str) -> None:
        shapes = [", ".join("N" if n == 5 else f"{n}" for n in data[name]) for name in names]
        # a vector's shape keeps its comma, as Python writes it
        text = [
            f"{name} ({shape}{',' * (len(data[name]) == 1)})"
            for name, shape in zip(names, shapes, strict=True)
        ]
        style = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": color}
        axis.text(
            x,
            y,
            "\n".join(text).replace(" ()", ""),
            ha="center",
            va="center",
            color=color,
            bbox=style,
        )

    def arrow(
        start: tuple[float, float],
        end: tuple[float, float],
        color: str,
        text: str = "",
        dy: float = 0,
    ) -> None:
        axis.annotate(
            "",
            end,
            start,
            arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0},
        )
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + dy
        axis.text(*middle, text, ha="center", va="center", color=color, fontsize=10)

    def number(name: str) -> str:
        return f"({data['line of ' + name.partition('[')[0]]})"

    for name, x in x_of.items():
        box(x, up, BLUE, name)
        if f"d{name}" in data:
            box(x, down, ORANGE, f"d{name}")
    for l, x, formula in ((0, 1, "X$^T$ da"), (1, 5, "h$^T$ dz")):
        box(x, 3.4, BLUE, f"W[{l}]", f"b[{l}]")
        arrow((x, 3.08), (x, up + 0.03), BLUE)
        box(x, -0.1, ORANGE, f"dW[{l}]", f"db[{l}]")
        arrow((x + 0.6, down - 0.22), (x + 0.2, 0.22), ORANGE)
        axis.text(x + 0.5, 0.42, f"{formula} {number('dW')}", color=ORANGE, fontsize=10)
    forward = {
        "a": "X W + b",
        "h": "f(a)",
        "z": "h W + b",
        "p": "softmax",
        "L": f"{MINUS}mean log $p_t$",
    }
    for (start, end), formula in zip(pairwise(x_of), forward.values(), strict=True):
        ends = (x_of[start] + 0.65, up), (x_of[end] - (0.65 if end != "L" else 0.25), up)
        arrow(*ends, BLUE, f"{formula}\n{number(end)}", -0.32)
    # with dp, the 1/N of the mean enters
    arrow((x_of["L"], up - 0.22), (x_of["p"] + 0.6, down), ORANGE)
    axis.text(9.6, 1.3, f"{MINUS}Y/(N p)\n{number('dp')}", ha="left", color=ORANGE, fontsize=10)
    backward = {
        "dz": ("p", "J$^T$ dp"),
        "dh[1]": ("z", "dz W$^T$"),
        "da[0]": ("h[1]", "dh * f'(a)"),
    }
    for name, (start, formula) in backward.items():
        ends = (x_of[start] - 0.7, down), (x_of[name[1:]] + 0.7, down)
        arrow(*ends, ORANGE, f"{formula}\n{number(name)}", 0.32)
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.8, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, loc="left")
    return figure, axis


FIGURES: dict[str, tuple[Callable[[], Data], Callable[[Data], Figure]]] = {
    "jacobian": (jacobian_data, draw_jacobian),
    "logit_gap": (logit_gap_data, draw_logit_gap),
    "step_size": (step_size_data, draw_step_size),
    "flow": (flow_data, draw_flow),
}


def main(folder: Path = FOLDER) -> None:
    """Draw every picture into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (data_of, draw) in FIGURES.items():
        data = data_of()
        with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
            metadata = {"Date": None, "Creator": None, "Description": _numbers(data)}
            draw(data).savefig(folder / f"{name}.svg", metadata=metadata)


def _numbers(data: Data) -> str:
    """The data as JSON, to five digits."""
    text = json.dumps({name: np.asarray(values).tolist() for name, values in data.items()})
    return json.dumps(json.loads(text, parse_float=lambda number: float(f"{float(number):.5g}")))


if __name__ == "__main__":
    main()
