"""A verdict: the chain's answer to an incident, put together from its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from schemas.outputs import Acknowledged, Engine, Firing, Link, Muted, Recommendation, Scope, Trigger, Verdict
from schemas.words import Cause, Severity, VerdictStatus
from triage.case import Case
from triage.chain import ChainResult, Guard, run_chain, run_guarded
from triage.checks.base import Check
from triage.evidence import observe
from triage.posterior import learned, posterior, rank
from triage.recommendation import advise, idempotency_key
from triage.settings import LinkSettings, TriageSettings
from triage.words import moment

HARMFUL: tuple[Cause, ...] = ("authorization_scope", "judgement", "deployment", "dependency")
_PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why a verdict is given: which incident, which revision of it, when, and what belongs to it."""

    incident_id: str
    revision: int
    status: VerdictStatus
    tick_ms: int
    onset_ms: int
    related: tuple[Scope, ...] = ()
    related_total: int | None = None
    """How many there are, where `related` had to be cut."""
    inhibited: tuple[Scope, ...] | None = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """What triage makes of one case: the chain's answer and the probability of each cause."""

    case: Case
    result: ChainResult
    probabilities: Mapping[Cause, float]


def assess(checks: Sequence[Check], case: Case, run: Guard = run_guarded) -> Assessment:
    """Run the chain on the case and weigh all its findings."""
    result = run_chain(checks, case, run)
    return Assessment(case, result, posterior(observe(case, result.findings), learned()))


def build_verdict(occasion: Occasion, assessment: Assessment, settings: TriageSettings, engine: Engine) -> Verdict:
    """The verdict on this occasion. Its id is derived from its content."""
    case, result, probabilities = assessment.case, assessment.result, assessment.probabilities
    advice = advise(occasion.incident_id, case, result, probabilities, settings.recommendation)
    verdict = Verdict(
        verdict_id=_PENDING,
        incident_id=occasion.incident_id,
        revision=occasion.revision,
        status=occasion.status,
        decided_at=moment(occasion.tick_ms),
        onset_at=moment(occasion.onset_ms),
        scope=case.firing.scope,
        trigger=trigger_of(case.firing),
        triage_result=result.triage_result,
        action=result.action,
        severity=severity_of(case, result, probabilities, settings.recommendation.benign_probability),
        probable_cause=result.probable_cause,
        findings=result.findings,
        causes=rank(probabilities),
        recommendation=advice.recommendation,
        target=advice.target,
        related=occasion.related,
        related_total=occasion.related_total,
        inhibited=occasion.inhibited,
        links=_links(occasion, case, result, settings.links),
        tags=dict(sorted(case.tags.items())),
        engine=engine,
    )
    return verdict.with_id()


def repeated(verdict: Verdict, occasion: Occasion, firing: Firing) -> Verdict:
    """The same answer given again because the incident grew: a firing joined it or was raised."""
    update = {
        "revision": occasion.revision,
        "status": occasion.status,
        "decided_at": moment(occasion.tick_ms),
        "onset_at": moment(occasion.onset_ms),
        "scope": firing.scope,
        "trigger": trigger_of(firing),
        **_company(occasion),
    }
    return verdict.model_copy(update=update).with_id()


def _company(occasion: Occasion) -> dict[str, object]:
    """What else belongs to the incident."""
    return {
        "related": occasion.related,
        "related_total": occasion.related_total,
        "inhibited": occasion.inhibited,
    }


def marked(verdict: Verdict, status: VerdictStatus, muted: Muted | None, acknowledged: Acknowledged | None) -> Verdict:
    """The verdict as it stands under the controls; what is muted never goes without approval."""
    update: dict[str, object] = {"status": status, "muted": muted, "acknowledged": acknowledged}
    if muted is not None and not verdict.recommendation.requires_approval:
        update["recommendation"] = verdict.recommendation.model_copy(update={"requires_approval": True})
    return verdict.model_copy(update=update).with_id()


def resolved(verdict: Verdict, occasion: Occasion) -> Verdict:
    """The end of an incident: its last answer for the record, and nothing left to act on."""
    over = Recommendation(
        kind="none",
        confidence=1.0,
        reason="The incident is over: every firing has recovered.",
        requires_approval=True,
        not_after=moment(occasion.tick_ms),
        idempotency_key=idempotency_key(occasion.incident_id, "none", None),
    )
    update = {
        "revision": occasion.revision,
        "status": "resolved",
        "decided_at": moment(occasion.tick_ms),
        "recommendation": over,
        **_company(occasion),
    }
    return verdict.model_copy(update=update).with_id()


def severity_of(
    case: Case, result: ChainResult, probabilities: Mapping[Cause, float], benign_probability: float
) -> Severity:
    """Critical where a check decided, or a page-tier firing has no benign explanation; else by tier.

    Benign is a breaker that works as designed, judgement proven stable with no harmful cause more likely than not, or
    legitimate traffic at `benign_probability` and more, from which the recommendation is to do nothing. A benign
    explanation lowers a page to a warning and a warning to an information.
    """
    if result.decided is not None:
        return "critical"
    benign = _benign(result, probabilities) or probabilities["legitimate_traffic"] >= benign_probability
    if case.firing.tier == "page":
        return "warning" if benign else "critical"
    return "info" if benign else "warning"


def _benign(result: ChainResult, probabilities: Mapping[Cause, float]) -> bool:
    breaker, scores = result.finding("circuit_breaker_state"), result.finding("eval_score_trend")
    if breaker is not None and breaker.evidence.get("reading") == "engaged":
        return True
    stable = scores is not None and scores.evidence.get("reading") == "stable"
    return stable and all(probabilities[cause] < 0.5 for cause in HARMFUL)


def trigger_of(firing: Firing) -> Trigger:
    """The firing's numbers, without its evidence and its place."""
    return Trigger(**{name: getattr(firing, name) for name in Trigger.model_fields})


def _links(occasion: Occasion, case: Case, result: ChainResult, settings: LinkSettings) -> tuple[Link, ...]:
    scope = case.firing.scope
    values = {
        "incident_id": occasion.incident_id,
        "environment": scope.environment,
        "system": scope.system,
        "flow": scope.flow or "",
        "check": result.triage_result,
    }
    links = []
    if settings.dashboard:
        links.append(_link("dashboard", settings.dashboard, "The incident", values))
    if settings.runbook:
        links.append(_link("runbook", settings.runbook, f"Runbook: {result.triage_result}", values))
    if settings.trace:
        links += [
            _link("trace", settings.trace, f"Trace {trace_id[:32]}", {**values, "trace_id": trace_id})
            for trace_id in _traces(case, result)[: settings.max_traces]
        ]
    return tuple(links)


def _link(rel: str, template: str, text: str, values: Mapping[str, str]) -> Link:
    """The template with each placeholder replaced by its value, quoted for a URL. Other braces stay as they are."""
    href = template
    for name in sorted(values):
        href = href.replace("{" + name + "}", quote(values[name], safe=""))
    return Link(rel=rel, href=href[:2048], text=text)


def _traces(case: Case, result: ChainResult) -> Sequence[str]:
    decided = result.decided
    exemplars = (*(decided.exemplars if decided else ()), *case.exemplars)
    found = dict.fromkeys(item.trace_id for item in exemplars if item.trace_id)
    return list(found)
