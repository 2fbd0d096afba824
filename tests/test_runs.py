"""Runs in their folders: whatever ends them early, they are resumed to the same end, and nothing of
the user's is lost."""

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from faults import Killed, faults
from running import Answer, end, files, message, metrics, result, train, write_rows

import minnet
from minnet import cli, config, runs, training
from minnet.errors import ConfigError, MinnetError
from minnet.files import load_sealed, locked, save_sealed
from minnet.metrics import LARGEST, MATRIX, NAMES, mistakes
from minnet.runs import MARKS, REPEAT_FILE, REPORT, REPORT_FILES, REPORT_MARK, RUN_FILES, SWEEP_FILE
from minnet.training import Epoch

RUNS = {  # saved after each epoch, each step, and never
    0: "train.epochs=100 train.patience=3 optimizer.learning_rate=0.1",
    1e-9: "model.dropout=0.3 optimizer.schedule=cosine optimizer.warmup_epochs=1.5",
    1000: "model.dtype=float64 optimizer.name=adamw train.class_weight=balanced",
    1e-10: "model.members=3 model.dropout=0.3 train.watch=auc train.max_grad_norm=1",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test works in a folder of its own, with rows of its own and a config for quick runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow, and no test sees what it does
    write_rows()


def kill() -> None:
    raise Killed


sigint = functools.partial(signal.raise_signal, signal.SIGINT)
sigterm = functools.partial(signal.raise_signal, signal.SIGTERM)


@pytest.fixture
def stop_at(monkeypatch) -> Callable:
    """`train`, struck in a step; its answer, or None if it was killed."""

    def stop_at(step: int, strike: Callable[[], object], *arguments: str) -> Answer | None:
        steps = itertools.count(1)

        def update(*arguments, **options):
            real(*arguments, **options)
            if next(steps) == step:
                strike()

        real = training.update
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(training, "update", update)
            return train(*arguments)

    return stop_at


@pytest.mark.parametrize(("seconds", "settings"), RUNS.items())
def test_a_run_that_is_stopped_and_killed_ends_with_the_bits_of_one_that_never_was(
    seconds, settings, stop_at
):
    new, again = ("own.toml", *settings.split()), ("--resume", "run")
    assert train(*new, "--out", "whole").code == 0
    assert stop_at(2, kill, *new, f"train.checkpoint_seconds={seconds}", "--out", "run") is None
    assert not Path("run/model.npz").exists()
    assert stop_at(3, sigint, *again).code == 130
    assert result("run")["interrupted"] is True
    assert stop_at(2, kill, *again) is None
    assert stop_at(5, sigterm, *again).code == 143
    assert stop_at(4, kill, *again) is None
    assert train(*again).code == 0
    assert result("run")["interrupted"] is False
    assert end("run") == end("whole")


def test_a_run_in_python_is_the_run_of_the_command():
    train("own.toml", "--out", "whole")
    settings = config.load(Path("own.toml"))
    for folder in ("runs/own", "runs/own-2"):
        assert runs.train(settings) == result(folder)
        assert end(folder) == end("whole")
    with pytest.raises(ConfigError):
        runs.train(settings, Path("whole"))
    assert minnet.load("whole").net.theta.ndim == 1  # one member is a single net


@pytest.mark.parametrize("validation", ["0", "0.2"])
def test_without_a_test_part_all_rows_are_learned_and_test_figures_are_null(validation):
    sizes = ["data.test_size=0", f"data.validation_size={validation}"]
    answer = train("own.toml", *sizes, "--out", "run")
    assert answer.code == 0 and "no test part, so nothing was tested" in answer.out
    found = result("run")
    assert sum(found["rows"].values()) == 120 and "test" not in found["rows"]
    nulls = {name for name, value in found.items() if value is None}
    of_validation = {"validation_loss", "validation_accuracy"} if validation == "0" else set()
    assert nulls == {"test_loss", "test_accuracy", *NAMES} | of_validation
    assert sum(minnet.load("run").counts) == found["rows"]["train"]
    said = train("own.toml", *sizes, "--repeat", "2").refusal(2)
    assert said == "--repeat and --sweep end in test figures: data.test_size=0 has none"


def test_of_members_the_saved_model_predicts_the_mean_and_counts_all_parameters():
    train("own.toml", "model.members=3", "--out", "run")
    loaded, X = minnet.load("run"), np.random.default_rng(0).normal(size=(9, 2))
    theta = loaded.net.theta
    found = result("run")
    assert theta.shape == (3, 51) and found["parameters"] == 153
    best = float(metrics()["validation_loss"][found["best_epoch"] - 1])
    assert found["validation_loss"] == pytest.approx(best)  # of the rows that each leaves out
    p = []
    for one in theta:
        loaded.net.__setstate__(loaded.net.__getstate__() | {"theta": one, "dtheta": one.copy()})
        p.append(loaded.predict_proba(X))
    np.testing.assert_allclose(minnet.load("run").predict_proba(X), np.mean(p, axis=0), rtol=1e-5)


def test_to_watch_auc_the_validation_part_needs_every_class():
    Path("validation.csv").write_text("a,b,label\n1,2,x\n3,4,y\n")
    own = ("own.toml", "data.validation_source=validation.csv", "train.watch=auc")
    said = train(*own).refusal(2)
    assert said.startswith("train.watch: no auc, as the validation part has no row of class z")


def test_balanced_class_weights_show_in_the_balanced_accuracy():
    rng = np.random.default_rng(0)
    lines = [
        f"{x + 1.5 * y},{y}"
        for x, y in zip(rng.normal(size=900), rng.random(900) < 0.1, strict=True)
    ]
    Path("rare.csv").write_text("\n".join(["x,y", *lines]))
    found = []
    for weight in ("none", "balanced"):
        own = ("data.source=rare.csv", "model.hidden=[]", "optimizer.learning_rate=0.05")
        train(*own, "train.epochs=20", f"train.class_weight={weight}", "--out", weight)
        found.append(result(weight))
    assert found[1]["balanced_accuracy"] > found[0]["balanced_accuracy"] + 0.1


def test_more_epochs_are_what_a_run_of_so_many_gives():
    train("own.toml", "train.epochs=9", "--out", "whole")
    train("own.toml", "--out", "run")
    Path("run/report.html").write_text(REPORT_MARK)  # is removed, as it becomes untrue
    assert train("--resume", "run", "train.epochs=6", "--quiet") == Answer(0, "", "")
    path = Path("run/config.toml")
    path.write_text(path.read_text().replace("epochs = 6\n", "epochs = 9\n"))
    assert "resumed after 6 of 9 epochs, 24 steps" in train("--resume", "run").out
    assert end("run") == end("whole")
    assert files("run")["config.toml"] == files("whole")["config.toml"]


def test_more_epochs_that_change_the_learning_rate_in_the_middle_say_so():
    for schedule, jumps in (("cosine", True), ("constant", False), ("step", False)):
        train("own.toml", "--out", schedule, f"optimizer.schedule={schedule}")
        assert "the learning rate" not in train("--resume", schedule).out
        out = train("--resume", schedule, "train.epochs=8").out
        said = "the learning rate was 9.61e-06, is 0.0005: the cosine schedule now ends after 8 e"
        assert (said in out) == jumps == ("the learning rate" in out)
        assert "the learning rate" not in train("--resume", schedule).out


def test_a_model_is_kept_where_its_figures_do_not_fit_into_memory_or_cannot_be_written(monkeypatch):
    train("own.toml", "--out", "whole")
    for name in ("metrics.figures", "files.write_json"):
        with monkeypatch.context() as patch:
            patch.setattr(f"minnet.runs.{name}", mock.Mock(side_effect=MemoryError))
            answer = train("own.toml", "--out", name)
        assert answer.code == 1 and answer.line().startswith("out of memory")
        assert files(name)["model.npz"] == files("whole")["model.npz"]
        assert "result.json" not in files(name)
        assert train("--resume", name).code == 0
        assert end(name) == end("whole")


def test_a_run_of_many_classes_has_a_small_result_of_its_largest_confusions():
    K = MATRIX + 10
    lines = [f"{j % K},{j % 7},c{j % K}" for j in range(10 * K)]
    Path("many.csv").write_text("\n".join(["a,b,label", *lines]))
    settings = ["data.source=many.csv", "model.members=1", "train.epochs=1"]
    found = runs.train(config.load(None, settings), Path("many"))
    assert found == runs.read_result(Path("many/result.json"))
    assert len(found["confusion"]) == LARGEST and len(found["classes"]) == K
    assert found["confusion"] == mistakes(found)[1]
    model = minnet.load("many")
    tested = minnet.model.evaluate(model, minnet.model.read(model, "many.csv", labels=True)[0])
    assert len(tested["confusion"]) == LARGEST and len(json.dumps(tested)) < 60_000


def test_a_finished_run_stays_as_it_is():
    for settings in (RUNS[0], "model.hidden=[]"):  # the first ends by its patience
        train("own.toml", *settings.split(), "--out", "run", "--overwrite")
        before = files("run")
        assert train("--resume", "run").code == 0
        assert files("run") == before


def test_a_run_without_a_checkpoint_starts_at_its_start_and_metrics_beyond_it_are_written_anew(
    stop_at,
):
    train("own.toml", "--out", "run")
    whole = end("run")
    for name in set(RUN_FILES) - {"config.toml"}:
        Path(f"run/{name}").unlink()
    assert "resumed after 0 of 4 epochs, 0 steps" in train("--resume", "run").out
    assert end("run") == whole
    never = "train.checkpoint_seconds=1000"
    assert stop_at(9, kill, "own.toml", "--out", "run", never, "--overwrite") is None
    assert metrics()["epoch"] == ["1", "2"]
    assert train("--resume", "run").code == 0
    assert end("run") == whole


def test_the_seconds_are_those_at_work_and_a_clock_that_is_set_back_changes_nothing(
    stop_at, monkeypatch
):
    train("own.toml", "--out", "whole")
    clock = iter(range(10**9, 0, -1000))
    for name in ("time", "time_ns"):
        monkeypatch.setattr(time, name, lambda: next(clock))
    start = time.perf_counter()
    stop_at(6, sigint, "own.toml", "--out", "run", "train.checkpoint_seconds=1e-9")
    time.sleep(0.3)
    assert train("--resume", "run").code == 0
    at_work = time.perf_counter() - start - 0.3
    assert end("run") == end("whole")
    seconds = [float(cell) for cell in metrics()["seconds"]]
    assert seconds == sorted(seconds)
    assert result("run")["seconds"] == seconds[-1] < at_work


def saved_state() -> dict[str, Any]:
    """What the checkpoint holds, by name."""
    arrays, _ = load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    return arrays | json.loads(arrays["rest"].tobytes())


def test_the_metrics_have_all_digits_and_the_result_is_that_of_the_last_row():
    train("own.toml", "--out", "run")
    columns, figures = metrics(), result("run")
    assert list(columns)[-4:] == ["gradient_1", "gradient_2", "update_1", "update_2"]
    assert columns["epoch"] == ["1", "2", "3", "4"]
    last = {name: float(cells[-1]) for name, cells in columns.items()}
    assert last.items() <= training.figures(Epoch(**saved_state()["history"][-1])).items()
    assert (figures["epochs"], figures["seconds"]) == (4, last["seconds"])
    assert figures["rows"] == {"train": 76, "validation": 20, "test": 24}


@pytest.fixture
def saves(monkeypatch) -> list[int]:
    """The steps of the checkpoints that are written."""
    steps = []

    def save(path, kind, arrays, about):
        if kind == "checkpoint":
            steps.append(json.loads(arrays["rest"].tobytes())["t"])
        save_sealed(path, kind, arrays, about)

    monkeypatch.setattr(runs.files, "save_sealed", save)
    return steps


def test_a_checkpoint_is_written_at_the_start_when_it_is_time_and_at_the_end(saves):
    # after each of 4 epochs of 4 steps; never; after each step
    for seconds, steps in ((0, range(4, 17, 4)), (1000, ()), (1e-9, range(1, 17))):
        saves.clear()
        assert train("own.toml", f"train.checkpoint_seconds={seconds}").code == 0
        assert saves == [0, *steps, 16]


def test_a_checkpoint_is_never_written_again_before_its_time(saves, monkeypatch):
    now, update = 0.0, training.update  # each step takes 0.7 seconds

    def slow(*arguments, **options):
        nonlocal now
        now += 0.7
        return update(*arguments, **options)

    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: now)
    monkeypatch.setattr(training, "update", slow)
    settings = ("train.epochs=30", "train.checkpoint_seconds=5")
    assert train("own.toml", *settings, "--out", "run").code == 0
    gaps = 0.7 * np.diff(saves[:-1])
    assert len(gaps) > 10
    assert 5 <= gaps.min() <= gaps.max() < 5 + 2 * 0.7
    saves.clear()
    assert train("--resume", "run", "train.epochs=60").code == 0
    assert 0.7 * np.diff([120, *saves[:-1]]).min() >= 5  # nor at once, although the run is old


