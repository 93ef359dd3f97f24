"""POST /v1/events and /v1/webhooks: what is stored, where, as which bytes; what is refused, and in which words."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.adapters import Decoder
from stream.ingest_http.answers import Trouble
from stream.ingest_http.app import TOOLS
from stream.ingest_http.sorting import _is_long, sort_records, split
from tests.contract.test_producers import SAMPLES
from tests.support.ingest import ingest
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, encoded

DEPLOYMENT = SMALLEST["deployment"]


async def test_one_event_is_stored_as_it_came() -> None:
    """Its bytes go unchanged to the topic of its type, and the answer says so."""
    body = b' {"more":1, ' + encoded(DEPLOYMENT)[1:]
    async with ingest() as here:
        answer = await here.post("/v1/events", body, content_type="application/json")
        assert (answer.status_code, answer.json()["stored"]) == (200, 1)
        assert answer.json()["topics"] == {"agent.deployments": 1}
        assert answer.json()["unknown_fields"] == {"deployment.more": 1}
        [(topic, value, _)] = here.kafka.sent
        assert (topic, value) == ("agent.deployments", body)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", encoded([DEPLOYMENT, INTERACTION])),
        ("application/x-ndjson; charset=utf-8", encoded(DEPLOYMENT) + b"\n\n" + encoded(INTERACTION) + b"\n"),
        (
            "application/cloudevents-batch+json",
            encoded(
                [
                    {"specversion": "1.0", "id": "1", "source": "/x", "type": "midwatch.x", "data": event}
                    for event in (DEPLOYMENT, INTERACTION)
                ]
            ),
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_many_events_are_stored_apart(content_type: str, body: bytes, packed: bool) -> None:
    """An array, lines or a batch of CloudEvents become a record each, on the topics of their types."""
    more = {"content_encoding": "gzip"} if packed else {}
    async with ingest() as here:
        answer = await here.post(
            "/v1/events", gzip.compress(body) if packed else body, content_type=content_type, **more
        )
        assert answer.json()["stored"] == 2, answer.text
        decoder = Decoder()
        batch = decoder.decode_batch([(value, list(headers.items()), NOW_MS) for _, value, headers in here.kafka.sent])
        assert len(batch.events) == 2
        assert [topic for topic, _, _ in here.kafka.sent] == ["agent.deployments", "agent.interactions"]


async def test_binary_cloudevents_keep_their_attributes() -> None:
    """`ce-` headers of HTTP become `ce_` headers of Kafka, their percent-encoding undone."""
    bare = {key: value for key, value in DEPLOYMENT.items() if key not in ("id", "type")}
    async with ingest() as here:
        answer = await here.post(
            "/v1/events",
            encoded(bare),
            content_type="application/json",
            ce_specversion="1.0",
            ce_id="caf%C3%A9",
            ce_source="/x",
            ce_type="midwatch.deployment",
        )
        assert answer.json()["stored"] == 1, answer.text
        [(_, _, headers)] = here.kafka.sent
        assert headers["ce_id"] == "café".encode()
        assert headers["content-type"] == b"application/json"


async def test_each_refused_record_has_its_reason() -> None:
    """Good ones are stored, bad ones named by their place; with no good one the answer is 422."""
    good, bad = encoded(DEPLOYMENT), encoded(INTERACTION | {"outcome": "fine"})
    async with ingest() as here:
        answer = await here.post("/v1/events", b"\n".join([bad, good, b"{"]), content_type="application/x-ndjson")
        assert answer.status_code == 200
        found = answer.json()
        assert (found["stored"], found["refused_count"]) == (1, 2)
        assert [(one["index"], one["reason"]) for one in found["refused"]] == [
            (0, "invalid_field"),
            (2, "malformed_json"),
        ]
        assert "`outcome`" in found["refused"][0]["detail"]
        assert len(here.kafka.sent) == 1
        nothing = await here.post("/v1/events", bad, content_type="application/json")
        assert nothing.status_code == 422
        assert here.meters.refused.labels("invalid_field")._value.get() == 2


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.events])
async def test_webhooks_of_every_tool(name: str) -> None:
    """What a tool sends is stored whole, and decodes on the topic as it does alone."""
    sample = SAMPLES[name]
    path = {known: path for path, known in TOOLS.items()}.get(sample.format, "opa")
    told = {
        key.removeprefix("midwatch_"): value.decode() for key, value in sample.headers if key.startswith("midwatch_")
    }
    query = "&".join(f"{key}={value}" for key, value in told.items())
    more = {key.replace("-", "_"): value.decode() for key, value in sample.headers if not key.startswith("midwatch_")}
    async with ingest() as here:
        answer = await here.post(
            f"/v1/webhooks/{path}?{query}", sample.encoded, content_type="application/json", **more
        )
        assert answer.status_code == 200, answer.text
        batch = Decoder().decode_batch([(value, list(head.items()), NOW_MS) for _, value, head in here.kafka.sent])
        expected = Decoder().decode_batch([(sample.encoded, sample.headers, NOW_MS)])
        assert batch.events == expected.events


async def test_a_record_with_a_faulty_part_is_stored_for_the_others() -> None:
    """The answer says which part becomes a dead letter, and of which record."""
    sample = SAMPLES["resilience4j_one_is_odd"]
    async with ingest() as here:
        query = "environment=production&system=claims"
        answer = (await here.post(f"/v1/webhooks/resilience4j?{query}", sample.encoded)).json()
        assert (answer["stored"], answer["refused_count"]) == (1, 0)
        assert answer["faulty_parts"][0]["index"] == 0
        assert "circuitBreakerEvents[0]" in answer["faulty_parts"][0]["detail"]


async def test_a_webhook_takes_its_own_tool_alone() -> None:
    """Another's record, and an unknown tool, are refused with what to do."""
    async with ingest() as here:
        answer = await here.post("/v1/webhooks/flagger", SAMPLES["opa_denied"].encoded)
        assert answer.status_code == 422
        assert "/v1/events" in answer.json()["refused"][0]["detail"]
        unknown = await here.post("/v1/webhooks/jenkins", b"{}")
        assert unknown.status_code == 404
        assert "argo-rollouts" in unknown.json()["detail"]
        assert not here.kafka.sent


