"""The guard: a check that fails or hangs is a finding, and holds up neither the chain nor the end of the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.outputs import Finding
from stream.guard import MAX_STUCK, TimedGuard
from stream.metrics import Metrics
from triage.case import Case
from triage.checks.base import failed

ROOT = Path(__file__).parents[2]
CASE: Any = object()


class ByHand:
    """A check that does what it is told."""

    def __init__(self, do: Callable[[], object], name: Any = "recent_deployments") -> None:
        self.name = name
        self._do = do

    def check(self, case: Case) -> Finding:
        self._do()
        return failed(self.name, "done").model_copy(update={"status": "evaluated"})


@pytest.fixture
def forever() -> Iterator[threading.Event]:
    """What a hanging check waits for; let go when the test is over."""
    event = threading.Event()
    yield event
    event.set()


def test_a_finding_is_passed_on() -> None:
    """A check within its time answers as if there were no guard."""
    guard = TimedGuard()
    assert guard(ByHand(lambda: None), CASE).status == "evaluated"
    guard.close()


def test_a_check_that_raises_is_an_error() -> None:
    """The finding says what was raised."""

    def fail() -> None:
        raise TimeoutError("of its own")

    guard = TimedGuard()
    finding = guard(ByHand(fail), CASE)
    assert finding.status == "error"
    assert "TimeoutError: of its own" in finding.summary
    guard.close()


def test_a_check_out_of_time_is_an_error_and_the_next_one_runs(forever: threading.Event) -> None:
    """The thread is given up; another takes its place."""
    guard = TimedGuard(seconds=0.02)
    finding = guard(ByHand(forever.wait), CASE)
    assert (finding.status, finding.check) == ("error", "recent_deployments")
    assert "ran out of its time of 0.02 s" in finding.summary
    patient = TimedGuard(seconds=60)
    assert patient(ByHand(lambda: None), CASE).status == "evaluated"


def test_a_late_answer_is_not_taken_for_the_next_check_s(forever: threading.Event) -> None:
    """Each question has its own answer."""
    guard = TimedGuard(seconds=0.02)
    assert guard(ByHand(forever.wait), CASE).status == "error"
    forever.set()
    guard._seconds = 60
    assert guard(ByHand(lambda: None, "eval_score_trend"), CASE).check == "eval_score_trend"


def test_a_check_that_always_hangs_is_not_called_for_ever(forever: threading.Event) -> None:
    """Its threads are bounded; other checks go on; once it comes back it is called again."""
    guard = TimedGuard(seconds=0.01)
    calls = []

    def hang() -> None:
        calls.append(threading.current_thread())
        forever.wait()

    for _ in range(MAX_STUCK + 3):
        assert guard(ByHand(hang), CASE).status == "error"
    assert len(calls) == MAX_STUCK
    assert "was not run" in guard(ByHand(hang), CASE).summary
    guard._seconds = 60
    assert guard(ByHand(lambda: None, "eval_score_trend"), CASE).status == "evaluated"
    forever.set()
    for thread in calls:
        thread.join(30)
    assert guard(ByHand(hang), CASE).status == "evaluated"


def test_every_check_is_measured() -> None:
    """By name and status."""
    metrics = Metrics("0", "cfg")
    guard = TimedGuard(metrics)
    guard(ByHand(lambda: None), CASE)
    [sample] = [
        s.value
        for family in metrics.registry.collect()
        for s in family.samples
        if s.name.endswith("_total") and s.labels == {"check": "recent_deployments", "status": "evaluated"}
    ]
    assert sample == 1
    guard.close()


def test_a_hanging_check_does_not_keep_the_process_from_ending() -> None:
    """The thread that was given up is no reason to stay."""
    code = (
        "import threading, types; from stream.guard import TimedGuard;"
        "hang = types.SimpleNamespace(name='recent_deployments', check=lambda case: threading.Event().wait());"
        "print(TimedGuard(seconds=0.05)(hang, None).status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, b"error"), done.stderr
