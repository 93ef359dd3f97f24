"""Publish firings, verdicts, dead letters and heartbeats to Kafka, and wait until they are stored.

Values are canonical JSON, CloudEvents attributes go into `ce_` headers (binary mode of the Kafka binding), so readers
of either kind are served. The wall clock appears in `ce_time` and `ce_stale` alone: the value of a repeated record is
the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pydantic import BaseModel

from schemas.actions import ActionTaken
from schemas.canonical import canonical_json, content_id
from schemas.cost_reports import CostReport
from schemas.outputs import DeadLetter, Firing, Heartbeat, Undelivered, Verdict
from schemas.words import (
    ACTIONS_TOPIC,
    DEAD_LETTERS_TOPIC,
    DEFAULT_NAMESPACE,
    FIRINGS_TOPIC,
    HEARTBEATS_TOPIC,
    REPORTS_TOPIC,
    UNDELIVERED_TOPIC,
    VERDICTS_TOPIC,
)
from stream.core.machine import Outcome
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.standing import STALE_HEADER, Staleness

SOURCE: Final = "/midwatch"

Headers = list[tuple[str, bytes]]


class Producer(Protocol):
    """What publishing needs of a Kafka producer; what `send` answers is done once the record is stored."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, headers: Headers | None = None
    ) -> asyncio.Future[object]:
        """Hand a record over."""
        ...


class Publisher:
    """Sends records with acks=all (the producer's setting) and waits for every acknowledgement.

    With `staleness`, verdicts say whether they speak of the past.
    """

    def __init__(self, producer: Producer, wall_ms: Callable[[], int], staleness: Staleness | None = None) -> None:
        self._producer = producer
        self._wall_ms = wall_ms
        self._staleness = staleness

    async def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Publish the firings and verdicts of some ticks, in order; returns when all are stored."""
        sent = []
        for outcome in outcomes:
            mark = self._mark(outcome.tick * MINUTE_MS)
            for firing in outcome.firings:
                identity = _record_id(firing)
                sent.append(await self._send(FIRINGS_TOPIC, firing.firing_id, "firing", identity, firing, mark))
            sent += [await self._verdict(verdict, mark) for verdict in outcome.verdicts]
        await _all_stored(sent)

    async def standing(self, verdicts: Sequence[Verdict]) -> None:
        """Publish verdicts once more that hold in the present, however old they are; returns when all are stored."""
        await _all_stored([await self._verdict(verdict, [(STALE_HEADER, b"false")]) for verdict in verdicts])

    def _mark(self, tick_ms: int) -> Headers:
        """Whether what is said at a tick speaks of the past; nothing where that cannot be told."""
        stale = None if self._staleness is None else self._staleness.of(tick_ms)
        return [] if stale is None else [(STALE_HEADER, b"true" if stale else b"false")]

    async def _verdict(self, verdict: Verdict, mark: Headers) -> asyncio.Future[object]:
        return await self._send(VERDICTS_TOPIC, verdict.incident_id, "verdict", verdict.verdict_id, verdict, mark)

    async def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Publish dead letters; returns when all are stored."""
        sent = []
        for letter in letters:
            place = f"{letter.topic}/{letter.partition}/{letter.offset}"
            sent.append(await self._send(DEAD_LETTERS_TOPIC, place, "dead_letter", place, letter))
        await _all_stored(sent)

    async def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Publish a heartbeat; returns when it is stored."""
        key = f"shard-{heartbeat.shard}"
        if heartbeat.namespace not in (None, DEFAULT_NAMESPACE):
            key = f"{heartbeat.namespace}/{key}"
        identity = f"{key}-{rfc3339(int(heartbeat.tick.timestamp() * 1000))}"
        await _all_stored([await self._send(HEARTBEATS_TOPIC, key, "heartbeat", identity, heartbeat)])

    async def cost_report(self, report: CostReport) -> None:
        """Publish a quarter's cost report; returns when it is stored."""
        sent = await self._send(REPORTS_TOPIC, f"cost-{report.quarter}", "cost_report", report.report_id, report)
        await _all_stored([sent])

    async def action(self, action: ActionTaken) -> asyncio.Future[object]:
        """Publish a step of an action; the answer is done, with its place on the topic, once it is stored."""
        return await self._send(ACTIONS_TOPIC, action.incident_id, "action", action.action_id, action)

    async def undelivered(self, record: Undelivered) -> None:
        """Publish that a sink gave a verdict up; returns when it is stored."""
        place = f"{record.sink}/{record.topic}/{record.partition}/{record.offset}"
        await _all_stored([await self._send(UNDELIVERED_TOPIC, place, "undelivered", place, record)])

    async def _send(
        self, topic: str, key: str, kind: str, identity: str, model: BaseModel, more: Sequence[tuple[str, bytes]] = ()
    ) -> asyncio.Future[object]:
        headers: Headers = [
            ("content-type", b"application/json"),
            ("ce_specversion", b"1.0"),
            ("ce_id", identity.encode()),
            ("ce_source", SOURCE.encode()),
            ("ce_type", f"io.midwatch.{kind}.v1".encode()),
            ("ce_time", rfc3339(self._wall_ms()).encode()),
            ("ce_partitionkey", key.encode()),
            *more,
        ]
        return await self._producer.send(topic, value=canonical_json(model), key=key.encode(), headers=headers)


def _record_id(firing: Firing) -> str:
    """A firing opens, rises and ends under one firing id; each of these records has an id of its own."""
    return content_id("rec", firing)


async def _all_stored(sent: Sequence[asyncio.Future[object]]) -> None:
    if sent:
        await asyncio.gather(*sent)

