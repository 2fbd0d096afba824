"""Configs: TOML files <-> frozen dataclasses, overrides, and errors that name the key.

The value of a key comes from the command line (section.key=value), else from the file, else from
the defaults below. It is checked against its key's type, choices and limits before anything loads.
"""

import contextlib
import copy
import json
import os
import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from operator import attrgetter, ge, gt, le, lt
from pathlib import Path
from typing import Any

from minnet.core.activations import ACTIVATIONS
from minnet.core.optimizers import OPTIMIZERS, SCHEDULES
from minnet.core.softmax import OUTPUT_GRADIENTS
from minnet.errors import ConfigError, did_you_mean, one_line, short
from minnet.metrics import WATCHED

BUNDLED = ("iris", "wine", "breast_cancer", "digits")
GENERATORS = ("moons", "circles", "blobs", "classification", "gaussian_quantiles")
FETCHED = ("covtype", "kddcup99", "20newsgroups_vectorized", "olivetti_faces", "lfw_people")
OPENML, FILE = "openml:NAME", "path/to/file"  # any source of that kind
LONGEST = 10**6  # characters of a config
FOLDS, SIZE = "folds", 0.2  # of the validation part; the second where there can be no folds

LIMITS = {"at least": ge, "above": gt, "below": lt, "at most": le}
SEED, INDEX = "at least 0, below 4294967296", "at least -1e6, at most 1e6"
COUNT, UNITS = "at least 1, at most 1e9", "at least 1, at most 1e6"
SHARE, FROM_0, ABOVE_0 = "at least 0, below 1", "at least 0, at most 1e9", "above 0, at most 1e9"
TYPES: dict[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    int | float: "a number",
    int | float | str: "a number or a string",
    list[str]: "a list of strings",
    list[str | int]: "a list of names or places",
    list[str | int | float]: "a list of values",
    list[int]: "a list of whole numbers",
    dict[str, float]: "a table of numbers",
}


def key(default: Any, text: str, limits: str = "", choices: Iterable = (), only: Any = ()) -> Any:
    """A config key: its default and help; the limits of a number, or of each number in a list; the
    strings that it may be; the kinds of sources that it has an effect on (none given: all)."""
    about = {"help": text, "limits": limits, "choices": tuple(choices), "only": only}
    return field(default_factory=lambda: copy.copy(default), metadata=about)


@dataclass(frozen=True)
class DataConfig:
    """[data]: where rows come from, how they are split and scaled."""

    source: str = key(
        "digits",
        "a data set, here or at OpenML (openml:NAME, openml:NAME:VERSION), or a file: a table such "
        "as CSV (- is standard input), .npz with X and y, svmlight, or a folder with X.npy, y.npy",
        choices=(*BUNDLED, *GENERATORS, *FETCHED, OPENML, FILE),
    )
    target: str | int = key(
        "", 'labels, by name or place; "": target, label, class, y or the last', INDEX,
        only=(FILE, OPENML),
    )  # fmt: skip
    drop: list[str | int] = key([], "columns to leave out, by name or place", INDEX, only=(FILE,))
    categorical: list[str | int] = key([], "columns of categories", INDEX, only=(FILE,))
    numeric: list[str | int] = key([], "columns of numbers", INDEX, only=(FILE,))
    missing_values: list[str | int | float] = key([], "more cells that are missing", only=(FILE,))
    missing: str = key(
        "median", "missing cells", choices=("median", "mean", "drop", "error"), only=(FILE,)
    )
    header: str | bool = key("auto", "whether row 1 holds names", choices=("auto",), only=(FILE,))
    validation_source: str = key("", "a separate file for the validation part", only=(FILE,))
    test_source: str = key("", "a separate file for the test part", only=(FILE,))
    test_size: int | float = key(0.2, "test part: a share or number of rows; 0: none", FROM_0)
    validation_size: int | float | str = key(
        FOLDS, "of the rest; 0: none; folds: each member leaves out its own", FROM_0, (FOLDS,)
    )
    split_seed: int = key(0, "which rows are in which part", SEED)
    scale: str = key(
        "piecewise",
        "scaling of inputs; piecewise: robust, and what share of each of eight bins is below",
        choices=("piecewise", "robust", "standard", "minmax", "none"),
    )
    samples: int = key(1000, "rows to generate", COUNT, only=GENERATORS)
    features: int = key(2, "features to generate", UNITS, only=GENERATORS[2:])
    classes: int = key(3, "classes to generate", "at least 2, at most 1e6", only=GENERATORS[2:])
    noise: float = key(
        0.2, "deviation; classification: share of random labels", "at least 0", only=GENERATORS[:-1]
    )
    generator_seed: int = key(0, "which rows are generated", SEED, only=GENERATORS)


