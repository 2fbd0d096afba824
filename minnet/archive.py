"""Model files and checkpoints: plain arrays and a manifest in one file that no damage gets past.

A file is a zip archive, not compressed, of one .npy file for each array: an .npz as np.savez writes it, without any
pickle. Its first member, manifest.npy, is a uint8 array: the bytes of a JSON object, written by json.dumps with
sort_keys. There the entries of whoever wrote the file stand beside

    "format"    "minnet model" or "minnet checkpoint"
    "version"   2: the layout described here
    "arrays"    {name: {"dtype": "<f4", "shape": [650]}, ...} for all arrays but the manifest
    "sha256"    the digest of the manifest without this entry, and of the bytes of the arrays, sorted by name

and the arrays follow it, sorted by name: bool, integers or floats, little-endian, in C order, every number finite.
NumPy is enough to read a file and to check it:

    with np.load("model.npz", allow_pickle=False) as file:
        manifest = json.loads(file["manifest"].tobytes())
        arrays = {name: file[name] for name in sorted(manifest["arrays"])}
    sha256 = manifest.pop("sha256")
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(array.tobytes())
    assert digest.hexdigest() == sha256

Arrays and manifest determine each byte of the file: the zip and .npy headers, always of the same form (zip64 at any
size, no flags, the first day of 1980, the header padded to a multiple of 64), are made here, as zipfile and NumPy
may come to write theirs another way. So `load` takes little on trust. It finds the arrays where the manifest says,
and is content if `encode` makes of them the very file that was read; whatever else was changed, it shows.

Every later version must begin as this one does, up to the end of manifest.npy, to be told that it is later.
"""

import hashlib
import json
import math
import os
import stat
import struct
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minnet.errors import ModelFileError

