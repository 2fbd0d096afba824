"""The README, the guide and the configs: what they show works, and their figures agree."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minnet import cli, config

ROOT = Path(__file__).resolve().parent.parent
README, GUIDE = (ROOT / name for name in ("README.md", "docs/guide.md"))
README, GUIDE = README.read_text(encoding="utf-8"), GUIDE.read_text(encoding="utf-8")
LINES = re.findall(r"^python train\.py (.*?) *(?:#.*)?$", README + GUIDE, re.MULTILINE)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def commands(heading):
    """The commands below a heading of the guide."""
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split("```sh\n")[1].split("```")[0].splitlines()


def run(command):
    """A command of the documents, in this process; returns its exit code."""
    program, *arguments = shlex.split(command, comments=True)
    return cli.main(arguments if program == "minnet" else ["train", *arguments[1:]])


def test_the_readme_is_short_and_shows_what_the_main_command_prints(capsys):
    assert len(README.splitlines()) <= 150
    assert cli.main(["train"]) == 0
    printed = capsys.readouterr().out.splitlines()
    shown = README.split("and prints\n\n```text\n")[1].split("```")[0].splitlines()
    assert {line for line in shown if line != "..." and " s; " not in line} <= {*printed}


def test_the_python_examples_run(capsys):
    exec(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1], {})
    assert float(capsys.readouterr().out) == pytest.approx(0.98, abs=0.005)


@pytest.mark.filterwarnings("ignore")  # of threads, sockets and nets that have not converged
def test_the_search_on_dask_runs():
    shown = {}
    exec(re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[-1], shown)
    assert len(shown["search"].cv_results_["params"]) == 4
    assert shown["search"].best_score_ > 0.8


# those that need a run or a folder of rows are run below, where there is one
@pytest.mark.parametrize("line", [n for n in LINES if "--resume" not in n and "=rows" not in n])
def test_the_training_commands_parse(line, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    print_config = [] if "--help" in line else ["--print-config"]
    with contextlib.suppress(SystemExit):
        assert cli.main(["train", *shlex.split(line), *print_config]) == 0
    answer = capsys.readouterr()
    assert (answer.err, "source = " in answer.out) == ("", True)


def test_the_commands_for_own_data_run_one_after_the_other(capsys):
    rows = [(i % 7, i % 5 - i % 2 * 4, "ab"[i % 2]) for i in range(120)]
    for name, some in (("flowers", rows[:90]), ("new", rows[90:])):
        lines = [f"{length},{weight},{kind}" for length, weight, kind in some]
        Path(f"{name}.csv").write_text("\n".join(["length,weight,kind", *lines]))
    lines = [f"{a},{b},{'red' if a % 3 else ''},{c}" for a, b, c in rows]
    Path("cars.csv").write_text("\n".join(["length,weight,colour,kind", *lines, ",3,red,a"]))
    said = []
    for heading in ("Your own table", "Predict", "Resume"):
        for command in commands(heading):
            assert run(command) == 0
            captured = capsys.readouterr()
            assert all(line.startswith("minnet: note: ") for line in captured.err.splitlines())
            said.append(captured.out)
    heads = [text.split("\n")[0].partition(";")[0] for text in said[:4]]
    assert heads == [
        *["flowers.csv: 90 rows, 2 features, 2 classes"] * 2,
        "flowers.csv: 120 rows, 2 features, 2 classes",
        "cars.csv: 121 rows, 2 features, 2 classes",
    ]
    assert said[4].split("\n")[0] == "prediction"
    assert Path("answers.csv").read_text().split("\n")[0] == "prediction,p(a),p(b)"
    assert said[6].startswith("new.csv: 30 rows, loss ")
    assert json.loads(said[7])["rows"] == 30
    assert all("\nresumed after " in text for text in said[8:])


def test_the_commands_for_many_processes_and_large_data_run():
    for name in ("configs", "train.py"):
        Path(name).symlink_to(ROOT / name)
    rows = [f"{i % 7},{i % 5 - i % 2 * 4},{'ab'[i % 2]}\n" for i in range(120)]
    Path("rows.csv").write_text("".join(rows))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    options = {"env": {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}, "timeout": 100}
    for line in commands("Many processes, and data larger than memory")[1:]:
        command = line.partition("#")[0].replace("minnet ", "python -m minnet ")
        command = command.replace("-n 4", "-n 2") + "train.epochs=1" * ("train.py" in command)
        ended = subprocess.run(command, shell=True, capture_output=True, text=True, **options)
        assert (ended.returncode, ended.stderr) == (0, ""), line
    assert Path("runs/digits/model.npz").exists()
    assert Path("runs/rows/model.npz").exists()


def test_the_commands_that_look_at_runs_work(capsys):
    trained, reported, compared, repeated = commands("Look at a run")[1:]
    repeated = repeated.partition("#")[0].strip()[:-2] + "2 train.epochs=2"
    train = "minnet train wine train.epochs=2 --quiet"
    for command in (trained, reported, train, train, compared, repeated):
        assert run(command) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("report in runs/moons/report.html") == 2
    assert "report in report/report.html" in said.out
    assert "2 of 2 runs" in said.out


@pytest.mark.parametrize("command", commands("Study backprop"))
def test_the_commands_that_study_print_something(command, capsys):
    if "--model" in command:
        assert cli.main(["train", "wine", "--quiet"]) == 0
    assert run(command) == 0
    answer = capsys.readouterr()
    assert (answer.err, answer.out.count("\n") > 5) == ("", True)


@pytest.mark.parametrize("name", config.shipped())
def test_a_config_is_of_its_own_set_and_quotes_its_accuracy(name):
    path = config.shipped()[name]
    text = path.read_text(encoding="utf-8")
    assert config.load(path).data.source.removeprefix("openml:").startswith(name)
    quoted = re.search(r"mean ± sd: (0\.\d{4} ± 0\.\d{4}) \(python -m", text)
    assert quoted or "What it gives is not quoted" in text
    if name in config.BUNDLED:
        header, _, ours, *_ = re.search(r"\| \| iris.*?\n\n", GUIDE, re.DOTALL)[0].splitlines()
        table = dict(zip(header.split("|"), ours.split("|"), strict=True))
        loss = re.search(r"log-loss over the same splits: (0\.\d{4})\.\n", text)[1]
        assert table[f" {name} "].strip() == f"{quoted[1]}, {float(loss):.3f}"


def test_the_speeds_are_those_of_the_results():
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    rows = [line for line in README.split("## Speed")[1].splitlines() if "batch" in line]
    assert len(rows) == 4
    for row in rows:
        _, name, *figures, _ = (cell.strip() for cell in row.split("|"))
        line = next(line for line in results.splitlines() if line.startswith(f"| {name} |"))
        measured = [cell.split()[0] for cell in line.split("|")[3:-1]]
        assert [figure.replace(",", "") for figure in figures] == [
            f"{float(figure.replace(',', '')):.0f}" for figure in measured
        ]
