"""Controls in a shard: the last word holds, in any order; each shard that they are about has them; they are bounded."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.controls import LONGEST, Acknowledgement, Silence
from stream.core import controls as module
from stream.core.batch import Batch
from stream.core.checkpoint import load, save
from stream.core.controls import ControlBook, record_of
from stream.core.deltas import Delta, pack, unpack
from stream.core.fold import PartitionFold
from stream.core.machine import QUIET_GAP_TICKS
from stream.core.shards import ShardMap, shard_of
from stream.core.ticks import time_of
from stream.evaluate_tallies import EvaluateTallies
from stream.standing import Staleness
from tests.unit.core.builders import START, Recorder, machine, traffic

SHARDS = 4
DAY = 1440


def silence(identity: str = "sil_1", at: int = START, ends: int = START + 60, **more: Any) -> Silence:
    """A silence made in minute `at`, from then until minute `ends`."""
    body = {
        "id": identity,
        "time": time_of(at),
        "environment": "prod",
        "system": "s",
        "starts_at": time_of(at),
        "ends_at": time_of(ends),
        "reason": "drill",
        "created_by": "ada",
    }
    return Silence.model_validate(body | more)


def ack(incident: str, at: int = START, **more: Any) -> Acknowledgement:
    body = {"id": f"ack_{at}", "time": time_of(at), "environment": "prod", "system": "s", "by": "ada"}
    return Acknowledgement.model_validate(body | {"incident_id": incident} | more)


def book(*controls: Silence | Acknowledgement) -> ControlBook:
    made = ControlBook()
    for control in controls:
        made.apply(record_of(control))
    return made


def delta(*controls: Silence | Acknowledgement) -> Delta:
    return Delta((), tuple(record_of(control) for control in controls))


def active(made: ControlBook, tick: int) -> list[str]:
    return [one.id for one in made.at(tick).silences]


def test_a_silence_holds_from_its_start_until_before_its_end() -> None:
    """At the tick of its start it is there, at the tick of its end no longer."""
    made = book(silence(at=START, ends=START + 5))
    assert [active(made, START + n) for n in (-1, 0, 4, 5)] == [[], ["sil_1"], ["sil_1"], []]


def test_a_maintenance_window_begins_later() -> None:
    """Announced today, in force tomorrow."""
    window: dict[str, Any] = {"starts_at": time_of(START + DAY), "ends_at": time_of(START + DAY + 60)}
    made = book(silence(kind="maintenance", **window))
    assert active(made, START) == []
    assert made.at(START + DAY).silences[0].kind == "maintenance"


def test_it_can_be_ended_early_and_made_longer() -> None:
    """Each record of the id is the whole truth from its own time on."""
    made = book(silence(), silence(at=START + 3, ends=START + 3))
    assert active(made, START + 4) == []
    made.apply(record_of(silence(at=START + 5, ends=START + 90)))
    assert active(made, START + 80) == ["sil_1"]


some_controls = st.lists(
    st.one_of(
        st.builds(
            lambda number, at, length: silence(f"q{number}", START + at, START + at + length),
            st.integers(0, 2),
            st.integers(0, 3),
            st.integers(0, 3),
        ),
        st.builds(
            lambda number, at, withdrawn: ack(f"inc_{number}", START + at, withdrawn=withdrawn),
            st.integers(0, 2),
            st.integers(0, 3),
            st.booleans(),
        ),
    ),
    max_size=12,
)


@given(some_controls, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(some: list[Any], random: Any) -> None:
    """Any order, each any number of times: the same silences and acknowledgements; so is what `records` gives back."""
    again = [*some, *random.sample(some, len(some) // 2)]
    random.shuffle(again)
    assert list(book(*again).records()) == list(book(*some).records())
    stored = book()
    for record in unpack(pack(Delta((), tuple(book(*some).records())))).records:
        stored.apply(record)  # type: ignore[arg-type]
    for tick in range(START - 1, START + 8):
        assert stored.at(tick) == book(*again).at(tick)


def test_an_acknowledgement_that_is_withdrawn_is_nobody_s() -> None:
    """The incident is known, and nobody has it in hand."""
    made = book(ack("inc_1"), ack("inc_2"), ack("inc_1", START + 1, withdrawn=True))
    found = made.at(START + 2).acknowledged
    assert found["inc_1"] is None
    assert found["inc_2"] is not None
    assert found["inc_2"].by == "ada"


def test_what_is_of_no_use_is_forgotten() -> None:
    """28 days after its time no record can matter; until then an ended one stays, so that no old one undoes it."""
    made = book(silence(), silence(at=START + 3, ends=START + 3), ack("inc_1"))
    made.prune(START + 10 * DAY)
    made.apply(record_of(silence()))
    assert active(made, START + 10) == []
    made.prune(START + 28 * DAY + 4)
    assert list(made.records()) == []


def test_the_caps_cut_off_what_ends_first_and_count_it() -> None:
    """A flood of silences cannot grow without bound, nor push out the longest ones."""
    dropped: Counter[str] = Counter()
    made = ControlBook(dropped)
    with patch.object(module, "SILENCES", 3), patch.object(module, "ACKNOWLEDGEMENTS", 2):
        for number in range(5):
            made.apply(record_of(silence(f"q{number}", ends=START + 10 + number)))
            made.apply(record_of(ack(f"inc_{number}", START + number)))
        made.prune(START)
    assert active(made, START) == ["q2", "q3", "q4"]
    assert sorted(made.acknowledgements) == ["inc_3", "inc_4"]
    assert dropped == {"silence": 2, "acknowledgement": 3}


@pytest.mark.parametrize("more", [{"environment": "*"}, {"system": "*"}, {"environment": "*", "system": "*"}])
def test_a_star_reaches_every_shard_once(more: dict[str, Any]) -> None:
    """Each shard gets the record, at the same tick; one for a system goes to its own shard alone."""
    batch = Batch()
    PartitionFold(0).add_controls([silence(**more), silence("sil_2")], batch)
    spread = batch.spread(ShardMap(SHARDS))
    assert sorted(spread) == list(range(SHARDS))
    own = shard_of("prod", "s", SHARDS)
    for number, ticks in spread.items():
        found = [record.id for record in ticks[START + 1].records]  # type: ignore[union-attr]
        assert found == (["sil_1", "sil_2"] if number == own else ["sil_1"])
    assert batch.events == {"silence": 2}


def test_a_late_control_is_seen_when_it_comes() -> None:
    """Its partition's watermark had passed: it is visible behind it, like a late event."""
    batch, fold = Batch(), PartitionFold(0)
    fold.add_controls([silence("new", at=START + 9), silence("old")], batch)
    [ticks] = batch.spread(ShardMap(1)).values()
    assert {tick: [r.id for r in found.records] for tick, found in ticks.items()} == {  # type: ignore[union-attr]
        START + 10: ["new", "old"],
    }
    assert fold.tallies.late == {"silence": 1}


