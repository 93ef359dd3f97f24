"""The page beside the engine: started, started again after its death with growing pauses, and ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stream.page import LONGEST_PAUSE_SECONDS, KeptPage, PageKeeper, page_command

ECHO = [sys.executable, "-c", "import sys; sys.stdin.read()"]
DIES = [sys.executable, "-c", "raise SystemExit(3)"]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait(keeper: PageKeeper) -> None:
    process = keeper._process
    assert process is not None
    process.wait(30)


def test_a_dead_page_comes_again_later_and_later() -> None:
    """Its death is noticed, waited for twice as long each time, and never in the way."""
    clock = Clock()
    keeper = PageKeeper(DIES, clock)
    pauses = []
    for _ in range(8):
        keeper.check()
        wait(keeper)
        keeper.check()
        assert keeper.pid is None
        pauses.append(keeper._next - clock.now)
        clock.now = keeper._next
    assert pauses[:3] == [2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_living_page_is_left_alone_and_ended_in_the_end() -> None:
    """One process, whatever is looked; it ends when told, and when its parent's end of the pipe is gone."""
    keeper = PageKeeper(ECHO)
    keeper.check()
    first = keeper.pid
    keeper.check()
    assert keeper.pid == first
    process = keeper._process
    keeper.stop()
    assert (keeper.pid, process is not None and process.returncode is not None) == (None, True)
    keeper.check()
    orphan = keeper._process
    assert orphan is not None
    assert orphan.stdin is not None
    orphan.stdin.close()
    assert orphan.wait(30) == 0


def test_a_command_that_is_not_there_keeps_nobody_waiting() -> None:
    """A page that cannot be started is tried again later; nothing is raised into the engine."""
    keeper = PageKeeper(["/nowhere/midwatch"])
    keeper.check()
    assert keeper.pid is None
    with KeptPage(None), KeptPage(keeper):
        pass


def test_the_command_names_the_same_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page reads the engine's own file, wherever it was started; it knows the option that ties it to its parent."""
    monkeypatch.chdir(tmp_path)
    assert page_command(Path("midwatch.toml"))[-2:] == ["--config", str(tmp_path / "midwatch.toml")]
    done = subprocess.run(
        [*page_command(Path("missing.toml"))], input=b"", capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, b"missing.toml" in done.stderr) == (2, True)
