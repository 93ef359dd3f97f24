"""A verdict as the parts of the page: card, chain, evidence, outcome by version, timeline. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dashboard import sentences
from dashboard.methods import Methods
from dashboard.views import (
    CHECK_QUESTIONS,
    ActionView,
    ChainStep,
    DenialRow,
    IncidentCard,
    IncidentState,
    Revision,
    ScoreRow,
    VersionOutcome,
)
from schemas.actions import ActionTaken
from schemas.controls import Acknowledgement, Approval, Silence
from schemas.feedback import Feedback
from schemas.outputs import Finding, Verdict
from schemas.words import CHECK_ORDER, Severity
from stream.feedback import Share
from triage.words import quoted

GRAVITY: Final[Mapping[Severity, int]] = {"critical": 0, "warning": 1, "info": 2}
FACTS: Final = 16
"""Most facts of a finding that are shown; all are in the verdict itself."""

ROWS: Final = 50


def card_of(verdict: Verdict, *, awaits_approval: bool = False) -> IncidentCard:
    """The incident as its latest verdict has it."""
    acknowledged, muted = verdict.acknowledged, verdict.muted
    return IncidentCard(
        incident_id=verdict.incident_id,
        severity=verdict.severity,
        state=state_of(verdict),
        sentence=sentences.sentence(verdict),
        headline=sentences.headline(verdict),
        advice=sentences.advice(verdict),
        scope=verdict.scope,
        detector=verdict.trigger.detector,
        triage_result=verdict.triage_result,
        onset_at=verdict.onset_at,
        decided_at=verdict.decided_at,
        resolved_at=verdict.decided_at if verdict.status == "resolved" else None,
        revision=verdict.revision,
        acknowledged_by=acknowledged.by if acknowledged is not None else None,
        muted_by=muted.by if muted is not None else None,
        awaits_approval=awaits_approval,
        related=verdict.related_total or len(verdict.related),
    )


def state_of(verdict: Verdict) -> IncidentState:
    """Over, in somebody's hands, paging nobody, or simply open."""
    if verdict.status == "resolved":
        return "resolved"
    if verdict.muted is not None:
        return "muted"
    return "acknowledged" if verdict.acknowledged is not None else "open"


def by_gravity(cards: Iterable[IncidentCard]) -> tuple[IncidentCard, ...]:
    """Gravest first; of one gravity those that nobody has yet, then the newest."""
    return tuple(
        sorted(
            cards,
            key=lambda card: (
                GRAVITY[card.severity],
                card.state == "acknowledged",
                -card.onset_at.timestamp(),
                card.incident_id,
            ),
        )
    )


def chain_of(verdict: Verdict) -> tuple[ChainStep, ...]:
    """The runbook in its order, with what each check found; checks of installed packages stand behind it."""
    found = {finding.check: finding for finding in verdict.findings}
    extra = [name for name in found if name not in CHECK_ORDER]
    decided_before: str | None = None
    steps = []
    for order, check in enumerate((*CHECK_ORDER, *extra), 1):
        finding = found.get(check)
        decided = check == verdict.triage_result
        steps.append(
            ChainStep(
                order=order,
                check=check,
                question=CHECK_QUESTIONS.get(check, f"What does {quoted(check)} say?"),
                finding=finding,
                decided=decided,
                why=_why(finding, decided_before),
                facts=facts_of(finding.evidence) if finding is not None else (),
            )
        )
        decided_before = check if decided else decided_before
    return tuple(steps)


def _why(finding: Finding | None, decided_before: str | None) -> str | None:
    if finding is None:
        return "The verdict holds no answer of this check."
    if finding.after_stop and decided_before is not None:
        return f"The runbook had stopped at {decided_before.replace('_', ' ')}: run for the record, it decides nothing."
    if finding.status == "no_data":
        return "There was not enough telemetry to answer."
    return "The check itself failed." if finding.status == "error" else None


