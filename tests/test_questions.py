"""Questions that a reader of docs/backprop.md can answer from its sections, answered by the core.

An answer is a piece of the page: the core fills in its numbers, or decides whether it is so, and
the section has to say just that.
"""

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_docs import BACKPROP, prose

from minnet.core.activations import relu
from minnet.core.gradcheck import central_differences, complex_step, relative_error
from minnet.core.network import MLP
from minnet.core.softmax import cross_entropy, loss_gradient, softmax, softmax_jacobian, softmax_vjp
from minnet.study.catches import caught, trained
from minnet.study.check import Loss
from minnet.study.mistakes import MISTAKES, swapped
from minnet.study.step import trace
from minnet.study.subject import friendly

PAGE = BACKPROP.replace("\N{MINUS SIGN}", "-")
PARTS = re.findall(r"^##? (.*)\n((?s:.*?))(?=^## |\Z)", PAGE, re.MULTILINE)
SECTIONS = {head: " ".join(text.split()) for head, text in PARTS}
WHOLE, *_, SOURCES, RANK, LIMITS = SECTIONS

SUBJECT = friendly([])  # the net of the example, whose row X is of class 2
NET, X, BATCH = SUBJECT.net, SUBJECT.X, SUBJECT.net.prepare(SUBJECT.X, [2])
LOSS, TAPE = NET.step(*BATCH), BATCH[2]
MADE = [line for lines in trace(SUBJECT).sections.values() for line in lines if line.step]
W1, GRADIENTS = NET.weights[1], [layer.dW for layer in NET.layers]
z, T, I = TAPE.z[0], BATCH[1][0], np.eye(3)
p, J = softmax(z), softmax_jacobian(softmax(z))
dp, dz = loss_gradient(p, T), softmax_vjp(p, loss_gradient(p, T))
u, FAR = np.array([0.5, 0.3, 0.2]), [0.0, -1000.0]
TINY = softmax(FAR)
EPS, MOST = np.array([(f.eps, f.max) for f in map(np.finfo, (float, np.float32))], float).T


def steps_of(value):
    """The steps of the example that make an array."""
    made, value = ((line.step, np.squeeze(line.value)) for line in MADE), np.squeeze(value)
    return [step for step, x in made if x.shape == value.shape and np.allclose(x, value)]


def loss_after(steps):
    """L of the page's first program, by the core."""
    net, rows = MLP([2, 3], output_gradient="jacobian", dtype="float64"), [[2, 1], [1, 2], [-1, 2]]
    net.theta[:] = 0
    batch = net.prepare([*rows, [-2, 1], [0, -2], [1, -2]], [0, 0, 1, 1, 2, 2])
    for _ in range(steps):
        net.step(*batch)
        net.weights[0][:] -= net.layers[0].dW  # the program has no biases
    return net.loss(*batch)


def loss_after_a_step(rate):
    net = NET.astype("float64")
    net.theta -= rate * NET.dtheta
    return net.loss(*BATCH[:2], net.prepare(X, [2])[2])


def spoiled(i):
    """dz with row i of J wrong."""
    return (J + I[i][:, None]).T @ dp


def passes(name):
    """Whether a wrong softmax passes p - y for every class, and is wrong."""
    found = caught(MISTAKES[name])
    return found["diff L"] and not (found["p-y 1"] or found["p-y K"])


def gradient(name=None, N=5):
    """dtheta of a net on N rows, with a mistake of the gallery in the core or without."""
    net, rows = MLP([4, 3, 3], output_gradient="fused", dtype="float64", seed=1), np.arange(4 * N)
    with swapped(MISTAKES[name].change if name else None):
        return net.loss_and_gradient(np.cos(rows).reshape(N, 4), np.arange(N) % 3)[1]


def units_that_come_back(layer):
    """Of 20 units of a hidden layer that are off in all rows, those that are on after 100 steps."""
    rng, back = np.random.default_rng(0), 0
    for seed in range(20):
        net = MLP([2, 4, 4, 3], dtype="float64", seed=seed)
        batch = net.prepare(rng.normal(size=(9, 2)), rng.integers(3, size=9))
        net.step(*batch)
        net.biases[layer][0] -= batch[2][layer].a[:, 0].max() + 1e-3
        for _ in range(100):
            net.step(*batch)
            net.theta -= 0.5 * net.dtheta
        back += (batch[2][layer].a[:, 0] > 0).any()
    return back


def units_that_differ(activation):
    """Whether the units of a hidden layer have different gradients where all weights are 0."""
    net = MLP([2, 4, 3], activation, dtype="float64")
    net.theta[:] = 0
    net.loss_and_gradient([[1, 2], [3, -1]], [0, 2])
    return np.ptp(net.layers[0].dW, axis=1).any() or np.ptp(net.layers[1].dW, axis=0).any()


