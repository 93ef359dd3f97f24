"""The chain on demand: it reads a shard as it stands, changes nothing, and says what it cannot answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from schemas.base import JsonObject
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.ondemand import Question, _bare_machine, ask
from stream.ondemand_read import OnDemandError, latest_machine
from stream.settings import Settings
from stream.store import Meta, Store
from tests.integration import traffic
from tests.support.shards import Shards, open_shards, shard_settings

SPIKING = Question("production", "refunds")
TIMED = traffic.events()
EVENTS = [event for _, event in TIMED]
END = traffic.START_MINUTE + traffic.MINUTES


def minute(number: int) -> datetime:
    """A minute of the traffic as a time."""
    return datetime.fromtimestamp((traffic.START_MINUTE + number) * 60, UTC)


def until(number: int) -> list[JsonObject]:
    """The events before a minute of the traffic."""
    return [event for ms, event in TIMED if ms < (traffic.START_MINUTE + number) * MINUTE_MS]


def closing(number: int) -> JsonObject:
    """An event by which the watermark passes a minute of the traffic."""
    event: JsonObject = {**EVENTS[0], "id": f"closing-{number}", "system": "orders", "outcome": "resolved"}
    event.pop("escalation", None)
    return {**event, "time": rfc3339((traffic.START_MINUTE + number) * MINUTE_MS + 10_000)}


@pytest.fixture
def settings(redis_server: Any) -> Settings:
    """Shards of this test's own."""
    return shard_settings(redis_server.url, f"od-{uuid.uuid4().hex[:8]}")


@pytest.fixture
async def shards(settings: Settings) -> AsyncIterator[Shards]:
    """Fresh shards, without telemetry."""
    async with open_shards(settings) as found:
        yield found


async def everything(redis: Redis, settings: Settings) -> dict[bytes, bytes | None]:
    """Every key of the namespace with its whole value."""
    keys = sorted([key async for key in redis.scan_iter(match=f"{{{settings.redis.namespace}*")])
    return {key: await redis.dump(key) for key in keys}


