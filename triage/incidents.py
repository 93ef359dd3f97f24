"""Incidents: when there is something new to say about them.

A pure state machine, one step a tick. Which firings belong together says `triage.grouping`. An incident speaks

* at once when it opens, is raised from warning to page, is joined by another kind of detector, or has doubled since it
  spoke last; what else joins it is told within `growth_minutes`, so that an outage that takes five hundred flows down
  one after the other is a handful of revisions,
* at once when its answer gets graver, or when a rollback that it recommended no longer stands; a softer answer must
  first hold for `soften_ticks` triages in a row, so that it does not flap,
* once when the burst of scores that it set off is complete,
* at once when it becomes muted or speaks again, is acknowledged or no longer so (`triage.controls`).

It ends with exactly one `resolved` when every firing has recovered; what fires afterwards opens a new incident. Muting
changes what is marked, never what is detected, decided or published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from schemas.base import JsonObject
from schemas.canonical import canonical_json
from schemas.outputs import Acknowledged, Engine, Finding, Firing, Muted, Scope, Verdict
from schemas.words import VerdictStatus
from triage.case import Case
from triage.chain import Guard, run_chain, run_guarded
from triage.checks.base import Check
from triage.controls import NO_CONTROLS, Controls
from triage.grouping import Grouping
from triage.incident import Incident, answer_of, burst_scores, gravity, other_cause
from triage.muting import inhibited, silenced
from triage.registry import build
from triage.settings import TriageSettings
from triage.verdict import Occasion, assess, build_verdict, marked, repeated, resolved

RELATED_BYTES: Final = 256 * 1024
"""Most that the list of related scopes, and that of inhibited ones, takes in a verdict: Kafka takes 1 MB by default."""

Gather = Callable[[Firing], Case]
"""Gathers the case for a firing, as of the tick."""

Speak = Literal["now", "repeat", "no"]


@dataclass(frozen=True, slots=True)
class _Tick:
    """What one step is given."""

    ms: int
    gather: Gather
    run: Guard
    controls: Controls


class Incidents:
    """All open incidents. `refused_incidents` and `refused_firings` count what the caps kept out."""

    def __init__(self, settings: TriageSettings, engine: Engine, checks: Sequence[Check] | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self._checks = tuple(checks) if checks is not None else build(settings)
        self.grouping = Grouping(settings.incidents)

    @property
    def open_count(self) -> int:
        """Incidents that are not resolved."""
        return len(self.grouping.open)

    @property
    def refused_incidents(self) -> int:
        """Firings that could not open an incident at the cap."""
        return self.grouping.refused_incidents

    @property
    def refused_firings(self) -> int:
        """Firings that an incident at its cap could not take in."""
        return self.grouping.refused_firings

    def step(
        self,
        tick_ms: int,
        firings: Sequence[Firing],
        gather: Gather,
        run: Guard = run_guarded,
        controls: Controls = NO_CONTROLS,
    ) -> list[Verdict]:
        """The verdicts of this tick, in the order in which their incidents opened.

        `firings` are the records of this tick: opened or raised (`firing`), or recovered (`resolved`). `controls` are
        the silences that are active at it, and the acknowledgements known.
        """
        tick = _Tick(tick_ms, gather, run, controls)
        self.grouping.take(firings, tick_ms, lambda firing: self._findings(firing, tick))
        verdicts: list[Verdict] = []
        for incident in sorted(self.grouping.open.values(), key=_in_turn):
            verdict = self._look(incident, tick)
            verdicts.extend([verdict] if verdict else [])
            if incident.is_over:
                verdicts.append(self._resolve(incident, tick))
                del self.grouping.open[incident.incident_id]
        return verdicts

    def to_json(self) -> JsonObject:
        """All state, as JSON."""
        incidents = self.grouping.open
        return {"open": [incidents[key].to_json() for key in sorted(incidents)]}

    @classmethod
    def from_json(
        cls, settings: TriageSettings, engine: Engine, data: JsonObject, checks: Sequence[Check] | None = None
    ) -> Incidents:
        """The incidents that `to_json` stored."""
        made = cls(settings, engine, checks)
        made.grouping.open = {item["incident_id"]: Incident.from_json(item) for item in data["open"]}
        return made

    def _findings(self, firing: Firing, tick: _Tick) -> Sequence[Finding]:
        return run_chain(self._checks, tick.gather(firing), tick.run).findings

    def _look(self, incident: Incident, tick: _Tick) -> Verdict | None:
        """What the incident has to say at this tick, but for its end."""
        grew = self._has_grown(incident, tick.ms)
        if incident.is_over and not grew and incident.last is not None:
            return None
        silence, last = silenced(incident, tick.controls), incident.last
        turned = last is not None and (
            silence != last.muted or self._acknowledged(incident, tick.controls) != last.acknowledged
        )
        if grew or turned or self._due(incident, tick.ms):
            return self._triage(incident, tick, silence, grew=grew)
        return None

    def _has_grown(self, incident: Incident, tick_ms: int) -> bool:
        """Whether what has joined since the last verdict is worth one of its own."""
        last, detectors = incident.last, incident.detectors()
        if last is None:
            return True
        if incident.untold_ms is None:
            return False
        return (
            (incident.lead.tier == "page" and last.trigger.tier != "page")
            or not set(detectors) <= set(incident.told_detectors)
            or incident.size >= 2 * incident.told
            or tick_ms - incident.untold_ms >= self.settings.incidents.growth_minutes * 60_000
        )

    def _due(self, incident: Incident, tick_ms: int) -> bool:
        settings = self.settings.incidents
        if tick_ms - incident.active_ms <= settings.retriage_minutes * 60_000:
            return True
        return tick_ms - incident.triaged_ms >= settings.slow_retriage_minutes * 60_000

    def _triage(self, incident: Incident, tick: _Tick, silence: Muted | None, *, grew: bool) -> Verdict | None:
        incident.triaged_ms = tick.ms
        occasion = self._occasion(incident, tick.ms)
        case = tick.gather(incident.lead)
        fresh = build_verdict(occasion, assess(self._checks, case, tick.run), self.settings, self.engine)
        last, muted = incident.last, silence
        if muted is None and not incident.heard:
            others = [item for item in self.grouping.open.values() if item is not incident]
            muted = inhibited(incident, fresh.findings, others, self.settings.incidents.group_minutes * 60_000)
        acknowledged = self._acknowledged(incident, tick.controls)
        turned = last is not None and (muted != last.muted or acknowledged != last.acknowledged)
        speak = self._speaks(incident, fresh, urgent=grew or turned)
        if speak == "no":
            return None
        verdict = repeated(last, occasion, incident.lead) if speak == "repeat" and last is not None else fresh
        first = incident.revision == 0 or (muted is None and not incident.heard)
        status: VerdictStatus = "firing" if first else "updated"
        return self._say(incident, marked(verdict, status, muted, acknowledged), tick.ms)

    def _speaks(self, incident: Incident, fresh: Verdict, *, urgent: bool) -> Speak:
        """Whether to give the fresh answer now, to repeat the last one, or to say nothing; keeps what is pending."""
        last, answer = incident.last, answer_of(fresh)
        if last is None or (answer == answer_of(last) and not other_cause(fresh, last)):
            incident.pending, incident.pending_ticks = None, 0
            return "now" if urgent or last is None or self._burst_is_news(incident, fresh) else "no"
        withdraws = last.recommendation.kind == "rollback" and answer[3:] != answer_of(last)[3:]
        again = incident.withdrawn and fresh.recommendation.kind == "rollback"
        incident.pending_ticks = incident.pending_ticks + 1 if answer == incident.pending else 1
        incident.pending = answer
        held = incident.pending_ticks >= self.settings.incidents.soften_ticks
        if withdraws or held or (gravity(fresh) > gravity(last) and not again):
            incident.withdrawn = incident.withdrawn or withdraws
            incident.pending, incident.pending_ticks = None, 0
            return "now"
        return "repeat" if urgent else "no"

    def _burst_is_news(self, incident: Incident, fresh: Verdict) -> bool:
        """Whether the burst is worth a revision of its own: once, when no more scores came for a triage."""
        scores = burst_scores(fresh)
        settled = scores > 0 and scores == incident.burst_seen and not incident.burst_told
        incident.burst_seen = scores
        return settled

    def _resolve(self, incident: Incident, tick: _Tick) -> Verdict:
        last = incident.last
        if last is None:
            raise AssertionError(f"incident {incident.incident_id} ends before it was told")
        verdict, acknowledged = (
            resolved(last, self._occasion(incident, tick.ms)),
            self._acknowledged(incident, tick.controls),
        )
        return self._say(incident, marked(verdict, "resolved", last.muted, acknowledged), tick.ms)

    def _acknowledged(self, incident: Incident, controls: Controls) -> Acknowledged | None:
        """Who has it in hand. The last word holds until the incident's end, even when the record of it is forgotten."""
        if incident.incident_id in controls.acknowledged:
            return controls.acknowledged[incident.incident_id]
        return incident.last.acknowledged if incident.last is not None else None

    def _occasion(self, incident: Incident, tick_ms: int) -> Occasion:
        related, explained = incident.related(), self._listed(incident.explained())
        listed = self._listed(related)
        return Occasion(
            incident_id=incident.incident_id,
            revision=incident.revision,
            status="firing" if incident.revision == 0 else "updated",
            tick_ms=tick_ms,
            onset_ms=min(incident.onset_ms, tick_ms),
            related=listed,
            related_total=len(related) if len(listed) < len(related) else None,
            inhibited=explained or None,
        )

    def _listed(self, scopes: Sequence[Scope]) -> tuple[Scope, ...]:
        """As many of the scopes, in their order, as a verdict has room for."""
        room, found = RELATED_BYTES, []
        for scope in scopes[: self.settings.incidents.max_related]:
            room -= len(canonical_json(scope)) + 1
            if room < 0:
                break
            found.append(scope)
        return tuple(found)

    def _say(self, incident: Incident, verdict: Verdict, tick_ms: int) -> Verdict:
        if incident.last is None or incident.last.triage_result != verdict.triage_result:
            incident.answered_ms = tick_ms
        incident.last = verdict
        incident.revision += 1
        incident.burst_told = incident.burst_told or burst_scores(verdict) >= max(incident.burst_seen, 1)
        incident.heard = incident.heard or verdict.muted is None
        incident.told, incident.told_detectors, incident.untold_ms = incident.size, incident.detectors(), None
        return verdict


def _in_turn(incident: Incident) -> tuple[int, bool, str]:
    """The order in which incidents speak: as they opened; of one tick those that may explain others first."""
    return incident.opened_ms, not incident.groups, incident.incident_id
