"""Small data homes, laid out on disk as scikit-learn leaves them after a download."""

import codecs
import gzip
import hashlib
import io
import json
import pickle

import joblib
import numpy as np
from PIL import Image
from sklearn.utils import Bunch

GREY = {"Ada_Lovelace": 40, "Alan_Turing": 200, "Kurt_Goedel": 120}  # of each person's pictures
NEWS = {"rec.bicycles": "a wheel and a chain", "sci.space": "a comet and a moon"}


def covtype(home, X=None, y=None):
    X = np.arange(14 * 54.0).reshape(14, 54) if X is None else X
    _dump(X, home / "covertype" / "samples_py3")
    y = np.arange(len(X), dtype=np.int32) % 7 + 1 if y is None else y
    _dump(y, home / "covertype" / "targets_py3")


def kddcup99(home):
    """Three rows of 41 columns, of which the second, third and fourth are bytes."""
    X = np.zeros((3, 41), object)
    X[:, 0] = [5, 0, 7]
    X[:, 1:4] = [[b"tcp", b"http", b"SF"], [b"udp", b"domain_u", b"SF"], [b"tcp", b"smtp", b"REJ"]]
    X[:, 24:31] = 0.5
    _dump(X, home / "kddcup99_10-py3" / "samples")
    y = np.array([b"normal.", b"smurf.", b"normal."], object)
    _dump(y, home / "kddcup99_10-py3" / "targets")


def newsgroups(home, copies=4):
    """Posts before scikit-learn counts their words, which it does once and then stores."""
    y = np.arange(2 * copies) % 2
    part = {"data": [list(NEWS.values())[k] for k in y], "filenames": np.array(["post"] * len(y))}
    part |= {"target_names": list(NEWS), "target": y}
    content = pickle.dumps({"train": Bunch(**part), "test": Bunch(**part)})
    (home / "20news-bydate_py3.pkz").write_bytes(codecs.encode(content, "zlib_codec"))


def lfw_people(home):
    """Two people with 70 pictures and one with 69."""
    folder = home / "lfw_home"
    for person, grey in GREY.items():
        (folder / "lfw_funneled" / person).mkdir(parents=True)
        picture = io.BytesIO()
        Image.new("RGB", (250, 250), (grey, grey, grey)).save(picture, "JPEG")
        for i in range(69 if person == "Kurt_Goedel" else 70):
            path = folder / "lfw_funneled" / person / f"{person}_{i + 1:04}.jpg"
            path.write_bytes(picture.getvalue())
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (folder / name).touch()


def openml(home, name, arff, *targets, version=1):
    """The answers of OpenML's interface and the ARFF file, each below the path of its address.
    Version 1 is the active one. `targets` names the default target."""
    number, sparse = 40 + version, "\n{" in arff
    status = "active" if version == 1 else "deactivated"
    lines = [line for line in arff.splitlines() if line]
    columns = [line.split(maxsplit=2)[1:] for line in lines if line.startswith("@ATTRIBUTE")]
    features = []
    for j, (column, kind) in enumerate(columns):
        kind = "nominal" if kind.startswith("{") else kind.lower()
        feature = {"index": str(j), "name": column, "data_type": kind, "is_ignore": "false"}
        feature |= {"is_target": str(column in targets).lower(), "is_row_identifier": "false"}
        features.append(feature | {"number_of_missing_values": "0"})
    path = f"data/v1/download/{number}/{name}.arff"
    about = {"id": str(number), "name": name, "version": str(version), "status": status}
    about |= {"description": "made for a test", "format": "Sparse_ARFF" if sparse else "ARFF"}
    about |= {"url": f"https://openml.invalid/{path}", "file_id": str(number)}
    about |= {"md5_checksum": hashlib.md5(arff.encode()).hexdigest()}
    N = len(lines) - lines.index("@DATA") - 1
    found = {"did": number, "name": name, "version": version, "status": status}
    found = {"data": {"dataset": [found]}}
    quality = {"name": "NumberOfInstances", "value": f"{N}.0"}
    answers = {
        f"list/data_name/{name}/limit/2/data_version/{version}": found,
        f"{number}": {"data_set_description": about},
        f"features/{number}": {"data_features": {"feature": features}},
        f"qualities/{number}": {"data_qualities": {"quality": [quality]}},
    }
    if version == 1:
        answers[f"list/data_name/{name}/limit/2/status/active/"] = found
    files = {f"api/v1/json/data/{question}": json.dumps(a) for question, a in answers.items()}
    for where, content in (files | {path: arff, f"data/v1/download/{number}": arff}).items():
        file = home / "openml" / "openml.org" / f"{where}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content.encode()))


def _dump(value, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    joblib.dump(value, path, compress=3)
