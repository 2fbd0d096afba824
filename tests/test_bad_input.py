"""Bad input: every entry of the catalogue ends in its exit code and one line that names the thing; nothing is lost.

Mistakes in arguments, in keys without a file, and of files that are no configs stand in test_cli and test_config too.
"""

import contextlib
import gzip
import io
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minnet import cli, runs, storage
from minnet.config import KEYS, Config, dumps

GOOD = "length,width,colour\n" + "".join(f"{i},{i * i % 7},{('red', 'blue')[i % 2]}\n" for i in range(40))
HEAD, ROWS = GOOD.split("\n", 1)
PLAIN = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a file of data and a run on it."""
    folder = tmp_path_factory.mktemp("bad")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("good.csv").write_text(GOOD)
        assert cli.main(["train", "data.source=good.csv", "train.epochs=1", "--quiet", "--out", "old"]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A copy of that folder for each test."""
    folder = tmp_path / "here"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def files():
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def write(name, content):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def answer(arguments, capsys):
    """The exit code and the line on stderr; all files must be as they were."""
    before = files()
    code = cli.main(arguments)
    captured = capsys.readouterr()
    assert files() == before
    assert captured.err.startswith("minnet: ") and captured.err.endswith("\n")
    assert len(captured.err.splitlines()) == 1 and "Traceback" not in captured.err
    return code, captured.err.removeprefix("minnet: ").rstrip("\n")


OLD = ["--quiet", "--out", "old", "--overwrite"]  # the run that may be lost


# Configs: exit 2

