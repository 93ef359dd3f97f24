"""The verdict topic as the memory of what a destination knows: read again when a partition is taken in hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from schemas.outputs import Verdict
from stream.standing import STALE_HEADER

HISTORY_MS: Final = 14 * 86_400_000
"""How far back it is read. An incident that nothing was said of for longer is forgotten."""

BATCH_MS: Final = 500


async def read_history(
    options: Mapping[str, Any], ends: Mapping[TopicPartition, int], since_ms: int
) -> list[tuple[Verdict, int, bool | None]]:
    """The verdicts before the offset `ends` of each partition, published since `since_ms`.

    Each with that time, and whether it is marked as stale. Those of one partition are in its order.
    """
    if not any(ends.values()):
        return []
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        starts = await consumer.offsets_for_times(dict.fromkeys(ends, since_ms))
        lasts = await consumer.end_offsets(list(ends))
        # A topic that was made anew may end before what was committed of the old one.
        wanted = {
            one: min(end, lasts[one])
            for one, end in ends.items()
            if (start := starts.get(one)) is not None and start.offset < min(end, lasts[one])
        }
        consumer.assign(list(wanted))
        for one in wanted:
            consumer.seek(one, starts[one].offset)
        return await _read(consumer, wanted)
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]
) -> list[tuple[Verdict, int, bool | None]]:
    found: list[tuple[Verdict, int, bool | None]] = []
    while left := [one for one, end in ends.items() if await consumer.position(one) < end]:
        for partition, records in (await consumer.getmany(*left, timeout_ms=BATCH_MS)).items():
            for record in records:
                verdict = read_verdict(record.value) if record.offset < ends[partition] else None
                if verdict is not None:
                    found.append((verdict, record.timestamp, read_stale(record.headers)))
    return found


def read_stale(headers: Sequence[tuple[str, bytes]]) -> bool | None:
    """Whether a record says that it speaks of the past; None where it does not say."""
    said = dict(headers).get(STALE_HEADER)
    return None if said is None else said == b"true"


def read_verdict(value: bytes | None) -> Verdict | None:
    """The verdict that a record holds, None where it holds none that this version can read."""
    try:
        return Verdict.model_validate_json(value or b"")
    except ValidationError:
        return None
