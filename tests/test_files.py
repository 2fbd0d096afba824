"""Files are written whole or not at all; sealed ones give back what was written, or one line."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import pickle
import resource
import socket
import stat
import textwrap
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from faults import Killed, faults
from limits import file_size_limit
from memory import traced_memory
from running import files as content
from running import message

from minnet import files
from minnet.errors import ConfigError, DataError, ModelFileError
from minnet.files import append, load_sealed, locked, read_json, save_sealed, write, write_json

MB = 2**20
THETA = np.arange(6, dtype=np.float32)
ARRAYS = {"theta": THETA, "center": np.array(0.5), "seen": np.array([[True], [False]])}
ABOUT = {"layer_sizes": [2, 2], "classes": ["é", "b"], "loss": 0.1}
FULL = "cannot be written: No space left on device"
DAMAGED = "is damaged: use a copy of it, or train again"
FOREIGN = "not a file of this minnet: train again, or name a run's model.npz"
NO_MODEL = "cannot be read as a model: "
TOO_LARGE = "does not fit into the memory that is free"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


WAYS = {
    "bytes": lambda path: write(path, b"the new one"),
    "pieces": lambda path: write(path, (b"the", b" ", b"new one")),
    "sealed": lambda path: save_sealed(path, "model", ARRAYS, ABOUT),
}


@pytest.mark.parametrize("old", [{}, {"a": b"the old one"}], ids=["none", "old"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("how", ["full", "killed"])
def test_a_fault_at_any_step_leaves_the_old_file_or_the_new(how, way, old, here):
    with faults() as steps:
        way(Path("new"))
    new = Path("new").read_bytes()
    Path("new").unlink()
    assert steps.names[0] == "open"
    assert steps.names[-4:] == ["flush", "fsync", "rename", "fsync"]
    for at in range(1, len(steps.names) + 1):
        for name, kept in old.items():
            Path(name).write_bytes(kept)
        with faults(at, how):
            if how == "full":
                assert message(files.FileError, way, Path("a")) == f"a: {FULL}"
            else:
                with pytest.raises(Killed):
                    way(Path("a"))
        after = content()
        temporary = after.pop(".a.minnet", None)
        last = at == len(steps.names)  # the folder's fsync, after the rename
        assert after == ({"a": new} if last else old)
        assert (temporary is None) == (how == "full" or at == 1 or last)
        for path in here.iterdir():
            path.unlink()


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_pieces_that_cannot_be_made_or_outgrow_the_disk_leave_what_was_there(error):
    write(Path("a.txt"), b"the old one")

    def pieces():
        yield b"half"
        raise error

    with pytest.raises(error):
        write(Path("a.txt"), pieces())
    with file_size_limit(4000):
        said = message(files.FileError, write, Path("a.txt"), b"x" * 10_000)
    assert said == "a.txt: cannot be written: File too large"
    assert content() == {"a.txt": b"the old one"}


def test_a_file_that_was_made_in_the_meantime_is_not_overwritten():
    def pieces():
        Path("a.txt").write_text("mine")
        yield b"another"

    said = message(files.FileError, write, Path("a.txt"), pieces(), False)
    assert said == "a.txt: cannot be written: File exists"
    assert content() == {"a.txt": b"mine"}
    write(Path("b.txt"), b"new", overwrite=False)
    assert content() == {"a.txt": b"mine", "b.txt": b"new"}


@pytest.mark.parametrize("path", ["no/a.txt", "file/a.txt", "folder", "x" * 300])
def test_a_file_or_folder_that_cannot_be_made_is_named(path):
    Path("file").write_text("text")
    Path("folder").mkdir()
    said = message(files.FileError, write, Path(path), b"one")
    assert said.startswith(f"{path}: {'is a folder' if path == 'folder' else 'cannot be written'}")
    assert content() == {"file": b"text"}
    if path != "no/a.txt":
        said = message(files.FileError, files.make_folder, Path("file") / path)
        assert said.startswith(f"file/{path}: cannot be made: ")


def test_append_adds_one_line_and_no_part_of_one():
    append(Path("a.csv"), "größe,1")
    with file_size_limit(12):
        assert message(files.FileError, append, Path("a.csv"), "2,0.25") == f"a.csv: {FULL}"
    append(Path("a.csv"), "3")
    assert Path("a.csv").read_bytes() == "größe,1\n3\n".encode()
    said = message(files.FileError, append, Path("no/a.csv"), "1")
    assert said == "no/a.csv: cannot be written: No such file or directory"


def test_json_is_readable_and_keeps_every_digit_and_text_and_its_damage_is_a_data_error():
    figures = {"é": 0.1 + 0.2, "classes": ["a", 1, "\ud800"], "none": None}
    write_json(Path("a.json"), figures)
    assert '"é": 0.30000000000000004,\n' in Path("a.json").read_text(encoding="utf-8")
    assert read_json(Path("a.json")) == figures
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(Path("b.json"), {"loss": np.nan})
    assert content().keys() == {"a.json"}
    assert message(DataError, read_json, Path("b.json")).startswith("b.json: cannot be read: No")
    for damaged in (b"{", b"\xff\xfe\xfd", b"[" * 10**5):
        Path("a.json").write_bytes(damaged)
        assert message(DataError, read_json, Path("a.json")).startswith("a.json: cannot be read: ")


def test_a_locked_folder_lets_nobody_else_in_until_it_is_left():
    Path("mine").mkdir()
    for _ in range(2):
        with contextlib.suppress(KeyError), locked(Path("mine")), locked(Path()):
            said = message(files.FileError, locked(Path("mine")).__enter__)
            assert said == "mine: in use by another process; wait for it"
            raise KeyError


def test_who_locks_a_folder_removes_what_was_left_half_written_there_and_nothing_else():
    mine = ["config.toml", ".notes.tmp", ".minnet.txt", "a.minnet", "sub/.model.npz.minnet"]
    Path("sub").mkdir()
    for name in [*mine, ".config.toml.minnet", ".model.npz.minnet"]:
        Path(name).write_bytes(b"half")
    with files.writing(Path("at work")) as file, locked(Path()):
        assert set(content()) == {*mine, ".at work.minnet"}
        file.write(b"whole")
    assert Path("at work").read_bytes() == b"whole"


def test_of_two_writers_of_a_file_the_second_is_refused_and_the_first_is_whole():
    with files.writing(Path("a")) as first:
        first.write(b"first")
        said = message(files.FileError, write, Path("a"), b"second")
        assert said == "a: in use by another process; wait for it"
        write(Path("b"), b"another file")
    assert content() == {"a": b"first", "b": b"another file"}
    write(Path("a"), b"third")
    assert Path("a").read_bytes() == b"third"


def test_a_writer_that_waited_for_the_name_of_a_finished_file_makes_a_new_one(monkeypatch):
    """The first writer ends between the second one's open and its lock."""
    first, lock = files.writing(Path("a")), files._lock
    first.__enter__().write(b"first")

    def late(*arguments):
        monkeypatch.setattr(files, "_lock", lock)
        first.__exit__(None, None, None)
        lock(*arguments)

    monkeypatch.setattr(files, "_lock", late)
    write(Path("a"), b"second")
    assert content() == {"a": b"second"}


