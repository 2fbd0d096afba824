"""Model files give back what was written, or one line that says why not; never anything else."""

import functools
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory import traced_memory

from minnet import archive
from minnet.archive import DTYPES, encode, load
from minnet.errors import ModelFileError

MODEL, CHECKPOINT = archive.FORMATS
ARRAYS = {"theta": np.arange(6, dtype=np.float32), "center": np.array(0.5), "seen": np.array([[True], [False]])}
MANIFEST = {"layer_sizes": [2, 2], "classes": ["é", "b"], "loss": 0.1}
MB = 2**20


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def written(arrays=ARRAYS, manifest=MANIFEST, format=MODEL) -> bytes:
    return b"".join(encode(format, arrays, manifest))


def loaded(content: bytes, format=MODEL):
    Path("model.npz").unlink(missing_ok=True)
    Path("model.npz").write_bytes(content)
    return load(Path("model.npz"), format)


def refused(path="model.npz", content: bytes | None = None, format=MODEL) -> str:
    """Why a file is not loaded: one line, which names the file; that name left out."""
    if content is not None:
        Path(path).unlink(missing_ok=True)  # some file systems wait for the disk when a file is cut to nothing
        Path(path).write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load(Path(path), format)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    assert said.isprintable()
    assert len(said) < 400
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


def assert_same(result, arrays=ARRAYS, manifest=MANIFEST) -> None:
    assert result[0].keys() == arrays.keys()
    for name, array in arrays.items():
        assert result[0][name].tobytes() == array.tobytes()  # -0.0 is not 0.0
        assert result[0][name].dtype == array.dtype
        assert result[0][name].shape == array.shape
    assert result[1] == manifest


# What is written is read


@pytest.mark.parametrize(
    "shape", [(), (0,), (0, 3), (1,), (7,), (2, 3, 4), (1,) * 64], ids=lambda shape: str(shape)[:20]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_of_every_dtype_and_shape_comes_back_as_it_was(dtype, shape):
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    assert_same(loaded(written({"a": array}, {})), {"a": array}, {})


def test_the_outermost_numbers_come_back_as_they_were():
    info = np.finfo(np.float32)
    floats = np.array([info.max, info.min, info.smallest_subnormal, -0.0], np.float32)
    arrays = {"floats": floats, "integers": np.array([2**63 - 1, -(2**63)])}
    manifest = {"state": 2**128 - 1, "loss": 5e-324, "zero": -0.0, "none": None, "yes": True, "surrogate": "\ud800"}
    assert_same(loaded(written(arrays, manifest)), arrays, manifest)


def test_a_file_with_no_arrays_and_no_entries_comes_back():
    assert loaded(written({}, {})) == ({}, {})


def test_loaded_arrays_are_writable_and_of_their_own_memory():
    arrays, _ = loaded(written())
    for array in arrays.values():
        assert array.flags.writeable
        assert array.flags.owndata
        assert array.flags.c_contiguous


@pytest.mark.parametrize(
    "array", [np.arange(6, dtype=">f4"), np.arange(12.0)[::2], np.asfortranarray(np.arange(6).reshape(2, 3))], ids=repr
)
def test_another_byte_order_or_memory_order_is_converted_and_keeps_its_numbers(array):
    result = loaded(written({"a": array}))[0]["a"]
    np.testing.assert_array_equal(result, array)
    assert result.dtype.isnative


def test_keys_that_are_numbers_become_text_as_json_has_them():
    assert loaded(written({}, {"counts": {2: 1, 10: 2}}))[1] == {"counts": {"2": 1, "10": 2}}


def test_pieces_are_views_of_the_arrays():
    array = np.zeros(1000)
    assert any(np.shares_memory(array, np.frombuffer(piece, np.uint8)) for piece in encode(MODEL, {"a": array}, {}))


def test_a_symbolic_link_is_followed():
    Path("other").write_bytes(written())
    Path("link.npz").symlink_to("other")
    assert_same(load(Path("link.npz"), MODEL))


# The same content is the same bytes, and they are an .npz


def test_the_same_content_gives_the_same_bytes_in_any_order_and_at_any_time(monkeypatch):
    first = written()
    monkeypatch.setattr("time.localtime", lambda *_: (2040, 1, 2, 3, 4, 5, 0, 2, 0))
    assert written(dict(reversed(ARRAYS.items())), dict(reversed(MANIFEST.items()))) == first


@pytest.mark.parametrize("seed", ["0", "1"])
def test_the_same_content_gives_the_same_bytes_in_other_processes(seed):
    code = (
        "import hashlib, numpy as np; from minnet.archive import encode;"
        "arrays = {name: np.arange(5.0) for name in ('theta', 'a', 'center', 'scale')};"
        "manifest = {name: [1, None, 'é'] for name in ('x', 'y', 'classes')};"
        "print(hashlib.sha256(b''.join(encode('minnet model', arrays, manifest))).hexdigest())"
    )
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    said = run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}).stdout.strip()
    arrays = {name: np.arange(5.0) for name in ("theta", "a", "center", "scale")}
    manifest = {name: [1, None, "é"] for name in ("x", "y", "classes")}
    assert said == hashlib.sha256(written(arrays, manifest)).hexdigest()


