"""Sending to the endpoints: patience where they are busy, plain words where they refuse."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from stream.ingest_client import IngestError, post_events
from tests.unit.adapters.events import SMALLEST

EVENT = SMALLEST["deployment"]
STORED = httpx.Response(200, json={"stored": 1, "refused": []})


def answering(*answers: httpx.Response) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A server that gives these answers in turn, and what it was asked."""
    asked: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return left.pop(0)

    return httpx.MockTransport(answer), asked


def test_it_waits_as_long_as_it_is_told() -> None:
    """And sends the same bytes again; a wait without measure is cut."""
    busy = [httpx.Response(429, headers={"retry-after": said}) for said in ("3", "99999", "soon")]
    transport, asked = answering(*busy, STORED)
    waits: list[float] = []
    found = post_events("http://ingest:4318/", [EVENT], "t0ken", transport=transport, sleep=waits.append)
    assert found["stored"] == 1
    assert waits == [3.0, 10.0, 1.0]
    assert {request.content for request in asked} == {asked[0].content}
    assert str(asked[0].url) == "http://ingest:4318/v1/events"
    assert asked[0].headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: httpx.Response(401, json={"detail": "a bearer token is needed"}), "401: a bearer token is needed"),
        (lambda: httpx.Response(422, json={"stored": 0, "refused": [{"detail": "`flow` is required"}]}), "`flow`"),
        (lambda: httpx.Response(200, json={"stored": 0, "refused": []}), "200"),
        (lambda: httpx.Response(200, text="<html>"), "not as `midwatch ingest` does"),
        (lambda: httpx.Response(302, headers={"location": "http://elsewhere/"}), "302"),
    ],
)
def test_a_refusal_is_said_in_its_words(answer: Callable[[], httpx.Response], said: str) -> None:
    """Once, without a repeat; a redirect is not followed, for it would carry the token elsewhere."""
    transport, asked = answering(answer())
    waits: list[float] = []
    with pytest.raises(IngestError, match=said):
        post_events("http://ingest", [EVENT], "t0ken", transport=transport, sleep=waits.append)
    assert (len(asked), waits) == (1, [])


def test_it_gives_up() -> None:
    """After four tries."""
    transport, asked = answering(
        *(httpx.Response(503, json={"detail": "Kafka does not take records"}) for _ in range(4))
    )
    with pytest.raises(IngestError, match="Kafka does not take"):
        post_events("http://ingest", [EVENT], None, transport=transport, sleep=lambda _: None)
    assert len(asked) == 4


def test_a_wrong_address_is_no_crash() -> None:
    """Nor one that nobody answers at."""
    for url in ("ingest:4318", "http://", "http://127.0.0.1:1"):
        with pytest.raises(IngestError, match="does not answer"):
            post_events(url, [EVENT], None, sleep=lambda _: None)


@pytest.mark.parametrize("answer", [httpx.Response(401, json={"detail": "no"}), None])
def test_a_token_in_the_address_is_not_repeated(answer: httpx.Response | None) -> None:
    """Neither by a refusal nor by a server that is not there: a CI job's log is read by many."""

    def serve(request: httpx.Request) -> httpx.Response:
        if answer is None:
            raise httpx.ConnectError("refused")
        return answer

    with pytest.raises(IngestError, match="https://ingest/v1/events") as caught:
        post_events("https://any:t0p-secr@t@ingest", [EVENT], None, transport=httpx.MockTransport(serve))
    assert "t0p" not in str(caught.value)
    assert "secr" not in str(caught.value)
