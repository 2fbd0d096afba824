"""Right solutions pass in any style, wrong ones do not, classic mistakes in them are named, and
whatever a file does ends in a verdict."""

import ast
import contextlib
import doctest
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from minnet import cli
from minnet.study import grade as grading
from minnet.study import runner, solutions
from minnet.study.exercises import EXERCISES, drawn
from minnet.study.grade import _arrays, _difference, grade, lines, part
from minnet.study.mistakes import MISTAKES

FOLDER = Path(__file__).parent.parent / "docs" / "exercises"
STUBS = sorted(FOLDER.glob("*.py"))
HEADER, *TEXTS = Path(solutions.__file__).read_text(encoding="utf-8").split("\n\n\n")
HEADER = "\n\n".join([HEADER, "from numpy.linalg import norm", *TEXTS])
exec(HEADER, OURS := {})
SOLUTIONS = {text[4 : text.index("(")]: f"{text}\n" for text in TEXTS}
ALONE = """
def training_step(X, y, W1, b1, W2, b2, learning_rate):
    Y = np.eye(len(b2))[y]
    a = X @ W1 + b1
    h = np.maximum(a, 0)
    z = h @ W2 + b2
    s = z - z.max(axis=1, keepdims=True)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    L = (np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(y)), y]).mean()
    dz = (p - Y) / len(X)
    dh = dz @ W2.T
    da = dh * (a > 0)
    W1, b1 = W1 - learning_rate * X.T @ da, b1 - learning_rate * da.sum(axis=0)
    W2, b2 = W2 - learning_rate * h.T @ dz, b2 - learning_rate * dz.sum(axis=0)
    return L, W1, b1, W2, b2
"""
IN_PLACE = """
def central_differences(f, x):
    h = 1e-5
    gradient = np.zeros_like(x)
    for j in range(len(x)):
        before = x[j]
        x[j] = before + h
        above = f(x)
        x[j] = before - h
        below = f(x)
        x[j] = before
        gradient[j] = (above - below) / (2 * h)
    return gradient
"""
BASES = SOLUTIONS | {"training_step": ALONE, "central_differences": IN_PLACE}
CORES_HEADER = """
from typing import Any
import numpy as np
from numpy.typing import ArrayLike, NDArray
from minnet.core.activations import relu
from minnet.core.softmax import _tiny, softmax_jacobian, softmax_vjp
"""

# What a learner makes of the core's functions with a mistake, here `wrong`
DZ = "wrong(p, np.eye(p.shape[1])[y] / len(y))"
LEARNERS = {
    "softmax_and_log": "def softmax(z): return wrong(z)[0]",
    "softmax_jacobian": "def softmax_jacobian(p): return wrong(p)",
    "softmax_vjp": "def softmax_vjp(p, dp): return wrong(p, dp)",
    "loss_gradient": f"def output_gradient(p, y): return softmax_vjp(p, {DZ})",
    "fused": f"def output_gradient(p, y): return {DZ}",
    "relu": "def relu_backward(dh, a):\n    wrong(a, a * 0, s := a * 0)\n    return dh * s",
}
REPLACED = {name: mistake.change.function.__name__ for name, mistake in MISTAKES.items()}
IN_THE_GALLERY = [name for name in MISTAKES if REPLACED[name] in LEARNERS]
for name in ("p-at-I-minus-p", "log-of-p"):
    IN_THE_GALLERY.remove(name)  # below: a learner's p is (K,), and log p is not what they return
MAX, SUM = " - z.max(axis=1, keepdims=True)", "sum(axis=1, keepdims=True)"
MEAN = "(dp - (dp * p).sum(axis=1, keepdims=True))"
LOSS = "np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]"
P_TRUE = f"(np.exp(z) / np.exp(z).{SUM})[np.arange(len(y)), y]"
VECTOR = "if p.ndim == 1: return p @ (np.eye(len(p)) - p)\n    return"
TWICE = "p = np.exp(p) / np.exp(p).sum(-1, keepdims=True)\n    return"
LINEAR = "h.T @ da, da.sum(axis=0), da @ W.T"
VERDICT = "bool(np.abs(measured - dx).max() <= 1e-5 * np.abs(measured).max())"
P_Y = "(p - np.eye(p.shape[1])[y]) / len(y)"
# function, what stands in the solution, what stands there instead, what is said of it
SLIPS = [
    ("softmax", f" / exp.{SUM}", "", "not divided by its sum"),
    ("softmax", MAX, "", "softmax-without-shift"),
    ("softmax", "axis=1", "axis=0", "softmax-over-axis-0"),
    ("softmax_jacobian", "(np.eye(p.shape[-1]) - ", "(0 - ", "the diagonal lacks its p_i"),
    ("softmax_jacobian", "return", TWICE, "applied to p"),
    ("softmax_jacobian", "return", VECTOR, "p-at-I-minus-p"),
    ("softmax_vjp", MEAN, "dp", "not subtracted"),
    ("softmax_vjp", MEAN, "(1 - p) * dp", "diagonal-jacobian"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE})", "log-of-p"),
    ("linear_backward", LINEAR, "h.T @ da / len(h), da.mean(0), da @ W.T", "one-over-n-twice"),
    ("output_gradient", "/ len(y)", "/ p.shape[1]", "divided by K"),
    ("output_gradient", P_Y, "np.eye(p.shape[1])[y] - p", "y-minus-p, missing-1-over-n"),
    ("linear_forward", "@ W", "@ W.T", "W is transposed"),
    ("linear_backward", "W.T", "W", "missing-transpose"),
    ("linear_backward", LINEAR, "da @ W.T, h.T @ da, da.sum(axis=0)", "another order"),
    ("relu", "np.maximum(a, 0)", "abs(a)", "|a|"),
    ("relu_backward", "a > 0", "a >= 0", ">= stands where"),
    ("training_step", "dz @ W2.T", "dz @ W2", "missing-transpose"),
    ("training_step", "(p - Y)", "Y * (p - Y)", "true-class-only"),
    ("training_step", "W2.T", "(W2 - learning_rate * h.T @ dz).T", "updated-w-for-dh"),
    ("training_step", "/ len(X)", "/ len(X) / len(X)", "one-over-n-twice"),
    (
        "training_step",
        "h @ W2 + b2\n",
        "h @ W2 + b2\n    z = np.exp(z) / np.exp(z).sum(1, keepdims=1)\n",
        "softmax-twice",
    ),
    ("central_differences", "(2 * h)", "h", "it is 2h"),
    ("softmax", "z.max(", "z.mean(", "the mean is subtracted"),
]


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Attempts are noted in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def graded(tmp_path):
    """Grade a file with this text, as `minnet study` does."""
    path = tmp_path / "solution.py"
    return lambda text: path.write_text(f"import numpy as np\n{text}") and grade(path)


