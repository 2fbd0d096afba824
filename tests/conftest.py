"""Settings of all tests, and the browser that pages are looked at in."""

import os
import shutil

import pytest
from hypothesis import settings

# the same examples each time, so that a red test stays red; no test asserts a time: no deadline
settings.register_profile("minnet", derandomize=True, deadline=None)
settings.load_profile("minnet")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()
