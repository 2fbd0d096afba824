"""The gallery of mistakes: each is what its row of the table says, and none is left behind in the core."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import minnet.core.network as core_network
import minnet.core.softmax as core_softmax
from minnet.core.gradcheck import gradient_errors
from minnet.core.network import MLP
from minnet.core.softmax import ROADS, one_hot, softmax, softmax_jacobian, softmax_vjp
from minnet.errors import ConfigError
from minnet.study import catches
from minnet.study.catches import CHECKS, caught, differing, example, listing, show, table, trained
from minnet.study.mistakes import MISTAKES, Mistake, find, swapped
from minnet.study.text import WIDTH

# The checks that catch each, and the accuracy on wine. Why the others do not is said where it is not plain.
TABLE = {
    # J alone is wrong
    "diagonal-jacobian": ("rows, p-y 1, p-y K, diff J, diff L, large", 0.96),
    "eye-k": ("sym, rows, p-y K, diff J, diff L", 0.60),  # the row of J that one true class 0 checks is right
    "p-times-I-minus-p": ("sym, rows, p-y 1, p-y K, diff J, diff L, large", 0.99),
    "p-at-I-minus-p": ("p-y 1, p-y K, diff J, diff L, large", 0.44),  # zeros are symmetric and sum to 0
    "z-for-p": ("rows, p-y 1, p-y K, diff J, diff L, large", "diverges"),  # z_i (delta_ik - z_k) is symmetric
    # J is right, what is made of it is not
    "summed-jacobian": ("p-y 1, p-y K, diff L, large", 0.44),
    "lost-1-over-p": ("p-y 1, p-y K, diff L, large", 0.98),
    "clip-in-division": ("large", 1.00),  # right until p falls below the clip
    "true-class-only": ("p-y 1, p-y K, diff L, large", 0.96),
    "twice-derived": ("p-y 1, p-y K, diff L, large", 0.94),
    "y-minus-p": ("p-y 1, p-y K, diff L, large", 0.01),
    "missing-1-over-n": ("p-y K, diff L", 0.99),  # the other checks take one row
    # p is wrong; p - y holds for any p
    "softmax-over-axis-0": ("rows, sum p, diff J, diff L, large", 1.00),
    "softmax-over-batch": ("rows, sum p, diff L", 0.99),  # J is right within a row; for one row all is
    "broadcast-n": ("rows, sum p, diff J, diff L", 0.99),  # for one row all is right
    "broadcast-mean": ("diff L", 0.99),  # right as long as all rows weigh the same, which only diff L's do not
    "softmax-without-shift": ("large", 1.00),  # right until exp overflows
    "softmax-base-2": ("diff J, diff L", 1.00),
    # the layers, which only a difference of L looks at
    "missing-transpose": ("diff L", 0.96),
    "dropout-without-mask": ("diff L", 1.00),
    "relu-slope-everywhere": ("diff L", 0.99),
    # backprop is right
    "l2-forgotten": ("diff L", 0.99),  # the check is what is wrong
    "zero-initialisation": ("", 0.40),  # the share of the largest class
    "dead-relu": ("", 0.40),
}
everyone = pytest.mark.parametrize("mistake", MISTAKES.values(), ids=lambda mistake: mistake.name)
X = np.random.default_rng(0).normal(size=(5, 4))
y = np.array([0, 2, 1, 1, 0])


def exact(road="vjp"):
    """Whether the core's gradient is right to the last digits."""
    net = MLP([4, 5, 5, 3], "tanh", output_gradient=road, dropout=0.3, l2=0.1, dtype="float64", seed=1)
    return gradient_errors(net, X, y, rng_seed=0)["theta"] < 1e-13


def the_core():
    """What a mistake may change, as it is now."""
    return [vars(owner).copy() for owner in (core_softmax, core_network, MLP)]


# The table


@everyone
def test_exactly_these_checks_catch_the_mistake(mistake):
    assert ", ".join(head for head, verdict in caught(mistake).items() if verdict) == TABLE[mistake.name][0]


@everyone
def test_the_mistake_trains_as_far_as_the_table_says(mistake):
    expected, reached = TABLE[mistake.name][1], trained(mistake)
    assert reached == expected if isinstance(expected, str) else reached == pytest.approx(expected, abs=0.05)


@everyone
def test_no_check_catches_the_right_code_and_it_trains(mistake):
    assert not any(caught(mistake, wrong=False).values())
    assert trained(mistake, wrong=False) > 0.95


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("check", CHECKS)
def test_no_check_catches_the_right_code_on_any_road(check, road):
    for activation in ("tanh", "relu"):
        assert CHECKS[check][1](MLP([4, 5, 5, 3], activation, output_gradient=road, dtype="float64", seed=1)) is False


def test_each_check_catches_something_and_none_everything():
    for head in CHECKS:
        assert 0 < sum(head in text for text, _ in TABLE.values()) < len(TABLE)


