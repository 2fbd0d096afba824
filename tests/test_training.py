"""The training loop: what it learns, when it stops, and what it keeps, refuses and costs."""

import dataclasses
import math
import threading
from itertools import repeat

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from memory import traced_memory
from running import ADAM, ONE_NET
from sklearn.utils.class_weight import compute_class_weight

from minnet import training
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from minnet.core.network import ROWS, Tape
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES, Schedule, Step, clip_by_norm
from minnet.core.softmax import OUTPUT_GRADIENTS, cross_entropy
from minnet.data import Part
from minnet.errors import ConfigError, TrainingError
from minnet.metrics import WATCHED
from minnet.training import State

D, K = 5, 3
STILL = {"learning_rate": 1e-30, "name": "sgd"}  # so all steps of an epoch have the same weights
silent = pytest.mark.filterwarnings("ignore::RuntimeWarning")
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def part(N=60, seed=0, noise=0.6, dtype="float32", sparse=False):
    """Three clouds of points, a class each."""
    rng = np.random.default_rng(seed)
    y = np.arange(N) % K
    X = (np.eye(K, D)[y] * 2 + noise * rng.normal(size=(N, D))).astype(dtype)
    return Part(sp.csr_array(X) if sparse else X, y)


def config(optimizer=None, model=None, **train):
    return Config(
        model=ModelConfig(**{"hidden": [8]} | ONE_NET | (model or {})),
        optimizer=OptimizerConfig(**ADAM | {"learning_rate": 0.02} | (optimizer or {})),
        train=TrainConfig(
            **{"epochs": 30, "batch_size": 16, "patience": 0, "label_smoothing": 0.0} | train
        ),
    )


class Training:
    """A net in training, with all that the loop takes."""

    def __init__(self, settings, rows=None, validation=None, class_weight=None):
        self.parts = {"train": rows or part(dtype=settings.model.dtype)}
        self.parts |= {"validation": validation} if validation else {}
        N, D = self.parts["train"].X.shape
        self.net = training.build(settings, D, K, class_weight)
        self.recipe = training.recipe(settings, self.net, N)
        self.state = State.start(self.net, settings.optimizer.name, settings.train.seed)
        self.steps = -(-N // settings.train.batch_size)

    def yielded(self, stop=None, orders=None, **limits):
        limits = dataclasses.replace(self.recipe.train, **limits)
        recipe = dataclasses.replace(self.recipe, train=limits, orders=orders)
        return training.train(self.net, self.parts, recipe, self.state, stop)

    def run(self, stop=None, **changes):
        self.epochs = [epoch for epoch in self.yielded(stop, **changes) if epoch]
        return self

    def restored(self, settings):
        """The same run from its checkpoint, in a net of its own."""
        again = Training(settings, *self.parts.values())
        arrays = {name: a.copy() for name, a in self.state.arrays().items()}
        again.state.restore(arrays, again.steps)
        return again


def run(settings, *parts, **options):
    return Training(settings, *parts, **options).run()


def evaluated(doing, name="validation"):
    """Loss and accuracy of the net on a part."""
    measured = training.evaluate(doing.net, doing.parts[name])
    return measured.loss, measured.accuracy


def plain(epochs):
    return [dataclasses.replace(epoch, seconds=0) for epoch in epochs]


def watch(net, each=lambda X, T, tape: None):
    """X and T of each step of the net to come, copied; `each` is called after each step."""
    seen, step = [], net.step

    def stepped(X, T, tape):
        seen.append((X.toarray() if sp.issparse(X) else X.copy(), T.copy()))
        L = step(X, T, tape)
        each(X, T, tape)
        return L

    net.step = stepped
    return seen


@pytest.mark.parametrize("method", OUTPUT_GRADIENTS)
def test_a_net_overfits_twenty_rows_to_zero_loss(method):
    few = part(20, noise=3)
    few.y = np.random.default_rng(1).integers(0, K, 20)  # these labels can only be memorised
    model = {"hidden": [64], "output_gradient": method}
    loss, accuracy = evaluated(run(config(model=model, epochs=300, batch_size=20), few), "train")
    assert accuracy == 1 and loss < 1e-3


@each_optimizer
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_learns_under_every_schedule(name, schedule):
    optimizer = {"name": name, "schedule": schedule, "warmup_epochs": 1.5, "step_epochs": 10}
    optimizer |= {"weight_decay": 1e-3, "learning_rate": 0.2 if name == "sgd" else 0.02}
    done = run(config(optimizer), part(), part(seed=9))
    assert done.epochs[-1].train_loss < 0.5 * done.epochs[0].train_loss
    assert done.epochs[-1].validation_accuracy > 0.85


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    one, same, other = (run(config(model={"dropout": 0.2}, seed=seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.net.theta, same.net.theta)
    assert plain(one.epochs) == plain(same.epochs) == plain(one.state.history)
    assert (one.net.theta != other.net.theta).any()


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 61)])
def test_training_figures_are_means_over_the_steps(weights):
    rows = Part(part().X, part().y, weights)
    done = run(config(STILL, {"activation": "tanh"}, batch_size=7, epochs=2), rows, rows)
    right = training.evaluate(done.net, part()).accuracy
    for epoch in done.epochs:
        assert epoch.train_loss == pytest.approx(epoch.validation_loss, rel=1e-5)
        assert epoch.train_accuracy == pytest.approx(right)


