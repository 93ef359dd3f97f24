"""The controls topic: what is a control, what is not, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.controls import CONTROL, Acknowledgement, Silence, key_of
from schemas.words import CONTROLS_TOPIC
from stream.adapters import Counters, Decoder, Limits, decode_controls
from tests.support.samples import samples

NOW_MS = 1_772_330_400_000
LIMITS = Limits(max_bytes=4096)
SILENCE: dict[str, Any] = {
    "type": "silence",
    "id": "sil_1",
    "time": "2026-03-01T02:00:00Z",
    "environment": "production",
    "system": "*",
    "starts_at": "2026-03-01T02:00:00Z",
    "ends_at": "2026-03-01T04:00:00Z",
    "reason": "drill",
    "created_by": "ada",
}
ACK: dict[str, Any] = {
    "type": "acknowledgement",
    "id": "ack_1",
    "time": "2026-03-01T02:00:00Z",
    "environment": "production",
    "system": "refunds",
    "incident_id": "inc_1",
    "by": "ada",
}

APPROVAL: dict[str, Any] = {
    "type": "approval",
    "id": "apr_1",
    "time": "2026-03-01T02:00:00Z",
    "environment": "production",
    "system": "refunds",
    "incident_id": "inc_1",
    "idempotency_key": "act_1",
    "decision": "approve",
    "by": "ada",
}
HALT = {**APPROVAL, "incident_id": "*", "idempotency_key": "*", "system": "*", "decision": "refuse"}
UNTIL = "2026-03-01T04:00:00Z"


def decoded(*values: bytes | None) -> tuple[list[Any], list[tuple[int, str, str]], Counters]:
    counters = Counters()
    found = decode_controls([(value, (), NOW_MS) for value in values], LIMITS, counters)
    return found.controls, [(at, why.reason, why.detail) for at, why in found.rejections], counters


def test_controls_of_both_kinds() -> None:
    """They come in the order of the records; a tombstone is passed over, an unknown field counted."""
    cloud = {"specversion": "1.0", "id": "ce1", "source": "/x", "type": "silence", "data": SILENCE}
    values = [json.dumps(one).encode() for one in (SILENCE, {**ACK, "colour": "red"}, cloud)]
    controls, rejected, counters = decoded(values[0], None, *values[1:])
    assert [type(control) for control in controls] == [Silence, Acknowledgement, Silence]
    assert not rejected
    assert counters.tombstones == 1
    assert counters.unknown_fields.counts == {("acknowledgement", "colour"): 1}


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        ({**SILENCE, "type": "interaction"}, "unknown_type", "telemetry goes to its own topics"),
        ({**SILENCE, "type": 7}, "unknown_type", CONTROLS_TOPIC),
        ({"id": "x"}, "missing_type", CONTROLS_TOPIC),
        ({**SILENCE, "ends_at": "2026-05-01T00:00:00Z"}, "invalid_field", "at most 28 days"),
        ({**SILENCE, "ends_at": "soon"}, "invalid_field", "`ends_at`: is no RFC 3339 time"),
        ({**SILENCE, "kind": "nap"}, "invalid_field", "`kind`"),
        ({**ACK, "incident_id": ""}, "invalid_field", "`incident_id`"),
        ({**ACK, "time": "2026-03-02T02:00:00Z"}, "future_timestamp", "86,400 s after"),
        ({**ACK, "note": "x" * 5000}, "too_large", "4,096"),
        ({**APPROVAL, "decision": "maybe"}, "invalid_field", "`decision`"),
        ({**APPROVAL, "system": "*"}, "invalid_field", "in a standing refusal alone"),
        ({**APPROVAL, "incident_id": "*"}, "invalid_field", "both *"),
        (HALT, "invalid_field", "needs `expires_at`"),
        ({**HALT, "expires_at": "2026-05-01T00:00:00Z"}, "invalid_field", "at most 28 days"),
        ({**HALT, "expires_at": UNTIL, "decision": "approve"}, "invalid_field", "nothing approves every action"),
    ],
)
def test_what_is_no_control(value: dict[str, Any], reason: str, said: str) -> None:
    """Each fault has its reason, and words that say what is wanted."""
    controls, [(at, found, detail)], _ = decoded(json.dumps(value).encode())
    assert (controls, at, found) == ([], 0, reason)
    assert said in detail


@pytest.mark.parametrize("approval", [APPROVAL, {**APPROVAL, "expires_at": UNTIL}, {**HALT, "expires_at": UNTIL}])
def test_the_engine_passes_over_approvals(approval: dict[str, Any]) -> None:
    """A valid approval is neither a control that the engine folds nor a dead letter; its neighbours are taken."""
    found = decode_controls([(json.dumps(one).encode(), (), NOW_MS) for one in (approval, ACK)], LIMITS, Counters())
    assert (found.approvals, found.positions, found.rejections) == (1, [1], [])
    [control] = found.controls
    assert isinstance(control, Acknowledgement)


def test_keys_keep_things_apart() -> None:
    """Compaction never drops an acknowledgement for an approval of its incident, nor one halt for another."""
    controls = [CONTROL.validate_json(json.dumps(one)) for one in (SILENCE, ACK, APPROVAL)]
    halted = {**HALT, "expires_at": UNTIL}
    halts = [CONTROL.validate_json(json.dumps({**halted, "system": one})) for one in ("*", "refunds")]
    keys = [key_of(control) for control in (*controls, *halts)]
    assert keys == ["sil_1", "inc_1", "act_1", "halt/production/*", "halt/production/refunds"]


@pytest.mark.parametrize("name", ["opa_denied", "github_ping", "resilience4j_success", "opa_batch"])
def test_another_tools_record_is_no_control(name: str) -> None:
    """Neither one that would be an event elsewhere nor one that would be passed over; nothing raises."""
    sample = next(one for one in samples() if one.name == name)
    found = decode_controls([(sample.encoded, sample.headers, NOW_MS)], LIMITS, Counters())
    assert not found.controls
    assert found.rejections[0][1].reason in ("unknown_type", "invalid_field")


@pytest.mark.parametrize("value", [b"", b"\xff", b"{", b"[]", b"null", b"[" * 100])
def test_bytes_that_are_nothing(value: bytes) -> None:
    """No bytes raise."""
    assert decoded(value)[1]


@pytest.mark.parametrize("control", [SILENCE, ACK, APPROVAL])
def test_no_control_comes_from_telemetry(control: dict[str, Any]) -> None:
    """The decoder of every other topic refuses it and names the topic that it belongs to."""
    batch = Decoder().decode_batch([(json.dumps(control).encode(), (), NOW_MS)])
    assert not batch.events
    [(_, why)] = batch.rejections
    assert (why.reason, CONTROLS_TOPIC in why.detail) == ("unknown_type", True)
