"""Batches through the real client: scores as live ones, whatever breaks on the way, each interaction judged once."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.anchors import shipped_anchors
from evaluation.batch_provider import BatchError
from evaluation.batch_watch import tell_batches
from evaluation.criteria import shipped
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import Budget, Spent
from evaluation.plane import Plane
from evaluation.prompt import TEMPLATE
from evaluation.publish import ScorePublisher
from evaluation.purse import Purse
from evaluation.scripted_server import ScriptedServer, by_rules, scripted_server
from schemas.canonical import content_id
from stream.settings_sampling import SamplingSettings
from tests.support.batches import NO_LIMIT, bench, interactions
from tests.support.judges import judge_at
from tests.unit.evaluation.test_plane import NOON, FakeProducer

CRITERIA = shipped()
ANCHORS = len(shipped_anchors())


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return content_id("ns", request.node.nodeid)


async def _live(server: ScriptedServer, url: str, namespace: str, events: Any, **judge: Any) -> list[dict[str, Any]]:
    """What the live plane publishes of the same interactions."""
    from redis.asyncio import Redis

    from evaluation.budget import PlaneStore

    redis, metrics, producer = Redis.from_url(url), PlaneMetrics(), FakeProducer()
    store = PlaneStore(redis, namespace, "me", lambda: 0.0)
    settings = SamplingSettings(escalated_rate=1.0, resolved_rate=1.0, failed_rate=1.0, abandoned_rate=1, denied_rate=1)
    async with judge_at(server, **judge) as model:
        purse = Purse("sample", NO_LIMIT, 100, 3, store, metrics, lambda: NOON)
        plane = Plane(model, CRITERIA, ScorePublisher(producer, 5.0), store, purse, settings, metrics, lambda: NOON)
        for event in events:
            await plane.take(event)
    await redis.aclose()
    return producer.sent


@pytest.mark.parametrize(
    "judge",
    [
        {"api": "chat"},
        {"api": "responses"},
        {"provider": "azure", "model": "judge-batch"},
        {"provider": "azure", "model": "judge-batch", "api": "responses"},
        {"logprobs": "false", "samples": 3},
    ],
    ids=["chat", "responses", "azure", "azure responses", "samples"],
)
async def test_a_batch_gives_the_events_that_live_judging_gives(
    embedded_redis: Any, namespace: str, judge: dict[str, Any]
) -> None:
    """Same ids, scores, methods, versions, rates; collected twice the same bytes; and nothing is judged live again."""
    events = interactions(6)
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace, **judge) as stand:
        server.batches.processing = 2
        submitted = await stand.submit(events)
        assert submitted.chosen == 6
        batch, _ = await stand.collect(submitted.batch)
        assert batch.state == "collected"
        first = stand.sent()
        live = await _live(server, embedded_redis.url, f"{namespace}-live", events, **judge)
        assert sorted(live, key=lambda e: e["id"]) == sorted(stand.producer.sent, key=lambda e: e["id"])
        assert len(first) == 6 * len(CRITERIA)
        stand.producer.sent.clear()
        spent = await stand.spent()
        await stand.collects(batch)
        assert stand.sent() == first
        assert await stand.spent() == spent
        asked = len(server.requests)
        assert await _live(server, embedded_redis.url, namespace, events, **judge) == []
        assert len(server.requests) == asked
        assert batch.result["anchors"]["scored"] == ANCHORS * len(CRITERIA)
        assert spent == Spent(batch.result["tokens"], batch.result["micro_usd"])
        assert spent.tokens > 0


async def test_while_a_batch_is_out_nobody_else_judges_its_interactions(redis_server: Any, namespace: str) -> None:
    """Neither the live plane nor a second batch; and whoever was judged live is not in a batch."""
    events = interactions(6)
    async with scripted_server() as server, bench(server, redis_server.url, namespace) as stand:
        await _live(server, redis_server.url, namespace, events[:2])
        submitted = await stand.submit(events)
        assert (submitted.chosen, submitted.judged_before) == (4, 2)
        assert await _live(server, redis_server.url, namespace, events) == []
        again = await stand.submit(events)
        assert (again.batch, again.judged_before) == (None, 6)


@pytest.mark.parametrize(
    ("fault", "reason", "given_back"),
    [
        ("rate_limit", "rate_limited", True),
        ("server_error", "unavailable", True),
        ("refusal", "refused", False),
        ("content_filter", "refused", False),
        ("azure_filter", "refused", False),
        ("truncated", "truncated", False),
        ("bad_score", "invalid_output", False),
        ("lost", "unavailable", True),
    ],
)
async def test_a_row_that_went_wrong_has_no_score_and_a_reason(
    embedded_redis: Any, namespace: str, fault: str, reason: str, given_back: bool
) -> None:
    """The others have theirs; what may be otherwise tomorrow is given back, what will not is kept as judged."""
    events = interactions(3)
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        if fault == "lost":
            server.batches.faults.lose = {"i1.0"}
        else:
            server.batches.faults.rows = {"i1.0": fault}
        batch, _ = await stand.collect((await stand.submit(events)).batch)
        assert batch.result["no_data"] == {reason: len(CRITERIA)}
        assert batch.result["missing"] == (fault == "lost")
        assert batch.result["given_back"] == given_back
        assert {event["interaction_id"] for event in stand.producer.sent} == {"i-0", "i-2"}
        claims = await stand.claims(events)
        assert [claim is None for claim in claims] == [False, given_back, False]


@pytest.mark.parametrize(("ends", "scored"), [("expired", True), ("cancelled", True), ("failed", False)])
async def test_a_batch_that_did_not_end_well_gives_back_what_was_not_done(
    embedded_redis: Any, namespace: str, ends: Any, scored: bool
) -> None:
    """What was done is published and paid for; the rest may be judged again, and is not paid for."""
    events = interactions(12)
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        server.batches.ends = ends
        submitted = await stand.submit(events)
        reserved = await stand.spent()
        batch, _ = await stand.collect(submitted.batch)
        assert batch.state == ("collected" if scored else "failed")
        done = {event["interaction_id"] for event in stand.producer.sent}
        assert len(done) == (10 if scored else 0)
        assert batch.result["no_data"] == {"unavailable": (12 - len(done)) * len(CRITERIA)}
        spent = await stand.spent()
        assert spent.tokens == batch.result["tokens"] < reserved.tokens
        assert bool(spent.tokens) == scored
        again = await stand.submit(events)
        assert again.chosen == 12 - len(done)


async def test_lines_of_no_use_are_counted_and_change_nothing(embedded_redis: Any, namespace: str) -> None:
    """No JSON, no row of ours, a row that comes twice: the first of the latter counts."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        body = b'{"custom_id": "i0.0", "response": {"status_code": 200, "body": 7}}'
        server.batches.faults.extra_lines = [b"<html>", b"[" * 100_000, b'{"custom_id": "i9.0"}', b"7", body]
        batch, _ = await stand.collect((await stand.submit(interactions(2))).batch)
        assert batch.result["odd_lines"] == {"not_json": 2, "twice": 1, "unknown_request": 2}
        assert batch.result["no_data"] == {}
        assert len(stand.producer.sent) == 2 * len(CRITERIA)


