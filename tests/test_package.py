"""What is installed: whole, under a name of its own, and every public name documented."""

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import minnet
from minnet.config import KEYS

ROOT = Path(__file__).resolve().parent.parent
API = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^###? |\Z)", API, re.MULTILINE | re.DOTALL))
CALL = re.compile(r"^minnet\.([\w.]+)(\(.*?\))$", re.MULTILINE | re.DOTALL)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def plain(signature: str) -> str:
    """A signature, whatever its lines and quotes."""
    return ast.unparse(ast.parse(f"def f{signature}: ..."))


def signature(name: str) -> str:
    """The signature of minnet.NAME, or of a method as it is called, without types."""
    thing = minnet
    for part in name.split("."):
        thing = getattr(thing, part)
    found = inspect.signature(thing)
    given = [p.replace(annotation=p.empty) for p in found.parameters.values() if p.name != "self"]
    return str(found.replace(parameters=given, return_annotation=found.empty))


def test_every_public_name_has_a_section():
    assert sorted(SECTIONS) == sorted(minnet.__all__)


@pytest.mark.parametrize("name", minnet.__all__)
def test_a_section_shows_the_signatures_of_today(name):
    shown, thing = dict(CALL.findall(SECTIONS[name])), getattr(minnet, name)
    assert name in shown or issubclass(thing, Exception)
    for called, text in shown.items():
        assert called.split(".")[0] == name
        assert plain(text) == plain(signature(called)), called


def test_the_table_for_those_who_come_names_real_parameters_and_keys():
    rows = [line.split("|")[1:3] for line in API.split("## Coming from")[1].splitlines()[5:]]
    ours, keys = ("\n".join(column) for column in zip(*rows, strict=True))
    known = f"{signature('MLPClassifier')} {signature('MLPClassifier.fit')}"
    assert len(rows) > 20
    assert {*re.findall(r"(\w+)=", ours)} <= {*re.findall(r"(\w+)=", known)}
    assert {*re.findall(r"`(\w+\.(?!npz|csv)\w+)", keys)} <= {*KEYS}


def test_the_package_index_has_another_minnet_so_nothing_tells_to_install_that():
    assert PROJECT["project"]["name"] != "minnet"
    texts = [
        path for room in ("*.md", "docs/**/*.md", "minnet/**/*.py") for path in ROOT.glob(room)
    ]
    assert len(texts) > 50
    for path in texts:
        found = re.search(r"pip install (-\S+ )*.?minnet\b(?!-)", path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found[0]}"


def test_the_wheel_has_all_files_of_the_package():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["minnet"]
    package = ROOT / "minnet"
    taken = {path for pattern in patterns for path in package.glob(pattern)}
    files = {path for path in package.rglob("*.*") if path.is_file() and path.suffix != ".pyc"}
    assert files - taken == {*package.rglob("*.py")}
