"""`midwatch evaluate anchors`: what the judge's drift is measured against, and to begin anew."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from evaluation.anchor_reference import BETWEEN, reference_name
from evaluation.anchors import shipped_anchors
from evaluation.budget import judge_prefix
from schemas.base import JsonObject
from stream.settings import Settings
from stream.settings_clients import redis_client


@dataclass(frozen=True, slots=True)
class Reference:
    """The first scores of a model's anchors, by criterion and prompt version: how many, and their mean."""

    model: str
    means: dict[tuple[str, str], tuple[int, float]]
    reset: bool

    def to_json(self) -> JsonObject:
        """As JSON."""
        criteria = [
            {"criterion": name, "prompt_version": version, "anchors": number, "mean": round(mean, 3)}
            for (name, version), (number, mean) in self.means.items()
        ]
        return {"model": self.model, "reference": criteria, "reset": self.reset}


async def look(settings: Settings, *, reset: bool) -> Reference:
    """The reference of the configured model, as it was; with `reset` it is dropped. Raises RedisError."""
    key = f"{judge_prefix(settings.redis.namespace)}:anchors:{reference_name(settings.judge.model, shipped_anchors())}"
    redis = redis_client(settings.redis)
    try:
        answer: Any = redis.hgetall(key)
        found: dict[bytes, bytes] = await answer
        if reset:
            await redis.delete(key)
    finally:
        await redis.aclose()
    scores: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for field, score in found.items():
        _, criterion, version = field.decode().split(BETWEEN)
        scores[criterion, version].append(float(score))
    means = {place: (len(some), fmean(some)) for place, some in sorted(scores.items())}
    return Reference(settings.judge.model, means, reset)