def test_the_layout_of_version_2_is_that_of_the_files_already_written():
    """A change of a byte here makes every file that users have unreadable: it takes a new version."""
    assert hashlib.sha256(written()).hexdigest() == "875cc3bff7937f41914a87dc49184b32b8f29e3da7aab10bb850eb2d23a96618"


def test_any_other_content_gives_other_bytes():
    others = [
        written(ARRAYS | {"theta": ARRAYS["theta"] + 1}),
        written(ARRAYS | {"theta": ARRAYS["theta"].view(np.int32)}),
        written(ARRAYS | {"theta": ARRAYS["theta"].reshape(2, 3)}),
        written(ARRAYS | {"more": np.zeros(0)}),
        written(ARRAYS, MANIFEST | {"loss": 0.2}),
        written(format=CHECKPOINT),
    ]
    assert len({written(), *others}) == 1 + len(others)


def test_numpy_reads_the_file_without_pickle():
    Path("model.npz").write_bytes(written())
    with np.load("model.npz", allow_pickle=False) as file:
        assert file.files == ["manifest", *sorted(ARRAYS)]
        assert_same(({name: file[name] for name in ARRAYS}, MANIFEST))


def test_zip_programs_find_every_member_whole_and_in_its_place():
    content = written()
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        assert {info.compress_type for info in file.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for info in file.infolist():
            assert content[info.header_offset :].startswith(b"PK\3\4")


@pytest.mark.parametrize("shape", [(), (0,), (3,), (10**6, 10**6), (1,) * 64], ids=lambda shape: str(shape)[:20])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_understands_the_header_of_every_dtype_and_shape(dtype, shape):
    header = archive._npy_header(dtype, shape)
    assert len(header) % 64 == 0
    file = io.BytesIO(header)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == (shape, False, np.dtype(dtype))
    assert file.tell() == len(header)


def test_zipfile_understands_the_headers_of_members_beyond_4_gb():
    size, offset = 5 * 2**32, 6 * 2**32
    directory = archive._directory_entry("theta", 0, size, offset)
    with Path("large.npz").open("wb") as file:  # a sparse file: it takes no room
        file.seek(offset)
        file.write(archive._member_header("theta", 0, size))
        file.seek(size, os.SEEK_CUR)
        file.write(directory + archive._directory_end(1, len(directory), file.tell()))
    with zipfile.ZipFile("large.npz") as file:
        (info,) = file.infolist()
        assert (info.filename, info.file_size, info.compress_size, info.header_offset) == (
            "theta.npy", size, size, offset,
        )  # fmt: skip
        assert file.open(info).read(10) == bytes(10)


def test_the_lines_of_the_docstring_read_and_check_a_file():
    Path("model.npz").write_bytes(written())
    lines = textwrap.dedent(archive.__doc__[archive.__doc__.index("    with np.load") :].split("\n\n")[0])
    names = {"np": np, "json": json, "hashlib": hashlib}
    exec(lines, names)
    assert_same((names["arrays"], {key: value for key, value in names["manifest"].items() if key in MANIFEST}))
    Path("model.npz").write_bytes(forged(members=members(theta=ARRAYS["theta"] + 1)))
    with pytest.raises(AssertionError):
        exec(lines, names)


# What no file may hold is not written


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"a": np.array([1.0, np.nan])}, "the array a has a number that is not finite"),
        ({"a": np.array(np.inf, np.float32)}, "the array a has a number that is not finite"),
        ({"a": np.full((2, 2), -np.inf, np.float16)}, "the array a has a number that is not finite"),
        (
            {"a": np.array([2**31 - 2**23 + 1], np.uint32).view(np.float32)},
            "the array a has a number that is not finite",
        ),
        ({"a": np.array([2], np.uint8).view(bool)}, "the array a has a bool that is neither true nor false"),
        ({"a": np.array([None])}, "the array a has the dtype object"),
        ({"a": np.array(["text"])}, "the array a has the dtype <U4"),
        ({"a": np.array([1j])}, "the array a has the dtype complex128"),
        ({"a": np.zeros(2, "f4,i4")}, "the array a has the dtype "),
        ({"a": np.array(["2020-01-01"], "M8[D]")}, "the array a has the dtype datetime64"),
        ({"manifest": np.zeros(1)}, "no array may have the name 'manifest'"),
        ({"../a": np.zeros(1)}, "no array may have the name '../a'"),
        ({"a.npy": np.zeros(1)}, "no array may have the name 'a.npy'"),
        ({"": np.zeros(1)}, "no array may have the name ''"),
        ({"é": np.zeros(1)}, r"no array may have the name '\\xe9'"),
    ],
)
def test_an_array_that_could_not_be_read_is_not_written(arrays, why):
    with pytest.raises(ValueError, match=f"^{why}"):
        encode(MODEL, arrays, {})


