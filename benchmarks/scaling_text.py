"""docs/scaling.md, from what benchmarks.scaling has measured."""

from collections.abc import Sequence

from benchmarks.nets import NETS
from benchmarks.scaling import NETWORKS, NODES, Cost, Network, fit, fit_network

HEAD = """# Many processes, and data larger than memory

```sh
pip install -e ".[mpi]"                               # mpi4py, and an MPI from the same registry
mpiexec -n 4 python train.py configs/digits.toml      # four processes share each batch
mpiexec -n 3 python train.py --resume runs/digits     # any number of them goes on with the run
minnet shard rows.csv rows                            # a folder that is read from the disk as it is needed
python train.py data.source=rows
```

The gradient of a mean is the weighted mean of the gradients of its parts. So each process takes its share of every
batch, works out the mean loss of its rows and its gradient, and one Allreduce of one flat buffer a step,
`[w dtheta, w L, w, ...]`, gives all of them that of the whole batch
([`parallel.py`](../minnet/parallel.py)). All take the same step, so theta is never sent. Rows are shuffled and dropout
is drawn for the whole batch in each process, so that the run follows that of one process, to rounding, whatever their
number. The first process alone prints and writes. A process that raises ends all with one line that says which
and why; where one is killed from outside, mpiexec ends the others and says so in its own words. Each process
has one thread: start as many as there are cores.

This page is written by `python -m benchmarks.scaling --large`. What is measured and what is predicted stand apart."""


def document(found: dict) -> str:
    """The whole page."""
    costs = {name: fit(_by_number(times)) for name, times in found["rows"].items()}
    times = {int(P): total - own for P, (total, own) in found["allreduce"]["2"].items()}
    here = fit_network(times)
    sections = [HEAD, _measured(found, costs, here), _predicted(found, costs)]
    if "large" in found:
        sections.append(_large(found["large"]))
    return "\n\n".join(sections) + "\n"


def _measured(found: dict, costs: dict[str, Cost], here: Network) -> str:
    """What this machine gave, and how well the model holds there."""
    described = "\n".join(f"- {name}: {value}" for name, value in found["machine"].items())
    rows = []
    for name, net in NETS.items():
        times = _by_number(found["rows"][name])
        cost, P = costs[name], found["P"][name]
        off = max(abs(cost.compute(m) / t - 1) for m, t in times.items())
        shown = ", ".join(f"{m}: {_us(t)}" for m, t in times.items())
        rows.append((net.name, f"{P:,}", shown, _us(cost.fixed), f"{cost.row * 1e6:.3g}", f"{off:.0%}"))
    steps = _table(["net", "parameters", "µs a step, by rows", "fixed, µs", "a row, µs", "line off by, at most"], rows)
    reduced = []
    for P in map(str, sorted(map(int, found["allreduce"]["2"]))):
        two, own = found["allreduce"]["2"][P]
        four = found["allreduce"]["4"][P][0]
        modelled = here.allreduce(int(P), 2)
        reduced.append((f"{int(P):,}", _us(two), _us(two - own), _us(modelled), _us(four)))
    head = ["numbers", "µs, 2 processes", "without its own two passes", "model", "4 processes on these cores"]
    pairs = []
    for name, net in NETS.items():
        one, two = (found["pairs"][name][n] for n in ("1", "2"))
        own = _own_passes(found, found["P"][name])
        model = costs[name].step(net.batch, 2, here, found["P"][name]) + own
        pairs.append((net.name, _us(one), _us(two), _us(model), f"{one / two:.2f}", f"{one / model:.2f}"))
    whole = _table(["net", "1 process, µs", "2, µs", "2, model", "speed-up", "speed-up, model"], pairs)
    return f"""## Measured

On this machine, which is shared and noisy; medians of {_turns(found)} epochs or turns:

{described}

**A step's compute**, one process, one thread, float32, Adam, by the rows of its share; and the line through it, by
least relative squares:

{steps}

**An Allreduce** of so many float32 between processes that share memory, as `Ranks.average` has it, with its two passes
over the buffer; what is left without them; and alpha + bytes * beta with alpha = {_us(here.alpha)} µs and
1/beta = {1 / here.beta / 1e9:.2f} GB/s, fitted to that. Processes beyond the number of cores wait for each other in
turns, so that the last column says what not to do:

{_table(head, reduced)}

**Whole steps** with the batch of each net, in one process and shared by two, beside what the model makes of the two
fits above:

{whole}"""


