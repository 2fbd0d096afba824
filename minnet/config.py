"""Configs: TOML files <-> frozen dataclasses, overrides, and errors that name the key.

A config has four sections of keys. The value of a key comes from the command line
(section.key=value), else from the file, else from the defaults below. It is checked against the
type, choices and limits of its key before anything is loaded.
"""

import contextlib
import json
import os
import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any

from minnet.core.activations import ACTIVATIONS
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES
from minnet.core.softmax import OUTPUT_GRADIENTS
from minnet.errors import ConfigError, did_you_mean, one_line, short

BUNDLED = ("iris", "wine", "breast_cancer", "digits")
GENERATORS = ("moons", "circles", "blobs", "classification", "gaussian_quantiles")
FETCHED = ("covtype", "kddcup99", "20newsgroups_vectorized", "olivetti_faces", "lfw_people")
OPENML, FILE = "openml:NAME", "path/to/file"  # any source of that kind

SHIPPED = Path(__file__).parent / "configs"
DEFAULT = "digits"
MAX_BYTES = 1_000_000
LIMITS = {"at least": ge, "above": gt, "below": lt, "at most": le}
SEED, COUNT = "at least 0, below 4294967296", "at least 1, at most 1e9"
SHARE, UP_TO_1E9 = "at least 0, below 1", "at least 0, at most 1e9"
TYPES: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    float | int: "a number",
    list[str]: "a list of strings",
    list[int]: "a list of whole numbers",
    dict[str, float]: "a table of numbers",
}


def key(
    default: Any,
    text: str,
    limits: str = "",
    choices: Iterable[str] = (),
    only: tuple[str, ...] = (),
) -> Any:
    """A config key: its default and help; the limits of a number, or of each number in a list; the
    strings that it may be; the kinds of sources that it has an effect on (none given: all)."""
    metadata = {"help": text, "limits": limits, "choices": tuple(choices), "only": only}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class DataConfig:
    """[data]: where rows come from, how they are split and scaled."""

    source: str = key(
        "digits",
        "a data set, here or at OpenML (openml:NAME, openml:NAME:VERSION), or a file: CSV or TSV "
        "(also .gz), .npz with X and y, svmlight, or a folder with X.npy and y.npy",
        choices=(*BUNDLED, *GENERATORS, *FETCHED, OPENML, FILE),
    )
    target: str | int = key(
        "",
        'column to predict, by name or by index from 0; "": the last, or OpenML\'s own target',
        "at least -1e6, at most 1e6",
        only=(FILE, OPENML),
    )
    header: str | bool = key("auto", "whether line 1 has names", choices=("auto",), only=(FILE,))
    categorical: list[str] = key([], "text columns to one-hot encode", only=(FILE,))
    missing: str = key(
        "error",
        "treatment of missing values",
        choices=("error", "mean", "median", "drop"),
        only=(FILE,),
    )
    validation_source: str = key("", "a separate file for the validation part", only=(FILE,))
    test_source: str = key("", "a separate file for the test part", only=(FILE,))
    test_size: float | int = key(
        0.2, "test part: a fraction of the rows, or their number", "above 0, at most 1e9"
    )
    validation_size: float | int = key(0.2, "validation part of the rest; 0: none", UP_TO_1E9)
    split_seed: int = key(0, "which rows are in which part", SEED)
    scale: str = key("standard", "scaling of features", choices=("standard", "minmax", "none"))
    samples: int = key(1000, "rows to generate", COUNT, only=GENERATORS)
    features: int = key(2, "features to generate", "at least 1, at most 1e6", only=GENERATORS[2:])
    classes: int = key(3, "classes to generate", "at least 2, at most 1e6", only=GENERATORS[2:])
    noise: float = key(
        0.2,
        "standard deviation; classification: share of random labels",
        "at least 0",
        only=GENERATORS[:-1],
    )
    generator_seed: int = key(0, "which rows are generated", SEED, only=GENERATORS)


