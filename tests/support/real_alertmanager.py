"""A real Prometheus Alertmanager for tests: on loopback and a free port, ended by process id."""

from __future__ import annotations

import json
import shutil
import urllib.request
from typing import Any

from tests.support.real import unavailable
from tests.support.web_program import WebProgram

PROGRAMS = ("prometheus-alertmanager", "alertmanager")


class RealAlertmanager(WebProgram):
    """One Alertmanager that notifies a webhook, without delay, of what fires and of what is resolved.

    Args:
        program: path of the program.
        receiver: address of the webhook.
    """

    def __init__(self, program: str, receiver: str) -> None:
        super().__init__(program)
        config = {
            "route": {
                "receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [{"name": "test", "webhook_configs": [{"url": receiver, "send_resolved": True}]}],
        }  # fmt: skip
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML.

    def arguments(self) -> list[str]:
        """See `WebProgram`."""
        return [
            f"--config.file={self.folder / 'config.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that it shows as active."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts?active=true", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found


def new_alertmanager(receiver: str) -> RealAlertmanager:
    """An Alertmanager that is not yet started; skips (or fails, see `unavailable`) where there is none."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        unavailable("no Alertmanager is installed (Debian: prometheus-alertmanager)")
    return RealAlertmanager(program, receiver)
