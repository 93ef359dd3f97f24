"""Deliveries from Kafka to destinations that fail: every verdict arrives, in order, and none is told twice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from schemas.canonical import canonical_json
from schemas.outputs import Verdict
from schemas.words import VERDICTS_TOPIC
from stream.cli import app
from stream.embedded import EmbeddedKafkaProcess
from stream.sinks import pacing
from stream.sinks.listing import list_sinks
from tests.support.destinations import Fault, destination
from tests.support.engine import make_topics
from tests.support.real_kafka import new_cluster
from tests.support.sinks import ACK, MUTED, SECRET, minimal, settings_with
from tests.support.sinks_night import Night, hook, metric, name, pager, undelivered

HOUR_MS = 3_600_000


BOTH = pytest.mark.parametrize(
    "broker", ["embedded", pytest.param("real", marks=pytest.mark.kafka)], indirect=True, scope="module"
)
"""Tests of what depends on Kafka run on a real one too."""


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A Kafka of this module's own: the topics' names are fixed."""
    kind = getattr(request, "param", "embedded")
    with EmbeddedKafkaProcess() if kind == "embedded" else new_cluster() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are short."""
    monkeypatch.setattr(pacing, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(pacing, "LONGEST_SECONDS", 0.05)


@pytest.fixture
async def night(broker: Any) -> Night:
    """One test's part of the topic."""
    await make_topics(settings_with(broker.bootstrap))
    return Night(broker.bootstrap)


@BOTH
async def test_every_verdict_arrives_in_order_through_all_faults(night: Night) -> None:
    """Limits, errors, time-outs, cut and half answers: each incident's verdicts are taken once each, in order."""
    stories = [
        [night.verdict(f"inc_{letter}", revision, "resolved" if revision == 3 else "firing") for revision in range(4)]
        for letter in "abc"
    ]
    faults: list[Fault] = [429, 500, "cut", "hang", "half", 503, 401, 429, "cut", 500, 500, "hang"]
    async with destination("hook", faults, retry_after="0") as server:
        # The engine says some of it twice, as after a crash.
        await night.publish(*[one for revision in zip(*stories, strict=True) for one in (*revision, revision[0])])
        sink = name()
        async with night.deliver(night.settings(**{sink: hook(server)})) as sinks:
            await server.until(lambda it: len(it.taken) == 12)
        taken = [request.json for request in server.taken]
        for story in stories:
            mine = [one["verdict_id"] for one in taken if one["incident_id"] == story[0].incident_id]
            assert mine == [one.verdict_id for one in story]
        assert all(
            request.body == canonical_json(Verdict.model_validate_json(request.body)) for request in server.taken
        )
        assert not server.faults
        assert metric(sinks, "retries_total", sink) == len(faults)
        assert metric(sinks, "failures_total", sink, reason="rate_limited") == 2
        assert metric(sinks, "up", sink) == 1


async def test_a_pager_hears_each_state_once(night: Night) -> None:
    """Trigger, acknowledge and resolve once each, though tries fail and the topic says some of it twice."""
    first = night.verdict()
    acked = night.verdict(revision=1, status="updated", acknowledged=ACK)
    muted = night.verdict(revision=2, status="updated", muted=MUTED)
    again = night.verdict(revision=3, status="updated")
    last = night.verdict(revision=4, status="resolved")
    never = night.verdict("inc_muted", muted=MUTED)
    marker = night.verdict("inc_marker")
    async with destination(
        "pager", [500, 429, "cut", "hang", "half"], schema="pagerduty_event.json", answer=202, retry_after="0"
    ) as server:
        await night.publish(first, first, never, acked, acked, muted, again, last, marker)
        async with night.deliver(night.settings(**{name(): pager(server)})):
            await server.until(lambda it: any("marker" in one.json["dedup_key"] for one in it.taken))
            await server.until(lambda it: len(it.taken) == 6)
    heard = [one.json["event_action"] for one in server.taken if one.json["dedup_key"] == first.incident_id]
    assert heard == ["trigger", "acknowledge", "resolve", "trigger", "resolve"]
    assert {one.json["dedup_key"] for one in server.requests} == {first.incident_id, marker.incident_id}
    assert server.problems == []


async def test_what_was_taken_of_a_verdict_is_not_sent_again(night: Night) -> None:
    """Of a trigger and an acknowledgement the second fails: it alone is tried again."""
    async with destination("pager", [None, 500, 429], answer=202) as server:
        await night.publish(night.verdict(acknowledged=ACK))
        async with night.deliver(night.settings(**{name(): pager(server)})):
            await server.until(lambda it: len(it.taken) == 2)
    assert [one.json["event_action"] for one in server.requests] == ["trigger", *["acknowledge"] * 3]