def test_the_printed_table_has_these_rows():
    lines = table()
    assert max(map(len, lines)) <= WIDTH
    heads = {head: lines[0].index(head) + len(head) for head in (*CHECKS, "wine", "right")}
    for line, (name, (marks, _)) in zip(lines[1 : len(TABLE) + 1], TABLE.items(), strict=True):
        assert line.startswith(name)
        assert ", ".join(head for head in CHECKS if line[: heads[head]].endswith("yes")) == marks
    for meaning, _ in CHECKS.values():
        assert meaning in " ".join(lines[len(TABLE) + 1 :])


def test_a_check_that_raises_has_caught_it_and_the_error_is_on_show(monkeypatch):
    def of_another_shape(p):
        return p[:-1]

    monkeypatch.setitem(MISTAKES, "of-another-shape", Mistake(of_another_shape, "softmax_vjp", 14))
    monkeypatch.setattr(catches, "differing", lambda mistake: {"p": (X, X)})
    monkeypatch.setattr(catches, "code", lambda function: [])
    verdict = caught(MISTAKES["of-another-shape"])["diff L"]
    assert isinstance(verdict, str) and verdict.startswith("TypeError: ")
    assert trained(MISTAKES["of-another-shape"]).startswith("TypeError: ")
    lines = show("of-another-shape")
    assert any("error" in line for line in lines) and any(line.startswith("wine: TypeError") for line in lines)


def test_a_shape_that_is_silent_for_as_many_rows_as_classes_is_an_error_for_others():
    for name in ("broadcast-n", "broadcast-mean"):
        with swapped(MISTAKES[name]), pytest.raises(ValueError, match="broadcast"):
            MLP([4, 3]).loss_and_gradient(X, y)


# The core, before and after


@everyone
def test_the_core_is_as_it_was_after_a_mistake(mistake):
    before = the_core()
    caught(mistake), differing(mistake), trained(mistake)
    with pytest.raises(ZeroDivisionError), swapped(mistake):
        assert the_core() != before
        raise ZeroDivisionError
    assert the_core() == before
    assert exact(mistake.road)


def test_a_mistake_acts_only_while_inside():
    with swapped(MISTAKES["diagonal-jacobian"]):
        assert exact("vjp") and not exact("jacobian")
    assert exact("jacobian")


def test_neither_warnings_nor_messages_of_wrong_code_reach_the_user(capfd):
    with swapped(MISTAKES["softmax-without-shift"]):  # warnings are errors in these tests
        assert np.isnan(core_softmax.softmax(np.array([[1000.0, 0.0]]))).any()
    for name in ("z-for-p", "softmax-without-shift"):
        show(name)
    assert capfd.readouterr() == ("", "")


# The functions, which the exercises are compared with

P = softmax([[1.0, -0.5, 0.3], [0.0, 2.0, 0.1], [-1.0, 0.5, 1.0], [0.2, 0.3, -2.0]])
Y = one_hot([0, 1, 2, 1], P.shape)
DP = np.random.default_rng(1).normal(size=P.shape)


def right_and_arguments(replaces):
    """The right function of this kind, and something to call it with; four rows, or as many as classes."""
    return {
        "softmax": (softmax, [4 * DP]),
        "softmax_jacobian": (softmax_jacobian, [P[0]]),
        "softmax_jacobian(z)": (lambda z: softmax_jacobian(softmax(z)), [DP[0]]),
        "softmax_vjp": (softmax_vjp, [P, DP]),
        "dp": (lambda p, Y: -Y / p / len(Y), [P, Y]),
        "dz": (lambda p, Y: (p - Y) / len(Y), [P, Y]),
        "dropout_backward": (lambda dh, mask: dh * mask, [DP, Y]),
        "relu_slope": (lambda a, h: a > 0, [DP, np.maximum(DP, 0)]),
    }[replaces]


@pytest.mark.parametrize("name", [name for name in MISTAKES if MISTAKES[name].replaces[:3] not in ("MLP", "lin")])
def test_a_wrong_function_has_the_signature_of_the_right_one_and_another_result(name):
    mistake = MISTAKES[name]
    right, arguments = right_and_arguments(mistake.replaces)
    if mistake.name.startswith("broadcast"):
        arguments = [x[:3] for x in arguments]
    if mistake.name == "clip-in-division":
        arguments = [softmax(200 * DP), Y]
    if mistake.name == "softmax-without-shift":
        arguments = [1000 * DP]
    with np.errstate(all="ignore"):
        wrong = np.asarray(mistake.function(*arguments))
    assert not np.allclose(wrong, right(*arguments))
    assert wrong.shape == right(*arguments).shape or mistake.name == "p-at-I-minus-p"


def test_a_net_with_the_mistake_computes_what_its_wrong_function_says():
    p, Y, r = example(MISTAKES["y-minus-p"], wrong=True)["p"], np.eye(3), np.array([[0.25], [0.5], [0.25]])
    np.testing.assert_allclose(example(MISTAKES["y-minus-p"], wrong=True)["dz"], r * (Y - p))
    np.testing.assert_allclose(example(MISTAKES["lost-1-over-p"], wrong=True)["dp"], -r * Y, atol=1e-16)
    for name in ("diagonal-jacobian", "eye-k", "p-times-I-minus-p"):
        wrong = MISTAKES[name].function(p[0])
        np.testing.assert_array_equal(example(MISTAKES[name], wrong=True)["J of the first row"], wrong)
        dz = [MISTAKES[name].function(p_n).T @ dp_n for p_n, dp_n in zip(p, -r * Y / p, strict=True)]
        np.testing.assert_allclose(example(MISTAKES[name], wrong=True)["dz"], dz, atol=1e-15)


