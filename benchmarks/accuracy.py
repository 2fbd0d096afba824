"""python -m benchmarks.accuracy [CONFIG.toml ...]: test accuracy over ten splits, beside the usual classifiers.

Each config is trained with data.split_seed 0 to 9 and measured on the test part of each; scikit-learn's classifiers,
untuned but for standardised features where they need them, learn and are measured on exactly the same rows. These
are the figures that the configs quote. With no config: the four bundled sets.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from minnet import config, experiment, training
from minnet.data import Dataset

SPLITS = range(10)
PEERS = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
    "SVC": make_pipeline(StandardScaler(), SVC()),
    "random forest": RandomForestClassifier(random_state=0),
    "MLPClassifier": make_pipeline(StandardScaler(), MLPClassifier(max_iter=1000, random_state=0)),
}


def minnet_accuracy(path: Path, split: int) -> tuple[float, Dataset, float]:
    """Test accuracy of a config on one split; its data and the size of its test part."""
    settings = config.load(path, [f"data.split_seed={split}"])
    run = experiment.prepare(settings)
    with training.blas_threads(run.net, settings.train.batch_size):
        for _ in training.train(run.net, run.parts["train"], run.parts.get("validation"), settings):
            pass
        return training.evaluate(run.net, run.parts["test"]).accuracy, run.dataset, settings.data.test_size


def peer_accuracy(peer, dataset: Dataset, test_size: float, split: int) -> float:
    """Test accuracy of a scikit-learn classifier on the same rows."""
    X, X_test, y, y_test = train_test_split(
        dataset.X, dataset.y, test_size=test_size, stratify=dataset.y, random_state=split
    )
    return clone(peer).fit(X, y).score(X_test, y_test)


def main(paths: list[Path]) -> None:
    """Print a table: a block for each config, a line for each classifier."""
    warnings.simplefilter("ignore")  # some of the peers warn that they have not converged
    for path in paths:
        runs = [minnet_accuracy(path, split) for split in SPLITS]
        rows = {f"minnet, {path}": [accuracy for accuracy, _, _ in runs]}
        _, dataset, test_size = runs[0]
        for name, peer in PEERS.items():
            rows[name] = [peer_accuracy(peer, dataset, test_size, split) for split in SPLITS]
        for name, accuracies in rows.items():
            print(f"{np.mean(accuracies):.4f} ± {np.std(accuracies):.4f}  {name}", flush=True)
        print()


if __name__ == "__main__":
    shipped = [Path("configs") / f"{name}.toml" for name in config.BUNDLED]
    main([Path(argument) for argument in sys.argv[1:]] or shipped)
