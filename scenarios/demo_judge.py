"""Expected against found: whether what Midwatch said about the labelled incidents is right. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scenarios.fleet_model import ENVIRONMENT, MINUTE_MS
from scenarios.incidents import Expected, Incident, Rollback
from schemas.outputs import Firing, RollbackTarget, Verdict

ONSET_SLACK_MS = 15 * MINUTE_MS
"""How far before the true start an estimated onset may lie: a change point among counts is not exact."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One labelled incident (or the unexpected rest, with `incident` None): what was said, and what is wrong with it.

    `found` is the answer that stood when the cause ended; `detected_minutes` counts from the true start.
    """

    incident: Incident | None
    found: Verdict | None
    detected_minutes: float | None
    resolved: bool
    problems: tuple[str, ...]


def judge(incidents: Sequence[Incident], verdicts: Iterable[Verdict], firings: Iterable[Firing]) -> list[Judgement]:
    """One judgement for each labelled incident, in order, and one for each incident that nobody expected.

    Verdicts and firings come in any order and may repeat; a repeat is the same id and counts once.
    """
    stories = _stories(verdicts)
    claims = {(firing.scope.system, firing.detector) for firing in firings if firing.scope.environment == ENVIRONMENT}
    judged, known = [], {incident.system for incident in incidents}
    for incident in incidents:
        mine = [story for story in stories.values() if _is_at(story, incident.system)]
        detectors = tuple(sorted(detector for system, detector in claims if system == incident.system))
        judged.append(_judge_one(incident, mine, detectors))
    judged += [
        Judgement(None, story[-1], None, _is_resolved(story), ("nobody expected this incident",))
        for story in stories.values()
        if story[0].scope.environment != ENVIRONMENT or story[0].scope.system not in known
    ]
    return judged


def _stories(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """The verdicts of each incident by revision, without repeats; incidents by their first decision."""
    unique = {verdict.verdict_id: verdict for verdict in verdicts}
    stories: dict[str, list[Verdict]] = {}
    ordered = sorted(unique.values(), key=lambda verdict: (verdict.decided_at, verdict.incident_id, verdict.revision))
    for verdict in ordered:
        stories.setdefault(verdict.incident_id, []).append(verdict)
    return stories


def _judge_one(incident: Incident, stories: list[list[Verdict]], detectors: tuple[str, ...]) -> Judgement:
    if incident.expected is None:
        found = stories[0][-1] if stories else None
        problems = [f"fired: {story[0].trigger.summary}" for story in stories]
        problems += [f"{detector} claimed something" for detector in detectors if not stories]
        return Judgement(incident, found, None, bool(stories) and _is_resolved(stories[0]), tuple(problems))
    if not stories:
        return Judgement(incident, None, None, resolved=False, problems=("no verdict",))
    story = stories[0]
    problems = [*_story_problems(incident, incident.expected, story)]
    if len(stories) > 1:
        problems.append(f"{len(stories)} incidents instead of one")
    foreign = sorted(set(detectors) - set(incident.expected.detectors))
    problems += [f"{detector} claimed something" for detector in foreign]
    if incident.expected.detectors[0] not in detectors:
        problems.append(f"{incident.expected.detectors[0]} claimed nothing")
    detected = (_millis(story[0]) - incident.start_ms) / MINUTE_MS
    return Judgement(incident, _standing(incident, story), detected, _is_resolved(story), tuple(problems))


def _story_problems(incident: Incident, expected: Expected, story: list[Verdict]) -> Iterator[str]:
    """What is wrong with the revisions of the one incident, in their order, and with the answer that stood."""
    if [verdict.revision for verdict in story] != list(range(len(story))):
        yield f"revisions {', '.join(str(verdict.revision) for verdict in story)}"
    if not _is_resolved(story):
        yield "not resolved"
    elif _millis(story[-1]) < incident.end_ms:
        yield "resolved before its cause ended"
    if _millis(story[0]) < incident.start_ms:
        yield "fired before its cause began"
    onset_ms = round(story[0].onset_at.timestamp() * 1000)
    if not incident.start_ms - ONSET_SLACK_MS <= onset_ms <= incident.end_ms:
        yield f"onset at {story[0].onset_at:%H:%M}"
    for verdict in story:
        yield from _never_problems(expected, verdict)
    for name, (wanted, found) in _answers(expected, _standing(incident, story)).items():
        if found not in wanted:
            yield f"{name}: {found} instead of {' or '.join(map(str, wanted))}"


def _never_problems(expected: Expected, verdict: Verdict) -> Iterator[str]:
    """What no revision may say, not even an early one that is still short of evidence."""
    at = f"revision {verdict.revision}"
    if verdict.triage_result not in {expected.triage_result, "inconclusive"}:
        yield f"{at} blames {verdict.triage_result}"
    if verdict.severity == "critical" and not expected.pages:
        yield f"{at} is critical"
    if verdict.recommendation.kind == "rollback" and "rollback" not in expected.recommendations:
        yield f"{at} recommends a rollback"


def _answers(expected: Expected, found: Verdict) -> Mapping[str, tuple[tuple[object, ...], object]]:
    """By field: what is right, and what was found, in the order in which a reader would ask."""
    cause = found.causes[0].cause if found.causes else None
    explained = found.probable_cause.check if found.probable_cause else None
    right_agents = (None,) if expected.agent is None else (None, expected.agent)
    return {
        "triage_result": ((expected.triage_result,), found.triage_result),
        "action": ((expected.action,), found.action),
        "probable cause": ((expected.explained_by,), explained),
        "first cause": ((expected.cause,), cause),
        "recommendation": (expected.recommendations, found.recommendation.kind),
        "pages": ((expected.pages,), found.severity == "critical"),
        "detector": (expected.detectors, found.trigger.detector),
        "flow": ((None, expected.flow) if expected.agent else (expected.flow,), found.scope.flow),
        "agent": (right_agents, found.scope.agent),
        "target": ((expected.rollback,), _rollback(found.target)),
    }


def _rollback(target: RollbackTarget | None) -> Rollback | None:
    if target is None:
        return None
    ref = tuple(sorted(target.ref.items()))
    return Rollback(target.kind, target.component, target.from_version, target.to_version or "", ref)


def _standing(incident: Incident, story: list[Verdict]) -> Verdict:
    """The last answer while the cause was there: afterwards its evidence fades, and people have acted."""
    return next((verdict for verdict in reversed(story) if _millis(verdict) <= incident.end_ms), story[0])


def _is_resolved(story: list[Verdict]) -> bool:
    return [verdict.status == "resolved" for verdict in story] == [False] * (len(story) - 1) + [True]


def _is_at(story: list[Verdict], system: str) -> bool:
    return story[0].scope.environment == ENVIRONMENT and story[0].scope.system == system


def _millis(verdict: Verdict) -> int:
    return round(verdict.decided_at.timestamp() * 1000)
