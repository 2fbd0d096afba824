"""python -m benchmarks.accuracy [CONFIG.toml ...]: test accuracy, as the configs quote it.

Each config (or, without one, those of the bundled sets) is trained with data.split_seed 0 to 9;
untuned classifiers of scikit-learn learn and are tested on the same rows.
"""

import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn import ensemble, linear_model, neural_network, svm
from sklearn.base import clone
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.report import grid
from minnet import config as configs
from minnet import data, runs

SPLITS = range(10)
LOGISTIC = linear_model.LogisticRegression(max_iter=5000)
MLP = neural_network.MLPClassifier(max_iter=1000, random_state=0)
PEERS = {
    "logistic regression": make_pipeline(StandardScaler(), LOGISTIC),
    "SVC": make_pipeline(StandardScaler(), svm.SVC()),
    "random forest": ensemble.RandomForestClassifier(random_state=0),
    "MLPClassifier": make_pipeline(StandardScaler(), MLP),
}


def accuracies(path: Path, split: int) -> dict[str, float]:
    """Test accuracy of a config, and of each peer, on one split."""
    config = configs.load(path, [f"data.split_seed={split}"])
    with tempfile.TemporaryDirectory() as folder:
        found = {"minnet": runs.train(config, Path(folder, "run"))["test_accuracy"]}
    loaded, size = data.load(config.data), config.data.test_size
    X, y = loaded.table.X, loaded.y
    X, X_test, y, y_test = train_test_split(X, y, test_size=size, stratify=y, random_state=split)
    return found | {
        name: clone(peer).fit(X, y).score(X_test, y_test) for name, peer in PEERS.items()
    }


def main(paths: list[Path]) -> None:
    """Print a table with a row for each classifier and a column for each config."""
    warnings.simplefilter("ignore")  # some of the peers have not converged
    found = defaultdict(list)
    for path in paths:
        for split in SPLITS:
            for name, accuracy in accuracies(path, split).items():
                found[name, path.stem].append(accuracy)
    print(grid({at: f"{np.mean(x):.4f} ± {np.std(x):.4f}" for at, x in found.items()}))


if __name__ == "__main__":
    main([*map(Path, sys.argv[1:])] or [configs.shipped()[name] for name in configs.BUNDLED])
