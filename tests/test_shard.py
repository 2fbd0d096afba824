"""`minnet shard`: any source as a folder, a block of rows at a time, whole or not at all."""

import csv
import functools
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from faults import Killed, faults
from limits import file_size_limit
from memory import traced_memory

from minnet import cli, data, shard
from minnet.config import DataConfig
from minnet.tables import arrays, svmlight, text
from minnet.tables.formats import read

N, D = 300, 5
Y = np.arange(N) % 3
X = np.random.default_rng(0).normal(size=(N, D)) + Y[:, None]
WORDS = np.array(["größe", "b c", "日本"])[Y]
ROWS = [",".join(map(repr, row)) for row in X.tolist()]
QUICK = ("train.epochs=2", "model.hidden=[6]", "model.dtype=float64", "--quiet")


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


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no test could see what it does, and it takes long
    return tmp_path


@pytest.fixture
def command(capsys) -> Callable[..., Answer]:
    """A function that runs a command of minnet in this process."""

    def command(*arguments: str) -> Answer:
        capsys.readouterr()
        try:
            code = cli.main(arguments)
        except SystemExit as exit:
            code = exit.code
        return Answer(code, *capsys.readouterr())

    return command


def write(name, content):
    content = content if isinstance(content, bytes) else content.encode()
    Path(name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return name


def csv_of(labels=WORDS, names="a,größe,c,d e,f,kind", d=","):
    lines = [f"{row},{label}" for row, label in zip(ROWS, labels, strict=True)]
    return "\n".join(([names] if names else []) + lines).replace(",", d) + "\n"


def label_first(content):
    lines = [line.rpartition(",") for line in content.splitlines()]
    return "".join(f"{label},{rest}\n" for rest, _, label in lines)


def svmlight_of(base=1, qid=False, comments=False):
    lines = ["# a comment"] if comments else []
    for i, (row, label) in enumerate(zip(X.tolist(), Y, strict=True)):
        cells = [f"{j + base}:{value!r}" for j, value in enumerate(row) if value > 0.8]
        lines.append(" ".join([str(label), *([f"qid:{i // 7}"] if qid else []), *cells]))
        if comments:
            lines[-1] += "  # row" if i % 5 else "\n\n#"
    return "\n".join(lines) + "\n"


def npz(name, X, y):
    np.savez(name, X=X, y=y)
    return name


def folder(name, X, y, names):
    Path(name).mkdir()
    if hasattr(X, "tocsr"):
        sp.save_npz(f"{name}/X.npz", X, compressed=False)
    else:
        np.save(f"{name}/X.npy", X)
    np.save(f"{name}/y.npy", y)
    np.save(f"{name}/names.npy", names)
    return name


SPARSE = sp.hstack([Y[:, None] + 1.0, sp.random(N, 11, 0.3, random_state=0)], "csr")
FILES = {
    "csv": (lambda: write("t.csv", csv_of()), {}),
    "csv without names": (lambda: write("t.csv", csv_of(names="")), {}),
    "csv whose names are asked for": (lambda: write("t.csv", csv_of(Y, "1,2,3,4,5,6")), {"header": True}),
    "csv.gz": (lambda: write("t.csv.gz", csv_of()), {}),
    "tsv": (lambda: write("t.tsv", csv_of(d="\t")), {}),
    "csv with numbers for labels": (lambda: write("t.csv", csv_of(Y * 7 - 3)), {}),
    "labels by name": (lambda: write("t.csv", label_first(csv_of())), {"target": "kind"}),
    "labels by place": (lambda: write("t.csv", label_first(csv_of(names=""))), {"target": 0}),
    "labels with zeros in front": (lambda: write("t.csv", csv_of(np.array(["007", "7", "70"])[Y])), {}),
    "svmlight": (lambda: write("t.svm", svmlight_of()), {}),
    "svmlight.gz": (lambda: write("t.svm.gz", svmlight_of()), {}),
    "svmlight from 0": (lambda: write("t.svm", svmlight_of(0)), {}),
    "svmlight with qid and comments": (lambda: write("t.libsvm", svmlight_of(1, True, True)), {}),
    "npz": (lambda: npz("t.npz", X, Y), {}),
    "npz of float32 and text": (lambda: npz("t.npz", X.astype(np.float32), WORDS), {}),
    "npz of bool": (lambda: npz("t.npz", X > 0, Y > 0), {}),
    "a folder": (lambda: folder("t", X, WORDS, list("abcde")), {}),
    "a sparse folder": (lambda: folder("t", SPARSE, Y, [f"größe {j}" for j in range(12)]), {}),
}


def same_rows(first, second):
    """Whether two X are the same, bit for bit."""
    if hasattr(first, "tocsr"):
        first, second = first.tocsr(), second.tocsr()
        names = ("data", "indices", "indptr")
        return first.shape == second.shape and all(
            np.array_equal(getattr(first, name), getattr(second, name)) for name in names
        )
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()


@pytest.fixture(params=["small blocks", "large blocks"])
def blocks(request, monkeypatch):
    """How much is read and written at a time."""
    if request.param == "small blocks":
        monkeypatch.setattr(text, "BLOCK_BYTES", 700)
        monkeypatch.setattr(svmlight, "STEP_BYTES", 150)  # less than a few lines
        monkeypatch.setattr(shard, "ROWS", 7)


def overrides(keys):
    return [f"data.{name}={json.dumps(value)}" for name, value in keys.items()]


@pytest.mark.parametrize("kind", FILES)
def test_the_folder_holds_what_the_file_does(kind, blocks, command):
    make, keys = FILES[kind]
    source = make()
    answer = command("shard", source, "out", *overrides(keys))
    assert (answer.code, answer.err) == (0, "")
    given, made = read(source, **keys), read("out")
    assert same_rows(given.X, made.X) and made.names == given.names
    assert made.y.dtype == given.y.dtype and made.y.tolist() == given.y.tolist()
    assert answer.out == f"out: {N} rows, {len(made.names)} features; minnet train data.source=out\n"
    assert len(list(Path("out").iterdir())) == 3  # and no temporary file


def figures(run):
    result = json.loads(Path(run, "result.json").read_text(encoding="utf-8"))
    with Path(run, "metrics.csv").open(newline="") as file:
        rows = [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return rows, [result[name] for name in ("test_loss", "confusion", "classes", "rows")]


@pytest.mark.parametrize("mapped", [False, True], ids=["in memory", "mapped"])
@pytest.mark.parametrize("kind", ["csv", "csv without names", "labels by name", "svmlight", "npz", "a sparse folder"])
def test_training_from_the_folder_comes_to_what_the_file_does(kind, mapped, command, monkeypatch):
    make, keys = FILES[kind]
    source = make()
    assert command("shard", source, "out", *overrides(keys)).code == 0
    assert command("train", f"data.source={source}", *overrides(keys), *QUICK, "--out", "one").code == 0
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1 if mapped else 1 << 40)
    assert command("train", "data.source=out", *QUICK, "--out", "two").code == 0
    (rows, result), (our_rows, our_result) = figures("one"), figures("two")
    if not mapped:
        assert (rows, result) == (our_rows, our_result)
    assert result[1:] == our_result[1:] and result[0] == pytest.approx(our_result[0], rel=1e-9)
    for row, ours in zip(rows, our_rows, strict=True):
        np.testing.assert_allclose(*([float(cell) for cell in of.values()] for of in (row, ours)), rtol=1e-8)


@pytest.mark.parametrize("source", ["iris", "wine", "breast_cancer", "digits"])
def test_a_set_of_scikit_learn_keeps_its_names_and_the_names_of_its_classes(source, command):
    assert command("shard", source, "out").code == 0
    given, made = data.load(DataConfig(source=source)), data.load(DataConfig(source="out"))
    assert same_rows(given.X, made.X) and given.feature_names == made.feature_names
    assert set(given.classes.tolist()) == set(made.classes.tolist())
    assert given.classes[given.y].tolist() == made.classes[made.y].tolist()


@pytest.mark.parametrize("source", ["iris", "digits"])
def test_training_from_the_folder_of_such_a_set_comes_to_the_same(source, command):
    assert command("shard", source, "out").code == 0
    for name, run in ((source, "one"), ("out", "two")):
        assert command("train", f"data.source={name}", *QUICK, "--out", run).code == 0
    assert figures("one") == figures("two")


@pytest.mark.parametrize("source", ["moons", "blobs", "classification"])
def test_a_generator_makes_the_same_rows_for_the_folder(source, blocks, command):
    keys = {"samples": 90, "generator_seed": 3, "features": 2 if source == "moons" else 4}
    assert command("shard", source, "out", *overrides(keys)).code == 0
    given, made = data.load(DataConfig(source=source, **keys)), data.load(DataConfig(source="out"))
    assert same_rows(given.X, made.X) and given.y.tolist() == made.y.tolist()


@pytest.mark.parametrize("kind", ["csv", "npz", "a folder"])
def test_float32_rounds(kind, blocks, command):
    assert command("shard", FILES[kind][0](), "out", "--dtype", "float32").code == 0
    raw = np.load("out/X.npy")
    assert raw.dtype == np.float32 and np.array_equal(raw, X.astype(np.float32))
    assert np.array_equal(read("out").X, X.astype(np.float32))


@pytest.mark.parametrize("n", [1, 9, 10, 99, 100, 101])
def test_the_header_has_room_for_any_number_of_rows(n, command, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 50)
    write("t.csv", "a,b,k\n" + "".join(f"{i},{-i},{'uv'[i % 2]}\n" for i in range(n)))
    assert command("shard", "t.csv", "out").code == 0
    assert read("out").X.tolist() == [[i, -i] for i in range(n)]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_numpy_maps_the_array(kind, command):
    assert command("shard", FILES[kind][0](), "out").code == 0
    mapped = np.load("out/X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, X)


@pytest.mark.parametrize("kind", ["svmlight", "a sparse folder"])
def test_scipy_loads_the_csr_and_training_maps_it(kind, blocks, command, monkeypatch):
    source = FILES[kind][0]()
    assert command("shard", source, "out").code == 0
    loaded = sp.load_npz("out/X.npz")
    loaded.check_format(full_check=True)
    assert loaded.format == "csr" and loaded.dtype == np.float64 and loaded.has_canonical_format
    assert same_rows(loaded, read(source).X)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)
    table = read("out")
    assert arrays.is_mapped(table.X) and same_rows(table.X, loaded)


@pytest.mark.parametrize("kind", ["a folder", "a sparse folder"])
def test_a_folder_on_the_disk_is_a_source_too(kind, blocks, command, monkeypatch):
    source = FILES[kind][0]()
    given = read(source)
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 1)
    assert arrays.is_mapped(read(source).X)
    assert command("shard", source, "out").code == 0
    made = read("out")
    assert same_rows(given.X, made.X) and (given.y.tolist(), given.names) == (made.y.tolist(), made.names)