def refused(*arguments: str, code: int = 1) -> str:
    """What is said of a run that cannot be resumed, and is not changed."""
    before = files("run")
    said = train("--resume", "run", *arguments).refusal(code)
    assert files("run") == before
    return said


CHANGES = {
    "train.epochs=3": "train.epochs was 4, is 3",
    "model.hidden=[9]": "model.hidden was [8], is [9]",
    'train.class_weight={"x" = 2}': "train.class_weight was 'none', is {'x': 2.0}",
    "train.seed=1": "train.seed was 0, is 1",
}


def test_another_config_is_a_mistake_that_shows_what_differs():
    train("own.toml", "--out", "run")
    path, what = Path("run/config.toml"), "the config of a run cannot change, except for more"
    own = path.read_text()
    for change, said in CHANGES.items():
        wanted = f"run: {what} epochs: {said}"
        assert refused(change, code=2) == wanted
        path.write_text(config.dumps(config.load(path, [change])))
        assert refused(code=2) == wanted
        path.write_text(own)
    two = "data.scale was 'standard', is 'none'; train.seed was 0, is 1"
    assert refused("train.seed=1", "data.scale=none", code=2).endswith(two)
    Path("run/checkpoint.npz").unlink()
    assert refused("train.seed=1", code=2) == wanted
    path.write_text("[train\n")
    assert refused(code=2).startswith("run/config.toml: is not TOML")


