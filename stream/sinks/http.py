"""HTTP to a destination: TLS verified, no redirects, no proxies, only allowed addresses, short answers.

What an answer means for the delivery is said here once. 2xx is taken. 429 and 5xx, and no answer at all, may pass.
400, 413 and 422 are about this message: the same would be refused again. Everything else (401, 403, 404, a redirect)
is about the configuration: every message would fail, so the destination counts as down until somebody mends it.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import ssl
import time
from collections.abc import Mapping
from typing import Final

import aiohttp

from stream.sinks.base import LONGEST_ANSWER, DeliveryFailed, HttpSinkSettings
from stream.sinks.guard import ForbiddenAddress, socket_for

TAKEN: Final = range(200, 300)
LONGEST_WAIT_SECONDS: Final = 3600.0
"""Most that a destination's Retry-After is obeyed for."""

BAD_MESSAGE: Final = frozenset({400, 413, 415, 422})
PASSING: Final = frozenset({408, 425, 500, 502, 503, 504, 507})


class Http:
    """Posts to destinations of one sink."""

    def __init__(self, settings: HttpSinkSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            cafile = self._settings.tls_cafile
            connector = aiohttp.TCPConnector(
                ssl=ssl.create_default_context(cafile=cafile),
                socket_factory=None if self._settings.allow_private else socket_for,
                limit=8,
                ttl_dns_cache=30,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "Midwatch"},
            )
        return self._session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], bad: frozenset[int] = BAD_MESSAGE) -> str:
        """Post; the status and the beginning of the answer. Raises DeliveryFailed.

        `bad` are the statuses by which this destination refuses a message for good.
        """
        try:
            async with self._open().post(url, data=body, headers=dict(headers), allow_redirects=False) as response:
                text = await _beginning(response)
                if response.status in TAKEN:
                    return f"{response.status} {text}".strip()
                raise _failure(response, text, bad)
        except TimeoutError:
            seconds = f"{self._settings.timeout_seconds:g}"
            raise DeliveryFailed("timeout", f"no answer within {seconds} s", everyone=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _no_contact(error) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _beginning(response: aiohttp.ClientResponse) -> str:
    # Of an answer without end only this much is read; the connection is dropped with the rest.
    raw = await response.content.read(4 * LONGEST_ANSWER)
    text = " ".join(raw.decode("utf-8", "replace").split())
    return "".join(one for one in text if one.isprintable())[:LONGEST_ANSWER]


def _failure(response: aiohttp.ClientResponse, text: str, bad: frozenset[int]) -> DeliveryFailed:
    status = response.status
    said = f"{status} {text}".strip()
    if status == 429:
        wait = retry_after(response.headers.get("Retry-After"), time.time())
        return DeliveryFailed("rate_limited", said, everyone=True, wait_seconds=wait)
    if status in bad:
        return DeliveryFailed("refused", said, again=False)
    if status in PASSING or status >= 500:
        wait = retry_after(response.headers.get("Retry-After"), time.time())
        return DeliveryFailed("server_error", said, wait_seconds=wait)
    if 300 <= status < 400:
        said = f"{status}: it redirects, and redirects are not followed; give the final address"
    return DeliveryFailed("rejected_by_destination", said, everyone=True)


def _no_contact(error: Exception) -> DeliveryFailed:
    cause: BaseException | None = getattr(error, "os_error", None) or error
    if isinstance(cause, ForbiddenAddress) or "allow_private" in str(cause):
        return DeliveryFailed("forbidden_address", str(cause), everyone=True)
    return DeliveryFailed("connection", str(error) or type(error).__name__, everyone=True)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS) if math.isfinite(seconds) else None


async def post_to_all(
    http: Http, urls: tuple[str, ...], body: bytes, headers: Mapping[str, str]
) -> tuple[list[str], list[tuple[str, DeliveryFailed]]]:
    """Post the same to several; what those answered that took it, and how the others failed."""
    results = await asyncio.gather(*(http.post(url, body, headers) for url in urls), return_exceptions=True)
    taken, failed = [], []
    for url, result in zip(urls, results, strict=True):
        if isinstance(result, DeliveryFailed):
            failed.append((url, result))
        elif isinstance(result, BaseException):
            raise result
        else:
            taken.append(result)
    return taken, failed
