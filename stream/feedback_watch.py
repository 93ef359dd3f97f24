"""Shows in the metrics what humans found: how many verdicts were judged, and how precise they were.

Every worker could read the topic; the one that holds shard 0 does, so that nothing is counted twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Final

import structlog
from aiokafka.errors import KafkaError

from detectors.registry import available
from schemas.feedback import Feedback
from stream.controls import ControlError
from stream.feedback import WINDOW_DAYS, read_feedback, recent
from stream.metrics import Metrics
from stream.settings import Settings

READ_SECONDS: Final = 60.0
OTHER: Final = "other"
"""Stands for a detector that is not installed: the topic can be written by anyone, a label must stay bounded."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.feedback")


class FeedbackWatch:
    """Reads the feedback now and then, while `holds_first` says that shard 0 is in this worker's hands."""

    def __init__(self, settings: Settings, metrics: Metrics, holds_first: Callable[[], bool]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._holds_first = holds_first

    async def run(self, stop: asyncio.Event) -> None:
        """Read and show until `stop` is set. A cluster that does not answer is asked again later."""
        while not stop.is_set():
            if self._holds_first():
                try:
                    show(self._metrics, *await read_feedback(self._settings))
                except (KafkaError, OSError, ControlError) as error:
                    log.warning("feedback_not_read", error=type(error).__name__, detail=str(error))
            else:
                self._metrics.feedback.clear()
                self._metrics.precision.clear()
            try:
                # A shard is taken within seconds of the start, or of another worker's end.
                await asyncio.wait_for(stop.wait(), READ_SECONDS if self._holds_first() else 1.0)
            except TimeoutError:
                continue


def show(metrics: Metrics, feedback: Sequence[Feedback], now: datetime) -> None:
    """Set the gauges to what the feedback says."""
    known = available()
    judged: Counter[tuple[str, str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    for one in feedback:
        judged[_detector(one, known), one.triage_result, _judgement(one)] += 1
    for one in recent(feedback, now, WINDOW_DAYS):
        pair: tuple[str, str] = (_detector(one, known), one.triage_result)
        total[pair] += 1
        right[pair] += int(one.judgement == "confirmed")
    metrics.feedback.clear()
    for triple, count in judged.items():
        metrics.feedback.labels(*triple).set(count)
    metrics.precision.clear()
    for labels, count in total.items():
        metrics.precision.labels(*labels, f"{WINDOW_DAYS}d").set(right[labels] / count)


def _detector(feedback: Feedback, known: Container[str]) -> str:
    return feedback.detector if feedback.detector in known else OTHER


def _judgement(feedback: Feedback) -> str:
    """`refuted`, `confirmed`, or `other_cause`: something was wrong, but not what the verdict ranked first."""
    if feedback.judgement == "confirmed" and not feedback.is_right:
        return "other_cause"
    return feedback.judgement
