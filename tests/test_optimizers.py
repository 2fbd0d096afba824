"""Each optimizer against its formula, whole or in blocks; flushing, clipping and schedules."""

import numpy as np
import pytest
from memory import traced_memory
from numpy.testing import assert_allclose

from minnet.core import optimizers
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES, Schedule, Settings, Step, flush

RATE, MU, BETA1, BETA2, EPSILON, DECAY = 0.1, 0.8, 0.7, 0.9, 1e-3, 0.3
THETA = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[0.3, -0.1, 2.0], [0.0, 0.4, -1.0], [-0.2, 0.1, 0.5]])
names = pytest.mark.parametrize("name", OPTIMIZERS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def new_state(name, theta):
    return np.zeros((OPTIMIZERS[name].vectors, theta.size), theta.dtype)


def take(name, t, theta, dtheta, state, epsilon_hat=False):
    """Step t; of theta, all but the last number are weights."""
    settings = Settings(MU, BETA1, BETA2, EPSILON, epsilon_hat, DECAY, [theta[:1], theta[1:-1]])
    OPTIMIZERS[name].take(Step(t, RATE, settings), theta, dtheta, state)


def sgd(mu=0.0, ahead=0.0):
    """Sutskever et al. 2013, eq. 1 to 4 as written. nesterov's gradients are those of a linear loss
    at the point that looks ahead, theta + mu v, which is what minnet's theta is."""
    theta, v = THETA, 0
    for g in GRADIENTS:
        v = mu * v - RATE * g
        theta = theta + v
        yield theta + ahead * v


def adam(decay=0.0, epsilon_hat=False):
    """Kingma and Ba 2015, algorithm 1, or as at the end of their section 2; with a decay of the
    weights alone it is AdamW"""
    theta, m, v, weights = THETA, 0, 0, np.array([1, 1, 0])
    for t, g in enumerate(GRADIENTS, start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
        divisor = np.sqrt(v_hat) + EPSILON
        if epsilon_hat:
            divisor = (np.sqrt(v) + EPSILON) / np.sqrt(1 - BETA2**t)
        theta = theta - RATE * decay * weights * theta - RATE * m_hat / divisor
        yield theta


PATHS = [
    ("sgd", False, [*sgd()]),
    ("momentum", False, [*sgd(MU)]),
    ("nesterov", False, [*sgd(MU, ahead=MU)]),
    ("adam", False, [*adam()]),
    ("adam", True, [*adam(epsilon_hat=True)]),
    ("adamw", False, [*adam(decay=DECAY)]),
]


@pytest.mark.parametrize(("name", "epsilon_hat", "path"), PATHS)
def test_an_optimizer_follows_its_formula_for_three_steps(name, epsilon_hat, path):
    theta, state = THETA.copy(), new_state(name, THETA)
    for t, (g, expected) in enumerate(zip(GRADIENTS, path, strict=True), start=1):
        take(name, t, theta, g.copy(), state, epsilon_hat)
        assert_allclose(theta, expected, rtol=1e-14)
        state = state.copy()  # its vectors and t are all that a checkpoint needs
    assert OPTIMIZERS[name].decoupled == (name == "adamw")


@names
@dtypes
def test_a_step_is_taken_in_place_in_the_dtype_and_allocates_no_array(name, dtype):
    theta, dtheta = np.ones((2, 100_000), dtype)
    view, state = theta[1:], new_state(name, theta)
    with traced_memory() as risen:
        take(name, 1, theta, dtheta, state)
        assert risen() < 10_000
        optimizers.clip_by_norm(dtheta, 1e-3)
        assert risen() < theta.nbytes / 2  # NumPy sums in float64, from buffers of 8192 numbers
    assert (view < 1).all() and theta.dtype == dtheta.dtype == state.dtype == dtype
    assert all(vector.all() for vector in state)


@names
@pytest.mark.parametrize("shape", [(600,), (3, 200)])  # of one net, and of three members
def test_blocks_give_the_same_bits_as_all_at_once(monkeypatch, name, shape):
    ends = set()
    for size in (1, 64, 599, 600):
        monkeypatch.setattr(optimizers, "BLOCK", size)
        rng = np.random.default_rng(0)
        theta, *gradients = rng.normal(size=(6, *shape)).astype("float32")
        state = new_state(name, theta)
        for t, dtheta in enumerate(gradients, start=1):
            take(name, t, theta, dtheta, state)
        ends.add(theta.tobytes() + state.tobytes())
    assert len(ends) == 1


@dtypes
def test_flush_sets_subnormal_numbers_to_0_and_nothing_else(dtype):
    info, kept = np.finfo(dtype), [-1, -np.inf, np.nan, 0]
    largest = np.nextafter(info.tiny, dtype(0))
    state = np.array([[largest, -info.smallest_subnormal, info.tiny, *kept]] * 2, dtype)
    flush(state)
    np.testing.assert_array_equal(state, np.array([[0, 0, info.tiny, *kept]] * 2, dtype))
    flush(state[:0])  # of sgd


@dtypes
def test_a_gradient_is_clipped_to_the_norm_and_that_of_each_member_to_its_own(dtype):
    of_members = np.array([[3, 4], [0, 0], [0.3, 0.4], [-30, 40]], dtype)
    of_one = np.array([3e25, 4e25], dtype)  # whose squares overflow in float32
    expected = [0.6, 0.8], [[0.6, 0.8], [0, 0], [0.3, 0.4], [-0.6, 0.8]]
    for dtheta, clipped in zip((of_one, of_members), expected, strict=True):
        optimizers.clip_by_norm(dtheta, 1)
        assert_allclose(dtheta, clipped, rtol=4 * np.finfo(dtype).eps)


def rates(name, steps=10, **options):
    schedule = Schedule(0.2, name, steps, **options)
    return [schedule.rate(t) for t in range(steps)]


def test_each_schedule_follows_its_formula():
    assert rates("constant") == [0.2] * 10
    assert rates("step", every=4, factor=0.5) == [0.2] * 4 + [0.1] * 4 + [0.05] * 2
    assert_allclose(rates("cosine"), 0.1 * (1 + np.cos(np.pi * np.arange(10) / 10)))
    with pytest.raises(ValueError, match="constant, step, cosine"):
        rates("linear")


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_linearly_and_the_schedule_follows_from_its_beginning(name):
    warm, plain = rates(name, steps=10, warmup=4, every=3), rates(name, steps=6, every=3)
    assert_allclose(warm, [0.05, 0.1, 0.15, 0.2, *plain])
    assert_allclose(rates(name, steps=3, warmup=10), [0.02, 0.04, 0.06])  # longer than the run
