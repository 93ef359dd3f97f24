"""The golden run: what must come out of exactly the records that stand on the input topics.

It is a straight run of the pure heart over the topics: no Redis, no batches, no crashes, one partition after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.chaos.traffic import MARK
from schemas.canonical import canonical_json
from schemas.series import COUNTERS
from stream.adapters import Decoder
from stream.assembly import machine_factory, record_limits
from stream.core.deltas import Delta, merge
from stream.core.fold import Batch, PartitionFold
from stream.core.machine import Outcome, ShardMachine
from stream.core.shards import ShardMap
from stream.core.ticks import NEVER
from stream.restore import partitions_of
from stream.settings import Settings

READ_MS = 1000
CHUNK = 5000

Place = tuple[str, int, int]
"""Topic, partition, offset."""

Window = tuple[str, str, str, tuple[str, ...], int, str]
"""Kind of series, environment, system, dimensions, hour, counter."""


@dataclass(slots=True)
class Recount:
    """What stands on the input topics.

    Attributes:
        inboxes: for each shard, by tick, what becomes visible.
        records: how many records there are.
        events: how many of them are events.
        poison: places of the records that bear the mark of poison.
        rejected: places of those that the decoder refuses.
    """

    inboxes: dict[int, dict[int, list[Delta]]]
    records: int = 0
    events: int = 0
    poison: set[Place] = field(default_factory=set)
    rejected: set[Place] = field(default_factory=set)

    def add(self, shard: int, tick: int, delta: Delta) -> None:
        """Add to a tick's inbox; kept merged, for a long run has millions of deltas."""
        found = self.inboxes[shard].setdefault(tick, [])
        found.append(delta)
        if len(found) >= 8:
            found[:] = [merge(found)]


async def read_all(bootstrap: str, topics: Sequence[str], take: Any) -> None:
    """Give `take(topic_partition, records)` every record up to the present end, partition by partition, in order."""
    options = {"bootstrap_servers": bootstrap}
    partitions = await partitions_of(topics, options)
    consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest", isolation_level="read_committed")
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        for tp in partitions:
            consumer.assign([tp])
            await consumer.seek_to_beginning(tp)
            while await consumer.position(tp) < ends[tp]:
                for records in (await consumer.getmany(tp, timeout_ms=READ_MS, max_records=CHUNK)).values():
                    take(tp, [record for record in records if record.offset < ends[tp]])
    finally:
        await consumer.stop()


async def recount(settings: Settings) -> Recount:
    """Read the input topics of an engine and fold every record once."""
    engine = settings.engine
    found = Recount({shard: {} for shard in range(engine.shards)})
    decoder = Decoder(record_limits(settings), settings.adapters.origin(), settings.otlp.reader())
    shard_of = ShardMap(engine.shards)
    folds: dict[TopicPartition, PartitionFold] = {}

    def take(tp: TopicPartition, records: Sequence[Any]) -> None:
        if tp not in folds:
            lateness = round(engine.lateness_seconds * 1000)
            folds[tp] = PartitionFold(lateness, settings.budget_rules(), NEVER, prices=settings.price_book())
        batch = Batch()
        decoded = decoder.decode_batch([(r.value, r.headers, r.timestamp) for r in records])
        folds[tp].add(decoded.events, batch)
        found.records += len(records)
        found.events += len(decoded.events)
        found.poison.update((tp.topic, tp.partition, r.offset) for r in records if MARK in r.value)
        found.rejected.update((tp.topic, tp.partition, records[at].offset) for at, _ in decoded.rejections)
        for shard, ticks in batch.spread(shard_of).items():
            for tick, delta in ticks.items():
                found.add(shard, tick, delta)

    await read_all(settings.kafka.bootstrap_servers, settings.kafka.input_topics, take)
    return found


@dataclass(slots=True)
class Golden:
    """What must have been said, by its id, and what the windows must hold."""

    said: dict[str, bytes]
    windows: dict[Window, int]


def golden(
    settings: Settings, inboxes: Mapping[int, Mapping[int, list[Delta]]], committed: Mapping[int, int]
) -> Golden:
    """Run every shard up to the tick that it committed; the windows then take in what waits behind it, too."""
    make = machine_factory(settings)
    said: dict[str, bytes] = {}
    windows: dict[Window, int] = {}
    for shard, ticks in inboxes.items():
        machine, upto = make(), committed[shard]
        for outcome in machine.run({tick: found for tick, found in ticks.items() if tick <= upto}, upto):
            said.update(bodies(outcome))
        windows.update(counts_of(machine, {tick: found for tick, found in ticks.items() if tick > upto}))
    return Golden(said, windows)


def bodies(outcome: Outcome) -> dict[str, bytes]:
    """Every record of a tick by its identity: a firing's by id, tier and status, a verdict's by id."""
    found = {f"{f.firing_id}/{f.tier}/{f.status}": canonical_json(f) for f in outcome.firings}
    return found | {verdict.verdict_id: canonical_json(verdict) for verdict in outcome.verdicts}


def counts_of(machine: ShardMachine, waiting: Mapping[int, list[Delta]]) -> dict[Window, int]:
    """Every counter of every series and hour, without zeros, when what waits is taken in as well."""
    for _ in machine.run(waiting, max([*waiting, machine.tick])):
        pass
    found: dict[Window, int] = {}
    for kind, windows in machine.windows.items():
        for hour, block in windows.hour_blocks.items():
            for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True):
                key = windows.keys[row]
                for name, amount in zip(COUNTERS[kind], counts, strict=True):
                    if amount:
                        found[kind, key.environment, key.system, tuple(key.dims), hour, name] = amount
    return found
