"""Pages of runs: they show what the runs hold, need no other file, and read well in a browser."""

import contextlib
import html
import importlib.util
import io
import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

import minnet
from minnet import cli, config

ROOT = Path(__file__).resolve().parent.parent
MOONS = ROOT / "configs" / "moons.toml"  # by its path, as there is a folder of that name
SVG = "{http://www.w3.org/2000/svg}"
LABELS = ["<b>&\"'", "$x_1$", "日本", "long" * 50, "bell\a", "\x1b[31mred", "_hidden", "\u202eback", 'id="a', "#1b1e23"]
ODD = "n & <b> 'q'"  # a folder
SINGLE = ["digits", "moons", "wine", "plain", "sure", "own", "sparse", "many", ODD]
SEVERAL = ["several", "repeated", "both"]
PAGES = [*SINGLE, *SEVERAL]


@dataclass
class Answer:
    """How a command ended, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    def line(self) -> str:
        """All that it wrote to stderr: one line."""
        assert self.err.startswith("minnet: ")
        assert self.err.endswith("\n")
        assert len(self.err.splitlines()) == 1
        return self.err.removeprefix("minnet: ").rstrip("\n")


def command(*arguments):
    """Run a command of minnet in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = cli.main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def done(*arguments):
    answer = command(*arguments)
    assert (answer.code, answer.err) == (0, "")
    return answer.out


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """The folder in which all tests work, with runs of each kind and their pages."""
    folder = tmp_path_factory.mktemp("home")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # for the processes of repeated runs
        write_data()
        for name, *overrides in (
            ("digits", "digits", "train.epochs=4", "model.hidden=[8]"),
            ("moons", "moons", "train.epochs=5"),
            ("wine", "wine", "train.epochs=3", "model.hidden=[2]", "data.test_size=0.5"),
            ("plain", "data.source=iris", "train.epochs=3", "model.hidden=[]", "data.validation_size=0"),
            ("sure", "data.source=blobs", "data.noise=0.01", "data.features=3", "train.epochs=20"),
            ("own", "data.source=own.csv", 'data.categorical=["colour"]', "train.epochs=2"),
            ("sparse", "data.source=sparse.svmlight", "train.epochs=2"),
            ("many", "data.source=many.npz", "train.epochs=2"),
            (ODD, "data.source=odd.csv", "train.epochs=1"),
        ):
            done("train", *overrides, "--out", name, "--quiet", "--report")
        done("train", MOONS, "train.epochs=3", "--repeat", "3", "--out", "repeated", "--quiet", "--report")
        done("train", MOONS, "train.epochs=3", "model.hidden=[2]", "--repeat", "2", "--out", "small", "--quiet")
        shutil.copytree("moons", "stopped")
        for name in ("result.json", "model.npz"):
            Path("stopped", name).unlink()
        done("report", "plain", "stopped", "moons", "wine", "--out", "several")
        done("report", "small", "many", "repeated", "--out", "both")
        yield folder


def write_data():
    rng = np.random.default_rng(0)
    lines = [f'{i % 7},{i % 5},"{label.replace(chr(34), chr(34) * 2)}"' for i in range(20) for label in LABELS]
    Path("odd.csv").write_text("\n".join(["<i>&amp;,$y_2$,label", *lines, ""]), encoding="utf-8")
    lines = [f"{i % 7},{i % 3},{'<u>red' if i % 4 else 'blue'},{'yes' if i % 2 else 'no'}" for i in range(60)]
    Path("own.csv").write_text("\n".join(["a,b,colour,label", *lines, ""]), encoding="utf-8")
    lines = [f"{i % 2} {1 + i % 3}:{i % 5}.5 {5 + i % 7}:1" for i in range(80)]
    Path("sparse.svmlight").write_text("\n".join([*lines, ""]))
    np.savez("many.npz", X=rng.normal(size=(500, 64)), y=np.arange(500) % 25)


def page(folder):
    return Path(folder, "report.html").read_text(encoding="utf-8")


def pictures(folder):
    return {path.stem for path in Path(folder, "pictures").iterdir()}


def picture(folder, name):
    return ET.parse(Path(folder, "pictures", f"{name}.svg")).getroot()


def part(folder, name, id):
    (found,) = (element for element in picture(folder, name).iter() if element.get("id") == id)
    return found


def points(folder, name, id):
    """The points (n, 2) of a line in a picture."""
    path = part(folder, name, id).find(f"{SVG}path")
    return np.array(re.findall(r"[ML] (\S+) (\S+)", path.get("d")), float)