async def test_githubs_signature_takes_the_place_of_the_token() -> None:
    """With a secret set the signature must be right, and no token is asked for; without one the token counts."""
    sample = SAMPLES["github_success"]
    signed = "sha256=" + hmac.new(b"s3cret", sample.encoded, hashlib.sha256).hexdigest()
    path = "/v1/webhooks/github?system=claims"
    event = {"content_type": "application/json", "x_github_event": "deployment_status"}
    async with ingest(token="t0ken", github_secret="s3cret") as here:
        for given in ({}, {"x_hub_signature_256": signed[:-1] + "0"}, {"x_hub_signature_256": "sha256=é"}):
            raw = {key: value.encode() for key, value in {**event, **given}.items()}
            named = [(key.replace("_", "-").encode(), value) for key, value in raw.items()]
            answer = await here.client.post(path, content=sample.encoded, headers=named)
            assert answer.status_code == 401
        answer = await here.post(path, sample.encoded, **event, x_hub_signature_256=signed)
        assert answer.status_code == 200, answer.text
        other = await here.post("/v1/webhooks/opa", SAMPLES["opa_denied"].encoded, x_hub_signature_256=signed)
        assert other.status_code == 401
    async with ingest(token="t0ken") as here:
        assert (await here.post(path, sample.encoded, **event, x_hub_signature_256=signed)).status_code == 401
        answer = await here.post(path, sample.encoded, **event, authorization="Bearer t0ken")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        ("/v1/events?sytem=x", b"{}", {}, 422, "'sytem'"),
        ("/v1/events?system=", b"{}", {}, 422, "1 to 256"),
        ("/v1/events", b"<a/>", {"content_type": "text/xml"}, 415, "NDJSON"),
        ("/v1/events", b"[1,", {}, 400, "no JSON array"),
        ("/v1/events", b"\x1f\x8b123", {"content_encoding": "gzip"}, 400, "gzip"),
        ("/v1/events", b"{}", {"content_encoding": "br"}, 415, "gzip or none"),
        ("/v1/events", b"x" * 2000, {}, 413, "longer than 1,024"),
        ("/v1/events", gzip.compress(b" " * 1_000_000), {"content_encoding": "gzip"}, 413, "unpacks"),
        ("/v1/events", b'{"resourceSpans":[]}', {}, 422, "/v1/traces"),
        ("/v1/events", b"[" + b"1," * 500 + b"1]", {}, 422, "not_an_object"),
    ],
)
async def test_what_cannot_be_taken(path: str, body: bytes, headers: dict[str, str], status: int, said: str) -> None:
    """Each with its status and words that say what to do; nothing is stored."""
    async with ingest(max_body_bytes="1024", max_unpacked_bytes="2048") as here:
        if len(body) > 1024 and status != 413:
            pytest.fail("a body that is too long tests nothing else")
        answer = await here.post(path, body, **headers)
        assert answer.status_code == status, answer.text
        assert said in answer.text
        assert not here.kafka.sent


