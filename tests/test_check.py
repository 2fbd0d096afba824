"""The check of a config's gradient: it passes what is right, finds what is wrong, and knows a kink from a fault."""

import numpy as np
import pytest
from scipy import sparse

import minnet.core.network as network
import minnet.core.softmax as softmax
from minnet import experiment, training
from minnet.batches import Part
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig, load
from minnet.core.activations import ACTIVATIONS
from minnet.core.softmax import ROADS
from minnet.data import Dataset
from minnet.experiment import Experiment
from minnet.features import Features
from minnet.study import check as checks
from minnet.study.check import check, lines

D, K, N = 4, 3, 6
X = np.random.default_rng(0).normal(size=(N, D))
y = np.array([0, 2, 1, 1, 0, 2])


def made(X=X, y=y, class_weight=None, optimizer=None, train=None, **model):
    """An experiment with these training rows, its net small and in float64 unless `model` says otherwise."""
    config = Config(
        model=ModelConfig(**{"hidden": [6, 5], "activation": "tanh", "dtype": "float64"} | model),
        optimizer=OptimizerConfig(**optimizer or {}),
        train=TrainConfig(**train or {}),
    )
    net = training.build(config, X.shape[1], K, class_weight)
    X1 = sparse.csr_matrix(X) if sparse.issparse(X) else np.hstack([X, np.ones((len(X), 1))])
    dataset = Dataset("rows", X, y, np.arange(K), [])
    nothing, zeros, ones = (np.full(X.shape[1], value) for value in (np.nan, 0.0, 1.0))
    features = Features([], nothing, zeros, ones)
    return Experiment(config, dataset, features, net, {"train": Part(X1.astype(net.dtype), y)})


def errors(report):
    """The largest error by complex step, by central differences and in the net's own dtype."""
    return [max(group.errors[i] for group in report.groups) for i in range(3)]


def faults(report):
    return {group.name for group in report.groups if group.fault}


# What is right


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [[12], [12, 10, 8]])
def test_every_activation_passes_at_two_depths(activation, hidden):
    report = check(made(activation=activation, hidden=hidden))
    by_complex, by_central, _ = errors(report)
    assert report.ok and not report.kinks
    assert by_complex < 1e-13 and by_central < 1e-7 and report.error < 1e-13
    assert [group.name for group in report.groups] == [f"{g}{l}" for l in range(1, len(hidden) + 2) for g in "Wb"]


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": []},
        {"activation": ["relu", "gelu"]},
        {"dropout": 0.4},
        {"optimizer": {"weight_decay": 0.1}},
        {"optimizer": {"name": "adamw", "weight_decay": 0.1}},
        {"train": {"label_smoothing": 0.2}},
        {"class_weight": np.array([0.5, 3.0, 1.0])},
        {"train": {"batch_size": 1}},
        {"X": sparse.random(N, 30, 0.2, "csr", random_state=0), "dropout": 0.2},
        *({"output_gradient": road} for road in ROADS),
    ],
    ids=lambda options: str(next(iter(options.values())))[:30],
)
def test_every_setting_of_a_config_passes_and_counts(options):
    report = check(made(**options))
    assert report.ok and errors(report)[0] < 1e-13
    assert all(group.largest > 0 and group.checked == group.entries for group in report.groups)


@pytest.mark.parametrize("setting", ["dropout", "penalty", "smoothing", "weight"])
def test_what_is_measured_has_the_setting_in_it(setting):
    options = {
        "dropout": {"dropout": 0.4},
        "penalty": {"optimizer": {"weight_decay": 0.1}},
        "smoothing": {"train": {"label_smoothing": 0.2}},
        "weight": {"class_weight": np.array([0.5, 3.0, 1.0])},
    }[setting]
    assert abs(check(made(**options)).measured - check(made()).measured) > 1e-3


def test_a_float32_net_is_held_against_the_float64_measurement():
    report = check(made(dtype="float32"))
    by_complex, _, own = errors(report)
    assert report.ok and by_complex < 1e-13 and 1e-8 < own < 1e-5


