"""What a judgement costs: the contract's price before the list's, and a word where dollars bound nothing."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from costs.prices import LIST, PriceBook
from evaluation.agent import warn_of_missing_price
from evaluation.judgement import Judgement
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import Budget, Spent
from evaluation.purse import Purse
from stream.settings import Settings, load_settings

NOON = 1_767_614_400.0
DAY = int(NOON // 86_400)
CONTRACT = {"MIDWATCH_PRICES__OURS__MODEL": "house-judge", "MIDWATCH_PRICES__OURS__INPUT": "2",
            "MIDWATCH_PRICES__OURS__OUTPUT": "10"}  # fmt: skip


class FakeStore:
    """Takes what is settled."""

    def __init__(self) -> None:
        self.took = Spent()

    async def settle(self, _name: str, _day: int, _reserved: Spent, took: Spent) -> None:
        self.took = took


def judgement(model: str) -> Judgement:
    return Judgement(
        "i-1", "tone", "scored", 4.0, "well said", None, model, "1", "samples", 3_000_000, 100_000
    )  # fmt: skip


async def settled(book: PriceBook, model: str) -> tuple[Spent, float | None]:
    """What two judgements of a model take, and how many of them had no price."""
    store: Any = FakeStore()
    metrics = PlaneMetrics()
    purse = Purse("sample", Budget(None, None), 100, 3, store, metrics, lambda: NOON, book)
    await purse.settle((DAY, Spent()), [judgement(model), judgement(model)])
    return store.took, metrics.registry.get_sample_value("midwatch_judge_unpriced_total")


def configured(**more: str) -> Settings:
    return load_settings(None, {**{f"MIDWATCH_JUDGE__{key}": value for key, value in more.items()}, **CONTRACT})


async def test_the_contract_price_counts() -> None:
    """6 million tokens read at $2 and 200,000 written at $10 are $14; the list knows no such model."""
    assert await settled(configured().price_book(), "house-judge") == (Spent(6_200_000, 14_000_000), 0)
    assert await settled(LIST, "house-judge") == (Spent(6_200_000, 0), 1)


@pytest.mark.parametrize(
    ("judge", "warned"),
    [
        ({"PROVIDER": "openai", "MODEL": "nobody-knows"}, True),
        ({"PROVIDER": "openai", "MODEL": "house-judge"}, False),
        ({"PROVIDER": "openai", "MODEL": "gpt-4.1-mini"}, False),
        ({"PROVIDER": "scripted"}, False),
    ],
    ids=["no price", "contract", "list", "rules"],
)
def test_dollars_that_bound_nothing_are_said(judge: dict[str, str], warned: bool) -> None:
    """A judge without a price spends no dollar of its budget: tokens alone bound it, and the log says so."""
    settings = configured(**judge)
    with capture_logs() as logs:
        warn_of_missing_price(settings, settings.price_book(), DAY)
    assert [one["event"] for one in logs] == (["judge_without_price"] if warned else [])
