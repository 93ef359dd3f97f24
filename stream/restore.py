"""Bring missing shards into being: from their newest snapshot in Kafka, or empty, to be rebuilt by time.

Nothing that was already said is said again: up to the newest heartbeat of a shard its ticks are evaluated silently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.words import DEFAULT_NAMESPACE, HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC
from stream.core.checkpoint import readable
from stream.core.ticks import MINUTE_MS, ms_of
from stream.snapshots import newest
from stream.store import Birth, PartitionState, Store

READ_TIMEOUT_MS: Final = 1000


Starts = Callable[[], Awaitable[Mapping[str, PartitionState]]]


class _Beat(msgspec.Struct):
    shard: int
    shards: int
    tick: datetime
    namespace: str = DEFAULT_NAMESPACE


async def ensure_shards(
    store: Store,
    kafka: dict[str, Any],
    starts: Starts | None = None,
) -> dict[int, int]:
    """Make every shard that Redis lacks; those, each with the tick of its snapshot, 0 for none.

    `kafka` are the client's options. `starts` answers where every source partition begins: a shard knows them all from
    its birth on, so that none is passed by before whoever has it in hand comes to read it again. What heartbeats do not
    tell of a shard that was set aside, Redis does (`birth.lua`).

    Raises LayoutMismatch if Redis holds shards of another kind, KafkaError if the topics cannot be read.
    """
    metas = await asyncio.gather(*(store.meta(shard) for shard in range(store.shards)))
    missing = [shard for shard, meta in enumerate(metas) if meta is None]
    if not missing:
        return {}
    takers = {shard for shard in missing if await store.takes_snapshots(shard)}
    values = await read_values(SNAPSHOTS_TOPIC, kafka) if takers else []
    births = newest(values, store.shards, store.namespace, readable)
    said = last_ticks(await read_values(HEARTBEATS_TOPIC, kafka), store.shards, store.namespace)
    known = await starts() if starts is not None else {}
    made = {}
    for shard in missing:
        birth = births.get(shard, Birth()) if shard in takers else Birth()
        silent = max(said.get(shard, 0), birth.tick)
        fresh = Birth(birth.tick, silent, birth.state, birth.hours, {**known, **(birth.parts or {})}, birth.inboxes)
        if await store.birth(shard, fresh):
            made[shard] = birth.tick
    return made


def last_ticks(values: list[bytes], shards: int, namespace: str = DEFAULT_NAMESPACE) -> dict[int, int]:
    """The newest tick that each shard's heartbeats name; those of another engine or number of shards do not count."""
    ticks: dict[int, int] = {}
    for value in values:
        try:
            beat = msgspec.json.decode(value, type=_Beat)
        except msgspec.DecodeError:
            continue
        if (beat.shards, beat.namespace) == (shards, namespace):
            ticks[beat.shard] = max(ticks.get(beat.shard, 0), ms_of(beat.tick) // MINUTE_MS)
    return ticks


async def partitions_of(topics: Sequence[str], kafka: dict[str, Any]) -> list[TopicPartition]:
    """All partitions of those of the topics that exist, in order. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**kafka)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        described = await admin.describe_topics([topic for topic in topics if topic in existing])
    finally:
        await admin.close()
    return sorted(
        TopicPartition(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]
    )


async def read_values(topic: str, kafka: dict[str, Any]) -> list[bytes]:
    """All values of a topic up to its present end, in the order of partitions. A topic that is not there has none."""
    partitions = await partitions_of([topic], kafka)
    if not partitions:
        return []
    consumer = AIOKafkaConsumer(**kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        values: dict[TopicPartition, list[bytes]] = {tp: [] for tp in partitions}
        waiting = {tp for tp in partitions if await consumer.position(tp) < ends[tp]}
        while waiting:
            for tp, records in (await consumer.getmany(*waiting, timeout_ms=READ_TIMEOUT_MS)).items():
                values[tp] += [r.value for r in records if r.value is not None and r.offset < ends[tp]]
            waiting = {tp for tp in waiting if await consumer.position(tp) < ends[tp]}
        return [value for tp in partitions for value in values[tp]]
    finally:
        await consumer.stop()
