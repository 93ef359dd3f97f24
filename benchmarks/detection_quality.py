"""Detectors and hand-written rules on labelled worlds: false alarms, recall, time to detect, and goals for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.detection_rules import Rule, intervals
from detectors.arrays import ArrayView, HourView
from detectors.base import Detector
from detectors.registry import DETECTORS
from scenarios import worlds
from scenarios.worlds import World
from schemas.base import JsonObject
from schemas.series import COUNTERS
from schemas.words import DetectorName, Tier
from stream.backtest import run
from stream.backtest_metrics import Exposure, Interval, Label, TierMetrics, metrics

WEEK = 10_080


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure, and the bound that it must keep."""

    name: str
    measured: float
    relation: Literal["<=", ">="]
    bound: float

    @property
    def met(self) -> bool:
        """Whether the figure keeps its bound."""
        return self.measured <= self.bound if self.relation == "<=" else self.measured >= self.bound

    def to_json(self) -> JsonObject:
        """The goal as plain JSON types; a figure that does not exist is null."""
        measured = None if np.isnan(self.measured) else float(f"{self.measured:.6g}")
        return {
            "goal": self.name,
            "measured": measured,
            "relation": self.relation,
            "bound": float(self.bound),
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Quality:
    """One detector or rule over several worlds."""

    name: str
    parts: tuple[tuple[World, TierMetrics], ...]

    @property
    def false_alarms(self) -> float:
        """Per series-week."""
        return sum(len(one.false_alarms) for _, one in self.parts) / sum(one.series_weeks for _, one in self.parts)

    def labels(self, size: float = 3.0, volume: float = 0.0) -> list[tuple[World, TierMetrics, Label]]:
        """The labels of incidents of at least this size on series of at least this volume."""
        return [
            (world, one, label)
            for world, one in self.parts
            for label in one.labels
            if _incident(world, label).size >= size and world.volume[_incident(world, label).row] >= volume
        ]

    def recall(self, size: float = 3.0, volume: float = 0.0) -> float:
        """Share found of the incidents of at least `size`."""
        wanted = self.labels(size, volume)
        return sum(label in one.found for _, one, label in wanted) / max(len(wanted), 1)

    def detectable(self, size: float = 3.0) -> float:
        """Share found of those that an oracle finds."""
        wanted = [(one, label) for world, one, label in self.labels(size) if world.oracle[_incident(world, label)]]
        return sum(label in one.found for one, label in wanted) / max(len(wanted), 1)

    def delay(self, quantile: float = 0.5, size: float = 3.0, volume: float = 0.0) -> float:
        """A quantile of the time to detect, of the incidents that were found."""
        delays = [one.found[label] for _, one, label in self.labels(size, volume) if label in one.found]
        return float(np.quantile(delays, quantile)) if delays else float("nan")

    def row(self) -> list[str]:
        """The figures as a line of the table."""
        figures = [f"{self.false_alarms:.4f}", f"{self.recall():.3f}"]
        figures.append(f"{self.detectable():.3f}" if self.parts[0][0].oracle else "-")
        return [self.name, *figures, f"{self.delay():.0f} / {self.delay(0.95):.0f}"]


def _incident(world: World, label: Label) -> worlds.Incident:
    return world.incidents[int(label.kind)]


def view_of(world: World) -> ArrayView:
    """The world's counts as a view of its kind of series."""
    kind = world.keys[0].kind
    width = len(COUNTERS[kind])
    counts = np.zeros((*world.counts.shape[:2], width), dtype=np.int64)
    counts[..., : world.counts.shape[2]] = world.counts
    return (HourView if kind == "score" else ArrayView)(kind, world.keys, counts, worlds.START)


def judge(world: World, found: Iterable[Interval], unit: int = 1) -> dict[Tier, TierMetrics]:
    """The quality of intervals in a world whose incidents are counted in units of so many minutes."""
    begin = worlds.START + world.warm * unit
    labels = [
        Label(world.keys[one.row], worlds.START + one.start * unit, worlds.START + one.end * unit, str(index))
        for index, one in enumerate(world.incidents)
    ]
    weeks = (world.counts.shape[1] - world.warm) * unit / WEEK
    exposure = [Exposure(key, weeks, float(volume)) for key, volume in zip(world.keys, world.volume, strict=True)]
    return metrics([one for one in found if one.start >= begin], labels, exposure, grace=60 * unit)


def compare(
    name: DetectorName,
    made: Sequence[World],
    rules: dict[str, Rule],
    unit: int = 1,
    detector: Detector | None = None,
) -> tuple[Quality, Quality, list[Quality]]:
    """The warning tier and the page tier of a detector on the worlds, and the rules beside them.

    `detector` stands in for the default one of this name.
    """
    judged = [judge(world, run(detector or DETECTORS[name](), view_of(world)).intervals(), unit) for world in made]
    tiers: list[Tier] = ["warning", "page"]
    warning, page = (
        Quality(f"{name}, {tier}", tuple(zip(made, (one[tier] for one in judged), strict=True))) for tier in tiers
    )
    others = [
        Quality(
            label,
            tuple((w, judge(w, intervals(rule, w.keys, w.counts, worlds.START), unit)["page"]) for w in made),
        )
        for label, rule in rules.items()
    ]
    return warning, page, others
