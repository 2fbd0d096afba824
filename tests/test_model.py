"""A trained model predicts what its net does, for rows in any form; files that do not fit it, and
model files that are not models, are refused in one line."""

import csv
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from limits import file_size_limit
from memory import traced_memory
from numpy.testing import assert_allclose
from running import ROOT, Answer, command, message, result
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import dump_svmlight_file, load_iris, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix, log_loss
from sklearn.model_selection import cross_val_predict
from sklearn.utils.validation import check_is_fitted

import minnet
from minnet import cli, config, files, runs
from minnet import model as models
from minnet.core.network import ROWS
from minnet.data.preprocess import Preprocessing
from minnet.errors import DataError, MinnetError, ModelFileError
from minnet.model import Model

X, Y = load_iris(return_X_y=True)
NAMES = ["width", "height", "Länge", "a,b"]
KINDS = np.array(["setosa", "versi,color", 'vir "g" ä'])
TRAIN = ["train.epochs=4", "model.hidden=[6]"]
TRAIN += ["optimizer.learning_rate=0.02", "data.scale=standard"]


pytestmark = pytest.mark.usefixtures("here")


def rows_of(answer: Answer, notes: int = 0) -> list[list[str]]:
    """The rows of CSV that `predict` printed, below the header."""
    assert (answer.code, len(answer.notes())) == (0, notes)
    return list(csv.reader(io.StringIO(answer.out, newline="")))[1:]


def classes_of(*arguments: object) -> list[str]:
    return [row[0] for row in rows_of(command("predict", *arguments))]


def write_csv(name: Path | str, columns: dict, header: bool = True, delimiter: str = ",") -> Path:
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([columns] if header else [])
        writer.writerows(zip(*columns.values(), strict=True))
    return Path(name)


def flowers(rows: Any = slice(None), **more: Any) -> dict[str, Any]:
    """The columns of a file of irises, by name."""
    return {name: X[rows, j].tolist() for j, name in enumerate(NAMES)} | more


def labelled(rows: Any = slice(None)) -> dict[str, Any]:
    return flowers(rows, kind=KINDS[Y[rows]].tolist())


def saved(**arrays: Any) -> Path:
    np.savez("rows.npz", **arrays)
    return Path("rows.npz")


def train(folder: Path, *arguments: str) -> Path:
    assert command("train", *TRAIN, *arguments, "--quiet", "--out", folder).code == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The run of a CSV with a header and labels of text."""
    folder = tmp_path_factory.mktemp("flowers")
    return train(folder / "run", f"data.source={write_csv(folder / 'flowers.csv', labelled())}")


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """The run of a CSV with columns of text, and with missing cells that are filled in."""
    folder = tmp_path_factory.mktemp("colours")
    zips = ["8001", "3011", "", "9999", "8001"] * 30
    columns = flowers(zip=zips, colour=["red", "blue", "NA"] * 50, kind=KINDS[Y])
    columns["width"][3:5] = "", "NA"
    source = write_csv(folder / "colours.csv", columns)
    own = ('data.categorical=["colour", "zip"]', "data.missing=median", "data.target=kind")
    return train(folder / "run", f"data.source={source}", *own, "model.hidden=[]")


def made(dtype: str = "float32", names: list[str] = NAMES, **changes: Any) -> Model:
    """A model with random weights, by default for the irises."""
    rng, categories = np.random.default_rng(0), changes.pop("categories", {})
    D = len(Preprocessing(names, None, X, X, categories).inputs)
    net = minnet.MLP([D, 5, 3], dtype=dtype, seed=0)
    fitted = Preprocessing(names, None, rng.normal(size=D), rng.uniform(1, 2, D), categories)
    reading = changes.pop("reading", {"target": "kind", "header": True, "base": None})
    return Model(net, fitted, KINDS, reading, "made.csv")


def by_hand(model: Model, X: Any) -> np.ndarray:
    """p of the net itself, for rows scaled by hand."""
    scaled = (np.asarray(X) - model.preprocessing.center) / model.preprocessing.scale
    return model.net.predict_proba(scaled)


def test_the_command_predicts_what_python_does_and_the_net_itself(run, colours):
    source = write_csv("some.csv", flowers(slice(0, 150, 7)))
    for path in (run, run / "model.npz"):
        loaded, answer = minnet.load(str(path)), command("predict", path, source, "--proba")
        rows, p = rows_of(answer), loaded.predict_proba(X[::7])
        assert [row[0] for row in rows] == loaded.predict(X[::7]).tolist()
        assert [[float(cell) for cell in row[1:]] for row in rows] == p.tolist()
        assert (p == by_hand(loaded, X[::7])).all()
        assert p.dtype == np.float32
    header = next(csv.reader(io.StringIO(answer.out)))
    assert header == ["prediction", *(f"p({kind})" for kind in KINDS)]
    assert command("predict", run, source).out.splitlines()[0] == "prediction"
    assert loaded.classes_.tolist() == KINDS.tolist()
    assert loaded.feature_names_in_.tolist() == NAMES
    assert loaded.feature_names_in_.dtype == object
    assert minnet.load(colours).feature_names_in_.tolist() == [*NAMES, "zip", "colour"]
    assert loaded.score(X, KINDS[Y]) == (loaded.predict(X) == KINDS[Y]).mean() > 0.5


def test_on_the_rows_of_the_test_part_evaluate_gives_the_figures_of_the_result(run):
    prepared = runs.prepare(config.load(run / "config.toml"))
    source = write_csv("test.csv", labelled(prepared.data.parts["test"]))
    figures, loaded = result(run), minnet.load(run)
    found = models.evaluate(loaded, models.read(loaded, source, labels=True)[0])
    assert found == json.loads(command("evaluate", run, source, "--json").out)
    assert found.pop("rows") == 30 and found.pop("accuracy") == figures["test_accuracy"]
    assert found.pop("loss") == pytest.approx(figures["test_loss"], rel=1e-6)
    error = found.pop("calibration_error")
    assert error == pytest.approx(figures["calibration_error"], rel=1e-6)
    assert found.items() <= figures.items() and found.keys() >= {"auc", "baseline_loss"}
    shown = f"{figures['test_loss']:.4f}, accuracy {figures['test_accuracy']:.4f}"
    assert f"test.csv: 30 rows, loss {shown}" in command("evaluate", run, source).out
    source = write_csv("one.csv", labelled(slice(20)))  # of one class alone
    right = classes_of(run, source).count("setosa") / 20
    assert f", accuracy {right:.4f}\n" in command("evaluate", run, source).out


def test_a_model_of_a_set_of_scikit_learn_takes_a_csv_with_its_names(tmp_path):
    wine, folder = load_wine(), train(tmp_path / "wine", "data.source=wine")
    columns = dict(zip(wine.feature_names, wine.data.T.tolist(), strict=True))
    wanted = minnet.load(folder).predict(wine.data)
    assert classes_of(folder, write_csv("wine.csv", columns)) == wanted.tolist()
    labels = wine.target_names[wine.target]
    answer = command("evaluate", folder, write_csv("labels.csv", columns | {"class": labels}))
    assert f"accuracy {np.mean(wanted == labels):.4f}" in answer.out


def svmlight(X: Any, base: int = 1, y: Any = 0) -> Path:
    dump_svmlight_file(X, np.full(len(X), y, int), f"rows{base}.svm", zero_based=base == 0)
    return Path(f"rows{base}.svm")


FILES: list[Callable[[], Path]] = [
    lambda: write_csv("rows.csv", flowers()),
    lambda: write_csv("rows.csv", {"kind": KINDS[Y], **flowers()}),
    lambda: write_csv("rows.tsv", dict(reversed(labelled().items())), delimiter="\t"),
    lambda: saved(X=X),
    lambda: saved(X=X, y=Y),
    lambda: svmlight(X),
]


def test_the_same_rows_in_any_kind_of_file_get_the_same_classes(run):
    wanted = minnet.load(run).predict(X).tolist()
    for write in FILES:
        assert classes_of(run, write()) == wanted


def test_a_file_without_header_has_its_labels_where_the_training_file_had_them(tmp_path):
    alone = write_csv("alone.csv", dict(enumerate(X.T.tolist())), header=False)
    for target in (0, 2, -1):
        columns = X.T.tolist()
        columns.insert(target if target >= 0 else len(columns), Y.tolist())
        source = write_csv("bare.csv", dict(enumerate(columns)), header=False)
        own = (f"data.source={source}", f"data.target={target}", "data.header=false")
        folder = train(tmp_path / f"run{target}", *own)
        wanted = minnet.load(folder).predict(X)
        for given in (source, alone):
            assert classes_of(folder, given) == [str(k) for k in wanted]
        assert f"accuracy {np.mean(wanted == Y):.4f}" in command("evaluate", folder, source).out


@pytest.mark.parametrize("base", [0, 1])
def test_svmlight_keeps_the_base_and_the_columns_of_the_training_file(base, tmp_path):
    rng = np.random.default_rng(1)
    rows = np.where(rng.random((90, 6)) < 0.5, rng.normal(size=(90, 6)), 0)
    rows[0] = 1
    folder = train(tmp_path / "run", f"data.source={svmlight(rows, base, rows.sum(axis=1) > 0)}")
    loaded = minnet.load(folder)
    for missing in ([], [0, 5]):  # neither the first column nor the last is there
        rows[:, missing] = 0
        wanted = loaded.predict(rows).tolist()
        assert loaded.predict(sparse.csr_array(rows)).tolist() == wanted
        assert classes_of(folder, svmlight(rows, base)) == [str(k) for k in wanted]


@pytest.mark.parametrize("N", [1, ROWS, 3 * ROWS + 7])
def test_rows_in_blocks_are_the_rows_at_once(N):
    rows, model = np.arange(N) % 150, made()
    table, _ = models.read(model, saved(X=X[rows], y=KINDS[Y[rows]]), labels=True)
    p = model.predict_proba(X[rows])
    assert np.allclose(p, by_hand(model, X)[rows], atol=1e-6)
    found, y = models.evaluate(model, table), Y[rows]
    matrix = confusion_matrix(y, p.argmax(axis=1), labels=range(3)).tolist()
    assert found["confusion"] == matrix and found["classes"] == KINDS.tolist()
    wanted = -np.log(p[np.arange(N), y].astype(float)).mean()
    assert found["loss"] == pytest.approx(wanted, rel=1e-4)
    assert found["baseline_loss"] is None  # it was not trained, so nothing is known of classes
    lines = "".join(models.csv_lines(model, table, True, {})).splitlines()[1:]
    assert [row[1:] for row in csv.reader(lines)] == [[str(x) for x in row] for row in p.tolist()]


BAD_COLUMNS: list[tuple[dict[str, Any], str]] = [
    ({"height": None, "hight": X[:, 1]}, "has no column 'height', which the training file has"),
    ({"width": KINDS[Y]}, "line 2, column 'width' holds 'setosa', not a number"),
    ({"Länge": [1e308, *X[1:, 0]]}, "line 2, column 'Länge' holds a number too large for"),
    ({"Länge": ["1e400", *X[1:, 0]]}, "line 2, column 'Länge' holds inf: every value"),
]


def test_columns_that_do_not_fit_are_named_in_one_line(run):
    for change, said in BAD_COLUMNS:
        columns = {n: cells for n, cells in (labelled() | change).items() if cells is not None}
        write_csv("rows.csv", columns)
        for name in ("predict", "evaluate"):
            assert command(name, run, "rows.csv").line().startswith(f"rows.csv: {said}")


def test_a_model_of_a_file_without_names_takes_a_file_with_some_by_place_and_puts_its_own_right():
    model = made(names=["x0", "x1", "x2", "x3"], reading={"target": None, "header": None})
    table, _ = models.read(model, write_csv("rows.csv", flowers()), labels=False)
    assert (table.X == X).all()
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2", "x3"])
    assert (model.predict_proba(frame[["x3", "x1", "x0", "x2"]]) == by_hand(model, X)).all()


def test_a_model_of_an_npz_takes_a_csv_with_and_without_names(tmp_path):
    folder = train(tmp_path / "run", f"data.source={saved(X=X, y=Y)}")
    wanted = minnet.load(folder).predict(X)
    for header, columns in itertools.product((True, False), (flowers(), flowers(kind=Y))):
        source = write_csv("rows.csv", columns, header)
        assert classes_of(folder, source) == [str(k) for k in wanted]
    assert f"accuracy {(wanted == Y).mean():.4f}" in command("evaluate", folder, source).out


def test_columns_without_names_must_be_numbers_and_as_many(run, colours):
    for columns in (3, 5):
        said = command("predict", run, saved(X=np.ones((3, columns)))).refusal()
        what = f"has {columns} columns without names of their own; the model takes 4: "
        assert said.startswith(f"rows.npz: {what}")
    notes = command("predict", colours, saved(X=np.ones((3, 6)))).notes()  # "1" is no colour
    assert [note.partition(" has ")[0] for note in notes] == [
        "rows.npz: column 'zip'",
        "rows.npz: column 'colour'",
    ]
    with pytest.raises(DataError, match=r"X: has shape \(150, 4\): this model takes \(N, 6\)"):
        minnet.load(colours).predict(X)


def test_missing_cells_and_unknown_words_are_what_they_were_in_training_and_are_noted(colours):
    words = {"colour": ["red", "green", "", "mauve"], "zip": ["8001", "", "none", "77"]}
    columns = flowers(slice(0, 4), **words)
    columns["width"] = ["", "NA", "5.5", "?"]
    answer = command("predict", colours, write_csv("rows.csv", columns), "--proba")
    fitted, inputs = minnet.load(colours).preprocessing, np.zeros((4, 12))
    words = "zip=3011 zip=8001 zip=9999 zip=missing colour=blue colour=red colour=missing"
    assert fitted.inputs[4:] == ["width missing", *words.split()]
    inputs[:, :4] = X[:4]
    inputs[:, 0] = np.where([1, 1, 0, 1], fitted.fill[0], 5.5)
    inputs[:, 4] = [1, 1, 0, 1]
    inputs[[0, 0, 1, 2, 2], [6, 10, 8, 8, 11]] = 1
    p = np.array([row[1:] for row in rows_of(answer, notes=2)], float)
    assert p.tolist() == by_hand(minnet.load(colours), inputs).tolist()
    told = [
        "rows.csv: column 'zip' has values that the model does not know: '77'",
        "rows.csv: column 'colour' has values that the model does not know: 'green' and 1 more",
    ]
    assert answer.notes() == told
    assert command("predict", colours, "rows.csv", "--out", "answers.csv").notes() == told
    source = write_csv("rows.csv", columns | {"kind": KINDS[[0, 1, 2, 0]].tolist()})
    assert command("evaluate", colours, source).notes() == told


def test_a_missing_word_is_an_error_where_nothing_was_missing_in_training():
    model = made(categories={"colour": ["blue", "red"]})
    source = write_csv("rows.csv", flowers(slice(3), colour=["red", "", "green"]))
    with pytest.raises(DataError, match="line 3, column 'colour' is missing"):
        next(model.logits_in_blocks(models.read(model, source, labels=False)[0]))


LABELS: list[tuple[list, list[str]]] = [
    (["b", "a"], ["a", "b"]),
    ([-2.0, 5.0], ["-2", "5"]),
    ([True, False], ["False", "True"]),
    (['a,"b"', "c\nd\r\ne\rf"], ['a,"b"', "c\nd\r\ne\rf"]),
    ([2**63, 5], ["5", str(2**63)]),
    (["é\udc80", "x"], ["x", "é\\udc80"]),
]


@pytest.mark.parametrize(("labels", "shown"), LABELS)
def test_labels_of_any_kind_come_back(labels, shown, tmp_path):
    y = np.array(labels, dtype=np.uint64 if 2**63 in labels else None)[[0, 1] * 30]
    rows = np.arange(60)[:, None] % 2 * 2.0 - 1
    settings = ("model.hidden=[]", "optimizer.learning_rate=1", "train.epochs=20")
    folder = train(tmp_path / "run", f"data.source={saved(X=rows, y=y)}", *settings)
    assert command("predict", folder, "rows.npz", "--out", "out.csv") == Answer(0, "", "")
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert (header, {line[0] for line in lines}) == (["prediction"], set(shown))
    assert minnet.load(folder).predict(rows).tolist() == y.tolist()
    assert minnet.load(folder).classes_.tolist() == sorted(labels)
    assert "accuracy 1.0000" in command("evaluate", folder, "rows.npz").out


def kinds(*labels: str) -> Path:
    return write_csv("a.csv", flowers(slice(2), kind=labels))


ZEBRA = f"a.csv: has labels that the model does not know: zebra; it knows {', '.join(KINDS)}"
NO_LABELS: list[tuple[Callable[[], Path], str]] = [
    (lambda: kinds("setosa", "zebra"), ZEBRA),
    (lambda: kinds("", ""), "a.csv: holds no rows with labels"),
    (lambda: write_csv("a.csv", flowers()), "a.csv: has no target column 'kind'; "),
    (lambda: saved(X=X), "rows.npz: has no array y"),
]


def test_labels_that_are_unknown_or_missing_are_named_and_do_not_matter_to_predict(run):
    for write, said in NO_LABELS:
        source = write()
        assert command("evaluate", run, source).refusal().startswith(said)
        assert command("predict", run, source).code == 0
    saved(X=X[:0], y=KINDS[Y[:0]])
    for name, source in itertools.product(("predict", "evaluate"), ("rows.npz", "no.csv")):
        assert command(name, run, source).line().startswith(f"{source}: ")


def test_out_writes_what_would_be_printed_and_replaces_a_file_only_if_told_to(run):
    source = write_csv("rows.csv", flowers())
    printed = command("predict", run, source, "--proba").out
    Path("out.csv").write_text("mine")
    said = command("predict", run, source, "--proba", "--out", "out.csv").refusal(2)
    assert said.startswith("out.csv: exists; ")
    assert Path("out.csv").read_text() == "mine"
    again = command("predict", run, source, "--proba", "--out", "out.csv", "--overwrite")
    assert again == Answer(0, "", "")
    assert Path("out.csv").read_text(encoding="utf-8") == printed


def test_an_error_or_ctrl_c_half_way_leaves_the_old_file_and_no_other(run, monkeypatch):
    columns = flowers(np.arange(3000) % 150)
    columns["width"][2500] = 1e308
    arguments = ("predict", run, write_csv("rows.csv", columns), "--out", "out.csv", "--overwrite")
    Path("out.csv").write_text("mine")
    said = "rows.csv: line 2502, column 'width' holds a number too large for this model"
    assert command(*arguments) == Answer(1, "", f"minnet: {said}\n")
    strike = lambda *_: signal.raise_signal(signal.SIGINT)  # noqa: E731
    monkeypatch.setattr(Preprocessing, "transform", strike)
    assert command(*arguments) == Answer(130, "", "minnet: interrupted\n")
    assert {path.name for path in Path().iterdir()} == {"out.csv", "rows.csv"}
    assert Path("out.csv").read_text() == "mine"


def test_an_output_that_cannot_be_written_is_one_line_and_leaves_no_part(run):
    source = write_csv("rows.csv", flowers())
    for out in ("out.csv", "no/such/out.csv", "rows.csv/out.csv", "x" * 300):
        with file_size_limit(1000):
            said = command("predict", run, source, "--proba", "--out", out).refusal()
        assert said.startswith(f"{out}: cannot be written: ")
        assert [path.name for path in Path().iterdir()] == ["rows.csv"]


def test_a_reader_that_leaves_ends_the_work_and_is_no_error(run, monkeypatch):
    lines = mock.Mock(return_value=iter(["prediction\n", "a\n", "b\n"]))
    monkeypatch.setattr(models, "csv_lines", lines)
    monkeypatch.setattr(cli, "put", lambda block: block != "a\n")
    assert command("predict", run, saved(X=X)) == Answer(0, "", "")
    assert [*lines()] == ["b\n"]


def test_predicting_waits_for_no_large_library():
    made().save(Path("model.npz"))
    code = "import sys; from minnet import cli; cli.main(['predict', 'model.npz', 'rows.npz']); "
    code += "assert not {'sklearn', 'scipy', 'pandas'} & sys.modules.keys()"
    saved(X=X)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True)


def test_data_frames_are_matched_by_name_and_arrays_by_place():
    model, frame = made(), pd.DataFrame(X, columns=NAMES)
    p = by_hand(model, X)
    for given in (frame, frame[NAMES[::-1]], frame.astype(object), frame.convert_dtypes()):
        assert (model.predict_proba(given) == p).all()
    for given in (X, X.tolist(), np.asfortranarray(X)):
        assert (model.predict_proba(given) == p).all()
    assert model.predict(frame).tolist() == KINDS[p.argmax(axis=1)].tolist()
    assert (model.predict_proba(np.ones((3, 4), bool)) == by_hand(model, np.ones((3, 4)))).all()


def test_a_data_frame_with_text_is_read_as_its_file_would_be(colours):
    zips = ["8001", "", "1", "3011", "3011", "3011"]
    columns = flowers(slice(6), colour=["red", "blue", "", "green", "red", "NA"], zip=zips)
    columns["width"][0] = ""
    source, loaded = write_csv("rows.csv", columns), minnet.load(colours)
    names = loaded.feature_names_in_
    rows = rows_of(command("predict", colours, source, "--proba"), notes=2)
    wanted = [[float(cell) for cell in row[1:]] for row in rows]
    for dtype in (None, {"colour": "category"}, {"zip": str, "colour": object}):
        frame = pd.read_csv(source, dtype=dtype)  # a zip that is missing makes floats of the others
        for given in (frame, frame[frame.columns[::-1]], frame[names].to_numpy()):
            with pytest.warns(minnet.MinnetWarning, match="model does not know: '(green|1)'"):
                assert loaded.predict_proba(given).tolist() == wanted


def test_probabilities_have_the_dtype_of_the_net_rows_stay_as_they_are_and_may_be_none():
    rows, matrix = X.copy(), sparse.csr_array(X)
    for dtype in ("float32", "float64"):
        model = made(dtype)
        assert model.predict_proba(rows).dtype == model.predict_proba(matrix).dtype == dtype
        for none in (rows[:0], matrix[:0], pd.DataFrame(rows[:0], columns=NAMES)):
            p = model.predict_proba(none)
            assert (p.shape, p.dtype) == ((0, 3), dtype)
            assert model.predict(none).tolist() == []
    assert (rows == X).all()
    assert (matrix.toarray() == X).all()


def test_scikit_learn_takes_a_loaded_model_for_a_fitted_classifier(run):
    y, w = KINDS[Y], np.arange(150) % 3
    model = pickle.loads(pickle.dumps(minnet.load(run)))
    check_is_fitted(model)
    assert is_classifier(model) and model.n_features_in_ == 4
    assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)), rtol=1e-5)
    assert model.score(X, y, w) == np.average(model.predict(X) == y, weights=w)
    shown = ConfusionMatrixDisplay.from_estimator(model, X, y).confusion_matrix
    assert (shown == confusion_matrix(y, model.predict(X))).all()
    frame = pd.DataFrame(X, columns=NAMES)
    by_frame, by_array = (
        permutation_importance(model, rows, y, scoring="neg_log_loss", random_state=0)
        for rows in (frame, X)
    )
    assert_allclose(by_frame.importances, by_array.importances)
    assert by_array.importances_mean.max() > 0.01
    before, calibrated = model.net.theta.copy(), CalibratedClassifierCV(FrozenEstimator(model))
    calibrated.fit(X, y)
    assert calibrated.classes_.tolist() == KINDS.tolist()
    assert log_loss(y, calibrated.predict_proba(X)) < log_loss(y, model.predict_proba(X))
    assert (model.net.theta == before).all()
    for refused in (clone, lambda m: cross_val_predict(m, X, y), lambda m: m.fit(X, y)):
        assert message(MinnetError, refused, model).startswith("a loaded model predicts and cannot")


class OtherFrame:
    columns = NAMES


def with_column(name: str, cells: Any) -> pd.DataFrame:
    return pd.DataFrame(X, columns=NAMES).assign(**{name: cells})


NUMBERS, SHAPE = "not every value is a number: ", "this model takes (N, 4)"
MISFITS: list[tuple[Callable[[], Any], str]] = [
    (lambda: with_column("width", 0).drop(columns="height"), "has no column 'height', which"),
    (lambda: with_column("width", "red"), "row 0, column 'width' holds 'red', not a number"),
    (lambda: with_column("height", [*range(149), None]), "row 149, column 'height' is missing"),
    (lambda: pd.DataFrame(X, columns=["width", *NAMES[:3]]), "has no column 'a,b', which"),
    (OtherFrame, "not a pandas data frame: give its to_pandas()"),
    (lambda: X[0], f"has shape (4,): {SHAPE}"),
    (lambda: sparse.csr_array(X[:, :3]), f"has shape (150, 3): {SHAPE}"),
    (lambda: [["a", "b", "c", "d"]], NUMBERS),
    (lambda: [[1, 2, 3, 10**400]], NUMBERS),
    (lambda: [[1, 2, -np.inf, 4]], "row 0, column 'Länge' holds -inf: every value must be"),
    (lambda: sparse.csr_array([[0, np.nan, 0, 0]]), "row 0, column 'height' is missing"),
    (lambda: [[0, 0, 0, 0], [1e38, 1, 1, 1]], "row 1, column 'width' holds a number too"),
]


def test_rows_that_do_not_fit_are_a_data_error_of_one_line():
    model = made()
    model.net.theta[:] = 1e3
    for given, said in MISFITS:
        assert message(DataError, model.predict_proba, given()).startswith(f"X: {said}")


def test_a_model_that_is_loaded_is_the_one_that_was_saved():
    model = made(categories={"size": ["S"], "colour": ["blue"]})
    model.save(Path("a.npz"))
    loaded = minnet.load("a.npz")
    assert (loaded.net.theta == model.net.theta).all()
    assert loaded.net.layer_sizes == model.net.layer_sizes
    assert (loaded.reading, loaded.source) == (model.reading, "made.csv")
    assert loaded.preprocessing.inputs == model.preprocessing.inputs  # in this order
    loaded.net.theta[:] = 0  # and its net is one to train on
    _, dtheta = loaded.net.loss_and_gradient(np.ones((1, model.net.layer_sizes[0])), [0])
    assert dtheta.shape == loaded.net.theta.shape
    loaded.save(Path("b.npz"))
    minnet.load("b.npz")


def test_a_model_that_is_not_there_or_is_none_is_named_by_every_command():
    write_csv("own.csv", labelled())
    for path, name in (("no/a.npz", "no/a.npz"), (".", "model.npz"), ("own.csv", "own.csv")):
        for arguments in (["predict", path, "own.csv"], ["evaluate", path, "own.csv"]):
            assert command(*arguments).refusal().startswith(f"{name}: ")
        assert command("study", "--model", path).refusal().startswith(f"{name}: ")


# Whole files, sealed by somebody else, whose content does not fit together
UNFIT: list[dict[str, Any]] = [
    *({"theta": theta} for theta in (np.zeros(42, np.float32), np.zeros(43), None)),
    *({"classes": classes} for classes in (["a", "b"], 3)),
    {"classes": [1, 2, 10**30], "dtype of classes": "<i8"},
    *({"center": np.zeros(5)}, {"scale": None}, {"reading": None}, {"dtype": "zebra"}),
    {"activation": ["zebra"]},
    {"layer_sizes": [4, 10**7, 10**7, 3], "activation": ["relu"] * 2},
    *({"layer_sizes": [4, width, 3]} for width in (-5, 10**30)),
    {"preprocessing": {"names": ["a", "b", "c"], "categories": {}}},
]


def test_a_model_whose_content_does_not_fit_together_is_refused_in_one_line():
    made().save(Path("model.npz"))
    parts = files.load_sealed(Path("model.npz"), "model")
    for changes in UNFIT:
        changed = [{name: changes.get(name, part[name]) for name in part} for part in parts]
        kept = [{name: x for name, x in part.items() if x is not None} for part in changed]
        files.save_sealed(Path("a\nb.npz"), "model", *kept)
        with traced_memory() as risen:
            said = message(ModelFileError, minnet.load, "a\nb.npz")
            assert risen() < 5e6
        assert said.startswith("a b.npz: cannot be used as a model (train again): ")


def test_loading_takes_the_memory_of_the_file_and_draws_no_weights():
    names, net = [f"x{j}" for j in range(2000)], minnet.MLP([2000, 2000, 3])
    fitted = Preprocessing(names, None, np.zeros(2000), np.ones(2000))
    Model(net, fitted, KINDS, {}, "").save(Path("model.npz"))
    size = Path("model.npz").stat().st_size
    with traced_memory() as risen:
        minnet.load("model.npz")
        assert risen() < 2 * size + 5e6  # room for dtheta, which nothing touches
