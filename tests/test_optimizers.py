"""Each optimizer against its formula written out, whole or in blocks; flushing, clipping, decay and schedules."""

import math

import numpy as np
import pytest
from memory import traced_memory

from minnet.core import optimizers
from minnet.core.optimizers import (
    OPTIMIZERS,
    STATE,
    Schedule,
    Settings,
    blocks,
    clip_by_norm,
    decay,
    flush,
    new_state,
)

RATE, MU, BETA1, BETA2, EPSILON = 0.1, 0.8, 0.7, 0.9, 1e-3
SETTINGS = Settings(momentum=MU, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
THETA = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array([[0.3, -0.1, 2.0], [0.0, 0.4, -1.0], [-0.2, 0.1, 0.5]])


def run(name):
    theta, state, path = THETA.copy(), new_state(name, THETA), []
    for t, dtheta in enumerate(GRADIENTS, start=1):
        OPTIMIZERS[name](theta, dtheta.copy(), state, t, RATE, SETTINGS)
        path.append(theta.copy())
    return np.array(path)


def sgd():
    theta = THETA
    for g in GRADIENTS:
        theta = theta - RATE * g
        yield theta


def momentum():
    theta, v = THETA, 0
    for g in GRADIENTS:
        v = MU * v - RATE * g
        theta = theta + v
        yield theta


def nesterov():
    """Sutskever et al. 2013, eq. 3 and 4: here as written, with the gradient of a linear loss at theta + mu v."""
    theta, v = THETA, 0
    for g in GRADIENTS:
        v = MU * v - RATE * g
        theta = theta + v
        yield theta + MU * v  # the point that looks ahead, which is what minnet's theta is


def adam():
    theta, m, v = THETA, 0, 0
    for t, g in enumerate(GRADIENTS, start=1):
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
        theta = theta - RATE * m_hat / (np.sqrt(v_hat) + EPSILON)
        yield theta


@pytest.mark.parametrize("formula", [sgd, momentum, nesterov, adam])
def test_an_optimizer_follows_its_formula_for_three_steps(formula):
    np.testing.assert_allclose(run(formula.__name__), list(formula()), rtol=1e-14)


def test_adamw_is_adam_after_a_decay_of_the_weights_alone():
    theta, state, weight_decay = THETA.copy(), new_state("adamw", THETA), 0.3
    expected, m, v = THETA.copy(), 0, 0
    for t, g in enumerate(GRADIENTS, start=1):
        decay([theta[:2]], weight_decay, RATE)  # theta[2] is a bias
        OPTIMIZERS["adamw"](theta, g.copy(), state, t, RATE, SETTINGS)
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        step = RATE * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPSILON)
        expected = expected - RATE * weight_decay * expected * [1, 1, 0] - step
        np.testing.assert_allclose(theta, expected, rtol=1e-14)


