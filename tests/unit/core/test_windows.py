"""The windows against a plain dictionary of counts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import HOURS, MINUTES
from schemas.series import COUNTERS, KINDS, SeriesKey, SeriesKind
from stream.core.deltas import CEILING
from stream.core.minutes import RING
from stream.core.windows import NARROW_CEILING, WIDE, KindWindows
from tests.unit.core.builders import START, key

Amounts = tuple[int, ...]


@dataclass
class Model:
    """Every count ever taken, by series and minute; the windows are sums over it."""

    kind: SeriesKind
    tick: int = 0
    keys: list[SeriesKey] = field(default_factory=list)
    counts: dict[SeriesKey, dict[int, list[int]]] = field(default_factory=dict)
    first: dict[SeriesKey, int] = field(default_factory=dict)
    last: dict[SeriesKey, int] = field(default_factory=dict)

    def add(self, added: list[tuple[SeriesKey, int, Amounts]]) -> None:
        width = len(COUNTERS[self.kind])
        for series, minute, amounts in added:
            if series not in self.counts:
                self.keys.append(series)
                self.counts[series] = defaultdict(lambda: [0] * width)
            self.first[series] = min(self.first.get(series, minute), minute)
            self.last[series] = max(self.last.get(series, minute), minute)
            if minute // 60 >= self.tick // 60 - HOURS:
                cell = self.counts[series][minute]
                cell[:] = [a + b for a, b in zip(cell, amounts, strict=True)]

    def sums(self, series: SeriesKey, start: int, end: int) -> list[int]:
        found = [cell for minute, cell in self.counts[series].items() if start <= minute < end]
        return [sum(column) for column in zip(*found, strict=True)] or [0] * len(COUNTERS[self.kind])

    def span(self, series: SeriesKey, start: int, end: int) -> tuple[list[int], int]:
        """Whole hours before the ring, minutes within it."""
        start, end = max(start, self.first[series]), min(end, self.tick)
        reach = self.tick - RING
        if start < reach:
            reach = -(-reach // 60) * 60
        hours = [h for h in range(-(-start // 60), reach // 60) if (h + 1) * 60 <= end] if start < reach else []
        begin = max(start, reach)
        covered = 60 * len(hours) + max(end - begin, 0)
        total = np.array(self.sums(series, begin, end))
        for hour in hours:
            total += self.sums(series, hour * 60, hour * 60 + 60)
        return total.tolist(), covered


@dataclass
class Both:
    """The windows under test and the model, driven together."""

    windows: KindWindows
    model: Model

    @classmethod
    def of(cls, kind: SeriesKind, tick: int = START) -> Both:
        both = cls(KindWindows(kind), Model(kind))
        both.advance(tick)
        return both

    def advance(self, tick: int) -> None:
        self.windows.advance(tick)
        self.model.tick = tick

    def add(self, added: list[tuple[SeriesKey, int, Amounts]]) -> None:
        new: dict[SeriesKey, int] = {}
        for series, minute, _ in added:
            if self.windows.row(series) is None:
                new[series] = min(new.get(series, minute), minute)
        if new:
            self.windows.grow(list(new), list(new.values()))
        if added:
            self.windows.add(
                np.array([self.windows.row(series) for series, _, _ in added], np.int64),
                np.array([minute for _, minute, _ in added], np.int64),
                np.array([amounts for _, _, amounts in added], np.int64),
            )
        self.model.add(added)

    def drop(self, gone: list[SeriesKey]) -> None:
        self.windows.drop(np.array([series in gone for series in self.windows.keys], np.bool_))
        self.model.keys = [series for series in self.model.keys if series not in gone]
        for known in (self.model.counts, self.model.first, self.model.last):
            for series in gone:
                known.pop(series, None)

    def agree(self) -> None:
        windows, model, tick = self.windows, self.model, self.model.tick
        assert windows.keys == model.keys
        assert [windows.row(series) for series in model.keys] == list(range(len(model.keys)))
        assert windows.first_minute.tolist() == [model.first[series] for series in model.keys]
        assert windows.last_minute.tolist() == [model.last[series] for series in model.keys]
        assert windows.expired().tolist() == [model.last[series] < tick - HOURS * 60 for series in model.keys]
        minutes, hours = windows.minutes(MINUTES), windows.hours(HOURS)
        for last in (1, 60, MINUTES):
            assert np.array_equal(windows.minutes_at(np.arange(len(model.keys))[::-2], last), minutes[::-2, -last:])
            assert np.array_equal(windows.minute_sums(last, windows.width - 1), minutes[:, -last:, -1].sum(axis=1))
        for column, span in enumerate(spans := (1, 24, HOURS)):
            assert np.array_equal(windows.hour_sums(spans)[:, column], hours[:, HOURS - span :].sum(axis=1))
        for row, series in enumerate(model.keys):
            for column in {0, 59, 60, MINUTES - 1} | {m - tick + MINUTES for m in model.counts[series]}:
                if 0 <= column < MINUTES:
                    minute = tick - MINUTES + column
                    assert minutes[row, column].tolist() == model.sums(series, minute, minute + 1)
            first = tick // 60 - HOURS
            for slot in {0, HOURS - 1} | {m // 60 - first for m in model.counts[series]}:
                if 0 <= slot < HOURS:
                    assert hours[row, slot].tolist() == model.sums(series, (first + slot) * 60, (first + slot + 1) * 60)


amounts = st.tuples(*[st.integers(0, 70_000)] * 3)
ages = st.one_of(st.integers(1, 5), st.integers(1, 3 * RING), st.integers(1, (HOURS + 50) * 60))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.tuples(st.sampled_from("abcd"), ages, amounts), max_size=6)),
        st.tuples(st.just("advance"), st.one_of(st.integers(1, 3), st.integers(1, 300), st.integers(1, 50_000))),
        st.tuples(st.just("drop"), st.sets(st.sampled_from("abcd"), max_size=3)),
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(steps=steps, first=st.integers(START, START + 60))
def test_windows_equal_the_model(steps, first) -> None:
    """Whatever comes, late or not, over gaps and after drops: every view is the sum over the plain counts."""
    both = Both.of("flow", first)
    for what, value in steps:
        if what == "add":
            both.add([(key(name), both.model.tick - age, cell) for name, age, cell in value])
        elif what == "advance":
            both.advance(both.model.tick + value)
        else:
            both.drop([key(name) for name in sorted(value)])
        both.agree()


@settings(max_examples=200)
@given(
    added=st.lists(st.tuples(ages, amounts), min_size=1, max_size=12),
    tick=st.integers(START, START + 120),
    start=st.integers(-3000, 0),
    length=st.integers(0, 3100),
)
def test_span_equals_the_model(added, tick, start, length) -> None:
    """A span sums whole hours before the ring and minutes in it, and says how many minutes that covers."""
    both = Both.of("flow", tick)
    both.add([(key(), tick - age, cell) for age, cell in added])
    total, covered = both.windows.span(0, tick + start, tick + start + length)
    assert (total.tolist(), covered) == both.model.span(key(), tick + start, tick + start + length)


def test_a_span_within_the_ring_is_exact_to_the_minute() -> None:
    """Two minutes out of many: their sum, two minutes covered."""
    both = Both.of("flow")
    both.add([(key(), START - age, (age, 0, 0)) for age in range(1, 100)])
    total, covered = both.windows.span(0, START - 50, START - 48)
    assert (total.tolist(), covered) == ([50 + 49, 0, 0], 2)


def test_a_span_does_not_cover_the_time_before_the_series() -> None:
    """A series that was first seen ten minutes ago has ten minutes, whatever is asked."""
    both = Both.of("flow")
    both.add([(key(), START - 10, (1, 0, 0))])
    assert both.windows.span(0, START - 1000, START)[1] == 10
    assert both.windows.span(0, START - 1000, START - 500)[1] == 0


def test_a_gap_longer_than_the_ring_empties_it() -> None:
    """After a jump nothing of the old minutes shows up in a new one's slot; the hours are still there."""
    both = Both.of("flow")
    both.add([(key(), START - age, (1, 1, 1)) for age in range(1, RING + 1)])
    both.advance(START + 10 * RING)
    assert not both.windows.minutes(MINUTES).any()
    assert both.windows.hours(HOURS).sum() == 3 * RING
    both.agree()


