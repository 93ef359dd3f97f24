"""Sending events to `midwatch ingest` over HTTP, for who does not reach Kafka."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from schemas.base import JsonObject
from schemas.canonical import canonical_json

SECONDS: Final = 30.0
TRIES: Final = 4
_AGAIN: Final = (429, 502, 503, 504)
_LONGEST_WAIT: Final = 10.0


_USER: Final = re.compile(r"//[^/]*@")


def shown(url: str) -> str:
    """An address for people, without the user and the password that it may hold."""
    return _USER.sub("//", url)


class IngestError(RuntimeError):
    """The events were not stored; the message says which and why."""


def post_events(
    url: str,
    events: Sequence[JsonObject],
    token: str | None,
    *,
    transport: httpx.BaseTransport | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> JsonObject:
    """Store the events, all of them; what the server says of them. Raises IngestError."""
    headers = {"content-type": "application/x-ndjson"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    body = b"\n".join(canonical_json(event) for event in events)
    address = f"{url.rstrip('/')}/v1/events"
    transport = transport or httpx.HTTPTransport(retries=2)
    try:
        with httpx.Client(timeout=SECONDS, transport=transport, follow_redirects=False) as client:
            answer = _patiently(lambda: client.post(address, content=body, headers=headers), sleep)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise IngestError(f"{shown(address)} does not answer: {str(error) or type(error).__name__}") from None
    return _stored(shown(address), answer, len(events))


def _patiently(ask: Callable[[], httpx.Response], sleep: Callable[[float], None]) -> httpx.Response:
    """The answer; asked again, after the time that the server names, while it says that it is busy."""
    for _ in range(TRIES - 1):
        answer = ask()
        if answer.status_code not in _AGAIN:
            return answer
        said = answer.headers.get("retry-after", "1")
        sleep(min(float(said) if said.isdecimal() and len(said) < 6 else 1.0, _LONGEST_WAIT))
    return ask()


def _stored(address: str, answer: httpx.Response, count: int) -> JsonObject:
    try:
        plain: Any = answer.json()
    except ValueError:
        plain = None
    if not isinstance(plain, dict):
        raise IngestError(f"{address} answers {answer.status_code}, and not as `midwatch ingest` does")
    refused = plain.get("refused") or []
    if answer.status_code != httpx.codes.OK or refused or plain.get("stored") != count:
        whys = "; ".join(str(one.get("detail")) for one in refused if isinstance(one, dict))
        raise IngestError(f"{address} answers {answer.status_code}: {whys or plain.get('detail') or plain}")
    return plain
