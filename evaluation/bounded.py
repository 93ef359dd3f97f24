"""HTTP answers of bounded size. A provider's runaway body is cut off while it comes, before it fills the memory."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import openai

PLAIN: Final = "identity"
"""Answers are asked for uncompressed: few bytes on the wire could else be very many in memory."""

INFLATED: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""What a server that compresses all the same may use: it is unpacked here, within the bound."""

_EITHER: Final = 32 + zlib.MAX_WBITS
"""Tells zlib to find out which of them it is."""


class AnswerTooLarge(httpx2.ReadError):
    """The body is longer than it may be, or compressed in a way that cannot be bounded."""


def bounded_client(most: int, timeout_seconds: float) -> httpx2.AsyncClient:
    """The client that `openai` makes by default, proxies included, but with answers of `most` bytes at the most."""

    async def ask_plain(request: httpx2.Request) -> None:
        request.headers["Accept-Encoding"] = PLAIN

    async def bound(response: httpx2.Response) -> None:
        coding = (response.headers.pop("Content-Encoding", "") or PLAIN).lower()
        told = response.headers.get("Content-Length", "")
        if coding not in INFLATED | {PLAIN}:
            raise AnswerTooLarge(f"an answer compressed by {coding[:20]}, which was not asked for")
        if told.isdecimal() and int(told) > most:
            raise AnswerTooLarge(f"an answer of {told[:20]} bytes; at most {most}")
        response.stream = _Bounded(response.stream, most, inflate=coding != PLAIN)

    hooks: dict[str, list[Any]] = {"request": [ask_plain], "response": [bound]}
    # No redirect: what people wrote, and the key in a header of its own, go to the server of the configuration alone.
    return openai.DefaultAsyncHttpxClient(timeout=timeout_seconds, event_hooks=hooks, follow_redirects=False)


def too_large(error: BaseException) -> bool:
    """Whether an error of the `openai` client came of an answer that was too large."""
    return isinstance(error, AnswerTooLarge) or isinstance(error.__cause__, AnswerTooLarge)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: Any, most: int, *, inflate: bool) -> None:
        self._inner = inner
        self._most = most
        self._inflate = zlib.decompressobj(_EITHER) if inflate else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for piece in self._inner:
            # One byte beyond what may come is enough to see that it is too much.
            whole = piece if self._inflate is None else self._unpacked(piece, self._most - seen + 1)
            seen += len(whole)
            if seen > self._most:
                raise AnswerTooLarge(f"an answer of more than {self._most} bytes")
            yield whole

    def _unpacked(self, piece: bytes, most: int) -> bytes:
        assert self._inflate is not None  # noqa: S101
        try:
            return self._inflate.decompress(piece, most)
        except zlib.error as error:
            raise httpx2.ReadError(f"an answer that cannot be unpacked ({error})") from None

    async def aclose(self) -> None:
        await self._inner.aclose()