def in_other_units() -> None:
    head, *rows = [line.split(",") for line in Path("own.csv").read_text().splitlines()]
    rows = [[str(4 * float(a)), str(4 * float(b)), y] for a, b, y in rows]
    Path("own.csv").write_text("\n".join(map(",".join, [head, *rows])))


OTHER_DATA: list[tuple[Callable[[], object], str]] = [
    (lambda: write_rows(heads="b,a,label"), "other columns"),
    (lambda: write_rows(5, cell="100"), "other columns, test rows, train rows, validation rows"),
    (lambda: write_rows(5, label="w"), "other classes"),
    (in_other_units, "other columns"),
    (lambda: write_rows(labels="wyz"), "other classes"),
    (lambda: Path("own.csv").unlink(), "own.csv: cannot be read"),
]


def test_other_rows_columns_labels_or_units_are_other_data_and_a_problem_that_names_them():
    train("own.toml", "--out", "run")
    for change, said in OTHER_DATA:
        write_rows()
        change()
        assert said in refused()
    write_rows()
    train("own.toml", "data.scale=none", "--out", "run", "--overwrite")
    prepared = runs.prepare(config.load(Path("run/config.toml")))
    for part, rows in prepared.data.parts.items():
        write_rows(int(rows[0]), cell="0.5")
        other = f"other {'columns, ' * (part == 'train')}{part} rows"  # with their own median
        assert refused().endswith(f"own.csv: not the data that the run began with: {other}")


