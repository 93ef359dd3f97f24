"""A checkpoint that cannot be read is as good as a wiped one: the shard is made anew, and nothing is lost."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from stream.embedded import EmbeddedRedis
from tests.simulation.histories import Step, play

SPOKEN = [
    Step("append", (0, ((10, 0, "escalate"), (70, 0, "escalate"), (200, 0, "resolve")))),
    Step("append", (1, ((10, 0, "escalate"), (200, 0, "resolve")))),
    Step("append", (2, ((10, 0, "deny"), (200, 0, "deny")))),
    Step("append", (3, ((200, 0, "expire"),))),
    Step("move", (0, False, None)),
]
DAMAGED = [Step("damage", (0,)), Step("damage", (1,))]


@pytest.mark.parametrize(
    "history",
    [
        [*SPOKEN, *DAMAGED],
        [*SPOKEN, *DAMAGED, Step("move", (1, True, None))],
        [*SPOKEN, Step("kafka_snapshot", (0, 0)), Step("kafka_snapshot", (0, 1)), *DAMAGED],
    ],
    ids=["found at the end", "found by the next worker", "with a snapshot in Kafka"],
)
async def test_a_damaged_shard_is_made_anew(embedded_redis: EmbeddedRedis, history: list[Step]) -> None:
    """Windows, verdicts and their bytes are those of the golden run."""
    redis = Redis.from_url(embedded_redis.url)
    assert await play(redis, history, 1) is None
    await redis.aclose()
