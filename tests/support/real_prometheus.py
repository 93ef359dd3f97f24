"""A real Prometheus with the shipped configuration and rules: on loopback and a free port, ended by process id."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.real import unavailable
from tests.support.web_program import WebProgram

DEPLOY: Final = Path(__file__).parents[2] / "deploy/prometheus"


class RealPrometheus(WebProgram):
    """One Prometheus that looks every second.

    Args:
        program: path of the program.
        targets: by job of the shipped configuration, where it listens in the test; other jobs are left out.
        token: what the targets ask for.
        alertmanager: address of an Alertmanager.
    """

    def __init__(self, program: str, targets: Mapping[str, str], token: str, alertmanager: str) -> None:
        super().__init__(program)
        (self.folder / "token").write_text(token)
        config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
        config["rule_files"] = [str(DEPLOY / "rules/*.yml")]
        address = alertmanager.removeprefix("http://")
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [address]}]}]
        config["scrape_configs"] = [
            self._job(job, targets) for job in config["scrape_configs"] if job["job_name"] in targets
        ]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")

    def _job(self, job: dict[str, Any], targets: Mapping[str, str]) -> dict[str, Any]:
        kept = {name: value for name, value in job.items() if not name.endswith("_configs")}
        kept["authorization"]["credentials_file"] = str(self.folder / "token")
        return {**kept, "static_configs": [{"targets": [targets[job["job_name"]]]}]}

    def arguments(self) -> list[str]:
        """See `WebProgram`."""
        return [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--enable-feature=exemplar-storage",
            "--rules.alert.resend-delay=1s",
        ]

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float:
        """A number; 0 where there is none."""
        found = self.ask("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0


def new_prometheus(targets: Mapping[str, str], token: str, alertmanager: str) -> RealPrometheus:
    """A Prometheus that is not yet started; skips (or fails, see `unavailable`) where there is none."""
    program = shutil.which("prometheus")
    if program is None:
        unavailable("no Prometheus is installed (Debian: prometheus)")
    return RealPrometheus(program, targets, token, alertmanager)
