"""Commands run in this process, quick runs to give them, and what a run came to."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minnet import cli, runs

# one net that is trained in the simplest way, as sections of a config
ONE_NET = {"members": 1}
ADAM = {"name": "adam", "weight_decay": 0.0, "schedule": "constant", "learning_rate": 0.001}
ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        (line,) = self.err.splitlines()
        assert line.startswith("minnet: ")
        return line.removeprefix("minnet: ")

    def refusal(self, code: int = 1) -> str:
        """All that it wrote: one line to stderr."""
        assert (self.code, self.out) == (code, "")
        return self.line()

    def notes(self) -> list[str]:
        """All that it wrote to stderr: notes."""
        lines = self.err.splitlines()
        assert all(line.startswith("minnet: note: ") for line in lines)
        return [line.removeprefix("minnet: note: ") for line in lines]


def command(*arguments: object) -> Answer:
    """A command of minnet, in this process."""
    out, err = io.StringIO(newline=""), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
    return Answer(code, out.getvalue(), err.getvalue())


def train(*arguments: str) -> Answer:
    """`minnet train`, in this process."""
    return command("train", *arguments)


def write_rows(
    row: int = -1, cell: str = "", heads: str = "a,b,label", label: str = "", labels: str = "xyz"
) -> None:
    """own.toml, a config for quick runs, and its own.csv: 120 rows of two numbers and one of three
    labels, the same each time except for one row."""
    rng = np.random.default_rng(0)
    lines = [heads]
    for i, (a, b) in enumerate(rng.normal(size=(120, 2)).tolist()):
        own, y = i == row, i % 3
        first, last = own and cell, own and label
        lines.append(f"{first or a + y},{b - y},{last or labels[y]}")
    Path("own.csv").write_text("\n".join(lines) + "\n")
    config = "[data]\nsource = 'own.csv'\ntarget = 2\nnumeric = [0, 1]\nscale = 'standard'\n"
    config += "[model]\nhidden = [8]\nmembers = 1\n[optimizer]\nname = 'adam'\n"
    config += "learning_rate = 0.001\nweight_decay = 0\nschedule = 'constant'\n"
    config += "[train]\nepochs = 4\npatience = 0\nbatch_size = 20\nlabel_smoothing = 0\n"
    Path("own.toml").write_text(config)


def files(folder: Path | str = ".") -> dict[str, bytes]:
    """The content of each file below a folder, by name."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def message(kind: type[Exception], function: Callable, *arguments: object) -> str:
    """What is said of a failure: one line."""
    with pytest.raises(kind) as caught:
        function(*arguments)
    (line,) = str(caught.value).splitlines()
    return line


def result(folder: Path | str) -> dict:
    return json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))


def metrics(folder: Path | str = "run") -> dict[str, list[str]]:
    """The columns of metrics.csv."""
    lines = [line.split(",") for line in (Path(folder) / "metrics.csv").read_text().splitlines()]
    return {name: cells for name, *cells in zip(*lines, strict=True)}


def end(folder: Path | str) -> tuple:
    """All that a run came to, except for its seconds and whether it was interrupted at the end."""
    columns, figures, content = metrics(folder), result(folder), files(folder)
    assert set(content) == set(runs.RUN_FILES)
    for ours in (columns, figures):
        del ours["seconds"]
    del figures["interrupted"]
    return content["model.npz"], columns, figures
