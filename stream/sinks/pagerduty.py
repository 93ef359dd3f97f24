"""PagerDuty, by the Events API v2.

An event is `trigger`, `acknowledge` or `resolve`; its `dedup_key` is the incident's id, so repeats and revisions are
one alert. The API takes 512 kB, 1024 characters of summary, and answers 202; 400 means that the event itself is wrong.
Acknowledgements made in Midwatch are forwarded; the API has no word for taking one back.
Source: https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.base import JsonObject, format_time
from schemas.canonical import jsonable
from schemas.outputs import Verdict
from schemas.words import Severity
from stream.sinks.base import BaseSink, HttpSinkSettings, Parcel, Step
from stream.sinks.text import clip, headline, sentence
from stream.verdicts_text import place

MAX_EVENT_BYTES: Final = 512_000
MAX_SUMMARY: Final = 1024
ROOM: Final = 16_000
"""Bytes kept free for what stands around the details."""

SEVERITIES: Final[dict[Severity, str]] = {"critical": "critical", "warning": "warning", "info": "info"}
"""Ours to theirs; their `error` lies between warning and critical and is not used."""


class PagerDutySettings(HttpSinkSettings):
    """A PagerDuty service, or a rule set."""

    kind: Literal["pagerduty"] = "pagerduty"
    routing_key: SecretStr | None = Field(
        None, min_length=32, max_length=32, description="Integration key of an Events API v2 integration."
    )
    routing_key_file: Path | None = Field(None, description="File that holds the integration key.")
    url: str = Field(
        "https://events.pagerduty.com/v2/enqueue",
        description="Address of the API; https://events.eu.pagerduty.com/v2/enqueue in the EU.",
    )

    @model_validator(mode="after")
    def _whole(self) -> PagerDutySettings:
        wrong = self.url_problems([self.url], "url")
        if self.routing_key is None:
            wrong.append("there is no integration key: set routing_key_file, or ROUTING_KEY in the environment")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


class PagerDuty(BaseSink):
    """Pages people."""

    Settings = PagerDutySettings

    def __init__(self, settings: PagerDutySettings) -> None:
        from stream.sinks.http import Http

        self._settings = settings
        self._http = Http(settings)

    @property
    def destination(self) -> str:
        """The API's host; the key says which service, and is secret."""
        return urlsplit(self._settings.url).hostname or ""

    def parcels(self, step: Step) -> list[Parcel]:
        """Trigger, acknowledge or resolve."""
        found = []
        if step.kinds & {"opened", "changed"}:
            found.append(self._parcel("trigger", step))
        if "acknowledged" in step.kinds:
            found.append(self._parcel("acknowledge", step))
        if step.kinds & {"ended", "muted"}:
            found.append(self._parcel("resolve", step))
        return found

    def _parcel(self, action: str, step: Step) -> Parcel:
        return Parcel(action, json.dumps(event(action, step), ensure_ascii=False).encode())

    async def send(self, parcel: Parcel) -> str:
        """Enqueue the event; the key goes in here, so that no parcel holds it."""
        key = self._settings.routing_key
        assert key is not None  # noqa: S101  # the settings' validator saw to it
        body = json.dumps({"routing_key": key.get_secret_value()}).encode()[:-1] + b", " + parcel.body[1:]
        answer = await self._http.post(self._settings.url, body, {"Content-Type": "application/json"})
        return answer.replace(key.get_secret_value(), "[redacted]")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def event(action: str, step: Step) -> JsonObject:
    """The event without its routing key."""
    verdict = step.verdict
    base: JsonObject = {"event_action": action, "dedup_key": verdict.incident_id}
    if action != "trigger":
        return base
    links = [{"href": link.href, "text": clip(link.text, 200)} for link in verdict.links[:10]]
    if step.link is not None:
        links.insert(0, {"href": step.link, "text": "The incident in Midwatch"})
        base["client_url"] = step.link
    return {
        **base,
        "client": "Midwatch",
        "payload": {
            "summary": headline(verdict, MAX_SUMMARY),
            "source": f"{verdict.scope.environment}/{verdict.scope.system}",
            "severity": SEVERITIES[verdict.severity],
            "timestamp": format_time(verdict.decided_at),
            "component": verdict.target.component if verdict.target is not None else place(verdict.scope),
            "group": verdict.scope.environment,
            "class": verdict.trigger.detector,
            "custom_details": custom_details(verdict),
        },
        "links": links,
    }


def custom_details(verdict: Verdict) -> JsonObject:
    """What the runbook found. Evidence is left out where the whole would be too long, then all but the answer."""
    short: JsonObject = {
        "what to do": clip(sentence(verdict), 4000),
        "answer": verdict.triage_result,
        "action": verdict.action,
        "advice": verdict.recommendation.kind,
        "advice holds until": format_time(verdict.recommendation.not_after),
        "began": format_time(verdict.onset_at),
        "incident": verdict.incident_id,
        "revision": verdict.revision,
        "verdict": verdict.verdict_id,
    }
    findings = {one.check: f"{one.severity} ({one.status}): {clip(one.summary, 1000)}" for one in verdict.findings[:50]}
    causes = {one.cause: f"{one.probability:.0%}" for one in verdict.causes}
    middle = {**short, "findings": findings, "causes": causes}
    evidence = {one.check: jsonable(one).get("evidence", {}) for one in verdict.findings[:50]}
    for details in ({**middle, "evidence": evidence}, middle):
        if _size(details) <= MAX_EVENT_BYTES - ROOM * 4:
            return details
    return short


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