def in_pieces(step, monkeypatch):
    """The rows of t.svm as its pieces of so many bytes have them."""
    monkeypatch.setattr(svmlight, "STEP_BYTES", step)
    taken = []
    y = read("t.svm", sink=taken.append).y
    return sp.vstack(taken, format="csr"), y.tolist()


@pytest.mark.parametrize("comments", [False, True])  # lines without a row, which no piece may take for its last one
def test_an_svmlight_file_is_cut_between_its_lines_wherever_a_piece_ends(comments, monkeypatch):
    content = svmlight_of(comments=comments)[:3000].rpartition("\n")[0]
    given = read(write("t.svm", content))
    for step in range(max(map(len, content.split("\n"))) + 1, 300, 2):
        X, y = in_pieces(step, monkeypatch)
        assert same_rows(given.X, X) and given.y.tolist() == y, step


@pytest.mark.parametrize("step", [13, 64])
def test_a_line_longer_than_a_piece_is_read_once(step, monkeypatch):
    given = read(write("t.svm", svmlight_of()[:4000].rpartition("\n")[0]))
    X, y = in_pieces(step, monkeypatch)
    assert same_rows(given.X, X) and given.y.tolist() == y


# A block at a time


def test_rows_of_a_text_file_go_into_the_sink_block_by_block(monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 2000)
    write("t.csv", csv_of() + "\n".join(csv_of(names="") for _ in range(5)))
    taken = []
    table = read("t.csv", sink=lambda X: taken.append(X.copy()))
    assert len(taken) > 50 and table.X.shape == (0, D) and len(table.y) == len(table.numbers) == 6 * N
    assert max(map(len, taken[1:])) * D * 20 < 3 * 2000  # but for the first, which tells the layout
    assert np.array_equal(np.concatenate(taken), np.tile(X, (6, 1)))


