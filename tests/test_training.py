"""The training loop: what it learns, when it stops, what it keeps, what it refuses to go on with, what it takes."""

import dataclasses
import json
import math
import os
import threading
from itertools import cycle

import numpy as np
import pytest
import threadpoolctl
from memory import traced_memory
from scipy import sparse

from minnet import batches, training
from minnet.batches import Part
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import ROWS, Workspace
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES, STATE, Schedule, Settings, clip_by_norm, decay, new_state
from minnet.core.softmax import ROADS, cross_entropy
from minnet.errors import ConfigError, TrainingError

D, K = 5, 3


def part(N=60, seed=0, noise=0.6):
    """Three clouds of points, a class each."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % K
    X = np.eye(K, D)[y] * 2 + noise * rng.normal(size=(N, D))
    return Part(np.hstack([X, np.ones((N, 1))]).astype("float32"), y)


def config(optimizer=None, model=None, **train):
    return Config(
        model=ModelConfig(**{"hidden": [8]} | (model or {})),
        optimizer=OptimizerConfig(**{"learning_rate": 0.02} | (optimizer or {})),
        train=TrainConfig(**{"epochs": 30, "batch_size": 16, "patience": 0} | train),
    )


def run(settings, training_part=None, validation=None, interrupted=None, class_weight=None):
    net = training.build(settings, D, K, class_weight)
    training_part = training_part or part()
    training_part.X1 = training_part.X1.astype(net.dtype)
    epochs = list(training.train(net, training_part, validation, settings, interrupted))
    return net, epochs


# Learning


@pytest.mark.parametrize("road", ROADS)
def test_a_net_overfits_twenty_rows_to_zero_loss(road):
    few = part(20, noise=3)
    few.y = np.random.default_rng(1).integers(0, K, 20)  # labels that cannot be generalised, only learned by heart
    settings = config(model={"hidden": [64], "output_gradient": road}, epochs=500, batch_size=20)
    net, _ = run(settings, few)
    measured = training.evaluate(net, few)
    assert measured.accuracy == 1
    assert measured.loss < 1e-3


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_learns_under_every_schedule(name, schedule):
    optimizer = {"name": name, "schedule": schedule, "warmup_epochs": 1.5, "step_epochs": 10, "weight_decay": 1e-3}
    net, epochs = run(config(optimizer | {"learning_rate": 0.2 if name == "sgd" else 0.02}))
    assert epochs[-1].train_loss < 0.5 * epochs[0].train_loss
    assert training.evaluate(net, part(seed=9)).accuracy > 0.85


@pytest.mark.parametrize(
    "options",
    [
        {"model": {"dropout": 0.3}},
        {"model": {"hidden": []}},
        {"model": {"hidden": [8, 6], "activation": ["tanh", "gelu"]}},
        {"model": {"dtype": "float64"}},
        {"label_smoothing": 0.1},
        {"max_grad_norm": 0.5},
        {"batch_size": 1000},
        {"batch_size": 7},
        {"batch_size": 1, "epochs": 3},
    ],
)
def test_every_option_learns(options):
    net, _ = run(config(**options))
    assert training.evaluate(net, part(seed=9)).accuracy > 0.85


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    settings = config(model={"dropout": 0.2}, seed=4)
    (first, epochs), (second, again) = run(settings), run(settings)
    np.testing.assert_array_equal(first.theta, second.theta)
    assert [dataclasses.replace(epoch, seconds=0) for epoch in epochs] == [
        dataclasses.replace(epoch, seconds=0) for epoch in again
    ]
    assert (first.theta != run(config(model={"dropout": 0.2}, seed=5))[0].theta).any()


def test_training_figures_are_means_over_the_steps():
    """With a rate that moves nothing, the means over steps are the figures of the whole part."""
    net, epochs = run(config({"learning_rate": 1e-30, "name": "sgd"}, batch_size=7, epochs=2))
    measured = training.evaluate(net, part())
    for epoch in epochs:
        assert epoch.train_loss == pytest.approx(measured.loss, rel=1e-5)
        assert epoch.train_accuracy == pytest.approx(measured.accuracy)


def test_a_class_of_weight_zero_is_not_learned():
    net, _ = run(config(), class_weight=np.array([1, 1, 0]))
    assert (training.evaluate(net, part()).predicted != 2).all()


def test_the_learning_rate_of_an_epoch_is_that_of_its_last_step():
    _, epochs = run(config({"schedule": "cosine", "warmup_epochs": 1, "learning_rate": 0.02}, epochs=4))
    steps = math.ceil(60 / 16)
    expected = [0.02] + [0.01 * (1 + math.cos(math.pi * (e * steps - 1) / (3 * steps))) for e in (1, 2, 3)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_adamw_decays_weights_and_adam_adds_a_penalty():
    for name, l2 in (("adamw", 0.0), ("adam", 0.5), ("sgd", 0.5)):
        assert training.build(config({"name": name, "weight_decay": 0.5}), D, K, None).l2 == l2
    heavy = run(config({"name": "adamw", "weight_decay": 5.0}))[0]
    light = run(config({"name": "adamw", "weight_decay": 0.0}))[0]
    assert np.abs(heavy.weights[0]).mean() < 0.7 * np.abs(light.weights[0]).mean()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_is_its_steps_one_by_one(name):
    optimizer = {"name": name, "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 2}
    settings = config(optimizer, {"dtype": "float64"}, epochs=6, batch_size=60, max_grad_norm=0.5)
    net, twin, rows = run(settings)[0], training.build(settings, D, K, None), part()
    state, schedule = new_state(name, twin.theta), Schedule(0.02, "cosine", steps=6, warmup=2)
    for t in range(1, 7):
        rate = schedule.rate(t - 1)
        dtheta = twin.loss_and_gradient(rows.X1[:, :-1], rows.y)[1]
        clip_by_norm(dtheta, 0.5)
        if name == "adamw":
            decay(twin.weights, 0.1, rate)
        OPTIMIZERS[name](twin.theta, dtheta, state, t, rate, Settings())
    np.testing.assert_allclose(net.theta, twin.theta, rtol=1e-9, atol=1e-12)


def test_dropout_draws_new_masks_while_training():
    plain, dropped = run(config(epochs=1))[0], run(config(model={"dropout": 0.5}, epochs=1))[0]
    assert (plain.theta != dropped.theta).any()


def test_a_clipped_step_is_no_longer_than_the_rate_times_the_norm():
    settings = config({"name": "sgd", "learning_rate": 0.5}, epochs=1, batch_size=60, max_grad_norm=0.01)
    start = training.build(settings, D, K, None).theta
    assert np.linalg.norm(run(settings)[0].theta - start) == pytest.approx(0.5 * 0.01, rel=1e-4)


# Stopping


def overfitting():
    """A part with labels at random, which are learned by heart while the validation loss rises."""
    rng = np.random.default_rng(2)
    random = part(30, noise=2)
    random.y = rng.integers(0, K, 30)
    return random


def test_the_weights_of_the_lowest_validation_loss_come_back():
    validation = part(30, seed=5)
    net, epochs = run(config({"learning_rate": 0.05}, epochs=60), overfitting(), validation)
    losses = [epoch.validation_loss for epoch in epochs]
    best = int(np.argmin(losses))
    assert 0 <= best < 59 and epochs[-1].best_epoch == best + 1
    measured = training.evaluate(net, validation)
    assert measured.loss == losses[best]
    assert measured.accuracy == epochs[best].validation_accuracy


def test_patience_ends_the_run_so_many_epochs_after_the_best():
    settings = config({"learning_rate": 0.05}, epochs=1000, patience=7)
    _, epochs = run(settings, overfitting(), part(30, seed=5))
    assert len(epochs) == epochs[-1].best_epoch + 7 < 1000


def test_without_validation_the_last_weights_stay_and_patience_does_nothing():
    net, epochs = run(config(epochs=12, patience=1))
    assert len(epochs) == 12 and epochs[-1].best_epoch == 12
    assert epochs[-1].validation_loss is None and epochs[-1].validation_accuracy is None
    longer, _ = run(config(epochs=13, patience=1))
    assert (net.theta != longer.theta).any()


def test_an_interrupt_between_epochs_keeps_the_best_so_far():
    stop, validation = threading.Event(), part(30, seed=5)
    settings = config(epochs=1000)
    net = training.build(settings, D, K, None)
    epochs = []
    for epoch in training.train(net, part(), validation, settings, stop):
        epochs.append(epoch)
        if epoch.epoch == 5:
            stop.set()
    assert len(epochs) == 5
    assert training.evaluate(net, validation).loss == min(epoch.validation_loss for epoch in epochs)


class _SetAfter(threading.Event):
    """An event that is set once it has been asked so many times, which is once a step."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def is_set(self):
        self.left -= 1
        return self.left < 0


