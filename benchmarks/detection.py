"""How good the detectors are, each goal beside its measured figure: `python -m benchmarks.detection`.

Worlds are simulated (scenarios/worlds*.py) on seeds that no constant was tuned on. False alarms are per series-week,
times to detect in minutes (of scores: hours). The run fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.detection_burn import BurnQuality, burn_quality
from benchmarks.detection_rules import DENIAL_RULES, ESCALATION_RULES, Rule, intervals
from detectors.arrays import ArrayView, HourView
from detectors.registry import DETECTORS
from scenarios import worlds
from scenarios.worlds import STRESS, World, WorldSettings, escalation_world
from scenarios.worlds_denials import denial_world
from scenarios.worlds_scores import score_world
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
    name: DetectorName, made: Sequence[World], rules: dict[str, Rule], unit: int = 1
) -> tuple[Quality, Quality, list[Quality]]:
    """The warning tier and the page tier of a detector on the worlds, and the rules beside them."""
    judged = [judge(world, run(DETECTORS[name](), view_of(world)).intervals(), unit) for world in made]
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


def escalations(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Escalation rate against the goals and the naive rules."""
    made = [escalation_world(seed) for seed in seeds]
    warning, page, rules = compare("escalation_rate", made, ESCALATION_RULES)
    _print(console, "Escalation rate", [*rules, warning, page], len(page.labels()))
    oracle = [delay for world in made for one, delay in world.oracle.items() if delay and one.size >= 3]
    console.print(
        f"oracle: finds {len(oracle) / max(len(page.labels()), 1):.3f} of them, in {np.median(oracle):.0f} minutes\n"
    )
    return [
        Goal("escalations, page: false alarms", page.false_alarms, "<=", 0.01),
        Goal("escalations, page: recall of the detectable", page.detectable(), ">=", 0.84),
        Goal("escalations, page: minutes to detect", page.delay(), "<=", 12),
        Goal("escalations, page: minutes to detect at 50 a minute", page.delay(volume=50), "<=", 6),
        Goal("escalations, page: recall of 5x at 5 a minute", page.recall(5, 5), ">=", 0.95),
        Goal("escalations, warning: false alarms", warning.false_alarms, "<=", 0.05),
        Goal("escalations, warning: recall of the detectable", warning.detectable(), ">=", 0.91),
    ]


def stress(seed: int, console: Console) -> list[Goal]:
    """In every stress world fewer false alarms than the careful naive rule."""
    goals = []
    careful = "naive, count >= 10, for 5 m"
    for name, settings in STRESS.items():
        world = escalation_world(seed, worlds.with_series(settings, 100, 2))
        _, page, rules = compare("escalation_rate", [world], {careful: ESCALATION_RULES[careful]})
        _print(console, f"Stress: {name}", [*rules, page], len(page.labels()))
        goals.append(Goal(f"stress, {name}: false alarms", page.false_alarms, "<=", rules[0].false_alarms))
    return goals


def denials(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Authorization denials against the goals and the naive rules."""
    made = [denial_world(seed, WorldSettings(warm_weeks=1, scored_weeks=3)) for seed in seeds]
    warning, page, rules = compare("authorization_denials", made, DENIAL_RULES)
    named = [*rules, warning, page]
    _print(console, "Authorization denials", named, len(page.labels(0)), size=0.0)
    return [
        Goal("denials, page: false alarms", page.false_alarms, "<=", 0.005),
        Goal("denials, page: recall", page.recall(0), ">=", 0.96),
        Goal("denials, page: minutes to detect", page.delay(size=0), "<=", 4),
    ]


def scores(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Evaluation drops against the goals: incidents of 0.4 points and more."""
    made = [score_world(seed) for seed in seeds]
    _, page, _ = compare("evaluation_drop", made, {}, unit=60)
    _print(console, "Evaluation drop (>= 0.4 points)", [page], len(page.labels(0.4)), size=0.4)
    return [
        Goal("evaluation, page: false alarms", page.false_alarms, "<=", 0.045),
        Goal("evaluation, page: recall of 0.4 points", page.recall(0.4), ">=", 0.83),
        Goal("evaluation, page: hours to detect", page.delay(size=0.4) / 60, "<=", 14),
    ]


def burn(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Burn rate against the goals."""
    quality: dict[Tier, BurnQuality] = burn_quality(seeds)
    for tier, one in quality.items():
        console.print(f"burn rate, {tier}: {one}")
    page = quality["page"]
    return [
        Goal("burn, page: share of clean months alarmed", page.false_share, "<=", 0.05),
        Goal("burn, page: share warned 3 days ahead", page.warned_share, ">=", 0.90),
        Goal("burn, page: median days of lead", page.lead_days, ">=", 10),
    ]


def _print(console: Console, title: str, rows: Sequence[Quality], incidents: int, size: float = 3.0) -> None:
    table = Table(title=f"{title}: {incidents} incidents", title_justify="left")
    for heading in ("", "false alarms", "recall", "of detectable", "minutes, median / p95"):
        table.add_column(heading)
    for row in rows:
        line = row.row()
        if size != 3.0:
            line[2] = f"{row.recall(size):.3f}"
            line[4] = f"{row.delay(size=size):.0f} / {row.delay(0.95, size):.0f}"
        table.add_row(*line)
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and answer 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="101,102,103", help="seeds of the worlds, separated by commas")
    parser.add_argument("--only", default="", help="escalations, stress, denials, scores or burn")
    options = parser.parse_args(arguments)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    console = Console(width=110)
    parts: dict[str, Callable[[], list[Goal]]] = {
        "escalations": lambda: escalations(seeds, console),
        "stress": lambda: stress(seeds[0], console),
        "denials": lambda: denials(seeds, console),
        "scores": lambda: scores(seeds, console),
        "burn": lambda: burn(seeds, console),
    }
    goals = [goal for name, part in parts.items() if options.only in ("", name) for goal in part()]
    table = Table(title="Goals", title_justify="left")
    for heading in ("goal", "measured", "bound", ""):
        table.add_column(heading)
    for goal in goals:
        verdict = "met" if goal.met else "MISSED"
        table.add_row(goal.name, f"{goal.measured:.4g}", f"{goal.relation} {goal.bound:.4g}", verdict)
    console.print(table)
    return 0 if all(goal.met for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