def test_rows_of_an_svmlight_file_go_into_the_sink_piece_by_piece(monkeypatch):
    write("t.svm", svmlight_of())
    whole = read("t.svm").X
    monkeypatch.setattr(svmlight, "STEP_BYTES", 1000)
    taken = []
    table = read("t.svm", sink=taken.append)
    assert len(taken) > 10 and table.X.shape == (0, D) and len(table.y) == N
    assert same_rows(sp.vstack(taken, format="csr"), whole)


def test_a_large_csv_takes_little_memory(monkeypatch):
    n, width = 40_000, 50
    monkeypatch.setattr(text, "BLOCK_BYTES", 1 << 16)
    line = ",".join("1" * width)
    with Path("t.csv").open("w") as file:
        file.write(",".join(f"c{j}" for j in range(width)) + ",y\n")
        file.writelines(f"{line},{i % 2}\n" for i in range(n))
    config = DataConfig(source="t.csv")
    with traced_memory() as risen:
        shard.shard(config, Path("out"), "float64")
        assert risen() < n * width * 8 / 3  # 16 MB
    assert np.load("out/X.npy", mmap_mode="r").shape == (n, width)


# Mistakes


def late(line):
    """A long CSV with this line at its end."""
    return lambda: write("t.csv", csv_of() + "".join(csv_of(names="") for _ in range(20)) + line + "\n")


