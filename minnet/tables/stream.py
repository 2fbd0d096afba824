"""The bytes of a file, counted and unpacked."""

import contextlib
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minnet.errors import DataError

BUFFER_BYTES = 1 << 20
# how the files begin that are often taken for tables
FOREIGN = {b"PK\x03\x04": "a zip or Excel file", b"PAR1": "Parquet", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
FOREIGN |= {b"\x89HDF": "HDF5", b"\x80\x04\x95": "a pickle", b"(\xb5/\xfd": "zstd", b"\x93NUMPY": "a lone .npy file"}


class _Counted(io.RawIOBase):
    """A file that tells how many bytes were read."""

    def __init__(self, raw: Any, progress: Callable[[int], object] | None):
        self.raw, self.progress = raw, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.raw.readinto(buffer)
        if self.progress and count:
            self.progress(count)
        return count


@contextlib.contextmanager
def opened(path: Path, progress: Callable[[int], object] | None) -> Iterator[Any]:
    """The bytes of a file, unpacked if they are gzip's."""
    with path.open("rb", buffering=0) as raw:
        file = io.BufferedReader(_Counted(raw, progress), BUFFER_BYTES)
        yield gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file


def check_start(start: bytes, path: str) -> None:
    """Raises DataError where a file is not text in UTF-8."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: is UTF-16 text: save it as UTF-8")
    for magic, what in FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"{path}: is {what}, which is not read so: save it as CSV")