def test_what_a_killed_writer_left_is_removed_by_the_next():
    Path(".a.minnet").write_bytes(b"half of what a killed process wrote")
    write(Path("a"), b"whole")
    assert content() == {"a": b"whole"}
    os.link("a", ".a.minnet")  # killed between the two names of a new file
    with pytest.raises(KeyError), files.writing(Path("a")):
        raise KeyError
    assert content() == {"a": b"whole"}


@pytest.mark.parametrize("step", ["_lock", "os.fsync", "os.link"])
def test_a_signal_at_any_moment_leaves_no_file(step, monkeypatch):
    strike = mock.Mock(side_effect=[KeyboardInterrupt, *[mock.DEFAULT] * 9])
    strike.return_value = None
    monkeypatch.setattr(f"minnet.files.{step}", strike)
    with pytest.raises(KeyboardInterrupt):
        write(Path("a"), b"new", overwrite=False)
    assert content() == {}


def test_a_new_file_is_whole_or_absent_at_any_kill_and_made_without_links_too(monkeypatch):
    for links in (True, False):
        if not links:
            monkeypatch.setattr(os, "link", mock.Mock(side_effect=PermissionError))
        with faults() as counted:
            write(Path("a"), b"whole", overwrite=False)
        for at in range(1, len(counted.names) + 1):
            Path("a").unlink()
            with faults(at, "killed"), contextlib.suppress(Killed):
                write(Path("a"), b"whole", overwrite=False)
            assert content().get("a", b"whole") == b"whole"
            with contextlib.suppress(files.FileError):
                write(Path("a"), b"whole", overwrite=False)
            Path(".a.minnet").unlink(missing_ok=True)
            assert content() == {"a": b"whole"}
        Path("a").unlink()


