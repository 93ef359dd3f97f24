"""One shard's state machine: which ticks it evaluates, what it admits, what it forgets."""

from __future__ import annotations

from typing import ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import HOURS, Claim, State, WindowView
from schemas.outputs import Verdict
from schemas.series import COUNTERS, KINDS
from schemas.words import DetectorName
from stream.core.checkpoint import save
from stream.core.deltas import CEILING, Delta, ExemplarRecord
from stream.core.machine import DAY_TICKS, QUIET_GAP_TICKS, Outcome, ShardMachine
from stream.core.ticks import time_of
from tests.unit.core.builders import START, Recorder, count, deployment, exemplar, key, machine, score, traffic


def test_a_tick_sees_what_becomes_visible_at_it_and_not_what_comes_later() -> None:
    """The detector is asked after the counts are in; the firing is of this tick."""
    recorder = Recorder()
    shard = machine(recorder)
    assert shard.step(START, [traffic(START - 1, 5, 2)]).firings == ()
    [firing] = shard.step(START + 1, [traffic(START, 5, 3)]).firings
    assert (firing.status, firing.at, firing.scope.flow) == ("firing", time_of(START + 1), "f")
    [resolved] = shard.step(START + 2, []).firings
    assert (resolved.status, resolved.firing_id) == ("resolved", firing.firing_id)
    assert [tick for tick, _ in recorder.seen] == [START, START + 1, START + 2]


def test_a_firing_becomes_a_verdict_in_the_same_tick() -> None:
    """Windows, detectors and triage are one step: the case was gathered as of the tick."""
    shard = machine()
    outcome = shard.step(START, [traffic(START - 1, 5, 3)])
    assert outcome.cases == 1
    [verdict] = outcome.verdicts
    assert verdict.decided_at == time_of(START)
    assert verdict.trigger.firing_id == outcome.firings[0].firing_id


@pytest.mark.parametrize("tick", [START, START - 1])
def test_ticks_must_grow(tick: int) -> None:
    """A tick that was evaluated, or lies before one that was, is refused and changes nothing."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 1)])
    with pytest.raises(ValueError, match=f"tick {tick} does not follow tick {START}"):
        shard.step(tick, [traffic(START - 1, 1)])
    assert shard.windows["flow"].minutes(1)[0, 0, 0] == 1


def test_rows_are_in_the_order_of_first_tick_and_key() -> None:
    """However the deltas of a tick are cut and ordered."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 1, name="m")])
    shard.step(START + 1, [traffic(START, 1, name=name) for name in "zab"])
    assert [series.dims[0] for series in shard.windows["flow"].keys] == ["m", "a", "b", "z"]


def test_the_cap_refuses_new_series_and_counts_them() -> None:
    """The smallest keys of the tick get in, those that are in go on counting, the rest is refused and counted."""
    shard = machine(series_per_kind=2)
    shard.step(START, [traffic(START - 1, 1, name=name) for name in "cab"])
    shard.step(START + 1, [traffic(START, 1, name=name) for name in "abc"])
    assert [series.dims[0] for series in shard.windows["flow"].keys] == ["a", "b"]
    assert shard.windows["flow"].minutes(2)[:, :, 0].tolist() == [[1, 1], [1, 1]]
    assert shard.tallies.refused_series["flow"] == 2


def test_a_refused_series_leaves_no_exemplars() -> None:
    """The cap on series bounds the evidence that is kept for them, too."""
    shard = machine(series_per_kind=1)
    records = (exemplar("1", START - 1), exemplar("2", START - 1, series=key("g")))
    shard.step(START, [Delta((count(START - 1, 1, 1), count(START - 1, 1, 1, name="g")), records)])
    assert [record.series() for record in shard.records() if isinstance(record, ExemplarRecord)] == [key("f")]


def test_each_kind_has_its_own_cap() -> None:
    """Flows do not take the room of agents."""
    shard = machine(series_per_kind=1)
    shard.step(START, [Delta(tuple(count(START - 1, 1, kind=kind) for kind in KINDS))])
    assert [len(windows) for windows in shard.windows.values()] == [1] * len(KINDS)
    assert not +shard.tallies.refused_series


