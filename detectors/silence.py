"""`silence`: a flow that used to speak and does not.

The expected number of interactions in each hour of the week is learned (mean over about four weeks), times the level
of late (observed over expected, half-life 6 h), so that a flow that fades out slowly is not missed. With `mu` of them
expected since the last one and `1/r` the squared coefficient of variation of the flow's hours, raised by that of the
level (one over the interactions that it rests on), the chance of none is

    P(0) = (1 + mu / r) ** -r,      score = -log10 P(0)        (negative binomial)

The expectation of a minute is the least of its hour and the two beside it: nobody is late for work at nine sharp. There
is no claim before a week of history, so that a first weekend is no outage, and none before ten minutes. Hours of a gap
are learned when it ends, and not at all where it was an incident. It ends when the flow speaks, or is taken as retired.
It does not see a flow that goes from much to little, nor one with less than about ten interactions a day.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from detectors import lifecycle, words
from detectors.base import Claim, Floats, Sight, State, WindowView
from detectors.lifecycle import NONE, PAGE, WARNING
from detectors.settings import Tiers
from schemas.series import SeriesKind
from schemas.words import DetectorName

_WEEK = 168
_WEEKS = 4
_HOUR = 60
_TREND_HOURS = 6.0
_TREND_WEIGHT = 0.5
_SCATTER_WEIGHT = 200.0
_SCATTER_PRIOR = 0.1
_SCATTER_LEAST = 0.02
_SIGHT = 10
"""Minutes that are drawn as one."""
_EPOCH_WEEKDAY_HOURS = 72
"""1970-01-01 was a Thursday: hours from Monday to it."""


class SilenceSettings(Tiers):
    """Settings of `silence`."""

    warning_score: float = Field(default=4.0, gt=0, le=300, description="Score that opens a firing as a warning.")
    page_score: float = Field(default=6.0, gt=0, le=300, description="Score that opens or raises a firing as a page.")
    hold_minutes: int = Field(
        default=5, ge=0, le=10_080, description="Minutes that a series must have spoken again before its firing ends."
    )
    min_gap_minutes: int = Field(default=10, ge=1, le=10_080, description="Shortest gap that can open.")
    min_history_hours: int = Field(
        default=_WEEK, ge=_WEEK, le=672, description="Hours of history before a series can be missed; a week at least."
    )
    retire_hours: int = Field(
        default=_WEEK, ge=1, le=8760, description="Hours of silence after which a series is taken as retired."
    )


class Silence:
    """The detector of a flow that stopped."""

    name: ClassVar[DetectorName] = "silence"
    kind: ClassVar[SeriesKind] = "flow"
    Settings: ClassVar[type[SilenceSettings]] = SilenceSettings

    def __init__(self, settings: SilenceSettings | None = None) -> None:
        self._settings = settings or SilenceSettings()

    def fresh(self, size: int) -> State:
        """See `Detector.fresh`. 730 bytes a series, most of them the week."""
        single = ("trend_x", "trend_e", "scatter_d", "scatter_e", "missing")
        state: State = {name: np.zeros(size, dtype=np.float32) for name in single}
        state["week"] = np.zeros((size, _WEEK), dtype=np.float32)
        for name in ("hours_known", "learned_hour", "stepped", "spoke", "resumed"):
            state[name] = np.zeros(size, dtype=np.int32)
        return {**lifecycle.fresh(size), **state}

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """See `Detector.step`."""
        tick = view.tick
        self._learn(view, state)
        self._count_missing(view, state)
        score = self._score(state)
        able = (state["hours_known"] >= self._settings.min_history_hours) & (
            tick - 1 - view.last_minute >= self._settings.min_gap_minutes
        )
        wanted = np.where(
            score >= self._settings.page_score, PAGE, np.where(score >= self._settings.warning_score, WARNING, NONE)
        )
        retired = tick - view.last_minute >= self._settings.retire_hours * _HOUR
        wanted = np.where(able & ~retired, wanted, NONE).astype(np.int8)
        spoken = view.last_minute >= state["fired"]
        resumes = spoken & (state["tier"] > NONE)
        state["resumed"][:] = np.where(resumes, np.where(state["resumed"] > 0, state["resumed"], tick - 1), 0)
        changes = lifecycle.advance(state, tick, wanted, retired | (spoken & (wanted == NONE)), self._settings)
        claims = [self._claim(view, state, row, "opened", int(wanted[row]), score) for row in changes.opened.tolist()]
        claims += [self._claim(view, state, row, "raised", PAGE, score) for row in changes.raised.tolist()]
        claims += [
            self._claim(view, state, row, "recovered", tier, score)
            for row, tier in zip(changes.recovered.tolist(), changes.ended_tiers.tolist(), strict=True)
        ]
        return state, sorted(claims, key=lambda claim: claim.series)

    def sight(self, view: WindowView, state: State, row: int) -> Sight:
        """See `Sighted.sight`. Observed are the interactions a minute over the last ten."""
        waits = view.tick - 1 - int(view.last_minute[row]) < self._settings.min_gap_minutes
        young = int(state["hours_known"][row]) < self._settings.min_history_hours
        return Sight(
            observed=float(view.minutes_at(np.array([row]), _SIGHT)[0, :, 0].sum()) / _SIGHT,
            baseline=float(self._rate(state, view.tick)[row]),
            threshold=None,
            unit="interactions a minute",
            signal=f"mean of {_SIGHT} min",
            score=0.0 if waits or young else float(self._score(state)[row]),
            warning=self._settings.warning_score,
            page=self._settings.page_score,
            score_name="score of the gap",
        )

    def _learn(self, view: WindowView, state: State) -> None:
        """Learn the full hours up to the latest in which each series spoke, once an hour."""
        hour = view.tick // _HOUR
        spoke_hour = np.minimum(view.last_minute // _HOUR + 1, hour)
        young = state["learned_hour"] == 0
        state["learned_hour"][young] = np.maximum(view.first_minute[young] // _HOUR, 0)
        due = state["learned_hour"] < spoke_hour
        if not due.any():
            return
        # A firing's hours are not the flow's habit: they are passed over.
        missed = due & (state["tier"] > NONE)
        state["learned_hour"][missed] = spoke_hour[missed]
        rows = np.flatnonzero(due & ~missed)
        if rows.size == 0:
            return
        reach = min(int((hour - state["learned_hour"][rows]).max()), _WEEK * _WEEKS)
        counts = view.hours(reach)[:, :, 0]
        for back in range(reach, 0, -1):
            here = hour - back
            takes = rows[(state["learned_hour"][rows] <= here) & (here < spoke_hour[rows])]
            if takes.size:
                self._take(counts[takes, reach - back].astype(np.float64), here, state, takes)
        state["learned_hour"][rows] = spoke_hour[rows]

    def _take(self, count: Floats, hour: int, state: State, rows: NDArray[np.intp]) -> None:
        slot = (hour + _EPOCH_WEEKDAY_HOURS) % _WEEK
        known = state["hours_known"][rows]
        usual = state["week"][rows, slot].astype(np.float64)
        expected = usual * self._trend(state, rows)
        fade = 0.5 ** (1 / _TREND_HOURS)
        old = known >= _WEEK
        state["trend_x"][rows] = np.where(old, state["trend_x"][rows] * fade + count, 0.0)
        state["trend_e"][rows] = np.where(old, state["trend_e"][rows] * fade + usual, 0.0)
        deviation = np.clip(count - expected, -expected, 2 * expected)
        state["scatter_d"][rows] += np.where(old, deviation**2 - expected, 0.0)
        state["scatter_e"][rows] += np.where(old, expected**2, 0.0)
        weight = 1.0 / np.minimum(known // _WEEK + 1, _WEEKS)
        state["week"][rows, slot] = usual + weight * (count - usual)
        state["hours_known"][rows] = known + 1

    def _trend(self, state: State, rows: NDArray[np.intp] | slice) -> Floats:
        """Observed over expected of late, drawn to 1 by half an interaction."""
        return np.asarray(
            (state["trend_x"][rows] + _TREND_WEIGHT) / (state["trend_e"][rows].astype(np.float64) + _TREND_WEIGHT)
        )

    def _rate(self, state: State, tick: int) -> Floats:
        """[S] interactions expected in a minute now."""
        slot = (tick // _HOUR + _EPOCH_WEEKDAY_HOURS) % _WEEK
        beside = [(slot - 1) % _WEEK, slot, (slot + 1) % _WEEK]
        return np.asarray(state["week"][:, beside].min(axis=1) * self._trend(state, slice(None)) / _HOUR)

    def _count_missing(self, view: WindowView, state: State) -> None:
        """Add what was expected since the last tick, or since the series last spoke."""
        spoke, stepped = state["spoke"], state["stepped"]
        new = view.last_minute > spoke
        since = np.where(new | (stepped == 0), view.last_minute + 1, stepped)
        carried = np.where(new, 0.0, state["missing"].astype(np.float64))
        state["missing"] = (carried + self._rate(state, view.tick) * np.maximum(view.tick - since, 0)).astype(
            np.float32
        )
        state["spoke"] = view.last_minute.astype(np.int32)
        stepped[:] = view.tick

    def _shape(self, state: State) -> Floats:
        scatter = (state["scatter_d"].astype(np.float64) + _SCATTER_WEIGHT * _SCATTER_PRIOR) / (
            state["scatter_e"].astype(np.float64) + _SCATTER_WEIGHT
        )
        # What is known of the level of late rests on so many interactions and is no surer than they make it.
        level = 1.0 / (_TREND_WEIGHT + state["trend_x"].astype(np.float64))
        return np.asarray(1.0 / (np.maximum(scatter, _SCATTER_LEAST) + level))

    def _score(self, state: State) -> Floats:
        shape = self._shape(state)
        return np.asarray(shape * np.log10(1.0 + state["missing"] / shape))

    def _claim(self, view: WindowView, state: State, row: int, change: str, tier: int, score: Floats) -> Claim:
        last = int(view.last_minute[row])
        if change == "opened":
            state["onset"][row] = last + 1
        onset, missing = int(state["onset"][row]), float(state["missing"][row])
        resumed = int(state["resumed"][row])
        gap = max((resumed or view.tick) - onset, 1)
        usual = gap / missing if missing > 0 and change != "recovered" else float(gap)
        facts: dict[str, Any] = {
            "gap_minutes": gap,
            "missing": words.rounded(missing),
            "score": words.rounded(float(score[row])),
        }
        return Claim(
            series=row,
            change=change,
            tier="page" if tier == PAGE else "warning",
            observed=float(gap),
            baseline=words.rounded(usual),
            threshold=words.rounded(self._threshold(state, row, tier, usual)),
            unit="minutes without an interaction",
            sample_count=0,
            baseline_count=float(state["hours_known"][row]),
            confidence=words.score_confidence(float(score[row])) if change != "recovered" else 0.0,
            fired_minute=int(state["fired"][row]),
            onset_minute=onset,
            window_start_minute=onset,
            window_end_minute=view.tick,
            summary=_summary(change, gap, missing, float(score[row]), resumed > 0),
            evidence=facts | {"hours_known": int(state["hours_known"][row])},
        )

    def _threshold(self, state: State, row: int, tier: int, usual: float) -> float:
        """The gap that opens the tier at the present pace."""
        shape = float(self._shape(state)[row])
        wanted = self._settings.page_score if tier == PAGE else self._settings.warning_score
        missing = float(shape * (10.0 ** min(wanted / shape, 300.0) - 1.0))
        return max(float(self._settings.min_gap_minutes), missing * usual)


def _summary(change: str, gap: int, missing: float, score: float, spoke: bool) -> str:
    if change == "recovered":
        return f"speaks again after {words.span(gap)}" if spoke else f"silent for {words.span(gap)}, taken as retired"
    expected = f"{missing:,.0f} were expected"
    return f"no interaction for {words.span(gap)} where {expected}; chance {words.chance(score)}"
