"""Runs as their folders have them: whole, unfinished, repeated or damaged."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from running import message

from minnet import config, metrics, runs, sweep
from minnet.errors import ConfigError, DataError, MinnetError
from minnet.report import saved

HEAD = ",".join(sorted(saved.COLUMNS)) + "\n"
METRICS = HEAD + "1,0.9,0.1,0.5,0.5,0.01,,,\n2,0.7,0.1,0.5,0.25,0.01,,,\n"
SCORES = {"precision": [1, 0.5], "recall": [0.5, 1], "f1": [0.7, 0.7], "rows": [2, 2]}
RESULT = {"test_accuracy": 0.75, "test_loss": 0.5, "macro_f1": 0.7, "seconds": 0.5}
RESULT |= {"best_epoch": 2, "epochs": 2, "parameters": 10, "interrupted": False}
RESULT |= {"rows": {"train": 12, "test": 4}, "classes": ["a", "b"], "versions": {"minnet": "0.1.0"}}
RESULT |= {"per_class": SCORES, "confusion": [[1, 1], [0, 2]], "balanced_accuracy": 0.75}
RESULT |= {"auc": None, "baseline_accuracy": 0.5, "baseline_loss": 0.7, "calibration_error": 0.1}
RESULT |= {"train_accuracy": 1.0, "train_loss": 0.1, "seed": 0, "split_seed": 0}
RESULT |= {"validation_accuracy": None, "validation_loss": None}


def a_run(folder, result=RESULT, metrics=METRICS, overrides=()):
    folder.mkdir(parents=True, exist_ok=True)
    text = config.dumps(config.load(None, ["data.source=iris", *overrides]))
    (folder / "config.toml").write_text(text)
    (folder / "metrics.csv").write_text(metrics)
    if result is not None:
        (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_a_run_has_its_own_name_its_config_its_columns_and_its_result(tmp_path, monkeypatch):
    monkeypatch.chdir(a_run(tmp_path / "one"))
    group = saved.read(Path())
    assert (group.name, group.planned, group.figures) == ("one", 1, {})
    assert group.runs[0].config.data.source == "iris"
    assert group.runs[0].epochs["train_loss"].tolist() == [0.5, 0.25]
    assert np.isnan(group.runs[0].epochs["validation_loss"]).all()
    assert group.results == [RESULT] and group.mean("test_loss") == 0.5


@pytest.mark.parametrize("accuracies", [[0.5, None, 0.7], [0.5], []])
def test_a_repeated_run_has_the_runs_begun_and_the_spread_of_the_finished(tmp_path, accuracies):
    plan = sweep.begin(tmp_path, sweep.plan(config.load(None, ["data.source=iris"]), {}, 5))
    folders = [tmp_path / run.name for run in plan.runs]
    for i, accuracy in enumerate(accuracies):
        result = None if accuracy is None else RESULT | {"test_accuracy": accuracy}
        a_run(folders[i], result, overrides=[f"data.split_seed={i}", f"train.seed={i}"])
    group = saved.read(tmp_path)
    assert [run.folder for run in group.runs] == folders[: len(accuracies)]
    finished = [accuracy for accuracy in accuracies if accuracy]
    assert group.planned == 5 and len(group.results) == len(finished)
    assert group.mean("test_accuracy") == pytest.approx(np.mean(finished or 0))
    many = len(finished) > 1
    assert group.figures == (sweep.summary(plan.config, group.results) if many else {})


def test_a_sweep_is_its_best_runs_and_its_ranking_once_it_has_ended(tmp_path):
    grid = {"optimizer.learning_rate": [0.1, 0.2, 0.3]}
    plan = sweep.begin(tmp_path, sweep.plan(config.load(None, ["data.source=iris"]), grid, 2))
    for i, run in enumerate(plan.runs):
        rate = [f"optimizer.learning_rate={0.1 * (1 + i // 2):.1f}"]
        loss = (0.7, 0.9, 0.5, 0.6, 0.9, 0.9)[i]
        a_run(tmp_path / run.name, RESULT | {"validation_loss": loss}, METRICS, rate)
    with pytest.raises(
        ConfigError, match=f"a sweep without an end: minnet train --resume {tmp_path}"
    ):
        saved.read(tmp_path)
    sweep.finish(plan, sweep.ranking(plan))
    group = saved.read(tmp_path)
    assert [run.folder.name for run in group.runs] == ["run-1-seed-0", "run-1-seed-1"]
    assert group.planned == 2
    assert [row[:2] for row in group.ranking[1:]] == [["1", "0.2"], ["2", "0.1"], ["3", "0.3"]]


WRONG = [{"confusion": [[1, "1"], [0, 2]]}, {"confusion": [[1, 2, 3]] * 3}, {"rows": {"train": 12}}]
WRONG += [{"per_class": {"x": 1}}, *({name: "x"} for name in RESULT)]
WRONG += [{"test_loss": -1}, {"test_loss": np.nan}, {"macro_f1": True}, {"epochs": 1.5}]
WRONG += [{"rows": {"train": 12, "test": 5}}, {"rows": {"train": 0, "test": 4}}, {"classes": [[]]}]
WRONG += [{"per_class": SCORES | {"recall": [0.5, 1e300]}}, {"confusion": [[1, 1, 0, 2]]}]
WRONG += [{"per_class": SCORES | {"f1": [0.7]}}, {"versions": {"minnet": 1}}, {"other": 1}]
DEEP = functools.reduce(lambda inner, _: [inner], range(950), 0)  # JSON reads it, repr does not
WRONG += [{"classes": [DEEP, "b"]}, {"rows": {"train": DEEP}}, {"interrupted": DEEP}]
PLANS: list = [
    [],
    {},
    "x",
    {"runs": "2"},
    {"runs": 2.5},
    {"runs": 1},
    {"runs": [2]},
    {"runs": DEEP},
]
GRIDS = [5, [], {"x": [1]}, {"train.epochs": 5}, {"train.epochs": [DEEP]}, {"train.epochs": ["a"]}]
PLANS += [{"runs": 2, "sweep": grid} for grid in (*GRIDS[:1], *GRIDS[2:], {"model.hidden": DEEP})]
WITHOUT = [{key: RESULT[key] for key in RESULT if key != name} for name in RESULT]
TEXTS = ["", "{", "[]", "null", "[" * 100_000, *map(json.dumps, WITHOUT)]
DAMAGED = [("result.json", text) for text in TEXTS]
DAMAGED += [("result.json", json.dumps(RESULT | change)) for change in WRONG]
DAMAGED += [("metrics.csv", text) for text in ("", "{", "[]\n1,2\n", "epoch\n1\n")]
DAMAGED += [("metrics.csv", METRICS + "3,1\n"), ("metrics.csv", METRICS + "x,,,,,,,,\n")]
DAMAGED += [(name, "\udcff\udcfe\0") for name in ("result.json", "metrics.csv", runs.REPEAT_FILE)]


DAMAGED += [(runs.REPEAT_FILE, json.dumps(plan)) for plan in PLANS]
DAMAGED += [(runs.REPEAT_FILE, "[" * 100_000), (runs.REPEAT_FILE, '{"runs": ' * 100_000)]


@pytest.mark.parametrize(("name", "content"), DAMAGED)
def test_a_damaged_file_is_named_in_one_line(tmp_path, name, content):
    path = a_run(tmp_path) / name
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as error:
        saved.read(tmp_path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and len(said.splitlines()) == 1 and len(said) < 400
    if name == runs.REPEAT_FILE:
        assert message(DataError, sweep.resume, tmp_path, []).startswith(f"{path}: ")


def test_a_damaged_result_of_many_classes_is_named_in_one_line(tmp_path):
    K = metrics.MATRIX + 1
    y, p = np.arange(2 * K) % K, np.eye(K)[np.arange(2 * K) // 2]
    found = metrics.figures(y, p.argmax(axis=1), p)
    whole = RESULT | found | {"rows": {"train": 9, "test": 2 * K}, "classes": [*range(K)]}
    (group,) = saved.read(a_run(tmp_path, whole)).results
    assert group == whole and len(whole["confusion"]) == metrics.LARGEST
    for wrong in ([[1, 2]], [[1, 2, K]], [[1, K, 2]], np.eye(K, dtype=int).tolist(), None):
        a_run(tmp_path, whole | {"confusion": wrong})
        assert message(DataError, saved.read, tmp_path).startswith(f"{tmp_path}/result.json: ")


def test_a_folder_without_a_run_and_a_name_that_is_too_long_are_named(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigError, match=f"^{folder}: no run here: config.toml is missing$"):
            saved.read(folder)
    with pytest.raises(MinnetError, match=r"aaa: cannot be read: File name too long"):
        saved.read(tmp_path / ("a" * 300))