@pytest.mark.parametrize("entry", [{name: 1} for name in sorted(archive.RESERVED)] + [{"x": np.nan}], ids=str)
def test_an_entry_that_could_not_be_read_is_not_written(entry):
    with pytest.raises(ValueError, match=r"^(the format is none|Out of range)"):
        encode(MODEL, {}, entry)


def test_a_manifest_too_large_to_be_read_is_not_written(monkeypatch):
    monkeypatch.setattr(archive, "MANIFEST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"^the manifest is larger than 1000 bytes"):
        encode(MODEL, {}, {"x": "y" * 1000})


def test_a_file_of_another_format_is_not_written():
    with pytest.raises(ValueError, match=r"^the format is none of minnet's"):
        encode("minnet", {}, {})


# Damage


def test_every_flip_of_a_single_bit_is_noticed():
    content, bits = bytearray(written()), 0
    with Path("model.npz").open("wb+", buffering=0) as file:
        file.write(content)
        for place in range(len(content)):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([content[place] ^ 1 << bit]), place)
                assert refused().startswith(("is damaged or was changed (", "is no file of minnet, or damaged;"))
                bits += 1
            os.pwrite(file.fileno(), content[place : place + 1], place)
    assert_same(load(Path("model.npz"), MODEL))
    assert bits == 8 * len(content) > 10_000


def test_every_truncation_is_noticed():
    content = written()
    for size in range(len(content)):
        refused(content=content[:size])


def test_every_missing_byte_is_noticed():
    content = written()
    for place in range(len(content)):
        refused(content=content[:place] + content[place + 1 :])


@pytest.mark.parametrize("extra", [b"\0", b"\n", b"PK", bytes(1000), written()], ids=len)
def test_bytes_before_or_after_are_noticed(extra):
    assert "more follows its end" in refused(content=written() + extra)
    assert refused(content=extra + written()).startswith(("is no file of minnet", "is damaged"))


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "delete", "swap", "repeat"]),
        st.integers(0, len(written())),
        st.integers(0, len(written())),
        st.binary(max_size=20),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=1000)
