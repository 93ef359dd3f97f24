"""A small TCP proxy whose connections can be cut, held up, throttled, or left open with nobody behind them.

Bytes pass as they come. What a network does to them is the proxy's `weather`; it holds for open connections and for
new ones alike, and changes at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

CHUNK: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, zero seconds: closing sends a reset and not a polite end."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to bytes.

    Attributes:
        delay_seconds: how long each chunk is held back, in each direction.
        bytes_per_second: most that passes in each direction; None for any.
        stalled: nothing passes, in either direction, and nothing is closed: a half-open connection. New connections
            are taken, and nobody answers.
    """

    delay_seconds: float = 0.0
    bytes_per_second: int | None = None
    stalled: bool = False


CALM: Final = Weather()


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)


class _Link:
    """One connection: the client's side, the server's side, and the two tasks that carry bytes between them."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.tasks: list[asyncio.Task[None]] = []

    def reset(self) -> None:
        """End both sides with a reset."""
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


class Proxy:
    """Forwards `127.0.0.1:port` to `127.0.0.1:target`. Use it as an async context manager."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.port = port
        self.cuts = 0
        self._weather = CALM
        self._fair = asyncio.Event()
        self._fair.set()
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    @property
    def open_links(self) -> int:
        """Connections that stand."""
        return len(self._links)

    def set(self, weather: Weather) -> None:
        """Change what happens to bytes, from now on."""
        self._weather = weather
        if weather.stalled:
            self._fair.clear()
        else:
            self._fair.set()

    def cut(self) -> int:
        """Reset every open connection; how many those were. New ones are taken."""
        links = list(self._links)
        for link in links:
            link.reset()
        self.cuts += len(links)
        return len(links)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None  # noqa: S101  # entered before it is left
        self._server.close()
        tasks = [task for link in self._links for task in link.tasks]
        self.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            await self._fair.wait()
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
            link.writers.append(back_writer)
            link.tasks = [
                asyncio.create_task(self._carry(reader, back_writer)),
                asyncio.create_task(self._carry(back_reader, writer)),
            ]
            # Either side may end the connection; both know that a half that is closed ends the whole.
            await asyncio.wait(link.tasks, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # Nobody listens behind the proxy: the client sees its connection end, as it would without one.
        finally:
            for task in link.tasks:
                task.cancel()
            await asyncio.gather(*link.tasks, return_exceptions=True)
            link.reset()
            self._links.discard(link)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._fair.wait()
                if self._weather.delay_seconds:
                    await _sleep(self._weather.delay_seconds)
                if self._weather.bytes_per_second:
                    await _sleep(len(data) / self._weather.bytes_per_second)
                await self._fair.wait()
                writer.write(data)
                await writer.drain()
