"""`burn_rate`: a budget that will not last its month at the present pace.

Spend follows the day of the week and the hour, so it is measured in units of a seasonal weight (day of week x hour of
day, both from the last 28 days). Over a window W, with the weight that the rest of the calendar month (UTC) still has,

    burn_W = (spend_W / weight_W) / ((budget - spent) / weight_remaining)

is 1 where the budget lasts exactly. It fires when min(burn over 10 d, burn over 1 d) >= 1 + k sqrt(days left / 30) for
six hours in a row, and the month's end is forecast to lie above the budget by one standard error at least (days scatter
as the last ten did); k is 0.125 for a warning and 0.255 for a page. The long window says that it is no single bad day,
the short one that it has not stopped; early in the month the forecast has room to be wrong. It looks once an hour.
A firing is about one month: it ends with the month at the latest.

A budget's flat part (provisioned throughput is paid whether it is used or not) is taken from the budget before anything
is burnt: it cannot run over. Measured: about 4 % of clean months page (docs/detectors.md); one who knew the true mean
would still alarm in 8 %. It does not see an overrun of the last few hours, nor a budget that the settings do not name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy.special import ndtr

from detectors import lifecycle, words
from detectors.base import HOURS, Claim, Floats, Sight, State, WindowView
from detectors.burn_calendar import Month, SpendProfile
from detectors.burn_flat import FlatCost
from detectors.lifecycle import NONE, PAGE, WARNING, Levels
from detectors.settings import DetectorSettings, SettingsPart
from schemas.series import MICRO_USD, SeriesKind
from schemas.words import DetectorName

_HOUR, _DAY = 60, 24
_LONG = 10 * _DAY
_TOP_BURN = 1000.0
_OWN_DAYS = 1.15
"""A day is a quarter of its weekday's weight, so it lies nearer to it than a coming day will: sqrt(4 / 3)."""
_NEVER_THE_SAME = 0.02
"""Least relative error of a forecast: no month repeats the last ten days to the dollar."""
_Z80 = 1.2816
"""Standard normal quantile of .9: 80 % lie within."""


class Budget(SettingsPart):
    """What may be spent in a calendar month (UTC)."""

    amount_usd: float = Field(gt=0, description="Dollars a month.")
    flat_usd: float = Field(default=0.0, ge=0, description="Dollars of it that are spent anyway, spread evenly.")
    flat: tuple[FlatCost, ...] = Field(default=(), description="What else is spent anyway, hour by hour.")

    def accrued(self, month: Month, hour: int) -> float:
        """Dollars of the flat part that have accrued in the month before `hour`."""
        share = (hour - month.first_hour) / (month.end_hour - month.first_hour)
        return self.flat_usd * share + sum(one.accrued(month, hour) for one in self.flat)


class BurnRateSettings(DetectorSettings):
    """Settings of `burn_rate`. The defaults are the measured best; see docs/detectors.md."""

    budgets: dict[str, Budget] = Field(default_factory=dict, description="Budgets by name.")
    warning_excess: float = Field(default=0.125, gt=0, le=10, description="k of a warning: 0.125 is 12.5 % too fast.")
    page_excess: float = Field(default=0.255, gt=0, le=10, description="k of a page.")
    for_hours: int = Field(default=6, ge=1, le=168, description="Hours in a row that the burn must be too fast.")
    min_chance: float = Field(
        default=0.84, ge=0, lt=1, description="Least forecast chance of running over that can open."
    )
    recovery_burn: float = Field(default=1.0, gt=0, le=10, description="Burn up to which a budget is back on its path.")
    min_history_hours: int = Field(
        default=72, ge=24, le=HOURS, description="Hours of history before a budget is judged."
    )
    hold_minutes: int = Field(
        default=1440, ge=0, le=10_080, description="Minutes that a budget must be on its path before its firing ends."
    )
    flap_window_minutes: int = Field(
        default=2880, ge=0, le=10_080, description="A firing that reopens this soon is flapping: its hold doubles."
    )


