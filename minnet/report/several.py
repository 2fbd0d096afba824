"""The page of several runs, or of one that was repeated."""

from collections.abc import Sequence

import numpy as np

from minnet import config as configs
from minnet import repeat
from minnet.report import pictures
from minnet.report.folder import Group
from minnet.report.page import Page, table, text
from minnet.report.svg import draw

# what makes a test part, beside the files themselves
SPLIT = [
    f"data.{name}"
    for name in (
        "source",
        "target",
        "header",
        "test_source",
        "test_size",
        "split_seed",
        "samples",
        "features",
        "classes",
        "noise",
    )
] + ["data.generator_seed", "data.missing"]
SEEDS = ("data.split_seed", "train.seed")


def page(groups: Sequence[Group]) -> Page:
    """Scores, curves, a table sorted by test accuracy, and what differs in the configs."""
    groups = sorted(groups, key=lambda group: (not group.ended, -np.nan_to_num(group.mean("test_accuracy"))))
    names = ", ".join(group.name for group in groups[:4]) + (f" and {len(groups) - 4} more" if len(groups) > 4 else "")
    shown = Page(names, [_line(group) for group in groups if group.repeated])
    said = "Each dot is a run's test accuracy"
    if any(group.figures for group in groups):
        said += "; lines are 95% intervals for the mean, with splits that share rows allowed for (Nadeau, Bengio 2003)"
    if any(group.ended for group in groups):
        shown.show(draw("scores", "Test accuracy", f"{said}.", lambda: pictures.scores(groups)))
    if any(len(run.epochs["epoch"]) for group in groups for run in group.runs):
        said = "Every run, in validation where it has such a part."
        shown.show(draw("curves", "Learning curves", said, lambda: pictures.overlaid(groups)))
    shown.add("By test accuracy", _scores(groups), wide=True)
    compared = [group for group in groups if len(group.ended) > 1]
    paired = _paired(compared)
    if paired:
        said = "Test accuracy less that of the first, split by split, which tells more than two intervals side by side."
        head = ["run", "difference", "95% interval", "splits"]
        shown.add(f"Beside {compared[0].name}", f"<p class=faint>{text(said)}</p>{table(head, paired)}", wide=True)
    if len(groups) > 1:
        shown.add("What differs in their configs", _differences(groups), wide=True)
    for group in groups:
        if group.repeated:
            shown.add(f"Runs of {group.name}", _runs(group), wide=True)
    if len(groups) == 1:
        config = configs.dumps(groups[0].runs[0].config).strip() if groups[0].runs else ""
        shown.add("Config of the first", f"<pre>{text(config)}</pre>", wide=True)
    return shown


def _line(group: Group) -> str:
    ended = len(group.ended)
    head = f"{group.name}: {ended} of {len(group.runs) + group.missing} runs"
    if "test_accuracy" not in group.figures:
        return f"{head} ended"
    mean = group.figures["test_accuracy"]
    return (
        f"{head}, test accuracy {mean.mean:.4f} \N{PLUS-MINUS SIGN} {mean.sd:.4f} "
        f"(95% interval {mean.low:.4f} to {mean.high:.4f})"
    )


def _scores(groups: Sequence[Group]) -> str:
    lines: list[tuple[str, ...]] = []
    for group in groups:
        if not group.ended:
            lines.append((group.name, "not ended", "", "", "", ""))
            continue
        cells = [group.name]
        for figure in ("test_accuracy", "test_loss", "macro_f1"):
            found = group.figures.get(figure)
            spread = f" \N{PLUS-MINUS SIGN} {found.sd:.4f}" if found else ""
            cells.append(f"{group.mean(figure):.4f}{spread}")
        lines.append((*cells, f"{group.mean('epochs'):.4g}", f"{group.mean('seconds'):.2f}"))
    return table(["run", "accuracy", "loss", "macro F1", "epochs", "seconds"], lines)


def _paired(groups: Sequence[Group]) -> list[tuple[str, str, str, int]]:
    """Each repeated group beside the first one, over the splits of the same data that both have."""
    lines: list[tuple[str, str, str, int]] = []
    of_first = _by_split(groups[0]) if groups else {}
    for group in groups[1:]:
        of_group = _by_split(group)
        shared = [split for split in of_group if split in of_first]
        if len(shared) > 1:
            run = groups[0].ended[0]
            gaps = [of_group[split] - of_first[split] for split in shared]
            found = repeat.interval(gaps, repeat.test_ratio(run.config, run.result or {}))
            interval = f"{found.low:+.4f} to {found.high:+.4f}"
            lines.append((group.name, f"{found.mean:+.4f}", interval, len(shared)))
    return lines


def _by_split(group: Group) -> dict[str, float]:
    """The test accuracy of each run, by all that makes its test part."""
    found = {}
    for run in group.ended:
        data = {key: value for key, value in configs.values(run.config).items() if key in SPLIT}
        found[repr(data)] = run.result["test_accuracy"] if run.result else np.nan
    return found


def _differences(groups: Sequence[Group]) -> str:
    """For each key that is not the same everywhere, its value in each group."""
    values = [[configs.values(run.config) for run in group.runs] for group in groups]
    lines = []
    for key in configs.KEYS:
        cells = [_shown(key, [run[key] for run in runs]) for runs in values]
        if len(set(cells)) > 1:
            lines += [(key if g == 0 else "", group.name, cells[g]) for g, group in enumerate(groups)]
    return table(["key", "run", "value"], lines) if lines else "<p>Nothing: their configs are the same.</p>"


def _shown(key: str, values: list) -> str:
    """The value of a key in the runs of a group; of seeds, the first and the last."""
    each = list(dict.fromkeys(map(str, values)))
    return " to ".join([each[0], each[-1]]) if len(each) > 1 and key in SEEDS else ", ".join(each)


def _runs(group: Group) -> str:
    lines = []
    for run in group.runs:
        cells = ["not ended", "", "", ""]
        if run.result:
            cells = [f"{run.result[name]:.4f}" for name in ("test_accuracy", "test_loss", "macro_f1")]
            cells += [str(run.result["best_epoch"])]
        lines.append((run.name, *cells, len(run.epochs["epoch"])))
    return table(["run", "accuracy", "loss", "macro F1", "best epoch", "epochs"], lines)
