"""What minnet computes, by its public surface alone: written down, and compared after a change.

python tests/record.py write FILE.json      run every case, and write digests and figures
python tests/record.py compare FILE.json    the same again: print what differs, and exit with 1

A DIFFERENCE is a failure. A NOTE is not: other bits within rounding, other words, something new.
`--only NAME` limits both to cases with NAME in theirs. The bits in tests/recorded.json are those of
the machine that it names.
"""

import argparse
import csv
import functools
import hashlib
import io
import itertools
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import sklearn
from scipy import sparse
from sklearn import datasets

import minnet
from minnet.cli import main

Record = dict[str, Any]
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}  # relative: what another order of sums may change
NOISE = {"float32": 1e-6, "float64": 1e-9}  # `study` shows rounding errors: all below are alike
EXACT = re.compile("accuracy|precision|recall|f1|confusion")  # shares and numbers of rows
EFFORT = re.compile("^study|^machine|other arrays")  # where what is gone is a NOTE

# Each line a run: its name, its data.source, and more arguments, which have the section's first
# letter for its name; those of PLAIN go before.
PLAIN = "plain.toml t.epochs=5 t.patience=0 o.learning_rate=0.01 m.hidden=[8] d.source="
RUNS = """
relu iris
tanh_sgd wine m.activation=tanh o.name=sgd o.learning_rate=0.1 t.batch_size=17
logistic_momentum breast_cancer m.activation=logistic o.name=momentum o.momentum=0.8 d.split_seed=3
identity_nesterov iris m.activation=identity o.name=nesterov d.scale=minmax t.seed=7
leaky_relu_adamw wine m.activation=leaky_relu o.name=adamw o.weight_decay=0.05 o.beta1=0.8
gelu_warmup digits m.activation=gelu o.schedule=cosine o.warmup_epochs=1.5 t.epochs=3
steps iris o.beta2=0.99 o.epsilon=1e-4 o.schedule=step o.step_epochs=2.0 m.dtype=float64
layers wine m.hidden=[8,7,6] m.activation=["relu","tanh","gelu"] t.batch_size=13
dropout moons m.hidden=[16,16] m.dropout=0.3 t.seed=5
l2_none circles o.weight_decay=0.01 d.scale=none d.generator_seed=4 o.name=sgd o.learning_rate=0.2
smoothing blobs d.classes=4 d.features=5 d.samples=301 t.label_smoothing=0.1
balanced classification d.features=6 t.class_weight=balanced t.watch=accuracy t.patience=2
weighted gaussian_quantiles d.samples=333 d.features=3 t.class_weight={"0"=2.5,"2"=0.5}
clipped iris t.max_grad_norm=0.3 o.name=sgd o.learning_rate=0.5
patience moons d.noise=0.4 o.learning_rate=0.3 t.patience=2 t.epochs=40
jacobian wine m.output_gradient=jacobian m.dtype=float64
vjp wine m.output_gradient=vjp m.dtype=float64
fused wine m.output_gradient=fused m.dtype=float64
no_hidden digits m.hidden=[] t.epochs=3
one_batch iris t.batch_size=1000 d.validation_size=0 d.test_size=31
one_row wine t.batch_size=1 t.epochs=3 d.validation_size=23 d.test_size=31
all wine m.hidden=[9,8] m.activation=gelu t.epochs=8 m.dtype=float64 ALL
all_32 digits m.hidden=[9,8] t.epochs=3 o.name=adamw t.batch_size=50 ALL
two_threads digits m.hidden=[200] t.batch_size=700 t.epochs=3
stopped digits m.hidden=[200,100] m.dtype=float64 m.dropout=0.1 o.name=sgd t.batch_size=4 STOP
csv plain.csv
csv_place bare.csv d.target=0 d.header=false d.scale=minmax
csv_drop gaps.csv d.categorical=["colour"] d.missing=drop d.target=kind
csv_mean gaps.csv d.missing=mean d.categorical=["colour"] m.dtype=float64
csv_median gaps.csv d.missing=median d.categorical=["colour"] d.scale=minmax
tsv plain.tsv d.target=kind d.header=true
npz rows.npz
folder rows
own_test plain.csv d.test_source=more.csv
own_both plain.csv d.test_source=more.csv d.validation_source=plain.csv.gz
svmlight rows.svm d.scale=none
sharded shard_of_rows m.dtype=float64 m.dropout=0.1
mapped big t.epochs=1 t.batch_size=1500
mapped_sparse big_sparse t.epochs=1 t.batch_size=600 m.dtype=float64
"""
ALL = "m.dropout=0.2 t.label_smoothing=0.1 t.class_weight=balanced t.max_grad_norm=0.7"
ALL += " o.weight_decay=0.01 o.schedule=cosine o.warmup_epochs=1.5 t.watch=accuracy t.patience=3"
STOP = "t.epochs=12 t.checkpoint_seconds=0 o.learning_rate=0.001"
SHIPPED = ("iris", "wine", "breast_cancer", "digits", "moons", "circles", "blobs")
SHARDS = """shard_of_rows rows.svm; shard_tsv plain.tsv d.target=kind --dtype=float32
shard_blobs blobs d.samples=200 d.features=3 d.classes=4 d.generator_seed=2"""
SAID = """study; study --mistake=table; check iris; check wine m.dtype=float64 m.dropout=0.2; --help
train --help; train --print-config; train iris t.epochs=3 --out=said; train d.source=gaps.csv
train o.lr=0.1; train m.activation=rleu; train t.epochs=2.5; train d.source=nowhere.csv; trian
train d.source=iris d.samples=20; train iris --out=runs/csv; train --resume=rows; report rows
train wine o.name=sgd o.learning_rate=1e30 --out=diverged --quiet; study iris --row=150
predict rows.npz plain.csv; predict runs/csv bare.csv"""
SGD = "solver='sgd', learning_rate_init=0.2"
EARLY = "max_iter=40, n_iter_no_change=2, learning_rate_init=0.02"
ESTIMATORS = f"""adam; sparse; float32; binary; labels_of_text; warm_start warm_start=True
invscaling learning_rate='invscaling', activation='logistic', {SGD}
adaptive learning_rate='adaptive', tol=0.3, n_iter_no_change=1, {SGD}
momentum nesterovs_momentum=False, momentum=0.5, weight_decay=0.1, {SGD}
unshuffled shuffle=False, batch_size=7, epsilon=1e-3, beta_1=0.8; partial_fit dropout=0.1
lbfgs solver='lbfgs', activation='tanh', alpha=0.1; early early_stopping=True, {EARLY}
early_loss early_stopping='loss', validation_fraction=0.2, {EARLY}
validation_data early_stopping='loss'; balanced class_weight='balanced', activation='identity'
weights class_weight={{0: 3, 1: 0.5}}, activation=['gelu', 'leaky_relu'], hidden_layer_sizes=(9, 5)
regularised dropout=0.2, label_smoothing=0.1, weight_decay=0.1, max_grad_norm=0.5
cosine learning_rate='cosine', warmup_epochs=1.5, output_gradient='jacobian'
sample_weight output_gradient='fused'"""
NETS = """relu output_gradient='fused'; tanh output_gradient='jacobian', dtype='float64'
logistic label_smoothing=0.1; identity dropout=0.3; leaky_relu dtype='float64', l2=0.1
gelu dtype='float64', class_weight=[1, 2, 0.5]"""


