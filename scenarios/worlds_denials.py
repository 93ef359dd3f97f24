"""Simulated histories of authorization decisions: rare denials, small innocent clusters, labelled spikes.

An agent makes 0.5 to 200 calls a minute and is denied a few times in a million to a thousand, which wanders; now and
then someone mistypes a scope and is refused a handful of times in a row. An incident adds 0.5 to 20
denials a minute for ten minutes to two hours, as an agent does that acts outside its scope.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scenarios.worlds import WEEK, Incident, World, WorldSettings, season, wander
from schemas.series import SeriesKey

_CLUSTERS = 0.3
"""Innocent clusters in a series-week. One in 120 has eight denials or more: a false alarm for any detector."""


def denial_world(seed: int, settings: WorldSettings | None = None) -> World:
    """A world of denials: requests and denials by agent and minute. An incident's size is its denials a minute."""
    settings = settings or WorldSettings(warm_weeks=1)
    counts = np.zeros((settings.series, settings.minutes, 2), dtype=np.int64)
    incidents: list[Incident] = []
    volumes = np.zeros(settings.series)
    for row in range(settings.series):
        rng = np.random.default_rng([seed, row])
        volumes[row] = np.exp(rng.uniform(np.log(0.5), np.log(200)))
        n = rng.poisson(volumes[row] * season(rng, settings.minutes, 0.8, 0.5))
        x = rng.binomial(
            n, np.exp(rng.uniform(np.log(1e-6), np.log(3e-3))) * np.exp(wander(rng, settings.minutes, 360, 0.4))
        )
        for start, size in _clusters(rng, settings):
            x[start : start + 5] += rng.multinomial(size, [0.2] * 5)
        mine = tuple(_spikes(rng, row, settings))
        for incident in mine:
            x[incident.start : incident.end] += rng.poisson(incident.size, incident.end - incident.start)
        counts[row, :, 0], counts[row, :, 1] = np.maximum(n, x), x
        incidents += mine
    keys = tuple(
        SeriesKey("agent", "production", f"system-{row % 8}", (f"agent-{row:03}",)) for row in range(settings.series)
    )
    return World(keys, counts, tuple(incidents), volumes, settings.warm)


def _clusters(rng: np.random.Generator, settings: WorldSettings) -> Iterator[tuple[int, int]]:
    for _ in range(rng.poisson(_CLUSTERS * settings.minutes / WEEK)):
        yield int(rng.integers(0, settings.minutes - 5)), 1 + int(rng.geometric(0.55))


def _spikes(rng: np.random.Generator, row: int, settings: WorldSettings) -> Iterator[Incident]:
    free = settings.warm
    for start in sorted(
        rng.integers(settings.warm, settings.minutes - 130, rng.poisson(settings.scored_weeks)).tolist()
    ):
        if start >= free:
            length = int(np.exp(rng.uniform(np.log(10), np.log(120))))
            yield Incident(row, start, start + length, float(np.exp(rng.uniform(np.log(0.5), np.log(20)))), 0)
            free = start + length + 1440
