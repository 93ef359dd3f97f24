"""Who is let in, and what happens while Kafka is slow, full or gone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from stream.ingest_http.answers import Trouble
from stream.ingest_http.body import read_body
from stream.ingest_http.serve import unread_topics
from stream.settings import SettingsError, load_settings
from tests.support.ingest import ingest
from tests.unit.adapters.events import SMALLEST, encoded

EVENT = encoded(SMALLEST["deployment"])
BASIC = "Basic " + base64.b64encode(b"flagger:t0ken").decode()
PATHS = ("/v1/events", "/v1/webhooks/flagger", "/v1/traces", "/v1/logs", "/v1/metrics")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "given", [None, "Bearer wrong", "Bearer", "t0ken", "Basic %%%", "Basic dDBrZW4=", "Bearer t0ken "]
)
async def test_no_path_is_open_without_the_token(path: str, given: str | None) -> None:
    """Neither to nobody nor to a wrong token; nothing is read or stored."""
    headers = {"authorization": given} if given else {}
    async with ingest(token="t0ken") as here:
        answer = await here.post(path, EVENT, **headers)
        if given == "Bearer t0ken ":
            assert answer.status_code != 401  # white space around it is no other token
            return
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert not here.kafka.sent


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/openapi.json"])
async def test_its_own_pages_ask_for_the_token_too(path: str) -> None:
    """As those of the engine do."""
    async with ingest(token="t0ken") as here:
        assert (await here.client.get(path)).status_code == 401
        assert (await here.client.get(path, headers={"authorization": BASIC})).status_code == 200


@pytest.mark.parametrize("given", ["Bearer t0ken", "bearer t0ken", BASIC])
async def test_the_token_lets_in(given: str) -> None:
    """As a bearer token, or as the password of basic authorization."""
    async with ingest(token="t0ken") as here:
        assert (await here.post("/v1/events", EVENT, authorization=given)).status_code == 200


def test_nothing_listens_beyond_loopback_without_a_token() -> None:
    """The configuration is refused, with what to do."""
    with pytest.raises(SettingsError, match="MIDWATCH_INGEST_HTTP__TOKEN"):
        load_settings(None, {"MIDWATCH_INGEST_HTTP__HOST": "0.0.0.0"})


@pytest.mark.parametrize(
    "name", ["INGEST_HTTP__TOKEN", "HTTP__TOKEN", "INGEST_HTTP__GITHUB_SECRET"], ids=["ingest", "engine", "github"]
)
def test_an_empty_secret_is_none(name: str) -> None:
    """A variable that a deployment left empty is refused: else `Authorization: Bearer` alone would open the door."""
    with pytest.raises(SettingsError, match=f"MIDWATCH_{name}"):
        load_settings(None, {f"MIDWATCH_{name}": ""})


@pytest.mark.parametrize("path", PATHS)
async def test_a_web_page_may_not_send_without_a_token(path: str) -> None:
    """Any page in a browser on this machine could post to loopback; with the token it may."""
    async with ingest() as here:
        answer = await here.post(path, EVENT, origin="https://example.com", content_type="application/json")
        assert answer.status_code == 403
        assert "token" in answer.text
        assert not here.kafka.sent
    async with ingest(token="t0ken") as here:
        answer = await here.post("/v1/events", EVENT, origin="https://example.com", authorization="Bearer t0ken")
        assert answer.status_code == 200


async def test_a_body_that_does_not_come_is_given_up() -> None:
    """Who sends a byte and then nothing holds no connection for ever."""

    async def dripping() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    with pytest.raises(Trouble, match="had not come") as caught:
        await read_body(dripping(), {}, 1024, seconds=0.01)
    assert caught.value.status == 408


async def test_the_answer_waits_for_kafka() -> None:
    """Nobody is told that something is stored before it is."""
    async with ingest() as here:
        here.kafka.gate = asyncio.Event()
        posting = asyncio.create_task(here.post("/v1/events", EVENT))
        await here.kafka.arrived.wait()
        assert not posting.done()
        here.kafka.gate.set()
        assert (await posting).json()["stored"] == 1


async def test_too_much_that_waits_is_429() -> None:
    """While more waits for Kafka than allowed, senders are told when to come again; later they are served."""
    many = b"\n".join([EVENT] * 300)
    assert 32_768 < len(many) < 65_536
    async with ingest(max_pending_bytes="65536") as here:
        here.kafka.gate = asyncio.Event()
        first = asyncio.create_task(here.post("/v1/events", many, content_type="application/x-ndjson"))
        await here.kafka.arrived.wait()
        second = await here.post("/v1/events", many, content_type="application/x-ndjson")
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        here.kafka.gate.set()
        assert (await first).status_code == 200
        assert (await here.post("/v1/events", many, content_type="application/x-ndjson")).status_code == 200


async def test_kafka_that_does_not_answer_is_503() -> None:
    """Within the time that is set, with when to come again; what waits is no longer counted."""
    async with ingest(store_seconds="0.05") as here:
        here.kafka.gate = asyncio.Event()
        answer = await here.post("/v1/events", EVENT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert here.meters.pending._value.get() == 0


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(KafkaTimeoutError(), 503, "send again"), (MessageSizeTooLargeError(), 413, "send less")],
)
async def test_kafkas_refusals(error: Exception, status: int, said: str) -> None:
    """Those that pass are worth a repeat, a record that is too large is not."""
    async with ingest() as here:
        here.kafka.error = error
        answer = await here.post("/v1/events", EVENT)
        assert answer.status_code == status
        assert said in answer.json()["detail"]


async def test_a_topic_that_is_not_there_is_said_and_not_made() -> None:
    """Until somebody makes it."""
    async with ingest() as here:
        here.kafka.topics.clear()
        answer = await here.post("/v1/events", EVENT)
        assert answer.status_code == 503
        assert "midwatch topics create" in answer.json()["detail"]
        assert not here.kafka.sent


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/v1/event", 404, "/v1/events"),
        ("GET", "/v1/events", 405, "it takes POST"),
        ("POST", "/v1/events", 400, "empty"),
    ],
)
async def test_who_is_lost_is_told_where_to_go(method: str, path: str, status: int, said: str) -> None:
    """A wrong path, a wrong method, an empty body."""
    async with ingest() as here:
        answer = await here.client.request(method, path)
        assert answer.status_code == status
        assert said in answer.json()["detail"]
        assert answer.headers["cache-control"] == "no-store"


def test_topics_that_no_engine_reads_are_named() -> None:
    """Where the engine's topics are others than those that the endpoints write."""
    assert unread_topics(load_settings(None, {})) == []
    found = load_settings(None, {"MIDWATCH_INGEST_HTTP__SPANS_TOPIC": "spans"})
    assert unread_topics(found) == ["spans"]


