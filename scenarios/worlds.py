"""Simulated histories for measuring detectors: escalations by the minute, with labelled incidents.

A world comes from a seed alone. Each series has a volume (heavy-tailed, 0.05 to 500 interactions a minute) and an
escalation rate, both with a daily and a weekly season and slow drift; counts scatter more than binomial ones do, over
minutes (bursts of users) and over hours (mix of cases). Benign things happen: surges of volume, wiggles of the rate
below twofold, launches that shift volume and rate for good, gaps in the telemetry, events too late to count. Incidents
multiply the rate by 2 to 10, at once or along a ramp; they are the labels.

These worlds are for tuning and for reporting, on different seeds. No detector knows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from schemas.series import SeriesKey

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

DAY: Final = 1440
WEEK: Final = 7 * DAY
START: Final = 19_723 * DAY
"""The first minute of every world: Monday, 2024-01-01, 00:00 UTC."""


@dataclass(frozen=True, slots=True)
class Incident:
    """What is wrong with one series from `start` to `end`, minutes from the beginning of the world."""

    row: int
    start: int
    end: int
    size: float
    """Factor on the rate."""
    ramp: int
    """Minutes until the full factor is reached."""

    def factor(self) -> Floats:
        """[end - start] the factor in each minute."""
        since = np.arange(1, self.end - self.start + 1)
        return np.asarray(1.0 + (self.size - 1.0) * np.minimum(1.0, since / max(self.ramp, 1)))


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How lively a world is. Rates of events are per series-week."""

    series: int = 200
    warm_weeks: int = 2
    scored_weeks: int = 4
    rate_median: float = 0.03
    rate_spread: float = 0.6
    season: float = 0.35
    """Largest daily amplitude of the rate, as a share of it."""
    lasting: float = 0.03
    flutter: float = 0.05
    """Squared coefficients of variation: of the slow scatter, and of a minute of the fast one."""
    surges: float = 1.0
    wiggles: float = 0.5
    gaps: float = 0.3
    launches: float = 0.3
    """Share of the series that launch something."""
    late: float = 0.05
    """Share of late events; a fifth of them is too late to count."""
    incidents: float = 0.4

    @property
    def minutes(self) -> int:
        """Length of the world."""
        return (self.warm_weeks + self.scored_weeks) * WEEK

    @property
    def warm(self) -> int:
        """Minutes in which nothing is scored."""
        return self.warm_weeks * WEEK


STRESS: Final[dict[str, WorldSettings]] = {
    "noisier": WorldSettings(lasting=0.08, flutter=0.3),
    "strong seasons": WorldSettings(season=0.8),
    "all launch": WorldSettings(launches=1.0),
    "low rates": WorldSettings(rate_median=0.012, rate_spread=0.4),
    "20 % late": WorldSettings(late=0.2),
}


@dataclass(frozen=True, slots=True)
class World:
    """Counts [S, M, 2] of trials and events, the incidents in them, and what an oracle knows."""

    keys: tuple[SeriesKey, ...]
    counts: Counts
    incidents: tuple[Incident, ...]
    volume: Floats
    """[S] mean trials a minute."""
    warm: int
    oracle: dict[Incident, int | None] = field(default_factory=dict)
    """Minutes until the likelihood ratio of the true rates with and without the incident reaches 1e5."""


def escalation_world(seed: int, settings: WorldSettings | None = None) -> World:
    """A world of escalations: interactions and escalations by flow and minute."""
    settings = settings or WorldSettings()
    counts = np.zeros((settings.series, settings.minutes, 2), dtype=np.int64)
    incidents: list[Incident] = []
    oracle: dict[Incident, int | None] = {}
    volumes = np.zeros(settings.series)
    for row in range(settings.series):
        rng = np.random.default_rng([seed, row])
        series = _Series.draw(rng, settings)
        volumes[row] = series.level
        mine = tuple(_incidents(rng, row, settings, settings.incidents))
        rate = series.rate
        for incident in mine:
            rate = rate.copy() if rate is series.rate else rate
            rate[incident.start : incident.end] *= incident.factor()
        rate = np.minimum(rate, 0.95)
        n = rng.poisson(series.volume)
        x = rng.binomial(n, rate)
        for incident in mine:
            span = slice(incident.start, incident.end)
            oracle[incident] = oracle_delay(n[span], x[span], series.rate[span], rate[span])
        counts[row, :, 0], counts[row, :, 1] = _seen(rng, n, x, settings.late)
        incidents += mine
    keys = tuple(
        SeriesKey("flow", "production", f"system-{row % 8}", (f"flow-{row:03}",)) for row in range(settings.series)
    )
    return World(keys, counts, tuple(incidents), volumes, settings.warm, oracle)


def oracle_delay(n: Counts, x: Counts, normal: Floats, wrong: Floats, bound: float = 1e5) -> int | None:
    """Minutes until a likelihood-ratio test that knows everything is sure, or None where it never is."""
    llr = np.cumsum(x * np.log(wrong / normal) + (n - x) * np.log((1 - wrong) / (1 - normal)))
    sure = np.flatnonzero(llr >= np.log(bound))
    return None if sure.size == 0 else int(sure[0]) + 1