async def test_an_upload_that_fails_leaves_nothing_behind(embedded_redis: Any, namespace: str) -> None:
    """Claims and budget are given back, and the error says what was being done."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        server.batches.faults.upload = 403
        with pytest.raises(BatchError, match="uploading the batch: the provider answered 403"):
            await stand.submit(interactions(3))
        assert await stand.spent() == Spent(0, 0)
        assert [one.state for one in await stand.store.batches()] == ["failed"]
        server.batches.faults.upload = None
        assert (await stand.submit(interactions(3))).chosen == 3


async def test_a_batch_is_not_begun_twice_where_the_answer_was_lost(embedded_redis: Any, namespace: str) -> None:
    """The provider began and answered 500: the batch is found by its name. If it did not begin, all is given back."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        server.batches.faults.begin, server.batches.faults.begins_all_the_same = 500, True
        submitted = await stand.submit(interactions(3))
        assert submitted.batch is not None
        assert submitted.batch.provider_id in server.batches.batches
        assert len(server.batches.batches) == 1
        server.batches.faults.begins_all_the_same = False
        spent = await stand.spent()
        with pytest.raises(BatchError, match="the provider answered 500"):
            await stand.submit(interactions(6))
        assert await stand.spent() == spent
        assert len(server.batches.batches) == 1


