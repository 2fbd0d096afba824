"""The gallery of mistakes: none stays in the core, and each is what it says."""

import numpy as np
import pytest
from tables import refused

import minnet.core.softmax as core
from minnet.core.activations import relu
from minnet.core.gradcheck import complex_step, relative_error
from minnet.core.network import MLP
from minnet.errors import ConfigError
from minnet.study import catches
from minnet.study.catches import CHECKS, caught, differing, example, listing, show, table, trained
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, Change, Mistake, swapped
from minnet.study.text import WIDTH

X, y = np.random.default_rng(0).normal(size=(5, 4)), np.array([0, 2, 1, 1, 0])
everyone = pytest.mark.parametrize("name", MISTAKES)


def exact(method="vjp"):
    """Whether the core's gradient is right to the last digits."""
    options = {"output_gradient": method, "dropout": 0.3, "l2": 0.1}
    net = MLP([4, 5, 5, 3], "tanh", dtype="float64", seed=1, **options)
    measured = complex_step(Loss(net, np.complex128, X, y, seed=0), net.theta)
    derived = net.loss_and_gradient(X, y, rng=np.random.default_rng(0))[1]
    return relative_error(measured, derived) < 1e-13


@everyone
def test_a_mistake_ends_with_the_block_and_the_right_code_passes_every_check_in_its_place(name):
    change, before = MISTAKES[name].change, MISTAKES[name].change.function.__code__
    assert not any(caught(MISTAKES[name], wrong=False).values())
    with pytest.raises(ZeroDivisionError), swapped(change):
        assert change.function.__code__ is not before
        raise ZeroDivisionError
    assert change.function.__code__ is before and exact(change.method)


def test_the_table_fits_its_width_and_has_no_column_that_is_full(monkeypatch):
    monkeypatch.setattr(catches, "trained", lambda mistake, wrong=True: 0.5)
    lines = table()
    assert max(map(len, lines)) <= WIDTH
    for head, (meaning, _) in CHECKS.items():
        end = lines[0].index(f"  {head}") + len(head) + 2
        found = [line[:end].endswith("yes") for line in lines[1 : len(MISTAKES) + 1]]
        assert 0 < sum(found) < len(found) and f"{head}: {meaning}" in " ".join(lines[-4:])


def test_a_check_that_raises_has_caught_it_and_the_error_is_printed(monkeypatch):
    wrong = Mistake(Change(core.softmax_vjp, "p * (dp - mean_dp)", "None + p"), "Why.")
    monkeypatch.setitem(MISTAKES, "other-shape", wrong)
    monkeypatch.setattr(catches, "differing", lambda mistake: {"p": (X, X)})
    assert caught(wrong)["diff L"].startswith("TypeError: ")
    assert trained(wrong).startswith("TypeError: ")
    lines = show("other-shape")
    assert any("error" in line for line in lines)
    assert any(line.startswith("wine: TypeError") for line in lines)


def test_a_shape_that_is_silent_for_as_many_rows_as_classes_is_an_error_for_others():
    for name in ("broadcast-n", "broadcast-mean"):
        with swapped(MISTAKES[name].change), pytest.raises(ValueError, match="broadcast"):
            MLP([4, 3]).loss_and_gradient(X, y)


def test_a_mistake_acts_only_while_inside_and_wherever_its_function_is_used():
    with swapped(MISTAKES["diagonal-jacobian"].change):
        assert exact("vjp") and not exact("jacobian")
    assert exact("jacobian")
    with swapped(MISTAKES["relu-slope-everywhere"].change):
        relu(np.array([-1.0]), np.empty(1), slope := np.empty(1))
    assert slope == 1


def test_a_net_with_the_mistake_computes_what_its_formula_says():
    def wrong(name):
        return example(MISTAKES[name], wrong=True)

    Y, r, I = np.eye(3), np.array([[0.25], [0.5], [0.25]]), np.eye(3)
    np.testing.assert_allclose(wrong("y-minus-p")["dz"], r * (Y - wrong("y-minus-p")["p"]))
    np.testing.assert_allclose(wrong("lost-1-over-p")["dp"], -r * Y, atol=1e-16)
    rows = np.array([np.eye(3, k=i)[i] for i in range(3)])
    for name, J in {
        "diagonal-jacobian": lambda p: np.diag(p * (1 - p)),
        "eye-k": lambda p: p[:, None] * (rows - p),
        "p-times-I-minus-p": lambda p: p.T * (I - p),
        "p-at-I-minus-p": lambda p: 0 * I + p.T @ (I - p),
        "z-for-p": lambda p: np.log(p)[:, None] * (I - np.log(p)),
    }.items():
        p = wrong(name)["p"]
        np.testing.assert_allclose(wrong(name)["J of the first row"], J(p[0]), atol=1e-15)
        dz = [J(row).T @ d for row, d in zip(p, -r * Y / p, strict=True)]
        np.testing.assert_allclose(wrong(name)["dz"], dz, atol=1e-15)


