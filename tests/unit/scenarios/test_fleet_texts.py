"""The fleet's texts, held to the rules of the scripted judge: they deserve what the fleet was drawn to be."""

from __future__ import annotations

import itertools

import pytest

from evaluation.scripted import scores_of
from scenarios.fleet import Fleet
from scenarios.fleet_systems import FLEET, REFUNDS
from scenarios.fleet_texts import Said, texts

NAMES = ("correctness", "escalation_appropriateness", "tone")
CASES = list(itertools.product((4.4, 2.0), (4.6, 3.0), range(12)))


@pytest.mark.parametrize("escalated", [True, False])
def test_low_scores_show_in_the_texts(escalated: bool) -> None:
    """Whatever phrases an interaction of any flow is given, low appropriateness and low tone are judged lower."""
    for flow in (flow for system in FLEET for flow in system.flows):
        for apt, tone, pick in CASES:
            drawn = {"correctness": 4.4, "escalation_appropriateness": apt, "tone": tone}
            record = {
                "outcome": "escalated" if escalated else "resolved",
                "escalation_reason": "ambiguous" if escalated else None,
                "steps": [],
                **texts(flow, Said(pick, escalated, drawn)),
            }
            found = scores_of(record, NAMES)
            fit, unfit = 5, 4 if escalated else 3
            assert found["escalation_appropriateness"] == (fit if apt > 4 else unfit), record
            assert found["tone"] == (5 if tone > 4 else 3), record
            assert found["correctness"] == 5, record


def test_every_interaction_can_be_judged_where_no_scores_come() -> None:
    """Then all carry their texts, nothing is scored, and all other events are as they were."""
    start = 1_772_611_200_000
    bare = [event for _, event in Fleet(1, (REFUNDS,), with_scores=False).events(start, start + 1_800_000)]
    full = [event for _, event in Fleet(1, (REFUNDS,)).events(start, start + 1_800_000)]
    assert all(event["request"] and event["response"] for event in bare if event["type"] == "interaction")

    def plain(event: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in event.items() if name not in {"request", "response", "context"}}

    assert [plain(event) for event in bare] == [plain(event) for event in full if event["type"] != "evaluation"]
