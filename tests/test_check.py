"""The check of a config's gradient: it passes what is right, finds what is wrong, and knows a kink
from a fault."""

import numpy as np
import pytest
from running import ADAM, ONE_NET
from scipy import sparse

import minnet.core.network as network
from minnet import cli, data, runs, training
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from minnet.core.activations import ACTIVATIONS, relu
from minnet.core.network import MLP
from minnet.core.softmax import OUTPUT_GRADIENTS, softmax_vjp
from minnet.data import Part
from minnet.study import check as checks
from minnet.study.check import check, lines
from minnet.study.mistakes import Change, swapped

D, K, N = 4, 3, 6
X = np.random.default_rng(0).normal(size=(N, D))
y = np.array([0, 2, 1, 1, 0, 2])
ROW_OF_ZEROS = X * (np.arange(N) != 3)[:, None]


def made(X=X, y=y, class_weight=None, optimizer=None, train=None, **model):
    """A prepared run with these training rows, its net small and in float64 unless `model` says
    otherwise."""
    config = Config(
        model=ModelConfig(
            **{"hidden": [6, 5], "activation": "tanh", "dtype": "float64"} | ONE_NET | model
        ),
        optimizer=OptimizerConfig(**ADAM | (optimizer or {})),
        train=TrainConfig(**{"batch_size": 32, "label_smoothing": 0.0} | (train or {})),
    )
    net = training.build(config, X.shape[1], K, class_weight)
    rows = data.Data("rows", None, y, np.arange(K))
    return runs.Prepared(config, rows, None, net, {"train": Part(X.astype(net.dtype), y)})


def errors(report):  # by complex step, by central differences, and in the net's own dtype
    return [max(group.errors[i] for group in report.groups) for i in range(3)]


def faults(report):
    return {group.name for group in report.groups if group.fault}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_passes_whatever_the_size_of_the_inputs(activation):
    report = check(made(activation=activation, hidden=[12, 10, 8]))
    by_complex, by_central, _ = errors(report)
    assert report.ok and not report.kinks
    assert by_complex < 1e-13 and by_central < 1e-7 and report.error < 1e-13
    assert [group.name for group in report.groups] == [f"{g}{l}" for l in range(1, 5) for g in "Wb"]
    assert all(check(made(X * largest, activation=activation)).ok for largest in (1e4, 1e9))


