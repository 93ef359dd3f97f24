"""What a judge says about one interaction on one criterion, and what a judge is.

A judge that cannot score says `no_data` and why; it never answers with a low score instead. So whoever averages
judgements leaves those out, and counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from schemas.events import Interaction

if TYPE_CHECKING:
    from evaluation.criteria import Criterion

Status: TypeAlias = Literal["scored", "no_data"]

NoDataReason: TypeAlias = Literal[
    "timeout",
    "rate_limited",
    "refused",
    "truncated",
    "invalid_output",
    "unavailable",
    "no_text",
    "over_budget",
]
"""Why there is no score: no answer in time; the provider's limit; the model or its content filter declined; the answer
was cut off at the token limit; it was not what was asked for; the provider failed or cannot be reached (its circuit is
open, too); the interaction has no text to judge; the day's budget does not allow it."""

PASSING: Final = frozenset({"timeout", "rate_limited", "unavailable", "over_budget"})
"""Reasons that are gone tomorrow: an interaction without a score for one of them may be judged another time."""

Method: TypeAlias = Literal["logprobs", "samples", "single", "scripted"]
"""How a score came to be: weighted by the probabilities of the score's token, the mean of several samples, one answer
taken as it is, or the scripted judge's rules."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One score, 1 (worst) to 5 (best), or the reason why there is none.

    `score`, `reasoning` are None with `no_data`, `reason` is None with `scored`. Tokens are those of the calls for this
    interaction, divided over its criteria, so that they add up; they are spent for `no_data` as well.
    """

    interaction_id: str
    criterion: str
    status: Status
    score: float | None
    reasoning: str | None
    reason: NoDataReason | None
    model: str
    prompt_version: str
    method: Method
    input_tokens: int
    output_tokens: int


class Judge(Protocol):
    """Judges interactions. It does not raise for what a provider does, and ends within its own time limit."""

    async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
        """One judgement for each criterion, in their order."""
        ...

    async def aclose(self) -> None:
        """Close connections, and what else the judge has started."""
        ...
