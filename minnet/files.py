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
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, DataError, MinnetError, ModelFileError, one_line

Kind = Literal["model", "checkpoint"]
VERSION = 3  # of sealed files
SEAL = 64  # bytes of the digest, in hex
CHUNK = 2**20  # bytes hashed at a time


class FileError(MinnetError):
    """A file or folder that the system does not let minnet read or write."""


@contextlib.contextmanager
def named(path: Path, verb: str) -> Iterator[None]:
    """Turn an OSError into a FileError of one line: "PATH: cannot be VERB: reason"."""
    try:
        yield
    except OSError as error:
        raise FileError(f"{one_line(path)}: cannot be {verb}: {error.strerror or error}") from None


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, seek and read, which takes its name, on the disk, once it is complete.

    After any failure an older file of that name is still there. Raises FileError.
    """
    with named(path, "written"):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        with _opened(path.parent) as folder:
            os.fsync(folder)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield handle
    finally:
        os.close(handle)


def write(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write a file as `writing` does, at once or piece by piece."""
    with writing(path) as file:
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


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises DataError."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reason = one_line(getattr(error, "strerror", None) or error)
        raise DataError(f"{one_line(path)}: cannot be read: {reason}") from None


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there. Raises FileError."""
    with named(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)


def leftovers(folder: Path) -> list[Path]:
    """The temporary files of processes that were killed while they wrote."""
    return [path for path in folder.glob(".*") if re.fullmatch(r"\..+\.\d+\.tmp", path.name)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out while inside, and remove what a killed one left half written.

    The lock is the system's and ends with the process. Raises ConfigError where another run holds
    it, or there is no folder.
    """
    with contextlib.ExitStack() as stack:
        with named(folder, "opened"):
            if not folder.is_dir():
                raise ConfigError(f"{one_line(folder)}: no such folder")
            handle = stack.enter_context(_opened(folder))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it, or choose another folder"
            raise ConfigError(f"{one_line(folder)}: another run is at work there; {hint}") from None
        except OSError:
            pass  # a file system without locks
        for leftover in leftovers(folder):
            with contextlib.suppress(OSError):
                leftover.unlink()
        yield


def memory() -> int:
    """The bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_finite(array: NDArray) -> bool:
    """Whether all numbers of an array are finite. Takes no memory."""
    extremes = [array.min(initial=0), array.max(initial=0)]  # both are NaN if any number is
    return bool(np.isfinite(extremes).all())


def save_sealed(path: Path, kind: Kind, arrays: dict[str, NDArray], about: dict[str, Any]) -> None:
    """Write arrays of bool, integers or finite floats, and what JSON can hold, as a sealed .npz.

    The same content gives the same bytes. Raises ValueError for any other content, and FileError.
    """
    for name, array in arrays.items():
        if name == "about" or array.dtype.kind not in "biuf" or not is_finite(array):
            raise ValueError(f"{name!r} is not an array of finite numbers, or not a name for one")
    text = json.dumps({**about, "kind": kind, "version": VERSION}, sort_keys=True, allow_nan=False)
    members: Any = {"about": np.frombuffer(text.encode(), np.uint8), **dict(sorted(arrays.items()))}
    with writing(path) as file:
        np.savez(file, **members)
        with zipfile.ZipFile(file, "a") as archive:
            archive.comment = bytes(SEAL)
        file.write(_seal(file))


def load_sealed(path: Path, kind: Kind) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """What was given to `save_sealed`, in the memory of the arrays.

    Raises ModelFileError, one line, for anything but a whole file of that kind.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe is to wait for its writer
            raise ModelFileError(f"is not a file; name a run's {kind}.npz")
        with path.open("rb") as file:
            _check_seal(file, kind)
            with np.load(file, allow_pickle=False) as members:
                about = json.loads(members["about"].tobytes())
                found, version = about.pop("kind"), about.pop("version")
                if version > VERSION:
                    raise ModelFileError("was written by a newer minnet: update minnet")
                if found != kind:
                    raise ModelFileError(f"is a {found}, not a {kind}; name a run's {kind}.npz")
                size = sum(member.file_size for member in members.zip.infolist())
                if size > min(status.st_size, memory()):
                    raise MemoryError
                return {name: members[name] for name in members.files if name != "about"}, about
    except ModelFileError as error:
        reason = str(error)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
    except MemoryError:
        reason = "does not fit into memory: use a larger machine"
    except Exception as error:  # anyone can seal anything
        reason = f"is not a {kind}: {str(error)[:200]}"
    raise ModelFileError(one_line(f"{path}: {reason}"))


def _check_seal(file: BinaryIO, kind: Kind) -> None:
    """Raise ModelFileError unless the file ends in the digest of every byte before."""
    first = file.read(42)[30:]  # the name of a zip's first member
    if first == b"manifest.npy":
        raise ModelFileError("was written by an older minnet: train again")
    if not first.startswith(b"about.npy"):
        what = "is not a minnet file" if file.tell() else "is empty"
        raise ModelFileError(f"{what}; name a run's {kind}.npz")
    if _seal(file) != file.read():
        raise ModelFileError("is damaged or was changed: use a copy of it, or train again")
    file.seek(0)


def _seal(file: BinaryIO) -> bytes:
    """The SHA-256, in hex, of all but the last SEAL bytes of a file, which is left there."""
    digest, left = hashlib.sha256(), max(0, file.seek(0, os.SEEK_END) - SEAL)
    file.seek(0)
    while chunk := file.read(min(CHUNK, left)):
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest().encode()
