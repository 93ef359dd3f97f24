"""A real `redis-server` for tests: on loopback and a free port, with an append-only file, ended by process id."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.embedded import free_port
from stream.embedded.guard import Guard
from tests.support.real import unavailable

EXTERNAL = "MIDWATCH_REDIS"
_READY_SECONDS = 10.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class ExternalRedis:
    """A running Redis that `MIDWATCH_REDIS` names."""

    url: str


class RealRedis:
    """One `redis-server`; stopped or killed, it starts again on the same port with the same data. Ends with its parent.

    Args:
        program: path of redis-server.
        more: further options, as on its command line.
    """

    def __init__(self, program: str = "redis-server", more: Sequence[str] = ()) -> None:
        self.options = tuple(more)
        self._temporary = tempfile.TemporaryDirectory(prefix="midwatch-real-redis-")
        self.data_dir = Path(self._temporary.name)
        self.port = free_port()
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id; an error when it is not running."""
        assert self._process is not None, "redis-server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        return self._process is not None

    def arguments(self) -> list[str]:
        """The server's command line."""
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data_dir), "--save", ""]
        keep = ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        return [*options, *keep, *self.options]

    def start(self) -> str:
        """Start the server on its data and wait until it answers; its URL."""
        with (self.data_dir / "redis.out").open("ab") as out:
            self._process = subprocess.Popen(
                [self._program, *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid)
        self._await_ready(self._process)
        return self.url

    def stop(self) -> None:
        """End the server in an orderly way."""
        if self._process is not None:
            self._process.terminate()
            self._ended()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._ended()

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(_STOP_SECONDS)
        self._process = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """A server that still loads its file answers LOADING, so only PONG counts."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise AssertionError(f"redis-server ended: {(self.data_dir / 'redis.out').read_text()[-1000:]}")
            if _pings(self.port):
                return
            time.sleep(_PAUSE_SECONDS)  # Another process's readiness cannot be awaited.
        raise AssertionError(f"redis-server did not answer at {self.url} within {_READY_SECONDS:.0f} s")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._temporary.cleanup()


def _pings(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def external_redis() -> ExternalRedis | None:
    """The Redis that `MIDWATCH_REDIS` names, if it does."""
    url = os.environ.get(EXTERNAL)
    return ExternalRedis(url) if url else None


def new_redis(more: Sequence[str] = (), kind: type[RealRedis] = RealRedis) -> RealRedis:
    """A server that is not yet started; skips (or fails, see `unavailable`) where there is no redis-server."""
    program = shutil.which("redis-server")
    if program is None:
        unavailable(f"no redis-server: install it, or set {EXTERNAL}=redis://host:port/0")
    return kind(program, more)
