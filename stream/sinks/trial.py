"""A test of one sink: an incident that says that it is a test is opened and ended there, without Kafka."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from schemas.canonical import canonical_json
from schemas.outputs import Engine, Finding, Recommendation, Scope, Trigger, Verdict
from schemas.words import CHECK_ORDER
from stream.settings import Settings
from stream.sinks.base import DeliveryFailed, Heard, SinkSettings, Step
from stream.sinks.course import kinds_of
from stream.sinks.registry import build


@dataclass(frozen=True, slots=True)
class Tried:
    """What was sent and what came back."""

    what: str
    ok: bool
    answer: str


def sample(now: datetime, incident_id: str) -> tuple[Verdict, Verdict]:
    """A verdict that opens a made-up incident, and the one that ends it."""
    engine = Engine(version="test", config_hash="test")
    opening = Verdict(
        verdict_id="vrd",
        incident_id=incident_id,
        revision=0,
        status="firing",
        decided_at=now,
        onset_at=now - timedelta(minutes=1),
        scope=Scope(environment="test", system="midwatch-test", flow="none"),
        trigger=Trigger(
            firing_id="fir_test",
            detector="escalation_rate",
            tier="page",
            observed=0.3,
            baseline=0.1,
            ratio=3.0,
            threshold=4.2,
            unit="escalations per interaction",
            sample_count=100,
            baseline_count=10.0,
            confidence=0.5,
            window_start=now - timedelta(minutes=30),
            window_end=now,
            summary="This is a test of Midwatch's deliveries; nothing is wrong, nothing is to be done",
        ),
        triage_result="inconclusive",
        action="manual_investigation",
        severity="info",
        findings=tuple(
            Finding(check=check, severity="none", status="no_data", summary="a test has no data")
            for check in CHECK_ORDER
        ),
        causes=(),
        recommendation=Recommendation(
            kind="none",
            confidence=0.0,
            reason="it is a test",
            requires_approval=True,
            not_after=now,
            idempotency_key=f"test-{incident_id}",
        ),
        engine=engine,
    )
    ending = opening.model_copy(update={"status": "resolved", "revision": 1, "decided_at": now + timedelta(seconds=1)})
    return opening.with_id(), ending.with_id()


async def try_sink(settings: Settings, section: SinkSettings, now: datetime) -> list[Tried]:
    """Open and end a test incident there. Raises ValueError where no sink can be made of the settings."""
    sink: Any = build(section)
    incident_id = f"inc_test_{secrets.token_hex(6)}"
    tried: list[Tried] = []
    heard: Heard | None = None
    now_ms = int(now.timestamp() * 1000)
    try:
        for verdict in sample(now, incident_id):
            link = settings.dashboard.incident_url(incident_id)
            step = Step(verdict, canonical_json(verdict), kinds_of(heard, verdict), heard, link, now_ms)
            for parcel in sink.parcels(step):
                try:
                    tried.append(Tried(parcel.what, True, await sink.send(parcel)))
                except DeliveryFailed as error:
                    tried.append(Tried(parcel.what, False, f"{error.reason}: {error.detail}"))
                    return tried
            heard = Heard(verdict.revision, loud=True, verdict=verdict, severity=verdict.severity, at_ms=now_ms)
    finally:
        await sink.close()
    return tried