FORMATS = ("minnet model", "minnet checkpoint")
VERSION = 2
RESERVED = {"format", "version", "arrays", "sha256"}
DTYPES = ("|b1", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")
MANIFEST_BYTES = 2**26  # once read, JSON can take 40 times its size; no manifest comes near to this
CHUNK_BYTES = 2**20


def encode(format: str, arrays: dict[str, NDArray], manifest: dict[str, Any]) -> list[bytes | memoryview]:
    """The file that holds the arrays and the manifest's entries, in pieces to be written one after the other.

    Pieces are views of the arrays, so write them before an array changes; arrays of another byte order or memory
    order are converted. Raises ValueError for what no file may hold.
    """
    arrays = {name: _storable(name, arrays[name]) for name in sorted(arrays)}
    if format not in FORMATS or RESERVED & manifest.keys():
        raise ValueError("the format is none of minnet's, or an entry has a name that is taken")
    declared = {name: {"dtype": array.dtype.str, "shape": array.shape} for name, array in arrays.items()}
    content = {**manifest, "format": format, "version": VERSION, "arrays": declared}
    content = json.loads(_json(content))  # keys become text, and are then sorted as text: once read, they will be
    digest = hashlib.sha256(_json(content))
    for array in arrays.values():
        digest.update(_bytes(array))
    text = _json(content | {"sha256": digest.hexdigest()})
    if len(text) > MANIFEST_BYTES:
        raise ValueError(f"the manifest is larger than {MANIFEST_BYTES} bytes")

    pieces: list[bytes | memoryview] = []
    directory, offset = b"", 0
    for name, array in {"manifest": np.frombuffer(text, np.uint8), **arrays}.items():
        head, data = _npy_header(array.dtype.str, array.shape), _bytes(array)
        crc, size = zlib.crc32(data, zlib.crc32(head)), len(head) + len(data)
        directory += _directory_entry(name, crc, size, offset)
        pieces += [_member_header(name, crc, size) + head, data]
        offset += len(pieces[-2]) + len(data)
    return [*pieces, directory + _directory_end(len(arrays) + 1, len(directory), offset)]


def load(path: Path, format: str) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """The arrays, new and writable, and the entries of the manifest, as `encode` was given them.

    Takes the memory of the arrays and little more. Raises ModelFileError for anything but a whole file of that format.
    """
    name = _line(str(path))
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # and is not opened: that waits for a writer if it is a pipe
            raise ModelFileError(f"is {'a folder' if stat.S_ISDIR(mode) else 'no file'}; name a run's {_file(format)}")
        with path.open("rb") as file:
            return _decode(file, format)
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from None
    except OSError as error:
        raise ModelFileError(f"{name}: cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise ModelFileError(f"{name}: does not fit into memory; use a larger machine") from None
    except Exception as error:  # damage can raise anything
        why = _line(str(error)[:200])
        raise ModelFileError(f"{name}: is damaged or was changed ({why}); use a copy of it, or train again") from None


def _decode(file: BufferedReader, format: str) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """As `load`, with errors of any kind, and none that names the file."""
    size = os.fstat(file.fileno()).st_size
    manifest = _read_manifest(file, size, format)
    _check_kind(manifest, format)
    declared = {name: _declared(entry) for name, entry in manifest["arrays"].items()}
    if sum(nbytes for *_, nbytes in declared.values()) > size - file.tell():
        raise ValueError("it is shorter than its arrays")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ModelFileError(f"is {size / 1e9:.1f} GB, and the memory here {memory / 1e9:.1f} GB; use a larger machine")

    arrays = {}
    for name, (dtype, shape, _) in declared.items():
        file.seek(len(_member_header(name, 0, 0) + _npy_header(dtype, shape)), os.SEEK_CUR)
        arrays[name] = np.empty(shape, dtype)
        file.readinto(_bytes(arrays[name]))  # where the file ends too early, it will not match

    entries = {key: value for key, value in manifest.items() if key not in RESERVED}
    file.seek(0)
    for piece in encode(format, arrays, entries):
        for start in range(0, len(piece), CHUNK_BYTES):
            chunk = bytes(piece[start : start + CHUNK_BYTES])
            if file.read(len(chunk)) != chunk:
                raise ValueError("it does not match its checksums")
    if file.read(1):
        raise ValueError("more follows its end")
    return arrays, entries


def _read_manifest(file: BufferedReader, size: int, format: str) -> dict[str, Any]:
    """The manifest of a file of any version, whole as its checksum has it, but otherwise unchecked."""
    head = file.read(len(_member_header("manifest", 0, 0)))
    crc, length = struct.unpack_from("<14xI28xQ", head.ljust(54))
    if head != _member_header("manifest", crc, length):
        what = "is empty" if size == 0 else "is no file of minnet, or damaged"
        raise ModelFileError(f"{what}; name a run's {_file(format)}")
    if length > min(size, MANIFEST_BYTES):
        raise ValueError("its manifest is too large")
    content = file.read(length)
    if len(content) < length or zlib.crc32(content) != crc:
        raise ValueError("its manifest does not match its checksum")
    manifest = json.loads(content[10 + int.from_bytes(content[8:10], "little") :])
    if not isinstance(manifest, dict):
        raise ValueError("its manifest is no object")
    return manifest


def _check_kind(manifest: dict[str, Any], format: str) -> None:
    """Raises ModelFileError for another version or format."""
    found, version = manifest.get("format"), manifest.get("version")
    if type(version) is not int or not 0 < version < 10**6:
        raise ValueError("it has no version")
    if version > VERSION:
        raise ModelFileError(f"was written by a newer minnet (version {version}); update minnet")
    if found not in FORMATS:
        raise ValueError("its format is none of minnet's")
    if found != format:
        raise ModelFileError(f"is a {found}, not a {format}; name a run's {_file(format)}")
    if version < VERSION:
        raise ModelFileError(f"was written by an older minnet (version {version}), and cannot be read; train again")


def _declared(entry: dict[str, Any]) -> tuple[str, tuple[int, ...], int]:
    """The dtype, shape and bytes of an array as the manifest declares them."""
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in DTYPES or len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
        raise ValueError("an array has a dtype or shape that no file may hold")
    return dtype, tuple(shape), math.prod(shape) * np.dtype(dtype).itemsize


def _storable(name: str, array: NDArray) -> NDArray:
    """The array as the file holds it. Raises ValueError if a file may not hold it, or not under that name."""
    if name == "manifest" or not (name.isascii() and name.isidentifier() and len(name) <= 100):
        raise ValueError(f"no array may have the name {name[:100]!a}")
    array = np.asarray(array)
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype.str not in DTYPES:
        raise ValueError(f"the array {name} has the dtype {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite([array.min(initial=0), array.max(initial=0)]).all():  # NaN shows too
        raise ValueError(f"the array {name} has a number that is not finite")
    if array.dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError(f"the array {name} has a bool that is neither true nor false")
    return array


def _file(format: str) -> str:
    return format.removeprefix("minnet ") + ".npz"


def _line(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, allow_nan=False).encode()


def _bytes(array: NDArray) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


def _npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


# Of zip, in its specification's order (APPNOTE.TXT): sizes that are all ones refer to those of 64 bits after the name.


def _member_header(name: str, crc: int, size: int) -> bytes:
    file = f"{name}.npy".encode()
    head = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, crc, 2**32 - 1, 2**32 - 1, len(file), 20)
    return head + file + struct.pack("<2H2Q", 1, 16, size, size)


def _directory_entry(name: str, crc: int, size: int, offset: int) -> bytes:
    file, more = f"{name}.npy".encode(), 2**32 - 1
    head = b"PK\1\2" + struct.pack("<6H3I", 0x032D, 45, 0, 0, 0, 33, crc, more, more)  # 0x03: made on Unix,
    head += struct.pack("<5H2I", len(file), 28, 0, 0, 0, 0o100600 << 16, more)  # so these are a mode of Unix
    return head + file + struct.pack("<2H3Q", 1, 24, size, size, offset)


def _directory_end(count: int, size: int, offset: int) -> bytes:
    end = b"PK\6\6" + struct.pack("<Q2H2I4Q", 44, 0x032D, 45, 0, 0, count, count, size, offset)
    end += b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1)
    return end + b"PK\5\6" + struct.pack("<4H2IH", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
