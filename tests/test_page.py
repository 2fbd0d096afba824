"""Pages of runs: they show what the runs hold, need no other file, and read well in a browser."""

import contextlib
import html
import importlib.util
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from running import command, result, train

import minnet
from minnet import config, runs, sweep
from minnet.errors import ConfigError, DataError, one_line
from minnet.report import evaluation, figures, page, saved

LABELS = ["<b>&\"'", "$x_1$", "日本", "long" * 50, "bell\a", "\x1b[31mred", "_hidden", "\u202eback"]
LABELS += ['id="a', "#000000"]
ODD = "n & <b> 'q'"  # a folder
SETTINGS = {
    "digits": ["data.source=digits", "train.epochs=4", "model.hidden=[8]", "train.watch=accuracy"],
    "wine": ["data.source=wine", "model.hidden=[2]", "data.test_size=0.5"],
    "plain": ["data.source=iris", "model.hidden=[]", "data.validation_size=0"],
    "sure": ["data.source=blobs", "data.noise=0.01", "data.features=3", "train.epochs=20"],
    "own": ["data.source=own.csv", 'data.categorical=["colour"]'],
    "sparse": ["data.source=sparse.svmlight"],
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
        assert write("plain", "stopped", "own", "wine", out="several") == []
        assert write("small", "many", "repeated", out="both") == []
        yield folder


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


def trained(name, *settings):
    return runs.train(config.load(None, settings), Path(name))


def repeat(name, n, *settings):
    """A repeated run, trained in this process."""
    settings = ["data.source=moons", "train.epochs=3", *settings]
    Path(name).mkdir()
    plan = sweep.begin(Path(name), config.load(None, settings), n)
    each = [trained(plan.folders[i], *settings, *plan.overrides(i)) for i in range(n)]
    sweep.finish(plan, each)


def write(*names, out=None):
    """Write the page of these runs, below the first one or in `out`; the notes."""
    path, notes = page.write([Path(name) for name in names], Path(out or names[0]), None)
    assert path == Path(out or names[0], "report.html")
    return notes


def text(folder):
    return Path(folder, "report.html").read_text(encoding="utf-8")


def pictures(folder):
    """The texts in each picture of a page."""
    svgs = {path.stem: path.read_text(encoding="utf-8") for path in Path(folder).glob("pictures/*")}
    return {name: words(svg) for name, svg in svgs.items()}


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
    assert len(ids) == len(set(ids))
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
    more = {"digits": {"mistakes", "weights"}, ODD: {"regions"}}.get(name, set())
    assert set(pictures(name)) == {"curves", "confusion", "reliability", "sizes"} | more
    found, settings = result(name), Path(name, "config.toml").read_text(encoding="utf-8")
    assert settings.strip() in html.unescape(section(name, "Config"))
    quoted = "'n & <b> '\"'\"'q'\"'\"'/config.toml'" if name == ODD else f"{name}/config.toml"
    again = html.unescape(section(name, "Run it again"))
    assert f"<pre>minnet train {quoted}</pre>" in again
    assert all(f"{package} {version}" in again for package, version in found["versions"].items())
    right, n = np.trace(found["confusion"]), found["rows"]["test"]
    assert f"Test accuracy {found['test_accuracy']:.4f} ({right} of {n} rows; " in text(name)
    assert f"test loss {found['test_loss']:.4f}, macro F1 {found['macro_f1']:.4f}" in text(name)
    assert f"{n - right} of {n} test rows are wrong" in section(name, "Confusion matrix")
    watch = "accuracy" if name == "digits" else "loss"
    best = f"Epoch {found['best_epoch']} has the best validation {watch}."
    assert (best in section(name, "Learning curves")) == ("validation" in found["rows"])


@pytest.mark.parametrize("name", ["digits", "many", ODD])
def test_the_table_of_classes_is_that_of_the_result(name):
    found = result(name)
    for k, (label, taken, *scores, rows) in enumerate(table(name, "Test figures by class")):
        assert label == one_line(found["classes"][k])
        expected = [found["per_class"][score][k] for score in ("precision", "recall", "f1", "rows")]
        assert [*scores, rows] == [*(f"{score:.4f}" for score in expected[:3]), str(expected[3])]
        wrong = [n if j != k else 0 for j, n in enumerate(found["confusion"][k])]
        most = figures.label(found["classes"][np.argmax(wrong)])
        assert taken == (f"{most} ({max(wrong)})" if any(wrong) else "")


def evaluated(name):
    test = evaluation.test_part(saved.read(Path(name)).runs[0])
    return test, evaluation.mistakes(test.p, test.y)


@pytest.mark.parametrize(("name", "first"), [("wine", 0), ("own", 2), ("sparse", 1)])
def test_mistakes_are_the_most_confident_wrong_rows_with_their_cells_and_place(name, first):
    test, wrong = evaluated(name)
    classes, predicted = test.model.classes_, test.p.argmax(axis=1)
    lines = table(name, "Most confident mistakes")
    assert len(lines) == min(12, len(wrong)) > 0
    for i, line in zip(wrong, lines, strict=False):
        true, other = str(classes[test.y[i]]), str(classes[predicted[i]])
        place = str(test.rows[i] + first)  # line 1 of own.csv has names
        cells = evaluation.features(test, i, 8)
        assert line == [true, other, cells, place, f"{test.p[i].max():.4f}"]
    assert f"of {len(wrong)} wrong test rows" in section(name, "Most confident mistakes")


def test_mistakes_have_the_cells_of_their_line_and_a_run_without_any_does_not_show_them():
    for _, _, cells, line, _ in table("own", "Most confident mistakes"):
        i = int(line) - 2
        assert sorted(cells.split("; "))[:2] == [f"a {i % 7}", f"b {i % 3}"]
        assert cells.endswith("; colour <u>red" if i % 4 else "; colour blue")
    assert result("sure")["test_accuracy"] == 1 and "confident mistakes" not in text("sure")


def test_the_images_of_mistakes_and_the_calibration_are_those_of_the_saved_model():
    test, wrong = evaluated("digits")
    worst = [(test.y[i], test.p[i]) for i in wrong[:12]]
    titles = [f"{y} → {p.argmax()}, {p.max():.3f}" for y, p in worst]
    assert pictures("digits")["mistakes"] == titles
    gap = evaluation.gap(evaluation.calibration(test.p, test.y))
    assert f"(calibration error) is {gap:.4f}." in section("digits", "Reliability")


def test_labels_and_names_are_text_on_the_page_and_in_its_pictures():
    assert f"<h1>{html.escape(ODD)}</h1>" in text(ODD)
    assert {c for c in text(ODD) if not c.isprintable()} == {"\n"}
    expected = {
        "<b>&\"'",
        "$x_1$",
        "日本",
        "bell\\x07",
        "\\x1b[31mred",
        "_hidden",
        "\\u202eback",
        *LABELS[-2:],
    }
    assert {"longlo…glong", *expected} <= set(pictures(ODD)["confusion"])
    assert {"<i>&amp;", "$y_2$", *expected} <= set(pictures(ODD)["regions"])


def test_several_runs_are_in_a_table_the_best_first_and_differ_in_the_keys_that_do():
    *lines, last = table("several", "Runs by test accuracy")
    assert last == ["stopped", "unfinished", "", "", "", ""]
    names = sorted(["plain", "own", "wine"], key=lambda name: -result(name)["test_accuracy"])
    for name, line in zip(names, lines, strict=True):
        found = result(name)
        scores = [f"{found[key]:.4f}" for key in ("test_accuracy", "test_loss", "macro_f1")]
        epochs = f"{found['epochs']} ({found['best_epoch']})"
        assert line == [name, *scores, epochs, f"{found['seconds']:.2f}"]
    expected, values = [], {}
    for name in [*names, "stopped"]:
        for key, value in config.values(config.load(Path(name, "config.toml"))).items():
            values.setdefault(key, {}).setdefault(str(value), []).append(name)
    for key, who in values.items():
        expected += [[key, value, ", ".join(who[value])] for value in who if len(who) > 1]
    assert table("several", "Config differences") == expected


def test_the_same_run_twice_is_told_apart_by_its_folders_and_differs_in_nothing(home, tmp_path):
    with contextlib.chdir(tmp_path):
        for name in ("a/plain", "b/plain"):
            shutil.copytree(home / "plain", name)
        write("a/plain", "b/plain", out="c")
        assert [line[0] for line in table("c", "Runs by test accuracy")] == ["a/plain", "b/plain"]
        assert "None: the configs are the same." in section("c", "Config differences")


def accuracies(folder):
    return [result(path)["test_accuracy"] for path in sorted(Path(folder).glob("seed-*"))]


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


def test_without_its_model_a_run_has_the_pictures_of_its_other_files(tmp_path):
    folder = shutil.copytree("wine", tmp_path / "wine")
    (folder / "model.npz").write_bytes(b"PK no zip")
    (note,) = write(folder)
    assert "model.npz: " in note and note.endswith("; figures that need the test rows are left out")
    assert set(pictures(folder)) == {"curves", "confusion", "sizes"}


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_page_is_the_same_each_time_and_leaves_the_run_alone():
    before = contents("own")
    write("own")
    assert contents("own") == before


@pytest.mark.parametrize("name", ["report.html", "pictures/curves.svg"])
def test_another_file_of_that_name_is_never_replaced(tmp_path, name):
    (tmp_path / "pictures").mkdir()
    (tmp_path / name).write_text("<p>mine</p>")
    with pytest.raises(ConfigError, match=f"^{tmp_path / name}: not written by minnet report"):
        write("plain", out=tmp_path)
    assert contents(tmp_path) == {tmp_path / name: b"<p>mine</p>"}


@pytest.mark.parametrize("how", ["report", "--resume", "--overwrite"])
def test_an_older_page_goes_with_its_pictures_and_nothing_else(tmp_path, how):
    folder = shutil.copytree("digits", tmp_path / "run")
    (folder / "pictures" / "mine.svg").touch()
    arguments = [how, str(folder)] if how == "--resume" else ["iris", how, "--out", str(folder)]
    if how == "report":
        write("plain", out=folder)
    else:
        assert train(*arguments, "train.epochs=5").code == 0
    assert set(pictures(folder)) == {"mine", *(pictures("plain") if how == "report" else [])}
    assert (folder / "report.html").exists() == (how == "report")


def test_rows_are_images_where_that_is_said_and_fits_and_there_is_one_run(tmp_path, monkeypatch):
    drawn, draw = [], figures.images
    monkeypatch.setattr(page, "UNITS", 3)
    monkeypatch.setattr(figures, "images", lambda *a, **k: drawn.append(a[0]) or draw(*a, **k))
    page.write([Path("many")], tmp_path, (8, 8))
    assert set(pictures(tmp_path)) == {*pictures("many"), "weights", "mistakes"}
    (largest,) = (W for W in drawn if len(W) == 3)
    norms = np.linalg.norm(minnet.load("many").net.weights[0], axis=0)
    np.testing.assert_allclose(np.linalg.norm(largest, axis=(1, 2)), sorted(norms)[:-4:-1])
    with pytest.raises(DataError, match="--image 7x7: the rows have 64 inputs, not 49"):
        page.write([Path("many")], tmp_path, (7, 7))
    with pytest.raises(ConfigError, match="--image: only the page of one run"):
        page.write([Path("many"), Path("plain")], tmp_path, (8, 8))


def test_the_commands_say_where_the_page_is(tmp_path):
    (tmp_path / "file").touch()
    answer = command("report", "stopped", "--out", tmp_path / "file")
    assert answer.code == 1 and answer.line().startswith(f"{tmp_path}/file")
    folder = tmp_path / "run"
    answer = train("iris", "train.epochs=1", "--report", "--out", folder)
    assert answer.out.endswith(f"\nsaved in {folder}\nreport in {folder}/report.html\n")
    assert command("report", "stopped", "small").out == "report in report/report.html\n"
    answer = command("report", "stopped")
    assert (answer.code, answer.out) == (0, "report in stopped/report.html\n")
    assert answer.notes() == ["stopped: unfinished, so it has no test figures"]


def test_without_matplotlib_a_report_is_refused_before_there_is_any_training(monkeypatch):
    find, gone = importlib.util.find_spec, "matplotlib"
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == gone else find(n))
    for arguments in (["report", "plain"], ["train", "iris", "--report", "--out", "run"]):
        answer = command(*arguments)
        assert answer.code == 1 and "a report needs matplotlib" in answer.line()
    assert not Path("run").exists()


