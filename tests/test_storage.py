"""Run folders that are never lost, and files that are written whole or not at all."""

import contextlib
import errno
import fcntl
import io
import json
import os
import pickle
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults import Killed, faults
from limits import file_size_limit

from minnet import archive
from minnet.archive import VERSION
from minnet.errors import ConfigError, MinnetError, ModelFileError
from minnet.storage import (
    PICTURES,
    REPEAT_FILE,
    REPORT,
    REPORT_MARK,
    RUN_FILES,
    append,
    check_folder,
    claim_folder,
    clear,
    clear_report,
    locked,
    read_checkpoint,
    read_model,
    write,
    write_checkpoint,
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
    before = content(folder)
    assert claim_folder(out, "iris", True) == folder
    assert content(folder) == before  # it goes only once no other run can be at work there
    clear(folder)
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
        clear(claim_folder(out, "iris", True))
    assert len(set(content(out)) & set(RUN_FILES)) == survivors
    clear(claim_folder(out, "iris", True))
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
def test_a_folder_in_which_only_a_killed_run_left_half_a_file_is_taken(overwrite):
    Path("mine").mkdir()
    Path("mine/.config.toml.123.tmp").write_text("[da")
    assert claim_folder(Path("mine"), "iris", overwrite) == Path("mine")
    Path("mine/.notes.txt.123.tmp").write_text("mine")
    message(ConfigError, check_folder, Path("mine"), overwrite)


def test_a_folder_that_cannot_be_cleared_is_named(monkeypatch):
    def refuse(path, missing_ok):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert message(MinnetError, clear, run_in(Path("mine"))) == "mine: cannot be cleared: Permission denied"


def repeated_in(path: Path) -> Path:
    """A folder that holds a repeated run with its report."""
    for folder in (path, *(path / f"seed-{i}" for i in range(3))):
        reported(run_in(folder))
    (path / REPEAT_FILE).write_text("{}")
    return path


def reported(folder: Path) -> Path:
    """The same folder with a report in it."""
    (folder / "pictures").mkdir(parents=True)
    for name in (REPORT, *PICTURES):
        (folder / name).write_text(f"old {name} {REPORT_MARK}")
    return folder


def test_clearing_a_repeated_run_removes_its_runs_and_their_reports():
    clear(repeated_in(Path("mine")))
    assert list(Path("mine").iterdir()) == []


def test_clearing_a_repeated_run_keeps_what_is_not_of_it():
    folder, foreign = repeated_in(Path("mine")), ("notes.txt", "seed-1/notes.txt", "pictures/me.svg", "plots/seed-0")
    (folder / "plots").mkdir()
    for name in foreign:
        (folder / name).write_text("mine")
    clear(folder)
    assert content(folder) == dict.fromkeys(foreign, b"mine")
    assert not (folder / "seed-0").exists()


def test_folders_of_seeds_beside_a_run_that_was_not_repeated_are_none_of_its_own():
    folder = run_in(Path("mine"))
    before = content(run_in(folder / "seed-0"))
    clear(folder)
    assert content(folder / "seed-0") == before


@pytest.mark.parametrize("left", [1, 10, 20, 40, 56])
def test_clearing_a_repeated_run_that_is_cut_short_can_be_taken_up_again(left, monkeypatch):
    folder, unlink = repeated_in(Path("mine")), Path.unlink
    assert len(content(folder)) == 4 * (len(RUN_FILES) + len(PICTURES) + 1) + 1 == 57

    def killed(path, missing_ok=False):
        if len(content(folder)) == left:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        clear(folder)
    clear(claim_folder(folder, "iris", True))
    assert list(folder.iterdir()) == []


def test_clearing_a_report_leaves_the_run_and_foreign_pictures():
    folder = run_in(Path("mine"))
    before = content(folder)
    clear_report(reported(folder))
    assert content(folder) == before
    assert not (folder / "pictures").exists()
    (reported(folder) / "pictures/me.svg").write_text("mine")
    clear_report(folder)
    assert content(folder) == before | {"pictures/me.svg": b"mine"}


def test_pictures_without_a_report_are_none_of_minnets():
    folder = reported(Path("mine"))
    (folder / REPORT).unlink()
    before = content(folder)
    clear_report(folder)
    assert content(folder) == before


def test_a_report_that_cannot_be_cleared_is_named(monkeypatch):
    def refuse(path, missing_ok):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert message(MinnetError, clear_report, reported(Path("mine"))) == "mine: cannot be cleared: Permission denied"


def test_a_locked_folder_lets_nobody_else_in_until_it_is_left():
    Path("mine").mkdir()
    said = "mine: another run is at work there; wait for it, or choose another folder"
    for _ in range(2):
        with locked(Path("mine")):
            assert message(ConfigError, locked(Path("mine")).__enter__) == said
            with locked(run_in(Path(f"{_}"))):
                pass
    with contextlib.suppress(KeyError), locked(Path("mine")):
        raise KeyError
    with locked(Path("mine")):
        pass


def test_who_comes_into_a_folder_removes_what_was_left_half_written_there_and_nothing_else():
    before = content(run_in(Path("mine")))
    for name in RUN_FILES:
        Path(f"mine/.{name}.77.tmp").write_bytes(b"half")
    Path("mine/.notes.tmp").write_bytes(b"mine")
    with locked(Path("mine")):
        assert content(Path("mine")) == before | {".notes.tmp": b"mine"}


@pytest.mark.parametrize("path", ["no", "no/folder", "file", "pipe"])
def test_where_there_is_no_folder_nothing_can_be_locked(path):
    Path("file").write_text("text")
    os.mkfifo("pipe")
    assert message(ConfigError, locked(Path(path)).__enter__) == f"{path}: there is no such folder"


def test_a_folder_that_cannot_be_opened_is_named():
    said = message(MinnetError, locked(Path("x" * 300)).__enter__)
    assert said.endswith(": cannot be opened: File name too long")


def test_a_file_system_without_locks_is_used_without(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    Path("mine").mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(Path("mine")), locked(Path("mine")):
        pass


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


WAYS = {
    "bytes": lambda path: write(path, b"the new one"),
    "pieces": lambda path: write(path, (b"the", b" ", b"new one")),
    "model": lambda path: write_model(path, ARRAYS, MANIFEST),
    "checkpoint": lambda path: write_checkpoint(path, ARRAYS, MANIFEST),
}


@pytest.mark.parametrize("old", [None, b"the old one"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_fault_at_any_step_leaves_the_old_file_or_the_new(how, way, old, here):
    with faults() as steps:
        way(Path("new"))
    new = Path("new").read_bytes()
    Path("new").unlink()
    assert steps.names[0] == "open" and steps.names[-4:] == ["flush", "fsync", "rename", "fsync"]
    for at in range(1, len(steps.names) + 1):
        before = {} if old is None else {"a": old}
        for name, kept in before.items():
            Path(name).write_bytes(kept)
        with faults(at, how):
            if how == "full":
                assert message(MinnetError, way, Path("a")) == "a: cannot be written: No space left on device"
            else:
                with pytest.raises(Killed):
                    way(Path("a"))
        after = content(here)
        temporary = after.pop(f".a.{os.getpid()}.tmp", None)
        assert after == (before if at < len(steps.names) else {"a": new})  # only the folder's fsync comes later
        assert (temporary is None) == (how == "full" or at in (1, len(steps.names)))
        for path in here.iterdir():
            path.unlink()


def test_a_file_may_come_in_pieces_that_are_made_one_by_one(here):
    write(Path("a.txt"), (str(n).encode() for n in range(5)))
    assert content(here) == {"a.txt": b"01234"}


def test_pieces_that_cannot_be_made_leave_what_was_there(here):
    write(Path("a.txt"), b"the old one")

    def pieces():
        yield b"half"
        raise KeyError

    with pytest.raises(KeyError):
        write(Path("a.txt"), pieces())
    assert content(here) == {"a.txt": b"the old one"}


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
    declared = {name: {"dtype": array.dtype.str, "shape": [*array.shape]} for name, array in ARRAYS.items()}
    assert len(bytes.fromhex(manifest.pop("sha256"))) == 32
    assert manifest == {"format": "minnet model", "version": 2, "arrays": declared, **MANIFEST}
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
    assert manifest == MANIFEST
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


def forged(manifest: bytes) -> bytes:
    """The start of a model file, with a manifest that has the right checksum."""
    content = archive._npy_header("|u1", (len(manifest),)) + manifest
    return archive._member_header("manifest", zlib.crc32(content), len(content)) + content


def with_entries(**entries) -> bytes:
    """A whole model file, but for these entries of its manifest."""
    content = a_model()
    manifest = json.loads(np.load(io.BytesIO(content), allow_pickle=False)["manifest"].tobytes()) | entries
    start = content.index(b"PK\3\4", 4)
    return forged(json.dumps(manifest, sort_keys=True).encode()) + content[start:]


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


EMPTY, NONE, DAMAGED = "is empty; ", "is no file of minnet, or damaged; ", "is damaged or was changed ("
NO_MODELS = {
    "empty": (lambda: b"", EMPTY),
    "text": (lambda: b"weights = 5", NONE),
    "noise": (lambda: np.random.default_rng(0).bytes(1000), NONE),
    "a zip of nothing": (lambda: b"PK\x05\x06" + bytes(18), NONE),
    "truncated": (lambda: a_model()[:-100], DAMAGED),
    "cut to its start": (lambda: a_model()[:40], NONE),
    "with more at its end": (lambda: a_model() + b"\0", DAMAGED),
    "damaged": (damaged, DAMAGED),
    "a pickle": (lambda: pickle.dumps({"theta": [1.0]}), NONE),
    "an array of objects": (lambda: npz(manifest=np.array([{"format": "minnet model"}], dtype=object)), DAMAGED),
    "an array alone": (lambda: npy(np.ones(3)), NONE),
    "another .npz": (lambda: npz(theta=np.ones(3)), NONE),
    "one of version 1": (lambda: npz(**ARRAYS, manifest=bytes_of({"format": "minnet model", "version": 1})), NONE),
    "a manifest that is no JSON": (lambda: forged(bytes(range(5))), DAMAGED),
    "a manifest of another kind": (lambda: forged(b'["minnet model"]'), DAMAGED),
    "a manifest alone": (lambda: forged(b'{"format": "minnet model", "version": 2}'), DAMAGED),
    "no format": (lambda: forged(b'{"version": 2}'), DAMAGED),
    "no version": (lambda: forged(b'{"format": "minnet model"}'), DAMAGED),
    "a version that is no number": (lambda: with_entries(version="new"), DAMAGED),
    "another format": (lambda: with_entries(format="minnet\ncheckpoint"), DAMAGED),
    "a manifest that was changed": (lambda: with_entries(classes=["b", "é"]), DAMAGED),
    "an array of another shape": (
        lambda: with_entries(arrays={n: {"dtype": a.dtype.str, "shape": [1, *a.shape]} for n, a in ARRAYS.items()}),
        DAMAGED,
    ),
    "an array of 10^18 numbers": (lambda: with_entries(arrays={"x": {"dtype": "<f8", "shape": [10**18]}}), DAMAGED),
    "a checkpoint": (
        lambda: b"".join(archive.encode("minnet checkpoint", ARRAYS, MANIFEST)),
        "is a minnet checkpoint, not a minnet model; name a run's model.npz",
    ),
    "an older version": (lambda: with_entries(version=1), "was written by an older minnet (version 1), "),
    "a newer version": (
        lambda: with_entries(version=VERSION + 1, arrays="of another kind"),
        f"was written by a newer minnet (version {VERSION + 1}); update minnet",
    ),
}


@pytest.mark.parametrize(("content", "said"), NO_MODELS.values(), ids=NO_MODELS)
def test_a_file_that_is_no_model_is_named_and_never_unpickled(content, said, monkeypatch):
    Path("a.npz").write_bytes(content())
    monkeypatch.setattr(pickle, "load", None)
    assert message(ModelFileError, read_model, Path("a.npz")).startswith(f"a.npz: {said}")


def test_a_model_is_no_checkpoint():
    write_model(Path("a.npz"), ARRAYS, MANIFEST)
    said = message(ModelFileError, read_checkpoint, Path("a.npz"))
    assert said == "a.npz: is a minnet model, not a minnet checkpoint; name a run's checkpoint.npz"


def test_a_checkpoint_that_is_read_is_what_was_written():
    write_checkpoint(Path("a.npz"), ARRAYS, MANIFEST)
    arrays, manifest = read_checkpoint(Path("a.npz"))
    assert (arrays.keys(), manifest) == (ARRAYS.keys(), MANIFEST)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_a_model_file_that_may_not_be_read_is_named(monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    Path("a.npz").write_bytes(a_model())
    monkeypatch.setattr(Path, "open", refuse)
    assert message(ModelFileError, read_model, Path("a.npz")) == "a.npz: cannot be read: Permission denied"


def test_a_model_file_cut_anywhere_is_no_model():
    content = a_model()
    for length in range(len(content)):
        Path("a.npz").write_bytes(content[:length])
        said = message(ModelFileError, read_model, Path("a.npz"))
        assert said.startswith(tuple(f"a.npz: {start}" for start in (EMPTY, NONE, DAMAGED)))


def test_a_model_file_with_any_bit_turned_is_no_model():
    content = np.frombuffer(a_model(), np.uint8).copy()
    with Path("a.npz").open("wb", buffering=0) as file:
        for bit in range(8 * content.size):
            content[bit // 8] ^= 1 << bit % 8
            file.seek(0)
            file.write(content)
            message(ModelFileError, read_model, Path("a.npz"))
            content[bit // 8] ^= 1 << bit % 8