def test_another_machine_is_told_once_as_the_last_bits_may_differ(monkeypatch):
    train("own.toml", "--out", "run")
    here = runs.machine()
    assert all(here.values())
    for name, was in here.items():
        monkeypatch.setattr(runs, "machine", lambda name=name: here | {name: "abacus"})
        (said,) = [line for line in train("--resume", "run").out.splitlines() if "differ" in line]
        assert said.startswith("the last bits may differ from those of a run in one go: ")
        assert f"{name} was {was!r}, is 'abacus'" in said
        assert "differ" not in train("--resume", "run").out


def test_what_is_said_of_the_machine_is_the_same_after_other_libraries_are_loaded():
    code = "import sys; from minnet.runs import machine; a = machine(); assert 'scipy' not in "
    code += "sys.modules; import scipy.linalg; assert a == machine()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checkpoint_that_is_damaged_or_of_another_run_is_a_problem_that_changes_nothing():
    train("own.toml", "--out", "run")
    train("own.toml", "--out", "other", "model.hidden=[3]")
    path, (model, whole) = Path("run/checkpoint.npz"), (files("run")[n] for n in RUN_FILES[3:])
    for content, said in ((whole[:-1], "is damaged"), (model, "is a model, not a checkpoint")):
        path.write_bytes(content)
        assert refused("train.epochs=9").startswith(f"run/checkpoint.npz: {said}")
    Path("other/checkpoint.npz").replace(path)
    assert "model.hidden was [3], is [8]" in refused(code=2)