def test_only_the_first_rows_of_the_training_part_are_used():
    many = made(np.tile(X, (10, 1)), np.tile(y, 10))
    assert check(many).rows == 32
    assert check(made(train={"batch_size": 4})).rows == 4
    assert check(made()).rows == N


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("largest", [1e4, 1e9])
def test_inputs_that_nobody_scaled_are_no_faults(activation, largest):
    assert check(made(X * largest, activation=activation)).ok


def test_differences_take_a_smaller_step_where_inputs_are_large():
    run = made(X * 1e4)
    run.net.weights[0][:] /= 1e4  # so that no unit is saturated
    assert check(run).ok


def test_differences_are_forgiven_what_rounding_the_loss_takes():
    run = made(hidden=[8] * 6)
    run.net.theta[:] = np.random.default_rng(7).normal(0, 5, run.net.theta.size)  # the surface is rough, its loss large
    report = check(run)
    assert report.ok and errors(report)[0] < 1e-10


def test_a_batch_without_weight_passes():
    assert check(made(class_weight=np.array([0.0, 1.0, 1.0]), train={"batch_size": 1})).ok


def test_a_real_config_passes():
    run = experiment.prepare(load(None, ["data.source=wine", "model.hidden=[5]", "train.class_weight=balanced"]))
    report = check(run)
    assert report.ok
    assert lines(report)[0] == "wine, the first 32 training rows, through 13-5-3 relu in float32"


# What is wrong


def times(slope, factor):
    def wrong_slope(a, h, out, scratch):
        slope(a, h, out, scratch)
        np.multiply(out, factor, out=out)

    return wrong_slope


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_wrong_slope_is_found_below_its_layer_and_along_the_direction(monkeypatch, activation):
    right = ACTIVATIONS[activation]
    monkeypatch.setitem(network.ACTIVATIONS, activation, right._replace(slope=times(right.slope, 1.001)))
    other = "logistic" if activation == "tanh" else "tanh"
    report = check(made(activation=[other, activation]))
    assert not report.ok and report.error > 1e-6
    assert faults(report) == {"W1", "b1", "W2", "b2"}
    assert "W3" not in lines(report)[-1]


def test_a_wrong_product_with_the_jacobian_is_found_in_every_group(monkeypatch):
    right = softmax.softmax_vjp

    def not_centred(p, dp, out=None, mean_dp=None):
        dz = right(p, dp, out, mean_dp)
        return np.add(dz, 1e-3 * p, out=dz)

    monkeypatch.setattr(softmax, "softmax_vjp", not_centred)
    report = check(made())
    assert faults(report) == {"W1", "b1", "W2", "b2", "W3", "b3"} and report.error > 1e-6
    assert check(made(output_gradient="fused")).ok


def test_a_wrong_linear_layer_is_found_in_the_groups_that_it_makes(monkeypatch):
    right = network._affine_transposed

    def forgets_half_of_db(h1, da, out):
        right(h1, da, out)
        out[-1] /= 2

    monkeypatch.setattr(network, "_affine_transposed", forgets_half_of_db)
    report = check(made())
    assert faults(report) == {"b1", "b2", "b3"} and report.error > 1e-3
    assert "the gradient is WRONG in b1, b2, b3:" in lines(report)[-1]


def test_a_penalty_forgotten_in_backward_is_found_in_the_weights_only(monkeypatch):
    monkeypatch.setattr(network.MLP, "_add_penalty_gradient", lambda net: None)
    assert faults(check(made(optimizer={"weight_decay": 0.1}))) == {"W1", "W2", "W3"}


def wrong_in_one(monkeypatch, place):
    """Makes one entry of dW1 wrong."""
    right = network.MLP.backward

    def backward(net, dlogp, ws):
        dtheta = right(net, dlogp, ws)
        dtheta[place] = 0.25
        return dtheta

    monkeypatch.setattr(network.MLP, "backward", backward)


