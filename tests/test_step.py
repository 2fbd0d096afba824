"""One step of backprop: every number that is printed, worked out anew from its printed formula."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from tables import refused
from threadpoolctl import threadpool_info

from minnet import config as configs
from minnet import training
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP
from minnet.errors import ConfigError
from minnet.study import step, subject
from minnet.study.mistakes import Change, swapped
from minnet.study.step import Line, as_data, lines, locations, trace
from minnet.study.subject import Subject
from minnet.study.text import WIDTH

# relative to the largest number of an array: rounding, and with it the two kinds of differences
TOLERANCE = {"float32": 3e-6, "float64": 3e-14}
OFF = {"float32": {"C": 2e-5, "D": 2e-5}, "float64": {"C": 1e-13, "D": 1e-7}}
EVERY_NET = {*range(1, 27)} - {4, 21, 24, 25}
MUCH = """model.hidden=[7,6,5] model.activation=["relu","tanh","logistic"] model.dropout=0.3
optimizer.weight_decay=0.1 optimizer.name=adam train.label_smoothing=0.1 train.max_grad_norm=0.5"""
SETTINGS = {  # and which other steps are taken, or left out
    "no hidden layer": (["model.hidden=[]"], {2, 3, 22, 23}),
    "l2": (["optimizer.weight_decay=0.3", "model.activation=logistic"], {21}),
    "dropout": (["model.hidden=[9, 8]", "model.dropout=0.4", "model.activation=leaky_relu"], {4}),
    "weighted": (['train.class_weight={"1" = 3.0}', "model.activation=identity"], set()),
    "jacobian": (["model.output_gradient=jacobian"], set()),
    "fused": (["model.output_gradient=fused"], set()),
    "adamw": (["optimizer.name=adamw", "optimizer.weight_decay=0.5"], {25}),
    "all at once": (MUCH.split(), {4, 21, 24}),
}
STEP = "one step of the optimizer"


def studied(*overrides, D=4, K=3, rows=1):
    """A subject with random numbers in it, biases too."""
    start = [*configs.PLAIN]
    start += ["model.hidden=[6]", "optimizer.name=sgd", "optimizer.learning_rate=0.05"]
    config = configs.load(None, [*start, *overrides])
    weights = training.class_weights(config.train.class_weight, np.arange(K), np.arange(K))
    net, rng = training.build(config, D, K, weights), np.random.default_rng(5)
    net.theta += 0.2 * rng.normal(size=net.theta.size)
    return Subject(config, net, rng.normal(size=(1, D)).astype(net.dtype), 1, "one row", rows)


def friendly(*overrides):
    return subject.friendly(list(overrides))


def flat(traced):
    return [line for section in traced.sections.values() for line in section]


def value(traced, name, which=-1):
    return [line.value for line in flat(traced) if line.name == name][which]


def note(subject, number):
    """What is said below a line of a step."""
    return next(line.note for line in flat(trace(subject)) if line.step == number and line.note)


NAMES = re.compile(
    r"(?<![.\w])(?:[a-zA-Z]+\[\d+\]|X|z|p|dp|r|Y|T|J|mean_dp|total|shifted|log_p)(?![\w'])"
)
IN_CODE = {  # what stands in a formula in place of code
    r", the inputs|:.*": "",
    r"l2 W": "l2 * W",
    r"(\w+)'\(": r"slope_of['\1'](",
    r"^r Y": "r * Y",
    r"^-<T, log p> = ": "",
    r"^dp_i/dz_k = .*": "diag(p.ravel()) - outer(p, p)",
    r"^J\^T dp": "dp @ J",
    r"^<dp, p>.*": "(dp * p).sum(keepdims=True)",
    r"^r \(": "r * (",
    r"^sum of (.*) over the rows": r"\1.sum(axis=0)",
    r"^dz, by .*": "dz",
}


def called(name, a):
    """h and the slope that an activation of the core makes of a."""
    ACTIVATIONS[name](a, h := np.empty_like(a), slope := np.empty_like(a))
    return h, slope


F = {name: lambda a, name=name: called(name, a)[0] for name in ACTIVATIONS}
SLOPES = {name: lambda a, name=name: called(name, a)[1] for name in ACTIVATIONS}


def worked_out(formula, known, l2):
    for words, code in IN_CODE.items():
        formula = re.sub(words, code, formula)
    formula = NAMES.sub(lambda name: f"known[{name[0]!r}]", formula)
    formula = re.sub(r"\bdz\b", "known['dz']", formula)
    scope = {"known": known, "l2": l2, "max": np.max, "sum": np.sum, "exp": np.exp, "log": np.log}
    scope |= {"diag": np.diag, "outer": np.outer, "slope_of": SLOPES}
    return eval(formula, scope | F)


def assert_close(line, wanted, tolerance):
    size, said = max(1, np.abs(wanted).max()), f"{line.step} {line.name} {line.formula}"
    np.testing.assert_allclose(line.value, wanted, rtol=0, atol=tolerance * size, err_msg=said)
    assert np.shape(line.value) == np.shape(wanted), said


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("setting", ["friendly", *SETTINGS])
def test_each_formula_worked_out_with_the_numbers_above_it_gives_its_number(setting, dtype):
    overrides, more = SETTINGS.get(setting, ([], set()))
    make = friendly if setting == "friendly" else studied
    subject = make(*overrides, f"model.dtype={dtype}")
    config, net, known = subject.config, subject.net, {}
    s, rate = config.train.label_smoothing, config.model.dropout
    plain = {"X": subject.X, "r": np.ones(1)}
    plain |= {f"W[{l}]": W for l, W in enumerate(net.weights)}
    plain |= {f"b[{l}]": b for l, b in enumerate(net.biases)}
    plain["Y"] = (1 - s) * np.eye(net.K)[[subject.y]] + s / net.K
    traced = trace(subject)
    for title in traced.sections:
        for line in traced.sections[title] if title not in (STEP, "measured") else []:
            if line.name in plain:
                assert_close(line, plain[line.name], TOLERANCE[dtype])
            elif line.name.startswith("mask"):
                np.testing.assert_allclose(line.value[line.value > 0], 1 / (1 - rate), rtol=1e-6)
            elif line.step == "C" and line.name == "dz":
                assert_close(line, known["dz"], TOLERANCE[dtype])
            elif line.name and "penalty" not in line.formula:
                wanted = worked_out(line.formula, known, net.l2)
                assert_close(line, np.reshape(wanted, np.shape(line.value)), TOLERANCE[dtype])
            if line.name:
                known[line.name] = line.value
    errors = [line for line in flat(traced) if line.step in ("C", "D") and line.name != "dz"]
    assert all(0 <= line.value < OFF[dtype][line.step] for line in errors)
    assert {line.step for line in flat(traced)} == EVERY_NET ^ more | {0, "C", "D"}


def test_the_numbers_are_those_of_loss_and_gradient_and_the_subject_stays_as_it_is():
    subject = studied(*MUCH.split())
    rng = np.random.default_rng(subject.config.train.seed)
    loss, dtheta = subject.net.loss_and_gradient(subject.X, [subject.y], rng=rng)
    theta, X = subject.net.theta.copy(), subject.X.copy()
    traced = trace(subject)
    assert value(traced, "dtheta", 0).tolist() == dtheta.tolist()
    assert value(traced, "L", -2) == traced.sections["loss"][-1].value == loss
    assert (subject.net.theta == theta).all() and (subject.X == X).all()
    assert value(trace(subject), "change").tolist() == value(traced, "change").tolist()


def test_blas_has_one_thread_for_a_row_and_what_it_had_before_after_it(monkeypatch):
    def threads():
        found = [each for each in threadpool_info() if "numpy" in each["filepath"]]
        return [each["num_threads"] for each in found if each["user_api"] == "blas"]

    before, during = threads(), []
    monkeypatch.setattr(step, "_measured", lambda subject: during.extend(threads()))
    trace(friendly())
    assert set(during) == {1} and threads() == before


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("gap", [0, 30, 200])
def test_the_four_dz_agree_at_any_gap_of_the_logits(gap, dtype):
    subject = studied("model.hidden=[]", f"model.dtype={dtype}")
    subject.net.theta[:] = 0
    subject.net.biases[0][0] = gap
    traced = trace(subject)
    dz = [line.value for line in flat(traced) if line.name == "dz"]
    assert len(dz) == 4
    for other in dz[1:]:
        np.testing.assert_allclose(other, dz[0], atol=3e-7 if dtype == "float32" else 3e-16)


@pytest.mark.parametrize("wrong", [16, 18, 19, "measured"])
def test_the_largest_difference_sees_each_of_the_four_dz(wrong, monkeypatch):
    z, T = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    dz, off = np.exp(z) / np.exp(z).sum() - T, 0.5 * (wrong == "measured")
    ways = [Line(n, "dz", "", (dz + 0.5 * (n == wrong))[None]) for n in (16, 18, 19)]
    measured = step.complex_step
    monkeypatch.setattr(step, "complex_step", lambda f, x: measured(f, x) + off)
    assert step._logits(ways, z, T)[-1].value == pytest.approx(0.5)


def test_j_has_rows_that_sum_to_0_and_eigenvalues_from_0_to_one_half(monkeypatch):
    section = trace(studied(K=6)).sections["from the loss to the logits"]
    J, sums, eigenvalues = (line.value for line in section[1:4])
    np.testing.assert_allclose(sums, 0, atol=1e-7)
    assert eigenvalues.tolist() == sorted(eigenvalues)
    assert abs(eigenvalues[0]) < 1e-7 < eigenvalues[1] and eigenvalues[-1] <= 0.5
    assert eigenvalues.sum() == pytest.approx(np.trace(J))
    monkeypatch.setattr(step, "MOST_CLASSES", 5)  # with very many classes all of it is left out
    without = trace(studied(K=6)).sections["from the loss to the logits"]
    assert [line[:2] for line in without] == [section[0][:2], *(x[:2] for x in section[6:])]


def test_units_that_pass_no_gradient_are_named():
    assert note(friendly("model.activation=tanh"), 3) == "off: 0 of 3 units"
    many = studied("model.hidden=[40]")
    many.net.weights[0][:], many.net.biases[0][:] = 0, -1
    assert note(many, 3) == "off: 40 of 40 units ( 0  1  2 ... 37 38 39)"
    dropped = studied("model.dropout=0.5", "model.hidden=[8]")
    units = np.flatnonzero(value(trace(dropped), "mask[1]")[0] == 0)
    said = f"dropped: {len(units)} of 8 units ({' '.join(map(str, units))})"
    assert 0 < len(units) < 8 and note(dropped, 4) == said


def test_the_loss_stands_beside_log_k_and_a_penalty_and_the_heading_are_shown():
    assert "expect about log K = 1.6094" in note(studied(K=5), 13)
    shown = trace(studied("optimizer.weight_decay=0.3")).sections["loss"]
    assert "penalty" in shown[-1].formula and shown[-1].value > shown[-2].value
    assert "penalty" not in trace(studied()).sections["loss"][-1].formula
    said = trace(studied("model.hidden=[]", D=300, K=20)).heading
    assert said.startswith("net 300-20, no hidden layer, float32, 6,020 parameters; ")


@pytest.mark.parametrize("entry", [0, 29, 30, 50])
def test_a_gradient_wrong_in_one_entry_is_seen_in_its_group_and_no_other(entry):
    done = "return self.dtheta"
    with swapped(Change(MLP.backward, done, f"self.dtheta[{entry}] += 0.01\n    {done}")):
        measured = trace(studied("model.dtype=float64")).sections["measured"]
    where = ["dW[0]", "db[0]", "dW[1]", "db[1]"][np.searchsorted([24, 30, 48], entry, side="right")]
    assert [line.name for line in measured if line.value > 1e-4] == [where, where]


def test_the_change_is_the_first_step_of_the_optimizer_from_the_clipped_gradient():
    traced = trace(studied("model.dtype=float64", "train.max_grad_norm=0.01"))
    dtheta, clipped = value(traced, "dtheta", 0), value(traced, "dtheta")
    np.testing.assert_allclose(clipped, 0.01 * dtheta / np.linalg.norm(dtheta), rtol=1e-12)
    np.testing.assert_allclose(value(traced, "change"), -0.05 * clipped, rtol=1e-9, atol=1e-15)


def test_adamw_changes_weights_as_adam_does_and_shrinks_them_and_leaves_biases_alone():
    subject = studied("model.dtype=float64", *SETTINGS["adamw"][0])
    traced, part = trace(subject), subject.net.astype("float64")
    dtheta = value(traced, "dtheta")
    part.theta[:] = value(traced, "change") + 0.05 * dtheta / (np.abs(dtheta) + 1e-8)
    for changed, W in zip(part.weights, subject.net.weights, strict=True):
        np.testing.assert_allclose(changed, -0.05 * 0.5 * W, rtol=1e-9, atol=1e-15)
    assert max(np.abs(changed).max() for changed in part.biases) < 1e-15
    np.testing.assert_allclose(value(traced, "W", 0), 0.975 * subject.net.weights[0])


def test_the_rate_is_that_of_the_first_step_of_the_schedule_and_the_step_lowers_the_loss():
    assert value(trace(studied("optimizer.schedule=cosine")), "rate") == 0.05
    five_steps = studied("optimizer.warmup_epochs=2", "train.batch_size=8", rows=40)
    assert value(trace(five_steps), "rate") == pytest.approx(0.05 / 10)
    *_, before, after = trace(friendly()).sections[STEP]
    assert after.value < before.value / 2


SUBJECTS = {
    "wide": lambda: studied("model.hidden=[3000]", D=3, K=12),
    "many features": lambda: studied("model.hidden=[]", D=20_000),
    "deep": lambda: studied(f"model.hidden={[3] * 12}", *MUCH.split()[2:]),
    "more classes than J is shown for": lambda: studied(K=step.MOST_CLASSES + 1),
    "a long heading": lambda: replace(studied(), about="from " + "runs/a-long-name" * 20),
}


@pytest.mark.parametrize("make", SUBJECTS.values(), ids=SUBJECTS)
def test_the_text_of_any_subject_fits_into_100_columns(make, monkeypatch):
    monkeypatch.setattr(step, "MOST_ENTRIES", 5)
    traced = trace(make())
    plain, coloured = lines(traced), lines(traced, colour=True)
    assert max(map(len, plain)) <= WIDTH
    assert not any(line != line.rstrip() for line in plain)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain


def test_each_step_says_why_where_it_comes_first_and_nowhere_else():
    traced = trace(studied(*SETTINGS["all at once"][0]))
    plain, reasons = lines(traced), [*step.WHY.items()]
    told = [line.strip() for line in lines(traced, why=True) if line not in plain]
    shown = {line.step for line in flat(traced)}
    assert sorted(told) == sorted(f"why: {text}" for number, text in reasons if number in shown)
    assert {*step.WHY} == {*range(1, 27), "C", "D"} and max(map(len, told)) <= WIDTH - 8


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("1.dW", {"dW[1]"}),
        ("dW[1]", {"dW[1]"}),
        ("out.dz", {"dz"}),
        ("dz", {"dz"}),
        ("out.dW", {"dW[1]"}),
        ("0.slope", {"slope[0]"}),
    ],
)
def test_the_lines_of_one_name_are_shown_with_every_digit_and_their_code(where, names):
    traced = trace(studied("model.hidden=[40]", "model.dtype=float64"))
    one, every = step.at(traced, where), [line for line in flat(traced) if line.name in names]
    assert flat(one) == every
    text = "\n".join(lines(one, why=True, full=True))
    digits = "".join(text.split())
    for line in every:
        assert all(repr(float(x)).rstrip("0") in digits for x in np.ravel(line.value)), line.name
        assert locations()[line.step][2] in text
    assert max(map(len, text.splitlines())) <= WIDTH and "…" not in text


@pytest.mark.parametrize("where", ["out.dx", "9.dW", "", "dw[1]", "."])
def test_a_name_that_no_line_has_is_an_error(where):
    assert "no line has this name" in refused(ConfigError, step.at, trace(friendly()), where)


def test_the_data_are_every_line_with_every_number_and_its_place():
    traced = trace(studied("model.hidden=[40]", D=20))
    data = json.loads(json.dumps(as_data(traced), allow_nan=False))
    assert (data["heading"], [*data["sections"]]) == (traced.heading, [*traced.sections])
    told_lines = [told for section in data["sections"].values() for told in section]
    for line, told in zip(flat(traced), told_lines, strict=True):
        np.testing.assert_array_equal(told["value"], line.value)
        assert tuple(told["shape"]) == np.shape(line.value) == np.shape(told["value"])
        assert (told["name"], told["formula"], told["note"]) == (line.name, line.formula, line.note)
        place = (told["step"], told["file"], told["line"], told["source"])
        assert place == ((line.step, *locations()[line.step]) if line.step else (None,) * 4)


@pytest.mark.parametrize("number", [-np.inf, np.nan])
def test_what_is_not_finite_is_null_in_the_data_and_named_in_the_text(number):
    subject = studied("model.hidden=[]")
    subject.net.biases[0][1] = number
    with np.errstate(all="ignore"):
        traced = trace(subject)
        data = as_data(traced)
    json.dumps(data, allow_nan=False)
    b = next(line for line in data["sections"]["the net"] if line["name"] == "b[0]")
    assert [entry is None for entry in b["value"]] == [False, True, False]
    assert str(number) in "\n".join(lines(traced))


def test_a_sparse_row_gives_the_numbers_of_the_dense_one():
    dense = studied("model.dtype=float64", D=30)
    dense.X[0, 3:] = 0
    row = Subject(dense.config, dense.net, sparse.csr_matrix(dense.X), dense.y, dense.about)
    plain = [line for line in flat(trace(dense)) if line.step != 1]  # a sparse X is not copied
    for one, other in zip(flat(trace(row)), plain, strict=True):
        assert (one.step, one.name) == (other.step, other.name)
        if one.step not in ("C", "D"):
            np.testing.assert_allclose(one.value, other.value, atol=1e-14)
    assert all(line.value < 1e-7 for line in trace(row).sections["measured"])
