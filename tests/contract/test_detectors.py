"""What every detector of the registry promises, whatever it looks for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.arrays import ArrayView, append_rows, take_rows, walk
from detectors.base import Claim, Sighted, State
from detectors.registry import DETECTORS, build
from schemas.series import COUNTERS, SeriesKey
from tests.support.detectors import SICK, START, Case, Counts, cases, keys_of, run, same, view_of

CASES = cases()
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def copy(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def facts(claims: list[tuple[int, SeriesKey, Claim]]) -> list[tuple[object, ...]]:
    """What is said, by whom and when, without the number of the row."""
    return sorted(
        (tick, key, claim.change, claim.tier, claim.summary, claim.onset_minute) for tick, key, claim in claims
    )


def around(case: Case) -> range:
    """The ticks from the start to a few hours past the onset."""
    end = min(case.sick.shape[1], case.onset + 400 * max(1, case.step // 5))
    return range(START + case.step, START + end + 1, case.step)


def test_every_registered_detector_is_built():
    """The registry builds all its detectors by default, each under its own name."""
    assert {detector.name for detector in build()} == set(DETECTORS)


@EACH
def test_quiet_series_have_no_claims(case: Case):
    """A history without an incident has no claim."""
    assert run(case.detector, case.view(case.quiet), case.ticks(case.quiet)) == []


@EACH
def test_an_incident_opens_once_and_recovers_once(case: Case):
    """One incident gives one opening after its onset and one recovery after that, of that series alone."""
    claims = run(case.detector, case.view(case.sick), case.ticks(case.sick))
    assert {key.dims[0] for _, key, _ in claims} == {f"x{SICK}"}
    changes = [claim.change for _, _, claim in claims]
    assert changes[0] == "opened"
    assert changes[-1] == "recovered"
    assert changes.count("opened") == changes.count("recovered") == 1
    assert all(tick > START + case.onset for tick, _, _ in claims)
    assert len({claim.fired_minute for _, _, claim in claims}) == 1


@EACH
def test_what_is_drawn_is_what_decided(case: Case):
    """Where a tier opens, the score that is drawn has reached its line; looking changes no memory."""
    view = case.view(case.sick)
    seen = 0
    assert isinstance(case.detector, Sighted)
    for _, state, claims in walk(case.detector, view, around(case)):
        for claim in claims:
            before = copy(state)
            sight = case.detector.sight(view, state, claim.series)
            assert same(before, state)
            if claim.change != "recovered":
                seen += 1
                assert sight.score >= (sight.page if claim.tier == "page" else sight.warning)
            else:
                assert sight.score < sight.page
    assert seen


@EACH
def test_the_onset_is_found(case: Case):
    """The estimated onset lies near the true one, and never after the firing."""
    tick, _, claim = run(case.detector, case.view(case.sick), around(case))[0]
    assert claim.onset_minute < tick
    slack = {"budget": 4 * 1440, "score": 240, "score_version": 240}.get(case.detector.kind, 5)
    assert abs(claim.onset_minute - START - case.onset) <= slack


@EACH
def test_the_same_input_gives_the_same_output(case: Case):
    """A step depends on its arguments alone: two runs agree in claims and in memory, bit by bit."""
    steps = [list(walk(case.detector, case.view(case.sick), around(case))) for _ in range(2)]
    assert same(*(taken[-1][1] for taken in steps))
    assert [claims for _, _, claims in steps[0]] == [claims for _, _, claims in steps[1]]


@EACH
def test_rows_may_come_in_any_order(case: Case):
    """Putting the rows in another order puts memory and claims in that order and changes nothing else."""
    order = np.array([3, 0, 5, 2, 1, 4])
    plain, shuffled = Plain(case, case.sick), Plain(case, case.sick, order)
    memory, other = case.detector.fresh(len(order)), case.detector.fresh(len(order))
    for tick in around(case):
        plain.tick = shuffled.tick = tick
        memory, claims = case.detector.step(plain, memory)
        other, others = case.detector.step(shuffled, other)
        assert [order[claim.series] for claim in others] == [claim.series for claim in claims]
        assert [claim.summary for claim in others] == [claim.summary for claim in claims]
    assert same(take_rows(memory, order), other)


@EACH
def test_a_fleet_alone_is_the_fleet_in_company(case: Case):
    """Series of one system do not notice the series of another."""
    together = run(case.detector, case.view(case.sick), around(case))
    apart = []
    for system in ("s0", "s1"):
        rows = [row for row, key in enumerate(keys_of(case.detector, len(case.sick))) if key.system == system]
        keys = [keys_of(case.detector, len(case.sick))[row] for row in rows]
        apart += run(case.detector, ArrayView(case.detector.kind, keys, case.sick[rows], START), around(case))
    assert facts(apart) == facts(together)


@EACH
def test_memory_can_be_stored_and_restored(case: Case, tmp_path):
    """Memory that goes to disk and back between two ticks, without pickling, changes nothing."""
    ticks = around(case)
    whole = run(case.detector, case.view(case.sick), ticks)
    view, claims, memory = case.view(case.sick), [], None
    cuts = [len(ticks) // 3, len(ticks) - 60, len(ticks)]
    begin = 0
    for cut in cuts:
        for tick, after, found in walk(case.detector, view, ticks[begin:cut], memory):
            claims += [(tick, view.keys[claim.series], claim) for claim in found]
            memory = after
        assert memory is not None
        np.savez(tmp_path / "memory.npz", **memory)  # type: ignore[arg-type]
        with np.load(tmp_path / "memory.npz", allow_pickle=False) as stored:
            memory = {name: stored[name] for name in stored.files}
        begin = cut
    assert claims == whole


@EACH
def test_rows_may_be_dropped(case: Case):
    """Dropping the healthy rows of one system before the incident leaves the claims of the others as they are."""
    ticks = around(case)
    middle = len(ticks) * 2 // 3
    keep = np.array([row for row in range(len(case.sick)) if row % 2 == SICK % 2])
    expected = run(case.detector, case.view(case.sick), ticks)
    full, part = Plain(case, case.sick), Plain(case, case.sick, keep)
    memory = case.detector.fresh(len(case.sick))
    found = []
    for index, tick in enumerate(ticks):
        if index == middle:
            memory = take_rows(memory, keep)
        view = full if index < middle else part
        view.tick = tick
        memory, claims = case.detector.step(view, memory)
        found += [(tick, view.keys[claim.series], claim) for claim in claims]
    assert facts(found) == facts(expected)


@EACH
def test_a_series_may_appear_at_any_time(case: Case):
    """A series that appears in mid-stream gets a fresh row, claims nothing at once, and does not disturb its fleet."""
    late = case.quiet.copy()
    late[4, : case.onset] = 0
    claims = run(case.detector, case.view(late), around(case))
    assert claims == []


@EACH
def test_numbers_agree_with_each_other_and_with_the_words(case: Case):
    """Every claim is consistent: finite numbers, JSON evidence, a window that ends at the tick, the counts in words."""
    for tick, _, claim in run(case.detector, case.view(case.sick), case.ticks(case.sick)):
        numbers = (claim.observed, claim.baseline, claim.threshold, claim.baseline_count, claim.confidence)
        assert all(np.isfinite(number) for number in numbers)
        assert 0 <= claim.confidence < 1
        assert claim.window_start_minute < claim.window_end_minute <= tick
        assert claim.onset_minute <= claim.fired_minute <= tick
        json.dumps(dict(claim.evidence), allow_nan=False)
        if claim.change == "opened":
            assert re.search(r"\d", claim.summary)
            beyond = (
                claim.observed <= claim.threshold
                if "score" in case.detector.kind
                else claim.observed >= claim.threshold
            )
            assert beyond, claim
        if claim.unit.endswith(("per interaction", "per call")):
            events = int(claim.evidence["events"])
            assert f"{events:,} of {claim.sample_count:,}" in claim.summary
            assert claim.observed == pytest.approx(events / claim.sample_count, rel=1e-5)
            assert claim.ratio_30m is not None
            assert claim.meets_3x == (claim.ratio_30m >= 3)


@EACH
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_data_whatever_raises(case: Case, data: st.DataObject):
    """Zeros, huge counts, lonely spikes, more events than trials and skipped ticks: no error, no NaN in the memory."""
    width = len(COUNTERS[case.detector.kind])
    value = st.sampled_from([0, 0, 0, 1, 3, 50, 10**6, 10**9])
    counts = np.zeros((3, 600, width), dtype=np.int64)
    for _ in range(data.draw(st.integers(0, 12))):
        row, start = data.draw(st.integers(0, 2)), data.draw(st.integers(0, 590))
        length = data.draw(st.integers(1, 200))
        counts[row, start : start + length] = [data.draw(value) for _ in range(width)]
    view = view_of(case.detector, counts)
    tick, ticks = START, []
    while tick < START + 600:
        tick = min(tick + data.draw(st.sampled_from([1, 1, 2, 5, 60, 200])), START + 600)
        ticks.append(tick)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        for _, memory, _ in walk(case.detector, view, ticks):
            assert all(np.isfinite(array).all() for array in memory.values())


@EACH
def test_an_empty_shard_is_no_error(case: Case):
    """A tick without any series passes."""
    view = ArrayView(
        case.detector.kind, [], np.zeros((0, 120, len(COUNTERS[case.detector.kind])), dtype=np.int64), START
    )
    *_, (_, memory, claims) = walk(case.detector, view, range(START + 1, START + 121))
    assert claims == []
    assert same(append_rows(memory, case.detector.fresh(2)), case.detector.fresh(2))


class Plain:
    """A view whose rows are where they are told to be, all of them from the start."""

    def __init__(self, case: Case, counts: Counts, order: NDArray[np.int64] | None = None) -> None:
        rows = np.arange(len(counts)) if order is None else order
        keys = keys_of(case.detector, len(counts))
        self._inner = case.view(counts)
        self._from = np.full(len(rows), -1)
        self.kind = case.detector.kind
        self.keys = tuple(keys[row] for row in rows)
        self.group = rows % 2

    @property
    def tick(self) -> int:
        return self._inner.tick

    @tick.setter
    def tick(self, tick: int) -> None:
        self._inner.tick = tick
        at = {key: row for row, key in enumerate(self._inner.keys)}
        self._from = np.array([at.get(key, -1) for key in self.keys])

    def _pick(self, values: Counts, absent: int) -> Counts:
        taken = values[self._from] if len(values) else np.full((len(self._from), *values.shape[1:]), absent)
        missing = (self._from < 0).reshape(-1, *[1] * (values.ndim - 1))
        return np.where(missing, absent, taken)

    @property
    def first_minute(self) -> Counts:
        return self._pick(self._inner.first_minute, self.tick - 1)

    @property
    def last_minute(self) -> Counts:
        return self._pick(self._inner.last_minute, self.tick - 1)

    def minutes(self, last: int) -> Counts:
        return self._pick(self._inner.minutes(last), 0)

    def minutes_at(self, rows: NDArray[np.intp], last: int) -> Counts:
        return self.minutes(last)[rows]

    def minute_sums(self, last: int, counter: int) -> Counts:
        return np.asarray(self.minutes(last)[:, :, counter].sum(axis=1))

    def hours(self, last: int) -> Counts:
        return self._pick(self._inner.hours(last), 0)

    def hour_sums(self, spans: Sequence[int]) -> Counts:
        return self._pick(self._inner.hour_sums(spans), 0)
