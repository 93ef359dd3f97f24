"""The rules that people write by hand, over the same counts: what the detectors are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from schemas.series import SeriesKey
from stream.backtest_metrics import Interval

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Alarm = NDArray[np.bool_]
Rule = Callable[[Floats, Floats], Alarm]
"""Trials and events by the minute [M] to whether the rule holds at the end of each minute."""

_KEEP = 15
"""Minutes that an alarm is kept after its condition ended, as the detectors hold theirs."""


def sums(values: Floats, window: int) -> Floats:
    """Sum of the last `window` minutes at each minute."""
    total = np.cumsum(values)
    total[window:] = total[window:] - total[:-window]
    return total


def ratio_30m(factor: float = 3.0, least: int = 1, wait: int = 0) -> Rule:
    """The rate of 30 minutes is `factor` times that of 24 h, on `least` events, for `wait` minutes in a row."""

    def rule(n: Floats, x: Floats) -> Alarm:
        recent_n, recent_x, day_n, day_x = sums(n, 30), sums(x, 30), sums(n, 1440), sums(x, 1440)
        holds = (recent_x * day_n >= factor * day_x * recent_n) & (recent_x >= least)
        return lasting(holds, wait)

    return rule


def ewma(deviations: float = 3.0) -> Rule:
    """The rate of 5 minutes is above its exponentially weighted mean by some standard deviations."""

    def rule(n: Floats, x: Floats) -> Alarm:
        rate = sums(x, 5) / np.maximum(sums(n, 5), 1)
        keep = 1 - 1 / 720
        mean = lfilter([1 - keep], [1, -keep], rate)
        square = lfilter([1 - keep], [1, -keep], rate**2)
        deviation = np.sqrt(np.maximum(square - mean**2, 1e-12))
        holds = np.zeros(len(rate), dtype=np.bool_)
        holds[1:] = rate[1:] > mean[:-1] + deviations * deviation[:-1]
        return holds

    return rule


def lasting(holds: Alarm, wait: int) -> Alarm:
    """Where a condition has held for `wait` minutes without a break."""
    if wait == 0:
        return holds
    index = np.arange(len(holds))
    broken = np.maximum.accumulate(np.where(holds, -1, index))
    return np.asarray(index - broken > wait)


def intervals(rule: Rule, keys: Sequence[SeriesKey], counts: Counts, start: int) -> list[Interval]:
    """The rule's alarms over counts [S, M, 2] that begin at minute `start`; they page."""
    made: list[Interval] = []
    for row, key in enumerate(keys):
        alarm = rule(counts[row, :, 0].astype(np.float64), counts[row, :, 1].astype(np.float64))
        at = np.flatnonzero(alarm)
        if at.size == 0:
            continue
        breaks = np.flatnonzero(np.diff(at) > _KEEP)
        begins, ends = at[np.concatenate(([0], breaks + 1))], at[np.concatenate((breaks, [at.size - 1]))]
        made += [
            Interval(key, "page", start + int(begin) + 1, start + int(end) + 1 + _KEEP)
            for begin, end in zip(begins, ends, strict=True)
        ]
    return made


ESCALATION_RULES: Final[dict[str, Rule]] = {
    "naive: 30 m rate >= 3 x 24 h rate": ratio_30m(),
    "naive, count >= 10": ratio_30m(least=10),
    "naive, count >= 10, for 5 m": ratio_30m(least=10, wait=5),
    "EWMA, 3 sigma": ewma(),
}

DENIAL_RULES: Final[dict[str, Rule]] = {
    "3 x 24 h rate, count >= 3": ratio_30m(least=3),
    "3 x 24 h rate, count >= 10": ratio_30m(least=10),
}
