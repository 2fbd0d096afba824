"""Files that are written whole or not at all, folders with one run at a time, sealed .npz files.

A sealed file is an uncompressed zip of one .npy per array, which np.load and any unzip read. Its
first member holds the bytes of a JSON object, its comment the SHA-256 of every byte before:

    content = path.read_bytes()
    assert hashlib.sha256(content[:-64]).hexdigest() == content[-64:].decode()
    about = json.loads(np.load(path)["about"].tobytes())
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import stat
import sys
import time
import types
import typing
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError, MinnetError, ModelFileError, one_line

Kind = Literal["model", "checkpoint"]
VERSION = 3  # of sealed files
SEAL = 64  # bytes of the digest, in hex
GRACE = 1.0  # seconds in which the processes of a killed run end
UNFINISHED = ".minnet"  # ends the name of a file until it is complete
# versions 2 and 1: folder; files of the limit and of what is used; how names in memory.stat begin
CGROUPS = (
    ("", "memory.max", "memory.current", ""),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)


class FileError(MinnetError):
    """A file or folder that the system does not let minnet read or write."""


@contextlib.contextmanager
def named(
    path: Path, verb: str, error: type[MinnetError] = FileError, of: type[Exception] = OSError
) -> Iterator[None]:
    """Raise an `of` as an `error` of one line: "PATH: cannot be VERB: reason"."""
    try:
        yield
    except MinnetError:
        raise
    except of as e:
        reason = getattr(e, "strerror", None) or f"{type(e).__name__}: {str(e)[:200]}"
        raise error(one_line(f"{path}: cannot be {verb}: {reason}")) from None


@contextlib.contextmanager
def writing(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A file to write, seek and read, which takes its name once it is complete and on the disk. If
    anything fails, an older file of that name stays, and of two writers the second one fails. A
    link is written through, and an older file's mode stays. Raises FileError."""
    with named(path, "written"):
        target = Path(os.path.realpath(path))
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(target.stat().st_mode):
                raise FileError(
                    f"{one_line(path)}: is a folder, pipe or device: choose another name"
                )
            if not overwrite:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        temporary = target.with_name(f".{target.name}{UNFINISHED}")
        try:
            with _alone(temporary, path) as file:
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
                yield file
                file.flush()
                os.fsync(file.fileno())
                if not overwrite and _linked(temporary, target):
                    temporary.unlink()
                else:
                    temporary.replace(target)
        except BaseException:  # at any moment, such as a signal's
            with contextlib.suppress(OSError, FileError), temporary.open("rb") as file:
                _lock(file.fileno(), path)  # not what another process writes
                temporary.unlink()
            raise
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _alone(path: Path, shown: Path) -> BinaryIO:
    """A new file, locked until it is closed. Raises FileError if another process writes it."""
    while True:
        path.touch()
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
            file = opened.enter_context(path.open("r+b"))
            _lock(file.fileno(), shown)
            found = os.fstat(file.fileno())
            if os.path.samestat(found, path.stat()):  # or its last writer has just renamed it
                if found.st_size == 0 and found.st_nlink == 1:
                    opened.pop_all()
                    return file
                path.unlink()  # a killed process left it


