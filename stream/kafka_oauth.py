"""Tokens for Kafka's OAUTHBEARER mechanism, had by the client credentials grant (RFC 6749, section 4.4).

A token is kept until four fifths of its life are over, so that a client that connects to ten brokers asks once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from stream.settings_sections import KafkaSettings

TIMEOUT_SECONDS: Final = 10.0
SHORTEST_LIFE: Final = 30.0
"""Life in seconds of a token whose server does not say how long it lives."""

KEPT_SHARE: Final = 0.8
MAX_ANSWER_BYTES: Final = 65_536


class ClientCredentials(AbstractTokenProvider):
    """Asks for a token where it has none that still lives. `clock` in seconds.

    Raises KafkaConnectionError, which clients meet with another try, without a word of the secret in it.
    """

    def __init__(self, kafka: KafkaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        if kafka.oauth_token_url is None or kafka.oauth_client_id is None or kafka.oauth_client_secret is None:
            raise ValueError("OAUTHBEARER needs oauth_token_url, oauth_client_id and oauth_client_secret")
        self._url = kafka.oauth_token_url
        self._auth = (kafka.oauth_client_id, kafka.oauth_client_secret.get_secret_value())
        self._form = {"grant_type": "client_credentials", **({"scope": kafka.oauth_scope} if kafka.oauth_scope else {})}
        self._clock = clock
        self._token: tuple[str, float] | None = None
        self._asking: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    async def token(self) -> str:
        """A token that still lives."""
        lock = self._asking.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with lock:
            if self._token is None or self._clock() >= self._token[1]:
                self._token = await self._ask()
            return self._token[0]

    async def _ask(self) -> tuple[str, float]:
        began = self._clock()
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
                answer = await client.post(self._url, data=self._form, auth=self._auth)
        except httpx.HTTPError as error:
            raise KafkaConnectionError(f"no token from {self._url}: {type(error).__name__}") from None
        if answer.status_code != httpx.codes.OK:
            raise KafkaConnectionError(f"no token from {self._url}: it answers {answer.status_code}")
        body: Any = None
        if len(answer.content) <= MAX_ANSWER_BYTES:
            try:
                body = answer.json()
            except ValueError:
                body = None
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise KafkaConnectionError(f"no token from {self._url}: its answer holds no access_token")
        life = body.get("expires_in", SHORTEST_LIFE)
        seconds = float(life) if isinstance(life, int | float) and life > 0 else SHORTEST_LIFE
        return token, began + seconds * KEPT_SHARE


@cache
def token_provider(kafka: KafkaSettings) -> ClientCredentials:
    """The provider of a configuration: one for all the clients of a process, so that they share their token."""
    return ClientCredentials(kafka)
