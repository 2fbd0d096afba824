"""MLPClassifier with scikit-learn's parameters, attributes, errors and warnings."""

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.utils import check_random_state, multiclass, validation
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.optimize import _check_optimize_result

from minnet import training
from minnet.config import Config, ModelConfig, OptimizerConfig, TrainConfig
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP, Tape
from minnet.core.optimizers import Schedule
from minnet.core.softmax import OUTPUT_GRADIENTS, Array, log_softmax, softmax
from minnet.data import Part
from minnet.data.preprocess import Preprocessing
from minnet.distributed import blas_threads
from minnet.errors import TrainingError
from minnet.model import Model
from minnet.training import Epoch, Parts, State

SMALLEST_RATE = 1e-6  # below which an adaptive learning rate ends training
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)
FLOATS = (np.float64, np.float32)  # X of another dtype becomes the first
Maybe = ArrayLike | None
Method = TypeVar("Method")
Random = np.random.RandomState
SHARE, NOT_NEGATIVE = (Interval(Real, 0, most, closed="left") for most in (1, None))
OWN = {  # parameters that scikit-learn does not have, or that may be more, in its terms
    "activation": [StrOptions({*ACTIVATIONS}), list, tuple],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
    "early_stopping": ["boolean", StrOptions({"accuracy", "loss"})],
    "class_weight": [StrOptions({"balanced"}), dict, None],
    "dropout": [SHARE],
    "label_smoothing": [SHARE],
    "weight_decay": [NOT_NEGATIVE],
    "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
    "warmup_epochs": [NOT_NEGATIVE],
    "output_gradient": [StrOptions({*OUTPUT_GRADIENTS})],
    "members": [Interval(Integral, 1, None, closed="left")],
}


