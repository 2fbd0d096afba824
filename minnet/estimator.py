"""MLPClassifier with scikit-learn's parameters, attributes, errors and warnings."""
# ruff: noqa: RUF009 - param() makes a dataclass field

import math
import warnings
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, multiclass, validation
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.optimize import _check_optimize_result

from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP, Tape
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings
from minnet.core.softmax import OUTPUT_GRADIENTS, softmax
from minnet.data import Part
from minnet.data.preprocess import Preprocessing
from minnet.distributed import blas_threads
from minnet.errors import TrainingError
from minnet.model import Model
from minnet.training import Epoch, Recipe, State, train

SMALLEST_RATE = 1e-6  # below which an adaptive learning rate ends training
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)
FLOATS = (np.float64, np.float32)  # X of another dtype becomes the first
Maybe = ArrayLike | None
COUNT = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
SHARE = Interval(Real, 0, 1, closed="left")


def param(default: Any, *allowed: Any) -> Any:
    """A parameter with what it may be, in the terms of scikit-learn's validation."""
    return field(default=default, metadata={"allow": [*allowed]})


@dataclass
class _Rate:
    """A learning rate that changes between epochs only."""

    value: float

    def rate(self, t: int) -> float:
        return self.value


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron for two or more classes, with the interface of
    sklearn.neural_network.MLPClassifier.

    Parameters and attributes that it shares with that class mean what they mean there (scikit-learn
    1.9); from the same weights and batches come the same numbers, to rounding. Multilabel targets
    and negative weights are refused. It also takes:

    activation           one name, or one for each hidden layer; also leaky_relu and gelu
    learning_rate        also "cosine", down to 0 over max_iter epochs; with solver sgd or adam
    warmup_epochs        over which the rate first rises linearly; with constant and cosine
    early_stopping       True or "accuracy": on that of the validation rows; "loss": on their loss
    class_weight         None, "balanced" or {label: weight}
    dropout              probability of dropping a hidden unit in training
    label_smoothing      s: trains towards (1 - s) for the label + s/K for each class
    weight_decay         adam: shrinks W by rate * weight_decay in each step (AdamW); other solvers
                         add weight_decay/2 * sum(W^2) to the mean loss
    max_grad_norm        scales longer gradients down to this norm; None for never
    output_gradient      from the loss to the logits: "vjp", "jacobian" or "fused" (core.softmax)

    `fit` also takes validation_data=(X, y), which early stopping then watches instead of a part of
    the rows. Beyond scikit-learn's attributes there is validation_loss_curve_. coefs_ and
    intercepts_ are views into one flat vector.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((16,), random_state=0, max_iter=1000, learning_rate_init=0.02)
    >>> model.fit(X, y).score(X, y) > 0.95
    True
    """

    hidden_layer_sizes: Any = param((100,), "array-like", COUNT)
    activation: Any = param("relu", StrOptions({*ACTIVATIONS}), list, tuple)
    _: KW_ONLY
    solver: str = param("adam", StrOptions({"lbfgs", "sgd", "adam"}))
    alpha: float = param(0.0001, NOT_NEGATIVE)
    batch_size: Any = param("auto", StrOptions({"auto"}), COUNT)
    learning_rate: str = param(
        "constant", StrOptions({"constant", "invscaling", "adaptive", "cosine"})
    )
    learning_rate_init: float = param(0.001, POSITIVE)
    power_t: float = param(0.5, NOT_NEGATIVE)
    max_iter: int = param(200, COUNT)
    shuffle: bool = param(True, "boolean")
    random_state: Any = param(None, "random_state")
    tol: float = param(1e-4, NOT_NEGATIVE)
    verbose: Any = param(False, "verbose")
    warm_start: bool = param(False, "boolean")
    momentum: float = param(0.9, Interval(Real, 0, 1, closed="both"))
    nesterovs_momentum: bool = param(True, "boolean")
    early_stopping: Any = param(False, "boolean", StrOptions({"accuracy", "loss"}))
    validation_fraction: float = param(0.1, SHARE)
    beta_1: float = param(0.9, SHARE)
    beta_2: float = param(0.999, SHARE)
    epsilon: float = param(1e-8, POSITIVE)
    n_iter_no_change: float = param(10, COUNT, Options(Real, {np.inf}))
    max_fun: int = param(15000, COUNT)
    class_weight: Any = param(None, StrOptions({"balanced"}), dict, None)
    dropout: float = param(0.0, SHARE)
    label_smoothing: float = param(0.0, SHARE)
    weight_decay: float = param(0.0, NOT_NEGATIVE)
    max_grad_norm: float | None = param(None, POSITIVE, None)
    warmup_epochs: float = param(0.0, NOT_NEGATIVE)
    output_gradient: str = param("vjp", StrOptions({*OUTPUT_GRADIENTS}))

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Maybe = None, validation_data: Any = None) -> Self:
        """Train on X (N, D), dense or sparse, and labels y (N,). With sample_weight (N,), the loss
        is the mean over their sum. Raises ValueError for rows that cannot be learned from, and if a
        weight of the net becomes infinite."""
        first = not (self.warm_start and hasattr(self, "coefs_"))
        X, y = self._rows(X, y, reset=first)
        if first:
            self.classes_ = np.unique(y)
        elif set(np.unique(y)) != set(self.classes_):
            rule = "warm_start can only be used where `y` has the same classes as"
            now = f"Previously got {self.classes_}, `y` has {np.unique(y)}"
            raise ValueError(f"{rule} in the previous call to fit. {now}")
        part = self._part(X, y, sample_weight)
        self._begin(part, new_net=first)
        if self.solver == "lbfgs":
            self._minimise(part)
        else:
            self._train(self._parts(part, validation_data))
            if self.early_stopping:
                self._state.use_best()
        return self._fitted()

    @available_if(lambda self: self._has_epochs())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Maybe = None, classes: Maybe = None
    ) -> Self:
        """One more epoch, over these rows; the first call needs all `classes`. The optimizer keeps
        its state. No rows are held out: early_stopping has no effect (scikit-learn refuses it)."""
        if self.class_weight == "balanced":
            hint = "partial_fit does not see all rows: give class_weight as a dict, not 'balanced'"
            raise ValueError(hint)
        first = not hasattr(self, "coefs_")
        X, y = self._rows(X, y, reset=first)
        multiclass._check_partial_fit_first_call(self, classes)
        if np.setdiff1d(y, self.classes_).size:
            known = f"`self.classes_` has {self.classes_}. 'y' has {np.unique(y)}."
            raise ValueError(f"`y` has classes not in `self.classes_`. {known}")
        part = self._part(X, y, sample_weight)
        if first or self._begun_by != self.solver:
            self._begin(part, new_net=first)
        else:
            self._use_weights()
        self._train({"train": part}, partial=True)
        return self._fitted()

    def _has_epochs(self) -> bool:
        if self.solver == "lbfgs":
            what = "partial_fit is only available for stochastic optimizers."
            raise AttributeError(f"{what} lbfgs is not stochastic.")
        return True

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, NDArray]:
        """X and y as arrays that can be learned from. Raises ValueError."""
        options = {"accept_sparse": "csr", "dtype": FLOATS, "reset": reset}
        X, y = validation.validate_data(self, X, y, **options)
        multiclass.check_classification_targets(y)
        return X, y

    def _part(self, X: Any, y: NDArray, sample_weight: Maybe) -> Part:
        """The rows and their weights; a row of weight 0 is left out, as if it were not there."""
        w, codes = None, np.searchsorted(self.classes_, y)
        if sample_weight is not None:
            options = {"dtype": np.float64, "ensure_non_negative": True}
            w = validation._check_sample_weight(sample_weight, X, **options)
        if self.class_weight is not None:
            labels = {"classes": self.classes_, "y": y}
            by_class = compute_class_weight(self.class_weight, sample_weight=w, **labels)
            w = by_class[codes] * (1 if w is None else w)
        if w is None or (w > 0).all():
            return Part(X, codes, w)
        kept = np.flatnonzero(w > 0)
        if not kept.size:
            raise ValueError("every row has weight 0: no rows are left to learn from")
        return Part(X[kept], codes[kept], w[kept])

    def _parts(self, part: Part, given: Any) -> dict[str, Part]:
        """The rows to train on and, with early stopping, those to validate on, which may be given
        by the user. Raises ValueError if they do not fit the others."""
        if given is None:
            return self._split(part) if self.early_stopping else {"train": part}
        if len(given) != 2:
            raise ValueError("validation_data must be a pair (X, y)")
        X, y = self._rows(given[0], given[1], reset=False)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ValueError(f"validation_data has classes that `y` does not have: {unknown}")
        return {"train": part, "validation": Part(X, np.searchsorted(self.classes_, y))}

    def _split(self, part: Part) -> dict[str, Part]:
        """A training and a validation part, with the classes in proportion if there are enough
        rows. Rows that are alone in their class are for training."""
        counts = np.bincount(part.y)
        alone = counts[part.y] == 1
        among = np.flatnonzero(~alone)
        size = max(2, math.ceil(self.validation_fraction * len(among)))
        if not self.validation_fraction or len(among) <= size:
            what = f"The validation set is too small, of n_samples={len(part.y)} rows."
            raise ValueError(f"{what} Increase 'validation_fraction' or the size of your dataset.")
        enough = min(size, len(among) - size) >= np.count_nonzero(counts > 1)
        options = {"stratify": part.y[among] if enough else None, "random_state": self._seed}
        train, held_out = train_test_split(among, test_size=size, **options)
        rows = {"train": np.append(train, np.flatnonzero(alone)), "validation": held_out}
        w = part.w
        return {n: Part(part.X[i], part.y[i], None if w is None else w[i]) for n, i in rows.items()}

    def _begin(self, part: Part, new_net: bool) -> None:
        """The net, new or with the weights that it has, and the state of its training."""
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if any(n <= 0 for n in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        K = len(self.classes_)
        sizes = [part.X.shape[1], *hidden, K if K > 2 else 1]
        options: dict[str, Any] = {"dropout": self.dropout, "label_smoothing": self.label_smoothing}
        options |= {"output_gradient": self.output_gradient, "dtype": part.X.dtype}
        self._seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        net = MLP(sizes, self.activation, seed=self._seed, **options)
        if new_net:
            self.t_ = self._no_improvement_count = 0
        else:
            if sizes != self._net.layer_sizes:
                what = f"warm_start continues a net of {self._net.layer_sizes}"
                raise ValueError(f"{what}, but these parameters describe {sizes}")
            self._use_weights()
            net.theta[:] = self._net.theta
        if self.solver != "lbfgs" and (new_net or not hasattr(self, "loss_curve_")):
            none: Any = None
            self.validation_scores_ = self.validation_loss_curve_ = none
            self.loss_curve_, self.best_validation_score_ = list[float](), none
            self.best_loss_, self._best_score = none if self.early_stopping else np.inf, -np.inf
        self._net: MLP = net
        self._begun_by: str = self.solver
        self._state: State = State.start(net, self._rule, self._seed)

    @property
    def _rule(self) -> str:
        """The name of the optimizer."""
        if self.solver == "adam":
            return "adamw" if self.weight_decay else "adam"
        return "nesterov" if self.nesterovs_momentum else "momentum"

    def _rates(self, steps: int) -> Schedule | _Rate:
        """The learning rate of each step; an epoch has `steps` of them."""
        if self.solver == "sgd" and self.learning_rate in ("invscaling", "adaptive"):
            return _Rate(self.learning_rate_init)
        name = "cosine" if self.learning_rate == "cosine" else "constant"
        warmup = round(self.warmup_epochs * steps)
        return Schedule(self.learning_rate_init, name, steps=self.max_iter * steps, warmup=warmup)

    def _recipe(self, epochs: int, batch_size: int) -> Recipe:
        """The parameters as the training loop takes them."""
        constants = (self.momentum, self.beta_1, self.beta_2, self.epsilon)
        decay: dict[str, Any] = {"weight_decay": self.weight_decay, "weights": self._net.weights}
        settings = Settings(*constants, epsilon_hat=True, **decay)
        l2 = 0.0 if OPTIMIZERS[self._rule].decoupled else self.weight_decay
        options: dict[str, Any] = {"shuffle": self.shuffle, "alpha": self.alpha, "l2": l2}
        options["watch"] = "loss" if self.early_stopping == "loss" else "accuracy"
        options["max_grad_norm"] = self.max_grad_norm or 0.0
        return Recipe(self._rule, settings, self._rate, epochs, batch_size, **options)

    def _train(self, parts: dict[str, Part], partial: bool = False) -> None:
        """Epochs of the training loop, until the loss or the validation rows improve no more; one
        epoch if `partial`."""
        net, state, n = self._net, self._state, len(parts["train"].y)
        batch_size = min(200 if self.batch_size == "auto" else self.batch_size, n)
        if self.batch_size not in ("auto", batch_size):
            what = "Got `batch_size` less than 1 or larger than sample size."
            warnings.warn(f"{what} It is going to be clipped", stacklevel=4)
        if not state.t:
            self._rate = self._rates(math.ceil(n / batch_size))
        if partial and self.best_loss_ is None:  # the fit before had early stopping
            self.best_loss_ = np.inf
        recipe = self._recipe(state.epoch if partial else self.max_iter, batch_size)
        net.l2, self.n_iter_, work = recipe.l2, 0, batch_size * net.theta.size
        try:
            with blas_threads(work, at_most_now=True), np.errstate(all="ignore"):
                epochs = filter(None, train(net, parts, recipe, state))
                for epoch in self._shown(epochs):
                    if self._note(epoch, n):
                        return
        except TrainingError as error:
            raise ValueError(f"{NOT_FINITE} ({error})") from None
        except KeyboardInterrupt:
            state.step, state.losses, state.weight, state.correct = 0, 0.0, 0.0, 0
            warnings.warn("Training interrupted by user.", stacklevel=4)
            return
        finally:
            state.tapes.clear()  # neither kept for other batch sizes nor pickled
        if not partial:
            what = f"Maximum iterations ({self.max_iter}) reached"
            hint = f"Stochastic Optimizer: {what} and the optimization hasn't converged yet."
            warnings.warn(hint, ConvergenceWarning, stacklevel=4)

    def _shown(self, epochs: Iterator[Epoch]) -> Iterator[Epoch]:
        """The epochs, with a bar on stderr; from verbose=2, with lines as scikit-learn has them."""
        from tqdm import tqdm

        options = {"total": self.max_iter, "unit": "epoch", "leave": False, "dynamic_ncols": True}
        bar = tqdm(epochs, disable=self.verbose != 1, **options)
        for epoch in bar:
            bar.set_postfix(loss=f"{epoch.train_loss:.4f}", refresh=False)
            if self.verbose > 1:
                print(f"Iteration {epoch.epoch}, loss = {epoch.train_loss:.8f}")
                if epoch.validation_accuracy is not None:
                    print(f"Validation score: {epoch.validation_accuracy:f}")
            yield epoch

    def _note(self, epoch: Epoch, n: int) -> bool:
        """Write an epoch over n rows into the attributes. Returns whether to stop as there was no
        improvement for too long, by scikit-learn's count; an adaptive rate is first lowered."""
        self.n_iter_, self.t_, self.loss_ = self.n_iter_ + 1, self.t_ + n, epoch.train_loss
        self.loss_curve_.append(self.loss_)
        accuracy: Any = epoch.validation_accuracy
        loss: Any = epoch.validation_loss
        if loss is not None:
            self.validation_scores_ = [*(self.validation_scores_ or []), accuracy]
            self.validation_loss_curve_ = [*(self.validation_loss_curve_ or []), loss]
        if self.best_loss_ is None:
            score = -loss if self.early_stopping == "loss" else accuracy
            is_better = score >= self._best_score + self.tol
            if score > self._best_score:
                self._best_score, self.best_validation_score_ = score, accuracy
        else:
            is_better = self.loss_ <= self.best_loss_ - self.tol
            self.best_loss_ = min(self.loss_, self.best_loss_)
        self._no_improvement_count = 0 if is_better else self._no_improvement_count + 1
        over, rate = self._no_improvement_count > self.n_iter_no_change, self._rate
        if not isinstance(rate, _Rate):
            return over
        if self.learning_rate == "invscaling":
            rate.value = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        elif over and rate.value > SMALLEST_RATE:
            rate.value /= 5
            self._no_improvement_count = 0
            return False
        return over

    def _minimise(self, part: Part) -> None:
        """scipy's L-BFGS on theta, over all rows at once."""
        from scipy.optimize import minimize

        if self.dropout:
            raise ValueError("dropout needs batches, but solver='lbfgs' has none: use adam or sgd")
        net, tape = self._net, Tape(self._net, len(part.y))
        T, weight = net.targets(part.y, part.w)
        net.l2 = self.weight_decay + self.alpha / weight

        def loss_and_gradient(theta: NDArray) -> tuple[float, NDArray]:
            net.theta[:] = theta
            return float(net.step(part.X, T, tape)), net.dtheta.astype(np.float64)

        theta, work = net.theta.astype(np.float64), len(part.y) * net.theta.size
        limits = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        options = {"method": "L-BFGS-B", "jac": True, "options": limits}
        with blas_threads(work, at_most_now=True), np.errstate(all="ignore"):
            found = minimize(loss_and_gradient, theta, **options)
        self.n_iter_ = _check_optimize_result("lbfgs", found, self.max_iter)
        self.loss_ = found.fun
        net.theta[:] = found.x

    def _fitted(self) -> Self:
        """The attributes that tell of the net. Raises ValueError if a weight is not finite."""
        net = self._net
        if not np.isfinite(net.theta).all():
            raise ValueError(NOT_FINITE)
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self.n_layers_, self.n_outputs_ = len(net.layer_sizes), net.layer_sizes[-1]
        self.out_activation_ = "softmax" if len(self.classes_) > 2 else "logistic"
        return self

    def _use_weights(self) -> None:
        """Take over coefs_ and intercepts_ that were put in place of the net's own."""
        given = [*self.coefs_, *self.intercepts_]
        for view, array in zip([*self._net.weights, *self._net.biases], given, strict=True):
            if array is not view:
                view[:] = array

    # Predicting

    def _logits(self, X: Any) -> NDArray:
        validation.check_is_fitted(self)
        X = validation.validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        self._use_weights()
        return self._net.logits(X)[:, : len(self.classes_)]  # with one class, the first of two

    def predict(self, X: Any) -> NDArray:
        """The most probable class of each row of X (N, D), as (N,) labels."""
        largest = self._logits(X).argmax(axis=1)
        return self.classes_[largest]

    def predict_proba(self, X: Any) -> NDArray:
        """p (N, K) for X (N, D), in the order of classes_."""
        return softmax(self._logits(X))

    def predict_log_proba(self, X: Any) -> NDArray:
        """log p (N, K): finite, as p is never below the smallest normal number of its dtype."""
        return np.log(self.predict_proba(X))

    def save(self, path: str | Path) -> None:
        """Write the model as one file without pickle, for minnet.load and `minnet predict`.

        Raises ValueError for labels that are neither text nor whole numbers, MinnetError if the
        file cannot be written.
        """
        validation.check_is_fitted(self)
        self._use_weights()
        classes = np.array(self.classes_.tolist())
        if len(classes) < 2:
            raise ValueError(f"only one class, {classes[0]}: there is nothing to save")
        if classes.dtype.kind not in "biuU":
            what = f"labels of dtype {classes.dtype} cannot be saved"
            raise ValueError(f"{what}: use whole numbers or text")
        D = self.n_features_in_
        names = list(getattr(self, "feature_names_in_", [f"x{j}" for j in range(D)]))
        as_given = Preprocessing(names, None, np.zeros(D), np.ones(D))
        Model(self._net, as_given, classes, {}, type(self).__name__).save(Path(path))

    # Protocols of pickle and scikit-learn

    def __getstate__(self) -> dict[str, Any]:
        if hasattr(self, "coefs_"):
            self._use_weights()
        views = ("coefs_", "intercepts_")
        return {n: value for n, value in super().__getstate__().items() if n not in views}

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


MLPClassifier._parameter_constraints = {f.name: f.metadata["allow"] for f in fields(MLPClassifier)}