def test_an_interrupt_within_the_first_epoch_keeps_the_steps_taken():
    net, epochs = run(config(), interrupted=_SetAfter(2))
    assert epochs == []
    assert (net.theta != training.build(config(), D, K, None).theta).any()


def test_an_interrupt_within_a_later_epoch_goes_back_to_the_last_whole_one():
    whole, _ = run(config(epochs=1))
    net, epochs = run(config(), interrupted=_SetAfter(4 + 1 + 2))  # 4 steps and the end of epoch 1, then 2 steps
    assert len(epochs) == 1
    np.testing.assert_array_equal(net.theta, whole.theta)


def poisoned_from(step, net, monkeypatch):
    """From this step on, one entry of the gradient is infinite."""
    backward, calls = net.backward, iter(range(1, 1000))

    def poisoned(*arguments):
        dtheta = backward(*arguments)
        if next(calls) >= step:
            dtheta[3] = np.inf
        return dtheta

    monkeypatch.setattr(net, "backward", poisoned)


def test_an_interrupt_does_not_hide_a_weight_that_is_not_finite(monkeypatch):
    settings = config({"name": "sgd"}, {"activation": "tanh"})
    net = training.build(settings, D, K, None)
    poisoned_from(1, net, monkeypatch)
    with pytest.raises(TrainingError, match="epoch 1 at step 1: a weight is not finite"):
        list(training.train(net, part(), None, settings, _SetAfter(0)))


