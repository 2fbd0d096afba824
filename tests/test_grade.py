"""Right solutions pass, classic mistakes in them are named, and broken files end in a line."""

import ast
import contextlib
import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import minnet
from minnet import cli
from minnet.errors import ConfigError
from minnet.study import catches
from minnet.study.exercises import EXERCISES, value
from minnet.study.grade import grade, lines
from minnet.study.mistakes import MISTAKES

FOLDER = Path(__file__).parent.parent / "docs" / "exercises"
STUBS = sorted(FOLDER.glob("*.py"))
HEADER = """
import numpy as np
from numpy.typing import NDArray
from minnet.core.activations import relu
from minnet.core.softmax import softmax_jacobian, softmax_vjp
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

# What a learner makes of the gallery's functions, by what they replace; here `wrong`
LEARNERS = {
    "softmax_and_log": "def softmax(z): return wrong(z)",
    "softmax_jacobian": "def softmax_jacobian(p): return wrong(p)",
    "softmax_vjp": "def softmax_vjp(p, dp): return wrong(p, dp)",
    "loss_gradient": "def output_gradient(p, y):"
    " return softmax_vjp(p, wrong(p, np.eye(p.shape[1])[y] / len(y)))",
    "fused": "def output_gradient(p, y): return wrong(p, np.eye(p.shape[1])[y] / len(y))",
    "relu": "def relu_backward(dh, a):\n    slope = a * 0\n    wrong(a, a * 0, slope)\n"
    "    return dh * slope",
    "backward": "def linear_backward(h, W, da): return wrong(h, W, da)",
}
IN_THE_GALLERY = [
    name
    for name, mistake in MISTAKES.items()
    if mistake.replaces in LEARNERS and name != "dropout-without-mask"
]

# The gallery's checks: claims about the same
NET = {"diff L": "differences of L, in a net"}
SAME_CHECKS = {
    "softmax_and_log": {
        "sum p": "each row of p sums to 1",
        "diff J": "differences of p are J",
        **NET,
    },
    "softmax_jacobian": {
        "sym": "J is symmetric",
        "rows": "its rows sum to 0",
        "p-y 1": "J^T dp = p - y, one class",
        "p-y K": "J^T dp = p - y, every class",
        "diff J": "differences of p",
        **NET,
    },
    "softmax_vjp": {"p-y K": "dz = p - y, every class", **NET},
    "fused": {"p-y K": "4 rows of 3 classes", **NET},
}

MAX, SUM = " - z.max(axis=1, keepdims=True)", "sum(axis=1, keepdims=True)"
MEAN = "(dp - (dp * p).sum(axis=1, keepdims=True))"
LOSS = "np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]"
P_TRUE = f"(np.exp(z) / np.exp(z).{SUM})[np.arange(len(y)), y]"
TWICE = "p = np.exp(p) / np.exp(p).sum(-1, keepdims=True)\n    return"
LINEAR = "h.T @ da, da.sum(axis=0), da @ W.T"
# function, what stands in the solution, what stands there instead, what is said of it
SLIPS = [
    ("softmax", f" / e.{SUM}", "", "not divided by their sum"),
    ("softmax", MAX, "", "softmax-without-shift"),
    ("softmax", "axis=1", "axis=0", "softmax-over-axis-0"),
    ("softmax", SUM, "sum()", "softmax-over-batch"),
    ("softmax", SUM, "sum(axis=1)", "broadcast-n"),
    ("softmax_jacobian", "return", "return np.eye(p.shape[-1]) *", "diagonal-jacobian"),
    ("softmax_jacobian", "(np.eye(p.shape[-1]) - ", "(0 - ", "the diagonal lacks its p_i"),
    ("softmax_jacobian", "return ", "return -", "the sign"),
    ("softmax_jacobian", "return", TWICE, "applied to p"),
    ("softmax_vjp", MEAN, "dp", "not subtracted"),
    ("softmax_vjp", MEAN, "(1 - p) * dp", "diagonal-jacobian"),
    ("softmax_vjp", SUM, "sum(axis=1)", "broadcast-mean"),
    ("cross_entropy", MAX, "", "softmax-without-shift"),
    ("cross_entropy", LOSS, f"({LOSS}).mean()", "the mean over the rows"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE})", "p underflows to 0"),
    ("cross_entropy", LOSS, f"-np.log({P_TRUE} + 1e-12)", "p is kept away from 0"),
    ("cross_entropy", LOSS, f"-np.log2({P_TRUE})", "to base 2"),
    ("output_gradient", " / len(y)", "", "missing-1-over-n"),
    ("output_gradient", "/ len(y)", "/ p.shape[1]", "divided by K"),
    ("output_gradient", "return dz / len(y)", "return -dz", "y-minus-p, missing-1-over-n"),
    ("linear_forward", "@ W", "@ W.T", "W is transposed"),
    ("linear_forward", " + b", "", "b is missing"),
    ("linear_backward", "W.T", "W", "missing-transpose"),
    ("linear_backward", "h.T @ da", "da.T @ h", "dW is transposed"),
    ("linear_backward", "da.sum(axis=0)", "da.mean(axis=0)", "db is a mean"),
    ("linear_backward", LINEAR, "da @ W.T, h.T @ da, da.sum(axis=0)", "another order"),
    ("relu", "np.where(a > 0, a, 0)", "abs(a)", "|a|"),
    ("relu_backward", "a > 0", "a >= 0", ">= stands where"),
    ("relu_backward", "a > 0", "dh > 0", "relu is applied to dh"),
    ("relu_backward", "dh, 0", "1.0, 0", "the slope alone"),
    ("training_step", "dz @ W2.T", "dz @ W2", "missing-transpose"),
    ("training_step", " / len(X)", "", "missing-1-over-n"),
    ("training_step", "p - Y", "Y - p", "y-minus-p"),
    ("training_step", "(p - Y)", "Y * (p - Y)", "true-class-only"),
    ("training_step", "(p - Y)", "(p - Y) * p * (1 - p)", "twice-derived"),
    ("training_step", "a > 0", "h >= 0", "relu-slope-everywhere"),
    ("training_step", MAX, "", "softmax-without-shift"),
    ("training_step", "learning_rate *", "", "learning_rate is not used"),
    ("training_step", ".mean()", ".sum()", "L is the sum"),
    ("training_step", "W2.T", "(W2 - learning_rate * h.T @ dz).T", "W2 is updated before"),
    ("central_differences", "(2 * h)", "h", "it is 2h"),
    ("central_differences", "before - h", "before", "from x to x + h it is h"),
    ("central_differences", "1e-5", "1e-10", "h = 1e-10 is too small"),
    ("central_differences", "1e-5", "1e-2", "h = 1e-02 is too large"),
    ("central_differences", "        x[j] = before\n", "", "keeps its step"),
    ("central_differences", "above - below", "below - above", "the sign"),
]


@pytest.fixture
def graded(tmp_path):
    """Grade a file with this text."""

    def graded(text, header=HEADER):
        path = tmp_path / "solution.py"
        path.write_text(header + text, encoding="utf-8")
        return grade(path)

    return graded


def text(result):
    return " ".join("\n".join(lines(result)).split())


def faults(result):
    pairs = (pair for part in result.parts for pair in part.faults.items())
    return {claim: fault for claim, fault in pairs if fault}


def slipped(name, right, wrong):
    assert right in SOLUTIONS[name]
    return SOLUTIONS[name].replace(right, wrong)


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_right_solution_passes_every_check(graded, name):
    result = graded(SOLUTIONS[name])
    assert result.ok, text(result)
    assert [part.name for part in result.parts] == [name]


# The stubs


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.stem)
def test_a_stub_is_not_solved_yet_and_its_example_and_references_are_right(path, capsys):
    assert cli.main(["study", "--grade", str(path)]) == 1
    printed, nodes = capsys.readouterr(), functions(path)
    assert printed.out.count("not solved yet") == len(nodes) and not printed.err
    for node in nodes:
        names = {"np": np}
        exec(HEADER + SOLUTIONS[node.name], names)
        parser, docstring = doctest.DocTestParser(), ast.get_docstring(node)
        example = parser.get_doctest(docstring, names, node.name, None, None)
        assert example.examples
        assert doctest.DocTestRunner().run(example).failed == 0
    text = path.read_text(encoding="utf-8")
    section = re.search(r'Read "(.*)" in docs/backprop.md', text)[1]
    derivation = (FOLDER.parent / "backprop.md").read_text(encoding="utf-8")
    assert f"\n## {section}\n" in derivation.replace("\N{MINUS SIGN}", "-")
    assert f"--grade docs/exercises/{path.name}" in text
    assert f"({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_stubs_are_all_exercises_in_their_order():
    names = [node.name for path in STUBS for node in functions(path)]
    assert names == list(EXERCISES) == list(SOLUTIONS)


# Mistakes


@pytest.mark.parametrize("name", IN_THE_GALLERY)
def test_a_mistake_of_the_gallery_is_recognised_and_the_same_checks_catch_it(graded, name):
    mistake = MISTAKES[name]
    source = f"{inspect.getsource(mistake.function)}\nwrong = {mistake.function.__name__}\n"
    result = graded(source + LEARNERS[mistake.replaces])
    assert not result.ok
    said = text(result)
    assert f"This looks like {name}: " in said and f"See: minnet study --mistake {name}" in said
    if name != "p-at-I-minus-p":  # its shape is wrong, so nothing else is compared
        failed, verdicts = faults(result), catches.caught(mistake)
        claims = SAME_CHECKS.get(mistake.replaces, {})
        fails = {head: claim in failed for head, claim in claims.items()}
        assert fails == {head: bool(verdicts[head]) for head in claims}


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip[0]}-{slip[3]}")
def test_a_slip_is_recognised(graded, slip):
    name, right, wrong, said = slip
    result = graded(slipped(name, right, wrong))
    assert not result.ok
    assert said in " ".join(part.likely for part in result.parts), text(result)


@pytest.mark.parametrize("name", EXERCISES)
def test_every_suspect_can_be_computed_in_some_case(name):
    exercise, computed = EXERCISES[name], set()
    for case in exercise.cases.values():
        suspects = dict(exercise.suspects(value(f"({case},)")))
        for said, suspect in suspects.items():
            with contextlib.suppress(ValueError), np.errstate(all="ignore"):  # shapes do not fit
                suspect()
                computed.add(said)
    assert computed == {*suspects}


def test_a_one_sided_difference_and_the_first_of_two_mistakes_are_recognised(graded):
    one_sided = slipped("central_differences", "before - h", "before").replace("(2 * h)", "h")
    assert "one-sided, (f(x + h) - f(x)) / h" in text(graded(one_sided))
    both = slipped("softmax", MAX, "").replace("axis=1", "axis=0")
    assert "This looks like softmax-over-axis-0" in text(graded(both))


def test_numbers_that_no_known_mistake_gives_are_reported_without_a_guess(graded):
    result = graded("def relu(a): return a * 0.123")
    assert not result.parts[0].likely
    assert "h[0, 0] is 0.1845, not 1.5000" in text(result)
    late = graded("def relu(a): return np.maximum(a, 0) * 1.0000002")
    assert "is 1.5000003, not 1.5" in text(late)


def test_every_batch_is_looked_at_and_the_product_with_j_must_not_write_j(graded):
    one_row = faults(graded("def softmax_jacobian(p): return np.diag(p) - np.outer(p, p)"))
    assert len(one_row) == 2 and all("(N, K, K)" in claim for claim in one_row)
    product = "np.einsum('nik,ni->nk', softmax_jacobian(p), dp)"
    result = graded(f"def softmax_vjp(p, dp): return {product}")
    [(claim, fault)] = faults(result).items()
    assert "K x K" in claim and "numbers are in memory at once" in fault


def test_a_changed_input_is_reported_even_if_it_is_put_back_but_for_rounding(graded):
    claim = "its arguments stay as they are"
    result = graded("def relu(a):\n    a[a < 0] = 0\n    return a")
    assert faults(result) == {claim: "a[0, 1] is 0, not -0.5000"}
    inexact = slipped("central_differences", "x, h = x.copy(), 1e-5", "h = 1e-5")
    inexact = inexact.replace("x[j] = before\n", "x[j] = (x[j] + 3 * h) - 2 * h\n")
    assert claim in faults(graded(inexact))


LONG = "ValueError('two\\nlines \\x1b[31m' + 'x' * 999)"
LAYER = "def linear_backward(h, W, da): return"


@pytest.mark.parametrize(
    ("solution", "said"),
    [
        ("def softmax(z): pass", "p: expected an array (3, 3) of float64, got None (is there a re"),
        ("def softmax(z): return z.tolist()", "got a list of 3"),
        ("def softmax(z): return 0.5", "got a value of type float"),
        ("def softmax(z): return z[0]", "got an array (3,) of float64"),
        ("def softmax(z): return (z * 0).astype(int)", "got an array (3, 3) of int64"),
        ("def softmax(z): return z.astype(object)", "got an array (3, 3) of object"),
        ("def softmax(z): return z + 0j", "got an array (3, 3) of complex128"),
        ("def softmax(z): return z.astype(str)", "got an array (3, 3) of <U"),
        ("def softmax(z): return np.full(z.shape, np.nan)", "p[0, 0] is nan, not "),
        ("def softmax(z): return np.full(z.shape, np.inf)", "p[0, 0] is inf, not "),
        ("def softmax(): return 1", "TypeError: softmax() takes 0 positional arguments but 1 was"),
        ("def softmax(z):\n    return z / missing", "name 'missing' is not defined (line 7)"),
        ("def softmax(z):\n    raise SystemExit(3)", "SystemExit: 3 (line 7)"),
        ("def softmax(z):\n    import sys\n    sys.exit()", "SystemExit (line 8)"),
        ("def softmax(z): return softmax(z)", "RecursionError: maximum recursion depth exceeded"),
        (f"def softmax(z):\n    raise {LONG}", "ValueError: two lines [31mxxx"),
        ("def softmax(z): return 1 // 0", "ZeroDivisionError"),
        ("def softmax(z): input('p? ')", "EOFError"),
        (
            "class E(Exception):\n    def __str__(self): 1 / 0\ndef softmax(z): raise E",
            "E (line 8)",
        ),
        (f"{LAYER} h.T @ da", "expected dW, db, dh, got an array (3, 3) of float64"),
        (f"{LAYER} h.T @ da, da.sum(axis=0)", "expected dW, db, dh, got a tuple of 2"),
        (f"{LAYER} da, da, da", "db: expected an array (3,) of float64"),
        (f"{LAYER} None, None, None", "dW: expected an array (3, 3) of float64, got None"),
        ("def training_step(*args): return args[:5]", "L: expected one number (float64), got an"),
        ("def central_differences(f, x): return f(x)", "gradient: expected an array (3,) of float"),
    ],
)
def test_a_broken_function_ends_in_a_line(graded, solution, said):
    result = graded(solution)
    assert not result.ok
    assert said in text(result)
    assert all(len(fault) < 250 for fault in faults(result).values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"def softmax(z:\n", "SyntaxError"),
        (b"def softmax(z):\n  pass\n pass", "IndentationError"),
        (b"x = 1\n1 / 0\n", "ZeroDivisionError: division by zero (line 2)"),
        (b"import nothing_of_this_name\n", "No module named 'nothing_of_this_name' (line 1)"),
        (b"import sys\nsys.exit(0)\n", "SystemExit: 0 (line 2)"),
        (b"raise BaseException('x')", "BaseException: x (line 1)"),
        (b"\x00", "Error"),
        (b"\xff\xfe", "Error"),
        (b"", "has no function of an exercise: softmax, softmax_jacobian, softmax_vjp"),
        (b"from minnet.core.softmax import softmax", "has no function of an exercise"),
        (b"softmax = 3", "has no function of an exercise"),
    ],
)
def test_a_broken_file_ends_in_a_line(tmp_path, capsys, content, said):
    path = tmp_path / "solution.py"
    path.write_bytes(content)
    assert cli.main(["study", "--grade", str(path)]) == 2
    printed = capsys.readouterr()
    assert not printed.out and said in printed.err and printed.err.count("\n") == 1


def test_a_missing_file_and_a_folder_end_in_a_line(tmp_path):
    for path in (tmp_path / "missing.py", tmp_path, Path("nul\0")):
        with pytest.raises(ConfigError, match="cannot be read"):
            grade(path)


def test_what_a_solution_prints_and_warns_of_is_not_seen(graded, capsys):
    noisy = "import warnings\nprint('noise')\nwarnings.warn('noise')\nnp.seterr(all='raise')\n"
    noisy += "def relu(a):\n    print('noise')\n    return np.maximum(a, 0) + 0 / np.ones(1)"
    before = np.geterr()
    assert graded(noisy).ok
    assert capsys.readouterr() == ("", "")
    assert np.geterr() == before


def test_a_file_may_hold_several_functions_and_whatever_python_allows(graded):
    everything = (
        "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: float\n" + TEXT
    )
    result = graded(everything, "from __future__ import annotations\n" + HEADER)
    assert result.ok and [part.name for part in result.parts] == list(SOLUTIONS)
    result = graded(SOLUTIONS["relu"] + "def relu_backward(dh, a): return dh")
    assert [part.ok for part in result.parts] == [True, False] and not result.ok


def test_grading_leaves_the_core_as_it_was(graded):
    before = minnet.softmax([[1.0, 2.0]]), minnet.core.softmax.softmax_and_log
    graded("def softmax(z): raise SystemExit")
    graded("def softmax(z): return z")
    assert minnet.core.softmax.softmax_and_log is before[1]
    np.testing.assert_array_equal(minnet.softmax([[1.0, 2.0]]), before[0])


def test_output_fits_100_columns_and_has_colour_only_on_demand(graded):
    wrong = [SOLUTIONS[name].replace("return ", "return 2 * ") for name in ("softmax", "relu")]
    result = graded("".join(wrong) + f"def softmax_vjp(p, dp): raise {LONG}")
    plain = lines(result)
    assert max(map(len, plain)) <= 100 and "\x1b" not in "".join(plain)
    coloured = lines(result, colour=True)
    assert "\x1b[31mno\x1b[0m" in "".join(coloured)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain
