"""Models as ONNX graphs: what onnxruntime makes of them is what minnet predicts."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas
import pytest
import skl2onnx
from running import command, message
from sklearn.compose import make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import minnet
from minnet import MLPClassifier
from minnet import onnx as ours
from minnet.core.activations import ACTIVATIONS
from minnet.core.network import MLP
from minnet.data.preprocess import Preprocessing
from minnet.errors import DataError, MinnetError
from minnet.model import Model

pytestmark = pytest.mark.usefixtures("here")
RNG = np.random.default_rng(0)
HEADS = ["age", "pay,€", "gaps", "rank", "town", "two", "day", "-9", "kind"]


def outputs(path, given):
    """label (N,) and p (N, K), by onnxruntime."""
    return onnxruntime.InferenceSession(path).run(["label", "probabilities"], given)


def rows(n, seed=0):
    """Rows with numbers, some missing, and categories of every kind, some rare or missing."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        yield [
            *(f"{rng.normal(40, 10):.3f}", f"{rng.lognormal(8):.2f}"),
            "NA" if rng.random() < 0.2 else f"{rng.normal():.4f}",
            rng.choice(["1", "2.0", "3", "1.0"]),
            f"odd{i}" if i % 50 == 7 else rng.choice(["größe", "b c", "?", "x.y"]),
            rng.choice(["yes", "no"]),
            rng.choice(["2024-01-02", "2024-05-06", "2023-01-01"]),
            rng.choice(["-9", "4", "5.5"]),
            "abc"[i % 3],
        ]


def write(path, lines):
    with Path(path).open("w", newline="") as file:
        csv.writer(file).writerows([HEADS, *lines])


def probabilities(run, table):
    """The classes and p that `minnet predict --proba` prints."""
    answer = command("predict", run, table, "--proba")
    assert answer.code == 0
    _, *lines = csv.reader(answer.out.splitlines())
    return [line[0] for line in lines], np.array([line[1:] for line in lines], float)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["data.scale=standard", "model.members=1", 'data.missing_values=["-9"]'],
        ["data.scale=piecewise", "model.dtype=float64", "model.activation=tanh"],
        ["data.scale=minmax", "model.members=3", "data.missing=mean"],
    ],
    ids=str,
)
def test_a_table_goes_in_as_it_stands(keys):
    write("own.csv", rows(200))
    fixed = ["data.target=kind", "data.categorical=['rank', 'town', 'two', 'day']"]
    answer = command("train", "own.csv", *fixed, "train.epochs=3", *keys, "--out", "run")
    assert answer.code == 0
    answer = command("export", "run", "--out", "own.onnx")
    assert (answer.code, answer.out, answer.err) == (0, "model in own.onnx\n", "")
    new = list(rows(40, seed=1))
    for cell, row in zip(
        ["", "elsewhere", "7", "3.00", "1e0", "NA", "null", "-9"], new, strict=False
    ):
        row[3:7] = [cell] * 4
    new[11][:3] = ["", "", ""]
    trained = minnet.load("run").preprocessing
    if trained.clip:
        new[10][:3] = ["1e9", "-1e9", "1e200"]
    write("new.csv", new)
    columns = dict(zip(HEADS, np.array(new, object).T, strict=True))
    given = {name: columns[name][:, None] for name in trained.categories}
    for name in trained.names:
        cells = [np.nan if cell in ("", "NA") else float(cell) for cell in columns[name]]
        given[name] = np.array(cells)[:, None]
    assert set(given) == set(HEADS) - {"kind"}
    label, p = outputs("own.onnx", given)
    theirs, expected = probabilities("run", "new.csv")
    assert label.tolist() == theirs
    np.testing.assert_allclose(p, expected, rtol=0, atol=1e-6)


