"""The one training loop, and the measuring of a net on a part of the data."""

import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minnet.batches import Batches, Part
from minnet.config import Config, OptimizerConfig
from minnet.core.network import MLP, ROWS
from minnet.core.optimizers import OPTIMIZERS, Schedule, Settings, State, blocks, clip_by_norm, decay, flush, new_state
from minnet.core.softmax import cross_entropy
from minnet.errors import ConfigError, TrainingError

LARGE = 2**22  # rows of a batch times parameters, from which two threads are faster than one
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
    net: MLP,
    training: Part,
    validation: Part | None,
    config: Config,
    interrupted: threading.Event | None = None,
) -> Iterator[Epoch]:
    """Train the net in place, yielding an Epoch after each.

    With a validation part, the run ends `patience` epochs after its lowest validation loss, and the weights of
    that epoch come back. Once `interrupted` is set, the run ends after the step at hand in the same way; an
    epoch cut short is not yielded, and counts only if no epoch was finished.

    Raises TrainingError when loss or weights stop being finite, or the loss explodes.
    """
    settings, constants = config.train, optimizer_constants(config.optimizer)
    state = new_state(config.optimizer.name, net.theta)
    theta_blocks = blocks(net.theta, net.dtheta, state)
    rng = np.random.default_rng([settings.seed, 1])  # a stream of its own, apart from the initial weights
    batches = Batches(training, net, settings.batch_size)
    schedule = learning_rates(config, batches.steps)
    interrupted = interrupted or threading.Event()
    start, t, first_loss, limit = time.perf_counter(), 0, math.nan, sys.float_info.max
    best_loss, best_epoch, best_theta = math.inf, 0, net.theta.copy()

    for epoch in range(1, settings.epochs + 1):
        losses = weight = rate = 0.0
        for batch in batches.epoch(rng):
            rate = schedule.rate(t)
            t += 1
            if net.dropout:
                net.draw_masks(batch.ws, rng)
            z = net.forward(batch.X1, batch.ws)
            loss = float(net.loss(batch.dlogp, batch.r, batch.ws))
            net.backward(batch.dlogp, batch.ws)

            if not loss <= limit:
                raise _lost(net, loss, first_loss, epoch, t, config)
            if t == 1:
                first_loss, limit = loss, EXPLODED * max(loss, math.log(net.layer_sizes[-1]))
            take_step(net, theta_blocks, config, constants, t, rate)

            np.copyto(batch.z, z)
            losses += loss * batch.w
            weight += batch.w
            if interrupted.is_set():
                break
        cut_short = t < epoch * batches.steps
        if not (cut_short and best_epoch) and not np.isfinite(net.theta).all():
            raise _diverged("a weight is not finite", epoch, t, config)
        if cut_short:
            break
        flush(state)

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


def take_step(
    net: MLP,
    theta_blocks: list[tuple[NDArray, NDArray, State]],
    config: Config,
    constants: Settings,
    t: int,
    learning_rate: float,
) -> None:
    """Step t = 1, 2, ... of the optimizer, from net.dtheta, which is used up: clip, decay, update."""
    optimizer = config.optimizer
    if config.train.max_grad_norm:
        clip_by_norm(net.dtheta, config.train.max_grad_norm)  # (27)
    if optimizer.name == "adamw":
        decay(net.weights, optimizer.weight_decay, learning_rate)  # (28)
    for block in theta_blocks:
        OPTIMIZERS[optimizer.name](*block, t, learning_rate, constants)  # (29)


def blas_threads(net: MLP, batch_size: int) -> AbstractContextManager:
    """While inside, BLAS uses one thread, or two if batches are large.

    How many threads share a product changes its last bits. So their number has to follow from the config, not from
    the machine or its settings; only where there is just one core, large batches too have one thread.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    large = batch_size * net.theta.size >= LARGE
    return threadpool_limits(min(2, cores) if large else 1, user_api="blas")


def evaluate(net: MLP, part: Part) -> Measured:
    """Plain mean cross-entropy and accuracy of the net on a part, without dropout, smoothing or weights."""
    predicted, loss = np.empty(len(part.y), np.intp), 0.0
    for start in range(0, len(part.y), ROWS):
        rows = slice(start, start + ROWS)
        z = net.logits(part.X1[rows], has_ones=True)
        z.argmax(axis=1, out=predicted[rows])
        loss += float(cross_entropy(z, part.y[rows]).sum(dtype=np.float64))
    return Measured(loss / len(part.y), float((predicted == part.y).mean()), predicted)


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


def optimizer_constants(optimizer: OptimizerConfig) -> Settings:
    """The constants of the update rules, from the config."""
    return Settings(optimizer.momentum, optimizer.beta1, optimizer.beta2, optimizer.epsilon)


def learning_rates(config: Config, steps: int) -> Schedule:
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


def _lost(net: MLP, loss: float, first_loss: float, epoch: int, step: int, config: Config) -> TrainingError:
    """What to say of a loss that is not finite, or beyond coming back."""
    if not np.isfinite(net.theta).all():
        return _diverged("a weight is not finite", epoch, step, config)
    after = f", after {first_loss:.3g} at the first step" if step > 1 else ""
    return _diverged(f"the loss is {loss:.3g}{after}", epoch, step, config)


def _diverged(what: str, epoch: int, step: int, config: Config) -> TrainingError:
    advice = [f"a smaller optimizer.learning_rate than {config.optimizer.learning_rate:g}"]
    advice += ["train.max_grad_norm=1"] if not config.train.max_grad_norm else []
    advice += ["data.scale=standard"] if config.data.scale == "none" else []
    return TrainingError(f"training diverged in epoch {epoch} at step {step}: {what}; try {', or '.join(advice)}")
