"""A program with a web server and a folder of its own: on loopback and a free port, ended by process id."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stream.embedded import free_port
from stream.embedded.guard import Guard, wait_or_kill

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05


class WebProgram(ABC):
    """One such process, that ends with its parent; `url` is its address, `folder` its own."""

    def __init__(self, program: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=f"midwatch-{Path(program).name}-")
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        self.folder = Path(self._temporary.name)
        self.url = f"http://127.0.0.1:{free_port()}"

    @abstractmethod
    def arguments(self) -> list[str]:
        """What the program is given."""

    def start(self) -> None:
        """Start it and wait until `/-/ready` answers."""
        out = self.folder / "out"
        with out.open("ab") as sink:
            self._process = subprocess.Popen(
                [self._program, *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"{self._program} ended: {out.read_text()[-1000:]}"
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(_PAUSE_SECONDS)  # Another process's readiness cannot be awaited.
        raise AssertionError(f"{self._program} did not answer at {self.url} within {_READY_SECONDS:.0f} s")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            wait_or_kill(self._process, _STOP_SECONDS)
            self._process = None
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
        self._temporary.cleanup()
