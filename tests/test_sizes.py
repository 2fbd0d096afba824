"""The size of each layer's gradient and update: what they are, that they cost the net nothing, and where they go."""

import copy
import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from minnet import config as configs
from minnet import experiment, runs, sizes, training
from minnet.batches import Part
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from minnet.core import optimizers
from minnet.core.network import MLP
from minnet.core.optimizers import OPTIMIZERS, Settings, clip_by_norm, decay, new_state
from minnet.sizes import LayerSizes

D, K, RATE = 5, 3, 0.02
PRECISION = {"float32": 2e-4, "float64": 1e-10}  # theta keeps 7 digits, and its change so many fewer
LARGE = {"hidden": [300, 200, 100]}  # P = 82,403: layer 2 lies on both sides of the border of two blocks


def part(N=60, dtype="float32"):
    """Three clouds of points, a class each."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % K
    X = np.eye(K, D)[y] * 2 + 0.6 * rng.normal(size=(N, D))
    return Part(np.hstack([X, np.ones((N, 1))]).astype(dtype), y)


def config(optimizer=None, model=None, **train):
    return Config(
        model=ModelConfig(**{"hidden": [8]} | (model or {})),
        optimizer=OptimizerConfig(**{"learning_rate": RATE} | (optimizer or {})),
        train=TrainConfig(**{"epochs": 3, "batch_size": 25, "patience": 0} | train),
    )


def run(settings, validation=None):
    net = training.build(settings, D, K, None)
    rows = part(dtype=net.dtype)
    return net, list(training.train(net, rows, validation, settings, shuffle=False))


def by_layer(net, vector):
    """The norm of each layer's part of a vector (P,), from its W and b and with NumPy's own norm."""
    other = copy.deepcopy(net)
    other.theta[:] = vector
    return [
        float(np.hypot(np.linalg.norm(W.astype("float64")), np.linalg.norm(b.astype("float64"))))
        for W, b in zip(other.weights, other.biases, strict=True)
    ]


def measured_by_hand(settings):
    """The gradient and update of each epoch's last step, from steps that are taken one by one, all of theta at once."""
    net = training.build(settings, D, K, None)
    rows, optimizer = part(dtype=net.dtype), settings.optimizer
    state, t = new_state(optimizer.name, net.theta), 0
    for _ in range(settings.train.epochs):
        for start in range(0, 60, 25):  # batches of 25, 25 and 10 rows
            batch = slice(start, start + 25)
            t += 1
            dtheta = net.loss_and_gradient(rows.X1[batch, :-1], rows.y[batch])[1]
            gradient = by_layer(net, dtheta)
            if settings.train.max_grad_norm:
                clip_by_norm(dtheta, settings.train.max_grad_norm)
            if optimizer.name == "adamw":
                decay(net.weights, optimizer.weight_decay, RATE)
            before = net.theta.copy()
            OPTIMIZERS[optimizer.name](net.theta, dtheta, state, t, RATE, Settings())
        update = np.array(by_layer(net, net.theta - before)) / by_layer(net, before)
        yield gradient, update


def check(settings):
    _, epochs = run(settings)
    for epoch, (gradient, update) in zip(epochs, measured_by_hand(settings), strict=True):
        precision = PRECISION[settings.model.dtype]
        np.testing.assert_allclose(epoch.gradient, gradient, rtol=precision)
        np.testing.assert_allclose(epoch.update, update, rtol=precision)


# What they are


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("hidden", [[], [8], [7, 6, 5]])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_are_those_of_the_last_step_of_the_epoch_taken_by_hand(name, hidden, dtype):
    check(config({"name": name, "weight_decay": 0.1}, {"hidden": hidden, "dtype": dtype}))


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("name", ["nesterov", "adamw"])
def test_a_layer_that_crosses_the_border_of_two_blocks_is_measured_as_a_whole(name, dtype):
    settings = config({"name": name, "weight_decay": 0.1}, LARGE | {"dtype": dtype}, epochs=2)
    (_, first, _), (_, second, _), *_ = LayerSizes(training.build(settings, D, K, None)).cuts
    assert set(first.tolist()) & set(second.tolist())
    check(settings)


