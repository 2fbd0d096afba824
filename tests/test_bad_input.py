"""Bad data ends in exit code 1 and one line that names the place, and the run that would have been
replaced is as it was; anything at all is learned from or ends so.

The messages themselves are tested where they are made; those of arguments in test_cli.
"""

import contextlib
import gzip
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import Answer, command, files

from minnet import cli, runs

ROWS = "".join(f"{i},{i * i % 7},{('red', 'blue')[i % 2]}\n" for i in range(40))
GOOD = f"length,width,colour\n{ROWS}"
PLAIN = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
X40, Y40 = np.arange(80.0).reshape(40, 2), np.arange(40) % 2
OLD = ["--quiet", "--out", "old", "--overwrite"]  # a run that would be replaced


def write(name: str, content: str | bytes) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with a file of data, a run on it, and other files that do not fit it."""
    folder = tmp_path_factory.mktemp("bad")
    with contextlib.chdir(folder):
        write("good.csv", GOOD)
        write("gaps.csv", "a,b,c\n" + "1,NA,x\n1,NA,y\n" * 9)
        write("short.csv", "length,colour\n1,red\n2,blue\n")
        write("long.csv", "length,width,depth,colour\n1,2,3,red\n2,3,4,blue\n")
        write("pink.csv", "length,width,colour\n1,2,red\n2,3,pink\n")
        arguments = ["data.source=good.csv", "train.epochs=1", "--quiet", "--out", "old"]
        assert cli.main(["train", *arguments]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch) -> Path:
    """A copy of that folder for each test."""
    folder = tmp_path / "here"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


BAD = [
    ("is empty", "d.csv", ""),
    ("2 lines have 2 columns instead of 3: lines 5, 9", "d.csv", re.sub("(?m)^[37],", "", GOOD)),
    ("line 7, column 'width' holds inf", "d.csv", GOOD.replace("5,4,", "5,inf,")),
    ("is no table", "d.csv", "colour\nred\nblue\n"),
    ("is no table but HTML", "d.csv", f"<html>{GOOD}"),
    ("Compressed file ended", "d.csv.gz", gzip.compress(GOOD.encode())[:-9]),
    ("no array y", "d.npz", npz(X=X40)),
    ("row 3, column 'x1'", "d.npz", npz(X=np.where(X40 == 7, np.inf, X40), y=Y40)),
    ("line 2: indices must", "d.svm", "1 1:3\n0 2:1 1:1\n"),
]


@pytest.mark.parametrize(("said", "name", "content"), BAD)
def test_bad_data_ends_in_one_line_that_names_the_place_and_loses_nothing(
    said, name, content, here
):
    write(name, content)
    before = files()
    answer = command("train", f"data.source={name}", *OLD)
    assert (answer.code, answer.out, files()) == (1, "", before)
    assert re.search(f"^({name}: |class ).*{said}", answer.line())


UNFIT = """
1 train data.source=none.csv                                none.csv: cannot be read: No such file
1 train data.source=gaps.csv                                has no column to learn from
1 train data.source=good.csv data.test_source=short.csv     short.csv: has no column 'width'
1 train data.source=good.csv data.test_source=pink.csv      class pink
2 train data.source=good.csv data.target=color              column 'color'; did you mean colour?
2 train data.source=good.csv data.categorical=["size"]      column 'size'
2 train data.source=good.csv train.class_weight={pink=1}    pink
1 evaluate old pink.csv                                     pink.csv: has labels that the model
1 predict old short.csv                                     short.csv: has no column 'width'
"""


@pytest.mark.parametrize("case", UNFIT.strip().splitlines())
def test_data_that_do_not_fit_settings_or_a_model_are_named(case, here):
    arguments, said = re.split("  +", case)
    code, name, *rest = arguments.split(" ")
    before = files()
    answer = command(name, *rest, *(OLD if name == "train" else []))
    assert (answer.code, answer.out, files()) == (int(code), "", before)
    assert said in answer.line()


# Anything at all

ODD = """nan NA ? inf 1e400 1e200 1_0 007 red 2020-01-01 é \ufeff \0 , ; " "a,b\""""
CELL = st.sampled_from([*ODD.split(" "), "", " 5 ", "\n", "\r", "\t", "9" * 400])
CELL |= st.text(max_size=4)
EDIT = st.tuples(st.integers(0, len(GOOD)), st.sampled_from([0, 1, 1, 2, 60]), CELL)
CODES = [*["utf-8"] * 6, "utf-8-sig", "utf-16", "latin-1"]
NAMES = [*["data.csv"] * 6, "data.txt", "data.svm", "data.npz", "data.gz", "data"]
KEYS = ["missing=mean", "missing=drop", "header=true", "header=false", "target=0", "target=9"]
KEYS += ["target=width", 'categorical=["length"]', "scale=minmax", "validation_size=0"]


@settings(max_examples=250, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([GOOD, PLAIN, ROWS, GOOD.replace(",", ";"), GOOD[:60], ""]),
    st.lists(EDIT, max_size=3),
    st.sampled_from(CODES),
    st.sampled_from([*[None] * 8, -1, 5]),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(KEYS), max_size=2),
)
def test_any_table_is_taken_or_ends_in_one_line(here, text, edits, code, end, name, keys):
    for place, length, new in edits:
        text = text[:place] + new + text[place + length :]
    content = text.encode(code, "backslashreplace")
    write(f"./{name}", content if end is None else gzip.compress(content, mtime=0)[:end])
    with pytest.MonkeyPatch.context() as patch:  # all that looks at the data is done by then
        patch.setattr(runs, "claimed", lambda *_: contextlib.nullcontext(Path("nowhere")))
        patch.setattr(runs, "begin", lambda *_: None)
        patch.setattr(cli, "_run", lambda *_: 0)
        overrides = [f"data.{key}" for key in keys]
        answer = command("train", f"data.source=./{name}", *overrides, "--quiet")
    if answer != Answer(0, "", ""):
        assert (answer.out, answer.code in (1, 2)) == ("", True)
        lines = answer.err.splitlines()
        assert len(lines) <= 5 and all(line.startswith(("minnet: ", "  ")) for line in lines)