def table(text: str) -> dict[str, str]:
    """The entries of a table, by their first word."""
    entries = (entry.partition(" ") for entry in re.split("; |\n", text.strip()))
    return {name: rest for name, _, rest in entries}


def figures(value: Any) -> Record:
    """An array as its digest, with some of its numbers for where the bits differ."""
    a = np.ascontiguousarray(value)
    shown: Record = {"dtype": a.dtype.name, "shape": list(a.shape)}
    shown["sha256"] = hashlib.sha256(a.tobytes()).hexdigest()
    if a.dtype.kind != "f":
        return shown
    places = np.unique(np.linspace(0, max(0, a.size - 1), 20).astype(int))[: a.size]
    some = a.ravel()[places].tolist()
    shown["some"] = [float(f"{x:.9g}") for x in some] if a.dtype == np.float32 else some
    return shown | {"norm": float(np.sqrt(np.sum(np.square(a, dtype=np.float64))))}


def cli(line: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed."""
    sections = {"d.": "data.", "m.": "model.", "o.": "optimizer.", "t.": "train."}
    words = [sections.get(word[:2], word[:2]) + word[2:] for word in line.split()]
    out, errors, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(errors), suppress(SystemExit):  # --help exits
        code = main(words)
    return code, out.getvalue(), errors.getvalue()


def must(line: str) -> str:
    """What a command printed. Raises RuntimeError where its exit code is not 0."""
    code, out, errors = cli(line)
    if code:
        raise RuntimeError(f"{line}: exit code {code}: {errors.strip()}")
    return out


def said(line: str) -> Record:
    """A command's exit code, and its words without times, places in the code, rounding errors."""
    code, *printed = cli(line)
    text = re.sub(r"[\d.]+ s\b|\S+\.py:\d+|[\d.]+e[-+]\d+", "#", "\n".join(printed))
    return {"exit": code, "words": [" ".join(shown.split()) for shown in text.splitlines()]}


def files(folder: str) -> Record:
    """The files below a folder, by name."""
    paths = [path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path): True for path in sorted(paths) if path.name[0] != "."}


