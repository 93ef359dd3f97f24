"""The guard around a check: a time limit, so that a slow check (a third party's, say) cannot hold up a verdict."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final

from schemas.outputs import Finding
from stream.metrics import Metrics
from triage.case import Case
from triage.chain import run_guarded
from triage.checks.base import Check, failed

CHECK_SECONDS: Final = 2.0
"""Longest time that one check may take."""


class TimedGuard:
    """Runs checks in a thread of their own, one at a time, and measures them.

    A check that is out of time goes on in its thread, which is then given up and replaced: Python cannot stop it.
    """

    def __init__(self, metrics: Metrics | None = None, seconds: float = CHECK_SECONDS) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._threads = self._fresh()

    def _fresh(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="midwatch-check")

    def __call__(self, check: Check, case: Case) -> Finding:
        """The check's finding; `error` if it failed or ran out of time."""
        started = time.perf_counter()
        future = self._threads.submit(run_guarded, check, case)
        try:
            finding = future.result(self._seconds)
        except FutureTimeoutError:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = self._fresh()
            finding = failed(check.name, f"The check ran out of its time of {self._seconds:g} s.")
        if self._metrics is not None:
            self._metrics.check_duration.labels(check=check.name).observe(time.perf_counter() - started)
            self._metrics.checks.labels(check=check.name, status=finding.status).inc()
        return finding

    def close(self) -> None:
        """Let the thread end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
