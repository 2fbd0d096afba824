"""A model as an ONNX graph: what becomes of the columns, the net, and the members' mean, in one.

`register` lets skl2onnx convert MLPClassifier, by the same graph of the net.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet import files
from minnet.core.activations import CUBIC, LEAK, SCALE
from minnet.core.network import MLP
from minnet.core.softmax import softmax
from minnet.data.dialect import Cells
from minnet.data.preprocess import CLIP, GAP, OTHER, Preprocessing, numbers_of
from minnet.data.table import Table
from minnet.errors import VERSION, DataError, MinnetError, one_line
from minnet.model import Model

OPSET, IR = 20, 9  # of January 2024: the first with RegexFullMatch
OUTPUTS = ("label", "probabilities")
CLOSE = 1e-5  # what p of the graph may differ by
NUMBER = r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*"
LARGE = 1e100  # as good as infinite where numbers are drawn in, and its square is finite


class Graph:
    """An ONNX graph in the making: `add_node` and a list of constants take it, `new` names it."""

    def __init__(self, new: Callable[[], str], add_node: Callable, constants: list) -> None:
        self.new, self.add_node, self.constants = new, add_node, constants

    def __call__(self, operator: str, *inputs: Any, out: str = "", **attributes: Any) -> str:
        """Add a node with these inputs, names or arrays; returns the name of its output."""
        from onnx import numpy_helper

        names = list[str]()
        for given in inputs:
            names.append(given if isinstance(given, str) else self.new())
            if not isinstance(given, str):
                self.constants.append(numpy_helper.from_array(np.array(given), names[-1]))
        out = out or self.new()
        self.add_node(operator, names, [out], **attributes)
        return out

    def cast(self, x: str, dtype: Any, out: str = "") -> str:
        """x in another dtype of NumPy."""
        return self("Cast", x, out=out, to=_code(dtype))


def _code(dtype: Any) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _gelu(g: Graph, a: str, c: Callable) -> str:
    """a (1 + tanh u)/2, which is a / (1 + exp(-2u)), with u = a (SCALE + SCALE CUBIC a^2)."""
    cubic = g("Add", c(2 * SCALE), g("Mul", g("Mul", a, a), c(2 * SCALE * CUBIC)))
    return g("Mul", a, g("Sigmoid", g("Mul", a, cubic)))


# Runtimes have the operators LeakyRelu and Gelu in float32 alone
ACTIVATIONS: dict[str, Callable[[Graph, str, Callable], str]] = {
    "relu": lambda g, a, c: g("Relu", a),
    "tanh": lambda g, a, c: g("Tanh", a),
    "logistic": lambda g, a, c: g("Sigmoid", a),
    "identity": lambda g, a, c: a,
    "leaky_relu": lambda g, a, c: g("Max", a, g("Mul", a, c(LEAK))),
    "gelu": _gelu,
}


def _net(g: Graph, x: str, net: MLP, K: int) -> str:
    """p (N, K) of x (N, D), the first K classes of the net, in its dtype."""
    h, weights = g.cast(x, net.dtype), [layer.Wb for layer in net.layers]
    missing = net.K - weights[-1].shape[-1]  # z = (0, a) of one output unit
    weights[-1] = np.insert(weights[-1], [0] * missing, 0, axis=-1)[..., :K]
    for Wb, name in zip(weights, [*net.activation, "identity"], strict=True):
        a = g("Add", g("MatMul", h, Wb[..., :-1, :]), Wb[..., -1:, :])
        h = ACTIVATIONS[name](g, a, net.dtype.type)
    p = g("Softmax", h, axis=-1)
    return p if net.theta.ndim == 1 else g("ReduceMean", p, np.array([0]), keepdims=0)


def _label(g: Graph, p: str, classes: NDArray, out: str) -> None:
    """The most probable class: an int64 if all are whole numbers, else a string."""
    g("Gather", _named(classes), g("ArgMax", p, axis=1, keepdims=0), out=out)


def _named(classes: NDArray) -> NDArray:
    with np.errstate(invalid="ignore"):
        whole = classes.dtype.kind in "biuf" and (classes == classes.astype(np.int64)).all()
    return classes.astype(np.int64) if whole else np.array([str(c) for c in classes], object)


def _inputs(g: Graph, fitted: Preprocessing, X: str, cells: Cells) -> str:
    """The net's inputs (N, D'), as Preprocessing.transform makes them of numbers X (N, D) and of
    the columns of text, (N, 1) each."""
    parts = list[str]()
    place = {name: j for j, name in enumerate(fitted.names)}
    if place:
        if fitted.fill is not None:
            missing = g("IsNaN", X)
            for mark in cells.marks:
                missing = g("Or", missing, g("Equal", X, mark))
            X = g("Where", missing, fitted.fill.astype(float), X)
        parts.append(X)
        if fitted.gaps:
            at = np.array([place[name] for name in fitted.gaps])
            parts.append(g.cast(g("Gather", missing, at, axis=1), float))
        if fitted.edges:
            edges = [np.array(e) for e in fitted.edges.values()]
            at = np.repeat([place[name] for name in fitted.edges], [len(e) - 1 for e in edges])
            low = np.concatenate([e[:-1] for e in edges])
            width = np.concatenate([np.diff(e) for e in edges])
            share = g("Div", g("Sub", g("Gather", X, at, axis=1), low), width)
            parts.append(g("Sub", g("Clip", share, 0.0, 1.0), 0.5))
    parts += [_one_hot(g, name, values, cells) for name, values in fitted.categories.items()]
    x = g("Concat", *parts, axis=1)
    x = g("Div", g("Sub", x, fitted.center.astype(float)), fitted.scale.astype(float))
    if fitted.clip:
        x = g("Clip", x, -LARGE, LARGE)
        far = g("Mul", x, np.where(np.arange(len(fitted.center)) < len(place), 1 / CLIP, 0))
        x = g("Div", x, g("Sqrt", g("Add", g("Mul", far, far), 1.0)))
    return x


def _one_hot(g: Graph, cell: str, values: list[str], cells: Cells) -> str:
    """The inputs of a column of text, as Preprocessing.encode makes them."""
    words = "|".join(re.escape(word) for word in sorted(cells.missing))
    missing = g("RegexFullMatch", cell, pattern=rf"(?i)\s*({words})\s*")
    frequent = [value for value in values if value not in (GAP, OTHER)]
    known = g("Equal", cell, np.array([frequent], object).reshape(1, -1))
    numbers = numbers_of(values)
    if numbers or cells.marks:  # 1, 1.0 and 1e0 are one
        written = g("RegexFullMatch", cell, pattern=NUMBER)
        x = g.cast(g("Where", written, cell, np.array(["nan"], object)), float)
        for mark in cells.marks:
            missing = g("Or", missing, g("Equal", x, mark))
        known = g("Or", known, g("Equal", x, np.array([numbers]))) if numbers else known
    gap = g.cast(missing, float)
    hot = g("Mul", g.cast(known, float), g("Sub", 1.0, gap))
    rest = g("Sub", g("Sub", 1.0, gap), g("ReduceSum", hot, np.array([1])))
    hot = g("Concat", hot, *[gap] * (GAP in values), *[rest] * (OTHER in values), axis=1)
    # of two values, one input: 0, 1, or 1/2 for any other cell
    two = len(values) == 2
    return g("Add", g("MatMul", hot, np.array([[-0.5], [0.5]])), 0.5) if two else hot


def build(model: Model) -> Any:
    """The model as an onnx.ModelProto: a column each, (N, 1), double or string, for one of a table,
    X (N, D) for one of arrays; out come `label` (N,) and `probabilities` (N, K). Raises DataError
    for a column that cannot be named in ONNX."""
    from onnx import checker, helper

    fitted, net = model.preprocessing, model.net
    cells = Cells(tuple(model.reading.get("missing", ())))
    columns = fitted.columns if _is_table(model) else []
    for name in {*columns} & {"", *OUTPUTS}:
        raise DataError(f"column {name!r} cannot be an input in ONNX: rename it and train again")
    nodes, constants, tensor = list[Any](), list[Any](), helper.make_tensor_value_info
    names = (name for i in count() if (name := f"minnet_{i}") not in columns)
    g = Graph(names.__next__, lambda *a, **k: nodes.append(helper.make_node(*a, **k)), constants)
    string, double = (_code(dtype) for dtype in (object, float))
    kinds = [double] * len(fitted.names) + [string] * len(fitted.categories)
    given = [tensor(*of, ["N", 1]) for of in zip(columns, kinds, strict=False)]
    given = given or [tensor("X", double, ["N", len(fitted.names)])]
    X = g("Concat", *fitted.names, axis=1) if columns and fitted.names else "X"
    p = _net(g, _inputs(g, fitted, X, cells), net, net.K)
    g("Identity", p, out=OUTPUTS[1])
    _label(g, p, model.classes_, OUTPUTS[0])
    label = tensor(OUTPUTS[0], _code(_named(model.classes_).dtype), ["N"])
    of_p = tensor(OUTPUTS[1], _code(net.dtype), ["N", net.K])
    graph = helper.make_graph(nodes, "minnet", given, [label, of_p], constants)
    about: Any = {"producer_name": "minnet", "producer_version": VERSION, "ir_version": IR}
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], **about)
    checker.check_model(made, full_check=True)
    return made


def _is_table(model: Model) -> bool:
    return bool(model.reading.get("columns") or model.preprocessing.categories)


def export(model: Model, path: Path, overwrite: bool) -> bool:
    """Write the model as an ONNX file, whole or not at all; returns whether onnxruntime was there
    to compare it with the model. Raises DataError as `build` does, MinnetError if they differ,
    FileError."""
    with files.named(path, "exported", MinnetError, Exception):
        content, checked = build(model).SerializeToString(), True
        try:
            difference = compare(model, content)
        except ImportError:
            checked, difference = False, 0.0
    if not difference <= CLOSE:
        raise MinnetError(f"{one_line(path)}: not written: its p would differ by {difference:.1g}")
    files.write(path, content, overwrite)
    return checked


def compare(model: Model, content: bytes) -> float:
    """The largest difference of p in onnxruntime from that of the model, over rows of every kind:
    fills, normal numbers, and each category, unknown ones and missing cells."""
    from onnxruntime import InferenceSession

    fitted, rng = model.preprocessing, np.random.default_rng(0)
    cells, D = Cells(tuple(model.reading.get("missing", ()))), len(fitted.names)
    odd, closed = [GAP, "unk nown", "7e77", "NA"], fitted.closed  # which take no such cells
    words = {
        name: [v for v in values if v not in (GAP, OTHER)] + odd * (name not in closed)
        for name, values in fitted.categories.items()
    }
    n = max([16, *map(len, words.values())])
    X = fitted.center[:D] + fitted.scale[:D] * rng.normal(size=(n, D))
    if fitted.fill is not None:
        gaps = [name not in closed for name in fitted.names]
        X[0], X[1:][(rng.random((n - 1, D)) < 0.2) & gaps] = fitted.fill, np.nan
    text = {name: np.resize(np.array(w, object), (n, 1)) for name, w in words.items()}
    given = {"X": X}
    if _is_table(model):
        given = {name: X[:, [j]] for j, name in enumerate(fitted.names)} | text
    own = X if fitted.fill is None else cells.blank(X.copy())
    known = {name: np.vectorize(cells.word, "O")(w[:, 0]) for name, w in text.items()}
    p = softmax(np.concatenate([*model.logits_in_blocks(Table("", fitted.names, own, known))]))
    label, found = InferenceSession(content).run(None, given)
    same = (label == _named(model.classes_)[found.argmax(axis=1)]).all()
    return float(np.abs(p - found).max()) if same else np.inf


def register() -> None:
    """Let skl2onnx convert MLPClassifier, alone and in a pipeline."""
    import skl2onnx
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    from minnet.estimator import MLPClassifier

    known = "MinnetMLPClassifier", calculate_linear_classifier_output_shapes, _convert
    choices = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    choices["output_class_labels"] = [False, True]
    skl2onnx.update_registered_converter(MLPClassifier, *known, overwrite=True, options=choices)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """skl2onnx's call for one classifier."""
    from skl2onnx.common.data_types import DoubleTensorType

    model, (label, p) = operator.raw_operator, operator.outputs
    new = partial(scope.get_unique_variable_name, "minnet")
    g = Graph(new, container.add_node, container.initializers)
    found = _net(g, operator.inputs[0].full_name, model._use_weights(), len(model.classes_))
    g.cast(found, float if isinstance(p.type, DoubleTensorType) else np.float32, p.full_name)
    _label(g, found, model.classes_, label.full_name)