def test_nor_does_such_a_weight_cost_the_epochs_before_the_interrupt(monkeypatch):
    settings = config({"name": "sgd"}, {"activation": "tanh"})
    net, whole = training.build(settings, D, K, None), training.build(settings, D, K, None)
    list(training.train(whole, part(), None, settings, _SetAfter(4)))
    poisoned_from(6, net, monkeypatch)
    assert len(list(training.train(net, part(), None, settings, _SetAfter(4 + 1 + 1)))) == 1
    np.testing.assert_array_equal(net.theta, whole.theta)


# Diverging


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_a_loss_that_explodes_ends_the_run_at_once_and_names_the_step(name, dtype):
    settings = config({"name": name, "learning_rate": 1e10}, model={"dtype": dtype})
    with pytest.raises(
        TrainingError, match=r"epoch 1 at step \d: the loss is .*\.learning_rate than 1e\+10, or train\.max"
    ):
        run(settings)


def with_losses(net, losses, monkeypatch):
    """The net, but for these losses, one a step, in place of its own."""
    plain, losses = net.loss, iter(losses)

    def loss(*arguments):
        plain(*arguments)
        return next(losses)

    monkeypatch.setattr(net, "loss", loss)
    return net


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_first_loss_that_is_not_finite_ends_the_run_without_a_comparison(monkeypatch, value):
    net = with_losses(training.build(config(), D, K, None), [value], monkeypatch)
    with pytest.raises(TrainingError, match=f"epoch 1 at step 1: the loss is {value}; try"):
        list(training.train(net, part(), None, config()))


