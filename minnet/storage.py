"""Run folders, and files that are written whole or not at all."""

import contextlib
import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ConfigError, MinnetError, ModelFileError

RUN_FILES = ("config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz")
MODEL_VERSION = 1


def claim_folder(out: Path | None, name: str, overwrite: bool) -> Path:
    """The folder of a new run: `out`, or else runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... not yet there.

    A folder with anything in it is refused, unless `overwrite` says that the run in it may go: then the files of
    that run, and only they, are removed. Raises ConfigError, or MinnetError where a folder cannot be made.
    """
    path = out if out is not None else Path("runs") / name
    with _named(path, "made"):
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
        for file in reversed(RUN_FILES):  # config.toml last: if this is cut short, it is still the folder of a run
            (path / file).unlink(missing_ok=True)
    return path


def check_folder(out: Path | None, overwrite: bool) -> None:
    """Raises ConfigError where `claim_folder` would refuse `out`, so that nobody waits for data only to hear that."""
    if out is None:
        return
    with _named(out, "made"):
        if not out.exists():
            return
        if not out.is_dir():
            raise ConfigError(f"{out}: is a file; name a folder with --out")
        if not any(out.iterdir()):
            return
        if not overwrite:
            raise ConfigError(f"{out}: exists; choose another folder, or let the run in it go with --overwrite")
        if not (out / "config.toml").exists():
            raise ConfigError(f"{out}: holds other files and no run, so it is not overwritten; choose another folder")


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: to a temporary file beside it, to the disk, then under its name.

    Raises MinnetError where that fails; an older file of that name is then still there, and no temporary one.
    """
    with _named(path, "written"):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
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
    with _named(path, "written"), path.open("ab", buffering=0) as file:
        end = file.tell()
        if file.write(content) < len(content):  # a disk takes what it has room for
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write readable JSON; refuses NaN and infinity, which JSON does not have."""
    write(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_model(path: Path, arrays: dict[str, NDArray], manifest: dict[str, Any]) -> None:
    """An .npz of plain arrays, no pickle; the array "manifest" holds the rest, as the bytes of JSON in UTF-8."""
    content = {"format": "minnet model", "version": MODEL_VERSION, **manifest}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True).encode()
    file = io.BytesIO()
    np.savez(file, manifest=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
    write(path, file.getvalue())


def read_model(path: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays and the manifest of a model file, or of the one in a run's folder. Raises ModelFileError."""
    try:
        path = path / "model.npz" if path.is_dir() else path
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # np.load leaves a damaged file open
            arrays = dict(stored)
        manifest = json.loads(arrays.pop("manifest").tobytes())
        if manifest["format"] != "minnet model":
            raise ValueError(f"its format is {manifest['format']!r}")
        newer = manifest["version"] > MODEL_VERSION
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # a damaged file can raise anything
        raise ModelFileError(f"{path}: is no model of minnet ({' '.join(str(error).split())})") from None
    if newer:
        raise ModelFileError(f"{path}: was written by a newer minnet (version {manifest['version']}); update minnet")
    return arrays, manifest


@contextlib.contextmanager
def _named(path: Path, verb: str) -> Any:
    """Turns an OSError into one line that names the file."""
    try:
        yield
    except OSError as error:
        raise MinnetError(f"{path}: cannot be {verb}: {error.strerror or error}") from None
