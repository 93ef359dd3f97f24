"""The life of firings and incidents through the machine, with the real detector: what it opens, freezes and ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from detectors.escalation_rate import EscalationRate, EscalationRateSettings
from schemas.canonical import canonical_json
from schemas.outputs import Firing, Verdict
from stream.core.deltas import Delta
from stream.core.machine import ShardMachine
from tests.unit.core.builders import START, breaker, count, machine

CALM, HOLD = 240, 6
"""Minutes of history before anything happens; minutes of quiet that end a firing."""


class Life:
    """A shard with an `escalation_rate` that holds for six minutes and freezes for an hour, driven by the minute."""

    def __init__(self) -> None:
        settings = EscalationRateSettings(hold_minutes=HOLD, freeze_hours=1)
        self.shard: ShardMachine = machine(EscalationRate(settings))
        self.minute = START
        self.firings: list[Firing] = []
        self.verdicts: list[Verdict] = []

    def run(self, minutes: int, escalated: Callable[[int], int], name: str = "f", total: int = 20) -> None:
        """So many minutes of a flow of which `escalated` of `total` go to a human, given the minute."""
        for passed in range(minutes):
            delta = Delta((count(self.minute, total, escalated(passed), name=name),))
            outcome = self.shard.step(self.minute + 1, [delta])
            self.firings += outcome.firings
            self.verdicts += outcome.verdicts
            self.minute += 1

    def calm(self, minutes: int = CALM) -> None:
        self.run(minutes, lambda passed: int(passed % 2 == 0))

    def loud(self, minutes: int) -> None:
        self.run(minutes, lambda _: 6)

    def said(self) -> list[tuple[str, str]]:
        return [(firing.tier, firing.status) for firing in self.firings]


def test_a_firing_ends_after_its_quiet_has_lasted() -> None:
    """It does not end while the window that tells recovery is loud, nor before six minutes of quiet have passed."""
    life = Life()
    life.calm()
    life.loud(30)
    assert life.said()[-1] == ("page", "firing")
    ended = life.minute
    life.calm(40)
    assert life.said()[-1] == ("page", "resolved")
    resolved = life.firings[-1]
    assert (resolved.at - life.firings[0].fired_at).total_seconds() / 60 > 30
    assert resolved.at.timestamp() / 60 >= ended + HOLD
    assert [verdict.status for verdict in life.verdicts].count("resolved") == 1


def test_the_baseline_is_frozen_while_a_firing_is_open() -> None:
    """Forty minutes at ten times the rate teach the baseline nothing: the next one is measured against the same."""
    life = Life()
    life.calm()
    life.loud(40)
    first = life.firings[0]
    life.calm(90)
    assert life.said()[-1][1] == "resolved"
    life.loud(20)
    again = life.firings[-1]
    assert again.status == "firing"
    assert again.firing_id != first.firing_id
    assert again.baseline == pytest.approx(first.baseline, rel=0.15)


def test_what_stays_beyond_the_cap_is_the_new_normal() -> None:
    """The baseline thaws after an hour: a level that stays is learned, and the firing ends while it goes on."""
    life = Life()
    life.calm()
    life.loud(60)
    assert [status for _, status in life.said()].count("resolved") == 0
    life.loud(48 * 60)
    assert life.said()[-1][1] == "resolved"


def test_a_page_behind_a_warning_raises_the_verdict() -> None:
    """The warning's incident is revised when its firing becomes a page: same incident, graver, at that very tick."""
    life = Life()
    life.calm()
    life.run(40, lambda passed: min(1 + passed // 6, 8))
    assert life.said()[:2] == [("warning", "firing"), ("page", "firing")]
    warning, page = life.firings[:2]
    assert page.firing_id == warning.firing_id
    first = life.verdicts[0]
    raised = next(verdict for verdict in life.verdicts if verdict.decided_at == page.at)
    assert (first.trigger.tier, first.severity) == ("warning", "warning")
    assert (raised.trigger.tier, raised.severity, raised.status) == ("page", "critical", "updated")
    assert raised.incident_id == first.incident_id


def test_a_young_series_says_that_it_borrows() -> None:
    """A flow of twenty minutes in a system that is known: it fires against its fleet's rate, in so many words."""
    life = Life()
    life.calm()
    life.run(20, lambda passed: int(passed % 2 == 0), name="new")
    life.run(20, lambda _: 7, name="new")
    [opened] = [firing for firing in life.firings if firing.scope.flow == "new"][:1]
    assert "of history, borrows the fleet's rate" in opened.summary
    assert opened.evidence["fleet_share"] > 0.1
    life.calm(1)
    old = Life()
    old.calm()
    old.loud(20)
    assert "borrows" not in old.firings[0].summary


def test_an_outage_of_five_hundred_flows_is_one_page() -> None:
    """A dependency is down, its breaker closed: one incident, one first verdict, all series listed, one resolve."""
    shard = machine()
    names = [f"flow-{number:03}" for number in range(500)]
    verdicts: list[Verdict] = []
    firings: list[Firing] = []

    def tick(minute: int, loud: set[str], failing: int) -> None:
        counts = [count(minute, 5, 3 * int(name in loud), name=name) for name in names]
        counts.append(count(minute, 500, failing, name="fraud-api", kind="dependency"))
        outcome = shard.step(minute + 1, [Delta(tuple(counts), (breaker("b", START * 60_000, "closed"),))])
        verdicts.extend(outcome.verdicts)
        firings.extend(outcome.firings)

    for minute in range(60):
        tick(START + minute, set(), 0)
    for minute in range(60, 80):
        # A hundred flows more each minute: they depend on it by turns.
        tick(START + minute, set(names[: (minute - 59) * 100]), 250)
    assert len({firing.firing_id for firing in firings}) == 500
    assert len({verdict.incident_id for verdict in verdicts}) == 1
    assert [verdict.status for verdict in verdicts].count("firing") == 1
    assert len(verdicts) <= 6
    assert verdicts[-1].triage_result == "circuit_breaker_state"
    listed = {scope.flow for scope in verdicts[-1].related} | {verdicts[-1].scope.flow}
    assert listed == set(names)
    assert all(len(canonical_json(verdict)) < 1_000_000 for verdict in verdicts)
    verdicts.clear()
    tick(START + 80, set(), 0)
    assert [verdict.status for verdict in verdicts] == ["resolved"]
