"""Which incident a firing belongs to: one that is open and near, one that explains it, or one of its own.

* Firings of one environment and system that begin within `group_minutes` of an open incident's last activity join it; a
  budget's burn stands alone.
* One that an open incident's cause explains (`triage.inhibition`) is listed there as inhibited and does not speak. When
  that incident ends, or its answer explains it no longer, it is taken in anew: it is never swallowed.
* Any other opens an incident.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.outputs import Finding, Firing
from triage.incident import Incident, Member, in_order
from triage.inhibition import may_explain, shows
from triage.settings import IncidentSettings

Look = Callable[[Firing], Sequence[Finding]]
"""The findings of the chain about a firing, as of the tick."""


class Grouping:
    """All open incidents, by id. `refused_incidents` and `refused_firings` count what the caps kept out."""

    def __init__(self, settings: IncidentSettings) -> None:
        self.open: dict[str, Incident] = {}
        self.refused_incidents = 0
        self.refused_firings = 0
        self._settings = settings
        self._settle_ms = settings.group_minutes * 60_000

    def take(self, firings: Sequence[Firing], tick_ms: int, look: Look) -> None:
        """Take in the records of a tick: firings that opened, were raised, or recovered."""
        for firing in in_order(firings):
            self._take(firing, tick_ms, look)
        for incident in list(self.open.values()):
            self._let_go(incident, tick_ms, look)

    def _take(self, firing: Firing, tick_ms: int, look: Look) -> None:
        home = next((item for item in self.open.values() if firing.firing_id in item.members), None)
        if home is None:
            if firing.status == "firing":
                self._admit(firing, tick_ms, look)
            return
        member = home.members[firing.firing_id]
        if firing.status == "resolved":
            member.open = False
            return
        raised = member.firing.tier != firing.tier
        home.members[firing.firing_id] = Member(firing, open=True, inhibited=member.inhibited)
        if raised and not member.inhibited:
            _note(home, tick_ms)
            home.active_ms = tick_ms

    def _let_go(self, incident: Incident, tick_ms: int, look: Look) -> None:
        """Take anew what the incident explains no longer."""
        freed = [
            member.firing
            for member in incident.members.values()
            if member.inhibited and member.open and (incident.is_over or not self._explains(incident, member.firing))
        ]
        for firing in freed:
            del incident.members[firing.firing_id]
        for firing in in_order(freed):
            self._admit(firing, tick_ms, look)

    def _admit(self, firing: Firing, tick_ms: int, look: Look) -> None:
        near = self._near(firing, tick_ms)
        if near is not None:
            if self._has_room(near):
                near.members[firing.firing_id] = Member(firing, open=True)
                near.active_ms = tick_ms
                _note(near, tick_ms)
            return
        cause = self._cause_of(firing, look)
        if cause is not None:
            if self._has_room(cause):
                cause.members[firing.firing_id] = Member(firing, open=True, inhibited=True)
                _note(cause, tick_ms)
            return
        if len(self.open) >= self._settings.max_open_incidents:
            self.refused_incidents += 1
            return
        incident = Incident.opened_by(firing, tick_ms)
        incident.members[firing.firing_id] = Member(firing, open=True)
        self.open[incident.incident_id] = incident

    def _explains(self, cause: Incident, firing: Firing) -> bool:
        return may_explain(cause, firing, self._settle_ms)

    def _has_room(self, incident: Incident) -> bool:
        if len(incident.members) < self._settings.max_firings:
            return True
        self.refused_firings += 1
        return False

    def _near(self, firing: Firing, tick_ms: int) -> Incident | None:
        if firing.detector == "burn_rate":
            return None
        since = tick_ms - self._settings.group_minutes * 60_000
        place = (firing.scope.environment, firing.scope.system)
        near = [
            item
            for item in self.open.values()
            if (item.environment, item.system) == place and item.groups and item.active_ms >= since and not item.is_over
        ]
        return max(near, key=lambda item: (item.active_ms, item.incident_id), default=None)

    def _cause_of(self, firing: Firing, look: Look) -> Incident | None:
        """The open incident that explains the firing, the earliest if there are several."""
        causes = [item for item in self.open.values() if not item.is_over and self._explains(item, firing)]
        if not causes:
            return None
        findings = look(firing)
        borne_out = [item for item in causes if shows(findings, item)]
        return min(borne_out, key=lambda item: (item.onset_ms, item.opened_ms, item.incident_id), default=None)


def _note(incident: Incident, tick_ms: int) -> None:
    """Something has come that no verdict has told of."""
    if incident.untold_ms is None:
        incident.untold_ms = tick_ms