@pytest.mark.parametrize("old", [None, b"old"], ids=["dangling", "file"])
@pytest.mark.parametrize("links", [["a"], ["b", "a"]], ids=["link", "link to a link"])
def test_a_link_is_written_through(links, old):
    Path("there").mkdir()
    if old:
        Path("there/real").write_bytes(old)
    Path("a").symlink_to("there/real")
    if len(links) > 1:
        Path("b").symlink_to("a")
    write(Path(links[0]), b"new")
    assert Path("there/real").read_bytes() == b"new"
    assert all(Path(link).is_symlink() for link in links)
    assert set(content()) == {"there/real", *links}


def test_a_file_keeps_its_mode_and_a_new_one_has_the_usual_one():
    Path("secret").write_bytes(b"old")
    Path("usual").write_bytes(b"")
    for mode in (0o600, 0o640, 0o444):
        Path("secret").chmod(mode)
        write(Path("secret"), b"new")
        assert stat.S_IMODE(Path("secret").stat().st_mode) == mode
    write(Path("new"), b"new")
    assert Path("new").stat().st_mode == Path("usual").stat().st_mode


def test_what_is_no_file_is_refused_and_stays():
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    Path("null").symlink_to("/dev/null")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "link", "null", "socket", "loop", "."):
            for overwrite in (True, False):
                said = message(files.FileError, write, Path(name), b"new", overwrite)
                assert said.startswith(f"{name}: ")
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    assert {path.name for path in Path().iterdir()} == {"pipe", "link", "null", "socket", "loop"}


def test_a_file_system_without_locks_is_used_without_and_only_a_folder_is_locked(monkeypatch):
    monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=OSError(errno.ENOLCK, "no locks")))
    with pytest.raises(OSError, match="mine"), locked(Path()), locked(Path()):
        raise OSError("mine")
    os.mkfifo("pipe")
    for path, reason in (("no/folder", "No such file or directory"), ("pipe", "Not a directory")):
        said = message(ConfigError, locked(Path(path)).__enter__)
        assert said == f"{path}: cannot be opened: {reason}"


def sealed(arrays=ARRAYS, about=ABOUT, kind="model") -> bytes:
    save_sealed(Path("sealed.npz"), kind, arrays, about)
    return Path("sealed.npz").read_bytes()


def loaded(content: bytes, kind="model"):
    Path("model.npz").write_bytes(content)
    return load_sealed(Path("model.npz"), kind)


def refused(path="model.npz", content: bytes | None = None, kind="model") -> str:
    """What is said of a file that cannot be loaded, without its name."""
    if content is not None:
        Path(path).write_bytes(content)
    said = message(ModelFileError, load_sealed, Path(path), kind)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def assert_same(result, arrays=ARRAYS, about=ABOUT) -> None:
    assert result[0].keys() == arrays.keys()
    for name, array in arrays.items():
        got = result[0][name]
        assert got.tobytes() == array.tobytes()  # -0.0 is not 0.0
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        assert got.flags.writeable
    assert result[1] == about


def test_arrays_of_every_dtype_and_shape_and_the_outermost_numbers_come_back_as_they_were():
    rng, info = np.random.default_rng(0), np.finfo(np.float32)
    floats = np.array([info.max, info.min, info.smallest_subnormal, -0.0], np.float32)
    arrays = {"floats": floats, "integers": np.array([2**63 - 1, -(2**63)])}
    for shape in ((), (0,), (0, 3), (1,), (7,), (2, 3, 4)):
        for dtype in (bool, *np.typecodes["AllInteger"], *"efd"):
            arrays[f"{len(arrays)}"] = rng.integers(0, 2, shape).astype(dtype)
    about = {"state": 2**128 - 1, "loss": 5e-324, "zero": -0.0, "none": None, "text": "\ud800"}
    assert_same(loaded(sealed(arrays, about)), arrays, about)
    assert loaded(sealed({}, {})) == ({}, {})


