"""Incidents: which firings belong together, and when there is something new to say about them.

A pure state machine, one step a tick. Firings of one environment and system that begin within `group_minutes` of an
open incident's last activity join it; a budget's burn stands alone. An incident speaks at once when it opens, grows or
is raised, or when its answer gets graver; a softer answer must first hold for `soften_ticks` triages in a row, so that
it does not flap, but a rollback that no longer stands is taken back at once. It ends with exactly one `resolved` when
every firing has recovered; what fires afterwards opens a new incident.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from schemas.base import JsonObject
from schemas.outputs import Engine, Finding, Firing, Verdict
from triage.case import Case
from triage.chain import Guard, run_guarded
from triage.checks.base import Check
from triage.incident import Incident, Member, answer_of, gravity, in_order, other_cause
from triage.registry import build
from triage.settings import TriageSettings
from triage.verdict import Occasion, assess, build_verdict, repeated, resolved

Gather = Callable[[Firing], Case]
"""Gathers the case for a firing, as of the tick."""

Speak = Literal["now", "repeat", "no"]


class Incidents:
    """All open incidents. `refused_incidents` and `refused_firings` count what the caps kept out."""

    def __init__(self, settings: TriageSettings, engine: Engine, checks: Sequence[Check] | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self.refused_incidents = 0
        self.refused_firings = 0
        self._checks = tuple(checks) if checks is not None else build(settings)
        self._open: dict[str, Incident] = {}

    @property
    def open_count(self) -> int:
        """Incidents that are not resolved."""
        return len(self._open)

    def step(self, tick_ms: int, firings: Sequence[Firing], gather: Gather, run: Guard = run_guarded) -> list[Verdict]:
        """The verdicts of this tick, in the order in which their incidents opened.

        `firings` are the records of this tick: opened or raised (`firing`), or recovered (`resolved`).
        """
        grown = {incident_id for firing in in_order(firings) if (incident_id := self._take(firing, tick_ms))}
        verdicts: list[Verdict] = []
        for incident in sorted(self._open.values(), key=lambda item: (item.opened_ms, item.incident_id)):
            if incident.incident_id in grown or (not incident.is_over and self._due(incident, tick_ms)):
                verdict = self._triage(incident, tick_ms, gather, run, grew=incident.incident_id in grown)
                verdicts.extend([verdict] if verdict else [])
            if incident.is_over:
                verdicts.append(self._resolve(incident, tick_ms))
                del self._open[incident.incident_id]
        return verdicts

    def to_json(self) -> JsonObject:
        """All state, as JSON."""
        return {"open": [self._open[key].to_json() for key in sorted(self._open)]}

    @classmethod
    def from_json(
        cls, settings: TriageSettings, engine: Engine, data: JsonObject, checks: Sequence[Check] | None = None
    ) -> Incidents:
        """The incidents that `to_json` stored."""
        made = cls(settings, engine, checks)
        made._open = {item["incident_id"]: Incident.from_json(item) for item in data["open"]}
        return made

    def _take(self, firing: Firing, tick_ms: int) -> str | None:
        """Take a record in. The id of the incident that has grown by it, if one has."""
        home = next((item for item in self._open.values() if firing.firing_id in item.members), None)
        if home is not None:
            member = home.members[firing.firing_id]
            if firing.status == "resolved":
                member.open = False
                return None
            raised = member.firing.tier != firing.tier
            home.members[firing.firing_id] = Member(firing, open=True)
            home.active_ms = tick_ms if raised else home.active_ms
            return home.incident_id if raised else None
        if firing.status == "resolved":
            return None
        return self._admit(firing, tick_ms)

    def _admit(self, firing: Firing, tick_ms: int) -> str | None:
        """Find the incident that a new firing belongs to, or open one; None where a cap keeps it out."""
        incident = self._home_for(firing, tick_ms)
        if incident is None:
            if len(self._open) >= self.settings.incidents.max_open_incidents:
                self.refused_incidents += 1
                return None
            incident = Incident.opened_by(firing, tick_ms)
            self._open[incident.incident_id] = incident
        elif len(incident.members) >= self.settings.incidents.max_firings:
            self.refused_firings += 1
            return None
        incident.members[firing.firing_id] = Member(firing, open=True)
        incident.active_ms = tick_ms
        return incident.incident_id

    def _home_for(self, firing: Firing, tick_ms: int) -> Incident | None:
        if firing.detector == "burn_rate":
            return None
        since = tick_ms - self.settings.incidents.group_minutes * 60_000
        place = (firing.scope.environment, firing.scope.system)
        near = [
            item
            for item in self._open.values()
            if (item.environment, item.system) == place and item.groups and item.active_ms >= since
        ]
        return max(near, key=lambda item: (item.active_ms, item.incident_id), default=None)

    def _due(self, incident: Incident, tick_ms: int) -> bool:
        settings = self.settings.incidents
        if tick_ms - incident.active_ms <= settings.retriage_minutes * 60_000:
            return True
        return tick_ms - incident.triaged_ms >= settings.slow_retriage_minutes * 60_000

    def _triage(self, incident: Incident, tick_ms: int, gather: Gather, run: Guard, *, grew: bool) -> Verdict | None:
        incident.triaged_ms = tick_ms
        occasion = self._occasion(incident, tick_ms)
        case = gather(incident.lead)
        fresh = build_verdict(occasion, assess(self._checks, case, run), self.settings, self.engine)
        last = incident.last
        match self._speaks(incident, fresh, grew=grew):
            case "now":
                return self._say(incident, self._counted(fresh, incident))
            case "repeat" if last is not None:
                return self._say(incident, self._counted(repeated(last, occasion, incident.lead), incident))
            case _:
                return None

    def _speaks(self, incident: Incident, fresh: Verdict, *, grew: bool) -> Speak:
        """Whether to give the fresh answer now, to repeat the last one, or to say nothing; keeps what is pending."""
        last, answer = incident.last, answer_of(fresh)
        if last is None or (answer == answer_of(last) and not other_cause(fresh, last)):
            incident.pending, incident.pending_ticks = None, 0
            return "now" if grew or last is None else "no"
        withdraws = last.recommendation.kind == "rollback" and answer[3:] != answer_of(last)[3:]
        again = incident.withdrawn and fresh.recommendation.kind == "rollback"
        incident.pending_ticks = incident.pending_ticks + 1 if answer == incident.pending else 1
        incident.pending = answer
        held = incident.pending_ticks >= self.settings.incidents.soften_ticks
        if withdraws or held or (gravity(fresh) > gravity(last) and not again):
            incident.withdrawn = incident.withdrawn or withdraws
            incident.pending, incident.pending_ticks = None, 0
            return "now"
        return "repeat" if grew else "no"

    def _resolve(self, incident: Incident, tick_ms: int) -> Verdict:
        if incident.last is None:
            raise AssertionError(f"incident {incident.incident_id} ends before it was told")
        return self._say(incident, resolved(incident.last, self._occasion(incident, tick_ms)))

    def _occasion(self, incident: Incident, tick_ms: int) -> Occasion:
        return Occasion(
            incident_id=incident.incident_id,
            revision=incident.revision,
            status="firing" if incident.revision == 0 else "updated",
            tick_ms=tick_ms,
            onset_ms=min(incident.onset_ms, tick_ms),
            related=tuple(incident.related()[: self.settings.incidents.max_related]),
        )

    def _counted(self, verdict: Verdict, incident: Incident) -> Verdict:
        """Where `related` had to be cut, the first finding says how many scopes there are."""
        scopes = len(incident.related())
        if scopes <= len(verdict.related) or not verdict.findings:
            return verdict
        first: Finding = verdict.findings[0]
        evidence: dict[str, Any] = {**first.evidence, "related_scopes": scopes}
        findings = (first.model_copy(update={"evidence": evidence}), *verdict.findings[1:])
        return verdict.model_copy(update={"findings": findings}).with_id()

    def _say(self, incident: Incident, verdict: Verdict) -> Verdict:
        incident.last = verdict
        incident.revision += 1
        return verdict
