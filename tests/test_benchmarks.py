"""The benchmarks: all peers do the same work, and the report says what was measured."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import __main__ as benchmarks
from benchmarks import cold, jobs, nets, peers, report

SMALL = nets.Net((4, 16, 3), 16, 144, 2)


@pytest.mark.parametrize("peer", ["minnet", "scalar"])
def test_a_peer_ends_with_the_weights_of_adam_written_out(peer):
    """Adam on softmax cross-entropy, in float64 and from the formulas, on the same batches."""
    X, y = nets.data(SMALL)
    (W1, b1), (W2, b2) = ((W.astype(np.float64), b.astype(np.float64)) for W, b in nets.weights(SMALL))
    parameters = [W1, b1, W2, b2]
    m, v = ([np.zeros_like(w) for w in parameters] for _ in range(2))
    batches = [rows for order in nets.orders(SMALL, 2) for rows in order]
    for t, rows in enumerate(batches, start=1):
        h = np.maximum(X[rows] @ W1 + b1, 0)
        p = np.exp(h @ W2 + b2)
        dz = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[y[rows]]) / len(rows)
        da = dz @ W2.T * (h > 0)
        gradients = [X[rows].T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]
        for w, g, m_w, v_w in zip(parameters, gradients, m, v, strict=True):
            m_w += 0.1 * (g - m_w)
            v_w += 0.001 * (g * g - v_w)
            w -= nets.LEARNING_RATE * m_w / (1 - 0.9**t) / (np.sqrt(v_w / (1 - 0.999**t)) + 1e-8)
    _, trained = peers.PEERS[peer](SMALL, 2)
    for (W, b), W_expected, b_expected in zip(trained, parameters[::2], parameters[1::2], strict=True):
        np.testing.assert_allclose(W, W_expected, atol=1e-5)
        np.testing.assert_allclose(b, b_expected, atol=1e-5)


def test_scikit_learn_goes_on_from_the_same_weights():
    """Its order is its own, so that only the loss can be held beside minnet's."""
    net = nets.NETS["iris"]
    losses = [nets.loss(net, peers.PEERS[peer](net, 20)[1]) for peer in ("minnet", "scikit-learn")]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    start = peers.sklearn_classifier(net)
    for W, (W_expected, _) in zip(start.coefs_, nets.weights(net), strict=True):
        np.testing.assert_array_equal(W, W_expected)


def test_each_order_holds_every_row_once():
    for order in nets.orders(SMALL, 3):
        assert order.shape == (9, 16)
        np.testing.assert_array_equal(np.sort(order.ravel()), np.arange(144))


def test_the_roads_are_measured_in_time_and_memory():
    jacobian, vjp = (jobs.road(road, K=100) for road in ("jacobian", "vjp"))
    assert jacobian["us"] > 0
    assert jacobian["bytes"] > 4 * 100 * 100 * 4 > vjp["bytes"] > 0


def test_a_step_is_measured_with_its_loss():
    answer = jobs.train("minnet", "iris", epochs=1)
    assert answer["us"] > 0
    assert 0 < answer["loss"] < 2


def test_a_ratio_is_the_median_of_the_turns_and_the_other_way_round_for_the_floor():
    answers = {
        ("iris", "minnet"): [{"us": 10}, {"us": 20}, {"us": 10}],
        ("iris", "scikit-learn"): [{"us": 50}, {"us": 80}, {"us": 60}],
        ("iris", "floor"): [{"us": 5}, {"us": 5}, {"us": 4}],
    }
    assert report._ratio(answers, "iris", "scikit-learn") == 5
    assert report._ratio(answers, "iris", "floor") == pytest.approx(2.5)


def invented_steps(times: dict[str, float]) -> dict:
    """One turn of `steps`, in which a peer takes the same time on every net."""
    answers = {(net, peer): [{"us": us, "loss": 0.5}] for net in nets.NETS for peer, us in times.items()}
    return answers | {("iris, 2 epochs", peer): [{"us": 30_000, "loss": 0.5}] for peer in ("minnet", "scalar")}


