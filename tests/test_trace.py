"""No step is shown and not run: training executes every numbered line of the core."""

import re
import sys
import tokenize
from dataclasses import replace

import numpy as np
import pytest

from minnet import config as configs
from minnet import training
from minnet.data import Part
from minnet.study.step import PACKAGE, STEPS, locations, traced

ALWAYS = {1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26}
# settings of a run, whether rows are weighted, and the other steps that it takes
RUNS = {
    "jacobian": (["model.dropout=0.4", "train.label_smoothing=0.1"], False, {4, 14, 15, 16}),
    "vjp": (["optimizer.weight_decay=0.1"], True, {14, 17, 18, 21}),
    "fused": (["optimizer.name=adamw", "train.max_grad_norm=0.001"], False, {19, 24, 25}),
}


def executed(method):
    """The lines that a training run of two epochs executes."""
    settings, weighted, _ = RUNS[method]
    method = f"model.output_gradient={method}"
    config = configs.load(
        None, [*configs.PLAIN, "train.epochs=2", "train.batch_size=4", method, *settings]
    )
    rng, y = np.random.default_rng(0), np.arange(10) % 3
    weights = np.array([1.0, 2.0, 3.0]) if weighted else None
    net = training.build(config, 4, 3, weights)
    part = Part(rng.normal(size=(10, 4)).astype(net.dtype), y)
    part = replace(part, w=rng.random(10)) if weighted else part
    recipe = training.recipe(config, net, 10)
    state = training.State.start(net, recipe.rule, 0)
    with traced() as lines:
        for _ in training.train(net, {"train": part}, recipe, state):
            pass
    return lines


@pytest.mark.parametrize("method", RUNS)
def test_training_executes_every_numbered_step_but_those_of_the_other_output_gradients(method):
    assert {line.step for line in executed(method)} == ALWAYS | RUNS[method][2]


def test_the_runs_leave_no_step_out():
    taken = ALWAYS.union(*(steps for _, _, steps in RUNS.values()))
    assert taken == {step for step in locations() if isinstance(step, int)}


def test_the_lines_come_in_the_order_in_which_they_run_with_the_values_that_they_had():
    lines = executed("vjp")
    first = [line.step for line in lines[: [line.step for line in lines].index(26) + 1]]
    forward = [2, 3, 3]  # h and the slope
    middle = [5, 6, 7, 8, 9, 13, 14, 17, 18, 20, 20, 21, 22, 23]
    assert first == [10, 11, 12, 1, *forward, *middle, *first[-4:]]
    assert first[-4:] == [20, 20, 21, 26]
    losses = [float(line.value) for line in lines if line.step == 13]
    assert len(losses) == len(set(losses)) == 6  # 2 epochs of 3 steps, each a copy


def test_the_tags_are_the_numbers_from_1_without_holes_each_once_where_locations_says():
    tags = []
    for path in PACKAGE.rglob("*.py"):
        with path.open("rb") as file:
            tokens = tokenize.tokenize(file.readline)
            comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
        tags += re.findall(r"# \((\d+|[A-Z])\)", "\n".join(comments))
    assert sorted(tags) == sorted([*map(str, range(1, 27)), "C", "D"])
    assert set(map(str, locations())) == set(tags)
    assert {number for number, *_ in STEPS} == set(range(1, 27))
    for step, (file, line, source) in locations().items():
        written = (PACKAGE / file).read_text(encoding="utf-8").splitlines()[line - 1]
        assert written.strip() == source
        assert f"# ({step})" in source and not source.startswith("#")


def test_tracing_ends_with_the_block_also_after_an_error():
    before = sys.gettrace()
    with pytest.raises(ZeroDivisionError), traced():
        assert sys.gettrace() is not before
        raise ZeroDivisionError
    assert sys.gettrace() is before
