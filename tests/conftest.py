"""What every test gets: an environment without Midwatch's own variables, and servers on request."""

import os

import pytest
from hypothesis import settings

SERVERS = frozenset({"browser", "contract", "integration"})
"""Folders whose tests share servers, and whose servers should not compete with one another."""

pytest_plugins = ("tests.support.fixtures", "tests.support.fortress")

# Generated cases run into real servers, whose speed says nothing about the code; failures print how to repeat them.
settings.register_profile("midwatch", deadline=None, print_blob=True)
settings.load_profile("midwatch")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No override of the person who runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith("MIDWATCH_") and "__" in name:
            monkeypatch.delenv(name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts servers runs in one process, one after the other; the rest beside it, each file in one process."""
    for item in items:
        kind = item.path.relative_to(item.config.rootpath).parts[1]
        item.add_marker(pytest.mark.xdist_group("servers" if kind in SERVERS else item.nodeid.partition("::")[0]))
