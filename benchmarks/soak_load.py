"""The load of the soak, and the recount of what became of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from stream.assembly import machine_factory
from stream.core.checkpoint import load
from stream.core.deltas import unpack
from stream.core.ticks import rfc3339
from stream.settings import Settings
from stream.settings_clients import redis_client
from stream.store import Store

FLOWS_A_SYSTEM: Final = 20
BASE_SERIES: Final = 1000


def series_of(text: str) -> int:
    """A number of flows: `10000`, or `10x` for ten times a thousand."""
    try:
        number = int(text.removesuffix("x")) * (BASE_SERIES if text.endswith("x") else 1)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of series: give 10000, or 10x")
    return number


class Load:
    """Interactions of some flows, in turn; one in thirty is escalated. Each is put together from parts made once."""

    def __init__(self, series: int) -> None:
        self._number = 0
        self._parts = [self._ends(place, escalated) for escalated in (False, True) for place in range(series)]
        self._series = series

    def _ends(self, place: int, escalated: bool) -> bytes:
        system, flow = divmod(place, FLOWS_A_SYSTEM)
        more = ',"escalation":{"reason":"high_risk"}' if escalated else ""
        outcome = "escalated" if escalated else "resolved"
        return (
            f'","environment":"production","system":"system-{system:04d}","flow":"flow-{flow:02d}","version":"2026.1.3",'
            f'"outcome":"{outcome}","duration_ms":1234.5,"tags":{{"cost-center":"cc-{system % 7}"}}{more}}}'
        ).encode()

    def events(self, count: int, now_ms: int) -> Iterator[bytes]:
        """`count` events of the present."""
        head = f'"time":"{rfc3339(now_ms)}'.encode()
        for number in range(self._number, self._number + count):
            place = number % self._series + (self._series if number * 7 % 211 < 7 else 0)
            yield b'{"type":"interaction","id":"s%d",' % number + head + self._parts[place]
        self._number += count

    def history(self, now_ms: int) -> Iterator[bytes]:
        """A minute of the past: of each flow an interaction, and two escalated ones, as many as a minute shows."""
        head = f'"time":"{rfc3339(now_ms)}'.encode()
        plain, escalated = range(self._series), range(self._series, 2 * self._series)
        for place in (*plain, *escalated, *escalated):
            yield b'{"type":"interaction","id":"s%d",' % self._number + head + self._parts[place]
            self._number += 1


async def counted(settings: Settings) -> int:
    """Interactions in the windows of all flows, as Redis holds them: checkpoints and the inboxes behind them."""
    client = redis_client(settings.redis)
    store = Store(client, settings.redis.namespace, settings.engine.shards)
    total = 0
    try:
        for shard in range(settings.engine.shards):
            meta = await store.meta(shard)
            token = await store.acquire(shard, "recount", 60_000)
            if meta is None or token is None:
                raise RuntimeError(f"shard {shard} is not there, or the worker left its lease behind")
            machine = machine_factory(settings)()
            if meta.checkpoint:
                load(machine, *await store.load(shard))
            inboxes = await store.seal(shard, token, 2**40, meta.checkpoint + 1) or {}
            deltas = {tick: [unpack(blob) for blob in blobs] for tick, blobs in inboxes.items()}
            for _ in machine.run(deltas, max([*deltas, machine.tick])):
                pass
            blocks = machine.windows["flow"].hour_blocks.values()
            total += sum(int(block.counts[:, 0].sum(dtype=int)) for block in blocks)
    finally:
        await client.aclose()
    return total