def test_the_mistakes_in_the_layers_are_those_of_their_functions():
    net = MLP([4, 5, 5, 3], "tanh", dropout=0.3, dtype="float64", seed=1)
    X1, _, r, dlogp, ws = net.prepare(X, y, rng=np.random.default_rng(0))
    net.forward(X1, ws), net.loss(dlogp, r, ws)
    for name in ("missing-transpose", "dropout-without-mask"):
        with swapped(MISTAKES[name]):
            net.backward(dlogp, ws)
        if name == "missing-transpose":
            dW, db, dh = MISTAKES[name].function(ws.kept[1], net.weights[1], ws.da[1])
            np.testing.assert_allclose(ws.dh[1], dh * ws.mask[1], atol=1e-15)
            np.testing.assert_allclose(net.dWb[1], [*dW, db], atol=1e-15)
        else:
            right = ws.dz @ net.weights[2].T
            np.testing.assert_allclose(ws.dh[2], MISTAKES[name].function(right, ws.mask[2]), atol=1e-15)


# On show


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(catches, "trained", lambda mistake, wrong=True: 0.5)


@everyone
def test_a_mistake_shows_its_sentence_its_code_its_numbers_and_its_row(mistake, untrained):
    lines = show(mistake.name)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == mistake.name
    assert " ".join(lines[1 : lines.index("")]) == mistake.sentence
    assert f"    def {mistake.function.__name__}(" in text and '"""' not in text
    assert ("    step (" in text) == (mistake.step is not None)
    assert f"\n{mistake.name} " in text and "largest difference" in text
    assert "\x1b" not in text and "\x1b[31m" in "\n".join(show(mistake.name, colour=True))


def test_the_core_line_beside_a_mistake_is_the_core_s_own(untrained):
    line = "return p[..., :, None] * (eye - p[..., None, :])  # (14) p_i (delta_ik - p_k)"
    assert f"    {line}" in show("diagonal-jacobian")
    assert line in inspect.getsource(softmax_jacobian)


@everyone
def test_the_numbers_differ_from_where_the_mistake_enters(mistake):
    arrays = list(differing(mistake))
    first = {"softmax": "p", "softmax_vjp": "dz", "softmax_jacobian": "J of the first row", "MLP.penalty": "L"}
    first |= {"softmax_jacobian(z)": "J of the first row", "linear_backward": "dh of layer 1"}
    first |= {"dropout_backward": "dh of layer 1", "relu_slope": "da of layer 1", "dp": "dp", "dz": "dz"}
    first |= {"MLP.initialise": "b of layer 1" if mistake.name == "dead-relu" else "W of layer 1"}
    assert arrays[0] == first[mistake.replaces]
    assert arrays[-1] == ("L" if mistake.name == "l2-forgotten" else "dW of layer 1")


def test_the_right_numbers_of_the_example_are_friendly():
    arrays = example(MISTAKES["diagonal-jacobian"], wrong=False)
    np.testing.assert_allclose(arrays["p"], [[0.1, 0.5, 0.4], [0.3, 0.1, 0.6], [0.7, 0.2, 0.1]])
    np.testing.assert_allclose(arrays["dz"][0], [-0.225, 0.125, 0.1])


def test_what_the_gallery_says_in_figures_is_so():
    right, wrong = differing(MISTAKES["clip-in-division"])["dz"]
    assert wrong[0, 0] / right[0, 0] == pytest.approx(0.09, abs=0.005)
    with swapped(MISTAKES["softmax-without-shift"]):
        for dtype, largest in ((np.float64, 709), (np.float32, 88)):
            z = np.array([[largest, 0.0], [largest + 1, 0.0]], dtype)
            assert np.isfinite(core_softmax.softmax(z)).all(axis=1).tolist() == [True, False]


def test_the_list_names_each_with_its_first_sentence_and_needs_no_scikit_learn():
    lines = listing()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(MISTAKES)
    assert "diagonal-jacobian      Only the diagonal of J." in lines
    code = "import sys; from minnet.study import catches; catches.listing(); print('sklearn' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("diagonal", "did you mean diagonal-jacobian?"),
        ("Dead_ReLU", "did you mean dead-relu?"),
        ("missing-1/N", "did you mean missing-1-over-n?"),
        ("x\ny" * 100, "minnet study --mistake list lists them"),
    ],
)
def test_an_unknown_name_is_one_line_with_the_nearest(name, hint):
    for look in (find, show):
        with pytest.raises(ConfigError) as caught_error:
            look(name)
        assert str(caught_error.value).endswith(f"; {hint}")
        assert "\n" not in str(caught_error.value)
