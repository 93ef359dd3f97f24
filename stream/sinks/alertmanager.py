"""Alertmanager, by its API v2: one alert for each incident, said again while it stands, ended when it is resolved.

An alert's identity is its labels, so they do not change with a revision: alertname, environment, system, incident, and
`severity`, the gravest that was told. Where that rises, the alert of the lower one is ended in the same post, so that
routes for the higher one see a new alert. What changes stands in the annotations.

Alertmanagers of a cluster do not pass alerts on to each other: each is posted to. One of them suffices for a delivery;
the others are told again with the next reminder.
Source: https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import structlog
from pydantic import Field, SecretStr, model_validator

from schemas.base import JsonObject, format_time
from schemas.words import Severity
from stream.sinks.base import BaseSink, HttpSinkSettings, Parcel, Step
from stream.sinks.course import graver
from stream.sinks.text import clip, details, headline, sentence

ALERT: Final = "MidwatchIncident"
PATH: Final = "/api/v2/alerts"
MAX_ALERTS: Final = 200
"""Alerts in one post of a reminder."""

LIVES: Final = 4
"""An alert that is not said again for so many intervals counts as over (Prometheus has the same factor)."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.sinks")


class AlertmanagerSettings(HttpSinkSettings):
    """An Alertmanager, or all of a cluster."""

    kind: Literal["alertmanager"] = "alertmanager"
    urls: tuple[str, ...] = Field(
        (), min_length=1, validate_default=True, description="Base address of each Alertmanager of the cluster."
    )
    resend_seconds: float = Field(
        60.0, ge=1, le=3600, description="Seconds between reminders of what stands; an alert lives for four of them."
    )
    username: str | None = Field(None, description="User name for basic authentication.")
    password: SecretStr | None = Field(None, description="Password for basic authentication.")
    password_file: Path | None = Field(None, description="File that holds the password.")
    bearer_token: SecretStr | None = Field(None, description="Bearer token, instead of a password.")
    bearer_token_file: Path | None = Field(None, description="File that holds the bearer token.")

    @model_validator(mode="after")
    def _whole(self) -> AlertmanagerSettings:
        wrong = self.url_problems(self.urls, "urls")
        if (self.username is None) != (self.password is None):
            wrong.append("username and password go together: give both or neither")
        if self.bearer_token is not None and self.password is not None:
            wrong.append("give a password or a bearer token, not both")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class Alertmanager(BaseSink):
    """Alerts, for the routes, groups and silences that an Alertmanager has."""

    Settings = AlertmanagerSettings

    def __init__(self, settings: AlertmanagerSettings) -> None:
        from stream.sinks.http import Http

        self._settings = settings
        self._http = Http(settings)
        self.resend_seconds = settings.resend_seconds

    @property
    def destination(self) -> str:
        """The hosts."""
        return ", ".join(urlsplit(url).netloc for url in self._settings.urls)

    def parcels(self, step: Step) -> list[Parcel]:
        """The alert as it stands now."""
        if not step.kinds:
            return []
        if step.kinds & {"ended", "muted"}:
            return [_parcel("resolve", [self._alert(step, _gravest(step), ends=True)])]
        alerts = [self._alert(step, _gravest(step), ends=False)]
        before = step.before
        if before is not None and before.loud and before.severity != _gravest(step):
            alerts.append(self._alert(step, before.severity, ends=True))
        return [_parcel("trigger", alerts)]

    def reminder(self, standing: Sequence[Step]) -> list[Parcel]:
        """Everything that stands, in a few posts."""
        alerts = [self._alert(step, _gravest(step), ends=False) for step in standing]
        return [_parcel("reminder", alerts[at : at + MAX_ALERTS]) for at in range(0, len(alerts), MAX_ALERTS)]

    def _alert(self, step: Step, severity: Severity, *, ends: bool) -> JsonObject:
        verdict = step.verdict
        now = datetime.fromtimestamp(step.now_ms / 1000, tz=UTC)
        end = now if ends else now + timedelta(seconds=LIVES * self._settings.resend_seconds)
        alert: JsonObject = {
            "labels": {
                "alertname": ALERT,
                "environment": verdict.scope.environment,
                "system": verdict.scope.system,
                "incident": verdict.incident_id,
                "severity": severity,
            },
            "annotations": {
                "summary": headline(verdict, 500),
                "description": clip(f"{sentence(verdict)}\n{details(verdict)}", 4000),
                "answer": verdict.triage_result,
                "action": verdict.action,
                "severity_now": verdict.severity,
            },
            "startsAt": format_time(min(verdict.onset_at, now)),
            "endsAt": format_time(end),
        }
        if verdict.acknowledged is not None:
            alert["annotations"]["acknowledged_by"] = verdict.acknowledged.by
        if step.link is not None:
            alert["annotations"]["permalink"] = step.link
            alert["generatorURL"] = step.link
        return alert

    async def send(self, parcel: Parcel) -> str:
        """Post to every Alertmanager. Raises DeliveryFailed where none took it."""
        from stream.sinks.http import post_to_all

        urls = tuple(url.rstrip("/") + PATH for url in self._settings.urls)
        taken, failed = await post_to_all(self._http, urls, parcel.body, self._headers())
        if not taken:
            raise failed[0][1]
        for url, error in failed:
            log.warning("alertmanager_left_out", url=url, reason=error.reason, detail=error.detail)
        return taken[0] if not failed else f"{taken[0]} from {len(taken)} of {len(urls)}"

    def _headers(self) -> dict[str, str]:
        settings, headers = self._settings, {"Content-Type": "application/json"}
        if settings.bearer_token is not None:
            headers["Authorization"] = f"Bearer {settings.bearer_token.get_secret_value()}"
        elif settings.username is not None and settings.password is not None:
            pair = f"{settings.username}:{settings.password.get_secret_value()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _gravest(step: Step) -> Severity:
    before = step.before
    if before is None or not before.loud:
        return step.verdict.severity
    # What ends is the alert that stands there; what goes on is at least as grave as it was.
    return before.severity if not step.loud else graver(before.severity, step.verdict.severity)


def _parcel(what: str, alerts: list[JsonObject]) -> Parcel:
    return Parcel(what, json.dumps(alerts, ensure_ascii=False).encode())