def test_a_fault_names_its_entry_with_both_values(monkeypatch):
    wrong_in_one(monkeypatch, 2 * 6 + 3)
    report = check(made())
    fault = report.groups[0].fault
    assert faults(report) == {"W1"}
    assert fault.startswith("W1[2, 3] is ") and fault.endswith("by complex step, but 2.500000e-01 as derived")
    assert f"FAULT: {fault}" in lines(report)


def test_a_mistake_that_only_one_dtype_makes_is_found(monkeypatch):
    right = network.MLP.backward

    def backward(net, dlogp, ws):
        dtheta = right(net, dlogp, ws)
        return np.multiply(dtheta, 2 if net.dtype == np.float32 else 1, out=dtheta)

    monkeypatch.setattr(network.MLP, "backward", backward)
    assert check(made()).ok
    report = check(made(dtype="float32"))
    assert "as derived in float32" in report.groups[0].fault and report.error < 1e-13
    assert "float32 loses it" in " ".join(lines(report)[-2:])


def test_what_complex_step_cannot_see_differences_do(monkeypatch):
    right = network.MLP.penalty
    monkeypatch.setattr(network.MLP, "penalty", lambda net: np.real(right(net)))
    monkeypatch.setattr(network.MLP, "_add_penalty_gradient", lambda net: None)
    report = check(made(optimizer={"weight_decay": 0.1}))
    assert errors(report)[0] < 1e-13 and report.error < 1e-13
    assert faults(report) == {"W1", "W2", "W3"} and "by central differences" in report.groups[0].fault


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_never_passes(monkeypatch, bad):
    right = network.MLP.backward
    monkeypatch.setattr(network.MLP, "backward", lambda *args: np.add(right(*args), bad))
    report = check(made())
    assert not report.ok and len(faults(report)) == len(report.groups)


# Kinks


def kinked(activation, at, dtype="float64"):
    """One hidden layer, where unit 4 of row 3 has a = `at`."""
    run = made(hidden=[6], activation=activation, dtype=dtype)
    run.net.biases[0][4] -= X[3] @ run.net.weights[0][:, 4] - at
    return run


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_kink_within_the_step_of_differences_is_named_and_no_fault(activation):
    report = check(kinked(activation, 1e-7))
    assert report.ok and errors(report)[0] < 1e-13
    kinks = [f"layer 1, unit 4 of row 3 has a = 1.0e-07, within the step of {j}" for j in ("W1[0, 4]", "b1[4]")]
    assert kinks[0] in report.kinks and report.kinks[-1] == kinks[1]
    assert [group.kinks for group in report.groups] == [4, 1, 0, 0]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_unit_exactly_at_its_kink_is_named_and_no_fault(activation):
    rows = X.copy()
    rows[3] = 0
    report = check(made(rows, activation=activation, hidden=[6]))
    assert report.ok and report.moved and report.error < 1e-13
    assert report.groups[1].kinks == 6  # all of b1 move a unit of row 3; W1, whose x is 0 there, moves none
    assert report.kinks[0] == "layer 1, unit 0 of row 3 has a = 0, moved by b1[0]"


def test_a_unit_that_float32_rounds_onto_its_kink_is_no_fault(monkeypatch):
    right = network._affine

    def coarse(h1, Wb, out):
        right(h1, Wb, out)
        if out.dtype == np.float32:
            np.round(out, 5, out=out)

    monkeypatch.setattr(network, "_affine", coarse)
    run = made(X[3:4], y[3:4], hidden=[1], activation="relu", dtype="float32")
    run.net.biases[0][:] -= X[3] @ run.net.weights[0][:, 0] - 2e-6
    report = check(run)
    assert report.ok and errors(report)[2] > 0.9


def test_smooth_activations_have_no_kinks():
    report = check(made(np.zeros((N, D)), activation="gelu"))
    assert report.ok and not report.kinks and not report.moved


