"""Scores by sampling rate: what detectors see, what triage sees, and checkpoints from before there were strata."""

from __future__ import annotations

import zlib

import msgspec

from stream.core.checkpoint import load, save
from stream.core.deltas import Delta, ScoreRecord
from stream.core.gather import Gatherer
from stream.core.layouts import sealed, tree_of
from stream.core.machine import ShardMachine
from stream.core.ticks import MINUTE_MS
from tests.unit.core.builders import firing, machine

M = 29_540_000
"""A minute of 2026."""


def score(
    name: str, minute: int, value: int, stratum: int = 0, uniform: bool = True, purpose: str = "sample"
) -> ScoreRecord:
    burst = ("inc_1", name) if purpose == "burst" else ("", "")
    return ScoreRecord(
        name, minute * MINUTE_MS, "prod", "s", "f", "v1", "tone", value, stratum, uniform, purpose, *burst
    )


def scored(*records: ScoreRecord) -> ShardMachine:
    made = machine()
    made.step(M + 1, [Delta((), records)])
    return made


def counts(made: ShardMachine, kind: str) -> int:
    return int(sum(block.counts[:, 0].sum() for block in made.windows[kind].hour_blocks.values()))  # type: ignore[index]


def test_detectors_see_the_fair_sample_and_triage_weighs_all() -> None:
    """Ten oversampled low scores beside two fair ones: the window holds the two, the estimate weighs the ten down."""
    low = [score(f"l{n}", M, 1000, uniform=False) for n in range(10)]
    high = [score(f"h{n}", M, 5000, stratum=16) for n in range(2)]
    made = scored(*low, *high)
    assert (counts(made, "score"), counts(made, "score_version"), counts(made, "score_stratum")) == (2, 2, 12)
    (trend,) = Gatherer(made.windows, made.evidence).gather(firing(M + 1, M)).scores or ()
    # 10 scores of 1 at rate 1, 2 scores of 5 at rate 1/16: (10 * 1 + 32 * 5) / 42.
    assert trend.recent.count == 12
    assert abs(trend.recent.mean - 170 / 42) < 1e-9
    assert trend.by_version[0][1] == trend.recent


def test_bursts_and_anchors_do_not_count_and_a_burst_is_told() -> None:
    """Chosen interactions say nothing of all of them: no window moves; the case holds the burst, once."""
    burst = score("b1", M, 2000, purpose="burst")
    made = scored(burst, burst, score("b2", M, 4000, purpose="burst"), score("a1", M, 1000, purpose="anchor"))
    assert counts(made, "score_stratum") == 0
    (found,) = Gatherer(made.windows, made.evidence).gather(firing(M + 1, M)).bursts
    assert (found.summary.count, found.summary.mean, found.low) == (2, 3.0, 1)


def test_a_checkpoint_keeps_strata_and_bursts() -> None:
    """Saved and loaded, the case is the same."""
    made = scored(score("s1", M, 4000, stratum=8), score("b1", M, 2000, purpose="burst"))
    before = Gatherer(made.windows, made.evidence).gather(firing(M + 1, M))
    saved = save(made, all_hours=True)
    again = machine()
    load(again, saved.state, saved.hours)
    assert Gatherer(again.windows, again.evidence).gather(firing(M + 1, M)) == before


def test_a_checkpoint_without_strata_still_loads_and_falls_back_on_plain_means() -> None:
    """Its scores count as they did until strata have grown beside them."""
    made = scored(score("s1", M, 4000), score("s2", M, 2000))
    saved = save(made, all_hours=True)
    plain = tree_of(saved.state)
    del plain["kinds"]["score_stratum"]
    plain["hours"] = [place for place in plain["hours"] if place[0] < 10]
    state = sealed(zlib.compress(msgspec.msgpack.encode(plain)))
    again = machine()
    load(again, state, {place: blob for place, blob in saved.hours.items() if place[0] < 10})
    again.step(M + 2, [Delta((), (score("s3", M + 1, 3000),))])
    (trend,) = Gatherer(again.windows, again.evidence).gather(firing(M + 2, M)).scores or ()
    assert (trend.recent.count, trend.recent.mean) == (3, 3.0)


def test_an_old_record_in_an_inbox_is_read() -> None:
    """A score that an older version packed has eight fields; the new ones take their defaults."""
    packed = msgspec.msgpack.encode(["s", "s1", 60_000_000, "prod", "s", "f", "v1", "tone", 4000])
    assert msgspec.msgpack.decode(packed, type=ScoreRecord) == ScoreRecord(
        "s1", 60_000_000, "prod", "s", "f", "v1", "tone", 4000
    )