def own(args):
    """The same arguments, as they come out of a pipe."""
    return [x.copy() if isinstance(x, np.ndarray) else x for x in args]


def judged(text):
    """The same without a process, where our solutions can be called too."""
    exec(compile(text, "solution.py", "exec"), made := OURS.copy())

    def ask(name, args):
        return runner.answered(made[name], own(args), "solution.py")

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = re.findall(r"^(?:def )?(\w+)(?:\(| =)", text, re.MULTILINE)
        return [part(name, ask) for name in EXERCISES if name in names and name in made]


def text(parts):
    return " ".join("\n".join(lines(parts)).split())


def fault(parts):
    """The check that failed, and what is said of it."""
    [found] = [(claim, lines) for part in parts for claim, lines in part.faults.items() if lines]
    return found


def slipped(name, *changes):
    """The text of a solution with another text for each of some."""
    source = BASES[name]
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in source, (name, old)
        source = source.replace(old, new)
    return source


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_a_stub_is_not_solved_yet_and_its_example_and_references_are_right(path, capsys):
    text = path.read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert cli.main(["study", "--grade", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("not solved yet") == len(nodes) and not printed.err
    for node in nodes:
        example = doctest.DocTestParser().get_doctest(
            ast.get_docstring(node), OURS.copy(), node.name, None, None
        )
        assert example.examples and doctest.DocTestRunner().run(example).failed == 0
    section = re.search(r'Read "(.*)" in docs/backprop.md', text)[1]
    derivation = (FOLDER.parent / "backprop.md").read_text(encoding="utf-8")
    assert f"\n## {section}\n" in derivation.replace("\N{MINUS SIGN}", "-")
    assert f"--grade docs/exercises/{path.name}" in text
    assert f"({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", IN_THE_GALLERY)
def test_a_mistake_of_the_gallery_is_recognised(name):
    change, function = MISTAKES[name].change, REPLACED[name]
    source = f"{change.sources[1]}\nwrong = {function}; del {function}\n{LEARNERS[function]}"
    parts = judged(CORES_HEADER + source)
    assert f"This looks like {name}: " in text(parts)
    assert f"See: minnet study --mistake {name}" in text(parts)


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip[0]}-{slip[3]}")
def test_a_slip_is_recognised(slip):
    *changes, said = slip
    [found] = judged(slipped(*changes))
    assert said in found.likely and not found.ok, text([found])


@pytest.mark.parametrize("name", EXERCISES)
def test_every_slip_can_be_computed_and_is_wrong_in_some_case(name):
    exercise, wrong, found = EXERCISES[name], set(), _arrays
    for cases in exercise.cases.values():
        for case in [] if callable(cases) else cases:
            right = found(exercise.right(*case))
            for said, answer in exercise.wrong(case):
                pairs = [*zip(right, found(answer), strict=False)]
                off = len(right) != len(found(answer))
                off = off or any(_difference("", one, other, 1e-9) for one, other in pairs)
                wrong |= {said} if off else set()
    assert wrong >= {*exercise.slips}


def test_a_checker_that_moves_x_to_one_side_and_the_first_of_two_mistakes_are_recognised():
    one_sided = slipped("central_differences", "before - h", "before", "(2 * h)", "h")
    assert "one-sided, (f(x + h) - f(x)) / h" in text(judged(one_sided))
    three = "(4 * above - f(x + 2 * h * (np.arange(len(x)) == j)) - 3 * f(x)) / (2 * h)"
    exact = slipped(
        "central_differences", "before - h", "before", "(above - below) / (2 * h)", three
    )
    assert fault(judged(exact))[0] == "x_j is moved up and down by the same h"
    both = slipped("softmax", MAX, "", "axis=1", "axis=0")
    assert "This looks like softmax-over-axis-0" in text(judged(both))