def test_another_memory_order_keeps_its_numbers_and_a_link_is_followed():
    arrays = {"a": np.arange(12.0)[::2], "b": np.arange(6).reshape(2, 3).T}
    sealed(arrays, {})
    Path("link.npz").symlink_to("sealed.npz")
    np.testing.assert_equal(load_sealed(Path("link.npz"), "model")[0], arrays)


def test_the_same_content_gives_the_same_bytes_in_any_order_at_any_time(monkeypatch):
    first = sealed()
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 1, 2, 3, 4, 5, 0, 2, 0))
    assert sealed(dict(reversed(ARRAYS.items())), dict(reversed(ABOUT.items()))) == first


def test_numpy_and_zip_programs_read_the_file_and_the_docstring_says_how_to_check_it():
    whole = sealed()
    with np.load("sealed.npz", allow_pickle=False) as file:
        assert file.files == ["about", *sorted(ARRAYS)]
        np.testing.assert_array_equal(file["theta"], THETA, strict=True)
    with zipfile.ZipFile("sealed.npz") as file:
        assert file.testzip() is None
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
    names = {"np": np, "json": json, "hashlib": hashlib, "path": Path("sealed.npz")}
    lines = textwrap.dedent(files.__doc__[files.__doc__.index("    content =") :])
    exec(lines, names)
    assert names["about"].items() >= ABOUT.items()
    Path("sealed.npz").write_bytes(whole[:-65] + b"\1" + whole[-64:])
    with pytest.raises(AssertionError):
        exec(lines, names)


NO_NUMBERS = [np.array([0, x], np.float32) for x in (np.nan, np.inf, -np.inf)]
NO_NUMBERS += [np.array([x]) for x in (None, "text", 1j, np.datetime64(0, "D"))]


def test_what_no_file_may_hold_is_not_written():
    for arrays in ({"about": np.zeros(3)}, *({"a": array} for array in NO_NUMBERS)):
        with pytest.raises(ValueError, match="is not an array of finite numbers"):
            save_sealed(Path("a.npz"), "model", arrays, {})
    with pytest.raises(ValueError, match="Out of range"):
        save_sealed(Path("a.npz"), "model", {}, {"x": np.inf})
    assert content() == {}


def test_every_flip_of_a_bit_every_cut_and_every_byte_too_many_is_noticed():
    whole = sealed(about={})
    with Path("model.npz").open("wb+", buffering=0) as file:
        file.write(whole)
        for place in range(len(whole)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([whole[place] ^ 1 << bit]), place)
                assert refused() in (DAMAGED, FOREIGN)
            os.pwrite(file.fileno(), whole[place : place + 1], place)
        assert_same(load_sealed(Path("model.npz"), "model"), about={})
        for size in reversed(range(len(whole))):
            file.truncate(size)
            assert refused() in (DAMAGED, FOREIGN)
    for extra in (b"\0", bytes(64), whole):
        assert refused(content=whole + extra) == DAMAGED
        assert refused(content=extra + whole) in (DAMAGED, FOREIGN)


