"""benchmarks/scaling.py: the model is the one that docs/scaling.md says, and its tables are made of it."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling, scaling_text
from benchmarks.nets import NETS
from benchmarks.scaling import Cost, Network

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
FAST = Network("fast", 1e-6, 1e-10)


def test_the_line_through_times_is_found_again():
    cost = scaling.fit({m: 3e-5 + 2e-6 * m for m in (1, 4, 32, 128)})
    assert (cost.fixed, cost.row) == pytest.approx((3e-5, 2e-6))
    network = scaling.fit_network({P: 2e-5 + 4 * P * 1e-9 for P in (10, 1000, 10**6)})
    assert (network.alpha, network.beta) == pytest.approx((2e-5, 1e-9))


@pytest.mark.parametrize("nodes", [2, 3, 8, 1000])
def test_an_allreduce_costs_the_smaller_of_two_algorithms(nodes):
    rounds = int(np.ceil(np.log2(nodes)))
    for P in (1, 10**4, 10**8):
        doubling = rounds * (1e-6 + 4 * P * 1e-10)
        halving = 2 * rounds * 1e-6 + 2 * (nodes - 1) / nodes * 4 * P * 1e-10
        assert FAST.allreduce(P, nodes) == pytest.approx(min(doubling, halving))
    assert FAST.allreduce(10**6, 1) == 0


def test_scaling_stops_where_more_nodes_gain_less_than_a_twentieth():
    cost = Cost(fixed=1e-5, row=1e-5)
    assert cost.enough(1024, Network("none", 0, 0), 1000) == 1024
    assert cost.enough(1024, Network("slow", 1, 0), 1000) == 1
    stop = cost.enough(1024, FAST, 1000)
    times = {2**k: cost.step(1024, 2**k, FAST, 1000) for k in range(11)}
    assert times[stop] <= 1.05 * min(times.values()) < times[stop // 2]


def test_with_the_batch_that_is_needed_half_of_a_step_goes_into_rows():
    cost = Cost(fixed=1e-5, row=1e-6)
    batch = cost.batch_needed(64, FAST, 10**5)
    assert cost.row * batch / 64 == pytest.approx(cost.step(round(batch), 64, FAST, 10**5) / 2, rel=0.01)


def test_the_document_tells_measured_and_predicted_apart():
    assert re.findall("^## (.*)$", DOCUMENT, re.MULTILINE) == ["Measured", "Predicted", "Larger than memory"]
    assert "Nothing below was measured." in DOCUMENT.split("## Predicted")[1].split("\n")[2]
    for network in scaling.NETWORKS:
        shown = f"**{network.name}** (alpha {network.alpha * 1e6:g} µs, 1/beta {1 / network.beta / 1e9:.3g} GB/s)"
        assert shown in DOCUMENT


def rows(section):
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in lines if line[0] in {net.name for net in NETS.values()}}


def test_what_it_predicts_follows_from_what_it_has_measured():
    costs = rows(DOCUMENT.split("**A step's compute**")[1].split("**An Allreduce**")[0])
    for network in scaling.NETWORKS:
        predicted = rows(DOCUMENT.split(f"**{network.name}** (")[1].split("\n**")[0])
        for net in NETS.values():
            P, _, fixed, row, _ = costs[net.name]
            cost = Cost(float(fixed.replace(",", "")) * 1e-6, float(row) * 1e-6)
            P = int(P.replace(",", ""))
            for nodes, shown in zip(scaling.NODES[1:], predicted[net.name], strict=False):
                up = cost.step(net.batch, 1, network, P) / cost.step(net.batch, nodes, network, P)
                assert float(shown) == pytest.approx(up, rel=0.08)  # two digits of each are shown


def test_the_document_is_written_from_what_was_measured():
    found = {
        "machine": {"processor": "none"},
        "P": dict.fromkeys(NETS, 1000),
        "rows": {name: {"1": 2e-5, "64": 8e-5} for name in NETS},
        "pairs": {name: {"1": 5e-5, "2": 4e-5} for name in NETS},
        "allreduce": {n: {"100": [1e-5, 1e-6], "10000": [2e-5, 2e-6]} for n in ("2", "4")},
    }
    written = scaling_text.document(found)
    assert "| 4-16-3, batch 16 | 50 | 40 | " in written
    assert written.count("## Larger than memory") == 0
    assert written.startswith(scaling_text.HEAD)
    assert DOCUMENT.startswith(scaling_text.HEAD)
