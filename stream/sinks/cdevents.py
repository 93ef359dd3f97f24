"""CDEvents 0.5: `incident.detected` when an incident opens, `incident.resolved` when it ends.

Posted as CloudEvents in structured mode, with the verdict as custom data. The events' ids follow from the verdict's, so
a receiver drops repeats. Source: https://cdevents.dev/docs/continuous-operations/
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.base import JsonObject, format_time
from stream.sinks.base import BaseSink, HttpSinkSettings, Parcel, Step
from stream.sinks.text import clip, headline

SPEC_VERSION: Final = "0.5.1"
EVENT_VERSION: Final = "0.3.0"
SOURCE: Final = "/midwatch"


class CdEventsSettings(HttpSinkSettings):
    """A receiver of CDEvents."""

    kind: Literal["cdevents"] = "cdevents"
    url: str = Field("", validate_default=True, description="Address that CloudEvents are posted to.")
    bearer_token: SecretStr | None = Field(None, description="Bearer token, if the receiver asks for one.")
    bearer_token_file: Path | None = Field(None, description="File that holds the bearer token.")

    @model_validator(mode="after")
    def _whole(self) -> CdEventsSettings:
        if wrong := self.url_problems([self.url], "url"):
            raise ValueError("; ".join(wrong))
        return self


class CdEvents(BaseSink):
    """Tells a delivery platform that an incident began, and that it ended."""

    Settings = CdEventsSettings

    def __init__(self, settings: CdEventsSettings) -> None:
        from stream.sinks.http import Http

        self._settings = settings
        self._http = Http(settings)

    @property
    def destination(self) -> str:
        """The host."""
        return urlsplit(self._settings.url).netloc

    def parcels(self, step: Step) -> list[Parcel]:
        """Detected when it opens, resolved when it ends or is muted; a revision in between is none of theirs."""
        if "opened" in step.kinds:
            return [_parcel("detected", step)]
        if step.kinds & {"ended", "muted"}:
            return [_parcel("resolved", step)]
        return []

    async def send(self, parcel: Parcel) -> str:
        """Post the CloudEvent."""
        headers = {"Content-Type": "application/cloudevents+json; charset=UTF-8"}
        if self._settings.bearer_token is not None:
            headers["Authorization"] = f"Bearer {self._settings.bearer_token.get_secret_value()}"
        return await self._http.post(self._settings.url, parcel.body, headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()


def _parcel(predicate: str, step: Step) -> Parcel:
    event = cdevent(predicate, step)
    context = event["context"]
    envelope = {
        "specversion": "1.0",
        "id": context["id"],
        "source": context["source"],
        "type": context["type"],
        "time": context["timestamp"],
        "subject": event["subject"]["id"],
        "datacontenttype": "application/json",
        "data": event,
    }
    return Parcel(predicate, json.dumps(envelope, ensure_ascii=False).encode())


def cdevent(predicate: str, step: Step) -> JsonObject:
    """The CDEvent. The artifact is not named: a version is no package URL."""
    verdict = step.verdict
    service = verdict.target.component if verdict.target is not None else verdict.scope.system
    return {
        "context": {
            "specversion": SPEC_VERSION,
            "id": verdict.verdict_id,
            "source": SOURCE,
            "type": f"dev.cdevents.incident.{predicate}.{EVENT_VERSION}",
            "timestamp": format_time(verdict.decided_at),
        },
        "subject": {
            "id": verdict.incident_id,
            "source": step.link if step.link is not None else SOURCE,
            "content": {
                "description": clip(headline(verdict, 1000), 1000),
                "environment": {"id": verdict.scope.environment},
                "service": {"id": service},
            },
        },
        "customData": json.loads(step.value),
        "customDataContentType": "application/json",
    }
