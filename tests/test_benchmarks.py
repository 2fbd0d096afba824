"""The benchmarks: all peers do the same work, and the report says what was measured."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import jobs, nets, peers, report

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


def test_the_report_has_a_row_for_each_net_and_the_target_beside_the_figure():
    answers = {
        (net, peer): [{"us": us, "loss": 0.5}]
        for net in nets.NETS
        for peer, us in (("floor", 10), ("minnet", 30), ("scikit-learn", 150))
    }
    answers |= {("iris, 2 epochs", peer): [{"us": 30_000, "loss": 0.5}] for peer in ("minnet", "scalar")}
    text = report.markdown({"steps": answers}, {"processor": "abacus"})
    assert "- processor: abacus" in text
    for case in nets.NETS.values():
        assert f"| {case.name} | 10.0 (10.0-10.0) | 30.0 (30.0-30.0) | 150 (150-150) |" in text
    assert "| 64-64-10, batch 32 | 3.00 (≤ 2.9) | 5.00 (≥ 4.5) |" in text
    assert "30 ms a step,\n1,000 times as long" in text


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (3.6e9, "3.6 GB")])
def test_bytes_are_readable(n, text):
    assert report._bytes(n) == text
