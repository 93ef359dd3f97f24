"""What every test gets: an environment without Midwatch's own variables, and servers on request."""

import os

import pytest
from hypothesis import settings

pytest_plugins = ("tests.support.fixtures",)

# Generated cases run into real servers, whose speed says nothing about the code; failures print how to repeat them.
settings.register_profile("midwatch", deadline=None, print_blob=True)
settings.load_profile("midwatch")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No override of the person who runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("MIDWATCH_") and "__" in name:
            monkeypatch.delenv(name)
