"""A page on which the softmax Jacobian of one row moves with the reader's hand: page.html with the
numbers of a step filled in. Its script makes them anew for every other z and y."""

import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from minnet.errors import ConfigError, one_line
from minnet.study.mistakes import MISTAKES
from minnet.study.step import Line, trace
from minnet.study.subject import Subject
from minnet.study.text import numbers

MOST_CLASSES = 10
SHOWN = (5, 8, 12, 13, 14, 15, 16, 17, 18, 19, "C")  # the steps that the page has, too


def page(subject: Subject) -> str:
    """The page as HTML. Raises ConfigError for more than MOST_CLASSES classes."""
    if subject.net.K > MOST_CLASSES:
        what = f"a page shows at most {MOST_CLASSES} classes, this net has {subject.net.K}"
        raise ConfigError(f"--page: {what}; leave out --page to see them in print")
    traced = trace(subject)
    names = ("forward", "loss", "from the loss to the logits")
    lines = [line for name in names for line in traced.sections[name] if line.name]
    lines = [line for line in lines if line.step in SHOWN]
    z, T = ([*map(_decimal, line.value.flat)] for line in lines if line.step in (5, 12))
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    whys = {name: it.why for name, it in MISTAKES.items() if f'"{name}": {{' in template}
    data = {"z": z, "y": T, "names": [*map(one_line, subject.classes)], "mistakes": whys}
    return Template(template).substitute(
        heading=escape(one_line(traced.heading)),
        table="\n".join(map(_row, lines)),
        data=json.dumps(data).replace("<", r"\u003c"),  # so that no name ends the script
    )


def _decimal(x: Any) -> float:
    """The shortest number that rounds to x, which may be a float32: 0.9, not 0.8999999762."""
    return float(str(x))


def _row(line: Line) -> str:
    """A line of the step as rows of a table, one per row of its array."""
    first = f"<th scope=row>{line.name}</th><th>{escape(line.formula)}</th>"
    rows = ["".join(f"<td>{x}" for x in row) for row in numbers(np.atleast_2d(line.value))]
    return "\n".join(f"<tr>{first if i == 0 else '<th><th>'}{row}" for i, row in enumerate(rows))
