"""What a model call costs, as the fold counts it."""

from __future__ import annotations

from typing import Any

import pytest

from stream.core.fold import Batch, FoldTallies, PartitionFold
from tests.unit.core.folding import LATENESS_MS, counts_of, folded, usage


@pytest.mark.parametrize(
    ("fields", "micro"),
    [
        ({}, 560),  # 0.40 and 1.60 dollars a million tokens
        ({"cached_input_tokens": 1000}, 260),  # cached ones are 0.10
        ({"cost_usd": 0.0000125}, 12),  # what the producer says counts, half to even
        ({"pricing": "ptu", "cost_usd": 3.0}, 0),  # provisioned: paid by the hour
        ({"model": "no-such-model"}, 0),
    ],
)
def test_usage_is_priced(fields: dict[str, Any], micro: int) -> None:
    """A call costs what the producer says, else what the price book says, else nothing."""
    found = counts_of(folded([[usage(**fields)]])[0])
    amounts = next(amounts for (_, key, _), amounts in found.items() if key.kind == "usage")
    assert amounts[-1] == micro


def test_a_model_without_a_price_is_counted() -> None:
    """An unknown model is free, and `unpriced` says how often that happened."""
    tallies = FoldTallies()
    fold = PartitionFold(LATENESS_MS, tallies=tallies)
    fold.add([usage(model="no-such-model"), usage(model="no-such-model"), usage()], Batch())
    assert tallies.unpriced == {"no-such-model": 2}