def test_what_no_known_mistake_gives_stands_beside_its_input_and_the_right_numbers():
    parts = judged("def relu(a): return a * 0.123")
    assert not parts[0].likely and lines(parts)[1:8] == [
        "no h = max(a, 0), on both sides of 0: h[0, 0] is 0.1845, not 1.5000",
        "     a          1.5000  -0.5000   2.0000",
        "               -2.0000   0.5000  -1.0000",
        "     returned   0.1845  -0.0615   0.2460",
        "               -0.2460   0.0615  -0.1230",
        "     expected  1.5000       0  2.0000",
        "                    0  0.5000       0",
    ]
    assert judged("def relu(a): return np.maximum(a, 0) * 1.0000000000002")[0].ok
    assert "is 1.50000003" in text(judged("def relu(a): return np.maximum(a, 0) * 1.00000002"))


def test_every_batch_is_looked_at_and_the_product_with_j_must_not_write_j():
    assert (
        "(N, K, K)"
        in fault(judged("def softmax_jacobian(p): return np.diag(p) - np.outer(p, p)"))[0]
    )
    product = "np.einsum('nik,ni->nk', softmax_jacobian(p), dp)"
    claim, [said] = fault(judged(f"def softmax_vjp(p, dp): return {product}"))
    assert "K x K" in claim and "numbers are in memory at once" in said


def test_a_changed_input_is_reported_even_if_it_is_put_back_but_for_rounding():
    claim = "its arguments stay as they are"
    changed = judged("def relu(a):\n    h = np.maximum(a, 0)\n    a[a < 0] = 0\n    return h")
    assert fault(changed) == (claim, ["a[0, 1] is 0, not -0.5000"])
    inexact = slipped("central_differences", "x[j] = before\n", "x[j] = (x[j] + 3 * h) - 2 * h\n")
    assert fault(judged(inexact))[0] == claim