def forged(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members with the right seal."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = bytes(64)
    content = file.getvalue()[:-64]
    return content + hashlib.sha256(content).hexdigest().encode()


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def about(**entries) -> bytes:
    return text(json.dumps({"kind": "model", "version": files.VERSION, **entries}).encode())


def text(content: bytes) -> bytes:
    return npy(np.frombuffer(content, np.uint8))


LARGE = npy(np.zeros(3)).replace(b"(3,), }" + 11 * b" ", b"(%d,), }" % 10**12)


TEXTS = b'{|\xff|null|[3]|"model"|{}|{"kind": "model"}'.split(b"|")
FORGED = [
    *({"about.npy": text(content)} for content in [*TEXTS, b"[" * 10**6]),
    *({"about.npy": content} for content in (b"", b"no npy", npy(np.zeros(3)))),
    *({"about.npy": about(version=version)} for version in ("3", None)),
    *({"about.npy": about(kind=kind)} for kind in ("forest", "two\nlines")),
    {"about.npyx": about()},
    {"about.npy": about(), "theta.npy": npy(np.zeros(3))[:-1]},
    {"about.npy": about(), "theta.npy": LARGE},
]


def test_a_sealed_file_of_other_content_is_refused_in_one_line():
    for members in FORGED:
        said = refused(content=forged(members))
        assert said.startswith((NO_MODEL, "is a forest, not", "is a two lines, not"))


def test_a_file_made_as_the_docstring_says_is_loaded():
    """What makes this fail makes each file of our users unreadable: it takes a new version."""
    members = {"about.npy": text(b'{"kind": "model", "version": 3, "x": 1}'), "a.npy": npy(THETA)}
    assert_same(loaded(forged(members)), {"a": THETA}, {"x": 1})


def test_a_pickle_is_refused_and_not_run():
    class Harmful:
        def __reduce__(self):
            return Path.touch, (Path("harm"),)

    assert refused(content=pickle.dumps(Harmful())) == FOREIGN
    harmful = npy(np.array([Harmful()]))
    for members in ({"about.npy": about(), "a.npy": harmful}, {"about.npy": harmful}):
        assert refused(content=forged(members)).startswith(NO_MODEL)
    assert not Path("harm").exists()
    pickle.loads(pickle.dumps(Harmful()))
    assert Path("harm").exists()  # so it would have been


def test_a_bomb_is_not_read():
    members = {"about.npy": about(), "theta.npy": npy(np.zeros(50 * MB, np.uint8))}
    content = forged(members, zipfile.ZIP_DEFLATED)
    assert len(content) < MB
    with traced_memory() as risen:
        assert refused(content=content) == TOO_LARGE
        assert risen() < MB


def test_a_bomb_in_the_place_of_what_a_file_is_about_is_not_read():
    content = forged({"about.npy": npy(np.zeros(50 * MB, np.uint8))}, zipfile.ZIP_DEFLATED)
    with traced_memory() as risen:
        assert refused(content=content) == TOO_LARGE
        assert risen() < MB


def test_names_of_more_than_64_mib_are_written_and_read():
    about = {"names": ["x" * 7] * (7 * MB)}  # of as many columns
    save_sealed(Path("model.npz"), "model", ARRAYS, about)
    assert Path("model.npz").stat().st_size > 64 * MB
    assert load_sealed(Path("model.npz"), "model")[1] == about


# Memory

KB = 1024
NOTHING = {"/proc/meminfo": f"MemTotal: 9 kB\nMemAvailable:   {8 * MB // KB} kB\n"}
V1, V2 = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
OWN_V1 = {"/proc/self/cgroup": "5:devices:/x\n4:memory:/a/b\n0::/\n"}
OWN_V2 = {"/proc/self/cgroup": "0::/a/b\n"}


def limit(folder: str, most: object, used: int, cached: int = 0) -> dict[str, str]:
    """The files of a cgroup; half of the files that are cached are active."""
    old = folder.startswith(V1)
    names = ("limit_in_bytes", "usage_in_bytes") if old else ("max", "current")
    files_of = {f"{folder}memory.{n}": f"{x}\n" for n, x in zip(names, (most, used), strict=True)}
    lines = [f"{name} {cached // 2}" for name in ("active_file", "inactive_file")]
    lines = [f"total_{line}" for line in lines] + ["active_file 7"] if old else lines
    return files_of | {f"{folder}memory.stat": "\n".join(["cache 99999999", *lines, ""])}


FREE = [
    (NOTHING, 8 * MB),
    (NOTHING | OWN_V1, 8 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}//a/b/", 5 * MB, MB), 4 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}//a/", 5 * MB, 2 * MB), 3 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}///", 5 * MB, 3 * MB), 2 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}//a/", 5 * MB, 5 * MB, 4 * MB), 4 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}//other/", 5 * MB, 5 * MB), 8 * MB),
    (NOTHING | OWN_V1 | limit(f"{V1}//a/", 2**63 - 4096, MB), 8 * MB),
    (NOTHING | OWN_V2 | limit(f"{V2}///a/b/", 5 * MB, MB, MB), 5 * MB),
    (NOTHING | OWN_V2 | limit(f"{V2}///a/b/", "max", MB), 8 * MB),
    (NOTHING | OWN_V2 | limit(f"{V2}////", 5 * MB, 4 * MB), MB),
    (NOTHING | OWN_V2 | limit(f"{V2}///a/", MB, 2 * MB), 0),
]


@pytest.mark.parametrize(("system", "free"), FREE)
def test_free_memory_is_the_least_of_what_the_machine_and_its_groups_leave(
    system, free, monkeypatch
):
    flat = {os.path.normpath(path): text for path, text in system.items()}
    monkeypatch.setattr(Path, "read_text", lambda path, **_: flat.get(os.path.normpath(path), ""))
    assert files.memory() == free


def test_the_memory_of_the_machine_is_free_where_nothing_is_known(monkeypatch):
    monkeypatch.setattr(Path, "read_text", mock.Mock(side_effect=FileNotFoundError))
    assert files.memory() == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_free_memory_is_within_the_limit_of_the_address_space():
    before = files.memory()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 300 * MB, hard))
    try:
        assert 200 * MB < files.memory() <= 300 * MB < before
        kept = bytearray(100 * MB)
        assert files.memory() <= 300 * MB - len(kept)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_another_file_is_told_from_one_of_minnet():
    old = npz(manifest=np.zeros(2), **ARRAYS)
    for other in (b"", b"a,b\n1,2\n", b"PK\3\4", b"PK\5\6" + bytes(18), bytes(10_000), old):
        assert refused(content=other) == FOREIGN
    with np.load(io.BytesIO(sealed())) as file:
        assert refused(content=npz(**file)) == DAMAGED  # though its content is the same


