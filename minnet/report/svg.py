"""A figure as SVG: for a page, in the page's own colours, and as a file that stands by itself."""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# two colours that nothing else has: a page puts that of its text and none at all in their places
INK, GROUND = "#1b1e23", "#fffffe"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "minnet",  # else the names of clip paths differ from run to run
    "svg.fonttype": "none",  # text stays text, to be read, searched and copied
    "text.parse_math": False,  # a label may hold a $
    "path.simplify": False,  # every epoch stays a point
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": GROUND,
    "savefig.facecolor": GROUND,
    "legend.frameon": False,
    "image.interpolation": "none",
    "lines.linewidth": 1.6,
}


@dataclass
class Picture:
    """What a figure shows, in a sentence, and the figure as SVG with a ground of its own."""

    name: str
    title: str
    text: str
    svg: str

    def inline(self) -> str:
        """The SVG for a page: without ground, in the colour of the page's text, and with names that are its own."""
        svg = re.sub("<metadata>.*?</metadata>", "", self.svg[self.svg.index("<svg") :], flags=re.DOTALL)
        svg = re.sub("<[^>]+>", self._tag, svg)  # and not the text between tags
        return re.sub(r'<svg [^>]*?viewBox="(\S+ \S+ (\S+) \S+)"[^>]*>', self._head, svg, count=1)

    def _tag(self, match: re.Match) -> str:
        tag = match[0].replace(INK, "currentColor").replace(GROUND, "none")
        tag = re.sub(r'\bid="', f'id="{self.name}-', tag)
        return re.sub(r'(xlink:href="|url\()#', rf"\1#{self.name}-", tag)

    def _head(self, match: re.Match) -> str:
        box, width = match.groups()
        return (
            f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" role="img" '
            f'aria-label="{self.title}" style="max-width:{float(width) * 1.3:.0f}px">'
        )


def label(name: Any, longest: int = 16) -> str:
    """A name for a picture: short, and of letters that can be printed."""
    name = " ".join("".join(c if c.isprintable() or c.isspace() else "?" for c in str(name)).split())
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}\N{HORIZONTAL ELLIPSIS}{name[half + 1 - longest :]}"


def draw(name: str, title: str, text: str, figure: Callable[[], Figure]) -> Picture:
    """The picture that a function draws, in the style of all."""
    out = io.StringIO()
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a label: browsers have more letters
        figure().savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return Picture(name, title, text, out.getvalue())
