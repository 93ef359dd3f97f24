"""What humans found, and how precise the engine was: feedback written, read back, and counted.

A *detector* was right where something was wrong (`confirmed`). A *check* was right where, besides, no other cause was
named than the one that its verdict ranked first. Precision is the share of those that were right, with Wilson's 95 %
interval (Wilson 1927), which holds for small counts as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Final

from pydantic import ValidationError

from schemas.base import JsonObject
from schemas.canonical import content_id, jsonable
from schemas.feedback import Feedback
from schemas.words import CHECK_ORDER, FEEDBACK_TOPIC
from stream.controls import engine_now, find_verdict, store
from stream.restore import read_values
from stream.settings import Settings
from stream.settings_clients import kafka_options

Z95: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""

WINDOW_DAYS: Final = 28
"""Days of verdicts behind the precision that is shown as a metric."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of those judged were right, and the 95 % interval of their share."""

    right: int
    total: int

    @property
    def ratio(self) -> float:
        """The share itself."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval."""
        n, p = self.total, self.ratio
        scale = 1 + Z95**2 / n
        middle = (p + Z95**2 / (2 * n)) / scale
        half = Z95 * sqrt(p * (1 - p) / n + Z95**2 / (4 * n * n)) / scale
        return max(middle - half, 0.0), min(middle + half, 1.0)

    def to_json(self) -> JsonObject:
        """Counts, share and interval."""
        low, high = self.interval
        precision = {"precision": round(self.ratio, 4), "low": round(low, 4), "high": round(high, 4)}
        return {"right": self.right, "judged": self.total, **precision}


@dataclass(frozen=True, slots=True)
class Precision:
    """Precision of the verdicts of some days: by detector, by what triage said, by week (Monday's date)."""

    days: int
    detectors: dict[str, Share]
    checks: dict[str, Share]
    weeks: dict[str, Share]
    causes: dict[str, int]
    """Causes that humans named where triage had ranked another one first, or where nothing was wrong."""

    def to_json(self) -> JsonObject:
        """All of it as plain JSON types."""
        parts = {"by_detector": self.detectors, "by_check": self.checks, "by_week": self.weeks}
        shares = {name: {key: share.to_json() for key, share in part.items()} for name, part in parts.items()}
        return {"days": self.days, **shares, "other_causes": self.causes}


def last_words(values: Iterable[bytes]) -> list[Feedback]:
    """The last judgement of each incident, in order of their ids. What is no feedback is passed over."""
    last: dict[str, Feedback] = {}
    for value in values:
        try:
            feedback = Feedback.model_validate_json(value)
        except ValidationError:
            continue
        known = last.get(feedback.incident_id)
        if known is None or (known.time, known.id) <= (feedback.time, feedback.id):
            last[feedback.incident_id] = feedback
    return [last[key] for key in sorted(last)]


async def read_feedback(settings: Settings) -> tuple[list[Feedback], datetime]:
    """The last judgement of each incident on the topic, and the time it is for the engine."""
    found = last_words(await read_values(FEEDBACK_TOPIC, kafka_options(settings.kafka)))
    if settings.engine.clock == "wall" or not found:
        return found, await engine_now(settings)
    return found, max(feedback.decided_at for feedback in found)


def recent(feedback: Iterable[Feedback], now: datetime, days: int) -> list[Feedback]:
    """Those about verdicts of the last days."""
    return [one for one in feedback if one.decided_at > now - timedelta(days=days)]


def precision_of(feedback: Sequence[Feedback], now: datetime, days: int) -> Precision:
    """Count the judgements of verdicts that were decided in the last `days`."""
    judged = recent(feedback, now, days)
    causes: dict[str, int] = {}
    for one in judged:
        if one.cause is not None and not one.is_right:
            causes[one.cause] = causes.get(one.cause, 0) + 1
    return Precision(
        days,
        _shares(judged, lambda one: one.detector, lambda one: one.judgement == "confirmed"),
        _shares(judged, lambda one: one.triage_result, lambda one: one.is_right),
        _shares(judged, _week, lambda one: one.judgement == "confirmed"),
        dict(sorted(causes.items())),
    )


def _shares(
    judged: Sequence[Feedback], group: Callable[[Feedback], str], right: Callable[[Feedback], bool]
) -> dict[str, Share]:
    counts: dict[str, list[int]] = {}
    for one in judged:
        cell = counts.setdefault(group(one), [0, 0])
        cell[0] += int(right(one))
        cell[1] += 1
    return {key: Share(*counts[key]) for key in sorted(counts)}


def _week(feedback: Feedback) -> str:
    day = feedback.decided_at.date()
    return (day - timedelta(days=day.weekday())).isoformat()


async def judge(
    settings: Settings, identity: str, judgement: str, cause: str | None, by: str, note: str | None
) -> Feedback:
    """Record what humans found about a verdict, or about the last one of an incident that says what to do.

    Raises ControlError for an unknown id, VerdictsMissing, KafkaError.
    """
    verdict = await find_verdict(settings, identity)
    at = await engine_now(settings)
    top = verdict.causes[0] if verdict.causes else None
    body = {
        "time": at,
        "judgement": judgement,
        "incident_id": verdict.incident_id,
        "verdict_id": verdict.verdict_id,
        "decided_at": verdict.decided_at,
        "environment": verdict.scope.environment,
        "system": verdict.scope.system,
        "detector": verdict.trigger.detector,
        "triage_result": verdict.triage_result,
        "check": verdict.triage_result if verdict.triage_result in CHECK_ORDER else None,
        "top_cause": top.cause if top else None,
        "top_probability": top.probability if top else None,
        "cause": cause,
        "by": by,
        "note": note,
    }
    feedback = Feedback.model_validate({"id": "new", **body})
    feedback = feedback.model_copy(update={"id": content_id("fbk", {**jsonable(feedback), "id": ""})})
    await store(settings, FEEDBACK_TOPIC, feedback.incident_id, feedback, at)
    return feedback
