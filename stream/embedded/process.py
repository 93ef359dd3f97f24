"""The embedded broker in a process of its own, so that it does not share an event loop, or a core, with the engine."""

import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from stream.embedded.broker import DEFAULT_RETENTION_BYTES
from stream.embedded.guard import Guard, wait_or_kill

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


class EmbeddedKafkaProcess:
    """A broker process, started and stopped without an event loop. It ends with its parent.

    Args:
        host: a loopback address.
        port: 0 takes a free one.
        partitions: of topics created without saying how many.
        retention_bytes: kept per partition, -1 for everything.
        auto_create_topics: whether a topic begins to exist when a client first asks for it.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        partitions: int = 4,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        auto_create_topics: bool = True,
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "stream.embedded.kafka", "--host", host, "--port", str(port)),
            *("--partitions", str(partitions), "--retention-bytes", str(retention_bytes)),
            *(() if auto_create_topics else ("--no-auto-create",)),
        ]
        self._bootstrap = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port`, as clients want it.

        Raises:
            RuntimeError: the broker is not started.
        """
        if self._process is None:
            raise RuntimeError("the embedded broker is not started: call start() first")
        return self._bootstrap

    @property
    def pid(self) -> int:
        """Process id.

        Raises:
            RuntimeError: the broker is not started.
        """
        if self._process is None:
            raise RuntimeError("the embedded broker is not started: call start() first")
        return self._process.pid

    def start(self) -> str:
        """Start the process and wait for its address, which is returned.

        Raises:
            RuntimeError: it ended at once, or did not answer; its own words are on stderr.
        """
        if self._process is not None:
            raise RuntimeError(f"the embedded broker runs already, at {self._bootstrap}")
        path = os.pathsep.join(filter(None, [_PACKAGE_ROOT, os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen(  # noqa: S603 - Our own module, with numbers and a host that it checks.
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the parent, which then stops the broker last.
        )
        address = "" if process.stdout is None else _first_line(process.stdout, _START_SECONDS)
        if not address:
            process.kill()
            process.communicate()
            raise RuntimeError(f"the embedded broker did not start (exit code {process.returncode}); see stderr")
        self._process, self._bootstrap, self._guard = process, address, Guard(process.pid)
        return address

    def stop(self) -> None:
        """End the process; its records are gone. Nothing happens when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        wait_or_kill(process, _STOP_SECONDS)
        if process.stdout is not None:
            process.stdout.close()
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


def _first_line(pipe: IO[bytes], seconds: float) -> str:
    """What comes before the first line break; empty when that takes too long or the pipe closes."""
    line = b""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return ""
            piece = os.read(pipe.fileno(), 1)
            if not piece:
                return ""
            line += piece
    return line.decode().strip()
