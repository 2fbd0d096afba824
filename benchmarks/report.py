"""Tables and a picture from what was measured."""

import io
from pathlib import Path
from statistics import median

from benchmarks.cold import CASES
from benchmarks.nets import NETS

# (net, peer): how many times as fast as the peer minnet was to be; for the floor, at most how many times its time
TARGETS = {
    ("iris", "scikit-learn"): 6.5,
    ("digits", "scikit-learn"): 4.5,
    ("784-256", "scikit-learn"): 1.5,
    ("784-1024", "scikit-learn"): 1.15,
    ("digits", "PyTorch"): 9,
    ("784-256", "PyTorch"): 1.4,
    ("digits", "floor"): 2.9,
    ("784-256", "floor"): 1.7,
    ("784-1024", "floor"): 1.25,
}
FIT_TARGETS = {"iris float32": 6.5, "digits float32": 4.5, "784-256 float32": 1.5}
PEERS = ("floor", "minnet", "scikit-learn", "PyTorch", "JAX, step", "JAX, epoch")
INTRODUCTION = """\
# How fast minnet is, beside its peers

Written by `python -m benchmarks`, which took this to make it:
"""
TURNS = "The peers take turns, each in a process of its own, after a first turn that is not counted.\n"
NOTES = Path(__file__).parent / "notes.md"
DATA_SETS, COMMAND = "import sklearn.datasets", "python train.py configs/digits.toml"
DIGITS = CASES["digits"]  # of the cold starts


def markdown(results: dict, machine: dict[str, str]) -> str:
    """RESULTS.md."""
    parts = [INTRODUCTION, "\n".join(f"- {name}: {value}" for name, value in machine.items()), "", TURNS]
    for name, section in SECTIONS.items():
        if name in results:
            parts += [section(results[name]), ""]
    if len(results) == len(SECTIONS):
        parts.insert(4, "![the figures below, as a picture](results.svg)\n")
        parts.append(NOTES.read_text(encoding="utf-8").strip())
    return "\n".join(parts).rstrip() + "\n"


def steps(answers: dict) -> str:
    """Training steps: times, ratios, and the losses that show that all did the same."""
    peers = [peer for peer in PEERS if ("iris", peer) in answers]
    rows = []
    for net, case in NETS.items():
        cells = [_spread([answer["us"] for answer in answers[net, peer]]) for peer in peers]
        rows.append([case.name, *cells])
    text = [
        "## A training step\n",
        f"Microseconds, median of {_turns(answers)} (smallest-largest). Same rows, batches, initial weights and number",
        "of steps for all, in float32, with Adam (scikit-learn shuffles in an order of its own); minnet runs the loop",
        'of its command line, with the default road "vjp", the loss at every step, the shuffling and the training',
        'accuracy. "floor" is the matrix products of forward and backward and nothing else.\n',
        _table(["", *peers], rows),
        "\nHow many times as fast as each peer minnet is (for the floor: how many times its time minnet takes).",
        "In brackets what was to be reached.\n",
    ]
    rows = []
    for net, case in NETS.items():
        cells = []
        for peer in [peer for peer in peers if peer != "minnet"]:
            ratio = _ratio(answers, net, peer)
            target = TARGETS.get((net, peer))
            sign = "≤" if peer == "floor" else "≥"
            cells.append(f"{ratio:.2f}" + (f" ({sign} {target:g})" if target else ""))
        rows.append([case.name, *cells])
    text += [_table(["", *[peer for peer in peers if peer != "minnet"]], rows)]
    missed = [
        f"{NETS[net].name} beside {peer}"
        for (net, peer), target in TARGETS.items()
        if peer in peers and _missed(answers, net, peer, target)
    ]
    text.append(f"\nNot reached: {'; '.join(missed) or 'nothing'}.")
    trained = [peer for peer in peers if peer != "floor"]
    rows = [[case.name, *(f"{answers[net, peer][-1]['loss']:.4g}" for peer in trained)] for net, case in NETS.items()]
    text += ["\nThe loss over all rows at the end:\n", _table(["", *trained], rows)]
    scalar, ours = (answers["iris, 2 epochs", peer] for peer in ("scalar", "minnet"))
    microseconds = median(answer["us"] for answer in scalar)
    times = microseconds / median(answer["us"] for answer in answers["iris", "minnet"])
    text.append(
        f"\nThe same net on iris in single numbers that remember how they were made, as micrograd works: "
        f"{microseconds / 1000:,.0f} ms a step,\n{times:,.0f} times as long, with loss {scalar[-1]['loss']:.6g} after "
        f"two epochs, where minnet has {ours[-1]['loss']:.6g}."
    )
    return "\n".join(text)


