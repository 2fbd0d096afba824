"""Rows for tests of data, the files that hold them, and what is said when they are refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

N, D = 300, 5
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = RNG.normal(size=(N, D)) + Y[:, None]
CSR = sp.hstack([Y[:, None] + 1.0, sp.random(N, 11, 0.3, random_state=0)], "csr")
WORDS = np.array(["größe", "b c", "日本"])[Y]
DENSE_AND_CSR = pytest.mark.parametrize("given", [X, CSR], ids=["dense", "csr"])


def dense(X):
    return X.toarray() if hasattr(X, "tocsr") else X


def refused(kind, function, *arguments, **keys):
    """The message of the error that is raised, which must be of this kind and one line."""
    with pytest.raises(kind) as caught:
        function(*arguments, **keys)
    message = str(caught.value)
    assert message and len(message.splitlines()) == 1
    return message


def names_of(X):
    return [f"größe {j}" for j in range(X.shape[1])]


def save_folder(X, y=Y, names=None, folder="own"):
    """A folder with these arrays, without y if it is None."""
    Path(folder).mkdir(exist_ok=True)
    content = {"X": X, "y": y, "names": names}
    if hasattr(X, "tocsr"):
        content = {"X.data": X.data, "X.indices": X.indices, "X.indptr": X.indptr}
        content |= {"X.shape": np.array(X.shape), "y": y, "names": names}
    for name, array in content.items():
        if array is not None:
            np.save(f"{folder}/{name}.npy", array)
    return folder


def save_npz(**arrays):
    np.savez("own.npz", **arrays)
    return "own.npz"
