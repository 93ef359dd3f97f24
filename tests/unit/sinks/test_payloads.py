"""What each sink sends, checked against the published schema of its destination."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from schemas.canonical import canonical_json
from schemas.outputs import Finding, Link
from stream.settings_sinks import sinks_of
from stream.sinks.pagerduty import MAX_EVENT_BYTES
from stream.sinks.registry import build
from tests.support.destinations import SCHEMAS, Fault, destination
from tests.support.sinks import (
    ACK,
    KEY,
    LINK,
    MUTED,
    OTHER_SECRET,
    SECRET,
    heard,
    minimal,
    settings_with,
    step,
    verdict,
)

CONFUSING = "@channel <!here> <https://evil.example.com|click> `rm -rf` \x1b[31m\u202e"


def sink(kind: str, **more: str) -> Any:
    return build(sinks_of(settings_with(one=minimal(kind, **more)).sinks)["one"])


def check(schema: str, value: Any) -> None:
    Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate(value)


def events(found: Any) -> list[dict[str, Any]]:
    """PagerDuty's events as they go out, the key among them."""
    parsed = [{"routing_key": KEY, **json.loads(parcel.body)} for parcel in found]
    for one in parsed:
        check("pagerduty_event.json", one)
    return parsed


async def test_pagerduty_opens_acknowledges_and_resolves_one_alert() -> None:
    """Each step of an incident is the right action on the one dedup key; the page links to the incident."""
    pager = sink("pagerduty")
    first, acked = verdict(), verdict(revision=1, status="updated", acknowledged=ACK)
    [trigger] = events(pager.parcels(step(first)))
    assert (trigger["event_action"], trigger["dedup_key"]) == ("trigger", "inc_x")
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["summary"].startswith("production/refunds flow=refund: 41 of 300 escalated")
    assert trigger["links"][0]["href"] == trigger["client_url"] == LINK + "inc_x"
    assert trigger["payload"]["custom_details"]["advice"] == "rollback"
    [acknowledge] = events(pager.parcels(step(acked, heard(first))))
    assert acknowledge == {"routing_key": KEY, "event_action": "acknowledge", "dedup_key": "inc_x"}
    for last in (verdict(revision=2, status="resolved"), verdict(revision=2, status="updated", muted=MUTED)):
        [resolve] = events(pager.parcels(step(last, heard(acked))))
        assert resolve["event_action"] == "resolve"
    both = events(pager.parcels(step(verdict(acknowledged=ACK))))
    assert [one["event_action"] for one in both] == ["trigger", "acknowledge"]


@pytest.mark.parametrize("size", [10, 60_000])
async def test_pagerduty_events_stay_below_the_limit(size: int) -> None:
    """However much evidence a verdict has, and however long its words are: 512 kB, and 1024 characters of summary."""
    long = {"severity": "info", "status": "evaluated", "summary": "é" * size, "evidence": {"rows": ["x" * size] * 20}}
    findings = tuple(Finding.model_validate({"check": f"check_{number}", **long}) for number in range(60))
    huge = verdict(
        findings=findings,
        trigger=verdict().trigger.model_copy(update={"summary": "ü" * size}),
        links=tuple(Link(rel="trace", href=f"https://t.example.com/{number}", text="t" * 256) for number in range(99)),
    )
    [event] = events(sink("pagerduty").parcels(step(huge)))
    assert len(json.dumps(event, ensure_ascii=False).encode()) < MAX_EVENT_BYTES
    assert event["payload"]["custom_details"]["answer"] == "recent_deployments"


