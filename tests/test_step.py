"""One step of backprop: every number that is printed, worked out anew with plain formulas."""

import ast
import json
import re
import tokenize

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_info

from minnet import config as configs
from minnet import training
from minnet.core.softmax import ROADS
from minnet.errors import ConfigError
from minnet.study import step, subject
from minnet.study.step import PACKAGE, as_data, lines, locations, trace
from minnet.study.subject import Subject
from minnet.study.text import WIDTH

# The activations and their slopes as a book writes them
F = {
    "relu": (lambda a: np.where(a > 0, a, 0), lambda a: np.where(a > 0, 1, 0)),
    "leaky_relu": (lambda a: np.where(a > 0, a, a / 100), lambda a: np.where(a > 0, 1, 0.01)),
    "tanh": (np.tanh, lambda a: 1 / np.cosh(a) ** 2),
    "logistic": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "identity": (lambda a: a, np.ones_like),
}
# relative to the largest number of an array: what rounding may change, and the two kinds of differences with it
TOLERANCE = {"float32": 3e-6, "float64": 3e-14}
OFF = {"float32": (2e-5, 2e-5), "float64": (1e-13, 1e-7)}
SETTINGS = {
    "plain": [],
    "no hidden layer": ["model.hidden=[]"],
    "two hidden layers": ["model.hidden=[6, 5]", 'model.activation=["tanh", "relu"]'],
    "l2": ["optimizer.weight_decay=0.3", "model.activation=logistic"],
    "dropout": ["model.hidden=[9, 8]", "model.dropout=0.4", "train.seed=7", "model.activation=leaky_relu"],
    "label smoothing": ["train.label_smoothing=0.2", "model.activation=identity"],
    "a class weight": ['train.class_weight={"1" = 3.0}'],
    "jacobian": ["model.output_gradient=jacobian"],
    "fused": ["model.output_gradient=fused"],
    "all at once": [
        *("model.hidden=[7, 6, 5]", 'model.activation=["relu", "tanh", "logistic"]', "model.dropout=0.3"),
        *("optimizer.weight_decay=0.1", "train.label_smoothing=0.1", "train.seed=3", "optimizer.name=adam"),
    ],
}


def studied(*overrides, D=4, K=3, steps=1):
    """A subject with random numbers in it, biases too."""
    config = configs.load(None, ["model.hidden=[6]", "optimizer.name=sgd", *overrides])
    weights = training.class_weights(config.train.class_weight, np.arange(K), np.arange(K))
    net, rng = training.build(config, D, K, weights), np.random.default_rng(5)
    net.theta += 0.2 * rng.normal(size=net.theta.size)
    return Subject(config, net, rng.normal(size=(1, D)).astype(net.dtype), 1, "one row", steps)


def friendly(*overrides):
    return subject.friendly(list(overrides))


def flat(traced):
    """The lines of all sections."""
    return [line for section in traced.sections.values() for line in section]


def value(traced, name, which=-1):
    """The value of the line of that name, the last one where there are more."""
    return [line.value for line in flat(traced) if line.name == name][which]


def forward(subject):
    """All of the forward pass, by the names of the notation, from the net's weights and the row alone, in float64."""
    config, net = subject.config, subject.net
    v = {"X": np.asarray(subject.X, float), "y": subject.y}
    for l, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        v[f"W[{l}]"], v[f"b[{l}]"] = W.astype(float), b.astype(float)
    s, keep, K = config.train.label_smoothing, 1 - config.model.dropout, net.layer_sizes[-1]
    rng, last = np.random.default_rng(config.train.seed), len(net.weights) - 1
    kept = v["X"]
    for l in range(last):
        v[f"a[{l}]"] = kept @ v[f"W[{l}]"] + v[f"b[{l}]"]
        v[f"h[{l + 1}]"] = kept = F[net.activation[l]][0](v[f"a[{l}]"])
        if keep < 1:
            v[f"mask[{l + 1}]"] = (rng.random(kept.shape, np.float32) < keep) / keep
            v[f"kept[{l + 1}]"] = kept = kept * v[f"mask[{l + 1}]"]
    v["z"] = kept @ v[f"W[{last}]"] + v[f"b[{last}]"]
    v["shifted"] = v["z"] - v["z"].max()
    v["total"] = np.exp(v["shifted"]).sum(keepdims=True)
    v["p"] = np.exp(v["z"]) / np.exp(v["z"]).sum()
    v["Y"] = (1 - s) * np.eye(K)[[subject.y]] + s / K
    v["l2"] = 0.0 if config.optimizer.name == "adamw" else config.optimizer.weight_decay
    v["penalty"] = v["l2"] / 2 * sum((v[f"W[{l}]"] ** 2).sum() for l in range(last + 1))
    v["L"] = -(v["Y"] * np.log(v["p"])).sum() + v["penalty"]
    return v