# Whole functions, or what stands in the solution and what may stand there instead
RIGHT = [
    ("softmax", "z.max(axis=1, keepdims=True)", "np.max(z, -1)[:, None]"),
    """
def softmax(logits):  # loops, lists and another name
    out = np.zeros_like(logits)
    for n in range(len(logits)):
        top = max(logits[n])
        total = sum(np.exp(x - top) for x in logits[n])
        for k in range(len(logits[n])):
            out[n, k] = np.exp(logits[n][k] - top) / total
    return out
""",
    """
def softmax(z):  # in place, on a copy
    z = z.copy()
    z -= z.max(1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(1, keepdims=True)
    return z
""",
    """
def softmax(z):
    z = z.astype(np.float32)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
""",
    "class Softmax:\n    def __call__(self, z): return self.normal(np.exp(z - z.max(1)[:, None]))\n"
    "    def normal(self, e): return (e.T / e.sum(1)).T\nsoftmax = Softmax()",
    "def softmax(z): return np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))",
    "def softmax(z): return 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)",
    "softmax = lambda z: np.array([np.exp(r - r.max()) / np.exp(r - r.max()).sum() for r in z])",
    """
def softmax_jacobian(p):
    if p.ndim == 2:
        return np.stack([softmax_jacobian(row) for row in p])
    return np.diag(p) - np.outer(p, p)
""",
    """
def softmax_jacobian(p):
    P = np.atleast_2d(p)
    J = np.empty(P.shape + P.shape[-1:], np.float32)
    for n, i, k in np.ndindex(J.shape):
        J[n, i, k] = P[n, i] * (1 - P[n, i]) if i == k else -P[n, i] * P[n, k]
    return J.reshape(p.shape + p.shape[-1:])
""",
    "def softmax_vjp(p, g): return p * g - p * np.einsum('nk,nk->n', p, g)[:, None]",
    "def cross_entropy(z, y): return np.logaddexp.reduce(z, axis=1) - z[range(len(y)), y]",
    """
def cross_entropy(z, y):
    Y = np.eye(z.shape[1], dtype=np.float32)[y]
    s = (z - z.max(1, keepdims=True)).astype(np.float32)
    return -(Y * (s - np.log(np.exp(s).sum(1, keepdims=True)))).sum(1)
""",
    "def output_gradient(p, y): return (p - (y[:, None] == np.arange(p.shape[1]))) / p.shape[0]",
    "def output_gradient(p, y):\n    dp = -np.eye(p.shape[1])[y] / p / len(p)\n"
    "    return p * (dp - (dp * p).sum(1, keepdims=True))",
    ("softmax_vjp", "return p", "return p.astype('f4')"),
    "def linear_forward(x, w, c): return np.hstack([x, np.ones((len(x), 1))]) @ np.vstack([w, c])",
    "def linear_backward(h, W, da):\n    dW = sum(np.outer(x, d) for x, d in zip(h, da))\n"
    "    return [dW, sum(da), np.dot(da, W.T)]",
    "def linear_backward(h, W, da): return tuple(x.astype('f4') for x in "
    "(np.tensordot(h, da, (0, 0)), np.ones(len(da)) @ da, (W @ da.T).T))",
    "def relu(a): return a * (a > 0)",
    "def relu(a):\n    a = a.copy()\n    a[a < 0] = 0\n    return a",
    "relu = np.vectorize(lambda x: max(x, 0.0))",
    "def relu_backward(g, x):\n    g = g.copy()\n    g[x <= 0] = 0\n    return g",
    (
        "training_step",
        "dz = (p - Y) / len(X)",
        "dz = p.copy(); dz[range(len(y)), y] -= 1; dz /= len(y)",
    ),
    (
        "training_step",
        "    Y =",
        "    X, W1, b1, W2, b2 = (x.astype('f4') for x in (X, W1, b1, W2, b2))\n    Y =",
    ),
    ("training_step", "return L,", "return float(np.float32(L)),"),
    ("central_differences", "1e-5", "np.finfo(float).eps ** (1 / 3)"),
    ("central_differences", "1e-5", "1e-6"),
    """
def central_differences(g, at):
    h = 1e-5 * np.maximum(1, abs(at))
    E = np.diag(h)
    return np.array([(g(at + e) - g(at - e)) / (2 * e.sum()) for e in E])
""",
    """
def central_differences(f, x):  # from four points
    h, I = 2e-4, np.eye(len(x))
    near = [f(x + h * e) - f(x - h * e) for e in I]
    far = [f(x + 2 * h * e) - f(x - 2 * h * e) for e in I]
    return (8 * np.array(near) - far) / (12 * h)
""",
    ("gradient_check", VERDICT, "np.allclose(measured, dx)"),
    ("gradient_check", VERDICT, "norm(measured - dx) < 1e-6 * (norm(measured) + norm(dx))"),
    (
        "gradient_check",
        VERDICT,
        "all(abs(m - d) <= 1e-4 * max(abs(measured)) for m, d in zip(measured, dx))",
    ),
    """
def gradient_check(f, x, dx):
    largest = max(map(abs, dx))
    for j in range(len(x)):
        for_j = (np.arange(len(x)) == j) * 2e-6
        if not abs((f(x + for_j) - f(x - for_j)) / 4e-6 - dx[j]) < 1e-5 * largest:
            return False
    return True
""",
]
WRONG = [
    # what keeps exp from overflowing, but not everywhere
    *[
        ("softmax", "z.max(axis=1, keepdims=True)", other)
        for other in (
            *[f"z.{f}(axis=1, keepdims=True)" for f in ("mean", "min", "std")],
            "abs(z).max(axis=1, keepdims=True)",
            "z.max()",
            "z.max(axis=0)",
            "z[:, :1]",
            "700",
        )
    ],
    ("softmax", MAX, ".clip(-700, 700)"),
    ("softmax", f"z{MAX}", f"(z{MAX}).clip(-30)"),
    ("softmax", "np.exp(z", "np.exp(.5 * z"),
    ("softmax", " / exp", " / len(exp) / exp"),
    ("softmax", "return exp", "return 1e-8 + exp"),
    ("softmax", "return exp", "return (exp == exp.max(1, keepdims=True))"),
    ("softmax", f"exp / exp.{SUM}", f"(exp / exp.{SUM}).clip(1e-12, 1)"),
    ("softmax", f"exp / exp.{SUM}", f"(exp / exp.{SUM}).round(4)"),
    ("softmax", f"exp.{SUM}", f"(exp.{SUM} + 1e-10)"),
    "def softmax(z): return np.full(z.shape, 1 / z.shape[1])",
    "seen = {}\ndef softmax(z):\n    e = np.exp(z - z.max(1, keepdims=True))\n"
    "    return seen.setdefault(z.shape, e / e.sum(1, keepdims=True))",
    ("softmax_jacobian", "np.eye(p.shape[-1])", "np.eye(len(p))"),
    ("softmax_jacobian", "p[..., :, None] *", "p[..., None, :] *"),
    ("softmax_jacobian", "return p", "return 2 * p"),
    "def softmax_jacobian(p): return (p * (1 - p))[..., None] * np.eye(p.shape[-1])",
    "def softmax_jacobian(p): return np.diag(p) - np.outer(p, p)",
    "def softmax_jacobian(p): return p[..., None] * np.eye(p.shape[-1]) - np.atleast_2d(p).T @ p",
    ("softmax_vjp", "axis=1, keepdims=True", ""),
    ("softmax_vjp", "(dp * p)", "dp"),
    ("softmax_vjp", "p * (dp -", "(dp -"),
    "def softmax_vjp(p, dp): return p * (1 - p) * dp",
    "def softmax_vjp(p, dp): return p - (dp < 0)",
    "seen = {}\ndef softmax_vjp(p, dp):\n    p = seen.setdefault(p.shape, p)\n"
    "    return p * (dp - (dp * p).sum(1, keepdims=True))",
    ("cross_entropy", "np.exp(z).sum(axis=1))", "np.exp(z).sum(axis=1) + 1e-8)"),
    ("cross_entropy", "z[np.arange(len(y)), y]", "z[:, y].T[0]"),
    ("cross_entropy", "z[np.arange(len(y)), y]", "z.max(1)"),
    ("cross_entropy", LOSS, f"-np.log(np.maximum({P_TRUE}, 1e-300))"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE}).clip(-1000)"),
    ("cross_entropy", "z - z.max(axis=1, keepdims=True)", "z - z.mean(axis=1, keepdims=True)"),
    ("output_gradient", "(p - ", "(p - 0.99 * "),
    ("output_gradient", "/ len(y)", "/ (y.max() + 1)"),
    ("output_gradient", "/ len(y)", ""),
    ("output_gradient", "return", "return (p > 1e-12) *"),
    ("output_gradient", "return", "return p * (1 - p) *"),
    ("output_gradient", "p.shape[1]", "y.max() + 1"),
    "seen = []\ndef output_gradient(p, y):\n    seen.append(p)\n"
    "    return (seen[0] - np.eye(p.shape[1])[y]) / len(y)",
    ("linear_forward", " + b", " + b.mean()"),
    ("linear_forward", "@ W", "@ np.abs(W)"),
    ("linear_backward", "da.sum(axis=0)", "da.sum(axis=0) / len(da)"),
    ("linear_backward", "h.T @ da", "h.T @ da / len(da)"),
    ("linear_backward", "da.sum(axis=0)", "da[0]"),
    ("linear_backward", "da @ W.T", "(da @ W.T) * (h > 0)"),
    # values from another pass
    "seen = {}\ndef linear_backward(h, W, da):\n    before = seen.get(W.shape, W)\n"
    "    seen[W.shape] = W\n    return h.T @ da, da.sum(0), da @ before.T",
    "seen = {}\ndef linear_backward(h, W, da):\n    dW = seen[W.shape] = "
    "seen.get(W.shape, 0) + h.T @ da\n    return dW, da.sum(0), da @ W.T",
    "seen = {}\ndef relu_backward(dh, a):\n    return dh * (seen.setdefault(a.shape, a) > 0)",
    "calls = []\ndef relu_backward(dh, a):\n    calls.append(a)\n"
    "    return dh * (a > 0) * (len(calls) < 9)",
    ("relu", "(a, 0)", "(a, 1e-6)"),
    ("relu", "np.maximum(a, 0)", "np.clip(a, 0, 6)"),
    ("relu_backward", "a > 0", "a > 1e-2"),
    ("relu_backward", "a > 0", "dh > 0"),
    ("relu_backward", "(a > 0)", "np.where(a > 0, 1, 0.01)"),
    ("training_step", "(a > 0)", "1"),
    ("training_step", "/ len(X)", ""),
    ("training_step", "np.log(np.exp(s).sum(axis=1))", "np.log(np.exp(s).sum(axis=1) + 1e-6)"),
    ("training_step", "b2 - learning_rate", "b2 - 0.1"),
    (
        "training_step",
        "s = z - z.max(axis=1, keepdims=True)",
        "s = z - z.mean(axis=1, keepdims=True)",
    ),
    ("training_step", "h.T @ dz", "np.abs(h.T) @ dz * (1 + 1e-8)"),
    ("training_step", "return L", "L = L + 0.001 * (W2 ** 2).sum()\n    return L"),
    ("training_step", "    Y = ", "    W2 -= 0; W1 += 0; b1 *= 1.1\n    Y = "),
    (
        "training_step",
        "    W1, b1 = W1",
        "    W2 -= learning_rate * h.T @ dz; dz = 0\n    W1, b1 = W1",
    ),
    # steps too coarse or too fine, one-sided, of another point, and parameters left moved
    *[("central_differences", "1e-5", h) for h in ("1e-3", "1e-4", "5e-5", "1e-9", "1e-12", "0.1")],
    ("central_differences", "before - h", "before"),
    ("central_differences", "before + h", "before + 2 * h"),
    ("central_differences", "        x[j] = before\n", ""),
    ("central_differences", "        x[j] = before\n", "        x[j] += h\n"),
    ("central_differences", "1e-5", "1e-3 * abs(x).max()"),
    ("central_differences", "(2 * h)", "(2 * h + 1e-11)"),
    *[
        f"def central_differences(f, x):\n    h, I = {h}, np.eye(len(x))\n"
        "    return np.array([(f(x + h * e) - f(x)) / h for e in I])"
        for h in ("1e-8", "1e-7", "5e-9", "1e-9")
    ],
    "def central_differences(f, x):\n    h, I = 1e-5, np.eye(len(x))\n"
    "    return np.array([(f(x) - f(x - h * e)) / h for e in I])",
    "def central_differences(f, x): return f.gradient(x)",
    "def central_differences(f, x):\n    h, I = 1e-5, np.eye(len(x))\n"
    "    return np.array([(f(x + h * e) - f(x - h * e)) / 2 / h for e in I]).astype('f2')",
    "def central_differences(f, x): return np.zeros(len(x))",
    # checks that a wrong gradient passes, or a right one does not
    *[
        ("gradient_check", VERDICT, verdict)
        for verdict in (
            "True",
            "False",
            "(measured - dx).max() <= 1e-5 * abs(measured).max()",
            "abs(norm(measured) - norm(dx)) <= 1e-5 * norm(dx)",
            "measured @ dx > (1 - 1e-7) * norm(measured) * norm(dx)",
            "abs((measured - dx).sum()) <= 1e-5 * abs(measured).max()",
            "abs((measured - dx)[0]) <= 1e-5 * abs(measured).max()",
            "abs(measured - dx).max() <= 1e-5",
            "abs(measured - dx).max() <= 0.1 * abs(measured).max()",
            "abs(measured - dx).min() <= 1e-5 * abs(measured).max()",
            "not abs(measured - dx).max() > 1e-5 * abs(measured).max()",
            "np.allclose(np.sort(measured), np.sort(dx))",
            "(np.sign(measured) == np.sign(dx)).all()",
            "measured",
        )
    ],
    ("gradient_check", "central_differences(f, x)", "central_differences(f, dx)"),
    ("gradient_check", "    measured =", "    x += 1e-5\n    measured ="),
    "seen = {}\ndef gradient_check(f, x, dx):\n"
    "    measured = seen.setdefault(x.shape, central_differences(f, x))\n"
    "    return bool(abs(measured - dx).max() <= 1e-5 * abs(measured).max())",
]