CONFIGS = {
    "unknown key": ("[train]\nepocs = 3\n", "unknown key train.epocs; did you mean train.epochs?"),
    "unknown section": ("[trian]\nepochs = 3\n", "unknown section trian; choose from data, model, optimizer, train"),
    "duplicate key": ("[train]\nepochs = 3\nepochs = 4\n", "is not TOML: Cannot overwrite a value (at line 3"),
    "duplicate section": ("[train]\n[data]\n[train]\n", "is not TOML: Cannot declare"),
    "text for a number": ('[train]\nepochs = "3"\n', 'train.epochs: expected a whole number, got "3"'),
    "bool for a number": ("[optimizer]\nlearning_rate = true\n", "learning_rate: expected a finite number, got true"),
    "nan": ("[optimizer]\nlearning_rate = nan\n", "optimizer.learning_rate: expected a finite number, got nan"),
    "inf": ("[optimizer]\nlearning_rate = inf\n", "optimizer.learning_rate: expected a finite number, got inf"),
    "1e400": ("[optimizer]\nlearning_rate = 1e400\n", "optimizer.learning_rate: expected a finite number"),
    "zero rate": ("[optimizer]\nlearning_rate = 0\n", "optimizer.learning_rate: must be above 0, got 0"),
    "negative rate": ("[optimizer]\nlearning_rate = -0.1\n", "optimizer.learning_rate: must be above 0, got -0.1"),
    "hidden 0": ("[model]\nhidden = [0]\n", "model.hidden: must be at least 1, got 0"),
    "hidden 2.5": ("[model]\nhidden = [2.5]\n", "model.hidden: expected a list of whole numbers, got [2.5]"),
    "hidden 10^12": ("[model]\nhidden = [1000000000000]\n", "model.hidden: must be at most 1000000"),
    "batch 0": ("[train]\nbatch_size = 0\n", "train.batch_size: must be at least 1, got 0"),
    "epochs 0": ("[train]\nepochs = 0\n", "train.epochs: must be at least 1, got 0"),
    "seed -1": ("[train]\nseed = -1\n", "train.seed: must be at least 0, got -1"),
    "unknown choice": ("[optimizer]\nname = 'adagrad'\n", '"adagrad" is none of sgd, momentum, nesterov, adam, adamw'),
    "unknown choice of files": (
        "[data]\nsource = 'good.csv'\nmissing = 'zero'\n",
        'data.missing: "zero" is none of error, mean, median, drop',
    ),
    "key without effect": ("[data]\nsource = 'iris'\nheader = true\n", "data.header: has no effect on 'iris'"),
    "latin-1": ("# é\n".encode("latin-1"), "is not UTF-8 text (byte 3); save it as UTF-8"),
    "UTF-16": ("[train]\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "NUL": (b"[train]\nepochs = 3\0\n", "is not TOML"),
    "a zip": (b"PK\x03\x04\0\0", "is not TOML"),
    "huge": (b"#" * 1_000_001, "larger than 1000000 bytes, so hardly a config"),
}


@pytest.mark.parametrize(("content", "said"), CONFIGS.values(), ids=CONFIGS)
def test_a_bad_config_ends_in_exit_code_2_and_names_file_and_key(content, said, here, capsys):
    write("my.toml", content)
    code, line = answer(["train", "my.toml", *OLD], capsys)
    assert code == 2
    assert line.startswith("my.toml: ") or said.startswith("data.header")
    assert said in line


ARGUMENTS = {
    "no equals sign": (["data.missing"], "'data.missing' is no section.key=value"),
    "missing file": (["none.toml"], "none.toml: no such config file"),
    "directory": (["old"], "old: cannot read this config: Is a directory"),
    "data as config": (["good.csv"], "good.csv: is not TOML"),
    "a file for a section": (["good.csv", "train.epochs=1"], "good.csv: is not TOML"),
    "hidden too large": (
        ["data.source=good.csv", "model.hidden=[1000000,1000000]"],
        "model.hidden: a net of 2-1000000-1000000-2 has 1,000,006,000,002 parameters",
    ),
    "no column to learn": (["data.source=good.csv", "data.target=color"], "no column 'color'; did you mean 'colour'?"),
    "no such place": (["data.source=good.csv", "data.target=7"], "good.csv has 3 columns, with indices -3 to 2, not 7"),
    "no such category": (["data.source=good.csv", 'data.categorical=["size"]'], "good.csv has no column 'size'"),
    "no such class": (["data.source=good.csv", "train.class_weight={pink=1}"], "'pink', only blue, red"),
}


@pytest.mark.parametrize(("arguments", "said"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_bad_argument_ends_in_exit_code_2_and_is_named(arguments, said, here, capsys):
    code, line = answer(["train", *arguments, *OLD], capsys)
    assert code == 2
    assert said in line


def test_a_config_that_may_not_be_read_is_named(here, capsys, monkeypatch):
    write("my.toml", "[train]\n")
    open_as_before = Path.open

    def refuse(path, *arguments, **keys):
        if path.name == "my.toml":
            raise PermissionError(13, "Permission denied")
        return open_as_before(path, *arguments, **keys)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)  # as root, every file may be read
        code = cli.main(["train", "my.toml", *OLD])
    assert (code, capsys.readouterr().err) == (2, "minnet: my.toml: cannot read this config: Permission denied\n")


FINE_CONFIGS = {
    "empty": b"",
    "BOM": b"\xef\xbb\xbf[train]\nseed = 3\n",
    "an int for a float": b"[optimizer]\nlearning_rate = 1\n",
    "no hidden layer": b"[model]\nhidden = []\n",
    "batches larger than all": b"[train]\nbatch_size = 1000000\n",
}


@pytest.mark.parametrize("content", FINE_CONFIGS.values(), ids=FINE_CONFIGS)
def test_a_config_that_only_looks_bad_is_taken(content, here, capsys):
    write("my.toml", content)
    code = cli.main(["train", "my.toml", "data.source=good.csv", "train.epochs=1", "--out", "new"])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert "batches of 32\n" not in captured.out or b"batch" not in content
    if b"batch" in content:
        assert "train 25, " in captured.out and "batches of 25\n" in captured.out


# Data: exit 1


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


X40, Y40 = np.arange(80.0).reshape(40, 2), np.arange(40) % 2
OBJECTS = X40.astype(object)
WITH_NAN = np.where(X40 == 7, np.nan, X40)

DATA = {
    "NaN": ("d.csv", GOOD.replace("5,4,", "5,nan,"), "d.csv: line 7, column 'width' is missing"),
    "empty cell": ("d.csv", GOOD.replace("5,4,", "5,,"), "d.csv: line 7, column 'width' is missing"),
    "inf": ("d.csv", GOOD.replace("5,4,", "5,inf,"), "d.csv: line 7, column 'width' holds 'inf': every value must be"),
    "-Infinity": ("d.csv", GOOD.replace("5,4,", "5,-Infinity,"), "d.csv: line 7, column 'width' holds '-Infinity'"),
    "1e400": ("d.csv", GOOD.replace("5,4,", "5,1e400,"), "d.csv: line 7, column 'width' holds '1e400'"),
    "text in a column": ("d.csv", GOOD.replace("5,4,", "5,big,"), "d.csv: line 7, column 'width' holds 'big'"),
    "1_0": ("d.csv", GOOD.replace("5,4,", "5,1_0,"), "d.csv: line 7, column 'width' holds '1_0', no number"),
    "decimal comma": ("d.csv", GOOD.replace(",", ";").replace("5;4;", "5;4,5;"), "d.csv: line 7, column 'width'"),
    "one class": ("d.csv", GOOD.replace("blue", "red"), "only one class, red: there is nothing to tell apart"),
    "a class with one row": ("d.csv", GOOD + "1,2,pink\n", "class pink has 1 row: each needs at least 2"),
    "label 0.5": (
        "d.csv",
        HEAD + "\n" + PLAIN.replace("5,4,1", "5,4,0.5"),
        "line 7, column 'colour' holds '0.5', which is no",
    ),
    "no label": ("d.csv", GOOD.replace("5,4,blue", "5,4,"), "d.csv: line 7, column 'colour' has no label"),
    "numeric header": ("d.csv", "1,2,3\n4,5,6\n", "d.csv: line 1 may be names or data: set data.header=true or"),
    "short row": ("d.csv", GOOD.replace("5,4,blue", "5,4"), "d.csv: line 7 has 2 columns, where 3 are expected"),
    "long row": ("d.csv", GOOD.replace("5,4,blue", "5,4,4,blue"), "d.csv: line 7 has 4 columns, where 3 are expected"),
    "unclosed quote": ("d.csv", GOOD.replace("5,4,blue", '5,4,"blue'), "d.csv: line 7: a quote is opened and not"),
    "latin-1": ("d.csv", GOOD.replace("5,4,blue", "5,4,blé").encode("latin-1"), "d.csv: line 7 is not UTF-8 text"),
    "UTF-16": ("d.csv", GOOD.encode("utf-16"), "d.csv: is UTF-16 text: save it as UTF-8"),
    "empty": ("d.csv", "", "d.csv: is empty"),
    "blank": ("d.csv", "\n\n \n", "d.csv: is empty"),
    "header only": ("d.csv", HEAD + "\n", "d.csv: has names in line 1, but no rows below"),
    "trailing comma": ("d.csv", GOOD.replace("\n", ",\n"), "d.csv: every line ends with ',', so the last column"),
    "one trailing comma": ("d.csv", GOOD.replace("5,4,blue", "5,4,blue,"), "d.csv: line 7 has 4 columns"),
    "NUL": ("d.csv", GOOD.replace("5,4,blue", "5,\0,blue"), "d.csv: line 7 holds a NUL byte"),
    "duplicate column": ("d.csv", GOOD.replace("width", "length"), "d.csv: line 1: two columns have the name 'length'"),
    "column without a name": ("d.csv", GOOD.replace("width", ""), "d.csv: line 1: column 2 has no name"),
    "one column": ("d.csv", "a\n1\n2\n", "d.csv: has only one column"),
    "gzip cut short": ("d.csv.gz", gzip.compress(GOOD.encode())[:-9], "d.csv.gz: is damaged or cut short"),
    "gzip with a wrong bit": (
        "d.csv.gz",
        gzip.compress(GOOD.encode())[:-8] + b"\0" * 8,
        "d.csv.gz: is damaged or cut short",
    ),
    "features at 1e200": ("d.csv", GOOD.replace("5,4,", "5,4e200,"), "column 'width' holds numbers too large"),
    "a column with no number": ("d.csv", "a,b,c\n" + "1,NA,x\n2,NA,y\n" * 9, "line 2, column 'b' is missing"),
    "an Excel file": ("d.csv", b"PK\x03\x04" + bytes(40), "d.csv: is a zip or Excel file"),
    "a folder without arrays": ("d/readme.txt", "", "d: has no array X"),
    "npz without y": ("d.npz", npz(X=X40), "d.npz: has no array y among ['X']"),
    "npz with objects": ("d.npz", npz(X=OBJECTS, y=Y40), "d.npz: X holds Python objects, which are never read"),
    "npz with label objects": ("d.npz", npz(X=X40, y=Y40.astype(object)), "d.npz: y holds Python objects"),
    "npz cut short": ("d.npz", npz(X=X40, y=Y40)[:-30], "d.npz: is damaged"),
    "npz that is none": ("d.npz", b"nothing", "d.npz: is damaged"),
    "npz with NaN": ("d.npz", npz(X=WITH_NAN, y=Y40), "d.npz: row 3, column 'x1' is missing"),
    "npz with inf": ("d.npz", npz(X=np.where(X40 == 7, np.inf, X40), y=Y40), "d.npz: row 3, column 'x1' holds inf"),
    "npz with label 0.5": ("d.npz", npz(X=X40, y=Y40 / 2), "d.npz: row 1, column 'y' holds 0.5"),
    "npz with too few labels": ("d.npz", npz(X=X40, y=Y40[1:]), "d.npz: y has shape (39,)"),
    "npz of no rows": ("d.npz", npz(X=X40[:0], y=Y40[:0]), "d.npz: X has shape (0, 2)"),
    "svmlight index 2e9": ("d.svm", "1 1:3\n0 2000000000:1\n", "d.svm: line 2 has index 2000000000: at most"),
    "svmlight that is none": ("d.svm", "1 1:3\n0 a:1\n", "d.svm: line 2: '0 a:1' is not: label index:value"),
    "svmlight nan": ("d.svm", "1 1:nan\n0 2:1\n", "d.svm: line 1: '1 1:nan' is not"),
    "svmlight unsorted": ("d.svm", "1 1:3\n0 2:1 1:1\n", "d.svm: line 2: indices must rise"),
    "svmlight empty": ("d.svm", "", "d.svm: is empty"),
}


@pytest.mark.parametrize(("name", "content", "said"), DATA.values(), ids=DATA)
def test_bad_data_end_in_exit_code_1_and_a_line_that_names_the_place(name, content, said, here, capsys):
    write(name, content)
    source = "./d" if name == "d/readme.txt" else name
    code, line = answer(["train", f"data.source={source}", "data.scale=standard", *OLD], capsys)
    assert code == 1
    assert said in line


SETTINGS = {
    "a file that is not there": (["data.source=none.csv"], "none.csv: cannot be read: No such file or directory"),
    "a device": (["data.source=/dev/null"], "/dev/null: is no file"),
    "a mean of no numbers": (["data.source=gaps.csv", "data.missing=mean"], "column 'b' holds no number in the"),
    "all rows dropped": (["data.source=gaps.csv", "data.missing=drop"], "gaps.csv: holds no rows with labels"),
    "a category of nothing": (
        ["data.source=gaps.csv", 'data.categorical=["b"]', "data.missing=mean"],
        "column 'b' holds nothing in the training part",
    ),
    "a missing test file": (["data.source=good.csv", "data.test_source=none.csv"], "none.csv: cannot be read: No such"),
    "a missing column": (["data.source=good.csv", "data.test_source=short.csv"], "short.csv: has no column 'width'"),
    "an extra column": (["data.source=good.csv", "data.test_source=long.csv"], "long.csv: has a column 'depth'"),
    "a class of the test file alone": (["data.source=good.csv", "data.test_source=pink.csv"], "class pink is not in"),
    "a split that cannot be": (["data.source=good.csv", "data.test_size=1"], "data.test_size = 1 does not split 40"),
}
OTHERS = {
    "gaps.csv": "a,b,c\n" + "1,NA,x\n2,NA,y\n" * 9,
    "short.csv": "length,colour\n1,red\n2,blue\n",
    "long.csv": "length,width,depth,colour\n1,2,3,red\n2,3,4,blue\n",
    "pink.csv": "length,width,colour\n1,2,red\n2,3,pink\n",
    "none_right.csv": "u,v,w\n1,2,3\n",
    "swapped.csv": "colour,width,length\nred,1,2\nblue,2,3\n",
    "holes.csv": "length,width\n1,2\n2,\n",
}


@pytest.fixture
def others(here):
    for name, content in OTHERS.items():
        write(name, content)


@pytest.mark.parametrize(("arguments", "said"), SETTINGS.values(), ids=SETTINGS)
def test_data_that_do_not_fit_their_settings_are_named(arguments, said, others, capsys):
    code, line = answer(["train", *arguments, *OLD], capsys)
    assert code == 1
    assert said in line


MODEL = {
    "a class unseen in training": (["evaluate", "old", "pink.csv"], "pink.csv: class pink is none of the model's"),
    "a missing column": (["predict", "old", "short.csv"], "short.csv: has no column 'width', which the training"),
    "an extra column": (["evaluate", "old", "long.csv"], "long.csv: has a column 'depth', which the training"),
    "other columns": (["predict", "old", "none_right.csv"], "none_right.csv: has no column 'length', which"),
    "a missing cell": (["predict", "old", "holes.csv"], "holes.csv: line 3, column 'width' is missing, and the model"),
    "no file": (["predict", "old", "none.csv"], "none.csv: cannot be read: No such file or directory"),
}


@pytest.mark.parametrize(("arguments", "said"), MODEL.values(), ids=MODEL)
def test_bad_data_for_a_model_end_in_exit_code_1_and_are_named(arguments, said, others, capsys):
    code, line = answer(arguments, capsys)
    assert code == 1
    assert said in line


def test_reordered_columns_are_put_right_at_prediction(others, capsys):
    write("straight.csv", "length,width,colour\n2,1,red\n3,2,blue\n")
    printed = []
    for name in ("swapped.csv", "straight.csv"):
        assert cli.main(["predict", "old", name, "--proba"]) == 0
        printed.append(capsys.readouterr())
    assert printed[0] == printed[1] and printed[0].err == ""


FINE = {
    "no header": ("d.csv", ROWS, []),
    "a header of numbers that is told so": ("d.csv", "1,2,3\n" + PLAIN, ["data.header=true"]),
    "numbers without a header": ("d.csv", PLAIN, ["data.header=false"]),
    "gaps in the labels": ("d.csv", GOOD.replace("red", "7").replace("blue", "-3"), []),
    "quoted commas": ("d.csv", GOOD.replace("red", '"red, or so"'), []),
    "BOM": ("d.csv", b"\xef\xbb\xbf" + GOOD.encode(), []),
    "lines as on Windows": ("d.csv", GOOD.replace("\n", "\r\n"), []),
    "no newline at the end": ("d.csv", GOOD.rstrip("\n"), []),
    "semicolons": ("d.csv", GOOD.replace(",", ";"), []),
    "tabs": ("d.tsv", GOOD.replace(",", "\t"), []),
    "blank lines": ("d.csv", GOOD.replace("5,4,blue\n", "\n5,4,blue\n\n\n") + "\n\n", []),
    "gzip": ("d.csv.gz", gzip.compress(GOOD.encode()), []),
    "a constant feature": ("d.csv", "k," + HEAD + "\n" + "".join(f"3,{row}\n" for row in ROWS.splitlines()), []),
    "features at 1e200": ("d.csv", GOOD.replace("5,4,", "5,4e200,"), ["data.scale=minmax"]),
    "missing cells": ("d.csv", GOOD.replace("5,4,", "5,NA,"), ["data.missing=median"]),
    "npz": ("d.npz", npz(X=X40, y=Y40), []),
    "svmlight": ("d.svm", "0 1:1\n1 3:2\n" * 20, []),
}


@pytest.mark.parametrize(("name", "content", "arguments"), FINE.values(), ids=FINE)
def test_a_file_that_only_looks_bad_is_learned_from(name, content, arguments, here, capsys):
    write(name, content)
    before = files()
    code = cli.main(["train", f"data.source={name}", *arguments, "train.epochs=1", "--quiet", "--out", "new"])
    assert (code, *capsys.readouterr()) == (0, "", "")
    after = files()
    assert {path: after[path] for path in before} == before


# Anything at all

WRONG_NAMES = ["train.epoch", "data.sorce", "model.", "x.y", "train.epochs.x", "model.Hidden"]
SCALARS = [
    *("0", "1", "-1", "2", "0.5", "1.0", "1e-3", "1e400", "nan", "inf", "-inf", "true", "false", "1e9", "4294967296"),
    *("[]", "[0]", "[64, 32]", "[2.5]", "[[1]]", "{}", '{"0" = 1}', '{a = "b"}', "0x" + "f" * 5000, "2020-01-01"),
    *('""', '"3"', '"relu"', '["relu"]', '"a.csv"', '"./a"', '"openml:a"', '"openml:"', '"no"', '"\\u00e9\\n"'),
]
NO_TOML = ["'''", '"', "relu", "\\", "\0", "a b", "[", "#", "", "1 2"]
LINES = st.sampled_from(["[data]", "[[data]]", "[x]", "data = 3", "[train", "= 3", "a.b = 1", "\0"]) | st.text(
    max_size=9
)
DEFAULTS = dict(
    zip(KEYS, [line.split(" = ", 1)[1] for line in dumps(Config()).splitlines() if " = " in line], strict=True)
)


def fitting(name):
    """Values of which many are right for the key."""
    choices = [f'"{choice}"' for choice in KEYS[name].metadata["choices"]]
    return st.sampled_from([DEFAULTS[name], *choices, "1", "0.5", "3"])


ITEMS = st.sampled_from([*KEYS]).flatmap(lambda name: st.tuples(st.just(name), fitting(name)))
ANY_ITEMS = st.tuples(st.sampled_from([*KEYS, *WRONG_NAMES]), st.sampled_from(SCALARS))
OVERRIDE = ITEMS | ANY_ITEMS | st.tuples(st.sampled_from([*KEYS]), st.sampled_from(NO_TOML) | st.text(max_size=6))
ANY_OVERRIDES = st.lists(OVERRIDE.map("=".join), max_size=2)


@st.composite
def any_config(draw):
    """A file that is nearly a config."""
    items = dict(draw(st.lists(ITEMS, max_size=4)))
    if draw(st.booleans()):
        items |= dict(draw(st.lists(ANY_ITEMS, min_size=1, max_size=2)))
    lines = []
    for section in dict.fromkeys(name.partition(".")[0] for name in items):
        lines.append(f"[{section}]")
        lines += [f"{name[len(section) + 1 :]} = {value}" for name, value in items.items() if name.startswith(section)]
    if draw(st.integers(0, 4)) == 0:
        lines.insert(draw(st.integers(0, len(lines))), draw(LINES))
    return "\n".join(lines)


def is_one_answer(arguments):
    """Whether the command ends well and says nothing on stderr, or in exit code 1 or 2 and one line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(arguments)
    said = err.getvalue()
    if code == 0:
        return said == ""
    return code in (1, 2) and said.startswith("minnet: ") and said.endswith("\n") and len(said.splitlines()) == 1


def check_config(content, overrides):
    """A config is printed, or there is one line."""
    Path("my.toml").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert is_one_answer(["train", "my.toml", *overrides, "--print-config"])


CELLS = st.one_of(
    st.sampled_from(["0", "1", "2", "-3", "0.5", "1e3", "7"]),
    st.sampled_from(["", "NA", "nan", "?", "inf", "1e400", "1e200", "-1e308", "1_0", "007", "red", "blue", '"a, b"']),
    st.sampled_from(['"', '"open', 'a"b', " 5 ", "\t", "é", "\ufeff", "\0", "x" * 70, "9" * 400, "2020-01-01"]),
    st.text(max_size=3),
)
OF_FILES = {
    "missing": ["mean", "median", "drop"],
    "header": ["true", "false"],
    "target": ["0", "-1", "1", "9", "label", "c0", "y"],
    "categorical": ['["c0"]', '["x0"]', '["c1", "c0"]'],
    "scale": ["minmax", "none"],
    "validation_size": ["0", "0.5"],
}


@st.composite
def any_csv(draw):
    """The bytes of a file that is nearly a table, and keys to read it with."""
    D, N = draw(st.integers(1, 4)), draw(st.sampled_from([40, 40, 24, 24, 12, 3, 1, 0]))
    delimiter = draw(st.sampled_from([",", ",", ",", ";", "\t", "|", " "]))
    labels = draw(st.sampled_from([["0", "1"], ["red", "blue"], ["red", "blue"], ["5", "x", ""], ["1"], ["0.5", "1"]]))
    made = random.Random(draw(st.integers(0, 99)))
    rows = [
        [*(made.choice(["0", "1", "2", "3", "0.25", "-7"]) for _ in range(D)), made.choice(labels)] for _ in range(N)
    ]
    for _ in range(draw(st.integers(0, 3)) if rows else 0):  # a few cells that are not as they should be
        cells = rows[draw(st.integers(0, len(rows) - 1))]
        cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
    if draw(st.integers(0, 3)) < 3:
        rows.insert(0, [*[f"c{j}" for j in range(D)], "label"])
    lines = [delimiter.join(cells) for cells in rows]
    if draw(st.integers(0, 5)) == 5:  # a line that is none
        lines.insert(draw(st.integers(0, len(lines))), draw(st.text(max_size=10) | st.just(delimiter)))
    text = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])).join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "utf-16", "latin-1"]))
    content = text.encode(encoding, "backslashreplace")
    if draw(st.integers(0, 9)) == 9:
        content = gzip.compress(content, mtime=0)[: draw(st.sampled_from([None, None, -1, 5]))]
    names = draw(st.lists(st.sampled_from(list(OF_FILES)), max_size=2, unique=True))
    suffix = draw(st.sampled_from([".csv"] * 8 + [".txt", ".svm", ".npz", ".gz", ""]))
    return f"data{suffix}", content, [f"data.{name}={draw(st.sampled_from(OF_FILES[name]))}" for name in names]


def check_csv(case):
    """Rows are read, split and scaled and the net is built, or there is one line."""
    name, content, overrides = case
    path = Path("any") / name
    path.write_bytes(content)
    assert is_one_answer(["train", "my.toml", f"data.source={path}", *overrides, "--quiet"])
    path.unlink()
    assert not list(Path("any").iterdir())


@pytest.fixture
def no_training(here, monkeypatch):
    """A run ends where it would begin its folder: everything that looks at the data is done by then."""
    write("my.toml", "[model]\nhidden = [3]\n")
    Path("any").mkdir()
    monkeypatch.setattr(storage, "claim_folder", lambda *arguments: here / "nowhere")
    monkeypatch.setattr(storage, "clear", lambda *arguments: None)
    monkeypatch.setattr(storage, "locked", lambda *arguments: contextlib.nullcontext())
    monkeypatch.setattr(runs, "begin", lambda *arguments: None)
    monkeypatch.setattr(cli, "_run", lambda *arguments: 0)


MANY = settings(max_examples=2000, suppress_health_check=list(HealthCheck))
MORE = settings(MANY, max_examples=10_000, derandomize=False)  # other ones each time


@MANY
@given(any_config(), ANY_OVERRIDES)
def test_any_config_is_printed_or_ends_in_one_line(here, content, overrides):
    check_config(content, overrides)


@MANY
@given(any_csv())
def test_any_csv_is_taken_or_ends_in_one_line(no_training, case):
    check_csv(case)


@pytest.mark.soak
@MORE
@given(any_config(), ANY_OVERRIDES)
def test_any_of_10000_configs_is_printed_or_ends_in_one_line(here, content, overrides):
    check_config(content, overrides)


@pytest.mark.soak
@MORE
@given(any_csv())
def test_any_of_10000_csvs_is_taken_or_ends_in_one_line(no_training, case):
    check_csv(case)