def backward(subject, v):
    """All of the backward pass added to the forward one."""
    net, p = subject.net, v["p"][0]
    v["dlogp"], v["dp"] = -v["Y"], -v["Y"] / p
    v["J"] = np.diag(p) - np.outer(p, p)
    v["dz"] = da = v["p"] - v["Y"]
    for l in reversed(range(len(net.weights))):
        h = v["X"] if l == 0 else v.get(f"kept[{l}]", v[f"h[{l}]"])
        v[f"dW[{l}]"], v[f"db[{l}]"] = np.outer(h, da) + v["l2"] * v[f"W[{l}]"], da[0]
        if l > 0:
            v[f"dh[{l}]"] = da @ v[f"W[{l}]"].T * v.get(f"mask[{l}]", 1)
            v[f"slope[{l}]"] = F[net.activation[l - 1]][1](v[f"a[{l - 1}]"])
            v[f"da[{l - 1}]"] = da = v[f"dh[{l}]"] * v[f"slope[{l}]"]
    groups = [v[f"d{name}[{l}]"].ravel() for l in range(len(net.weights)) for name in "Wb"]
    v["dtheta"] = np.concatenate(groups)
    return v


def expected(subject):
    """Every line that a trace should have: (step, name, value); the value None where it is an error to be small."""
    v, net, rate = backward(subject, forward(subject)), subject.net, subject.config.optimizer.learning_rate
    last, dropout, l2 = len(net.weights) - 1, subject.config.model.dropout, v["l2"]
    wanted = [(0, f"{name}[{l}]", v[f"{name}[{l}]"]) for l in range(last + 1) for name in "Wb"]
    wanted += [(1, "X1", np.append(v["X"], 1)[None])]
    for l in range(last):
        wanted += [(2, f"a[{l}]", v[f"a[{l}]"]), (3, f"h[{l + 1}]", v[f"h[{l + 1}]"])]
        wanted += [(4, f"kept[{l + 1}]", v[f"kept[{l + 1}]"])] if dropout else []
    wanted += [(number, name, v[name]) for number, name in ((5, "z"), (6, "shifted"), (7, "total"), (8, "p"))]
    wanted += [(9, "Y", v["Y"]), (10, "r", np.ones((1, 1))), (11, "dlogp", v["dlogp"]), (12, "L", v["L"])]
    wanted += [(13, "dp", v["dp"]), (14, "J", v["J"]), (0, "", np.zeros(len(v["J"])))]
    wanted += [(0, "", np.sort(np.linalg.eigvals(v["J"]).real)), (25, "", None), (15, "dz", v["dz"])]
    wanted += [(16, "mean_dp", -np.ones((1, 1))), (17, "dz", v["dz"]), (18, "dz", v["dz"]), (25, "dz", v["dz"])]
    wanted += [(0, "", None)]
    for l in reversed(range(last + 1)):
        wanted += [(24 if l2 else 19, f"dW[{l}]", v[f"dW[{l}]"]), (19, f"db[{l}]", v[f"db[{l}]"])]
        if l > 0:
            wanted += [(21 if dropout else 20, f"dh[{l}]", v[f"dh[{l}]"]), (22, "", v[f"slope[{l}]"])]
            wanted += [(23, f"da[{l - 1}]", v[f"da[{l - 1}]"])]
    for l in range(last + 1):
        wanted += [(number, f"{name}[{l}]", None) for name in ("dW", "db") for number in (25, 26)]
    change = -rate * v["dtheta"]
    if subject.config.optimizer.name == "adam":
        change = -rate * v["dtheta"] / (np.abs(v["dtheta"]) + 1e-8)
    wanted += [(0, "dtheta", v["dtheta"]), (0, "rate", rate), (29, "change", change)]
    return [*wanted, (12, "L", v["L"]), (12, "L", loss_after(subject, change))]


def loss_after(subject, change):
    """The loss with theta changed so, by plain formulas."""
    net = subject.net.astype("float64")
    net.theta += change
    return forward(Subject(subject.config, net, subject.X, subject.y, ""))["L"]