def test_absurd_amounts_do_not_stop_a_shard() -> None:
    """Valid events whose tokens add up beyond 64 bits are counted up to the ceiling."""
    shard = machine()
    amounts = (2**53,) * len(COUNTERS["usage"])
    flood = [Delta((count(START - 1, *[value * 4096 for value in amounts], kind="usage"),))] * 3
    shard.step(START, flood)
    assert shard.windows["usage"].minutes(1).max() == CEILING


def test_a_score_counts_once_by_its_id() -> None:
    """Within a tick, in a later tick, with another content: the first one counts, the rest are tallied."""
    shard = machine()
    twins = Delta((), (score("a", START - 1, 4000), score("a", START - 1, 5000), score("b", START - 1, 3000, "v1")))
    shard.step(START, [twins, twins])
    shard.step(START + 1, [Delta((), (score("a", START, 1000),))])
    assert shard.windows["score"].minutes(2).sum(axis=(0, 1)).tolist() == [2, 7000, 4000**2 + 3000**2]
    assert shard.windows["score_version"].minutes(2).sum(axis=(0, 1)).tolist() == [1, 3000, 3000**2]
    assert shard.tallies.duplicate_scores == 2


def test_nothing_is_evaluated_before_the_first_event() -> None:
    """A shard without telemetry has no ticks, however often it is asked."""
    recorder = Recorder()
    shard = machine(recorder)
    assert list(shard.run({}, START)) == []
    assert (shard.tick, recorder.seen) == (0, [])
    assert [outcome.tick for outcome in shard.run({START: [traffic(START - 1, 1)]}, START + 2)] == [
        START,
        START + 1,
        START + 2,
    ]


def test_what_lies_beyond_the_end_waits() -> None:
    """An inbox behind `upto` is left for the next call."""
    shard = machine()
    inboxes = {START: [traffic(START - 1, 1)], START + 5: [traffic(START + 4, 1)]}
    assert [outcome.tick for outcome in shard.run(inboxes, START + 1)] == [START, START + 1]
    assert shard.windows["flow"].last_minute.tolist() == [START - 1]


def chunked(shard: ShardMachine, inboxes: dict[int, list[Delta]], ends: list[int]) -> list[Outcome]:
    found = []
    for end in ends:
        due = {tick: deltas for tick, deltas in inboxes.items() if shard.tick < tick <= end}
        found += list(shard.run(due, end))
    return found


SHORT_GAP = 20


@settings(max_examples=60)
@given(
    gaps=st.lists(st.sampled_from([1, 2, SHORT_GAP - 1, SHORT_GAP, SHORT_GAP + 1, 150]), min_size=1, max_size=3),
    tail=st.integers(0, 200),
    cuts=st.lists(st.floats(0, 1), max_size=6),
)
def test_which_ticks_are_evaluated_does_not_depend_on_when_anyone_looks(gaps, tail, cuts) -> None:
    """Gaps, long and short, cut anywhere: the same ticks, the same state to the byte."""
    ticks = [START + sum(gaps[:index]) for index in range(len(gaps) + 1)]
    inboxes = {tick: [traffic(tick - 1, 3, 3, name=f"f{index % 2}")] for index, tick in enumerate(ticks)}
    end = ticks[-1] + tail
    ends = [*sorted(START - 5 + int(cut * (end - START + 5)) for cut in cuts), end]
    whole, cut_up = machine(), machine()
    with patch("stream.core.machine.QUIET_GAP_TICKS", SHORT_GAP):
        expected = chunked(whole, inboxes, [end])
        assert chunked(cut_up, inboxes, ends) == expected
    assert save(cut_up, all_hours=True) == save(whole, all_hours=True)
    evaluated = {t for tick in ticks for t in range(tick, min(tick + SHORT_GAP, end) + 1)}
    assert [outcome.tick for outcome in expected] == sorted(evaluated)


def test_after_a_long_gap_the_tick_moves_on_without_evaluation() -> None:
    """The windows are as of the tick asked for, so that a late event cannot slip behind it."""
    shard = machine()
    last = START + QUIET_GAP_TICKS + 500
    assert len(list(shard.run({START: [traffic(START - 1, 1)]}, last))) == QUIET_GAP_TICKS + 1
    assert (shard.tick, shard.windows["flow"].tick) == (last, last)
    assert shard.windows["flow"].hours(HOURS).sum() == 1


