"""The watermark: the slowest partition that is not known to be empty holds it back."""

from __future__ import annotations

import pytest

from stream.core.ticks import NEVER, ms_of, tick_of, time_of, visible_from
from stream.store import PartitionState
from stream.watermark import watermark_ms


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, NEVER),
        ({"a": PartitionState(5, 1000)}, 900),
        ({"a": PartitionState(5, 1000), "b": PartitionState(5, 700)}, 600),
        ({"a": PartitionState(5, 1000), "b": PartitionState(0, NEVER)}, NEVER),
        ({"a": PartitionState(5, 1000), "b": PartitionState(0, NEVER, 900)}, 850 - 100),
        ({"a": PartitionState(5, 1000), "b": PartitionState(5, 300, 2000)}, 900),
        ({"a": PartitionState(5, 1000), "b": PartitionState(5, 300, 320)}, 200),
    ],
)
def test_the_watermark_is_the_slowest_partition_s(parts, expected) -> None:
    """Less the lateness; one found empty counts as far as that was seen, less the grace; an unknown one stops it."""
    assert watermark_ms(parts, 100, 50) == expected


def test_a_late_event_is_seen_from_the_first_tick_that_is_still_open() -> None:
    """In its own minute's tick if that lies ahead of the watermark, else in the next one."""
    assert visible_from(600_000, 500_000) == 11
    assert visible_from(600_000, 659_999) == 11
    assert visible_from(600_000, 660_000) == 12
    assert visible_from(0, 900_001) == 16
    assert tick_of(659_999) == 10


def test_minutes_and_times_convert_back_and_forth() -> None:
    """Exactly, before and after 1970."""
    for minute in (-5, 0, 29_000_000):
        assert ms_of(time_of(minute)) == minute * 60_000