@pytest.mark.parametrize(("first", "limit"), [(10.0, 1e5), (0.0, 1e4 * math.log(K))])
def test_a_loss_may_grow_ten_thousandfold_from_the_first_or_from_chance_and_no_more(monkeypatch, first, limit):
    settings = config(epochs=1)
    net = with_losses(training.build(settings, D, K, None), [first, 0.99 * limit, first, 0.0], monkeypatch)
    assert len(list(training.train(net, part(), None, settings))) == 1
    net = with_losses(training.build(settings, D, K, None), [first, first, 1.01 * limit], monkeypatch)
    with pytest.raises(TrainingError, match=f"epoch 1 at step 3: the loss is .*, after {first:.3g} at the first step;"):
        list(training.train(net, part(), None, settings))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_overflow_in_the_very_last_step_are_noticed():
    settings = config({"name": "sgd", "learning_rate": 1e300}, epochs=1, batch_size=60)
    with pytest.raises(TrainingError, match="epoch 1 at step 1: a weight is not finite"):
        run(settings)


def test_a_validation_loss_that_is_not_finite_ends_the_run_and_names_the_step():
    validation = part(30, seed=5)
    validation.X1[3, 1] = np.inf
    with np.errstate(invalid="ignore"), pytest.raises(TrainingError, match="step 4: the validation loss is"):
        run(config(model={"activation": "identity"}), validation=validation)


def poisoned(net, at_step, value, monkeypatch):
    """The net, whose gradient has this value in one place at one step."""
    backward, steps = net.backward, []

    def poisoned(*arguments):
        dtheta = backward(*arguments)
        steps.append(dtheta)
        if len(steps) == at_step:
            dtheta[3] = value
        return dtheta

    monkeypatch.setattr(net, "backward", poisoned)
    return net


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("max_grad_norm", [0.0, 1.0])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_noticed_at_the_next_step(monkeypatch, value, name, max_grad_norm):
    settings = config({"name": name}, max_grad_norm=max_grad_norm)
    net = poisoned(training.build(settings, D, K, None), 2, value, monkeypatch)
    with pytest.raises(TrainingError, match="epoch 1 at step 3: a weight is not finite"):
        list(training.train(net, part(), None, settings))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_in_the_last_step_is_noticed_before_the_epoch_counts(monkeypatch, value, name):
    settings = config({"name": name}, epochs=1)
    net = poisoned(training.build(settings, D, K, None), 4, value, monkeypatch)
    with pytest.raises(TrainingError, match="epoch 1 at step 4: a weight is not finite"):
        list(training.train(net, part(), part(seed=1), settings))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_no_row_multiplies_is_noticed_at_the_end_of_the_epoch(monkeypatch, value):
    settings, rows = config(), part()
    rows.X1 = sparse.csr_array(rows.X1[:, :-1] * [0, 1, 1, 1, 1], dtype=np.float32)  # nothing is stored in column 0
    net = poisoned(training.build(settings, D, K, None), 2, value, monkeypatch)
    with pytest.raises(TrainingError, match="epoch 1 at step 4: a weight is not finite"):
        list(training.train(net, rows, None, settings))


def test_a_huge_but_finite_gradient_is_no_divergence(monkeypatch):
    settings = config(max_grad_norm=1.0, epochs=1)
    net = training.build(settings, D, K, None)
    backward = net.backward

    def huge(*arguments):
        dtheta = backward(*arguments)
        dtheta *= np.float32(1e30)
        return dtheta

    monkeypatch.setattr(net, "backward", huge)
    with np.errstate(over="ignore"):
        assert len(list(training.train(net, part(), None, settings))) == 1


