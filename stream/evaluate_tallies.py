"""What the evaluation loop counts, for metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.outputs import Verdict
from stream.core.machine import Outcome
from stream.core.ticks import MINUTE_MS
from stream.exemplars import exemplar
from stream.standing import Staleness


@dataclass(slots=True)
class EvaluateTallies:
    """Counts for metrics, since the start."""

    ticks: int = 0
    moves: int = 0
    """Chunks of ticks that were committed."""
    fenced: int = 0
    rebuilt: Counter[str] = field(default_factory=Counter)
    """Shards that were made anew, by what from."""
    durations: list[float] = field(default_factory=list)
    firings: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    muted: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)
    """Of the verdicts, those that spoke of the past."""
    standing: int = 0
    """Verdicts that were said again, because they still held when the present was reached."""
    examples: dict[tuple[str, ...], dict[str, str] | None] = field(default_factory=dict)
    """By the keys of `firings` and `verdicts`, the ids of the last of each kind, to look up: exemplars."""

    def note(self, outcomes: Sequence[Outcome], staleness: Staleness) -> None:
        """Count what was published."""
        for outcome in outcomes:
            if staleness.of(outcome.tick * MINUTE_MS):
                self.stale.update(v.status for v in outcome.verdicts)
            self.firings.update((f.detector, f.tier, f.status) for f in outcome.firings)
            self.verdicts.update((v.status, v.triage_result) for v in outcome.verdicts)
            self.muted.update(v.status for v in outcome.verdicts if v.muted is not None)
            for firing in outcome.firings:
                self.examples[firing.detector, firing.tier, firing.status] = exemplar(firing_id=firing.firing_id)
            for verdict in outcome.verdicts:
                self.examples[verdict.status, verdict.triage_result] = _example(verdict)


def _example(verdict: Verdict) -> dict[str, str] | None:
    """The incident, and a trace of it where a finding shows one."""
    traces = (one.trace_id for finding in verdict.findings for one in finding.exemplars if one.trace_id)
    return exemplar(incident_id=verdict.incident_id, trace_id=next(traces, None))