async def test_metrics_count_by_closed_labels() -> None:
    """Requests by declared route and code: no sender makes a label."""
    async with ingest() as here:
        await here.post("/v1/events", EVENT)
        await here.post("/v1/webhooks/someone-else", EVENT)
        await here.post("/v1/nowhere/at-all", EVENT)
        page = (await here.client.get("/metrics")).text
        assert 'midwatch_ingest_requests_total{code="200",route="/v1/events"} 1.0' in page
        assert 'route="/v1/webhooks/{tool}"' in page
        assert "nowhere" not in page
        assert 'midwatch_ingest_records_total{topic="agent.deployments"} 1.0' in page


async def test_the_openapi_document() -> None:
    """It lists every path that takes telemetry, with the answers that they give."""
    async with ingest() as here:
        answer: httpx.Response = await here.client.get("/openapi.json")
        document = answer.json()
        assert set(document["paths"]) == {"/v1/events", "/v1/webhooks/{tool}", "/v1/traces", "/v1/logs", "/v1/metrics"}
        events = document["paths"]["/v1/events"]["post"]
        assert {"200", "401", "413", "422", "429", "503"} <= set(events["responses"])
        assert "application/x-ndjson" in events["requestBody"]["content"]
        assert {one["name"] for one in events["parameters"]} >= {"environment", "system"}