def test_a_fault_does_not_hide_behind_a_kink(monkeypatch):
    rows = X.copy()
    rows[3] = 0
    wrong_in_one(monkeypatch, D * 6 + 2)
    report = check(made(rows, activation="relu", hidden=[6]))
    assert faults(report) == {"b1"} and report.error > 1e-6
    assert report.groups[1].fault.startswith("b1[2] is ")


# Large nets


def test_of_a_large_net_a_sample_is_measured_the_same_each_time(monkeypatch):
    monkeypatch.setattr(checks, "WORK", 20_000_000)
    run = made(hidden=[100, 50])
    first, second = check(run), check(run)
    assert first.groups == second.groups and first.error == second.error
    P, checked = run.net.theta.size, sum(group.checked for group in first.groups)
    assert first.ok and 6 <= checked < P / 10
    assert checked * (P * N + checks.CALLS) <= 20_000_000


def test_a_sample_holds_the_largest_derivatives_and_stays_in_its_group():
    dtheta = np.random.default_rng(1).normal(size=1000)
    dtheta[[205, 777]] = -9, 9
    entries = checks._sample(checks._Span("W2", 200, (20, 30)), dtheta, 40)
    assert {205, 777} <= set(entries.tolist()) and 30 < len(entries) <= 40
    assert entries.min() >= 200 and entries.max() < 800
    assert checks._sample(checks._Span("b2", 800, (4,)), dtheta, 40).tolist() == [800, 801, 802, 803]


def test_what_no_sample_meets_shows_along_the_direction(monkeypatch):
    monkeypatch.setattr(checks, "WORK", 0)
    run = made(hidden=[50], activation="relu")
    place = int(np.abs(run.net.loss_and_gradient(X, y)[1][:200]).argmin())
    right = network.MLP.backward

    def backward(net, dlogp, ws):
        dtheta = right(net, dlogp, ws)
        dtheta[place] += 1e-6
        return dtheta

    monkeypatch.setattr(network.MLP, "backward", backward)
    report = check(run)
    assert [group.checked for group in report.groups] == [1, 1, 1, 1]
    assert not faults(report) and not report.ok and report.error > 1e-7
    assert lines(report)[-1].startswith("the gradient is WRONG in what was not measured one by one")


# The printed report


def reports(monkeypatch):
    yield check(made(dtype="float32"))
    yield check(kinked("relu", 1e-7))
    yield check(made(np.zeros((N, D)), activation="relu", hidden=[6] * 8))
    table = {"train": {"class_weight": {"a label of some length": 1.0} | {str(k): 0.125 for k in range(20)}}}
    yield check(made(optimizer={"name": "adamw", "weight_decay": 0.1}, **table))
    wrong_in_one(monkeypatch, 3)
    yield check(made())


def test_lines_fit_100_columns_and_are_plain_unless_coloured(monkeypatch):
    for report in reports(monkeypatch):
        plain = lines(report)
        assert max(map(len, plain)) <= 100
        assert "\x1b" not in "".join(plain)
        coloured = lines(report, colour=True)
        assert len(coloured) == len(plain)
        assert coloured[-1] == f"\x1b[{32 if report.ok else 31}m{plain[-1]}\x1b[0m"
        assert ("right" if report.ok else "WRONG") in plain[-1] + plain[-2]


def test_the_report_says_what_was_checked():
    options = {"optimizer": {"weight_decay": 0.5}, "train": {"label_smoothing": 0.2}, "class_weight": np.ones(K)}
    heading = " ".join(lines(check(made(dropout=0.25, output_gradient="jacobian", **options)))[:2])
    for part in ("rows", "4-6-5-3 tanh", "float64", "jacobian", "dropout 0.25 (masks held)", "l2 0.5", "smoothing 0.2"):
        assert part in heading


def test_the_first_three_kinks_are_shown_and_the_rest_counted():
    rows = X.copy()
    rows[3] = 0
    printed = lines(check(made(rows, activation="relu", hidden=[6])))
    assert sum(line.startswith("kink: ") for line in printed) == 3
    assert "and 3 more" in printed
