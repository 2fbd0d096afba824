"""The page of the softmax Jacobian: its script computes what the core does, it works with a
keyboard, on a phone, on paper and without scripts, and it fetches nothing."""

import contextlib
import re
import runpy
import struct
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from running import ROOT, command

import minnet
from minnet import config, runs
from minnet.core import softmax as core
from minnet.errors import ConfigError
from minnet.study import catches
from minnet.study.mistakes import MISTAKES, swapped
from minnet.study.page import MOST_CLASSES, page
from minnet.study.subject import Subject, choose, friendly

TOY = ROOT / "docs" / "softmax.html"
SHOWN = re.findall(r'^  "([a-z0-9-]+)": \{', TOY.read_text(encoding="utf-8"), re.MULTILINE)
MINUS = "\N{MINUS SIGN}"
CHECKS = {  # the page's and the gallery's
    "p sums to 1": "sum p",
    "J is symmetric": "sym",
    "rows of J sum to 0": "rows",
    f"dz = p {MINUS} y": "p-y K",
    "J as measured from p": "diff J",
    "dz as measured from L": "diff L",
}


@contextlib.contextmanager
def opened(browser, path=TOY, width=1280, **options):
    """A tab with a page, in which nothing may go wrong and nothing else may be fetched."""
    address, said, requests = path.resolve().as_uri(), [], []
    with contextlib.closing(
        browser.new_context(viewport={"width": width, "height": 800}, **options)
    ) as context:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(address)
        yield tab
        assert said == [] and {url for url in requests if not url.startswith("data:")} == {address}


@pytest.fixture(scope="module")
def tab(browser):
    with opened(browser) as tab:
        yield tab


def steps(tab, cases, mistake=""):
    """What the page's script makes of each (z, T), and what its checks say."""
    code = "([cases, name]) => cases.map(([z, T]) => [minnet.step(z, T, name), "
    code += "minnet.checks(minnet.step(z, T, name), T)])"
    return tab.evaluate(code, [[[np.asarray(x).tolist() for x in case] for case in cases], mistake])


def grid():
    """Logits of 2 to 6 classes, near and far from each other, with hard and soft targets."""
    rng = np.random.default_rng(0)
    for K, scale in product(range(2, 7), [0, 1, 10, 300, 1e4]):
        z = (scale * rng.normal(size=K)).clip(-1e4, 1e4)
        for T in (np.eye(K)[0], np.eye(K)[z.argmin()], rng.dirichlet(np.ones(K)), np.ones(K) / K):
            yield z, T
    yield from (([1000.0, 0.0, gap], np.eye(3)[2]) for gap in (1000.0, 291.0, 255.0, -1e4))


def test_the_script_computes_what_the_core_does(tab):
    cases = [*grid()]
    for (z, T), (found, checked) in zip(cases, steps(tab, cases), strict=True):
        p, log_p = core.softmax_and_log(z)
        right = {"p": p, "L": -np.vecdot(T, log_p), "J": core.softmax_jacobian(p)}
        right |= {"dp": core.loss_gradient(p, T), "jacobian": core.by_jacobian(p, T)}
        right |= {"product": core.by_vjp(p, T), "fused": core.fused(p, T), "mean": -1.0}
        right |= {"terms": (core.softmax_jacobian(p) * right["dp"][:, None]).T}
        for name, value in right.items():
            np.testing.assert_allclose(found[name], value, 1e-12, 1e-15, err_msg=f"{name} {z} {T}")
        np.testing.assert_allclose(found["measured"], right["fused"], 0, 1e-6)
        assert found["dz"] == found["jacobian"] and all(checked.values()), (z, T, checked)


