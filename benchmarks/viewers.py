"""Live viewers of the on-call page, as browsers are: each follows the changes and fetches the first screen anew.

    python -m benchmarks.viewers URL COUNT

They are a process of their own, so that what they cost is not counted as the page's. Each has two connections: one for
the server-sent events, one kept open for what it fetches. For each first screen that has come whole a line is printed:
its version, and its bytes as they came. Ends with standard input, or with the page.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import sys
from urllib.parse import urlsplit

FETCH = "GET /fragments/overview HTTP/1.1\r\nhost: {host}\r\naccept-encoding: gzip\r\nx-fragment: 1\r\n\r\n"
VERSION = re.compile(rb'data-version="(\d+)"')
FOLLOW = "GET /api/v1/stream HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n"


async def viewer(host: str, port: int) -> None:
    """One of them, until the page ends. The first screen is fetched once for every message."""
    name = f"{host}:{port}"
    reading, following = await asyncio.open_connection(host, port)
    answers, asking = await asyncio.open_connection(host, port)
    following.write(FOLLOW.format(host=name).encode())
    async for line in reading:
        if line.startswith(b"data:"):
            if answers.at_eof():  # The server closes what is idle for some seconds; a browser comes again.
                asking.close()
                answers, asking = await asyncio.open_connection(host, port)
            asking.write(FETCH.format(host=name).encode())
            body = await _body(answers)
            version = VERSION.search(gzip.decompress(body))
            print(int(version[1]) if version is not None else -1, len(body), flush=True)


async def _body(answers: asyncio.StreamReader) -> bytes:
    """The body of the next answer. Raises RuntimeError for any but 200."""
    head = (await answers.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    if not head.startswith("http/1.1 200"):
        raise RuntimeError(head.partition("\r\n")[0])
    length = next(line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:"))
    return await answers.readexactly(int(length))


async def run(url: str, count: int) -> None:
    """All of them."""
    parts = urlsplit(url)
    every = [asyncio.create_task(viewer(parts.hostname or "", parts.port or 80)) for _ in range(count)]
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([*every, ended], return_when=asyncio.FIRST_COMPLETED)
    for one in every:
        one.cancel()
    found = await asyncio.gather(*every, return_exceptions=True)
    for error in found:
        if isinstance(error, Exception):
            raise error


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
