"""A verdict in one plain sentence, in a headline, and as advice in a few words. Pure.

Every number in them is the verdict's own. Names come from telemetry: they are cut, and freed of control characters;
whoever writes a text into a page or a terminal escapes it there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from detectors import words
from schemas.outputs import Finding, Scope, Verdict
from schemas.words import Cause
from triage.words import quoted

LONGEST: Final = 600
"""Longest sentence, in characters: what a phone shows without scrolling."""

_LIKELIEST: Final = "likeliest cause: "

CHANGES: Final = {"flow": "flow", "model": "model", "prompt": "prompt", "schema": "schema", "config": "configuration"}

CAUSES: Final[Mapping[Cause, str]] = {
    "authorization_scope": "an agent acting outside its scope",
    "dependency": "a dependency",
    "judgement": "the agents' own judgement",
    "deployment": "a recent change",
    "legitimate_traffic": "legitimate traffic",
    "unknown": "unknown",
}


def sentence(verdict: Verdict) -> str:
    """The whole incident in one sentence: what, how much, since when, likeliest cause, what to do."""
    if verdict.status == "resolved":
        return _bounded(f"Over since {clock(verdict.decided_at, verdict.onset_at)}: {_past(verdict)}.")
    parts = [f"{_observed(verdict)}, since {clock(verdict.onset_at, verdict.decided_at)}"]
    parts.append(_cause(verdict))
    parts.append(_lower(advice(verdict)))
    if verdict.muted is not None:
        parts.append(_muted(verdict))
    if verdict.acknowledged is not None:
        parts.append(f"{quoted(verdict.acknowledged.by)} is on it")
    return _bounded("; ".join(part for part in parts if part))


def headline(verdict: Verdict) -> str:
    """What and where, in a few words."""
    return _bounded(f"{_HEADLINES.get(verdict.trigger.detector, _other_headline)(verdict)} in {area(verdict.scope)}")


def advice(verdict: Verdict) -> str:
    """What to do, in a few words. A machine's order is never given here: whoever reads decides."""
    kind, target = verdict.recommendation.kind, verdict.target
    if verdict.status == "resolved":
        return "Nothing to do"
    if kind == "rollback" and target is not None:
        back = f" to {quoted(target.to_version)}" if target.to_version else ""
        return f"Roll back {quoted(target.component)} {quoted(target.from_version)}{back}"
    if kind == "escalate_security":
        return "Call security"
    if kind == "escalate":
        return _escalation(verdict)
    if kind == "none":
        return "Change nothing, staff the queue"
    return "Look into it"


def place(scope: Scope) -> str:
    """Where it happened, as people name it: `refund-request of refunds (staging)`. Production goes without saying."""
    dimension = scope.flow or scope.agent or scope.budget
    where = quoted(scope.system) if dimension is None else f"{quoted(dimension)} of {quoted(scope.system)}"
    if scope.budget is not None:
        where = f"budget {quoted(scope.budget)}"
    return where if scope.environment == "production" else f"{where} ({quoted(scope.environment)})"


def area(scope: Scope) -> str:
    """The system, and the environment unless it is production; for a budget over all of them, its name."""
    name = scope.budget or "every system" if scope.system == "*" else scope.system
    known = scope.environment in ("production", "*")
    return quoted(name) if known else f"{quoted(name)} ({quoted(scope.environment)})"


def clock(at: datetime, beside: datetime) -> str:
    """`02:14 UTC`, with the day where it is another one than that of `beside`."""
    day = "" if at.date() == beside.date() else f" on {at.day} {at:%B}"
    return f"{at:%H:%M} UTC{day}"


def times(ratio: float | None) -> str:
    """`3.3x normal`; nothing where there is no usual value to compare with."""
    if ratio is None or ratio <= 0:
        return ""
    return f"{words.times(ratio)} normal"


def _observed(verdict: Verdict) -> str:
    return _OBSERVED.get(verdict.trigger.detector, _other)(verdict)


def _past(verdict: Verdict) -> str:
    since = clock(verdict.onset_at, verdict.decided_at)
    return f"{_lower(headline(verdict))}, begun {since}; {_answer(verdict)}"


