"""What triage sees of versions: the minutes that they shared, and the flows that a change is about."""

from __future__ import annotations

from typing import Any

import msgspec

from stream.core.deltas import Count, Delta
from stream.core.gather import Gatherer
from stream.core.ticks import rfc3339
from tests.unit.core.builders import START, count, deployment, firing, machine
from triage.case import Case, Rate

TICK = START + 40
ONSET = START + 20


def served(minute: int, total: int, hits: int, version: str = "v1", flow: str = "f") -> Count:
    """Interactions and escalations of one version in one minute."""
    one = count(minute, total, hits, name=flow, kind="flow_version")
    return msgspec.structs.replace(one, dims=(flow, version))


def case(*parts: Any, latest: int | None = None) -> Case:
    shard = machine()
    counts = tuple(part for part in parts if isinstance(part, Count))
    records = tuple(part for part in parts if not isinstance(part, Count))
    shard.step(TICK, [Delta(counts, records)])
    claim = firing(TICK, ONSET)
    if latest is not None:
        claim = claim.model_copy(update={"evidence": {"onset_latest": rfc3339(latest * 60_000)}})
    return Gatherer(shard.windows, shard.evidence).gather(claim)


def test_versions_share_the_minutes_in_which_both_served() -> None:
    """What either did alone counts in its recent period, not in the shared one."""
    old, new = case(
        served(ONSET, 10, 1),
        served(ONSET + 5, 4, 1),
        served(ONSET + 5, 6, 3, "v2"),
        served(ONSET + 9, 10, 8, "v2"),
    ).versions
    assert (old.recent, new.recent) == (Rate(2, 14, 20), Rate(11, 16, 15))
    assert (old.shared, new.shared) == (Rate(1, 4, 1), Rate(3, 6, 1))
    assert new.same_period == Rate(3, 6, 1)


def test_a_version_alone_shares_nothing() -> None:
    """Where one version served there is nothing to share; its recent period stands."""
    [only] = case(served(ONSET, 10, 1)).versions
    assert only.shared is None
    assert only.same_period == only.recent


def test_versions_of_another_flow_are_seen_where_that_was_changed() -> None:
    """Only so can triage tell that a change was of another flow with traffic of its own."""
    others = [served(ONSET, 5, 1, "v2", "g"), served(ONSET, 5, 1, "v2", "h")]
    assert [v.flow for v in case(served(ONSET, 9, 3), *others).versions] == ["f"]
    changed = case(served(ONSET, 9, 3), *others, deployment("d", ONSET - 3, component="g"))
    assert [v.flow for v in changed.versions] == ["f", "g"]


def test_the_latest_plausible_onset_comes_from_the_detector() -> None:
    """In milliseconds, before the tick; a detector without an interval gives none."""
    assert case().onset_latest_ms is None
    assert case(latest=ONSET + 3).onset_latest_ms == (ONSET + 3) * 60_000
    assert case(latest=TICK + 3).onset_latest_ms == (TICK - 1) * 60_000