def test_a_class_of_weight_zero_is_not_learned_and_batches_of_it_count_for_nothing():
    done = run(config(), class_weight=np.array([1, 1, 0]))
    assert (training.evaluate(done.net, part()).predicted != 2).all()
    rows, of_two = part(), part().y == 2
    others = Part(rows.X[of_two], rows.y[of_two])
    done = run(config(STILL, batch_size=1, epochs=1), rows, others, class_weight=[0, 0, 2])
    assert done.epochs[0].train_loss == pytest.approx(done.epochs[0].validation_loss, rel=1e-5)


NETS = [([], "float64", 1e-9), ([7, 6], "float32", 2e-3), ([300, 200], "float64", 1e-9)]


@each_optimizer
@pytest.mark.parametrize(("hidden", "dtype", "precision"), NETS)
def test_a_run_is_its_steps_one_by_one(name, hidden, dtype, precision):
    """An epoch's rate and norms are those of its last step, and to measure them changes no bit. The
    last net is larger than a block."""

    def by_layer(vector):
        ends = np.cumsum([layer.Wb.size for layer in net.layers])[:-1]
        return np.array([np.linalg.norm(x.astype("float64")) for x in np.split(vector, ends)])

    optimizer = {"name": name, "weight_decay": 0.1, "schedule": "cosine", "warmup_epochs": 2}
    model = {"hidden": hidden, "dtype": dtype}
    settings = config(optimizer, model, epochs=3, batch_size=25, max_grad_norm=0.5)
    done, rows = Training(settings).run(orders=repeat(np.arange(60))), part(dtype=dtype)
    net = training.build(settings, D, K, None)
    assert net.l2 == (0 if name == "adamw" else 0.1)
    recipe = training.recipe(settings, net, 60)
    assert recipe.rate.__self__ == Schedule(0.02, "cosine", steps=9, warmup=6, every=90)
    state = np.zeros((OPTIMIZERS[name].vectors, net.theta.size), dtype)
    for t in range(1, 10):  # batches of 25, 25 and 10 rows
        batch = slice((t - 1) % 3 * 25, (t - 1) % 3 * 25 + 25)
        dtheta, before = net.loss_and_gradient(rows.X[batch], rows.y[batch])[1], net.theta.copy()
        gradient = by_layer(dtheta)
        clip_by_norm(dtheta, 0.5)
        step = Step(t, recipe.rate(t - 1), recipe.settings)
        OPTIMIZERS[name].take(step, net.theta, dtheta, state)
        if t % 3 == 0:
            epoch, update = done.epochs[t // 3 - 1], by_layer(net.theta - before)
            assert epoch.learning_rate == step.rate
            np.testing.assert_allclose(epoch.gradient, gradient, rtol=precision)
            np.testing.assert_allclose(epoch.update, update / by_layer(before), rtol=precision)
    assert done.net.theta.tobytes() == net.theta.tobytes()


def test_each_step_of_training_draws_new_dropout_masks_and_measuring_none():
    doing = Training(config(model={"dropout": 0.5}, epochs=2), validation=part(30))
    masks = []
    watch(doing.net, lambda X, T, tape: masks.append(tape[0].mask.tobytes()))
    doing.run()
    assert len(masks) == len(set(masks)) == 8
    z = doing.net.logits(part(30).X)
    assert doing.epochs[-1].validation_loss == pytest.approx(cross_entropy(z, part(30).y).mean())


@examples(max_examples=25)
@given(N=st.integers(1, 40), batch_size=st.integers(1, 45), weighted=st.booleans())
def test_an_epoch_has_every_row_once_with_its_target_in_batches(N, batch_size, weighted):
    """All of the same size, but that the last may be smaller."""
    y, w, by_class = np.arange(N) % K, np.arange(N) % 4 + 0.5, np.array([1, 2, 0.5])
    X, n = np.column_stack([np.arange(N), np.arange(N) % 2]).astype("float32"), min(batch_size, N)
    settings = config(batch_size=batch_size, label_smoothing=0.3, epochs=2)
    for rows in (X, sp.csr_array(X)):
        doing = Training(settings, Part(rows, y, w if weighted else None), class_weight=by_class)
        seen = watch(doing.net)
        doing.run()
        epochs = seen[: len(seen) // 2], seen[len(seen) // 2 :]
        orders = [[int(i) for X, _ in epoch for i in X[:, 0]] for epoch in epochs]
        for epoch, order in zip(epochs, orders, strict=True):
            assert [len(X) for X, _ in epoch] == [n] * (N // n) + [N % n] * (N % n > 0)
            assert sorted(order) == list(range(N))
        for batch, T in seen:
            i = batch[:, 0].astype(int)
            np.testing.assert_array_equal(batch, X[i])
            r = (w[i] if weighted else 1) * by_class[y[i]]
            expected = (r / r.sum())[:, None] * (0.7 * np.eye(K)[y[i]] + 0.1)
            np.testing.assert_allclose(T, expected, rtol=1e-5)
        assert N <= 10 or orders[0] != orders[1] != sorted(orders[1])  # each epoch its own


def memorising():
    """Labels at random, which are memorised while the validation loss rises."""
    rows = part(30, noise=2)
    rows.y = np.random.default_rng(2).integers(0, K, 30)
    return rows


class SetAfter(threading.Event):
    """An event that is set once so many steps have been taken."""

    def __init__(self, state, steps):
        super().__init__()
        self.state, self.steps = state, steps

    def is_set(self):
        return self.state.t >= self.steps


@pytest.mark.parametrize("figure", WATCHED)
def test_any_figure_can_be_watched_and_its_first_best_epoch_is_kept(figure):
    validation = part(40, seed=5, noise=1.5)
    done = run(config({"learning_rate": 0.05}, epochs=40, watch=figure), memorising(), validation)
    watched = [epoch.watched for epoch in done.epochs]
    best = int(np.argmax(watched))  # the first, of which there may be several
    assert done.state.best_epoch == best + 1
    done.state.use_best()
    found = training.evaluate(done.net, validation, keep=True)
    p = done.net.predict_proba(validation.X)
    np.testing.assert_array_equal(found.p, p)
    assert watched[best] == WATCHED[figure](validation.y, p.argmax(axis=1), p)


def test_the_validation_loss_is_weighted_by_class_weights_and_watched_so():
    weights, validation = np.array([20, 1, 0.1]), part(40, seed=5, noise=1.5)
    settings = config({"learning_rate": 0.05}, epochs=3)
    done = run(settings, memorising(), validation, class_weight=weights)
    losses = cross_entropy(done.net.logits(validation.X), validation.y)
    loss = np.average(losses, weights=weights[validation.y])
    assert done.epochs[-1].watched == done.epochs[-1].validation_loss == pytest.approx(loss)
    assert evaluated(done)[0] == pytest.approx(losses.mean())  # a figure of the result is plain


@pytest.mark.parametrize("figure", ["loss", "accuracy"])
def test_the_weights_of_the_best_epoch_come_back(figure):
    settings = config({"learning_rate": 0.05}, epochs=60, watch=figure)
    done = run(settings, memorising(), part(30, seed=5, noise=1.5))
    curve = [(epoch.validation_loss, epoch.validation_accuracy) for epoch in done.epochs]
    best = int(np.argmin(curve, axis=0)[0] if figure == "loss" else np.argmax(curve, axis=0)[1])
    assert 0 <= best < 59 and done.epochs[-1].best_epoch == best + 1
    assert evaluated(done) == curve[-1]
    done.state.use_best()
    assert evaluated(done) == curve[best] < curve[-1]


def test_patience_ends_the_run_so_many_epochs_after_the_best_and_for_good():
    settings = config({"learning_rate": 0.05}, epochs=1000, patience=7)
    done = run(settings, memorising(), part(30, seed=5))
    assert len(done.epochs) == done.epochs[-1].best_epoch + 7 < 1000
    theta = done.net.theta.copy()
    assert done.run().epochs == []
    np.testing.assert_array_equal(done.net.theta, theta)


def test_without_validation_the_last_epoch_is_the_best_and_patience_does_nothing():
    done = run(config(epochs=12, patience=1))
    assert len(done.epochs) == 12 and done.epochs[-1].best_epoch == 12
    assert done.epochs[-1].validation_loss is done.epochs[-1].validation_accuracy is None
    np.testing.assert_array_equal(done.state.best_theta, done.net.theta)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 0), (3, 0), (4, 1), (6, 1), (8, 2)])