def invented_growth() -> dict:
    """Two turns of `growth`; of 63 rows, one batch of 32 is trained."""
    by_rows = {("63 rows", "minnet"): [{"seconds": 64e-6, "rows": 32}, {"seconds": 128e-6, "rows": 32}]}
    return by_rows | {("2048 units", "minnet"): [{"us": 1000}, {"us": 3000}]}


def invented_roads() -> dict:
    """Three turns of `roads`."""
    return {(road, 10): [{"us": us, "bytes": 1500} for us in (7, 5, 6)] for road in ("jacobian", "vjp")}


def test_the_report_has_a_row_for_each_net_and_the_target_beside_the_figure():
    answers = invented_steps({"floor": 10, "minnet": 30, "scikit-learn": 150})
    text = report.markdown({"steps": answers}, {"processor": "abacus"})
    assert "- processor: abacus" in text
    for case in nets.NETS.values():
        assert f"| {case.name} | 10.0 (10.0-10.0) | 30.0 (30.0-30.0) | 150 (150-150) |" in text
    assert "| 64-64-10, batch 32 | 3.00 (≤ 2.9) | 5.00 (≥ 4.5) |" in text
    assert "30 ms a step,\n1,000 times as long" in text
    assert "median of one turn" in text


@pytest.mark.parametrize(
    ("times", "missed"),
    [
        (
            {"floor": 10, "minnet": 30, "scikit-learn": 150, "PyTorch": 600},
            "4-16-3, batch 16 beside scikit-learn; 64-64-10, batch 32 beside floor; 784-256-128-10, batch 128 beside"
            " floor; 784-1024-1024-10, batch 512 beside floor",
        ),
        (
            {"floor": 10, "minnet": 12, "scikit-learn": 30},
            "4-16-3, batch 16 beside scikit-learn; 64-64-10, batch 32 beside scikit-learn",
        ),
        ({"floor": 10, "minnet": 12.5, "scikit-learn": 81.25}, "nothing"),
    ],
)
def test_the_report_names_the_targets_that_were_not_reached(times, missed):
    """A target of the floor is a largest time, the others are smallest ratios; just reached is reached."""
    assert f"\nNot reached: {missed}.\n" in report.steps(invented_steps(times))


def test_fits_have_a_row_for_each_dtype_with_ratio_and_target():
    answers = {(name, "minnet"): [{"us": 10, "loss": 0.5}] for name in [*report.FIT_TARGETS, "digits float64"]}
    answers |= {(name, "scikit-learn"): [{"us": 46, "loss": 0.25}] for name, _ in list(answers)}
    text = report.fits(answers)
    assert "| 64-64-10, batch 32, float32 | 10.0 (10.0-10.0) | 46.0 (46.0-46.0) | 4.60 (≥ 4.5) | 0.5 | 0.25 |" in text
    assert "| 64-64-10, batch 32, float64 | 10.0 (10.0-10.0) | 46.0 (46.0-46.0) | 4.60 | 0.5 | 0.25 |" in text
    assert text.endswith("Not reached: iris float32.")


@pytest.mark.parametrize("peer", ["minnet", "scikit-learn"])
def test_a_fit_is_measured_with_its_loss(peer):
    answer = jobs.fit(peer, "iris", "float32")
    assert answer["us"] > 0
    assert 0 < answer["loss"] < 0.6


def test_growth_is_by_the_rows_that_were_trained():
    text = report.growth(invented_growth())
    assert "Median of 2 turns" in text
    assert "| 63 | 3.00 (2.00-4.00) |" in text
    assert "| 2,048 | 2,000 (1,000-3,000) |" in text
    assert jobs.rows("minnet", n=63)["rows"] == 32


def test_roads_have_time_and_memory():
    text = report.roads(invented_roads())
    assert "median of 3 turns" in text
    assert "| 10 | 6 µs, 1.5 kB | 6 µs, 1.5 kB |" in text