JUNK, OTHER = np.frombuffer(b"{", np.uint8), np.frombuffer(b"{}", np.uint8)
FORGED = [{"best": None}, {"theta": np.zeros(3)}, {"rest": JUNK}, {"rest": OTHER}, {"rest": None}]


def test_a_checkpoint_whose_content_is_not_that_of_a_run_is_refused_in_one_line():
    train("own.toml", "--out", "run")
    arrays, about = load_sealed(Path("run/checkpoint.npz"), "checkpoint")
    for changes in [*FORGED, None]:
        forged = {name: x for name, x in (arrays | (changes or {})).items() if x is not None}
        described = {"config": about["config"]} if changes is None else about
        save_sealed(Path("run/checkpoint.npz"), "checkpoint", forged, described)
        assert refused().startswith("run/checkpoint.npz: cannot be resumed (train again): ")


def edited(content: Any, rng: np.random.Generator) -> Any:
    """The content of a JSON file with one value, at any depth, of another kind, lost or doubled."""
    if isinstance(content, dict | list) and content and rng.random() < 0.8:
        places: Any = [*content] if isinstance(content, dict) else range(len(content))
        place = places[rng.integers(len(places))]
        changed = content.copy()
        how = rng.random()
        if how < 0.1:
            del changed[place]
        elif how < 0.15 and isinstance(changed, list):
            changed.append(changed[place])
        elif how < 0.2 and isinstance(changed, dict):
            changed["other"] = changed[place]
        else:
            changed[place] = edited(content[place], rng)
        return changed
    deep = functools.reduce(lambda inner, _: [inner], range(300), 0)
    others = [None, True, "", "x", -1, 0, 1, 2, 7, 0.5, -0.5, 1e308, float("nan"), float("inf")]
    others += [10**18, 10**400, 2**128, [], [1], {}, {"x": 1}, deep, [[0.5, 0.5], [0.5, 0.5]]]
    return others[rng.integers(len(others))]


@pytest.mark.parametrize("seconds", [0, 1e-9])
def test_a_checkpoint_with_any_edit_is_refused_in_one_line_or_trains_to_the_end(
    seconds, stop_at, monkeypatch
):
    settings = ["own.toml", "train.epochs=6", "--out", "run", "--quiet"]
    stop_at(10, kill, *settings, f"train.checkpoint_seconds={seconds}")  # in an epoch or not
    path, before = Path("run/checkpoint.npz"), files("run")
    arrays, about = load_sealed(path, "checkpoint")
    rest, rng = json.loads(arrays["rest"].tobytes()), np.random.default_rng(5)
    assert (rest["step"] > 0) == (seconds > 0) and rest["history"]
    prepared = runs.prepare(config.load(Path("run/config.toml")))
    monkeypatch.setattr(runs, "prepare", lambda *_: prepared)  # which takes most of the time
    theta, ended, said = prepared.net.theta.copy(), 0, []
    for _ in range(150):
        for name, content in before.items():
            Path("run", name).write_bytes(content)
        prepared.net.theta[:] = theta
        both = edited([rest, about], rng)
        both = both if isinstance(both, list) and len(both) == 2 else [both, about]
        text = np.frombuffer(json.dumps(both[0]).encode(), np.uint8)
        described = both[1] if isinstance(both[1], dict) else about
        with contextlib.suppress(ValueError):  # NaN in what it is about
            save_sealed(path, "checkpoint", arrays | {"rest": text}, described)
        answer = train("--resume", "run", "--quiet")
        assert answer.code in (0, 1, 2)
        said += [answer.line()] if answer.code else []
        ended += answer == Answer(0, "", "")
    assert ended + len(said) == 150 and ended > 10 and len(said) > 75


def rest_with(**changes: Any) -> dict[str, Any]:
    rest = json.loads(load_sealed(Path("run/checkpoint.npz"), "checkpoint")[0]["rest"].tobytes())
    text = json.dumps(rest | changes)
    return {"rest": np.frombuffer(text.encode(), np.uint8)}


