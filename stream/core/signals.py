"""What a shard's windows and detectors say right now, of the series that matter most: for `/metrics`.

A pure look at a `ShardMachine` between two ticks; nothing is kept and nothing changes. Series with an open firing come
first, then the busiest, up to a cap: the others are counted, not shown, so that no telemetry can make a monitoring
system's memory grow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, Expecting, Floats
from detectors.burn_rate import BurnRate
from schemas.series import DIMENSIONS, MICRO_USD, SCORE_UNIT, SeriesKey, SeriesKind
from stream.core.machine import ShardMachine
from stream.core.windows import KindWindows

HALF_HOUR: Final = 30
DAY_HOURS: Final = 24

Family = Literal["flow", "agent", "score", "budget"]

FAMILIES: Final[dict[Family, SeriesKind]] = {"flow": "flow", "agent": "agent", "score": "score", "budget": "budget"}
"""The kinds of series that are shown."""

TIERS: Final = ("", "warning", "page")


@dataclass(frozen=True, slots=True)
class Signal:
    """One series: its labels and values, by name; `events` behind them and `firing` decide who is shown first.

    A value that is not known (no baseline yet, nothing scored) is not there.
    """

    labels: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, float], ...]
    events: float
    firing: bool


@dataclass(frozen=True, slots=True)
class OpenFiring:
    """A firing that is open: its detector, tier, place, and the series' own dimensions, joined by a slash."""

    detector: str
    tier: str
    environment: str
    system: str
    series: str


@dataclass(frozen=True, slots=True)
class Signals:
    """What one shard shows. `hidden` counts the series of each family that are not shown."""

    families: dict[Family, tuple[Signal, ...]]
    firings: tuple[OpenFiring, ...]
    hidden: dict[Family, int]


def signals_of(machine: ShardMachine, cap: int) -> Signals:
    """The signals of at most `cap` series of each family, and at most `cap` open firings, as of the machine's tick."""
    families: dict[Family, tuple[Signal, ...]] = {}
    hidden: dict[Family, int] = {}
    for family, kind in FAMILIES.items():
        windows = machine.windows[kind]
        detectors = [detector for detector in machine.detectors if detector.kind == kind]
        open_rows = _open_rows(machine, detectors, len(windows))
        found = READERS[family](machine, windows, detectors) if len(windows) else _Table(np.zeros(0), {})
        chosen = _chosen(found.events, open_rows, cap)
        families[family] = tuple(found.signal(windows.keys[row], row, firing=bool(open_rows[row])) for row in chosen)
        hidden[family] = len(windows) - len(chosen)
    return Signals(families, tuple(_firings(machine))[:cap], hidden)


@dataclass(frozen=True, slots=True)
class _Table:
    """`events` [S], and the columns [S] by name; NaN where a value is not known."""

    events: Floats
    columns: dict[str, Floats]

    def signal(self, key: SeriesKey, row: int, *, firing: bool) -> Signal:
        values = ((name, float(column[row])) for name, column in self.columns.items())
        known = tuple((name, value) for name, value in values if np.isfinite(value))
        return Signal(tuple(key.labels().items()), known, float(self.events[row]), firing)


def _flows(machine: ShardMachine, windows: KindWindows, detectors: Iterable[Detector]) -> _Table:
    sums = windows.minutes(HALF_HOUR).sum(axis=1).astype(np.float64)
    columns = {"interactions": sums[:, 0], "escalations": sums[:, 1], "failures": sums[:, 2]}
    return _Table(sums[:, 0], {**columns, "expected": _expected(machine, detectors, len(windows))})


def _agents(machine: ShardMachine, windows: KindWindows, detectors: Iterable[Detector]) -> _Table:
    sums = windows.minutes(HALF_HOUR).sum(axis=1).astype(np.float64)
    columns = {"requests": sums[:, 0], "denials": sums[:, 1]}
    return _Table(sums[:, 0], {**columns, "expected": _expected(machine, detectors, len(windows))})


def _scores(machine: ShardMachine, windows: KindWindows, detectors: Iterable[Detector]) -> _Table:
    day = windows.hour_sums((DAY_HOURS,))[:, 0].astype(np.float64)
    count = day[:, 0]
    mean = np.divide(day[:, 1], count * SCORE_UNIT, out=np.full(len(count), np.nan), where=count > 0)
    return _Table(count, {"scores": count, "mean": mean, "expected": _expected(machine, detectors, len(windows))})


def _budgets(machine: ShardMachine, windows: KindWindows, detectors: Iterable[Detector]) -> _Table:
    day = windows.hour_sums((DAY_HOURS,))[:, 0].astype(np.float64)
    columns = {"day": day[:, 1] / MICRO_USD}
    for detector in detectors:
        state = machine.states[detector.name, detector.kind]
        if isinstance(detector, BurnRate) and len(state["spent"]) == len(windows):
            outlooks = detector.outlooks(windows, state["spent"])
            columns["spent"] = np.array([outlook.spent for outlook in outlooks])
            columns["amount"] = np.array([outlook.amount for outlook in outlooks])
            columns["forecast"] = np.array([outlook.total for outlook in outlooks])
    return _Table(day[:, 1], columns)


READERS: Final[dict[Family, Callable[[ShardMachine, KindWindows, Iterable[Detector]], _Table]]] = {
    "flow": _flows,
    "agent": _agents,
    "score": _scores,
    "budget": _budgets,
}


def _expected(machine: ShardMachine, detectors: Iterable[Detector], size: int) -> Floats:
    """[S] what the detector of the kind expects; NaN where none does, or it knows nothing yet."""
    for detector in detectors:
        if isinstance(detector, Expecting):
            expected = detector.expected(machine.states[detector.name, detector.kind])
            if len(expected) == size:
                return expected
    return np.full(size, np.nan)


def _open_rows(machine: ShardMachine, detectors: Iterable[Detector], size: int) -> NDArray[np.bool_]:
    """[S] whether any detector has an open firing of the series."""
    rows = np.zeros(size, np.bool_)
    for detector in detectors:
        tier = machine.states[detector.name, detector.kind].get("tier")
        if tier is not None:
            rows[: len(tier)] |= tier > 0
    return rows


def _chosen(events: Floats, is_open: NDArray[np.bool_], cap: int) -> list[int]:
    """At most `cap` rows, those with an open firing first, then the busiest, then the oldest; in the order of rows."""
    order = np.lexsort((np.arange(len(events)), -events, ~is_open))
    return sorted(order[:cap].tolist())


def _firings(machine: ShardMachine) -> Iterable[OpenFiring]:
    """The open firings, pages first, each in the order of series."""
    for wanted in (2, 1):
        for detector in machine.detectors:
            tier = machine.states[detector.name, detector.kind].get("tier")
            if tier is None:
                continue
            keys = machine.windows[detector.kind].keys
            for row in np.flatnonzero(tier == wanted).tolist():
                key = keys[row]
                series = "/".join(key.dims[: len(DIMENSIONS[key.kind])])
                yield OpenFiring(detector.name, TIERS[wanted], key.environment, key.system, series)