async def test_a_stream_is_cut_off_at_the_limit() -> None:
    """A body without a stated length is read no further than allowed."""
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 512

    async with ingest(max_body_bytes="1024") as here:
        answer = await here.client.post("/v1/events", content=endless())
        assert answer.status_code == 413
        assert taken <= 4


media = st.sampled_from(
    ["application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json"]
)
bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([sample.encoded for sample in SAMPLES.values()]).flatmap(
        lambda value: st.integers(0, len(value)).map(lambda cut: value[:cut])
    ),
    st.lists(st.sampled_from([encoded(INTERACTION), b"{}", b"1", b"", b"\xff"]), max_size=4).map(b"\n".join),
)


@settings(max_examples=300)
@given(bodies, media)
def test_any_body_is_answered(body: bytes, content_type: str) -> None:
    """Every record of a body is stored, refused or passed over; nothing raises but what has a status."""
    try:
        values, headers = split(body, {"content-type": content_type})
    except Trouble:
        return
    found = sort_records(values, headers, Decoder(), NOW_MS)
    assert len(found.records) + len(found.refused) + found.passed_over == len(values)
    json.dumps([why.detail for _, why in found.refused])


@pytest.mark.parametrize(
    ("body", "media"),
    [(b"[" + b"1," * 600_000 + b"1]", "application/json"), (b"1\n" * 20_000, "application/x-ndjson")],
    ids=["array", "lines"],
)
def test_a_flood_of_tiny_records_is_not_taken_apart(body: bytes, media: str) -> None:
    """It is counted first, and as far as the bound alone: memory does not grow with what a body claims to hold."""
    tracemalloc.start()
    try:
        with pytest.raises(Trouble, match="more than 10,000 records"):
            split(body, {"content-type": media})
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@given(st.lists(st.one_of(st.text(), st.lists(st.integers(), max_size=3), st.dictionaries(st.text(), st.text()))))
@settings(max_examples=100)
def test_the_count_of_an_array_is_its_length(values: list[Any]) -> None:
    """Commas in strings and in what lies deeper do not count."""
    body = json.dumps(values, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream.ingest_http.sorting.MOST_RECORDS", 3)
        assert _is_long(body) == (len(values) > 3)


def test_what_every_record_gets_along_is_short() -> None:
    """A long content type would be stored with each of ten thousand records."""
    with pytest.raises(Trouble, match="content-type has more than 256") as caught:
        split(b"[1,2]", {"content-type": "application/json; a=" + "b" * 300})
    assert caught.value.status == 400