def test_rows_with_a_nan_end_the_run_at_the_first_step():
    bad = part()
    bad.X1[7, 2] = np.nan
    with pytest.raises(TrainingError, match="the loss is nan"):
        run(config(batch_size=60), bad)


# Measuring and weighing


def test_evaluate_gives_the_plain_loss_whatever_the_training_loss_is():
    settings = config({"weight_decay": 1.0}, model={"dropout": 0.5}, label_smoothing=0.3)
    net = training.build(settings, D, K, np.array([5, 1, 1]))
    rows = part()
    z = net.logits(rows.X1[:, :-1])
    measured = training.evaluate(net, rows)
    assert measured.loss == pytest.approx(cross_entropy(z, rows.y).mean())
    np.testing.assert_array_equal(measured.predicted, z.argmax(axis=1))
    assert measured.accuracy == np.mean(z.argmax(axis=1) == rows.y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("N", [1, ROWS, ROWS + 1, 2 * ROWS + 3])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_evaluating_in_blocks_of_rows_is_evaluating_all_at_once(N, dtype, form):
    net, rows = training.build(config(model={"hidden": [8], "dtype": dtype}), D, K, None), part(N, noise=2)
    rows.y = np.roll(rows.y, N // 3)  # blocks differ in how many rows are right
    X1 = rows.X1.astype(dtype)
    z = net.forward(X1, Workspace(net, N)).copy()
    measured = training.evaluate(net, Part(X1 if form is np.asarray else form(X1[:, :-1]), rows.y))
    assert measured.loss == pytest.approx(cross_entropy(z.astype("float64"), rows.y).mean(), rel=1e-6)
    np.testing.assert_array_equal(measured.predicted, z.argmax(axis=1))
    assert measured.accuracy == np.mean(z.argmax(axis=1) == rows.y)


CLASSES = np.array(["ash", "elm", "oak"])


def test_balanced_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(training.class_weights("balanced", y, CLASSES), expected)
    assert training.class_weights("none", y, CLASSES) is None


def test_a_table_of_class_weights_goes_by_label():
    weights = training.class_weights({"oak": 2.5}, np.zeros(1), CLASSES)
    assert weights.tolist() == [1, 1, 2.5]
    assert training.class_weights({"5": 2.0}, np.zeros(1), np.array([1, 5])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("table", "message"),
    [({"oka": 1.0}, "no class 'oka', only ash, elm, oak"), (dict.fromkeys(CLASSES, 0.0), "above 0")],
)
def test_class_weights_that_make_no_sense_are_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        training.class_weights(table, np.zeros(1), CLASSES)


# Numbers that die away


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if STATE[name]])
def test_behind_units_that_have_died_the_state_becomes_0(monkeypatch, name):
    states, new_state = [], training.new_state
    monkeypatch.setattr(training, "new_state", lambda *args: states.append(new_state(*args)) or states[-1])
    decays = {"momentum": 0.6, "beta1": 0.6, "beta2": 0.6}  # at which the smallest number rounds to itself
    settings = config({"name": name, "weight_decay": 0.0, "learning_rate": 1e-3} | decays, epochs=6, batch_size=1)
    net = training.build(settings, D, K, None)
    weights = net.layer_sizes[0] * net.layer_sizes[1]
    alive = []
    for epoch in training.train(net, part(), None, settings):
        for vector in states[0].values():
            assert not ((vector != 0) & (np.abs(vector) < np.finfo(vector.dtype).tiny)).any()
            alive.append(np.count_nonzero(vector[:weights]))
        if epoch.epoch == 1:
            net.biases[0][:] = -1000  # no relu is ever on again
    assert alive[0] == weights and alive[-1] == 0
    assert all(vector[-K:].all() for vector in states[0].values())


# Threads


def in_threads(net, batch_size):
    """How many threads BLAS has inside, and before and after."""

    def threads():
        return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}

    before = threads()
    with training.blas_threads(net, batch_size):
        inside = threads()
    assert threads() == before
    return inside


