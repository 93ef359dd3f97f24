"""What every test gets: an environment without Midwatch's own variables, and servers on request."""

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

SERVERS = frozenset({"browser", "contract", "integration"})
"""Folders whose tests share servers, and whose servers should not compete with one another."""

LONG = frozenset({"simulation"})
"""Folders whose tests take so long that each goes to whoever is free."""

pytest_plugins = ("tests.support.fixtures", "tests.support.fortress")

# Generated cases run into real servers, whose speed says nothing about the code; failures print how to repeat them.
settings.register_profile("midwatch", deadline=None, print_blob=True)
settings.load_profile("midwatch")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No override of the person who runs the tests reaches them, nor the size of the terminal."""
    for name in list(os.environ):
        if (name.startswith("MIDWATCH_") and "__" in name) or name in {"COLUMNS", "LINES"}:
            monkeypatch.delenv(name)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """What starts servers runs in one process, one after the other; the rest beside it, most files each in one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.split("/")[1]
        if folder in SERVERS:
            return "servers"
        return nodeid if folder in LONG else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Ours, whatever `--dist` says."""
    return Scheduling(config, log)