# what lies beyond the edges of the window; numbers, without their spread, on two lines; the colors
# of letters in pictures and on the page, and of the background
BEYOND = """() => [...document.querySelectorAll('body, body *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.right > innerWidth + 0.5 || box.left < -0.5;
}).map(element => element.outerHTML.slice(0, 200))"""
BROKEN = """() => [...document.querySelectorAll('td')].filter(cell => {
    const letters = document.createRange();
    letters.selectNodeContents(cell);
    return /^[-+0-9.,]+$/.test(cell.textContent) && letters.getClientRects().length > 1;
}).map(cell => cell.textContent)"""
COLORS = """() => [getComputedStyle(document.querySelector('#curves-figure_1 text')).fill,
    getComputedStyle(document.querySelector('h1')).color,
    getComputedStyle(document.body).backgroundColor]"""


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.parametrize("name", ["digits", "many", ODD, "both"])
def test_a_page_fits_its_window_has_its_colors_fetches_nothing_and_prints(browser, name):
    said, requests = [], []
    with contextlib.closing(browser.new_page()) as tab:
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        address = Path(name, "report.html").resolve().as_uri()
        for width, scheme in ((360, "light"), (1280, "dark")):
            tab.set_viewport_size({"width": width, "height": 800})
            tab.emulate_media(color_scheme=scheme)
            tab.goto(address, wait_until="load")
            assert tab.evaluate(BEYOND) == [] and tab.evaluate(BROKEN) == []
            picture, heading, ground = map(brightness, tab.evaluate(COLORS))
            assert min(abs(picture - ground), abs(heading - ground)) > 150
            assert (ground > 128) == (scheme == "light")
        assert tab.pdf().startswith(b"%PDF")
    assert said == [] and {url for url in requests if not url.startswith("data:")} == {address}


def brightness(color):
    return np.mean([int(part) for part in re.findall(r"\d+", color)[:3]])
