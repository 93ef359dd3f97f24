"""Small histories for detectors: a quiet one and one with an incident, for each detector of the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import ArrayView, walk
from detectors.base import Claim, Detector, State
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from detectors.registry import build
from schemas.series import COUNTERS, SCORE_UNIT, SeriesKey

DAY, HOUR = 1440, 60
START = 28_404_000 - (28_404_000 + 3 * DAY) % (7 * DAY)
"""A Monday, 00:00 UTC."""

SERIES = 6
SICK = 2
"""The row that has the incident."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """One detector with a history in which exactly one series has exactly one incident."""

    detector: Detector
    quiet: Counts
    sick: Counts
    onset: int
    """Minute from the start at which the incident begins."""
    step: int = 1
    """Minutes between ticks that matter; others may be left out to save time."""

    def view(self, counts: Counts) -> ArrayView:
        return view_of(self.detector, counts)

    def ticks(self, counts: Counts) -> range:
        return range(START + self.step, START + counts.shape[1] + 1, self.step)


def keys_of(detector: Detector, size: int, systems: int = 2) -> list[SeriesKey]:
    """Keys of the detector's kind, spread over systems."""
    more: dict[str, tuple[str, ...]] = {"score": ("tone",), "score_version": ("tone", "v1")}
    return [
        SeriesKey(detector.kind, "prod", f"s{row % systems}", (f"x{row}", *more.get(detector.kind, ())))
        for row in range(size)
    ]


def view_of(detector: Detector, counts: Counts, systems: int = 2) -> ArrayView:
    return ArrayView(detector.kind, keys_of(detector, len(counts), systems), counts, START)


def run(detector: Detector, view: ArrayView, ticks: Iterable[int]) -> list[tuple[int, SeriesKey, Claim]]:
    """Every claim with its tick and series."""
    return [
        (tick, view.keys[claim.series], claim)
        for tick, _, claims in walk(detector, view, list(ticks))
        for claim in claims
    ]


def same(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def cases() -> dict[str, Case]:
    """One case for each detector that the registry builds, by name and kind."""
    makers: dict[str, Callable[[Detector], Case]] = {
        "flow": _flow,
        "agent": _agent,
        "score": _score,
        "score_version": _score,
        "budget": _budget,
    }
    made = {}
    for detector in build():
        maker = _silence if detector.name == "silence" else makers[detector.kind]
        made[f"{detector.name}-{detector.kind}"] = maker(detector)
    return made


def _rates(
    detector: Detector, volume: float, rate: float, sick_rate: float, minutes: int, span: tuple[int, int]
) -> Case:
    rng = np.random.default_rng(7)
    n = rng.poisson(volume, (SERIES, minutes))
    quiet_x = rng.binomial(n, rate)
    sick_x = quiet_x.copy()
    sick_x[SICK, span[0] : span[1]] = rng.binomial(n[SICK, span[0] : span[1]], sick_rate)
    width = len(COUNTERS[detector.kind])

    def counts(x: Counts) -> Counts:
        made = np.zeros((*n.shape, width), dtype=np.int64)
        made[..., 0], made[..., 1] = n, x
        return made

    return Case(detector, counts(quiet_x), counts(sick_x), span[0])


def _flow(detector: Detector) -> Case:
    return _rates(detector, 8.0, 0.04, 0.3, 900, (600, 690))


def _agent(detector: Detector) -> Case:
    return _rates(detector, 8.0, 5e-5, 0.2, 900, (600, 690))


def _silence(detector: Detector) -> Case:
    rng = np.random.default_rng(7)
    minutes = 9 * DAY
    counts = np.zeros((SERIES, minutes, 3), dtype=np.int64)
    counts[..., 0] = rng.poisson(4.0, (SERIES, minutes))
    sick = counts.copy()
    onset = 8 * DAY + 300
    sick[SICK, onset : onset + 120] = 0
    return Case(detector, counts, sick, onset, step=5)


def _score(detector: Detector) -> Case:
    rng = np.random.default_rng(7)
    minutes, onset = 12 * DAY, 9 * DAY
    # A versioned series has one version for each flow here, so that its pooled baseline is its own.
    n = rng.poisson(150 / DAY, (SERIES, minutes))
    mean = np.full((SERIES, minutes), 4.2)

    def counts(mean: NDArray[np.float64]) -> Counts:
        noise = np.random.default_rng(8).normal(0, 0.6, n.shape)
        score = np.rint(SCORE_UNIT * (mean + noise)).astype(np.int64)
        return np.stack([n, n * score, n * score**2], axis=2)

    sick = mean.copy()
    sick[SICK, onset : onset + DAY] -= 1.0
    return Case(detector, counts(mean), counts(sick), onset, step=5)


def _budget(detector: Detector) -> Case:
    assert isinstance(detector, BurnRate)
    rng = np.random.default_rng(7)
    hours = 62 * 24
    # START may lie anywhere in its month; the spend is level, so the budgets are wide until the incident.
    cost = rng.normal(10.0, 0.5, (SERIES, hours))
    onset = 40 * 24
    sick_cost = cost.copy()
    sick_cost[SICK, onset : onset + 12 * 24] *= 4

    def counts(cost: NDArray[np.float64]) -> Counts:
        made = np.zeros((SERIES, hours * HOUR, 2), dtype=np.int64)
        made[:, ::HOUR, 0] = 100
        made[:, ::HOUR, 1] = np.rint(cost * 1e6)
        return made

    budgets = {f"x{row}": Budget(amount_usd=10.0 * 24 * 31 * 1.35) for row in range(SERIES)}
    return Case(BurnRate(BurnRateSettings(budgets=budgets)), counts(cost), counts(sick_cost), onset * HOUR, step=HOUR)