def made(solution):
    """The text of a solution of these lists."""
    return solution if isinstance(solution, str) else slipped(*solution)


@pytest.mark.parametrize("solution", [*SOLUTIONS.values(), *RIGHT], ids=str)
def test_a_right_solution_is_accepted_in_any_style(solution):
    [found] = judged(made(solution))
    assert found.ok, text([found])


@pytest.mark.parametrize("solution", WRONG, ids=str)
def test_a_wrong_solution_is_refused(solution):
    [found] = judged(made(solution))
    assert not found.ok


class Mutation(ast.NodeTransformer):
    """Changes the nth place where an operator, comparison, number, sign or function can be other;
    `count` is how many places there were."""

    OTHER: ClassVar = {
        ast.Add: ast.Sub,
        ast.Sub: ast.Add,
        ast.Mult: ast.Div,
        ast.Div: ast.Mult,
        ast.MatMult: ast.Mult,
        ast.Gt: ast.GtE,
        ast.GtE: ast.Gt,
    }
    NAMES: ClassVar = {
        "max": "min",
        "maximum": "minimum",
        "exp": "exp2",
        "log": "log2",
        "sum": "mean",
    }

    def __init__(self, n):
        self.n, self.count = n, 0

    def generic_visit(self, node):
        super().generic_visit(node)
        changes = []
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in self.OTHER:
            changes.append(("op", self.OTHER[type(node.op)]()))
        if isinstance(node, ast.Compare) and type(node.ops[0]) in self.OTHER:
            changes.append(("ops", [self.OTHER[type(node.ops[0])]()]))
        if isinstance(node, ast.Constant) and node.value in (0, 1, 2, 1e-5):
            changes += [
                ("value", node.value + 1),
                ("value", 1 - node.value),
                ("value", -node.value),
            ]
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
            changes.append(("slice", ast.Tuple(node.slice.elts[::-1], ast.Load())))
        if isinstance(node, ast.Attribute):
            changes += [("attr", self.NAMES[node.attr])] if node.attr in self.NAMES else []
            changes += [("attr", "real")] if node.attr == "T" else []
        for field, other in changes:
            if self.count == self.n:
                setattr(node, field, other)
            self.count += 1
        if isinstance(node, ast.Return | ast.Assign) and not isinstance(node.value, ast.Tuple):
            if self.count == self.n:
                node.value = ast.UnaryOp(ast.USub(), node.value)
            self.count += 1
        return node