@dataclass(frozen=True)
class ModelConfig:
    """[model]: the net."""

    hidden: list[int] = key([128], "units of each hidden layer; []: none", UNITS)
    activation: str | list[str] = key("relu", "for all layers, or a list", choices=ACTIVATIONS)
    dropout: float = key(0.0, "chance to drop a hidden unit in training", SHARE)
    output_gradient: str = key("vjp", "J written out, J^T dp, or p - y", "", OUTPUT_GRADIENTS)
    dtype: str = key("float32", "of parameters and arithmetic", choices=("float32", "float64"))
    members: int = key(8, "nets side by side; predicts their mean p", "at least 1, at most 1e4")


@dataclass(frozen=True)
class OptimizerConfig:
    """[optimizer]: how a gradient becomes a step."""

    name: str = key("adamw", "the update rule", choices=OPTIMIZERS)
    learning_rate: float = key(0.005, "step size; the largest of a schedule", "above 0")
    momentum: float = key(0.9, "momentum, nesterov: decay of the velocity", SHARE)
    beta1: float = key(0.9, "adam, adamw: decay of the mean gradient", SHARE)
    beta2: float = key(0.999, "adam, adamw: decay of the mean square", SHARE)
    epsilon: float = key(1e-8, "adam, adamw: added to the root of the mean square", "above 0")
    weight_decay: float = key(0.3, "L += decay/2 sum(W^2); adamw: W -= rate decay W", "at least 0")
    schedule: str = key("cosine", "how the learning rate changes", choices=SCHEDULES)
    warmup_epochs: float = key(0.0, "epochs of linear warm-up", FROM_0)
    step_epochs: float = key(30.0, "schedule step: epochs between drops", ABOVE_0)
    step_factor: float = key(0.1, "schedule step: factor of each drop", "above 0, at most 1")


@dataclass(frozen=True)
class TrainConfig:
    """[train]: the run."""

    epochs: int = key(0, "maximum passes over the training part; 0: by its rows", FROM_0)
    batch_size: int = key(0, "rows per step, at most all; 0: by the training part's rows", FROM_0)
    seed: int = key(0, "initial weights, order of rows, dropout", SEED)
    patience: int = key(16, "stop after so many epochs without improvement; 0: never", FROM_0)
    watch: str = key(
        "loss",
        "validation figure that stops training and selects the weights; loss: by class_weight",
        choices=("loss", "accuracy", *WATCHED),
    )
    label_smoothing: float = key(0.05, "s: targets 1 - s for the label, plus s/K for all", SHARE)
    class_weight: str | dict[str, float] = key(
        "none", 'or a table {"label" = weight}', FROM_0, ("none", "balanced")
    )
    checkpoint_seconds: float = key(5.0, "time between checkpoints; 0: each epoch", FROM_0)
    max_grad_norm: float = key(0.0, "clip the gradient to this norm; 0: never", "at least 0")


@dataclass(frozen=True)
class Config:
    """All four sections."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


# one net that is trained in the simplest way, as overrides
PLAIN = (
    *("data.scale=standard", "data.validation_size=0.2", "model.members=1", "optimizer.name=adam"),
    *("optimizer.learning_rate=0.001", "optimizer.weight_decay=0", "optimizer.schedule=constant"),
    *("train.epochs=100", "train.batch_size=32", "train.patience=20", "train.label_smoothing=0"),
)
SECTIONS: dict[str, Any] = {f.name: f.type for f in fields(Config)}
KEYS = {f"{section}.{f.name}": f for section, cls in SECTIONS.items() for f in fields(cls)}


def shipped() -> dict[str, Path]:
    """The configs that come with minnet, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("configs/*.toml"))}


