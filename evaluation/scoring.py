"""From a model's replies to judgements: the same for a call and for a row of a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.answer import MAX_REASONING, Scored, parse_answer
from evaluation.calls import Reply
from evaluation.cleaning import clean
from evaluation.criteria import Criterion
from evaluation.judgement import Judgement, Method, NoDataReason
from evaluation.prompt import TEMPLATE
from evaluation.weighting import weighted_scores

SCRIPTED_PREFIX: Final = "midwatch-scripted"
"""Models of this name are no models: what they say is marked as scripted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One usable answer: the scores as answered, and as weighted where log-probabilities allow it."""

    scores: dict[str, Scored]
    weighted: dict[str, float]
    model: str


def read_answer(reply: Reply, names: Sequence[str]) -> Answer:
    """A reply's scores. Raises `InvalidAnswer`."""
    scores = parse_answer(reply.text, names)
    return Answer(scores, weighted_scores(reply.text, reply.tokens), reply.model)


def judgements_of(
    interaction_id: str,
    criteria: Sequence[Criterion],
    found: Sequence[Answer] | NoDataReason,
    model: str,
    unanswered: Method,
    tokens: tuple[int, int],
) -> list[Judgement]:
    """One judgement for each criterion, from the answers or from the reason why there are none.

    `tokens` are those that all calls read and wrote; `unanswered` is the method to name where nothing was answered.
    """
    inputs, outputs = shared(tokens[0], len(criteria)), shared(tokens[1], len(criteria))
    answers = () if isinstance(found, str) else found
    judgements = []
    for index, criterion in enumerate(criteria):
        score, method = _score(answers, criterion.name) if answers else (None, unanswered)
        judgements.append(
            Judgement(
                interaction_id=interaction_id,
                criterion=criterion.name,
                status="scored" if answers else "no_data",
                score=score,
                reasoning=clean(answers[0].scores[criterion.name].reasoning, MAX_REASONING) if answers else None,
                reason=found if isinstance(found, str) else None,
                model=model,
                prompt_version=criterion.version(TEMPLATE),
                method=method,
                input_tokens=inputs[index],
                output_tokens=outputs[index],
            )
        )
    return judgements


def _score(answers: Sequence[Answer], name: str) -> tuple[float, Method]:
    """The score of one criterion, and how it came to be. Weighted answers need no others beside them."""
    first = answers[0]
    scripted = first.model.startswith(SCRIPTED_PREFIX)
    if name in first.weighted:
        return first.weighted[name], "scripted" if scripted else "logprobs"
    mean = sum(answer.scores[name].score for answer in answers) / len(answers)
    method: Method = "samples" if len(answers) > 1 else "single"
    return mean, "scripted" if scripted else method


def shared(total: int, parts: int) -> list[int]:
    """`total` in so many whole parts that differ by one at the most and add up to it."""
    whole, rest = divmod(total, parts)
    return [whole + (index < rest) for index in range(parts)]
