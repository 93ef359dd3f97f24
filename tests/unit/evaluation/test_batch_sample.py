"""A bounded sample of a stream: whole at the rate that its scores carry, in whatever order the stream came."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from hypothesis import given
from hypothesis import strategies as st

from costs.prices import Called, PriceBook
from evaluation.batch_price import BatchPrice
from evaluation.batch_sample import BatchSample, Room, Size, total_cost
from evaluation.batch_sources import MAX_LINE, Range, read_file
from evaluation.pacing import Budget, Spent
from evaluation.sampling import Kind, decide, draw_of
from stream.adapters.native import Interaction
from stream.settings import load_settings
from tests.unit.adapters.events import INTERACTION, encoded

RATES: dict[Kind, float] = {"resolved": 0.05, "escalated": 0.25, "failed": 0.1, "abandoned": 0.05, "denied": 0.25}
DAY = 20_457
kinds = st.lists(st.sampled_from(get_args(Kind)), min_size=1, max_size=120)


def _offered(sample: BatchSample[int], order: list[int], kinds: list[Kind]) -> None:
    for number in order:
        draw = draw_of("p", "s", str(number))
        if sample.wants(draw, kinds[number]):
            sample.offer(str(number), draw, kinds[number], number, Size(10 + number % 3, 1, Spent(100, 7)))


@given(kinds, st.integers(0, 40), st.integers(0, 500), st.integers(0, 6000), st.randoms(use_true_random=False))
def test_what_is_chosen_is_all_that_the_chosen_factor_draws(
    kinds: list[Kind], requests: int, size: int, tokens: int, random: Any
) -> None:
    """However small the room and the budget: no interaction below the factor is missing, and none above it is there."""
    rates = dict.fromkeys(RATES, 0.9)
    order = list(range(len(kinds)))
    random.shuffle(order)
    sample, other = (BatchSample[int](rates, Room(size, requests)) for _ in range(2))
    _offered(sample, order, kinds)
    _offered(other, sorted(order) + order, kinds)
    factor, chosen = sample.choose(Budget(tokens, None))
    assert (factor, chosen) == other.choose(Budget(tokens, None))
    expected = {
        str(number)
        for number, kind in enumerate(kinds)
        if factor and decide(draw_of("p", "s", str(number)), kind, rates, factor)
    }
    assert {one.identity for one in chosen} == expected
    assert len(chosen) <= requests
    assert sum(one.size.bytes for one in chosen) <= size
    assert total_cost(chosen).tokens <= tokens


@given(kinds)
def test_room_for_all_thins_nothing(kinds: list[Kind]) -> None:
    """The live rates, and what the live plane would draw."""
    sample = BatchSample[int](RATES, Room(10**6, 10**6))
    _offered(sample, list(range(len(kinds))), kinds)
    factor, chosen = sample.choose(Budget(None, None))
    assert factor == 1.0
    live = [decide(draw_of("p", "s", str(n)), kind, RATES) for n, kind in enumerate(kinds)]
    assert {one.identity: one.drawn for one in chosen} == {str(n): one for n, one in enumerate(live) if one}


def test_a_batch_costs_its_price_or_its_share(tmp_path: Path) -> None:
    """A contract's batch price counts; where none is known, the share of the ordinary price; no price is none."""
    path = tmp_path / "midwatch.toml"
    path.write_text(
        '[prices.mine]\nmodel = "gpt-4.1-mini"\ninput = 2.0\noutput = 8.0\n'
        "[prices.mine.tiers.batch]\ninput = 0.5\noutput = 2.0\n"
    )
    settings = load_settings(path, {})
    assert BatchPrice(settings.price_book(), "gpt-4.1-mini", 0.5).micro(1000, 100, DAY) == 700
    ordinary = PriceBook().micro(Called("gpt-4.1-mini"), 1000, 0, 100, DAY)
    assert ordinary is not None
    assert BatchPrice(PriceBook(), "gpt-4.1-mini", 0.5).micro(1000, 100, DAY) == ordinary // 2
    assert BatchPrice(PriceBook(), "no-such-model", 0.5).micro(1000, 100, DAY) is None


def test_a_file_is_read_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    """Bad lines are counted with their numbers, other events and times outside the range are passed over."""
    path = tmp_path / "interactions.jsonl"
    inside, outside = encoded(INTERACTION), encoded(INTERACTION | {"id": "i-2", "time": "2020-01-01T00:00:00Z"})
    other = encoded({"type": "usage", "id": "u", "time": INTERACTION["time"], "environment": "p", "system": "s",
                     "model": "m", "input_tokens": 1, "output_tokens": 1})  # fmt: skip
    path.write_bytes(b"\n".join([inside, b"{", b"", outside, other, b"x" * (MAX_LINE + 5), inside]))
    taken: list[Interaction] = []
    read = read_file(path, load_settings(None, {}), Range(1_600_000_000_000, None), taken.append)
    assert [event.id for event in taken] == [INTERACTION["id"]] * 2
    assert (read.interactions, read.outside, read.others, read.rejected.total()) == (2, 1, 1, 2)
    assert read.bad[0].startswith(f"{path}, line 2: ")
    assert read.bad[1].startswith(f"{path}, line 6: ")
