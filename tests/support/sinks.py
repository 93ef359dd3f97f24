"""Verdicts and settings for the tests of sinks."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.canonical import canonical_json
from schemas.outputs import Acknowledged, Muted, Scope, Verdict
from stream.settings import Settings, load_settings
from stream.sinks.base import Heard, Step
from stream.sinks.course import kinds_of
from tests.unit.test_cli_verdicts_text import example

KEY = "R0123456789abcdefghijklmnopqrstu"
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"fedcba9876543210fedcba98").decode()
LINK = "https://midwatch.example.com/incidents/"
ACK = Acknowledged(by="ada", at=datetime(2026, 3, 1, 2, 16, tzinfo=UTC))
MUTED = Muted(by="silence", id="sil_1")


def verdict(incident: str = "inc_x", revision: int = 0, status: str = "firing", **changes: Any) -> Verdict:
    """A verdict of now."""
    system = changes.pop("system", "refunds")
    decided = changes.pop("decided_at", datetime.now(UTC).replace(microsecond=0))
    base = example(status)
    body = {
        "incident_id": incident,
        "revision": revision,
        "decided_at": decided,
        "onset_at": decided - timedelta(minutes=9),
        "scope": Scope(environment="production", system=system, flow="refund"),
        **changes,
    }
    return base.model_copy(update=body).with_id()


def step(found: Verdict, before: Heard | None = None, now_ms: int | None = None) -> Step:
    """What there is to tell of a verdict to somebody who knows `before`."""
    now = now_ms if now_ms is not None else int(found.decided_at.timestamp() * 1000)
    return Step(found, canonical_json(found), kinds_of(before, found), before, LINK + found.incident_id, now)


def heard(found: Verdict, **changes: Any) -> Heard:
    """A destination at which a verdict stands open."""
    body = {"loud": True, "verdict": found, "severity": found.severity, "at_ms": 0, **changes}
    return Heard(found.revision, **body)


MINIMAL: dict[str, dict[str, str]] = {
    "alertmanager": {"URLS": '["https://am.example.com"]'},
    "pagerduty": {"ROUTING_KEY": KEY},
    "webhook": {"URL": "https://hook.example.com/x", "SECRET": SECRET},
    "apprise": {"URL": "json://chat.example.com/secret-path"},
    "cdevents": {"URL": "https://cd.example.com/events"},
}
"""What each kind needs at least, as variables of the environment."""


def settings_with(bootstrap: str | None = None, **sinks: dict[str, str]) -> Settings:
    """Settings with some sinks: the name, and its keys as the environment spells them, `KIND` among them."""
    environ = {
        f"MIDWATCH_SINKS__{name.upper()}__{key}": value for name, keys in sinks.items() for key, value in keys.items()
    }
    if bootstrap is not None:
        environ |= {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": bootstrap, "MIDWATCH_KAFKA__SESSION_TIMEOUT_MS": "6000"}
    environ["MIDWATCH_DASHBOARD__PUBLIC_URL"] = "https://midwatch.example.com"
    return load_settings(None, environ)


def minimal(kind: str, **more: str) -> dict[str, str]:
    """The keys of a sink of a kind."""
    return {"KIND": kind, **MINIMAL[kind], **more}
