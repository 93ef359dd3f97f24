"""The sections of the detection benchmark: each measures on its worlds, prints a table and answers with its goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import detection_prometheus as prometheus_engine
from benchmarks.detection_burn import BurnQuality, burn_quality
from benchmarks.detection_quality import Goal, Quality, compare
from benchmarks.detection_rules import DENIAL_RULES, ESCALATION_RULES
from benchmarks.detection_scale import tick_seconds
from detectors.escalation_rate import EscalationRate, EscalationRateSettings
from scenarios import worlds
from scenarios.worlds import STRESS, World, WorldSettings, escalation_world
from scenarios.worlds_denials import denial_world
from scenarios.worlds_other import other_world
from scenarios.worlds_other_kinds import other_denial_world, other_score_world
from scenarios.worlds_scores import score_world
from schemas.words import Tier

CAREFUL = "naive, count >= 10, for 5 m"
"""The rule that a careful Prometheus user writes."""


def escalations(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Escalation rate against the goals and the naive rules."""
    made = [escalation_world(seed) for seed in seeds]
    warning, page, rules = compare("escalation_rate", made, ESCALATION_RULES)
    _print(console, "Escalation rate", [*rules, warning, page], len(page.labels()))
    oracle = [delay for world in made for one, delay in world.oracle.items() if delay and one.size >= 3]
    console.print(
        f"oracle: finds {len(oracle) / max(len(page.labels()), 1):.3f} of them, in {np.median(oracle):.0f} minutes\n"
    )
    careful = next(rule for rule in rules if rule.name == CAREFUL)
    ratio, tier = _at_equal_recall(made, careful, [warning, page])
    _print(
        console, f"At the recall of the careful rule, {ratio:.0f} times quieter", [careful, tier], len(page.labels())
    )
    return [
        Goal("escalations: times quieter than the careful rule at its recall", ratio, ">=", 30),
        Goal("escalations: minutes to detect there", tier.delay(), "<=", careful.delay()),
        Goal("escalations, page: false alarms", page.false_alarms, "<=", 0.01),
        Goal("escalations, page: recall of the detectable", page.detectable(), ">=", 0.84),
        Goal("escalations, page: minutes to detect", page.delay(), "<=", 12),
        Goal("escalations, page: minutes to detect at 50 a minute", page.delay(volume=50), "<=", 6),
        Goal("escalations, page: recall of 5x at 5 a minute", page.recall(5, 5), ">=", 0.95),
        Goal("escalations, warning: false alarms", warning.false_alarms, "<=", 0.05),
        Goal("escalations, warning: recall of the detectable", warning.detectable(), ">=", 0.91),
    ]


def _at_equal_recall(made: Sequence[World], careful: Quality, tiers: list[Quality]) -> tuple[float, Quality]:
    """How many times quieter than the careful rule the quietest tier is that finds as much, and that tier.

    The thresholds of the default tiers find more; two stricter ones are tried beside them. A tier without any false
    alarm counts as if it had half of one.
    """
    strict = EscalationRate(EscalationRateSettings(warning_score=4.6, page_score=5.0))
    names = ("score >= 4.6", "score >= 5.0")
    stricter = [
        replace(tier, name=name)
        for tier, name in zip(compare("escalation_rate", made, {}, detector=strict)[:2], names, strict=True)
    ]
    able = [tier for tier in (*tiers, *stricter) if tier.recall() >= careful.recall()]
    best = min(able, key=lambda tier: tier.false_alarms, default=tiers[0])
    weeks = sum(one.series_weeks for _, one in best.parts)
    return careful.false_alarms / max(best.false_alarms, 0.5 / weeks), best


def other(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Escalation rate on the second family of worlds, on which no threshold was set."""
    made = [other_world(seed) for seed in seeds]
    rules = {name: ESCALATION_RULES[name] for name in ("naive, count >= 10", CAREFUL)}
    warning, page, naive = compare("escalation_rate", made, rules)
    _print(console, "Escalation rate, second family", [*naive, warning, page], len(page.labels()))
    careful = naive[1]
    return [
        Goal("second family, warning: recall (the careful rule's)", warning.recall(), ">=", careful.recall()),
        Goal(
            "second family, warning: false alarms (half of its)", warning.false_alarms, "<=", careful.false_alarms / 2
        ),
        Goal("second family, page: false alarms (a fifth of its)", page.false_alarms, "<=", careful.false_alarms / 5),
        Goal("second family, page: minutes to detect (its)", page.delay(), "<=", careful.delay()),
    ]


def other_kinds(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Denials and scores on the second family.

    Retry storms of up to six denials, twice within the hour, look like eight denials of an incident: the goals of
    denials are wider than the first family's.
    """
    denied = [other_denial_world(seed) for seed in seeds]
    warning, page, rules = compare("authorization_denials", denied, DENIAL_RULES)
    _print(console, "Authorization denials, second family", [*rules, warning, page], len(page.labels(0)), size=0.0)
    _, drops, _ = compare("evaluation_drop", [other_score_world(seed) for seed in seeds], {}, unit=60)
    _print(console, "Evaluation drop, second family", [drops], len(drops.labels(0.4)), size=0.4)
    return [
        Goal("second family, denials, page: false alarms", page.false_alarms, "<=", 0.02),
        Goal("second family, denials, page: recall", page.recall(0), ">=", 0.94),
        Goal("second family, denials, page: minutes to detect", page.delay(size=0), "<=", 6),
        Goal("second family, evaluation, page: false alarms", drops.false_alarms, "<=", 0.045),
        Goal("second family, evaluation, page: recall of 0.4 points", drops.recall(0.4), ">=", 0.83),
        Goal("second family, evaluation, page: hours to detect", drops.delay(size=0.4) / 60, "<=", 14),
    ]


def prometheus(seeds: Sequence[int], console: Console, flows: int = 16, days: int = 7) -> list[Goal]:
    """The careful rule in Prometheus's own engine: the same minutes as its NumPy form, on the flows that tell most."""
    program = prometheus_engine.promtool()
    if program is None:
        console.print("Prometheus: promtool is not installed (Debian: prometheus); this section is left out\n")
        return []
    counts = prometheus_engine.telling(escalation_world(seeds[0]), flows, days)
    found = prometheus_engine.compare(program, counts, prometheus_engine.careful(counts))
    said = "the same" if found.agrees else f"NOT the same:\n{found.output[:2000]}"
    console.print(
        f"Prometheus's rule engine and the rule in NumPy, {found.flows} flows x {found.days} days, "
        f"{found.firing_minutes} firing minutes: {said}\n"
    )
    return [Goal("Prometheus's engine agrees with the careful rule in NumPy", float(found.agrees), ">=", 1.0)]


def scale(seeds: Sequence[int], console: Console) -> list[Goal]:
    """Every detector over 100,000 series at one tick, also at the ticks that learn."""
    seconds = tick_seconds(100_000, seeds[0])
    for name, (usual, worst) in seconds.items():
        console.print(f"100,000 series at one tick, {name}: {usual:.2f} s, at its heaviest tick {worst:.2f} s")
    return [
        Goal(f"scale, {name}: seconds at the heaviest tick", worst, "<=", 1.0) for name, (_, worst) in seconds.items()
    ]


def stress(seeds: Sequence[int], console: Console) -> list[Goal]:
    """In every stress world fewer false alarms than the careful naive rule."""
    goals = []
    for name, settings in STRESS.items():
        world = escalation_world(seeds[0], worlds.with_series(settings, 100, 2))
        _, page, rules = compare("escalation_rate", [world], {CAREFUL: ESCALATION_RULES[CAREFUL]})
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
