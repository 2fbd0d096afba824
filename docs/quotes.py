"""Fill the quotes of the documents with the project's own lines and output: `python
docs/quotes.py`.

A quote is a fenced block below a comment that says what it holds:

    <!-- quote: steps 6-8 -->               the code's lines from the one marked # (6) to # (8)
    <!-- quote: minnet study -->            what a command prints
    <!-- quote: minnet study | forward -->  the part of it under that title

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
    """The lines that a quote holds. Raises KeyError or ValueError for a step, command or title that
    does not exist."""
    if what.startswith("steps "):
        return _code(*(what.removeprefix("steps ").split("-") * 2)[:2])
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


def _code(first: str, last: str) -> str:
    """The lines from one step to another, without the indentation that they share."""
    (file, start, _), (other, end, _) = (
        locations()[int(step) if step.isdigit() else step] for step in (first, last)
    )
    if file != other or end < start:
        raise ValueError(f"steps {first}-{last} are not lines below each other in one file")
    lines = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[start - 1 : end]
    return textwrap.dedent("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")
