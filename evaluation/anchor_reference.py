"""What a judge's anchors are compared with: its first scores of them, kept in Redis, so that no restart forgets them.

One reference for each model and set of anchors; in it, one score by anchor, criterion and prompt version. A changed
prompt or criterion, a changed model and a changed anchor begin a reference of their own: none of them is a drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from evaluation.anchors import Anchor, Scores, Shift, judge_shifts, scores_of
from evaluation.judgement import Judgement
from schemas.canonical import content_id

BETWEEN = "\x1f"

Judged = Sequence[tuple[str, Judgement]]
"""A round: each anchor's name with each of its judgements."""


class Memory(Protocol):
    """Where references are kept."""

    async def reference(self, name: str, scores: Mapping[str, float]) -> Mapping[str, float] | None:
        """Keep scores that are not there yet, and give all that are; None if the memory is away."""
        ...


async def shifts_of(memory: Memory | None, judged: Judged, anchors: Sequence[Anchor], own: Scores) -> list[Shift]:
    """How far the judge has moved from its reference; from `own`, an earlier round, while the memory is away."""
    scored = {_field(name, one): one for name, one in judged if one.score is not None}
    now = scores_of(judged)
    if memory is not None and scored:
        scores = {field: one.score for field, one in scored.items() if one.score is not None}
        known = await memory.reference(reference_name(judged[0][1].model, anchors), scores)
        if known is not None:
            first = {(field.partition(BETWEEN)[0], one.criterion): known[field] for field, one in scored.items()}
            return judge_shifts(first, now)
    return judge_shifts(own, now)


def reference_name(model: str, anchors: Sequence[Anchor]) -> str:
    """The name of a model's reference over these anchors."""
    return content_id("anr", {"model": model, "anchors": [anchor.model_dump(mode="json") for anchor in anchors]})


def _field(anchor: str, judgement: Judgement) -> str:
    return BETWEEN.join((anchor, judgement.criterion, judgement.prompt_version))