def test_predicting_is_in_rows_a_second():
    text = report.predict({("digits", "minnet"): [{"rows": 1e6}, {"rows": 2e6}, {"rows": 4e6}]})
    assert "median of 3 turns" in text
    assert "| 64-64-10 | 2,000,000 |" in text


def test_whole_processes_have_seconds_memory_accuracy_and_epochs():
    answers = {
        report.COMMAND: [{"seconds": 1.75, "bytes": 2e8, "printed": ""}] * 2,
        "import numpy": [{"seconds": 0.1, "bytes": 3e7, "printed": ""}] * 2,
        report.DATA_SETS: [{"seconds": 1.5, "bytes": 1e8, "printed": ""}] * 2,
    }
    for peer, seconds in (("minnet", 2), ("JAX", 3)):
        answers["digits", peer] = [
            {"seconds": seconds, "bytes": 1e8, "accuracy": 0.972, "epochs": epochs} for epochs in (9, 4)
        ]
        answers["iris", peer] = [{"seconds": 5 - seconds, "bytes": 1e8, "accuracy": 0.86, "epochs": 100}] * 2
    text = report.processes(answers)
    assert "median of 2 turns" in text
    assert "| `import numpy` | 0.10 (0.10-0.10) | 30 MB |" in text
    assert "takes 0.25 s more than the import" in text
    assert "| 64-64-10, batch 32 | 2.00 (2.00-2.00) s, 100 MB, 0.972 after 4-9 |" in text
    assert "| 4-16-3, batch 16 | 3.00 (3.00-3.00) s, 100 MB, 0.860 after 100 |" in text
    assert "Ahead of minnet: JAX on 4-16-3, batch 16." in text


def test_the_picture_is_drawn_and_has_no_spaces_at_the_ends_of_its_lines(tmp_path):
    pytest.importorskip("matplotlib")
    results = {"steps": invented_steps({"minnet": 30}), "growth": invented_growth(), "roads": invented_roads()}
    report.picture(results, tmp_path / "results.svg")
    lines = (tmp_path / "results.svg").read_text(encoding="utf-8").split("\n")
    assert lines[-2:] == ["</svg>", ""]
    assert all(line == line.rstrip() for line in lines)


def test_a_run_that_writes_asks_for_matplotlib_before_it_starts(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks, "CASES", {})
    monkeypatch.setattr(benchmarks.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    with pytest.raises(SystemExit):
        benchmarks.main()
    assert 'the picture needs matplotlib: pip install -e ".[bench]"' in capsys.readouterr().err


def test_a_process_is_measured_without_the_memory_of_the_one_that_asks():
    """This one, with its numpy, is several times as large as a Python that does nothing."""
    answer = benchmarks.launch("nothing", ["-c", "print('done')"])
    assert answer["printed"] == "done"
    assert answer["seconds"] > 0
    assert answer["bytes"] < 2.5e7


def test_a_cold_start_trains_the_net_that_its_row_is_named_after():
    assert {net: (case.sizes, case.batch) for net, case in cold.CASES.items()} == {
        net: (case.sizes, case.batch) for net, case in nets.NETS.items()
    }


def test_a_cold_start_ends_once_the_goal_is_reached(monkeypatch):
    monkeypatch.setitem(cold.PEERS, "steady", lambda *arguments: iter((0.9, 0.96, 0.97, 0.99)))
    assert cold.run("steady", "digits", 0) == (0.97, 3)
    assert cold.run("steady", "iris", 0) == (0.99, 4)


@pytest.mark.parametrize("peer", ["minnet", "scikit-learn"])
def test_a_cold_start_reaches_97_percent_of_the_digits(peer):
    accuracy, epochs = cold.run(peer, "digits", 1)
    assert 0.97 <= accuracy <= 1
    assert epochs < 100


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (3.6e9, "3.6 GB")])
def test_bytes_are_readable(n, text):
    assert report._bytes(n) == text