def written(folder: str) -> Record:
    """What a run wrote: weights, the figures of its epochs and of its end, and its config."""
    path = Path(folder)
    with np.load(path / "model.npz", allow_pickle=False) as model:
        names = [name for name in ("theta", "center", "scale", "fill") if name in model]
        arrays = {name: figures(model[name]) for name in names}
    theta = arrays.pop("theta")
    rows = list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))
    metrics = {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]}
    result = json.loads((path / "result.json").read_text())
    del metrics["seconds"], result["seconds"], result["versions"]
    default = tomllib.loads(must("train plain.toml --print-config"))
    config = tomllib.loads((path / "config.toml").read_text())
    changed = {f"{s}.{k}": v for s in config for k, v in config[s].items() if v != default[s][k]}
    record = {"dtype": theta["dtype"], "theta": theta, "other arrays": arrays, "result": result}
    return record | {"metrics": metrics, "config": changed, "files": files(folder)}


def result_of(name: str) -> Record:
    """What the run of this name wrote."""
    return written(trained(name))


@functools.cache
def trained(name: str) -> str:
    """The folder of a run, which is trained when it is first asked for."""
    if name.startswith("mapped"):
        write_big()
    if name == "sharded":
        sharded("shard_of_rows")
    must(f"train {RUNS_BY_NAME[name]} --out=runs/{name} --quiet")
    return f"runs/{name}"


def write_data() -> None:
    """The files that cases read, in the folder at hand."""
    rng, y = np.random.default_rng(7), np.arange(150) % 3
    X = np.round(np.eye(3, 4)[y] * 1.5 + rng.normal(size=(150, 4)) * [1, 2, 0.5, 10], 3)
    kinds = np.array(["ant", "bee", "fly"])[y]
    plain = pandas.DataFrame(X, columns=["w", "x", "y y", "z"]).assign(kind=kinds)
    gaps = plain.mask(rng.random(plain.shape) < [0.05, 0.05, 0, 0.02, 0])
    colours = ["red", "blue", "red", "grey green", ""]
    gaps.insert(2, "colour", rng.choice(colours, 150, p=[0.4, 0.3, 0.1, 0.15, 0.05]))
    new = gaps[::20].drop(columns="kind").replace({"colour": {"red": "pink"}})
    tables = {"plain.csv": plain, "plain.csv.gz": plain[::-1], "more.csv": plain.iloc[:40, ::-1]}
    for name, table in (tables | {"gaps.csv": gaps, "new.csv": new}).items():
        table.to_csv(name, index=False)
    plain.to_csv("plain.tsv", index=False, sep="\t")
    np.savetxt("bare.csv", np.column_stack([y, X]), "%g", ",")
    Path("plain.toml").touch()
    Path("rows").mkdir()
    np.save("rows/X.npy", X.astype(np.float32))
    np.save("rows/y.npy", kinds)
    np.savez("rows.npz", X=X, y=y * 10)
    S = sparse.random(200, 30, 0.15, "csr", rng=rng)
    datasets.dump_svmlight_file(S, np.arange(200) % 3 + 1, "rows.svm", zero_based=False)