def test_no_checkpoint_is_taken_for_one_of_another_shape_time_or_sign():
    train("own.toml", "--out", "run")
    path = Path("run/checkpoint.npz")
    arrays, about = load_sealed(path, "checkpoint")
    history = json.loads(arrays["rest"].tobytes())["history"]
    wrong: list[dict[str, Any]] = [{"theta": arrays["theta"][:1]}, {"best": arrays["best"][None]}]
    wrong += [{"theta": arrays["theta"].astype(float)}, {"optimizer": arrays["optimizer"][:, :1]}]
    numbers = {"t": -1, "step": 4, "epoch": 6, "losses": -1.0, "seconds": np.inf, "limit": np.nan}
    numbers |= {"best_epoch": 5, "correct": 10**400, "weight": None, "norms": "x", "t ": 0}
    wrong += [rest_with(**{name: value}) for name, value in numbers.items()]
    wrong += [rest_with(history=history[1:]), rest_with(history=[*history[1:], history[0]])]
    short = history[-1] | {"gradient": [0.1]}
    wrong += [rest_with(history=[*history[:-1], short]), rest_with(step=1, t=17, order={})]
    for changes in wrong:
        save_sealed(path, "checkpoint", arrays | changes, about)
        assert refused().startswith("run/checkpoint.npz: cannot be resumed (train again): ")
    for name in ("digests", "machine"):
        save_sealed(path, "checkpoint", arrays, about | {name: {"x": [1]}})
        assert refused().startswith("run/checkpoint.npz: cannot be resumed (train again): ")


def test_while_a_run_is_at_work_no_other_is_let_into_its_folder(monkeypatch):
    monkeypatch.setattr(minnet.files, "GRACE", 0)
    train("own.toml", "--out", "run")
    before = files("run")
    with locked(Path("run")):
        for other in (["--resume", "run"], ["own.toml", "--out", "run", "--overwrite"]):
            said = train(*other, "--quiet").refusal(1)
            assert said == "run: in use by another process; wait for it"
    assert files("run") == before


def test_a_run_that_ended_while_another_was_loading_its_data_is_not_overwritten(monkeypatch):
    def prepare(*arguments):  # and meanwhile another run takes the folder, and ends
        with monkeypatch.context() as patch:
            patch.setattr(runs, "prepare", real)
            assert cli.main(["train", "own.toml", "--out", "run", "--quiet"]) == 0
        return real(*arguments)

    real = runs.prepare
    monkeypatch.setattr(runs, "prepare", prepare)
    answer = train("own.toml", "--out", "run", "train.seed=1", "--quiet")
    assert answer.refusal(2).startswith("run: exists; ")
    assert result("run")["seed"] == 0


def test_a_second_signal_in_the_middle_of_the_last_save_leaves_whole_files(stop_at):
    train("own.toml", "--out", "whole")
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=1000", "--quiet")
    with faults() as counted:
        stop_at(6, sigint, *arguments)
    last = [at for at, name in enumerate(counted.names, 1) if name == "open"][4:]
    for at in [at + more for at in last for more in (0, 3, 20)]:
        with faults(at, sigint):
            answer = stop_at(6, sigint, *arguments, "--overwrite")
        assert answer.code == 130
        assert not list(Path("run").glob(".*.minnet"))
        assert train("--resume", "run").code == 0
        assert end("run") == end("whole")


STEPS = {"open", "write", "flush", "fsync", "rename"}


@pytest.mark.parametrize("how", ["full", "killed"])
@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("steps", [{"open", "rename"}, pytest.param(STEPS, marks=pytest.mark.soak)])
def test_a_fault_at_any_step_of_writing_leaves_whole_files_and_a_run_to_resume(how, resumed, steps):
    new = ("own.toml", "--out", "run", "train.epochs=1", "train.checkpoint_seconds=0", "--quiet")
    before = {}
    if resumed:
        train(*new)
        before = files("run")
    struck = ("--resume", "run", "train.epochs=2", "--quiet") if resumed else new
    with faults() as counted:
        assert train(*struck).code == 0
    expected = end("run")
    assert counted.names.count("rename") == 2 + (2 if resumed else 3) + 2
    for at in [at for at, name in enumerate(counted.names, 1) if name in steps]:
        for path in Path("run").iterdir():
            path.unlink()
        for name, content in before.items():
            Path(f"run/{name}").write_bytes(content)
        with faults(at, how):
            if how == "full":
                # a run has begun with its config, its metrics and, if it is new, its checkpoint
                begun = counted.names[:at].count("open") > (2 if resumed else 3)
                said = r"run/[a-z.]+: cannot be written: No space left on device"
                hint = "; resume with: minnet train --resume run" if begun else ""
                assert re.fullmatch(said + hint, train(*struck).refusal())
                assert not list(Path("run").glob(".*.minnet"))
            else:
                with pytest.raises(Killed):
                    train(*struck)
        assert_whole()
        assert set(before) <= set(files("run"))  # none is lost
        again = new if not Path("run/config.toml").exists() else ("--resume", "run", "--quiet")
        assert train(*(struck if resumed else again)) == Answer(0, "", "")
        assert end("run") == expected