async def test_it_answers_before_anything_was_evaluated(shards: Shards, settings: Settings) -> None:
    """Inboxes alone are enough, and reading them leaves every key as it was: no lease, no seal, nothing trimmed."""
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    before = await everything(shards.store.redis, settings)
    answer = await ask(settings, SPIKING)
    assert await everything(shards.store.redis, settings) == before
    assert not any(key.endswith(b":lease") for key in before)
    assert answer.tick == END
    assert (answer.recent.total, answer.recent.hits) == (30 * traffic.PER_MINUTE, 30 * traffic.PER_MINUTE // 2)
    assert answer.ratio is not None
    assert answer.ratio > 2
    assert [finding.check for finding in answer.verdict.findings] == [
        "authorization_denials",
        "circuit_breaker_state",
        "eval_score_trend",
        "recent_deployments",
    ]


async def test_the_answer_does_not_depend_on_checkpoints(shards: Shards, settings: Settings) -> None:
    """With a checkpoint in the middle, or just written, the answer is that of the inboxes alone."""
    await shards.take(until(150))
    await shards.evaluate()
    await shards.take([*EVENTS[len(until(150)) :], closing(traffic.MINUTES)])
    middle = await ask(settings, SPIKING)
    await shards.evaluate()
    fresh = await ask(settings, SPIKING)
    async with open_shards(shard_settings(settings.redis.url, f"{settings.redis.namespace}-b")) as other:
        await other.take([*EVENTS, closing(traffic.MINUTES)])
        plain = await ask(shard_settings(settings.redis.url, f"{settings.redis.namespace}-b"), SPIKING)
    assert middle.to_json() == fresh.to_json() == plain.to_json()


async def test_an_earlier_time_is_answered_as_it_was(shards: Shards, settings: Settings) -> None:
    """What is asked about a minute of the last hour and a half is what was answered when it was the latest."""
    at = 195
    await shards.take([*until(at), closing(at)])
    then = await ask(settings, SPIKING)
    assert then.tick == traffic.START_MINUTE + at
    scored = {**closing(at + 1), "type": "evaluation", "system": "refunds", "criterion": "tone", "score": 4.0}
    await shards.take([*EVENTS[len(until(at)) :], scored, closing(traffic.MINUTES)])
    again = await ask(settings, Question("production", "refunds", at=minute(at) + timedelta(seconds=40)))
    assert again.to_json() == then.to_json()
    assert (await ask(settings, SPIKING)).to_json() != then.to_json()


async def test_a_change_within_the_window_is_found(shards: Shards, settings: Settings) -> None:
    """The onset is where escalations rose, not where the window begins: what was deployed just before it is blamed."""
    deployed = {
        "type": "deployment",
        "id": "d1",
        "time": rfc3339((traffic.START_MINUTE + traffic.SPIKE_AT - 1) * MINUTE_MS + 30_000),
        "environment": "production",
        "system": "refunds",
        "change": "flow",
        "component": "refunds-flow",
        "version": "7",
        "previous_version": "6",
        "phase": "completed",
        "canary_percent": 100,
        "target": {"kind": "kubernetes", "ref": {"deployment": "refunds"}},
    }
    at = traffic.SPIKE_AT + 15
    await shards.take([*until(at), deployed, closing(at)])
    answer = await ask(settings, SPIKING)
    assert abs(answer.verdict.onset_at - minute(traffic.SPIKE_AT)) <= timedelta(minutes=2)
    assert answer.verdict.triage_result == "recent_deployments"
    assert answer.verdict.target is not None
    assert answer.verdict.target.from_version == "7"


async def test_nobody_can_act_on_an_answer(shards: Shards, settings: Settings) -> None:
    """An answer names no incident, no firing and no key to act by, and always asks for approval."""
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    said = (await ask(settings, SPIKING)).to_json()
    assert said["recommendation"]["requires_approval"] is True
    assert "idempotency_key" not in said["recommendation"]
    assert not {"verdict_id", "incident_id", "status", "severity", "trigger"} & said.keys()


@pytest.mark.parametrize(
    ("at", "why"), [(traffic.MINUTES - 91, "reach back 120 minutes"), (traffic.MINUTES + 1, "only up to then")]
)
async def test_a_time_out_of_reach(shards: Shards, settings: Settings, at: int, why: str) -> None:
    """A time that is too early or still to come is refused, with the times that can be asked for."""
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    with pytest.raises(OnDemandError, match=why) as caught:
        await ask(settings, Question("production", "refunds", at=minute(at)))
    assert rfc3339((END - 90) * MINUTE_MS) in str(caught.value)
    assert rfc3339(END * MINUTE_MS) in str(caught.value)
    await ask(settings, Question("production", "refunds", at=minute(traffic.MINUTES - 90)))


async def test_an_unknown_system_or_flow(shards: Shards, settings: Settings) -> None:
    """What is known is listed, over all shards; without any telemetry the way to find out why is said."""
    with pytest.raises(OnDemandError, match="nor of any other system"):
        await ask(settings, SPIKING)
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    with pytest.raises(OnDemandError, match="production/claims, production/orders, production/refunds"):
        await ask(settings, Question("staging", "refunds"))
    with pytest.raises(OnDemandError, match="known flows: refunds-flow"):
        await ask(settings, Question("production", "refunds", "refund"))
    flow = await ask(settings, Question("production", "refunds", "refunds-flow"))
    assert flow.recent == (await ask(settings, SPIKING)).recent


async def test_an_absent_engine_is_no_traceback(settings: Settings) -> None:
    """A Redis without any shard is the same as one without telemetry."""
    with pytest.raises(OnDemandError, match="midwatch run"):
        await ask(settings, SPIKING)


class Restless(Store):
    """A store in which a checkpoint is written during each of the first `times` readings."""

    times = 0
    reads = 0

    async def meta(self, shard: int) -> Meta | None:
        found = await super().meta(shard)
        self.reads += 1
        if found is None or self.reads > 2 * self.times or self.reads % 2:
            return found
        return Meta(found.committed, found.sealed, found.checkpoint + self.reads, found.quiet, found.pending)


@pytest.mark.parametrize("times", [0, 3, 100])
async def test_a_checkpoint_in_mid_reading(shards: Shards, settings: Settings, times: int) -> None:
    """What was read around a checkpoint is thrown away and read again; a shard that never holds still is an error."""
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    store = Restless(shards.store.redis, settings.redis.namespace, settings.engine.shards)
    store.times = times
    if times == 100:
        with pytest.raises(OnDemandError, match="ask again"):
            await latest_machine(store, 0, settings, _bare_machine(settings))
        return
    machine = await latest_machine(store, 0, settings, _bare_machine(settings))
    assert machine is not None
    assert machine.tick == END
    assert store.reads == 2 * (times + 1)


async def test_only_complete_minutes_are_read(shards: Shards, settings: Settings) -> None:
    """What is visible behind the watermark is left alone: more of it may come."""
    await shards.take([*EVENTS, closing(traffic.MINUTES)])
    counted = 0
    for shard in range(shards.store.shards):
        machine = await latest_machine(shards.store, shard, settings, _bare_machine(settings))
        assert machine is not None
        counted += sum(int(block.counts[:, 0].sum()) for block in machine.windows["flow"].hour_blocks.values())
    assert counted == sum(event["type"] == "interaction" for event in EVENTS)