async def test_alertmanager_labels_are_the_alert_and_change_only_when_it_gets_graver() -> None:
    """Revisions keep the labels; a rise in severity ends the old alert in the same post; a fall changes nothing."""
    manager = sink("alertmanager", RESEND_SECONDS="60")
    first = verdict(severity="warning")
    [parcel] = manager.parcels(step(first))
    [alert] = json.loads(parcel.body)
    check("alertmanager_alerts.json", [alert])
    assert alert["labels"] == {
        "alertname": "MidwatchIncident", "environment": "production", "system": "refunds", "incident": "inc_x",
        "severity": "warning",
    }  # fmt: skip
    assert alert["annotations"]["permalink"] == alert["generatorURL"] == LINK + "inc_x"
    assert datetime.fromisoformat(alert["endsAt"]) - first.decided_at == timedelta(minutes=4)
    graver = verdict(revision=1, status="updated")
    [parcel] = manager.parcels(step(graver, heard(first)))
    now, old = json.loads(parcel.body)
    assert (now["labels"]["severity"], old["labels"]) == ("critical", alert["labels"])
    assert datetime.fromisoformat(old["endsAt"]) == graver.decided_at
    milder = verdict(revision=2, status="updated", severity="info")
    [parcel] = manager.parcels(step(milder, heard(graver, severity="critical")))
    [still] = json.loads(parcel.body)
    assert (still["labels"]["severity"], still["annotations"]["severity_now"]) == ("critical", "info")
    for last in (verdict(revision=3, status="resolved"), verdict(revision=3, muted=MUTED)):
        [parcel] = manager.parcels(step(last, heard(milder, severity="critical")))
        [ended] = json.loads(parcel.body)
        assert ended["labels"] == still["labels"]
        assert datetime.fromisoformat(ended["endsAt"]) == last.decided_at


async def test_alertmanager_alerts_never_start_after_they_are_said() -> None:
    """An onset ahead of this machine's clock is said as now: Alertmanager refuses an end before the start."""
    one = verdict(status="firing", onset_at=datetime.now(UTC) + timedelta(minutes=5))
    now_ms = int(one.decided_at.timestamp() * 1000)
    [ended] = json.loads(sink("alertmanager").parcels(step(verdict(revision=1, status="resolved"), heard(one)))[0].body)
    [alert] = json.loads(sink("alertmanager").parcels(step(one, None, now_ms))[0].body)
    for found in (alert, ended):
        assert found["startsAt"] <= found["endsAt"]


async def test_every_alertmanager_of_a_cluster_is_told_and_one_suffices() -> None:
    """Both get the post; with one down it counts as delivered; with both down it does not."""
    async with destination("a") as one, destination("b", [500, 500]) as other:
        manager = sink("alertmanager", URLS=f'["{one.url}", "{other.url}/"]', ALLOW_PRIVATE="true")
        parcel = manager.parcels(step(verdict()))[0]
        assert "1 of 2" in await manager.send(parcel)
        assert [server.requests[0].path for server in (one, other)] == ["/api/v2/alerts"] * 2
        one.faults.append(503)
        with pytest.raises(Exception, match="503"):
            await manager.send(parcel)
        assert (await manager.send(parcel)).startswith("200")
        await manager.close()


async def test_a_webhook_is_signed_by_every_secret_over_the_published_bytes() -> None:
    """A receiver with the old or the new secret verifies it; a changed body, another secret and an old one do not."""
    async with destination("hook") as server:
        hook = sink("webhook", URL=server.url, SECRET=f"{SECRET} {OTHER_SECRET}", ALLOW_PRIVATE="true")
        found = verdict(muted=MUTED)
        [parcel] = hook.parcels(step(found))
        await hook.send(parcel)
        await hook.send(parcel)
        await hook.close()
    first, second = server.requests
    assert first.body == canonical_json(found)
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == found.verdict_id
    for secret in (SECRET, OTHER_SECRET):
        assert Receiver(secret).verify(first.body, first.headers) == json.loads(first.body)
    stranger = "whsec_" + base64.b64encode(b"x" * 24).decode()
    for secret, body, headers in (
        (SECRET, first.body.replace(b"refund", b"refunX"), first.headers),
        (stranger, first.body, first.headers),
        (SECRET, first.body, {**first.headers, "webhook-id": "vrd_other"}),
        (
            SECRET,
            first.body,
            {**first.headers, "webhook-timestamp": str(int(first.headers["webhook-timestamp"]) - 400)},
        ),
    ):
        with pytest.raises(WebhookVerificationError):
            Receiver(secret).verify(body, headers)