@BOTH
async def test_a_restart_goes_on_where_it_was(night: Night) -> None:
    """After a restart nothing is said again, and what the destination knows is known: a mute is a resolve."""
    async with destination("pager", answer=202) as server:
        settings = night.settings(**{name(): pager(server)})
        await night.publish(night.verdict())
        async with night.deliver(settings):
            await server.until(lambda it: len(it.taken) == 1)
        await night.publish(night.verdict(revision=1, status="updated", muted=MUTED))
        async with night.deliver(settings):
            await server.until(lambda it: len(it.taken) == 2)
    assert [one.json["event_action"] for one in server.taken] == ["trigger", "resolve"]
    [line] = await list_sinks(settings)
    assert (line.kind, line.destination, line.lag, line.failing) == ("pagerduty", "127.0.0.1", 0, None)
    assert line.last is not None


async def test_a_destination_that_is_down_holds_up_no_other(night: Night) -> None:
    """While one refuses all, another gets everything; the first is seen to be down, and catches up when it is back."""
    async with destination("up") as up, destination("down", [503] * 100_000) as down:
        one, other = name(), name()
        settings = night.settings(**{one: hook(up), other: hook(down)})
        await night.publish(*(night.verdict(f"inc_{number}") for number in range(10)))
        async with night.deliver(settings) as sinks:
            await up.until(lambda it: len(it.taken) == 10)
            await down.until(lambda it: len(it.requests) > 20)
            assert (metric(sinks, "up", one), metric(sinks, "up", other)) == (1, 0)
            assert down.taken == []
            down.faults.clear()
            await down.until(lambda it: len(it.taken) == 10)


async def test_what_is_refused_for_good_is_put_aside_and_the_rest_goes_on(night: Night) -> None:
    """A 400 gives a record with reason and place; the next verdict is delivered; nothing is tried again."""
    async with destination("pager", [400], answer=202) as server:
        sink = name()
        bad, good = night.verdict("inc_bad"), night.verdict("inc_good")
        await night.publish(bad)
        async with night.deliver(night.settings(**{sink: pager(server)})):
            [record] = await undelivered(night.bootstrap, sink, "refused")
            await night.publish(good)
            await server.until(lambda it: len(it.taken) == 1)
        assert (record.verdict_id, record.topic) == (bad.verdict_id, VERDICTS_TOPIC)
        assert record.detail.startswith("400")
        assert len(server.requests) == 2


async def test_what_is_no_verdict_is_put_aside(night: Night) -> None:
    """A record that no version can read blocks nothing, and is said."""
    async with destination("hook") as server:
        sink = name()
        async with AIOKafkaProducer(bootstrap_servers=night.bootstrap) as producer:
            await producer.send_and_wait(VERDICTS_TOPIC, b"{}", key=b"x")
        await night.publish(night.verdict())
        async with night.deliver(night.settings(**{sink: hook(server)})):
            await server.until(lambda it: len(it.taken) == 1)
            assert await undelivered(night.bootstrap, sink, "unreadable")


async def test_old_verdicts_do_not_page(night: Night) -> None:
    """After a long outage: too old opens nothing, over opens nothing, what is new enough and stands does."""
    async with destination("pager", answer=202) as server:
        old = night.verdict("inc_old")
        over = night.verdict("inc_over")
        stands = night.verdict("inc_stands")
        await night.publish(old, ago_ms=3 * HOUR_MS)
        await night.publish(over, stands, ago_ms=HOUR_MS)
        await night.publish(night.verdict("inc_over", 1, "resolved"), night.verdict("inc_old", 1, "resolved"))
        # An engine that catches up says old things anew: their event time tells.
        late = night.verdict("inc_late", decided_at=old.decided_at.replace(year=old.decided_at.year - 1))
        marker = night.verdict("inc_marker")
        await night.publish(late, marker)
        sink = name()
        async with night.deliver(night.settings(**{sink: pager(server)})) as sinks:
            await server.until(lambda it: len(it.taken) == 2)
            async with asyncio.timeout(30):
                while metric(sinks, "skipped_total", sink, reason="stale") < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert {one.json["dedup_key"] for one in server.requests} == {stands.incident_id, marker.incident_id}
        assert metric(sinks, "skipped_total", sink, reason="stale") == 2
        assert metric(sinks, "skipped_total", sink, reason="over") == 1


async def test_what_is_marked_as_past_pages_when_it_is_said_again(night: Night) -> None:
    """An engine that catches up: nobody hears of the past, a restart between keeps that; what stands is told, once."""
    hours = timedelta(hours=5)
    now = datetime.now(UTC).replace(microsecond=0)
    told = night.verdict("inc_told", decided_at=now - hours)
    over = night.verdict("inc_over", decided_at=now - timedelta(minutes=30))
    stands = night.verdict("inc_stands", decided_at=now - hours)
    graver = night.verdict("inc_stands", 1, "updated", decided_at=now - hours)
    async with destination("pager", answer=202) as server:
        sink = name()
        settings = night.settings(**{sink: pager(server)})
        await night.publish(told, stale=False)
        await night.publish(over, stands, graver, stale=True)
        await night.publish(night.verdict("inc_over", 1, "resolved"), night.verdict("inc_marker"), stale=True)
        async with night.deliver(settings) as sinks:
            await server.until(lambda it: len(it.taken) == 1)
            async with asyncio.timeout(30):
                while metric(sinks, "skipped_total", sink, reason="stale") < 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await night.publish(night.verdict("inc_told", 1, "resolved", decided_at=now - hours), stale=True)
        await night.publish(graver, graver, stale=False)
        async with night.deliver(settings):
            await server.until(lambda it: len(it.taken) == 3)
    heard = sorted((one.json["event_action"], one.json["dedup_key"]) for one in server.taken)
    assert heard == sorted(
        [("trigger", told.incident_id), ("resolve", told.incident_id), ("trigger", stands.incident_id)]
    )


