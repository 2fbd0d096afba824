"""The benchmarks: all peers do the same work, and the tables say what was measured."""

import os
import re
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import jobs, nets, peers, report, running, scaling, tables
from benchmarks.nets import NETS, Net
from minnet import config as configs

SMALL, DIGITS, *_ = NETS
TINY = Net((4, 16, 3), 16, 120, epochs=2)  # the last of its batches has 8 rows
SCALING = scaling.DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize("peer", ["minnet", "PyTorch", "JAX, step", "JAX, epoch"])
def test_a_peer_ends_with_the_weights_that_single_numbers_have(peer):
    if not running.is_installed(peer):
        pytest.skip(f"{peer} is not installed")
    *_, trained = peers.PEERS[peer](TINY, 2, 3)
    *_, expected = peers.PEERS["scalar"](TINY, 2, 3)
    for found, wanted in zip(trained, expected, strict=True):
        np.testing.assert_allclose(np.vstack(found), np.vstack(wanted), atol=1e-5)


@pytest.mark.parametrize("peer", ["minnet.MLPClassifier", "scikit-learn"])
def test_estimators_have_the_same_initial_weights_and_end_near_the_same_loss(peer):
    ours, theirs = (jobs.train(name, TINY._replace(epochs=5))["loss"] for name in ("minnet", peer))
    assert 3 > ours == pytest.approx(theirs, rel=0.03)
    module, net = peers.PEERS[peer].keywords["package"], TINY._replace(dtype="float64")
    classifier = peers.mlp_classifier(net, 1, 5, module)
    for W, (expected, _) in zip(classifier.coefs_, nets.initial(net, 5), strict=True):
        np.testing.assert_array_equal(W, expected)


def test_output_gradients_predicting_and_accuracies_are_measured(monkeypatch):
    jacobian, vjp = (jobs.output_gradient(name, 100) for name in ("jacobian", "vjp"))
    assert jacobian["us"] > 0 and jacobian["bytes"] > 4 * 100 * 100 * 4 > vjp["bytes"] > 0
    for peer in ("minnet", "scikit-learn"):
        assert jobs.predict(peer, NETS[DIGITS], 3000)["rows"] > 0
    monkeypatch.setattr(tables, "PEERS", {"logistic": tables.PEERS["LogisticRegression"]})
    found = tables.measured(configs.shipped()["wine"], [], 0)
    for name in ("minnet", "logistic"):
        accuracy, loss, seconds = found[name]
        assert 0.9 < accuracy <= 1 and 0 < loss < 1 and seconds > 0


def test_both_read_the_same_file_in_processes_that_are_measured(monkeypatch):
    monkeypatch.setattr(benchmarks, "N", 2000)
    answers = benchmarks.reading(0)
    ours, theirs = (answers["numbers", peer][0] for peer in ("minnet", "numpy.loadtxt"))
    assert ours["array"] == theirs["array"] == 2000 * 50 * 8 < ours["bytes"]
    assert ours["sum"] == pytest.approx(theirs["sum"]) and ours["seconds"] > ours["reading"] > 0


def test_a_process_is_measured_without_the_memory_of_the_one_that_asks():
    answer = running.launch(["-c", "print('done')"])
    assert answer["printed"] == "done\n" and 6e6 < answer["bytes"] < 2.5e7
    assert 0.95 < running.launch(running.job("whole", "minnet", NETS[DIGITS], 1))["accuracy"] < 1


def about_process(peer, argument):
    return {"pid": os.getpid(), "asked": (peer, argument), "path": sys.path[0]}


def test_each_installed_peer_has_a_process_and_its_first_turn_does_not_count(monkeypatch):
    monkeypatch.setitem(running.MODULES, "ghost", "no_such_module")
    workers = {"a": (peers.use, ("elsewhere",)), "ghost": (), "b": ()}
    answers = running.in_workers(workers, about_process, {"row": "argument"}, 2)
    (a, a_again), (b, _) = answers["row", "a"], answers["row", "b"]
    assert len(answers) == 2 and a == a_again and len({a["pid"], b["pid"], os.getpid()}) == 3
    assert a["asked"] == ("a", "argument") and a["path"] == "elsewhere" != b["path"]
    asked = []
    running.in_turns("r", "pq", lambda *at: asked.append(at), 1)
    assert asked == [("r", "p", 0), ("r", "q", 0), ("r", "q", 1), ("r", "p", 1)]


@pytest.mark.parametrize(
    ("row", "peer", "theirs", "ours", "shown"),
    [
        (SMALL, "scikit-learn", [50, 80, 60], [10, 20, 10], "**5.00** (≥ 6.5)"),
        (f"{DIGITS}, float32", "scikit-learn", [45], [10], "4.50 (≥ 4.5)"),
        (f"{DIGITS}, float64", "scikit-learn", [44], [10], "4.40"),
        (DIGITS, "floor", [10], [29], "2.90 (≤ 2.9)"),
        (SMALL, "before", [100], [103], "**1.03** (≤ 1.02)"),
    ],
)
def test_a_ratio_is_a_median_and_bold_if_it_misses_its_target(row, peer, theirs, ours, shown):
    answers = {(row, "minnet"): [{"us": x} for x in ours], (row, peer): [{"us": x} for x in theirs]}
    assert [report.ratio()(answers, at) for at in answers] == ["", shown]


