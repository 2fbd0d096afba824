"""What every command that writes has in common: nothing is lost that was not named."""

import ast
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from running import ROOT, command, files, train, write_rows

from minnet import data
from minnet.config import DataConfig
from minnet.errors import MinnetError

OUT = ["predict", "run", "own.csv", "--overwrite", "--out"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a run in `run` and its rows in own.csv."""
    monkeypatch.chdir(tmp_path)
    write_rows()
    assert train("own.toml", "--out", "run", "--quiet").code == 0
    return tmp_path


def test_overwriting_goes_through_links_and_keeps_the_mode():
    Path("private").write_text("old")
    Path("private").chmod(0o600)
    Path("link").symlink_to("private")
    Path("dangling").symlink_to("new")
    for name in ("link", "dangling"):
        assert command(*OUT, name).code == 0
        assert Path(name).is_symlink()
    assert Path("private").read_bytes() == Path("new").read_bytes() != b"old"
    assert stat.S_IMODE(Path("private").stat().st_mode) == 0o600


def test_what_is_no_file_is_refused_in_a_line_and_stays():
    os.mkfifo("pipe")
    Path("null").symlink_to("/dev/null")
    Path("folder").mkdir()
    for name in ("pipe", "null", "folder", "."):
        said = command(*OUT, name).refusal()
        assert said == f"{name}: is a folder, pipe or device: choose another name"
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


@pytest.mark.parametrize("repeat", ["[]", '{"runs": 2}', "no JSON"])
@pytest.mark.parametrize("config", ["", "[data]\nsource = 'wine'\n"])
def test_a_folder_with_a_config_of_somebody_else_is_not_taken_for_a_run(config, repeat):
    Path("foreign/seed-2024").mkdir(parents=True)
    for name in ("config.toml", "result.json", "seed-2024/metrics.csv", "seed-2024/config.toml"):
        Path("foreign", name).write_text(config)
    Path("foreign/repeat.json").write_text(repeat)
    before = files("foreign")
    for arguments in ([], ["--repeat", "2"]):
        said = train("own.toml", *arguments, "--out", "foreign", "--overwrite").refusal(2)
        assert said == "foreign: holds other files and no run; choose another folder"
    assert files("foreign") == before


def shard(source: str, folder: str) -> tuple[int, int] | str:
    """N and D, or what is said of a failure."""
    try:
        return data.shard(DataConfig(source, "label"), Path(folder), "float64")
    except MinnetError as error:
        return str(error)


def test_of_two_that_shard_into_a_folder_one_is_told_so_and_the_other_is_whole():
    Path("other.csv").write_text("a,b,label\n" + "1,2,x\n3,4,y\n" * 3000)
    with ThreadPoolExecutor(2) as pool:
        for i in range(20):
            sources, folder = ("own.csv", "other.csv"), f"s{i}"
            answers = list(pool.map(shard, sources, (folder, folder)))
            (done,) = [answer for answer in answers if isinstance(answer, tuple)]
            (said,) = [answer for answer in answers if isinstance(answer, str)]
            assert said.startswith(f"{folder}: ") and ("in use" in said or "not an empty" in said)
            assert done == ((120, 2) if answers[0] == done else (6000, 2))
            assert len(np.load(f"{folder}/y.npy")) == len(np.load(f"{folder}/X.npy")) == done[0]
            assert files(folder).keys() == {"X.npy", "y.npy", "names.npy"}


def test_a_shard_that_fails_leaves_alone_what_another_made():
    assert command("shard", "own.csv", "made").code == 0
    before = files("made")
    Path("bad.csv").write_text("a,label\n1,x\nword,y\n")
    for source in ("bad.csv", "own.csv", "no.csv"):
        assert command("shard", source, "made").code in (1, 2)
        assert files("made") == before


WRITES = {"write_text", "write_bytes", "touch", "savez", "savetxt", "tofile", "to_csv", "np.save"}


def writes(path: Path) -> list[str]:
    """The calls in a file of Python that may open a path for writing."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            words = [word.value for word in node.args if isinstance(word, ast.Constant)]
            modes = [word for word in words if isinstance(word, str) and {*word} <= {*"rwxab+t"}]
            opens = called.endswith("open") and any({*mode} & {*"wxa+"} for mode in modes)
            if opens or {called, called.rpartition(".")[2]} & WRITES:
                found.append(called)
    return found


def test_only_files_py_opens_a_path_for_writing():
    packages = (ROOT / "minnet").rglob("*.py")
    found = {str(path.relative_to(ROOT)): calls for path in packages if (calls := writes(path))}
    assert "np.save" in found.pop("minnet/files.py")
    assert found == {"minnet/data/frames.py": ["sheet.map(_written).to_csv"]}  # into memory
