"""Print how large the house is: lines and tokens of the package, lines of benchmarks and tests.

A token is one of `tokenize`'s; comments, docstrings, line ends and indents do not count, and a
string counts one.
"""

import ast
import io
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    "minnet lines": 6_800,
    "minnet tokens": 56_000,
    "minnet/core lines": 800,
    "benchmarks lines": 1_100,
    "tests lines": 11_000,
}
SILENT = {
    tokenize.COMMENT,
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines(folder: str) -> int:
    """The lines of all Python files below the folder, docstrings and blank lines included."""
    return sum(len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py"))


def tokens(folder: str) -> int:
    """The tokens of all Python files below the folder."""
    return sum(tokens_of(path.read_text()) for path in (ROOT / folder).rglob("*.py"))


def tokens_of(source: str) -> int:
    """The tokens of one file. In Python 3.12 and later an f-string is several; here it is one."""
    docstrings = {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None
    }
    count, depth = 0, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        depth -= name == "FSTRING_END"
        if depth == 0 and token.type not in SILENT and token.start not in docstrings:
            count += name != "FSTRING_START"
        depth += name == "FSTRING_START"
    return count


def main() -> None:
    """Print each count beside what it should be at most."""
    for name, most in TARGETS.items():
        folder, what = name.split()
        count = lines(folder) if what == "lines" else tokens(folder)
        print(f"{name:20s} {count:7,}  target {most:7,}{'  missed' if count > most else ''}")


if __name__ == "__main__":
    main()
