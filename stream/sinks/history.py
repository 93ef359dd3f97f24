"""The verdict topic as the memory of what a destination knows: read again when a partition is taken in hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from schemas.outputs import Verdict

HISTORY_MS: Final = 14 * 86_400_000
"""How far back it is read. An incident that nothing was said of for longer is forgotten."""

BATCH_MS: Final = 500


async def read_history(
    options: Mapping[str, Any], partition: TopicPartition, end: int, since_ms: int
) -> list[tuple[Verdict, int]]:
    """The verdicts of a partition before offset `end`, published since `since_ms`, with the time of publication."""
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
    found: list[tuple[Verdict, int]] = []
    try:
        await consumer.start()
        consumer.assign([partition])
        start = (await consumer.offsets_for_times({partition: since_ms})).get(partition)
        # A topic that was made anew may end before what was committed of the old one.
        end = min(end, (await consumer.end_offsets([partition]))[partition])
        if start is None or start.offset >= end:
            return []
        consumer.seek(partition, start.offset)
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=BATCH_MS)).values():
                for record in records:
                    verdict = read_verdict(record.value) if record.offset < end else None
                    if verdict is not None:
                        found.append((verdict, record.timestamp))
    finally:
        await consumer.stop()
    return found


def read_verdict(value: bytes | None) -> Verdict | None:
    """The verdict that a record holds, None where it holds none that this version can read."""
    try:
        return Verdict.model_validate_json(value or b"")
    except ValidationError:
        return None