def fits(answers: dict) -> str:
    """MLPClassifier beside scikit-learn's."""
    rows = []
    for name in dict.fromkeys(name for name, _ in answers):
        net, dtype = name.rsplit(" ", 1)
        target = FIT_TARGETS.get(name)
        ratio = f"{_ratio(answers, name, 'scikit-learn'):.2f}" + (f" (≥ {target:g})" if target else "")
        times = [_spread([answer["us"] for answer in answers[name, peer]]) for peer in ("minnet", "scikit-learn")]
        losses = [f"{answers[name, peer][-1]['loss']:.4g}" for peer in ("minnet", "scikit-learn")]
        rows.append([f"{NETS[net].name}, {dtype}", *times, ratio, *losses])
    missed = [name for name, target in FIT_TARGETS.items() if _missed(answers, name, "scikit-learn", target)]
    return "\n".join(
        [
            "## MLPClassifier.fit\n",
            "`minnet.MLPClassifier` beside scikit-learn's, with the same parameters: microseconds a step of a whole",
            f"`fit`, with all its checks, median of {_turns(answers)} (smallest-largest); how many times as fast",
            "minnet is, in brackets what was to be reached; and the last loss, each from weights of its own.\n",
            _table(["", "minnet", "scikit-learn", "ratio", "loss of minnet", "of scikit-learn"], rows),
            f"\nNot reached: {'; '.join(missed) or 'nothing'}.",
        ]
    )


def growth(answers: dict) -> str:
    """Cost by rows and by width."""
    peers = [peer for peer in PEERS if any(key[1] == peer for key in answers)]
    by_rows = [name for name in dict.fromkeys(name for name, _ in answers) if name.endswith("rows")]
    by_units = [name for name in dict.fromkeys(name for name, _ in answers) if name.endswith("units")]
    rows = [
        [_number(name), *(_spread([1e6 * a["seconds"] / a["rows"] for a in answers[name, peer]], 2) for peer in peers)]
        for name in by_rows
    ]
    units = [[_number(name), *(_spread([a["us"] for a in answers[name, peer]]) for peer in peers)] for name in by_units]
    return "\n".join(
        [
            "## How cost grows\n",
            f"Median of {_turns(answers)} (smallest-largest).",
            "Microseconds a row, for one epoch over so many rows in whole batches; 64-64-10, batches of 32:\n",
            _table(["rows", *peers], rows),
            "\nMicroseconds a step with so many hidden units; 784-n-10, batches of 128:\n",
            _table(["units", *peers], units),
        ]
    )


def roads(answers: dict) -> str:
    """From p to dz."""
    classes = list(dict.fromkeys(K for _, K in answers))
    names = list(dict.fromkeys(road for road, _ in answers))
    rows = [
        [
            f"{K:,}",
            *(
                f"{median(a['us'] for a in answers[road, K]):,.0f} µs, {_bytes(answers[road, K][-1]['bytes'])}"
                for road in names
            ),
        ]
        for K in classes
    ]
    about = f"From p to dz for 4 rows over K classes: time, median of {_turns(answers)}, and memory.\n"
    text = ["## Three roads through the softmax\n", about]
    return "\n".join([*text, _table(["K", *names], rows)])


def predict(answers: dict) -> str:
    """Rows a second."""
    nets = list(dict.fromkeys(net for net, _ in answers))
    peers = list(dict.fromkeys(peer for _, peer in answers))
    rows = [
        [NETS[net].name.split(",")[0], *(f"{median(a['rows'] for a in answers[net, peer]):,.0f}" for peer in peers)]
        for net in nets
    ]
    about = f"Rows a second, from X to class probabilities, 100,000 rows at once; median of {_turns(answers)}:\n"
    text = ["## Predicting\n", about]
    return "\n".join([*text, _table(["", *peers], rows)])


def processes(answers: dict) -> str:
    """Whole processes."""
    rows = [
        [f"`{name}`", _spread([a["seconds"] for a in runs], 2), _bytes(runs[-1]["bytes"])]
        for name, runs in answers.items()
        if isinstance(name, str)
    ]
    peers = list(dict.fromkeys(key[1] for key in answers if isinstance(key, tuple)))
    nets = list(dict.fromkeys(key[0] for key in answers if isinstance(key, tuple)))
    table = [[NETS[net].name, *(_cold(answers[net, peer]) for peer in peers)] for net in nets]
    ahead = [
        f"{peer} on {NETS[net].name}"
        for net in nets
        for peer in peers
        if _seconds(answers, net, peer) < _seconds(answers, net, "minnet")
    ]
    pairs = zip(answers[COMMAND], answers[DATA_SETS], strict=True)
    more = median(command["seconds"] - import_["seconds"] for command, import_ in pairs)
    turns = _turns(answers)
    return "\n".join(
        [
            "## Whole processes\n",
            f"Seconds from start to end, median of {turns} (smallest-largest), and memory at the peak:\n",
            _table(["", "seconds", "memory"], rows),
            f"\nThe whole command takes {more:.2f} s more than the import of scikit-learn's data sets.\n",
            f"From a cold start, with imports, data and compiling: a script each, {turns}, each from another seed.",
            "Then the accuracy on held-back rows, which all measure after each epoch, and the number of epochs.",
            f"64-64-10 learns the data set digits, until it has {DIGITS.goal:.0%} of the held-back rows right (or for",
            f"{DIGITS.epochs} epochs). The others learn clouds of points, for a fixed number of epochs: centers from a",
            "normal distribution, and around them noise, of standard deviation 1 in 4 dimensions and 4 in 784.\n",
            _table(["", *peers], table),
            f"\nAhead of minnet: {'; '.join(ahead) or 'nobody'}.",
        ]
    )