READERS: dict[str, Callable[[Path], object]] = {
    ".toml": config.load,
    ".csv": functools.partial(np.genfromtxt, delimiter=","),  # lines of one length
    ".json": lambda path: result(path.parent),
    ".npz": lambda path: load_sealed(path, path.stem),
}


def assert_whole() -> None:
    """Each file of the run under its own name was written to its end."""
    for path in Path("run").glob("[!.]*"):
        READERS[path.suffix](path)
        assert path.suffix == ".npz" or path.read_text().endswith("\n")


@pytest.mark.parametrize(("rate", "seconds"), [("1e37", 0), ("1e12", 1e-9)])
def test_a_run_that_diverges_says_what_to_try_and_keeps_the_checkpoint_before(rate, seconds):
    settings = ["optimizer.name=sgd", f"optimizer.learning_rate={rate}", "data.scale=none"]
    settings += [f"train.checkpoint_seconds={seconds}", "--out", "run", "--quiet"]
    said = train("own.toml", *settings).refusal()
    advice = f"a smaller optimizer.learning_rate than {float(rate):g}, or train.max_grad_norm=1"
    assert said.startswith("training diverged in epoch 1")
    assert said.endswith(f"; try {advice}, or data.scale=standard")
    assert_whole()
    assert train("--resume", "run", "--quiet").refusal() == said


def test_a_run_that_is_stopped_when_its_weights_are_lost_keeps_its_best_ones(monkeypatch, stop_at):
    lost, build = [], training.build

    def strike():
        sigint()
        lost[-1].theta[3] = np.inf

    monkeypatch.setattr(training, "build", lambda *a: lost.append(build(*a)) or lost[-1])
    arguments = ("own.toml", "--out", "run", "train.checkpoint_seconds=0")
    assert stop_at(6, strike, *arguments).code == 130
    model, _ = load_sealed(Path("run/model.npz"), "model")
    np.testing.assert_array_equal(model["theta"], saved_state()["best"])
    assert saved_state()["t"] == 4


def test_a_net_that_memory_has_no_room_for_is_a_mistake_of_the_config():
    # with adam: theta, the one before, the best, dtheta, and two moments
    # and for each of 20 rows, h, a, slope, dh and da: 5 arrays of 4 bytes, 1.2 GB
    said = train("own.toml", "model.hidden=[1000000, 1000000, 1000000]").line()
    sizes = "2,000,008,000,003 parameters and batches of 20 rows need 48,001 GB"
    assert said.startswith(f"model.hidden: {sizes}; ")


def claim(out: Path | str | None, overwrite: bool = False) -> Path:
    with runs.claimed(Path(out) if out else None, "iris", overwrite) as folder:
        return folder


OURS = MARKS | {REPEAT_FILE: '"runs": 2', SWEEP_FILE: "run,"}


def run_in(folder: Path, *more: str) -> Path:
    """A folder that holds a finished run, or more."""
    for name in (*RUN_FILES, *more):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{OURS.get(name, REPORT_MARK)} old {name}")
    return folder


def repeated_in(folder: Path) -> Path:
    """A folder that holds a repeated run, all with their reports."""
    for name in ("seed-0", "seed-1", "run-12-seed-0"):
        run_in(folder / name, *REPORT_FILES)
    return run_in(folder, REPEAT_FILE, SWEEP_FILE, *REPORT_FILES)


def test_the_first_run_gets_the_name_and_later_ones_the_first_free_number():
    Path("runs").mkdir()
    Path("runs/iris-3").write_text("mine")
    assert [str(claim(None)) for _ in range(3)] == ["runs/iris", "runs/iris-2", "runs/iris-4"]
    Path("runs/iris-2").rmdir()
    assert claim(None) == Path("runs/iris-2")
    assert Path("runs/iris-3").read_text() == "mine"
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(claim, [None] * 40))) == 40  # each gets its own


def test_a_named_folder_is_made_with_its_parents_or_taken_if_it_is_empty():
    assert claim("a/b/c") == claim("a/b/c") == Path("a/b/c")
    Path("a/b/c/.config.toml.minnet").write_text("[da")  # of a killed run
    assert claim("a/b/c") == Path("a/b/c")
    assert list(Path("a/b/c").iterdir()) == []