class Counted(float):
    """A number that counts products with it."""

    products = 0

    def __mul__(self, other):
        Counted.products += 1
        return float(self) * other

    def conjugate(self):
        return self


def products(f, *arrays):
    """How many products f takes for arrays of three numbers."""
    Counted.products = 0
    f(*(np.array([Counted(x) for x in array], object) for array in arrays))
    return Counted.products


def tried(f, *arrays):
    try:
        return f(*arrays)
    except ValueError:
        return np.nan


def literal(p):
    """What the first document's matrix form gives for p, with @ and with *."""
    made = [tried(lambda p: p.T @ (I - p), p), tried(lambda p: p.T * (I - p), p)]
    J = softmax_jacobian(np.squeeze(p))
    return ["J" if np.shape(x) == (3, 3) and np.allclose(x, J) else np.shape(x) for x in made]


def error(measure, dtype):
    """Of dW[0] of the example."""
    measured = measure(Loss(NET, dtype, X, [2]), NET.theta, entries=np.arange(6))
    return relative_error(measured, NET.dtheta[:6])


# fmt: off
# section: question, what the page says, and the core's numbers in it, or whether it is so
QUESTIONS = {
    WHOLE: [
        ("What is L at the start?", "0: L {:.4f}, p", lambda: loss_after(0)),
        ("And after 100 steps?", "100: L {:.4f}, p", lambda: loss_after(100)),
        ("z_0 grows by e: and L?", "L grows by about dz_0 · e",
         np.isclose(cross_entropy(z + 1e-4 * I[0], 2) - LOSS, dz[0] * 1e-4, rtol=1e-3)),
    ],
    "Softmax": [
        ("All logits grow by 1000: and p?", "p stays the same",
         np.allclose(softmax(z + 1000), p, rtol=1e-12)),
        ("By what is exp(z) divided?", "{:.4f} [0.6652", np.exp(z[0]) / p[0]),
        ("On which line?", "# ({}) p = exp(z) / total", steps_of(p)[0]),
    ],
    "Its Jacobian": [
        ("z_0 grows by 0.01: and p?", "[ {:.4f} {:.4f} {:.4f}]", 0.01 * J[:, 0]),
        ("Which p fall if z_k rises?", "The diagonal is positive, the rest negative",
         (np.sign(J) == 2 * I - 1).all()),
        ("All logits rise: by how much does p_1?", "Each row sums to {:.0f}.", abs(J[1].sum())),
        ("On which line is J made?", "# ({}) J_ik", steps_of(J)[0]),
    ],
    "Cross-entropy": [
        ("What is L?", "-log {:.4f} = {:.4f}", (p[2], LOSS)),
        ("And if the net knows nothing?", "here {:.4f}", cross_entropy(0 * z, 2)),
        ("Which entry of dp is not 0?", "dp = ({:.0f}, {:.0f}, {:.4f})", dp + 0.0),
        ("p_2 grows by 0.01: and L?", "p_2 grows by {}, L falls by about {:.2f}",
         (0.01, -0.01 * dp[2])),
        ("Weights 1 and 3: which shares?", "the row's weight over the sum of weights",
         NET.targets([0, 1], [1, 3])[0].max() == 3 / 4),
    ],
    "Why the transpose": [
        ("What makes dz_0?", "dz_0 is {:.4f} · {:.4f} = {:.4f}", (J[2, 0], dp[2], dz[0])),
        ("Which dz has the diagonal alone?", "[ {:.0f}. {:.0f}. {:.4f}]", np.diag(J) * dp + 0.0),
        ("And J dp?", "the result is the same: J is symmetric", (J @ dp == J.T @ dp).all()),
        ("On which line is the sum?", "# ({}) dz_k = sum_i", steps_of(dz)[0]),
    ],
    "Without J": [
        ("What is the mean of dp?", "In the example it is {:.0f}", dp @ p),
        ("On which line?", "# ({}) <dp, p>", steps_of(dp @ p)[-1]),
        ("How many products does K = 3 take?", "2K multiplications a row; forming J takes K²",
         (products(softmax_vjp, p, dp), products(softmax_jacobian, p)) == (2 * 3, 3**2)),
        ("How far from it is dp_2?", "dz_2 = {:.4f} · ({:.4f} + 1) = {:.4f}", (p[2], dp[2], dz[2])),
    ],
    "p - y": [
        ("What is dz?", "({:.4f}, {:.4f}, {:.4f} - 1)", dz + T),
        ("On which line?", "# ({}) dz = r (p - Y)", steps_of(dz)[2]),
        ("And from p = (0.9, 2, 0.4)?", "({:.1f}, {:.0f}, {:.1f}), which is p - Y",
         softmax_vjp([0.9, 2, 0.4], loss_gradient([0.9, 2, 0.4], T))),
        ("Rows 0 and 1 of J are wrong: and dz?", "one true class uses one row of J",
         [np.allclose(spoiled(i), dz) for i in range(3)] == [True, True, False]),
        ("Which softmax passes?", 'base 2, or over the wrong axis, passes the test "dz is p - y"',
         lambda: bool(passes("softmax-base-2") and passes("softmax-over-axis-0"))),
    ],
    "The linear layer": [
        ("da W for da Wᵀ?", "da W has the right shape too, and is wrong",
         lambda: not np.allclose(gradient("missing-transpose"), gradient())),
        ("On which line is dh made?", "# ({}) dh = da @ W^T", steps_of(dz @ W1.T)[0]),
    ],
    "Activations": [
        ("Which slope has a = 0?", "minnet takes {:.0f}",
         relu(np.zeros(1), np.empty(1), slope := np.ones(1)) or slope),
        ("Does a unit that is off come back?", "plain gradient steps leave it off",
         lambda: units_that_come_back(0) == 0),
        ("In the second layer?", "it can come back on", lambda: units_that_come_back(1) > 0),
    ],
    "A net": [
        ("What is W[1]?", "(({:g}, {:g}, {:g}), ({:g}, {:g}, {:g}), ({:g}, {:g}, {:g}))", W1),
        ("What is dh_0?", "{:.4f} · {} + {:.4f} · ({}) - {:.4f} · {:.0f} = {:.4f}",
         [*np.stack([abs(dz), W1[0]]).T.flat, TAPE[1].dh[0, 0]]),
        ("Which numbers are 0 as unit 2 is off?", "column of dW[0] is zeros, and so is its row of",
         not (GRADIENTS[0][:, 2].any() or GRADIENTS[1][2].any())),
        ("And if all weights start at 0?", "the same gradient, or none",
         not any(map(units_that_differ, ("relu", "tanh", "logistic")))),
    ],
    "One step": [
        ("What is L after it?", "{}, one step takes the loss of the example from {:.4f} to {:.4f}",
         (0.1, LOSS, loss_after_a_step(0.1))),
        ("On which line is theta moved?", "# ({}) theta", steps_of(-0.1 * NET.dtheta)[0]),
    ],
    "Batches": [
        ("1/N is forgotten: and dW?", "they are N times too large",
         lambda: np.allclose(gradient("missing-1-over-n"), 5 * gradient())),
        ("With one row?", "a test with N = 1 cannot see",
         lambda: bool((gradient("missing-1-over-n", N=1) == gradient(N=1)).all())),
        ("Which shapes does NumPy take?", "unless N = K, N = 1 or K = 1",
         all((np.size(tried(np.subtract, np.ones((N, K)), np.ones(N))) > 1 or N == K == 1)
             == (N == K or 1 in (N, K)) for N, K in product(range(1, 5), repeat=2))),
    ],
    "Overflow and the floor": [
        ("Where does exp overflow?", "exp({:.0f}) is infinite in float64, as is exp({:.0f}) in",
         np.ceil(np.log(MOST))),
        ("p and L at a gap of 1000?", "p is ({:.0f}, {:.1e}), L is {:.0f}",
         (*TINY, cross_entropy(FAR, 1))),
        ("And dz?", "dz is ({:.0f}, {:.0f})", softmax_vjp(TINY, loss_gradient(TINY, I[1, :2]))),
        ("With p clipped in the division alone?", "the gradient vanishes without an error",
         not softmax_vjp(TINY, MISTAKES["clip-in-division"].change.wrong(TINY, I[1, :2])).round(99)
         .any()),
    ],
    "Measuring a gradient": [
        ("How exact is each way?", "1e-10 by differences, and below 1e-15 by the complex step",
         error(central_differences, float) < 1e-10 and error(complex_step, complex) < 1e-15),
        ("Does accuracy show the diagonal alone?", "it is still above 0.95 on the wine data",
         lambda: trained(MISTAKES["diagonal-jacobian"]) > 0.95),
    ],
    SOURCES: [
        ("eye(3, k=1)?", "a matrix with ones i places right of its diagonal",
         np.argwhere(np.eye(3, k=1)).tolist() == [[0, 1], [1, 2]]),
        ("p (n,)?", "| zeros of shape (n,), no error | (n, n), wrong: p_k (δ_ik - p_k)",
         literal(u) == [(3,), (3, 3)] and np.allclose(u @ (I - u), 0)
         and np.allclose(u * (I - u), u[None] * (I - u[None]))),
        ("-p_j²?", "the wrong matrix of the first row", np.allclose(I * u - u * u, u * (I - u))),
        ("p (1, n)?", "| (1, n) | ValueError | J |", literal(u[None]) == [(), "J"]),
        ("p (n, 1)?", "| (n, 1) | (1, n), not J | J |", literal(u[:, None]) == [(1, 3), "J"]),
        ("p (N, n)?", "| (N, n) | ValueError; if N = n, wrong | ValueError; if N = n, wrong |",
         literal(np.ones((2, 3))) == [(), ()] and literal(softmax(I)) == [(3, 3), (3, 3)]),
    ],
    RANK: [
        ("Which rank is found for z = (20, 0, 0)?", "`np.linalg.matrix_rank` says {}",
         np.linalg.matrix_rank(softmax_jacobian(softmax([20.0, 0.0, 0.0])))),
        ("Which eigenvalues has J?", "0, {:.4f} and {:.4f}", np.linalg.eigvalsh(J)[1:]),
    ],
    LIMITS: [
        ("Which h, and which error?", "{:.1e} in float64, where about eps^(2/3) = {:.1e}",
         (EPS[0] ** (1 / 3), EPS[0] ** (2 / 3))),
        ("In float32?", "they are {:.4f} and {:.1e}", (EPS[1] ** (1 / 3), EPS[1] ** (2 / 3))),
        ("Which h has the complex step?", "With h = {}", complex_step.__defaults__[0]),
        ("What does (17) undo?", "(`vecdot` has one", np.vecdot([1j], [1]) == -1j),
    ],
}
# fmt: on
ANSWERS = [(section, *answer) for section, some in QUESTIONS.items() for answer in some]