@given(edits=EDITS)
def test_a_file_with_random_edits_gives_its_content_or_an_error(edits, tmp_path_factory):
    content = bytearray(written())
    for kind, a, b, more in edits:
        a, b = min(a, len(content)), min(b, len(content))
        a, b = min(a, b), max(a, b)
        if kind == "replace":
            content[a : a + len(more)] = more
        elif kind == "insert":
            content[a:a] = more
        elif kind == "delete":
            del content[a : a + len(more)]
        elif kind == "swap":
            content[a:] = content[b:] + content[a:b]
        else:
            content[a:a] = content[a:b]
    if content == written():
        assert_same(loaded(bytes(content)))
    else:
        refused(content=bytes(content))


# Files made to deceive: zip, .npy headers and checksums are right, and something else is not


def forged(change=None, arrays=ARRAYS, members=None) -> bytes:
    """A file with a change to its manifest, and then the right digest; or with other members than it declares."""
    arrays = dict(sorted(arrays.items()))
    declared = {name: {"dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()}
    manifest = {**MANIFEST, "format": MODEL, "version": archive.VERSION, "arrays": declared} | (change or {})
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(array.tobytes())
    text = json.dumps({"sha256": digest.hexdigest()} | manifest, sort_keys=True).encode()
    return packed(text, list(arrays.items()) if members is None else members)


def packed(text: bytes, members=()) -> bytes:
    """A file of (name, array) pairs behind a manifest that may be any text."""
    content, directory = b"", b""
    for name, array in [("manifest", np.frombuffer(text, np.uint8)), *members]:
        data = archive._npy_header(array.dtype.str, array.shape) + array.tobytes()
        directory += archive._directory_entry(name, zlib.crc32(data), len(data), len(content))
        content += archive._member_header(name, zlib.crc32(data), len(data)) + data
    return content + directory + archive._directory_end(len(members) + 1, len(directory), len(content))


def declaring(**theta):
    """A change to what the manifest declares of theta."""
    right = json.loads(np.load(io.BytesIO(written()))["manifest"].tobytes())["arrays"]
    return {"arrays": right | {"theta": right["theta"] | theta}}


def members(**changes):
    """The arrays as members, sorted by name; one that is changed to None is left out."""
    arrays = ARRAYS | changes
    return [(name, array) for name, array in sorted(arrays.items()) if array is not None]


def test_a_forged_file_without_a_change_is_a_right_one():
    assert forged() == written()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (forged(members=members(theta=None)), ""),
        (forged(members=members(center=None)), ""),
        (forged(members=members(more=np.zeros(3))), "it does not match its checksums"),
        (forged(members=[*members(), *members()]), "it does not match its checksums"),
        (forged(members=[*members(), ("manifest", np.zeros(3, np.uint8))]), "it does not match its checksums"),
        (forged(members=members()[::-1]), ""),
        (forged(members=members(theta=np.ones(6, np.float32))), "it does not match its checksums"),
        (forged(members=members(theta=np.zeros((2, 3), np.float32))), "it does not match its checksums"),
        (forged(members=members(theta=np.zeros(6, np.int32))), "it does not match its checksums"),
        (forged(members=members(theta=np.zeros(6, ">f4"))), "it does not match its checksums"),
        (forged(members=members(theta=np.asfortranarray(np.zeros((2, 3))))), "it does not match its checksums"),
        (forged({"sha256": 64 * "0"}), "it does not match its checksums"),
        (forged({"sha256": None}), "it does not match its checksums"),
        (forged({"loss": 0.2, "sha256": 64 * "0"}), "it does not match its checksums"),
        (forged(arrays=ARRAYS | {"theta": np.array([1, np.nan])}), "the array theta has a number that is not finite"),
        (forged(arrays=ARRAYS | {"theta": np.array(-np.inf)}), "the array theta has a number that is not finite"),
        (forged(arrays={"seen": np.array([2], np.uint8).view(bool)}), "the array seen has a bool that is neither"),
        (forged(arrays={"a": np.array([1], ">f4")}), "an array has a dtype or shape that no file may hold"),
        (forged(arrays={"a": np.array(["text"])}), "an array has a dtype or shape that no file may hold"),
        (forged(arrays={"a": np.array([1j])}), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype="|O")), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype="=f4")), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype=["<f4"])), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype={"a": 1})), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype=None)), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(dtype="<f8")), ""),
        (forged(declaring(dtype="<i4")), "it does not match its checksums"),
        (forged(declaring(shape=[2, 3])), "it does not match its checksums"),
        (forged(declaring(shape=[5])), "it does not match its checksums"),
        (forged(declaring(shape=[-6])), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=[6.0])), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=[True])), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=[[6]])), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=[1] * 65)), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=[0] * 100_000)), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape="6")), "an array has a dtype or shape that no file may hold"),
        (forged(declaring(shape=None)), ""),
        (forged(declaring(shape=[0, 2**62])), ""),
        (forged(declaring(more=1)), "it does not match its checksums"),
        (forged({"arrays": None}), ""),
        (forged({"arrays": []}), ""),
        (forged({"arrays": {}}), "it does not match its checksums"),
        (forged({"arrays": {"theta": None}}), ""),
        (forged(arrays={"../a": np.zeros(1)}), "no array may have the name '../a'"),
        (forged(arrays={"manifest": np.zeros(1)}), "no array may have the name 'manifest'"),
        (forged(arrays={"a\nb\x1b": np.zeros(1)}), r"no array may have the name 'a\nb\x1b'"),
        (forged(arrays={"a" * 60_000: np.zeros(1)}), "no array may have the name 'aaa"),
        (forged({"format": "minnet"}), "its format is none of minnet's"),
        (forged({"format": "minnet\nmodel"}), "its format is none of minnet's"),
        (forged({"format": [MODEL]}), "its format is none of minnet's"),
        (forged({"version": 0}), "it has no version"),
        (forged({"version": -1}), "it has no version"),
        (forged({"version": True}), "it has no version"),
        (forged({"version": "2"}), "it has no version"),
        (forged({"version": 2.0}), "it has no version"),
        (forged({"version": 10**4000}), "it has no version"),
    ],
)
def test_a_file_that_contradicts_itself_is_damaged_or_was_changed(content, why):
    said = refused(content=content)
    assert said.startswith(f"is damaged or was changed ({why}")
    assert said.endswith("); use a copy of it, or train again")