def locate(arguments: list[str]) -> tuple[Path | None, list[str]]:
    """The config file among the arguments, by path or by the name of a shipped one, None for the
    defaults, and the overrides; a table is an override of data.source. Without any, it is the
    shipped config digits. Raises ConfigError for an argument that is none of these."""
    names = [argument for argument in arguments if "=" not in argument]
    if names and (names != arguments[:1] or names[0] in KEYS):
        parse_override(names[-1])  # raises, and names the nearest key
    overrides, known = arguments[len(names) :], shipped()
    sources = [text for text in overrides if text.startswith("data.source=")]
    if sources and not names:
        return None, overrides
    name = names[0] if names else "digits"
    if not name.strip():
        raise ConfigError(f"{_toml(name)}: names no table, config or data set")
    if name in known:
        return known[name], overrides
    if Path(name).suffix == ".toml" or kind_of(name) != FILE:
        return Path(name), overrides
    return None, [f"data.source={_toml(name)}", *overrides]


def load(path: Path | None, overrides: Iterable[str] = ()) -> Config:
    """The config in the file at `path` (None: all defaults), with overrides "section.key=value".
    Raises ConfigError, one line that names the file or argument, the section and the key."""
    config, where, sections = Config(), f"{path}: ", _read(path) if path else {}
    if path and all(table == {} for table in sections.values()):
        raise ConfigError(f"{path}: holds no keys: write some below [data], or give a data set")
    for section, table in sections.items():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section {short(section)}{_nearest(section)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section} is a section: write [{section}] above its keys")
        for name, value in table.items():
            config = _with(config, f"{section}.{name}", value, where)
    return changed(config, map(parse_override, overrides), where if path else "")


def changed(config: Config, values: Iterable[tuple[str, Any]], where: str = "") -> Config:
    """The config with these values of keys, by the keys' full names. Raises ConfigError, which
    begins with `where` if there are none."""
    for full_name, value in values:
        config, where = _with(config, full_name, value), ""
    if mistake := _contradiction(config):
        raise ConfigError(f"{where}{mistake}")
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
        parsed = _parsed(f"value = {value}")
        return full_name.strip(), parsed["value"] if len(parsed) == 1 else value
    return full_name.strip(), value.strip()


def values(config: Config) -> dict[str, Any]:
    """The value of every key, by the key's full name."""
    return {name: attrgetter(name)(config) for name in KEYS}


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


def kind_of(source: str) -> str:
    """OPENML, a data set's own name, or FILE for what has a suffix or a folder, or exists."""
    if re.fullmatch(r"openml:[^:]+(:[1-9][0-9]{0,8})?", source):
        return OPENML
    if source in (*BUNDLED, *GENERATORS, *FETCHED) or source.startswith("openml:"):
        return source
    path, exists = Path(source), os.path.exists(source)  # noqa: PTH110 - Path's may raise
    return FILE if path.name != source or path.suffix or exists or source == "-" else source


