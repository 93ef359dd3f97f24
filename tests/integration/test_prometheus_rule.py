"""The careful rule that the detectors are compared with says what Prometheus's own engine says."""

from __future__ import annotations

import numpy as np

from benchmarks import detection_prometheus as engine
from scenarios.worlds import DAY, Incident, World
from schemas.series import SeriesKey
from tests.support.real import unavailable


def world() -> World:
    """Three flows over two days and a half: one with an incident, one that is calm, one that is empty at night."""
    rng = np.random.default_rng(9)
    minutes = 5 * DAY // 2
    n = rng.poisson(6.0, (3, minutes))
    n[2, (np.arange(minutes) % DAY) < 400] = 0
    rate = np.full((3, minutes), 0.04)
    begin = DAY + 500
    rate[0, begin : begin + 90] = 0.25
    rate[2, DAY + 700 : DAY + 760] = 0.3
    counts = np.stack([n, rng.binomial(n, rate)], axis=2)
    keys = tuple(SeriesKey("flow", "production", "orders", (f"flow-{row}",)) for row in range(3))
    return World(keys, counts, (Incident(0, begin, begin + 90, 6.0, 0),), n.mean(axis=1), DAY)


def program() -> str:
    found = engine.promtool()
    return found if found is not None else unavailable("promtool is not installed (Debian: prometheus)")


def test_the_rule_in_numpy_is_the_rule_in_prometheus():
    """Every firing minute of the NumPy form is one of Prometheus's, over calm, empty and sick stretches."""
    counts = engine.telling(world(), 3, 1)
    alarms = engine.careful(counts)
    found = engine.compare(program(), counts, alarms)
    assert found.firing_minutes > 30
    assert found.agrees, found.output


def test_one_minute_less_is_noticed():
    """A NumPy form that fires one minute less does not agree: the comparison can fail."""
    counts = engine.telling(world(), 3, 1)
    alarms = engine.careful(counts)
    alarms[0][np.flatnonzero(alarms[0])[-1]] = False
    assert not engine.compare(program(), counts, alarms).agrees
