"""`authorization_denials`: an agent is refused more often than its own past lets expect.

Denials are rare, so the expected rate per call is a gamma posterior: with a = 0.5 + decayed denials and b = 10,000 +
decayed calls (half-life 3 d; the prior is half a denial at 5 in 100,000 calls) the rate is a / b. It learns 30 minutes
late, from counts capped at 3 E + 3 sqrt(E) + 2, and not while a firing is open. The negative-binomial scan
(detectors/scan.py) over windows of 3 to 60 minutes, with `X` denials and `E` expected,

    mu = 2 E,   1/r = 1/a + 0.1,   score = -log10 I_{mu/(mu+r)}(X, r) - max(0, log10(30/w))

decides from X >= 8 and X >= 2 E on. Clients that retry at once make denials come in clumps: X and E are divided by the
clump factor K that was learned of the agent (detectors/learning.py; 1 where there are too few to tell). Measured false
pages: about 0.003 in a series-week (docs/detectors.md). It does not see fewer than eight denials an hour, nor a
principal that is refused within the usual noise of a busy agent.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from detectors import learning, lifecycle, words
from detectors.base import Floats, State, WindowView
from detectors.lifecycle import Mask
from detectors.rate_scan import RateScan
from detectors.scan import Scan
from detectors.settings import Tiers
from schemas.series import SeriesKind
from schemas.words import DetectorName

_HALF_LIFE = 3.0 * 1440
_PRIOR_DENIALS = 0.5
_CLUMP_HALF_LIFE = 14.0 * 1440
_CLUMP_WEIGHT = 5.0
"""Expected denials that it takes to know half of how an agent's denials clump."""


class AuthorizationDenialsSettings(Tiers):
    """Settings of `authorization_denials`. The defaults are the measured best; see docs/detectors.md."""

    warning_score: float = Field(default=2.6, gt=0, le=300, description="Score that opens a firing as a warning.")
    page_score: float = Field(default=4.9, gt=0, le=300, description="Score that opens or raises a firing as a page.")
    margin: float = Field(default=2.0, ge=1, le=10, description="Factor on the expected count that is no news yet.")
    min_count: int = Field(default=8, ge=1, le=1000, description="Fewest denials in a window that can open.")
    min_ratio: float = Field(default=2.0, ge=1, le=100, description="Least ratio to the expected count that can open.")
    scatter: float = Field(
        default=0.1, gt=0, le=10, description="Squared coefficient of variation of denial counts in normal times."
    )
    recovery_ratio: float = Field(
        default=1.5, ge=0, le=100, description="Ratio to the expected count up to which an agent is back to normal."
    )
    recovery_count: int = Field(
        default=2, ge=0, le=1000, description="Denials in a quarter of an hour that are normal whatever is expected."
    )
    prior_rate: float = Field(
        default=5e-5, gt=0, lt=1, description="Denials per call of an agent that nothing is known of yet."
    )


class AuthorizationDenials(RateScan):
    """The detector of a raised denial rate per agent."""

    name: ClassVar[DetectorName] = "authorization_denials"
    kind: ClassVar[SeriesKind] = "agent"
    Settings: ClassVar[type[AuthorizationDenialsSettings]] = AuthorizationDenialsSettings
    unit: ClassVar[str] = "denials per call"
    verb: ClassVar[str] = "calls denied"
    lag: ClassVar[int] = learning.LAG
    recovery_windows: ClassVar[tuple[int, ...]] = (15,)

    def __init__(self, settings: AuthorizationDenialsSettings | None = None) -> None:
        settings = settings or AuthorizationDenialsSettings()
        scan = Scan((3, 5, 10, 15, 30, 60), settings.margin, settings.min_count, settings.min_ratio)
        super().__init__(settings, scan, settings.recovery_ratio, settings.recovery_count)
        self._settings = settings
        self._prior_calls = _PRIOR_DENIALS / settings.prior_rate
        self._fade = learning.fade(_HALF_LIFE)
        self._clump_fade = learning.fade(_CLUMP_HALF_LIFE)

    def fresh(self, size: int) -> State:
        """See `Detector.fresh`. 54 bytes a series."""
        names = ("calls", "denials", "rate", "doubt", "flutter", "clump", "clump_d", "clump_e")
        state: State = {name: np.zeros(size, dtype=np.float32) for name in names}
        return {**lifecycle.fresh(size), **state, "learned": np.zeros(size, dtype=np.int32)}

    def _learn(self, view: WindowView, frozen: Mask, state: State) -> None:
        upto = learning.due_until(view.tick)
        due = state["learned"] < upto
        if due.any():
            takes = due & ~frozen
            learning.fade_unseen(state, view.tick, takes, {"calls": _HALF_LIFE, "denials": _HALF_LIFE})
            minutes = view.minutes(learning.reach(view.tick, takes, state["learned"]))
            for _, rows, chunk in learning.steps(minutes, view.tick, takes, state["learned"]):
                n, x = chunk[:, 0].astype(np.float64), chunk[:, 1].astype(np.float64)
                expected = self._rate(state, rows) * n
                for name, moment in zip(("clump_d", "clump_e"), learning.clump_moments(x, expected), strict=True):
                    state[name][rows] = state[name][rows] * self._clump_fade + moment
                x = np.minimum(x, cap(expected))
                state["calls"][rows] = state["calls"][rows] * self._fade + n
                state["denials"][rows] = state["denials"][rows] * self._fade + x
            state["learned"][due] = upto
        stale = due | (state["rate"] <= 0)
        if stale.any():
            rows = learning.as_rows(stale)
            state["rate"][rows] = self._rate(state, rows)
            shape = _PRIOR_DENIALS + state["denials"][rows].astype(np.float64)
            state["doubt"][rows] = 1.0 / shape + self._settings.scatter
            spread, total = (state[name][rows].astype(np.float64) for name in ("clump_d", "clump_e"))
            state["clump"][rows] = learning.clump_factor(spread, total, 1.0, _CLUMP_WEIGHT)

    def _rate(self, state: State, rows: learning.Rows) -> Floats:
        denials = _PRIOR_DENIALS + state["denials"][rows].astype(np.float64)
        return np.asarray(np.minimum(denials / (self._prior_calls + state["calls"][rows]), 1.0))

    def _more_evidence(self, state: State, row: int) -> dict[str, Any]:
        return {"known_calls": words.rounded(float(state["calls"][row]))}

    def _baseline_count(self, state: State, row: int) -> float:
        return float(state["calls"][row])

    def _caveat(self, view: WindowView, state: State, row: int) -> str:
        if float(state["calls"][row]) > 0:
            return ""
        history = words.span(view.tick - int(view.first_minute[row]))
        return f"; {history} of history, borrows a rate of {words.percent(self._settings.prior_rate)}"


def cap(expected: Floats) -> Floats:
    """The most denials that one step of learning takes for real, where `expected` would be normal."""
    return np.asarray(3.0 * expected + 3.0 * np.sqrt(expected) + 2.0)
