"""Whether an incident is muted: every firing of it that is open is silenced, or another incident explains it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.outputs import Finding, Muted
from triage.controls import ActiveSilence, Controls
from triage.incident import Incident
from triage.inhibition import may_explain, shows
from triage.words import moment


def silenced(incident: Incident, controls: Controls) -> Muted | None:
    """The silence under which the incident is muted, or None where a firing of it is not covered.

    Where there are several, it is the one that ends first of those that are needed: until then the incident is muted.
    """
    near = [one for one in controls.silences if one.reaches(incident.environment, incident.system)]
    if not near:
        return None
    needed: list[ActiveSilence] = []
    for firing in incident.speaking():
        longest = max((one for one in near if one.covers(firing)), key=_end, default=None)
        if longest is None:
            return None
        needed.append(longest)
    first = min(needed, key=_end)
    return Muted(by=first.kind, id=first.id, until=moment(first.ends_ms), reason=first.reason or None)


def _end(silence: ActiveSilence) -> tuple[int, str]:
    return silence.ends_ms, silence.id


def inhibited(
    incident: Incident, findings: Sequence[Finding], others: Iterable[Incident], settle_ms: int
) -> Muted | None:
    """The earlier incident that explains this one as a whole, if there is one.

    Asked only of an incident that nobody has heard of yet: what has paged somebody is not taken back for it.
    """
    order = (incident.onset_ms, incident.opened_ms, incident.incident_id)
    for cause in sorted(others, key=lambda one: (one.onset_ms, one.opened_ms, one.incident_id)):
        earlier = (cause.onset_ms, cause.opened_ms, cause.incident_id) < order
        if (
            earlier
            and not cause.is_over
            and shows(findings, cause)
            and all(may_explain(cause, firing, settle_ms) for firing in incident.speaking())
        ):
            return Muted(by="inhibition", id=cause.incident_id)
    return None