@pytest.mark.parametrize("block", [1, 7, 10, 48, 75, 76, 1000])  # the layers end at 48 and 75
def test_it_does_not_matter_where_blocks_end(block, monkeypatch):
    _, expected = run(config())
    for module in (optimizers, sizes):
        monkeypatch.setattr(module, "BLOCK", block)
    for epoch, like in zip(run(config())[1], expected, strict=True):
        np.testing.assert_allclose(epoch.gradient, like.gradient, rtol=1e-12)
        np.testing.assert_allclose(epoch.update, like.update, rtol=1e-12)


def test_a_step_of_sgd_moves_a_layer_by_the_rate_times_its_gradient():
    settings = config({"name": "sgd"}, {"dtype": "float64"}, epochs=1, batch_size=60)
    net = training.build(settings, D, K, None)
    start = by_layer(net, net.theta)
    epoch = run(settings)[1][0]
    np.testing.assert_allclose(epoch.update, RATE * np.array(epoch.gradient) / start, rtol=1e-9)


def test_the_gradient_is_that_before_clipping_and_the_update_that_after():
    free, clipped = (
        run(config({"name": "sgd"}, {"dtype": "float64"}, epochs=1, batch_size=60, max_grad_norm=norm))[1][0]
        for norm in (0, 1e-3)
    )
    assert clipped.gradient == free.gradient
    shrunk = np.array(clipped.update) / free.update
    np.testing.assert_allclose(shrunk, 1e-3 / np.linalg.norm(free.gradient), rtol=1e-6)  # all layers alike
    check(config(max_grad_norm=0.01, model={"dtype": "float64"}))


def test_the_decay_of_adamw_is_no_part_of_the_update():
    light, heavy = (
        run(config({"name": "adamw", "weight_decay": d}, {"dtype": "float64"}, epochs=1, batch_size=60))[1][0]
        for d in (0, 0.5)
    )
    assert light.gradient == heavy.gradient
    # biases are 0 at the start: the decay makes all that the update is compared with smaller by the same factor
    np.testing.assert_allclose(np.array(heavy.update) / light.update, 1 / (1 - RATE * 0.5), rtol=1e-9)


def watched(net, name="sgd", rate=RATE):
    """LayerSizes after one step from net.dtheta."""
    found, state = LayerSizes(net), new_state(name, net.theta)
    for block in found.watch(optimizers.blocks(net.theta, net.dtheta, state)):
        OPTIMIZERS[name](*block, 1, rate, Settings())
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("zeros", ["gradient", "weights", "both"])
def test_zeros_give_numbers(zeros, name):
    net = MLP([D, 4, K], seed=0)
    net.dtheta[:] = 0 if zeros != "weights" else 1
    if zeros != "gradient":
        net.theta[:] = 0
    found = watched(net, name)
    assert np.isfinite([*found.gradient, *found.update]).all()
    if zeros == "weights":  # nothing to be compared with: the update itself
        assert found.gradient == pytest.approx([24**0.5, 15**0.5])
        np.testing.assert_allclose(found.update, by_layer(net, net.theta))
        assert min(found.update) > 0
    else:
        assert (found.gradient, found.update) == ([0, 0], [0, 0])


def test_squares_that_float32_does_not_hold_are_summed():
    net = MLP([D, 4, K], seed=0)
    for size in (1e30, 1e-30):
        net.dtheta[:] = size
        found = watched(net, rate=0)
        assert found.gradient == pytest.approx([size * 24**0.5, size * 15**0.5], rel=1e-6)
        assert found.update == [0, 0]