def _cold(runs: list[dict]) -> str:
    low, high = (choose(run["epochs"] for run in runs) for choose in (min, max))
    seconds, accuracy = _spread([run["seconds"] for run in runs], 2), median(run["accuracy"] for run in runs)
    return f"{seconds} s, {_bytes(runs[-1]['bytes'])}, {accuracy:.3f} after {low if low == high else f'{low}-{high}'}"


SECTIONS = {"steps": steps, "fits": fits, "growth": growth, "roads": roads, "predict": predict, "processes": processes}


def picture(results: dict, path: Path) -> None:
    """The tables as a picture."""
    import matplotlib
    from matplotlib.figure import Figure

    colors = dict(zip(PEERS, ("0.7", "C3", "C0", "C1", "C2", "C4"), strict=True))
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    answers = results["steps"]
    peers = [peer for peer in PEERS if ("iris", peer) in answers]
    for i, peer in enumerate(peers):
        heights = [median(a["us"] for a in answers[net, peer]) for net in NETS]
        axes[0, 0].bar([n + (i - len(peers) / 2) * 0.14 for n in range(len(NETS))], heights, 0.13, color=colors[peer])
        axes[0, 0].bar([0], [0], color=colors[peer], label=peer)
    axes[0, 0].set(yscale="log", title="a training step", ylabel="µs", xticks=range(len(NETS)))
    axes[0, 0].set_xticklabels([case.name.replace(", ", "\n") for case in NETS.values()], fontsize=8)
    axes[0, 0].legend(fontsize=8)
    answers = results["growth"]
    for axis, unit, key in ((axes[0, 1], "rows", "seconds"), (axes[1, 0], "units", "us")):
        for peer in [peer for peer in PEERS if any(name[1] == peer for name in answers)]:
            points = {int(n.split()[0]): answers[n, p] for n, p in answers if p == peer and n.endswith(unit)}
            heights = [median(a[key] for a in runs) for runs in points.values()]
            axis.plot(list(points), heights, "o-", color=colors[peer], label=peer)
        axis.set(xscale="log", yscale="log")
        axis.legend(fontsize=8)
    axes[0, 1].set(title="one epoch of 64-64-10, batch 32", xlabel="rows", ylabel="s")
    axes[1, 0].set(title="a step of 784-n-10, batch 128", xlabel="hidden units n", ylabel="µs")
    answers, memory = results["roads"], axes[1, 1].twinx()
    for i, road in enumerate(dict.fromkeys(road for road, _ in answers)):
        points = {K: runs for (name, K), runs in answers.items() if name == road}
        heights = [median(a["us"] for a in runs) for runs in points.values()]
        axes[1, 1].plot(list(points), heights, "o-", color=f"C{i}", label=road)
        memory.plot(list(points), [runs[-1]["bytes"] for runs in points.values()], ":", color=f"C{i}")
    axes[1, 1].set(xscale="log", yscale="log", title="from p to dz, 4 rows", xlabel="classes", ylabel="µs (lines)")
    memory.set(yscale="log", ylabel="bytes (dotted)")
    axes[1, 1].legend(fontsize=8)
    svg = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "minnet"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    lines = [line.rstrip() for line in svg.getvalue().splitlines()]  # git takes spaces at the end of a line for slips
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _turns(answers: dict) -> str:
    n = len(next(iter(answers.values())))
    return "one turn" if n == 1 else f"{n} turns"


def _number(name: str) -> str:
    """ "1,000" from "1000 rows"."""
    return f"{int(name.split()[0]):,}"


def _seconds(answers: dict, net: str, peer: str) -> float:
    return median(answer["seconds"] for answer in answers[net, peer])


def _missed(answers: dict, net: str, peer: str, target: float) -> bool:
    ratio = _ratio(answers, net, peer)
    return ratio > target if peer == "floor" else ratio < target


def _ratio(answers: dict, net: str, peer: str) -> float:
    pairs = zip(answers[net, peer], answers[net, "minnet"], strict=True)
    ratio = median(theirs["us"] / ours["us"] for theirs, ours in pairs)
    return 1 / ratio if peer == "floor" else ratio


def _spread(values: list[float], digits: int = 0) -> str:
    digits = digits or (1 if median(values) < 100 else 0)
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low}-{high})"


def _bytes(n: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} B"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
