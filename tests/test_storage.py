"""Run folders that are never lost, and files that are written whole or not at all."""

import contextlib
import errno
import io
import json
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from limits import file_size_limit

from minnet.errors import ConfigError, MinnetError, ModelFileError
from minnet.storage import (
    MODEL_VERSION,
    RUN_FILES,
    append,
    claim_folder,
    read_model,
    write,
    write_json,
    write_model,
)

ARRAYS = {"theta": np.arange(6, dtype=np.float32), "center": np.zeros(2), "scale": np.ones(2)}
MANIFEST = {"layer_sizes": [2, 2], "classes": ["é", "b"]}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_in(path: Path) -> Path:
    """A folder that holds a finished run."""
    path.mkdir(parents=True)
    for name in RUN_FILES:
        (path / name).write_text(f"old {name}")
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def message(kind: type[MinnetError], function, *arguments) -> str:
    """What is said about a failure; always one line."""
    with pytest.raises(kind) as caught:
        function(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


# Folders


def test_the_first_run_gets_the_name_and_later_ones_a_number():
    folders = [claim_folder(None, "iris", False) for _ in range(3)]
    assert folders == [Path("runs/iris"), Path("runs/iris-2"), Path("runs/iris-3")]
    assert all(folder.is_dir() for folder in folders)


def test_a_number_that_became_free_is_used_again():
    for _ in range(3):
        claim_folder(None, "iris", False)
    Path("runs/iris-2").rmdir()
    assert claim_folder(None, "iris", False) == Path("runs/iris-2")


def test_a_file_with_the_name_of_a_run_is_passed_over():
    Path("runs").mkdir()
    Path("runs/iris").write_text("mine")
    assert claim_folder(None, "iris", False) == Path("runs/iris-2")
    assert Path("runs/iris").read_text() == "mine"


def test_a_named_folder_is_made_with_its_parents():
    assert claim_folder(Path("a/b/c"), "iris", False) == Path("a/b/c")
    assert Path("a/b/c").is_dir()


def test_an_empty_folder_is_taken():
    Path("mine").mkdir()
    assert claim_folder(Path("mine"), "iris", False) == Path("mine")


def test_a_folder_with_anything_in_it_is_refused_and_left_alone():
    before = content(run_in(Path("mine")))
    assert message(ConfigError, claim_folder, Path("mine"), "iris", False).startswith("mine: exists; ")
    assert content(Path("mine")) == before


@pytest.mark.parametrize("out", [Path("runs/iris"), None])
def test_overwrite_removes_the_files_of_the_run_and_no_others(out):
    folder = run_in(Path("runs/iris"))
    (folder / "notes.txt").write_text("mine")
    (folder / "plots").mkdir()
    (folder / "plots/model.npz").write_text("mine too")
    assert claim_folder(out, "iris", True) == folder
    assert content(folder) == {"notes.txt": b"mine", "plots/model.npz": b"mine too"}


@pytest.mark.parametrize("survivors", range(1, len(RUN_FILES)))
def test_an_overwrite_that_is_cut_short_can_be_taken_up_again(survivors, monkeypatch):
    out = run_in(Path("mine"))
    left, unlink = len(RUN_FILES) - survivors, Path.unlink

    def killed(path, missing_ok=False):
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        claim_folder(out, "iris", True)
    assert len(set(content(out)) & set(RUN_FILES)) == survivors
    assert claim_folder(out, "iris", True) == out
    assert not set(content(out)) & set(RUN_FILES)


def test_overwrite_of_a_folder_without_a_run_is_refused():
    Path("mine").mkdir()
    Path("mine/model.npz").write_text("no run of ours")
    assert "no run" in message(ConfigError, claim_folder, Path("mine"), "iris", True)
    assert content(Path("mine")) == {"model.npz": b"no run of ours"}


def test_overwrite_with_nothing_there_makes_the_folder():
    assert claim_folder(None, "iris", True) == Path("runs/iris")
    assert claim_folder(None, "iris", True) == Path("runs/iris")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_way_is_refused_and_kept(overwrite):
    Path("mine").write_text("text")
    assert message(ConfigError, claim_folder, Path("mine"), "iris", overwrite).startswith("mine: is a file; ")
    assert Path("mine").read_text() == "text"


def test_runs_that_start_together_get_folders_of_their_own():
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: claim_folder(None, "iris", False), range(40)))
    assert len(set(folders)) == 40


@pytest.mark.parametrize("out", ["file/run", "file/a/run", "x" * 300])
def test_a_folder_that_cannot_be_made_is_named(out):
    Path("file").write_text("text")
    assert message(MinnetError, claim_folder, Path(out), "iris", False).startswith(f"{out}: cannot be made: ")


def test_a_file_in_the_place_of_runs_is_named():
    Path("runs").write_text("text")
    assert message(MinnetError, claim_folder, None, "iris", False).startswith("runs/iris: cannot be made: ")


# Files


DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
STEPS = {"open": Path, "write": Path, "fsync": os, "replace": Path}


