"""`evaluation_drop`: the evaluation scores of a flow fall.

For each flow and criterion, with `mu0`, `v` the mean and variance of the m scores of 14 days that ended a day ago, and
the mean of the k scores of a recent window,

    z = (mu0 - 0.15 - mean) / sqrt(v / k + v / m + 0.05 ** 2)

Windows: 6 h (from 40 scores and a drop of 0.6 on), 1 d (15, 0.3), 2 d (5, no least drop). The largest z decides. The
margin 0.15 is what no one acts on, 0.05 the drift of the judge itself. It looks every quarter of an hour; hours
that ended come from the hourly windows, the current one from the minutes. Measured: about 0.04 false firings in a
series-week (docs/detectors.md). It does not see a drop below 0.15, nor a slide over weeks, which the baseline follows.

`EvaluationDropByVersion` asks the same of each version of a flow, against the baseline of all its versions together:
a new version has no past of its own. A firing is named after flow and criterion, so it looks in other minutes than the
whole, and one version of a flow at a time may speak: then no two firings are alike.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import log_ndtr

from detectors import lifecycle, onset, words
from detectors.base import Claim, Counts, Floats, Sight, State, WindowView
from detectors.lifecycle import NONE, PAGE, WARNING
from detectors.settings import Tiers
from schemas.series import SCORE_UNIT, SeriesKind
from schemas.words import DetectorName

_HOUR = 60
_LOOK = 15
_BASE_HOURS, _LAG_HOURS = 14 * 24, 24


class _Window(NamedTuple):
    hours: int
    least_scores: int
    least_drop: float


_WINDOWS = (_Window(6, 40, 0.6), _Window(24, 15, 0.3), _Window(48, 5, 0.0))
_DAY_WINDOW = 1


class EvaluationDropSettings(Tiers):
    """Settings of `evaluation_drop`. The defaults are the measured best; see docs/detectors.md."""

    warning_score: float = Field(default=2.3, gt=0, le=300, description="z that opens a firing as a warning.")
    page_score: float = Field(default=2.3, gt=0, le=300, description="z that opens or raises a firing as a page.")
    hold_minutes: int = Field(
        default=120, ge=0, le=10_080, description="Minutes that a series must be back to normal before its firing ends."
    )
    flap_window_minutes: int = Field(
        default=2880, ge=0, le=10_080, description="A firing that reopens this soon is flapping: its hold doubles."
    )
    freeze_hours: int = Field(
        default=168, ge=1, le=720, description="Longest time that an open firing keeps its baseline frozen."
    )
    margin: float = Field(default=0.15, ge=0, le=4, description="Drop in points that is no news yet.")
    judge_drift: float = Field(default=0.05, gt=0, le=4, description="Standard error of the judge itself, in points.")
    recovery_drop: float = Field(default=0.15, ge=0, le=4, description="Drop up to which scores are back to normal.")
    min_baseline: int = Field(default=30, ge=2, le=100_000, description="Fewest scores that make a baseline.")
    by_version: bool = Field(default=True, description="Whether each version is looked at too.")


class EvaluationDrop:
    """The detector of falling scores per flow and criterion."""

    name: ClassVar[DetectorName] = "evaluation_drop"
    kind: ClassVar[SeriesKind] = "score"
    Settings: ClassVar[type[EvaluationDropSettings]] = EvaluationDropSettings
    _phase: ClassVar[int] = 0

    def __init__(self, settings: EvaluationDropSettings | None = None) -> None:
        self._settings = settings or EvaluationDropSettings()

    @property
    def judge_drift(self) -> float:
        """The standard error of the judge itself, in points."""
        return self._settings.judge_drift

    def fresh(self, size: int) -> State:
        """See `Detector.fresh`. 115 bytes a series."""
        state: State = {name: np.zeros(size, dtype=np.float64) for name in ("base_n", "base_mean", "base_var")}
        state["window_n"] = np.zeros((size, len(_WINDOWS)), dtype=np.int64)
        state["window_sum"] = np.zeros((size, len(_WINDOWS)), dtype=np.int64)
        state["summed"] = np.zeros(size, dtype=np.int32)
        state["looked"] = np.zeros(size, dtype=np.int32)
        return {**lifecycle.fresh(size), **state}

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """See `Detector.step`."""
        tick = view.tick
        look = (tick - self._phase) // _LOOK
        if not (state["looked"] < look).any():
            return state, []
        state["looked"][:] = look
        self._sum_hours(view, state)
        counts, means = self._windows(view, state)
        z = self._z(counts, means, state)
        best = z.max(axis=1, initial=-np.inf)
        wanted = np.where(
            best >= self._settings.page_score, PAGE, np.where(best >= self._settings.warning_score, WARNING, NONE)
        )
        wanted = self._one_at_a_time(view, state, wanted.astype(np.int8), best)
        quiet, telling = self._quiet(counts, means, state)
        changes = lifecycle.advance(state, tick, wanted, quiet & (wanted == NONE), self._settings)
        loudest = z.argmax(axis=1)
        claims = [
            self._claim(view, state, row, change, tier, counts[row], means[row], int(window[row]))
            for change, rows, tiers, window in (
                ("opened", changes.opened, wanted[changes.opened], loudest),
                ("raised", changes.raised, wanted[changes.raised], loudest),
                ("recovered", changes.recovered, changes.ended_tiers, telling),
            )
            for row, tier in zip(rows.tolist(), tiers.tolist(), strict=True)
        ]
        return state, sorted(claims, key=lambda claim: claim.series)

    def sight(self, view: WindowView, state: State, row: int) -> Sight:
        """See `Sighted.sight`. Observed is the mean of the last day."""
        counts, means = self._windows(view, state)
        base, m, variance = (float(state[name][row]) for name in ("base_mean", "base_n", "base_var"))
        k = int(counts[row, _DAY_WINDOW])
        error = np.sqrt(variance / max(k, 1) + variance / max(m, 1) + self._settings.judge_drift**2)
        fall = max(self._settings.margin + self._settings.page_score * float(error), _WINDOWS[_DAY_WINDOW].least_drop)
        known = m >= self._settings.min_baseline
        z = float(self._z(counts, means, state)[row].max())
        return Sight(
            observed=float(means[row, _DAY_WINDOW]) if k else None,
            baseline=base if known else float("nan"),
            threshold=base - fall if known else None,
            unit="points of 5",
            signal="mean of 24 h",
            score=max(z, 0.0),
            warning=self._settings.warning_score,
            page=self._settings.page_score,
            score_name="z",
        )

    def expected(self, state: State) -> Floats:
        """See `Expecting.expected`."""
        known = state["base_n"] >= self._settings.min_baseline
        return np.where(known, state["base_mean"].astype(np.float64), np.nan)

    def _sum_hours(self, view: WindowView, state: State) -> None:
        """Sum the full hours of baseline and windows once an hour."""
        hour = view.tick // _HOUR
        due = state["summed"] < hour
        if not due.any():
            return
        spans = (*(window.hours for window in _WINDOWS), _BASE_HOURS + _LAG_HOURS)
        sums = view.hour_sums(spans)
        for column in range(len(_WINDOWS)):
            state["window_n"][due, column] = sums[due, column, 0]
            state["window_sum"][due, column] = sums[due, column, 1]
        learns = due & ~lifecycle.frozen(state, view.tick, _LAG_HOURS * _HOUR, self._settings)
        n, mean, variance = _moments(self._pooled(view, sums[:, -1] - sums[:, spans.index(_LAG_HOURS)]))
        state["base_n"][learns] = n[learns]
        state["base_mean"][learns] = mean[learns]
        state["base_var"][learns] = variance[learns]
        state["summed"][due] = hour

    def _pooled(self, view: WindowView, sums: Counts) -> Counts:
        """The sums [S, 3] that make each row's baseline: its own."""
        del view
        return sums

    def _one_at_a_time(self, view: WindowView, state: State, wanted: NDArray[np.int8], z: Floats) -> NDArray[np.int8]:
        """`wanted` less the rows that must wait for another: none here."""
        del view, state, z
        return wanted

    def _windows(self, view: WindowView, state: State) -> tuple[Counts, Floats]:
        """[S, W] scores in each window, and their mean in points."""
        n, total = state["window_n"].copy(), state["window_sum"].copy()
        begun = view.tick % _HOUR
        if begun:
            current = view.minutes(begun).sum(axis=1)
            n += current[:, :1]
            total += current[:, 1:2]
        return n, total / np.maximum(n, 1) / SCORE_UNIT

    def _z(self, counts: Counts, means: Floats, state: State) -> Floats:
        """[S, W], minus infinity where a window or the baseline holds too little."""
        s = self._settings
        drop = state["base_mean"][:, None] - means
        k, m = np.maximum(counts, 1), np.maximum(state["base_n"], 1)[:, None]
        variance = state["base_var"][:, None]
        z = (drop - s.margin) / np.sqrt(variance / k + variance / m + s.judge_drift**2)
        enough = (counts >= [w.least_scores for w in _WINDOWS]) & (drop >= [w.least_drop for w in _WINDOWS])
        return np.where(enough & (state["base_n"] >= s.min_baseline)[:, None], z, -np.inf)

    def _quiet(self, counts: Counts, means: Floats, state: State) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
        """[S] whether the shortest window that can tell is near the baseline, and which window that is.

        Without scores nothing is known, so nothing is over.
        """
        enough = counts >= [window.least_scores // 2 for window in _WINDOWS]
        column = enough.argmax(axis=1)
        mean = np.take_along_axis(means, column[:, None], axis=1)[:, 0]
        back = state["base_mean"] - mean <= self._settings.recovery_drop
        return np.asarray(enough.any(axis=1) & back), np.asarray(column)

    def _claim(
        self, view: WindowView, state: State, row: int, change: str, tier: int, counts: Counts, means: Floats, best: int
    ) -> Claim:
        window, k, mean = _WINDOWS[best], int(counts[best]), float(means[best])
        base, m, variance = (float(state[name][row]) for name in ("base_mean", "base_n", "base_var"))
        error = float(np.sqrt(variance / max(k, 1) + variance / max(m, 1) + self._settings.judge_drift**2))
        z = (base - self._settings.margin - mean) / error
        began = self._began(view, row, base, variance)
        if change == "opened":
            state["onset"][row] = began.minute
        score = float(-log_ndtr(-z) / np.log(10.0))
        wanted = self._settings.page_score if tier == PAGE else self._settings.warning_score
        return Claim(
            series=row,
            change=change,
            tier="page" if tier == PAGE else "warning",
            observed=words.rounded(mean),
            baseline=words.rounded(base),
            threshold=words.rounded(base - max(self._settings.margin + wanted * error, window.least_drop)),
            unit="points of 5",
            sample_count=k,
            baseline_count=m,
            confidence=words.score_confidence(score),
            fired_minute=int(state["fired"][row]),
            onset_minute=int(state["onset"][row]),
            window_start_minute=view.tick - view.tick % _HOUR - window.hours * _HOUR,
            window_end_minute=view.tick,
            summary=_summary(view.keys[row].dims, change, mean, k, window.hours, base, score),
            evidence={
                "z": words.rounded(z),
                "drop": words.rounded(base - mean),
                "window_hours": window.hours,
                "onset_earliest": words.at(began.earliest),
                "onset_latest": words.at(began.latest),
                **view.keys[row].labels(),
            },
        )

    def _began(self, view: WindowView, row: int, base: float, variance: float) -> onset.Onset:
        hours, end = view.hours(_WINDOWS[-1].hours)[row], view.tick - view.tick % _HOUR
        if view.tick > end:
            current = view.minutes(view.tick - end)[row].sum(axis=0, keepdims=True)
            hours, end = np.concatenate([hours, current]), end + _HOUR
        began = onset.fall(hours[:, 0], hours[:, 1] / SCORE_UNIT, base - self._settings.margin, variance, end)
        # What has only just come to be, as a new version, cannot have begun to fall before.
        first = int(view.first_minute[row])
        return onset.Onset(*(min(max(minute, first), view.tick - 1) for minute in began))


class EvaluationDropByVersion(EvaluationDrop):
    """The detector of falling scores per flow, criterion and version."""

    kind: ClassVar[SeriesKind] = "score_version"
    _phase: ClassVar[int] = 5

    def _pooled(self, view: WindowView, sums: Counts) -> Counts:
        codes = _whole(view)
        pooled = np.zeros((int(codes.max()) + 1, sums.shape[1]), dtype=np.int64)
        np.add.at(pooled, codes, sums)
        return np.asarray(pooled[codes])

    def _one_at_a_time(self, view: WindowView, state: State, wanted: NDArray[np.int8], z: Floats) -> NDArray[np.int8]:
        candidates = np.flatnonzero((wanted > NONE) & (state["tier"] == NONE))
        if candidates.size == 0:
            return wanted
        codes = _whole(view)
        taken = set(codes[lifecycle.open_rows(state)].tolist())
        for row in sorted(candidates.tolist(), key=lambda row: (-z[row], view.keys[row])):
            if int(codes[row]) in taken:
                wanted[row] = NONE
            taken.add(int(codes[row]))
        return wanted


def _whole(view: WindowView) -> NDArray[np.int64]:
    """[S] code of the flow and criterion that each version belongs to."""
    codes: dict[tuple[str, ...], int] = {}
    wholes = [(key.environment, key.system, *key.dims[:2]) for key in view.keys]
    return np.array([codes.setdefault(whole, len(codes)) for whole in wholes], dtype=np.int64)


def _moments(sums: Counts) -> tuple[Floats, Floats, Floats]:
    """Count, mean and variance in points from integer sums [S, 3]."""
    n = sums[:, 0].astype(np.float64)
    mean = sums[:, 1] / np.maximum(n, 1) / SCORE_UNIT
    square = sums[:, 2] / np.maximum(n, 1) / SCORE_UNIT**2
    return n, mean, np.maximum(square - mean**2, 0.0) * n / np.maximum(n - 1, 1)


def _summary(dims: tuple[str, ...], change: str, mean: float, k: int, hours: int, base: float, score: float) -> str:
    what = dims[1] + (f" of version {dims[2]}" if len(dims) > 2 else "")
    facts = f"{what} {mean:.2f} over {k:,} scores in {words.span(hours * _HOUR)} against {base:.2f}"
    if change == "recovered":
        return f"back to normal: {facts}"
    return f"{facts}, {base - mean:.2f} lower; chance {words.chance(score)}"