async def test_a_delivery_is_given_up_when_the_verdict_is_too_old(night: Night) -> None:
    """A destination that stays down does not hold a verdict for ever."""
    async with destination("pager", [503] * 100_000) as server:
        sink = name()
        settings = night.settings(**{sink: pager(server, MAX_AGE_MINUTES="0.1")})
        async with night.deliver(settings):
            await night.publish(night.verdict())
            [record] = await undelivered(night.bootstrap, sink, "expired")
        assert "server_error: 503" in record.detail


async def test_what_stands_is_said_again_to_an_alertmanager(night: Night) -> None:
    """Reminders hold what stands and not what ended, also after a restart; a muted incident is no longer said."""
    async with destination("am", schema="alertmanager_alerts.json") as server:
        settings = night.settings(**{name(): minimal("alertmanager", URLS=f'["{server.url}"]', RESEND_SECONDS="1")})

        def firing(request: Any) -> set[str]:
            return {one["labels"]["incident"] for one in request.json if one["endsAt"] > _now()}

        stands, ends = night.verdict("inc_stands"), night.verdict("inc_ends")
        await night.publish(stands, ends)
        async with night.deliver(settings):
            await server.until(
                lambda it: any(firing(one) == {stands.incident_id, ends.incident_id} for one in it.taken)
            )
            await night.publish(night.verdict("inc_ends", 1, "resolved"))
            await server.until(lambda it: any(not firing(one) for one in it.taken))
        before = len(server.taken)
        async with night.deliver(settings):
            await server.until(lambda it: any(firing(one) == {stands.incident_id} for one in it.taken[before:]))
            await night.publish(night.verdict("inc_stands", 1, "updated", muted=MUTED))
            await server.until(lambda it: any(not firing(one) for one in it.taken[before:]))
        assert server.problems == []


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_the_pace_is_kept(night: Night) -> None:
    """No more deliveries than the bucket holds: the third within a minute waits, while a destination beside has all."""
    async with destination("hook") as server, destination("beside") as free:
        await night.publish(*(night.verdict(f"inc_{number}") for number in range(3)))
        paced, unpaced = hook(server, PER_MINUTE="1", BURST="2"), hook(free)
        async with night.deliver(night.settings(**{name(): paced, name(): unpaced})):
            await server.until(lambda it: len(it.taken) == 2)
            await free.until(lambda it: len(it.taken) == 3)
            # As much again: who let a third through would have had the time for it.
            await night.publish(*(night.verdict(f"inc_{number}") for number in range(3, 6)))
            await free.until(lambda it: len(it.taken) == 6)
            assert len(server.taken) == 2


@pytest.mark.timeout(180)
async def test_a_crash_between_delivery_and_commit_repeats_under_the_same_id(night: Night, tmp_path: Path) -> None:
    """SIGKILL as the destination takes a verdict: it comes again with the same id, and then the next one comes."""
    async with destination("hook") as server:
        sink = name()
        (tmp_path / "secret").write_text(SECRET)
        config = tmp_path / "midwatch.toml"
        config.write_text(
            f'[kafka]\nbootstrap_servers = "{night.bootstrap}"\nsession_timeout_ms = 6000\n'
            f'[delivery]\nhttp_port = 0\n[sinks.{sink}]\nkind = "webhook"\nurl = "{server.url}"\n'
            f'secret_file = "{tmp_path / "secret"}"\nallow_private = true\nstart_at = "earliest"\n'
            f'systems = ["{night.system}"]\n'
        )
        first, second = night.verdict(), night.verdict(revision=1, status="resolved")
        await night.publish(first)
        victim = await _process(config)
        server.on_request = lambda _: victim.send_signal(signal.SIGKILL)
        await server.until(lambda it: len(it.requests) == 1)
        await victim.wait()
        server.on_request = None
        await night.publish(second)
        heir = await _process(config)
        await server.until(lambda it: len(it.taken) == 3)
        listed = await _cli("sinks", "list", "--config", str(config), "--json")
        heir.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(heir.wait(), 30) == 0
        ids = [request.headers["webhook-id"] for request in server.taken]
        assert ids == [first.verdict_id, first.verdict_id, second.verdict_id]
        assert json.loads(listed)["sinks"][0]["name"] == sink
        [line] = json.loads(await _cli("sinks", "list", "--config", str(config), "--json"))["sinks"]
        assert (line["lag"], line["failing"]) == (0, None)
        assert line["last"] is not None
        assert SECRET not in listed


async def _process(config: Path) -> asyncio.subprocess.Process:
    with config.with_suffix(".log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream.cli", "sinks", "run", "--config", str(config), stdout=log, stderr=log
        )


async def _cli(*arguments: str) -> str:
    done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout
