"""Predicting and measuring with a trained model: on the command line, in Python, and where its file or the data are
bad."""

import csv
import gzip
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from limits import file_size_limit
from scipy import sparse
from sklearn.datasets import dump_svmlight_file, load_iris, load_wine

import minnet
from minnet import archive, cli, config, data, experiment, features, prediction, storage
from minnet.core.network import ROWS
from minnet.errors import DataError, ModelFileError

ROOT = Path(__file__).resolve().parent.parent
X, Y = load_iris(return_X_y=True)
NAMES = ["width", "height", "Länge", "a,b"]
KINDS = np.array(["setosa", "versi,color", 'vir "g" ä'])
TRAIN = ("train.epochs=4", "model.hidden=[6]", "optimizer.learning_rate=0.02", "--quiet")


@dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        assert len(self.err.splitlines()) == 1
        assert self.err.startswith("minnet: ")
        return self.err.removeprefix("minnet: ").rstrip("\n")

    def notes(self) -> list[str]:
        """The notes that it wrote to stderr."""
        lines = self.err.splitlines()
        assert all(line.startswith("minnet: note: ") for line in lines)
        return [line.removeprefix("minnet: note: ") for line in lines]

    def rows(self, notes: int = 0) -> list[list[str]]:
        """The rows of CSV that it wrote to stdout, below the header."""
        assert (self.code, len(self.notes())) == (0, notes)
        return read_csv(self.out)[1:]

    def classes(self) -> list[str]:
        return [row[0] for row in self.rows()]


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(capsys) -> Callable[..., Answer]:
    """A function that runs a command of minnet in this process."""

    def command(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return command


def process(*arguments: str | Path, **options: Any) -> Answer:
    """The command in a process of its own, where one is needed."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 100, "encoding": "utf-8"}
    env = os.environ | {"PYTHONPATH": str(ROOT)} | options.pop("env", {})
    done = subprocess.run([sys.executable, *map(str, arguments)], **pipes | options, env=env, check=False)
    return Answer(done.returncode, done.stdout or "", done.stderr or "")


def write_csv(path: Path | str, columns: dict[str, Any], header: bool = True, delimiter: str = ",") -> Path:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    content = text.getvalue().encode()
    Path(path).write_bytes(gzip.compress(content) if str(path).endswith(".gz") else content)
    return Path(path)


def flowers(rows: Any = slice(None), **more: Any) -> dict[str, Any]:
    """The columns of a file of irises, by name."""
    return {name: X[rows, j].tolist() for j, name in enumerate(NAMES)} | more


def labelled(rows: Any = slice(None)) -> dict[str, Any]:
    return flowers(rows, kind=KINDS[Y[rows]].tolist())


def train(folder: Path, *arguments: str) -> Path:
    assert cli.main(["train", *TRAIN, *arguments, "--out", str(folder)]) == 0
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
    columns = flowers(zip=["8001", "3011", "", "9999", "8001"] * 30, colour=["red", "blue", "NA"] * 50, kind=KINDS[Y])
    columns["width"][3:5] = "", "NA"
    source = write_csv(folder / "colours.csv", columns)
    own = (f"data.source={source}", 'data.categorical=["colour", "zip"]', "data.missing=median")
    return train(folder / "run", *own, "data.target=kind", "model.hidden=[]")


def write_model(path: Path | str = "model.npz", arrays: Any = (), without: Any = (), **entries: Any) -> Path:
    """A model file of a net with random weights, by default for the irises; with these arrays and entries changed."""
    manifest = {"layer_sizes": [4, 5, 3], "activation": ["relu"], "dtype": "float32", "source": "made.csv"}
    manifest |= {"classes": KINDS.tolist(), "feature_names": NAMES, "categories": {}}
    manifest |= {"table": {"target": "kind", "header": True, "base": None}, **entries}
    D = len(manifest["feature_names"]) + sum(map(len, manifest["categories"].values()))
    rng = np.random.default_rng(0)
    P = sum((n + 1) * m for n, m in itertools.pairwise(manifest["layer_sizes"])) if "theta" not in arrays else 0
    content = {"theta": rng.normal(size=P).astype(manifest["dtype"])} if "theta" not in arrays else {}
    content |= {"center": rng.normal(size=D), "scale": rng.uniform(1, 2, D), **dict(arrays)}
    for name in without:
        (manifest if name in manifest else content).pop(name)
    Path(path).write_bytes(b"".join(archive.encode("minnet model", content, manifest)))
    return Path(path)


def model(**changes: Any) -> prediction.Model:
    return minnet.load(write_model(**changes))


def by_hand(model: prediction.Model, X: Any) -> np.ndarray:
    """p of the net itself, on the rows scaled by hand."""
    return model.net.predict_proba((np.asarray(X) - model.features.center) / model.features.scale)


# The command and Python give what the net gives


@pytest.mark.parametrize("name", ["", "model.npz"])
def test_the_command_predicts_what_python_does_and_the_net_itself(name, run, command):
    loaded = minnet.load(run / name)
    source = write_csv("some.csv", flowers(slice(0, 150, 7)))
    rows = command("predict", run / name, source, "--proba").rows()
    p = loaded.predict_proba(X[::7])
    assert [row[0] for row in rows] == loaded.predict(X[::7]).tolist()
    assert [[float(cell) for cell in row[1:]] for row in rows] == p.tolist()
    assert (p == by_hand(loaded, X[::7])).all()
    assert p.dtype == np.float32


def test_a_model_knows_its_classes_and_its_columns(run, colours):
    loaded = minnet.load(run)
    assert loaded.classes_.tolist() == KINDS.tolist()
    assert loaded.feature_names_in_.tolist() == NAMES
    assert loaded.feature_names_in_.dtype == object
    assert minnet.load(colours).feature_names_in_.tolist() == [*NAMES, "colour", "zip"]


def test_on_the_rows_of_the_test_part_evaluate_gives_the_figures_of_the_result(run, command):
    prepared = experiment.prepare(config.load(run / "config.toml"))
    test = data.split(prepared.dataset, prepared.config.data)[2]
    answer = command("evaluate", run, write_csv("test.csv", labelled(test)))
    result = json.loads((run / "result.json").read_text())
    measured, _ = prediction.evaluate(minnet.load(run), prediction.read(minnet.load(run), "test.csv", labels=True))
    assert measured.accuracy == result["test_accuracy"]
    assert measured.loss == pytest.approx(result["test_loss"], rel=1e-6)
    assert f"test.csv: 30 rows, loss {result['test_loss']:.4f}, accuracy {result['test_accuracy']:.4f}" in answer.out
    rows = [line.split() for line in answer.out.splitlines()]
    for j, name in enumerate(["setosa", "versi,color"]):
        figures = [f"{result['per_class'][figure][j]:.4f}" for figure in ("precision", "recall", "f1")]
        assert [name, *figures, "10"] in rows
    assert ["versi,color", *(str(n or ".") for n in result["confusion"][1])] in rows


def test_evaluate_is_the_share_of_rows_that_predict_gets_right(run, command):
    source = write_csv("all.csv", labelled())
    right = [a == b for a, b in zip(command("predict", run, source).classes(), KINDS[Y], strict=True)]
    assert f", accuracy {np.mean(right):.4f}\n" in command("evaluate", run, source).out


def test_a_model_of_one_of_scikit_learns_sets_takes_a_csv_with_its_names(tmp_path, command):
    wine = load_wine()
    folder = train(tmp_path / "wine", "data.source=wine")
    columns = dict(zip(wine.feature_names, wine.data.T.tolist(), strict=True))
    turned = dict(reversed(columns.items()))
    wanted = minnet.load(folder).predict(wine.data).tolist()
    assert command("predict", folder, write_csv("wine.csv", columns)).classes() == wanted
    assert command("predict", folder, write_csv("turned.csv", turned)).classes() == wanted
    labels = wine.target_names[wine.target].tolist()
    answer = command("evaluate", folder, write_csv("labels.csv", turned | {"class": labels}))
    assert f"{np.mean(np.array(wanted) == labels):.4f}" in answer.out.splitlines()[0]


# Every kind of file


def files() -> dict[str, Callable[[], Path]]:
    bare = dict(enumerate(X.T.tolist()))

    def folder() -> Path:
        Path("folder").mkdir()
        np.save("folder/X.npy", X)
        return Path("folder")

    def saved(**arrays: Any) -> Path:
        np.savez("rows.npz", **arrays)
        return Path("rows.npz")

    return {
        "csv": lambda: write_csv("rows.csv", flowers()),
        "with its labels": lambda: write_csv("rows.csv", labelled()),
        "labels first": lambda: write_csv("rows.csv", {"kind": KINDS[Y], **flowers()}),
        "reordered": lambda: write_csv("rows.csv", dict(reversed(labelled().items()))),
        "gz": lambda: write_csv("rows.csv.gz", flowers()),
        "tsv": lambda: write_csv("rows.tsv", flowers(), delimiter="\t"),
        "npz": lambda: saved(X=X),
        "npz with y": lambda: saved(X=X, y=Y),
        "whole numbers in npz": lambda: saved(X=X.astype(np.float32)),
        "folder": folder,
        "svmlight": lambda: svmlight(X, 1),
        "no header": lambda: write_csv("bare.csv", bare, header=False),
    }


def svmlight(X: Any, base: int) -> Path:
    dump_svmlight_file(X, np.zeros(len(X)), f"rows{base}.svm", zero_based=base == 0)
    return Path(f"rows{base}.svm")


@pytest.mark.parametrize("kind", files())
def test_the_same_rows_in_any_kind_of_file_get_the_same_classes(kind, run, tmp_path, command):
    if kind == "no header":  # a model of a file with names wants names
        source = write_csv("t.csv", dict(enumerate([*X.T, Y])), header=False)
        run = train(tmp_path / "bare", f"data.source={source}", "data.header=false")
    wanted = minnet.load(run).predict(X.astype(np.float32) if kind.startswith("whole") else X)
    assert command("predict", run, files()[kind]()).classes() == [str(label) for label in wanted]


@pytest.mark.parametrize("target", [0, 2, -1])
def test_a_file_without_header_has_its_labels_where_the_training_file_had_them(target, tmp_path, command):
    columns = X.T.tolist()
    columns.insert(target if target >= 0 else len(columns), Y.tolist())
    source = write_csv("bare.csv", dict(enumerate(columns)), header=False)
    folder = train(tmp_path / "run", f"data.source={source}", f"data.target={target}", "data.header=false")
    alone = write_csv("alone.csv", dict(enumerate(X.T.tolist())), header=False)
    wanted = minnet.load(folder).predict(X).tolist()
    assert command("predict", folder, source).classes() == [str(k) for k in wanted]
    assert command("predict", folder, alone).classes() == [str(k) for k in wanted]
    assert f"accuracy {np.mean(np.array(wanted) == Y):.4f}" in command("evaluate", folder, source).out


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("few", [False, True])
def test_svmlight_keeps_the_base_and_the_columns_of_the_training_file(base, few, tmp_path, command):
    rng = np.random.default_rng(1)
    rows = np.where(rng.random((90, 6)) < 0.5, rng.normal(size=(90, 6)), 0).round(3)
    rows[0] = 1
    Path("train.svm").write_text(
        "".join(
            f"{int(row.sum() > 0)} " + " ".join(f"{j + base}:{x}" for j, x in enumerate(row) if x) + "\n"
            for row in rows
        )
    )
    folder = train(tmp_path / "run", "data.source=train.svm")
    if few:  # neither the first column nor the last is there
        rows[:, [0, 5]] = 0
    loaded = minnet.load(folder)
    wanted = loaded.predict(rows).tolist()
    assert loaded.predict(sparse.csr_array(rows)).tolist() == wanted
    assert command("predict", folder, svmlight(rows, base)).classes() == [str(k) for k in wanted]


def test_an_index_of_svmlight_beyond_the_columns_of_the_model_is_named(run, command):
    Path("rows.svm").write_text("0 1:1 2:1\n0 5:1\n")
    answer = command("predict", run, "rows.svm")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == "rows.svm: line 2 has index 5, beyond the 4 features, counted from 1"


def test_a_model_of_dense_rows_shifts_sparse_ones_too():
    dense = np.where(X > 2, X, 0)
    loaded = model()
    p = by_hand(loaded, dense)
    for kind in (sparse.csr_array, sparse.coo_matrix, sparse.csc_array):
        assert (loaded.predict_proba(kind(dense)) == p).all()


# Columns


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"height": None}, "has no column 'height', which the training file has"),
        ({"height": None, "hight": X[:, 1]}, "has no column 'height', which the training file has"),
        ({"id": Y}, "has a column 'id', which the training file does not have: leave it out"),
        ({"id": KINDS[Y]}, "has a column 'id', which the training file does not have: leave it out"),
        ({"width": KINDS[Y]}, "line 2, column 'width' holds 'setosa', no number"),
        ({"width": [*X[:149, 0], ""]}, "line 151, column 'width' is missing, and the model was trained without"),
        ({"Länge": [1e308, *X[1:, 0]]}, "line 2, column 'Länge' holds a number too large for this model"),
        ({"Länge": ["1e400", *X[1:, 0]]}, "line 2, column 'Länge' holds '1e400': every value must be a finite"),
    ],
)
@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_columns_that_do_not_fit_are_named_in_one_line(name, change, said, run, command):
    columns = {name: cells for name, cells in (labelled() | change).items() if cells is not None}
    answer = command(name, run, write_csv("rows.csv", columns))
    assert answer.code == 1
    assert answer.out in ("", "prediction\n")
    assert answer.line().startswith("rows.csv: ")
    assert said in answer.line()


@pytest.mark.parametrize("columns", [3, 5])
def test_a_wrong_number_of_columns_without_names_is_told(columns, run, command):
    np.savez("rows.npz", X=np.ones((3, columns)))
    answer = command("predict", run, "rows.npz")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == f"rows.npz: has {columns} feature columns, the training file 4"


def test_a_model_of_a_file_without_names_takes_a_file_with_some_by_place(command):
    write_model(feature_names=["x0", "x1", "x2", "x3"], table={"target": None, "header": None, "base": None})
    wanted = minnet.load("model.npz").predict(X).tolist()
    assert command("predict", "model.npz", write_csv("rows.csv", flowers())).classes() == wanted


@pytest.mark.parametrize("header", [True, False])
def test_a_model_of_an_npz_takes_a_csv_with_and_without_names(header, tmp_path, command):
    np.savez("train.npz", X=X, y=Y)
    folder = train(tmp_path / "run", "data.source=train.npz")
    wanted = minnet.load(folder).predict(X)
    for columns in (flowers(), flowers(kind=Y)):
        source = write_csv("rows.csv", columns, header)
        assert command("predict", folder, source).classes() == [str(k) for k in wanted]
    assert f"accuracy {(wanted == Y).mean():.4f}" in command("evaluate", folder, source).out


def test_columns_called_x1_and_x0_are_put_right():
    names = ["x0", "x1", "x2", "x3"]
    loaded = model(feature_names=names)
    frame = pd.DataFrame(X, columns=names)
    assert (loaded.predict_proba(frame[["x3", "x1", "x0", "x2"]]) == by_hand(loaded, X)).all()


def test_a_model_with_columns_of_text_wants_names(colours, command):
    np.savez("rows.npz", X=np.ones((3, 6)))
    answer = command("predict", colours, "rows.npz")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("rows.npz: its columns of text have no names to find them by")


def test_missing_cells_and_unknown_words_are_what_they_were_in_training(colours, command):
    columns = flowers(slice(0, 4), colour=["red", "green", "", "NA"], zip=["8001", "", "none", "1"])
    columns["width"] = ["", "NA", "5.5", "?"]
    rows = command("predict", colours, write_csv("rows.csv", columns), "--proba").rows(notes=2)
    loaded = minnet.load(colours)
    inputs = np.zeros((4, 9))
    inputs[:, :4] = X[:4]
    inputs[:, 0] = [loaded.features.fill[0], loaded.features.fill[0], 5.5, loaded.features.fill[0]]
    assert loaded.features.inputs[4:] == ["colour=blue", "colour=red", "zip=3011", "zip=8001", "zip=9999"]
    inputs[0, [5, 7]] = 1
    assert np.array([row[1:] for row in rows], float).tolist() == by_hand(loaded, inputs).tolist()


def test_values_that_the_model_does_not_know_are_noted_once_it_is_done(colours, command):
    columns = flowers(slice(4), colour=["red", "green", "", "mauve"], zip=["8001", "3011", "", "77"])
    told = [
        "rows.csv: column 'colour' has values that the model does not know: 'green' and 1 more",
        "rows.csv: column 'zip' has values that the model does not know: '77'",
    ]
    answer = command("predict", colours, write_csv("rows.csv", columns))
    assert (answer.code, len(answer.out.splitlines()), answer.notes()) == (0, 5, told)
    write_csv("rows.csv", columns | {"kind": KINDS[[0, 1, 2, 0]].tolist()})
    assert (command("evaluate", colours, "rows.csv").notes(), Path("answers.csv").exists()) == (told, False)
    assert command("predict", colours, "rows.csv", "--out", "answers.csv").notes() == told


def test_a_missing_word_is_an_error_where_nothing_was_missing_in_training(command):
    changes = {"categories": {"colour": ["blue", "red"]}, "layer_sizes": [6, 3], "activation": []}
    write_model(**changes)
    source = write_csv("rows.csv", flowers(slice(3), colour=["red", "", "green"]))
    assert command("predict", "model.npz", source).line() == (
        "rows.csv: line 3, column 'colour' is missing, and the model was trained without missing values"
    )


# Labels come back as they were


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["b", "a"], ["a", "b"]),
        ([-3, 7], ["-3", "7"]),
        ([2.0, 5.0], ["2", "5"]),
        ([True, False], ["False", "True"]),
        (['a,"b"', "c\nd\r\ne\rf"], ['a,"b"', "c\nd\r\ne\rf"]),
        (["猫", "犬 ,"], ["犬 ,", "猫"]),
        ([2**63, 5], ["5", str(2**63)]),
        (["é\udc80", "x"], ["x", "é\\udc80"]),
    ],
)
def test_labels_of_any_kind_come_back(labels, shown, tmp_path, command):
    y = np.array(labels, dtype=np.uint64 if 2**63 in labels else None)[[0, 1] * 30]
    np.savez("rows.npz", X=np.arange(60)[:, None] % 2 * 2.0 - 1, y=y)
    settings = ("model.hidden=[]", "optimizer.learning_rate=1", "train.epochs=20")
    folder = train(tmp_path / "run", "data.source=rows.npz", *settings)
    assert command("predict", folder, "rows.npz", "--out", "out.csv") == Answer(0, "", "")
    with Path("out.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["prediction"]
    assert {row[0] for row in rows} == set(shown)
    assert minnet.load(folder).predict(np.load("rows.npz")["X"]).tolist() == y.tolist()
    assert minnet.load(folder).classes_.tolist() == sorted(labels)
    assert "60 rows, " in command("evaluate", folder, "rows.npz").out
    assert "accuracy 1.0000" in command("evaluate", folder, "rows.npz").out


def test_the_probabilities_have_a_column_for_each_class_and_agree_with_the_class(run, command):
    source = write_csv("rows.csv", flowers())
    answer = command("predict", run, source, "--proba")
    header = read_csv(answer.out)[0]
    assert header == ["prediction", *(f"p({kind})" for kind in KINDS)]
    p = np.array([row[1:] for row in answer.rows()], float)
    assert p.sum(axis=1) == pytest.approx(np.ones(150), abs=1e-6)
    assert (p >= 0).all()
    assert KINDS[p.argmax(axis=1)].tolist() == answer.classes()
    assert command("predict", run, source).out.splitlines()[0] == "prediction"


def test_on_a_terminal_of_ascii_only_the_rest_is_escaped(run):
    Path("rows.csv").write_bytes(write_csv("t.csv", flowers(slice(140, 150))).read_bytes())
    answer = process("-m", "minnet", "predict", run, "rows.csv", env={"PYTHONIOENCODING": "ascii"})
    assert (answer.code, answer.err) == (0, "")
    assert {row[0] for row in answer.rows()} <= {*KINDS[:2], 'vir "g" \\xe4'}


# Where the output goes


def test_out_writes_what_would_be_printed(run, command):
    source = write_csv("rows.csv", flowers())
    printed = command("predict", run, source, "--proba").out
    assert command("predict", run, source, "--proba", "--out", "out.csv") == Answer(0, "", "")
    assert Path("out.csv").read_text(encoding="utf-8") == printed


def test_a_file_that_is_there_is_left_alone_unless_overwrite_says_so(run, command):
    source = write_csv("rows.csv", flowers())
    Path("out.csv").write_text("mine")
    answer = command("predict", run, source, "--out", "out.csv")
    assert (answer.code, answer.out) == (2, "")
    assert answer.line() == "out.csv: exists; choose another file, or let it go with --overwrite"
    assert Path("out.csv").read_text() == "mine"
    assert command("predict", run, source, "--out", "out.csv", "--overwrite").code == 0
    assert Path("out.csv").read_text().startswith("prediction\n")


def test_an_error_half_way_leaves_the_old_file_and_no_other(run, command):
    columns = flowers(np.arange(3000) % 150)
    columns["width"][2500] = 1e308
    source = write_csv("rows.csv", columns)
    Path("out.csv").write_text("mine")
    answer = command("predict", run, source, "--out", "out.csv", "--overwrite")
    assert answer.code == 1
    assert answer.line() == "rows.csv: line 2502, column 'width' holds a number too large for this model"
    assert Path("out.csv").read_text() == "mine"
    assert {path.name for path in Path().iterdir()} == {"out.csv", "rows.csv"}


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_ctrl_c_is_one_line_and_leaves_files_as_they_were(name, run, command, monkeypatch):
    write_csv("rows.csv", labelled())
    Path("answers.csv").write_text("old")
    monkeypatch.setattr(features, "apply", lambda *arguments: signal.raise_signal(signal.SIGINT))
    options = ["--out", "answers.csv", "--overwrite"] if name == "predict" else []
    answer = command(name, run, "rows.csv", *options)
    assert (answer.code, answer.line()) == (130, "interrupted")
    assert sorted(path.name for path in Path().iterdir()) == ["answers.csv", "rows.csv"]
    assert Path("answers.csv").read_text() == "old"


def test_a_disk_that_fills_up_is_one_line_and_leaves_no_part_of_the_file(run, command):
    source = write_csv("rows.csv", flowers())
    with file_size_limit(1000):
        answer = command("predict", run, source, "--proba", "--out", "out.csv")
    assert answer.code == 1
    assert answer.line().startswith("out.csv: cannot be written: ")
    assert [path.name for path in Path().iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("out", ["no/such/out.csv", "rows.csv/out.csv", "x" * 300])
def test_a_file_that_cannot_be_made_is_one_line(out, run, command):
    answer = command("predict", run, write_csv("rows.csv", flowers()), "--out", out)
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith(f"{out}: cannot be written: ")


def test_a_reader_that_leaves_is_no_error_and_ends_the_work():
    write_model(feature_names=[f"x{j}" for j in range(4)])
    np.savez("rows.npz", X=np.tile(X, (2000, 1)))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    arguments = [sys.executable, "-c", COUNTED, "predict", "model.npz", "rows.npz", "--proba"]
    with subprocess.Popen(arguments, **pipes, env=os.environ | {"PYTHONPATH": str(ROOT)}) as running:
        assert running.stdout.readline().startswith("prediction,")
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == 0
    assert int(said) < 100 < 300_000 // ROWS  # blocks


COUNTED = """
import sys
from minnet import cli, prediction
real, blocks = prediction._csv, []
prediction._csv = lambda rows: blocks.append(1) or real(rows)
code = cli.main(sys.argv[1:])
print(len(blocks), file=sys.stderr)
sys.exit(code)
"""


# How many rows, and how fast


@pytest.mark.parametrize("N", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 7])
def test_rows_in_blocks_are_the_rows_at_once(N, run, command):
    rows = np.arange(N) % 150
    loaded = minnet.load(run)
    p = loaded.predict_proba(X[rows])
    assert p.shape == (N, 3)
    assert np.allclose(p, by_hand(loaded, X)[rows], atol=1e-6)
    np.savez("rows.npz", X=X[rows])
    assert np.array([row[1:] for row in command("predict", run, "rows.npz", "--proba").rows()], float).tolist() == (
        p.tolist()
    )


@pytest.mark.parametrize("make", [np.array, sparse.csr_array, lambda X: pd.DataFrame(X, columns=NAMES)])
def test_no_rows_have_no_classes(make):
    loaded = model()
    p = loaded.predict_proba(make(X[:0]))
    assert (p.shape, p.dtype) == ((0, 3), np.float32)
    assert loaded.predict(make(X[:0])).tolist() == []


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_a_file_without_rows_is_told(name, run, command):
    Path("rows.csv").write_text("width,height,Länge,'a,b',kind\n")
    np.savez("rows.npz", X=X[:0], y=KINDS[Y[:0]])
    for source in ("rows.csv", "rows.npz"):
        answer = command(name, run, source)
        assert (answer.code, answer.out) == (1, "")
        assert answer.line().startswith(f"{source}: ")


def test_predicting_on_an_npz_does_not_wait_for_scikit_learn(run):
    np.savez("rows.npz", X=X)
    code = (
        "import sys; from minnet import cli; code = cli.main(sys.argv[1:]);"
        "sys.exit(code or any(name.partition('.')[0] in ('sklearn', 'scipy', 'pandas') for name in sys.modules))"
    )
    assert len(process("-c", code, "predict", run, "rows.npz").rows()) == 150


# Evaluate


def test_a_label_that_was_not_there_in_training_is_named(run, command):
    columns = flowers(slice(3), kind=["setosa", "zebra", "setosa"])
    answer = command("evaluate", run, write_csv("rows.csv", columns))
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == "rows.csv: class zebra is none of the model's: " + ", ".join(KINDS)


def test_a_file_without_labels_cannot_be_measured(run, command):
    answer = command("evaluate", run, write_csv("rows.csv", flowers()))
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("rows.csv has no column 'kind'; ")
    np.savez("rows.npz", X=X)
    answer = command("evaluate", run, "rows.npz")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("rows.npz: has no array y")


def test_a_missing_label_is_named_when_measuring_and_no_matter_when_predicting(run, command):
    source = write_csv("rows.csv", flowers(slice(2), kind=["setosa", ""]))
    assert command("evaluate", run, source).line().startswith("rows.csv: line 3, column 'kind' has no label")
    assert len(command("predict", run, source).rows()) == 2


def test_rows_in_blocks_are_measured_as_those_at_once():
    rows = np.arange(3 * ROWS + 7) % 150
    np.savez("rows.npz", X=X[rows], y=KINDS[Y[rows]])
    loaded = model()
    measured, y = prediction.evaluate(loaded, prediction.read(loaded, "rows.npz", labels=True))
    p = by_hand(loaded, X)[rows]
    assert (y == Y[rows]).all()
    assert (measured.predicted == p.argmax(axis=1)).all()
    assert measured.accuracy == (p.argmax(axis=1) == y).mean()
    assert measured.loss == pytest.approx(-np.log(p[np.arange(len(y)), y].astype(float)).mean(), rel=1e-4)


def test_a_file_with_rows_of_one_class_can_be_measured(run, command):
    answer = command("evaluate", run, write_csv("rows.csv", labelled(slice(0, 20))))
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("rows.csv: 20 rows, loss ")


@pytest.mark.parametrize("name", ["predict", "evaluate"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: MODEL, DATA"),
        (["run"], "the following arguments are required: DATA"),
        (["run", "rows.csv", "more"], "unrecognized arguments: more"),
        (["run", "rows.csv", "--prob"], "unrecognized arguments: --prob"),
    ],
)
def test_a_mistake_in_the_arguments_is_one_line(name, arguments, said, command):
    answer = command(name, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.line()


@pytest.mark.parametrize("name", ["predict", "evaluate"])
def test_a_file_that_is_not_there_is_named(name, run, command):
    answer = command(name, run, "no.csv")
    assert (answer.code, answer.out) == (1, "")
    assert answer.line() == "no.csv: cannot be read: No such file or directory"


# Data frames and arrays in Python


def test_data_frames_are_matched_by_name():
    loaded, frame = model(), pd.DataFrame(X, columns=NAMES)
    p = by_hand(loaded, X)
    assert (loaded.predict_proba(frame) == p).all()
    assert (loaded.predict_proba(frame[NAMES[::-1]]) == p).all()
    assert (loaded.predict_proba(frame.astype(object)) == p).all()
    assert (loaded.predict_proba(frame.convert_dtypes()) == p).all()
    assert loaded.predict(frame).tolist() == KINDS[p.argmax(axis=1)].tolist()


def test_a_data_frame_with_text_is_read_as_its_file_would_be(colours, command):
    columns = flowers(slice(6), colour=["red", "blue", "", "green", "red", "NA"], zip=["8001", "", "1", *["3011"] * 3])
    columns["width"][0] = ""
    source = write_csv("rows.csv", columns)
    loaded = minnet.load(colours)
    wanted = np.array([row[1:] for row in command("predict", colours, source, "--proba").rows(notes=2)], float)
    for options in ({}, {"dtype": {"colour": "category"}}, {"dtype": {"zip": str, "colour": object}}):
        frame = pd.read_csv(source, **options)  # a zip that is missing makes floats of the others
        assert loaded.predict_proba(frame).tolist() == wanted.tolist()
        assert loaded.predict_proba(frame[frame.columns[::-1]]).tolist() == wanted.tolist()
    with pytest.raises(DataError, match="X: this model has columns of text, so it takes a data frame"):
        loaded.predict(X)


class OtherFrame:
    columns = NAMES


def with_column(name: str, cells: Any) -> pd.DataFrame:
    return pd.DataFrame(X, columns=NAMES).assign(**{name: cells})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: with_column("id", 0), "X: has a column 'id', which the training file does not have"),
        (lambda: with_column("width", 0).drop(columns="height"), "X: has no column 'height', which the training"),
        (lambda: pd.DataFrame(X), "X: has no column 'width', which the training file has"),
        (lambda: with_column("width", "red"), "X: column 'width': not every value is a number: "),
        (lambda: with_column("width", np.inf), "X: row 0, column 'width' holds inf: every value must be a finite"),
        (lambda: with_column("height", [*range(149), None]), "X: row 149, column 'height' is missing, and the model"),
        (lambda: pd.DataFrame(X, columns=["width", *NAMES[:3]]), "X: two columns have the same name"),
        (OtherFrame, "X: of data frames, only those of pandas are taken"),
        (lambda: X[0], "X: has shape (4,): this model takes (N, 4)"),
        (lambda: X[:, :3], "X: has shape (150, 3): this model takes (N, 4)"),
        (lambda: sparse.csr_array(X[:, :3]), "X: has shape (150, 3): this model takes (N, 4)"),
        (lambda: 5.0, "X: has shape (): this model takes (N, 4)"),
        (lambda: [["a", "b", "c", "d"]], "X: not every value is a number: "),
        (lambda: [[1, 2, 3, 4], [1, 2]], "X: not every value is a number: "),
        (lambda: [[1, 2, 3, 10**400]], "X: not every value is a number: "),
        (lambda: [[1, 2, np.nan, 4]], "X: row 0, column 'Länge' is missing, and the model was trained without"),
        (lambda: [[1, 2, -np.inf, 4]], "X: row 0, column 'Länge' holds -inf: every value must be a finite number"),
        (lambda: sparse.csr_array([[0, np.nan, 0, 0]]), "X: row 0, column 'height' is missing"),
        (lambda: [[1e308, 0, 0, 0]], "X: row 0, column 'width' holds a number too large for this model"),
        (lambda: [[0, 0, 0, 0], [1e38, 1, 1, 1]], "X: row 1, column 'width' holds a number too large for this model"),
    ],
)
def test_rows_that_do_not_fit_are_a_data_error_of_one_line(given, said):
    loaded = model(arrays={"theta": np.full(43, 1e3, np.float32)})
    with pytest.raises(DataError) as caught:
        loaded.predict_proba(given())
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


def test_lists_whole_numbers_and_other_orders_are_rows_too():
    loaded = model()
    assert (loaded.predict_proba(X.tolist()) == by_hand(loaded, X)).all()
    assert (loaded.predict_proba(np.asfortranarray(X)) == by_hand(loaded, X)).all()
    assert (loaded.predict_proba(np.ones((3, 4), bool)) == by_hand(loaded, np.ones((3, 4)))).all()
    assert (loaded.predict(X) == KINDS[by_hand(loaded, X).argmax(axis=1)]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_have_the_dtype_of_the_net_and_rows_are_left_as_they_are(dtype):
    loaded, rows = model(dtype=dtype), X.copy()
    matrix = sparse.csr_array(X)
    assert loaded.predict_proba(rows).dtype == dtype
    assert loaded.predict_proba(matrix).dtype == dtype
    assert (rows == X).all()
    assert (matrix.toarray() == X).all()


# Model files that are damaged: every entry of the catalogue


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(entries: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def changed(content: bytes, **changes: Any) -> bytes:
    """The file with members changed, as who uses NumPy alone would write it."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    out = io.BytesIO()
    np.savez(out, **{name: array for name, array in (arrays | changes).items() if array is not None})
    return out.getvalue()


def newer(content: bytes) -> bytes:
    manifest = json.loads(np.load(io.BytesIO(content))["manifest"].tobytes())
    text = json.dumps(manifest | {"version": 7}, sort_keys=True).encode()
    head = archive._npy_header("|u1", (len(text),))
    import zlib

    return archive._member_header("manifest", zlib.crc32(head + text), len(head) + len(text)) + head + text


def checkpoint(content: bytes) -> bytes:
    return b"".join(archive.encode("minnet checkpoint", {"theta": np.ones(3)}, {}))


def bomb(content: bytes) -> bytes:
    manifest = next(iter(members(content).items()))
    return zipped([manifest, ("theta.npy", npy(np.zeros(10**7)))], zipfile.ZIP_DEFLATED)


def without_duplicate_warning(content: bytes) -> bytes:
    entries = [*members(content).items()]
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([*entries, entries[-1]])


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": truncated,
    "bit flipped": flipped,
    "bytes appended": lambda content: content + b"\0",
    "a pickle": lambda content: pickle.dumps({"theta": [1.0]}),
    "a pickle inside": lambda content: changed(content, theta=np.array([None, {}])),
    "a zip bomb": bomb,
    "wrong dtype": lambda content: changed(content, theta=np.zeros(43)),
    "wrong shape": lambda content: changed(content, theta=np.zeros((43, 1), np.float32)),
    "missing member": lambda content: changed(content, center=None),
    "extra member": lambda content: changed(content, more=np.zeros(3)),
    "duplicate member": without_duplicate_warning,
    "NaN weights": lambda content: changed(content, theta=np.full(43, np.nan, np.float32)),
    "a future version": newer,
    "a checkpoint": checkpoint,
    "text": lambda content: b"[model]\nhidden = 3\n",
    "another npz": lambda content: zipped([("X.npy", npy(X))]),
}


