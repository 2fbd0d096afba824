"""The gallery of mistakes: each is what its row of the table says, and none stays in the core."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

import minnet.core.network as core_network
import minnet.core.softmax as core_softmax
from minnet.core.activations import ACTIVATIONS
from minnet.core.gradcheck import complex_step, relative_error
from minnet.core.network import MLP
from minnet.core.softmax import OUTPUT_GRADIENTS, softmax_jacobian
from minnet.errors import ConfigError
from minnet.study import catches
from minnet.study.catches import CHECKS, caught, differing, example, listing, show, table, trained
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Mistake, by_rows, find, swapped
from minnet.study.text import WIDTH

# The checks that catch each, and the accuracy on wine. Why the others do not is said where it is
# not plain.
TABLE = {
    # J alone is wrong
    "diagonal-jacobian": ("rows, p-y 1, p-y K, diff J, diff L, large", 0.96),
    "eye-k": ("sym, rows, p-y K, diff J, diff L", 0.60),  # row 0 of J is right
    "p-times-I-minus-p": ("sym, rows, p-y 1, p-y K, diff J, diff L, large", 0.99),
    "p-at-I-minus-p": ("p-y 1, p-y K, diff J, diff L, large", 0.44),  # zeros: symmetric, sum to 0
    "z-for-p": ("rows, p-y 1, p-y K, diff J, diff L, large", "diverges"),  # symmetric
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
    "softmax-over-batch": ("rows, sum p, diff L", 0.99),  # J is right within a row
    "broadcast-n": ("rows, sum p, diff J, diff L", 0.99),  # for one row all is right
    "broadcast-mean": ("diff L", 0.99),  # right if all rows weigh the same, except in diff L
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


def exact(method="vjp"):
    """Whether the core's gradient is right to the last digits."""
    options = {"output_gradient": method, "dropout": 0.3, "l2": 0.1}
    net = MLP([4, 5, 5, 3], "tanh", dtype="float64", seed=1, **options)
    measured = complex_step(Loss(net, np.complex128, X, y, seed=0), net.theta)
    derived = net.loss_and_gradient(X, y, rng=np.random.default_rng(0))[1]
    return relative_error(measured, derived) < 1e-13


def the_core():
    """What a mistake may change, as it is now."""
    owners = [vars(owner).copy() for owner in (core_softmax, core_network, MLP)]
    return [*owners, dict(ACTIVATIONS), dict(OUTPUT_GRADIENTS)]


# The table


@everyone
def test_exactly_these_checks_catch_the_mistake_and_it_trains_as_far_as_the_table_says(mistake):
    before = the_core()
    checks, accuracy = TABLE[mistake.name]
    assert ", ".join(head for head, verdict in caught(mistake).items() if verdict) == checks
    reached = trained(mistake)
    assert reached == (accuracy if accuracy == "diverges" else pytest.approx(accuracy, abs=0.05))
    assert not any(caught(mistake, wrong=False).values())
    assert trained(mistake, wrong=False) > 0.95
    with pytest.raises(ZeroDivisionError), swapped(mistake):
        assert the_core() != before
        raise ZeroDivisionError
    assert the_core() == before and exact(mistake.method)


@pytest.mark.parametrize("method", OUTPUT_GRADIENTS)
@pytest.mark.parametrize("check", CHECKS)
def test_the_right_code_passes_every_check_with_any_output_gradient(check, method):
    for activation in ("tanh", "relu"):
        net = MLP([4, 5, 5, 3], activation, output_gradient=method, dtype="float64", seed=1)
        assert CHECKS[check][1](net)


def test_the_printed_table_has_these_rows_and_no_column_is_full():
    lines = table()
    assert max(map(len, lines)) <= WIDTH
    heads = {head: lines[0].index(head) + len(head) for head in (*CHECKS, "wine", "right")}
    for line, (name, (marks, _)) in zip(lines[1 : len(TABLE) + 1], TABLE.items(), strict=True):
        assert line.startswith(name)
        assert ", ".join(head for head in CHECKS if line[: heads[head]].endswith("yes")) == marks
    for meaning, _ in CHECKS.values():
        assert meaning in " ".join(lines[len(TABLE) + 1 :])
    for head in CHECKS:
        assert 0 < sum(head in text for text, _ in TABLE.values()) < len(TABLE)


def of_another_shape(p):
    return p[:-1]


def test_a_check_that_raises_has_caught_it_and_the_error_is_printed(monkeypatch):
    wrong = Mistake(of_another_shape, "softmax_vjp", 15)
    monkeypatch.setitem(MISTAKES, wrong.name, wrong)
    monkeypatch.setattr(catches, "differing", lambda mistake: {"p": (X, X)})
    assert caught(wrong)["diff L"].startswith("TypeError: ")
    assert trained(wrong).startswith("TypeError: ")
    lines = show(wrong.name)
    assert any("error" in line for line in lines)
    assert any(line.startswith("wine: TypeError") for line in lines)


def test_a_shape_that_is_silent_for_as_many_rows_as_classes_is_an_error_for_others():
    for name in ("broadcast-n", "broadcast-mean"):
        with swapped(MISTAKES[name]), pytest.raises(ValueError, match="broadcast"):
            MLP([4, 3]).loss_and_gradient(X, y)