def _answer(verdict: Verdict) -> str:
    found = _cause(verdict)
    if not found.startswith(_LIKELIEST):
        return "triage was inconclusive"
    return f"the cause was: {found.removeprefix(_LIKELIEST)}"


def _escalations(verdict: Verdict) -> str:
    trigger = verdict.trigger
    normal = _joined(words.percent(trigger.observed), times(trigger.ratio), " of requests")
    return f"{_subject(verdict.scope)} escalates {normal}"


def _denials(verdict: Verdict) -> str:
    trigger, scope = verdict.trigger, verdict.scope
    agent = f"Agent {quoted(scope.agent)}" if scope.agent else _subject(scope)
    normal = _joined(words.percent(trigger.observed), times(trigger.ratio), " of what it tries")
    return f"{agent} of {area(scope)} is refused {normal}"


def _burn(verdict: Verdict) -> str:
    evidence = _budget_words(verdict)
    trigger = verdict.trigger
    name = f"Budget {quoted(verdict.scope.budget)}" if verdict.scope.budget else "A budget"
    pace = f"burns ${trigger.observed:,.0f} a day where ${trigger.baseline:,.0f} would last the month"
    return f"{name} {pace}{evidence}"


def _budget_words(verdict: Verdict) -> str:
    # The detector's own sentence names the day; the trigger carries it no other way.
    _, found, day = verdict.trigger.summary.rpartition("used up on ")
    return f", used up on {day[:10]}" if found and len(day) >= 10 else ""


def _drop(verdict: Verdict) -> str:
    trigger, scope = verdict.trigger, verdict.scope
    what = quoted(scope.criterion).replace("_", " ") if scope.criterion else "Evaluation score"
    version = f" {quoted(scope.version)}" if scope.version else ""
    fall = f"fell to {trigger.observed:.2f} of 5, from {trigger.baseline:.2f}"
    return f"{what.capitalize()} of {place(scope)}{version} {fall}"


def _silence(verdict: Verdict) -> str:
    return f"{_subject(verdict.scope)} has gone silent: {verdict.trigger.summary}"


def _other(verdict: Verdict) -> str:
    return f"{_subject(verdict.scope)}: {verdict.trigger.summary}"


def _subject(scope: Scope) -> str:
    name = place(scope)
    return name[:1].upper() + name[1:]


_OBSERVED: Final[Mapping[str, Callable[[Verdict], str]]] = {
    "escalation_rate": _escalations,
    "authorization_denials": _denials,
    "burn_rate": _burn,
    "evaluation_drop": _drop,
    "silence": _silence,
}


def _head_rate(what: str) -> Callable[[Verdict], str]:
    def write(verdict: Verdict) -> str:
        normal = times(verdict.trigger.ratio)
        return f"{what} {normal}" if normal else f"{what} up"

    return write


def _other_headline(verdict: Verdict) -> str:
    return quoted(verdict.trigger.detector).replace("_", " ").capitalize()


_HEADLINES: Final[Mapping[str, Callable[[Verdict], str]]] = {
    "escalation_rate": _head_rate("Escalations"),
    "authorization_denials": _head_rate("Denials"),
    "burn_rate": lambda _: "Budget will not last",
    "evaluation_drop": lambda _: "Scores are falling",
    "silence": lambda _: "Silence",
}


def _cause(verdict: Verdict) -> str:
    """The likeliest cause in words: what a check found out, else the cause that is ranked first."""
    decided = _finding(verdict, verdict.triage_result)
    if decided is not None and verdict.triage_result in _FOUND:
        return f"{_LIKELIEST}{_FOUND[verdict.triage_result](decided.evidence, verdict.decided_at)}"
    explained = verdict.probable_cause
    shown = _finding(verdict, explained.check) if explained is not None else None
    if shown is not None and shown.check in _EXPLAINED and (said := _EXPLAINED[shown.check](shown.evidence)):
        return f"{_LIKELIEST}{said}"
    if not verdict.causes or verdict.causes[0].cause == "unknown":
        return "no cause found yet"
    top = verdict.causes[0]
    return f"no check is certain, likeliest is {CAUSES[top.cause]} ({100 * top.probability:.0f} %)"


