"""Deliberate mutants of the commit protocol, each wrong in the one way that its name says.

They share every line with the engine but the one that is broken, so a test that lets one live proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stream.core.machine import Outcome
from stream.evaluate import ShardEvaluator
from stream.ingest import Ingest
from stream.store import Advance, Progress, Store, script_text


def replaced(name: str, old: str, new: str) -> dict[str, str]:
    """A script with one place changed. Raises ValueError if the place is not there: the mutant would be no mutant."""
    text = script_text(name)
    if text.count(old) != 1:
        raise ValueError(f"{name}.lua does not hold {old!r} exactly once")
    return {name: text.replace(old, new)}


COMPARE = "if stored[1] ~= ARGV[at + 1] then return {0, ARGV[at], stored[1], stored[2]} end"

NO_FENCE = replaced("ingest", COMPARE, "")
"""No compare-and-set on the next offset: whoever comes, counts."""

EPOCH_ONLY = replaced(
    "ingest", COMPARE, COMPARE.replace("stored[1] ~= ARGV[at + 1]", "tonumber(stored[1]) > tonumber(ARGV[at + 2])")
)
"""Fences only those who are behind, as an epoch does: a repetition of the newest batch is counted again."""

NO_SEAL = replaced("ingest", "redis.call('HGET', meta, 'sealed')", "redis.call('HGET', meta, 'never')")
"""Ticks that are being evaluated go on taking deltas."""

NO_EPOCH = {
    **replaced("commit", "if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then return 0 end", ""),
    **replaced(
        "seal",
        "if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return {0} end\n"
        "if ARGV[5] ~= '' and redis.call('HGET', KEYS[1], 'committed') ~= ARGV[5] then return {0} end",
        "",
    ),
}
"""A worker whose lease has passed to another goes on evaluating, and commits its state over the other's."""


NO_DIGEST = replaced("compact", "if redis.sha1hex(all) ~= ARGV[6] then return 0 end", "")
"""What was added up takes the place of whatever is there by now."""


class SplitWrite(Store):
    """Deltas and offsets are written one after the other: a crash in between leaves one without the other."""

    point: Any = staticmethod(lambda _name: None)

    async def ingest(self, shard: int, advances: Sequence[Advance], deltas: Sequence[tuple[int, bytes]]) -> Progress:
        unmoved = [Advance(a.partition, a.expected, a.expected, a.newest_ms) for a in advances]
        await super().ingest(shard, unmoved, deltas)
        self.point("between")
        return await super().ingest(shard, advances, [])


class CommitThenEmit(ShardEvaluator):
    """Commits the tick before its verdicts are stored: a crash in between loses them."""

    async def _settle(self, outcomes: Sequence[Outcome], upto: int) -> None:
        due = upto - self._checkpoint >= self._settings.checkpoint_ticks
        await self._commit(self.committed, upto, with_checkpoint=due)
        self._point("tick_committed")
        if outcomes:
            await self._publish(outcomes)
        self._point("published")


class KafkaOffsetTruth(Ingest):
    """Resumes from the offsets that Kafka holds instead of those that Redis holds."""

    kafka: Mapping[str, int] = {}

    async def resume(self, starts: Mapping[str, int]) -> dict[str, int]:
        await super().resume(starts)
        for name, part in self._partitions.items():
            part.position = self.kafka.get(name, 0)
            part.shard_next = [part.position] * len(part.shard_next)
        return dict(self.partitions)

    async def _commit_shard(self, shard: int, advances: Sequence[Advance], deltas: Any) -> None:
        known = await self._store.parts(shard)
        moved = [Advance(a.partition, known[a.partition].next_offset, a.next_offset, a.newest_ms) for a in advances]
        await super()._commit_shard(shard, moved, deltas)
