"""The rate that escalations are expected at: level, hour of day and local drift, for all series at once.

    p = L * s_h * c        (at most 0.6)

* L, the level: decayed escalations over decayed interactions (half-life 4 d). The fleet's rate, worth 80 interactions,
  is added for good, so that a young series borrows from its fleet and no series ever expects nothing at all.
* s_h, the hour of the day: decayed escalations over what L expected in that hour (half-life 7 d), drawn to 1 by 20
  pseudo-escalations, interpolated between hours, mean 1 over the day.
* c, the local drift: observed over expected (half-life 2 h), drawn to 1 by 30 pseudo-escalations.

Everything is learned 30 minutes late, so that an incident does not raise the bar for itself, five minutes at a time,
and from counts capped at 1.8 E + 3 sqrt(E) + 1, so that one burst does not move it.

The squared coefficient of variation of a window of `w` minutes about E has two parts, S + F / w: what stays (drift that
is not learned yet) and what averages out (users come in bursts). They are told apart by decayed second moments at two
scales, q = sum(d^2 - v) / sum(E^2) with d = X - E and v = E (1 - p):

    F = max((q_2 - q_30) / (1/2 - 1/30), 0),   S = max(q_30 - F / 30, 0.002)

both drawn to S = .03, F = .05. Where events are rare they may come in clumps (one user's broken conversation is
escalated four times), which neither S nor F can say, for both vanish beside 1 / E. A clump factor K, the variance over
the mean where E is small, is learned at both scales,

    K = 1 + 1.25 ((sum(g d^2) + 15 K0) / (sum(g E) + 15) - 1) >= 1,   g = max(0, 1 - E / 2)

with d capped at 5 + 0.8 E + 2.5 sqrt(E) and K0 the same of the fleet; v is K E (1 - p). 1.25, since clumps of unequal
size have a longer tail than the factor alone says. The moments compare each half hour with the rate that was forecast
before it, which is
what the scan does live. Constants: measured, see docs/detectors.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Counts, Floats, State
from detectors.learning import (
    STEP,
    Mask,
    Rows,
    as_rows,
    clump_factor,
    clump_moments,
    due_until,
    fade,
    fade_unseen,
    reach,
    steps,
)

_DAY: Final = 1440
_HOURS: Final = 24
_SHORT, _LONG = 2, 30
_FLEET_DOUBT = 10.0
"""How many young series' worth of interactions it takes to know a fleet's rate better than the prior."""


@dataclass(frozen=True, slots=True)
class BaselineConstants:
    """Half-lives in days or minutes, and the weights of what is known before any data."""

    level_days: float = 4.0
    season_days: float = 7.0
    local_minutes: float = 120.0
    moment_days: float = 7.0
    fleet_weight: float = 80.0
    season_weight: float = 20.0
    local_weight: float = 30.0
    moment_weight: float = 100.0
    clump_weight: float = 15.0
    prior_rate: float = 0.03
    prior_lasting: float = 0.03
    prior_flutter: float = 0.05
    least_lasting: float = 0.002
    highest_rate: float = 0.6
    saturation: float = 2000.0
    """Interactions from which on a series counts no more for the fleet's rate: a giant is not the fleet."""


def fresh(size: int) -> State:
    """The baseline's memory for `size` new series, 268 bytes each."""
    single = ("level_x", "level_n", "local_x", "local_e", "rate", "doubt", "flutter", "clump", "reference")
    moments = ("short_d", "short_e", "long_d", "long_e", "clump_d", "clump_e")
    state: State = {name: np.zeros(size, dtype=np.float32) for name in single + moments}
    state["season_x"] = np.zeros((size, _HOURS), dtype=np.float32)
    state["season_e"] = np.zeros((size, _HOURS), dtype=np.float32)
    state["learned"] = np.zeros(size, dtype=np.int32)
    return state


def cap(expected: Floats) -> Floats:
    """The most events that one step of learning takes for real, where `expected` would be normal."""
    return np.asarray(1.8 * expected + 3.0 * np.sqrt(expected) + 1.0)


