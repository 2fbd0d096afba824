"""What pages are made of: escaped text, tables, pictures, and one file that needs no other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from minnet import storage
from minnet.errors import ConfigError, one_line
from minnet.report.svg import Picture

STYLE = """
:root { color-scheme: light dark; --ink: #1b1e23; --ground: #ffffff; --faint: #5c6470; --line: #d8dce1; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --ground: #14171a; --faint: #9aa3ae; --line: #363c43; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 70rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 .3rem; }
p { margin: .3rem 0; }
.faint, figcaption, footer { color: var(--faint); font-size: .9rem; }
main { columns: 2 26rem; column-gap: 2.5rem; margin: 2rem 0; }
section { break-inside: avoid; padding-bottom: 2rem; }
.wide { column-span: all; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem .3rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
th { font-weight: 600; }
.number { text-align: right; overflow-wrap: normal; }
pre { white-space: pre-wrap; font-size: .8rem; margin: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .5rem 0; }
dt { color: var(--faint); }
dd { margin: 0; }
@media (max-width: 30rem) { body { font-size: 15px; } table { font-size: .75rem; } th, td { padding: .15rem; } }
@media print {
  :root { --ink: #000; --ground: #fff; --faint: #444; --line: #ccc; color-scheme: light; }
  body { max-width: none; padding: 0; font-size: 10pt; }
}
"""
NUMBER = re.compile(r"[-+0-9.,e]*( \N{PLUS-MINUS SIGN} [0-9.]+)?")
# a browser itself refuses to fetch or run anything
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@dataclass
class Page:
    """A page in the making: its title, lines below the title, sections of HTML, and the pictures in them."""

    title: str
    lines: list[str]
    sections: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def add(self, title: str, content: str, wide: bool = False) -> None:
        """Add a section of HTML."""
        self.sections.append(f"<section{' class=wide' if wide else ''}><h2>{text(title)}</h2>\n{content}\n</section>")

    def show(self, picture: Picture) -> None:
        """Add a picture as a section."""
        self.pictures.append(picture)
        self.add(picture.title, f"<figure>{picture.inline()}<figcaption>{text(picture.text)}</figcaption></figure>")

    def html(self, footer: str) -> str:
        """The page, whole."""
        head = [f"<title>{text(self.title)}</title>", storage.REPORT_MARK, f"<style>{STYLE}</style>"]
        head += [f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">', '<link rel="icon" href="data:,">']
        lines = "".join(f"<p>{text(line)}</p>\n" for line in self.lines)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            + "\n".join(head)
            + f"\n</head>\n<body>\n<header>\n<h1>{text(self.title)}</h1>\n{lines}</header>\n<main>\n"
            + "\n".join(self.sections)
            + f"\n</main>\n<footer>{text(footer)}</footer>\n</body>\n</html>\n"
        )


def text(content: Any) -> str:
    """Content as text for HTML; what cannot be printed becomes a question mark."""
    return escape("".join(c if c.isprintable() or c.isspace() else "?" for c in str(content)))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table: the first column and those of text stand at the left, those of numbers at the right."""
    right = [j > 0 and all(NUMBER.fullmatch(str(row[j])) for row in rows) for j in range(len(head))]

    def line(tag: str, cells: Sequence[Any]) -> str:
        opened = [f"<{tag} class=number>" if number else f"<{tag}>" for number in right]
        return "<tr>" + "".join(f"{o}{text(c)}</{tag}>" for o, c in zip(opened, cells, strict=True)) + "</tr>"

    return "<table>\n" + "\n".join([line("th", head), *(line("td", row) for row in rows)]) + "\n</table>"


def pairs(content: dict[str, Any]) -> str:
    """Names and what they stand for, side by side."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in content.items()) + "</dl>"


def write(folder: Path, page: Page, footer: str) -> Path:
    """Write report.html, and its pictures into pictures/. Raises ConfigError where another's report.html is there."""
    path = folder / storage.REPORT
    if not storage.is_report(folder):
        pictures = [folder / "pictures" / f"{picture.name}.svg" for picture in page.pictures]
        for other in (file for file in (path, *pictures) if file.exists()):
            raise ConfigError(f"{one_line(other)}: was not written by minnet report: move it, or choose --out")
    storage.clear_report(folder)
    storage.make_folder(folder / "pictures")
    for picture in page.pictures:
        storage.write(folder / "pictures" / f"{picture.name}.svg", picture.svg.encode(errors="xmlcharrefreplace"))
    storage.write(path, page.html(footer).encode(errors="xmlcharrefreplace"))
    return path