def test_whole_processes_have_seconds_memory_and_what_they_are_held_against():
    turns = {
        "import numpy": {"seconds": 0.1, "bytes": 3e7},
        "import minnet": {"seconds": 0.14, "bytes": 4e7},
        "minnet study": {"seconds": 0.4, "bytes": 12_345, "accuracy": 0.5},
        "numbers": {"seconds": 2, "bytes": 3.6e9, "array": 1e9},
    }
    answers = {(row, "minnet"): [turn, turn] for row, turn in turns.items()}
    assert [report.process(answers, at) for at in answers] == [
        "0.10 (0.10-0.10) s, 30 MB",
        "0.14 (0.14-0.14) s, 40 MB, 0.04 (≤ 0.05) above `import numpy`",
        "0.40 (0.40-0.40) s, 12.3 kB, accuracy 0.500, **0.40** (≤ 0.3)",
        "2.00 (2.00-2.00) s, 3.6 GB, **3.60** (≤ 2) times the array",
    ]


def invented(case, turns=1, **more):
    columns, _, rows, _ = benchmarks.TIMED.get(case, (("minnet", "numpy.loadtxt"), None, NETS, 0))
    turn = dict.fromkeys(("us", "loss", "bytes", "rows", "seconds", "reading", "array"), 2e6)
    return {(row, column): [turn, turn] for row in rows for column in columns}


def test_a_run_fills_every_place_in_the_results_and_draws_a_small_picture(monkeypatch, tmp_path):
    document, picture = tmp_path / "RESULTS.md", tmp_path / "results.svg"
    places = re.findall("<!-- (?!end).* -->", benchmarks.DOCUMENT.read_text(encoding="utf-8"))
    document.write_text("".join(f"{place}\nOLD\n<!-- end -->\n" for place in places))
    fakes = {name: partial(invented, name) for name in ("processes", "whole", "reading", "pairs")}
    fakes |= {"timed": invented, "members": str, "DOCUMENT": document, "PICTURE": picture}
    for name, fake in fakes.items():
        monkeypatch.setattr(benchmarks, name, fake)
    for argv in ([], ["--beside", "elsewhere"]):
        assert "OLD" in document.read_text()
        monkeypatch.setattr(sys, "argv", ["benchmarks", *argv])
        benchmarks.main()
    assert "OLD" not in document.read_text()
    assert re.findall("<!-- (?!end).* -->", document.read_text()) == places
    lines = picture.read_text(encoding="utf-8").split("\n")
    assert lines[-2:] == ["</svg>", ""]
    assert len(lines) < 1000 and all(line == line.rstrip() for line in lines)
    with pytest.raises(ValueError):
        report.fill(document, {"a block without a place": ""})


def test_a_run_asks_for_matplotlib_before_it_starts(monkeypatch, capsys):
    monkeypatch.setattr(running, "MODULES", {"picture": "no_such_module"})
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit):
        benchmarks.main()
    assert 'the picture needs matplotlib: pip install -e ".[bench]"' in capsys.readouterr().err


def test_processes_share_a_step_and_an_allreduce():
    expected = jobs.train("minnet", TINY)["loss"]
    assert scaling.in_ranks(2, "shared_step", TINY)["loss"] == pytest.approx(expected, rel=1e-5)
    assert scaling.in_ranks(2, "average", 100)["us"] > 0


@pytest.mark.parametrize("nodes", [1, 3, 8, 1000])
def test_an_allreduce_costs_the_smaller_of_two_algorithms(nodes):
    rounds = int(np.ceil(np.log2(nodes)))
    for P in (1, 10**4, 10**8):
        doubling = rounds * (1e-6 + 4 * P * 1e-10)
        halving = 2 * rounds * 1e-6 + 2 * (nodes - 1) / nodes * 4 * P * 1e-10
        assert scaling.allreduce(P, nodes, 1e-6, 1e-10) == pytest.approx(min(doubling, halving))


def table(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in lines}


def test_what_is_predicted_follows_from_what_was_measured():
    assert "Nothing in this section was measured." in SCALING.split("## Predicted")[1]
    found = [SCALING.split(f"<!-- {name} -->")[1].split("<!--")[0] for name in ("model", "stops")]
    parts = [(row, part, n) for row in NETS for part, n in scaling.PARTS.items()]
    steps = {(row, part): [{"us": 30 + 2 * (NETS[row].batch // n)}] for row, part, n in parts}
    averages = {(row, "2 processes"): [{"us": 9 + P / 250}] for row, P in scaling.NUMBERS.items()}
    computed = scaling.predicted(steps, averages)
    assert {tuple(row[:2]) for row in [*table(computed["model"]).values()][2:]} == {("30.0", "2")}
    for model, stops in (map(table, found), map(table, computed.values())):
        for row, net in NETS.items():
            fixed, each = (float(cell.replace(",", "")) / 1e6 for cell in model[row][:2])
            P = sum((n_in + 1) * n_out for n_in, n_out in pairwise(net.sizes))
            for shown, network in zip(stops[row], scaling.NETWORKS.values(), strict=True):
                nodes, up = (float(number) for number in shown.strip(")").split(" ("))
                compute = {n: fixed + each * np.ceil(net.batch / n) for n in scaling.NODES}
                times = {n: t + scaling.allreduce(P, n, *network) for n, t in compute.items()}
                assert up == pytest.approx(times[1] / times[nodes], abs=0.06, rel=0.01)
                assert times[nodes] <= 1.06 * min(times.values())
                assert times.get(nodes / 2, np.inf) >= 1.04 * min(times.values())


def test_rows_on_the_disk_are_those_of_the_npz(tmp_path):
    scaling.write_rows(tmp_path, 9000, D=3)
    file, folder = np.load(tmp_path / "file.npz"), tmp_path / "folder"
    np.testing.assert_array_equal(np.load(folder / "X.npy"), file["X"])
    assert file["X"].shape == (len(np.load(folder / "y.npy")), 3) == (9000, 3)