def test_a_checkpoint_keeps_them() -> None:
    """A machine that is loaded is silenced as the one that was saved, and gives the same bytes on."""
    one = machine()
    one.step(START, [traffic(START - 1, 5, 0), delta(silence(), ack("inc_1"))])
    stored, other = save(one, all_hours=True), machine()
    load(other, stored.state, stored.hours)
    assert other.evidence.controls.at(START) == one.evidence.controls.at(START)
    said = [shard.step(START + 1, [traffic(START, 5, 3)]).verdicts for shard in (one, other)]
    assert said[0] == said[1]
    assert said[0][0].muted is not None


def test_muted_verdicts_are_counted_apart() -> None:
    """Of two systems that fire, the one that is silenced is muted; both are verdicts."""
    quiet, loud = machine(), machine()
    quiet.step(START, [traffic(START - 1, 5, 0), delta(silence())])
    loud.step(START, [traffic(START - 1, 5, 0)])
    tallies = EvaluateTallies()
    outcomes = [shard.step(START + 1, [traffic(START, 5, 3)]) for shard in (quiet, loud)]
    tallies.note(outcomes, Staleness(60_000, None))
    assert tallies.muted == {"firing": 1}
    assert tallies.verdicts.total() == 2


def test_a_control_in_a_long_gap_wakes_no_detector() -> None:
    """After days without telemetry a silence is taken in at its own tick; what is detected is the same without it."""
    recorder = Recorder()
    shard = machine(recorder)
    later = START + QUIET_GAP_TICKS + 100
    inboxes = {START: [traffic(START - 1, 5, 3)], later: [delta(silence(at=later - 1, ends=later + 9))]}
    outcomes = list(shard.run(inboxes, later + 5))
    assert outcomes[-1].tick == later
    assert max(tick for tick, _ in recorder.seen) == START + QUIET_GAP_TICKS
    assert active(shard.evidence.controls, later) == ["sil_1"]


def test_a_shard_without_telemetry_may_know_a_silence() -> None:
    """It is there when the first event comes, and no tick was evaluated for it in between."""
    shard = machine()
    first = START + 500
    inboxes = {START: [delta(silence(ends=START + DAY))], first: [traffic(first - 1, 5, 3)]}
    outcomes = list(shard.run(inboxes, first))
    assert [outcome.tick for outcome in outcomes] == [START, first]
    assert outcomes[-1].verdicts[0].muted is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ends_at": time_of(START) + LONGEST + timedelta(minutes=1)}, "at most 28 days"),
        ({"starts_at": time_of(START + 90)}, "must lie behind `starts_at`"),
        ({"reason": "x" * 1001}, "at most 1000 characters"),
        ({"kind": "forever"}, "'silence' or 'maintenance'"),
    ],
)
def test_a_silence_that_is_none_is_refused_in_words(more: dict[str, Any], said: str) -> None:
    """The error says what is wrong and what is allowed."""
    with pytest.raises(ValidationError, match=said):
        silence(**more)
