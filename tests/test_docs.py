"""The documents quote the code and the program's output as they are, and what they state in examples is so."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

from minnet.study.mistakes import MISTAKES
from minnet.study.step import locations

ROOT = Path(__file__).resolve().parent.parent
DOCS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
BACKPROP = (ROOT / "docs" / "backprop.md").read_text(encoding="utf-8")


def load_quotes():
    spec = importlib.util.spec_from_file_location("quotes", ROOT / "docs" / "quotes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


quotes = load_quotes()
QUOTES = [
    (path.name, match["what"], match["quoted"]) for path in DOCS for match in quotes.QUOTE.finditer(path.read_text())
]


def prose(text):
    """The document without its fenced blocks."""
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def same(quoted, made, within):
    """Whether two texts agree word by word; numbers may differ by rounding, which depends on the machine's BLAS."""
    if len(quoted.split()) != len(made.split()):
        return False
    return all(
        one == other or close(one, other, within) for one, other in zip(quoted.split(), made.split(), strict=True)
    )


def close(one, other, within):
    try:
        return abs(float(one) - float(other)) <= within
    except ValueError:
        return False


@pytest.mark.parametrize(("document", "what", "quoted"), QUOTES, ids=lambda value: value[:40])
def test_a_quote_is_what_the_code_or_the_program_says(document, what, quoted):
    made = quotes.quote(what)
    if what.startswith("steps"):
        assert quoted == made
    else:
        assert same(quoted, made, within=0.03 if "table" in what else 1e-4), f"python docs/quotes.py; now it is\n{made}"


def test_a_change_of_any_word_or_number_is_noticed():
    assert same("(1) p 0.0900 1e-17", "(1) p 0.0900 3e-17", 1e-4)
    for changed in ("(2) p 0.0900 1e-17", "(1) q 0.0900 1e-17", "(1) p 0.0910 1e-17", "(1) p 0.0900"):
        assert not same("(1) p 0.0900 1e-17", changed, 1e-4)


def test_every_numbered_line_of_the_code_is_quoted_in_backprop_md():
    lines = [line.strip() for match in quotes.QUOTE.finditer(BACKPROP) for line in match["quoted"].splitlines()]
    for step, (file, number, source) in locations().items():
        assert source in lines, f"step {step}, {file}:{number}"


def test_it_speaks_of_no_step_that_there_is_not():
    assert {int(n) for n in re.findall(r"(?<!\w)\((\d{1,2})\)", prose(BACKPROP))} <= set(locations())


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_example_gives_what_it_says(path):
    examples = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, path.name, str(path), 0)
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_link_and_mistake_that_it_names_is_there(path):
    text = prose(path.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (path.parent / link).exists(), link
    for name in re.findall(r"--mistake ([\w-]+)", text):
        assert name in {*MISTAKES, "NAME", "list", "table"}, name


def test_a_quote_of_what_is_not_there_is_an_error():
    for what in ("minnet study | no such title", "minnet study --mistake nothing", "steps 3-2"):
        with pytest.raises((ValueError, KeyError)):
            quotes.quote(what)