@pytest.mark.parametrize("name", [name for name in SHOWN if name in MISTAKES])
def test_a_mistake_is_that_of_the_gallery_and_so_are_the_checks_that_notice_it(tab, name):
    change = MISTAKES[name].change
    cases = [(core.log_softmax(z), T) for z, T in grid() if np.ptp(z) < 700]
    large = [(z, T) for z, T in grid() if np.ptp(z) >= 700] if MISTAKES[name].gap else []
    cases, differ = cases + large, 0
    for (z, T), (found, _) in zip(cases, steps(tab, cases, name), strict=True):
        with swapped(change):
            p, log_p = core.softmax_and_log(core.softmax(z) if name == "softmax-twice" else z)
            dz, L = core.OUTPUT_GRADIENTS[change.method](p, T), -(T * log_p).sum()
        found_dz = np.asarray(found["dz"], float)
        np.testing.assert_allclose(found_dz, dz, 1e-12, 1e-12 * np.nanmax([1, *np.abs(dz)]))
        np.testing.assert_allclose(found["L"], L, 1e-12)
        right = core.cross_entropy(z, T), core.fused(core.softmax(z), T)
        differ += not (np.allclose(L, right[0]) and np.allclose(dz, right[1]))
    assert differ
    if change.function.__module__ == core.__name__:
        cases = [*product(catches.Z, catches.I)]
        said = [checked for _, checked in steps(tab, cases, name)]
        caught = catches.caught(MISTAKES[name])
        for check, head in CHECKS.items():
            assert (not all(each[check] for each in said)) == caught[head], check


def test_the_page_in_the_docs_is_the_one_that_is_written_now():
    """If not: minnet study --page docs/softmax.html --overwrite."""
    shown = TOY.read_text(encoding="utf-8")
    assert shown == page(friendly([])) and len(SHOWN) >= 10
    assert "default-src 'none'; script-src 'unsafe-inline'; style-src" in shown
    assert "://" not in shown and "<code>minnet report</code>" in shown
    assert "docs/softmax.html" in (ROOT / "minnet/report/page.html").read_text(encoding="utf-8")


def shown(tab, selector):
    """The numbers of each element, as the page shows them."""
    return [text.replace(MINUS, "-") for text in tab.locator(selector).all_inner_texts()]


def numbers(x):
    return [f"{value:.4f}" for value in x]


def test_with_the_keyboard_alone_logits_target_mistake_and_step_are_changed(browser):
    with opened(browser) as tab:
        press, write = tab.keyboard.press, tab.keyboard.type

        def go(selector):
            for _ in range(40):
                press("Tab")
                if tab.evaluate(f"document.activeElement.matches({selector!r})"):
                    return
            raise AssertionError(f"no way to {selector}")

        go("input")  # the slider of z_0
        press("ArrowRight")
        dz = core.fused(core.softmax([2.1, 0, 1]), np.eye(3)[2])
        assert shown(tab, "output.dz") == shown(tab, "#sum button") == numbers(dz)
        go("[type=number]")
        press("Control+a")
        write("1000")
        assert shown(tab, "output.dz") == ["1.0000", "0", "-1.0000"]
        assert shown(tab, "#loss") == ["999.0"]
        go("[type=radio]")
        press("ArrowUp")
        assert shown(tab, "output.dz") == ["1.0000", "-1.0000", "0"]
        go("#mistake")
        write("softmax-w")
        assert shown(tab, "output.dz")[0] == "NaN"
        assert shown(tab, "#checks li")[0] == "✗ fails: p sums to 1"
        assert tab.inner_text("#said") == MISTAKES["softmax-without-shift"].why
        press("Home")  # none
        go("#down")
        press("Enter")
        assert (
            f"Step 1: z becomes z {MINUS} dz, and L goes from 1000.0 to 998.0."
            in tab.inner_text("#said")
        )
        go("#reset")
        press("Enter")
        assert shown(tab, "output.p") == numbers(core.softmax([2.0, 0, 1]))
        for _ in range(2):
            go("#sum button")
        assert "= 0.0900. Measured" in tab.inner_text("#how")
        assert tab.locator("#jacobian td.lit").count() == 3
        unnamed = "[...document.querySelectorAll('input, select, button, svg')].filter(x => "
        assert tab.evaluate(unnamed + "!(x.ariaLabel || x.labels?.length || x.innerText))") == []


