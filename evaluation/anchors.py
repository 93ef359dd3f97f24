"""Anchors: interactions with known scores, judged beside the others, so that a judge's change is told from a fleet's.

Two questions are asked of each round. How far is the judge from the known scores (the error)? And has it moved since
its first round (the change)? A judge may always be half a point harsh; what misleads is one that becomes so.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import fmean, stdev
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import t as student

from evaluation.criteria import Criterion
from evaluation.judgement import Judge, Judgement
from schemas.events import Interaction

MIN_SHIFT: Final = 0.3
"""Smallest mean shift of a criterion, in points, that counts as a change: less does not make an evaluation drop."""

MIN_ANCHORS: Final = 4
"""Fewest anchors scored in both rounds that can show one."""

CHANCE: Final = 0.01
"""How likely a judge that only wavers may be taken for one that changed, by round and criterion."""

Scores: TypeAlias = Mapping[tuple[str, str], float]
"""Scores of one round by anchor and criterion; without those that had no data."""


class Anchor(BaseModel):
    """One interaction with its known scores by criterion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    outcome: str
    reason: str | None = None
    request: str
    context: str
    response: str
    steps: tuple[str, ...]
    known: dict[str, Annotated[int, Field(ge=1, le=5)]]

    def interaction(self) -> Interaction:
        """As an event; its environment and system say that it is none of the fleet."""
        plain: dict[str, Any] = {
            "id": f"anchor-{self.name}",
            "time": "2026-03-01T12:00:00Z",
            "environment": "midwatch-anchor",
            "system": "midwatch-anchor",
            "flow": "anchor",
            "outcome": self.outcome,
            "request": self.request,
            "context": self.context,
            "response": self.response,
            "steps": [_step(step) for step in self.steps],
        }
        if self.reason is not None:
            plain["escalation"] = {"reason": self.reason}
        return Interaction.model_validate(plain, strict=False)


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a criterion's scores moved between two rounds: the mean, over how many anchors, and whether it counts."""

    criterion: str
    mean: float
    anchors: int
    changed: bool


@cache
def shipped_anchors() -> tuple[Anchor, ...]:
    """The anchors that come with Midwatch."""
    text = resources.files("evaluation").joinpath("data", "anchors.toml").read_text(encoding="utf-8")
    return tuple(Anchor.model_validate(table) for table in tomllib.loads(text)["anchor"])


def wanted(anchor: Anchor, criteria: Sequence[Criterion]) -> list[Criterion]:
    """The criteria that an anchor has known scores for."""
    return [criterion for criterion in criteria if criterion.name in anchor.known]


def scores_of(judged: Iterable[tuple[str, Judgement]]) -> Scores:
    """A round's scores, from each anchor's name and judgement."""
    return {(name, one.criterion): one.score for name, one in judged if one.score is not None}


async def judge_anchors(judge: Judge, criteria: Sequence[Criterion], anchors: Sequence[Anchor]) -> Scores:
    """One round: every anchor by the criteria that it has known scores for."""
    found: list[tuple[str, Judgement]] = []
    for anchor in anchors:
        judgements = await judge.judge(anchor.interaction(), wanted(anchor, criteria))
        found.extend((anchor.name, one) for one in judgements)
    return scores_of(found)


def anchor_errors(scores: Scores, anchors: Sequence[Anchor]) -> dict[str, float]:
    """By criterion, the mean distance from the known scores; no criterion without a score."""
    known = {(anchor.name, name): value for anchor in anchors for name, value in anchor.known.items()}
    errors: dict[str, list[float]] = {}
    for key, score in scores.items():
        errors.setdefault(key[1], []).append(abs(score - known[key]))
    return {criterion: fmean(found) for criterion, found in sorted(errors.items())}


def judge_shifts(before: Scores, now: Scores) -> list[Shift]:
    """Whether the judge changed between two rounds, by criterion: a paired t-test over the anchors in both."""
    pairs: dict[str, list[float]] = {}
    for key in sorted(before.keys() & now.keys()):
        pairs.setdefault(key[1], []).append(now[key] - before[key])
    return [_shift(criterion, differences) for criterion, differences in sorted(pairs.items())]


def _shift(criterion: str, differences: list[float]) -> Shift:
    mean, number = fmean(differences), len(differences)
    if number < MIN_ANCHORS or abs(mean) < MIN_SHIFT:
        return Shift(criterion, mean, number, changed=False)
    error = stdev(differences) / math.sqrt(number)
    likely = error > 0 and 2 * float(student.sf(abs(mean) / error, number - 1)) >= CHANCE
    return Shift(criterion, mean, number, changed=not likely)


def _step(text: str) -> dict[str, Any]:
    name, _, status = text.rpartition(": ")
    return {
        "agent": "anchor",
        "operation": "execute_tool",
        "name": name,
        "start_ms": 0,
        "duration_ms": 100,
        "status": status,
    }