def _predicted(found: dict, costs: dict[str, Cost]) -> str:
    """What the model says of networks that are not here."""
    sections = []
    for network in NETWORKS:
        rows = []
        for name, net in NETS.items():
            cost, P = costs[name], found["P"][name]
            alone = cost.step(net.batch, 1, network, P)
            ups = [alone / cost.step(net.batch, r, network, P) for r in NODES[1:]]
            enough = cost.enough(net.batch, network, P)
            top = alone / cost.step(net.batch, enough, network, P)
            where = f"{enough} ({top:.1f})" if enough > 1 else "never pays"
            rows.append((net.name, *(f"{up:.2g}" for up in ups), where))
        sections.append(
            f"**{network.name}** (alpha {network.alpha * 1e6:g} µs, 1/beta {1 / network.beta / 1e9:.3g} GB/s)\n\n"
            + _table(["net", *map(str, NODES[1:]), "stops at (speed-up)"], rows)
        )
    needed = []
    for name, net in NETS.items():
        for network in NETWORKS:
            sizes = [costs[name].batch_needed(r, network, found["P"][name]) for r in (8, 64, 1024)]
            needed.append((net.name, network.name, *(f"{size:,.0f}" for size in sizes)))
    speed = "\n\n".join(sections)
    never = [net.name for name, net in NETS.items() if _never(costs[name], net.batch, found["P"][name])]
    always = "; ".join(never) if never else "none"
    return f"""## Predicted

Nothing below was measured. Compute is the line above, for a node as fast as one core here. An Allreduce costs the
smaller of log2(R) (alpha + 4P beta) and 2 log2(R) alpha + 2 (R-1)/R 4P beta for P numbers and R nodes (recursive
doubling, and Rabenseifner's algorithm: Thakur, Rabenseifner and Gropp 2005); alpha and beta are what such
networks give by their order of magnitude, assumed and not measured. Nothing overlaps, as theta's gradient goes in one
piece. The batch stays as it is, so each node's share shrinks (strong scaling).

How many times as fast as one process R nodes are; and where it stops: the least number within 5% of the fastest.

{speed}

**Where it stops.** A step cannot be shorter than its fixed part, calls of NumPy and the update of all parameters,
which every node does for itself; then each doubling of nodes halves what rows are left and adds to the Allreduce.
Nets that no network above makes faster by more than 5%, whatever the number of nodes: {always}.

**The batch that it would take** for half of each step to go into rows (so that R nodes are at most half wasted):
R (fixed + Allreduce) / row. Whether a net still learns as well from batches of that size is another question:

{_table(["net", "network", "8 nodes", "64", "1,024"], needed)}"""


def _never(cost: Cost, batch: int, P: int) -> bool:
    return all(cost.enough(batch, network, P) == 1 for network in NETWORKS)


def _large(found: dict) -> str:
    """From the disk and from memory."""
    rows = []
    for share in sorted(key for key in found if key != "D"):
        case = found[share]
        for kind in ("disk", "memory"):
            answer = case[kind]
            rows.append(
                (
                    f"{case['bytes'] / 1e9:.1f} GB, {case['N']:,} rows",
                    kind,
                    f"{answer['peak'] / 1e6:,.0f} MB",
                    f"{answer['row'] * 1e6:.1f}",
                    f"{answer['accuracy']:.4f}",
                )
            )
    return f"""## Larger than memory

Measured: training 784-256-128-10 with batches of 128 on clouds of points, from a folder with X.npy (float32,
{found["D"]} columns) and y.npy, in one process. "disk" is how a large folder is always read: rows are mapped, read by
batches in the order of the shuffle, scaled, and let go; the scaler is fitted in one pass from the file's start to its
end. "memory" is the same with everything loaded first. Microseconds are those of the second epoch, validation included.

{_table(["X.npy", "rows from", "peak memory", "µs a row", "test accuracy"], rows)}

The file was made just before, so that the system had it in its cache; a cold disk, which was not measured, adds its
reads at random places, of at least a page for each row. Memory grows by {_growth(found):.0f} bytes a row between the
two: labels, which rows are in which part, and the order of the epoch."""


def _growth(found: dict) -> float:
    """Bytes of memory for each more row, from the disk."""
    small, big = found["0.1"], found["1.0"]
    return (big["disk"]["peak"] - small["disk"]["peak"]) / (big["N"] - small["N"])


def _own_passes(found: dict, P: int) -> float:
    """Seconds of the two passes over a buffer of P numbers, between those that were measured."""
    import numpy as np

    sizes = sorted(map(int, found["allreduce"]["2"]))
    return float(np.interp(P, sizes, [found["allreduce"]["2"][str(size)][1] for size in sizes]))


def _by_number(times: dict[str, float]) -> dict[int, float]:
    return {int(number): seconds for number, seconds in times.items()}


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}" if seconds >= 1e-5 else f"{seconds * 1e6:.1f}"


def _turns(found: dict) -> int:
    return found.get("turns", 7)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
