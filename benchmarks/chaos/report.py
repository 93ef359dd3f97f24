"""The result: a table for people, an object for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.verify import Check


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that was: when it began, from the start of the run, how long it lasted, and what came of it.

    `recovered` is how long after its end every shard had evaluated all that had been sent by then; `taken_over` how
    long after a worker's death all of its shards were moved on. None where it was not measured.
    """

    number: int
    kind: str
    phase: str
    began: float
    lasted: float
    detail: str
    recovered: float | None = None
    taken_over: float | None = None

    def to_json(self) -> dict[str, Any]:
        """For the log."""
        rounded = {"began": self.began, "lasted": self.lasted, "recovered": self.recovered}
        return {
            "number": self.number,
            "kind": self.kind,
            "phase": self.phase,
            "detail": self.detail,
            "taken_over": _rounded(self.taken_over),
            **{name: _rounded(value) for name, value in rounded.items()},
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """Median and worst of some seconds."""

    times: int
    median: float | None
    worst: float | None


def summary(times: int, seconds: Iterable[float | None]) -> Summary:
    """Of those that were measured."""
    known = [value for value in seconds if value is not None]
    if not known:
        return Summary(times, None, None)
    return Summary(times, round(statistics.median(known), 1), round(max(known), 1))


def by_kind(happened: Sequence[Happened]) -> dict[str, tuple[Summary, Summary]]:
    """For each kind of fault: recovery, and takeover."""
    kinds: dict[str, list[Happened]] = {}
    for one in happened:
        kinds.setdefault(one.kind if one.phase != "burst" else "burst", []).append(one)
    return {
        kind: (
            summary(len(ones), (one.recovered for one in ones)),
            summary(len(ones), (one.taken_over for one in ones)),
        )
        for kind, ones in sorted(kinds.items())
    }


def show(console: Console, checks: Sequence[Check], happened: Sequence[Happened], facts: Mapping[str, Any]) -> None:
    """Print facts, demands, and recovery by kind of fault."""
    console.print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items() if value != []))
    demands = Table("demand", "wanted", "found", "", title="What must hold")
    for check in checks:
        demands.add_row(check.demand, check.wanted, f"{check.found:,.10g}", "ok" if check.ok else "FAILED")
    console.print(demands)
    for check in checks:
        for example in check.examples:
            console.print(f"{check.demand}: {example}", soft_wrap=True, markup=False)
    times = Table("fault", "times", "median s", "worst s", "takeover median s", "worst s", title="Recovery")
    for kind, (recovery, takeover) in by_kind(happened).items():
        times.add_row(
            kind, str(recovery.times), *map(_text, (recovery.median, recovery.worst, takeover.median, takeover.worst))
        )
    console.print(times)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def to_json(checks: Sequence[Check], happened: Sequence[Happened], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result."""
    return {
        "ok": all(check.ok for check in checks),
        "facts": dict(facts),
        "checks": [
            {"demand": c.demand, "wanted": c.wanted, "found": c.found, "ok": c.ok, "examples": list(c.examples)}
            for c in checks
        ],
        "recovery_seconds": {
            kind: {
                "times": recovery.times,
                "median": recovery.median,
                "worst": recovery.worst,
                "takeover_median": takeover.median,
                "takeover_worst": takeover.worst,
            }
            for kind, (recovery, takeover) in by_kind(happened).items()
        },
        "faults": [one.to_json() for one in happened],
    }
