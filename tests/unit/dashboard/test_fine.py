"""Minutes that the page keeps on: every count once, whenever it was read, and whole hours where it was not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard import fine
from dashboard.courses import Buckets, fine_hours, sums
from dashboard.fine import STEP, Fine
from dashboard.shards import UNREAD_MINUTES, Shards, ShardView
from detectors.base import MINUTES
from evaluation.trends_read import _bare_machine
from stream.core.deltas import KIND_CODE, Count, Delta
from stream.core.machine import ShardMachine
from stream.settings import load_settings

START = 29_540_160  # a full hour
SETTINGS = load_settings(None, {})


def flow(minute: int) -> Count:
    return Count(KIND_CODE["flow"], "production", "refunds", (f"flow-{minute % 2}",), minute, (1 + minute % 7, 0, 0))


def sent(first: int, end: int) -> int:
    return sum(1 + minute % 7 for minute in range(max(first, START), end))


def read_at(ticks: list[int]) -> ShardView:
    """A shard that had a count every minute, and was read at these ticks."""
    machine: ShardMachine = _bare_machine(SETTINGS)
    kept, before = Fine(), START
    for tick in ticks:
        machine.step(tick, [Delta(tuple(flow(minute) for minute in range(before, tick)))])
        kept.keep(machine)
        before = tick
    return ShardView(machine, {}, kept)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_every_count_is_in_one_stretch_whenever_it_was_read(gaps: list[int]) -> None:
    """Stretches join without gap or overlap, hold what was sent, and are short in every hour that was read in time."""
    ticks = [START + sum(gaps[: index + 1]) for index in range(len(gaps))]
    view, tick = read_at(ticks), ticks[-1]
    buckets = Buckets.between(tick - 6 * 60, tick, tick, STEP, fine_hours([view], "flow"))
    ends = [start + length for start, length in zip(buckets.starts, buckets.minutes, strict=True)]
    assert list(buckets.starts[1:]) == ends[:-1]
    assert ends[-1] == tick
    found = sums(view, "flow", range(len(view.machine.windows["flow"])), buckets)[:, :, 0].sum(axis=0)
    assert found.tolist() == [sent(start, end) for start, end in zip(buckets.starts, ends, strict=True)]
    if max(gaps) <= MINUTES - STEP:
        lengths = zip(buckets.starts, buckets.minutes, strict=True)
        assert max((length for start, length in lengths if start >= START), default=0) <= STEP


def test_an_hour_that_nobody_read_in_time_is_shown_whole() -> None:
    """After three hours unread, the hour that the minutes have lost is one stretch, and those beside it are not."""
    buckets_of = read_at([START + 60, START + 240])
    buckets = Buckets.between(START, START + 240, START + 240, STEP, fine_hours([buckets_of], "flow"))
    lengths = dict(zip(buckets.starts, buckets.minutes, strict=True))
    assert lengths[START + 60] == 60
    assert lengths[START + 5] == lengths[START + 235] == STEP


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is kept, and of very many series less: the oldest stretches go first."""
    ticks = [START + 100 * index for index in range(1, 40)]
    kept = read_at(ticks).fine
    assert kept.block("flow", ticks[-1] // STEP * STEP - fine.KEPT_MINUTES - STEP) is None
    assert len(kept) <= len(fine.FINE_KINDS) * (fine.KEPT_MINUTES // STEP + 1)
    monkeypatch.setattr(fine, "MOST_ROWS", 50)
    small = read_at(ticks[:3]).fine
    assert small.block("flow", START) is None
    assert small.block("flow", ticks[2] - STEP) is not None


async def test_shards_are_read_before_their_minutes_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that nobody has looked at is read when it has moved on far enough, and no sooner."""
    shards = Shards.__new__(Shards)
    read: list[int] = []

    class Kept:
        tick = START

    async def one(shard: int) -> Any:
        read.append(shard)

    shards.__dict__.update(_kept=[Kept(), Kept(), Kept()], one=one)
    await shards.keep_minutes({0: START + UNREAD_MINUTES - 1, 1: START + UNREAD_MINUTES, 9: START + 1000})
    assert read == [1]
    assert UNREAD_MINUTES + fine.SETTLING * STEP < MINUTES