def assert_close(line, wanted, tolerance):
    size = np.abs(wanted).max()
    said = f"{line.step} {line.name} {line.formula}"
    np.testing.assert_allclose(line.value, wanted, rtol=0, atol=tolerance * max(1, size), err_msg=said)
    assert np.shape(line.value) == np.shape(wanted), said


# Every number


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_line_is_what_plain_formulas_give(settings, dtype):
    subject = studied(*settings, f"model.dtype={dtype}")
    got, wanted = flat(trace(subject)), expected(subject)
    assert [(line.step, line.name) for line in got] == [(number, name) for number, name, _ in wanted]
    for line, (_, _, number) in zip(got, wanted, strict=True):
        if number is None:
            assert 0 <= line.value < OFF[dtype][line.step == 26], line.formula
        else:
            assert_close(line, number, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_every_line_of_the_friendly_net_is_what_plain_formulas_give(dtype):
    subject = friendly(f"model.dtype={dtype}")
    for line, (number, name, wanted) in zip(flat(trace(subject)), expected(subject), strict=True):
        assert (line.step, line.name) == (number, name)
        if wanted is not None:
            assert_close(line, wanted, TOLERANCE[dtype])


FORMULA = re.compile(r"(?:W|b|a|h|kept|mask|dh|da)\[\d+\]|\b(?:X|z|dz|p|dp|shifted|total)\b")


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_each_formula_worked_out_with_the_numbers_above_it_gives_its_number(settings):
    subject = studied(*settings, "model.dtype=float64")
    net, plain = subject.net, forward(subject)
    known = {"X": subject.X} | {name: number for name, number in plain.items() if name.startswith("mask")}
    names = {name: functions[0] for name, functions in F.items()}
    names |= {"max": np.max, "sum": np.sum, "exp": np.exp, "l2": net.l2, "known": known}
    done = 0
    for line in flat(trace(subject)):
        formula = line.formula.partition(":")[0].rpartition(" = ")[2].replace("l2 W", "l2 * W")
        formula = re.sub(r"f'\((.*?)\)", "slope", formula)
        if line.step in (2, 3, 4, 5, 6, 7, 8, 20, 21, 23) or (line.step in (19, 24) and "W" in line.name):
            code = FORMULA.sub(lambda name: f"known[{name[0]!r}]", formula)
            assert_close(line, np.reshape(eval(code, names), np.shape(line.value)), 1e-14)
            done += 1
        if line.step == 22:
            names["slope"] = line.value
        elif line.name:
            known[line.name] = line.value
    assert done == 5 + (6 if net.dropout else 5) * len(net.activation)


def test_the_numbers_are_those_of_loss_and_gradient():
    subject = studied(*SETTINGS["all at once"])
    rng = np.random.default_rng(subject.config.train.seed)
    loss, dtheta = subject.net.loss_and_gradient(subject.X, [subject.y], rng=rng)
    traced = trace(subject)
    np.testing.assert_array_equal(value(traced, "dtheta"), dtheta)
    assert value(traced, "L", 0) == value(traced, "L", -2) == loss
    for l, (dW, db) in enumerate(zip(*groups(subject.net, dtheta), strict=True)):
        np.testing.assert_array_equal(value(traced, f"dW[{l}]", 0), dW)
        np.testing.assert_array_equal(value(traced, f"db[{l}]", 0), db)


def groups(net, dtheta):
    """dW and db of each layer, out of the flat dtheta."""
    net = net.astype(net.dtype)
    net.theta[:] = dtheta
    return net.weights, net.biases


def test_what_is_studied_is_left_as_it_is():
    subject = studied("model.dropout=0.4", "optimizer.name=adamw", "optimizer.weight_decay=0.5")
    theta, X = subject.net.theta.copy(), subject.X.copy()
    traced = trace(subject)
    np.testing.assert_array_equal(subject.net.theta, theta)
    np.testing.assert_array_equal(subject.X, X)
    np.testing.assert_array_equal(value(trace(subject), "dtheta"), value(traced, "dtheta"))


def test_blas_has_one_thread_for_a_row_and_what_it_had_before_after_it(monkeypatch):
    def threads():
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, during = threads(), []
    real = step._measured
    monkeypatch.setattr(step, "_measured", lambda *arguments: (during.extend(threads()), real(*arguments))[1])
    trace(friendly())
    assert set(during) == {1}
    assert threads() == before


# The logits


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("gap", [0, 1, 30, 200])
def test_the_four_dz_agree_at_any_gap_of_the_logits(gap, dtype):
    subject = studied("model.hidden=[]", f"model.dtype={dtype}")
    subject.net.theta[:] = 0
    subject.net.biases[0][0] = gap
    traced = trace(subject)
    dz = [line.value for line in flat(traced) if line.name == "dz"]
    assert len(dz) == 4
    for other in dz[1:]:
        np.testing.assert_allclose(other, dz[0], atol=3e-7 if dtype == "float32" else 3e-16)
    apart = traced.sections["from the loss to the logits"][-1]
    assert apart.value == max(np.abs(one - other).max() for one in dz for other in dz)


@pytest.mark.parametrize("road", [*ROADS, "measured"])
def test_the_largest_difference_sees_each_of_the_four_dz(road, monkeypatch):
    roads, measured = step.dz_by_road, step.complex_step
    off = {name: 0.5 * (name == road) for name in [*ROADS, "measured"]}
    monkeypatch.setattr(
        step, "dz_by_road", lambda p, dlogp, name, **buffers: roads(p, dlogp, name, **buffers) + off[name]
    )
    monkeypatch.setattr(step, "complex_step", lambda f, x: measured(f, x) + off["measured"])
    assert trace(friendly()).sections["from the loss to the logits"][-1].value == pytest.approx(0.5)


def test_the_rows_of_J_sum_to_0_and_its_eigenvalues_lie_between_0_once_and_one_half():
    J, sums, eigenvalues = (line.value for line in trace(studied(K=6)).sections["from the loss to the logits"][1:4])
    np.testing.assert_allclose(sums, 0, atol=1e-7)
    assert eigenvalues.tolist() == sorted(eigenvalues)
    assert abs(eigenvalues[0]) < 1e-7
    assert (eigenvalues[1:] > 1e-4).all()
    assert eigenvalues[-1] <= 0.5
    assert eigenvalues.sum() == pytest.approx(np.trace(J))


def test_with_very_many_classes_J_is_left_out_and_all_else_is_there(monkeypatch):
    with_J = [(line.step, line.name) for line in flat(trace(studied()))]
    monkeypatch.setattr(step, "MOST_CLASSES", 2)
    traced = trace(studied())
    assert [(line.step, line.name) for line in flat(traced)] == [
        place for i, place in enumerate(with_J) if place[0] not in (14, 15) and i not in jacobian_lines(with_J)
    ]
    assert traced.sections["from the loss to the logits"][-1].value < 1e-6


def jacobian_lines(places):
    """Where the three lines without a name stand that are below J."""
    start = places.index((14, "J"))
    return range(start, start + 4)


# Notes


def test_the_units_that_are_off_are_named():
    assert note(friendly(), 22) == "off: 1 of 3 units (2)"
    assert note(friendly("model.activation=tanh"), 22) == "off: 0 of 3 units"


def test_the_units_that_dropout_has_dropped_are_named():
    subject = studied("model.dropout=0.5", "model.hidden=[8]", "model.activation=tanh")
    dropped = np.flatnonzero(forward(subject)["mask[1]"][0] == 0)
    assert 0 < len(dropped) < 8
    units = ", ".join(map(str, dropped))
    assert note(subject, 22) == f"off: 0 of 8 units; dropped: {len(dropped)} of 8 units ({units})"


def test_of_many_units_that_are_off_the_first_are_named():
    subject = studied("model.hidden=[40]")
    subject.net.weights[0][:], subject.net.biases[0][:] = 0, -1
    assert note(subject, 22) == "off: 40 of 40 units (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …)"


def test_a_slope_that_is_not_a_number_is_neither_off_nor_dropped():
    subject = studied("model.activation=gelu")
    subject.net.biases[0][:] = -1e30
    with np.errstate(all="ignore"):
        assert note(subject, 22) == "off: 0 of 6 units"


def test_the_loss_stands_beside_log_K_and_the_penalty_that_is_in_it():
    subject = studied("optimizer.weight_decay=0.3", K=5)
    penalty = f"{forward(subject)['penalty']:.4g}"
    assert note(subject, 12).startswith(f"with the penalty l2/2 sum(W^2) = {penalty}; ")
    assert "log K = log 5 = 1.6094" in note(subject, 12)
    assert "penalty" not in note(studied(), 12)


def note(subject, number):
    """What is said below the first line of a step."""
    return next(line.note for line in flat(trace(subject)) if line.step == number)


def test_p_is_said_to_sum_to_1():
    assert note(friendly(), 8) == "sum(p) = 1"


def test_the_heading_tells_net_activation_dtype_parameters_and_row():
    assert trace(friendly()).heading == "net 2-3-3, relu, float64, 21 parameters; one row, of class 2"
    assert trace(studied("model.hidden=[]", D=300, K=20)).heading.startswith(
        "net 300-20, no hidden layer, float32, 6,020 parameters; "
    )
    assert "relu/tanh" in trace(studied("model.hidden=[2,2,2]", 'model.activation=["relu","tanh","relu"]')).heading


# Measured


def test_of_a_large_W_some_entries_are_measured_and_it_is_said_how_many(monkeypatch):
    monkeypatch.setattr(step, "MOST_ENTRIES", 10)
    measured = trace(studied("model.dtype=float64")).sections["measured"]
    said = [line.formula.partition(":")[0] for line in measured if line.step == 25]
    assert said == ["8 of 24", "all 6", "9 of 18", "all 3"]
    assert all(line.value < 1e-7 for line in measured)


@pytest.mark.parametrize("entry", [0, 23, 24, 29, 30, 50])
def test_a_gradient_that_is_wrong_in_one_entry_is_seen_in_its_group_and_no_other(entry, monkeypatch):
    subject = studied("model.dtype=float64")
    right = subject.net.backward

    def wrong(dlogp, ws):
        dtheta = right(dlogp, ws)
        dtheta[entry] += 0.01
        return dtheta

    monkeypatch.setattr(subject.net, "backward", wrong)
    measured = trace(subject).sections["measured"]
    where = ["dW[0]", "db[0]", "dW[1]", "db[1]"][np.searchsorted([24, 30, 48], entry, side="right")]
    assert {line.name for line in measured if line.value > 1e-4} == {where}
    assert sum(line.value > 1e-4 for line in measured) == 2


# The optimizer


def first_change(*overrides, steps=1):
    """The rate, theta and dtheta of a subject in float64, and what its optimizer adds to theta."""
    subject = studied("model.dtype=float64", "optimizer.learning_rate=0.05", *overrides, steps=steps)
    traced = trace(subject)
    return value(traced, "rate"), subject.net, value(traced, "dtheta"), value(traced, "change")


CHANGES = {
    "sgd": lambda g: -0.05 * g,
    "momentum": lambda g: -0.05 * g,
    "nesterov": lambda g: -0.05 * (g + 0.9 * g),
    "adam": lambda g: -0.05 * g / (np.abs(g) + 1e-8),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_change_is_the_first_step_of_the_optimizer(name):
    _, _, dtheta, change = first_change(f"optimizer.name={name}")
    np.testing.assert_allclose(change, CHANGES[name](dtheta), rtol=1e-9, atol=1e-15)


def test_adamw_changes_weights_as_adam_does_and_shrinks_them_and_leaves_biases_alone():
    _, net, dtheta, change = first_change("optimizer.name=adamw", "optimizer.weight_decay=0.5")
    for W, dW, changed in zip(net.weights, groups(net, dtheta)[0], groups(net, change)[0], strict=True):
        np.testing.assert_allclose(changed, CHANGES["adam"](dW) - 0.05 * 0.5 * W, rtol=1e-9, atol=1e-15)
    for db, changed in zip(groups(net, dtheta)[1], groups(net, change)[1], strict=True):
        np.testing.assert_allclose(changed, CHANGES["adam"](db), rtol=1e-9, atol=1e-15)


def test_a_gradient_that_is_too_long_is_shown_whole_and_changes_theta_by_its_clipped_length():
    _, _, dtheta, change = first_change("train.max_grad_norm=0.01")
    norm = np.linalg.norm(dtheta)
    assert norm > 0.1
    np.testing.assert_allclose(change, -0.05 * 0.01 / norm * dtheta, rtol=1e-9, atol=1e-17)


def test_the_rate_is_that_of_the_first_step_of_the_schedule():
    assert first_change("optimizer.schedule=cosine")[0] == 0.05
    assert first_change("optimizer.warmup_epochs=2", steps=5)[0] == pytest.approx(0.05 / 10)


def test_the_step_of_the_friendly_net_lowers_its_loss():
    before, after = (line.value for line in trace(friendly()).sections["one step of the optimizer"][-2:])
    assert after < before / 2


# Tags in the code


def test_the_tags_in_the_code_are_the_numbers_from_1_without_holes_and_each_stands_once():
    tags = []
    for path in PACKAGE.rglob("*.py"):
        with path.open("rb") as file:
            comments = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
        tags += map(int, re.findall(r"# \((\d+)\)", "\n".join(comments)))
    assert sorted(tags) == list(range(1, 30))


def test_locations_names_file_and_line_of_each_tag():
    assert sorted(locations()) == list(range(1, 30))
    for number, (file, line, source) in locations().items():
        written = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[line - 1]
        assert written.strip() == source
        assert f"# ({number})" in source


FUNCTIONS = {
    **dict.fromkeys([2, 3, 4, 5], "forward"),
    **dict.fromkeys([6, 7, 8], "softmax"),
    **dict.fromkeys([1, 9, 10, 11], "prepare"),
    12: "mean_cross_entropy",
    **dict.fromkeys([13, 15, 18], "dz_by_road"),
    14: "softmax_jacobian",
    **dict.fromkeys([16, 17], "softmax_vjp"),
    **dict.fromkeys([19, 20, 21, 22, 23], "backward"),
    24: "_add_penalty_gradient",
    25: "complex_step",
    26: "central_differences",
    **dict.fromkeys([27, 28, 29], "take_step"),
}


@pytest.mark.parametrize("number", range(1, 30))
def test_each_tag_stands_behind_code_in_the_function_that_takes_the_step(number):
    file, line, source = locations()[number]
    assert not source.startswith("#")
    tree = ast.parse((PACKAGE / file).read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [node.name for node in functions if node.lineno <= line <= node.end_lineno]
    assert inside[-1:] == [FUNCTIONS[number]]


def test_each_line_shows_the_place_of_its_step():
    traced = trace(friendly())
    for line in flat(traced):
        head = step._shown(line, False)[0]
        if line.step:
            file, number, _ = locations()[line.step]
            assert head.startswith(f"({line.step})".rjust(5) + f" {line.name:9s} {line.formula}")
            assert head.endswith(f" {file}:{number}")
        else:
            assert head.startswith(f"      {line.name:9s} {line.formula}")
            assert ".py" not in head


def test_all_steps_but_clipping_and_decay_are_taken_by_one_net_or_another():
    every = [trace(studied(*settings)) for settings in SETTINGS.values()]
    assert {line.step for traced in every for line in flat(traced)} == set(range(30)) - {27, 28}


# Text


NETS = {
    "plain": {},
    "20 classes": {"K": 20},
    "wide": {"overrides": ["model.hidden=[3000]"], "D": 3, "K": 12},
    "many features": {"overrides": ["model.hidden=[]"], "D": 20_000},
    "deep": {
        "overrides": [
            *("model.hidden=[3,3,3,3,3,3,3,3,3,3,3,3]", "model.dropout=0.3", "optimizer.weight_decay=0.1"),
            *("train.label_smoothing=0.1", "model.output_gradient=jacobian", "model.activation=leaky_relu"),
        ]
    },
    "more classes than J is shown for": {"K": step.MOST_CLASSES + 1},
}
COLOURS = re.compile(r"\x1b\[\d+m")


@pytest.fixture
def quick(monkeypatch):
    """Few entries are measured."""
    monkeypatch.setattr(step, "MOST_ENTRIES", 5)


@pytest.mark.parametrize("options", NETS.values(), ids=NETS)
def test_the_text_of_any_net_fits_into_100_columns(options, quick):
    assert_fits(studied(*options.get("overrides", []), D=options.get("D", 4), K=options.get("K", 3)))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e4, 1e30, np.inf, np.nan])
def test_the_text_of_any_numbers_fits_into_100_columns(scale, quick):
    subject = studied("model.hidden=[30,30]", "model.dtype=float64", K=20)
    with np.errstate(all="ignore"):
        subject.net.theta[:] *= scale
        assert_fits(subject)


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_the_text_of_a_row_of_data_fits_into_100_columns(name, quick):
    config = configs.load(PACKAGE.parent / "configs" / f"{name}.toml", ["model.hidden=[70,50]"])
    assert_fits(subject.of_data(config, 3))


def assert_fits(subject):
    traced = trace(subject)
    plain, coloured = lines(traced), lines(traced, colour=True)
    assert max(map(len, plain)) <= WIDTH
    assert not any(line != line.rstrip() for line in plain)
    assert [COLOURS.sub("", line) for line in coloured] == plain


def test_a_long_heading_is_wrapped(quick):
    subject = studied()
    about = "from " + "runs/a-long-name" * 20
    assert_fits(Subject(subject.config, subject.net, subject.X, subject.y, about))


def test_arrays_too_wide_or_long_are_shortened_and_others_are_not(quick):
    assert "…" not in "".join(lines(trace(studied("model.hidden=[3]")))[:40])
    text = lines(trace(studied("model.hidden=[40]", D=20)))
    start = next(i for i, line in enumerate(text) if line.split()[:1] == ["W[0]"])
    shown = [line.split() for line in text[start + 1 : start + 9]]
    assert all("…" in row for row in shown)
    assert set(shown[4]) == {"…"}
    assert text[start + 9].split()[0] == "b[0]"


def test_without_colour_there_are_no_codes_and_with_it_titles_and_places_have_them():
    traced = trace(friendly())
    assert "\x1b" not in "".join(lines(traced))
    coloured = lines(traced, colour=True)
    assert {f"\x1b[1m{title}\x1b[0m" for title in traced.sections} <= set(coloured)
    assert sum("\x1b[2m" in line and ".py:" in line for line in coloured) == sum(bool(l.step) for l in flat(traced))


def test_the_text_of_the_friendly_net_is_the_same_each_time_and_every_title_is_in_it():
    traced = trace(friendly())
    text = lines(traced)
    assert text == lines(trace(friendly()))
    titles = ["the net", "forward", "loss", "from the loss to the logits", "backward", "measured"]
    assert [line for line in text if line in traced.sections] == [*titles, "one step of the optimizer"]


# Data


def test_the_data_are_every_line_with_every_number_and_its_place():
    traced = trace(studied("model.hidden=[40]", D=20))
    data = json.loads(json.dumps(as_data(traced), allow_nan=False))
    assert data["heading"] == traced.heading
    assert list(data["sections"]) == list(traced.sections)
    told_lines = [told for section in data["sections"].values() for told in section]
    for line, told in zip(flat(traced), told_lines, strict=True):
        np.testing.assert_array_equal(told["value"], line.value)
        assert tuple(told["shape"]) == np.shape(line.value) == np.shape(told["value"])
        assert (told["name"], told["formula"], told["note"]) == (line.name, line.formula, line.note)
        place = (told["file"], told["line"], told["source"])
        assert (told["step"], place) == ((line.step, locations()[line.step]) if line.step else (None, (None,) * 3))


@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_null_in_the_data_and_named_in_the_text(number):
    subject = studied("model.hidden=[]")
    subject.net.biases[0][1] = number
    with np.errstate(all="ignore"):
        traced = trace(subject)
        data = as_data(traced)
    json.dumps(data, allow_nan=False)
    b = next(line for line in data["sections"]["the net"] if line["name"] == "b[0]")
    np.testing.assert_array_equal([entry is None for entry in b["value"]], [False, True, False])
    assert str(number) in "\n".join(lines(traced))


# Sparse rows


def test_a_sparse_row_gives_the_numbers_of_the_dense_one_but_for_its_column_of_ones():
    dense = studied("model.dtype=float64", D=30)
    dense.X[0, 3:] = 0
    row = Subject(dense.config, dense.net, sparse.csr_matrix(dense.X), dense.y, dense.about)
    for one, other in zip(flat(trace(row)), flat(trace(dense)), strict=True):
        assert (one.step, one.name) == (other.step, other.name)
        if one.name == "X1":
            np.testing.assert_array_equal(one.value, other.value[:, :-1])
            assert "sparse" in one.formula
        elif one.step not in (25, 26):
            np.testing.assert_allclose(one.value, other.value, atol=1e-14)
    assert all(line.value < 1e-7 for line in trace(row).sections["measured"])


def test_the_net_that_is_studied_has_one_of_the_three_roads():
    for road in ROADS:
        last = trace(friendly(f"model.output_gradient={road}")).sections["from the loss to the logits"][-1]
        assert last.formula == f"largest difference; backward goes on with {road!r}"
    with pytest.raises(ConfigError):
        friendly("model.output_gradient=clipped")
