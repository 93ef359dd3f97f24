"""The watchdog: a stuck engine is ended, an idle or a working one is not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from stream.watchdog import EXIT_STUCK, EndBound, Watchdog, where_tasks_stand

ROOT = Path(__file__).parents[2]


class Bench:
    """A watchdog of ten seconds with a clock that is set by hand."""

    def __init__(self, describe=lambda: "  task") -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.dog = Watchdog(10.0, lambda: self.now, self.said.append, describe=describe, start=False)

    def pass_time(self, seconds: int, progress=lambda second: 0, behind: bool = True, noting: bool = True) -> None:
        for _ in range(seconds):
            self.now += 1
            if noting:
                self.dog.note(progress(self.now), behind=behind)
            self.dog.check()


def test_progress_keeps_it_quiet() -> None:
    """However long it is behind, as long as it moves."""
    bench = Bench()
    bench.pass_time(100, progress=lambda second: int(second) // 9)
    assert bench.said == []


def test_an_idle_engine_is_not_stuck() -> None:
    """Without work there is nothing to progress with, and the count starts when work comes."""
    bench = Bench()
    bench.pass_time(100, behind=False)
    bench.pass_time(10)
    assert bench.said == []
    bench.pass_time(1)
    assert len(bench.said) == 1


def test_no_progress_while_behind_ends_it() -> None:
    """The message says for how long, and what everything waits for."""
    bench = Bench()
    bench.pass_time(12)
    [message] = bench.said
    assert "no progress for 11 s" in message
    assert message.endswith("\n  task")


def test_a_blocked_loop_ends_it() -> None:
    """If nobody notes anything, the loop itself is blocked, idle or not."""
    bench = Bench()
    bench.pass_time(5, behind=False)
    bench.pass_time(10, noting=False)
    assert bench.said == []
    bench.pass_time(1, noting=False)
    assert "event loop has been blocked for 11 s" in bench.said[0]


def test_a_description_that_fails_does_not_save_it() -> None:
    """The process is ended all the same, with what is known."""

    def describe() -> str:
        raise RuntimeError("set changed size")

    bench = Bench(describe)
    bench.pass_time(12)
    assert "no progress" in bench.said[0]
    assert "set changed size" in bench.said[0]


def test_what_is_known_to_have_begun_before_counts_from_there() -> None:
    """A number that tells a hang apart only later does not give it more time; without work it says nothing."""
    bench = Bench()
    for _ in range(9):
        bench.now += 1
        bench.dog.note(-3 if bench.now > 6 else int(bench.now), behind=True, since=2.0 if bench.now > 6 else None)
        bench.dog.check()
    assert bench.said == []
    bench.now = 12.5
    bench.dog.note(-3, behind=False, since=2.0)
    bench.dog.check()
    assert bench.said == []
    bench.dog.note(-3, behind=True, since=2.0)
    bench.dog.check()
    assert "no progress for 10 s" in bench.said[0]


def test_the_end_is_bounded_whatever_can_be_said() -> None:
    """A description that fails does not save the process."""

    def describe() -> str:
        raise RuntimeError("set changed size")

    said: list[str] = []
    gave_up = threading.Event()

    def give_up(message: str) -> None:
        said.append(message)
        gave_up.set()

    end = EndBound(0.01, give_up)
    end.begin(describe)
    assert gave_up.wait(30)
    end.close()
    assert len(said) == 1
    assert "told to end, and not done within 0.01 s" in said[0]
    assert "set changed size" in said[0]


def test_the_end_begins_once() -> None:
    """A stop during the start and the end itself both begin it: the time runs from the first."""
    before, end = threading.active_count(), EndBound(3600.0)
    end.begin(str)
    end.begin(str)
    assert threading.active_count() == before + 1
    end.close()


def test_a_thread_of_its_own_watches() -> None:
    """It gives up although nobody calls `check`; closed, it does not."""
    gave_up = threading.Event()
    dog = Watchdog(0.01, give_up=lambda _message: gave_up.set())
    assert gave_up.wait(30)
    dog.close()


def test_a_stuck_process_exits_and_says_where() -> None:
    """With the code for try again, the reason and every thread's stack on standard error."""
    code = "import time; from stream.watchdog import Watchdog; Watchdog(0.05); time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50, cwd=ROOT, check=False)
    assert done.returncode == EXIT_STUCK
    assert b"event loop has been blocked" in done.stderr
    assert b'File "<string>", line 1' in done.stderr


def test_a_stuck_process_exits_even_if_nobody_reads_its_last_words() -> None:
    """Standard error is a full pipe without a reader: the exit does not wait for it for ever."""
    code = (
        "import os, time, stream.watchdog as w; w.LAST_WORDS_SECONDS = 0.2;"
        "os.set_blocking(2, False)\n"
        "try:\n while True: os.write(2, b'x' * 65536)\nexcept BlockingIOError: os.set_blocking(2, True)\n"
        "w.Watchdog(0.05); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.wait(50) == EXIT_STUCK


async def test_every_task_is_described_by_what_it_waits_for() -> None:
    """The chain of coroutines, outermost first, with line numbers."""
    reached = asyncio.Event()

    async def inner() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="the-task")
    await reached.wait()
    [line] = [line for line in where_tasks_stand(asyncio.get_running_loop()).splitlines() if "the-task" in line]
    chain = line.split("the-task: ")[1].split(" > ")
    assert [part.split(":")[0] for part in chain] == ["outer", "inner", "wait"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