MANIFEST_TEXT = np.load(io.BytesIO(forged()))["manifest"].tobytes()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"2",
        b'"minnet model"',
        b"[" * 10**6,
        b"[" * 10**6 + b"]" * 10**6,
        b'{"a":' * 10**6,
        MANIFEST_TEXT[:-1],
        MANIFEST_TEXT + b" ",
        MANIFEST_TEXT + b"{}",
        b"\xef\xbb\xbf" + MANIFEST_TEXT,
        MANIFEST_TEXT.decode().encode("utf-16"),
        MANIFEST_TEXT.replace(b"0.1", b"NaN"),
        MANIFEST_TEXT.replace(b"0.1", b"-Infinity"),
        MANIFEST_TEXT.replace(b"0.1", b"1e999"),
        MANIFEST_TEXT.replace(b"0.1", b"0.10"),
        MANIFEST_TEXT.replace(b"0.1", b"1" * 5000),
        MANIFEST_TEXT.replace(b"0.1", b"[" * 10**5 + b"]" * 10**5),
        MANIFEST_TEXT.replace(b"[6]", b"[" + b"1" * 5000 + b"]"),
        MANIFEST_TEXT.replace(b'"loss"', b'"classes": [], "loss"'),
        MANIFEST_TEXT.replace(b'"loss"', b'"layer_sizes": [2, 2], "loss"'),
        MANIFEST_TEXT.replace(b"\\u00e9", "é".encode()),
        MANIFEST_TEXT.replace(b"\\u00e9", b"\xe9"),
        MANIFEST_TEXT.replace(b"\\u00e9", b"\n"),
        MANIFEST_TEXT.replace(b": ", b":"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_manifest_that_is_not_the_json_that_was_written_is_refused(text):
    assert refused(content=packed(text, members())).startswith("is damaged or was changed (")


@pytest.mark.parametrize("text", [b"null", b"[]", b"2", b'"minnet model"'], ids=repr)
def test_a_manifest_that_is_no_object_is_told(text):
    assert "(its manifest is no object)" in refused(content=packed(text))


def test_a_manifest_too_large_is_not_read(monkeypatch):
    content = written(manifest={"x": "y" * 5 * MB})
    assert loaded(content)[1] == {"x": "y" * 5 * MB}
    monkeypatch.setattr(archive, "MANIFEST_BYTES", 4 * MB)
    with traced_memory() as risen:
        assert "its manifest is too large" in refused()
        assert risen() < MB


@pytest.mark.parametrize("length", [2**25, 2**26, 2**32, 2**40, 2**64 - 1])
def test_a_manifest_larger_than_the_file_is_not_read(length):
    content = archive._member_header("manifest", 0, length) + written()
    with traced_memory() as risen:
        assert "its manifest is too large" in refused(content=content)
        assert risen() < MB


def test_a_pickle_is_refused_and_not_run():
    class Harmful:
        def __reduce__(self):
            return Path.touch, (Path("harm"),)

    why = "is no file of minnet, or damaged; name a run's model.npz"
    assert refused(content=pickle.dumps(Harmful())) == why
    np.savez("theta.npz", manifest=np.frombuffer(MANIFEST_TEXT, np.uint8), theta=np.array([Harmful()]))
    refused("theta.npz")
    np.savez("manifest.npz", manifest=np.array([Harmful()]))
    refused("manifest.npz")
    assert not Path("harm").exists()
    pickle.loads(pickle.dumps(Harmful()))
    assert Path("harm").exists()  # so it would have been


@pytest.mark.parametrize("n", [100, 2**30, 2**40, 2**62, 2**63, 10**30])
def test_arrays_larger_than_the_file_are_not_made(n):
    content = forged(declaring(shape=[n]))
    with traced_memory() as risen:
        assert refused(content=content).startswith("is damaged or was changed (")
        assert risen() < MB


def test_a_bomb_of_compressed_members_is_not_read():
    np.savez_compressed("model.npz", manifest=np.frombuffer(MANIFEST_TEXT, np.uint8), theta=np.zeros(50 * MB, np.uint8))
    assert Path("model.npz").stat().st_size < MB
    with traced_memory() as risen:
        assert refused().startswith("is no file of minnet")
        assert risen() < MB


# Files of another kind


def test_an_array_file_of_somebody_else_is_no_file_of_minnet():
    np.savez("data.npz", X=np.zeros((3, 2)), y=np.zeros(3))
    assert refused("data.npz") == "is no file of minnet, or damaged; name a run's model.npz"


@pytest.mark.parametrize("content", [b"\0", b"a,b\n1,2\n", b"PK\3\4", b"PK\5\6" + bytes(18), bytes(10_000)])
def test_other_content_is_no_file_of_minnet(content):
    assert refused(content=content) == "is no file of minnet, or damaged; name a run's model.npz"


def test_a_file_that_numpy_wrote_again_is_refused_though_its_content_is_the_same():
    with np.load(io.BytesIO(written())) as file:
        np.savez("model.npz", **file)
    assert refused().startswith("is damaged or was changed (")


def test_a_checkpoint_is_not_loaded_as_a_model_nor_a_model_as_a_checkpoint():
    said = refused(content=written(format=CHECKPOINT), format=MODEL)
    assert said == "is a minnet checkpoint, not a minnet model; name a run's model.npz"
    said = refused(content=written(format=MODEL), format=CHECKPOINT)
    assert said == "is a minnet model, not a minnet checkpoint; name a run's checkpoint.npz"
    assert_same(loaded(written(format=CHECKPOINT), CHECKPOINT))


@pytest.mark.parametrize("change", [{"version": 3}, {"version": 3, "format": "minnet forest", "arrays": 7}])
def test_a_file_of_a_later_version_asks_for_a_newer_minnet(change):
    assert refused(content=forged(change)) == "was written by a newer minnet (version 3); update minnet"


def test_a_file_of_version_1_says_that_it_is_old():
    manifest = json.dumps(MANIFEST | {"format": MODEL, "version": 1}, ensure_ascii=False, sort_keys=True).encode()
    np.savez("model.npz", manifest=np.frombuffer(manifest, np.uint8), **ARRAYS)
    assert refused() == "was written by an older minnet (version 1), and cannot be read; train again"


# Files that cannot be read


def test_an_empty_file_is_named():
    assert refused(content=b"") == "is empty; name a run's model.npz"


def test_a_missing_file_is_named():
    assert refused("no/model.npz") == "cannot be read: No such file or directory"


def test_a_folder_is_named():
    Path("run").mkdir()
    assert refused("run", format=CHECKPOINT) == "is a folder; name a run's checkpoint.npz"


def test_a_pipe_is_not_waited_for():
    os.mkfifo("pipe")
    assert refused("pipe") == "is no file; name a run's model.npz"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs such a device")
def test_a_device_is_not_read():
    assert refused("/dev/zero") == "is no file; name a run's model.npz"


def test_a_link_to_itself_is_named():
    Path("loop").symlink_to("loop")
    assert refused("loop").startswith("cannot be read: Too many levels")


def failing(error):
    def fail(*_args, **_options):
        raise error

    return fail


def test_a_file_that_may_not_be_read_is_named(monkeypatch):
    Path("model.npz").write_bytes(written())
    monkeypatch.setattr(Path, "open", failing(PermissionError(13, "Permission denied")))
    assert refused() == "cannot be read: Permission denied"


@pytest.mark.parametrize("path", ["two\nlines", "escape\x1b[31m", os.fsdecode(b"no text \xff"), "nul\0"])
def test_a_name_that_would_spoil_the_line_is_written_out(path):
    with pytest.raises(ModelFileError) as caught:
        load(Path(path), MODEL)
    assert str(caught.value).startswith(f"{path!a}: ")
    assert str(caught.value).isprintable()


def test_a_file_larger_than_memory_is_refused_before_it_is_read():
    n = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    with Path("model.npz").open("wb") as file:  # a sparse file: it takes no room
        file.write(forged(declaring(shape=[n])))
        file.truncate(4 * n + 10_000)
    with traced_memory() as risen:
        assert refused().endswith(" GB; use a larger machine")
        assert risen() < MB


def test_arrays_that_memory_has_no_room_for_are_refused(monkeypatch):
    Path("model.npz").write_bytes(written())
    monkeypatch.setattr(np, "empty", failing(MemoryError()))
    assert refused() == "does not fit into memory; use a larger machine"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("two\nlines"),
        KeyError("arrays\n"),
        zipfile.BadZipFile("bad"),
        EOFError(),
        zlib.error("x" * 1000),
        NotImplementedError(),
        RuntimeError("\x1b[31m"),
        OSError("no number"),
        OSError(5, "Input/output error"),
        MemoryError(),
        OverflowError(),
        tokenize.TokenError("end", (1, 2)),
        RecursionError("\ud800"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        TypeError(),
        AssertionError(),
    ],
    ids=repr,
)
def test_any_error_ends_in_one_line(error, monkeypatch):
    monkeypatch.setattr(archive, "_decode", failing(error))
    refused(content=written())


def test_an_interrupt_is_not_taken_for_damage(monkeypatch):
    Path("model.npz").write_bytes(written())
    monkeypatch.setattr(archive, "_decode", failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        load(Path("model.npz"), MODEL)


# Memory


def test_a_file_takes_no_memory_to_write_and_its_own_size_to_load():
    arrays = {"theta": np.ones(8 * MB, np.float32), "best": np.ones((MB, 4)), "mask": np.ones(4 * MB, bool)}
    with traced_memory() as risen:
        with Path("model.npz").open("wb") as file:
            file.writelines(encode(MODEL, arrays, MANIFEST))
        assert risen() < MB
        size = Path("model.npz").stat().st_size
        assert size > 64 * MB
        load(Path("model.npz"), MODEL)
        assert risen() < size + 4 * MB


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_a_process_that_loads_a_file_grows_by_its_size():
    with Path("model.npz").open("wb") as file:
        file.writelines(encode(MODEL, {"theta": np.ones(32 * MB, np.float32)}, MANIFEST))
    code = (
        "from pathlib import Path; from minnet.archive import load\n"
        "def peak(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak(); load(Path('model.npz'), 'minnet model'); print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 128 * 1024 < int(run.stdout) < (128 + 16) * 1024