async def test_cdevents_tell_of_the_beginning_and_the_end() -> None:
    """Detected when it opens, resolved when it ends, nothing in between; valid by the schema, ids of the verdicts."""
    platform = sink("cdevents")
    first, last = verdict(severity="warning"), verdict(revision=2, status="resolved")
    [detected] = [json.loads(parcel.body) for parcel in platform.parcels(step(first))]
    assert platform.parcels(step(verdict(revision=1, status="updated"), heard(first))) == []
    [resolved] = [json.loads(parcel.body) for parcel in platform.parcels(step(last, heard(first)))]
    for event, predicate, found in ((detected, "detected", first), (resolved, "resolved", last)):
        check("cdevents_incident.json", event)
        assert event["type"] == f"dev.cdevents.incident.{predicate}.0.3.0"
        assert (event["id"], event["subject"]) == (found.verdict_id, "inc_x")
        assert event["data"]["customData"] == json.loads(canonical_json(found))


async def test_a_chat_gets_the_plain_sentence_first_and_of_a_revision_what_changed() -> None:
    """An opening says what was seen before anything else; an update names the change; nothing new says nothing."""
    chat = sink("apprise")
    first = verdict(severity="warning")
    [opened] = [json.loads(parcel.body) for parcel in chat.parcels(step(first))]
    assert opened["title"] == "WARNING production/refunds flow=refund"
    assert opened["body"].startswith("41 of 300 escalated in 30 min")
    assert opened["body"].endswith(LINK + "inc_x")
    assert chat.parcels(step(verdict(revision=1, status="updated", severity="warning"), heard(first))) == []
    [changed] = [json.loads(p.body) for p in chat.parcels(step(verdict(revision=1, status="updated"), heard(first)))]
    assert changed["body"] == f"severity: warning → critical\n{LINK}inc_x"
    acked = verdict(revision=2, status="updated", severity="warning", acknowledged=ACK)
    [taken] = [json.loads(parcel.body) for parcel in chat.parcels(step(acked, heard(first)))]
    assert taken["body"] == f"ada has it in hand.\n{LINK}inc_x"
    [ended] = [json.loads(p.body) for p in chat.parcels(step(verdict(revision=3, status="resolved"), heard(acked)))]
    assert (ended["title"], ended["type"]) == ("RESOLVED production/refunds flow=refund", "success")


async def test_a_chat_obeys_nothing_that_telemetry_says_and_stays_short() -> None:
    """Mentions, links, code and control characters out of names are harmless text; the link survives the cut."""
    trigger = verdict().trigger.model_copy(update={"summary": CONFUSING * 500})
    chat = sink("apprise", MAX_CHARS="300")
    [message] = [json.loads(parcel.body) for parcel in chat.parcels(step(verdict(trigger=trigger)))]
    assert len(message["body"]) <= 300
    assert message["body"].endswith(LINK + "inc_x")
    assert not set("@<>`\x1b\u202e") & set(message["body"])


async def test_apprise_delivers_and_its_failures_are_said(tmp_path: Path) -> None:
    """A message reaches the service as text; a refusal, a redirect, a time-out and a private address are failures."""
    async with destination("chat", []) as server:
        port = server.url.rsplit(":", 1)[1]
        url = f"json://127.0.0.1:{port}/x?rto=0.3"
        chat = sink("apprise", URL=url, ALLOW_PRIVATE="true", TIMEOUT_SECONDS="0.6")
        parcel = chat.parcels(step(verdict()))[0]
        assert await chat.send(parcel) == "sent"
        assert server.requests[0].json["message"].startswith("41 of 300")
        faults: list[tuple[Fault, str]] = [(500, "connection"), (307, "connection"), ("hang", "timeout|connection")]
        for fault, reason in faults:
            server.faults.append(fault)
            with pytest.raises(Exception) as failure:
                await chat.send(parcel)
            assert failure.value.reason in reason.split("|")  # type: ignore[attr-defined]
        assert len(server.requests) == 4
        await chat.close()
        closed = sink("apprise", URL=url)
        with pytest.raises(Exception, match="allow_private"):
            await closed.send(parcel)
        assert len(server.requests) == 4
        await closed.close()
