"""Fill the quotes of the documents with the project's own lines and output: `python
docs/quotes.py`.

A quote is a fenced block below a comment that says what it holds:

    <!-- quote: lines 6-8 / 10 -->             the code's lines marked # (6) to # (8), and # (10)
    <!-- quote: lines core/softmax.py exp -->  the first line of that file with these words
    <!-- quote: minnet study -->               what a command prints
    <!-- quote: minnet study | forward -->     the part of it under that title

`tests/test_docs.py` fails where a quote is not what this would write.
"""

import contextlib
import io
import re
import shlex
import textwrap
from pathlib import Path

from minnet import cli
from minnet.study.step import PACKAGE, locations

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "docs" / "backprop.md", ROOT / "README.md")
QUOTE = re.compile(r"(<!-- quote: (?P<what>.*?) -->\n```\w*\n)(?P<quoted>.*?)(```\n)", re.DOTALL)


def refreshed(text: str) -> str:
    """The document with every quote as it should be."""
    return QUOTE.sub(lambda match: match[1] + quote(match["what"]) + match[4], text)


def quote(what: str) -> str:
    """The lines that a quote holds. Raises KeyError or ValueError for a step, words, a command or a
    title that do not exist."""
    if what.startswith("lines "):
        return "".join(map(_code, what.removeprefix("lines ").split(" / ")))
    command, _, title = what.partition(" | ")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.main(shlex.split(command)[1:])
    if code:
        raise ValueError(f"{command} ended with exit code {code}")
    blocks = [block.partition("\n") for block in printed.getvalue().split("\n\n")]
    found = [f"{lines.rstrip()}\n" for head, _, lines in blocks if head == title]
    if title and len(found) != 1:
        raise ValueError(f"{len(found)} parts of the output have the title {title!r}")
    return found[0] if title else printed.getvalue()


def _code(place: str) -> str:
    """The lines from one step to another, without the indentation that they share; or the first
    line of a file that has some words."""
    file, _, words = place.partition(" ")
    if words:
        lines = (PACKAGE / file).read_text(encoding="utf-8").splitlines()
        first = next((line for line in lines if words in line), None)
        if first is None:
            raise ValueError(f"no line of {file} has {words!r}")
        return f"{first.strip()}\n"
    (file, start, _), (other, end, _) = (
        locations()[int(step) if step.isdigit() else step] for step in (place.split("-") * 2)[:2]
    )
    if file != other or end < start:
        raise ValueError(f"steps {place} are not lines below each other in one file")
    lines = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[start - 1 : end]
    return textwrap.dedent("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")
