"""How good predictions are: labels y (n,), predicted classes (n,) and p (n, K) -> figures.

Each figure is scikit-learn's where it has it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

TINY = 1e-300  # rows of a class that training had not, so that its loss is finite
MATRIX = 200  # classes, at most, of a confusion matrix: one of 3,000 would be a file of 81 MB
LARGEST = 50  # confusions, at most, of more classes
BINS = 10  # of confidence, of equal width, as in Guo et al. 2017


def macro_f1(y: NDArray, predicted: NDArray, p: NDArray) -> float:
    """The mean over all classes of the harmonic mean of precision and recall."""
    from sklearn.metrics import f1_score

    labels = range(p.shape[1])
    return float(f1_score(y, predicted, labels=labels, average="macro", zero_division=0.0))


def balanced_accuracy(y: NDArray, predicted: NDArray, p: NDArray) -> float:
    """The mean recall of the classes in y: scikit-learn's balanced_accuracy_score, which warns of
    other classes predicted."""
    from sklearn.metrics import recall_score

    return float(recall_score(y, predicted, labels=np.unique(y), average="macro"))


def auc(y: NDArray, predicted: NDArray, p: NDArray) -> float | None:
    """The area under the ROC curve, of class 1 for two classes, else the mean of each class against
    the rest; None if a class is missing in y. Class by class, as Y would be as large as p."""
    from sklearn.metrics import roc_auc_score

    K = p.shape[1]
    if len(np.unique(y)) < K:
        return None
    return float(np.mean([roc_auc_score(y == k, p[:, k]) for k in range(1 if K == 2 else 0, K)]))


def calibration_error(y: NDArray, predicted: NDArray, p: NDArray) -> float:
    """The mean gap between confidence, the largest p, and accuracy (Guo et al. 2017, eq. 3)."""
    return calibration(p.max(axis=1).astype(np.float64), predicted == y).gap


WATCHED: dict[str, Any] = {f.__name__: f for f in (macro_f1, balanced_accuracy, auc)}
SCORES = WATCHED | {"calibration_error": calibration_error}
NAMES = (*SCORES, "baseline_accuracy", "baseline_loss", "per_class", "confusion")


def figures(y: NDArray, predicted: NDArray, p: NDArray, counts: Any = None) -> dict[str, Any]:
    """The figures in SCORES; those of the baseline, which knows only the counts (K,) of the classes
    in training, None if unknown: its accuracy, always saying the most frequent class, and its loss,
    with their shares as p; precision, recall, F1 and rows of each class; and the confusion matrix,
    with a row for each true class and a column for each predicted one. Of more than MATRIX classes,
    it is the LARGEST confusions: [rows, true class, predicted class] of each."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labels: Any = range(p.shape[1])
    baseline: Any = (None, None)
    if counts is not None:
        log_p = np.log(np.maximum(counts, TINY) / np.sum(counts))
        baseline = float(np.mean(y == np.argmax(counts))), float(-log_p[y].mean())
    by_class = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0.0)
    names = ("precision", "recall", "f1", "rows")
    per_class = {name: figure.tolist() for name, figure in zip(names, by_class, strict=True)}
    if len(labels) > MATRIX:
        wrong = np.stack([y, predicted])[:, y != predicted]
        pairs, n = np.unique(wrong, axis=1, return_counts=True)
        largest = np.argsort(-n, kind="stable")[:LARGEST]
        confusion = np.stack([n, *pairs], axis=1)[largest].tolist()
    else:
        confusion = confusion_matrix(y, predicted, labels=labels).tolist()
    scores = {name: score(y, predicted, p) for name, score in SCORES.items()}
    others = zip(NAMES[len(SCORES) :], (*baseline, per_class, confusion), strict=True)
    return scores | dict(others)


def mistakes(result: dict[str, Any]) -> tuple[int, list[list[int]]]:
    """How many rows of `figures` are predicted wrong, and [rows, true class, predicted class] of
    each confusion, the most frequent first; of more than MATRIX classes, of the LARGEST alone."""
    rows, found = result["per_class"]["rows"], result["confusion"]
    if len(rows) <= MATRIX:
        found = [
            [n, i, j] for i, row in enumerate(found) for j, n in enumerate(row) if n and i != j
        ]
    right = np.dot(result["per_class"]["recall"], rows)
    return sum(rows) - round(right), sorted(found, key=lambda one: -one[0])


class Bins(NamedTuple):
    """Bins of confidence, (b,) each: the middle of a bin, the number of its rows, their mean
    confidence, and their accuracy with a 95% interval."""

    middle: NDArray
    rows: NDArray
    confidence: NDArray
    accuracy: NDArray
    low: NDArray
    high: NDArray

    @property
    def gap(self) -> float:
        """The mean gap between confidence and accuracy over rows (Guo et al. 2017, eq. 3)."""
        return float(np.average(abs(self.confidence - self.accuracy), weights=self.rows))


def calibration(confidence: NDArray, right: NDArray) -> Bins:
    """The bins that have rows, for the confidence (n,) of rows and whether each is right (n,).

    >>> bins = calibration(np.array([0.7, 0.7, 0.7, 0.7, 1.0]), np.array([1, 0, 1, 0, 1]))
    >>> bins.rows.tolist(), bins.accuracy.tolist(), round(bins.gap, 3)
    ([4.0, 1.0], [0.5, 1.0], 0.16)
    """
    # (0.6, 0.7] is a bin: with 0.7 in it, also where that is a little more in float32
    place, found = np.ceil(confidence * BINS - 1e-6), []
    for b in np.unique(place):
        inside = place == b
        n, k, mean = inside.sum(), right[inside].sum(), confidence[inside].mean()
        found.append(((b - 0.5) / BINS, n, mean, k / n, *wilson(k, n)))
    return Bins(*np.transpose(found))


def wilson(right: int, n: int) -> tuple[float, float]:
    """A 95% interval for the chance of being right, given how many of n rows were (Wilson 1927).

    >>> print("{:.4f} to {:.4f}".format(*wilson(355, 360)))
    0.9679 to 0.9941
    """
    from scipy.stats import binomtest

    return binomtest(int(right), int(n)).proportion_ci(method="wilson")