def test_a_model_is_no_checkpoint_and_a_later_version_asks_for_a_newer_minnet(monkeypatch):
    said = "is a checkpoint, not a model; name a run's model.npz"
    assert refused(content=sealed(kind="checkpoint")) == said
    said = "is a model, not a checkpoint; name a run's checkpoint.npz"
    assert refused(content=sealed(), kind="checkpoint") == said
    assert_same(loaded(sealed(kind="checkpoint"), "checkpoint"))
    with monkeypatch.context() as patch:
        patch.setattr(files, "VERSION", files.VERSION + 1)
        later = sealed()
    assert refused(content=later) == "was written by a newer minnet: update minnet"


def test_what_is_not_a_file_is_named_and_never_waited_for():
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    Path("run").mkdir()
    for path in ("pipe", "run", "/dev/zero"):
        assert refused(path, kind="checkpoint") == "is not a file; name a run's checkpoint.npz"
    assert refused("no/model.npz") == f"{NO_MODEL}No such file or directory"
    assert refused("x" * 300) == f"{NO_MODEL}File name too long"
    assert refused("loop").startswith(f"{NO_MODEL}Too many levels")
    for path in ("two\nlines", "nul\0"):
        assert message(ModelFileError, load_sealed, Path(path), "model")


ERRORS = {
    PermissionError(13, "Permission denied"): "Permission denied",
    OSError("two\nlines"): "OSError: two lines",
    MemoryError("x" * 1000): f"MemoryError: {'x' * 200}",
}


def test_any_error_ends_in_one_line_but_not_an_interrupt(monkeypatch):
    Path("model.npz").write_bytes(sealed())
    failing = mock.Mock(side_effect=[*ERRORS, KeyboardInterrupt])
    monkeypatch.setattr(np, "load", failing)
    for said in ERRORS.values():
        assert refused() == f"{NO_MODEL}{said}"
    with pytest.raises(KeyboardInterrupt):
        load_sealed(Path("model.npz"), "model")


def test_a_file_takes_little_memory_to_write_and_its_own_size_to_load(monkeypatch):
    arrays = {"theta": np.ones(12 * MB, np.float32), "best": np.ones((2 * MB, 4))}
    with traced_memory() as risen:
        save_sealed(Path("model.npz"), "model", arrays, ABOUT)
        assert risen() < 40 * MB
        size = Path("model.npz").stat().st_size
        assert size > 110 * MB
        load_sealed(Path("model.npz"), "model")
        assert risen() < size + 4 * MB
        monkeypatch.setattr(files, "memory", lambda: 100 * MB)
        assert refused() == TOO_LARGE
        assert risen() < 4 * MB
