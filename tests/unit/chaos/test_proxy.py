"""The proxy of the fault suite: it carries bytes, and does to connections what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from benchmarks.chaos import proxy as module
from benchmarks.chaos.proxy import CALM, Proxy, Weather


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    tasks: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                writer.write(data)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_bytes_pass_both_ways() -> None:
    """What goes in comes back, whole, also when it is more than a chunk."""
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        sent = bytes(range(256)) * 1024
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()


async def test_a_cut_resets_what_is_open_and_takes_what_is_new() -> None:
    """The client sees a reset, not an end; the next connection is served."""
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"a")
        await reader.readexactly(1)
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        writer.close()


async def test_a_half_open_connection_gives_nothing_and_does_not_end() -> None:
    """While it is stalled nothing comes and nothing closes; afterwards what was sent arrives."""
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.set(Weather(stalled=True))
        writer.write(b"b")
        answer = asyncio.create_task(reader.readexactly(1))
        # Another connection is taken as well, and gets no answer: by then the first one's byte would long be back.
        other_reader, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        other.write(b"c")
        for _ in range(100):
            await asyncio.sleep(0)
        assert not answer.done()
        proxy.set(CALM)
        assert await answer == b"b"
        assert await other_reader.readexactly(1) == b"c"
        writer.close()
        other.close()


async def test_delay_and_throttle_wait_for_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk is held back by the delay, and by its size over the rate, in both directions."""
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"a")
        await reader.readexactly(1)
        monkeypatch.setattr(module, "_sleep", note)
        proxy.set(Weather(delay_seconds=0.5, bytes_per_second=100))
        writer.write(b"x" * 50)
        await reader.readexactly(50)
        assert waits == [0.5, 0.5] * 2
        writer.close()


async def test_nobody_behind_it_ends_the_connection() -> None:
    """A server that is down is seen as such, not as silence."""
    async with echoing() as proxy:
        proxy.target = 1
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read(1) == b""
        writer.close()
