"""When counts are packed piece by piece."""

from __future__ import annotations

from typing import Any

import pytest

from stream.adapters.native import Authorization, Interaction, Usage
from stream.core.batch import Batch
from stream.core.fold import PartitionFold
from stream.core.shards import ShardMap
from stream.core.sparse import BATCHES, ENOUGH, MANY, PLACES, Sparsity

SHARD = ShardMap(2)


def batch_of(events: int, flows: int) -> Batch:
    """So many events that take turns among so many flows."""
    batch = Batch()
    PartitionFold(5000).add(
        [
            Interaction(
                id=f"e{number}", time=number, environment="prod", system="claims",
                flow=f"f{number % flows}", outcome="resolved",
            )
            for number in range(events)
        ],
        batch,
    )  # fmt: skip
    return batch


def test_cells_are_those_of_all_that_is_common() -> None:
    """Interactions, decisions and model calls: a fleet that is wide in any of them is wide."""
    own: dict[str, Any] = {"id": "e", "time": 5, "environment": "prod", "system": "claims"}
    batch = Batch()
    PartitionFold(5000).add(
        [
            Interaction(**own, flow="f", outcome="resolved"),
            *[Authorization(**own, agent=f"a{number}", action="pay", decision="allow") for number in range(2)],
            *[Usage(**own, model=f"m{number}", input_tokens=1, output_tokens=1) for number in range(3)],
        ],
        batch,
    )
    assert batch.cells == 6


def is_packed_at_once(sparsity: Sparsity) -> bool:
    batch = batch_of(10, 10)
    sparsity.after_piece(batch, SHARD)
    return batch.cells == 0


@pytest.mark.parametrize(
    ("events", "flows", "sparse"),
    [
        (ENOUGH, ENOUGH, True),
        (ENOUGH, round(MANY * ENOUGH) + 1, True),
        (ENOUGH, round(MANY * ENOUGH), False),
        (ENOUGH - 1, ENOUGH - 1, False),
    ],
)
def test_a_batch_with_nearly_as_many_cells_as_events_tells(events: int, flows: int, sparse: bool) -> None:
    """Only a batch that is large enough to tell, and only where counting in cells saves little."""
    sparsity = Sparsity()
    sparsity.after_batch(batch_of(events, flows))
    assert is_packed_at_once(sparsity) is sparse


@pytest.mark.parametrize(("minutes", "packed"), [(PLACES, True), (PLACES + 1, False)])
def test_a_batch_of_many_minutes_is_packed_at_its_end(minutes: int, packed: bool) -> None:
    """Weeks that are read back make many places of a few cells each."""
    sparsity = Sparsity()
    sparsity.after_batch(batch_of(ENOUGH, ENOUGH))
    batch = Batch()
    for minute in range(minutes):
        batch.place(minute + 1, minute).of("prod").flows["claims", "f", None] += 1
    sparsity.after_piece(batch, SHARD)
    assert (batch.cells == 0) is packed


def test_it_is_looked_at_again() -> None:
    """A fleet may become narrow: after some batches one is counted as a whole."""
    sparsity = Sparsity()
    sparsity.after_batch(batch_of(ENOUGH, ENOUGH))
    for _ in range(BATCHES):
        assert is_packed_at_once(sparsity)
        sparsity.after_batch(Batch())
    assert not is_packed_at_once(sparsity)