SETTINGS = {
    "no hidden layer": {"hidden": []},
    "dropout": {"dropout": 0.4},
    "penalty": {"optimizer": {"weight_decay": 0.1}},
    "decay apart": {"optimizer": {"name": "adamw", "weight_decay": 0.1}},
    "smoothing": {"train": {"label_smoothing": 0.2}},
    "class weight": {"class_weight": np.array([0.5, 3.0, 1.0])},
    "one row": {"train": {"batch_size": 1}},
    "sparse": {"X": sparse.random(N, 30, 0.2, "csr", random_state=0), "dropout": 0.2},
    **{method: {"output_gradient": method} for method in OUTPUT_GRADIENTS},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_of_a_config_passes_and_counts(setting):
    report = check(made(**SETTINGS[setting]))
    assert report.ok and errors(report)[0] < 1e-13
    assert all(group.largest > 0 and group.checked == group.entries for group in report.groups)
    if setting in ("dropout", "penalty", "smoothing", "class weight"):
        assert abs(report.measured - check(made()).measured) > 1e-3


def test_a_float32_net_is_compared_with_the_float64_measurement_over_the_first_rows():
    report = check(made(dtype="float32"))
    by_complex, _, own = errors(report)
    assert report.ok and by_complex < 1e-13 and 1e-8 < own < 1e-5
    many = made(np.tile(X, (10, 1)), np.tile(y, 10))
    assert [check(run).rows for run in (many, made(train={"batch_size": 4}))] == [32, 4]


def test_differences_take_small_steps_for_large_inputs_and_may_be_off_by_rounding():
    run = made(X * 1e4)
    run.net.weights[0][:] /= 1e4  # so that no unit is saturated
    assert check(run).ok
    run = made(hidden=[8] * 6)
    theta = run.net.theta
    theta[:] = np.random.default_rng(7).normal(0, 5, theta.size)  # a rough surface and a large loss
    report = check(run)
    assert report.ok and errors(report)[0] < 1e-10


def test_a_batch_without_weight_passes():
    assert check(made(class_weight=np.array([0.0, 1.0, 1.0]), train={"batch_size": 1})).ok


def test_a_wrong_slope_is_found_below_its_layer_and_a_wrong_dz_in_every_group():
    with swapped(Change(relu, "np.greater(a, 0,", "np.multiply(1.001, a > 0,")):
        report = check(made(activation=["tanh", "relu"]))
    assert faults(report) == {"W1", "b1", "W2", "b2"} and report.error > 1e-6
    with swapped(Change(softmax_vjp, "(dp - mean_dp)", "(dp - mean_dp + 1e-3)")):
        report = check(made())
    assert len(faults(report)) == 6 and report.error > 1e-6


def spoiled(code):
    """What MLP.backward returns is changed by this code."""
    done = "return self.dtheta"
    return swapped(Change(MLP.backward, done, f"{code}\n    {done}"))


def test_a_mistake_is_found_in_the_groups_that_it_makes_wrong_and_by_either_method(monkeypatch):
    with spoiled("for layer in self.layers: layer.db *= 0.5"):
        report = check(made())
    assert faults(report) == {"b1", "b2", "b3"} and report.error > 1e-3
    assert "the gradient is WRONG in b1, b2, b3:" in lines(report)[-1]
    right = MLP.penalty  # what complex step cannot see, differences do
    monkeypatch.setattr(MLP, "penalty", lambda net: np.real(right(net)))
    with swapped(Change(MLP.backward, "if self.l2:", "if False:")):
        report = check(made(**SETTINGS["penalty"]))
    assert errors(report)[0] < 1e-13 and report.error < 1e-13
    assert faults(report) == {"W1", "W2", "W3"}
    assert "by central differences" in report.groups[0].fault


def test_a_fault_names_its_entry_with_both_values():
    with spoiled("self.dtheta[2 * 6 + 3] = 0.25"):
        report = check(made())
    fault = report.groups[0].fault
    assert faults(report) == {"W1"} and fault.startswith("W1[2, 3] is ")
    assert fault.endswith("by complex step, but 2.500000e-01 as derived")
    assert f"FAULT: {fault}" in lines(report)


def test_a_mistake_that_only_one_dtype_makes_is_found():
    with spoiled("self.dtheta *= 2 if self.dtype == np.float32 else 1"):
        assert check(made()).ok
        report = check(made(dtype="float32"))
    assert "as derived in float32" in report.groups[0].fault and report.error < 1e-13
    assert "float32 loses it" in " ".join(lines(report)[-2:])


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_a_gradient_that_is_not_finite_never_passes(bad):
    with spoiled(f"self.dtheta[7] = np.{bad}"):
        report = check(made())
    assert not report.ok and report.groups[0].fault.startswith("W1[1, 1] is ")


def kinked(activation, at, **options):
    """One hidden layer, where unit 4 of row 3 has a = `at`."""
    run = made(hidden=[6], activation=activation, **options)
    run.net.biases[0][4] -= X[3] @ run.net.weights[0][:, 4] - at
    return run


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_kink_is_named_and_no_fault(activation):
    report = check(kinked(activation, 1e-7))  # within the step of differences
    assert report.ok and errors(report)[0] < 1e-13 and errors(report)[1] < 1e-7
    unit = "layer 1, unit 4 of row 3 has a = 1.0e-07, within the step of "
    assert report.kinks[-1] == f"{unit}b1[4]" and f"{unit}W1[0, 4]" in report.kinks
    assert [group.kinks for group in report.groups] == [4, 1, 0, 0]
    run = made(ROW_OF_ZEROS, activation=activation, hidden=[6])  # exactly at it
    theta, report = run.net.theta.copy(), check(run)
    assert report.ok and report.error < 1e-13 and errors(report)[0] < 1e-13
    moved = "has a = 0: all biases moved by about 0.001"
    assert report.kinks[:6] == [f"layer 1, unit {i} of row 3 {moved}" for i in range(6)]
    np.testing.assert_array_equal(run.net.theta, theta)
    assert lines(report)[-2] == "and 3 more" and lines(report)[-3].startswith("kink: ")


def test_a_unit_that_float32_rounds_onto_its_kink_is_no_fault():
    run = made(X[3:4], y[3:4], hidden=[1], activation="relu", dtype="float32")
    run.net.biases[0][:] -= X[3] @ run.net.weights[0][:, 0] - 2e-6
    coarse = "np.matmul(h1, layer.Wb, out=a)"
    rounded = f"{coarse}\n        a.dtype == np.float32 and np.round(a, 5, out=a)"
    with swapped(Change(network.affine, coarse, rounded)):
        report = check(run)
    assert report.ok and errors(report)[2] > 0.9


def test_smooth_activations_have_no_kinks_and_a_fault_does_not_hide_behind_one():
    report = check(made(np.zeros((N, D)), activation="gelu"))
    assert report.ok and not report.kinks
    with spoiled(f"self.dtheta[{D * 6 + 2}] = 0.25"):
        report = check(made(ROW_OF_ZEROS, activation="relu", hidden=[6]))
    assert faults(report) == {"b1"} and report.groups[1].fault.startswith("b1[2] is ")


def test_of_a_large_net_a_sample_is_measured_the_same_each_time(monkeypatch):
    monkeypatch.setattr(checks, "WORK", 20_000_000)
    run = made(hidden=[100, 50])
    first, second = check(run), check(run)
    assert first.groups == second.groups and first.error == second.error
    checked = sum(group.checked for group in first.groups)
    assert first.ok and checked >= 6
    assert checked * (run.net.theta.size * N + checks.CALLS) <= 20_000_000


def test_a_sample_holds_the_largest_derivatives_and_stays_in_its_group():
    dtheta = np.random.default_rng(1).normal(size=1000)
    dtheta[[205, 777]] = -9, 9
    entries = checks._sample(np.arange(200, 800), dtheta, 40)
    assert {205, 777} <= set(entries.tolist()) and 30 < len(entries) <= 40
    assert entries.min() >= 200 and entries.max() < 800
    assert checks._sample(np.arange(800, 804), dtheta, 40).tolist() == [800, 801, 802, 803]


def test_what_no_sample_meets_shows_along_the_direction(monkeypatch):
    monkeypatch.setattr(checks, "WORK", 0)
    run = made(hidden=[50], activation="relu")
    place = int(np.abs(run.net.loss_and_gradient(X, y)[1][:200]).argmin())

    with spoiled(f"self.dtheta[{place}] += 1e-6"):
        report = check(run)
    assert [group.checked for group in report.groups] == [1, 1, 1, 1]
    assert not faults(report) and not report.ok and report.error > 1e-7
    assert "WRONG in what was not measured one by one" in lines(report)[-1]


def test_lines_fit_100_columns_and_are_plain_unless_coloured():
    weights = {"a label of some length": 1.0} | {str(k): 0.125 for k in range(20)}
    run = made(ROW_OF_ZEROS, activation="relu", dtype="float32", train={"class_weight": weights})
    with spoiled("self.dtheta[3] = 0.25"):
        reports = [check(made()), check(run)]
    for report in [*reports, check(run)]:
        plain, coloured = lines(report), lines(report, colour=True)
        assert max(map(len, plain)) <= 100 and "\x1b" not in "".join(plain)
        assert coloured[-1] == f"\x1b[{32 if report.ok else 31}m{plain[-1]}\x1b[0m"
        assert ("right" if report.ok else "WRONG") in plain[-1] + plain[-2]


def test_the_report_says_what_was_checked():
    options = {"optimizer": {"weight_decay": 0.5}, "train": {"label_smoothing": 0.2}}
    run = made(dropout=0.25, output_gradient="jacobian", **options)
    first, second, *_ = lines(check(run))
    assert first == "rows, the first 6 training rows, through 4-6-5-3 tanh in float64"
    masks = "dropout 0.25 (masks held), l2 0.5, label smoothing 0.2"
    assert second.startswith(f"output gradient jacobian, {masks}")
    apart = " ".join(lines(check(made(**SETTINGS["decay apart"])))[:2])
    assert "l2 0 (adamw's decay, 0.1, is not in L)" in apart


def test_of_members_the_first_is_checked_and_that_is_said(capsys):
    assert cli.main(["check", "wine", "model.members=3"]) == 0
    many = capsys.readouterr().out.splitlines()
    assert cli.main(["check", "wine"]) == 0
    one = capsys.readouterr().out.splitlines()
    assert many[0] == f"{one[0]}, the first of 3 members" and many[1:] == one[1:]


def test_the_command_checks_a_config_and_its_exit_code_is_the_verdict(capsys):
    arguments = ["check", "wine", "model.hidden=[5]", "train.class_weight=balanced"]
    assert cli.main(arguments) == 0
    heading = "wine, the first 8 training rows, through 13-5-3 relu in float32\n"
    assert capsys.readouterr().out.startswith(heading)
    with spoiled("self.dtheta *= 2"):
        assert cli.main(arguments) == 1
