"""What the two detectors of rates share: the scan over recent minutes, the life of a firing, its numbers and words.

A concrete detector brings the baseline: the rate that it expects for each series, and how uncertain that rate is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from detectors import lifecycle, onset, words
from detectors.base import MINUTES, Claim, Counts, Floats, Sight, State, WindowView
from detectors.lifecycle import NONE, PAGE, WARNING, Levels, Mask
from detectors.scan import Reading, Scan, look_penalty, tail_score, window_matrix, window_sums
from detectors.settings import Tiers
from schemas.series import SeriesKind
from schemas.words import DetectorName

_HALF_HOUR = 30
_THREE_TIMES = 3.0
_ENOUGH = 3.0
"""Events expected in a recovery window from which on it is long enough to say that things are back to normal."""


class RateScan(ABC):
    """A detector of a raised rate: events (column 1 of the counters) among trials (column 0).

    Subclasses set the class attributes and the two hooks. `self._scan` holds the scan's constants.
    """

    name: ClassVar[DetectorName]
    kind: ClassVar[SeriesKind]
    unit: ClassVar[str]
    verb: ClassVar[str]
    """What happens to a trial, as in "41 of 300 escalated"."""
    lag: ClassVar[int]
    recovery_windows: ClassVar[tuple[int, ...]]
    least_minutes: ClassVar[int] = 1
    """Minutes over which the events of a window must be spread."""

    def __init__(self, settings: Tiers, scan: Scan, recovery_ratio: float, recovery_count: int) -> None:
        self._life = settings
        self._scan = scan
        self._matrix = window_matrix(scan.windows)
        self._recovery = window_matrix(self.recovery_windows)
        self._recovery_ratio = recovery_ratio
        self._recovery_count = recovery_count

    @abstractmethod
    def fresh(self, size: int) -> State:
        """Memory for `size` new series; includes `rate`, `doubt`, `flutter` [S] and the arrays of the lifecycle."""

    @abstractmethod
    def _learn(self, view: WindowView, frozen: Mask, state: State) -> None:
        """Bring `rate`, `doubt` and `flutter` up to the tick."""

    @abstractmethod
    def _baseline_count(self, state: State, row: int) -> float:
        """Trials behind the expected rate of one series."""

    @abstractmethod
    def _more_evidence(self, state: State, row: int) -> dict[str, Any]:
        """What the detector adds to a claim's evidence."""

    @abstractmethod
    def _caveat(self, view: WindowView, state: State, row: int) -> str:
        """What the reader should know about the baseline; empty where it is sound."""

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """See `Detector.step`."""
        tick = view.tick
        self._learn(view, lifecycle.frozen(state, tick, self.lag, self._life), state)
        reading = self._read(view, state)
        wanted = self._wanted(view, reading)
        changes = lifecycle.advance(state, tick, wanted, self._quiet(view, state), self._life)
        best = dict(zip(reading.rows.tolist(), reading.window.tolist(), strict=True))
        claims = [
            self._claim(view, state, row, change, tier, best.get(row, _HALF_HOUR))
            for change, rows, tiers in (
                ("opened", changes.opened, wanted[changes.opened]),
                ("raised", changes.raised, wanted[changes.raised]),
            )
            for row, tier in zip(rows.tolist(), tiers.tolist(), strict=True)
        ]
        claims += [
            self._claim(view, state, row, "recovered", tier, _HALF_HOUR)
            for row, tier in zip(changes.recovered.tolist(), changes.ended_tiers.tolist(), strict=True)
        ]
        return state, sorted(claims, key=lambda claim: claim.series)

    def sight(self, view: WindowView, state: State, row: int) -> Sight:
        """See `Sighted.sight`. Observed and threshold are of the last half hour, the score of the best window."""
        reading = self._read(view, state)
        score = reading.score[reading.rows == row]
        seen = Seen.of(
            view.minutes_at(np.array([row]), _HALF_HOUR)[0, :, :2], _HALF_HOUR, self._expected_rate(state, row)
        )
        return Sight(
            observed=seen.rate if seen.total else None,
            baseline=seen.expected_rate,
            threshold=self._threshold(state, row, seen, PAGE),
            unit=self.unit,
            signal=f"rate of {_HALF_HOUR} min",
            score=float(score[0]) if score.size else 0.0,
            warning=self._life.warning_score,
            page=self._life.page_score,
            score_name="score",
        )

    def expected(self, state: State) -> Floats:
        """See `Expecting.expected`."""
        rate = state["rate"].astype(np.float64)
        return np.where(rate > 0, rate, np.nan)

    def _read(self, view: WindowView, state: State) -> Reading:
        """The best window of every series that has enough events in any of them."""
        longest = self._scan.windows[-1]
        rows = np.flatnonzero(view.minute_sums(longest, 1) >= self._scan.min_count)
        if rows.size == 0:
            return Reading(rows, np.empty(0), np.empty(0, dtype=np.int64))
        minutes = view.minutes_at(rows, longest)
        count = window_sums(minutes[:, :, 1], self._matrix)
        expected = window_sums(minutes[:, :, 0], self._matrix) * state["rate"][rows].astype(np.float64)[:, None]
        # Minutes before the last recovery belong to a firing that has ended, and do not open another.
        allowed = view.tick - state["closed"][rows].astype(np.int64)
        doubt, flutter = state["doubt"][rows].astype(np.float64), state["flutter"][rows].astype(np.float64)
        if self.least_minutes > 1:
            count *= self._lasts(minutes)
        clump = np.maximum(state["clump"][rows].astype(np.float64), 1.0)
        reading = self._scan.read(count, expected, allowed, doubt, flutter, clump)
        return Reading(rows[reading.rows], reading.score, reading.window)

    def _lasts(self, minutes: Counts) -> Mask:
        """[R, W] whether the events of each window are spread over enough minutes: one minute is no incident yet.

        A series that has fewer minutes with any trials, since its telemetry comes in batches, needs events in all.
        """
        happened = window_sums(minutes[:, :, 1] > 0, self._matrix)
        awake = window_sums(minutes[:, :, 0] > 0, self._matrix)
        return np.asarray(happened >= np.minimum(self.least_minutes, awake))

    def _wanted(self, view: WindowView, reading: Reading) -> Levels:
        """[S] the tier that the evidence asks for."""
        wanted = np.zeros(len(view.keys), dtype=np.int8)
        level = np.where(reading.score >= self._life.warning_score, WARNING, NONE)
        wanted[reading.rows] = np.where(reading.score >= self._life.page_score, PAGE, level)
        return wanted

    def _quiet(self, view: WindowView, state: State) -> Mask:
        """[S] whether an open series is back to normal.

        That is: its rate, over the shortest window that can tell, is near the expected one. A series without trials in
        the longest window is quiet: what does not run does not go wrong.
        """
        quiet = np.zeros(len(view.keys), dtype=np.bool_)
        rows = lifecycle.open_rows(state)
        if rows.size == 0:
            return quiet
        minutes = view.minutes_at(rows, self.recovery_windows[-1])
        expected = window_sums(minutes[:, :, 0], self._recovery) * state["rate"][rows].astype(np.float64)[:, None]
        enough = expected >= _ENOUGH
        column = np.where(enough.any(axis=1), enough.argmax(axis=1), len(self.recovery_windows) - 1)
        pick = (np.arange(rows.size), column)
        limit = np.maximum(self._recovery_ratio * expected[pick], self._recovery_count)
        quiet[rows] = window_sums(minutes[:, :, 1], self._recovery)[pick] <= limit
        return quiet

    def _claim(self, view: WindowView, state: State, row: int, change: str, tier: int, window: int) -> Claim:
        minutes = view.minutes_at(np.array([row]), MINUTES)[0, :, :2]
        rate = self._expected_rate(state, row)
        seen = Seen.of(minutes, window, rate)
        score = self._score(state, row, seen.count, seen.total, window)
        began = self._began(view, state, row, minutes, rate)
        if change != "recovered":
            state["onset"][row] = began.minute
        return Claim(
            series=row,
            change=change,
            tier="page" if tier == PAGE else "warning",
            observed=words.rounded(seen.rate),
            baseline=words.rounded(rate),
            threshold=words.rounded(self._threshold(state, row, seen, tier)),
            unit=self.unit,
            sample_count=seen.total,
            baseline_count=words.rounded(self._baseline_count(state, row)),
            confidence=words.score_confidence(score),
            fired_minute=int(state["fired"][row]),
            onset_minute=int(state["onset"][row]),
            window_start_minute=view.tick - window,
            window_end_minute=view.tick,
            summary=self._summary(view, state, row, change, seen, score),
            ratio_30m=None if seen.ratio_30 is None else words.rounded(seen.ratio_30),
            meets_3x=None if seen.ratio_30 is None else bool(seen.ratio_30 >= _THREE_TIMES),
            evidence={
                "window_minutes": window,
                "score": words.rounded(score),
                "events": seen.count,
                "trials": seen.total,
                "expected": words.rounded(seen.total * rate),
                "onset_earliest": words.at(began.earliest),
                "onset_latest": words.at(began.latest),
                "history_minutes": view.tick - int(view.first_minute[row]),
                **self._more_evidence(state, row),
            },
        )

    def _expected_rate(self, state: State, row: int) -> float:
        return float(state["rate"][row])

    def _score(self, state: State, row: int, count: int, total: int, window: int) -> float:
        """The score of one window of one series; 0 where it holds too little to have one."""
        clump = max(float(state["clump"][row]), 1.0)
        mean = self._scan.margin * total * float(state["rate"][row]) / clump
        if count < 1 or mean <= 0:
            return 0.0
        shape = 1.0 / (float(state["doubt"][row]) + float(state["flutter"][row]) / window)
        tail = tail_score(np.array([count / clump]), np.array([mean]), np.array([shape]))
        return max(0.0, float((tail - look_penalty(np.array([float(window)])))[0]))

    def _threshold(self, state: State, row: int, seen: Seen, tier: int) -> float:
        """The smallest rate that would have opened this tier over the window. By bisection: the score rises with X."""
        wanted = self._life.page_score if tier == PAGE else self._life.warning_score
        low, high = self._scan.min_count, max(seen.total, self._scan.min_count)
        while low < high:
            middle = (low + high) // 2
            enough = self._score(state, row, middle, seen.total, seen.window) >= wanted
            low, high = (low, middle) if enough else (middle + 1, high)
        floor = self._scan.min_ratio * self._expected_rate(state, row)
        return max(low / seen.total, floor) if seen.total else floor

    def _began(self, view: WindowView, state: State, row: int, minutes: Counts, rate: float) -> onset.Onset:
        """The onset, looked for after the end of the series' last firing."""
        free = min(MINUTES, max(1, view.tick - int(state["closed"][row])))
        recent = minutes[-free:]
        return onset.rise(recent[:, 1], recent[:, 0] * np.float64(rate), view.tick)

    def _summary(self, view: WindowView, state: State, row: int, change: str, seen: Seen, score: float) -> str:
        facts = f"{seen.count:,} of {seen.total:,} {self.verb} in {words.span(seen.window)}"
        if change == "recovered":
            return f"back to normal: {facts}, {words.percent(seen.rate)} against {words.percent(seen.expected_rate)}"
        text = (
            f"{facts}, {words.percent(seen.rate)} against {words.percent(seen.expected_rate)}, "
            f"{words.times(seen.rate / seen.expected_rate)}; chance {words.chance(score)}"
        )
        return text + self._caveat(view, state, row)


@dataclass(frozen=True, slots=True)
class Seen:
    """Events and trials of one series over one window, and the ratio over 30 minutes."""

    count: int
    total: int
    window: int
    expected_rate: float
    ratio_30: float | None

    @property
    def rate(self) -> float:
        """Events per trial, 0 without any."""
        return self.count / self.total if self.total else 0.0

    @classmethod
    def of(cls, minutes: Counts, window: int, expected_rate: float) -> Seen:
        """From the last minutes [M, 2] of a series."""
        total, count = (int(n) for n in minutes[-window:].sum(axis=0))
        total_30, count_30 = (int(n) for n in minutes[-_HALF_HOUR:].sum(axis=0))
        ratio = count_30 / total_30 / expected_rate if total_30 and expected_rate > 0 else None
        return cls(count, total, window, expected_rate, ratio)
