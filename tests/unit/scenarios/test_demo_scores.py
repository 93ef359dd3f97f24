"""The demonstration's line of scores and costs, held to sums by hand."""

from __future__ import annotations

from typing import Any

from scenarios.demo_scores import EVERY_MINUTES, Board
from scenarios.fleet_events import Emitted

START_MS = 1_772_611_200_000


def emitted(minute: int, **event: Any) -> Emitted:
    return Emitted(START_MS + minute * 60_000, event)


def test_a_line_comes_when_its_time_comes_and_says_the_weighted_mean() -> None:
    """A score of 1 at rate 1 and one of 5 at rate 1/4: (1 + 4 * 5) / 5 = 4.2; what the judge did comes with it."""
    lines: list[str] = []
    events = [
        emitted(1, type="evaluation", criterion="tone", score=1.0),
        emitted(2, type="evaluation", criterion="tone", score=5.0, sampling={"rate": 0.25, "purpose": "sample"}),
        emitted(EVERY_MINUTES + 1, type="interaction"),
    ]
    Board(START_MS, lines.append, lambda: "judge: 2 of 3").take(events)
    line, judge = lines
    assert judge == "08:20 judge: 2 of 3"
    assert "08:20 Scores since 08:00: tone 4.20" in line
    assert line.endswith("of 2; models' list price $0.00")


def test_provisioned_calls_cost_nothing_more() -> None:
    """A call at list price counts, the same call on provisioned units does not."""
    lines: list[str] = []
    call = {"type": "usage", "model": "gpt-4o", "provider": "azure", "input_tokens": 10_000, "output_tokens": 10_000}
    board = Board(START_MS, lines.append, str)
    board.take([emitted(0, **call)])
    once = board.line()
    board.take([emitted(0, **call, pricing="ptu")])
    assert board.line() == once
    assert not once.endswith("$0.00")
