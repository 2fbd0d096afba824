"""The net: its gradient against differences of the loss through the real forward code, and all that shapes it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from minnet.core.activations import ACTIVATIONS
from minnet.core.gradcheck import gradient_errors
from minnet.core.network import BLOCK, MLP, Workspace
from minnet.core.softmax import ROADS, cross_entropy, softmax

RNG = np.random.default_rng(0)
X, y = RNG.normal(size=(7, 4)), np.array([0, 2, 1, 1, 0, 2, 2])


def net(layer_sizes=(4, 6, 5, 3), activation="tanh", **options):
    model = MLP(layer_sizes, activation, dtype="float64", **options)
    model.theta += 0.1 * np.random.default_rng(1).normal(size=model.theta.size)  # biases too
    return model


# The gradient


@settings(max_examples=60)
@given(
    layer_sizes=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    N=st.integers(1, 8),
    road=st.sampled_from(ROADS),
    smoothing=st.sampled_from([0, 0.2]),
    dropout=st.sampled_from([0, 0.4]),
    l2=st.sampled_from([0, 0.3]),
    data=st.data(),
)
def test_the_gradient_is_that_of_the_loss_for_any_architecture(layer_sizes, N, road, smoothing, dropout, l2, data):
    activation = [data.draw(st.sampled_from(list(ACTIVATIONS))) for _ in layer_sizes[2:]]
    K, rng = layer_sizes[-1], np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    model = net(
        layer_sizes,
        activation,
        output_gradient=road,
        label_smoothing=smoothing,
        dropout=dropout,
        l2=l2,
        class_weight=rng.random(K) + 0.1,
    )
    X, y, w = rng.normal(size=(N, layer_sizes[0])), rng.integers(0, K, N), rng.random(N) + 0.1
    assert max(gradient_errors(model, X, y, w, rng_seed=5).values()) < 1e-13


@pytest.mark.parametrize("N", [3, 8])
@pytest.mark.parametrize("road", ROADS)
def test_the_gradient_is_right_for_every_true_class_and_for_N_equal_to_K(N, road):
    model = net([4, 5, 3], output_gradient=road)
    for k in range(3):
        assert gradient_errors(model, X[:N], np.full(len(X[:N]), k))["theta"] < 1e-13


def test_central_differences_agree_too():
    assert max(gradient_errors(net(), X, y, method="central").values()) < 1e-7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_three_roads_give_the_same_gradient(dtype):
    gradients = []
    for road in ROADS:
        model = MLP([4, 6, 3], output_gradient=road, dtype=dtype, seed=2)
        model.theta *= 40  # logits far apart
        gradients.append(model.loss_and_gradient(X, y)[1])
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], atol=1e-5 if dtype == "float32" else 1e-14)


def test_loss_is_the_mean_cross_entropy_of_the_logits():
    model = net()
    assert model.loss_and_gradient(X, y)[0] == pytest.approx(cross_entropy(model.logits(X), y).mean())


def test_l2_adds_half_the_squares_of_weights_and_none_of_biases():
    plain, heavy = net(), net(l2=0.5)
    penalty = 0.25 * sum((W**2).sum() for W in plain.weights)
    (loss, dtheta), (loss_l2, dtheta_l2) = (model.loss_and_gradient(X, y) for model in (plain, heavy))
    assert loss_l2 - loss == pytest.approx(penalty)
    decayed = plain.astype("float64")
    decayed.theta[:] = dtheta_l2 - dtheta
    for W, part, b in zip(plain.weights, decayed.weights, decayed.biases, strict=True):
        np.testing.assert_allclose(part, 0.5 * W, atol=1e-15)
        np.testing.assert_allclose(b, 0, atol=1e-15)


def test_soft_targets_and_label_smoothing_are_the_same_thing():
    Y = 0.7 * np.eye(3)[y] + 0.3 / 3
    loss, dtheta = net().loss_and_gradient(X, Y)
    loss_smooth, dtheta_smooth = net(label_smoothing=0.3).loss_and_gradient(X, y)
    assert loss == pytest.approx(loss_smooth)
    np.testing.assert_allclose(dtheta, dtheta_smooth, atol=1e-15)


def test_a_weight_of_two_is_the_row_twice_and_of_zero_none():
    model, w = net(), np.array([1, 2, 1, 0, 1, 1, 1])
    rows = np.repeat(np.arange(7), w)
    weighted, repeated = model.loss_and_gradient(X, y, w), model.loss_and_gradient(X[rows], y[rows])
    assert weighted[0] == pytest.approx(repeated[0])
    np.testing.assert_allclose(weighted[1], repeated[1], atol=1e-15)


def test_class_weights_are_weights_of_the_rows_of_a_class():
    by_class = net(class_weight=[3, 1, 0.5]).loss_and_gradient(X, y)
    by_row = net().loss_and_gradient(X, y, np.array([3, 1, 0.5])[y])
    assert by_class[0] == pytest.approx(by_row[0])
    np.testing.assert_allclose(by_class[1], by_row[1], atol=1e-15)


def test_the_gradient_of_a_batch_is_the_mean_of_its_rows():
    model = net()
    rows = [model.loss_and_gradient(X[n : n + 1], y[n : n + 1])[1] for n in range(7)]
    np.testing.assert_allclose(model.loss_and_gradient(X, y)[1], np.mean(rows, axis=0), atol=1e-15)


def test_a_gradient_handed_out_is_not_overwritten_by_the_next():
    model = net()
    first = model.loss_and_gradient(X, y)[1]
    kept = first.copy()
    model.loss_and_gradient(X, (y + 1) % 3)
    np.testing.assert_array_equal(first, kept)


# Dropout


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    model = MLP([4, 2000, 3], "identity", dropout=0.4, dtype="float64", seed=0)
    ws = Workspace(model, 7)
    model.draw_masks(ws, np.random.default_rng(0))
    kept = ws.mask[1] > 0
    assert kept.mean() == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(ws.mask[1][kept], 1 / 0.6)
    assert ws.mask[1].mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))
    without = MLP([4, 2000, 3], "identity", dtype="float64", seed=0)
    np.testing.assert_array_equal(model.predict_proba(X), without.predict_proba(X))


def test_dropout_needs_a_generator_and_follows_its_seed():
    model = net(dropout=0.5)
    losses = [model.loss_and_gradient(X, y, rng=np.random.default_rng(seed))[0] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert model.loss_and_gradient(X, y)[0] == net().loss_and_gradient(X, y)[0]


# Forward, step by step


def test_forward_leaves_every_step_in_the_workspace():
    model = net([4, 5, 3], "relu")
    ws = Workspace(model, 7)
    Y, w = model.targets(y)
    model.forward(model.with_ones(X), ws)
    loss = model.loss(Y, model.shares(w), ws)
    (W1, W2), (b1, b2) = model.weights, model.biases
    a1 = X @ W1 + b1
    h1 = np.where(a1 > 0, a1, 0)
    z = h1 @ W2 + b2
    np.testing.assert_allclose(ws.a[0], a1, atol=1e-14)
    np.testing.assert_allclose(ws.h[1], h1, atol=1e-14)
    np.testing.assert_allclose(ws.z, z, atol=1e-14)
    np.testing.assert_allclose(ws.p, softmax(z), atol=1e-14)
    assert loss == pytest.approx(np.mean(-np.log(softmax(z))[np.arange(7), y]))

    model.backward(Y, model.shares(w), ws)
    dz = (softmax(z) - np.eye(3)[y]) / 7
    np.testing.assert_allclose(ws.dp, -np.eye(3)[y] / softmax(z) / 7, atol=1e-13)
    np.testing.assert_allclose(ws.dz, dz, atol=1e-15)
    np.testing.assert_allclose(model.dWb[1], np.vstack([h1.T @ dz, dz.sum(axis=0)]), atol=1e-14)
    np.testing.assert_allclose(ws.dh[1], dz @ W2.T, atol=1e-14)
    np.testing.assert_allclose(ws.da[0], (dz @ W2.T) * (a1 > 0), atol=1e-14)


def test_softmax_regression_is_a_net_without_hidden_layers():
    model = net([4, 3])
    np.testing.assert_allclose(model.logits(X), X @ model.weights[0] + model.biases[0])


def test_the_loss_before_training_is_near_log_K_when_logits_are_small():
    model = MLP([4, 6, 3], dtype="float64", seed=0)
    model.theta *= 1e-3
    assert model.loss_and_gradient(X, y)[0] == pytest.approx(np.log(3), abs=1e-3)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csc_array, sparse.coo_matrix])
def test_sparse_rows_give_what_dense_rows_give(form):
    dense = np.where(RNG.random((7, 4)) < 0.5, X, 0)
    model = net(output_gradient="vjp")
    (loss, dtheta), (sparse_loss, sparse_dtheta) = (model.loss_and_gradient(rows, y) for rows in (dense, form(dense)))
    assert sparse_loss == pytest.approx(loss)
    np.testing.assert_allclose(sparse_dtheta, dtheta, atol=1e-15)
    np.testing.assert_allclose(model.predict_proba(form(dense)), model.predict_proba(dense))


def test_predictions_do_not_depend_on_the_block_they_fall_in():
    rows = np.random.default_rng(2).normal(size=(2 * BLOCK + 3, 4))
    model = net()
    p = model.predict_proba(rows)
    assert p.shape == (2 * BLOCK + 3, 3)
    np.testing.assert_allclose(p[-3:], model.predict_proba(rows[-3:]), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(rows), p.argmax(axis=1))
    assert model.predict(rows[:0]).shape == (0,)


# Parameters


def test_weights_and_biases_are_views_into_theta():
    model = MLP([4, 6, 3])
    assert model.theta.shape == model.dtheta.shape == (4 * 6 + 6 + 6 * 3 + 3,)
    assert [W.shape for W in model.weights] == [(4, 6), (6, 3)]
    model.theta[:] = np.arange(model.theta.size)
    np.testing.assert_array_equal(model.weights[0].ravel(), np.arange(24))
    np.testing.assert_array_equal(model.biases[0], np.arange(24, 30))
    model.biases[1][:] = -1
    np.testing.assert_array_equal(model.theta[-3:], -1)


@pytest.mark.parametrize(
    ("activation", "variance"),
    [("relu", 2 / 400), ("gelu", 2 / 400), ("leaky_relu", 2 / 400), ("tanh", 2 / 700), ("logistic", 2 / 700)],
)
def test_weights_start_with_the_variance_that_the_activation_asks_for(activation, variance):
    model = MLP([400, 300, 100], activation, dtype="float64")
    assert model.weights[0].var() == pytest.approx(variance, rel=0.03)
    assert model.weights[1].var() == pytest.approx(2 / 400, rel=0.03)  # Glorot for the logits, 300 + 100
    assert not model.biases[0].any()


def test_the_same_seed_gives_the_same_weights_in_either_precision():
    first, second, third = (MLP([4, 6, 3], seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.theta, second.theta)
    assert (first.theta != third.theta).any()
    np.testing.assert_array_equal(first.theta, MLP([4, 6, 3], seed=1, dtype="float64").theta.astype("float32"))
    np.testing.assert_array_equal(first.theta, MLP([4, 6, 3], seed=np.random.default_rng(1)).theta)


def test_float32_stays_float32_from_the_rows_to_the_gradient():
    model = MLP([4, 6, 3])
    loss, dtheta = model.loss_and_gradient(X, y, np.ones(7))
    assert loss.dtype == dtheta.dtype == model.predict_proba(X).dtype == np.float32


def test_a_copy_in_another_dtype_computes_the_same():
    model = net([4, 6, 3], output_gradient="jacobian", l2=0.1, label_smoothing=0.1)
    other = model.astype("float32")
    np.testing.assert_allclose(other.loss_and_gradient(X, y)[1], model.loss_and_gradient(X, y)[1], atol=1e-6)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([[4]], {}, "layer_sizes"),
        ([[4, 0, 3]], {}, "layer_sizes"),
        ([[4, 5, 3]], {"activation": "rely"}, "relu, tanh"),
        ([[4, 5, 3]], {"activation": ["relu", "tanh"]}, "2 activations for 1 hidden"),
        ([[4, 3]], {"activation": "rely"}, "rely"),
        ([[4, 3]], {"output_gradient": "p-y"}, "jacobian, vjp, fused"),
        ([[4, 3]], {"dropout": 1.0}, "dropout"),
        ([[4, 3]], {"dropout": -0.1}, "dropout"),
        ([[4, 3]], {"label_smoothing": 1.0}, "label_smoothing"),
        ([[4, 3]], {"l2": -1.0}, "l2"),
        ([[4, 3]], {"l2": np.nan}, "l2"),
        ([[4, 3]], {"class_weight": [1, 2]}, "class_weight"),
        ([[4, 3]], {"class_weight": [1, 2, -1]}, "class_weight"),
        ([[4, 3]], {"class_weight": [1, 2, np.nan]}, "class_weight"),
        ([[4, 3]], {"class_weight": [0, 0, 0]}, "class_weight"),
        ([[4, 3]], {"class_weight": [1e308, 1e308, 1e308]}, "class_weight"),
        ([[4, 3]], {"dtype": "int64"}, "dtype"),
    ],
)
def test_a_net_that_makes_no_sense_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        MLP(*arguments, **options)


def test_a_layer_of_two_and_a_half_units_is_refused():
    with pytest.raises(TypeError):
        MLP([4, 2.5, 3])


@pytest.mark.parametrize(
    ("X", "y", "w", "message"),
    [
        (np.zeros((2, 5)), [0, 1], None, r"takes \(N, 4\)"),
        (np.zeros(4), [0], None, r"takes \(N, 4\)"),
        (np.zeros((2, 4)), [0, 1, 2], None, "X has 2 rows, y has 3"),
        (np.zeros((2, 4)), [0, 3], None, r"0\.\.2"),
        (np.zeros((2, 4)), [0, -1], None, r"0\.\.2"),
        (np.zeros((2, 4)), [0.5, 1], None, "whole numbers"),
        (np.zeros((2, 4)), [[0.5, 0.2, 0.2]] * 2, None, "distributions"),
        (np.zeros((2, 4)), [[-0.5, 1.5, 0]] * 2, None, "distributions"),
        (np.zeros((2, 4)), [0, 1], [1, -1], "sample_weight"),
        (np.zeros((2, 4)), [0, 1], [0, 0], "sample_weight"),
        (np.zeros((2, 4)), [0, 1], [1, np.nan], "sample_weight"),
        (np.zeros((2, 4)), [0, 1], [1], "sample_weight"),
        (np.zeros((2, 4)), [0, 1], [1e308, 1e308], "sample_weight"),
    ],
)
def test_rows_labels_and_weights_that_do_not_fit_are_refused(X, y, w, message):
    with pytest.raises(ValueError, match=message):
        net().loss_and_gradient(X, y, w)