@dataclass(frozen=True)
class ModelConfig:
    """[model]: the net."""

    hidden: list[int] = key([64], "units of each hidden layer; []: none", "at least 1, at most 1e6")
    activation: str | list[str] = key("relu", "for all layers, or a list", choices=ACTIVATIONS)
    dropout: float = key(0.0, "chance to drop a hidden unit in training", SHARE)
    output_gradient: str = key(
        "vjp",
        "from the loss to the logits: J, J^T dp without J, or p - y",
        choices=OUTPUT_GRADIENTS,
    )
    dtype: str = key("float32", "of parameters and arithmetic", choices=("float32", "float64"))


@dataclass(frozen=True)
class OptimizerConfig:
    """[optimizer]: how a gradient becomes a step."""

    name: str = key("adam", "the update rule", choices=OPTIMIZERS)
    learning_rate: float = key(0.001, "step size; with a schedule, the largest", "above 0")
    momentum: float = key(0.9, "momentum, nesterov: decay of the velocity", SHARE)
    beta1: float = key(0.9, "adam, adamw: decay of the mean gradient", SHARE)
    beta2: float = key(0.999, "adam, adamw: decay of the mean square", SHARE)
    epsilon: float = key(1e-8, "adam, adamw: added to the root of the mean square", "above 0")
    weight_decay: float = key(
        0.0, "adds decay/2 sum(W^2) to the loss; adamw: W -= rate * decay * W", "at least 0"
    )
    schedule: str = key("constant", "how the learning rate changes", choices=SCHEDULES)
    warmup_epochs: float = key(0.0, "epochs of linear warm-up", UP_TO_1E9)
    step_epochs: float = key(30.0, "schedule step: epochs between drops", "above 0, at most 1e9")
    step_factor: float = key(0.1, "schedule step: factor of each drop", "above 0, at most 1")


@dataclass(frozen=True)
class TrainConfig:
    """[train]: the run."""

    epochs: int = key(100, "maximum passes over the training part", COUNT)
    batch_size: int = key(32, "rows per step, at most all", COUNT)
    seed: int = key(0, "initial weights, order of rows, dropout", SEED)
    patience: int = key(20, "stop after so many epochs without improvement; 0: never", UP_TO_1E9)
    watch: str = key("loss", "figure that selects the weights", choices=("loss", "accuracy"))
    label_smoothing: float = key(0.0, "s: targets 1 - s for the label, plus s/K for all", SHARE)
    class_weight: str | dict[str, float] = key(
        "none", 'or a table {"label" = weight}', UP_TO_1E9, ("none", "balanced")
    )
    checkpoint_seconds: float = key(5.0, "time between checkpoints; 0: each epoch", UP_TO_1E9)
    max_grad_norm: float = key(0.0, "clip the gradient to this norm; 0: never", "at least 0")


@dataclass(frozen=True)
class Config:
    """All four sections."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


SECTIONS: dict[str, Any] = {f.name: f.type for f in fields(Config)}
KEYS = {f"{section}.{f.name}": f for section, cls in SECTIONS.items() for f in fields(cls)}


def shipped() -> dict[str, Path]:
    """The configs that come with minnet, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def locate(arguments: list[str]) -> tuple[Path, list[str]]:
    """The config file among the arguments, by path or by the name of a shipped one (default:
    digits), and the overrides. Raises ConfigError for an argument that is neither."""
    names = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    if not names:
        return shipped()[DEFAULT], overrides
    if names != arguments[:1] or names[0] in KEYS:
        parse_override(names[-1])  # raises, and names the nearest key
    path, known = Path(names[0]), shipped()
    return known[names[0]] if names[0] in known and not path.is_file() else path, overrides