@functools.cache
def write_big() -> None:
    """Folders of more than 64 MB, dense and sparse, which training leaves on the disk."""
    rng = np.random.default_rng(11)
    Path("big").mkdir()
    Path("big_sparse").mkdir()
    y = np.arange(90_000) % 3
    np.save("big/X.npy", rng.normal(size=(90_000, 100)) + np.eye(3, 100)[y])
    np.save("big/y.npy", y)
    N, n = 12_000, 500  # numbers in a row, each in its own of 1000 columns
    columns = 2 * np.arange(n) + (rng.random((N, n)) < 0.2 + 0.3 * y[:N, None])
    X = sparse.csr_array((rng.random(N * n), columns.ravel(), np.arange(N + 1) * n), (N, 2 * n))
    sparse.save_npz("big_sparse/X.npz", X, compressed=False)
    np.save("big_sparse/y.npy", y[:N])


def resumed() -> Record:
    """Whether runs that went on, with more epochs or after SIGTERM, end as those without a stop."""
    record: Record = {}
    for name in ("relu", "dropout", "leaky_relu_adamw", "csv_mean", "svmlight"):
        must(f"train {RUNS_BY_NAME[name]} t.epochs=2 --out=again/{name} --quiet")
        must(f"train --resume=again/{name} t.epochs=5 --quiet")
        record[name] = written(f"again/{name}") == result_of(name)
    config, metrics = f"{trained('stopped')}/config.toml", Path("again/stopped/metrics.csv")
    command = [sys.executable, "-m", "minnet", "train", config, "--out=again/stopped", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 3):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    record["exit"] = process.wait()
    must("train --resume=again/stopped --quiet")
    return record | {"stopped": written("again/stopped") == result_of("stopped")}


def repeated() -> Record:
    """Two runs that differ in their seeds."""
    must("train wine t.epochs=4 --repeat=2 --out=repeated --quiet")
    record: Record = {name: written(f"repeated/{name}") for name in ("seed-0", "seed-1")}
    summary = json.loads(Path("repeated/repeat.json").read_text())
    return record | {"repeat.json": {"dtype": "float32"} | summary}


def predicted(name: str, data: str) -> Record:
    """What a model predicts for a file, and its figures if there are labels."""
    model = trained(name)
    rows = [row.split(",") for row in must(f"predict {model} {data} --proba").splitlines()]
    must(f"predict {model}/model.npz {data} --out=answers_{name}.csv")
    record: Record = {"head": rows[0], "labels": [row[0] for row in rows[1:]], "dtype": "float32"}
    record["alike"] = Path(f"answers_{name}.csv").read_text().split("\n")[1:-1] == record["labels"]
    record["p"] = figures(np.array([row[1:] for row in rows[1:]], np.float32))
    record["noted"] = said(f"predict {model} {data}")["words"][-1:]
    measured = said(f"evaluate {model} {data}")
    record["accuracy"] = re.findall(r"\d+\.?\d*", " ".join(measured["words"]))
    return record | measured


