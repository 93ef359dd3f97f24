"""The price book: which contract prices a call, in which tier and step, and what the list says otherwise."""

from __future__ import annotations

from decimal import Decimal

import pytest

from costs.money import UnitPrices
from costs.prices import LIST, Called, PriceBook
from costs.prices_override import PriceOverride, ambiguous

DAY = 20_700
MILLION = 1_000_000


def per_million(fresh: float, cached: float, written: float) -> UnitPrices:
    fresh_usd, cached_usd, written_usd = (Decimal(str(price)) / MILLION for price in (fresh, cached, written))
    return UnitPrices(fresh_usd, cached_usd, written_usd)


CONTRACT = PriceOverride(
    "contract",
    "gpt-5",
    per_million(1, 0.1, 8),
    provider="azure",
    first_day=DAY,
    end_day=DAY + 10,
    tiers={"batch": per_million(0.5, 0.05, 4)},
    above=((200_000, per_million(2, 0.2, 12)), (400_000, per_million(3, 0.3, 16))),
)
OURS = Called("gpt-5", "azure")


@pytest.mark.parametrize(
    ("called", "tokens", "day", "micro"),
    [
        (OURS, (1_000, 400, 100), DAY, 600 + 40 + 800),
        (OURS, (200_000, 0, 0), DAY, 200_000),  # a step begins above its number
        (OURS, (200_001, 0, 0), DAY, 400_002),  # and prices the whole call
        (OURS, (400_001, 0, 1), DAY, 1_200_003 + 16),
        (OURS._replace(tier="batch"), (300_000, 0, 100), DAY, 150_000 + 400),
        (OURS._replace(tier="flex"), (300_000, 0, 0), DAY, 300_000),  # no price of its own: standard
        (OURS._replace(tier="standard"), (300_000, 0, 0), DAY, 600_000),
        (OURS, (1_000, 400, 100), DAY - 1, 750 + 50 + 1_000),  # the list, before
        (OURS, (1_000, 400, 100), DAY + 10, 750 + 50 + 1_000),  # and after
        (Called("gpt-5", "openai"), (1_000, 400, 100), DAY, 750 + 50 + 1_000),
        (OURS, (100, 400, 0), DAY, 10),  # more from the cache than was read: all of it
    ],
)
def test_a_contract_prices_its_calls_and_no_others(
    called: Called, tokens: tuple[int, int, int], day: int, micro: int
) -> None:
    """By hand: 1, 0.10 and 8 dollars a million, 2 and 3 above the steps, half in batches, ten days long."""
    assert PriceBook([CONTRACT]).micro(called, *tokens, day) == micro


def test_the_most_precise_contract_counts() -> None:
    """A deployment goes before a model, an exact model before a stem, a later start before an earlier one."""
    names = {
        "stem": {"model": "gpt-*"},
        "exact": {"model": "gpt-5"},
        "renewed": {"model": "gpt-5", "first_day": DAY},
        "own": {"model": "*", "deployment": "mine"},
    }
    book = PriceBook([PriceOverride(name, prices=per_million(1, 1, 1), **kind) for name, kind in names.items()])  # type: ignore[arg-type]
    found = {
        (called, day): getattr(book.override(called, day), "name", None)
        for called in (Called("gpt-5"), Called("gpt-4o"), Called("gpt-5", None, "mine"), Called("o3"))
        for day in (DAY - 1, DAY)
    }
    assert found == {
        (Called("gpt-5"), DAY - 1): "exact",
        (Called("gpt-5"), DAY): "renewed",
        (Called("gpt-4o"), DAY - 1): "stem",
        (Called("gpt-4o"), DAY): "stem",
        (Called("gpt-5", None, "mine"), DAY - 1): "own",
        (Called("gpt-5", None, "mine"), DAY): "own",
        (Called("o3"), DAY - 1): None,
        (Called("o3"), DAY): None,
    }


def test_two_contracts_for_the_same_calls_are_told() -> None:
    """Same model, provider, deployment and start: nothing says which one holds."""
    twin = PriceOverride("twin", "gpt-5", per_million(1, 1, 1), provider="azure", first_day=DAY)
    other = PriceOverride("other", "gpt-5", per_million(1, 1, 1), provider="azure", first_day=DAY + 1)
    assert ambiguous([CONTRACT, twin, other]) == [("contract", "twin")]


def test_an_unknown_model_has_no_price_until_a_contract_gives_one() -> None:
    """Unknown is None, never zero."""
    called = Called("in-house-7b")
    assert LIST.micro(called, 1, 0, 1, DAY) is None
    assert LIST.quote(called, DAY) is None
    book = PriceBook([PriceOverride("own", "in-house-*", per_million(1, 1, 2))])
    assert book.micro(called, 10, 0, 10, DAY) == 30
    quote = book.quote(called, DAY)
    assert quote is not None
    assert quote.source == "contract own"


def test_the_list_knows_steps_and_tiers() -> None:
    """gpt-5.4 costs twice above 272,000 tokens; OpenAI's batches cost half; Azure's tier falls back, and says so."""
    quote = LIST.quote(Called("gpt-5.4", "azure"), DAY)
    assert quote is not None
    assert [limit for limit, _ in quote.steps] == [272_000, None]
    assert LIST.micro(Called("gpt-4.1", "openai", None, "batch"), 100_000, 0, 0, DAY + 60) == 100_000
    fallback = LIST.quote(Called("gpt-4.1", "azure", None, "batch"), DAY + 60)
    assert fallback is not None
    assert fallback.source == "list (standard tier)"