class HalfWritten:
    """An open file that takes half of what it is given, and then raises an error."""

    def __init__(self, file, error):
        self.file, self.error = file, error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        raise self.error


@pytest.fixture
def broken(monkeypatch):
    """A context in which a step of writing a file raises an error."""

    def fail(error):
        raise error

    @contextlib.contextmanager
    def broken(step, error=DISK_FULL):
        opened = Path.open
        with monkeypatch.context() as patch:
            if step == "write":
                patch.setattr(Path, "open", lambda *args, **options: HalfWritten(opened(*args, **options), error))
            else:
                patch.setattr(STEPS[step], step, lambda *args, **options: fail(error))
            yield

    return broken


def test_write_makes_a_file_and_leaves_no_other(here):
    write(Path("a.txt"), b"one")
    write(Path("a.txt"), b"two")
    assert content(here) == {"a.txt": b"two"}


def test_a_file_is_on_the_disk_before_it_takes_its_name_and_the_name_before_write_returns(monkeypatch):
    calls = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (calls.append("fsync"), fsync(file)))
    monkeypatch.setattr(Path, "replace", lambda *paths: (calls.append("replace"), replace(*paths)))
    write(Path("a.txt"), b"one")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("before", [{}, {"a.txt": b"the old one"}])
def test_a_write_that_fails_leaves_what_was_there(step, before, here, broken):
    for name, old in before.items():
        Path(name).write_bytes(old)
    with broken(step):
        said = message(MinnetError, write, Path("a.txt"), b"the new one")
    assert said == "a.txt: cannot be written: No space left on device"
    assert content(here) == before


@pytest.mark.parametrize("step", STEPS)
def test_a_write_that_is_interrupted_leaves_what_was_there(step, here, broken):
    write(Path("a.txt"), b"the old one")
    with broken(step, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        write(Path("a.txt"), b"the new one")
    assert content(here) == {"a.txt": b"the old one"}


def test_a_file_that_outgrows_the_disk_leaves_what_was_there(here):
    write(Path("a.txt"), b"the old one")
    with file_size_limit(4000):
        assert message(MinnetError, write, Path("a.txt"), b"x" * 10_000) == "a.txt: cannot be written: File too large"
    assert content(here) == {"a.txt": b"the old one"}


@pytest.mark.parametrize("path", ["no/a.txt", "file/a.txt", "folder", "x" * 300])
def test_a_file_that_cannot_be_made_is_named(path, here):
    Path("file").write_text("text")
    Path("folder").mkdir()
    assert message(MinnetError, write, Path(path), b"one").startswith(f"{path}: cannot be written: ")
    assert content(here) == {"file": b"text"}


def test_append_adds_exactly_one_line():
    path = Path("a.csv")
    append(path, "epoch,größe")
    append(path, "1,0.5")
    assert path.read_bytes() == "epoch,größe\n1,0.5\n".encode()


def test_append_adds_no_part_of_a_line():
    append(Path("a.csv"), "1,0.5")
    with file_size_limit(10):
        said = message(MinnetError, append, Path("a.csv"), "2,0.25")
    assert said == "a.csv: cannot be written: No space left on device"
    assert Path("a.csv").read_bytes() == b"1,0.5\n"


def test_append_where_it_cannot_write_names_the_file():
    assert message(MinnetError, append, Path("no/a.csv"), "1").startswith("no/a.csv: cannot be written: ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_append_to_a_full_disk_names_the_file():
    said = message(MinnetError, append, Path("/dev/full"), "1")
    assert said == "/dev/full: cannot be written: No space left on device"


def test_json_is_readable_and_keeps_every_digit():
    figures = {"é": 0.1 + 0.2, "classes": ["a", 1], "none": None}
    write_json(Path("a.json"), figures)
    text = Path("a.json").read_text(encoding="utf-8")
    assert json.loads(text) == figures
    assert '"é": 0.30000000000000004,\n' in text


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_takes_no_number_that_it_does_not_have(number, here):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(Path("a.json"), {"loss": number})
    assert content(here) == {}


# Models


def test_a_model_is_plain_arrays_and_a_manifest_in_json():
    write_model(Path("model.npz"), ARRAYS, MANIFEST)
    with np.load("model.npz", allow_pickle=False) as file:
        loaded = {name: file[name] for name in file.files}
    manifest = json.loads(loaded.pop("manifest").tobytes())
    assert manifest == {"format": "minnet model", "version": 1, **MANIFEST}
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_every_part_of_a_model_file_has_a_checksum():
    write_model(Path("model.npz"), ARRAYS, MANIFEST)
    with zipfile.ZipFile("model.npz") as file:
        assert file.testzip() is None
        assert {info.filename for info in file.infolist()} == {"manifest.npy", *(f"{name}.npy" for name in ARRAYS)}


def test_the_same_model_gives_the_same_bytes_at_any_time_and_in_any_order(monkeypatch):
    write_model(Path("a.npz"), ARRAYS, MANIFEST)
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 1, 2, 3, 4, 5, 0, 2, 0))
    write_model(Path("b.npz"), ARRAYS, dict(reversed(MANIFEST.items())))
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