def loaded() -> Record:
    """Models in Python: of runs, on arrays and a data frame, and of an estimator."""
    X, gaps = np.load("rows.npz")["X"], minnet.load(trained("csv_mean"))
    fitted = minnet.MLPClassifier((8,), max_iter=5, random_state=1).fit(X, np.arange(150) % 3)
    fitted.save("saved.npz")
    model = minnet.load(trained("npz"))
    record: Record = {"labels": model.predict(X).tolist(), "classes": model.classes_.tolist()}
    record |= {"columns": list(gaps.feature_names_in_), "p": figures(model.predict_proba(X))}
    record["frame"] = figures(gaps.predict_proba(pandas.read_csv("new.csv")))
    record["sparse"] = figures(minnet.load(trained("svmlight")).predict_proba(sparse.eye(4, 30)))
    return record | {"saved": figures(minnet.load("saved.npz").predict_proba(X))}


def studied(line: str, dtype: str = "float64") -> Record:
    """The JSON of `study`, each line of a section by its name."""
    record = json.loads(must(f"study {line} --json"))
    named: Record = {}
    for title, lines in record["sections"].items():
        for entry in lines:
            name = f"{title}: {entry['name'] or entry['formula']}"
            again = sum(key.startswith(f"{name} #") for key in named)
            kept = {k: entry[k] for k in entry if k not in ("file", "line", "source", "step")}
            named[f"{name} #{again}"] = kept
    return {"dtype": dtype, **record, "sections": named}


def printed() -> Record:
    """What commands say, and the exit codes of mistakes."""
    trained("csv")
    return {line: said(line) for line in re.split("; |\n", SAID)}


def sharded(name: str) -> Record:
    """The arrays of a folder that `shard` writes."""
    source, _, others = table(SHARDS)[name].partition(" ")
    if not Path(name).exists():
        must(f"shard {source} {name} {others}")
    record = {path.name: figures(np.load(path)) for path in sorted(Path(name).glob("*.npy"))}
    if Path(name, "X.npz").exists():
        X = sparse.load_npz(f"{name}/X.npz")
        record |= {part: figures(getattr(X, part)) for part in ("data", "indices", "indptr")}
    return record


def reported() -> Record:
    """The files that pages come to."""
    runs = [trained("shipped_digits"), trained("shipped_moons")]
    must(f"report {runs[0]} --out=pages/one")
    must(f"report {' '.join(runs)} --out=pages/two")
    return files("pages")