def cut_gzip():
    write("t.csv.gz", csv_of() * 20)
    Path("t.csv.gz").write_bytes(Path("t.csv.gz").read_bytes()[:-500])
    return "t.csv.gz"


MISTAKES = {
    "text in a column": (lambda: write("t.csv", "a,b,k\n1,red,x\n2,blue,y\n"), (), 1, "column 'b'"),
    "no label": (lambda: write("t.csv", "a,b,k\n1,2,x\n2,3,\n"), (), 1, "line 3, column 'k' has no label"),
    "fractions for labels": (lambda: write("t.csv", "a,b\n1,2.5\n2,3.5\n"), (), 1, "which is no label"),
    "no such column": (FILES["csv"][0], ("data.target=sort",), 2, "no column 'sort'"),
    "no such place": (FILES["csv"][0], ("data.target=6",), 2, "not 6"),
    "no such file": (lambda: "nothing.csv", (), 1, "nothing.csv: cannot be read: No such file or directory"),
    "no such set": (lambda: "iriss", (), 2, "iriss"),
    "empty": (lambda: write("t.csv", ""), (), 1, "is empty"),
    "a key of another section": (FILES["csv"][0], ("train.epochs=3",), 2, "shard takes data.target, data.header, "),
    "no such key": (FILES["csv"][0], ("data.tagret=kind",), 2, "data.target"),
    "no key": (FILES["csv"][0], ("kind",), 2, "kind"),
    "no such dtype": (FILES["csv"][0], ("--dtype", "int8"), 2, "int8"),
    "too few cells at the end": (late("1,2,3"), (), 1, "has 3 columns, where 6 are expected"),
    "text at the end": (late("1,2,3,4,oops,b c"), (), 1, "oops"),
    "infinity at the end": (late("1,2,3,4,inf,b c"), (), 1, "every value must be a finite number"),
    "no label at the end": (late("1,2,3,4,5,"), (), 1, "has no label"),
    "no UTF-8 at the end": (
        lambda: write("t.csv", csv_of(Y, "a,b,c,d,e,k").encode() + ROWS[0].encode() + b",\xff\n"),
        (), 1, "is not UTF-8 text",
    ),
    "gzip cut short": (cut_gzip, (), 1, "t.csv.gz"),
    "svmlight of text": (lambda: write("t.svm", svmlight_of() + "1 1:a\n"), (), 1, "line 301"),
    "svmlight with infinity": (lambda: write("t.svm", svmlight_of() + "1 1:1e999\n"), (), 1, "line 301, column 'x0'"),
    "svmlight of fractions": (lambda: write("t.svm", svmlight_of() + "1.5 1:1\n"), (), 1, "which is no label"),
    "npz without labels": (lambda: np.savez("t.npz", X=X) or "t.npz", (), 1, "has no array y"),
    "npz of text": (lambda: npz("t.npz", X.astype(str), Y), (), 1, "it must be a table of numbers"),
    "generator": (lambda: "classification", ("data.classes=100",), 2, "classification cannot be made so"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_a_mistake_ends_in_one_line_and_leaves_nothing(kind, blocks, command):
    make, arguments, code, what = MISTAKES[kind]
    source = make()
    before = set(Path().rglob("*"))
    answer = command("shard", source, "out", *arguments)
    assert (answer.code, answer.out) == (code, "") and what in answer.line()
    assert set(Path().rglob("*")) == before


def test_folders_made_on_the_way_to_it_go_again_too(command):
    assert command("shard", "nothing.csv", "a/b/out").code == 1
    assert not Path("a").exists()


def test_an_empty_folder_that_was_there_stays_after_a_mistake(command):
    Path("out").mkdir()
    assert command("shard", "nothing.csv", "out").code == 1
    assert Path("out").is_dir()


def test_an_empty_folder_is_taken(command):
    Path("out").mkdir()
    assert command("shard", FILES["csv"][0](), "out").code == 0


def test_a_folder_with_something_in_it_stays_as_it_is(command):
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    answer = command("shard", FILES["csv"][0](), "out")
    assert answer.code == 2 and answer.line() == "out: exists and is not empty: choose another folder"
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


def test_a_file_in_place_of_the_folder_stays_as_it_is(command):
    write("out", "mine")
    answer = command("shard", FILES["csv"][0](), "out")
    assert answer.code in (1, 2) and answer.line().startswith("out: ")
    assert Path("out").read_text() == "mine"


def test_the_folder_is_not_made_before_the_arguments_are_right(command):
    assert command("shard", FILES["csv"][0]()).code == 2
    assert command("shard").code == 2


@pytest.mark.parametrize("streamed", ["small blocks", "large blocks"])
def test_a_missing_cell_is_said_at_once(streamed, command, monkeypatch):
    if streamed == "small blocks":
        monkeypatch.setattr(text, "BLOCK_BYTES", 700)
    content = csv_of().replace(ROWS[200], ROWS[200].replace(repr(X[200, 2].item()), ""))
    write("t.csv", content)
    answer = command("shard", "t.csv", "out")
    assert answer.code == 1
    assert answer.line().startswith("t.csv: in row 200, counted from 0, a number is missing")
    assert not Path("out").exists()


def test_a_name_too_long_is_one_line(command):
    answer = command("shard", "iris", "a" * 300)
    assert (answer.code, answer.line()) == (1, f"{'a' * 300}: cannot be made: File name too long")


def test_numbers_beyond_float32_are_not_written_as_infinity(command):
    write("t.csv", csv_of().replace(repr(X[200, 2].item()), "1e300"))
    answer = command("shard", "t.csv", "out", "--dtype", "float32")
    assert answer.code == 1 and "float32" in answer.line()


# What else ends it

ENDS = {name: FILES[name][0] for name in ("csv", "svmlight", "npz", "a folder", "a sparse folder")}


@pytest.mark.parametrize("size", [100, 3000, 6000])
@pytest.mark.parametrize("kind", ENDS)
def test_a_full_disk_ends_it_in_one_line_and_leaves_nothing(kind, size, command):
    source = ENDS[kind]()
    before = set(Path().rglob("*"))
    with file_size_limit(size):
        answer = command("shard", source, "out")
    assert answer.code == 1 and answer.line().startswith("out") and "cannot be written: File too large" in answer.line()
    assert set(Path().rglob("*")) == before


@pytest.mark.parametrize("kind", ENDS)
def test_a_full_disk_at_any_step_ends_it_in_one_line_and_leaves_nothing(kind, command):
    source = ENDS[kind]()
    with faults() as counted:
        assert command("shard", source, "whole").code == 0
    before = set(Path().rglob("*"))
    for step in range(1, len(counted.names) + 1):
        with faults(step):
            answer = command("shard", source, "out")
        assert answer.code == 1 and answer.line().startswith("out"), step
        if step < len(counted.names):  # in the last one, the names of whole files are made to last
            assert set(Path().rglob("*")) == before, (step, counted.names[step - 1])


@pytest.mark.parametrize("kind", ENDS)
def test_a_kill_at_any_step_leaves_no_file_that_looks_whole_and_is_not(kind, command):
    source = ENDS[kind]()
    with faults() as counted:
        assert command("shard", source, "whole").code == 0
    whole = {path.name: path.read_bytes() for path in Path("whole").iterdir()}
    for step in range(1, len(counted.names) + 1):
        out = f"out{step}"
        with pytest.raises(Killed), faults(step, "killed"):
            cli.main(["shard", source, out])
        for path in Path(out).glob("[!.]*"):
            if path.suffix == ".npz":  # a zip has the time in it
                assert same_rows(sp.load_npz(path), sp.load_npz(Path("whole", path.name)))
            else:
                assert path.read_bytes() == whole[path.name]


def interrupt_after(function, calls):
    """The function, which is interrupted at so many calls."""
    left = iter(range(calls))

    @functools.wraps(function)
    def interrupted(*arguments, **options):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    return interrupted


@pytest.mark.parametrize(
    ("kind", "owner", "name"),
    [
        ("csv", shard.Column, "add"),
        ("npz", shard.Column, "add"),
        ("svmlight", shard.Sparse, "add"),
        ("a sparse folder", shard.Sparse, "add"),
        ("svmlight", shard, "_copy"),
        ("csv", np, "save"),
        ("svmlight", np, "save"),
    ],
)
@pytest.mark.parametrize("calls", [0, 1])
def test_an_interrupt_leaves_nothing(kind, owner, name, calls, command, monkeypatch):
    monkeypatch.setattr(text, "BLOCK_BYTES", 700)
    monkeypatch.setattr(svmlight, "STEP_BYTES", 700)
    monkeypatch.setattr(shard, "ROWS", 50)
    source = FILES[kind][0]()
    before = set(Path().rglob("*"))
    monkeypatch.setattr(owner, name, interrupt_after(getattr(owner, name), calls))
    answer = command("shard", source, "out")
    assert (answer.code, answer.line()) == (130, "interrupted")
    assert set(Path().rglob("*")) == before


def test_progress_is_told_of_every_byte_and_may_interrupt(monkeypatch):
    config, told = DataConfig(source=write("t.csv", csv_of())), []
    shard.shard(config, Path("out"), "float64", told.append)
    assert sum(told) == Path("t.csv").stat().st_size

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shard.shard(config, Path("other"), "float64", interrupt)
    assert not Path("other").exists()
