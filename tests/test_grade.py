"""Right solutions pass, classic mistakes in them are named, and broken files end in a line."""

import ast
import contextlib
import doctest
import re
from pathlib import Path

import numpy as np
import pytest

from minnet import cli
from minnet.study import catches
from minnet.study.exercises import EXERCISES
from minnet.study.grade import _difference, grade, lines
from minnet.study.mistakes import MISTAKES

FOLDER = Path(__file__).parent.parent / "docs" / "exercises"
STUBS = sorted(FOLDER.glob("*.py"))
HEADER = """
import numpy as np
from numpy.typing import NDArray
from minnet.core.activations import relu
from minnet.core.softmax import softmax_jacobian, softmax_vjp
"""
CORES_HEADER = f"""{HEADER}
from numpy.typing import ArrayLike
from minnet.core.softmax import _tiny
"""
TEXT = """
def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)

def softmax_jacobian(p):
    return p[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :])

def softmax_vjp(p, dp):
    return p * (dp - (dp * p).sum(axis=1, keepdims=True))

def cross_entropy(z, y):
    z = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]

def output_gradient(p, y):
    dz = p.copy()
    dz[np.arange(len(y)), y] -= 1
    return dz / len(y)

def linear_forward(h, W, b):
    return h @ W + b

def linear_backward(h, W, da):
    return h.T @ da, da.sum(axis=0), da @ W.T

def relu(a):
    return np.where(a > 0, a, 0)

def relu_backward(dh, a):
    return np.where(a > 0, dh, 0)

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

def central_differences(f, x):
    x, h = x.copy(), 1e-5
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
SOLUTIONS = {text.split("(")[0]: f"def {text}" for text in TEXT.split("\ndef ")[1:]}

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
IN_THE_GALLERY.remove("p-at-I-minus-p")  # below: a learner's p is (K,)
# The gallery's checks: claims about the same
SAME_CHECKS = {
    "softmax_and_log": {"sum p": "rows of p sum to 1", "diff J": "differences of p are J"},
    "softmax_jacobian": {
        "sym": "J is symmetric",
        "rows": "its rows sum to 0",
        "p-y 1": "J^T dp = p - y, one class",
        "p-y K": "J^T dp = p - y, every class",
        "diff J": "differences of p",
    },
    "softmax_vjp": {"p-y K": "dz = p - y, every class"},
    "fused": {"p-y K": "4 rows of 3 classes"},
}

MAX, SUM = " - z.max(axis=1, keepdims=True)", "sum(axis=1, keepdims=True)"
MEAN = "(dp - (dp * p).sum(axis=1, keepdims=True))"
LOSS = "np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]"
P_TRUE = f"(np.exp(z) / np.exp(z).{SUM})[np.arange(len(y)), y]"
VECTOR = "if p.ndim == 1: return p @ (np.eye(len(p)) - p)\n    return"
TWICE = "p = np.exp(p) / np.exp(p).sum(-1, keepdims=True)\n    return"
LINEAR = "h.T @ da, da.sum(axis=0), da @ W.T"
# function, what stands in the solution, what stands there instead, what is said of it
SLIPS = [
    ("softmax", f" / e.{SUM}", "", "not divided by its sum"),
    ("softmax", MAX, "", "softmax-without-shift"),
    ("softmax", "axis=1", "axis=0", "softmax-over-axis-0"),
    ("softmax_jacobian", "(np.eye(p.shape[-1]) - ", "(0 - ", "the diagonal lacks its p_i"),
    ("softmax_jacobian", "return", TWICE, "applied to p"),
    ("softmax_jacobian", "return", VECTOR, "p-at-I-minus-p"),
    ("softmax_vjp", MEAN, "dp", "not subtracted"),
    ("softmax_vjp", MEAN, "(1 - p) * dp", "diagonal-jacobian"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE})", "p underflows to 0"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE} + 1e-12)", "p is kept away from 0"),
    ("output_gradient", "/ len(y)", "/ p.shape[1]", "divided by K"),
    ("output_gradient", "return dz / len(y)", "return -dz", "y-minus-p, missing-1-over-n"),
    ("linear_forward", "@ W", "@ W.T", "W is transposed"),
    ("linear_backward", "W.T", "W", "missing-transpose"),
    ("linear_backward", LINEAR, "da @ W.T, h.T @ da, da.sum(axis=0)", "another order"),
    ("relu", "np.where(a > 0, a, 0)", "abs(a)", "|a|"),
    ("relu_backward", "a > 0", "a >= 0", ">= stands where"),
    ("training_step", "dz @ W2.T", "dz @ W2", "missing-transpose"),
    ("training_step", "(p - Y)", "Y * (p - Y)", "true-class-only"),
    ("training_step", "W2.T", "(W2 - learning_rate * h.T @ dz).T", "W2 is updated before"),
    ("central_differences", "(2 * h)", "h", "it is 2h"),
    ("central_differences", "before - h", "before", "from x to x + h it is h"),
    ("central_differences", "1e-5", "1e-10", "h = 1e-10 is too small"),
    ("central_differences", "1e-5", "1e-2", "h = 1e-02 is too large"),
    ("central_differences", "        x[j] = before\n", "", "keeps its step"),
]


@pytest.fixture
def graded(tmp_path):
    """Grade a file with this text."""
    path = tmp_path / "solution.py"
    return lambda text, header=HEADER: path.write_text(header + text) and grade(path)


def text(parts):
    return " ".join("\n".join(lines(parts)).split())


def faults(parts):
    pairs = (pair for part in parts for pair in part.faults.items())
    return {claim: fault for claim, fault in pairs if fault}


def slipped(name, right, wrong):
    assert right in SOLUTIONS[name]
    return SOLUTIONS[name].replace(right, wrong)


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_a_stub_is_not_solved_yet_and_its_example_and_references_are_right(path, capsys):
    text = path.read_text(encoding="utf-8")
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    assert cli.main(["study", "--grade", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("not solved yet") == len(nodes) and not printed.err
    for node in nodes:
        exec(HEADER + SOLUTIONS[node.name], names := {})
        example = doctest.DocTestParser().get_doctest(
            ast.get_docstring(node), names, node.name, None, None
        )
        assert example.examples and doctest.DocTestRunner().run(example).failed == 0
    section = re.search(r'Read "(.*)" in docs/backprop.md', text)[1]
    derivation = (FOLDER.parent / "backprop.md").read_text(encoding="utf-8")
    assert f"\n## {section}\n" in derivation.replace("\N{MINUS SIGN}", "-")
    assert f"--grade docs/exercises/{path.name}" in text
    assert f"({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", IN_THE_GALLERY)
def test_a_mistake_of_the_gallery_is_recognised_and_the_same_checks_catch_it(graded, name):
    change, function = MISTAKES[name].change, REPLACED[name]
    source = f"{change.sources[1]}\nwrong = {function}; del {function}\n{LEARNERS[function]}"
    parts = graded(source, CORES_HEADER)
    assert f"This looks like {name}: " in text(parts)
    assert f"See: minnet study --mistake {name}" in text(parts)
    failed, verdicts = faults(parts), catches.caught(MISTAKES[name])
    measured = {"diff L": "differences of L"}
    claims = SAME_CHECKS[function] | measured if function in SAME_CHECKS else {}
    fails = {head: claim in failed for head, claim in claims.items()}
    assert fails == {head: bool(verdicts[head]) for head in claims}


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip[0]}-{slip[3]}")
def test_a_slip_is_recognised(graded, slip):
    name, right, wrong, said = slip
    [part] = graded(slipped(name, right, wrong))
    assert said in part.likely and not part.ok, text([part])


@pytest.mark.parametrize("name", EXERCISES)
def test_every_slip_can_be_computed_and_is_wrong_in_some_case(name):
    exercise, wrong = EXERCISES[name], set()
    for case in exercise.cases.values():
        for said, answer in exercise.wrong(case):
            off = True
            with contextlib.suppress(ValueError):  # of another form
                names, right = exercise.returns, exercise.right(*case)
                off = _difference(names, right, answer)
            wrong |= {said} if off else set()
    assert wrong >= {*exercise.slips}


def test_a_one_sided_difference_and_the_first_of_two_mistakes_are_recognised(graded):
    one_sided = slipped("central_differences", "before - h", "before").replace("(2 * h)", "h")
    assert "one-sided, (f(x + h) - f(x)) / h" in text(graded(one_sided))
    both = slipped("softmax", MAX, "").replace("axis=1", "axis=0")
    assert "This looks like softmax-over-axis-0" in text(graded(both))


def test_numbers_that_no_known_mistake_gives_are_reported_without_a_guess(graded):
    [part] = graded("def relu(a): return a * 0.123")
    assert not part.likely and "h[0, 0] is 0.1845, not 1.5000" in text([part])
    late = graded("def relu(a): return np.maximum(a, 0) * 1.0000002")
    assert "is 1.5000003, not 1.5" in text(late)


def test_every_batch_is_looked_at_and_the_product_with_j_must_not_write_j(graded):
    one_row = faults(graded("def softmax_jacobian(p): return np.diag(p) - np.outer(p, p)"))
    assert len(one_row) == 2 and all("(N, K, K)" in claim for claim in one_row)
    product = "np.einsum('nik,ni->nk', softmax_jacobian(p), dp)"
    [(claim, fault)] = faults(graded(f"def softmax_vjp(p, dp): return {product}")).items()
    assert "K x K" in claim and "numbers are in memory at once" in fault


def test_a_changed_input_is_reported_even_if_it_is_put_back_but_for_rounding(graded):
    claim = "its arguments stay as they are"
    changed = graded("def relu(a):\n    a[a < 0] = 0\n    return a")
    assert faults(changed) == {claim: "a[0, 1] is 0, not -0.5000"}
    inexact = slipped("central_differences", "x, h = x.copy(), 1e-5", "h = 1e-5")
    inexact = inexact.replace("x[j] = before\n", "x[j] = (x[j] + 3 * h) - 2 * h\n")
    assert claim in faults(graded(inexact))


LONG = "ValueError('two\\nlines \\x1b[31m' + 'x' * 999)"
UNPRINTABLE = "class E(Exception):\n    def __str__(self): 1 / 0\n"
LAYER = "def linear_backward(h, W, da): return"


@pytest.mark.parametrize(
    ("solution", "said"),
    [
        ("def softmax(z): pass", "p: expected an array (3, 3) of float64, got None (is there a re"),
        ("def softmax(z): return z.tolist()", "got a list of 3"),
        ("def softmax(z): return z[0]", "got an array (3,) of float64"),
        ("def softmax(z): return (z * 0).astype(int)", "got an array (3, 3) of int64"),
        ("def softmax(z): return np.full(z.shape, np.nan)", "p[0, 0] is nan, not "),
        ("def softmax(): return 1", "TypeError: softmax() takes 0 positional arguments but 1 was"),
        ("def softmax(z):\n    return z / missing", "name 'missing' is not defined (line 7)"),
        ("def softmax(z):\n    import sys\n    sys.exit()", "SystemExit (line 8)"),
        ("def softmax(z): return softmax(z)", "RecursionError: maximum recursion depth exceeded"),
        (f"def softmax(z):\n    raise {LONG}", "ValueError: two lines \\x1b[31mxxx"),
        ("def softmax(z): input('p? ')", "EOFError"),
        (f"{UNPRINTABLE}def softmax(z): raise E", "E (line 8)"),
        (f"{LAYER} h.T @ da, da.sum(axis=0)", "expected dW, db, dh, got a tuple of 2"),
        ("def training_step(*args): return args[:5]", "L: expected one number (float64), got an"),
    ],
)
def test_a_broken_function_ends_in_a_line(graded, solution, said):
    parts = graded(solution)
    assert said in text(parts)
    assert all(len(fault) < 250 for fault in faults(parts).values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"def softmax(z:\n", "SyntaxError"),
        (b"x = 1\n1 / 0\n", "ZeroDivisionError: division by zero (line 2)"),
        (b"import sys\nsys.exit(0)\n", "SystemExit: 0 (line 2)"),
        (b"\x00", "Error"),
        (b"", "has no function of an exercise: softmax, softmax_jacobian, softmax_vjp"),
        (b"from minnet.core.softmax import softmax", "has no function of an exercise"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_file_ends_in_a_line(tmp_path, capsys, content, said):
    path = tmp_path / "solution.py"
    if content is not None:
        path.write_bytes(content)
    assert cli.main(["study", "--grade", str(path)]) == 2
    printed = capsys.readouterr()
    assert not printed.out and said in printed.err and printed.err.count("\n") == 1


def test_what_a_solution_prints_and_warns_of_is_not_seen_and_changes_nothing(graded, capsys):
    noisy = "import warnings\nprint('noise')\nwarnings.warn('noise')\nnp.seterr(all='raise')\n"
    noisy += "def relu(a):\n    print('noise')\n    return np.maximum(a, 0) + 0 / np.ones(1)"
    before = np.geterr()
    assert not faults(graded(noisy))
    assert (capsys.readouterr(), np.geterr()) == (("", ""), before)


def test_all_exercises_have_stubs_right_solutions_pass_and_a_file_holds_any(graded, tmp_path):
    stubs = "\n".join(path.read_text(encoding="utf-8") for path in STUBS)
    assert re.findall(r"^def (\w+)", stubs, re.MULTILINE) == list(EXERCISES) == list(SOLUTIONS)
    point = "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: float\n"
    parts = graded(point + TEXT, "from __future__ import annotations\n" + HEADER)
    assert [part.name for part in parts if part.ok] == list(SOLUTIONS), text(parts)
    assert cli.main(["study", "--grade", str(tmp_path / "solution.py")]) == 0
    parts = graded(SOLUTIONS["relu"] + "def relu_backward(dh, a): return dh")
    assert [part.ok for part in parts] == [True, False]


def test_output_fits_100_columns_and_has_colour_only_on_demand(graded):
    wrong = [SOLUTIONS[name].replace("return ", "return 2 * ") for name in ("softmax", "relu")]
    parts = graded("".join(wrong) + f"def softmax_vjp(p, dp): raise {LONG}")
    plain, coloured = lines(parts), lines(parts, colour=True)
    assert max(map(len, plain)) <= 100 and "\x1b" not in "".join(plain)
    assert "\x1b[31mno\x1b[0m" in "".join(coloured)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain
