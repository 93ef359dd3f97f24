"""`escalation_rate`: more interactions of a flow go to a human than its own past lets expect.

Rule `scan`, the default: the negative-binomial scan (detectors/scan.py) over windows of 3 to 60 minutes against the
seasonal, self-adjusting rate of detectors/baseline.py. With `X` escalations and `E` expected in a window of `w` minutes

    mu = 1.4 E,   1/r = 1/A + 0.7 S + F/w,   score = -log10 I_{mu/(mu+r)}(X, r) - max(0, log10(30/w))

where A is the escalations behind the expected rate, and X >= 4, X >= 2 E. Where a flow's escalations come in clumps,
X and E are first divided by the clump factor K that was learned of it (1 where they come one by one), and it takes
four clumps. They must be spread over three minutes: one bad minute is not an incident yet. Measured false pages: below
0.01 in a series-week (docs/detectors.md). It does not see a rise below twice the baseline, and at a few interactions an
hour it sees a threefold one late or not at all: there is too little to see.

Rule `ratio`: the literal "3x in 30 minutes". It pages where the rate of the last 30 minutes is at least `ratio` times
the rate of the last 24 full hours, on at least `ratio_min_count` escalations. Measured: 0.1 to 0.3 false pages in a
series-week, and half as much found as could be. It is there for who wants exactly that.

Either way a claim says the ratio over 30 minutes against the baseline that it names, and whether that meets 3x.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from detectors import baseline, learning, lifecycle, words
from detectors.base import Floats, State, WindowView
from detectors.lifecycle import Mask
from detectors.rate_scan import RateScan, Seen
from detectors.scan import Reading, Scan
from detectors.settings import Tiers
from schemas.series import SeriesKind
from schemas.words import DetectorName

_DAY_HOURS = 24
_YOUNG_MINUTES = 60


class EscalationRateSettings(Tiers):
    """Settings of `escalation_rate`. The defaults are the measured best; see docs/detectors.md."""

    rule: Literal["scan", "ratio"] = Field(
        default="scan", description='"scan" decides by statistics, "ratio" by the literal rule "3x in 30 minutes".'
    )
    margin: float = Field(default=1.4, ge=1, le=10, description="Factor on the expected count that is no news yet.")
    min_count: int = Field(default=4, ge=1, le=1000, description="Fewest escalations in a window that can open.")
    min_ratio: float = Field(default=2.0, ge=1, le=100, description="Least ratio to the expected count that can open.")
    recovery_ratio: float = Field(
        default=1.5, ge=0, le=100, description="Ratio to the expected count up to which a series is back to normal."
    )
    ratio: float = Field(default=3.0, gt=1, le=1000, description='Rule "ratio": the ratio that pages.')
    ratio_min_count: int = Field(default=10, ge=1, le=100_000, description='Rule "ratio": fewest escalations.')
    prior_rate: float = Field(
        default=0.03, gt=0, lt=1, description="Escalation rate of a fleet that nothing is known of yet."
    )


class EscalationRate(RateScan):
    """The detector of a raised escalation rate per flow."""

    name: ClassVar[DetectorName] = "escalation_rate"
    kind: ClassVar[SeriesKind] = "flow"
    Settings: ClassVar[type[EscalationRateSettings]] = EscalationRateSettings
    unit: ClassVar[str] = "escalations per interaction"
    verb: ClassVar[str] = "escalated"
    lag: ClassVar[int] = learning.LAG
    recovery_windows: ClassVar[tuple[int, ...]] = (15, 30, 60, 120)
    least_minutes: ClassVar[int] = 3

    def __init__(self, settings: EscalationRateSettings | None = None) -> None:
        settings = settings or EscalationRateSettings()
        windows = (3, 5, 8, 12, 20, 30, 45, 60)
        scan = Scan(windows, settings.margin, settings.min_count, settings.min_ratio, min_clumps=settings.min_count)
        super().__init__(settings, scan, settings.recovery_ratio, recovery_count=0)
        self._settings = settings
        self._constants = baseline.BaselineConstants(prior_rate=settings.prior_rate)
        self._baseline = baseline.Baseline(self._constants)

    def fresh(self, size: int) -> State:
        """See `Detector.fresh`. 296 bytes a series."""
        day: State = {"day_n": np.zeros(size, dtype=np.int32), "day_x": np.zeros(size, dtype=np.int32)}
        return {**lifecycle.fresh(size), **baseline.fresh(size), **day}

    def expected(self, state: State) -> Floats:
        """See `Expecting.expected`."""
        if self._settings.rule == "scan":
            return np.where(state["level_n"] > 0, super().expected(state), np.nan)
        day_n, day_x = state["day_n"].astype(np.float64), state["day_x"].astype(np.float64)
        return np.divide(day_x, day_n, out=super().expected(state), where=day_x > 0)

    def usual(self, view: WindowView, state: State, minute: int) -> Floats:
        """[S] the rate that is usual at the hour of another `minute`, as far as it is known now: for pictures."""
        return self._baseline.usual(state, view.group, minute)

    def _learn(self, view: WindowView, frozen: Mask, state: State) -> None:
        self._baseline.learn(view.minutes, view.tick, view.group, frozen, state)
        if self._settings.rule == "ratio" and view.tick % 60 == 0:
            day = view.hours(_DAY_HOURS)[:, :, :2].sum(axis=1)
            state["day_n"][~frozen] = np.minimum(day[~frozen, 0], np.iinfo(np.int32).max)
            state["day_x"][~frozen] = np.minimum(day[~frozen, 1], np.iinfo(np.int32).max)

    def _read(self, view: WindowView, state: State) -> Reading:
        if self._settings.rule == "scan":
            return _of_known_fleets(super()._read(view, state), view.group, state["level_n"])
        sums = view.minutes(30)[:, :, :2].sum(axis=1)
        n, x = sums[:, 0].astype(np.float64), sums[:, 1].astype(np.float64)
        day_n, day_x = state["day_n"].astype(np.float64), state["day_x"].astype(np.float64)
        # x / n >= ratio * day_x / day_n without a division, so that an empty day or window is simply false.
        above = (x * day_n >= self._settings.ratio * day_x * n) & (day_x > 0) & (x >= self._settings.ratio_min_count)
        free = view.tick - state["closed"].astype(np.int64) >= 30
        rows = np.flatnonzero(above & free)
        return Reading(rows, np.full(rows.size, self._settings.page_score), np.full(rows.size, 30, dtype=np.int64))

    def _expected_rate(self, state: State, row: int) -> float:
        if self._settings.rule == "ratio" and state["day_x"][row] > 0:
            return float(state["day_x"][row] / state["day_n"][row])
        return super()._expected_rate(state, row)

    def _threshold(self, state: State, row: int, seen: Seen, tier: int) -> float:
        if self._settings.rule == "scan":
            return super()._threshold(state, row, seen, tier)
        literal = self._settings.ratio * self._expected_rate(state, row)
        return max(literal, self._settings.ratio_min_count / seen.total) if seen.total else literal

    def _baseline_count(self, state: State, row: int) -> float:
        if self._settings.rule == "ratio":
            return float(state["day_n"][row])
        return float(state["level_n"][row])

    def _more_evidence(self, state: State, row: int) -> dict[str, Any]:
        weight = self._constants.fleet_weight
        share = weight / (weight + float(state["level_n"][row]))
        return {"rule": self._settings.rule, "fleet_share": words.rounded(share)}

    def _caveat(self, view: WindowView, state: State, row: int) -> str:
        history = view.tick - int(view.first_minute[row])
        if history >= _YOUNG_MINUTES and float(state["level_n"][row]) >= self._constants.fleet_weight:
            return ""
        return f"; {words.span(history)} of history, borrows the fleet's rate"


def _of_known_fleets(reading: Reading, group: NDArray[np.int64], learned: NDArray[np.floating[Any]]) -> Reading:
    """The reading without the series of fleets of which nothing has been learned yet.

    A new system may escalate a quarter of its interactions by design: against a prior alone nobody can tell, and its
    first half hour must not page. A young series of a known fleet has the fleet to be compared with.
    """
    if reading.rows.size == 0:
        return reading
    known = np.zeros(int(group.max()) + 1, dtype=np.bool_)
    known[group[learned > 0]] = True
    keep = known[group[reading.rows]]
    return Reading(reading.rows[keep], reading.score[keep], reading.window[keep])