def test_an_interrupt_ends_after_the_current_step(steps, epochs):
    """The steps within the first epoch are kept; later, the last whole epoch is the best."""
    doing = Training(config())
    doing.run(SetAfter(doing.state, steps))
    assert (doing.state.t, len(doing.epochs)) == (steps, epochs)
    doing.state.use_best()
    if epochs:
        np.testing.assert_array_equal(doing.net.theta, run(config(epochs=epochs)).net.theta)
    else:
        assert (doing.net.theta != Training(config()).net.theta).any()


def fails(doing, message, stop=None):
    with pytest.raises(TrainingError, match=f"^training diverged in {message}"):
        doing.run(stop)


def poison(doing, at, value):
    """One entry of the gradient has this value at one step."""
    backward, t = doing.net.backward, iter(range(1, 10**6))

    def poisoned(*arguments):
        dtheta = backward(*arguments)
        dtheta[3] = value if next(t) == at else dtheta[3]
        return dtheta

    doing.net.backward = poisoned
    return doing


@silent
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@each_optimizer
def test_a_gradient_that_is_not_finite_is_noticed_before_the_epoch_counts(value, name):
    unused, rows = part(), part()
    unused.X = sp.csr_array(unused.X * [0, 1, 1, 1, 1], dtype=np.float32)  # row 0 of W is not used
    cases = (2, 3, 0.0, rows), (2, 3, 1.0, rows), (4, 4, 0.0, rows), (2, 4, 0.0, unused)
    for at, seen, clip, rows in cases:
        doing = Training(config({"name": name}, max_grad_norm=clip), rows, part(30))
        fails(poison(doing, at, value), f"epoch 1 at step {seen}: a weight is not finite")
        assert doing.state.history == []
    poison(
        Training(config({"name": name}, max_grad_norm=1.0, epochs=1)), 2, 1e30
    ).run()  # is finite