def facts_of(evidence: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The evidence's plain values as names and texts; what is nested or empty is left out."""
    facts = []
    for name, value in evidence.items():
        said = _fact(name, value)
        if said is not None:
            facts.append((quoted(name).replace("_", " ").capitalize(), said))
    return tuple(facts[:FACTS])


def _fact(name: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if name.startswith("p_value") else f"{value:,.4g}"
    if isinstance(value, str) and value:
        return quoted(value)
    if isinstance(value, list) and value and all(isinstance(one, int | float) for one in value):
        return ", ".join(f"{one:g}" for one in value[:10])
    return None


def versions_of(verdict: Verdict) -> tuple[VersionOutcome, ...]:
    """How the suspect version fared against the one it replaces, as `recent_deployments` compared them."""
    changes = _evidence(verdict, "recent_deployments")
    found = []
    for which, name in (("new", "version"), ("old", "previous_version")):
        total, hits = changes.get(f"{which}_interactions"), changes.get(f"{which}_escalations")
        if not isinstance(total, int) or not isinstance(hits, int) or not 0 <= hits <= total or not total:
            continue
        low, high = Share(hits, total).interval
        version = sentences.text(changes, name) or _listed_version(changes, name) or f"the {which} one"
        found.append(
            VersionOutcome(
                version=version,
                interactions=total,
                escalated=hits,
                rate=hits / total,
                low=low,
                high=high,
                is_suspect=which == "new",
            )
        )
    return tuple(found)


def _listed_version(changes: Mapping[str, Any], name: str) -> str | None:
    listed = changes.get("changes")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    return sentences.text(first, name)


def denials_of(verdict: Verdict) -> tuple[DenialRow, ...]:
    """Denied requests by agent and action, as `authorization_denials` counted them; the most denied first."""
    rows = []
    for agent in _objects(_evidence(verdict, "authorization_denials").get("top")):
        name, requests = sentences.text(agent, "agent") or "unknown", _count(agent.get("requests"))
        pairs = [pair for pair in _objects(agent.get("by_action_and_principal")) if _count(pair.get("denials"))]
        for pair in pairs:
            rows.append(
                DenialRow(
                    agent=name,
                    action=sentences.text(pair, "action") or "unknown",
                    requests=requests,
                    denials=_count(pair.get("denials")),
                    principal=sentences.text(pair, "principal"),
                )
            )
        if not pairs and _count(agent.get("denials")):
            rows.append(DenialRow(agent=name, action="any", requests=requests, denials=_count(agent.get("denials"))))
    return tuple(sorted(rows, key=lambda row: -row.denials)[:ROWS])


def scores_of(verdict: Verdict, methods: Methods | None = None) -> tuple[ScoreRow, ...]:
    """Means since the onset and before it, as `eval_score_trend` compared them, and how the newest were judged."""
    rows, scope = [], verdict.scope
    for trend in _objects(_evidence(verdict, "eval_score_trend").get("trends")):
        flow, criterion = sentences.text(trend, "flow") or "", sentences.text(trend, "criterion") or ""
        method = methods.of(scope.environment, scope.system, flow, criterion) if methods is not None else None
        for name, version in (("recent", "since the onset"), ("before", "before")):
            summary = trend.get(name)
            if isinstance(summary, dict):
                rows.append(
                    ScoreRow(
                        criterion=criterion,
                        flow=flow,
                        version=version,
                        mean=_number(summary.get("mean")),
                        low=_number(summary.get("low")),
                        high=_number(summary.get("high")),
                        scores=_count(summary.get("scores")),
                        method=method,
                    )
                )
    return tuple(rows[:ROWS])


def revisions_of(verdicts: Sequence[Verdict]) -> tuple[Revision, ...]:
    """What each revision brought, oldest first."""
    found, before = [], None
    for verdict in verdicts:
        found.append(
            Revision(
                revision=verdict.revision,
                verdict_id=verdict.verdict_id,
                at=verdict.decided_at,
                status=verdict.status,
                text=news(before, verdict),
            )
        )
        before = verdict
    return tuple(found)


def news(before: Verdict | None, after: Verdict) -> str:
    """What is new in a verdict against the one before it, in words."""
    if before is None:
        return f"Opened: {sentences.headline(after)}. {sentences.advice(after)}."
    if after.status == "resolved":
        return "Resolved: every firing has recovered."
    said = [*_control_news(before, after), *_answer_news(before, after)]
    return f"{'. '.join(said)}." if said else "Confirmed with newer numbers."


def _control_news(before: Verdict, after: Verdict) -> list[str]:
    said = []
    if before.acknowledged != after.acknowledged:
        taken = after.acknowledged
        said.append(f"{quoted(taken.by)} took it" if taken is not None else "Nobody has it in hand any longer")
    if (before.muted is None) != (after.muted is None):
        said.append("Pages nobody from now on" if after.muted is not None else "Pages again")
    return said


def _answer_news(before: Verdict, after: Verdict) -> list[str]:
    said = []
    if before.severity != after.severity:
        said.append(f"Now {after.severity}, was {before.severity}")
    if before.triage_result != after.triage_result:
        said.append(f"Triage now says {after.triage_result.replace('_', ' ')}")
    if sentences.advice(before) != sentences.advice(after):
        said.append(sentences.advice(after))
    joined = len(after.related) - len(before.related)
    if joined > 0:
        said.append(f"{joined} more series joined")
    return said


def control_action(control: Silence | Acknowledgement | Approval) -> ActionView:
    """A control as something that a person did."""
    if isinstance(control, Silence):
        what = "Ended a silence" if control.is_expired else f"Silenced until {control.ends_at:%Y-%m-%d %H:%M} UTC"
        return ActionView(at=control.time, by=quoted(control.created_by), what=what, detail=control.reason)
    if isinstance(control, Acknowledgement):
        what = "Gave the incident back" if control.withdrawn else "Took the incident in hand"
        return ActionView(at=control.time, by=quoted(control.by), what=what, detail=control.note)
    what = "Approved the rollback" if control.decision == "approve" else "Refused the rollback"
    return ActionView(at=control.time, by=quoted(control.by), what=what, detail=control.note)


def feedback_action(feedback: Feedback) -> ActionView:
    """A judgement as something that a person did."""
    cause = f", cause: {feedback.cause.replace('_', ' ')}" if feedback.cause else ""
    said = "Confirmed the verdict" if feedback.judgement == "confirmed" else "Refuted the verdict"
    return ActionView(at=feedback.time, by=quoted(feedback.by), what=f"{said}{cause}", detail=feedback.note)


_FAILED: Final = frozenset({"failed", "not_verified", "expired"})
_DONE: Final = frozenset({"succeeded", "verified"})


def taken_action(taken: ActionTaken) -> ActionView:
    """A step of a machine's action."""
    dry = " (dry run: nothing was done)" if taken.mode == "dry_run" else ""
    ok = True if taken.status in _DONE else False if taken.status in _FAILED else None
    what = f"Rollback {taken.status.replace('_', ' ')}{dry}"
    return ActionView(at=taken.time, by=quoted(taken.by), what=what, detail=taken.detail, ok=ok)


def approval_key(
    verdict: Verdict, steps: Iterable[ActionTaken], decided: Iterable[Approval], now: datetime
) -> str | None:
    """The key of the rollback that waits for a person now; None where nothing does.

    A rollback waits that the verdict recommends, that needs approval, that is still in time, about which nobody has
    decided, and that no live step says to have been started, ended or given up.
    """
    advice = verdict.recommendation
    waits = advice.kind == "rollback" and advice.requires_approval and now < advice.not_after
    if not waits or verdict.status == "resolved" or verdict.muted is not None:
        return None
    key = advice.idempotency_key
    if any(one.idempotency_key == key for one in decided):
        return None
    open_steps = {"proposed", "awaiting_approval"}
    begun = any(s.idempotency_key == key and s.mode == "live" and s.status not in open_steps for s in steps)
    return None if begun else key


def _evidence(verdict: Verdict, check: str) -> Mapping[str, Any]:
    return next((one.evidence for one in verdict.findings if one.check == check), {})


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
