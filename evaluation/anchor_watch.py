"""Judges the anchors at the start and then from time to time, and tells by metrics how the judge stands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from evaluation.anchor_reference import Judged, Memory, shifts_of
from evaluation.anchors import Anchor, Scores, Shift, anchor_errors, scores_of, shipped_anchors, wanted
from evaluation.criteria import Criterion
from evaluation.giving_up import Patience
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judge, Judgement
from evaluation.purse import Purse

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")


class AnchorWatch:
    """Compares each round with the known scores, and with the reference in `memory`, or this process's first round.

    Anchors are paid for out of `purse`, like everything that is judged; one that it cannot pay for is left out, and one
    for which the judge takes more than `seconds`.
    """

    def __init__(
        self,
        judge: Judge,
        criteria: Sequence[Criterion],
        metrics: JudgeMetrics,
        purse: Purse | None = None,
        memory: Memory | None = None,
        seconds: float = 60.0,
    ) -> None:
        self._judge = judge
        self._criteria = criteria
        self._metrics = metrics
        self._purse = purse
        self._memory = memory
        self._seconds = seconds
        self._patience = Patience()
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
        judged: list[tuple[str, Judgement]] = []
        for anchor in anchors:
            judged.extend((anchor.name, one) for one in await self._judged(anchor))
        await self._tell(judged, anchors)
        # An anchor counts from the first time that it had a score.
        self._first = {**scores_of(judged), **self._first}

    async def _asked(self, anchor: Anchor) -> Sequence[Judgement]:
        try:
            asked = self._judge.judge(anchor.interaction(), wanted(anchor, self._criteria))
            return await self._patience(asked, self._seconds)
        except TimeoutError:
            return ()

    async def _judged(self, anchor: Anchor) -> Sequence[Judgement]:
        if self._purse is None:
            return await self._asked(anchor)
        reserved = await self._purse.reserve()
        if reserved is None:
            self._metrics.anchors_skipped.inc()
            return ()
        judgements: Sequence[Judgement] = ()
        try:
            judgements = await self._asked(anchor)
        finally:
            await self._purse.settle(reserved, judgements)
        return judgements

    async def _tell(self, judged: Judged, anchors: Sequence[Anchor]) -> None:
        for criterion, error in anchor_errors(scores_of(judged), anchors).items():
            self._metrics.anchor_error.labels(criterion=criterion).set(error)
        for shift in await shifts_of(self._memory, judged, anchors, self._first):
            self._tell_shift(shift)
        self._metrics.anchor_rounds.inc()

    def _tell_shift(self, shift: Shift) -> None:
        self._metrics.anchor_shift.labels(criterion=shift.criterion).set(shift.mean)
        self._metrics.changed.labels(criterion=shift.criterion).set(shift.changed)
        if shift.changed:
            log.warning("judge_changed", criterion=shift.criterion, points=round(shift.mean, 2))
