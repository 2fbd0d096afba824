"""Run folders, and files that are written whole or not at all."""

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from minnet import archive
from minnet.errors import ConfigError, MinnetError

REPORT, REPEAT_FILE = "report.html", "repeat.json"
REPORT_MARK = '<meta name="generator" content="minnet">'  # in each report.html of minnet
PICTURES = [
    f"pictures/{name}.svg"
    for name in ("curves", "confusion", "reliability", "mistakes", "weights", "regions", "sizes", "scores")
]
RUN_FILES = ("config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz")


def claim_folder(out: Path | None, name: str, overwrite: bool) -> Path:
    """The folder of a new run: `out`, or else runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... not yet there.

    A folder with anything in it is refused, unless `overwrite` says that the run in it may go.
    Raises ConfigError, or MinnetError where a folder cannot be made.
    """
    path = out if out is not None else Path("runs") / name
    with named(path, "made"):
        path.parent.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            try:
                path.mkdir()  # fails if it is there: of two runs that start together, each gets its own
                return path
            except FileExistsError:
                if overwrite or out is not None:
                    break
            number += 1
            path = Path("runs") / f"{name}-{number}"
        check_folder(path, overwrite)
    return path


def clear(folder: Path) -> None:
    """Remove the files of a run, or of a repeated one with all its runs, and only them."""
    clear_report(folder)
    with named(folder, "cleared"):
        if (folder / REPEAT_FILE).exists():
            for run in (path for path in folder.glob("seed-*/") if path.name[5:].isdecimal()):
                clear(run)
                for leftover in _leftovers(run):
                    leftover.unlink()
                with contextlib.suppress(OSError):  # there is more in it, which stays
                    run.rmdir()
            (folder / REPEAT_FILE).unlink()
        for file in reversed(RUN_FILES):  # config.toml last: if this is cut short, it is still the folder of a run
            (folder / file).unlink(missing_ok=True)


def clear_report(folder: Path) -> None:
    """Remove what `minnet report` has written: another run, or more epochs, would make it untrue."""
    if is_report(folder):
        with named(folder, "cleared"):
            for name in (*PICTURES, REPORT):
                (folder / name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not there, or there is more in it, which stays
                (folder / "pictures").rmdir()


def is_report(folder: Path) -> bool:
    """Whether there is a report.html of minnet in the folder."""
    with named(folder / REPORT, "read"):
        return (folder / REPORT).is_file() and REPORT_MARK.encode() in (folder / REPORT).read_bytes()


def make_folder(folder: Path) -> None:
    """Make a folder, unless it is there. Raises MinnetError where that fails."""
    with named(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)


def check_folder(out: Path | None, overwrite: bool) -> None:
    """Raises ConfigError where `claim_folder` would refuse `out`, so that nobody waits for data only to hear that."""
    if out is None:
        return
    with named(out, "made"):
        if not out.exists():
            return
        if not out.is_dir():
            raise ConfigError(f"{out}: is a file; name a folder with --out")
        if set(out.iterdir()) <= set(_leftovers(out)):
            return
        if not overwrite:
            raise ConfigError(f"{out}: exists; choose another folder, or let the run in it go with --overwrite")
        if not (out / "config.toml").exists():
            raise ConfigError(f"{out}: holds other files and no run, so it is not overwritten; choose another folder")


def write(path: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write a file whole or not at all; as `writing` does it."""
    with writing(path) as file:
        for piece in [content] if isinstance(content, bytes) else content:
            file.write(piece)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, that comes to be whole or not at all: a temporary file beside it, which in the end goes to
    the disk, and then under its name.

    Raises MinnetError where that fails; an older file of that name is then still there, and no temporary one.
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
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def append(path: Path, line: str) -> None:
    """Add one line to a text file, whole or not at all. Raises MinnetError where that fails."""
    content = f"{line}\n".encode()
    with named(path, "written"), path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) < len(content):  # a disk takes what it has room for
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON; refuses NaN and infinity, which JSON does not have."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write(path, f"{text}\n".encode(errors="backslashreplace"))  # half a surrogate pair, which UTF-8 does not have


def write_model(path: Path, arrays: dict[str, NDArray], manifest: dict[str, Any]) -> None:
    """Write a model file; see archive.py."""
    write(path, archive.encode("minnet model", arrays, manifest))


def read_model(path: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays and the manifest of a model file, or of the one in a run's folder. Raises ModelFileError."""
    with contextlib.suppress(OSError, ValueError):  # a name too long, or with a NUL: archive.load says so
        path = path / "model.npz" if path.is_dir() else path
    return archive.load(path, "minnet model")


def write_checkpoint(path: Path, arrays: dict[str, NDArray], manifest: dict[str, Any]) -> None:
    """Write a checkpoint; see archive.py."""
    write(path, archive.encode("minnet checkpoint", arrays, manifest))


def read_checkpoint(path: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays and the manifest of a checkpoint. Raises ModelFileError."""
    return archive.load(path, "minnet checkpoint")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While inside, no other run is let into the folder; what a killed one has left half written there is removed.

    The lock is the system's own, on the folder itself, and goes with the process. Raises ConfigError where another
    run holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks here
        yield
        return
    with named(folder, "opened"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{folder}: there is no such folder") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{folder}: another run is at work there; wait for it, or choose another folder"
            ) from None
        except OSError:
            pass  # a file system without locks
        for leftover in _leftovers(folder):
            with contextlib.suppress(OSError):
                leftover.unlink()
        yield
    finally:
        os.close(handle)


def _leftovers(folder: Path) -> list[Path]:
    """The temporary files that a killed run has left."""
    return [path for name in (*RUN_FILES, REPORT, REPEAT_FILE) for path in folder.glob(f".{name}.*.tmp")]


@contextlib.contextmanager
def named(path: Path, verb: str) -> Any:
    """Turns an OSError into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise MinnetError(f"{path}: cannot be {verb}: {error.strerror or error}") from None
