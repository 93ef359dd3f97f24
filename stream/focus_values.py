"""Values as bills write them: tags, points in time; and exact sums."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_tags(text: str | None) -> dict[str, str] | None:
    """The tags of a row by name, as FOCUS has them: a JSON object; None if it is none. Tags without a value are out."""
    body = (text or "").strip()
    try:
        # Some exports of Azure leave the braces out.
        read = json.loads(body if body.startswith(("{", "[")) else f"{{{body}}}")
    except ValueError:
        return None
    if not isinstance(read, dict):
        return None
    return {str(name): _tag_value(value) for name, value in read.items() if value is not None}


def _tag_value(value: Any) -> str:
    """A tag without a value is written `true` in FOCUS."""
    return "true" if value is True else str(value)


def totals(which: NDArray[np.int64], nano: NDArray[np.int64], size: int) -> list[int]:
    """Exact sums of `nano` by group: in two halves, so that no sum of a batch can overflow."""
    high, low = np.zeros(size, np.int64), np.zeros(size, np.int64)
    np.add.at(high, which, nano >> 32)
    np.add.at(low, which, nano & 0xFFFFFFFF)
    return [(above << 32) + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]


def moment(value: Any) -> datetime | None:
    """A point in time as bills write it; without a zone it is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
        except ValueError:
            return None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
