"""Others' scores on our scale of 1 (worst) to 5 (best). Pure.

| what | its scale | ours |
|---|---|---|
| quality evaluators of azure-ai-evaluation (coherence, groundedness, ...) | 1 to 5 | as it is |
| safety evaluators (violence, sexual, self_harm, hate_unfairness) | 0 to 7, lower is better | 5 - 4 * s / 7 |
| binary ones (task_adherence, task_completion, ...), labels pass and fail | pass or fail | 5 or 1 |
| text similarity (f1, bleu, ...) | 0 to 1 | 1 + 4 * s |
| a result that states its least and greatest value | those, either direction | linear |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Scale:
    """A scale from `low` to `high`, and which end is the good one."""

    low: float
    high: float
    better: Literal["higher", "lower"] = "higher"

    def ours(self, value: float) -> float | None:
        """The value on our scale, None outside this one."""
        if not self.low <= value <= self.high:
            return None
        share = (value - self.low) / (self.high - self.low)
        return 1 + 4 * (share if self.better == "higher" else 1 - share)


FIVE: Final = Scale(1, 5)
SEVERITY: Final = Scale(0, 7, "lower")
UNIT: Final = Scale(0, 1)

SCALES: Final[dict[str, Scale]] = {
    **dict.fromkeys(
        (
            "coherence",
            "fluency",
            "relevance",
            "groundedness",
            "similarity",
            "retrieval",
            "response_completeness",
            "intent_resolution",
            "tool_call_accuracy",
        ),
        FIVE,
    ),
    **dict.fromkeys(("violence", "sexual", "self_harm", "hate_unfairness"), SEVERITY),
    **dict.fromkeys(("f1", "bleu", "gleu", "rouge", "meteor"), UNIT),
    **dict.fromkeys(
        ("task_adherence", "task_completion", "protected_material", "indirect_attack", "code_vulnerability"), UNIT
    ),
}
"""By evaluator. The last group is binary: 0 fails, 1 passes."""

BINARY: Final = frozenset(
    {"task_adherence", "task_completion", "protected_material", "indirect_attack", "code_vulnerability"}
)

LABELS: Final = {"pass": 5.0, "passed": 5.0, "true": 5.0, "fail": 1.0, "failed": 1.0, "false": 1.0}


def on_our_scale(criterion: str, value: float | None, label: str | None, stated: Scale | None = None) -> float | None:
    """A score of 1 to 5, or None where nothing says what the value means.

    A stated scale counts first, then the evaluator's own, then the label. A value without any of these counts as it is
    if it lies between 1 and 5.
    """
    verdict = LABELS.get(label.strip().lower()) if label else None
    if criterion in BINARY and verdict is not None:
        return verdict
    scale = stated or SCALES.get(criterion)
    if value is not None and scale is not None:
        return scale.ours(value)
    if verdict is not None:
        return verdict
    return value if value is not None and 1 <= value <= 5 else None