@pytest.mark.parametrize("name", ["predict", "evaluate", "study"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_file_is_one_line_that_names_it(damage, name, command):
    path = write_model()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = path.read_bytes()
    source = write_csv("rows.csv", labelled())
    answer = command(*(["study", "--model", path] if name == "study" else [name, path, source]))
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("model.npz: ")
    if damage == "a future version":
        assert "was written by a newer minnet (version 7); update minnet" in answer.line()
    if damage == "a checkpoint":
        assert "is a minnet checkpoint, not a minnet model; name a run's model.npz" in answer.line()
    assert path.read_bytes() == before
    with pytest.raises(ModelFileError):
        minnet.load(path)


@pytest.mark.parametrize("path", ["no", "no/model.npz", ".", "rows.csv"])
def test_a_model_that_is_not_there_is_named(path, command):
    source = write_csv("rows.csv", labelled())
    for arguments in (["predict", path, source], ["evaluate", path, source], ["study", "--model", path]):
        answer = command(*arguments)
        assert (answer.code, answer.out) == (1, "")
        assert answer.line().startswith("model.npz: " if path == "." else f"{path}: ")


# Model files that are whole, but whose content does not fit together

HUGE = 10**7
UNFIT = {
    "theta too short": {"arrays": {"theta": np.zeros(42, np.float32)}},
    "theta too long": {"arrays": {"theta": np.zeros(44, np.float32)}},
    "theta not flat": {"arrays": {"theta": np.zeros((43, 1), np.float32)}},
    "theta of another dtype": {"arrays": {"theta": np.zeros(43)}},
    "theta of whole numbers": {"arrays": {"theta": np.zeros(43, np.int32)}},
    "too few classes": {"classes": ["a", "b"]},
    "too many classes": {"classes": ["a", "b", "c", "d"]},
    "the same class twice": {"classes": ["a", "b", "b"]},
    "classes of mixed kinds": {"classes": ["a", 1, "b"]},
    "classes of bools and numbers": {"classes": [True, 0, 2]},
    "classes of lists": {"classes": [["a"], ["b"], ["c"]]},
    "classes of fractions": {"classes": [0.5, 1.5, 2.5]},
    "classes of null": {"classes": [None, "a", "b"]},
    "classes too large": {"classes": [1, 2, 10**30]},
    "classes of both signs too large": {"classes": [-1, 2, 2**63]},
    "no classes": {"classes": []},
    "classes a text": {"classes": "abc"},
    "fill too short": {"arrays": {"fill": np.zeros(3)}},
    "fill of whole numbers": {"arrays": {"fill": np.zeros(4, int)}},
    "center too long": {"arrays": {"center": np.zeros(5)}},
    "center a number": {"arrays": {"center": np.array(0.0)}},
    "center of another dtype": {"arrays": {"center": np.zeros(4, np.float32)}},
    "scale too short": {"arrays": {"scale": np.ones(3)}},
    "scale with a zero": {"arrays": {"scale": np.array([1.0, 1, 0, 1])}},
    "scale negative": {"arrays": {"scale": np.array([1.0, 1, -1, 1])}},
    "an unknown activation": {"activation": ["zebra"]},
    "an activation too many": {"activation": ["relu", "relu"]},
    "an activation that is no name": {"activation": [["relu"]]},
    "activation a text": {"activation": "relu"},
    "negative sizes": {"layer_sizes": [4, -5, 3]},
    "sizes of zero": {"layer_sizes": [4, 0, 3]},
    "no sizes": {"layer_sizes": []},
    "one size": {"layer_sizes": [4], "arrays": {"theta": np.zeros(0, np.float32)}},
    "sizes of text": {"layer_sizes": ["4", "5", "3"]},
    "sizes of fractions": {"layer_sizes": [4.0, 5.0, 3.0]},
    "huge sizes": {"layer_sizes": [4, HUGE, HUGE, 3], "activation": ["relu"] * 2},
    "sizes beyond 64 bits": {"layer_sizes": [4, 10**30, 3]},
    "huge sizes that cancel out": {"layer_sizes": [-1, HUGE, -1, HUGE, 3], "activation": ["relu"] * 3},
    "an unknown dtype": {"dtype": "zebra"},
    "a dtype of half": {"dtype": "float16"},
    "a dtype of objects": {"dtype": "O"},
    "no dtype": {"without": ["dtype"]},
    "names of numbers": {"feature_names": [1, 2, 3, 4]},
    "the same name twice": {"feature_names": ["a", "b", "b", "c"]},
    "too few names": {"feature_names": ["a", "b", "c"]},
    "names missing": {"without": ["feature_names"]},
    "categories a list": {"categories": ["colour"]},
    "categories of one text": {"categories": {"colour": "red"}},
    "categories of numbers": {"categories": {"colour": [1, 2]}},
    "the same category twice": {"categories": {"colour": ["red", "red"]}},
    "categories without values": {"categories": {"colour": []}},
    "categories null": {"categories": {"colour": None}},
    "a category with the name of a number": {"categories": {"width": ["red"]}},
    "a table of another kind": {"table": [1]},
    "a target of another kind": {"table": {"target": [1]}},
    "a header of another kind": {"table": {"header": "yes"}},
    "a base of another kind": {"table": {"base": 2}},
    "no theta": {"without": ["theta"]},
    "no center": {"without": ["center"]},
    "no scale": {"without": ["scale"]},
    "an array too many": {"arrays": {"more": np.zeros(4)}},
    "no source": {"without": ["source"]},
}


def unfit(changes: dict[str, Any]) -> Path:
    """A whole file of these changes; its own theta is that of the net of 4-5-3 units."""
    changes = changes | {"arrays": {"theta": np.zeros(43, np.float32), **changes.get("arrays", {})}}
    changes["arrays"] = {"center": np.zeros(4), "scale": np.ones(4), **changes["arrays"]}
    categories = changes.pop("categories", {})
    base = {"layer_sizes": [4, 5, 3], "activation": ["relu"], "dtype": "float32", "source": "made.csv"}
    base |= {"classes": KINDS.tolist(), "feature_names": NAMES, "categories": categories, "table": {}}
    arrays, without = changes.pop("arrays"), changes.pop("without", [])
    base |= changes
    for name in without:
        (base if name in base else arrays).pop(name)
    Path("model.npz").write_bytes(b"".join(archive.encode("minnet model", arrays, base)))
    return Path("model.npz")


def test_the_file_that_the_next_tests_change_is_a_model():
    assert minnet.load(unfit({})).predict(X).tolist() == ["setosa"] * 150


@pytest.mark.parametrize("kind", UNFIT)
def test_a_model_whose_content_does_not_fit_together_is_one_line_that_names_it(kind, command):
    path = unfit(UNFIT[kind])
    storage.read_model(path)  # it is whole
    answer = command("predict", path, write_csv("rows.csv", flowers()))
    assert (answer.code, answer.out) == (1, "")
    assert answer.line().startswith("model.npz: is no model of minnet: ")
    assert answer.line().endswith("; train again")


@pytest.mark.parametrize("kind", ["theta too short", "too few classes", "huge sizes", "no center"])
def test_the_other_commands_refuse_it_too(kind, run, command):
    path = unfit(UNFIT[kind])
    Path("config.toml").write_bytes((run / "config.toml").read_bytes())
    for arguments in (["evaluate", path, write_csv("rows.csv", labelled())], ["study", "--model", path]):
        answer = command(*arguments)
        assert (answer.code, answer.out) == (1, "")
        assert answer.line().startswith("model.npz: is no model of minnet: ")


MEMORY = """
import sys
from pathlib import Path
import minnet
from minnet import prediction

def high_water():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

before = high_water()
minnet.load("model.npz")
print(high_water(), high_water() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loading_takes_at_most_twice_the_file_and_50_mb(dtype):
    hidden = 1000 if dtype == "float64" else 1400
    sizes = [hidden * 3, hidden * 2, 3]
    path = write_model(layer_sizes=sizes, feature_names=[f"x{j}" for j in range(hidden * 3)], dtype=dtype)
    size = path.stat().st_size
    assert 45e6 < size < 75e6
    peak, risen = map(int, process("-c", MEMORY).out.split())
    assert peak <= 2 * size + 50e6
    assert risen <= 2 * size + 5e6


def test_huge_sizes_are_refused_before_room_is_made_for_them(monkeypatch):
    def no_room(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a net was made")

    path = unfit(UNFIT["huge sizes"])
    monkeypatch.setattr(prediction.MLP, "__init__", no_room)
    with pytest.raises(ModelFileError, match="theta has shape"):
        minnet.load(path)


def test_a_message_about_a_file_is_one_line_whatever_its_name():
    path = write_model("a\nb.npz", classes=["a", "b"])
    with pytest.raises(ModelFileError) as caught:
        minnet.load(path)
    assert len(str(caught.value).splitlines()) == 1
