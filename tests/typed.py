"""A user's function, for type checkers: they find no mistake in it but those that are named."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import minnet


def used() -> None:
    """Every public name."""
    X, y = np.zeros((6, 2)), [0, 1, 2, 0, 1, 2]
    p = minnet.softmax([[1.0, 2.0], [3.0, 4.0]])
    assert_type(p, NDArray[Any])
    assert_type(minnet.log_softmax(p), NDArray[Any])
    assert_type(minnet.softmax_jacobian(p), NDArray[Any])
    assert_type(minnet.softmax_vjp(p, p), NDArray[Any])
    assert_type(minnet.cross_entropy(p, y), NDArray[Any])
    minnet.softmax_vjp(p)  # type: ignore[call-arg]

    net = minnet.MLP([2, 4, 3], "relu", output_gradient="vjp", dtype="float64", seed=0)
    _, dtheta = net.loss_and_gradient(X, y, sample_weight=None)
    net.theta -= 0.1 * dtheta
    assert_type(net.weights, list[NDArray[Any]])
    assert_type(net.predict(X), NDArray[Any])
    assert_type(net.predict_proba(X), NDArray[Any])
    minnet.MLP([2, 3], activaton="relu")  # type: ignore[call-arg]

    model = minnet.MLPClassifier((4,), early_stopping=True, members=2, random_state=0)
    assert_type(model.fit(X, y, X_val=X, y_val=y), minnet.MLPClassifier)
    assert_type(model.partial_fit(X, y), minnet.MLPClassifier)
    assert_type(model.predict(X), NDArray[Any])
    assert_type(model.predict_proba(X), NDArray[Any])
    assert_type(model.predict_log_proba(X), NDArray[Any])
    print(model.classes_, model.n_iter_, model.loss_curve_[-1], model.coefs_[0].shape)
    model.save("model.npz")
    minnet.MLPClassifier(members="2")  # type: ignore[arg-type]

    try:
        loaded = minnet.load(Path("model.npz"))
        print(loaded.predict(X), loaded.predict_proba(X), loaded.classes_)
    except (minnet.ConfigError, minnet.DataError, minnet.ModelFileError) as error:
        print(error.exit_code)
    except (minnet.TrainingError, minnet.MinnetError) as error:
        raise SystemExit(str(error)) from None
    assert_type(minnet.__version__, str)
    print(minnet.MinnetWarning("said"))