def test_a_typed_soft_target_sums_to_1_and_classes_come_and_go(browser):
    with opened(browser) as tab:
        tab.get_by_label("target y₂").fill("0.7")
        for K in (6, 2, 3):
            tab.select_option("#K", str(K))
            state = tab.evaluate("state")
            assert len(state["z"]) == len(state["y"]) == K and sum(state["y"]) == pytest.approx(1)
            assert tab.is_visible("#simplex") == (K == 3)
        tab.get_by_label("typed logit z₀").fill("1e9")
        assert tab.evaluate("state.z[0]") == 1e4 and "NaN" not in tab.inner_text("main")


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (800, "dark"), (1280, "dark")])
def test_it_fits_its_window_and_one_sheet_of_paper(browser, width, scheme):
    with opened(browser, width=width, color_scheme=scheme) as tab:
        for K, mistake in product((3, 6), ("", "z-for-p")):
            tab.select_option("#K", str(K))
            tab.select_option("#mistake", mistake)
            wide = "[document.documentElement, ...document.querySelectorAll('.wide')]"
            assert tab.evaluate(wide + ".every(x => x.scrollWidth <= x.clientWidth)")
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.search(r"\d+", ground)[0]) > 128) == (scheme == "light")
        assert len(re.findall(rb"/Type /Page\b", tab.pdf(format="A4"))) == 1


def test_without_scripts_the_numbers_stand_there(browser):
    with opened(browser, java_script_enabled=False, width=360) as tab:
        text = tab.inner_text("body")
        assert all(number in text for number in ("0.2227", "-4.0862", "0.6652", "1.4076"))
        assert not tab.is_visible("main")


@pytest.mark.usefixtures("here")
def test_the_page_of_a_run_has_its_numbers_and_its_labels_as_text(browser):
    labels = ["</script><b>", "it's \"&amp;", "$z"]
    rows = [f"{i % 7},{i % 5},{labels[i % 3]}" for i in range(60)]
    Path("own.tsv").write_text("\n".join(["a,b,label", *rows]).replace(",", "\t"))
    settings = ["data.source=own.tsv", "train.epochs=3"]
    runs.train(config.load(None, [*config.PLAIN, *settings]), Path("run"))
    arguments = "study", "--model", "run", "--row", 4, "--page", "own.html"
    assert command(*arguments).out == "page in own.html\n"
    assert command(*arguments).refusal(2).startswith("own.html: exists; choose another file")
    assert command(*arguments, "--overwrite").code == 0
    with opened(browser, Path("own.html")) as tab:
        p = minnet.load(Path("run")).predict_proba([[4.0, 4.0]])[0]
        assert [float(x) for x in shown(tab, "output.p")] == pytest.approx(p, abs=1e-4)
        names = [f"{k} {label}" for k, label in enumerate(sorted(labels))]
        true = sorted(labels).index(labels[4 % 3])
        assert shown(tab, ".class .name") == names and tab.evaluate("state.y")[true] == 1
        assert "row 4 of the" in tab.inner_text("footer")


@pytest.mark.usefixtures("here")
def test_a_page_of_many_classes_is_refused_and_its_name_has_a_default():
    assert command("study", "--page").out == "page in softmax.html\n"
    assert Path("softmax.html").read_bytes() == TOY.read_bytes()
    net = minnet.MLP([2, MOST_CLASSES + 1])
    with pytest.raises(ConfigError, match="at most 10 classes, this net has 11; leave out"):
        page(Subject(choose([]).config, net, np.ones((1, 2)), 0, ""))


def test_the_readme_has_a_picture_of_it_as_it_is(browser, tmp_path):
    """If not: python docs/pictures.py. Letters differ by the fonts that a machine has."""
    runpy.run_path(str(ROOT / "docs" / "pictures.py"))["photograph"](browser, tmp_path)
    now, shown = (
        (path / "softmax.png").read_bytes() for path in (tmp_path, TOY.parent / "pictures")
    )
    sizes = [struct.unpack(">2I", png[16:24]) for png in (now, shown)]
    np.testing.assert_allclose(*sizes, rtol=0.1)
    assert len(shown) < 200_000
    assert "(docs/pictures/softmax.png)](docs/softmax.html)" in (ROOT / "README.md").read_text()
