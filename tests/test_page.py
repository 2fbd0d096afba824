"""Pages of runs: they show what the runs hold, need no other file, and read well in a browser."""

import contextlib
import html
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import command, files, result, train

import minnet
from minnet import config, metrics, runs, sweep
from minnet.errors import ConfigError, one_line
from minnet.report import evaluation, figures, page, saved

LABELS = ["<b>&\"'", "$x_1$", "日本", "long" * 50, "bell\a", "\x1b[31mred", "_hidden", "\u202eback"]
LABELS += ['id="a', "#000000"]
ODD = "n & <b> 'q'"  # a folder
WATCHED = "train.watch=accuracy", "model.members=2"
SETTINGS = {
    "digits": ["data.source=digits", "train.epochs=4", "model.hidden=[8]", *WATCHED],
    "sure": ["data.source=blobs", "data.noise=0.01", "data.validation_size=0", "train.epochs=20"],
    "own": ["data.source=own.csv", 'data.categorical=["colour"]'],
    "sparse": ["data.source=sparse.svmlight", "model.hidden=[]"],
    "many": ["data.source=many.npz"],
    ODD: ["data.source=<i>.csv", "train.epochs=1"],
}
PAGES = [*SETTINGS, "stopped", "several", "both"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """The folder in which all tests work, with runs of each kind and their pages."""
    folder = tmp_path_factory.mktemp("home")
    with contextlib.chdir(folder):
        write_data()
        for name, settings in SETTINGS.items():
            trained(name, "train.epochs=2", *settings)
            assert write(name) == []
        repeat("repeated", 3)
        repeat("small", 2, "model.hidden=[2]", "data.validation_size=0.1", "data.scale=minmax")
        shutil.copytree("repeated/seed-1", "stopped")
        for name in ("result.json", "model.npz"):
            Path("stopped", name).unlink()
        assert write("stopped") == ["stopped: unfinished, so it has no test figures"]
        assert write("sure", "stopped", "own", "many", out="several") == []
        assert write("small", "many", "repeated", out="both") == []
        yield


def write_data():
    cells = [f'"{label.replace(chr(34), chr(34) * 2)}"' for label in LABELS]
    lines = [f"{i % 7},{i % 5},{cell}" for i in range(20) for cell in cells]
    Path("<i>.csv").write_text("\n".join(["<i>&amp;,$y_2$,label", *lines, ""]), encoding="utf-8")
    lines = [f"{i % 7},{i % 3},{'<u>red' if i % 4 else 'blue'},{'ab'[i % 2]}" for i in range(60)]
    Path("own.csv").write_text("\n".join(["a,b,colour,label", *lines, ""]), encoding="utf-8")
    lines = [f"{i % 2} {1 + i % 3}:{i % 5}.5 {5 + i % 7}:1" for i in range(80)]
    Path("sparse.svmlight").write_text("\n".join([*lines, ""]))
    X = np.random.default_rng(0).normal(size=(500, 64))
    np.savez("many.npz", X=X, y=np.arange(500) % 25)


def trained(folder, *settings):
    return runs.train(config.load(None, [*config.PLAIN, *settings]), Path(folder))


def repeat(name, n, *settings, grid=None):
    settings = [*config.PLAIN, "data.source=moons", "train.epochs=3", *settings]
    Path(name).mkdir()
    plan = sweep.begin(Path(name), sweep.plan(config.load(None, settings), grid or {}, n))
    for folder, own, *_ in plan.runs:
        runs.train(own, Path(name, folder))
    sweep.finish(plan, sweep.ranking(plan))


def write(*names, out=None, image=None):
    """Write the page of these runs, below the first one or in `out`; the notes."""
    path, notes = page.write([Path(name) for name in names], Path(out or names[0]), image)
    assert path == Path(out or names[0], "report.html")
    return notes


def text(folder, name="report.html"):
    return Path(folder, name).read_text(encoding="utf-8")


def pictures(folder):
    """The texts in each picture of a page."""
    return {path.stem: words(text(path, "")) for path in Path(folder).glob("pictures/*")}


def words(svg):
    return [html.unescape(word) for word in re.findall("<text[^>]*>(.*?)</text>", svg)]


def section(folder, title):
    found = re.findall(r"<section><h2>(.*?)</h2>\n(.*?)\n</section>", text(folder), re.DOTALL)
    return {html.unescape(name): content for name, content in found}[title]


def table(folder, title):
    """The rows of the table in a section, without their head."""
    lines = re.findall("<tr>(.*?)</tr>", section(folder, title))[1:]
    return [[html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", line)] for line in lines]


ALLOWED = "html head meta title style link body header main footer div section h1 h2 p figure svg "
ALLOWED += "figcaption pre table tr th td defs g path use text clipPath rect image"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_needs_no_other_file_and_forbids_the_browser_to_fetch_any(name):
    shown = text(name)
    assert set(re.findall("<([a-zA-Z]\\w*)", shown)) <= set(ALLOWED.split())
    tags = "".join(re.findall("<[^>]+>", shown))
    ids, links = (re.findall(rf'\b{key}="([^"]*)"', tags) for key in ("id", "(?:src|href)"))
    assert len(ids) == len(set(ids)) and "#000000" not in tags and "#ffffff" not in tags
    links += [f"#{id}" for id in re.findall(r"url\(#([^)]*)\)", shown)]
    assert {link for link in links if not link.startswith("data:")} <= {f"#{id}" for id in ids}
    # names of namespaces are addresses that nobody goes to
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", shown)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in shown
    inline = re.findall("<svg.*?</svg>", shown, re.DOTALL)
    found = {re.search('id="(.*?)-figure_1"', svg)[1]: words(svg) for svg in inline}
    assert found == pictures(name)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_page_has_the_pictures_figures_config_and_command_of_its_run(name):
    more = {"digits": ["mistakes", "weights"], "sparse": []}.get(name, ["importance"])
    more += ["regions"] if name in (ODD, "sure") else []
    assert set(pictures(name)) == {"curves", "confusion", "reliability", "sizes", *more}
    found, again = result(name), html.unescape(section(name, "Run it again"))
    assert text(name, "config.toml").partition("\n")[2] in html.unescape(section(name, "Config"))
    quoted = "'n & <b> '\"'\"'q'\"'\"'/config.toml'" if name == ODD else f"{name}/config.toml"
    assert f"<pre>minnet train {quoted}</pre>" in again
    assert all(f"{package} {version}" in again for package, version in found["versions"].items())
    right, n = np.trace(found["confusion"]), found["rows"]["test"]
    assert f"Test accuracy {found['test_accuracy']:.4f} ({right} of {n} rows; " in text(name)
    assert f"test loss {found['test_loss']:.4f}, macro F1 {found['macro_f1']:.4f}" in text(name)
    assert f"{n - right} of {n} test rows are wrong" in section(name, "Confusion matrix")
    watch = "accuracy" if name == "digits" else "loss"
    best = f"Epoch {found['best_epoch']} has the best validation {watch}."
    assert (best in section(name, "Learning curves")) == ("validation" in found["rows"])
    scores = [found["per_class"][score] for score in ("precision", "recall", "f1", "rows")]
    wrong = np.array(found["confusion"]) * (1 - np.eye(len(found["classes"]), dtype=int))
    lines = table(name, "Test figures by class")
    for line, label, taken, *of_class in zip(lines, found["classes"], wrong, *scores, strict=True):
        most = f"{figures.label(found['classes'][taken.argmax()])} ({taken.max()})"
        numbers = [*(f"{score:.4f}" for score in of_class[:3]), str(of_class[3])]
        assert line == [one_line(label), most if taken.any() else "", *numbers]


def test_the_columns_that_matter_are_shown_with_how_many_of_them_were_shuffled():
    shown, said = pictures("own")["importance"], section("own", "Columns that matter")
    columns, _, n = evaluation.importance(evaluated("own")[0])
    assert shown[-3:] == columns and {*columns} == {"a", "b", "colour"}
    assert f"the loss of {n} test rows rises" in said and "largest weights" not in said
    said = section("many", "Columns that matter")
    assert "means of 5 shuffles" in said and "Of 64 columns, the 50 with the largest" in said
    assert len([word for word in pictures("many")["importance"] if word[0] == "x"]) == 15


def evaluated(name):
    """The test part, the wrong rows, and of the worst ones place, label and predicted class."""
    test = evaluation.test_part(saved.read(Path(name)).runs[0])
    wrong, classes = evaluation.mistakes(test), test.model.classes_
    worst = wrong[: page.MISTAKES]
    return test, wrong, worst, classes[test.y[worst]], classes[test.predicted[worst]]


@pytest.mark.parametrize(("name", "first"), [("many", 0), ("own", 2), ("sparse", 1)])
def test_mistakes_are_the_most_confident_wrong_rows_with_their_cells_and_place(name, first):
    test, wrong, *worst = evaluated(name)
    lines = table(name, "Most confident mistakes")
    assert f"of {len(wrong)} wrong test rows" in section(name, "Most confident mistakes")
    for line, i, y, other in zip(lines, *worst, strict=True):
        place, cells = test.rows[i], evaluation.features(test, i, 8)
        assert line == [str(y), str(other), cells, str(place + first), f"{test.confidence[i]:.4f}"]
        if name == "own":
            assert sorted(cells.split("; "))[:2] == [f"a {place % 7}", f"b {place % 3}"]
            assert cells.endswith("; colour <u>red" if place % 4 else "; colour blue")


def test_images_of_mistakes_if_there_are_any_and_calibration_are_those_of_the_saved_model():
    test, _, *worst = evaluated("digits")
    titles = [f"{y} → {k}, {test.confidence[i]:.3f}" for i, y, k in zip(*worst, strict=True)]
    assert pictures("digits")["mistakes"] == titles != []
    assert result("sure")["test_accuracy"] == 1 and "confident mistakes" not in text("sure")
    bins = metrics.calibration(test.confidence, test.predicted == test.y)
    assert f"(calibration error) is {bins.gap:.4f}." in section("digits", "Reliability")


def test_labels_and_names_are_text_on_the_page_and_in_its_pictures():
    assert f"<h1>{html.escape(ODD)}</h1>" in text(ODD)
    assert {c for c in text(ODD) if not c.isprintable()} == {"\n"}
    escaped = {"bell\a": "bell\\x07", LABELS[5]: "\\x1b[31mred", LABELS[7]: "\\u202eback"}
    expected = {escaped.get(label, label) for label in LABELS if len(label) < 50}
    assert {"longlo…glong", *expected} <= set(pictures(ODD)["confusion"])
    assert {"<i>&amp;", "$y_2$", *expected} <= set(pictures(ODD)["regions"])


def test_several_runs_are_in_a_table_the_best_first_and_differ_in_the_keys_that_do():
    *lines, last = table("several", "Runs by test accuracy")
    assert last == ["stopped", "unfinished", "", "", "", ""]
    names = sorted(["sure", "own", "many"], key=lambda name: -result(name)["test_accuracy"])
    for name, line in zip(names, lines, strict=True):
        found = result(name)
        scores = [f"{found[key]:.4f}" for key in ("test_accuracy", "test_loss", "macro_f1")]
        epochs = f"{found['epochs']} ({found['best_epoch']})"
        assert line == [name, *scores, epochs, f"{found['seconds']:.2f}"]
    differing = table("several", "Config differences")
    two = ", ".join(name for name in names if name != "sure")
    for value, who in (("20", "sure"), ("2", two), ("3", "stopped")):
        assert ["train.epochs", value, who] in differing
    keys = "source", "noise", "target", "numeric", "categorical", "validation_size"
    keys = {f"data.{key}" for key in keys}
    keys |= {"data.split_seed", "train.seed", "train.epochs"}  # a repeated run has other seeds
    assert {key for key, *_ in differing} == keys


def test_the_same_run_twice_is_told_apart_by_its_folders_and_differs_in_nothing(tmp_path):
    for name in ("a/sure", "b/sure"):
        shutil.copytree("sure", tmp_path / name)
    with contextlib.chdir(tmp_path):
        write("a/sure", "b/sure", out="c")
        assert [line[0] for line in table("c", "Runs by test accuracy")] == ["a/sure", "b/sure"]
        assert "None: the configs are the same." in section("c", "Config differences")


def accuracies(folder):
    return [result(path)["test_accuracy"] for path in sorted(Path(folder).glob("seed-*"))]


@pytest.mark.parametrize("n", [1, 2])
def test_the_page_of_a_sweep_ranks_all_and_has_test_figures_of_the_best_alone(n):
    repeat(f"swept-{n}", n, grid={"optimizer.learning_rate": [1e-5, 0.02]})
    write(f"swept-{n}")
    lines = table(f"swept-{n}", f"Sweep of swept-{n}")
    assert [line[:2] for line in lines] == [["1", "0.02"], ["2", "1e-05"]]
    found = [result(f"swept-{n}/run-{c}-seed-0")["test_accuracy"] for c in (0, 1)]
    assert f"{found[1]:.4f}" in text(f"swept-{n}") and f"{found[0]:.4f}" not in text(f"swept-{n}")


def test_repeated_runs_have_their_mean_their_interval_and_are_compared_split_by_split():
    found, ratio = accuracies("repeated"), 200 / 800
    mean = sweep.interval(found, ratio, 0, 1)
    said = f"repeated: 3 of 3 runs finished, test accuracy {mean.mean:.4f} ± {mean.sd:.4f}"
    assert f"<p>{said} (95% interval {mean.low:.4f} to {mean.high:.4f})</p>" in text("both")
    lines = [line[:2] for line in table("both", "Runs of repeated")]
    assert lines == [[f"seed-{i}", f"{found[i]:.4f}"] for i in range(3)]
    best, other = sorted(["repeated", "small"], key=lambda name: -np.mean(accuracies(name)))
    assert [line[0] for line in table("both", "Runs by test accuracy")] == [best, other, "many"]
    pairs = zip(accuracies(other), accuracies(best), strict=False)
    gap = sweep.interval([a - b for a, b in pairs], ratio)
    expected = [other, f"{gap.mean:+.4f}", f"{gap.low:+.4f} to {gap.high:+.4f}", "2"]
    assert table("both", f"Compared with {best}") == [expected]
    lines = [line[1:] for line in table("both", "Config differences")]
    assert all(line in lines for line in (["0 to 1", "small"], ["0 to 2", "repeated"]))


def test_unfinished_runs_are_shown_as_far_as_they_are(tmp_path):
    assert set(pictures("stopped")) == {"curves", "sizes"}
    assert "moons: unfinished after 3 of at most 3 epochs" in text("stopped")
    folder, group = tmp_path / "run\udcff", tmp_path / "small"  # not every name is text
    metrics = shutil.copytree("stopped", folder) / "metrics.csv"
    metrics.write_text(metrics.read_text().splitlines()[0] + "\n")
    write(folder)
    assert pictures(folder) == {}  # those of before, when there were epochs, are gone
    assert "unfinished after 0 of at most 3 epochs" in text(folder)
    shutil.rmtree(shutil.copytree("small", group) / "seed-1")
    write(group)
    assert "<p>small: 1 of 2 runs finished</p>" in text(group)
    shutil.rmtree(group / "seed-0")
    write(group, "stopped", out=folder)
    lines = table(folder, "Runs by test accuracy")
    assert [line[1] for line in lines] == ["unfinished"] * 2 and set(pictures(folder)) == {"curves"}


def test_a_page_is_the_same_each_time_and_without_its_model_has_the_other_pictures(tmp_path):
    before, folder = files("own"), shutil.copytree("own", tmp_path / "own")
    write("own")
    assert files("own") == before
    (folder / "model.npz").write_bytes(b"PK no zip")
    (note,) = write(folder)
    assert "model.npz: " in note and note.endswith("; figures that need the test rows are left out")
    assert set(pictures(folder)) == {"curves", "confusion", "sizes"}


def test_a_run_without_a_test_part_has_its_curves_and_is_not_compared(tmp_path):
    run = tmp_path / "run"
    sizes = "data.source=iris", "data.test_size=0", "train.epochs=3", "train.watch=macro_f1"
    assert train(*sizes, "--out", run).code == 0
    assert write(run) == [f"{run}: has no test part, so it has no test figures"]
    assert set(pictures(run)) == {"curves", "sizes"} and "Nothing was tested" in text(run)
    assert "has the best validation macro f1." in section(run, "Learning curves")
    with pytest.raises(ConfigError, match=f"^{run}: nothing was tested, so there is nothing"):
        write(run, "own", out=tmp_path / "both")


@pytest.mark.parametrize("name", ["report.html", "pictures/curves.svg"])
def test_another_file_of_that_name_is_never_replaced(tmp_path, name):
    (tmp_path / "pictures").mkdir()
    (tmp_path / name).write_text("<p>mine</p>")
    with pytest.raises(ConfigError, match=f"^{tmp_path / name}: not by minnet report"):
        write("stopped", out=tmp_path)
    assert files(tmp_path) == {name: b"<p>mine</p>"}


def test_an_older_page_goes_with_its_pictures_and_nothing_else(tmp_path):
    folder = shutil.copytree("digits", tmp_path / "run")
    (folder / "pictures" / "mine.svg").touch()
    write("stopped", out=folder)
    assert set(pictures(folder)) == {"mine", *pictures("stopped")}
    assert train("--resume", folder, "train.epochs=5").code == 0
    assert set(pictures(folder)) == {"mine"} and not (folder / "report.html").exists()


def test_rows_are_images_where_that_is_said_and_fits_and_there_is_one_run(tmp_path, monkeypatch):
    drawn, draw = [], figures.images
    monkeypatch.setattr(page, "UNITS", 3)
    monkeypatch.setattr(figures, "images", lambda *a, **k: drawn.append(a[0]) or draw(*a, **k))
    write("many", out=tmp_path, image=(8, 8))
    assert set(pictures(tmp_path)) == {*pictures("many"), "weights", "mistakes"} - {"importance"}
    shown, largest = drawn
    test, _, worst, *_ = evaluated("many")
    np.testing.assert_array_equal(shown.reshape(-1, 64), test.table.X[test.rows[worst]])
    norms = np.linalg.norm(minnet.load("many").net.weights[0], axis=0)
    np.testing.assert_allclose(np.linalg.norm(largest, axis=(1, 2)), sorted(norms)[:-4:-1])
    with pytest.raises(ConfigError, match="--image: only the page of one run"):
        write("many", "sure", image=(8, 8))


def test_the_commands_say_where_the_page_is(tmp_path):
    (folder := tmp_path / "file").touch()
    answer = command("report", "stopped", "--out", folder)
    assert answer.code == 1 and answer.line().startswith(f"{folder}")
    assert command("report", "stopped", "small").out == "report in report/report.html\n"
    answer = command("report", "stopped")
    assert answer.out == "report in stopped/report.html\n"
    assert answer.notes() == ["stopped: unfinished, so it has no test figures"]


def test_without_matplotlib_a_report_is_refused_before_there_is_any_training(monkeypatch):
    find, gone = importlib.util.find_spec, "matplotlib"
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == gone else find(n))
    for arguments in (["report", "sure"], ["train", "iris", "--report", "--out", "run"]):
        assert "a report needs matplotlib" in command(*arguments).line()
    assert not Path("run").exists()


NUMBERS_ON_TWO_LINES = """[...document.querySelectorAll('td')].filter(cell => {
    const letters = document.createRange();
    letters.selectNodeContents(cell);
    return /^[-+0-9.,]+$/.test(cell.textContent) && letters.getClientRects().length > 1;
}).map(cell => cell.textContent)"""


@pytest.mark.parametrize("name", ["digits", ODD, "both"])
def test_a_page_fits_its_window_has_its_colors_fetches_nothing_and_prints(browser, name):
    said, requests, address = [], [], Path(name, "report.html").resolve().as_uri()
    with contextlib.closing(browser.new_page()) as tab:
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        for width, scheme in ((360, "light"), (1280, "dark")):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.emulate_media(color_scheme=scheme)
            tab.goto(address, wait_until="load")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.evaluate(NUMBERS_ON_TWO_LINES) == []
            places = [("#curves-figure_1 text", "fill"), ("h1", "color")]
            picture, heading = (brightness(tab, *place) for place in places)
            ground = brightness(tab, "body", "backgroundColor")
            assert min(abs(picture - ground), abs(heading - ground)) > 150
            assert (ground > 128) == (scheme == "light")
        assert tab.pdf().startswith(b"%PDF")
    assert said == [] and {url for url in requests if not url.startswith("data:")} == {address}


def brightness(tab, selector, key):
    color = tab.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{key}")
    return np.mean([int(part) for part in re.findall(r"\d+", color)[:3]])


def test_a_run_of_many_classes_has_no_matrix_and_whom_each_class_is_taken_for(tmp_path):
    K = metrics.MATRIX + 5
    lines = [f"{j % K},{j % 7},c{j % K:03d}" for j in range(10 * K)]
    (tmp_path / "many.csv").write_text("\n".join(["a,b,label", *lines]))
    folder = tmp_path / "run"
    trained(folder, f"data.source={tmp_path / 'many.csv'}", "train.epochs=1")
    assert write(folder) == [] and "confusion" not in pictures(folder)
    found, lines = result(folder), table(folder, "Test figures by class")
    n, confusions = metrics.mistakes(found)
    right, rows = found["rows"]["test"] - n, found["rows"]["test"]
    assert f"({right:,} of {rows:,} rows; " in text(folder)
    assert found["test_accuracy"] == pytest.approx(right / rows)
    for i, line in enumerate(lines):
        taken = [f"c{j:03d} ({n})" for n, k, j in confusions if k == i]
        assert line[0] == f"c{i:03d}" and line[1] == (taken[0] if taken else "")
    assert len(lines) == K


@pytest.mark.parametrize("order", ["a,b", "b,a"])
def test_a_column_of_one_large_number_is_drawn_in_silence(order, tmp_path):
    a = np.random.default_rng(0).normal(size=100)
    rows = [{"a": x + i % 2, "b": 1.7e18, "label": "xy"[i % 2]} for i, x in enumerate(a)]
    names = [*order.split(","), "label"]
    lines = [",".join(str(row[name]) for name in names) for row in rows]
    (tmp_path / "own.csv").write_text("\n".join([",".join(names), *lines]))
    own = f"data.source={tmp_path / 'own.csv'}", 'data.numeric=["b"]', "train.epochs=1"
    trained(tmp_path / "run", *own)
    answer = command("report", tmp_path / "run")
    assert (answer.code, answer.err) == (0, "") and "regions" in pictures(tmp_path / "run")


STRANGE = [{"MPLBACKEND": "nope"}, {"HOME": "/proc"}, {"MATPLOTLIBRC": "odd"}]
STRANGE += [{"MATPLOTLIBRC": "latin"}]


@pytest.mark.parametrize("variables", STRANGE, ids=str)
def test_a_report_is_silent_wherever_matplotlib_lives(variables, tmp_path):
    Path("odd").write_text("foo: bar\nbackend: nope\n")
    Path("latin").write_bytes(b"font.family: \xff\n")
    run = shutil.copytree("sure", tmp_path / "run")
    path = os.pathsep.join(filter(None, sys.path))
    own = {"PATH": os.environ["PATH"], "PYTHONPATH": path, "HOME": str(tmp_path)} | variables
    made = [sys.executable, "-m", "minnet", "report", str(run)]
    done = subprocess.run(made, env=own, capture_output=True, text=True, check=False)
    if "latin" in variables.values():
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("minnet: a report needs matplotlib: ")
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"report in {run}/report.html\n"


def test_the_backend_of_other_code_stays(tmp_path):
    code = "import minnet.report.page, matplotlib as m, os; "
    code += "print(m.rcParams['backend'], os.environ['MPLBACKEND'])"
    own = os.environ | {"MPLBACKEND": "svg"}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True)
    assert done.stdout == "svg svg\n"