@pytest.fixture(params=[1, 3])
def threads_outside(request):
    """BLAS starts with so many threads."""
    with threadpoolctl.threadpool_limits(request.param, user_api="blas"):
        yield


@pytest.fixture
def one_thread():
    """BLAS has one thread, so that a machine that is busy elsewhere does not make two wait for each other."""
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield


@pytest.mark.parametrize(("cores", "large"), [(1, 1), (2, 2), (64, 2)])
@pytest.mark.usefixtures("threads_outside")
def test_large_batches_get_two_threads_if_there_are_two_cores_and_small_ones_one(monkeypatch, cores, large):
    net = training.build(config(), D, K, None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(training, "LARGE", 16 * net.theta.size)
    assert in_threads(net, 15) == {1}
    assert in_threads(net, 16) == in_threads(net, 10**12) == {large}


@pytest.mark.parametrize(("cores", "large"), [(None, 1), (1, 1), (8, 2)])
def test_where_the_system_does_not_tell_which_cores_may_be_used_all_are_counted(monkeypatch, cores, large):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert in_threads(training.build(config(), D, K, None), training.LARGE) == {large}


@pytest.mark.usefixtures("threads_outside")
def test_the_threads_come_back_after_an_error():
    before = threadpoolctl.threadpool_info()
    with pytest.raises(KeyError), training.blas_threads(training.build(config(), D, K, None), 1):
        raise KeyError
    assert threadpoolctl.threadpool_info() == before


# Memory


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("activation", "optimizer", "road"), [*zip(ACTIVATIONS, cycle(OPTIMIZERS), cycle(ROADS[1:]))])
def test_a_step_allocates_no_array(monkeypatch, activation, optimizer, road, dtype):
    monkeypatch.setattr(batches, "CHUNK_BYTES", 1)  # a chunk, for which arrays are made, is one batch
    settings = config(
        {"name": optimizer, "weight_decay": 0.01},
        {"hidden": [250, 16, 300], "activation": activation, "output_gradient": road, "dropout": 0.2, "dtype": dtype},
        epochs=3,
        batch_size=1000,
        label_smoothing=0.1,
        max_grad_norm=0.1,
    )
    net, rows = training.build(settings, D, K, np.array([1.0, 2.0, 0.5])), part(3000)
    rows.X1 = rows.X1.astype(dtype)
    smallest = 1000 * 250 * net.dtype.itemsize
    with traced_memory() as risen:
        rises = [risen() for _ in training.train(net, rows, None, settings)]
    assert rises[0] > smallest  # the workspace is made once
    assert max(rises[1:]) < smallest / 3  # NumPy's own buffers, flushing the state and such


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_training_a_large_net_takes_five_times_its_parameters(name, dtype):
    settings = config(
        {"name": name, "weight_decay": 0.01},
        {"hidden": [1990], "dropout": 0.1, "dtype": dtype},
        epochs=2,
        batch_size=4,
        max_grad_norm=1.0,
    )
    X1 = np.random.default_rng(0).normal(size=(8, 1001)).astype(dtype)
    rows = Part(X1, np.arange(8) % K)
    with traced_memory() as risen:
        net = training.build(settings, 1000, K, None)
        assert len(list(training.train(net, rows, rows, settings))) == 2
        taken = risen()
    assert net.theta.size > 1_990_000
    # theta, dtheta, two moments and the best theta; a byte more to see whether each weight is finite; views of blocks
    assert taken < 5.06 * net.theta.nbytes + net.theta.size


@pytest.mark.usefixtures("one_thread")
def test_training_on_many_rows_copies_a_chunk_of_them_at_a_time(monkeypatch):
    monkeypatch.setattr(batches, "CHUNK_BYTES", 2**21)
    N = 75_000
    rows = Part(np.ones((N, 101), np.float32), np.arange(N) % K)
    settings = config(epochs=1, batch_size=250)
    net = training.build(settings, 100, K, None)
    with traced_memory() as risen:
        list(training.train(net, rows, rows, settings))
        assert risen() < rows.X1.nbytes / 4  # a chunk of rows, their order, and the class given to each