def mutants(source):
    """Every text that is one small change away from this one."""
    n, last = 0, 1
    while n < last:
        mutation = Mutation(n)
        tree = ast.fix_missing_locations(mutation.visit(ast.parse(source)))
        n, last = n + 1, mutation.count
        yield ast.unparse(tree)


@pytest.mark.parametrize("solution", [*BASES.values(), *RIGHT], ids=str)
def test_a_mutant_is_refused_unless_its_values_are_the_same(solution, monkeypatch):
    monkeypatch.setattr(grading, "_likely", lambda asked: "")  # which takes longest
    source, rng = made(solution), np.random.default_rng(0)
    tried = {*mutants(source)} - {ast.unparse(ast.parse(source))}
    name, passed = judged(source)[0].name, []
    for mutant in tried:
        with contextlib.suppress(TypeError):  # it does not even run
            passed += [mutant] if judged(mutant)[0].ok else []
    exercise = EXERCISES[name]
    for sizes in ((7, 6, 5), (1, 4, 2), (6, 6, 6)):
        for large in (False, True) if passed else ():
            case = drawn(exercise, rng, *sizes, large=large)
            for mutant in passed:
                exec(mutant, names := OURS.copy())
                with np.errstate(all="ignore"):
                    got = names[name](*own(case))
                for right, x in zip(_arrays(exercise.right(*case)), _arrays(got), strict=True):
                    off = _difference("", right, x, exercise.tolerance, exercise.size)
                    assert not off, mutant
    assert len(passed) < max(3, len(tried) / 2)


LONG = "ValueError('two\\nlines \\x1b[31m' + 'x' * 999)"
UNPRINTABLE = "class E(Exception):\n    def __str__(self): 1 / 0\n"
LAYER = "def linear_backward(h, W, da): return"


@pytest.mark.parametrize(
    ("solution", "said"),
    [
        ("def softmax(z): pass", "expected p, got None (is there a return?)"),
        ("def softmax(z): return z.tolist()", "got a list of 3"),
        (
            "def softmax(z): return z[0]",
            "p: expected an array (3, 3) of float64, got an array (3,)",
        ),
        ("def softmax(z): return (z * 0).astype(int)", "got an array (3, 3) of int64"),
        ("def softmax(z): return z.astype('f2')", "got an array (3, 3) of float16"),
        ("def softmax(z): return z + 0j", "got an array (3, 3) of complex128"),
        ("def softmax(z): return z.astype(str)", "got an array (3, 3) of <U32"),
        ("def softmax(z): return z.astype(object)", "got an array (3, 3) of object"),
        ("def softmax(z): return np.zeros((3000, 3000))", "got an array (3000, 3000) of float64"),
        ("def softmax(z): return 'p'", "got a value of type str"),
        ("def softmax(z): yield z", "got a value of type generator"),
        ("def softmax(z): return np.full(z.shape, np.nan)", "p[0, 0] is nan, not "),
        ("def softmax(): return 1", "TypeError: softmax() takes 0 positional arguments but 1 was"),
        (
            "def softmax(z):\n    return z / missing",
            "name 'missing' is not defined at line 2, in softmax",
        ),
        ("def softmax(z):\n    import sys\n    sys.exit()", "SystemExit at line 3, in softmax"),
        (
            "def softmax(z): raise KeyboardInterrupt('x')",
            "KeyboardInterrupt: x at line 1, in softmax",
        ),
        ("def softmax(z): return softmax(z)", "RecursionError: maximum recursion depth exceeded"),
        (
            "def softmax(z):\n    while True: print('x' * 999)",
            "prints more than 100,000 characters",
        ),
        (f"def softmax(z):\n    raise {LONG}", "ValueError: two lines \\x1b[31mxxx"),
        (f"{UNPRINTABLE}def softmax(z): raise E", "E at line 3, in softmax"),
        (f"{LAYER} h.T @ da, da.sum(axis=0)", "expected dW, db, dh, got a tuple of 2"),
        ("def training_step(*args): return args[:5]", "L: expected one number of float64, got an"),
    ],
)
def test_a_broken_function_ends_in_a_line(solution, said):
    parts = judged(solution)
    assert said in text(parts)
    assert max(map(len, fault(parts)[1])) < 450


