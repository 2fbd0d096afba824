"""The net: its gradient against differences of the loss that training runs, and its settings."""

import copy
import hashlib
import pickle

import numpy as np
import pytest
from differences import measured_gradient
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from minnet.core import network
from minnet.core.activations import ACTIVATIONS
from minnet.core.gradcheck import central_differences, relative_error
from minnet.core.network import MLP, ROWS
from minnet.core.softmax import OUTPUT_GRADIENTS, softmax

RNG = np.random.default_rng(0)
X, y = RNG.normal(size=(7, 4)), np.array([0, 2, 1, 1, 0, 2, 2])
ONE_HOT, BY_CLASS, TIMES = np.eye(3)[y], np.array([3, 1, 0.5]), np.array([1, 2, 1, 0, 1, 1, 1])
methods = pytest.mark.parametrize("method", OUTPUT_GRADIENTS)


def net(layer_sizes=(4, 6, 5, 3), activation="tanh", **options):
    model = MLP(layer_sizes, activation, **{"dtype": "float64"} | options)
    model.theta += 0.1 * np.random.default_rng(1).normal(size=model.theta.shape)  # biases too
    return model


def assert_same(result, other, atol=1e-15):
    """Of pairs of a loss and a gradient."""
    assert_allclose(result[0], other[0], rtol=10 * atol)
    assert_allclose(result[1], other[1], rtol=0, atol=atol)


SOAK = pytest.param(range(100, 1100), marks=pytest.mark.soak)


@pytest.mark.parametrize("seeds", [range(60), SOAK], ids=len)
def test_the_gradient_is_that_of_the_loss_for_many_architectures(seeds):
    for seed, rng in ((seed, np.random.default_rng(seed)) for seed in seeds):
        sizes, N = rng.integers(1, 8, rng.integers(2, 6)).tolist(), rng.integers(1, 9)
        K, form = max(2, sizes[-1]), (np.array, sparse.csr_array)[rng.integers(2)]
        names = rng.choice([*ACTIVATIONS], len(sizes) - 2).tolist()
        options = {"label_smoothing": [0, 0.2], "dropout": [0, 0.4], "l2": [0, 0.3]}
        options = {name: rng.choice(values) for name, values in options.items()}
        options["class_weight"] = [None, rng.random(K) + 0.1][rng.integers(2)]
        model = net(sizes, names, output_gradient=str(rng.choice([*OUTPUT_GRADIENTS])), **options)
        X, y, w = rng.normal(size=(N, sizes[0])), rng.integers(0, K, N), rng.random(N) + 0.1
        case = model, form(X), y, w if N % 2 else None
        dtheta = model.loss_and_gradient(*case[1:], np.random.default_rng(seed))[1]
        assert relative_error(measured_gradient(*case, rng_seed=seed), dtheta) < 1e-13, seed
        if not {"relu", "leaky_relu"} & {*names}:  # no kink to step over
            some = np.arange(dtheta.size)[-20:]
            central = measured_gradient(*case, seed, central_differences, some)
            assert_allclose(central, dtheta[some], atol=1e-8 * max(1, abs(dtheta).max()))


def test_l2_adds_half_the_squares_of_weights_and_none_of_biases():
    plain, heavy = net(), net(l2=0.3)
    losses = [model.loss_and_gradient(X, y)[0] for model in (plain, heavy)]
    penalty = 0.15 * sum((W**2).sum() for W in plain.weights)
    assert losses[1] - losses[0] == pytest.approx(penalty)
    assert heavy.penalty() == pytest.approx(penalty) and plain.penalty() == 0


def test_a_gradient_is_the_mean_over_rows_and_settings_that_mean_the_same_give_the_same():
    plain, by_class, rows = net(), net(class_weight=BY_CLASS), np.repeat(np.arange(7), TIMES)
    of_rows = [plain.loss_and_gradient(X[n : n + 1], y[n : n + 1])[1] for n in range(7)]
    assert_allclose(plain.loss_and_gradient(X, y)[1], np.mean(of_rows, axis=0), atol=1e-15)
    assert not any(np.shares_memory(dtheta, plain.dtheta) for dtheta in of_rows)
    for (one, *batch), (other, *twin) in [
        ((plain, X, y, TIMES), (plain, X[rows], y[rows])),  # a weight of 2 is the row twice
        ((net(label_smoothing=0.3), X, y), (plain, X, 0.7 * ONE_HOT + 0.1)),
        ((net(label_smoothing=0.3), X, 0.7 * ONE_HOT + 0.1), (net(label_smoothing=0.51), X, y)),
        ((by_class, X, y), (plain, X, y, BY_CLASS[y])),
        ((by_class, X, ONE_HOT), (plain, X, y, BY_CLASS[y])),
        ((by_class, X, y, 1 / BY_CLASS[y]), (plain, X, y)),
    ]:
        assert_same(one.loss_and_gradient(*batch), other.loss_and_gradient(*twin))


