"""The guard around a check: a time limit, so that a slow check (a third party's, say) cannot hold up a verdict."""

from __future__ import annotations

import time
from collections import defaultdict
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from schemas.outputs import Finding
from stream.metrics import Metrics
from triage.case import Case
from triage.chain import run_guarded
from triage.checks.base import Check, failed

CHECK_SECONDS: Final = 2.0
"""Longest time that one check may take."""

MAX_STUCK: Final = 3
"""Threads that one check may leave stuck; after that it is not called until one of them has come back."""


class _Worker:
    """A thread that runs checks one after the other. A daemon: a stuck one does not keep the process from ending."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Check, Case, SimpleQueue[Finding]] | None] = SimpleQueue()
        self.thread = Thread(target=self._run, name="midwatch-check", daemon=True)
        self.thread.start()

    def ask(self, check: Check, case: Case) -> SimpleQueue[Finding]:
        answer: SimpleQueue[Finding] = SimpleQueue()
        self._work.put((check, case, answer))
        return answer

    def end(self) -> None:
        """Let the thread end once it has done what it is at."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            check, case, answer = work
            answer.put(run_guarded(check, case))


class TimedGuard:
    """Runs checks in a thread of their own, one at a time, and measures them.

    A check that is out of time goes on in its thread, which is then given up and replaced: Python cannot stop it.
    """

    def __init__(self, metrics: Metrics | None = None, seconds: float = CHECK_SECONDS) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._worker: _Worker | None = None
        self._stuck: defaultdict[str, list[Thread]] = defaultdict(list)

    def __call__(self, check: Check, case: Case) -> Finding:
        """The check's finding; `error` if it failed or ran out of time."""
        started = time.perf_counter()
        finding = self._run(check, case)
        if self._metrics is not None:
            self._metrics.check_duration.labels(check=check.name).observe(time.perf_counter() - started)
            self._metrics.checks.labels(check=check.name, status=finding.status).inc()
        return finding

    def _run(self, check: Check, case: Case) -> Finding:
        stuck = self._stuck[check.name] = [thread for thread in self._stuck[check.name] if thread.is_alive()]
        if len(stuck) >= MAX_STUCK:
            return failed(check.name, f"The check was not run: {len(stuck)} runs of it never came back.")
        if self._worker is None:
            self._worker = _Worker()
        try:
            return self._worker.ask(check, case).get(timeout=self._seconds)
        except Empty:
            stuck.append(self._worker.thread)
            self.close()
            return failed(check.name, f"The check ran out of its time of {self._seconds:g} s.")

    def close(self) -> None:
        """Let the thread end; a later call starts another."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None