def test_another_model_gives_other_bytes():
    write_model(Path("a.npz"), ARRAYS, MANIFEST)
    write_model(Path("b.npz"), ARRAYS | {"theta": ARRAYS["theta"] + 1}, MANIFEST)
    assert Path("a.npz").read_bytes() != Path("b.npz").read_bytes()


def test_a_model_that_cannot_be_written_leaves_the_old_one(broken):
    write_model(Path("model.npz"), ARRAYS, MANIFEST)
    before = Path("model.npz").read_bytes()
    with broken("write"):
        message(MinnetError, write_model, Path("model.npz"), ARRAYS, MANIFEST | {"classes": []})
    assert Path("model.npz").read_bytes() == before


# Models that are read


@pytest.mark.parametrize("path", ["run", "run/model.npz"])
def test_what_is_read_is_what_was_written_from_the_file_or_its_folder(path):
    Path("run").mkdir()
    write_model(Path("run/model.npz"), ARRAYS, MANIFEST)
    arrays, manifest = read_model(Path(path))
    assert manifest == {"format": "minnet model", "version": MODEL_VERSION, **MANIFEST}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_a_model_file_may_have_any_name():
    write_model(Path("best of all"), ARRAYS, MANIFEST)
    assert read_model(Path("best of all"))[1]["classes"] == ["é", "b"]


@pytest.mark.parametrize(
    ("path", "named"),
    [("no.npz", "no.npz"), ("no/model.npz", "no/model.npz"), ("folder", "folder/model.npz"), ("x" * 300, "x" * 300)],
)
def test_a_model_that_is_not_there_is_named(path, named):
    Path("folder").mkdir()
    assert message(ModelFileError, read_model, Path(path)).startswith(f"{named}: cannot be read: ")


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def bytes_of(content) -> np.ndarray:
    return np.frombuffer(json.dumps(content).encode(), np.uint8)


def a_model() -> bytes:
    write_model(Path("whole.npz"), ARRAYS, MANIFEST)
    return Path("whole.npz").read_bytes()


def damaged() -> bytes:
    """A model file with one bit of theta turned."""
    content = bytearray(a_model())
    content[content.index(ARRAYS["theta"].tobytes()) + 9] ^= 1
    return bytes(content)


NO_MODELS = {
    "empty": lambda: b"",
    "text": lambda: b"weights = 5",
    "noise": lambda: np.random.default_rng(0).bytes(1000),
    "a zip of nothing": lambda: b"PK\x05\x06" + bytes(18),
    "truncated": lambda: a_model()[:-100],
    "cut to its start": lambda: a_model()[:40],
    "damaged": damaged,
    "a pickle": lambda: pickle.dumps({"theta": [1.0]}),
    "an array of objects": lambda: npz(manifest=np.array([{"format": "minnet model"}], dtype=object)),
    "an array alone": lambda: npy(np.ones(3)),
    "another .npz": lambda: npz(theta=np.ones(3)),
    "a manifest that is no JSON": lambda: npz(manifest=np.arange(5)),
    "a manifest of another kind": lambda: npz(manifest=bytes_of(["minnet model"])),
    "no format": lambda: npz(manifest=bytes_of({"version": 1})),
    "no version": lambda: npz(manifest=bytes_of({"format": "minnet model"})),
    "a version that is no number": lambda: npz(manifest=bytes_of({"format": "minnet model", "version": "new"})),
    "another format": lambda: npz(manifest=bytes_of({"format": "minnet\ncheckpoint", "version": 1})),
}


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("content", NO_MODELS.values(), ids=NO_MODELS)
def test_a_file_that_is_no_model_is_named_and_never_unpickled(content, monkeypatch):
    Path("a.npz").write_bytes(content())
    monkeypatch.setattr(pickle, "load", None)
    assert message(ModelFileError, read_model, Path("a.npz")).startswith("a.npz: is no model of minnet (")


def test_a_model_of_a_newer_minnet_says_what_to_do():
    write_model(Path("a.npz"), ARRAYS, {**MANIFEST, "version": MODEL_VERSION + 1})
    said = message(ModelFileError, read_model, Path("a.npz"))
    assert said == f"a.npz: was written by a newer minnet (version {MODEL_VERSION + 1}); update minnet"


def test_a_model_file_that_may_not_be_read_is_named(monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    Path("a.npz").write_bytes(a_model())
    monkeypatch.setattr(np, "load", refuse)
    assert message(ModelFileError, read_model, Path("a.npz")) == "a.npz: cannot be read: Permission denied"


@pytest.mark.parametrize("length", range(0, 1200, 37))
def test_a_model_file_cut_anywhere_is_no_model(length):
    content = a_model()
    Path("a.npz").write_bytes(content[: min(length, len(content) - 1)])
    assert message(ModelFileError, read_model, Path("a.npz")).startswith("a.npz: is no model of minnet (")
