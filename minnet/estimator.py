"""MLPClassifier with scikit-learn's parameters, attributes, errors and warnings, on minnet's core and training loop."""

import contextlib
import math
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from minnet import experiment, storage, training
from minnet.batches import Part
from minnet.config import Config, OptimizerConfig, TrainConfig
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP
from minnet.core.optimizers import Schedule
from minnet.core.softmax import ROADS, softmax
from minnet.errors import TrainingError
from minnet.features import Features
from minnet.training import Epoch, Progress

SMALLEST_RATE = 1e-6  # where an adaptive learning rate ends
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


@dataclass
class _Rate:
    """A learning rate that changes between epochs only."""

    value: float

    def rate(self, t: int) -> float:
        return self.value


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron for two or more classes, in the place of sklearn.neural_network.MLPClassifier.

    Parameters and attributes that it shares with that class mean what they mean there (scikit-learn 1.9), and from
    the same weights and batches come the same numbers, to rounding. It refuses multilabel targets and negative
    weights. It also takes:

    activation           one name or one for each hidden layer; also leaky_relu and gelu
    learning_rate        also "cosine", down to 0 over max_iter epochs; with either solver, sgd or adam
    warmup_epochs        epochs over which the rate first rises linearly; with constant and cosine
    early_stopping       True or "accuracy": on the accuracy of the validation rows; "loss": on their loss
    class_weight         None, "balanced" or {label: weight}
    dropout              the chance that a hidden unit is left out in training
    label_smoothing      s: trains towards (1 - s) for the label + s/K for each class
    weight_decay         adam: shrinks W by rate * weight_decay a step (AdamW); else weight_decay/2 * sum(W^2) is added
                         to the mean loss
    max_grad_norm        scales longer gradients down to this norm; None for never
    output_gradient      "vjp", "jacobian" or "fused": the road from loss to logits (minnet.core.softmax)

    `fit` also takes validation_data=(X, y), which early stopping then watches instead of a part split off. Beyond
    scikit-learn's attributes there is validation_loss_curve_. coefs_ and intercepts_ are views into one flat vector.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier((16,), random_state=0, max_iter=1000, learning_rate_init=0.02).fit(X, y).score(X, y) > 0.95
    True
    """

    classes_: NDArray
    coefs_: list[NDArray]
    intercepts_: list[NDArray]
    loss_: float
    loss_curve_: list[float]
    best_loss_: Any  # None with early stopping
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    _net: MLP
    _progress: Progress
    _rate: Schedule | _Rate
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), list, tuple],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"accuracy", "loss"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "warmup_epochs": [Interval(Real, 0, None, closed="left")],
        "output_gradient": [StrOptions(set(ROADS))],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: Any = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        warmup_epochs: float = 0.0,
        output_gradient: str = "vjp",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.class_weight = class_weight
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.warmup_epochs = warmup_epochs
        self.output_gradient = output_gradient

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, validation_data: tuple[Any, Any] | None = None
    ) -> "MLPClassifier":
        """Train on X (N, D), dense or sparse, and labels y (N,). With sample_weight (N,) the loss is the mean over the
        weights' sum. Raises ValueError for what cannot be learned from, and where the net's weights become infinite."""
        first = not (self.warm_start and hasattr(self, "coefs_"))
        X, y = self._rows(X, y, reset=first)
        if first:
            self.classes_ = np.unique(y)
        elif set(np.unique(y)) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {np.unique(y)}"
            )
        part = self._part(X, y, sample_weight)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        self._begin(part, seed, new_net=first, early_stopping=bool(self.early_stopping))
        if self.solver == "lbfgs":
            self._minimise(part)
        else:
            validation = self._validation_part(validation_data)
            if validation is None and self.early_stopping:
                part, validation = self._split(part, seed)
                validation.X1 = self._net.with_ones(validation.X1)
            self._train(part, validation, seed, self.max_iter)
        return self._fitted()

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> "MLPClassifier":
        """One more epoch, over these rows; the first call needs all `classes`. The optimizer keeps its state.

        No rows are held out: early_stopping has no effect here (scikit-learn's own refuses it).
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit does not know how often each class will come: give class_weight as a dict, not 'balanced'"
            )
        first = not hasattr(self, "coefs_")
        X, y = self._rows(X, y, reset=first)
        _check_partial_fit_first_call(self, classes)
        if np.setdiff1d(y, self.classes_).size:
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {np.unique(y)}."
            )
        part = self._part(X, y, sample_weight)
        if not hasattr(self, "_progress"):
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            self._begin(part, seed, new_net=first, early_stopping=False)
        else:
            self._use_weights()
            seed = self._seed
        self._train(part, None, seed, 1, partial=True)
        return self._fitted()

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, NDArray]:
        """X and y as arrays of the shapes and kinds that can be learned from. Raises ValueError."""
        options = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "multi_output": True}
        X, y = validate_data(self, X, y, reset=reset, **options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        kind = type_of_target(y, input_name="y")
        if kind.startswith("multilabel") or kind.endswith("multioutput"):
            raise ValueError(f"y has shape {y.shape}: one label a row is needed, as {kind} targets are not supported")
        check_classification_targets(y)
        return X, y

    def _part(self, X: Any, y: NDArray, sample_weight: ArrayLike | None) -> Part:
        """The rows with their weights. Those of weight 0 are left out as if they were not there."""
        w = None
        if sample_weight is not None:
            w = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.class_weight is not None:
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=w)
            w = by_class[np.searchsorted(self.classes_, y)] * (1 if w is None else w)
        if w is not None and not (w > 0).all():
            kept = np.flatnonzero(w > 0)
            if not kept.size:
                raise ValueError("every row has the weight 0: nothing is left to learn from")
            X, y, w = X[kept], y[kept], w[kept]
        return Part(X, np.searchsorted(self.classes_, y), w)

    def _validation_part(self, validation_data: tuple[Any, Any] | None) -> Part | None:
        """The user's own validation rows. Raises ValueError where they do not fit the others."""
        if validation_data is None:
            return None
        if len(validation_data) != 2:
            raise ValueError("validation_data must be a pair (X, y)")
        X, y = self._rows(*validation_data, reset=False)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"validation_data has classes that `y` does not have: {unknown}")
        return Part(self._net.with_ones(X), np.searchsorted(self.classes_, y))

    def _split(self, part: Part, seed: int) -> tuple[Part, Part]:
        """A training and a validation part, with classes in proportion where there are rows enough for that; rows that
        are alone in their class train."""
        counts = np.bincount(part.y)
        among = np.flatnonzero(counts[part.y] > 1)
        if not among.size:
            among = np.arange(len(part.y))
        held_out = max(2, math.ceil(self.validation_fraction * len(among)))
        if not self.validation_fraction or len(among) <= held_out:
            raise ValueError(
                f"The validation set is too small, of n_samples={len(part.y)} rows. Increase 'validation_fraction' or "
                "the size of your dataset."
            )
        stratified = min(held_out, len(among) - held_out) >= np.count_nonzero(counts > 1)
        train, validation = train_test_split(
            among,
            test_size=held_out,
            stratify=part.y[among] if stratified else None,
            random_state=seed,
        )
        rows = [np.concatenate([train, np.setdiff1d(np.arange(len(part.y)), among)]), validation]
        w = part.w
        return tuple(Part(part.X1[i], part.y[i], None if w is None else w[i]) for i in rows)  # type: ignore[return-value]

    def _begin(self, part: Part, seed: int, new_net: bool, early_stopping: bool) -> None:
        """The net, new or with the weights it has."""
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if any(n <= 0 for n in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        K = len(self.classes_)
        sizes = [part.X1.shape[1], *hidden, K if K > 2 else 1]
        options: dict[str, Any] = {"dropout": self.dropout, "label_smoothing": self.label_smoothing}
        options |= {"output_gradient": self.output_gradient, "l2": self._l2()}
        net = MLP(sizes, self.activation, dtype=part.X1.dtype, seed=seed, **options)
        if new_net:
            self.t_ = self._no_improvement_count = 0
        else:
            if net.layer_sizes != self._net.layer_sizes:
                raise ValueError(
                    f"warm_start goes on with a net of {self._net.layer_sizes}, and these parameters ask for "
                    f"{net.layer_sizes}"
                )
            self._use_weights()
            net.theta[:] = self._net.theta
        if self.solver != "lbfgs" and (new_net or not hasattr(self, "loss_curve_")):
            self.loss_curve_ = []
            self.validation_scores_ = self.validation_loss_curve_ = None
            self.best_loss_ = None if early_stopping else np.inf
            self.best_validation_score_ = None
        self._net, self._seed = net, seed

    def _l2(self) -> float:
        return 0.0 if self.solver == "adam" else self.weight_decay

    def _train(self, part: Part, validation: Part | None, seed: int, epochs: int, partial: bool = False) -> None:
        """Epochs of the training loop, until the loss or the validation rows get no better."""
        part, n = Part(self._net.with_ones(part.X1), part.y, part.w), len(part.y)
        self._net.l2 = self._l2()  # the loop leaves that of its last batch, with alpha
        batch_size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=3
            )
        config = self._config(batch_size, seed, epochs)
        if not (partial and hasattr(self, "_progress")):
            self._progress = training.start(self._net, config)
            self._rate = self._learning_rate(-(-n // batch_size))
        run, self.n_iter_ = self._progress, 0
        if partial and self.best_loss_ is None:  # after a fit with early stopping
            self.best_loss_ = np.inf
        config = self._config(batch_size, seed, run.epoch - 1 + epochs)
        if validation is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_, self._best_score = [], [], -np.inf
        stop = threading.Event()
        options: dict[str, Any] = {"schedule": self._rate, "shuffle": self.shuffle, "alpha": self.alpha}
        options["constants"] = replace(training.optimizer_constants(config.optimizer), epsilon_hat=True)
        try:
            with (
                training.blas_threads(self._net, batch_size, at_most_now=True),
                np.errstate(all="ignore"),
                _told(self.verbose, self.max_iter) as tell,
            ):
                epochs_done = training.train(self._net, part, validation, config, stop, run, **options)
                for epoch in filter(None, epochs_done):
                    self._note(epoch, n)
                    tell(epoch)
                    if self._is_over():
                        stop.set()
        except TrainingError as error:
            raise ValueError(f"{NOT_FINITE} ({error})") from None
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=3)
        best = bool(self.early_stopping and run.best_epoch and not partial)
        if run.swapped != best:  # the loop ends with the best weights, but they count only with early stopping
            training.swap_best(run)
        run.swapped = False  # these are what partial_fit goes on with
        if not partial and not stop.is_set() and self.n_iter_ == self.max_iter:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _config(self, batch_size: int, seed: int, epochs: int) -> Config:
        """The parameters as the training loop takes them."""
        if self.solver == "adam":
            name = "adamw" if self.weight_decay else "adam"
        else:
            name = "nesterov" if self.nesterovs_momentum else "momentum"
        return Config(
            optimizer=OptimizerConfig(
                name=name,
                learning_rate=self.learning_rate_init,
                momentum=self.momentum,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                weight_decay=self.weight_decay,
            ),
            train=TrainConfig(
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                patience=0,
                watch="loss" if self.early_stopping == "loss" else "accuracy",
                checkpoint_seconds=0.0,
                max_grad_norm=self.max_grad_norm or 0.0,
            ),
        )

    def _learning_rate(self, steps: int) -> Schedule | _Rate:
        """The learning rate of each step, `steps` of them in an epoch."""
        if self.solver == "sgd" and self.learning_rate in ("invscaling", "adaptive"):
            return _Rate(self.learning_rate_init)
        name = "cosine" if self.learning_rate == "cosine" else "constant"
        warmup = round(self.warmup_epochs * steps)
        return Schedule(self.learning_rate_init, name, steps=self.max_iter * steps, warmup=warmup)

    def _note(self, epoch: Epoch, n: int) -> None:
        """Write an epoch into the attributes, and count how long nothing has become better, as scikit-learn does."""
        self.n_iter_ += 1
        self.t_ += n
        self.loss_ = epoch.train_loss
        self.loss_curve_.append(self.loss_)
        loss: Any = epoch.validation_loss
        accuracy: Any = epoch.validation_accuracy
        if self.validation_scores_ is not None and self.validation_loss_curve_ is not None:
            self.validation_scores_.append(accuracy)
            self.validation_loss_curve_.append(loss)
        if self.best_loss_ is None:
            score = accuracy if self.early_stopping != "loss" else -loss
            is_better = score >= self._best_score + self.tol
            if score > self._best_score:
                self._best_score, self.best_validation_score_ = score, accuracy
        else:
            is_better = self.loss_ <= self.best_loss_ - self.tol
            self.best_loss_ = min(self.loss_, self.best_loss_)
        self._no_improvement_count = 0 if is_better else self._no_improvement_count + 1
        if isinstance(self._rate, _Rate) and self.learning_rate == "invscaling":
            self._rate.value = self.learning_rate_init / (self.t_ + 1) ** self.power_t

    def _is_over(self) -> bool:
        """Whether to stop; an adaptive learning rate gets smaller first."""
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        if isinstance(self._rate, _Rate) and self.learning_rate == "adaptive" and self._rate.value > SMALLEST_RATE:
            self._rate.value /= 5
            self._no_improvement_count = 0
            return False
        return True

    def _minimise(self, part: Part) -> None:
        """scipy's L-BFGS on theta, over all rows at once."""
        from scipy.optimize import minimize

        if self.dropout:
            raise ValueError("dropout draws masks for each batch, and solver='lbfgs' has none: use 'adam' or 'sgd'")
        net, w = self._net, np.ones(len(part.y)) if part.w is None else part.w
        X1, _, r, dlogp, ws = net.prepare(part.X1, part.y, w)
        net.l2 = self._l2() + self.alpha / w.sum()

        def loss_and_gradient(theta: NDArray) -> tuple[float, NDArray]:
            net.theta[:] = theta
            net.forward(X1, ws)
            loss = float(net.loss(dlogp, r, ws) + net.penalty())
            return loss, net.backward(dlogp, ws).astype(np.float64)

        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        with training.blas_threads(net, len(part.y), at_most_now=True), np.errstate(all="ignore"):
            found = minimize(
                loss_and_gradient, net.theta.astype(np.float64), method="L-BFGS-B", jac=True, options=options
            )
        self.n_iter_ = _check_optimize_result("lbfgs", found, self.max_iter)
        self.loss_ = found.fun
        net.theta[:] = found.x

    def _fitted(self) -> "MLPClassifier":
        """The attributes that tell of the net. Raises ValueError where a weight is not finite."""
        net = self._net
        if not np.isfinite(net.theta).all():
            raise ValueError(NOT_FINITE)
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self.n_layers_, self.n_outputs_ = len(net.layer_sizes), net.layer_sizes[-1]
        self.out_activation_ = "softmax" if len(self.classes_) > 2 else "logistic"
        return self

    def _use_weights(self) -> None:
        """Take over coefs_ and intercepts_ that were put in place of the net's own."""
        for views, given in ((self._net.weights, self.coefs_), (self._net.biases, self.intercepts_)):
            for view, array in zip(views, given, strict=True):
                if array is not view:
                    view[:] = array

    # Predicting

    def _logits(self, X: Any) -> NDArray:
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        self._use_weights()
        return self._net.logits(X)[:, : len(self.classes_)]  # of one class there is the first of two

    def predict(self, X: Any) -> NDArray:
        """The likeliest class of each row of X (N, D), as (N,) labels."""
        check_is_fitted(self)
        return self.classes_.take(self._logits(X).argmax(axis=1))

    def predict_proba(self, X: Any) -> NDArray:
        """p (N, K) for X (N, D), in the order of classes_."""
        check_is_fitted(self)
        return softmax(self._logits(X))

    def predict_log_proba(self, X: Any) -> NDArray:
        """log p (N, K): finite, as p is never below the smallest normal number of its dtype."""
        return np.log(self.predict_proba(X))

    def save(self, path: str | Path) -> None:
        """Write the model as one file without pickle, for minnet.load and `minnet predict`.

        Raises ValueError for labels that are neither text nor whole numbers, MinnetError where it cannot be written.
        """
        check_is_fitted(self)
        self._use_weights()
        if len(self.classes_) < 2:
            raise ValueError(f"only one class, {self.classes_[0]}: there is nothing to save")
        if self.classes_.dtype.kind not in "biuU" and not all(isinstance(label, str) for label in self.classes_):
            raise ValueError(f"labels of dtype {self.classes_.dtype} cannot be saved: use whole numbers or text")
        D = self.n_features_in_
        names = [str(name) for name in getattr(self, "feature_names_in_", [f"x{j}" for j in range(D)])]
        features = Features(names, np.full(D, np.nan), np.zeros(D), np.ones(D))
        described = experiment.describe(self._net, features, self.classes_, {}, type(self).__name__)
        storage.write_model(Path(path), *described)

    # Of scikit-learn

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if "coefs_" in state:
            self._use_weights()
            state = {name: value for name, value in state.items() if name not in ("coefs_", "intercepts_")}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if hasattr(self, "_net"):  # views are views again
            self.coefs_, self.intercepts_ = list(self._net.weights), list(self._net.biases)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


@contextlib.contextmanager
def _told(verbose: int, epochs: int) -> Iterator[Callable[[Epoch], object]]:
    """What verbose=True shows of each epoch: a bar on stderr; from 2 on a line, as scikit-learn prints it."""
    if not verbose:
        yield lambda epoch: None
        return
    if verbose > 1:
        yield _print_line
        return
    from tqdm import tqdm

    with tqdm(total=epochs, unit="epoch", leave=False, dynamic_ncols=True) as bar:

        def show(epoch: Epoch) -> None:
            bar.set_postfix(loss=f"{epoch.train_loss:.4f}", refresh=False)
            bar.update()

        yield show


def _print_line(epoch: Epoch) -> None:
    print(f"Iteration {epoch.epoch}, loss = {epoch.train_loss:.8f}")
    if epoch.validation_accuracy is not None:
        print(f"Validation score: {epoch.validation_accuracy:f}")
