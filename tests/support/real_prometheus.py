"""A real Prometheus with the shipped configuration and rules: on loopback and a free port, ended by process id."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from stream.embedded import free_port
from stream.embedded.guard import Guard
from tests.support.real import unavailable

DEPLOY: Final = Path(__file__).parents[2] / "deploy/prometheus"
_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05


class RealPrometheus:
    """One Prometheus that looks every second.

    Args:
        program: path of the program.
        targets: by job of the shipped configuration, where it listens in the test; other jobs are left out.
        token: what the targets ask for.
        alertmanager: address of an Alertmanager.
    """

    def __init__(self, program: str, targets: Mapping[str, str], token: str, alertmanager: str) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="midwatch-prometheus-")
        self._folder = Path(self._temporary.name)
        self._program = program
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None
        (self._folder / "token").write_text(token)
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
        config["rule_files"] = [str(DEPLOY / "rules/*.yml")]
        address = alertmanager.removeprefix("http://")
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [address]}]}]
        config["scrape_configs"] = [
            self._job(job, targets) for job in config["scrape_configs"] if job["job_name"] in targets
        ]
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def _job(self, job: dict[str, Any], targets: Mapping[str, str]) -> dict[str, Any]:
        kept = {name: value for name, value in job.items() if not name.endswith("_configs")}
        kept["authorization"]["credentials_file"] = str(self._folder / "token")
        return {**kept, "static_configs": [{"targets": [targets[job["job_name"]]]}]}

    def start(self) -> None:
        """Start it and wait until it serves."""
        with (self._folder / "out").open("ab") as out:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--enable-feature=exemplar-storage",
                    "--rules.alert.resend-delay=1s",
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"Prometheus ended: {(self._folder / 'out').read_text()[-1000:]}"
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(_PAUSE_SECONDS)  # Another process's readiness cannot be awaited.
        raise AssertionError(f"Prometheus did not answer at {self.url} within {_READY_SECONDS:.0f} s")

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """A number; 0 where there is none."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

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


def new_prometheus(targets: Mapping[str, str], token: str, alertmanager: str) -> RealPrometheus:
    """A Prometheus that is not yet started; skips (or fails, see `unavailable`) where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        unavailable("no Prometheus is installed (Debian: prometheus)")
    return RealPrometheus(program, targets, token, alertmanager)
