"""A verdict for people: the few lines that someone reads on a terminal at two in the morning."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.base import format_time
from schemas.outputs import Finding, Scope, Verdict

SHOWN = 3
"""Other series that are named; all are in the verdict itself."""

MARKS = {"critical": "!!", "warning": "! ", "info": "i ", "none": "  "}


def verdict_lines(verdict: Verdict, page: str | None = None) -> Iterator[str]:
    """The lines, without colours or line breaks. Texts that came from telemetry are made printable.

    `page` is the address of the incident's page, if there is one.
    """
    for line in _lines(verdict):
        yield printable(line)
    if page is not None:
        yield printable(f"  page: {page}")


def _lines(verdict: Verdict) -> Iterator[str]:
    head = f"{format_time(verdict.decided_at)}  {verdict.severity.upper()}  {verdict.status}  {place(verdict.scope)}"
    yield f"{head}  [{verdict.incident_id} #{verdict.revision}]"
    yield from _controls_lines(verdict)
    if verdict.status == "resolved":
        yield f"  resolved; it began {format_time(verdict.onset_at)}. The answer was {verdict.triage_result}."
        return
    yield f"  {verdict.trigger.summary}"
    yield f"  since {format_time(verdict.onset_at)}; {verdict.triage_result} -> {verdict.action}"
    yield from _company_lines(verdict)
    yield from answer_lines(verdict)


def _controls_lines(verdict: Verdict) -> Iterator[str]:
    """What humans have said about it: nobody is to be paged, somebody is at it."""
    muted, acknowledged = verdict.muted, verdict.acknowledged
    if muted is not None:
        until = f" until {format_time(muted.until)}" if muted.until is not None else ""
        reason = f": {muted.reason}" if muted.reason else ""
        yield f"  muted by {muted.by} {muted.id}{until}{reason}"
    if acknowledged is not None:
        note = f": {acknowledged.note}" if acknowledged.note else ""
        yield f"  acknowledged by {acknowledged.by} at {format_time(acknowledged.at)}{note}"


def _company_lines(verdict: Verdict) -> Iterator[str]:
    """What else fired."""
    if verdict.related:
        total = verdict.related_total or len(verdict.related)
        more = f" and {total - SHOWN:,} more" if total > SHOWN else ""
        yield f"  with {total:,} other series: {', '.join(map(_dimension, verdict.related[:SHOWN]))}{more}"
    if verdict.inhibited:
        total = len(verdict.inhibited)
        more = f" and {total - SHOWN:,} more" if total > SHOWN else ""
        yield f"  explains {total:,} more: {', '.join(map(_dimension, verdict.inhibited[:SHOWN]))}{more}"


def _dimension(scope: Scope) -> str:
    """A scope within its own system."""
    return place(scope).partition(" ")[2] or place(scope)


def answer_lines(verdict: Verdict) -> Iterator[str]:
    """What was found and what to do, without where and why it was asked; not yet made printable."""
    if verdict.probable_cause is not None:
        yield f"  because: {verdict.probable_cause.summary}"
    cause = verdict.probable_cause.summary if verdict.probable_cause is not None else None
    for finding in verdict.findings:
        yield _finding_line(finding, "as above" if finding.summary == cause else finding.summary)
    if verdict.causes:
        ranked = ", ".join(f"{one.cause} {one.probability:.0%}" for one in verdict.causes[:3])
        yield f"  causes: {ranked}"
    advice = verdict.recommendation
    terms = [f"{advice.confidence:.0%} sure", *(["needs approval"] if advice.requires_approval else [])]
    yield f"  do: {advice.kind} ({', '.join(terms)}, until {format_time(advice.not_after)}): {advice.reason}"
    if verdict.target is not None:
        target = verdict.target
        back = f" -> {target.to_version}" if target.to_version is not None else ""
        yield f"  target: {target.component} {target.from_version}{back} ({target.kind})"


def place(scope: Scope) -> str:
    """Where it happened, as `environment/system` and the dimension."""
    named = {"flow": scope.flow, "agent": scope.agent, "budget": scope.budget, "criterion": scope.criterion}
    rest = " ".join(f"{name}={value}" for name, value in named.items() if value is not None)
    return f"{scope.environment}/{scope.system} {rest}".rstrip()


def printable(text: str) -> str:
    """Text without control characters: names come from telemetry, and a terminal obeys escape sequences."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _finding_line(finding: Finding, summary: str) -> str:
    mark = MARKS[finding.severity] if finding.status == "evaluated" else "? "
    note = " (after the stop)" if finding.after_stop else ""
    state = "" if finding.status == "evaluated" else f" [{finding.status}]"
    return f"  {mark} {finding.check}{state}{note}: {summary}"
