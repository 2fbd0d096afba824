"""The pictures of docs/backprop.md: what they say is true, and they say what minnet says today."""

import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import minnet

SCRIPT = Path(__file__).parent.parent / "docs" / "figures.py"
NAMES = ["jacobian", "logit_gap", "step_size", "flow"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(figures):
    return {name: data_of() for name, (data_of, _) in figures.FIGURES.items()}


@pytest.fixture(scope="module")
def drawn(figures, tmp_path_factory):
    """The folder of a fresh drawing."""
    folder = tmp_path_factory.mktemp("figures")
    figures.main(folder)
    return folder


def recorded(path):
    """The numbers that a picture carries."""
    description = ET.parse(path).find(".//{http://purl.org/dc/elements/1.1/}description")
    return {name: np.array(values) for name, values in json.loads(description.text).items()}


def words(path):
    """All that is written in a picture: above the outlines of its letters, matplotlib puts the text as a comment."""
    return re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.DOTALL)


def test_every_picture_in_the_folder_is_drawn_by_the_script(figures):
    assert list(figures.FIGURES) == NAMES
    assert sorted(path.name for path in figures.FOLDER.iterdir()) == sorted(f"{name}.svg" for name in NAMES)


@pytest.mark.parametrize("name", ["jacobian", "logit_gap", "flow"])
def test_a_picture_shows_the_numbers_of_today(figures, data, name):
    """If not: python docs/figures.py."""
    numbers = recorded(figures.FOLDER / f"{name}.svg")
    assert list(numbers) == list(data[name])
    for key, today in data[name].items():
        # five digits were written; in float32, the last of seven differs between processors
        np.testing.assert_allclose(numbers[key], today, rtol=1e-4, atol=1e-6, err_msg=key)


def test_the_picture_of_steps_shows_the_numbers_of_today(figures, data):
    """If not: python docs/figures.py. Where rounding makes the error, its size is all that processors agree on."""
    numbers, today = recorded(figures.FOLDER / "step_size.svg"), data["step_size"]
    assert list(numbers) == list(today)
    for key in numbers:
        if "h" in key.replace(",", "").split():
            np.testing.assert_allclose(numbers[key], today[key], rtol=1e-4, err_msg=key)
            continue
        difference = np.abs(np.log10(numbers[key]) - np.log10(np.maximum(today[key], 1e-17)))
        assert difference.max() < 1, key
        formula = today[f"h, {key}"] > {"one-sided": 1e-5, "central": 1e-3, "float32": 5e-2, "complex": 1e-6}[key]
        assert formula.sum() >= 2
        assert difference[formula].max() < 0.02, key  # the error of the formula itself, to 5%


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_says_what_the_script_says_today(figures, drawn, name):
    """If not: python docs/figures.py."""
    today = words(drawn / f"{name}.svg")
    assert len(today) > 10
    assert words(figures.FOLDER / f"{name}.svg") == today


@pytest.mark.parametrize("name", NAMES)
def test_drawing_gives_a_picture_and_the_same_bytes_again(figures, drawn, tmp_path_factory, name):
    root = ET.parse(drawn / f"{name}.svg").getroot()
    assert root.tag == f"{SVG}svg"
    assert len(list(root.iter(f"{SVG}path"))) > 10
    again = tmp_path_factory.getbasetemp() / "again"
    if not again.exists():
        figures.main(again)
    assert (again / f"{name}.svg").read_bytes() == (drawn / f"{name}.svg").read_bytes()


def test_a_sure_p_leaves_little_of_the_jacobian(data):
    J = data["jacobian"]["J"]
    np.testing.assert_allclose(J.sum(axis=-1), 0, atol=1e-15)
    np.testing.assert_allclose(J.sum(axis=-2), 0, atol=1e-15)
    unsure, sure = np.abs(J)
    assert unsure.min() > 0.01  # each logit moves all of p
    assert sure.max() < unsure.max() / 4
    assert (sure < 0.005).sum() > 25 / 2


def test_clipped_only_in_the_division_9_percent_is_left_at_a_gap_of_30_and_nothing_at_50(data):
    gap, clipped = data["logit_gap"]["gap"], data["logit_gap"]["clipped"]
    assert clipped[gap == 27] == pytest.approx(1)
    assert clipped[gap == 30] == pytest.approx(0.094, abs=0.001)
    assert clipped[gap >= 50].max() < 1e-9


def test_floored_and_fused_are_one_line_and_the_right_one(data):
    gap, floored, fused = (data["logit_gap"][name] for name in ("gap", "floored", "fused"))
    np.testing.assert_allclose(floored, fused, rtol=0, atol=1.2e-7)  # the last two bits of a float32 below 1
    exact = 1 / (1 + np.exp(-gap.astype(np.float64)))  # 1 - p_t
    np.testing.assert_allclose(fused, exact, rtol=0, atol=2e-7)


def test_without_the_floor_the_gradient_is_nan_where_the_picture_says(data):
    overflow = data["logit_gap"]["overflow"]
    Y = np.array([1, 0], np.float32)
    for gap, expected in ((overflow - 2, False), (overflow + 1, True), (110, True)):
        p = np.exp(np.array([-gap, 0], np.float32))  # the sum is 1 in float32
        with np.errstate(all="ignore"):
            dz = minnet.softmax_vjp(p, -Y / p)
        assert np.isnan(dz[0]) == expected


@pytest.mark.parametrize(("name", "default"), [("central", "default h"), ("float32", "default h, float32")])
def test_central_differences_are_best_near_the_cube_root_of_the_precision(data, name, default):
    steps, errors = data["step_size"][f"h, {name}"], data["step_size"][name]
    best, h = steps[errors.argmin()], data["step_size"][default]
    assert h / 10 < best < 10 * h
    for far in (steps < h / 1000, steps > 10 * h):
        assert errors[far].min() > 10 * errors.min()


def test_one_sided_differences_never_come_near_central_ones(data):
    one_sided, central = (data["step_size"][name] for name in ("one-sided", "central"))
    assert one_sided.min() > 50 * central.min()
    assert one_sided.min() < 1e-6  # they do work


def test_the_complex_step_is_right_for_every_small_step(data):
    steps, errors = data["step_size"]["h, complex"], data["step_size"]["complex"]
    assert steps.min() < 1.1e-30
    assert errors[steps < 2e-8].max() < 1e-14


def test_each_gradient_has_the_shape_of_what_it_belongs_to(data):
    shapes = {name: tuple(shape) for name, shape in data["flow"].items() if not name.startswith("line")}
    gradients = [name for name in shapes if f"d{name}" in shapes]
    assert gradients == ["a[0]", "h[1]", "z", "p", "W[0]", "b[0]", "W[1]", "b[1]"]
    for name in gradients:
        assert shapes[name] == shapes[f"d{name}"]
    assert shapes["L"] == ()