ANYWHERE = "for fd in range(3, 99):\n    with contextlib.suppress(OSError): "
FORGED = {"returned": 1, "got": "p", "printed": "", "held": 0, "error": ""}
HOSTILE = [
    ("os._exit(0)", "its process ended with exit code 0"),
    ("sys.exit(0)", "SystemExit: 0"),
    ("raise KeyboardInterrupt('x')", "x at line 5, in relu: raise KeyboardInterrupt('x') a 1.5"),
    ("np.linalg.inv(np.eye(2) * 0)", "at line 5, in relu: np.linalg.inv(np.eye(2) * 0) a 1.5"),
    ("ctypes.string_at(0)", "its process ended with SIGSEGV"),
    ("os.abort()", "its process ended with SIG"),
    ("while True: pass", "no answer within 1 s; does a loop never end?"),
    ("while True:\n    with contextlib.suppress(BaseException): os.fork()", "no answer within 1 s"),
    ("np.ones(10**9)", "MemoryError"),
    ("os.closerange(3, 99)", "no answer: its process ended with"),
    ("input('p? ')", "EOFError"),
    (f"{ANYWHERE}os.write(fd, b'garbage' * 99)", grading.NO_ANSWER),
    (f"{ANYWHERE}os.write(fd, (2**60).to_bytes(8, 'big') + b'{{}}')", grading.NO_ANSWER),
    (f"{ANYWHERE}os.write(fd, (5).to_bytes(8, 'big') + b'[1] \\n')", grading.NO_ANSWER),
    (f"{ANYWHERE}os.write(fd, (3).to_bytes(8, 'big') + b'{{}}\\n')", grading.NO_ANSWER),
    (f"{ANYWHERE}os.write(fd, runner.packed({FORGED}, []))", "expected h, got p"),
    (f"{ANYWHERE}os.write(fd, runner.packed({FORGED}, [np.ones(9)] * 2))", "got an array (9,)"),
    ("open('f', 'wb').write(bytes(99 << 20))", "File too large"),
    ("from minnet import softmax", "minnet holds the answers"),
]
USED = "import atexit, contextlib, ctypes, os, signal, sys, threading, time\n"
USED += "sys.path.append('/'); runner = sys.modules['__main__']\n"


def indented(code):
    return "".join(f"    {line}\n" for line in code.splitlines())


@pytest.mark.parametrize(("code", "said"), HOSTILE, ids=lambda x: x.replace("\n", " "))
def test_whatever_a_function_does_it_has_its_verdict(
    graded, tmp_path, capsys, monkeypatch, code, said
):
    monkeypatch.setattr(grading, "SECONDS", 1 if "within 1 s" in said else 20)
    parts = graded(f"{USED}def relu(a):\n{indented(code)}    return np.maximum(a, 0)\n")
    assert said in text(parts) and not parts[0].ok
    (tmp_path / "solution.py").write_text(f"import numpy as np\n{USED}{code}")
    if code in ("while True: pass", "os._exit(0)") or "minnet" in code:  # at the top of the file
        assert cli.main(["study", "--grade", str(tmp_path / "solution.py")]) == 1
        printed = capsys.readouterr()
        assert not printed.out and "does not run: " in printed.err and said in printed.err


ESCAPES = "os.fork() == 0 and (os.setsid(), os.fork() == 0 and time.sleep(999), os._exit(0))"


@pytest.mark.parametrize(
    "code",
    [
        "atexit.register(os._exit, 0)",
        ESCAPES,
        "threading.Thread(target=time.sleep, args=[999]).start()",
        "for module in list(sys.modules.values()):\n"
        "    for name in ('isclose', '_difference', 'EXERCISES'):\n"
        "        hasattr(module, name) and setattr(module, name, lambda *_: True)",
        "os.kill(0, signal.SIGCONT)",
    ],
)
def test_what_a_file_patches_or_leaves_behind_changes_no_verdict(
    graded, tmp_path, monkeypatch, code
):
    (folder := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    parts = graded(f"{USED}{code}\n{SOLUTIONS['relu']}def softmax(z): return z\n")
    assert [each.ok for each in parts] == [False, True], text(parts)
    assert not [*folder.iterdir()]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # another user's, or it has ended
            assert folder not in (process / "cwd").readlink().parents


@pytest.mark.parametrize(
    "code", ["while True: f(x)", "f(x[:1])", "f(x * 1j)", "f('x')", "f([x, x])"]
)
def test_the_function_of_an_exercise_is_asked_in_time_and_for_points_alone(
    graded, monkeypatch, code
):
    monkeypatch.setattr(grading, "SECONDS", 1 if "while" in code else 20)
    [found] = graded(f"def central_differences(f, x):\n    {code}\n    return x")
    said = "no answer within" if "while" in code else "Error: f takes an array ("
    assert said in text([found]) and not found.ok


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"def softmax(z:\n", "SyntaxError"),
        (b"x = 1\n1 / 0\n", "ZeroDivisionError: division by zero at line 2, in <module>: 1 / 0"),
        (b"import sys\nsys.exit(0)\n", "SystemExit: 0 at line 2, in <module>: sys.exit(0)"),
        (b"\x00", "Error"),
        (b"", "has no function softmax or softmax_jacobian or softmax_vjp"),
        (b"from numpy import maximum as relu", "has no function softmax or"),
        (b"#" * (1 << 20) + b"\n", "is longer than"),
        ("missing", "cannot be read: No such file"),
        ("folder", "cannot be read: Is a directory"),
        ("FIFO", "is not a regular file"),
        ("device", "is not a regular file"),
    ],
    ids=str,
)
def test_a_broken_file_ends_in_a_line(tmp_path, capsys, content, said):
    path = tmp_path / "solution.py"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        makes = {"folder": path.mkdir, "FIFO": lambda: os.mkfifo(path)}
        makes |= {"device": lambda: path.symlink_to("/dev/zero"), "missing": str}
        makes[content]()
    assert cli.main(["study", "--grade", str(path)]) == 1
    printed = capsys.readouterr()
    assert not printed.out and said in printed.err and printed.err.count("\n") == 1