def test_the_mistakes_in_the_layers_are_those_of_their_formulas():
    net = MLP([4, 5, 5, 3], "tanh", dropout=0.3, dtype="float64", seed=1)
    batch = net.prepare(X, y, rng=np.random.default_rng(0))
    tape = batch[2]
    with swapped(MISTAKES["missing-transpose"].change):
        net.step(*batch)
    np.testing.assert_allclose(tape[1].dh, tape[1].da @ net.weights[1], atol=1e-15)
    np.testing.assert_allclose(tape[2].dh, tape[2].da @ net.weights[2].T, atol=1e-15)
    with swapped(MISTAKES["dropout-without-mask"].change):
        net.step(*batch)
    np.testing.assert_allclose(tape[1].dh, tape[1].da @ net.weights[1].T)  # the net is mended
    without_mask = tape[2].dh * (1 - np.tanh(tape[1].a) ** 2)
    np.testing.assert_allclose(tape[1].da, without_mask, atol=1e-15)


@everyone
def test_a_mistake_shows_its_reason_its_line_beside_the_core_s_its_numbers_and_its_row(
    name, monkeypatch
):
    monkeypatch.setattr(catches, "trained", lambda mistake, wrong=True: 0.5)
    mistake, lines = MISTAKES[name], show(name)  # warnings are errors in these tests
    text, changed = "\n".join(lines), [*mistake.change.lines()]
    assert max(map(len, lines)) <= WIDTH and " ".join(text.split()).startswith(mistake.why)
    assert changed and mistake.change.sources[0].count(mistake.change.old) == len(changed)
    for _, right, wrong in changed:
        assert f"  right  {right}\n  wrong  {wrong}\n" in text
        assert right.partition("  #")[0] in mistake.change.sources[0]
        assert wrong in mistake.change.sources[1]
    assert f"\n{name} " in text and "largest difference" in text
    assert "\x1b" not in text and "\x1b[31m" in "\n".join(show(name, colour=True))
    first, *_, last = [*differing(mistake)] * 2  # from where the mistake enters
    assert f"\n  {first}: right, wrong; " in text and f"\n  {last}: right, wrong; " in text
    assert last == ("L" if name in ("l2-forgotten", "log-of-p") else "dW of layer 1")


def test_what_the_gallery_says_in_figures_is_so():
    arrays = example(MISTAKES["diagonal-jacobian"], wrong=False)
    np.testing.assert_allclose(arrays["p"], [[0.1, 0.5, 0.4], [0.3, 0.1, 0.6], [0.7, 0.2, 0.1]])
    np.testing.assert_allclose(arrays["dz"][0], [-0.225, 0.125, 0.1])
    right, wrong = differing(MISTAKES["clip-in-division"])["dz"]
    assert wrong[0, 0] / right[0, 0] == pytest.approx(0.09, abs=0.005)
    with swapped(MISTAKES["softmax-without-shift"].change):
        for dtype, largest in ((np.float64, 709), (np.float32, 88)):
            z = np.array([[largest, 0.0], [largest + 1, 0.0]], dtype)
            assert np.isfinite(core.softmax(z)).all(axis=1).tolist() == [True, False]
    twice = core.softmax(np.eye(3))  # of a p that is quite sure
    assert twice.max() == pytest.approx(0.576, abs=1e-3)
    assert -np.log(twice.max()) == pytest.approx(0.551, abs=1e-3)
    with swapped(MISTAKES["log-of-p"].change):
        losses = core.cross_entropy(np.array([[0.0, 745.0], [0.0, 746.0]]), [0, 0])
    assert np.isfinite(losses).tolist() == [True, False]


def test_of_all_checks_differences_see_most_and_these_are_what_each_of_the_others_is_for():
    """The whole table is quoted in docs/backprop.md."""
    found = {
        name: {head for head, seen in caught(MISTAKES[name]).items() if seen} for name in MISTAKES
    }
    at_large = {"clip-in-division", "softmax-without-shift", "log-of-p"}
    assert {name for name, heads in found.items() if heads == {"large"}} == at_large
    assert [name for name, heads in found.items() if "again" in heads] == ["gradient-not-cleared"]
    unseen = {name for name, heads in found.items() if not heads}
    assert unseen == {"zero-initialisation", "dead-relu"}
    without = {name for name, heads in found.items() if "diff L" not in heads}
    assert without == at_large | unseen | {"gradient-not-cleared"}
    for_one_row = {
        name for name, heads in found.items() if "p-y K" in heads and "p-y 1" not in heads
    }
    assert for_one_row == {"eye-k", "missing-1-over-n", "batch-in-jacobian"}


def test_the_list_names_each_with_its_first_sentence():
    lines = listing()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(MISTAKES)
    assert "diagonal-jacobian      Only the diagonal of J." in lines


def test_an_unknown_name_is_one_line_with_the_nearest():
    assert refused(ConfigError, show, "Dead_ReLU").endswith("; did you mean dead-relu?")
    said = refused(ConfigError, show, "x\ny" * 100)
    assert said.endswith("; minnet study --mistake list lists them")