def test_an_interrupt_does_not_hide_a_weight_that_is_not_finite_nor_cost_a_whole_epoch():
    settings = config({"name": "sgd"}, {"activation": "tanh"})
    doing = poison(Training(settings), 1, np.inf)
    fails(doing, "epoch 1 at step 1: a weight is not finite", SetAfter(doing.state, 1))
    doing = poison(Training(settings), 6, np.inf)
    doing.run(SetAfter(doing.state, 6)).state.use_best()
    whole = run(dataclasses.replace(settings, train=config(epochs=1).train))
    np.testing.assert_array_equal(doing.net.theta, whole.net.theta)


@pytest.mark.parametrize(("first", "limit"), [(10.0, 1e5), (0.0, 1e4 * math.log(K))])
def test_a_loss_may_grow_ten_thousandfold_from_the_first_or_from_chance_and_no_more(first, limit):
    def with_losses(*losses):
        doing, losses = Training(config(epochs=1)), iter(losses)
        watch(doing.net, lambda X, T, tape: setattr(tape, "L", next(losses)))
        return doing

    assert with_losses(first, 0.99 * limit, first, 0.0).run().epochs
    message = f"epoch 1 at step 3: the loss is .*, after {first:.3g} at the first step$"
    fails(with_losses(first, first, 1.01 * limit), message)
    for value in (np.nan, np.inf):
        fails(with_losses(value), f"epoch 1 at step 1: the loss is {value}$")


