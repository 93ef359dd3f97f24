"""Inhibition: the cause of an open incident explains its symptoms, and what is explained pages nobody.

A firing is inhibited by an open incident of the same environment and system if

* the check that decided the incident is one that explains such firings (`EXPLAINS`),
* the firing's onset does not lie before the incident's,
* that answer was given before the firing's onset, or soon after the incident opened (`settle_ms`), and
* the firing's own case shows the same: in its own chain that check is critical, too.

The last two keep an incident that has been open for days from swallowing the next one: an old incident whose answer
changes because something new breaks is not the cause of what is new, and a cause that cannot be seen in the symptom's
own evidence explains nothing. A budget's burn, which may stay open for weeks, explains nothing at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.outputs import Finding, Firing
from schemas.words import DetectorName, TriageResult
from triage.incident import Incident
from triage.words import millis

EXPLAINS: Final[Mapping[TriageResult, tuple[DetectorName, ...]]] = {
    "authorization_denials": ("escalation_rate", "evaluation_drop"),
    "circuit_breaker_state": ("escalation_rate", "silence", "evaluation_drop"),
    "recent_deployments": ("escalation_rate", "evaluation_drop", "burn_rate", "silence", "authorization_denials"),
}
"""The check that decided an incident, and the detectors whose later firings it explains. `eval_score_trend` is not one
of them: a judgement that degrades is more often a symptom than a cause."""


def may_explain(cause: Incident, firing: Firing, settle_ms: int) -> bool:
    """Whether the cause's last answer, and the order in time, let it explain the firing; its evidence is not asked."""
    onset_ms = millis(firing.onset_at)
    return (
        cause.last is not None
        and cause.groups
        and (cause.environment, cause.system) == (firing.scope.environment, firing.scope.system)
        and firing.detector in EXPLAINS.get(cause.last.triage_result, ())
        and cause.onset_ms <= onset_ms
        and cause.answered_ms <= max(onset_ms, cause.opened_ms + settle_ms)
    )


def shows(findings: Sequence[Finding], cause: Incident) -> bool:
    """Whether findings about the symptom bear out what decided the cause's incident."""
    decided = cause.last.triage_result if cause.last is not None else None
    return any(finding.check == decided and finding.severity == "critical" for finding in findings)