@pytest.mark.parametrize("begun", [True, False])
async def test_a_process_that_dies_while_it_begins_a_batch_costs_nothing(
    embedded_redis: Any, namespace: str, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever collects next finds the batch at the provider, or gives everything back after a while."""
    events = interactions(3)
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        begin = stand.provider.begin

        async def dies(*arguments: str) -> str:
            if begun:
                await begin(*arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(stand.provider, "begin", dies)
        with pytest.raises(KeyboardInterrupt):
            await stand.submit(events)
        (left,) = await stand.store.batches()
        assert (left.state, left.provider_id) == ("preparing", None)
        if begun:
            batch, _ = await stand.collect(left)
            assert (batch.state, len(stand.producer.sent)) == ("collected", 3 * len(CRITERIA))
            return
        assert (await stand.collects(left))[0].open
        stand.clock = 1000.0
        batch, _ = await stand.collects(left)
        assert batch.state == "failed"
        assert await stand.spent() == Spent(0, 0)
        assert await stand.claims(events) == [None] * 3


async def test_results_that_break_off_are_fetched_again(embedded_redis: Any, namespace: str) -> None:
    """Half a file is not taken for the whole: the batch stays open, and the next time everything is there."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(3))
        server.batches.faults.cut_content, server.batches.looks = True, 0
        with pytest.raises(BatchError, match="broke the connection"):
            await stand.collect(submitted.batch)
        assert stand.producer.sent == []
        server.batches.faults.cut_content = False
        batch, _ = await stand.collect(submitted.batch)
        assert batch.result["missing"] == 0
        assert len(stand.producer.sent) == 3 * len(CRITERIA)


async def test_kafka_away_leaves_the_batch_to_be_collected(embedded_redis: Any, namespace: str) -> None:
    """Nothing is settled before the scores are stored."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(3))
        stand.producer.away, server.batches.looks = True, 0
        with pytest.raises(OSError, match="away"):
            await stand.collect(submitted.batch)
        stand.producer.away = False
        batch, _ = await stand.collect(submitted.batch)
        assert (batch.state, len(stand.producer.sent)) == ("collected", 3 * len(CRITERIA))


async def test_a_batch_that_the_provider_has_forgotten_is_given_back(embedded_redis: Any, namespace: str) -> None:
    """Its interactions may be judged again, and its budget is free."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(3))
        server.batches.faults.unknown = True
        batch, _ = await stand.collect(submitted.batch)
        assert (batch.state, batch.result["codes"]) == ("failed", {"not_found": 1})
        assert await stand.spent() == Spent(0, 0)
        assert await stand.claims(interactions(3)) == [None] * 3


async def test_a_budget_thins_the_rates_that_the_scores_carry(embedded_redis: Any, namespace: str) -> None:
    """Room for a third: fewer are drawn, each with the thinned rate; the budget holds for all batches of a day."""
    events = interactions(60)
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        whole = await stand.submit(events[:1])
        assert whole.batch is not None
        anchors = whole.expected.tokens * ANCHORS // (ANCHORS + 1)
        each = whole.expected.tokens - anchors
        budget = Budget((await stand.spent()).tokens + anchors + 20 * each, None)
        submitted = await stand.submit(events[1:], budget=budget)
        assert 5 <= submitted.chosen <= 21
        assert (await stand.spent()).tokens <= (budget.tokens or 0)
        await stand.collect(submitted.batch)
        assert {event["sampling"]["rate"] for event in stand.producer.sent} == {submitted.factor}
        assert 0.2 < submitted.factor < 0.6
        none = await stand.submit(events, budget=Budget(1, None))
        assert (none.batch, none.chosen) == (None, 0)


async def test_a_judge_that_changed_between_two_batches_is_told(embedded_redis: Any, namespace: str) -> None:
    """The anchors ride along, and are compared with the reference of all former batches and rounds."""

    def harsher(system: str, user: str, names: Any) -> dict[str, int]:
        return {name: max(1, score - 2) for name, score in by_rules(system, user, names).items()}

    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        batch, _ = await stand.collect((await stand.submit(interactions(1))).batch)
        assert batch.result["anchors"]["changed"] == []
        server.opinion = harsher
        batch, _ = await stand.collect((await stand.submit(interactions(2))).batch)
        assert "tone" in batch.result["anchors"]["changed"]
        assert batch.result["anchors"]["shift"]["tone"] < -1


async def test_a_model_that_refuses_log_probabilities_is_told_as_such(embedded_redis: Any, namespace: str) -> None:
    """Every row failed for the same reason, and everything is given back for a batch without them."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        server.logprobs = "refused"
        batch, _ = await stand.collect((await stand.submit(interactions(2))).batch)
        assert batch.result["codes"] == {"logprobs_refused": 2 + ANCHORS}
        assert batch.result["given_back"] == 2


async def test_metrics_tell_how_batches_stand(embedded_redis: Any, namespace: str) -> None:
    """How many are out and since when, and how many came back."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        first = (await stand.submit(interactions(1))).batch
        stand.clock = 100.0
        await stand.submit(interactions(2))
        metrics = PlaneMetrics()
        value = metrics.registry.get_sample_value
        for collected in (0, 1):
            await tell_batches(stand.store, metrics, lambda: NOON + 150)
            assert value("midwatch_judge_batches", {"state": "out"}) == 2 - collected
            assert value("midwatch_judge_batches", {"state": "collected"}) == collected
            assert value("midwatch_judge_batch_open_seconds") == (50 if collected else 150)
            await stand.collect(first)


async def test_texts_do_not_stay_where_they_are_not_needed(embedded_redis: Any, namespace: str) -> None:
    """Redis holds none; the provider's input file is deleted once the batch has ended, and expires in any case."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(2))
        assert submitted.batch is not None
        kept = b"".join((await stand.store.rows(submitted.batch.name)).values())
        assert b"i-1" in kept
        assert b"refund?" not in kept
        (uploaded,) = [name for name, data in server.batches.files.items() if b"refund?" in data]
        await stand.collect(submitted.batch)
        assert uploaded not in server.batches.files
        assert server.batches.expiries == ["2592000"] * 2


async def test_two_processes_do_not_collect_the_same_batch(embedded_redis: Any, namespace: str) -> None:
    """The second is told; once the first is done it may."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(1))
        assert submitted.batch is not None
        assert await stand.store.lock(submitted.batch.name, "other", 60)
        with pytest.raises(BatchError, match="being collected by another process"):
            await stand.collects(submitted.batch)
        await stand.store.unlock(submitted.batch.name, "other")
        await stand.collects(submitted.batch)


async def test_what_was_asked_for_counts_though_the_configuration_changed(embedded_redis: Any, namespace: str) -> None:
    """A batch is read with the criteria and the model of its beginning, whatever is configured when it comes back."""
    async with scripted_server() as server, bench(server, embedded_redis.url, namespace) as stand:
        submitted = await stand.submit(interactions(1))
        async with bench(server, embedded_redis.url, namespace, model="another") as later:
            await later.collect(submitted.batch)
            assert {event["judge"]["model"] for event in later.producer.sent} == {"gpt-4.1-mini"}
            assert {event["judge"]["prompt_version"] for event in later.producer.sent} == {
                criterion.version(TEMPLATE) for criterion in CRITERIA
            }
