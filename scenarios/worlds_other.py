"""A second family of escalation worlds, parameterised on its own, to see whether figures hold elsewhere.

`scenarios.worlds` draws every series from one recipe. Here each system is a small fleet of one to six flows, and each
flow is of one of four kinds: office hours (weekdays, next to nothing at night), batches on the hour, steady, and bursty
(negative-binomial counts about a volume that wanders by the hour). Base rates run from .1 to 40 %, within one
system as well. Escalations come in clusters (one broken conversation is escalated several times), the log-odds of the
rate wander by two autoregressive paths, some versions shift the rate for good, every fourth flow begins in the middle
of the history, hours of telemetry are missing, and what was missing is filled in at once some of the time. Incidents
multiply the rate, at once, along a ramp or in pulses.

It shares the definition of an incident and of the oracle with the first family, and none of its distributions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.signal import lfilter
from scipy.special import expit, logit

from scenarios.worlds import DAY, WEEK, Counts, Floats, Incident, World, oracle_delay
from schemas.series import SeriesKey

KINDS: Final = ("office", "batch", "steady", "bursty")
_HOUR: Final = 60
_LARGEST_RATE: Final = 0.9


@dataclass(frozen=True, slots=True)
class OtherSettings:
    """How large the world is, and how wild."""

    series: int = 200
    warm_weeks: int = 2
    scored_weeks: int = 4
    noise: float = 1.0
    """Factor on the standard deviations of the rate's wandering."""
    incidents: float = 0.4
    """Per series-week."""

    @property
    def minutes(self) -> int:
        """Length of the world."""
        return (self.warm_weeks + self.scored_weeks) * WEEK

    @property
    def warm(self) -> int:
        """Minutes in which nothing is scored."""
        return self.warm_weeks * WEEK


def other_world(seed: int, settings: OtherSettings | None = None) -> World:
    """A world of escalations: interactions and escalations by flow and minute. Sizes are ratios of the rate."""
    settings = settings or OtherSettings()
    keys = _keys(np.random.default_rng([seed, 1 << 20]), settings.series)
    counts = np.zeros((settings.series, settings.minutes, 2), dtype=np.int64)
    incidents: list[Incident] = []
    oracle: dict[Incident, int | None] = {}
    volumes = np.zeros(settings.series)
    for row in range(settings.series):
        rng = np.random.default_rng([seed, row, 7])
        volume, odds = _volume(rng, settings), _log_odds(rng, settings)
        begin = _birth(rng, settings, volume)
        normal = np.clip(expit(odds), 1e-4, _LARGEST_RATE)
        rate = normal.copy()
        mine = []
        for incident, shape in _incidents(rng, row, begin, settings, normal):
            span = slice(incident.start, incident.end)
            rate[span] = np.minimum(normal[span] * shape, _LARGEST_RATE)
            mine.append(incident)
        n = _arrivals(rng, volume)
        x = _escalations(rng, n, rate)
        for incident in mine:
            span = slice(incident.start, incident.end)
            oracle[incident] = oracle_delay(n[span], x[span], normal[span], np.maximum(rate[span], normal[span] + 1e-9))
        counts[row, :, 0], counts[row, :, 1] = _received(rng, n, x, settings)
        volumes[row] = n[begin:].mean()
        incidents += mine
    return World(keys, counts, tuple(incidents), volumes, settings.warm, oracle)


def _keys(rng: np.random.Generator, series: int) -> tuple[SeriesKey, ...]:
    """Systems of one to six flows."""
    keys: list[SeriesKey] = []
    system = 0
    while len(keys) < series:
        for flow in range(min(int(rng.integers(1, 7)), series - len(keys))):
            keys.append(SeriesKey("flow", "production", f"system-{system:03}", (f"flow-{flow}",)))
        system += 1
    return tuple(keys)


def _path(rng: np.random.Generator, minutes: int, scale: float, deviation: float, step: int) -> Floats:
    """A stationary AR(1) path with this time scale in minutes and standard deviation, constant over `step` minutes."""
    count, keep = minutes // step + 1, float(np.exp(-step / scale))
    noise = rng.standard_t(6, count) / np.sqrt(1.5) * deviation * np.sqrt(1 - keep**2)
    noise[0] = rng.normal(0, deviation)
    return np.asarray(np.repeat(lfilter([1.0], [1.0, -keep], noise), step)[:minutes])