@pytest.mark.parametrize("form", [np.array, sparse.csr_array])
def test_a_step_is_loss_and_gradient_and_a_tape_keeps_nothing_of_the_batch_before(form):
    model = net(l2=0.1, output_gradient="jacobian")
    expected, (rows, T, tape) = model.loss_and_gradient(form(X), y), model.prepare(form(X), y)
    model.step(form(5 * X), model.targets((y + 1) % 3)[0], tape)
    loss = model.step(rows, T, tape)
    assert_same((loss, model.dtheta), expected, atol=0)
    assert loss == model.loss(rows, T, tape) == tape.L + model.penalty()


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_masks_are_drawn_anew_for_each_layer_and_each_time_and_keep_the_mean(dtype):
    model = MLP([4, 30, 50, 20, 3], dropout=0.3, dtype=dtype)
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    masks = [mask for _ in range(2) for mask in model.dropout_masks(7, rng)]
    for mask, n in zip(masks, (30, 50, 20) * 2, strict=True):
        assert_allclose(mask, (twin.random((7, n), dtype=np.float32) < 0.7) / 0.7, rtol=1e-6)
        assert mask.dtype == dtype and mask.mean() == pytest.approx(1, abs=0.1)


def test_dropout_needs_a_generator_and_hidden_layers_and_does_not_touch_predictions():
    model = net(dropout=0.5)
    seeds = (np.random.default_rng(seed) for seed in (1, 1, 2))
    losses = [model.loss_and_gradient(X, y, rng=rng)[0] for rng in seeds]
    assert losses[0] == losses[1] != losses[2]
    assert_same(model.loss_and_gradient(X, y), net().loss_and_gradient(X, y), atol=0)
    assert_array_equal(model.predict_proba(X), net().predict_proba(X))
    result = net([4, 3], dropout=0.5).loss_and_gradient(X, y, rng=np.random.default_rng(0))
    assert_same(result, net([4, 3]).loss_and_gradient(X, y), atol=0)


def test_a_step_leaves_all_that_it_computes_in_the_tape():
    model = net([4, 5, 3], "relu")
    rows, T, tape = model.prepare(X, y)
    (first, last), (W1, W2), (b1, b2) = tape, model.weights, model.biases
    first.mask = RNG.random((7, 5))
    model.step(rows, T, tape)
    assert_allclose(first.a, X @ W1 + b1, atol=1e-14)
    assert_allclose(first.slope, (first.a > 0) * first.mask)
    assert_allclose(last.h, np.maximum(first.a, 0) * first.mask)
    assert_allclose(tape.z, last.h @ W2 + b2, atol=1e-14)
    assert_allclose(tape.p, softmax(tape.z), atol=1e-14)
    assert_allclose(tape.dz, (tape.p - ONE_HOT) / 7, atol=1e-14)
    assert_allclose(last.dh, tape.dz @ W2.T, atol=1e-14)
    assert_allclose(first.da, last.dh * first.slope)
    for found, expected in ((first.h, X), (last.a, tape.z), (last.da, tape.dz)):
        assert_array_equal(found, expected)


@methods
def test_a_net_takes_its_own_way_from_the_loss_to_the_logits(monkeypatch, method):
    monkeypatch.setitem(OUTPUT_GRADIENTS, method, lambda p, T: 0 * p)
    assert not net(output_gradient=method).loss_and_gradient(X, y)[1].any()


def test_arrays_by_class_lie_column_by_column_and_T_may_lie_otherwise():
    model = net()
    expected, (rows, T, tape) = model.loss_and_gradient(X, y), model.prepare(X, y)
    model.step(rows, T, tape)
    for array in (T, tape.z, tape.p, tape.log_p, tape.dz):
        assert array.shape == (7, 3) and array.flags.f_contiguous
    assert_same((model.step(rows, np.ascontiguousarray(T), tape), model.dtheta), expected)


def test_one_output_unit_is_two_with_the_logits_0_and_a():
    one, two = net([4, 5, 1]), net([4, 5, 2])
    two.layers[0].Wb[:], two.layers[1].Wb[:] = one.layers[0].Wb, [0, 1] * one.layers[1].Wb
    assert_allclose(one.logits(X), two.logits(X), rtol=1e-14)
    losses = [model.loss_and_gradient(X, y % 2)[0] for model in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-14)
    assert_allclose(one.layers[1].dWb, two.layers[1].dWb[:, 1:], atol=1e-15)


