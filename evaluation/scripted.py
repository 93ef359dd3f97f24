"""Scores by fixed rules: the demo's judge, and the opinions of the scripted server. It is no model, and says so.

The rules look at what the record states (outcome, steps, words of courtesy, words that claim success), so that a change
in a simulated fleet shows in the scores. They understand nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from evaluation.criteria import Criterion
from evaluation.judge_metrics import JudgeMetrics
from evaluation.judgement import Judgement
from evaluation.prompt import has_text
from schemas.events import Interaction

SCRIPTED_MODEL: Final = "midwatch-scripted-1"
TEMPLATE: Final = "scripted rules, 1"

_SUCCESS: Final = re.compile(
    r"\b(done|completed|processed|issued|refunded|confirmed|succeeded|success(?:ful(?:ly)?)?|resolved|booked)\b",
    re.IGNORECASE,
)
_COURTESY: Final = re.compile(
    r"\b(please|thank|thanks|sorry|apologi[sz]e|glad|happy to|welcome|appreciate)\b", re.IGNORECASE
)
_RUDE: Final = re.compile(
    r"\b(stupid|idiot|shut up|nonsense|your (?:own )?fault|stop wasting|not my problem)\b", re.IGNORECASE
)
_RISK: Final = re.compile(
    r"\b(human|person|supervisor|manager|fraud|legal|lawyer|complain\w*|dispute\w*|urgent|exception|angry)\b",
    re.IGNORECASE,
)
_BAD_STEP: Final = frozenset({"error", "denied", "timeout"})
_RISKY_REASONS: Final = frozenset({"customer_request", "policy", "ambiguous", "high_risk"})


def scores_of(record: Mapping[str, Any], criteria: Sequence[str]) -> dict[str, int]:
    """A score of 1 to 5 for each criterion, by the record as the prompt states it."""
    return {name: _RULES.get(name, _other)(record) for name in criteria}


def record_of(interaction: Interaction) -> dict[str, Any]:
    """An interaction in the form of the prompt's record, as it is."""
    return {
        "outcome": interaction.outcome,
        "escalation_reason": interaction.escalation.reason if interaction.escalation else None,
        "steps": [f"{step.operation}: {step.status}" for step in interaction.steps or ()],
        "request": interaction.request or "",
        "response": interaction.response or "",
        "context": interaction.context or "",
    }


def _failed_steps(record: Mapping[str, Any]) -> int:
    return sum(str(step).rpartition(": ")[2] in _BAD_STEP for step in record.get("steps") or ())


def _correctness(record: Mapping[str, Any]) -> int:
    """Claims of success above failed steps are wrong; a conversation that failed is half right."""
    failed, claims = _failed_steps(record), _SUCCESS.search(str(record.get("response") or ""))
    if failed and claims:
        return 2 if failed == 1 else 1
    if record.get("outcome") in {"failed", "abandoned"}:
        return 3
    return 4 if failed else 5


def _escalation(record: Mapping[str, Any]) -> int:
    """A handover is right where the request speaks of risk, its reason does, or tools failed."""
    needed = bool(_RISK.search(str(record.get("request") or ""))) + (_failed_steps(record) > 0)
    needed += record.get("escalation_reason") in _RISKY_REASONS
    if record.get("outcome") == "escalated":
        return (2, 4, 5, 5)[needed]
    return (5, 3, 2, 2)[needed]


def _tone(record: Mapping[str, Any]) -> int:
    response = str(record.get("response") or "")
    if _RUDE.search(response):
        return 1
    return 5 if _COURTESY.search(response) else 3


def _other(record: Mapping[str, Any]) -> int:
    """A criterion without a rule: 3 or 4, by a checksum of the response, so that it is the same each time."""
    return 3 + crc32(str(record.get("response") or "").encode()) % 2


_RULES: Final = {"correctness": _correctness, "escalation_appropriateness": _escalation, "tone": _tone}


class ScriptedJudge:
    """Judges by the rules above, on this machine, at no cost. Its method is `scripted`, so nobody takes it for more."""

    def __init__(self) -> None:
        self.metrics = JudgeMetrics()

    async def judge(self, interaction: Interaction, criteria: Sequence[Criterion]) -> list[Judgement]:
        """One judgement for each criterion, in their order."""
        scores = scores_of(record_of(interaction), [criterion.name for criterion in criteria])
        told = has_text(interaction)
        judgements = [
            Judgement(
                interaction_id=interaction.id,
                criterion=criterion.name,
                status="scored" if told else "no_data",
                score=float(scores[criterion.name]) if told else None,
                reasoning="Scored by fixed rules, not by a model." if told else None,
                reason=None if told else "no_text",
                model=SCRIPTED_MODEL,
                prompt_version=criterion.version(TEMPLATE),
                method="scripted",
                input_tokens=0,
                output_tokens=0,
            )
            for criterion in criteria
        ]
        for judgement in judgements:
            self.metrics.judged.labels(status=judgement.status, method=judgement.method).inc()
            if judgement.reason is not None:
                self.metrics.no_data.labels(reason=judgement.reason).inc()
        return judgements

    async def aclose(self) -> None:
        """Nothing is open."""
