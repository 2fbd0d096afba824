"""Settings of all tests."""

import pytest
from hypothesis import settings

# the same examples each time, so that a red test stays red; no test asserts a time: no deadline
settings.register_profile("minnet", derandomize=True, deadline=None)
settings.load_profile("minnet")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