@pytest.mark.parametrize("gap", [1, 59, 60, 61, 1440])
def test_hours_beyond_the_longest_window_are_forgotten(gap: int) -> None:
    """An old hour goes, and is no longer due to be stored, even if the tick at the full hour is jumped over."""
    both = Both.of("flow", START + 59)
    oldest = (START // 60 - HOURS) * 60
    both.add([(key(), oldest, (1, 0, 0)), (key(), START, (2, 0, 0))])
    both.advance(START + 59 + gap)
    assert set(both.windows.hour_blocks) == {START // 60}
    assert both.windows.dirty_hours == {START // 60}


def test_counts_older_than_the_longest_window_only_move_the_first_minute() -> None:
    """They are in no view, and the series counts as expired."""
    both = Both.of("flow")
    both.add([(key(), START - (HOURS + 2) * 60, (5, 0, 0))])
    assert not both.windows.hour_blocks
    assert both.windows.expired().tolist() == [True]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_holds_its_counters(kind: SeriesKind) -> None:
    """A count of a large amount in every counter comes back from minutes and hours, whatever the width inside."""
    both = Both.of(kind)
    large = 2**40 if kind in WIDE else 2**29
    both.add([(key(kind=kind), START - 1, (large,) * len(COUNTERS[kind]))])
    both.agree()
    assert both.windows.minutes(1).dtype == np.int64


@pytest.mark.parametrize(("kind", "ceiling"), [("usage", CEILING), ("flow", NARROW_CEILING)])
def test_absurd_amounts_stop_at_the_ceiling(kind: SeriesKind, ceiling: int) -> None:
    """However often the largest amount comes, counters stay at the ceiling, and sums over all hours positive."""
    both = Both.of(kind)
    for _ in range(5):
        both.add([(key(kind=kind), START - 1, (2**62,) * len(COUNTERS[kind]))])
    assert both.windows.minutes(1)[0, 0].tolist() == [ceiling] * len(COUNTERS[kind])
    assert 0 < both.windows.hours(HOURS)[0, -1].min() <= CEILING
    assert CEILING * HOURS < 2**63


@pytest.mark.parametrize(("top", "dtype"), [(255, np.uint8), (256, np.uint16), (65_536, np.uint32), (2**32, np.int64)])
def test_hour_blocks_take_the_smallest_integers(top: int, dtype: type) -> None:
    """An hour is kept in the narrowest type that holds its largest count, and widens when a count grows."""
    both = Both.of("usage")
    both.add([(key(kind="usage"), START - 1, (1, 0, 0, 0, 0))])
    [block] = both.windows.hour_blocks.values()
    assert block.counts.dtype == np.uint8
    both.add([(key(kind="usage"), START - 1, (top - 1, 0, 0, 0, 0))])
    [block] = both.windows.hour_blocks.values()
    assert block.counts.dtype == dtype
    both.agree()


def test_views_are_read_only() -> None:
    """A detector that writes into a view is stopped, instead of changing what the others see."""
    both = Both.of("flow")
    both.add([(key(), START - 1, (1, 0, 0))])
    for view in (both.windows.minutes(5), both.windows.hours(5)):
        with pytest.raises(ValueError, match="read-only"):
            view[0, 0, 0] = 7


@pytest.mark.parametrize("last", [0, -1, MINUTES + 1])
def test_more_minutes_than_there_are_is_refused(last: int) -> None:
    """The error says how many there are."""
    with pytest.raises(ValueError, match=f"1 to {MINUTES} minutes, not {last}"):
        KindWindows("flow").minutes(last)


@pytest.mark.parametrize("last", [0, HOURS + 1])
def test_more_hours_than_there_are_is_refused(last: int) -> None:
    """The error says how many there are."""
    with pytest.raises(ValueError, match=f"1 to {HOURS} hours, not {last}"):
        KindWindows("flow").hours(last)


def test_groups_and_rows_follow_the_systems_through_a_drop() -> None:
    """Systems are coded by first appearance; after a drop the codes and rows are those of a fresh start."""
    both = Both.of("flow")
    names = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "z")]
    both.add([(key(name, system=system), START - 1, (1, 0, 0)) for name, system in names])
    assert both.windows.group.tolist() == [0, 1, 0, 2]
    assert both.windows.rows_of("prod", "x") == [(key("a", system="x"), 0), (key("c", system="x"), 2)]
    both.drop([key("a", system="x")])
    assert both.windows.group.tolist() == [0, 1, 2]
    assert both.windows.rows_of("prod", "x") == [(key("c", system="x"), 1)]
    assert both.windows.rows_of("prod", "nobody") == []
    both.agree()


def test_a_drop_makes_every_hour_due_to_be_stored() -> None:
    """The rows of all hours are renumbered, so all must be written again."""
    both = Both.of("flow")
    both.add([(key(name), START - age, (1, 0, 0)) for name in "ab" for age in (1, 100, 1000)])
    both.windows.dirty_hours.clear()
    both.drop([key("a")])
    assert both.windows.dirty_hours == set(both.windows.hour_blocks)
    assert len(both.windows.dirty_hours) == 3


def test_every_slot_is_cleared_when_its_minute_comes_round_again() -> None:
    """Minute by minute over two laps of the ring, nothing of the first lap shows in the second."""
    both = Both.of("flow")
    both.add([(key(), START - age, (1, 0, 0)) for age in range(1, RING + 1)])
    for tick in range(START + 1, START + 2 * RING):
        both.advance(tick)
        assert both.windows.minutes(MINUTES).sum() == max(MINUTES - (tick - START), 0)


def test_the_oldest_hour_of_the_longest_window_is_kept() -> None:
    """An hour leaves when the view no longer reaches it, not before."""
    both = Both.of("flow")
    both.add([(key(), START, (3, 0, 0))])
    both.advance(START + HOURS * 60)
    assert both.windows.hours(HOURS)[0, 0].tolist() == [3, 0, 0]