def estimator(name: str) -> Record:
    """MLPClassifier, fitted with the parameters of this name."""
    load = datasets.load_breast_cancer if name == "binary" else datasets.load_wine
    X, y = load(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X = {"float32": X.astype(np.float32), "sparse": sparse.csr_array(X * (X > 0))}.get(name, X)
    y = np.array(["no", "maybe", "yes"])[y] if name == "labels_of_text" else y
    settings = {"hidden_layer_sizes": (8,), "max_iter": 6, "batch_size": 50, "random_state": 3}
    model = minnet.MLPClassifier(**settings | eval(f"dict({table(ESTIMATORS)[name]})"))
    given = {"sample_weight": np.arange(len(y)) % 4, "validation_data": (X[::3], y[::3])}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(3 if name in ("warm_start", "partial_fit") else 1):
            if name == "partial_fit":
                model.partial_fit(X[i::3], y[i::3], classes=np.unique(y))
            else:
                model.fit(X, y, **({name: given[name]} if name in given else {}))
    record: Record = {"dtype": model.coefs_[0].dtype.name, "p": figures(model.predict_proba(X))}
    for attribute in ("coefs_", "intercepts_"):
        record[attribute] = [figures(array) for array in getattr(model, attribute)]
    shown = "loss_curve_ validation_loss_curve_ n_iter_ t_ loss_ best_loss_ best_validation_score_"
    record |= {name: getattr(model, name, None) for name in shown.split()}
    record["accuracy"] = [model.score(X, y), getattr(model, "validation_scores_", None)]
    return record | {"warnings": [warning.category.__name__ for warning in caught]}


def net(name: str) -> Record:
    """Loss and gradient of minnet.MLP with the activation of this name."""
    rng, options = np.random.default_rng(5), eval(f"dict({table(NETS)[name]})")
    X, y, w = rng.normal(size=(11, 6)), np.arange(11) % 3, rng.random(11)
    model = minnet.MLP([6, 5, 4, 3], name, seed=2, **options)
    record: Record = {"dtype": model.theta.dtype.name, "theta": figures(model.theta)}
    passes: dict[str, tuple[Any, ...]] = {"plain": (X, y), "weighted": (X, y, w)}
    passes |= {"distributions": (X, np.eye(3)[y] * 0.7 + 0.1), "sparse": (sparse.csr_array(X), y)}
    passes |= {"dropout": (X, y, None, np.random.default_rng(4))}
    for how, given in passes.items():
        loss, gradient = model.loss_and_gradient(*given)
        record[how] = {"loss": float(loss), "gradient": figures(gradient)}
    one = minnet.MLP([6, 4, 1], name, seed=2)  # one output unit for two classes
    record["one output"] = figures(one.loss_and_gradient(X, y % 2)[1])
    return record | {"p": figures(model.predict_proba(X))}


RUNS_BY_NAME = {
    name: PLAIN + line.replace("ALL", ALL).replace("STOP", STOP)
    for name, line in table(RUNS).items()
}
RUNS_BY_NAME |= {f"shipped_{name}": f"{name} t.epochs=4" for name in SHIPPED}
CASES: dict[str, Callable[[], Record]] = {
    **{f"net_{name}": functools.partial(net, name) for name in table(NETS)},
    **{f"train_{name}": functools.partial(result_of, name) for name in RUNS_BY_NAME},
    **{f"estimator_{name}": functools.partial(estimator, name) for name in table(ESTIMATORS)},
    **{name: functools.partial(sharded, name) for name in table(SHARDS)},
    "predict_csv": lambda: predicted("csv", "more.csv"),
    "predict_gaps": lambda: predicted("csv_median", "gaps.csv"),
    "predict_new": lambda: predicted("csv_mean", "new.csv"),
    "predict_svmlight": lambda: predicted("svmlight", "rows.svm"),
    "predict_folder": lambda: predicted("folder", "rows"),
    "study_toy": lambda: studied("m.activation=gelu o.name=adam t.label_smoothing=0.1"),
    "study_row": lambda: studied("iris m.dtype=float64 --row=120"),
    "study_model": lambda: studied(f"--model={trained('csv')} --row=7", "float32"),
    **{f.__name__: f for f in (resumed, repeated, loaded, reported, printed)},
}


def tidy(case: Record) -> Record:
    """The case as JSON holds it, floats with 15 digits."""
    text = json.dumps(case, default=lambda number: number.item())
    return json.loads(text, parse_float=lambda x: float(f"{float(x):.15g}"), parse_constant=str)


def record(only: str) -> Record:
    """Every case with `only` in its name, in a new folder; one that raises is its error."""
    os.environ["PYTHONPATH"] = str(Path(minnet.__file__).parent.parent)  # for processes
    told = [platform.machine(), platform.python_version(), np.__version__, sklearn.__version__]
    records: Record = {"machine": {"words": [" ".join(told)]}}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        warnings.simplefilter("ignore")
        write_data()
        for name in [name for name in CASES if only in name]:
            try:
                records[name] = tidy(CASES[name]())
            except Exception as error:
                records[name] = {"error": f"{type(error).__name__}: {error}"}
    return records


def numbers(value: Any) -> set[str]:
    """The numbers anywhere in a value, to 6 digits."""
    if isinstance(value, dict | list):
        return set().union(*map(numbers, value.values() if isinstance(value, dict) else value))
    return {f"{value:.6g}"} if isinstance(value, float) and abs(value) > 1e-6 else set()


def distance(path: str, old: float, new: float, dtype: str, scale: float = 0) -> float:
    """How far apart two numbers are, as a multiple of what another order of sums may do."""
    if old == new or (path.startswith("study") and max(abs(old), abs(new)) < NOISE[dtype]):
        return 0
    allowed = TOLERANCE["float64" if "learning_rate" in path else dtype] * max(abs(old), scale)
    return np.inf if EXACT.search(path) or not allowed else abs(new - old) / allowed


def compare(path: str, old: Any, new: Any, dtype: str, root: Any) -> Iterator[tuple[str, str]]:
    """DIFFERENCE, NOTE or ROUNDING, and what it is about; `root` is all that is new of the case."""
    worse = "NOTE" if EFFORT.search(path) else "DIFFERENCE"
    if old == new:
        return
    if path.endswith(("words", "noted")):
        lines = [(a, b) for a, b in itertools.zip_longest(old, new, fillvalue="") if a != b]
        yield "NOTE", f"{path}: {len(lines)} lines, as {lines[0][0]!r}, now {lines[0][1]!r}"
    elif isinstance(new, dict) and "error" in new:
        yield "DIFFERENCE", f"{path}: {new['error']}"
    elif isinstance(old, dict) and isinstance(new, dict):
        dtype = old.get("dtype", dtype)
        if "some" in old and [old["dtype"], old["shape"]] == [new.get("dtype"), new.get("shape")]:
            rms = old["norm"] / math.sqrt(max(1, math.prod(old["shape"])))
            pairs = [*zip(old["some"], new["some"], strict=True), (old["norm"], new["norm"])]
            far = max(distance("", a, b, dtype, rms) for a, b in pairs)
            yield "DIFFERENCE" if far > 1 else "ROUNDING", f"{path}: {far:.1e} of what is allowed"
            return
        for name in [name for name in old if name not in new]:
            lost = len(numbers(old[name]) - numbers(root))
            yield worse, f"{path}/{name}: is gone; {lost} of its numbers are nowhere now"
        for name in [name for name in new if name not in old]:
            yield "NOTE", f"{path}/{name}: is new"
        for name in [name for name in old if name in new]:
            yield from compare(f"{path}/{name}", old[name], new[name], dtype, root)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from compare(f"{path}/{i}", a, b, dtype, root)
    elif {type(old), type(new)} <= {int, float}:
        far = distance(path, old, new, dtype)
        if far:
            yield "DIFFERENCE" if far > 1 else "ROUNDING", f"{path}: was {old}, is {new}"
    else:
        yield worse, f"{path}: was {str(old)[:80]!r}, is {str(new)[:80]!r}"


def run() -> int:
    """Write or compare, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", metavar="NAME")
    options = parser.parse_args()
    path, new, failed = options.file.absolute(), record(options.only), 0
    print(f"{len(new) - 1} cases of {minnet.__file__}")
    if options.command == "write":
        lines = (f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in new.items())
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(
            *(f"ERROR {k}: {v['error']}\n" for k, v in new.items() if "error" in v), sep="", end=""
        )
        return 0
    old = json.loads(path.read_text())
    old = {name: case for name, case in old.items() if options.only in name or name in new}
    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            found = list(compare(name, old[name], new[name], "float64", new[name]))
        else:
            found = [("DIFFERENCE", f"{name}: is in only one of the two records")]
        for kind in ("DIFFERENCE", "NOTE", "ROUNDING"):
            lines = [line for k, line in found if k == kind]
            if kind == "ROUNDING" and lines:  # one line for all
                lines = [f"{name}: {len(lines)} times other bits within rounding, as {lines[0]}"]
            more = [f"{name}: and {len(lines) - 5} more"] if len(lines) > 5 else []
            for line in [*lines[:5], *more]:
                print("NOTE" if kind == "ROUNDING" else kind, line)
        failed += any(kind == "DIFFERENCE" for kind, _ in found)
    print(f"{failed} cases differ")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(run())