MIDNIGHT = -(-(START + (HOURS + 2) * 60) // DAY_TICKS) * DAY_TICKS


def test_expired_series_go_with_their_rows_in_the_detector() -> None:
    """A series without events for 28 days is forgotten at the day's first tick; the others keep their memory."""
    recorder = Recorder()
    shard = machine(recorder)
    names = [f"f{index:02d}" for index in range(40)]
    shard.step(START, [traffic(START - 1, index + 1, name=name) for index, name in enumerate(names)])
    kept = names[:7] + names[8:]
    shard.step(MIDNIGHT - 60, [traffic(MIDNIGHT - 61, 1, name=name) for name in kept])
    assert len(shard.windows["flow"]) == 40, "one of forty waits for the day's first tick"
    shard.step(MIDNIGHT, [])
    assert [series.dims[0] for series in shard.windows["flow"].keys] == kept
    assert shard.states["escalation_rate", "flow"]["ever"].tolist() == [
        index + 2 for index, name in enumerate(names) if name in kept
    ]
    assert recorder.seen[-1] == (MIDNIGHT, kept)


def test_many_expired_series_go_at_the_next_full_hour() -> None:
    """Where it is worth it, forgetting does not wait for midnight."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 1, name=name) for name in "ab"])
    late = MIDNIGHT - 120
    shard.step(late - 1, [traffic(late - 2, 1, name="a")])
    assert len(shard.windows["flow"]) == 2
    shard.step(late, [])
    assert [series.dims[0] for series in shard.windows["flow"].keys] == ["a"]


def test_a_forgotten_series_comes_back_as_a_new_one() -> None:
    """Its first minute and its row in the detector are fresh."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 9)])
    shard.step(MIDNIGHT, [])
    assert len(shard.windows["flow"]) == 0
    shard.step(MIDNIGHT + 1, [traffic(MIDNIGHT, 1)])
    assert shard.windows["flow"].first_minute.tolist() == [MIDNIGHT]
    assert shard.states["escalation_rate", "flow"]["ever"].tolist() == [1]


def test_a_kind_nobody_asks_about_is_kept_all_the_same() -> None:
    """Triage reads kinds that no detector looks at."""
    shard = machine()
    shard.step(START, [Delta((count(START - 1, 4, 1, 2, kind="dependency"),))])
    assert shard.windows["dependency"].minutes(1)[0, 0].tolist() == [4, 1, 2]


def test_old_deployments_are_forgotten_at_the_full_hour() -> None:
    """Housekeeping prunes the evidence as of the tick."""
    shard = machine()
    shard.step(START, [Delta((count(START - 1, 1),), (deployment("d", START - 1),))])
    assert shard.evidence.deployments
    shard.step(MIDNIGHT, [])
    assert not shard.evidence.deployments


def test_states_have_a_row_for_every_series() -> None:
    """Series that appear between ticks bring fresh rows; those there keep theirs."""
    shard = machine()
    shard.step(START, [traffic(START - 1, 2, name="a")])
    shard.step(START + 1, [traffic(START, 3, name="b")])
    assert np.array_equal(shard.states["escalation_rate", "flow"]["ever"], [2, 3])


class BrokenDetector(Recorder):
    """Fails at every tick."""

    name: ClassVar[DetectorName] = "silence"

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """Raises."""
        raise RuntimeError("broken")


def test_a_broken_detector_silences_nobody_else() -> None:
    """The others go on, the engine too, and the failures are counted."""
    alone, beside = machine(Recorder()), machine(Recorder())
    beside.detectors = (BrokenDetector(), *beside.detectors)
    beside.states["silence", "flow"] = BrokenDetector().fresh(0)
    telemetry = {START: [traffic(START - 1, 5, 3)]}
    wanted = [outcome.firings for outcome in alone.run(telemetry, START + 2)]
    assert any(wanted)
    assert [outcome.firings for outcome in beside.run(telemetry, START + 2)] == wanted
    assert beside.tallies.failed_detectors == {"silence": 3}


class Stranger(Recorder):
    """A detector of a package of its own."""

    name: ClassVar[DetectorName] = "queue_length"  # type: ignore[assignment]  # not one of ours


def test_a_detector_of_another_package_fires_and_is_triaged() -> None:
    """Its firing bears its name, and so does the verdict's trigger; the chain runs as ever."""
    outcome = machine(Stranger()).step(START, [traffic(START - 1, 5, 3)])
    assert [firing.detector for firing in outcome.firings] == ["queue_length"]
    [verdict] = outcome.verdicts
    assert str(verdict.trigger.detector) == "queue_length"
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