def test_a_mistake_acts_only_while_inside():
    with swapped(MISTAKES["diagonal-jacobian"]):
        assert exact("vjp") and not exact("jacobian")
    assert exact("jacobian")


def test_neither_warnings_nor_messages_of_wrong_code_reach_the_user(capfd):
    with swapped(MISTAKES["softmax-without-shift"]):  # warnings are errors in these tests
        assert np.isnan(core_softmax.softmax(np.array([[1000.0, 0.0]]))).any()
    show("z-for-p")
    assert capfd.readouterr() == ("", "")


# The functions


def test_a_net_with_the_mistake_computes_what_its_wrong_function_says():
    Y, r = np.eye(3), np.array([[0.25], [0.5], [0.25]])
    wrong = example(MISTAKES["y-minus-p"], wrong=True)
    np.testing.assert_allclose(wrong["dz"], r * (Y - wrong["p"]))
    lost = example(MISTAKES["lost-1-over-p"], wrong=True)
    np.testing.assert_allclose(lost["dp"], -r * Y, atol=1e-16)
    for name in ("diagonal-jacobian", "eye-k", "p-times-I-minus-p"):
        J, arrays = MISTAKES[name].function, example(MISTAKES[name], wrong=True)
        p = arrays["p"]
        np.testing.assert_array_equal(arrays["J of the first row"], J(p[0]))
        dz = [J(row).T @ d for row, d in zip(p, -r * Y / p, strict=True)]
        np.testing.assert_allclose(arrays["dz"], dz, atol=1e-15)
    p = np.full((2, 4, 3), 1 / 3, np.float32)
    J = by_rows(MISTAKES["p-at-I-minus-p"].function)(p)
    assert J.shape == (2, 4, 3, 3) and J.dtype == p.dtype and np.abs(J).max() < 1e-7


def test_the_mistakes_in_the_layers_are_those_of_their_functions():
    net = MLP([4, 5, 5, 3], "tanh", dropout=0.3, dtype="float64", seed=1)
    X_, T_, tape = net.prepare(X, y, rng=np.random.default_rng(0))
    with swapped(MISTAKES["missing-transpose"]):
        net.step(X_, T_, tape)
    wrong = MISTAKES["missing-transpose"].function
    dW, db, dh = wrong(tape[1].h, net.weights[1], tape[1].da)
    np.testing.assert_allclose(tape[1].dh, dh, atol=1e-15)
    np.testing.assert_allclose(net.layers[1].dWb, [*dW, db], atol=1e-15)
    with swapped(MISTAKES["dropout-without-mask"]):
        net.step(X_, T_, tape)
    np.testing.assert_allclose(tape[1].dh, tape[1].da @ net.weights[1].T)  # the net is mended
    without_mask = tape[2].dh * (1 - np.tanh(tape[1].a) ** 2)
    np.testing.assert_allclose(tape[1].da, without_mask, atol=1e-15)


# In print


@everyone
def test_a_mistake_shows_its_code_with_its_reason_its_numbers_and_its_row(mistake, monkeypatch):
    monkeypatch.setattr(catches, "trained", lambda mistake, wrong=True: 0.5)
    lines = show(mistake.name)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= WIDTH
    assert inspect.getsource(mistake.function) in text
    assert ("\nstep (" in text) == (mistake.step is not None)
    assert f"\n{mistake.name} " in text and "largest difference" in text
    assert "\x1b" not in text and "\x1b[31m" in "\n".join(show(mistake.name, colour=True))
    # from where the mistake enters
    arrays = list(differing(mistake))
    first = {"softmax_and_log": "p", "softmax_vjp": "dz", "softmax_jacobian": "J of the first row"}
    first |= {"penalty": "L", "relu": "da of layer 1", "loss_gradient": "dp", "fused": "dz"}
    first |= {"backward": f"d{'h' if mistake.step == 22 else 'a'} of layer 1"}
    first |= {"initialise": "b of layer 1" if mistake.name == "dead-relu" else "W of layer 1"}
    assert arrays[0] == first[mistake.replaces]
    assert arrays[-1] == ("L" if mistake.name == "l2-forgotten" else "dW of layer 1")


def test_the_core_line_beside_a_mistake_is_the_core_s_own(monkeypatch):
    monkeypatch.setattr(catches, "trained", lambda mistake, wrong=True: 0.5)
    lines = show("diagonal-jacobian")
    line = lines[lines.index("right") + 2]
    assert "# (15)" in line and line in inspect.getsource(softmax_jacobian)


def test_what_the_gallery_says_in_figures_is_so():
    arrays = example(MISTAKES["diagonal-jacobian"], wrong=False)
    np.testing.assert_allclose(arrays["p"], [[0.1, 0.5, 0.4], [0.3, 0.1, 0.6], [0.7, 0.2, 0.1]])
    np.testing.assert_allclose(arrays["dz"][0], [-0.225, 0.125, 0.1])
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
    code = "import sys; from minnet.study.catches import listing; listing()"
    code += "; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
