"""The second family for denials and scores: other recipes than those that the thresholds were set on.

Denials: some agents are always denied something (up to 2 % of their calls), clients retry a refused call at once, so
that innocent refusals come three to six in a minute or two, several times a week; nights and weekends are empty for
some. Incidents are one principal that is denied again and again, steadily or in volleys.

Scores: whole points from 1 to 5 with a skewed mix for each flow, some flows nearly always a 5, few scores for many; the
judge changes now and then by a tenth of a point for everyone, versions differ a little. Incidents move a share of the
scores down.
"""

from __future__ import annotations

import numpy as np

from scenarios.worlds import DAY, WEEK, Counts, Floats, Incident, World, WorldSettings
from schemas.series import SCORE_UNIT, SeriesKey

_STORMS = 3.0
_HOURS, _WARM_HOURS = 44 * 24, 16 * 24
_NEARLY_ALWAYS_A_FIVE = np.array([0.005, 0.005, 0.01, 0.08, 0.9])


def other_denial_world(seed: int, settings: WorldSettings | None = None) -> World:
    """A world of denials: requests and denials by agent and minute. An incident's size is its denials a minute."""
    settings = settings or WorldSettings(warm_weeks=1, scored_weeks=3)
    counts = np.zeros((settings.series, settings.minutes, 2), dtype=np.int64)
    incidents: list[Incident] = []
    t = np.arange(settings.minutes)
    for row in range(settings.series):
        rng = np.random.default_rng([seed, row, 11])
        level = float(np.exp(rng.normal(np.log(8.0), 1.5)))
        awake = np.where((t // 60 % 24 < 8) | (t // DAY % 7 > 4), rng.choice([0.0, 0.2, 1.0]), 1.0)
        n = rng.poisson(level * awake * rng.gamma(5.0, 0.2, settings.minutes))
        share = float(np.exp(rng.uniform(np.log(1e-5), np.log(0.02)))) if rng.random() < 0.5 else 0.0
        x = rng.binomial(n, share)
        for start in rng.integers(0, settings.minutes - 2, rng.poisson(_STORMS * settings.minutes / WEEK)):
            x[start : start + 2] += rng.multinomial(rng.integers(3, 7), [0.7, 0.3])
        mine = _volleys(rng, row, settings, x)
        counts[row, :, 0], counts[row, :, 1] = np.maximum(n, x), x
        incidents += mine
    keys = tuple(
        SeriesKey("agent", "production", f"system-{row % 60}", (f"agent-{row:03}",)) for row in range(settings.series)
    )
    return World(keys, counts, tuple(incidents), counts[..., 0].mean(axis=1), settings.warm)


def _volleys(rng: np.random.Generator, row: int, settings: WorldSettings, x: Counts) -> list[Incident]:
    """Add incidents to the denials `x` [M] in place: a steady rate, or as many in volleys every five minutes."""
    made: list[Incident] = []
    free = settings.warm
    starts = rng.integers(settings.warm, settings.minutes - 130, rng.poisson(settings.scored_weeks * 0.7))
    for start in np.sort(starts).tolist():
        if start < free:
            continue
        length, size = int(rng.uniform(15, 120)), float(np.exp(rng.uniform(np.log(0.5), np.log(15.0))))
        rate = np.full(length, size)
        if rng.random() < 0.3:
            rate = np.where(np.arange(length) % 5 == 0, 5 * size, 0.0)
        x[start : start + length] += rng.poisson(rate)
        made.append(Incident(row, start, start + length, size, 0))
        free = start + length + DAY
    return made


def other_score_world(seed: int, series: int = 200) -> World:
    """A world of scores, counts [S, H, 3]. Times of its incidents are in hours, their size is the drop in points."""
    shared = np.random.default_rng([seed, 1 << 20])
    change = int(shared.integers(_WARM_HOURS, _HOURS))
    judge = np.where(np.arange(_HOURS) >= change, shared.choice([-0.1, 0.1]), 0.0)
    counts = np.zeros((series, _HOURS, 3), dtype=np.int64)
    incidents: list[Incident] = []
    volumes = np.zeros(series)
    for row in range(series):
        rng = np.random.default_rng([seed, row, 13])
        volumes[row] = float(np.clip(np.exp(rng.normal(np.log(40.0), 1.2)), 3, 800))
        n = rng.poisson(volumes[row] / 24 * rng.gamma(3.0, 1 / 3, _HOURS))
        mix = (
            rng.dirichlet([0.3, 0.4, 0.8, 2.5, 4.0])
            if rng.random() < 0.7
            else np.array([0.005, 0.005, 0.01, 0.08, 0.9])
        )
        lower = judge.copy()
        for start in rng.integers(0, _HOURS, rng.poisson(2.0)):
            lower[start:] += rng.normal(0, 0.05)
        free = _WARM_HOURS
        for start in np.sort(rng.integers(free, _HOURS - 48, rng.poisson(1.5))).tolist():
            if start < free:
                continue
            end, size = min(start + int(rng.uniform(24, 120)), _HOURS), float(rng.uniform(0.2, 1.5))
            lower[start:end] -= size
            incidents.append(Incident(row, start, end, size, 0))
            free = end + 5 * 24
        counts[row] = _whole_scores(rng, n, mix, lower)
    keys = tuple(
        SeriesKey("score", "production", f"system-{row % 40}", (f"flow-{row:03}", "correctness"))
        for row in range(series)
    )
    return World(keys, counts, tuple(incidents), volumes, _WARM_HOURS)


def _whole_scores(rng: np.random.Generator, n: Counts, mix: Floats, shift: Floats) -> Counts:
    """[H, 3] count, sum, sum of squares of whole scores: drawn from `mix`, then moved by `shift` points in the mean.

    A shift of -0.7 takes a point from seven scores in ten; what would fall below 1 or rise above 5 stays there.
    """
    hour = np.repeat(np.arange(len(n)), n)
    score = rng.choice(np.arange(1, 6), len(hour), p=mix)
    move = np.floor(np.abs(shift[hour])) + (rng.random(len(hour)) < np.abs(shift[hour]) % 1)
    score = np.clip(score + np.sign(shift[hour]) * move, 1, 5)
    units = (score * SCORE_UNIT).astype(np.float64)
    sums = np.bincount(hour, units, len(n)), np.bincount(hour, units**2, len(n))
    return np.stack([n, *(np.rint(one).astype(np.int64) for one in sums)], axis=1)