@pytest.mark.parametrize("few", [0, 1024])  # with and without a table of unit vectors
def test_targets_are_shares_of_the_mean_and_come_with_the_sum_of_the_weights(monkeypatch, few):
    monkeypatch.setattr(network, "FEW", few)
    model = MLP([4, 3], class_weight=BY_CLASS, label_smoothing=0.3)
    assert model.classes.size == (9 if few else 0)
    for weights in (None, TIMES):
        T, total = model.targets(y, weights)
        w = BY_CLASS[y] * (1 if weights is None else weights)
        assert T.dtype == np.float32 and type(total) is float and total == w.sum()
        assert_allclose(T, w[:, None] / total * (0.7 * ONE_HOT + 0.1), rtol=1e-6)
    T, total = MLP([4, 3], class_weight=[0, 1, 1]).targets(y[[0, 4]])  # no row has weight
    assert total == 0 and not T.any()


FULL = sparse.csr_array(np.arange(1.0, 19).reshape(3, 6))
SPARSE_ROWS = {  # values, their columns, and where in these each row starts
    "stored zeros, an empty row": ([0, 2, -1, 0], [0, 3, 3, 5], [0, 2, 2, 4]),
    "columns twice and out of order": ([1, 4, 1, -3, 2, 1], [2, 2, 0, 2, 5, 0], [0, 3, 4, 6]),
    "nothing but empty rows": ([], [], [0, 0, 0, 0]),
}


@pytest.mark.parametrize("arrays", SPARSE_ROWS.values(), ids=SPARSE_ROWS)
@pytest.mark.parametrize(("dtype", "atol"), [("float32", 1e-6), ("float64", 1e-15)])
def test_sparse_rows_give_what_dense_rows_give_and_stay_as_they_are(arrays, dtype, atol):
    X = sparse.csr_array(arrays, shape=(3, 6), dtype=float)
    batch = sparse.vstack([FULL, X, FULL]).tocsr()[3:6]  # a slice is the batch it shows
    for hidden in ([5], []):
        model = net([6, *hidden, 3], l2=0.1, dtype=dtype)
        expected, p = model.loss_and_gradient(X.toarray(), y[:3]), model.predict_proba(X.toarray())
        model.loss_and_gradient(FULL, y[:3])  # leaves a gradient in every column
        for form in (X, sparse.csr_matrix(X), X.tocsc(), X.tocoo(), batch):
            assert_same(model.loss_and_gradient(form, y[:3]), expected, atol)
            assert_allclose(model.predict_proba(form), p, rtol=1e-5)
    assert X.nnz == len(arrays[0])


def test_predictions_do_not_depend_on_the_block_they_fall_in():
    rows, model = np.random.default_rng(2).normal(size=(2 * ROWS + 3, 4)), net([4, 3])
    p = model.predict_proba(rows)  # of softmax regression, a net without hidden layers
    assert_allclose(p, softmax(rows @ model.weights[0] + model.biases[0]), rtol=1e-12)
    assert_array_equal(model.predict(rows), p.argmax(axis=1))
    assert model.predict(rows[:0]).shape == (0,)


def assert_views(model):
    """W and b of each layer are views of theta, in this order, and dW and db of dtheta."""
    for flat, d in ((model.theta, ""), (model.dtheta, "d")):
        flat.reshape(-1)[:] = -np.arange(flat.size)
        parts = [getattr(layer, d + name) for layer in model.layers for name in "Wb"]
        for m in np.ndindex(flat.shape[:-1]):
            assert_array_equal(np.concatenate([part[m].ravel() for part in parts]), flat[m])
    pairs = zip(model.weights, model.biases, model.layers, strict=True)
    assert all(W is layer.W and b is layer.b for W, b, layer in pairs)


@pytest.mark.parametrize("members", [None, 3])
def test_weights_and_biases_are_views_into_theta_in_copies_too(members):
    model = net(activation=["relu", "gelu"], dropout=0.1, l2=0.2, members=members, seed=3)
    gradient = lambda net: net.loss_and_gradient(X, y, rng=np.random.default_rng(0))  # noqa: E731
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.astype("float32")]
    expected = gradient(model)
    for twin, atol in zip([*copies, model], (0, 0, 1e-6, 0), strict=True):
        assert twin.dtype == twin.theta.dtype == twin.dtheta.dtype
        assert_same(gradient(twin), expected, atol)
        assert_views(twin)