def _linked(temporary: Path, target: Path) -> bool:
    """Give a file a second name, check and create in one step, if the file system has links. Raises
    FileExistsError."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def _lock(handle: int, shown: Path, grace: float = 0) -> None:
    """Lock an open file or folder until it is closed, which the end of the process does, too. Tries
    for `grace` seconds. Raises FileError if another process has the lock."""
    end = time.monotonic() + grace
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                what = "in use by another process; wait for it"
                raise FileError(f"{one_line(shown)}: {what}") from None
            time.sleep(0.01)
        except OSError:
            return None  # a file system without locks


def write(path: Path, content: bytes | Iterable[bytes], overwrite: bool = True) -> None:
    """Write a file as `writing` does, at once or piece by piece."""
    with writing(path, overwrite) as file:
        file.writelines([content] if isinstance(content, bytes) else content)


def append(path: Path, line: str) -> None:
    """Add one line to a text file, whole or not at all. Raises FileError."""
    content = f"{line}\n".encode()
    with named(path, "written"), path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) < len(content):  # a full disk takes what it has room for
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON as `writing` does. Raises ValueError for NaN and infinity."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write(path, f"{text}\n".encode(errors="backslashreplace"))  # UTF-8 has no lone surrogates


def write_array(path: Path, array: NDArray) -> None:
    """Write a .npy as `writing` does."""
    with writing(path) as file:
        np.save(file, array, allow_pickle=False)


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    with named(path, "read", DataError, Exception):
        return json.loads(path.read_bytes())


def marked(path: Path, mark: str) -> bool:
    """Whether a file is there and has this mark among its first lines. Raises FileError."""
    with named(path, "read"):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return mark.encode() in file.read(1000)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises FileError."""
    with named(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """The files that are not finished, of processes at work or killed."""
    return [path for path in folder.glob(".*") if path.name.endswith(UNFINISHED)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out while inside, and remove what a killed one left half written. The
    lock ends with the process. Raises FileError if another one holds it, ConfigError if there is no
    folder."""
    with named(folder, "opened", ConfigError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, folder, GRACE)
        for leftover in leftovers(folder):
            with contextlib.suppress(OSError, FileError), _alone(leftover, folder):
                leftover.unlink()
        yield
    finally:
        os.close(handle)


def memory() -> int:
    """The bytes of memory that are free: the least of what the machine, each cgroup of this process
    and the limit of its address space leave; all of the machine's where nothing is known."""
    page = os.sysconf("SC_PAGE_SIZE")
    free = [1024 * int(size) for size in _found("/proc/meminfo", r"MemAvailable:\s*(\d+)")]
    for group, most, used, prefix in CGROUPS:
        for path in _found("/proc/self/cgroup", rf"\d+:{group}:(.*)"):
            for folder in (Path(path), *Path(path).parents):
                own = f"/sys/fs/cgroup/{group}/{folder}/"
                cached = _found(f"{own}memory.stat", rf"{prefix}(?:in)?active_file (\d+)")
                limit, size = (_found(own + name, r"(\d+)") for name in (most, used))
                if limit and size:  # what is cached is on a disk, too
                    free.append(int(limit[0]) - int(size[0]) + sum(map(int, cached)))
    most_of_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most_of_space != resource.RLIM_INFINITY:
        free += [most_of_space - page * int(n) for n in _found("/proc/self/statm", r"(\d+)")]
    return max(0, min([page * os.sysconf("SC_PHYS_PAGES"), *free]))


def _found(path: str, pattern: str) -> list[str]:
    """What the pattern finds at starts of lines of a system's file; nothing if there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return re.findall(f"^{pattern}", text, re.MULTILINE)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value from JSON is of an annotated type: a number finite and not negative, for Any
    a string or a number, for a dict of types or a dataclass an object with all of its fields.

    >>> fits({"n": [1, 2]}, {"n": list[int]}), fits({"n": [1, -2]}, {"n": list[int]})
    (True, False)
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        kind = typing.get_type_hints(kind)
    if isinstance(kind, dict):
        same = isinstance(value, dict) and value.keys() == kind.keys()
        return same and all(fits(value[name], kind[name]) for name in kind)
    if origin is dict:
        return isinstance(value, dict) and all(fits(item, inner[1]) for item in value.values())
    if origin in (list, Sequence):
        return isinstance(value, list) and all(fits(item, inner[0]) for item in value)
    if kind is None:
        return value is None
    if kind is Any:
        return isinstance(value, str | int | float)
    if origin is types.UnionType:
        return any(fits(value, option) for option in inner)
    of_type = type(value) in ((int, float) if kind is float else (kind,))
    return of_type and (not isinstance(value, int | float) or 0 <= value <= sys.float_info.max)


def is_finite(array: NDArray) -> bool:
    """Whether all numbers of an array are finite. Takes no memory."""
    return bool(np.isfinite([array.min(initial=0), array.max(initial=0)]).all())  # NaN if any is


def save_sealed(path: Path, kind: Kind, arrays: dict[str, NDArray], about: dict[str, Any]) -> None:
    """Write arrays of bool, integers or finite floats, and what JSON can hold, as a sealed .npz:
    the same content as the same bytes. Raises ValueError for any other content, and FileError."""
    for name, array in arrays.items():
        if name == "about" or array.dtype.kind not in "biuf" or not is_finite(array):
            raise ValueError(f"{name!r} is not an array of finite numbers, or not a name for one")
    about = about | {"kind": kind, "version": VERSION}
    text = json.dumps(dict(sorted(about.items())), allow_nan=False)  # inside, order may tell
    members: Any = {"about": np.frombuffer(text.encode(), np.uint8), **dict(sorted(arrays.items()))}
    with writing(path) as file:
        # as np.savez, which below NumPy 2.2 leaves its archive open where a write fails
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = bytes(SEAL)
            for name, array in members.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array)
        file.write(_seal(file))


def load_sealed(path: Path, kind: Kind) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """What was given to `save_sealed`, in the memory of the arrays. Raises ModelFileError for
    anything but a whole file of that kind."""
    name, hint = one_line(path), f"name a run's {kind}.npz"
    with named(path, f"read as a {kind}", ModelFileError, Exception):
        size = path.stat().st_size
        if not path.is_file():  # to open a pipe is to wait for its writer
            raise ModelFileError(f"{name}: is not a file; {hint}")
        with path.open("rb") as file:
            if not file.read(42)[30:].startswith(b"about.npy"):  # a zip's first member
                raise ModelFileError(f"{name}: not a file of this minnet: train again, or {hint}")
            if _seal(file) != file.read():
                raise ModelFileError(f"{name}: is damaged: use a copy of it, or train again")
            file.seek(0)
            with np.load(file, allow_pickle=False) as members:
                if sum(member.file_size for member in members.zip.infolist()) > min(size, memory()):
                    raise ModelFileError(f"{name}: does not fit into the memory that is free")
                about = json.loads(members["about"].tobytes())
                if about.pop("version") > VERSION:
                    raise ModelFileError(f"{name}: was written by a newer minnet: update minnet")
                if (found := about.pop("kind")) != kind:
                    raise ModelFileError(f"{name}: is a {one_line(found)}, not a {kind}; {hint}")
                return {name: members[name] for name in members.files if name != "about"}, about


def _seal(file: BinaryIO) -> bytes:
    """The SHA-256, in hex, of all but the last SEAL bytes of a file, which is left there."""
    digest, left = hashlib.sha256(), max(0, file.seek(0, os.SEEK_END) - SEAL)
    file.seek(0)
    while chunk := file.read(min(2**20, left)):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest().encode()
