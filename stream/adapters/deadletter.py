"""Dead letters: what is published of a record that could not be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from schemas.base import EARLIEST, LATEST
from schemas.outputs import DeadLetter
from stream.adapters.rejection import Rejection
from stream.adapters.times import milliseconds
from stream.redact import redact

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def dead_letter(
    rejection: Rejection,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    value: bytes,
    include_payload: bool,
) -> DeadLetter:
    """The dead letter of the record at `topic`, `partition`, `offset`. The same record always gives the same letter.

    `timestamp_ms` is the record's own; one outside of the years that Midwatch knows is left out. The payload is
    redacted and short, and only there if asked for.
    """
    return DeadLetter(
        reason=rejection.reason,
        detail=rejection.detail,
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=_moment(timestamp_ms),
        size=len(value),
        payload=_shown(value) if include_payload else None,
    )


@lru_cache(maxsize=1)
def _shown(value: bytes) -> str:
    """The redacted payload. A record with several faulty parts has a letter for each, all with the same payload."""
    return redact(value)


def _moment(timestamp_ms: int) -> datetime | None:
    if not milliseconds(EARLIEST) <= timestamp_ms < milliseconds(LATEST):
        return None
    return _EPOCH + timedelta(milliseconds=timestamp_ms)
