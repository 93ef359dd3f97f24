"""A request's body, never longer than allowed, packed or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from typing import Final

from stream.adapters.packed import gunzip
from stream.adapters.rejection import RejectedRecord
from stream.ingest_http.answers import Trouble

BODY_SECONDS: Final = 60.0
"""Longest time that a body may take to come: who sends a byte now and then would hold a connection for ever."""


async def read_body(
    stream: AsyncIterable[bytes], headers: Mapping[str, str], most: int, seconds: float = BODY_SECONDS
) -> bytes:
    """The body as it was sent. Raises Trouble: 413 as soon as it is known to be too long, 408 if it does not come."""
    try:
        async with asyncio.timeout(seconds):
            return await _read(stream, headers, most)
    except TimeoutError:
        raise Trouble(408, f"the body had not come after {seconds:g} s") from None


async def _read(stream: AsyncIterable[bytes], headers: Mapping[str, str], most: int) -> bytes:
    stated = headers.get("content-length", "")
    if stated.isdigit() and int(stated[:20]) > most:
        raise _too_long(most)
    parts: list[bytes] = []
    length = 0
    async for part in stream:
        length += len(part)
        if length > most:
            raise _too_long(most)
        parts.append(part)
    return b"".join(parts)


def unpacked(body: bytes, headers: Mapping[str, str], most: int) -> bytes:
    """The body without its content encoding. Raises Trouble: 413, 415, or 400 for what is no gzip."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise Trouble(415, f"content-encoding {encoding[:40]!r} is not read; send gzip or none")
    try:
        return gunzip(body, most)
    except RejectedRecord as rejected:
        reason = rejected.rejection
        raise Trouble(413 if reason.reason == "too_large" else 400, reason.detail) from None


def _too_long(most: int) -> Trouble:
    return Trouble(413, f"the body is longer than {most:,} bytes; send less at once")
