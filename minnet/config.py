"""Configs: TOML files <-> frozen dataclasses, overrides, and errors that name the key.

A config is four sections of keys. A key's value comes from the command line (section.key=value), else from the
file, else from the defaults below; each is checked against its type and its limits before anything is loaded.
"""

import dataclasses
import difflib
import json
import math
import operator
import os
import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minnet.core.activations import ACTIVATIONS
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES
from minnet.core.softmax import ROADS
from minnet.errors import ConfigError, one_line

BUNDLED = ("iris", "wine", "breast_cancer", "digits")
GENERATORS = ("moons", "circles", "blobs", "classification", "gaussian_quantiles")
FETCHED = ("covtype", "kddcup99", "20newsgroups_vectorized", "olivetti_faces", "lfw_people")

MAX_CONFIG_BYTES = 1_000_000
LIMITS = {"at_least": operator.ge, "above": operator.gt, "below": operator.lt, "at_most": operator.le}


def key(default: Any, text: str, choices: Iterable[str] = (), **limits: float) -> Any:
    """A config key: its default, its help text, the names that it may take, and limits (at_least, above, below,
    at_most), which hold for each number in a list too."""
    metadata = {"help": text, "choices": tuple(choices), "limits": limits}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: default.copy(), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DataConfig:
    """[data]: where rows come from, how they are split and scaled."""

    source: str = key(
        "digits",
        "a data set; openml:NAME or openml:NAME:VERSION for any of OpenML; or a file: CSV or TSV (.gz too), "
        ".npz with X and y, a folder with X.npy and y.npy, svmlight",
        (*BUNDLED, *GENERATORS, *FETCHED),
    )
    target: str | int = key(
        "",
        "the column to learn, by name or by place from 0: by default a file's last one, or the OpenML set's own",
        at_least=-(10**6),
        at_most=10**6,
    )
    header: str | bool = key("auto", "text files: whether line 1 holds the names of columns", ("auto",))
    categorical: list[str] = key([], "text files: columns that become one input for each of their values")
    missing: str = key("error", "text files: what to do about missing cells", ("error", "mean", "median", "drop"))
    validation_source: str = key("", "a file of its own for the validation part, as `source` is")
    test_source: str = key("", "a file of its own for the test part, as `source` is")
    test_size: float | int = key(
        0.2, "test part, held back to the end: a fraction, or a number of rows", above=0, at_most=10**9
    )
    validation_size: float | int = key(
        0.2,
        "validation part of the rest, for early stopping: a fraction or a number of rows; 0 for none",
        at_least=0,
        at_most=10**9,
    )
    split_seed: int = key(0, "which rows fall into which part", at_least=0, below=2**32)
    scale: str = key("standard", "scaling of features, fitted on the training part", ("standard", "minmax", "none"))
    samples: int = key(1000, "generators only: rows to make", at_least=1, at_most=10**9)
    features: int = key(2, "blobs, classification and gaussian_quantiles: columns", at_least=1, at_most=10**6)
    classes: int = key(3, "blobs, classification and gaussian_quantiles: classes", at_least=2, at_most=10**6)
    noise: float = key(
        0.2, "moons, circles: sd of noise; blobs: sd of a blob; classification: share of random labels", at_least=0
    )
    generator_seed: int = key(0, "generators only: which rows are made", at_least=0, below=2**32)


@dataclass(frozen=True)
class ModelConfig:
    """[model]: the net."""

    hidden: list[int] = key(
        [64], "units of each hidden layer; [] for none: softmax regression", at_least=1, at_most=10**6
    )
    activation: str | list[str] = key("relu", "one for all hidden layers, or a list with one for each", ACTIVATIONS)
    dropout: float = key(0.0, "chance that a hidden activation is dropped while training", at_least=0, below=1)
    output_gradient: str = key("vjp", "road from the loss to the logits: J, J^T dp without J, or p - y", ROADS)
    dtype: str = key("float32", "of parameters and arithmetic", ("float32", "float64"))