# What they cost


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("model", [{"hidden": [8]}, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_net_has_the_same_bits_measured_or_not(name, model, dtype, monkeypatch):
    settings = config({"name": name, "weight_decay": 0.1}, model | {"dtype": dtype}, max_grad_norm=0.5, epochs=2)
    net, epochs = run(settings)
    monkeypatch.setattr(LayerSizes, "watch", lambda self, blocks: blocks)
    bare, unmeasured = run(settings)
    assert net.theta.tobytes() == bare.theta.tobytes()
    assert all(epoch.gradient for epoch in epochs) and not any(epoch.gradient for epoch in unmeasured)


def test_only_the_last_step_of_an_epoch_is_measured(monkeypatch):
    real, steps = LayerSizes.watch, []
    settings = config()
    net = training.build(settings, D, K, None)
    progress = training.start(net, settings)
    monkeypatch.setattr(LayerSizes, "watch", lambda self, blocks: steps.append(progress.t) or real(self, blocks))
    list(training.train(net, part(), None, settings, None, progress))
    assert steps == [3, 6, 9]


# Where they go


@pytest.mark.parametrize("validated", [True, False])
def test_what_is_kept_of_a_run_brings_them_back_to_the_last_digit(validated):
    settings = config(model={"hidden": [7, 6]})
    net = training.build(settings, D, K, None)
    progress = training.start(net, settings)
    list(training.train(net, part(), part(30) if validated else None, settings, None, progress))
    arrays, entries = training.snapshot(progress)
    entries = json.loads(json.dumps(entries))
    restored = training.restore(training.build(settings, D, K, None), settings, arrays, entries)
    assert restored.history == progress.history
    assert [len(epoch.gradient) for epoch in restored.history] == [3] * 3
    assert all((epoch.validation_loss is not None) == validated for epoch in restored.history)


@pytest.mark.parametrize("validated", [True, False])
def test_a_run_that_goes_on_has_those_of_one_that_was_never_stopped(validated):
    settings, validation = config(model={"hidden": [7, 6]}, epochs=6), part(30) if validated else None
    whole = list(training.train(training.build(settings, D, K, None), part(), validation, settings))
    net = training.build(settings, D, K, None)
    progress = training.start(net, settings)
    list(training.train(net, part(), validation, dataclasses.replace(settings, train=config().train), None, progress))
    net = training.build(settings, D, K, None)
    progress = training.restore(net, settings, *training.snapshot(progress))
    list(training.train(net, part(), validation, settings, None, progress))
    assert [(e.gradient, e.update) for e in progress.history] == [(e.gradient, e.update) for e in whole]


def test_a_run_from_before_there_were_any_goes_on(tmp_path, monkeypatch):
    begun = a_run(tmp_path, [8])
    with monkeypatch.context() as patch:
        patch.setattr(LayerSizes, "watch", lambda self, blocks: blocks)
        train(begun)
    gone_on = runs.go_on(tmp_path, ["train.epochs=5"])
    train(gone_on)
    empty = [row["gradient_1"] == "" for row in rows(tmp_path)]
    assert empty == [True] * 3 + [False] * 2
    runs.save(gone_on)
    assert len(runs.go_on(tmp_path, []).progress.history) == 5


def a_run(folder, hidden, *overrides):
    """A run of three epochs at its start."""
    settings = ["data.source=iris", f"model.hidden={hidden}", "train.epochs=3", "train.checkpoint_seconds=0"]
    return runs.begin(folder, experiment.prepare(configs.load(None, [*settings, *overrides])))


def train(run, each=lambda epoch: None):
    settings, parts = run.experiment.config, run.experiment.parts
    for epoch in training.train(
        run.experiment.net, parts["train"], parts.get("validation"), settings, progress=run.progress
    ):
        runs.note(run, epoch)
        each(epoch)


def rows(folder: Path) -> list[dict[str, str]]:
    text = (folder / "metrics.csv").read_text()
    assert text.endswith("\n")
    found = list(csv.DictReader(text.splitlines(), strict=True))
    assert all(None not in row and None not in row.values() for row in found)  # as many cells as columns
    return found


@pytest.mark.parametrize("validation_size", [0.2, 0])
@pytest.mark.parametrize("hidden", [[], [8], [7, 6, 5]])
def test_metrics_have_a_column_for_each_layer_with_all_digits(hidden, validation_size, tmp_path):
    begun = a_run(tmp_path, hidden, f"data.validation_size={validation_size}")
    train(begun)
    layers = range(1, len(hidden) + 2)
    columns = [f"{name}_{l}" for name in ("gradient", "update") for l in layers]
    for row, epoch in zip(rows(tmp_path), begun.progress.history, strict=True):
        assert list(row)[-len(columns) - 1 :] == ["seconds", *columns]
        assert [float(row[column]) for column in columns] == [*epoch.gradient, *epoch.update]
    header = ",".join(rows(tmp_path)[0])
    assert header.count("gradient") == header.count("update") == len(layers)


def test_metrics_grow_by_one_whole_line_as_each_epoch_ends(tmp_path):
    seen = []

    def look(epoch):
        now = rows(tmp_path)
        assert now[:-1] == (seen[-1] if seen else [])  # lines once written stay as they are
        assert int(now[-1]["epoch"]) == epoch.epoch == len(now)
        assert float(now[-1]["gradient_1"]) == epoch.gradient[0]
        seen.append(now)

    begun = a_run(tmp_path, [8])
    assert rows(tmp_path) == []
    train(begun, look)
    assert len(seen) == 3
