"""Imports point one way, as the design draws them."""

import ast
import subprocess
import sys
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
    "batches": CORE,
    "data": CORE | {"batches", "config", "errors"},
    "storage": CORE | {"errors"},
    "training": CORE | {"batches", "config", "errors"},
    "experiment": CORE | {"batches", "config", "data", "training", "errors"},
    "terminal": {"experiment", "training"},
    "cli": {"config", "errors", "experiment", "storage", "terminal", "training"},
    "__init__": CORE | {"errors"},
    "__main__": {"cli"},
}
LAZILY = {
    "data": {"sklearn"},
    "training": {"threadpoolctl"},
    "experiment": {"sklearn", "minnet"},
    "cli": {"tqdm", "minnet"},
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
            name = node.module
            if name == "minnet":  # from minnet import config
                for alias in node.names:
                    known = (PACKAGE / f"{alias.name}.py").exists()
                    yield f"minnet.{alias.name}" if known else "minnet", id(node) in top
            else:
                yield name, id(node) in top


def modules():
    return [".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_lies_below_it(module):
    for name, at_top in imports(module):
        inner = name.removeprefix("minnet.")
        package = name.partition(".")[0]
        allowed = (
            package in STANDARD
            or package == "numpy"
            or (name.startswith("minnet.") and inner in MINNET[module])
            or (not at_top and package in LAZILY.get(module, set()))
        )
        assert allowed, f"minnet/{module} imports {name}"


def test_importing_minnet_loads_neither_scikit_learn_nor_scipy():
    code = "import sys, minnet, minnet.cli; print([m for m in ('sklearn', 'scipy', 'tqdm') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
