"""What one tick costs each detector over very many series: the usual tick, and the heaviest of an hour of them."""

from __future__ import annotations

from time import process_time

import numpy as np

from detectors.arrays import append_rows
from detectors.base import Detector
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from detectors.registry import build
from schemas.series import COUNTERS, SCORE_UNIT, SeriesKey, SeriesKind
from stream.core.hours import HourBlock
from stream.core.windows import KindWindows

_WARM_HOURS = 8 * 24
_TICKS = 75
_BEGIN = 19_723 * 24 + 12
"""The hour in which the measured ticks begin."""
_SPEAKING = 0.2
"""Share of the series that have an event in a given minute: of a large fleet most flows are quiet in any one minute."""


def tick_seconds(series: int, seed: int) -> dict[str, tuple[float, float]]:
    """Processor seconds of a tick over the windows that run live, by detector and kind: (median, worst).

    Budgets are a tenth as many: nobody has a hundred thousand of them.
    """
    budgets = {_name(row): Budget(amount_usd=1000.0) for row in range(series)}
    detectors = [BurnRate(BurnRateSettings(budgets=budgets)) if one.name == "burn_rate" else one for one in build()]
    sizes = {one: series // 10 if one.kind == "budget" else series for one in detectors}
    return {
        f"{one.name}, {size:,} {one.kind} series": _measure(one, size, np.random.default_rng(seed))
        for one, size in sizes.items()
    }


def _measure(detector: Detector, series: int, rng: np.random.Generator) -> tuple[float, float]:
    windows = _windows(detector.kind, series, rng)
    state = append_rows(detector.fresh(0), detector.fresh(series))
    spent: list[float] = []
    for tick in range(_BEGIN * 60 + 1, _BEGIN * 60 + 1 + _TICKS):
        windows.advance(tick)
        rows = np.flatnonzero(rng.random(series) < _SPEAKING)
        windows.add(rows, np.full(len(rows), tick - 1), _amounts(detector.kind, rng.poisson(3.0, len(rows)) + 1, rng))
        begin = process_time()
        state, _ = detector.step(windows, state)
        spent.append(process_time() - begin)
    # The first tick makes up for all the history at once, which a running engine never has to.
    return float(np.median(spent[1:])), max(spent[1:])


def _windows(kind: SeriesKind, series: int, rng: np.random.Generator) -> KindWindows:
    """Windows with a week of full hours."""
    windows = KindWindows(kind)
    first = (_BEGIN - _WARM_HOURS) * 60
    windows.tick = _BEGIN * 60
    more = {"score": ("tone",), "score_version": ("tone", "v1")}
    keys = [
        SeriesKey(kind, "production", f"system-{row % 50}", (_name(row), *more.get(kind, ()))) for row in range(series)
    ]
    windows.grow(keys, [first] * series)
    windows.last_minute[:] = windows.tick - 1
    everyone = np.arange(series, dtype=np.int32)
    for hour in range(_BEGIN - _WARM_HOURS, _BEGIN):
        amounts = _amounts(kind, rng.poisson(20.0, series), rng).astype(np.uint32)
        windows.hour_blocks[hour] = HourBlock(everyone, amounts)
    return windows


def _amounts(kind: SeriesKind, n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[k, C] plausible counters for `n` [k] trials, scores or requests."""
    counts = np.zeros((len(n), len(COUNTERS[kind])), np.int64)
    counts[:, 0] = n
    match kind:
        case "score" | "score_version":
            counts[:, 1], counts[:, 2] = n * 4 * SCORE_UNIT, n * 17 * SCORE_UNIT**2
        case "budget":
            counts[:, 1] = n * 60_000
        case "agent":
            counts[:, 1] = rng.binomial(n, 0.0005)
        case _:
            counts[:, 1] = rng.binomial(n, 0.04)
    return counts


def _name(row: int) -> str:
    return f"series-{row:06}"
