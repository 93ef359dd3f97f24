"""Judges the anchors at the start and then from time to time, and tells by metrics how the judge stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from evaluation.anchors import Scores, anchor_errors, judge_anchors, judge_shifts, shipped_anchors
from evaluation.criteria import Criterion
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judge

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")


class AnchorWatch:
    """Compares each round with the known scores and with the first round of this process."""

    def __init__(self, judge: Judge, criteria: Sequence[Criterion], metrics: JudgeMetrics) -> None:
        self._judge = judge
        self._criteria = criteria
        self._metrics = metrics
        self._first: Scores = {}

    async def run(self, every_seconds: float) -> None:
        """Rounds for ever, whatever becomes of one."""
        while True:
            try:
                await self.round()
            except Exception as error:  # said in the log: nobody awaits this task
                log.exception("anchors_failed", error=type(error).__name__)
            await asyncio.sleep(every_seconds)

    async def round(self) -> None:
        """One round. What has no data is left out, so a judge that is away has no error."""
        anchors = shipped_anchors()
        scores = await judge_anchors(self._judge, self._criteria, anchors)
        for criterion, error in anchor_errors(scores, anchors).items():
            self._metrics.anchor_error.labels(criterion=criterion).set(error)
        for shift in judge_shifts(self._first, scores):
            self._metrics.anchor_shift.labels(criterion=shift.criterion).set(shift.mean)
            self._metrics.changed.labels(criterion=shift.criterion).set(shift.changed)
            if shift.changed:
                log.warning("judge_changed", criterion=shift.criterion, points=round(shift.mean, 2))
        self._metrics.anchor_rounds.inc()
        # An anchor counts from the first time that it had a score.
        self._first = {**scores, **self._first}
