"""Documents quote the code and the program as they are; their examples and pictures are true."""

import doctest
import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from minnet.study.mistakes import MISTAKES
from minnet.study.step import locations

ROOT = Path(__file__).resolve().parent.parent
DOCS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
BACKPROP = (ROOT / "docs" / "backprop.md").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quotes, figures = load("quotes"), load("figures")
QUOTES = [
    (path.name, match["what"], match["quoted"])
    for path in DOCS
    for match in quotes.QUOTE.finditer(path.read_text(encoding="utf-8"))
]
named = pytest.mark.parametrize("path", DOCS, ids=lambda path: f"{path.parent.name}/{path.name}")


def prose(text):
    """The document without its fenced blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def same(quoted, made, within):
    """Whether two texts agree word by word; numbers may differ by rounding, which depends on the
    machine's BLAS."""
    number = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
    words = [number.sub("#", text).split() for text in (quoted, made)]
    values = [np.array(number.findall(text), float) for text in (quoted, made)]
    return words[0] == words[1] and np.allclose(*values, rtol=0, atol=within)


@pytest.mark.parametrize(("document", "what", "quoted"), QUOTES, ids=lambda value: value[:40])
def test_a_quote_is_what_the_code_or_the_program_says(document, what, quoted):
    """If not: python docs/quotes.py."""
    made = quotes.quote(what)
    within = 0 if what.startswith("lines") else 1e-4
    assert same(quoted, made, within), f"now it is\n{made}"


def test_a_quote_of_nothing_is_an_error():
    for what in (
        "minnet study | no such title",
        "minnet study --mistake nothing",
        "lines 3-2",
        "lines 99",
        "lines cli.py no such",
    ):
        with pytest.raises((ValueError, KeyError)):
            quotes.quote(what)


def test_every_numbered_line_is_quoted_in_backprop_md_which_names_no_other_step():
    quoted = [match["quoted"].splitlines() for match in quotes.QUOTE.finditer(BACKPROP)]
    lines = {line.strip() for each in quoted for line in each}
    assert [place for place in locations().values() if place[2] not in lines] == []
    steps = {int(n) for n in re.findall(r"(?<!\w)\((\d{1,2})\)", prose(BACKPROP))}
    assert steps <= set(locations())


def test_backprop_md_is_short_and_opens_with_ten_lines_that_print_what_it_shows(capsys):
    assert len(BACKPROP.splitlines()) <= 350
    code, printed = re.findall(r"```(?:python|text)\n(.*?)```", BACKPROP, re.DOTALL)[:2]
    opening = BACKPROP.partition(printed)[0] + printed
    assert len(opening.splitlines()) <= 40
    assert code.partition("import numpy as np\n\n")[2].partition("    if ")[0].count("\n") == 10
    exec(code, {})
    assert capsys.readouterr().out == printed


@named
def test_every_example_link_and_mistake_in_a_document_is_right(path, here):
    text = path.read_text(encoding="utf-8")
    shown = re.sub("^```$", "", text, flags=re.MULTILINE)  # which ends what an example prints
    examples = doctest.DocTestParser().get_doctest(shown, {}, path.name, str(path), 0)
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose(text)):
        assert (path.parent / link).exists(), link
    for name in re.findall(r"--mistake ([\w-]+)", prose(text)):
        assert name in {*MISTAKES, "NAME", "list", "table"}, name


@pytest.fixture(scope="module")
def data():
    return {name: data_of() for name, (data_of, _) in figures.FIGURES.items()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder of a fresh drawing."""
    figures.main(folder := tmp_path_factory.mktemp("drawn"))
    return folder


def recorded(path):
    """The numbers that a picture carries."""
    description = ET.parse(path).find(".//{http://purl.org/dc/elements/1.1/}description")
    return {name: np.array(values) for name, values in json.loads(description.text).items()}


def words(path):
    """The text of a picture, but for the powers at its ticks, which matplotlib chooses: it puts
    that of outlined letters in comments."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"<!-- ((?!\$\\mathdefault).*?) -->", text, re.DOTALL)


def test_the_script_draws_every_picture_of_the_folder_and_the_same_bytes_again(
    drawn, tmp_path, monkeypatch
):
    names = [f"{name}.svg" for name in figures.FIGURES]
    assert sorted(names) == sorted(path.name for path in figures.FOLDER.iterdir())
    for name in names:
        root = ET.parse(drawn / name).getroot()
        assert root.tag == f"{SVG}svg" and len(list(root.iter(f"{SVG}path"))) > 10
    monkeypatch.setattr(figures, "FIGURES", {"flow": figures.FIGURES["flow"]})
    figures.main(tmp_path)
    assert (tmp_path / "flow.svg").read_bytes() == (drawn / "flow.svg").read_bytes()


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_picture_shows_the_words_and_numbers_of_today(data, drawn, name):
    """If not: python docs/figures.py."""
    today = words(drawn / f"{name}.svg")
    assert len(today) > 5 and words(figures.FOLDER / f"{name}.svg") == today
    numbers = recorded(figures.FOLDER / f"{name}.svg")
    assert list(numbers) == list(data[name])
    for key, now in data[name].items():
        if name != "step_size" or "h" in key.replace(",", "").split():
            # five digits were written; in float32, the last of seven differs between processors
            np.testing.assert_allclose(numbers[key], now, rtol=1e-4, atol=1e-6, err_msg=key)
            continue
        # the error of the formula itself, to 5%; on that of rounding, processors do not agree
        smallest = {"one-sided": 1e-5, "central": 1e-3, "float32": 5e-2, "complex": 1e-6}[key]
        formula = data[name][f"h, {key}"] > smallest
        assert formula.sum() >= 2
        np.testing.assert_allclose(numbers[key][formula], now[formula], rtol=0.05, err_msg=key)


def test_each_way_of_measuring_is_as_good_as_the_picture_says(data):
    found = data["step_size"]
    for name, default in (("central", "default h"), ("float32", "default h, float32")):
        steps, errors, h = found[f"h, {name}"], found[name], found[default]
        assert h / 10 < steps[errors.argmin()] < 10 * h
        for far in (steps < h / 1000, steps > 10 * h):
            assert errors[far].min() > 10 * errors.min()
    assert 50 * found["central"].min() < found["one-sided"].min() < 1e-6
    steps, errors = found["h, complex"], found["complex"]
    assert steps.min() < 1.1e-30 and errors[steps < 2e-8].max() < 1e-14


def test_each_gradient_has_the_shape_of_what_it_belongs_to(data):
    flow = data["flow"]
    gradients = {name for name in flow if f"d{name}" in flow}
    assert gradients == {"a[0]", "h[1]", "z", "p", "W[0]", "b[0]", "W[1]", "b[1]"}
    assert all(tuple(flow[name]) == tuple(flow[f"d{name}"]) for name in gradients)
    lines = {name.partition("of ")[2]: int(x) for name, x in flow.items() if "line" in name}
    backward = {"dp": 14, "dz": 16, "dW": 20, "dh": 22, "da": 23}
    assert lines == {"a": 2, "h": 3, "z": 5, "p": 8, "L": 13} | backward
