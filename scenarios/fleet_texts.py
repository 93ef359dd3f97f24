"""What customers write and agents answer, so that whoever judges the texts finds what the fleet was drawn to be.

An interaction is drawn with a score for each criterion. Where its appropriateness is low, the texts make what became
of it wrong: a plain request was handed over, or one that called for a person was not. Where its tone is low, the answer
has no courtesy. Correctness shows in the steps, which the texts do not touch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from scenarios.fleet_model import Flow
from schemas.base import JsonObject

LOW_APPROPRIATENESS: Final = 3.2
LOW_TONE: Final = 4.0
"""Drawn scores below these make texts that deserve less."""

_CALLS_FOR_A_PERSON: Final = (
    "I want to speak to a person about this.",
    "This is urgent, and I would like a supervisor to decide.",
    "I have complained about this before.",
    "Somebody may have committed fraud here.",
)
_COURTESIES: Final = ("Thank you for writing to us.", "Thanks for your patience.", "I am glad to help.")
_HANDED_OVER: Final = "I am handing this over to a colleague, who will contact you shortly."


class Said(NamedTuple):
    """What is known of an interaction when its texts are written.

    `pick` chooses phrases and is the number in them; `scores` are those that it was drawn with, by criterion; `asks`
    is written instead of a phrase of the flow.
    """

    pick: int
    escalated: bool
    scores: Mapping[str, float]
    asks: str | None = None


def texts(flow: Flow, said: Said) -> JsonObject:
    """The request, the response, and what the tool answered, as fields of the event."""
    pick, number = said.pick, f"{said.pick:06d}"
    request = (said.asks or flow.asks[pick % len(flow.asks)]).format(n=number)
    if said.escalated == (said.scores["escalation_appropriateness"] >= LOW_APPROPRIATENESS):
        request = f"{request} {_CALLS_FOR_A_PERSON[pick % len(_CALLS_FOR_A_PERSON)]}"
    response = _HANDED_OVER if said.escalated else flow.answers[pick % len(flow.answers)].format(n=number)
    if said.scores["tone"] >= LOW_TONE:
        response = f"{_COURTESIES[pick % len(_COURTESIES)]} {response}"
    return {"request": request, "response": response, "context": f'{{"reference": "{number}", "status": "found"}}'}