def test_a_folder_with_anything_in_it_is_refused_and_overwrite_is_for_runs_alone():
    run_in(Path("mine"))
    run_in(Path("other"))
    Path("other/config.toml").write_text("[data]\nsource = 'wine'\n")  # not of a run
    before = files()
    for function in (claim, lambda out: runs.check_folder(Path(out), False)):
        assert message(ConfigError, function, "mine").startswith("mine: exists; ")
    assert "other files and no run" in message(ConfigError, claim, "other", True)
    for overwrite in (False, True):
        said = "own.csv: cannot be used: Not a directory"
        assert message(ConfigError, runs.check_folder, Path("own.csv"), overwrite) == said
    assert files() == before


@pytest.mark.parametrize("name", [*RUN_FILES, REPEAT_FILE, SWEEP_FILE, "notes.txt"])
def test_a_copied_config_makes_no_run_of_other_files(name):
    folder = Path("mine")
    folder.mkdir()
    (folder / "config.toml").write_text(f"{MARKS['config.toml']}[data]\nsource = 'wine'\n")
    if name != "config.toml":
        (folder / name).write_text("epoch,mine\n1,2\n")
        before = files()
        assert "other files and no run" in message(ConfigError, claim, "mine", True)
        assert files() == before
    else:  # a run that was killed at once
        assert claim("mine", True) == folder


def test_a_run_that_was_copied_or_moved_is_still_one():
    train("own.toml", "--out", "run")
    shutil.copytree("run", "copy")
    Path("run").rename("moved")
    assert all(map(runs.is_run, map(Path, ("copy", "moved")))) and not runs.is_run(Path("run"))


def test_overwrite_removes_the_files_of_the_run_and_no_others():
    for out in ("runs/iris", None):
        folder = run_in(Path("runs/iris"), "notes.txt", "plots/model.npz")
        assert claim(out, overwrite=True) == folder
        assert files(folder).keys() == {"notes.txt", "plots/model.npz"}
    assert claim("new", overwrite=True) == Path("new")


def test_a_folder_that_cannot_be_made_is_named():
    Path("runs").write_text("text")
    for out in ("own.csv/a/run", "x" * 300, "/proc/run", None):
        said = message(MinnetError, claim, out)
        assert said.startswith(f"{out or 'runs/iris'}: cannot be made: ")


def test_clearing_a_repeated_run_removes_its_runs_and_their_reports_and_keeps_the_rest():
    mine = ["notes.txt", "seed-1/notes.txt", "pictures/me.svg", "plots/seed-0", "seed-x/model.npz"]
    folder = run_in(repeated_in(Path("mine")), *mine, "seed-0/.model.npz.minnet")
    runs.clear(folder)
    assert files(folder).keys() == set(mine)
    assert not (folder / "seed-0").exists()
    before = files(run_in(run_in(Path("single")) / "seed-0"))
    runs.clear(Path("single"))  # was not repeated
    assert files("single/seed-0") == before


def test_clearing_that_is_cut_short_can_be_taken_up_again(monkeypatch):
    folder, unlink = Path("mine"), Path.unlink

    def killed(path, left, missing_ok=False):
        if len(files(folder)) == left:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    for left in (1, 3, 5, 10, 40):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "unlink", functools.partialmethod(killed, left))
            runs.clear(repeated_in(folder))
        assert claim(folder, overwrite=True) == folder
        assert list(folder.iterdir()) == []


def test_clearing_a_report_leaves_the_run_and_what_is_not_of_minnet():
    folder = run_in(Path("mine"))
    before = files(folder)
    runs.clear_report(run_in(folder, *REPORT_FILES))
    assert files(folder) == before
    assert not (folder / "pictures").exists()
    (run_in(folder, *REPORT_FILES) / "pictures/me.svg").write_text("mine")
    runs.clear_report(folder)
    assert files(folder) == before | {"pictures/me.svg": b"mine"}
    run_in(folder, *REPORT_FILES)
    (folder / REPORT).write_text("a page of the user's")
    before = files(folder)
    runs.clear_report(folder)
    assert files(folder) == before


def test_a_folder_that_cannot_be_cleared_is_named(monkeypatch):
    monkeypatch.setattr(Path, "unlink", mock.Mock(side_effect=PermissionError(13, "denied")))
    folder, said = run_in(Path("mine"), *REPORT_FILES), "mine: cannot be cleared: denied"
    for function in (runs.clear, runs.clear_report):
        assert message(MinnetError, function, folder) == said
