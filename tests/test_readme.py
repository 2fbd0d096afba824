"""The README and the configs: what they show works, and the figures that they quote agree."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minnet import cli, config

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGS = sorted((ROOT / "configs").glob("*.toml"))


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs_and_learns_what_it_says(capsys):
    for block in blocks("python"):
        if "dask" not in block:
            exec(block, {})
    assert float(capsys.readouterr().out) == pytest.approx(0.98, abs=0.005)


@pytest.mark.filterwarnings("ignore")  # of threads, sockets and nets that have not converged
def test_the_search_on_dask_runs_as_it_stands():
    shown = {}
    exec(next(block for block in blocks("python") if "dask" in block), shown)
    assert len(shown["search"].cv_results_["params"]) == 4
    assert shown["search"].best_score_ > 0.8


LINES = [line for block in blocks("sh") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("python train.py ") and "--resume" not in line]
COMMANDS = [line for line in COMMANDS if "data.source=rows" not in line]  # below, where the folder is made before


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_that_it_shows_are_taken(command, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(command, comments=True)[2:]
    if arguments == ["--help"]:
        with pytest.raises(SystemExit, match="0"):
            cli.main(["train", *arguments])
    else:
        assert cli.main(["train", *arguments, "--print-config"]) == 0
    assert capsys.readouterr().err == ""


def own_data():
    """The commands about a file of one's own, in their order."""
    own = README.split("\n## Your own data\n")[1].split("\n## More than one process")[0]
    return [line for line in LINES if f"\n{line}\n" in own]


def test_the_commands_for_own_data_do_what_they_say_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{i % 5 - i % 2 * 4},{'red' if i % 3 else ''},{'ab'[i % 2]}" for i in range(120)]
    Path("cars.csv").write_text("\n".join(["length,weight,colour,kind", *rows, ",3,red,a"]))
    for name, part in (("flowers", slice(0, 90)), ("new", slice(90, 120))):
        cells = [line.split(",") for line in rows[part]]
        Path(f"{name}.csv").write_text("\n".join(["length,weight,kind", *(f"{a},{b},{c}" for a, b, _, c in cells)]))
    said = []
    for command in own_data():
        program, *arguments = shlex.split(command, comments=True)
        assert cli.main(arguments if program == "minnet" else ["train", *arguments[1:]]) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        said.append(captured.out)
    assert len(said) == 9
    assert [text.split("\n")[0].partition(";")[0] for text in said[:4]] == [
        *["flowers.csv: 90 rows, 2 features, 2 classes"] * 2,
        "flowers.csv: 120 rows, 2 features, 2 classes",
        "cars.csv: 121 rows, 3 features, 2 classes",
    ]
    assert said[4].split("\n")[0] == "prediction"
    assert Path("answers.csv").read_text().split("\n")[0] == "prediction,p(a),p(b)"
    assert said[6].startswith("new.csv: 30 rows, loss ")
    assert all("\ngoing on after " in text for text in said[7:])


def test_the_commands_for_many_processes_and_large_data_run_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "train.py"):
        Path(name).symlink_to(ROOT / name)
    Path("rows.csv").write_text("".join(f"{i % 7},{i % 5 - i % 2 * 4},{'ab'[i % 2]}\n" for i in range(120)))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    shown = README.split("\n## More than one process")[1].split("```")[1].splitlines()
    for line in shown[2:]:
        command = line.partition("#")[0].replace("minnet ", "python -m minnet ")
        ended = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=100)
        assert (ended.returncode, ended.stderr) == (0, ""), line
    assert Path("runs/digits/model.npz").exists()
    assert Path("runs/rows/model.npz").exists()


def test_the_commands_that_look_at_runs_do_what_they_say_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("configs").symlink_to(ROOT / "configs")
    shown = README.split("\n## Look at a run\n")[1].split("```")[1].splitlines()
    trained, reported, compared, repeated, followed = (shlex.split(line, comments=True) for line in shown[2:])
    assert cli.main(["train", *trained[2:]]) == 0
    assert cli.main(reported[1:]) == 0
    for _ in range(2):
        assert cli.main(["train", "wine", "--quiet"]) == 0
    assert cli.main(compared[1:]) == 0
    assert cli.main(["train", *repeated[2:-1], "2"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("report in runs/moons/report.html") == 2
    assert "report in report/report.html" in said.out
    assert "2 of 2 runs" in said.out
    assert Path(followed[-1]).read_text().count("\n") > 1


STUDIED = [line for line in LINES if re.match("minnet (study|check)", line)]


@pytest.mark.parametrize("command", STUDIED)
def test_the_commands_for_who_studies_print_what_they_say(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command, comments=True)[1:]
    if "--model" in arguments:
        assert cli.main(["train", "wine", "--quiet"]) == 0
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) > 5
    assert captured.err == ""


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_is_whole_and_quotes_what_it_gives_or_why_not(path):
    text = path.read_text(encoding="utf-8")
    assert config.load(path).data.source.removeprefix("openml:").startswith(path.stem)
    assert re.search(r"mean ± sd: 0\.\d{4} ± 0\.\d{4} \(python -m", text) or "What it gives is not quoted" in text


@pytest.mark.parametrize("name", config.BUNDLED)
def test_the_table_quotes_what_the_configs_quote(name):
    header, _, ours, *_ = re.search(r"\| \| iris.*?\n\n", README, re.DOTALL)[0].splitlines()
    quoted = dict(zip(cells(header), cells(ours), strict=True))
    of_config = re.search(r"mean ± sd: (\S+ ± \S+)", (ROOT / "configs" / f"{name}.toml").read_text(encoding="utf-8"))
    assert quoted[name] == of_config[1]


def cells(line):
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_opening_of_its_output_is_that_of_the_default_config(capsys):
    from minnet import experiment, terminal

    opening = terminal.opening(experiment.prepare(config.load(ROOT / "configs" / "digits.toml")))
    assert f"```text\n{opening}\n" in README


def test_the_speeds_are_those_of_the_results():
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    section = README.split("## Speed")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if "batch" in line]
    assert len(rows) == 4
    for name, *figures in rows:
        line = next(line for line in results.splitlines() if line.startswith(f"| {name} |"))
        measured = [float(cell.split()[0].replace(",", "")) for cell in line.split("|")[3:-1]]
        assert [float(figure.replace(",", "")) for figure in figures] == [round(value) for value in measured]
