"""Prometheus's own rule engine on a world's counts, to see whether the careful rule in NumPy says what it says.

The counts become two counters a flow, as a scraper would see them once a minute. `promtool test rules` evaluates the
alert over them every minute, and holds for each flow the number of minutes in which it was firing, and its state at
every minute around the beginning of an alert, against those of `benchmarks.detection_rules`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection_rules import Alarm, Counts, ratio_30m
from scenarios.worlds import DAY, World

ALERT: Final = "EscalationRate"

RULES: Final = f"""groups:
- name: careful
  rules:
  - alert: {ALERT}
    expr: >-
      (increase(escalations_total[30m]) * increase(interactions_total[1d])
      >= 3 * increase(escalations_total[1d]) * increase(interactions_total[30m]))
      and increase(escalations_total[30m]) >= 10
    for: 5m
"""
"""The careful rule, without divisions so that an empty window is simply false; `increase` over counters that are
scraped on the minute adds nothing to what they hold."""

_SECONDS: Final = 600
_EDGES: Final = 8


@dataclass(frozen=True, slots=True)
class Agreement:
    """What was compared, and what promtool said of it."""

    flows: int
    days: int
    firing_minutes: int
    agrees: bool
    output: str


def promtool() -> str | None:
    """Path of promtool, if it is installed."""
    return shutil.which("promtool")


def careful(counts: Counts) -> list[Alarm]:
    """The careful rule in NumPy over counts [S, M, 2]: whether it fires at the end of each minute."""
    rule = ratio_30m(least=10, wait=5)
    return [rule(row[:, 0].astype(np.float64), row[:, 1].astype(np.float64)) for row in counts]


def telling(world: World, flows: int, days: int) -> Counts:
    """[flows, M, 2] counts of the days after the warm ones: the flows in which the rule fires most, and some calm ones.

    The day before them is there too, for the rule looks back over it.
    """
    span = world.counts[:, world.warm - DAY : world.warm + days * DAY]
    minutes = np.array([int(alarm[DAY:].sum()) for alarm in careful(span)])
    order = np.argsort(-minutes, kind="stable")
    loud = order[: flows * 3 // 4]
    return np.asarray(span[np.concatenate([loud, order[-(flows - len(loud)) :]])])


def compare(program: str, counts: Counts, alarms: list[Alarm]) -> Agreement:
    """Hold `alarms` against Prometheus's engine over the same counts; the first day is its look-back only.

    Raises subprocess.TimeoutExpired where promtool does not end within ten minutes.
    """
    with tempfile.TemporaryDirectory(prefix="midwatch-promtool-") as folder:
        place = Path(folder)
        (place / "rules.yml").write_text(RULES)
        (place / "test.yml").write_text(unit_test(counts, alarms))
        run = subprocess.run(
            [program, "test", "rules", str(place / "test.yml")],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    minutes = sum(int(alarm[DAY:].sum()) for alarm in alarms)
    days = counts.shape[1] // DAY - 1
    return Agreement(len(counts), days, minutes, run.returncode == 0, run.stdout + run.stderr)


def unit_test(counts: Counts, alarms: list[Alarm]) -> str:
    """The unit test of promtool: series, and what must hold of them. The counters begin at 0 a minute earlier."""
    lines = ["rule_files: [rules.yml]", "evaluation_interval: 1m", "tests:", "- interval: 1m", "  input_series:"]
    for flow, row in enumerate(counts):
        for column, name in enumerate(("interactions_total", "escalations_total")):
            values = " ".join(str(value) for value in (0, *np.cumsum(row[:, column]).tolist()))
            lines += [f"""  - series: '{name}{{flow="{flow}"}}'""", f"    values: '{values}'"]
    end, look_back = counts.shape[1], counts.shape[1] - DAY - 1
    firing = 'ALERTS{alertstate="firing"}'
    totals = {flow: int(alarm[DAY:].sum()) for flow, alarm in enumerate(alarms)}
    lines.append("  promql_expr_test:")
    lines += _expect(f"count_over_time({firing}[{look_back}m])", end, totals)
    for minute in _edges(alarms):
        lines += _expect(firing, minute + 1, {flow: int(alarm[minute]) for flow, alarm in enumerate(alarms)})
    return "\n".join(lines) + "\n"


def _expect(expression: str, at: int, values: dict[int, int]) -> list[str]:
    samples = [
        line
        for flow, value in values.items()
        if value
        for line in (
            f"""    - labels: '{{alertname="{ALERT}",alertstate="firing",flow="{flow}"}}'""",
            f"      value: {value}",
        )
    ]
    head = [f"  - expr: '{expression}'", f"    eval_time: {at}m"]
    # `ALERTS` bears its name, `count_over_time` of it does not.
    named = [line.replace("'{", "'ALERTS{") for line in samples] if expression.startswith("ALERTS") else samples
    return [*head, "    exp_samples:", *named] if samples else head


def _edges(alarms: list[Alarm]) -> list[int]:
    """The minutes just before and at the first beginnings of alerts, after the look-back."""
    found: set[int] = set()
    for alarm in alarms:
        begins = np.flatnonzero(alarm[1:] & ~alarm[:-1]) + 1
        for begin in begins[begins > DAY][:_EDGES].tolist():
            found |= {begin - 1, begin}
    return sorted(found)
