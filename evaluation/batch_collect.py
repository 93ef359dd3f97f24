"""Collect batches: look, read what came, publish the scores, put results in the place of claims.

    look -> read output and error files -> publish (acks=all) -> settle the claims -> end the batch

Whatever breaks in between is done again the next time, with the same bytes: ids follow from what was judged by whom,
and a provider's files do not change. What has no score for a reason that passes is given back, to be judged another
time.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from evaluation.anchor_reference import Judged, Memory, shifts_of
from evaluation.anchors import anchor_errors, scores_of, wanted
from evaluation.batch_plan import Plan, anchor_name, interaction_name
from evaluation.batch_price import BatchPrice
from evaluation.batch_provider import BatchError, LookedInVain, Progress, Provider
from evaluation.batch_rows import Results
from evaluation.batch_store import Batch, BatchStore
from evaluation.judgement import PASSING, Judgement
from evaluation.pacing import Spent
from evaluation.publish import ScorePublisher
from evaluation.scoring import judgements_of
from schemas.base import JsonObject
from stream.adapters import Decoder
from stream.adapters.decoder import Limits
from stream.adapters.native import Interaction

ADOPT_SECONDS: Final = 900.0
"""How long a batch may be `preparing` before one that the provider does not know is given up."""

LOCK_SECONDS: Final = 3600
PUBLISHED_AT_ONCE: Final = 100
ANY_AGE: Final = Limits(max_future_ms=None, max_age_ms=None)


class Collecting(BatchError):
    """Another process is collecting the batch."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """One interaction of a batch, with what the judge said of it."""

    event: Interaction
    sampling: JsonObject
    judgements: list[Judgement]

    @property
    def identity(self) -> str:
        return f"{self.event.environment}\x1f{self.event.system}\x1f{self.event.id}"

    @property
    def lasting(self) -> bytes | None:
        """The results to keep; None where another judge, or another day, may do better."""
        if all(one.reason in PASSING for one in self.judgements):
            return None
        return msgspec.json.encode(self.judgements)


class Collection:
    """Collects the batches of one provider. `most_line` is the longest result, in bytes, that is read."""

    def __init__(
        self,
        store: BatchStore,
        provider: Provider,
        publisher: ScorePublisher,
        price: Callable[[str], BatchPrice],
        memory: Memory,
        most_line: int,
        wall: Callable[[], float],
    ) -> None:
        self._store = store
        self._provider = provider
        self._publisher = publisher
        self._price = price
        self._memory = memory
        self._most_line = most_line
        self._wall = wall
        self._decoder = Decoder(ANY_AGE)

    async def __call__(self, batch: Batch) -> tuple[Batch, Progress | None]:
        """Bring one batch on; how it stands then, and at the provider. One that has ended is published once more.

        Raises `BatchError`, RedisError, what publishing raises.
        """
        owner = secrets.token_hex(8)
        if not await self._store.lock(batch.name, owner, LOCK_SECONDS):
            raise Collecting(f"batch {batch.name} is being collected by another process")
        try:
            return await self._collect(batch)
        finally:
            await self._store.unlock(batch.name, owner)

    async def _collect(self, batch: Batch) -> tuple[Batch, Progress | None]:
        if batch.provider_id is None:
            adopted = await self._adopted(batch)
            if adopted.provider_id is None:
                return adopted, None
            batch = adopted
        assert batch.provider_id is not None  # noqa: S101
        progress = await self._look(batch, batch.provider_id)
        if not progress.ended:
            return batch, progress
        plan = Plan.from_json(batch.plan)
        results = Results(plan.wanted(batch.interactions), plan.api)
        for file_id in progress.files:
            async with self._provider.lines(file_id, self._most_line) as lines:
                async for line in lines:
                    results.take(line)
        ended = await self._ended(batch, plan, progress, results)
        if batch.open and progress.input_file:
            # It holds the texts, and is of no more use; the results are needed to collect again.
            await self._provider.forget(progress.input_file)
        return ended, progress

    async def _adopted(self, batch: Batch) -> Batch:
        """A batch whose beginning nobody heard of: found by its name, given up, or left for a while."""
        try:
            provider_id = await self._provider.find(batch.name)
        except LookedInVain as error:
            if not batch.open or self._wall() - batch.created < ADOPT_SECONDS:
                return batch
            await self._give_back(batch)
            return await self._store.close(batch, "failed", Spent(), {"why": str(error)})
        return await self._store.save(replace(batch, state="out", provider_id=provider_id))

    async def _look(self, batch: Batch, provider_id: str) -> Progress:
        try:
            return await self._provider.look(provider_id)
        except LookedInVain:
            if not batch.open:
                raise
            return Progress(provider_id, "failed", codes=("not_found",))

    async def _give_back(self, batch: Batch) -> None:
        rows = await self._store.rows(batch.name)
        events = [self._event(json.loads(row)["event"]) for row in rows.values()]
        identities = [f"{event.environment}\x1f{event.system}\x1f{event.id}" for event in events]
        await self._store.settle_claims(batch.name, dict.fromkeys(identities))

    async def _ended(self, batch: Batch, plan: Plan, progress: Progress, results: Results) -> Batch:
        scored = [self._scored(number, row, plan, results) for number, row in (await self._rows(batch)).items()]
        for start in range(0, len(scored), PUBLISHED_AT_ONCE):
            part = scored[start : start + PUBLISHED_AT_ONCE]
            await asyncio.gather(*(self._publisher.publish(one.event, one.judgements, one.sampling) for one in part))
        anchors = self._anchors(plan, results)
        told = {
            **_counts(scored, results, progress),
            "anchors": await self._told(plan, anchors),
        }
        took = self._took(batch, plan, results)
        told |= {"tokens": took.tokens, "micro_usd": took.micro_usd}
        if batch.open:
            await self._store.settle_claims(batch.name, {one.identity: one.lasting for one in scored})
        return await self._store.close(batch, "failed" if progress.status == "failed" else "collected", took, told)

    async def _rows(self, batch: Batch) -> dict[int, bytes]:
        rows = await self._store.rows(batch.name)
        if len(rows) != batch.interactions and batch.interactions:
            raise BatchError(
                f"of the {batch.interactions} interactions of batch {batch.name} Redis has {len(rows)}: they are kept "
                "for 30 days, or Redis was emptied"
            )
        return rows

    def _scored(self, number: int, row: bytes, plan: Plan, results: Results) -> _Scored:
        plain = json.loads(row)
        event = self._event(plain["event"])
        return _Scored(event, plain["sampling"], self._judged(event.id, interaction_name(number), plan, results))

    def _event(self, plain: dict[str, Any]) -> Interaction:
        event = self._decoder.decode(json.dumps(plain).encode(), (), -1)
        if not isinstance(event, Interaction):
            raise BatchError("an interaction of the batch cannot be read: Redis holds another version's")
        return event

    def _judged(self, interaction_id: str, name: str, plan: Plan, results: Results) -> list[Judgement]:
        ids = plan.ids(name)
        found, tokens = results.answers_of(ids), results.tokens_of(ids)
        return judgements_of(interaction_id, plan.criteria, found, plan.model, plan.unanswered, tokens)

    def _anchors(self, plan: Plan, results: Results) -> Judged:
        judged: list[tuple[str, Judgement]] = []
        for anchor in plan.anchors():
            ids = plan.ids(anchor_name(anchor))
            found, tokens = results.answers_of(ids), results.tokens_of(ids)
            asked = wanted(anchor, plan.criteria)
            told = judgements_of(f"anchor-{anchor.name}", asked, found, plan.model, plan.unanswered, tokens)
            judged.extend((anchor.name, one) for one in told)
        return judged

    async def _told(self, plan: Plan, judged: Judged) -> JsonObject:
        """How the judge stood in this batch: its distance from the known scores, its shift from the reference."""
        scores = scores_of(judged)
        shifts = await shifts_of(self._memory, judged, plan.anchors(), {})
        return {
            "scored": len(scores),
            "error": {name: round(error, 3) for name, error in anchor_errors(scores, plan.anchors()).items()},
            "shift": {shift.criterion: round(shift.mean, 3) for shift in shifts},
            "changed": [shift.criterion for shift in shifts if shift.changed],
        }

    def _took(self, batch: Batch, plan: Plan, results: Results) -> Spent:
        """What all requests took, anchors and those without a score, too, at the prices of the day it was begun."""
        read, written = results.tokens_of(list(results.tokens))
        micro = sum(self._price(plan.model).micro(*tokens, batch.day) or 0 for tokens in results.tokens.values())
        return Spent(read + written, micro)


def _counts(scored: Sequence[_Scored], results: Results, progress: Progress) -> JsonObject:
    """What came of the batch, in numbers."""
    judgements = [judgement for one in scored for judgement in one.judgements]
    return {
        "status": progress.status,
        "scores": dict(sorted(Counter(one.criterion for one in judgements if one.score is not None).items())),
        "methods": dict(sorted(Counter(one.method for one in judgements if one.score is not None).items())),
        "no_data": dict(sorted(Counter(one.reason for one in judgements if one.reason is not None).items())),
        "codes": dict(sorted(Counter({**results.codes, **dict.fromkeys(progress.codes, 1)}).items())),
        "missing": results.missing,
        "odd_lines": dict(sorted(results.odd.items())),
        "given_back": sum(one.lasting is None for one in scored),
    }
