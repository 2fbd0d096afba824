"""The pictures in the README: made by the script, from the shipped configs."""

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["digits_confusion.svg", "moons_regions.svg"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of a fresh drawing."""
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("pictures")
    module.main(folder)
    return folder


def texts(path):
    return [element.text for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def test_the_readme_shows_each_picture_that_the_script_makes(drawn):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in drawn.iterdir()) == NAMES
    assert sorted(path.name for path in (ROOT / "docs" / "pictures").iterdir()) == NAMES
    assert all(f"](docs/pictures/{name})" in readme for name in NAMES)


def test_the_regions_are_drawn_on_the_scales_of_today(drawn):
    """If not: python docs/pictures.py."""
    assert texts(ROOT / "docs" / "pictures" / "moons_regions.svg") == texts(drawn / "moons_regions.svg")


def test_the_confusion_matrix_is_that_of_today_but_for_rows_on_the_border(drawn):
    """If not: python docs/pictures.py."""
    shown, today = (texts(folder / "digits_confusion.svg") for folder in (ROOT / "docs" / "pictures", drawn))
    assert shown[:22] == today[:22] == [*"0123456789", "predicted", *"0123456789", "true"]
    shown, today = ([int(text) for text in found[22:]] for found in (shown, today))
    assert sum(shown) == sum(today) == 360
    right = [sum(n for n in found if n > 9) for found in (shown, today)]
    assert right[0] == pytest.approx(right[1], abs=2)  # another processor may round a row over the border
    assert right[0] > 350
