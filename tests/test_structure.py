"""The house: rooms whose imports point one way, small enough to read, installed whole."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minnet

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "minnet"
# A room is a folder or a file of the package; each may import the rooms to its left.
ROOMS = (
    *(
        "errors",
        "core",
        "metrics",
        "files",
        "config",
        "distributed",
        "data",
        "training",
        "model",
        "runs",
    ),
    *("estimator", "pipelines", "onnx", "sweep", "study", "report", "console", "cli"),
)
DOORS = {"__init__", "__main__"}  # which import what they open on
# What a room may import at the top of a file beside NumPy and the standard library; inside a
# function anything, as it is then needed.
OUTSIDE = {"estimator": {"sklearn"}, "pipelines": {"sklearn"}, "report": {"matplotlib"}}
ONLY_IN = {"mpi4py": "distributed", "matplotlib": "report", "onnx": "onnx", "skl2onnx": "onnx"}
FLOORS, ARROWS = 9, 90
STUDY = "from minnet import cli; cli.main(['--help']); cli.main(['study'])"


def imports():
    """(room, imported module, whether at the top of the file) for each import in the package."""
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield room, alias.name, node in tree.body
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative imports hide the direction"
                for alias in node.names:
                    yield room, f"{node.module}.{alias.name}", node in tree.body


def arrows():
    """{room: the rooms that it imports}"""
    found = {room: set() for room in ROOMS}
    for room, name, _ in imports():
        parts = name.split(".")
        if room not in DOORS and parts[0] == "minnet" and parts[-1] != "minnet":
            found[room] |= {parts[1]} & {*ROOMS} - {room}
    return found


def test_every_file_belongs_to_a_room():
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))}
    assert files | folders == {*ROOMS} | DOORS


def test_imports_point_down():
    for place, (room, below) in enumerate(arrows().items()):
        upwards = below - set(ROOMS[:place])
        assert not upwards, f"{room} imports {upwards}, which stand above it"


def test_the_house_has_few_floors_and_few_arrows():
    below, floor = arrows(), {}
    for room in ROOMS:
        floor[room] = 1 + max((floor[other] for other in below[room]), default=0)
    assert max(floor.values()) <= FLOORS, floor
    assert sum(map(len, below.values())) <= ARROWS


def test_only_numpy_is_imported_at_the_top():
    for room, name, at_top in imports():
        project = name.partition(".")[0]
        known = project in sys.stdlib_module_names or project in ("numpy", "minnet")
        assert known or not at_top or project in OUTSIDE.get(room, ()), f"{room} imports {name}"
        assert ONLY_IN.get(project, room) == room, f"{room} imports {name}"


def test_core_is_numpy_alone():
    projects = {name.partition(".")[0] for room, name, _ in imports() if room == "core"}
    assert projects - sys.stdlib_module_names == {"numpy", "minnet"}
    assert arrows()["core"] == set()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import minnet", ("sklearn", "scipy", "tqdm", "minnet.config", "minnet.cli")),
        (STUDY, ("sklearn", "scipy", "tqdm", "matplotlib", "minnet.study.grade")),
    ],
)
def test_starting_and_studying_the_friendly_net_load_little(code, absent):
    code += f"; import sys; print([name for name in {absent} if name in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert printed.splitlines()[-1] == b"[]"


def test_the_package_lists_its_public_names():
    assert dir(minnet) == sorted(minnet.__all__)
    for name in minnet.__all__:
        assert getattr(minnet, name).__doc__
