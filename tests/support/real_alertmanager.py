"""A real Prometheus Alertmanager for tests: on loopback and a free port, ended by process id."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stream.embedded import free_port
from stream.embedded.guard import Guard
from tests.support.real import unavailable

PROGRAMS = ("prometheus-alertmanager", "alertmanager")
_READY_SECONDS = 20.0
_STOP_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


class RealAlertmanager:
    """One Alertmanager that notifies a webhook, without delay, of what fires and of what is resolved.

    Args:
        program: path of the program.
        receiver: address of the webhook.
    """

    def __init__(self, program: str, receiver: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="midwatch-alertmanager-")
        self._folder = Path(self._temporary.name)
        self._program = program
        self._receiver = receiver
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        config = {
            "route": {
                "receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "test", "webhook_configs": [{"url": self._receiver, "send_resolved": True}]}],
        }  # fmt: skip
        (self._folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML.
        with (self._folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder / 'config.yml'}",
                    f"--storage.path={self._folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--cluster.listen-address=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"Alertmanager ended: {(self._folder / 'out').read_text()[-1000:]}"
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(_PAUSE_SECONDS)  # Another process's readiness cannot be awaited.
        raise AssertionError(f"Alertmanager did not answer at {self.url} within {_READY_SECONDS:.0f} s")

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that it shows as active."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
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


def new_alertmanager(receiver: str) -> RealAlertmanager:
    """An Alertmanager that is not yet started; skips (or fails, see `unavailable`) where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        unavailable("no Alertmanager is installed (Debian: prometheus-alertmanager)")
    return RealAlertmanager(program, receiver)