def _typed(decorator: Any) -> Callable[[Method], Method]:
    """scikit-learn's decorator, which has no types: a method keeps its own."""
    return decorator


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A multilayer perceptron for two or more classes, with the interface of
    sklearn.neural_network.MLPClassifier.

    The parameters and attributes of that class mean what they mean there (scikit-learn 1.9). With
    the same random_state, the same weights, orders of rows and held-out rows are drawn, so numbers
    are the same to rounding, in float64. Multilabel targets and negative weights are refused. It
    also takes, with random numbers of their own:

    activation           one name, or one for each hidden layer; also leaky_relu and gelu
    learning_rate        also "cosine", down to 0 over max_iter epochs of fit; with solver sgd or
                         adam. partial_fit, which knows no end, keeps to learning_rate_init
    warmup_epochs        over which the learning rate first rises linearly
    early_stopping       True or "accuracy": on that of the validation rows; "loss": on their loss
    class_weight         None, "balanced" or {label: weight}
    dropout              probability of dropping a hidden unit in training
    label_smoothing      s: trains towards (1 - s) for the label + s/K for each class
    weight_decay         adam: shrinks W by rate * weight_decay in each step (AdamW); other solvers
                         add weight_decay/2 * sum(W^2) to the mean loss
    max_grad_norm        scales longer gradients down to this norm; None for never
    output_gradient      from the loss to the logits: "vjp", "jacobian" or "fused" (core.softmax)
    members              M nets from different weights, whose mean p is predicted: with M > 1, the
                         arrays of coefs_ and intercepts_ have one more axis in front, (M, ...)

    `fit` also takes rows to validate on, which early stopping then watches instead of a part of the
    rows, and fits validation_loss_curve_ too. coefs_ and intercepts_ are views into one vector.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((16,), random_state=0, max_iter=1000, learning_rate_init=0.02)
    >>> model.fit(X, y).score(X, y) > 0.95
    True
    """

    hidden_layer_sizes: Any = (100,)
    activation: Any = "relu"
    _: KW_ONLY
    solver: str = "adam"
    alpha: float = 0.0001
    batch_size: Any = "auto"
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: Any = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: Any = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    class_weight: Any = None
    dropout: float = 0.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float | None = None
    warmup_epochs: float = 0.0
    output_gradient: str = "vjp"
    members: int = 1
    _parameter_constraints: ClassVar[dict[str, Any]] = Theirs._parameter_constraints | OWN

    # Fitting

    @_typed(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Maybe = None,
        validation_data: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Maybe = None,
    ) -> Self:
        """Train on X (N, D), dense or sparse, and labels y (N,). With sample_weight (N,), the loss
        is the mean over their sum. X_val, y_val and sample_weight_val are rows to validate on, and
        validation_data is short for (X_val, y_val). Raises ValueError for rows that cannot be
        learned from, and if a weight of the net becomes infinite."""
        if validation_data is not None:
            if len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (X, y)")
            X_val, y_val = validation_data
        first = not (self.warm_start and hasattr(self, "coefs_"))
        X, y = self._rows(X, y, reset=first)
        if first:
            self.classes_ = np.unique(y)
        elif set(np.unique(y)) != set(self.classes_):
            rule = "warm_start can only be used where `y` has the same classes as in the previous"
            now = f"Previously got {self.classes_}, `y` has {np.unique(y)}"
            raise ValueError(f"{rule} call to fit. {now}")
        part, parts = self._part(X, y, sample_weight), self._given(X_val, y_val, sample_weight_val)
        random = check_random_state(self.random_state)
        net, state = self._begin(part, random, new_net=first)
        if self.solver == "lbfgs":
            self._minimise(net, part)
        else:
            split = self.early_stopping and not parts
            parts = self._split(part, random) if split else {"train": part} | parts
            self._train(state, parts, random)
            if self.early_stopping:
                state.use_best()
        return self._fitted(state)

    @_typed(available_if(Theirs._check_solver))
    @_typed(_fit_context(prefer_skip_nested_validation=True))
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Maybe = None, classes: Maybe = None
    ) -> Self:
        """One more epoch, over these rows; the first call needs all `classes`. The optimizer keeps
        its state. Raises ValueError as fit does, and with early_stopping; the weights then stay as
        they were."""
        if self.class_weight == "balanced":
            what = "partial_fit does not see all rows"
            raise ValueError(f"{what}: give class_weight as a dict, not 'balanced'")
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_")
        X, y = self._rows(X, y, reset=first)
        multiclass._check_partial_fit_first_call(self, classes)
        if np.setdiff1d(y, self.classes_).size:
            known = f"`self.classes_` has {self.classes_}. 'y' has {np.unique(y)}."
            raise ValueError(f"`y` has classes not in `self.classes_`. {known}")
        part, random = self._part(X, y, sample_weight), check_random_state(self.random_state)
        if first or self._begun_by != self.solver:
            state = self._begin(part, random, new_net=first)[1]
        else:
            state = self._state
            self._use_weights()
            self._begin_curves(new_net=False)
        self._train(state, {"train": part}, random, partial=True)
        return self._fitted(state)

    def _rows(self, X: Any, y: Any, reset: bool) -> tuple[Any, NDArray]:
        """X and y as arrays that can be learned from. Raises ValueError."""
        X, y = validation.validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, reset=reset)
        multiclass.unique_labels(y)  # refuses numbers that are not whole, without more warnings
        return X, y

    def _part(self, X: Any, y: NDArray, sample_weight: Maybe) -> Part:
        """The rows to train on and their weights."""
        w = _weights(sample_weight, X)
        y, labels = np.searchsorted(self.classes_, y), {"classes": self.classes_, "y": y}
        if self.class_weight is not None:
            w = w * compute_class_weight(self.class_weight, sample_weight=w, **labels)[y]
        if not w.any():
            raise ValueError("every row has weight 0: no rows are left to learn from")
        return Part(X, y, None if (w == 1).all() else w)

    def _given(self, X: Any, y: Any, sample_weight: Maybe) -> Parts:
        """The user's rows to validate on, if any. Raises ValueError if they do not fit."""
        if X is None and y is None:
            return {}
        for given, other, missing in (("X_val", "y_val", y), ("y_val", "X_val", X)):
            if missing is None:
                raise ValueError(f"{given} is provided, but {other} was not provided.")
        X, y = self._rows(X, y, reset=False)
        if (unknown := np.setdiff1d(y, self.classes_)).size:
            raise ValueError(f"the validation rows have classes that `y` does not have: {unknown}")
        part = Part(X, np.searchsorted(self.classes_, y), _weights(sample_weight, X))
        return {"validation": part}

    def _split(self, part: Part, random: Random) -> Parts:
        """The rows to train on and those to validate on: of two classes, in proportion."""
        stratify = part.y[:, None] == 1 if len(self.classes_) < 3 else None
        options: Any = {"test_size": self.validation_fraction, "stratify": stratify}
        train, held_out = train_test_split(np.arange(len(part.y)), random_state=random, **options)
        if len(held_out) < 2:
            what = "The validation set is too small."
            raise ValueError(f"{what} Increase 'validation_fraction' or the size of your dataset.")
        rows, w = {"train": train, "validation": held_out}, part.w
        return {n: Part(part.X[i], part.y[i], None if w is None else w[i]) for n, i in rows.items()}

    def _begin(self, part: Part, random: Random, new_net: bool) -> tuple[MLP, State]:
        """The net, new or with the weights that it has, and the state of its training."""
        config = self._config(part.X.dtype if new_net else self._net.dtype)
        if any(n <= 0 for n in config.model.hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {config.model.hidden}.")
        K = len(self.classes_)
        net = training.build(config, part.X.shape[1], K if K > 2 else 1)
        # for what scikit-learn has not: a copy's, as only its own draws may change `random`
        seed = copy.deepcopy(random).randint(np.iinfo(np.int32).max)
        if new_net:
            self.__dict__.pop("coefs_", None)  # not fitted, should this call fail
            self.t_ = 0
            self._draw(net, random, seed)
        elif (net.layer_sizes, net.theta.shape) != (self._net.layer_sizes, self._net.theta.shape):
            what = f"warm_start continues a net of {self._net.layer_sizes}"
            raise ValueError(f"{what}, but these parameters describe {net.layer_sizes}")
        else:
            net.theta[:] = self._use_weights().theta
        net.l2 = 0  # `decay` adds all penalties
        state = State.start(net, config.optimizer.name, seed)
        if self.solver != "lbfgs":
            self._begin_curves(new_net)
            state.best_figure = -self._best_score
        return net, state

    def _begin_curves(self, new_net: bool) -> None:
        """The attributes that tell of training: those that are there go on, but for early stopping
        that was switched on or off."""
        if new_net or not hasattr(self, "loss_curve_"):
            self.loss_curve_, self._watches = list[float](), None
        if self._watches != self.early_stopping:
            early, self._watches = bool(self.early_stopping), self.early_stopping
            self.best_loss_: Any = None if early else np.inf
            self.best_validation_score_: Any = -np.inf if early else None
            self.validation_scores_: Any = [] if early else None
            self.validation_loss_curve_: Any = [] if early else None
            self._best_score, self._no_improvement_count = -np.inf, 0

    def _draw(self, net: MLP, random: Random, seed: int) -> None:
        """scikit-learn's initial weights, of members after the first from other streams: every
        [W; b] uniform in +-sqrt(6 / (n_in + n_out)), or sqrt(2 / ...) for logistic."""
        factor = 2 if {*np.atleast_1d(self.activation)} == {"logistic"} else 6
        for m in range(self.members):
            stream = np.random.RandomState(seed + m) if m else random
            for layer in training.member(net, m).layers:
                limit = np.sqrt(factor / sum(layer.W.shape))
                layer.Wb[:] = stream.uniform(-limit, limit, layer.Wb.shape)

    def _config(self, dtype: np.dtype) -> Config:
        """The parameters as the config of a run has them."""
        rule = "nesterov" if self.nesterovs_momentum else "momentum"
        if self.solver == "adam":
            rule = "adamw" if self.weight_decay else "adam"
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        of_net = self.activation, self.dropout, self.output_gradient, dtype.name
        constants = self.momentum, self.beta_1, self.beta_2, self.epsilon, self.weight_decay
        schedule = "cosine" if self.learning_rate == "cosine" else "constant", self.warmup_epochs
        train = TrainConfig(
            epochs=self.max_iter,
            batch_size=200 if self.batch_size == "auto" else self.batch_size,
            patience=0,  # _note counts as scikit-learn does
            watch="loss" if self.early_stopping == "loss" else "accuracy",
            label_smoothing=self.label_smoothing,
            max_grad_norm=self.max_grad_norm or 0.0,
        )
        optimizer = OptimizerConfig(rule, self.learning_rate_init, *constants, *schedule)
        model = ModelConfig(hidden, *of_net, members=self.members)
        return Config(model=model, optimizer=optimizer, train=train)

    def _train(self, state: State, parts: Parts, random: Random, partial: bool = False) -> None:
        """Epochs of the training loop, until the loss or the validation rows improve no more; one
        epoch if `partial`."""
        from tqdm import tqdm

        net, n = state.net, len(parts["train"].y)
        config = self._config(net.dtype)
        if self.batch_size != "auto" and self.batch_size > n:
            what = "Got `batch_size` less than 1 or larger than sample size."
            warnings.warn(f"{what} It is going to be clipped", stacklevel=4)
        size, schedule = min(config.train.batch_size, n), training.schedule(config, n)
        if partial:
            schedule = schedule._replace(name="constant")
        if state.t:  # an adaptive rate goes on
            schedule = schedule._replace(base=self._schedule.base)
        self._schedule: Schedule = schedule
        ahead = (state.epoch - 1) * -(-n // size) - state.t  # if other calls had other rows
        recipe = training.recipe(config, net, n)
        train = replace(recipe.train, epochs=state.epoch) if partial else recipe.train
        settings = replace(recipe.settings, epsilon_hat=True)
        orders = _orders(n, random if self.shuffle else None)
        own: Any = {"rate": lambda t: self._schedule.rate(t + ahead), "alpha": self.alpha}
        own |= {"orders": orders, "forgives": bool(self.early_stopping)}
        recipe = replace(recipe, train=train, settings=settings, **own)
        self.n_iter_ = state.step = 0  # also after a call that ended within an epoch
        t, before = state.t, copy.deepcopy(state.vectors) if partial else {}
        epochs = filter(None, training.train(net, parts, recipe, state))
        shown = {"total": self.max_iter, "unit": "epoch", "leave": False, "dynamic_ncols": True}
        bar = tqdm(epochs, disable=self.verbose != 1, **shown)
        try:
            with blas_threads(size * net.theta.size, at_most_now=True), np.errstate(all="ignore"):
                for epoch in bar:
                    bar.set_postfix(loss=f"{epoch.train_loss:.4f}", refresh=False)
                    if self._note(epoch, n):
                        return
        except TrainingError as error:
            state.t = t
            for name, vector in before.items():
                state.vectors[name][:] = vector
            raise ValueError(f"{NOT_FINITE} ({error})") from None
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
            return
        if not partial:
            what = f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached"
            hint = f"{what} and the optimization hasn't converged yet."
            warnings.warn(hint, ConvergenceWarning, stacklevel=4)

    def _note(self, epoch: Epoch, n: int) -> bool:
        """Write an epoch over n rows into the attributes, and from verbose=2 on standard output.
        Returns whether to stop as there was no improvement for too long, all by scikit-learn's
        rules; an adaptive rate is first lowered."""
        self.n_iter_, self.t_, self.loss_ = self.n_iter_ + 1, self.t_ + n, epoch.train_loss
        self.loss_curve_.append(self.loss_)
        accuracy: Any = epoch.validation_accuracy
        loss: Any = epoch.validation_loss
        if self.verbose > 1:
            print(f"Iteration {epoch.epoch}, loss = {self.loss_:.8f}")
        if loss is not None:
            if self.verbose > 1:
                print(f"Validation score: {accuracy:f}")
            self.validation_scores_ = [*(self.validation_scores_ or []), accuracy]
            self.validation_loss_curve_ = [*(self.validation_loss_curve_ or []), loss]
        if self.best_loss_ is None:
            score = -loss if self.early_stopping == "loss" else accuracy
            idle = score < self._best_score + self.tol
            if score > self._best_score:
                self._best_score, self.best_validation_score_ = score, accuracy
        else:
            idle = self.loss_ > self.best_loss_ - self.tol
            if self.loss_ < self.best_loss_:
                self.best_loss_ = self.loss_
        self._no_improvement_count = self._no_improvement_count + 1 if idle else 0
        over = self._no_improvement_count > self.n_iter_no_change
        rate, adapts = self._schedule.base, self.solver == "sgd" and self.learning_rate
        if adapts == "invscaling":
            rate = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        elif adapts == "adaptive" and over and rate > SMALLEST_RATE:
            rate, self._no_improvement_count, over = rate / 5, 0, False
        self._schedule = self._schedule._replace(base=rate)
        return over

    def _minimise(self, net: MLP, part: Part) -> None:
        """scipy's L-BFGS on theta in float64, over all rows at once; of members, on their sum."""
        from scipy.optimize import minimize

        if self.dropout:
            raise ValueError("dropout needs batches, but solver='lbfgs' has none: use adam or sgd")
        wide = net.astype(np.float64)
        tape, (T, weight) = Tape(wide, len(part.y)), wide.targets(part.y, part.w)
        l2 = self.weight_decay + self.alpha / weight

        def loss_and_gradient(theta: NDArray) -> tuple[float, NDArray]:
            wide.theta[:] = theta.reshape(wide.theta.shape)
            wide.step(part.X, T, tape)
            loss = training.clipped(T, tape) + training.decay(wide, l2)
            return float(np.sum(loss)), wide.dtheta.flatten()

        limits = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        options = {"method": "L-BFGS-B", "jac": True, "options": limits}
        work = len(part.y) * net.theta.size
        with blas_threads(work, at_most_now=True), np.errstate(all="ignore"):
            found = minimize(loss_and_gradient, wide.theta.flatten(), **options)
        self.n_iter_ = int(_check_optimize_result("lbfgs", found, self.max_iter))
        self.loss_ = found.fun / self.members
        net.theta[:] = found.x.reshape(net.theta.shape)

    def _fitted(self, state: State) -> Self:
        """The attributes that tell of the net. Raises ValueError if a weight is not finite."""
        net = state.net
        if not np.isfinite(net.theta).all():
            raise ValueError(NOT_FINITE)
        self._net, self._state, self._begun_by = net, state, self.solver
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        self.n_layers_, self.n_outputs_ = len(net.layer_sizes), net.layer_sizes[-1]
        self.out_activation_ = "softmax" if len(self.classes_) > 2 else "logistic"
        return self

    def _use_weights(self) -> MLP:
        """The net, with what was put in the place of its weights as coefs_ and intercepts_. From a
        pickle, these are equal copies, and all may be read-only."""
        net, given = self._net, [*self.coefs_, *self.intercepts_]
        for view, array in zip([*net.weights, *net.biases], given, strict=True):
            if array is not view and not np.array_equal(array, view):
                view[:] = array
        self.coefs_, self.intercepts_ = list(net.weights), list(net.biases)
        return net

    # Predicting

    def _logits(self, X: Any) -> NDArray:
        validation.check_is_fitted(self)
        X = validation.validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        net = self._use_weights()
        wide = np.result_type(X.dtype, net.dtype)  # so that no number of X becomes infinite
        z = (net if net.dtype == wide else net.astype(wide)).logits(X)
        return z[:, : len(self.classes_)]  # with one class, the first of two

    def predict(self, X: Any) -> Array:
        """The most probable class of each row of X (N, D), as (N,) labels."""
        largest = self._logits(X).argmax(axis=1)
        return self.classes_[largest]

    def predict_proba(self, X: Any) -> Array:
        """p (N, K) for X (N, D), in the order of classes_."""
        return softmax(self._logits(X))

    def predict_log_proba(self, X: Any) -> Array:
        """log p (N, K), from the logits: right even where p itself is too small for its dtype."""
        return log_softmax(self._logits(X))

    def save(self, path: str | Path) -> None:
        """Write the model as one file without pickle, for minnet.load and `minnet predict`. Raises
        ValueError for labels that are neither text nor whole numbers, MinnetError if the file
        cannot be written."""
        validation.check_is_fitted(self)
        classes = np.array(self.classes_.tolist())
        if len(classes) < 2:
            raise ValueError(f"only one class, {classes[0]}: there is nothing to save")
        if classes.dtype.kind not in "biuU":
            what = f"labels of dtype {classes.dtype} cannot be saved"
            raise ValueError(f"{what}: use whole numbers or text")
        names = validation._check_feature_names_in(self).tolist()  # or x0, x1, ...
        as_given = Preprocessing(names, None, np.zeros(len(names)), np.ones(len(names)))
        Model(self._use_weights(), as_given, classes, {}, type(self).__name__).save(Path(path))

    # Protocols of scikit-learn

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _weights(sample_weight: Maybe, X: Any) -> NDArray:
    """The weights (N,) of the rows of X. Raises ValueError."""
    options: Any = {"dtype": np.float64, "ensure_non_negative": True}
    return np.asarray(validation._check_sample_weight(sample_weight, X, **options))


def _orders(n: int, random: Random | None) -> Iterator[NDArray]:
    """scikit-learn's orders of n rows, one for each epoch: each shuffles the one before."""
    order = np.arange(n)
    while True:
        if random is not None:
            order = order[random.permutation(n)]
        yield order
