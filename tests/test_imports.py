"""Imports point one way, as the design draws them."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "minnet"
STANDARD = set(sys.stdlib_module_names)

# what each module may import of minnet, and of other projects; "lazily" only inside a function
CORE = {"core.softmax", "core.activations", "core.network", "core.optimizers", "core.gradcheck"}
MINNET = {
    "errors": set(),
    "core.__init__": set(),
    "core.softmax": set(),
    "core.activations": set(),
    "core.network": {"core.softmax", "core.activations"},
    "core.optimizers": set(),
    "core.gradcheck": {"core.network"},
    "config": CORE | {"errors"},
    "parallel": {"errors"},
    "batches": CORE | {"parallel"},
    "archive": {"errors"},
    "tables.__init__": set(),
    "tables.cells": {"errors"},
    "tables.mapped": {"errors"},
    "tables.table": {"errors", "tables.cells", "tables.mapped"},
    "tables.stream": {"errors"},
    "tables.text": {"errors", "tables.cells", "tables.table"},
    "tables.arrays": {"errors", "tables.mapped", "tables.table"},
    "tables.svmlight": {"errors", "tables.cells", "tables.mapped", "tables.stream", "tables.table"},
    "tables.formats": {"errors"} | {f"tables.{name}" for name in ("arrays", "stream", "svmlight", "table", "text")},
    "features": {"errors"},
    "datasets": {"config", "errors"},
    "data": CORE
    | {"batches", "config", "datasets", "errors", "features", "parallel"}
    | {f"tables.{name}" for name in ("formats", "mapped", "table")},
    "shard": {"config", "data", "errors", "storage", "tables.formats"},
    "storage": {"archive", "errors"},
    "sizes": CORE,
    "training": CORE | {"batches", "config", "errors", "parallel", "sizes"},
    "experiment": CORE | {"batches", "config", "data", "errors", "features", "parallel", "training"},
    "prediction": CORE
    | {"errors", "features", "storage", "training"}
    | {f"tables.{name}" for name in ("cells", "formats", "mapped", "table")},
    "runs": {"batches", "config", "data", "errors", "experiment", "parallel", "storage", "training"},
    "repeat": {"config", "errors", "runs", "storage"},
    "terminal": {"experiment", "repeat", "runs", "training"},
    "report.__init__": set(),
    "report.folder": {"config", "errors", "repeat"},
    "report.rows": CORE | {"data", "errors", "experiment", "report.folder", "runs", "storage"},
    "report.svg": set(),
    "report.pictures": {"report.folder", "report.rows", "report.svg"},
    "report.page": {"errors", "report.svg", "storage"},
    "report.single": CORE
    | {"config", "errors"}
    | {f"report.{name}" for name in ("folder", "page", "pictures", "rows", "svg")},
    "report.several": {"config", "repeat"} | {f"report.{name}" for name in ("folder", "page", "pictures", "svg")},
    "report.write": {"errors", "storage"} | {f"report.{name}" for name in ("folder", "page", "several", "single")},
    "study.__init__": set(),
    "study.text": set(),
    "study.subject": CORE | {"config", "data", "errors", "experiment", "features", "prediction", "training"},
    "study.step": CORE | {"training", "study.subject", "study.text"},
    "study.mistakes": CORE | {"errors"},
    "study.catches": CORE
    | {"config", "errors", "experiment", "training", "study.mistakes", "study.step", "study.text"},
    "study.check": CORE | {"experiment", "training", "study.text"},
    "study.exercises": CORE | {"study.mistakes"},
    "study.grade": CORE | {"errors", "study.exercises", "study.mistakes", "study.text"},
    "estimator": CORE | {"batches", "config", "errors", "experiment", "features", "storage", "training"},
    "cli": {
        "config",
        "data",
        "errors",
        "experiment",
        "parallel",
        "prediction",
        "repeat",
        "runs",
        "storage",
        "terminal",
        "training",
    }
    | {"study.text"},
    "__init__": CORE | {"errors"},
    "__main__": {"cli"},
}
# modules that are not imported unless someone asks for them
TOP = {"estimator": {"sklearn"}} | {f"report.{name}": {"matplotlib"} for name in ("pictures", "single", "svg")}
LAZILY = {
    "__init__": {"minnet.estimator", "minnet.prediction"},
    "estimator": {"scipy", "tqdm"},
    "tables.svmlight": {"sklearn"},
    "features": {"sklearn"},
    "datasets": {"sklearn"},
    "data": {"sklearn", "scipy"},
    "training": {"threadpoolctl"},
    "runs": {"threadpoolctl"},
    "experiment": {"sklearn", "minnet"},
    "parallel": {"mpi4py"},
    "tables.mapped": {"scipy"},
    "repeat": {"scipy"},
    "report.pictures": {"scipy"},
    "report.write": {"minnet"},
    "cli": {
        "tqdm",
        "minnet",
        "minnet.report.write",
        "minnet.shard",
        *(f"minnet.study.{name}" for name in ("subject", "step", "catches", "check", "grade")),
    },
}


def imports(module):
    """(imported module, whether at the top) for each import of a module of minnet."""
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            folder = PACKAGE.parent.joinpath(*node.module.split("."))
            for alias in node.names:  # from minnet import config: a module; from minnet import softmax: none
                known = (folder / f"{alias.name}.py").exists()
                yield f"{node.module}.{alias.name}" if known else node.module, id(node) in top


def modules():
    return [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_lies_below_it(module):
    for name, at_top in imports(module):
        inner = name.removeprefix("minnet.")
        package = name.partition(".")[0]
        lazily = name if package == "minnet" else package
        allowed = (
            package in STANDARD
            or package == "numpy"
            or package in TOP.get(module, set())
            or (name.startswith("minnet.") and inner in MINNET[module])
            or (not at_top and lazily in LAZILY.get(module, set()))
        )
        assert allowed, f"minnet/{module} imports {name}"


def test_importing_minnet_loads_neither_scikit_learn_nor_scipy():
    code = "import sys, minnet, minnet.cli; print([m for m in ('sklearn', 'scipy', 'tqdm') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_the_command_line_loads_of_the_study_only_what_prints():
    code = "import sys, minnet.cli; print(sorted(m for m in sys.modules if m.startswith('minnet.study')))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "['minnet.study', 'minnet.study.text']"


def test_every_folder_of_the_package_is_installed_with_it():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("*.py")}
    assert folders | {"minnet.configs"} == set(project["tool"]["setuptools"]["packages"])