@dataclass(frozen=True)
class OptimizerConfig:
    """[optimizer]: how a gradient becomes a step."""

    name: str = key("adam", "the update rule", OPTIMIZERS)
    learning_rate: float = key(0.001, "step size, at its highest", above=0)
    momentum: float = key(0.9, "momentum and nesterov: share of the last step that is kept", at_least=0, below=1)
    beta1: float = key(0.9, "adam, adamw: decay of the mean of gradients", at_least=0, below=1)
    beta2: float = key(0.999, "adam, adamw: decay of the mean of their squares", at_least=0, below=1)
    epsilon: float = key(1e-8, "adam, adamw: added to the root of that mean", above=0)
    weight_decay: float = key(
        0.0, "adds weight_decay/2 * sum(W^2) to the loss; adamw: shrinks W by rate * weight_decay a step", at_least=0
    )
    schedule: str = key("constant", "how the learning rate changes over the run", SCHEDULES)
    warmup_epochs: float = key(
        0.0, "epochs over which the learning rate first rises linearly", at_least=0, at_most=10**9
    )
    step_epochs: float = key(30.0, "schedule step: epochs between drops", above=0, at_most=10**9)
    step_factor: float = key(0.1, "schedule step: what the rate is multiplied by", above=0, at_most=1)


@dataclass(frozen=True)
class TrainConfig:
    """[train]: the run."""

    epochs: int = key(100, "passes over the training part, at most", at_least=1, at_most=10**9)
    batch_size: int = key(32, "rows a step; more than there are means all", at_least=1, at_most=10**9)
    seed: int = key(0, "initial weights, order of rows, dropout", at_least=0, below=2**32)
    patience: int = key(
        20, "epochs without a better validation figure before the run ends; 0 runs them all", at_least=0, at_most=10**9
    )
    watch: str = key("loss", "the validation figure that decides which weights are best", ("loss", "accuracy"))
    label_smoothing: float = key(
        0.0, "s: train towards (1 - s) for the label + s/K for each class", at_least=0, below=1
    )
    class_weight: str | dict[str, float] = key(
        "none",
        'weights of classes in training, or a table {"label" = weight}',
        ("none", "balanced"),
        at_least=0,
        at_most=10**9,
    )
    checkpoint_seconds: float = key(
        5.0, "checkpoint.npz is written so often at most; 0 for after every epoch", at_least=0, at_most=10**9
    )
    max_grad_norm: float = key(0.0, "scale longer gradients down to this norm; 0 for never", at_least=0)


@dataclass(frozen=True)
class Config:
    """All four sections."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


SECTIONS: dict[str, Any] = {
    "data": DataConfig,
    "model": ModelConfig,
    "optimizer": OptimizerConfig,
    "train": TrainConfig,
}
KEYS = {f"{section}.{f.name}": f for section, cls in SECTIONS.items() for f in dataclasses.fields(cls)}


def load(path: Path | None, overrides: Iterable[str] = ()) -> Config:
    """The config in the file at `path` (None: all defaults), with `overrides` of the form section.key=value.

    Raises ConfigError, one line that names the file or argument, the section and the key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        for section, table in read_toml(path).items():
            if section not in SECTIONS:
                raise ConfigError(f"{path}: unknown section {_short(section)}{_nearest(section) or _list(SECTIONS)}")
            if not isinstance(table, dict):
                raise ConfigError(f"{path}: {section} is a section: write [{section}] and its keys below")
            for name, value in table.items():
                values[f"{section}.{name}"] = _checked(f"{section}.{name}", value, where=f"{path}: ")
    for override in overrides:
        full_name, value = parse_override(override)
        values[full_name] = _checked(full_name, value, where="")
    tables: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for full_name, value in values.items():
        section, _, name = full_name.partition(".")
        tables[section][name] = value
    return _consistent(Config(**{section: cls(**tables[section]) for section, cls in SECTIONS.items()}))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError where there is none, or not one that can be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this config: {error.strerror}") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes, so hardly a config")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{path}: is UTF-16 text; save it as UTF-8")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise ConfigError(f"{path}: is not TOML: {one_line(reason)}") from None