@dataclass(frozen=True, slots=True)
class _Series:
    level: float
    volume: Floats
    rate: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: WorldSettings) -> _Series:
        minutes = settings.minutes
        level = float(np.exp(rng.uniform(np.log(0.05), np.log(500))))
        volume = level * season(rng, minutes, 0.8, 0.4) * np.exp(wander(rng, minutes, 180, 0.15))
        base = float(np.clip(np.exp(rng.normal(np.log(settings.rate_median), settings.rate_spread)), 0.003, 0.2))
        rate = base * season(rng, minutes, settings.season, 0.15)
        rate *= np.exp(wander(rng, minutes, 4 * DAY, 0.15))
        rate *= np.exp(wander(rng, minutes, rng.uniform(60, 360), np.sqrt(settings.lasting)))
        rate *= rng.gamma(1 / settings.flutter, settings.flutter, minutes)
        for start, end, size in _episodes(rng, settings, settings.surges, (30, 180), (1.8, 5.0)):
            volume[start:end] *= size
        for start, end, size in _episodes(rng, settings, settings.wiggles, (20, 120), (1.2, 1.7)):
            rate[start:end] *= size
        if rng.random() < settings.launches:
            _launch(rng, settings, volume, rate)
        for start, end, _ in _episodes(rng, settings, settings.gaps, (5, 90), (0, 0)):
            volume[start:end] = 0.0
        return cls(level, volume, np.clip(rate, 1e-5, 0.6))


def season(rng: np.random.Generator, minutes: int, daily: float, weekly: float) -> Floats:
    """A daily and a weekly course about 1, with random amplitude up to the given ones, and random phase."""
    t = np.arange(minutes)
    amplitude, phase = rng.uniform(0, daily), rng.uniform(0, DAY)
    second, third = rng.uniform(0, 0.3) * amplitude, rng.uniform(0, DAY)
    course = 1 + amplitude * np.cos(2 * np.pi * (t - phase) / DAY) + second * np.cos(4 * np.pi * (t - third) / DAY)
    weekend = 1 - rng.uniform(0, weekly)
    return np.asarray(np.maximum(course, 0.05) * np.where(t // DAY % 7 < 5, 1.0, weekend))


def wander(rng: np.random.Generator, minutes: int, scale: float, deviation: float) -> Floats:
    """A stationary Ornstein-Uhlenbeck path with this time scale and standard deviation, moved every five minutes."""
    steps = minutes // 5 + 1
    keep = np.exp(-5 / scale)
    noise = rng.normal(0, deviation * np.sqrt(1 - keep**2), steps)
    noise[0] = rng.normal(0, deviation)
    path = lfilter([1.0], [1.0, -keep], noise)
    return np.repeat(path, 5)[:minutes]


def _episodes(
    rng: np.random.Generator, settings: WorldSettings, weekly: float, span: tuple[int, int], size: tuple[float, float]
) -> Iterator[tuple[int, int, float]]:
    """(start, end, size) of things that happen `weekly` times a week."""
    for _ in range(rng.poisson(weekly * settings.minutes / WEEK)):
        start = int(rng.integers(0, settings.minutes))
        yield start, start + int(rng.uniform(*span)), float(rng.uniform(*size))


def _launch(rng: np.random.Generator, settings: WorldSettings, volume: Floats, rate: Floats) -> None:
    """A new version goes out over some hours: more volume and a somewhat different rate, for good."""
    start = int(rng.integers(settings.warm, settings.minutes))
    ramp = np.clip((np.arange(settings.minutes) - start) / rng.uniform(120, 720), 0, 1)
    volume *= 1 + ramp * rng.uniform(0.0, 2.0)
    rate *= 1 + ramp * rng.uniform(-0.3, 0.6)


def _incidents(rng: np.random.Generator, row: int, settings: WorldSettings, weekly: float) -> Iterator[Incident]:
    """Incidents of one series, a day apart at least."""
    free = settings.warm
    for start in sorted(
        rng.integers(settings.warm, settings.minutes - 300, rng.poisson(weekly * settings.scored_weeks))
    ):
        if start < free:
            continue
        length = int(np.clip(np.exp(rng.normal(np.log(75), 0.6)), 20, 290))
        size = float(rng.choice([2, 3, 4, 5, 7, 10], p=[0.15, 0.25, 0.2, 0.2, 0.1, 0.1]))
        ramp = int(rng.uniform(5, 30)) if rng.random() < 0.25 else 0
        yield Incident(row, int(start), int(start) + length, size, ramp)
        free = start + length + DAY


def _seen(rng: np.random.Generator, n: Counts, x: Counts, late: float) -> tuple[Counts, Counts]:
    """What arrives in time to count: a fifth of the late events does not."""
    keep = 1 - late / 5
    seen = rng.binomial(x, keep)
    return seen + rng.binomial(n - x, keep), seen


def with_series(settings: WorldSettings, series: int, scored_weeks: int) -> WorldSettings:
    """The same world in another size."""
    return replace(settings, series=series, scored_weeks=scored_weeks)