def _read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        hint = did_you_mean(path.stem, shipped()) or f"; shipped configs: {', '.join(shipped())}"
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{hint}") from None
    try:
        return _parsed(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not TOML: {one_line(error)}") from None


def _parsed(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError, also for what is no config and would take
    tomllib more memory than there is, and RecursionError."""
    if len(text) > LONGEST or any(key.count(".") > 100 for key in re.split(r"[=,{\n]", text)):
        raise ValueError("too large for a config, or a key has too many parts")
    return tomllib.loads(text)


def _with(config: Config, full_name: str, value: Any, where: str = "") -> Config:
    """The config with this value for a key. Raises ConfigError if the key cannot have it."""
    if full_name not in KEYS:
        raise ConfigError(f"{where}unknown key {short(full_name)}{_nearest(full_name)}")
    (section, name), f = full_name.split("."), KEYS[full_name]
    try:
        fitted = _fitted(value, f.type, f.metadata)
        if name.endswith("_size") and isinstance(fitted, float) and fitted >= 1:
            raise ValueError(f"must be a fraction below 1 or a whole number, got {value}")
    except (TypeError, ValueError) as error:
        string = "the string " * isinstance(value, str)
        expected = f"expected {_type_name(f.type)}, got {string}{_shown(value)}"
        raise ConfigError(f"{where}{full_name}: {str(error) or expected}") from None
    return replace(config, **{section: replace(getattr(config, section), **{name: fitted})})


def _fitted(value: Any, kind: Any, about: Any) -> Any:
    """A value from TOML as its key's type. Raises TypeError if it is of another, ValueError if the
    key's choices or limits forbid it."""
    fits = type(value) is kind or (kind is float and type(value) is int)  # bool is no int here
    if isinstance(kind, types.UnionType):
        for option in typing.get_args(kind):
            with contextlib.suppress(TypeError):
                return _fitted(value, option, about)
    elif type(value) is typing.get_origin(kind):
        *_, inner = typing.get_args(kind)
        if isinstance(value, list):
            return [_fitted(item, inner, about) for item in value]
        return {name: _fitted(item, inner, about) for name, item in value.items()}
    elif fits and (isinstance(value, str) or abs(value) <= sys.float_info.max):
        _check(value, about)
        return kind(value)
    raise TypeError


def _check(value: str | float, about: Any) -> None:
    """Raise ValueError if a key's choices forbid a string, or its limits a number."""
    choices, limits = about["choices"], filter(None, about["limits"].split(", "))
    if isinstance(value, str):
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise ValueError(f"{_shown(value)} is not UTF-8: no config can hold it; rename it")
        if choices and value not in choices and kind_of(value) not in choices:
            hint = did_you_mean(value[:100], choices) or f"; choose from {', '.join(choices)}"
            raise ValueError(f"unknown value {_shown(value)}{hint}")
    else:
        for words, bound in (limit.rsplit(" ", 1) for limit in limits):
            if not LIMITS[words](value, float(bound)):
                raise ValueError(f"must be {words} {bound}, got {_shown(value)}")


def _contradiction(config: Config) -> str:
    """What to say of values that do not fit each other; empty if all do."""
    model, noise, defaults = config.model, config.data.noise, values(Config())
    source, kind = short(config.data.source), kind_of(config.data.source)
    for name, value in values(config).items():
        only = KEYS[name].metadata["only"]
        if only and kind not in only and value != defaults[name]:
            return f"{name}: has no effect on {source}, only on {' or '.join(only)}"
    names, layers = len(model.activation), len(model.hidden)
    if isinstance(model.activation, list) and names != layers:
        return f"model.activation: {names} names for {layers} layers in model.hidden"
    if isinstance(config.data.target, int) and kind == OPENML:
        return "data.target: name the column; OpenML's have no index"
    if (kind == "blobs" and noise == 0) or (kind == "classification" and noise > 1):
        return "data.noise: must be above 0 for blobs, at most 1 for classification"
    return ""


def _nearest(word: str) -> str:
    """The end of a message about an unknown key: the nearest one, or all that could be meant."""
    word = word[:100]  # difflib takes the square of its length
    near = [key for key in KEYS if did_you_mean(word.rpartition(".")[2], [key.partition(".")[2]])]
    own = [key for key in KEYS if key.startswith(f"{word.partition('.')[0]}.")]
    return did_you_mean(word, near, 0) or f"; choose from {', '.join(own or SECTIONS)}"


def _type_name(kind: Any) -> str:
    return TYPES.get(kind) or " or ".join(TYPES[option] for option in typing.get_args(kind))


def _toml(value: Any) -> str:
    """One value as TOML, on one line: JSON but for tables, and what does not print as an escape;
    but a lone surrogate, which TOML cannot hold, is told of."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(name)} = {_toml(value[name])}' for name in value)}}}"
    text = json.dumps(value, ensure_ascii=False, default=str)
    plain = (c.isprintable() or "\ud800" <= c <= "\udfff" for c in text)
    return "".join(c if ok else f"\\U{ord(c):08x}" for c, ok in zip(text, plain, strict=True))


def _shown(value: Any) -> str:
    """A value in a message: as TOML, on one line, not too long."""
    try:
        text = one_line(_toml(value))
    except (RecursionError, ValueError):  # a deep table, or more digits than Python writes
        return "a value too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