def _finding(verdict: Verdict, check: str) -> Finding | None:
    return next((one for one in verdict.findings if one.check == check and one.status == "evaluated"), None)


def _found_denials(evidence: Mapping[str, Any], _told_at: datetime) -> str:
    action = text(evidence, "action")
    what = f" (mostly {action})" if action else ""
    return f"{text(evidence, 'agent') or 'an agent'} acts outside its scope{what}"


def _found_breaker(evidence: Mapping[str, Any], _told_at: datetime) -> str:
    name = text(evidence, "dependency") or "a dependency"
    return f"{name} is failing and its breaker did not engage"


def _found_scores(evidence: Mapping[str, Any], _told_at: datetime) -> str:
    criterion = (text(evidence, "criterion") or "their judgement").replace("_", " ")
    return f"{criterion} of the agents is getting worse"


def _found_change(evidence: Mapping[str, Any], told_at: datetime) -> str:
    change = CHANGES.get(text(evidence, "change") or "", "change")
    name = " ".join(filter(None, (text(evidence, "component"), text(evidence, "version"))))
    at = _time(evidence, "changed_at")
    shipped = f" shipped at {clock(at, told_at)}" if at is not None else ""
    lacks = text(evidence, "ramp_lacks")
    how = f", which {lacks}" if lacks else ""
    back = " (rolled back since)" if evidence.get("rolled_back") is True else ""
    return f"{change} {name}{shipped}{how}{back}".replace("change  ", "a change ")


def _time(evidence: Mapping[str, Any], name: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(evidence.get(name)))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


_FOUND: Final[Mapping[str, Callable[[Mapping[str, Any], datetime], str]]] = {
    "authorization_denials": _found_denials,
    "circuit_breaker_state": _found_breaker,
    "eval_score_trend": _found_scores,
    "recent_deployments": _found_change,
}


def _benign_breaker(evidence: Mapping[str, Any]) -> str:
    if evidence.get("reading") != "engaged":
        return ""
    return f"{text(evidence, 'dependency') or 'a dependency'} is down and its breaker works as designed"


def _benign_scores(evidence: Mapping[str, Any]) -> str:
    return "riskier cases, which are rightly escalated" if evidence.get("reading") == "stable" else ""


_EXPLAINED: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "circuit_breaker_state": _benign_breaker,
    "eval_score_trend": _benign_scores,
}


def _escalation(verdict: Verdict) -> str:
    match verdict.triage_result:
        case "circuit_breaker_state":
            return "Open the breaker by hand and call the dependency's owner"
        case "eval_score_trend":
            return "Call the flow's owner"
        case "recent_deployments":
            changes = _finding(verdict, "recent_deployments")
            if changes is not None and changes.evidence.get("rolled_back") is True:
                return "Watch the recovery: it has been rolled back"
            return "Decide by hand whether to roll back"
        case _:
            return "Call the owner"


def _muted(verdict: Verdict) -> str:
    muted = verdict.muted
    if muted is None:
        return ""
    if muted.by == "inhibition":
        return "pages nobody: another incident explains it"
    until = f" until {clock(muted.until, verdict.decided_at)}" if muted.until is not None else ""
    name = "maintenance window" if muted.by == "maintenance" else "silence"
    return f"pages nobody: {name}{until}"


def text(evidence: Mapping[str, Any], name: str) -> str | None:
    """A text of the evidence, safe to print; None where there is none."""
    value = evidence.get(name)
    return quoted(value) if isinstance(value, str) and value else None


def _joined(share: str, ratio: str, of: str) -> str:
    return f"{share}{of}, {ratio}" if ratio else f"{share}{of}"


def _lower(said: str) -> str:
    return said[:1].lower() + said[1:]


def _bounded(said: str) -> str:
    clean = "".join(character if character.isprintable() else " " for character in said)
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 3]}..."
