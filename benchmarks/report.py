"""From what was measured to the tables of a document, and a picture of them."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

from benchmarks.nets import NETS
from benchmarks.running import Answers, At

Cell = Callable[[Answers, At], str]  # what a table has in a row and column

# how many times as fast as a peer minnet is to be; for the floor and an older checkout, at most how
# many times its time. At most: seconds to start, or more than another process; bytes for each read
TARGETS = {
    "scikit-learn": dict(zip(NETS, (6.5, 4.5, 1.5, 1.15), strict=True)),
    "PyTorch": dict(zip([*NETS][1:3], (9, 1.4), strict=True)),
    "floor": dict(zip([*NETS][1:], (2.9, 1.7, 1.25), strict=True)),
    "before": dict.fromkeys(NETS, 1.02),
    "numpy.loadtxt": {"numbers": 0.6},
}
MORE = {"import minnet": ("import numpy", 0.05), "train.py": ("import sklearn.datasets", None)}
START, MEMORY = 0.3, 2


def grid(cells: dict[At, str]) -> str:
    """A table with a row for each first, and a column for each second key of cells with text."""
    rows, columns = ({at[i]: None for at, cell in cells.items() if cell} for i in (0, 1))
    lines = [["", *columns], ["---", *("---:" for _ in columns)]]
    lines += [[row, *(cells.get((row, column), "") for column in columns)] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Iterable[float], digits: int | None = None) -> str:
    """Such as "12.5 (11.0-14.2)": median, smallest and largest."""
    values = sorted(values)
    digits = int(median(values) < 100) if digits is None else digits
    low, middle, high = (f"{v:,.{digits}f}" for v in (values[0], median(values), values[-1]))
    return f"{middle} ({low}-{high})"


def size(n: float) -> str:
    """Such as "3.6 GB", of a number of bytes."""
    many, unit = next(pair for pair in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if n >= pair[0])
    return f"{n / many:.3g} {unit}"


def against(figure: float, sign: str, target: float | None) -> str:
    """A figure beside its target, bold if it misses it."""
    if target is None:
        return f"{figure:.2f}"
    bold = "**" if (figure > target if sign == "≤" else figure < target) else ""
    return f"{bold}{figure:.2f}{bold} ({sign} {target:g})"


def figure(key: str = "us", digits: int | None = None) -> Cell:
    """Median, smallest and largest of one figure."""
    return lambda answers, at: spread([turn[key] for turn in answers[at]], digits)


def ratio(key: str = "us", ours: str = "minnet") -> Cell:
    """How many times as fast as the peer minnet is, the median over the turns."""

    def cell(answers: Answers, at: At) -> str:
        (row, peer), pairs = at, zip(answers[at], answers[at[0], ours], strict=True)
        found = median(theirs[key] / own[key] for theirs, own in pairs)
        target = TARGETS.get(peer, {}).get(row.removesuffix(", float32"))
        if peer in ("floor", "before"):
            return against(1 / found, "≤", target)
        return against(found, "≥", target) if peer != ours else ""

    return cell


def last_loss(answers: Answers, at: At) -> str:
    """The loss at the end of the last turn."""
    loss = answers[at][-1]["loss"]
    return f"{loss:.4g}" if loss else ""


def gradient(answers: Answers, at: At) -> str:
    """Time and memory from p to dz."""
    return f"{figure('us', 0)(answers, at).split()[0]} µs, {size(answers[at][-1]['bytes'])}"


def process(answers: Answers, at: At) -> str:
    """Seconds and memory of a whole process, what it has done, and its targets."""
    (row, column), turns = at, answers[at]
    middle = {key: median(turn[key] for turn in turns) for key in turns[0]}
    parts = [f"{figure('seconds', 2)(answers, at)} s", size(middle["bytes"])]
    if "accuracy" in middle:
        parts.append(f"accuracy {middle['accuracy']:.3f}")
    if "array" in middle:
        most = MEMORY if column == "minnet" else None
        parts.append(f"{against(middle['bytes'] / middle['array'], '≤', most)} times the array")
    if row.startswith("minnet "):
        parts.append(against(middle["seconds"], "≤", START))
    if row in MORE:
        other, most = MORE[row]
        pairs = zip(turns, answers[other, column], strict=True)
        above = median(own["seconds"] - less["seconds"] for own, less in pairs)
        parts.append(f"{against(above, '≤', most)} above `{other}`")
    return ", ".join(parts)


TABLES: dict[str, list[Cell]] = {  # of each case, one below the other
    "steps": [figure(), ratio(), last_loss],
    "scalar": [figure(), last_loss],
    "fits": [figure(), ratio(ours="minnet.MLPClassifier"), last_loss],
    "growth": [figure()],
    "gradients": [gradient],
    "predict": [figure("rows", 0)],
    "processes": [process],
    "whole": [process],
    "reading": [figure("reading"), ratio("reading"), process],
    "beside": [figure(), ratio()],
    "shared": [figure()],
    "averages": [figure()],
    "disk": [process],
}


def tables(results: dict[str, Answers]) -> dict[str, str]:
    """The tables of each case that was measured."""
    return {
        case: "\n\n".join(grid({at: cell(answers, at) for at in answers}) for cell in TABLES[case])
        for case, answers in results.items()
    }


def fill(path: Path, blocks: dict[str, str]) -> None:
    """Write each block in its place in a document, between <!-- NAME --> and <!-- end -->. Raises
    ValueError for a block without one."""
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->\n", "\n<!-- end -->"
        before, after = text.split(start)
        text = before + start + block + end + after.partition(end)[2]
    path.write_text(text, encoding="utf-8")


def picture(results: dict[str, Answers]) -> str:
    """The main figures as a picture, in SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    page = Figure(figsize=(9, 11), layout="constrained")
    for axes, case in zip(page.subplots(3, 1), ("steps", "growth", "gradients"), strict=True):
        for peer in {peer: None for _, peer in results[case]}:
            turns = {row: found for (row, by), found in results[case].items() if by == peer}
            us = [median(turn["us"] for turn in found) for found in turns.values()]
            axes.plot([row.replace(", ", "\n") for row in turns], us, "o-", label=peer)
        axes.set(title=case, ylabel="µs", yscale="log")
        axes.legend(fontsize=8)
        axes.minorticks_off()
    svg = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "minnet", "svg.fonttype": "none"}):
        page.savefig(svg, format="svg", metadata={"Date": None})
    return "".join(f"{line.rstrip()}\n" for line in svg.getvalue().splitlines())
