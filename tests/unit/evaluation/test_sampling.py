"""Which interactions are drawn: by identity alone, at the rates that are said."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from evaluation.acks import OrderedAcks
from evaluation.sampling import Kind, decide, draw_of, kind_of, on_grid
from schemas.series import rate_of, stratum_of
from stream.adapters.native import Interaction
from tests.unit.adapters.events import INTERACTION, accepted, encoded

RATES: dict[Kind, float] = {"resolved": 0.05, "escalated": 0.25, "failed": 0.1, "abandoned": 0.05, "denied": 0.5}
rates = st.floats(1e-6, 1.0)


@given(rates)
def test_the_grid_rounds_a_rate_down_and_says_which_it_is(rate: float) -> None:
    """What a score carries is the rate that it was drawn with, and its stratum gives that rate back."""
    drawn = on_grid(rate)
    assert drawn <= rate * (1 + 1e-9)
    assert drawn > rate * 0.84
    assert rate_of(stratum_of(drawn)) == drawn


@given(st.text(max_size=20), rates, rates, st.sampled_from(get_args(Kind)))
def test_a_higher_rate_draws_all_that_a_lower_one_does(name: str, one: float, other: float, kind: Kind) -> None:
    """Samples are nested, so thinning never brings in an interaction that was left out."""
    draw = draw_of("production", "claims", name)
    low, high = sorted([one, other])
    if decide(draw, kind, RATES, low) is not None:
        assert decide(draw, kind, RATES, high) is not None


def test_shares_are_the_rates() -> None:
    """Of 40,000 interactions of each kind, as many are drawn as the rate says, within five standard errors."""
    for kind, wanted in RATES.items():
        drawn = [decide(draw_of("p", "s", f"{kind}-{n}"), kind, RATES) for n in range(40_000)]
        rate = on_grid(wanted)
        share = sum(one is not None for one in drawn) / 40_000
        assert abs(share - rate) < 5 * (rate * (1 - rate) / 40_000) ** 0.5
        uniform = sum(one is not None and one.uniform for one in drawn) / 40_000
        assert abs(uniform - on_grid(0.05)) < 5 * (0.05 * 0.95 / 40_000) ** 0.5


def test_another_process_with_another_hash_seed_draws_alike() -> None:
    """The draw is no builtin hash: a restart changes nothing."""
    code = "from evaluation.sampling import draw_of; print(draw_of('production', 'claims', 'i-1'))"
    answers = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{draw_of('production', 'claims', 'i-1')}\n"}


def test_a_denied_step_makes_an_interaction_denied() -> None:
    """Whatever came of it in the end."""
    step = {"agent": "a", "operation": "execute_tool", "start_ms": 0, "duration_ms": 1, "status": "denied"}
    event = accepted(encoded(INTERACTION | {"steps": [step]}))
    assert isinstance(event, Interaction)
    assert kind_of(event) == "denied"


@given(st.permutations(range(8)))
def test_records_are_acknowledged_in_their_order(order: list[int]) -> None:
    """However the work ends, at no time is a record acknowledged before one that came earlier."""
    acks, acknowledged = OrderedAcks(), list[int]()
    done = [acks.begin("p", partial(acknowledged.append, n)) for n in range(8)]
    for place, number in enumerate(order, start=1):
        done[number]()
        finished = set(order[:place])
        unbroken = next((n for n in range(8) if n not in finished), 8)
        assert acknowledged == list(range(unbroken))
