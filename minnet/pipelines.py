"""A fitted pipeline of scikit-learn as a model: what its steps do, said in our own preprocessing.

Each feature, an input of the pipeline's net, is a x + b, where x is a column's number, or 1 where
the column is one of some words and 0 elsewhere. Preprocessing makes the x; a and b go with it, or
into the first layer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sklearn import preprocessing as sk
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.utils import validation

from minnet.core.network import MLP
from minnet.data import frames
from minnet.data.dialect import Cells
from minnet.data.preprocess import GAP, OTHER, Preprocessing
from minnet.errors import ModelFileError
from minnet.estimator import MLPClassifier
from minnet.model import Model

SCALERS: dict[type, Callable[[Any], tuple[Any, Any]]] = {  # center and scale; None: no such
    sk.StandardScaler: lambda step: (step.mean_ if step.with_mean else None, step.scale_),
    sk.RobustScaler: lambda step: (step.center_, step.scale_),
    sk.MinMaxScaler: lambda step: (-step.min_ / step.scale_, 1 / step.scale_),
    sk.MaxAbsScaler: lambda step: (None, step.scale_),
}


@dataclass(frozen=True)
class Feature:
    """a x + b, where x is the column's number, `fill` where it is missing, unless that is None; or,
    with words, whether the column is one of them, GAP for missing."""

    column: str
    words: tuple[str, ...] = ()
    a: float = 1.0
    b: float = 0.0
    fill: Any = None


def save(model: Any, path: str | Path) -> None:
    """Write a fitted MLPClassifier, a Pipeline that ends in one, or a loaded model as one file, of
    which `load` makes what predicts the same; None and NaN are both missing. Raises ModelFileError
    for a step that no file can hold, and what MLPClassifier.save does."""
    if isinstance(model, MLPClassifier | Model):
        return model.save(Path(path))
    if not isinstance(model, Pipeline) or not isinstance(model.steps[-1][1], MLPClassifier):
        hint = "give an MLPClassifier, or a Pipeline that ends in one; of a search, best_estimator_"
        raise ModelFileError(f"{type(model).__name__} cannot be saved: {hint}")
    last, walk = model[-1].as_model(), Walk()
    first = next(step for _, step in model.steps if hasattr(step, "n_features_in_"))
    columns = validation._check_feature_names_in(first).tolist()  # or x0, x1, ...
    features = [Feature(name) for name in columns]
    for name, step in model.steps[:-1]:
        features = walk.step(step, features, name)
    last.preprocessing = walk.inputs(features, columns)
    last.net = joined(last.net, features, last.preprocessing)
    last.reading, last.source = {"columns": columns}, type(model).__name__
    return last.save(Path(path))


@dataclass
class Walk:
    """From step to step: the features that come out, all values of columns that are encoded, and
    the columns that may have no other value, nor be missing."""

    categories: dict[str, list[str]] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)

    def step(self, step: Any, features: list[Feature], at: str) -> list[Feature]:
        """The features after a step, whose name is `at`."""
        kind = type(step)
        if step == "drop" or not features:
            return []
        if step in (None, "passthrough") or (kind is sk.FunctionTransformer and step.func is None):
            return features
        if kind is Pipeline:
            for name, inner in step.steps:
                features = self.step(inner, features, f"{at}__{name}")
            return features
        own = {ColumnTransformer: self.columns, SimpleImputer: self.fill}
        if said := (own | {sk.OneHotEncoder: self.encode}).get(kind):
            return said(step, features, at)
        if kind not in SCALERS or getattr(step, "clip", False):
            _refuse(at, step, "clips" if kind in SCALERS else "has no counterpart in a model file")
        center, scale = SCALERS[kind](step)
        center = np.zeros(len(features)) if center is None else center
        scale = np.ones(len(features)) if scale is None else scale
        scaled = zip(features, center, scale, strict=True)
        return [replace(f, a=f.a / s, b=(f.b - m) / s) for f, m, s in scaled]

    def columns(self, step: Any, features: list[Feature], at: str) -> list[Feature]:
        """The features that each transformer makes of its columns."""
        made, weights = list[Feature](), step.transformer_weights or {}
        for name, transformer, _ in step.transformers_:
            own, w = step._transformer_to_input_indices[name], weights.get(name, 1)
            for f in self.step(transformer, [features[i] for i in own], f"{at}__{name}"):
                made.append(replace(f, a=w * f.a, b=w * f.b))
        return made

    def fill(self, step: Any, features: list[Feature], at: str) -> list[Feature]:
        """The features with a value for what is missing; and one for each that says what is."""
        if isinstance(step.missing_values, str) or _words([step.missing_values]) != [GAP]:
            _refuse(at, step, f"takes {step.missing_values!r} for missing")
        made = list[Feature]()
        for f, value in zip(features, step.statistics_.tolist(), strict=True):
            if f.words or f.fill is not None:
                made.append(f)
            elif value == value:  # else the column was empty, and is left out
                plain = (f.a, f.b) == (1, 0)  # text has to be
                made.append(replace(f, fill=value if plain else (value - f.b) / f.a))
        gaps = step.indicator_.features_ if step.add_indicator else []
        return made + [Feature(features[i].column, (GAP,)) for i in gaps]

    def encode(self, step: Any, features: list[Feature], at: str) -> list[Feature]:
        """A feature for each category of each that is not dropped."""
        if step.min_frequency is not None or step.max_categories is not None:
            _refuse(at, step, "puts rare categories together")
        made = list[Feature]()
        dropped = [None] * len(features) if step.drop_idx_ is None else step.drop_idx_
        for f, given, drop in zip(features, step.categories_, dropped, strict=True):
            if f.words or (f.a, f.b) != (1, 0) or given.dtype.kind in "mM":
                what = "which holds dates, or what other steps made"
                _refuse(at, step, f"encodes column {f.column!r}, {what}")
            words, fill, filled = _words(given.tolist()), _words([f.fill])[0], f.fill is not None
            for value, word in zip(given.tolist(), words, strict=True):
                lost = word == GAP and value != f.fill and (isinstance(value, str) or filled)
                if lost or words.count(word) > 1:
                    how = "missing" if lost else "another category"
                    _refuse(at, step, f"column {f.column!r} has {value!r}, which reads as {how}")
            closed = step.handle_unknown == "error"
            gap = GAP in words or (filled and (fill in words or not closed))
            values = [word for word in words if word != GAP] + [GAP] * gap
            values += [OTHER] * (len(values) > 1)  # two values alone would be one input
            if self.categories.setdefault(f.column, values) != values:
                _refuse(at, step, f"encodes column {f.column!r} in another way than a step before")
            self.closed += [f.column] * closed
            of = {fill: tuple({fill, GAP})} if filled else {}
            made += [Feature(f.column, of.get(w, (w,))) for k, w in enumerate(words) if k != drop]
        return made

    def inputs(self, features: list[Feature], columns: list[str]) -> Preprocessing:
        """What makes the features, up to a factor and a sum. Raises ModelFileError."""
        used: dict[str, Feature] = {}
        for f in features:
            if not f.words and f.column in self.categories:
                raise ModelFileError(f"column {f.column!r} is both a number and a category")
            if not f.words and used.setdefault(f.column, f).fill != f.fill:
                raise ModelFileError(f"column {f.column!r} is filled in two ways")
        gaps = {f.column for f in features if f.words and f.column not in self.categories}
        names, fill = [name for name in columns if name in used or name in gaps], None
        if gaps or self.categories or any(f.fill is not None for f in used.values()):
            self.closed += [name for name in used if used[name].fill is None]
            fills = {name: f.fill or 0.0 for name, f in used.items()}
            fill = np.array([fills.get(name, 0.0) for name in names])
        own: Any = {"gaps": [name for name in names if name in gaps], "closed": self.closed}
        fitted = Preprocessing(names, fill, np.zeros(0), np.ones(0), self.categories, **own)
        fitted.center, fitted.scale = np.zeros(D := len(fitted.inputs)), np.ones(D)
        for name, f in used.items():
            j = names.index(name)
            fitted.center[j], fitted.scale[j] = -f.b / f.a, 1 / f.a
        return fitted


def joined(net: MLP, features: list[Feature], fitted: Preprocessing) -> MLP:
    """The net that takes the inputs u instead of the features u A + c: its first layer gives
    (u A + c) W + b = u (A W) + (c W + b)."""
    words = [(name, word) for name, values in fitted.categories.items() for word in values]
    keys = [(name, "number") for name in fitted.names] + [(name, GAP) for name in fitted.gaps]
    place = {key: j for j, key in enumerate([*keys, *words])}
    A, c = np.zeros((len(place), len(features))), np.array([f.b for f in features])
    for i, f in enumerate(features):
        for word in f.words or ["number"]:
            if (j := place.get((f.column, word))) is not None:  # else it raises where it is missing
                A[j, i] += f.a * fitted.scale[j]
                c[i] += f.a * fitted.center[j]
    members = None if net.theta.ndim == 1 else len(net.theta)
    sizes = [len(place), *net.layer_sizes[1:]]
    new, W = MLP(sizes, net.activation, dtype=net.dtype, members=members), net.weights[0]
    for layer, old in zip(new.layers[1:], net.layers[1:], strict=True):
        layer.Wb[:] = old.Wb
    new.weights[0][:], new.biases[0][:] = A @ W, net.biases[0] + c @ W
    return new


def _words(cells: list[Any]) -> list[str]:
    return frames.words(cells, Cells(()).word).tolist()


def _refuse(at: str, step: Any, why: str) -> NoReturn:
    raise ModelFileError(f"step {at!r}: {type(step).__name__} {why}, so it cannot be saved")
