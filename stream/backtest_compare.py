"""Two configurations over the same history: what each finds, and what only one of them does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.base import JsonObject
from schemas.series import SeriesKey
from schemas.words import Tier
from stream.backtest_metrics import TIERS, Label
from stream.backtest_report import BacktestFiring, BacktestReport

COMPARED: Final = (
    "incidents",
    "detected",
    "recall",
    "false_alarms",
    "false_alarms_per_series_week",
    "time_to_detect_median",
    "time_to_detect_p95",
)
"""The figures of a tier that are set side by side."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that the two configurations do not share; None where a configuration does not have it."""

    key: str
    this: Any
    other: Any


@dataclass(frozen=True, slots=True)
class Matched:
    """The firings of one tier: how many of `this` overlap one of the other, and those of either that overlap none."""

    both: int
    only_this: tuple[BacktestFiring, ...]
    only_other: tuple[BacktestFiring, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports on the same history."""

    this: BacktestReport
    other: BacktestReport
    changes: tuple[Change, ...]
    firings: dict[Tier, Matched]

    def incidents(self, tier: Tier) -> tuple[list[Label], list[Label]]:
        """The labels that only this, and only the other one finds."""
        if self.this.metrics is None or self.other.metrics is None:
            return [], []
        this, other = self.this.metrics[tier].found, self.other.metrics[tier].found
        return (
            [label for label in self.this.labels if label in this and label not in other],
            [label for label in self.this.labels if label in other and label not in this],
        )

    def figures(self, tier: Tier) -> list[tuple[str, float | None, float | None, float | None]]:
        """Name, this, the other, and the other less this, for every figure of a tier."""
        if self.this.metrics is None or self.other.metrics is None:
            this = {"firings": _count(self.this, tier), "firings_per_series_week": self.this.per_series_week(tier)}
            other = {"firings": _count(self.other, tier), "firings_per_series_week": self.other.per_series_week(tier)}
        else:
            this, other = self.this.metrics[tier].summary(), self.other.metrics[tier].summary()
        names = [name for name in ("firings", "firings_per_series_week", *COMPARED) if name in this]
        return [(name, this[name], other[name], _less(other[name], this[name])) for name in names]

    def to_json(self) -> JsonObject:
        """The other report, and the differences by tier."""
        made = self.other.to_json()
        made["settings"] = [{"key": one.key, "this": one.this, "other": one.other} for one in self.changes]
        made["difference"] = {tier: {name: less for name, _, _, less in self.figures(tier)} for tier in TIERS}
        made["matched"] = {
            tier: {
                "both": one.both,
                "only_this": [self.this.firing_json(firing) for firing in one.only_this],
                "only_other": [self.other.firing_json(firing) for firing in one.only_other],
            }
            for tier, one in self.firings.items()
        }
        if self.this.metrics is not None:
            made["found_by_one"] = {
                tier: {
                    "only_this": [self.this.incident_json(label) for label in self.incidents(tier)[0]],
                    "only_other": [self.other.incident_json(label) for label in self.incidents(tier)[1]],
                }
                for tier in TIERS
            }
        return made


def compare(this: BacktestReport, other: BacktestReport, changes: Sequence[Change]) -> Comparison:
    """Set two reports on the same history beside each other."""
    firings = {tier: _matched(_of_tier(this, tier), _of_tier(other, tier)) for tier in TIERS}
    return Comparison(this, other, tuple(changes), firings)


def changed_settings(this: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """The settings that differ, by dotted name."""
    changes: list[Change] = []
    for key in sorted({*this, *other}):
        left, right = this.get(key), other.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            changes += changed_settings(left, right, f"{prefix}{key}.")
        elif left != right:
            changes.append(Change(prefix + key, left, right))
    return changes


def _of_tier(report: BacktestReport, tier: Tier) -> list[BacktestFiring]:
    return [firing for firing in report.result.firings if firing.tier == tier]


def _count(report: BacktestReport, tier: Tier) -> int:
    return len(_of_tier(report, tier))


def _matched(this: Sequence[BacktestFiring], other: Sequence[BacktestFiring]) -> Matched:
    only_this, only_other = _alone(this, other), _alone(other, this)
    return Matched(len(this) - len(only_this), only_this, only_other)


def _alone(these: Iterable[BacktestFiring], others: Iterable[BacktestFiring]) -> tuple[BacktestFiring, ...]:
    """Those of `these` that overlap none of `others` of the same series."""
    of_series: dict[SeriesKey, list[BacktestFiring]] = {}
    for firing in others:
        of_series.setdefault(firing.key, []).append(firing)
    return tuple(
        one
        for one in these
        if not any(one.start <= two.end and two.start <= one.end for two in of_series.get(one.key, ()))
    )


def _less(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else round(left - right, 5)