def parse_override(text: str) -> tuple[str, Any]:
    """("train.epochs", 5) from "train.epochs=5". The value is read as TOML; what is no TOML is a string.

    >>> parse_override("model.hidden=[64, 32]"), parse_override("model.activation=tanh")
    (('model.hidden', [64, 32]), ('model.activation', 'tanh'))
    """
    full_name, equals, value = text.partition("=")
    full_name = full_name.strip()
    if not equals:
        raise ConfigError(f"{_short(text)!r} is no section.key=value{_nearest(text)}")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return full_name, value.strip()
    return full_name, parsed["value"] if len(parsed) == 1 else value


def values(config: Config) -> dict[str, Any]:
    """Every key, with its section, and its value."""
    return {name: getattr(getattr(config, name.partition(".")[0]), name.partition(".")[2]) for name in KEYS}


def dumps(config: Config) -> str:
    """The whole config as TOML, every key with its value, which `load` reads back to an equal config."""
    lines: list[str] = []
    for section, cls in SECTIONS.items():
        lines += [f"[{section}]"]
        table = getattr(config, section)
        lines += [f"{f.name} = {_toml(getattr(table, f.name))}" for f in dataclasses.fields(cls)] + [""]
    return "\n".join(lines)


def describe() -> str:
    """Every key with its type, default, choices and meaning, for --help."""
    lines = []
    for full_name, f in KEYS.items():
        lines.append(f"  {full_name} = {_toml(_default(f))}   ({_type_name(f)})")
        lines.append(f"      {f.metadata['help']}")
        if f.metadata["choices"]:
            lines.append(f"      choices: {', '.join(f.metadata['choices'])}")
    return "\n".join(lines)


def _consistent(config: Config) -> Config:
    """The config, if its keys fit each other."""
    data, model = config.data, config.model
    for name in ("test_size", "validation_size"):
        size = getattr(data, name)
        if isinstance(size, float) and size >= 1:
            raise ConfigError(f"data.{name}: {size} is no fraction below 1; write a number of rows without a point")
    if isinstance(model.activation, list) and len(model.activation) != len(model.hidden):
        raise ConfigError(
            f"model.activation: {len(model.activation)} names for {len(model.hidden)} layers in model.hidden"
        )
    kind = data.source if data.source in GENERATORS else ""
    used = {"samples": GENERATORS, "generator_seed": GENERATORS, "noise": GENERATORS[:-1]}
    used |= {"features": GENERATORS[2:], "classes": GENERATORS[2:]}
    for name, sources in used.items():
        if kind not in sources and getattr(data, name) != getattr(DataConfig, name):
            raise ConfigError(f"data.{name}: has no effect on {data.source!r}, only on {', '.join(sources)}")
    own = _is_path(data.source)
    for name in ("target", "header", "categorical", "missing", "validation_source", "test_source"):
        given = getattr(data, name) != getattr(DataConfig(), name)
        if given and not own and not (name == "target" and data.source.startswith("openml:")):
            raise ConfigError(f"data.{name}: has no effect on {data.source!r}, only on a file of your own")
    if isinstance(data.target, int) and not own:
        raise ConfigError("data.target: OpenML's columns go by name")
    if kind == "blobs" and data.noise == 0:
        raise ConfigError("data.noise: blobs of standard deviation 0 are points; give a positive number")
    if kind == "classification" and data.noise > 1:
        raise ConfigError("data.noise: for classification it is a share of the labels, at most 1")
    return config


def _checked(full_name: str, value: Any, where: str) -> Any:
    """`value` as the key wants it. Raises ConfigError."""
    if full_name not in KEYS:
        section = full_name.partition(".")[0]
        names = [n for n in KEYS if n.startswith(f"{section}.")]
        hint = _nearest(full_name) or _list(names or KEYS)
        raise ConfigError(f"{where}unknown key {_short(full_name)}{hint}")
    f = KEYS[full_name]
    try:
        return _converted(value, f.type, f.metadata)
    except ValueError as error:
        raise ConfigError(f"{where}{full_name}: {error}") from None