def load(path: Path | None, overrides: Iterable[str] = ()) -> Config:
    """The config in the file at `path` (None: all defaults), with overrides "section.key=value".

    Raises ConfigError, one line that names the file or argument, the section and the key.
    """
    config = Config()
    for section, table in (_read(path) if path else {}).items():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section {short(section)}{_nearest(section)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section: write [{section}] above its keys")
        for name, value in table.items():
            config = _with(config, f"{section}.{name}", value, f"{path}: ")
    for override in overrides:
        config = _with(config, *parse_override(override))
    _check_together(config)
    return config


def parse_override(text: str) -> tuple[str, Any]:
    """A key's full name and its value, read as TOML; what is not TOML is a string.

    >>> parse_override("model.hidden=[64, 32]"), parse_override("model.activation=tanh")
    (('model.hidden', [64, 32]), ('model.activation', 'tanh'))
    """
    full_name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{short(text)} is not section.key=value{_nearest(text)}")
    with contextlib.suppress(ValueError, RecursionError):
        parsed = tomllib.loads(f"value = {value}")
        return full_name.strip(), parsed["value"] if len(parsed) == 1 else value
    return full_name.strip(), value.strip()


def values(config: Config) -> dict[str, Any]:
    """The value of every key, by the key's full name."""
    sections = asdict(config).items()
    return {f"{section}.{name}": table[name] for section, table in sections for name in table}


def dumps(config: Config) -> str:
    """The whole config as TOML, every key with its value; `load` reads it back to an equal one."""
    lines = []
    for section, table in asdict(config).items():
        lines += [f"[{section}]", *(f"{name} = {_toml(table[name])}" for name in table), ""]
    return "\n".join(lines)


def describe() -> str:
    """Every key with its default, type, limits, meaning and choices, for --help."""
    lines, defaults = [], values(Config())
    for name, f in KEYS.items():
        about = f.metadata
        kind = ", ".join(filter(None, [_type_name(f.type), about["limits"]]))
        lines += [f"  {name} = {_toml(defaults[name])}   ({kind})", f"      {about['help']}"]
        for title in ("choices", "only"):
            lines += [f"      {title}: {', '.join(about[title])}"] if about[title] else []
    return "\n".join(lines)


def is_file_source(source: str) -> bool:
    """Whether a source is a path: it has a folder or a suffix in its name, or it exists."""
    return _kind(source) == FILE


def _kind(source: str) -> str:
    """OPENML, FILE, or the source's own name."""
    if re.fullmatch(r"openml:[^:]+(:[1-9][0-9]{0,8})?", source):
        return OPENML
    if source in (*BUNDLED, *GENERATORS, *FETCHED) or source.startswith("openml:"):
        return source
    path, exists = Path(source), os.path.exists(source)  # noqa: PTH110 - Path's may raise
    return FILE if path.name != source or path.suffix or exists else source


def _read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = did_you_mean(path.stem, shipped()) or f"; shipped: {', '.join(shipped())}"
        raise ConfigError(f"{path}: no such config file{hint}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot read this config: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes, so hardly a config")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        where = f"byte {error.start + 1}"
        raise ConfigError(f"{path}: is not UTF-8 text ({where}); save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not TOML: {one_line(error)}") from None


def _with(config: Config, full_name: str, value: Any, where: str = "") -> Config:
    """The config with this value for a key. Raises ConfigError if the key cannot have it."""
    if full_name not in KEYS:
        raise ConfigError(f"{where}unknown key {short(full_name)}{_nearest(full_name)}")
    try:
        fitted = _checked(value, KEYS[full_name])
    except ValueError as error:
        raise ConfigError(f"{where}{full_name}: {error}") from None
    section, _, name = full_name.partition(".")
    return replace(config, **{section: replace(getattr(config, section), **{name: fitted})})


def _checked(value: Any, f: Any) -> Any:
    """`value` in the key's type. Raises ValueError if that, the choices or a limit forbid it."""
    try:
        fitted = _fitted(value, f.type)
    except TypeError:
        hint = ""
        with contextlib.suppress(TypeError):  # "0.1" in quotes, for one
            if isinstance(value, str):
                hint = f"; write {_toml(_fitted(parse_override(f'={value}')[1], f.type))}"
        raise ValueError(f"expected {_type_name(f.type)}, got {_shown(value)}{hint}") from None
    choices, limits = f.metadata["choices"], f.metadata["limits"]
    parts = fitted.values() if isinstance(fitted, dict) else [fitted]
    for part in fitted if isinstance(fitted, list) else parts:
        if isinstance(part, str):
            if choices and part not in choices and _kind(part) not in choices:
                hint = did_you_mean(part, choices)
                raise ValueError(f"{_shown(part)} is none of {', '.join(choices)}{hint}")
            continue
        for limit in filter(None, limits.split(", ")):
            words, _, bound = limit.rpartition(" ")
            if not LIMITS[words](part, float(bound)):
                raise ValueError(f"must be {limit}, got {_shown(value)}")
        if f.type == float | int and isinstance(part, float) and part >= 1:
            raise ValueError(f"{part} is not a fraction; write a number of rows without a point")
    return fitted


def _fitted(value: Any, kind: Any) -> Any:
    """A value from TOML in the type `kind`. Raises TypeError if it is of another."""
    if isinstance(kind, types.UnionType):
        for option in sorted(typing.get_args(kind), key=lambda option: type(value) is not option):
            with contextlib.suppress(TypeError):
                return _fitted(value, option)
    elif kind is float:
        if type(value) in (int, float) and abs(value) <= sys.float_info.max:
            return float(value)
    elif type(value) is kind:  # True is no whole number
        return value
    elif type(value) is typing.get_origin(kind):
        *_, inner = typing.get_args(kind)
        if isinstance(value, list):
            return [_fitted(item, inner) for item in value]
        return {name: _fitted(item, inner) for name, item in value.items()}
    raise TypeError


def _check_together(config: Config) -> None:
    """Raises ConfigError for values that do not fit each other."""
    model, source, noise = config.model, config.data.source, config.data.noise
    defaults, kind = values(Config()), _kind(source)
    for name, value in values(config).items():
        only = KEYS[name].metadata["only"]
        if only and kind not in only and value != defaults[name]:
            raise ConfigError(
                f"{name}: has no effect on {short(source)}, only on {' or '.join(only)}"
            )
    if isinstance(model.activation, list) and len(model.activation) != len(model.hidden):
        names, layers = len(model.activation), len(model.hidden)
        raise ConfigError(f"model.activation: {names} names for {layers} layers in model.hidden")
    if isinstance(config.data.target, int) and kind == OPENML:
        raise ConfigError("data.target: name the column: those of OpenML have no index")
    if kind == "blobs" and noise == 0:
        raise ConfigError("data.noise: must be above 0 for blobs")
    if kind == "classification" and noise > 1:
        raise ConfigError("data.noise: for classification it is a share of labels, at most 1")


def _nearest(word: str) -> str:
    """The end of a message about an unknown key: the nearest one, or all that could be meant."""
    near = [key for key in KEYS if did_you_mean(word.rpartition(".")[2], [key.partition(".")[2]])]
    section = f"{word.partition('.')[0]}."
    own = [key for key in KEYS if key.startswith(section)]
    return did_you_mean(word, near, 0) or f"; choose from {', '.join(own or SECTIONS)}"


def _type_name(kind: Any) -> str:
    return TYPES.get(kind) or " or ".join(TYPES[option] for option in typing.get_args(kind))


def _toml(value: Any) -> str:
    """One value as TOML, on one line: JSON but for tables and DEL."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(name)} = {_toml(value[name])}' for name in value)}}}"
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _shown(value: Any) -> str:
    """A value in a message: as TOML, on one line, not too long."""
    try:
        text = one_line(_toml(value))
    except (RecursionError, ValueError):  # a deep table, or more digits than Python writes
        return "a value too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
