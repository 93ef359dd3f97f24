"""How good the detectors are, each goal beside its measured figure: `python -m benchmarks.detection`.

Worlds are simulated (scenarios/worlds*.py) on seeds that no constant was tuned on. False alarms are per series-week,
times to detect in minutes (of scores: hours). The run fails where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import detection_sections as sections
from benchmarks.detection_quality import Goal

Section = Callable[[Sequence[int], Console], list[Goal]]

SECTIONS: Final[dict[str, Section]] = {
    "escalations": sections.escalations,
    "other": sections.other,
    "other-kinds": sections.other_kinds,
    "stress": sections.stress,
    "prometheus": sections.prometheus,
    "denials": sections.denials,
    "scores": sections.scores,
    "burn": sections.burn,
    "scale": sections.scale,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and answer 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="101,102,103", help="seeds of the worlds, separated by commas")
    parser.add_argument("--only", default="", help=f"one section, or several with commas: {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="the first seed alone: few incidents, so wide errors")
    parser.add_argument("--json", action="store_true", help="the goals as JSON on standard output, tables on the other")
    options = parser.parse_args(arguments)
    chosen = [name for name in options.only.split(",") if name] or list(SECTIONS)
    unknown = [name for name in chosen if name not in SECTIONS]
    if unknown:
        parser.error(f"--only: no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    seeds = [int(seed) for seed in options.seeds.split(",")][: 1 if options.quick else None]
    console = Console(width=110, stderr=options.json)
    goals = [goal for name in chosen for goal in SECTIONS[name](seeds, console)]
    console.print(_table(goals))
    if options.json:
        sys.stdout.write(json.dumps({"seeds": seeds, "goals": [goal.to_json() for goal in goals]}) + "\n")
    return 0 if all(goal.met for goal in goals) else 1


def _table(goals: Sequence[Goal]) -> Table:
    table = Table(title="Goals", title_justify="left")
    for heading in ("goal", "measured", "bound", ""):
        table.add_column(heading)
    for goal in goals:
        verdict = "met" if goal.met else "MISSED"
        table.add_row(goal.name, f"{goal.measured:.4g}", f"{goal.relation} {goal.bound:.4g}", verdict)
    return table


if __name__ == "__main__":
    sys.exit(main())
