"""Simulated evaluation scores by the hour: 5 to 500 a day, a judge that drifts, and drops of 0.2 to 1.5 points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from scenarios.worlds import Counts, Floats, Incident, World
from schemas.series import SCORE_UNIT, SeriesKey

DAY_HOURS: Final = 24
_WARM_DAYS, _SCORED_DAYS = 16, 28


def score_world(seed: int, series: int = 200) -> World:
    """A world of scores, counts [S, H, 3]. Times of its incidents are in hours, their size is the drop in points."""
    hours = (_WARM_DAYS + _SCORED_DAYS) * DAY_HOURS
    counts = np.zeros((series, hours, 3), dtype=np.int64)
    incidents: list[Incident] = []
    volumes = np.zeros(series)
    for row in range(series):
        rng = np.random.default_rng([seed, row])
        volumes[row] = np.exp(rng.uniform(np.log(5), np.log(500)))
        course = 1 + rng.uniform(0, 0.8) * np.cos(2 * np.pi * (np.arange(hours) - rng.uniform(0, 24)) / 24)
        n = rng.poisson(volumes[row] / DAY_HOURS * course)
        days = hours // DAY_HOURS + 1
        mean = rng.uniform(3.4, 4.6) + rng.normal(0, 0.1, days)[np.arange(hours) // DAY_HOURS]
        mean = mean + np.cumsum(rng.normal(0, 0.015, days))[np.arange(hours) // DAY_HOURS]
        mine = tuple(_drops(rng, row, hours))
        for incident in mine:
            mean[incident.start : incident.end] -= incident.size
        counts[row] = _scores(rng, n, mean, float(rng.uniform(0.5, 1.0)))
        incidents += mine
    keys = tuple(
        SeriesKey("score", "production", f"system-{row % 8}", (f"flow-{row:03}", "escalation_appropriateness"))
        for row in range(series)
    )
    return World(keys, counts, tuple(incidents), volumes, _WARM_DAYS * DAY_HOURS)


def _scores(rng: np.random.Generator, n: Counts, mean: Floats, deviation: float) -> Counts:
    """[H, 3] count, sum and sum of squares of `n` scores about `mean`, cut to 1 to 5."""
    hour = np.repeat(np.arange(len(n)), n)
    score = np.clip(mean[hour] + rng.normal(0, deviation, len(hour)), 1, 5)
    units = np.rint(score * SCORE_UNIT).astype(np.int64)
    sums = np.bincount(hour, units, len(n)), np.bincount(hour, units.astype(np.float64) ** 2, len(n))
    return np.stack([n, *(np.rint(one).astype(np.int64) for one in sums)], axis=1)


def _drops(rng: np.random.Generator, row: int, hours: int) -> Iterator[Incident]:
    free = _WARM_DAYS * DAY_HOURS
    for start in sorted(rng.integers(free, hours - 48, rng.poisson(2.0)).tolist()):
        if start >= free:
            length = int(rng.uniform(24, 96))
            yield Incident(row, start, min(start + length, hours), float(rng.uniform(0.2, 1.5)), 0)
            free = start + length + 5 * DAY_HOURS
