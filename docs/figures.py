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
from minnet.core.softmax import loss_gradient
from minnet.study.check import Loss
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
