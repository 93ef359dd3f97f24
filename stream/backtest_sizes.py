"""How large a labelled incident was, measured in the history itself, so that recall can be told by size.

* escalations: the rate during the label over the series' rate in the week before it
* denials: how many more there were than the rate of the week before lets expect
* silence: how many interactions were missed, at the pace of the week before
* scores: how many points their mean lay below that of the two weeks before
* cost: by how many per cent the month (in which the label ends) overran its budget

Minutes of other labels of the series are no part of what was before. Without anything to compare, the size is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.arrays import ArrayView
from detectors.burn_calendar import Month
from schemas.series import MICRO_USD, SCORE_UNIT, SeriesKey
from schemas.words import DetectorName
from stream.backtest_metrics import Label

_WEEK = 10_080
_HOUR = 60

_Sums = NDArray[np.float64]
"""Counters and, last, minutes."""


def with_sizes(
    labels: Sequence[Label], detector: DetectorName, view: ArrayView, settings: Mapping[str, Any]
) -> list[Label]:
    """The labels with their sizes. `view` must stand at its end, so that it holds every series."""
    row_of = {key: row for row, key in enumerate(view.keys)}
    of_series: dict[SeriesKey, list[Label]] = {}
    for label in labels:
        of_series.setdefault(label.key, []).append(label)
    sized = []
    for label in labels:
        row = row_of.get(label.key)
        size = None
        if row is not None:
            if detector == "burn_rate":
                size = _overrun(view, row, label, settings)
            else:
                size = _MEASURES[detector](*_around(view, row, label, of_series[label.key], _BEFORE[detector]))
        sized.append(replace(label, size=size))
    return sized


def _around(view: ArrayView, row: int, label: Label, others: Sequence[Label], before: int) -> tuple[_Sums, _Sums]:
    """Sums of one series over the `before` minutes ahead of the label, and over the label."""
    counts = view.history[row]
    length = len(counts)

    def column(minute: int) -> int:
        return min(max((minute - view.start) // view.step, 0), length)

    first, last = column(label.start), max(column(label.end + view.step - 1), column(label.start))
    usual = np.zeros(length, dtype=np.bool_)
    usual[max(column(label.start - before), column(int(view.first_minute[row]))) : first] = True
    for other in others:
        usual[column(other.start) : column(other.end + view.step - 1)] = False
    ahead = [*counts[usual].sum(axis=0).tolist(), int(usual.sum()) * view.step]
    during = [*counts[first:last].sum(axis=0).tolist(), (last - first) * view.step]
    return np.array(ahead, dtype=np.float64), np.array(during, dtype=np.float64)


def _ratio(ahead: _Sums, during: _Sums) -> float | None:
    """Half an event stands for none: what never happened before is not infinitely larger."""
    if not ahead[0] or not during[0]:
        return None
    return float(during[1] / during[0] / (max(ahead[1], 0.5) / ahead[0]))


def _excess(ahead: _Sums, during: _Sums) -> float | None:
    usual = ahead[1] / ahead[0] * during[0] if ahead[0] else 0.0
    return float(max(during[1] - usual, 0.0)) if during[0] else None


def _missed(ahead: _Sums, during: _Sums) -> float | None:
    return float(max(ahead[0] / ahead[-1] * during[-1] - during[0], 0.0)) if ahead[-1] else None


def _drop(ahead: _Sums, during: _Sums) -> float | None:
    if not ahead[0] or not during[0]:
        return None
    return float(ahead[1] / ahead[0] - during[1] / during[0]) / SCORE_UNIT


def _overrun(view: ArrayView, row: int, label: Label, settings: Mapping[str, Any]) -> float | None:
    budget = settings.get("budgets", {}).get(label.key.dims[0])
    if not budget:
        return None
    month = Month.of(label.end - 1)
    hours = (np.array([month.first_hour, month.end_hour]) - view.start // _HOUR).clip(0)
    spent = float(view.history[row, hours[0] : hours[1], 1].sum()) / MICRO_USD + float(budget.get("flat_usd", 0.0))
    return 100.0 * (spent / float(budget["amount_usd"]) - 1.0)


_MEASURES: Final[dict[DetectorName, Callable[[_Sums, _Sums], float | None]]] = {
    "escalation_rate": _ratio,
    "authorization_denials": _excess,
    "silence": _missed,
    "evaluation_drop": _drop,
}
_BEFORE: Final[dict[DetectorName, int]] = dict.fromkeys(_MEASURES, _WEEK) | {"evaluation_drop": 2 * _WEEK}