@silent
def test_rows_that_are_not_finite_and_rates_that_are_too_high_are_noticed():
    bad = part()
    bad.X[7, 2] = np.nan
    fails(Training(config(batch_size=60), bad), "epoch 1 at step 1: the loss is nan$")
    bad.X[7, 2] = np.inf
    doing = Training(config(model={"activation": "identity"}), validation=bad)
    fails(doing, "epoch 1 at step 4: the validation loss is ")
    doing = Training(config({"name": "sgd", "learning_rate": 1e300}, epochs=1, batch_size=60))
    fails(doing, "epoch 1 at step 1: a weight is not finite$")
    for optimizer in ({"name": name} for name in ("sgd", "momentum", "nesterov")):
        doing = Training(config(optimizer | {"learning_rate": 1e10}, {"dtype": "float64"}))
        fails(doing, r"epoch 1 at step \d: the loss is \S+, after [\d.]+ at the first step$")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("N", [1, ROWS, ROWS + 1, 2 * ROWS + 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_evaluating_in_blocks_gives_the_plain_figures_of_all_rows_at_once(N, dtype, sparse):
    model, optimizer = {"dropout": 0.5, "dtype": dtype}, {"weight_decay": 1.0}
    net = Training(config(optimizer, model, label_smoothing=0.3), class_weight=[5, 1, 1]).net
    rows = part(N, noise=2, dtype=dtype, sparse=sparse)
    rows.y = np.roll(rows.y, N // 3)  # blocks differ in how many rows are right
    for w in (None, np.arange(N) + 1.0):
        measured = training.evaluate(net, Part(rows.X, rows.y, w))
        z = net.forward(rows.X, Tape(net, N)).astype("float64")
        right = z.argmax(axis=1) == rows.y
        losses = np.average(cross_entropy(z, rows.y), weights=w)
        assert measured.loss == pytest.approx(losses, rel=1e-6)
        assert measured.accuracy == pytest.approx(np.average(right, weights=w))
        np.testing.assert_array_equal(measured.predicted, z.argmax(axis=1))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("optimizer", [{}, {"name": "adamw", "weight_decay": 0.1}, {"name": "sgd"}])
def test_members_train_as_the_single_nets_of_their_seeds_on_the_same_batches(optimizer, sparse):
    train, model = {"epochs": 4, "max_grad_norm": 0.5, "seed": 7}, {"dtype": "float64"}
    rows, validation = part(dtype="float64", sparse=sparse), part(30, seed=5, sparse=sparse)
    many = run(config(optimizer, model | {"members": 3}, **train), rows, validation)
    single = []
    for seed in (7, 8, 9):
        doing = Training(config(optimizer, model, **train | {"seed": seed}), rows, validation)
        doing.state.rng = np.random.default_rng([7, 1])  # the order of rows is that of the first
        single.append(doing.run())
    np.testing.assert_allclose(many.net.theta, [one.net.theta for one in single], rtol=1e-9)
    p = np.mean([one.net.predict_proba(validation.X) for one in single], axis=0)
    losses = cross_entropy(np.log(p), validation.y)
    for i, epoch in enumerate(many.epochs):
        ends = [one.epochs[i] for one in single]
        for name in ("train_loss", "train_accuracy"):
            assert getattr(epoch, name) == pytest.approx(np.mean([getattr(e, name) for e in ends]))
        assert epoch.gradient == pytest.approx(np.linalg.norm([e.gradient for e in ends], axis=0))
    assert epoch.validation_loss == pytest.approx(losses.mean())
    assert epoch.validation_accuracy == np.mean(p.argmax(axis=1) == validation.y)


@silent
@pytest.mark.parametrize("bad", [np.nan, 1.5e4])
def test_one_member_that_diverges_ends_the_run(bad):
    doing = Training(config(model={"members": 8, "hidden": []}, epochs=5))
    for _ in doing.yielded():
        doing.net.theta[3] = bad * np.sign(np.random.default_rng(0).normal(size=18))
        break
    with pytest.raises(TrainingError, match="epoch 2 at step 5: "):
        doing.run()


CLASSES = np.array(["ash", "elm", "oak"])


def test_class_weights_are_balanced_as_in_scikit_learn_or_go_by_label():
    y = np.array([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(training.class_weights("balanced", y, CLASSES), expected)
    assert training.class_weights("none", y, CLASSES) is None
    assert training.class_weights({"oak": 2.5}, y, CLASSES).tolist() == [1, 1, 2.5]
    assert training.class_weights({"5": 2.0}, y, np.array([1, 5])).tolist() == [1, 2]
    with pytest.raises(ConfigError, match="no class 'oka', only ash, elm, oak"):
        training.class_weights({"oka": 1.0}, y, CLASSES)
    with pytest.raises(ConfigError, match="above 0"):
        training.class_weights(dict.fromkeys(CLASSES, 0.0), y, CLASSES)


@silent
@pytest.mark.parametrize(("theta", "dtheta"), [(0, 1), (1, 0), (0, 0), (1, 1e30), (1e-30, 1e300)])
def test_norms_of_zeros_and_of_squares_that_float32_does_not_hold_are_finite(theta, dtheta):
    dtype = "float64" if dtheta == 1e300 else "float32"
    doing = Training(config({"name": "sgd", "learning_rate": 1.0}, {"dtype": dtype, "hidden": []}))
    doing.net.theta[:], doing.net.dtheta[:], doing.state.t = theta, dtheta, 1
    training.update(doing.net, doing.recipe, doing.state, last=True)
    norms = np.concatenate(doing.state.norms)
    assert np.isfinite(norms).all()
    if dtype == "float32":
        assert norms == pytest.approx([dtheta * 18**0.5, dtheta * (1 if theta else 18**0.5)])


@each_optimizer
def test_behind_units_that_have_died_the_optimizers_state_becomes_0(name):
    decays = {"momentum": 0.6, "beta1": 0.6, "beta2": 0.6}  # the smallest number rounds to itself
    optimizer = {"name": name, "weight_decay": 0.0, "learning_rate": 1e-3} | decays
    doing = Training(config(optimizer, epochs=6, batch_size=1))
    first, state, alive = doing.net.weights[0].size, doing.state.optimizer, []
    for epoch in doing.yielded():
        assert not ((state != 0) & (np.abs(state) < np.finfo(state.dtype).tiny)).any()
        alive.append(np.count_nonzero(state[:, :first], axis=1))
        if epoch.epoch == 1:
            doing.net.biases[0][:] = -1000  # no relu is ever on again
    assert (alive[0] == first).all() and (alive[-1] == 0).all() and state[:, -K:].all()


def test_a_step_makes_no_array_as_large_as_a_hidden_layers():
    model = {"hidden": [250, 300], "activation": ["relu", "tanh"]}
    settings = config({"weight_decay": 0.01}, model, epochs=3, batch_size=1000, label_smoothing=0.1)
    doing, smallest = Training(settings, part(3000)), 1000 * 250 * 4
    with traced_memory() as risen:
        rises = [risen() for _ in doing.yielded()]
    assert rises[0] > 4 * smallest  # the tape is made once
    parameters = doing.net.theta.nbytes  # of the last step, for its norms
    assert max(rises[1:]) < smallest / 2 + 2 * parameters


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_training_a_large_net_takes_six_times_its_parameters(name, dtype):
    optimizer, model = {"name": name, "weight_decay": 0.01}, {"hidden": [1990], "dtype": dtype}
    settings = config(optimizer, model, epochs=2, batch_size=4, max_grad_norm=1.0)
    rows = Part(np.random.default_rng(0).normal(size=(8, 1000)).astype(dtype), np.arange(8) % K)
    with traced_memory() as risen:
        doing = Training(settings, rows, rows).run()
        taken = risen()
    assert doing.net.theta.size > 1_990_000
    # theta, dtheta, two moments, the best theta, and one more at the end of an epoch, where a byte
    # tells of each number what it is
    assert taken < 6.1 * doing.net.theta.nbytes + doing.net.theta.size


def test_training_on_many_rows_copies_a_batch_of_them_at_a_time():
    N = 75_000
    rows = Part(np.ones((N, 100), np.float32), np.arange(N) % K)
    doing = Training(config(epochs=1, batch_size=250), rows, rows)
    with traced_memory() as risen:
        doing.run()
        assert risen() < rows.X.nbytes / 8  # their order, and the class predicted for each


CONTINUED = [
    ({"name": "adam", "schedule": "cosine"}, {"dropout": 0.3}, True),
    ({"name": "nesterov", "warmup_epochs": 2.5}, {"hidden": [4]}, False),
    ({"name": "adamw", "weight_decay": 0.1}, {"hidden": [8, 6]}, True),
    ({"name": "sgd"}, {"hidden": []}, False),
    ({"name": "adamw", "weight_decay": 0.1}, {"members": 3, "dropout": 0.2}, True),
]


@pytest.mark.parametrize(("optimizer", "model", "validated"), CONTINUED)
def test_a_run_stopped_at_any_step_continues_to_the_same_bits(optimizer, model, validated):
    settings = config(optimizer, model, epochs=5, patience=4 * validated, label_smoothing=0.1)
    parts = part(50), part(30, seed=5) if validated else None
    whole = run(settings, *parts)
    for steps in range(1, whole.state.t + 1):
        doing = Training(settings, *parts)
        doing.run(SetAfter(doing.state, steps))
        arrays = doing.state.arrays().values()
        assert all(a.dtype.kind in "fu" and np.isfinite(a).all() for a in arrays)
        again = doing.restored(settings).run()
        assert again.net.theta.tobytes() == whole.net.theta.tobytes()
        assert again.state.best_theta.tobytes() == whole.state.best_theta.tobytes()
        assert plain(again.state.history) == plain(whole.state.history)


def test_a_finished_run_continues_for_more_epochs_and_another_net_or_optimizer_is_refused():
    whole, twice = run(config(epochs=9)), run(config(epochs=4))
    np.testing.assert_array_equal(twice.run(epochs=9).net.theta, whole.net.theta)
    assert plain(twice.state.history) == plain(whole.epochs)
    for other in (config(model={"hidden": [9]}), config({"name": "momentum"})):
        with pytest.raises(ValueError, match="float32 of shape"):
            Training(other).state.restore(whole.state.arrays(), whole.steps)


def test_a_long_epoch_pauses_to_be_saved_and_counts_its_seconds_on(monkeypatch):
    clock, seconds, settings = iter(range(1000)), [0.0], config(epochs=2, checkpoint_seconds=2.5)
    monkeypatch.setattr(training.time, "perf_counter", lambda: float(next(clock)))
    doing, paused = Training(settings), 0
    for epoch in doing.yielded():
        assert doing.state.seconds > seconds[-1]
        seconds.append(doing.state.seconds)
        if epoch is None:
            assert 0 < doing.state.step < 4
            paused, again = paused + 1, doing.restored(settings).run()
    assert paused
    np.testing.assert_array_equal(again.net.theta, doing.net.theta)
    assert doing.restored(settings).run(epochs=3).epochs[0].seconds > seconds[-1]