def test_adams_first_step_is_the_rate_against_the_sign_of_the_gradient():
    theta = np.zeros(3)
    OPTIMIZERS["adam"](theta, np.array([5.0, -1e-3, 40.0]), new_state("adam", theta), 1, 0.01, Settings(epsilon=1e-12))
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01], rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_updates_theta_in_place_in_its_dtype(name, dtype):
    theta = THETA.astype(dtype)
    view, state = theta[1:], new_state(name, theta)
    vectors = list(state.values())
    OPTIMIZERS[name](theta, GRADIENTS[0].astype(dtype), state, 1, RATE, SETTINGS)
    assert view.base is theta and view[0] == theta[1] != THETA[1]
    assert [vector.dtype for vector in state.values()] == [dtype] * len(STATE[name])
    assert all(vector is before and vector.any() for vector, before in zip(state.values(), vectors, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_state_starts_as_zeros_like_theta(name, dtype):
    state = new_state(name, THETA.astype(dtype))
    assert set(state) == set(STATE[name])
    for vector in state.values():
        assert vector.shape == THETA.shape and vector.dtype == dtype and not vector.any()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_vectors_of_the_state_and_t_are_all_that_going_on_takes(name):
    straight = run(name)[-1]
    theta, state = THETA.copy(), new_state(name, THETA)
    for t, g in enumerate(GRADIENTS, start=1):
        OPTIMIZERS[name](theta, g.copy(), state, t, RATE, SETTINGS)
        assert all(isinstance(value, np.ndarray) for value in state.values())
        state = {vector: value.copy() for vector, value in state.items()}
    np.testing.assert_array_equal(theta, straight)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends_a_bowl(name):
    theta = np.array([3.0, -4.0])
    state = new_state(name, theta)
    for t in range(1, 301):
        OPTIMIZERS[name](theta, theta * [1, 10], state, t, 0.05, Settings())
    assert np.abs(theta).max() < 0.05


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_allocates_no_array(name, dtype):
    theta, dtheta = np.ones(100_000, dtype), np.ones(100_000, dtype)
    state = new_state(name, theta)
    with traced_memory() as risen:
        OPTIMIZERS[name](theta, dtheta, state, 1, RATE, SETTINGS)
        decay([theta], 0.1, RATE)
        assert risen() < 10_000
        clip_by_norm(dtheta, 1e-3)
        assert risen() < theta.nbytes / 2  # NumPy sums in float64, from buffers of 8192 numbers


# Blocks


def in_blocks(monkeypatch, size, name, dtype, N=1000, steps=5):
    """theta (N,) and the state after some steps, `size` numbers at a time."""
    monkeypatch.setattr(optimizers, "BLOCK", size)
    rng = np.random.default_rng(0)
    theta, dtheta = rng.normal(size=N).astype(dtype), np.empty(N, dtype)
    state = new_state(name, theta)
    views = blocks(theta, dtheta, state)
    assert len(views) == math.ceil(N / size)
    for t in range(1, steps + 1):
        dtheta[:] = rng.normal(size=N) * 10.0 ** rng.integers(-20, 10, N)
        for block in views:
            OPTIMIZERS[name](*block, t, RATE, SETTINGS)
    return theta, state


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_updating_block_by_block_gives_the_same_bits_as_all_at_once(monkeypatch, name, dtype):
    theta, state = in_blocks(monkeypatch, 1000, name, dtype)
    for size in (1, 7, 64, 999):
        other, its_state = in_blocks(monkeypatch, size, name, dtype)
        assert other.tobytes() == theta.tobytes()
        assert {vector: its_state[vector].tobytes() for vector in state} == {v: state[v].tobytes() for v in state}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_blocks_are_views_that_hold_every_number_once_in_its_place(monkeypatch, name, size):
    monkeypatch.setattr(optimizers, "BLOCK", size)
    arrays = np.zeros((4, 10))
    state = dict(zip(STATE[name], arrays[2:], strict=False))
    for theta, dtheta, part in blocks(arrays[0], arrays[1], state):
        assert set(part) == set(state)
        assert {len(theta), len(dtheta), *map(len, part.values())} == {len(theta)} and len(theta) <= size
        for vector in (theta, dtheta, *part.values()):
            vector += 1
    np.testing.assert_array_equal(arrays[: 2 + len(state)], 1)


# Flushing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_flush_sets_subnormal_numbers_to_0_and_nothing_else(monkeypatch, dtype, size):
    monkeypatch.setattr(optimizers, "BLOCK", size)
    info = np.finfo(dtype)
    below, least = np.nextafter(info.tiny, dtype(0)), info.smallest_subnormal
    kept = [0, info.tiny, -info.tiny, 1, -1, info.max, np.inf, -np.inf, np.nan]
    state = {name: np.array([below, *kept, -below, least, -least], dtype) for name in "mv"}
    flush(state)
    for vector in state.values():
        assert vector.dtype == dtype
        np.testing.assert_array_equal(vector, np.array([0, *kept, 0, 0, 0], dtype))


def test_what_is_flushed_would_never_decay_to_0_by_itself():
    state = {"m": np.ones(3, np.float32)}
    for _ in range(2000):
        state["m"] *= 0.9
    assert 0 < state["m"][0] < np.finfo(np.float32).tiny
    flush(state)
    assert not state["m"].any()
    flush({})  # of sgd


# Clipping


def test_a_long_gradient_is_scaled_to_the_norm_and_a_short_one_left_alone():
    g = np.array([3.0, 4.0])
    assert clip_by_norm(g, 10) == 5 and g.tolist() == [3, 4]
    assert clip_by_norm(g, 1) == 5
    np.testing.assert_allclose(g, [0.6, 0.8])


def test_the_norm_of_huge_float32_numbers_does_not_overflow():
    g = np.array([3e25, 4e25], np.float32)
    assert clip_by_norm(g, 1) == pytest.approx(5e25)
    np.testing.assert_allclose(g, [0.6, 0.8], rtol=1e-6)


def test_a_zero_gradient_stays_zero():
    g = np.zeros(2)
    assert clip_by_norm(g, 1) == 0 and not g.any()


# Schedules


def rates(name, steps=10, **options):
    schedule = Schedule(0.2, name, steps, **options)
    return [schedule.rate(t) for t in range(steps)]


def test_constant_stays():
    assert rates("constant") == [0.2] * 10


def test_step_multiplies_after_every_so_many_steps():
    assert rates("step", every=4, factor=0.5) == [0.2] * 4 + [0.1] * 4 + [0.05] * 2


def test_cosine_falls_along_half_a_period():
    expected = [0.1 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    np.testing.assert_allclose(rates("cosine"), expected)


@pytest.mark.parametrize("name", ["constant", "step", "cosine"])
def test_warm_up_rises_linearly_and_the_schedule_follows_from_its_beginning(name):
    warm, plain = rates(name, steps=10, warmup=4, every=3), rates(name, steps=6, every=3)
    np.testing.assert_allclose(warm[:4], [0.05, 0.1, 0.15, 0.2])
    np.testing.assert_allclose(warm[4:], plain)


def test_a_warm_up_longer_than_the_run_only_rises():
    assert rates("cosine", steps=3, warmup=10) == pytest.approx([0.02, 0.04, 0.06])


def test_an_unknown_schedule_names_the_three():
    with pytest.raises(ValueError, match="constant, step, cosine"):
        Schedule(0.1, "linear").rate(0)