def test_what_a_solution_prints_is_shown_and_what_it_warns_of_is_not(graded, capsys):
    noisy = "import warnings\nwarnings.warn('noise')\nnp.seterr(all='raise')\n"
    noisy += "def relu(a):\n    print('a is\x1b[31m', a.shape)\n"
    noisy += "    return np.maximum(a, 0) + 0 / np.ones(1)"
    before = np.geterr()
    [found] = graded(noisy)
    assert found.ok and (capsys.readouterr(), np.geterr()) == (("", ""), before)
    assert "printed: a is\\x1b[31m (2, 3)" in lines([found])


def test_all_exercises_have_stubs_right_solutions_pass_and_a_file_holds_any(tmp_path, capsys):
    stubs = "\n".join(path.read_text(encoding="utf-8") for path in STUBS)
    assert re.findall(r"^def (\w+)", stubs, re.MULTILINE) == list(EXERCISES) == list(SOLUTIONS)
    (path := tmp_path / "solution.py").write_text(
        f"{HEADER}\nfrom dataclasses import dataclass\n@dataclass\nclass Point:\n    x: float\n"
    )
    assert cli.main(["study", "--grade", str(path)]) == 0
    assert capsys.readouterr().out.endswith("\n12 of 12 right\n")


@pytest.mark.parametrize(
    ("only", "code", "said"),
    [
        ("relu", 0, "1 of 1 right"),
        ("relu_backward", 1, "0 of 1 right"),
        ("softmax", 1, "solution.py: has no function softmax"),
        ("rellu", 2, "no exercise asks for 'rellu'; did you mean relu?"),
    ],
)
def test_one_function_alone_can_be_graded(tmp_path, capsys, only, code, said):
    path = tmp_path / "solution.py"
    path.write_text(f"import numpy as np\n{SOLUTIONS['relu']}def relu_backward(dh, a): return dh")
    assert cli.main(["study", "--grade", str(path), "--only", only]) == code
    assert said in "".join(capsys.readouterr())


def test_our_solution_is_shown_after_an_attempt_or_to_whom_gives_up_and_is_right(tmp_path, capsys):
    def shown(*options, code=0):
        assert cli.main(["study", *options]) == code
        return "".join(capsys.readouterr())

    ask, path = ["--solution", "training_step"], tmp_path / "solution.py"
    shown("--grade", str(FOLDER / "7_training_step.py"), code=1)  # a stub is no attempt
    assert "training_step: try it first" in shown(*ask, code=2)
    ours = shown(*ask, "--give-up")
    assert [part.ok for part in judged(ours)] == [True] * 8
    path.write_text("def training_step(*_): return 0")
    shown("--grade", str(path), code=1)
    assert shown(*ask) == ours
    assert "softmax_jacobian: try it first" in shown("--solution", "softmax_jacobian", code=2)
    assert "did you mean relu?" in shown("--solution", "rellu", "--give-up", code=2)


def no_home(path):
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize("home", ["/dev/null", "no home at all"])
def test_where_attempts_cannot_be_noted_all_else_goes_on(tmp_path, capsys, monkeypatch, home):
    monkeypatch.setenv("XDG_STATE_HOME", "relative")  # which is to be ignored
    monkeypatch.setenv("HOME", home)
    if home != "/dev/null":
        monkeypatch.setattr(Path, "expanduser", no_home)
    path = tmp_path / "solution.py"
    path.write_text(f"import numpy as np\n{SOLUTIONS['relu']}")
    assert cli.main(["study", "--grade", str(path)]) == 0
    assert cli.main(["study", "--solution", "relu"]) == 2
    assert "try it first" in capsys.readouterr().err and not Path("relative").exists()


def test_output_fits_100_columns_and_has_colour_only_on_demand():
    wrong = [SOLUTIONS[name].replace("return ", "return 2 * ") for name in ("softmax", "relu")]
    parts = judged("".join(wrong) + f"def softmax_vjp(p, dp): raise {LONG}")
    plain, coloured = lines(parts), lines(parts, colour=True)
    assert max(map(len, plain)) <= 100 and "\x1b" not in "".join(plain)
    assert "\x1b[31mno\x1b[0m" in "".join(coloured)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain
