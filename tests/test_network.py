"""The net: its gradient against differences of the loss through the real forward code, and all that shapes it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import in_every_layout
from memory import traced_memory
from scipy import sparse

from minnet.core import network
from minnet.core.activations import ACTIVATIONS
from minnet.core.gradcheck import gradient_errors
from minnet.core.network import MLP, ROWS, Workspace
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
    K, rng = max(2, layer_sizes[-1]), np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [1, 3, 20, 10**6])
def test_the_gradient_of_the_penalty_is_exactly_l2_times_W_whatever_the_block(monkeypatch, dtype, block):
    monkeypatch.setattr(network, "BLOCK", block)
    plain, heavy = (MLP([4, 6, 5, 3], l2=l2, dtype=dtype, seed=1) for l2 in (0, 0.3))
    for model in (plain, heavy):
        model.theta += model.dtype.type(0.1)  # biases too
        model.loss_and_gradient(X, y)
    for W, dWb, plain_dWb in zip(plain.weights, heavy.dWb, plain.dWb, strict=True):
        np.testing.assert_array_equal(dWb[:-1], plain_dWb[:-1] + W * W.dtype.type(0.3))
        np.testing.assert_array_equal(dWb[-1], plain_dWb[-1])
    assert {len(room) for _, _, room in heavy.blocks} <= set(range(block + 1))


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


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_masks_are_drawn_anew_for_each_layer_and_each_time_into_the_same_arrays(dtype):
    model = MLP([4, 30, 50, 20, 3], dropout=0.3, dtype=dtype)
    ws, rng, twin = Workspace(model, 7), np.random.default_rng(0), np.random.default_rng(0)
    masks = ws.mask[1:]
    for _ in range(2):
        model.draw_masks(ws, rng)
        for mask, now, n in zip(masks, ws.mask[1:], (30, 50, 20), strict=True):
            assert now is mask and mask.dtype == dtype
            np.testing.assert_allclose(mask, (twin.random((7, n), dtype=np.float32) < 0.7) / 0.7, rtol=1e-6)


def test_dropout_without_hidden_layers_drops_nothing():
    model = net([4, 3], dropout=0.5)
    loss, dtheta = model.loss_and_gradient(X, y, rng=np.random.default_rng(0))
    assert loss == net([4, 3]).loss_and_gradient(X, y)[0]
    np.testing.assert_array_equal(dtheta, net([4, 3]).loss_and_gradient(X, y)[1])


# Forward, step by step


def given_to(model):
    """X1, dlogp and r as loss and backward take them."""
    Y, w = model.targets(y)
    r = model.shares(w)
    return model.with_ones(X), -r * Y, r


def test_forward_leaves_every_step_in_the_workspace():
    model = net([4, 5, 3], "relu")
    ws = Workspace(model, 7)
    X1, dlogp, r = given_to(model)
    model.forward(X1, ws)
    loss = model.loss(dlogp, r, ws)
    (W1, W2), (b1, b2) = model.weights, model.biases
    a1 = X @ W1 + b1
    h1 = np.where(a1 > 0, a1, 0)
    z = h1 @ W2 + b2
    np.testing.assert_allclose(ws.a[0], a1, atol=1e-14)
    np.testing.assert_allclose(ws.h[1], h1, atol=1e-14)
    np.testing.assert_allclose(ws.z, z, atol=1e-14)
    np.testing.assert_allclose(ws.p, softmax(z), atol=1e-14)
    np.testing.assert_allclose(ws.shifted, z - z.max(axis=1, keepdims=True), atol=1e-14)
    np.testing.assert_allclose(ws.log_total, np.log(np.exp(ws.shifted).sum(axis=1, keepdims=True)), atol=1e-14)
    assert loss == pytest.approx(np.mean(-np.log(softmax(z))[np.arange(7), y]))

    model.backward(dlogp, ws)
    dz = (softmax(z) - np.eye(3)[y]) / 7
    np.testing.assert_allclose(ws.dp, -np.eye(3)[y] / softmax(z) / 7, atol=1e-13)
    np.testing.assert_allclose(ws.mean_dp, np.full((7, 1), -1 / 7), atol=1e-15)
    np.testing.assert_allclose(ws.dz, dz, atol=1e-15)
    np.testing.assert_allclose(model.dWb[1], np.vstack([h1.T @ dz, dz.sum(axis=0)]), atol=1e-14)
    np.testing.assert_allclose(ws.dh[1], dz @ W2.T, atol=1e-14)
    np.testing.assert_allclose(ws.da[0], (dz @ W2.T) * (a1 > 0), atol=1e-14)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("layer_sizes", [[4, 5, 3], [4, 3], [4, 5, 7]])  # 7 classes for 7 rows: all (N, K) are square
def test_loss_and_gradient_are_the_same_whatever_the_layout_of_the_arrays_by_class(layer_sizes, road):
    model = net(layer_sizes, output_gradient=road)
    (X1, dlogp, r), (loss, dtheta) = given_to(model), model.loss_and_gradient(X, y)
    room = np.empty((7, layer_sizes[-1]))
    for targets, z, shifted, p, dz in in_every_layout(dlogp, room, room, room, room):
        ws = Workspace(model, 7)
        ws.z = ws.a[-1] = z
        ws.dz = ws.da[-1] = dz
        ws.shifted, ws.p, ws.dp = shifted, p, np.empty_like(dz)
        model.forward(X1, ws)
        assert model.loss(targets, r, ws) == pytest.approx(loss, rel=1e-14)
        np.testing.assert_allclose(model.backward(targets, ws), dtheta, atol=1e-15)


def test_arrays_by_class_lie_column_by_column():
    model = net()
    ws = Workspace(model, 7)
    for array in (ws.z, ws.a[-1], ws.shifted, ws.p, ws.dp, ws.dz, ws.da[-1]):
        assert array.shape == (7, 3) and array.flags.f_contiguous
    for array, other in ((ws.a[-1], ws.z), (ws.da[-1], ws.dz)):
        assert array.shape == other.shape and array.ctypes.data == other.ctypes.data


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("road", ["vjp", "fused"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_step_through_the_net_allocates_no_array(activation, road, dtype):
    N, K = 1000, 200
    model = MLP([3, 300, 16, 250, K], activation, output_gradient=road, dropout=0.2, l2=0.1, dtype=dtype)
    ws, rng, smallest = Workspace(model, N), np.random.default_rng(0), N * K * model.dtype.itemsize
    X1, r, dlogp = (np.full(shape, 1 / N, dtype) for shape in ((N, 4), (N, 1), (K, N)))
    with traced_memory() as risen:
        for step in (
            lambda: model.draw_masks(ws, rng),
            lambda: model.forward(X1, ws),
            lambda: model.loss(dlogp.T, r, ws),
            lambda: model.backward(dlogp.T, ws),
        ):
            step()
            assert risen() < smallest / 4  # NumPy has buffers of its own, of 8192 numbers at most


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


def stored(form, *rows, D=6):
    """Sparse rows, each of the pairs (column, value) that it is to store, in this order."""
    columns, values = zip(*[pair for row in rows for pair in row], strict=True) if any(rows) else ((), ())
    starts = np.cumsum([0, *map(len, rows)])
    return form((np.array(values, float), np.array(columns, np.int32), starts), shape=(len(rows), D))


FULL = [[(j, 1.0 + j) for j in range(6)]] * 3
SPARSE_ROWS = {
    "columns that no row stores": [[(1, 2.0)], [(1, -1.0), (4, 3.0)], [(4, 0.5)]],
    "an empty row": [[(0, 2.0), (5, 1.0)], [], [(2, -1.0)]],
    "nothing but empty rows": [[], [], []],
    "zeros that are stored": [[(0, 0.0), (3, 2.0)], [(5, 0.0)], [(3, -1.0)]],
    "columns out of order": [[(4, 1.0), (0, 2.0)], [(5, 3.0), (2, 1.0), (3, -2.0)], [(1, 1.0)]],
    "a column twice in a row": [[(2, 1.0), (2, 4.0), (0, 1.0)], [(2, -3.0)], [(5, 1.0), (0, 2.0), (5, 1.5)]],
    "every column": FULL,
    "one row": [[(3, 1.0), (1, 2.0)]],
}


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix])
@pytest.mark.parametrize("rows", SPARSE_ROWS.values(), ids=SPARSE_ROWS)
@pytest.mark.parametrize("hidden", [[5], []])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_sparse_rows_is_that_of_dense_rows_and_keeps_nothing_of_the_batch_before(
    form, rows, hidden, dtype
):
    model, labels = MLP([6, *hidden, 3], "tanh", l2=0.1, dtype=dtype), np.array([0, 2, 1])
    X = stored(form, *rows)
    dense_loss, dense = model.loss_and_gradient(X.toarray(), labels[: len(rows)])
    model.loss_and_gradient(stored(form, *FULL), labels)  # leaves a gradient in every column
    assert model.dWb[0].all()
    loss, dtheta = model.loss_and_gradient(X, labels[: len(rows)])
    assert loss == pytest.approx(dense_loss, rel=1e-6)
    np.testing.assert_allclose(dtheta, dense, atol=1e-6 if dtype == "float32" else 1e-15)
    untouched = sorted(set(range(6)) - {column for row in rows for column, _ in row})
    np.testing.assert_array_equal(model.dWb[0][untouched], (model.dtype.type(0.1) * model.Wb[0])[untouched])
    assert X.nnz == sum(map(len, rows))  # as it was


def test_a_slice_of_sparse_rows_is_the_batch_that_it_shows():
    rows = stored(sparse.csr_array, *FULL, *SPARSE_ROWS["an empty row"], *FULL)
    model = net([6, 5, 3])
    sparse_gradient = model.loss_and_gradient(rows[3:6], [0, 1, 2])[1]
    np.testing.assert_allclose(sparse_gradient, model.loss_and_gradient(rows.toarray()[3:6], [0, 1, 2])[1], atol=1e-15)


def test_a_step_through_the_net_with_sparse_rows_makes_no_second_array_like_the_weights():
    model, D = MLP([20_000, 16, 3]), 20_000
    rows = stored(sparse.csr_array, [(3, 1.0), (D - 1, 2.0)], [(77, -1.0)], D=D).astype(np.float32)
    ws, r = Workspace(model, 2), np.full((2, 1), 0.5, np.float32)
    dlogp = -r * np.eye(3, dtype=np.float32)[:2]
    with traced_memory() as risen:
        model.forward(rows, ws)
        model.loss(dlogp, r, ws)
        model.backward(dlogp, ws)
        assert risen() < model.weights[0].nbytes / 10


def test_the_gradient_of_sparse_rows_is_that_of_the_loss():
    rows = stored(sparse.csr_array, *SPARSE_ROWS["a column twice in a row"])
    assert max(gradient_errors(net([6, 5, 3]), rows, [0, 1, 2]).values()) < 1e-13


def test_predictions_do_not_depend_on_the_block_they_fall_in():
    rows = np.random.default_rng(2).normal(size=(2 * ROWS + 3, 4))
    model = net()
    p = model.predict_proba(rows)
    assert p.shape == (2 * ROWS + 3, 3)
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