DIGESTS = {
    "a2dbc0f6f27f": ((4, 16, 3), "relu", "float32", 0),
    "554e00659348": ((64, 64, 32, 10), ("tanh", "gelu"), "float32", 7),
    "b76e34f9daf0": ((5, 3, 1), "logistic", "float64", 1),
    "bccc2dbb7e05": ((7, 6, 5, 4, 2), ("identity", "leaky_relu", "tanh"), "float64", 2**40),
}


def test_the_seed_decides_the_initial_weights_for_ever_and_in_either_precision():
    for digest, (sizes, activation, dtype, seed) in DIGESTS.items():
        theta = MLP(sizes, activation, dtype=dtype, seed=seed).theta
        assert hashlib.sha256(theta.tobytes()).hexdigest()[:12] == digest
    single = MLP([4, 6, 3], seed=1)
    double = MLP([4, 6, 3], seed=np.random.default_rng(1), dtype="float64")
    assert_array_equal(single.theta, double.theta.astype("float32"))
    double.initialise(np.random.default_rng(1))  # again
    assert_array_equal(single.theta, double.theta.astype("float32"))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_weights_start_with_the_variance_that_the_activation_asks_for(name):
    model, he = MLP([400, 300, 100], name, dtype="float64"), name in {"relu", "leaky_relu", "gelu"}
    assert model.weights[0].var() == pytest.approx(2 / 400 if he else 2 / 700, rel=0.03)
    assert model.weights[1].var() == pytest.approx(2 / 400, rel=0.03)  # Glorot for the logits
    assert not model.biases[0].any() and not model.biases[1].any()
    # a uniform distribution has a largest number
    assert (abs(model.weights[0]).max() > np.sqrt(6 / 700)) == he
    assert abs(model.weights[1]).max() <= np.sqrt(6 / 400)


def test_float32_stays_float32_from_the_rows_to_the_gradient():
    model = MLP([4, 6, 3], class_weight=[1, 2, 3], label_smoothing=0.1, l2=0.1, dropout=0.2)
    rows, T, tape = model.prepare(X, y, np.ones(7), np.random.default_rng(0))
    arrays = [model.step(rows, T, tape), model.dtheta, model.predict_proba(X)]
    arrays += [T, tape.p, tape.log_p, tape.dz, tape[0].mask]
    assert {array.dtype for array in arrays} == {np.dtype("float32")}


WEIGHTS = [[1, 2], [1, 2, -1], [1, 2, np.nan], [0, 0, 0], [1e308, 1e308, 1e308]]  # of 3
NETS = [
    *(([*sizes], {}, "layer_sizes") for sizes in ([], [4], [4, 0, 3])),
    ([4, 2.5, 3], {}, "integer"),
    ([4, 5, 3], {"activation": "rely"}, "rely.*relu.*tanh"),
    ([4, 3], {"activation": "rely"}, "rely"),
    ([4, 5, 3], {"activation": ["relu", "tanh"]}, "2 activations, 1 layers"),
    ([4, 3], {"output_gradient": "p-y"}, "p-y.*jacobian.*vjp.*fused"),
    *(([4, 3], {name: s}, name) for name in ("dropout", "label_smoothing") for s in (1, -0.1)),
    *(([4, 3], {"l2": l2}, "l2") for l2 in (-1, np.inf, np.nan)),
    *(([4, 3], {"class_weight": w}, "class_weight needs 3") for w in WEIGHTS),
    ([4, 3], {"dtype": "int64"}, "dtype"),
]
BATCHES = [
    *((shape, [0], None, r"takes \(N, 4\)") for shape in ((1, 5), (4,), (1, 4, 4))),
    ((2, 4), [0, 1, 2], None, "X has 2 rows, y has 3"),
    *(((2, 4), y, None, r"labels 0\.\.2") for y in ([0, 3], [0, -1], [0.5, 1])),
    *(((1, 4), [y], None, "distributions") for y in ([0.5, 0.2, 0.2], [-0.5, 1.5, 0])),
    *(((3, 4), [0, 1, 2], w, "sample_weight needs 3") for w in WEIGHTS),
]


@pytest.mark.parametrize(("layer_sizes", "options", "message"), NETS)
def test_a_net_that_makes_no_sense_is_refused(layer_sizes, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MLP(layer_sizes, **options)


@pytest.mark.parametrize(("shape", "y", "w", "message"), BATCHES)
def test_rows_labels_and_weights_that_do_not_fit_are_refused(shape, y, w, message):
    for form in (np.array, sparse.csr_array) if len(shape) == 2 else (np.array,):
        with pytest.raises(ValueError, match=message):
            net().loss_and_gradient(form(np.zeros(shape)), y, w)
