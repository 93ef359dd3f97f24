"""What the engine left behind: its windows in Redis, and everything that it said on its topics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.chaos.recount import Place, Window, counts_of, read_all
from schemas.words import DEAD_LETTERS_TOPIC, FIRINGS_TOPIC, VERDICTS_TOPIC
from stream.assembly import machine_factory
from stream.core.checkpoint import load
from stream.core.deltas import unpack
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store

_END: Final = 2**40
"""A tick behind all others."""


@dataclass(slots=True)
class Kept:
    """What Redis holds: every window, and up to which tick each shard was evaluated."""

    windows: dict[Window, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)


async def kept(settings: Settings) -> Kept:
    """Read all shards. The engine must have been stopped: this seals everything. Raises RuntimeError for a gap."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    make, found = machine_factory(settings), Kept()
    try:
        for shard in range(settings.engine.shards):
            meta = await store.meta(shard)
            if meta is None:
                raise RuntimeError(f"shard {shard} is not in Redis")
            found.committed[shard] = meta.committed
            machine = make()
            if meta.checkpoint:
                load(machine, *await store.load(shard))
            await client.delete(store.key(shard, "lease"))
            token = await store.acquire(shard, "verifier", 60_000)
            inboxes = await store.seal(shard, str(token), _END, meta.checkpoint + 1)
            if inboxes is None:
                raise RuntimeError(f"shard {shard} cannot be sealed: somebody still works on it")
            waiting = {tick: [unpack(blob) for blob in blobs] for tick, blobs in inboxes.items()}
            found.windows.update(counts_of(machine, waiting))
    finally:
        await client.aclose()
    return found


@dataclass(slots=True)
class Said:
    """What stands on the output topics: bodies by id with how often each, and the places of dead letters."""

    bodies: dict[str, Counter[bytes]] = field(default_factory=dict)
    letters: Counter[Place] = field(default_factory=Counter)
    verdicts: int = 0


async def said(settings: Settings) -> Said:
    """Read verdicts, firings and dead letters."""
    found = Said()

    def take(tp: Any, records: Sequence[Any]) -> None:
        for record in records:
            body = json.loads(record.value)
            if tp.topic == DEAD_LETTERS_TOPIC:
                found.letters[body["topic"], body["partition"], body["offset"]] += 1
                continue
            found.verdicts += tp.topic == VERDICTS_TOPIC
            found.bodies.setdefault(identity(tp.topic, body), Counter())[record.value] += 1

    await read_all(settings.kafka.bootstrap_servers, (VERDICTS_TOPIC, FIRINGS_TOPIC, DEAD_LETTERS_TOPIC), take)
    return found


def identity(topic: str, body: Any) -> str:
    """By what a subscriber knows a record: a verdict by its id, a firing's records by id, tier and status."""
    if topic == VERDICTS_TOPIC:
        return str(body["verdict_id"])
    return f"{body['firing_id']}/{body['tier']}/{body['status']}"