# Going on


@pytest.mark.parametrize("stops", [(1,), (2, 5), (4,), (3, 4, 9, 40)])
@pytest.mark.parametrize(
    ("optimizer", "model", "validated"),
    [
        ({"name": "adam", "schedule": "cosine"}, {"dropout": 0.3}, True),
        ({"name": "nesterov", "warmup_epochs": 2.5}, {"hidden": [4]}, False),
        ({"name": "adamw", "weight_decay": 0.1}, {"hidden": [8, 6], "activation": ["gelu", "tanh"]}, True),
        ({"name": "sgd"}, {"hidden": []}, False),
    ],
)
def test_a_run_that_goes_on_ends_with_the_bits_of_one_that_was_never_stopped(optimizer, model, validated, stops):
    settings = config(optimizer, model, epochs=12, patience=4 * validated, class_weight="balanced", label_smoothing=0.1)
    rows, validation = part(50), part(30, seed=5) if validated else None
    whole = training.build(settings, D, K, np.ones(K))
    expected = list(training.train(whole, rows, validation, settings))

    net = training.build(settings, D, K, np.ones(K))
    progress = training.start(net, settings)
    for stop in stops:  # one that asks is once a step and once an epoch
        list(training.train(net, rows, validation, settings, _SetAfter(stop), progress))
        kept = training.snapshot(progress)
        net = training.build(settings, D, K, np.ones(K))
        progress = training.restore(net, settings, *kept)
    list(training.train(net, rows, validation, settings, None, progress))
    np.testing.assert_array_equal(net.theta, whole.theta)
    assert without_seconds(progress.history) == without_seconds(expected)


def without_seconds(epochs):
    return [dataclasses.replace(epoch, seconds=0) for epoch in epochs]


def test_a_finished_run_goes_on_for_more_epochs_as_if_it_had_been_asked_for_them_at_once():
    whole = training.build(config(), D, K, None)
    expected = list(training.train(whole, part(), None, config(epochs=9)))
    net = training.build(config(), D, K, None)
    progress = training.start(net, config(epochs=4))
    list(training.train(net, part(), None, config(epochs=4), None, progress))
    list(training.train(net, part(), None, config(epochs=9), None, progress))
    np.testing.assert_array_equal(net.theta, whole.theta)
    assert without_seconds(progress.history) == without_seconds(expected)


def test_a_run_whose_patience_is_over_does_not_go_on():
    settings, validation = config(epochs=1000, patience=2), part(30, seed=5)
    net = training.build(settings, D, K, None)
    progress = training.start(net, settings)
    epochs = list(training.train(net, part(), validation, settings, None, progress))
    theta = net.theta.copy()
    assert len(epochs) < 1000
    assert list(training.train(net, part(), validation, settings, None, progress)) == []
    np.testing.assert_array_equal(net.theta, theta)


def test_a_long_epoch_pauses_to_be_saved_and_counts_its_seconds_on(monkeypatch):
    settings, clock = config(epochs=1, checkpoint_seconds=2.5), iter(range(1000))
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(clock)))
    net = training.build(settings, D, K, None)
    progress = training.start(net, settings)
    steps = [progress.step for epoch in training.train(net, part(), None, settings, None, progress) if epoch is None]
    assert steps and all(0 < step < 4 for step in steps)


def test_what_is_kept_of_a_run_is_plain_arrays_and_json():
    net = training.build(config(), D, K, None)
    progress = training.start(net, config())
    list(training.train(net, part(), None, config(), None, progress))
    arrays, entries = training.snapshot(progress)
    assert {array.dtype.kind for array in arrays.values()} == {"f"}
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
