"""The one training loop, and the measuring of a net on a part of the data."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minnet.batches import Batches, Part
from minnet.config import Config, OptimizerConfig
from minnet.core.network import MLP
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings, clip_by_norm, decay, new_state
from minnet.core.softmax import cross_entropy
from minnet.errors import ConfigError, TrainingError

EXPLODED = 1e4  # a loss this many times the first one is beyond coming back


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. The training figures are means over its steps, as the net then was, with dropout,
    label smoothing and class weights; the validation figures are plain, at its end. `seconds` since the start."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    best_epoch: int


@dataclass(frozen=True)
class Measured:
    """Mean cross-entropy, share of rows right, and the class (n,) that each row was given."""

    loss: float
    accuracy: float
    predicted: NDArray


def build(config: Config, D: int, K: int, class_weight: NDArray | None) -> MLP:
    """The net that the config describes, for D features and K classes, with its initial weights."""
    model, train = config.model, config.train
    return MLP(
        [D, *model.hidden, K],
        model.activation,
        output_gradient=model.output_gradient,
        dropout=model.dropout,
        l2=0.0 if config.optimizer.name == "adamw" else config.optimizer.weight_decay,
        label_smoothing=train.label_smoothing,
        class_weight=class_weight,
        dtype=model.dtype,
        seed=train.seed,
    )


def train(
    net: MLP, training: Part, validation: Part | None, config: Config, interrupted: threading.Event | None = None
) -> Iterator[Epoch]:
    """Train the net in place, yielding an Epoch after each.

    With a validation part, the run ends `patience` epochs after its lowest validation loss, and the weights of
    that epoch come back. Once `interrupted` is set, the run ends after the step at hand in the same way; an
    epoch cut short is not yielded, and counts only if no epoch was finished.

    Raises TrainingError when loss, gradient or weights stop being finite, or the loss explodes.
    """
    optimizer, settings = config.optimizer, config.train
    update, constants = OPTIMIZERS[optimizer.name], _constants(optimizer)
    state = new_state(optimizer.name, net.theta)
    rng = np.random.default_rng([settings.seed, 1])  # a stream of its own, apart from the initial weights
    batches = Batches(training, net, settings.batch_size)
    schedule = _schedule(config, batches.steps)
    interrupted = interrupted or threading.Event()
    start, t, first_loss = time.perf_counter(), 0, math.nan
    best_loss, best_epoch, best_theta = math.inf, 0, net.theta.copy()

    for epoch in range(1, settings.epochs + 1):
        losses = weight = rate = 0.0
        for batch in batches.epoch(rng):
            rate = schedule.rate(t)
            if net.dropout:
                net.draw_masks(batch.ws, rng)
            z = net.forward(batch.X1, batch.ws)
            loss = float(net.loss(batch.Y, batch.r, batch.ws))
            dtheta = net.backward(batch.Y, batch.r, batch.ws)

            first_loss = loss if t == 0 else first_loss
            _check_step(loss, first_loss, net, epoch, t + 1, config)
            if settings.max_grad_norm:
                clip_by_norm(dtheta, settings.max_grad_norm)
            if optimizer.name == "adamw":
                decay(net.weights, optimizer.weight_decay, rate)
            update(net.theta, dtheta, state, rate, constants)
            t += 1

            np.argmax(z, axis=1, out=batch.predicted)
            losses += loss * batch.w
            weight += batch.w
            if interrupted.is_set():
                break
        if t < epoch * batches.steps:
            break
        if not np.isfinite(net.theta).all():
            raise _diverged("a weight is not finite", epoch, t, config)

        measured = evaluate(net, validation) if validation is not None else None
        if measured and not math.isfinite(measured.loss):
            raise _diverged(f"the validation loss is {measured.loss}", epoch, t, config)
        if measured is None or measured.loss < best_loss:
            best_epoch, best_loss = epoch, measured.loss if measured else math.inf
            best_theta[:] = net.theta
        yield Epoch(
            epoch,
            rate,
            losses / (weight or 1),
            batches.correct / len(training.y),
            measured.loss if measured else None,
            measured.accuracy if measured else None,
            time.perf_counter() - start,
            best_epoch,
        )
        if interrupted.is_set() or (measured and settings.patience and epoch - best_epoch >= settings.patience):
            break
    if best_epoch:
        net.theta[:] = best_theta


def one_thread() -> AbstractContextManager:
    """While inside, BLAS uses one thread: how it shares a product among several changes the last bits."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    return threadpool_limits(1, user_api="blas")


def evaluate(net: MLP, part: Part) -> Measured:
    """Plain mean cross-entropy and accuracy of the net on a part, without dropout, smoothing or weights."""
    z = net.logits(part.X1, has_ones=True)
    predicted = z.argmax(axis=1)
    return Measured(
        float(cross_entropy(z, part.y).mean(dtype=np.float64)), float((predicted == part.y).mean()), predicted
    )


def class_weights(setting: str | dict[str, float], y: NDArray, classes: NDArray) -> NDArray | None:
    """(K,) weights of the classes, or None where all are alike.

    "balanced" is n / (K n_k), as in scikit-learn; a table gives weights by label, and 1 to those left out.
    Raises ConfigError for a label that the data do not have.
    """
    if setting == "none":
        return None
    if isinstance(setting, str):
        return len(y) / (len(classes) * np.maximum(np.bincount(y, minlength=len(classes)), 1))
    labels = [str(label) for label in classes]
    for label in setting:
        if label not in labels:
            raise ConfigError(f"train.class_weight: there is no class {label!r}, only {', '.join(labels[:20])}")
    weights = np.array([setting.get(label, 1.0) for label in labels])
    if not weights.any():
        raise ConfigError("train.class_weight: at least one class needs a weight above 0")
    return weights


def _constants(optimizer: OptimizerConfig) -> Settings:
    return Settings(optimizer.momentum, optimizer.beta1, optimizer.beta2, optimizer.epsilon)


def _schedule(config: Config, steps: int) -> Schedule:
    """The config's schedule, from epochs to steps; `steps` is the number in an epoch."""
    optimizer = config.optimizer
    return Schedule(
        optimizer.learning_rate,
        optimizer.schedule,
        steps=config.train.epochs * steps,
        warmup=round(optimizer.warmup_epochs * steps),
        every=max(1, round(optimizer.step_epochs * steps)),
        factor=optimizer.step_factor,
    )


def _check_step(loss: float, first_loss: float, net: MLP, epoch: int, step: int, config: Config) -> None:
    """Raises TrainingError before a step that would carry something not finite, or a lost run, further."""
    K = net.layer_sizes[-1]
    if not loss <= EXPLODED * max(first_loss, math.log(K)):
        if not np.isfinite(net.theta).all():
            raise _diverged("a weight is not finite", epoch, step, config)
        raise _diverged(f"the loss is {loss:.3g}, after {first_loss:.3g} at the first step", epoch, step, config)
    # the dot product is one quick pass, and not finite if any entry is not, or if they are huge
    if not math.isfinite(net.dtheta @ net.dtheta) and not np.isfinite(net.dtheta).all():
        raise _diverged("the gradient is not finite", epoch, step, config)


def _diverged(what: str, epoch: int, step: int, config: Config) -> TrainingError:
    advice = [f"a smaller optimizer.learning_rate than {config.optimizer.learning_rate:g}"]
    advice += ["train.max_grad_norm=1"] if not config.train.max_grad_norm else []
    advice += ["data.scale=standard"] if config.data.scale == "none" else []
    return TrainingError(f"training diverged in epoch {epoch} at step {step}: {what}; try {', or '.join(advice)}")