def _converted(value: Any, kind: Any, metadata: Any) -> Any:
    """`value` checked against the type `kind` and the key's choices and limits. Raises ValueError."""
    if isinstance(kind, types.UnionType):
        fitting = [option for option in typing.get_args(kind) if _fits(value, option)]
        if not fitting:
            raise ValueError(f"expected {_kind_name(kind)}, got {_shown(value)}")
        exact = [option for option in fitting if type(value) is option]
        return _converted(value, (exact or fitting)[0], metadata)
    if not _fits(value, kind):
        hint = f"; write {float(value)!r}" if kind is float and _is_number(value) else ""
        raise ValueError(f"expected {_kind_name(kind)}, got {_shown(value)}{hint}")
    if typing.get_origin(kind) is list:
        return [_converted(item, typing.get_args(kind)[0], metadata) for item in value]
    if typing.get_origin(kind) is dict:
        return {name: _converted(item, float, metadata | {"choices": ()}) for name, item in value.items()}
    if kind is str:
        choices = metadata["choices"]
        if choices and value not in choices and not _is_source(value, choices):
            near = difflib.get_close_matches(value, choices, 1, 0.6)
            hint = f"; did you mean {near[0]}?" if near else ""
            if value.startswith("openml:"):
                raise ValueError(f"{_shown(value)} is neither openml:NAME nor openml:NAME:VERSION")
            raise ValueError(f"{_shown(value)} is none of {', '.join(choices)}{hint}")
        return value
    number = float(value) if kind is float else value
    for limit, bound in metadata["limits"].items():
        if not LIMITS[limit](number, bound):
            raise ValueError(f"must be {limit.replace('_', ' ')} {bound}, got {_shown(value)}")
    return number


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    origin = typing.get_origin(kind)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, typing.get_args(kind)[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, float) for item in value.values())
    return isinstance(value, kind)


def _is_source(value: str, choices: Iterable[str]) -> bool:
    if "digits" not in choices:
        return False
    return _is_path(value) or re.fullmatch(r"openml:[^:]+(:[1-9][0-9]{0,8})?", value) is not None


def _is_path(source: str) -> bool:
    """Whether a source is meant as a path: it has a folder or a suffix in it, or it is there."""
    if source in (*BUNDLED, *GENERATORS, *FETCHED) or source.startswith("openml:"):
        return False
    path = Path(source)
    try:
        return "/" in source or os.sep in source or bool(path.suffix) or path.exists()
    except (OSError, ValueError):
        return True


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _list(names: Iterable[str]) -> str:
    return f"; choose from {', '.join(names)}"


def _nearest(full_name: str) -> str:
    """ "; did you mean train.epochs?" for a misspelt key, or one with its section left out; else nothing."""
    section, _, name = full_name.rpartition(".")
    by_name = {n.partition(".")[2]: n for n in KEYS if section not in SECTIONS or n.startswith(f"{section}.")}
    near = difflib.get_close_matches(name, by_name, 1, 0.6)
    return f"; did you mean {by_name[near[0]]}?" if near else ""


def _default(f: Any) -> Any:
    return f.default if f.default is not dataclasses.MISSING else f.default_factory()


def _type_name(f: Any) -> str:
    limits = ", ".join(f"{name.replace('_', ' ')} {bound}" for name, bound in f.metadata["limits"].items())
    return _kind_name(f.type) + (f", {limits}" if limits else "")


def _kind_name(kind: Any) -> str:
    if kind == float | int:
        return "a number"
    if isinstance(kind, types.UnionType):
        return " or ".join(_kind_name(option) for option in typing.get_args(kind))
    names = {str: "a string", bool: "true or false", int: "a whole number", float: "a finite number"}
    if typing.get_origin(kind) is list:
        return f"a list of {_kind_name(typing.get_args(kind)[0]).removeprefix('a ')}s"
    return names.get(kind, "a table of numbers")


def _toml(value: Any) -> str:
    """One value as TOML, on one line."""
    if isinstance(value, str):  # a JSON string is a TOML string, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    return one_line(str(value))


def _shown(value: Any) -> str:
    """A value in an error message: as TOML, on one line, not too long."""
    try:
        return _short(_toml(value))
    except (RecursionError, ValueError):  # tables in tables, or a number of more digits than Python writes
        return "what is too long to show"


def _short(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= 60 else text[:57] + "..."