def dots(folder, name, id):
    return len(list(part(folder, name, id).iter(f"{SVG}use")))


def words(root):
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def titles(folder):
    return [html.unescape(title) for title in re.findall("<h2>(.*?)</h2>", page(folder))]


def section(folder, title):
    found = re.search(rf"<h2>{re.escape(html.escape(title))}</h2>\n(.*?)\n</section>", page(folder), re.DOTALL)
    return found.group(1)


def table(folder, title):
    """The rows of the table in a section, without their head."""
    lines = re.findall("<tr>(.*?)</tr>", section(folder, title))[1:]
    return [[html.unescape(cell) for cell in re.findall("<td[^>]*>(.*?)</td>", line)] for line in lines]


def result(folder):
    return json.loads(Path(folder, "result.json").read_text(encoding="utf-8"))


def metrics(folder):
    return np.genfromtxt(Path(folder, "metrics.csv"), delimiter=",", names=True, ndmin=1)


def held_back(folder, X, y):
    """Of the test part of a run: row numbers, p by the model in the folder, labels."""
    from sklearn.model_selection import train_test_split

    data = config.load(Path(folder, "config.toml")).data
    rows = np.arange(len(y))
    rows = train_test_split(rows, test_size=data.test_size, stratify=y, random_state=data.split_seed)[1]
    return rows, minnet.load(folder).predict_proba(X[rows]), y[rows]


def copy(name, to):
    shutil.copytree(name, to)
    return to


# What is written


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("digits", {"mistakes", "weights"}),
        ("moons", {"regions"}),
        ("wine", set()),
        ("plain", set()),
        ("sure", set()),
        ("own", set()),
        ("sparse", set()),
        ("many", set()),
        (ODD, {"regions"}),
    ],
)
def test_a_run_has_the_pictures_that_there_is_something_to_see_on(name, more):
    assert pictures(name) == {"curves", "confusion", "reliability", "sizes"} | more


def test_a_report_says_where_it_is_and_leaves_the_run_alone(tmp_path):
    folder = copy("own", tmp_path / "run")
    shutil.rmtree(folder / "pictures")
    (folder / "report.html").unlink()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert done("report", folder) == f"report in {folder}/report.html\n"
    after = set(folder.iterdir())
    assert after - set(before) == {folder / "report.html", folder / "pictures"}
    assert {path: path.read_bytes() for path in before} == before