class Baseline:
    """The formulas above over arrays of state. Holds constants only."""

    def __init__(self, constants: BaselineConstants) -> None:
        self._c = constants
        self._level_fade = fade(constants.level_days * _DAY)
        # An hour of the day is learned 12 times a day; together they fade it by one day.
        self._season_fade = fade(constants.season_days * 60)
        self._local_fade = fade(constants.local_minutes)
        self._moment_fade = fade(constants.moment_days * _DAY, _LONG)

    def learn(
        self, minutes: Callable[[int], Counts], tick: int, group: NDArray[np.int64], frozen: Mask, state: State
    ) -> None:
        """Bring the baseline to `tick`.

        `minutes` gives the last so many up to `tick - 1`, at most 120, as [S, last, >= 2]: interactions, escalations.
        """
        upto = due_until(tick)
        learned = state["learned"]
        due = learned < upto
        newborn = state["rate"] <= 0
        if not (due.any() or newborn.any()):
            return
        fleet = self.fleet_rate(state, group)
        if due.any():
            takes = due & ~frozen
            last = reach(tick, takes, learned, tick - upto + _LONG)
            self._catch_up(minutes(last), tick, takes, fleet, state)
            learned[due] = upto
            self._refresh(tick, group, fleet, state, as_rows(due))
        if newborn.any():
            self._refresh(tick, group, fleet, state, np.flatnonzero(newborn))
        if upto % _LONG == 0:
            state["reference"][due] = state["rate"][due]

    def fleet_rate(self, state: State, group: NDArray[np.int64]) -> Floats:
        """[S] the rate of each series' fleet. Summed in whole 1/1024 so that the order of the rows does not matter."""
        n, x = state["level_n"].astype(np.float64), state["level_x"].astype(np.float64)
        share = 1024.0 / (1.0 + n / self._c.saturation)
        size = int(group.max()) + 1 if group.size else 0
        sum_n = np.bincount(group, np.rint(n * share), size) / 1024.0
        sum_x = np.bincount(group, np.rint(x * share), size) / 1024.0
        weight = _FLEET_DOUBT * self._c.fleet_weight
        rates = (sum_x + weight * self._c.prior_rate) / (sum_n + weight)
        return np.asarray(rates[group])

    def usual(self, state: State, group: NDArray[np.int64], minute: int) -> Floats:
        """[S] what is usual at the hour of `minute`: level and hour of the day as known now, without local drift."""
        rows = np.arange(len(state["rate"]))
        level = self._level(state, self.fleet_rate(state, group), rows)
        return np.minimum(level * self._season(state, minute, rows), self._c.highest_rate)

    def evidence(self, state: State, fleet: Floats, rows: Rows) -> Floats:
        """Escalations behind the expected rate: the smaller of those behind its level and behind its local drift."""
        c = self._c
        behind_level = state["level_x"][rows] + c.fleet_weight * fleet[rows]
        return np.asarray(np.minimum(behind_level, state["local_x"][rows] + c.local_weight), dtype=np.float64)

    def _catch_up(self, minutes: Counts, tick: int, takes: Mask, fleet: Floats, state: State) -> None:
        c, upto = self._c, due_until(tick)
        ages = dict.fromkeys(("level_x", "level_n"), c.level_days * _DAY)
        fade_unseen(state, tick, takes, ages | dict.fromkeys(("local_x", "local_e"), c.local_minutes))
        if upto % _LONG == 0:
            steady = takes & (state["learned"] == upto - STEP) & (state["reference"] > 0)
            self._take_moments(minutes, tick, steady, state)
        for start, rows, chunk in steps(minutes, tick, takes, state["learned"]):
            self._take(chunk, start, fleet, state, rows)

    def _take(self, chunk: Counts, start: int, fleet: Floats, state: State, rows: Rows) -> None:
        """Learn one step of `STEP` minutes, [R, 2], that begins at minute `start`."""
        c = self._c
        n, x = chunk[:, 0].astype(np.float64), chunk[:, 1].astype(np.float64)
        hour = start // 60 % _HOURS
        season = self._season(state, start + STEP // 2, rows)
        rate = self._level(state, fleet, rows) * season * self._local(state, rows)
        x = np.minimum(x, cap(np.minimum(rate, c.highest_rate) * n))
        state["level_x"][rows] = state["level_x"][rows] * self._level_fade + x
        state["level_n"][rows] = state["level_n"][rows] * self._level_fade + n
        # The level first: what it takes up, the hour and the local drift need not explain a second time.
        plain = self._level(state, fleet, rows) * n
        state["season_x"][rows, hour] = state["season_x"][rows, hour] * self._season_fade + x
        state["season_e"][rows, hour] = state["season_e"][rows, hour] * self._season_fade + plain
        state["local_x"][rows] = state["local_x"][rows] * self._local_fade + x
        state["local_e"][rows] = state["local_e"][rows] * self._local_fade + plain * season

    def _take_moments(self, minutes: Counts, tick: int, mask: Mask, state: State) -> None:
        """Learn how far the half hour that is due scattered about its forecast, at both scales."""
        rows = as_rows(mask)
        begin = due_until(tick) - _LONG - (tick - minutes.shape[1])
        block = minutes[rows, begin : begin + _LONG, :2]
        pairs = block.reshape(block.shape[0], _LONG // _SHORT, _SHORT, 2).sum(axis=2)
        rate = state["reference"][rows].astype(np.float64)
        clump = np.maximum(state["clump"][rows].astype(np.float64), 1.0)[:, None]
        spread, total = np.zeros(len(rate)), np.zeros(len(rate))
        for prefix, counts in (("short", pairs), ("long", pairs.sum(axis=1, keepdims=True))):
            expected = rate[:, None] * counts[..., 0]
            raw = counts[..., 1] - expected
            clumps = clump_moments(counts[..., 1], expected)
            spread += clumps[0].sum(axis=1)
            total += clumps[1].sum(axis=1)
            variance = clump * expected * (1.0 - rate[:, None])
            deviation = np.minimum(raw, 0.8 * expected + 2.5 * np.sqrt(variance))
            excess, weight = (deviation**2 - variance).sum(axis=1), (expected**2).sum(axis=1)
            state[f"{prefix}_d"][rows] = state[f"{prefix}_d"][rows] * self._moment_fade + excess
            state[f"{prefix}_e"][rows] = state[f"{prefix}_e"][rows] * self._moment_fade + weight
        state["clump_d"][rows] = state["clump_d"][rows] * self._moment_fade + spread
        state["clump_e"][rows] = state["clump_e"][rows] * self._moment_fade + total

    def _refresh(self, tick: int, group: NDArray[np.int64], fleet: Floats, state: State, rows: Rows) -> None:
        """Work out the rate and its uncertainty as of `tick` from the sums."""
        c = self._c
        rate = self._level(state, fleet, rows) * self._season(state, tick, rows) * self._local(state, rows)
        state["rate"][rows] = np.minimum(rate, c.highest_rate)
        lasting, flutter = self._scatter(state, rows)
        state["doubt"][rows] = 1.0 / self.evidence(state, fleet, rows) + 0.7 * lasting
        state["flutter"][rows] = flutter
        state["clump"][rows] = self._clump(state, group, rows)

    def _scatter(self, state: State, rows: Rows) -> tuple[Floats, Floats]:
        """S and F of each row."""
        c = self._c
        short, long = (
            (state[f"{scale}_d"][rows] + c.moment_weight * (c.prior_lasting + c.prior_flutter / span))
            / (state[f"{scale}_e"][rows].astype(np.float64) + c.moment_weight)
            for scale, span in (("short", _SHORT), ("long", _LONG))
        )
        flutter = np.maximum((short - long) / (1 / _SHORT - 1 / _LONG), 0.0)
        return np.maximum(long - flutter / _LONG, c.least_lasting), flutter

    def _clump(self, state: State, group: NDArray[np.int64], rows: Rows) -> Floats:
        """K of each row, drawn to its fleet's, which is summed in whole 1/1024 as the fleet's rate is."""
        weight, size = self._c.clump_weight, int(group.max()) + 1
        spread, total = (state[name].astype(np.float64) for name in ("clump_d", "clump_e"))
        sums = [np.bincount(group, np.rint(1024.0 * part), size) / 1024.0 for part in (spread, total)]
        fleet = (sums[0] + weight) / (sums[1] + weight)
        return clump_factor(spread[rows], total[rows], fleet[group[rows]], weight)

    def _level(self, state: State, fleet: Floats, rows: Rows) -> Floats:
        weight = self._c.fleet_weight
        return np.asarray((state["level_x"][rows] + weight * fleet[rows]) / (state["level_n"][rows] + weight))

    def _local(self, state: State, rows: Rows) -> Floats:
        weight = self._c.local_weight
        return np.asarray((state["local_x"][rows] + weight) / (state["local_e"][rows].astype(np.float64) + weight))

    def _season(self, state: State, minute: int, rows: Rows) -> Floats:
        """The hour's factor at `minute`, interpolated between the middles of the hours."""
        weight = self._c.season_weight
        factors = (state["season_x"][rows] + weight) / (state["season_e"][rows].astype(np.float64) + weight)
        position = minute % _DAY / 60 - 0.5
        before = int(np.floor(position))
        share = position - before
        here = (1 - share) * factors[:, before % _HOURS] + share * factors[:, (before + 1) % _HOURS]
        return np.asarray(here / factors.mean(axis=1))