def _volume(rng: np.random.Generator, settings: OtherSettings) -> Floats:
    """[M] expected interactions a minute."""
    minutes = settings.minutes
    t = np.arange(minutes)
    level = float(np.clip(np.exp(rng.normal(np.log(1.5), 2.0)), 0.03, 400.0))
    hour, weekday = t / _HOUR % 24, t // DAY % 7
    match KINDS[int(rng.integers(len(KINDS)))]:
        case "office":
            opens, hours = rng.uniform(6, 10), rng.uniform(7, 11)
            awake = ((hour - opens) % 24 < hours) & (weekday < 5)
            course = np.where(awake, 3.0, rng.uniform(0.0, 0.1))
        case "batch":
            course = np.where(t % _HOUR < rng.integers(3, 12), 8.0, 0.1)
        case "steady":
            course = 1 + rng.uniform(0, 0.5) * np.sin(2 * np.pi * (hour - rng.uniform(0, 24)) / 24)
        case _:
            course = np.exp(_path(rng, minutes, 45, 0.6, 5))
    volume = level * course * np.exp(_path(rng, minutes, 5 * DAY, 0.25, 60))
    for _ in range(rng.poisson(settings.minutes / WEEK / 6)):
        holiday = int(rng.integers(0, settings.minutes // DAY)) * DAY
        volume[holiday : holiday + DAY] *= 0.15
    return np.asarray(volume)


def _log_odds(rng: np.random.Generator, settings: OtherSettings) -> Floats:
    """[M] log-odds of an escalation in ordinary times."""
    minutes, noise = settings.minutes, settings.noise
    t = np.arange(minutes)
    odds = np.full(minutes, float(logit(np.exp(rng.uniform(np.log(0.001), np.log(0.4))))))
    odds += rng.uniform(0, 0.4) * np.sin(2 * np.pi * (t / _HOUR - rng.uniform(0, 24)) / 24)
    odds += np.where(t // DAY % 7 < 5, 0.0, rng.normal(0, 0.2))
    odds += _path(rng, minutes, rng.uniform(8 * _HOUR, 30 * _HOUR), noise * rng.uniform(0.05, 0.25), 10)
    odds += _path(rng, minutes, rng.uniform(15, 60), noise * rng.uniform(0.02, 0.2), 2)
    for _ in range(rng.poisson(minutes / WEEK * 0.3)):
        odds[int(rng.integers(0, minutes)) :] += rng.normal(0, 0.2)
    return odds


def _birth(rng: np.random.Generator, settings: OtherSettings, volume: Floats) -> int:
    """The first minute of the flow; every fourth is young. Nothing comes before it."""
    begin = int(rng.integers(DAY, settings.minutes - 2 * DAY)) if rng.random() < 0.25 else 0
    volume[:begin] = 0.0
    return begin


def _incidents(
    rng: np.random.Generator, row: int, begin: int, settings: OtherSettings, normal: Floats
) -> Iterator[tuple[Incident, Floats]]:
    """Incidents and the factor on the rate in each of their minutes; a day after the flow's birth at the earliest."""
    free = max(settings.warm, begin + DAY)
    count = rng.poisson(settings.incidents * settings.scored_weeks)
    starts = rng.integers(settings.warm, settings.minutes - 400, count)
    for start in np.sort(starts).tolist():
        length = int(rng.gamma(2.0, 45.0)) + 20
        size = float(np.exp(rng.uniform(np.log(2.0), np.log(10.0))))
        if start < free or start + length > settings.minutes:
            continue
        ramp = int(rng.uniform(5, 40)) if rng.random() < 0.3 else 0
        incident = Incident(row, start, start + length, size, ramp)
        shape = incident.factor()
        if rng.random() < 0.15:
            shape = np.where(np.arange(length) // 7 % 2 == 0, shape, 1.0)
        top = _LARGEST_RATE / float(normal[start : start + length].mean())
        if top < size:
            # The rate has no room for this factor: the incident is as large as there is room.
            incident = Incident(row, start, start + length, max(top, 1.0), ramp)
        yield incident, shape
        free = start + length + DAY


def _arrivals(rng: np.random.Generator, volume: Floats) -> Counts:
    """Negative-binomial counts: users come in groups."""
    shape = rng.uniform(1.5, 20.0)
    return np.asarray(rng.poisson(volume * rng.gamma(shape, 1 / shape, len(volume))))


def _escalations(rng: np.random.Generator, n: Counts, rate: Floats) -> Counts:
    """Escalations among `n`: some come in clusters of two to four, so that minutes scatter more than binomial ones."""
    share = rng.uniform(0.0, 0.5)
    single = rng.binomial(n, rate * (1 - share))
    size = int(rng.integers(2, 5))
    clusters = rng.poisson(n * rate * share / size)
    return np.asarray(np.minimum(single + size * clusters, n))


def _received(rng: np.random.Generator, n: Counts, x: Counts, settings: OtherSettings) -> tuple[Counts, Counts]:
    """What the telemetry shows: some hours are missing, and of those some are filled in at their end, all at once."""
    n, x = n.copy(), x.copy()
    for _ in range(rng.poisson(settings.minutes / WEEK * 0.25)):
        start = int(rng.integers(0, settings.minutes - 130))
        end = start + int(rng.uniform(10, 120))
        if rng.random() < 0.4:
            n[end] += n[start:end].sum()
            x[end] += x[start:end].sum()
        n[start:end] = x[start:end] = 0
    return n, x