def test_the_same_run_gives_the_same_bytes_again(tmp_path):
    done("report", "moons", "--out", tmp_path)
    assert page(tmp_path) == page("moons")
    for path in Path("moons", "pictures").iterdir():
        assert (tmp_path / "pictures" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_is_whole_svg_that_stands_by_itself(name):
    for path in Path(name, "pictures").iterdir():
        root = ET.parse(path).getroot()
        assert root.tag == f"{SVG}svg"
        check_references({element.get("id") for element in root.iter()}, path.read_text(encoding="utf-8"))


class Tags(HTMLParser):
    """The tags of a page, each with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def check_references(ids, text):
    found = re.findall(r'(?:url\(|href=")#([^")]*)[")]', text)
    assert found
    assert set(found) <= ids


@pytest.mark.parametrize("name", PAGES)
def test_no_two_things_on_a_page_have_one_name_and_every_reference_leads_somewhere(name):
    ids = Counter(attributes["id"] for _, attributes in Tags(page(name)).found if "id" in attributes)
    assert set(ids.values()) == {1}
    check_references(set(ids), page(name))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_no_other_file_and_forbids_the_browser_to_fetch_any(name):
    tags = Tags(page(name)).found
    allowed = {"html", "head", "meta", "title", "style", "link", "body", "header", "main", "footer", "section"}
    allowed |= {"h1", "h2", "p", "figure", "figcaption", "pre", "table", "tr", "th", "td", "dl", "dt", "dd"}
    allowed |= {"svg", "defs", "g", "path", "use", "text", "clippath", "rect", "image", "metadata"}
    assert {tag for tag, _ in tags if ":" not in tag} <= allowed
    for tag, attributes in tags:
        for key in ("src", "href", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:")), tag
    # names of namespaces are addresses that nobody goes to, as is all in metadata
    without = re.sub(r"<metadata>.*?</metadata>", "", page(name), flags=re.DOTALL)
    assert "://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", without)
    (policy,) = (attributes["content"] for _, attributes in tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@pytest.mark.parametrize("name", SINGLE)
def test_a_page_has_the_config_the_versions_and_the_command_of_its_run(name):
    shown = html.unescape(page(name))
    assert Path(name, "config.toml").read_text(encoding="utf-8").strip() in shown
    quoted = f"'{name}/config.toml'".replace("'q'", "'\"'\"'q'\"'\"'") if name == ODD else f"{name}/config.toml"
    assert f"<pre>minnet train {quoted}</pre>" in shown
    for package, version in result(name)["versions"].items():
        assert f"<dt>{package}</dt><dd>{version}</dd>" in shown


# The numbers


def test_the_confusion_matrix_in_the_picture_is_that_of_the_result():
    root = picture("digits", "confusion")
    x = {j: text_of(root, f"xtick_{j + 1}") for j in range(10)}
    y = {i: text_of(root, f"ytick_{i + 1}") for i in range(10)}
    assert [word for word, *_ in (*x.values(), *y.values())] == 2 * list("0123456789")
    matrix = np.zeros((10, 10), int)
    for cell in cells(root):
        word, left, top = written(cell)
        i = min(y, key=lambda i: abs(y[i][2] - top))
        j = min(x, key=lambda j: abs(x[j][1] - left))
        matrix[i, j] += int(word)
    assert matrix.tolist() == result("digits")["confusion"]


def cells(root):
    """The numbers in a matrix: text that belongs to no axis."""
    (axes,) = (element for element in root.iter() if element.get("id") == "axes_1")
    return [element for element in axes if element.get("id", "").startswith("text_")]


def text_of(root, id):
    (found,) = (element for element in root.iter() if element.get("id") == id)
    return written(found)


def written(element):
    """The one text below an element, and where it is."""
    (text,) = element.iter(f"{SVG}text")
    return text.text, float(text.get("x")), float(text.get("y"))


@pytest.mark.parametrize("name", SINGLE)
def test_the_table_of_classes_is_that_of_the_result(name):
    figures = result(name)["per_class"]
    lines = table(name, "Classes of the test part")
    for k, (label, precision, recall, f1, rows) in enumerate(lines):
        assert label == "".join(c if c.isprintable() else "?" for c in str(result(name)["classes"][k]))
        assert [precision, recall, f1] == [f"{figures[figure][k]:.4f}" for figure in ("precision", "recall", "f1")]
        assert rows == str(figures["rows"][k])
    assert len(lines) == len(result(name)["classes"])


@pytest.mark.parametrize("name", ["digits", "moons", "plain", ODD])
def test_every_line_over_epochs_has_a_point_for_each(name):
    columns = metrics(name)
    for column in columns.dtype.names:
        where = "sizes" if column.startswith(("gradient_", "update_")) else "curves"
        if column in ("epoch", "seconds") or np.isnan(columns[column]).all():
            assert not any(element.get("id") == column for element in picture(name, where).iter())
            continue
        # where there is one epoch, a line would not be seen
        found = dots(name, where, column) if len(columns) == 1 else len(points(name, where, column))
        assert found == len(columns)


@pytest.mark.parametrize("name", SINGLE)
def test_epochs_are_counted_in_whole_numbers(name):
    for where in ("curves", "sizes"):
        ticks = [element for element in picture(name, where).iter() if element.get("id", "").startswith("xtick")]
        found = [word for tick in ticks for word in words(tick)]
        assert found
        assert all(re.fullmatch("[1-9][0-9]*", word) for word in found)


@pytest.mark.parametrize("column", ["train_accuracy", "validation_accuracy", "learning_rate"])
def test_a_line_is_as_high_as_its_values(column):
    values, found = metrics("digits")[column], points("digits", "curves", column)
    slope, zero = np.polyfit(values, found[:, 1], 1)
    assert slope < 0
    np.testing.assert_allclose(found[:, 1], slope * values + zero, atol=1e-3)


def test_the_sizes_are_drawn_to_a_logarithmic_scale():
    found = np.concatenate([points("digits", "sizes", f"update_{l}") for l in (1, 2)])[:, 1]
    logs = np.log10(np.concatenate([metrics("digits")[f"update_{l}"] for l in (1, 2)]))
    slope, zero = np.polyfit(logs, found, 1)
    assert slope < 0
    np.testing.assert_allclose(found, slope * logs + zero, atol=1e-3)


def test_the_best_epoch_is_marked():
    best = result("moons")["best_epoch"]
    assert f"best: epoch {best}" in words(picture("moons", "curves"))
    assert f"Epoch {best} was best in validation, by loss." in section("moons", "Learning curves")
    assert "best" not in section("plain", "Learning curves")  # without validation none is


def bundled(name):
    from sklearn import datasets

    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y


@pytest.mark.parametrize("name", ["digits", "wine"])
def test_the_reliability_is_that_of_the_saved_model_on_the_test_rows(name):
    _, p, y = held_back(name, *bundled(name))
    confidence, right = p.max(axis=1).astype(float), p.argmax(axis=1) == y
    bins = np.ceil(confidence * 10)
    error = sum(abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in np.unique(bins)) / len(y)
    assert f"Calibration error {error:.4f}:" in section(name, "Reliability")
    shown = words(picture(name, "reliability"))
    assert f"calibration error {error:.4f}" in shown
    assert dots(name, "reliability", "reliability") == len(np.unique(bins))
    for b in np.unique(bins):
        assert f"{(bins == b).sum()}" in shown


def test_the_most_confident_mistakes_are_rows_that_the_saved_model_has_wrong():
    rows, p, y = held_back("wine", *bundled("wine"))
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    assert len(wrong) > 1
    lines = table("wine", "Most confident mistakes")
    expected = sorted(wrong, key=lambda i: -p[i].max())[:12]
    assert [int(line[0]) for line in lines] == rows[expected].tolist()
    for (_, true, predicted, sure, _), i in zip(lines, expected, strict=True):
        assert [true, predicted] == [f"class_{y[i]}", f"class_{p[i].argmax()}"]
        assert sure == f"{p[i].max():.4f}"
    assert f"Of {len(wrong):,} wrong test rows" in section("wine", "Most confident mistakes")


def test_a_mistake_is_shown_with_the_features_in_which_it_is_most_unusual():
    from sklearn.datasets import load_wine

    wine, model = load_wine(), minnet.load("wine")
    for row, *_, features in table("wine", "Most confident mistakes"):
        x = wine.data[int(row)]
        far = np.argsort(-np.abs((x - model.features.center) / model.features.scale))[:8]
        assert features == "; ".join(f"{wine.feature_names[j]} {x[j]:.6g}" for j in far)


def test_mistakes_have_the_cells_of_their_file_those_of_text_as_well():
    lines = table("own", "Most confident mistakes")
    assert lines
    for row, true, predicted, _, features in lines:
        i = int(row)
        assert features == f"a {i % 7}; b {i % 3}; colour {'<u>red' if i % 4 else 'blue'}"
        assert true == ("yes" if i % 2 else "no") != predicted


def test_mistakes_of_sparse_rows_have_the_cells_of_their_file():
    lines = table("sparse", "Most confident mistakes")
    assert lines
    for row, *_, features in lines:
        i = int(row)
        there = {f"x{i % 3}": f"{i % 5}.5", f"x{4 + i % 7}": "1"}
        shown = dict(feature.rsplit(" ", 1) for feature in features.split("; "))
        assert len(shown) == 8
        assert all(value == there.get(name, "0") for name, value in shown.items())


def test_the_images_of_mistakes_are_titled_with_their_classes_and_confidence():
    _, p, y = held_back("digits", *bundled("digits"))
    wrong = np.flatnonzero(p.argmax(axis=1) != y)
    worst = sorted(wrong, key=lambda i: -p[i].max())[:12]
    found = words(picture("digits", "mistakes"))
    assert found == [f"{y[i]} → {p[i].argmax()}, {p[i].max():.3f}" for i in worst]
    assert len(list(picture("digits", "mistakes").iter(f"{SVG}image"))) == len(worst)


@pytest.mark.parametrize("name", ["moons", ODD])
def test_a_ring_is_around_each_wrong_row_in_the_picture_of_regions(name):
    matrix = np.array(result(name)["confusion"])
    wrong = matrix.sum() - np.trace(matrix)
    assert wrong > 0
    assert dots(name, "regions", "wrong") == wrong
    points_and_legend = len(list(picture(name, "regions").iter(f"{SVG}use"))) - wrong - len(matrix)
    ticks = sum(
        len(list(element.iter(f"{SVG}use")))
        for element in picture(name, "regions").iter()
        if re.fullmatch(r"[xy]tick_\d+", element.get("id", ""))
    )
    assert points_and_legend - ticks == matrix.sum()


def test_where_nothing_is_wrong_there_are_no_mistakes_to_show():
    assert result("sure")["test_accuracy"] == 1
    assert "0 of 200 test rows are wrong" in section("sure", "Confusion matrix")
    assert not {title for title in titles("sure") if "mistakes" in title}


def test_many_classes_have_a_table_of_mistakes_in_place_of_numbers():
    assert cells(picture("digits", "confusion"))
    assert not cells(picture("many", "confusion"))
    matrix = np.array(result("many")["confusion"])
    np.fill_diagonal(matrix, 0)
    lines = table("many", "Most frequent mistakes")
    counts = [int(rows) for _, _, rows in lines]
    assert counts == sorted(matrix.ravel(), reverse=True)[:12]
    assert len({(i, j) for j, i, _ in lines}) == 12
    assert all(matrix[int(i), int(j)] == int(rows) for j, i, rows in lines)
    assert "Most frequent mistakes" not in titles("digits")


# Labels and names


def test_labels_and_names_are_text_on_the_page_and_in_its_pictures():
    shown = page(ODD)
    assert f"<h1>{html.escape(ODD)}</h1>" in shown
    assert "&lt;b&gt;&amp;&quot;&#x27;" in shown
    assert not {tag for tag, _ in Tags(shown).found} & {"b", "i", "u"}
    found = words(picture(ODD, "confusion"))
    expected = ["<b>&\"'", "$x_1$", "日本", "longlo…glong", "bell?", "?[31mred", "_hidden", "?back", *LABELS[-2:]]
    assert all(found.count(label) == 2 for label in expected)
    found = words(picture(ODD, "regions"))
    assert {"<i>&amp;", "$y_2$", "longlong…onglong", *expected} - {"longlo…glong"} <= set(found)
    assert {c for c in shown if not c.isprintable()} == {"\n"}


@pytest.mark.parametrize("name", PAGES)
def test_a_picture_on_the_page_says_what_its_file_says(name):
    inline = {}
    for svg in re.findall("<svg.*?</svg>", page(name), re.DOTALL):
        root = ET.fromstring(svg)
        inline[root.find("g").get("id").partition("-")[0]] = ["".join(text.itertext()) for text in root.iter("text")]
    assert inline == {path: words(picture(name, path)) for path in pictures(name)}


# Several runs


def test_several_runs_are_in_a_table_the_best_first_and_those_on_their_way_last():
    lines = table("several", "By test accuracy")
    best_first = sorted(["plain", "moons", "wine"], key=lambda name: -result(name)["test_accuracy"])
    assert lines[-1] == ["stopped", "not ended", "", "", "", ""]
    assert [line[0] for line in lines[:-1]] == best_first
    for name, accuracy, loss, f1, epochs, seconds in lines[:-1]:
        figures = result(name)
        assert [accuracy, loss, f1] == [f"{figures[f]:.4f}" for f in ("test_accuracy", "test_loss", "macro_f1")]
        assert (epochs, seconds) == (str(figures["epochs"]), f"{figures['seconds']:.2f}")


def test_what_differs_in_configs_are_the_keys_that_do():
    lines = table("several", "What differs in their configs")
    names = [line[0] for line in table("several", "By test accuracy")]
    values = [config.values(config.load(Path(name, "config.toml"))) for name in names]
    differing = [key for key in values[0] if len({str(each[key]) for each in values}) > 1]
    assert [key for key, _, _ in lines if key] == differing
    expected = [[name, str(each[key])] for key in differing for name, each in zip(names, values, strict=True)]
    assert [line[1:] for line in lines] == expected


def test_the_curves_of_all_runs_are_there():
    for g, (name, *_) in enumerate(table("several", "By test accuracy")):
        for figure in ("loss", "accuracy"):
            assert len(points("several", "curves", f"{figure}-{g}-0")) == len(metrics(name))
        legend = name + (" (train)" if np.isnan(metrics(name)["validation_loss"]).all() else "")
        assert legend in words(picture("several", "curves"))


def test_a_run_whose_name_begins_with_an_underscore_is_in_the_legend(tmp_path):
    done("report", "stopped", copy("stopped", tmp_path / "_old"), "--out", tmp_path)
    assert {"stopped", "_old"} <= set(words(picture(tmp_path, "curves")))


def test_the_same_run_twice_is_told_apart_by_its_folders_and_differs_in_nothing(home, tmp_path):
    with contextlib.chdir(tmp_path):
        for name in ("a/plain", "b/plain"):
            shutil.copytree(home / "plain", name)
        done("report", "a/plain", "b/plain", "--out", "c")
        assert [line[0] for line in table("c", "By test accuracy")] == ["a/plain", "b/plain"]
        assert "Nothing: their configs are the same." in section("c", "What differs in their configs")


def test_a_long_name_leaves_room_for_the_picture(tmp_path):
    folder = copy("plain", tmp_path / ("long" * 40))
    done("report", folder, "plain", "--out", tmp_path / "out")
    # the whole name is in the table
    assert {line[0] for line in table(tmp_path / "out", "By test accuracy")} == {"plain", folder.name}


def test_a_name_too_long_and_an_image_for_several_runs_are_one_line(home, capsys):
    assert cli.main(["report", "a" * 300]) == 1
    assert capsys.readouterr().err == f"minnet: {'a' * 300}: cannot be read: File name too long\n"
    assert cli.main(["report", "plain", "moons", "--image", "8x8"]) == 2
    assert capsys.readouterr().err == "minnet: --image: shows the rows of one run, not of several: leave it out\n"


def test_pictures_of_another_are_not_written_over(tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/curves.svg").write_text("mine")
    assert cli.main(["report", "plain", "--out", str(tmp_path)]) == 2
    assert "pictures/curves.svg: was not written by minnet report" in capsys.readouterr().err
    assert (tmp_path / "pictures/curves.svg").read_text() == "mine"
    assert not (tmp_path / "report.html").exists()


def test_several_runs_go_to_a_folder_named_report(tmp_path):
    copy("stopped", tmp_path / "a")
    copy("stopped", tmp_path / "b")
    with contextlib.chdir(tmp_path):
        assert done("report", "a", "b") == "report in report/report.html\n"
        assert pictures("report") == {"curves"}
        assert [line[1] for line in table("report", "By test accuracy")] == ["not ended", "not ended"]


def accuracies(folder):
    return np.array([result(path)["test_accuracy"] for path in sorted(Path(folder).glob("seed-*"))])


def test_a_repeated_run_has_a_dot_for_each_of_its_runs_and_their_mean():
    found = accuracies("repeated")
    assert dots("repeated", "scores", "scores-0") == len(found) == 3
    half = t.ppf(0.975, 2) * found.std(ddof=1) * np.sqrt(1 / 3 + 200 / 800)
    low, high = found.mean() - half, min(1, found.mean() + half)
    said = f"repeated: 3 of 3 runs, test accuracy {found.mean():.4f} ± {found.std(ddof=1):.4f}"
    assert f"<p>{said} (95% interval {low:.4f} to {high:.4f})</p>" in page("repeated")
    lines = table("repeated", "Runs of repeated")
    assert [line[:2] for line in lines] == [[f"seed-{i}", f"{found[i]:.4f}"] for i in range(3)]
    for figure in ("loss", "accuracy"):
        assert all(len(points("repeated", "curves", f"{figure}-0-{r}")) == 3 for r in range(3))


def test_two_repeated_runs_are_compared_split_by_split():
    assert [line[0] for line in table("both", "By test accuracy")] == ["repeated", "small", "many"]
    assert [dots("both", "scores", f"scores-{g}") for g in range(3)] == [3, 2, 1]
    gaps = accuracies("small") - accuracies("repeated")[:2]
    half = t.ppf(0.975, 1) * gaps.std(ddof=1) * np.sqrt(1 / 2 + 200 / 800)
    expected = ["small", f"{gaps.mean():+.4f}", f"{gaps.mean() - half:+.4f} to {gaps.mean() + half:+.4f}", "2"]
    assert table("both", "Beside repeated") == [expected]
    lines = table("both", "What differs in their configs")
    i = [line[0] for line in lines].index("data.split_seed")
    assert [line[1:] for line in lines[i : i + 3]] == [["repeated", "0 to 2"], ["small", "0 to 1"], ["many", "0"]]


def test_runs_of_a_repeated_one_that_are_not_there_yet_are_missing_in_the_count(tmp_path):
    folder = copy("small", tmp_path / "small")
    shutil.rmtree(folder / "seed-1")
    done("report", folder)
    assert "<p>small: 1 of 2 runs ended</p>" in page(folder)
    assert dots(folder, "scores", "scores-0") == 1


# Runs that are not whole


def test_a_run_on_its_way_is_shown_as_far_as_it_is():
    answer = command("report", "stopped")
    assert answer.code == 0
    assert answer.line() == "note: stopped: has not ended yet, so there are no figures of its test part"
    assert pictures("stopped") == {"curves", "sizes"}
    assert "moons: 5 of at most 5 epochs so far, not ended yet" in page("stopped")


def test_a_run_before_its_first_epoch_has_a_page_without_pictures(tmp_path):
    folder = copy("stopped", tmp_path / "run")
    (folder / "metrics.csv").write_text(Path("stopped/metrics.csv").read_text().splitlines()[0] + "\n")
    assert command("report", folder).code == 0
    assert pictures(folder) == set()  # those of before, of which there was one, are gone
    assert "0 of at most 5 epochs" in page(folder)


def edited_data(folder):
    path = Path("own.csv")
    path.write_text(path.read_text().replace("6,2,", "6,99,"))


def cut_model(folder):
    (folder / "model.npz").write_bytes(b"PK no zip")


def no_checkpoint(folder):
    (folder / "checkpoint.npz").unlink()


@pytest.mark.parametrize(
    ("damage", "named"), [(edited_data, "own.csv"), (cut_model, "model.npz"), (no_checkpoint, "checkpoint.npz")]
)
def test_without_its_data_or_model_a_run_has_the_pictures_of_its_other_files(tmp_path, damage, named):
    folder = copy("own", tmp_path / "own")
    shutil.copy("own.csv", tmp_path)
    with contextlib.chdir(tmp_path):
        damage(folder)
        answer = command("report", "own")
    assert answer.code == 0
    assert named in answer.line()
    assert answer.line().endswith("; pictures that need its rows are left out")
    assert pictures(folder) == {"curves", "confusion", "sizes"}


WRONG_KINDS = b'{"test_accuracy": 1, "confusion": 1, "classes": 1, "rows": 1}'


@pytest.mark.parametrize("name", ["result.json", "metrics.csv"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]\n1,2\n", WRONG_KINDS])
def test_a_damaged_file_of_a_run_is_named(tmp_path, name, content):
    folder = copy("own", tmp_path / "run")
    (folder / name).write_bytes(content)
    for others in ([], ["plain"]):
        answer = command("report", folder, *others, "--out", tmp_path / "out")
        assert answer.code == 1
        assert answer.line().startswith(f"{folder / name}: ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("others", [[], ["plain"]])
def test_a_folder_without_a_run_is_named(tmp_path, others):
    for folder in (tmp_path, tmp_path / "none"):
        answer = command("report", *others, folder)
        assert (answer.code, answer.line()) == (2, f"{folder}: holds no run: there is no config.toml")


# Where pages go


def test_a_page_of_another_is_never_replaced(tmp_path):
    (tmp_path / "report.html").write_text("<p>mine</p>")
    answer = command("report", "plain", "--out", tmp_path)
    assert answer.code == 2
    assert answer.line().startswith(f"{tmp_path}/report.html: was not written by minnet report")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"report.html": "<p>mine</p>"}


def test_an_older_page_is_replaced_with_its_pictures(tmp_path):
    shutil.copytree("digits/pictures", tmp_path / "pictures")
    shutil.copy("digits/report.html", tmp_path)
    (tmp_path / "pictures" / "mine.svg").touch()
    done("report", "plain", "--out", tmp_path)
    assert pictures(tmp_path) == pictures("plain") | {"mine"}
    assert "<h1>plain</h1>" in page(tmp_path)


def test_where_no_folder_can_be_there_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    answer = command("report", "plain", "--out", tmp_path / "file")
    assert answer.code == 1
    assert answer.line().startswith(f"{tmp_path}/file")


def test_rows_are_images_where_that_is_said_and_fits(tmp_path):
    done("report", "many", "--image", "8x8", "--out", tmp_path)
    assert pictures(tmp_path) == pictures("many") | {"weights", "mistakes"}
    answer = command("report", "many", "--image", "7x7", "--out", tmp_path)
    assert (answer.code, answer.line()) == (1, "--image 7x7: the rows have 64 inputs, not 49")


@pytest.mark.parametrize("size", ["foo", "8", "8x", "0x8", "8x8x1", "-1x-64", "²x32"])
def test_what_is_no_size_of_an_image_is_said(size):
    answer = command("report", "many", f"--image={size}")
    assert answer.code == 2
    assert f"{size!r} is no size such as 28x28" in answer.line()


def test_without_matplotlib_a_report_is_refused_before_there_is_any_training(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    for arguments in (["report", "plain"], ["train", "iris", "--report", "--out", tmp_path / "run"]):
        answer = command(*arguments)
        assert (answer.code, answer.line()) == (1, "a report needs matplotlib: pip install 'minnet[plot]'")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("go_on", [False, True])
def test_more_training_removes_the_page_and_its_pictures_and_nothing_else(tmp_path, go_on):
    folder = copy("plain", tmp_path / "run")
    (folder / "pictures" / "mine.svg").touch()
    if go_on:
        done("train", "--resume", folder, "train.epochs=4", "--quiet")
    else:
        done("train", "data.source=iris", "train.epochs=1", "--overwrite", "--out", folder, "--quiet")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*")} == {
        *("config.toml", "metrics.csv", "result.json", "model.npz", "checkpoint.npz", "pictures", "pictures/mine.svg")
    }
    done("report", folder)
    (folder / "pictures" / "mine.svg").unlink()
    done("train", "data.source=iris", "train.epochs=1", "--overwrite", "--out", folder, "--quiet")
    assert not (folder / "pictures").exists()


@pytest.mark.parametrize("how", ["--overwrite", "--resume"])
def test_more_training_leaves_the_page_of_another_alone(tmp_path, how):
    folder = copy("stopped", tmp_path / "run")
    (folder / "report.html").write_text("<p>mine</p>")
    arguments = ["--resume", folder] if how == "--resume" else [MOONS, "train.epochs=1", "--overwrite", "--out", folder]
    done("train", *arguments, "--quiet")
    assert (folder / "report.html").read_text() == "<p>mine</p>"


def test_train_says_where_its_report_is(tmp_path):
    said = done("train", "data.source=iris", "train.epochs=1", "model.hidden=[]", "--report", "--out", tmp_path / "run")
    assert said.endswith(f"\nsaved in {tmp_path}/run\nreport in {tmp_path}/run/report.html\n")


# In a browser

# what lies beyond the edges of the window
BEYOND = """() => [...document.querySelectorAll('body, body *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.right > innerWidth + 0.5 || box.left < -0.5;
}).map(element => element.outerHTML.slice(0, 200))"""
# of the letters on the page and on its pictures, and of its ground
COLOURS = """() => [getComputedStyle(document.querySelector('#curves-figure_1 text')).fill,
    getComputedStyle(document.querySelector('h1')).color, getComputedStyle(document.body).backgroundColor]"""


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


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)])
@pytest.mark.parametrize("name", ["digits", "moons", "wine", "many", ODD, *SEVERAL])
def test_a_page_fits_its_window_has_its_colours_and_fetches_nothing(browser, name, width, height):
    with contextlib.closing(browser.new_page(viewport={"width": width, "height": height})) as tab:
        said, requests = [], []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        address = Path(name, "report.html").resolve().as_uri()
        tab.goto(address, wait_until="load")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.evaluate(BEYOND) == []
        for colours in ("light", "dark"):
            tab.emulate_media(color_scheme=colours)
            letters, heading, ground = map(brightness, tab.evaluate(COLOURS))
            assert min(abs(letters - ground), abs(heading - ground)) > 150
            assert (ground > 128) == (colours == "light")
        assert said == []
        assert [url for url in requests if not url.startswith("data:")] == [address]


# numbers, without their spread, that go on in a second line
BROKEN = """() => [...document.querySelectorAll('td.number')].filter(cell => {
    const letters = document.createRange();
    letters.selectNodeContents(cell);
    return !cell.textContent.includes(' ') && letters.getClientRects().length > 1;
}).map(cell => cell.textContent)"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["digits", "moons", "wine", "many", ODD, *SEVERAL])
def test_no_number_in_a_table_is_broken(browser, name, width):
    with contextlib.closing(browser.new_page(viewport={"width": width, "height": 800})) as tab:
        tab.goto(Path(name, "report.html").resolve().as_uri())
        assert tab.evaluate(BROKEN) == []


def brightness(colour):
    return np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]])


@pytest.mark.parametrize("name", ["digits", "both"])
def test_a_page_can_be_printed(browser, name):
    with contextlib.closing(browser.new_page()) as tab:
        tab.goto(Path(name, "report.html").resolve().as_uri())
        printed = tab.pdf()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 0
    assert b"/Font" in printed