@pytest.mark.parametrize(("section", "question", "says", "core"), ANSWERS)
def test_the_page_answers_as_the_core_does(section, question, says, core):
    core = core() if callable(core) else core
    if isinstance(core, bool | np.bool_):
        assert core and says in SECTIONS[section]
    else:
        assert says.format(*np.ravel(core)) in SECTIONS[section]


def test_each_section_has_questions_and_each_decimal_in_the_prose_is_an_answer_or_in_a_block():
    assert [*QUESTIONS] == [*SECTIONS] and all(len(some) > 1 for some in QUESTIONS.values())
    text, known = prose(PAGE), " ".join(re.findall(r"```.*?```", PAGE, re.DOTALL))
    for _, _, says, core in ANSWERS:
        core = core() if callable(core) and "{" in says else core
        known += says.format(*np.ravel(core))
    decimals = {*re.findall(r"\d+\.\d+(?:e[-+]\d+)?|\d+e[-+]?\d+", re.sub(r"\n\|.*", "", text))}
    assert [number for number in decimals if number not in known] == []


def test_the_table_of_the_net_holds_the_arrays_of_the_core_and_the_steps_that_make_them():
    arrays = {"X": X, "a[0]": TAPE[0].a, "h[1]": TAPE[1].h, "z": z, "dz": dz, "dW[1]": GRADIENTS[1]}
    arrays |= {"dh[1]": TAPE[1].dh, "da[0]": TAPE[0].da, "dW[0]": GRADIENTS[0]}
    rows = re.findall(r"^\| \((\d+)\) \| (\S+) \|.*\| (.*) \|$", PAGE, re.MULTILINE)
    assert [name for _, name, _ in rows] == [*arrays]
    for step, name, shown in rows:
        numbers = [float(number) for number in re.findall(r"[-.\d]+", shown)]
        np.testing.assert_allclose(numbers, np.ravel(arrays[name]), rtol=0, atol=5.1e-5)
        assert int(step) in steps_of(arrays[name])