@dataclass(frozen=True, slots=True)
class _Pace:
    """Spend against budget, all [S], dollars: the pace by weight over both windows, and what is left for it."""

    long: Floats
    short: Floats
    left: Floats
    weight_left: Floats
    error: Floats
    """Standard error of what is still to come."""

    @property
    def coming(self) -> Floats:
        """What is still to come, at the long window's pace."""
        return self.long * self.weight_left

    @property
    def chance(self) -> Floats:
        """The chance that the budget does not last, by the forecast."""
        excess = self.coming - self.left
        known = self.error > 0
        return np.asarray(np.where(known, ndtr(excess / np.where(known, self.error, 1.0)), excess > 0))

    @property
    def burn(self) -> Floats:
        """min(burn over 10 d, burn over 1 d), capped."""
        pace = np.minimum(self.long, self.short) * self.weight_left
        spent_out = (self.left <= 0) & (pace > 0)
        ratio = pace / np.where(self.left > 0, self.left, 1.0)
        return np.asarray(np.where(spent_out, _TOP_BURN, np.clip(ratio, 0.0, _TOP_BURN)))


class BurnRate:
    """The detector of budgets that burn too fast."""

    name: ClassVar[DetectorName] = "burn_rate"
    kind: ClassVar[SeriesKind] = "budget"
    Settings: ClassVar[type[BurnRateSettings]] = BurnRateSettings

    def __init__(self, settings: BurnRateSettings | None = None) -> None:
        self._settings = settings or BurnRateSettings()

    def fresh(self, size: int) -> State:
        """See `Detector.fresh`. 42 bytes a series."""
        names = ("looked", "month", "above_warning", "above_page")
        state: State = {name: np.zeros(size, dtype=np.int32) for name in names}
        return {**lifecycle.fresh(size), **state, "spent": np.zeros(size, dtype=np.float64)}

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """See `Detector.step`. Does something in the first tick of each hour only."""
        hour = view.tick // _HOUR
        if not (state["looked"] < hour).any():
            return state, []
        month = Month.of(view.tick)
        turned = (state["month"] > 0) & (state["month"] != month.first_hour)
        cost = view.hours(HOURS)[:, :, 1] / MICRO_USD
        self._spend(cost, month, hour, state)
        profile = SpendProfile.of(cost, hour, view.first_minute // _HOUR)
        amount, flat = self._amounts(view, month)
        pace = _pace(cost, profile, amount - flat - state["spent"], month, hour)
        known = (amount > 0) & (profile.covered >= self._settings.min_history_hours)
        likely = pace.chance >= self._settings.min_chance
        judged = np.where(known & likely & ~turned, pace.burn, 0.0)
        wanted = self._wanted(judged, month.days_left(hour), hour, state)
        quiet = pace.burn <= self._settings.recovery_burn
        changes = lifecycle.advance(state, view.tick, wanted, quiet, self._settings, over=turned)
        state["looked"][:] = hour
        claims = [
            self._claim(view, state, row, change, tier, pace, profile, month)
            for change, rows, tiers in (
                ("opened", changes.opened, wanted[changes.opened]),
                ("raised", changes.raised, wanted[changes.raised]),
                ("recovered", changes.recovered, changes.ended_tiers),
            )
            for row, tier in zip(rows.tolist(), tiers.tolist(), strict=True)
        ]
        return state, sorted(claims, key=lambda claim: claim.series)

    def sight(self, view: WindowView, state: State, row: int) -> Sight:
        """See `Sighted.sight`. Observed are the dollars a day at the slower of both paces."""
        hour, month = view.tick // _HOUR, Month.of(view.tick)
        cost = view.hours(HOURS)[:, :, 1] / MICRO_USD
        profile = SpendProfile.of(cost, hour, view.first_minute // _HOUR)
        amount, flat = self._amounts(view, month)
        pace = _pace(cost, profile, amount - flat - state["spent"], month, hour)
        days, slack = month.days_left(hour), float(np.sqrt(month.days_left(hour) / 30.0))
        affordable = max(float(pace.left[row]), 0.0) / days
        limit = 1.0 + self._settings.page_excess * slack
        young = int(profile.covered[row]) < self._settings.min_history_hours
        return Sight(
            observed=min(float(pace.long[row]), float(pace.short[row])) * float(pace.weight_left[row]) / days,
            baseline=affordable,
            threshold=limit * affordable,
            unit="USD a day",
            signal="pace, the slower of 1 d and 10 d",
            score=0.0 if young else float(pace.burn[row]),
            warning=1.0 + self._settings.warning_excess * slack,
            page=limit,
            score_name="burn",
        )

    def outlooks(self, view: WindowView, spent: Floats) -> list[Outlook]:
        """The forecast of each budget as of a full hour, whatever it burns; `spent` [S] dollars on usage this month."""
        hour, month = view.tick // _HOUR, Month.of(view.tick)
        cost = view.hours(HOURS)[:, :, 1] / MICRO_USD
        profile = SpendProfile.of(cost, hour, view.first_minute // _HOUR)
        amount, flat = self._amounts(view, month)
        pace = _pace(cost, profile, amount - flat - spent, month, hour)
        state: State = {"spent": spent}
        return [self._outlook(view, state, row, pace, profile, month) for row in range(len(view.keys))]

    def _amounts(self, view: WindowView, month: Month) -> tuple[Floats, Floats]:
        """[S] dollars a month of each budget, and its flat part of the month; 0 where the settings do not know it."""
        found = [self._settings.budgets.get(key.dims[0]) for key in view.keys]
        amount = np.array([budget.amount_usd if budget else 0.0 for budget in found])
        return amount, np.array([budget.accrued(month, month.end_hour) if budget else 0.0 for budget in found])

    def _spend(self, cost: Floats, month: Month, hour: int, state: State) -> None:
        """Bring the month's spend up to `hour`. A month is longer than the view, so the start is carried along."""
        into = hour - month.first_hour
        if into <= HOURS:
            state["spent"] = cost[:, HOURS - into :].sum(axis=1)
        else:
            same = state["month"] == month.first_hour
            reach = np.where(same, np.minimum(hour - state["looked"], HOURS), HOURS)
            recent = np.arange(HOURS) >= (HOURS - reach)[:, None]
            state["spent"] = np.where(same, state["spent"], 0.0) + np.where(recent, cost, 0.0).sum(axis=1)
        state["month"][:] = month.first_hour

    def _wanted(self, burn: Floats, days_left: float, hour: int, state: State) -> Levels:
        """[S] the tier whose limit has been passed for long enough; notes since when."""
        slack = np.sqrt(days_left / 30.0)
        wanted = np.zeros(burn.size, dtype=np.int8)
        for name, excess, tier in (
            ("above_warning", self._settings.warning_excess, WARNING),
            ("above_page", self._settings.page_excess, PAGE),
        ):
            above, since = burn >= 1.0 + excess * slack, state[name]
            since[~above] = NONE
            since[above & (since == NONE)] = hour
            wanted[above & (hour - since >= self._settings.for_hours)] = tier
        return wanted

    def _claim(
        self,
        view: WindowView,
        state: State,
        row: int,
        change: str,
        tier: int,
        pace: _Pace,
        profile: SpendProfile,
        month: Month,
    ) -> Claim:
        hour = view.tick // _HOUR
        if change == "opened":
            state["onset"][row] = _HOUR * (int(state["above_warning"][row]) or hour)
        outlook = self._outlook(view, state, row, pace, profile, month)
        excess = self._settings.page_excess if tier == PAGE else self._settings.warning_excess
        limit = 1.0 + excess * float(np.sqrt(month.days_left(hour) / 30.0))
        hours = min(_LONG, int(profile.covered[row]))
        return Claim(
            series=row,
            change=change,
            tier="page" if tier == PAGE else "warning",
            observed=words.rounded(outlook.daily),
            baseline=words.rounded(outlook.affordable),
            threshold=words.rounded(limit * outlook.affordable),
            unit="USD a day",
            sample_count=int(view.hours(HOURS)[row, -hours:, 0].sum()),
            baseline_count=float(profile.covered[row]),
            confidence=words.rounded(min(outlook.chance, 0.999999)),
            fired_minute=int(state["fired"][row]),
            onset_minute=int(state["onset"][row]),
            window_start_minute=_HOUR * (hour - hours),
            window_end_minute=_HOUR * hour,
            summary=_summary(change, outlook),
            evidence=outlook.evidence(float(pace.burn[row])),
        )

    def _outlook(
        self, view: WindowView, state: State, row: int, pace: _Pace, profile: SpendProfile, month: Month
    ) -> Outlook:
        """The forecast of one budget: the ten days' pace goes on, days scatter as they did."""
        hour = view.tick // _HOUR
        days_left = month.days_left(hour)
        budget = self._settings.budgets.get(view.keys[row].dims[0], Budget(amount_usd=1.0))
        amount, used = budget.amount_usd, float(state["spent"][row])
        flat, accrued = budget.accrued(month, month.end_hour), budget.accrued(month, hour)
        # What accrues anyway is set aside for the whole month: the rest is what usage may still cost.
        left = amount - flat - used
        coming, spread = float(pace.coming[row]), _Z80 * float(pace.error[row])
        slower = min(float(pace.long[row]), float(pace.short[row]))
        return Outlook(
            spent=used + accrued,
            amount=amount,
            daily=slower * float(pace.weight_left[row]) / days_left,
            affordable=max(left, 0.0) / days_left,
            total=used + flat + coming,
            low=used + flat + max(coming - spread, 0.0),
            high=used + flat + coming + spread,
            chance=float(pace.chance[row]),
            over=profile.reaches(row, float(pace.long[row]), left, month, hour),
        )


@dataclass(frozen=True, slots=True)
class Outlook:
    """Dollars of one budget: spent, allowed, a day's spend, and the month's end with an 80 % interval."""

    spent: float
    amount: float
    daily: float
    affordable: float
    total: float
    low: float
    high: float
    chance: float
    over: int | None
    """The minute at which the budget is used up, or None where it lasts."""

    def evidence(self, burn: float) -> dict[str, float | str]:
        """The facts as JSON values."""
        facts = {
            "budget_usd": self.amount,
            "spent_usd": self.spent,
            "forecast_usd": self.total,
            "forecast_low_usd": self.low,
            "forecast_high_usd": self.high,
            "burn": burn,
        }
        evidence: dict[str, float | str] = {name: words.rounded(value) for name, value in facts.items()}
        if self.over is not None:
            evidence["overrun_at"] = words.at(self.over)
        return evidence


def _summary(change: str, outlook: Outlook) -> str:
    o = outlook
    facts = (
        f"spent ${o.spent:,.0f} of ${o.amount:,.0f}, "
        f"burning ${o.daily:,.0f} a day where ${o.affordable:,.0f} would last; "
        f"forecast ${o.total:,.0f} (80 %: ${o.low:,.0f} to ${o.high:,.0f})"
    )
    if change == "recovered":
        return f"back on its path: {facts}"
    return facts if o.over is None else f"{facts}, used up on {words.at(o.over)[:10]}"


def _pace(cost: Floats, profile: SpendProfile, left: Floats, month: Month, hour: int) -> _Pace:
    """The pace before `hour`, and how surely it says what is still to come: days about their weight, ten of them."""
    weights = np.stack([profile.weight(start, start + _DAY) for start in range(hour - _LONG, hour, _DAY)], axis=1)
    spend = cost[:, HOURS - _LONG :].reshape(len(cost), -1, _DAY).sum(axis=2)
    known = weights > 0
    daily = np.where(known, spend / np.where(known, weights, 1.0), 0.0)
    days = np.maximum(known.sum(axis=1), 1)
    mean = daily.sum(axis=1) / days
    variance = np.where(known, (daily - mean[:, None]) ** 2, 0.0).sum(axis=1) / np.maximum(days - 1, 1)
    scatter = np.sqrt(variance) / np.where(mean > 0, mean, 1.0)
    long = spend.sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    short = spend[:, -1] / np.maximum(weights[:, -1], 1e-9)
    weight_left = profile.ahead(hour, month.end_hour)
    relative = (_OWN_DAYS * scatter) ** 2 * (1.0 / month.days_left(hour) + 1.0 / days) + _NEVER_THE_SAME**2
    error = long * weight_left * np.sqrt(relative)
    return _Pace(long, short, left, weight_left, error)
