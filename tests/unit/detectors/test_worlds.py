"""The simulated worlds that detectors are measured on: the same for a seed, and as they are labelled."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scenarios.worlds import START, WEEK, Incident, WorldSettings, escalation_world, oracle_delay
from scenarios.worlds_costs import cost_world
from scenarios.worlds_denials import denial_world
from scenarios.worlds_scores import score_world

SMALL = WorldSettings(series=12, warm_weeks=1, scored_weeks=1, incidents=1.5)


@pytest.mark.parametrize("make", [escalation_world, denial_world])
def test_a_world_is_its_seed(make):
    """The same seed gives the same counts and incidents, another seed others."""
    one, same, other = make(1, SMALL), make(1, SMALL), make(2, SMALL)
    assert np.array_equal(one.counts, same.counts)
    assert one.incidents == same.incidents
    assert not np.array_equal(one.counts, other.counts)


def test_a_series_does_not_depend_on_the_others():
    """A smaller world is the beginning of a larger one."""
    assert np.array_equal(escalation_world(1, replace(SMALL, series=3)).counts, escalation_world(1, SMALL).counts[:3])


def test_incidents_are_as_large_as_they_say():
    """The rate within sudden incidents is the factor times the rate around them, over all of them together."""
    world = escalation_world(3, replace(SMALL, series=60, gaps=0.0))
    for size in (3.0, 5.0):
        observed = expected = 0.0
        for one in world.incidents:
            n, x = world.counts[one.row, :, 0], world.counts[one.row, :, 1]
            inside = slice(one.start + one.ramp, one.end)
            before = slice(one.start - 120, one.start)
            if one.size == size and x[before].sum() > 10:
                observed += x[inside].sum() / max(n[inside].sum(), 1)
                expected += x[before].sum() / n[before].sum()
        assert observed / expected == pytest.approx(size, rel=0.35)


def test_a_ramp_ends_at_its_size():
    """A ramp rises from one to its factor; a sudden incident is there at once."""
    ramp, sudden = Incident(0, 0, 30, 4.0, 10).factor(), Incident(0, 0, 30, 4.0, 0).factor()
    assert (np.diff(ramp) >= 0).all()
    assert ramp[0] < 2
    assert ramp[-1] == sudden[0] == 4.0


def test_the_oracle_needs_evidence():
    """The oracle is sure after a few escalations where none are expected, and never where the rates are the same."""
    n, x = np.full(60, 10), np.full(60, 3)
    assert oracle_delay(n, x, np.full(60, 0.03), np.full(60, 0.3)) == 3
    assert oracle_delay(n, x, np.full(60, 0.3), np.full(60, 0.3)) is None


def test_incidents_lie_in_the_scored_weeks():
    """No incident lies in the weeks that are for learning, and incidents of one series lie a day apart."""
    world = escalation_world(4, SMALL)
    assert all(WEEK <= one.start < one.end <= 2 * WEEK for one in world.incidents)
    by_row: dict[int, list[Incident]] = {}
    for one in world.incidents:
        by_row.setdefault(one.row, []).append(one)
    for mine in by_row.values():
        assert all(b.start >= a.end + 1440 for a, b in pairwise(mine))


def test_counts_are_possible():
    """No world has more events than trials, or scores beyond 1 to 5."""
    for counts in (escalation_world(5, SMALL).counts, denial_world(5, SMALL).counts):
        assert (counts[..., 1] <= counts[..., 0]).all()
        assert (counts >= 0).all()
    scores = score_world(5, series=5).counts
    n, total = scores[..., 0], scores[..., 1]
    assert (total >= 1000 * n).all()
    assert (total <= 5000 * n).all()


def test_months_say_when_they_ran_over():
    """A month that is labelled an overrun passes its budget in the hour that it says, a clean one never."""
    world = cost_world(1, budgets=6, months=2)
    begin = world.months[0].start // 60
    first = begin - 24 * 31
    rows = {key: row for row, key in enumerate(world.keys)}
    assert {month.over is None for month in world.months} == {True, False}
    for month in world.months:
        cost = world.counts[rows[month.key], month.start // 60 - first : month.end // 60 - first, 1] / 1e6
        spent = np.cumsum(cost)
        amount = world.budgets[month.key.dims[0]]
        if month.over is None:
            assert spent[-1] <= amount + 0.01
        else:
            hours = (month.over - month.start) // 60
            assert spent[hours - 1] > amount - 0.01 >= spent[hours - 2] - 0.02


def test_worlds_begin_on_a_monday():
    """The first minute is a Monday at midnight, so that weekends are weekends."""
    assert START % 1440 == 0
    assert (START // 1440 + 3) % 7 == 0
