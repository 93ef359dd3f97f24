"""HTTP answers of bounded size. A provider's runaway body is cut off while it comes, before it fills the memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import openai

PLAIN: Final = "identity"
"""Answers are asked for uncompressed: few bytes on the wire could else be very many in memory."""


class AnswerTooLarge(httpx2.ReadError):
    """The body is longer than it may be, or compressed although it was asked for plain."""


def bounded_client(most: int, timeout_seconds: float) -> httpx2.AsyncClient:
    """The client that `openai` makes by default, proxies included, but with answers of `most` bytes at the most."""

    async def ask_plain(request: httpx2.Request) -> None:
        request.headers["Accept-Encoding"] = PLAIN

    async def bound(response: httpx2.Response) -> None:
        coding = response.headers.get("Content-Encoding") or PLAIN
        told = response.headers.get("Content-Length", "")
        if coding.lower() != PLAIN:
            raise AnswerTooLarge(f"an answer compressed by {coding[:20]}, which was not asked for")
        if told.isdecimal() and int(told) > most:
            raise AnswerTooLarge(f"an answer of {told[:20]} bytes; at most {most}")
        response.stream = _Bounded(response.stream, most)

    hooks: dict[str, list[Any]] = {"request": [ask_plain], "response": [bound]}
    return openai.DefaultAsyncHttpxClient(timeout=timeout_seconds, event_hooks=hooks)


def too_large(error: BaseException) -> bool:
    """Whether an error of the `openai` client came of an answer that was too large."""
    return isinstance(error, AnswerTooLarge) or isinstance(error.__cause__, AnswerTooLarge)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for piece in self._inner:
            seen += len(piece)
            if seen > self._most:
                raise AnswerTooLarge(f"an answer of more than {self._most} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
