"""Fill the quotes of the documents with the project's own lines and output: `python docs/quotes.py`.

A quote is a fenced block below a comment that says what it holds:

    <!-- quote: steps 6-8 -->               the lines of the code from the one marked # (6) to the one marked # (8)
    <!-- quote: minnet study -->            what a command prints
    <!-- quote: minnet study | forward -->  the part of it under that title

`tests/test_docs.py` fails where a quote is not what this would write.
"""

import contextlib
import io
import re
import shlex
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
    """The lines that a quote of this kind holds. Raises ValueError for a step, command or title that is not there."""
    if what.startswith("steps "):
        first, _, last = what.removeprefix("steps ").partition("-")
        return _code(int(first), int(last or first))
    command, _, title = what.partition(" | ")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.main(shlex.split(command)[1:])
    if code:
        raise ValueError(f"{command} ended with exit code {code}")
    return _under(title, printed.getvalue()) if title else printed.getvalue()


def _code(first: int, last: int) -> str:
    """The lines from one step to another, with the indentation that they share taken away."""
    file, start, _ = locations()[first]
    other, end, _ = locations()[last]
    if file != other or end < start:
        raise ValueError(f"steps {first}-{last} are not lines below each other in one file")
    lines = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[start - 1 : end]
    shared = min(len(line) - len(line.lstrip()) for line in lines if line)
    return "".join(f"{line[shared:]}\n" for line in lines)


def _under(title: str, printed: str) -> str:
    """The lines below a title, up to the next blank one."""
    blocks = [block.splitlines() for block in printed.split("\n\n")]
    found = [lines[1:] for lines in blocks if lines[0] == title]
    if len(found) != 1:
        raise ValueError(f"{len(found)} parts of the output have the title {title!r}")
    return "".join(f"{line}\n" for line in found[0])


def main() -> None:
    """Rewrite the documents."""
    for path in DOCUMENTS:
        path.write_text(refreshed(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
