"""Members: each is the single net of its seed, whatever the settings and rows, and together they
predict their mean p."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP, Tape
from minnet.core.optimizers import OPTIMIZERS, Settings, Step, clip_by_norm
from minnet.core.softmax import OUTPUT_GRADIENTS

M, N, SEED = 3, 7, 5
close = partial(assert_allclose, rtol=1e-12, atol=1e-14)
HIDDEN = {"layer_sizes": [4, 6, 5, 3], "activation": "tanh", "dropout": 0.4}
SETTINGS = {
    **{name: HIDDEN | {"activation": ["tanh", name]} for name in ACTIVATIONS},
    **{name: HIDDEN | {"output_gradient": name} for name in OUTPUT_GRADIENTS},
    "no hidden layer": {"layer_sizes": [4, 3], "l2": 0.1},
    "one output unit": {"layer_sizes": [4, 6, 1], "label_smoothing": 0.1},
    "all": HIDDEN | {"l2": 0.3, "label_smoothing": 0.2, "class_weight": [1, 3, 0.5]},
}


def adamw(net, t, state):
    """Clip the gradient and take step t."""
    clip_by_norm(net.dtheta, 0.3)
    step = Step(t, 0.01, Settings(weight_decay=0.1, weights=net.weights))
    OPTIMIZERS["adamw"].take(step, net.theta, net.dtheta, state)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("rows", ["shared", "sparse", "own"])
def test_each_member_trains_and_predicts_as_the_single_net_of_its_seed(settings, rows):
    """So its gradient, which tests/test_network.py holds against the loss, is that of its loss."""
    many = MLP(**settings, members=M, seed=SEED, dtype="float64")
    single = [MLP(**settings, seed=SEED + m, dtype="float64") for m in range(M)]
    tapes = Tape(many, *((M, N) if rows == "own" else (N,))), *(Tape(net, N) for net in single)
    states = [np.zeros((2, net.theta.size)) for net in (many, *single)]
    assert tapes[0][0].h.shape == ((M, N, 4) if rows == "own" else (N, 4))  # no copies of shared X
    assert_array_equal(many.theta, [net.theta for net in single])
    rng, form = np.random.default_rng(0), sparse.csr_array if rows == "sparse" else np.array
    for t in (1, 2, 3):
        X, y = rng.normal(size=(M, N, 4)), rng.integers(0, many.K, (M, N))
        if rows != "own":
            X[:], y[:] = X[0], y[0]
        for l, mask in enumerate(many.dropout_masks(N, rng)):
            for tape, its_mask in zip(tapes, (mask, *mask), strict=True):
                tape[l].mask = its_mask
        T = [net.targets(y[m], np.arange(1, N + 1))[0] for m, net in enumerate(single)]
        L = many.step(X if rows == "own" else form(X[0]), np.stack(T), tapes[0])
        for m, net in enumerate(single):
            close(L[m], net.step(form(X[m]), T[m], tapes[1 + m]))
            if t == 1 and rows != "sparse":  # the same product by BLAS
                assert_array_equal(tapes[0].z[m], tapes[1 + m].z)
            close(many.dtheta[m], net.dtheta)
            adamw(net, t, states[1 + m])
        adamw(many, t, states[0])
        close(many.theta, [net.theta for net in single])
    X = form(rng.normal(size=(1500, 4)))
    p = np.mean([net.predict_proba(X) for net in single], axis=0)
    close(many.predict_proba(X), p)
    close(many.logits(X), np.log(p))
    assert_array_equal(many.predict(X), p.argmax(axis=1))


def test_the_mean_p_of_members_far_apart_is_finite_where_p_itself_underflows():
    net = MLP([1, 2], members=2, dtype="float64")
    net.weights[0][...] = [[[2000.0, 0]], [[1500.0, 0]]]
    close(net.logits([[1.0]]), [[0, -1500 - np.log(2)]])