def net_of(sizes, classes, **options):
    """A Model of a net with random weights and biases, on arrays that stay as they are."""
    net = MLP(sizes, seed=1, **options)
    net.theta[:] = np.random.default_rng(2).normal(0, 0.5, net.theta.shape)
    D = sizes[0]
    fitted = Preprocessing([f"x{j}" for j in range(D)], None, np.zeros(D), np.ones(D))
    return Model(net, fitted, np.array(classes), {}, "test")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("members", [None, 1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_net_is_the_same_in_a_graph(activation, members, dtype):
    X = RNG.normal(size=(30, 4)) * 3
    for K, classes in ((1, [4, 7]), (2, [False, True]), (3, ["a", "é", "c"]), (3, [0.5, 1, 2])):
        options = {"activation": [activation, "tanh"], "members": members, "dtype": dtype}
        model = net_of([4, 5, 1, K], classes, **options)
        assert ours.export(model, Path("net.onnx"), overwrite=True)
        label, p = outputs("net.onnx", {"X": X})
        np.testing.assert_allclose(p, model.predict_proba(X), rtol=0, atol=2e-6)
        expected = model.predict(X)
        assert label.tolist() == (expected.astype(str) if K == 3 else expected).tolist()
        assert p.dtype == dtype


def test_sets_and_classifiers_take_arrays():
    assert command("train", "iris", "train.epochs=3", "--out", "run").code == 0
    X = minnet.load("run").preprocessing.center[:4] + RNG.normal(size=(50, 4))
    y = np.where(X[:, 0] > X[:, 0].mean(), "big", "small")
    MLPClassifier((5,), max_iter=3, solver="lbfgs", tol=1).fit(X, y).save("model.npz")
    for path in ("run", "model.npz"):
        assert command("export", path, "--overwrite").out == "model in model.onnx\n"
        label, p = outputs("model.onnx", {"X": X})
        model = minnet.load(path)
        np.testing.assert_allclose(p, model.predict_proba(X), rtol=0, atol=1e-6)
        assert label.tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_a_pipeline_goes_on_from_its_saved_file(unknown):
    X = pandas.DataFrame({"a": RNG.normal(size=60), "c": np.resize(["u", "v", "größe"], 60)})
    steps = (StandardScaler(), ["a"]), (OneHotEncoder(handle_unknown=unknown), ["c"])
    net = MLPClassifier((8,), max_iter=5, tol=0, solver="sgd", random_state=0)
    pipeline = make_pipeline(make_column_transformer(*steps), net)
    with pytest.warns(ConvergenceWarning):
        minnet.save(pipeline.fit(X, X["a"] > 0), "pipeline.npz")
    assert command("export", "pipeline.npz").code == 0
    _, p = outputs("model.onnx", {name: X[[name]].to_numpy() for name in X})
    np.testing.assert_allclose(p, pipeline.predict_proba(X), atol=1e-9)


def test_what_cannot_be_exported_writes_nothing(monkeypatch):
    model = net_of([2, 3], [0, 1, 2])
    model.save(Path("model.npz"))
    Path("there.onnx").write_text("mine")
    refusal = command("export", "model.npz", "--out", "there.onnx").refusal(2)
    assert refusal == "there.onnx: exists; choose another file, or use --overwrite"
    assert "cannot be read" in command("export", "none.npz", "--out", "new.onnx").refusal()
    model.preprocessing.names[0], model.reading["columns"] = "label", ["label", "x1", "y"]
    said = message(DataError, ours.export, model, Path("new.onnx"), False)
    assert said == "column 'label' cannot be an input in ONNX: rename it and train again"
    monkeypatch.setattr(ours, "compare", lambda *_: 0.02)
    said = command("export", "model.npz", "--out", "new.onnx").refusal()
    assert said == "new.onnx: not written: its p would differ by 0.02"
    monkeypatch.setattr(ours, "compare", lambda *_: np.nan)
    message(MinnetError, ours.export, minnet.load("model.npz"), Path("there.onnx"), True)
    assert Path("there.onnx").read_text() == "mine" and not Path("new.onnx").exists()


def test_the_comparison_finds_a_wrong_graph(monkeypatch):
    model = net_of([2, 4, 3], [0, 1, 2], activation="leaky_relu")
    monkeypatch.setattr(ours, "LEAK", 0.02)
    assert "would differ by" in message(MinnetError, ours.export, model, Path("new.onnx"), False)


def test_packages_that_are_missing_are_named(monkeypatch):
    net_of([2, 3], [0, 1, 2]).save(Path("model.npz"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    answer = command("export", "model.npz")
    assert answer.code == 0 and Path("model.onnx").exists()
    note = "model.onnx: not compared with the model: pip install onnxruntime"
    assert answer.notes() == [note]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "onnx" else find(n))
    assert command("export", "model.npz").refusal() == "export needs onnx: pip install onnx"


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes", "é"], [1.0, 2.0, 5.0]], ids=str)
@pytest.mark.parametrize("steps", [[], [StandardScaler()]], ids=["alone", "in a pipeline"])
def test_skl2onnx_converts_the_classifier(steps, labels):
    ours.register()
    X = RNG.normal(3, 2, size=(90, 4)).astype(np.float32)
    y = np.array(labels)[np.arange(90) % len(labels)]
    net = MLPClassifier((6, 5), ["gelu", "leaky_relu"], members=2, solver="lbfgs", tol=1)
    model = make_pipeline(*steps, net).fit(X, y) if steps else net.fit(X, y)
    made = skl2onnx.to_onnx(model, X[:1], options={"zipmap": False})
    label, p = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"X": X})
    np.testing.assert_allclose(p, model.predict_proba(X), rtol=0, atol=1e-5)
    assert label.tolist() == model.predict(X).tolist()