@given(hnp.arrays(np.float64, st.integers(2, 6), elements=st.floats(-5, 5)), st.data())
def test_what_the_page_says_of_every_j_and_of_every_positive_p(z, data):
    p, K = softmax(z), len(z)
    J, v = softmax_jacobian(p), data.draw(hnp.arrays(float, K, elements=st.floats(-9, 9)))
    assert (J == J.T).all() and (np.sign(J) == 2 * np.eye(K) - 1).all()
    np.testing.assert_allclose([J.sum(axis=0), J.sum(axis=1)], 0, atol=1e-15)
    np.testing.assert_allclose(v @ J @ v, p @ (v - p @ v) ** 2, atol=1e-12)
    eigenvalues = np.linalg.eigvalsh(J)
    assert -1e-15 < eigenvalues[0] < 1e-15 < eigenvalues[1] and eigenvalues[-1] < 0.5 + 1e-15
    Y, q = softmax(v), np.exp(v)  # q is no distribution
    np.testing.assert_allclose(softmax_vjp(q, loss_gradient(q, Y)), q - Y, rtol=1e-9, atol=1e-9)
    with np.errstate(divide="raise"):
        assert np.isclose(p[0] * (1 / p[0]), 1, rtol=1e-15)


def test_the_page_makes_no_claim_with_never_always_or_only():
    """If it has to, put the proof here."""
    assert re.findall(r"\b(?:never|always|only)\b", prose(PAGE), re.IGNORECASE) == []
