"""The decoder: what it reads, what it passes over, what it counts."""

from __future__ import annotations

import pytest

from stream.adapters import Decoder, Interaction, Rejection, formats
from stream.adapters.found import Format
from stream.adapters.unknown import MAX_FIELDS, OTHER
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, accepted, decode, encoded, rejected


@pytest.mark.parametrize("event_type", sorted(SMALLEST))
def test_each_type_is_read_in_its_smallest_form(event_type: str) -> None:
    """Required fields suffice, whatever the order of the fields, and the time is in milliseconds."""
    event = SMALLEST[event_type]
    for value in (event, dict(reversed(event.items()))):
        read = accepted(encoded(value))
        assert type(read).__struct_config__.tag == event_type
        assert (read.id, read.time, read.environment, read.system) == ("e-1", NOW_MS, "production", "claims")


def test_a_batch_gives_the_same_as_its_records_one_by_one() -> None:
    """Batching changes nothing, wherever the batch is cut."""
    values = [encoded(SMALLEST["usage"]), b"{", None, encoded(INTERACTION | {"x": 1}), encoded(INTERACTION)] * 3
    alone = [decode(Decoder(), value) for value in values]
    for size in (1, 2, 7, 15):
        decoder = Decoder()
        outcomes: list[object] = [None] * len(values)
        for start in range(0, len(values), size):
            batch = decoder.decode_batch([(value, (), NOW_MS) for value in values[start : start + size]])
            for position, event in zip(batch.positions, batch.events, strict=True):
                outcomes[start + position] = event
            for position, rejection in batch.rejections:
                outcomes[start + position] = rejection
        assert outcomes == alone


def test_tombstones_are_passed_over_and_counted() -> None:
    """A null value is no event and no fault."""
    decoder = Decoder()
    assert decode(decoder, None) is None
    batch = decoder.decode_batch([(None, (), NOW_MS), (encoded(INTERACTION), (), NOW_MS), (None, (), NOW_MS)])
    assert batch.positions == [1]
    assert not batch.rejections
    assert decoder.counters.tombstones == 3


def test_a_registry_prefix_is_stripped() -> None:
    """The zero byte and the schema id that registry clients put before the JSON do not matter."""
    for event in (INTERACTION, INTERACTION | {"x": 1}):
        assert accepted(b"\x00\x00\x00\x01\x0a" + encoded(event)) == accepted(encoded(INTERACTION))


def test_of_a_duplicate_name_the_last_counts() -> None:
    """Duplicate names are read as JSON readers commonly do, on the fast way and on the careful one."""
    for more in (b"", b',"x":1'):
        value = encoded(INTERACTION)[:-1] + b',"outcome":"failed","outcome":"escalated"' + more + b"}"
        read = accepted(value)
        assert isinstance(read, Interaction)
        assert read.outcome == "escalated"
    assert isinstance(accepted(b'{"type":"nothing",' + encoded(INTERACTION)[1:]), Interaction)


def test_a_line_break_before_json_is_not_taken_for_protobuf() -> None:
    """White space around the object is allowed, though a protobuf export begins with the same byte."""
    for event in (INTERACTION, INTERACTION | {"x": 1}):
        assert accepted(b"\n" + encoded(event) + b"\n") == accepted(encoded(INTERACTION))


def test_unknown_fields_are_ignored_and_counted_by_path() -> None:
    """Fields that no event has change nothing in the event, at any level; each is counted by type and path."""
    step = {"agent": "a", "operation": "chat", "start_ms": 0, "duration_ms": 1, "status": "ok"}
    plain = INTERACTION | {"steps": [step, step], "escalation": {"reason": "policy"}}
    extra = plain | {
        "shift": {"night": True},
        "steps": [step | {"cost": 1}, step | {"cost": 2, "id": 3}],
        "escalation": {"reason": "policy", "queue": "q"},
    }
    decoder = Decoder()
    assert decode(decoder, encoded(extra)) == accepted(encoded(plain))
    assert decode(decoder, encoded(INTERACTION | {"shift": 1})) == accepted(encoded(INTERACTION))
    assert decoder.counters.unknown_fields.counts == {
        ("interaction", "shift"): 2,
        ("interaction", "steps.cost"): 2,
        ("interaction", "steps.id"): 1,
        ("interaction", "escalation.queue"): 1,
    }


def test_unknown_fields_of_rejected_records_are_not_counted() -> None:
    """A record that is refused is told about by its dead letter alone."""
    decoder = Decoder()
    for change in ({"flow": 1}, {"time": "2020-01-01T00:00:00Z"}, {"type": "x"}):
        assert isinstance(decode(decoder, encoded(INTERACTION | {"extra": 1} | change)), Rejection)
    assert not decoder.counters.unknown_fields.counts


def test_the_count_of_unknown_fields_is_bounded() -> None:
    """Producers can name as many fields as they like; what is kept is capped, and the sum stays right."""
    decoder = Decoder()
    decode(decoder, encoded(SMALLEST["usage"] | {"a@example.com": 1, "x" * 1000: 1, "": 1}))
    assert decoder.counters.unknown_fields.counts == {("usage", OTHER): 3}
    total = 2 * MAX_FIELDS
    for number in range(total):
        decode(decoder, encoded(INTERACTION | {f"field_{number}": 1}))
    counts = decoder.counters.unknown_fields.counts
    assert len(counts) <= MAX_FIELDS + len(SMALLEST)
    assert counts["interaction", OTHER] == total - MAX_FIELDS + 1


def test_events_cannot_be_changed() -> None:
    """Events are values."""
    event = accepted(encoded(INTERACTION))
    with pytest.raises(AttributeError):
        event.time = 0  # type: ignore[misc]


def test_several_events_in_a_record_need_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format may hold several events a record: a batch gives them all, in one place."""
    several = [dict(INTERACTION), dict(SMALLEST["usage"]), {"type": "usage"}]
    found = Format("several", lambda _: True, lambda _: [dict(event) for event in several])
    monkeypatch.setattr(formats, "format_of", lambda _: found)
    batch = Decoder().decode_batch([(b"{}", (), NOW_MS)])
    assert batch.positions == [0, 0]
    assert [rejection.reason for _, rejection in batch.rejections] == ["invalid_field"]
    with pytest.raises(ValueError, match="holds 3 events"):
        decode(Decoder(), b"{}")


def test_an_endless_array_of_faults_is_answered_in_few_words() -> None:
    """The detail stays short however much is wrong."""
    rejection = rejected(
        encoded(INTERACTION | {"steps": [{}] * 1000, "tags": {str(number): 1 for number in range(50)}})
    )
    assert rejection.reason == "invalid_field"
    assert "more" in rejection.detail
    assert len(rejection.detail) < 400
