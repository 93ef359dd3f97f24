"""What inspect says of single records: every kind, bad ones, and names that a terminal would obey."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import pytest

from schemas.words import CONTROLS_TOPIC
from stream.inspect_records import DIMENSIONS, Insight, Inspector, summary
from stream.inspect_text import lines
from stream.settings import load_settings
from tests.contract.test_producers import SAMPLES
from tests.unit.adapters.events import INTERACTION, NOW_MS, SMALLEST, encoded
from tests.unit.adapters.test_controls import ACK, SILENCE


@dataclass
class Record:
    """A record as the consumer gives it."""

    value: bytes | None
    headers: Any = ()
    partition: int = 0
    offset: int = 7
    timestamp: int = NOW_MS


def look(record: Record, topic: str = "agent.interactions", **variables: str) -> Insight:
    environ = {f"MIDWATCH_{name.upper()}": value for name, value in variables.items()}
    return Inspector(load_settings(None, environ), topic).look(record)


@pytest.mark.parametrize("event_type", SMALLEST)
def test_every_type_shows_its_series(event_type: str) -> None:
    """Type, id, whose it is, and the fields that name its series; never a text."""
    [seen] = look(Record(encoded({**SMALLEST[event_type], "x": 1}))).events
    assert (seen.type, seen.id, seen.series) == (event_type, "e-1", "production/claims")
    assert set(seen.says) <= set(DIMENSIONS[event_type])
    assert seen.says
    assert not {"request", "response", "context", "reasoning"} & set(seen.says)


def test_records_without_events() -> None:
    """A tombstone, one that is passed over, one that cannot be read: each says what it is."""
    tombstone = look(Record(None, timestamp=-1))
    assert (tombstone.format, tombstone.size, tombstone.time) == ("tombstone", None, None)
    passed = look(Record(SAMPLES["resilience4j_success"].encoded))
    assert (passed.format, passed.passed_over, passed.refused) == ("resilience4j", 1, [])
    broken = look(Record(b"\xff"))
    assert (broken.format, broken.refused[0].reason) == ("unreadable", "not_utf8")
    large = look(Record(encoded(INTERACTION)), limits__max_record_bytes="1024")
    assert large.events
    packed = look(Record(gzip.compress(SAMPLES["opa_batch"].encoded)))
    assert (packed.format, len(packed.events), packed.passed_over) == ("batch", 2, 1)


def test_the_configuration_counts_as_in_ingest() -> None:
    """Whose a record is may come from [adapters]; limits are those of the engine."""
    record = Record(SAMPLES["envoy_eject"].encoded)
    assert "midwatch_environment" in look(record).refused[0].detail
    [seen] = look(record, adapters__environment="staging", adapters__system="support").events
    assert seen.series == "staging/support"
    assert look(Record(b" " * 2000), limits__max_record_bytes="1024").refused[0].reason == "too_large"


@pytest.mark.parametrize("control", [SILENCE, ACK])
def test_controls_are_read_on_their_own_topic(control: dict[str, Any]) -> None:
    """There and nowhere else, as ingest does."""
    record = Record(json.dumps(control).encode(), timestamp=1_772_330_400_000)
    [seen] = look(record, CONTROLS_TOPIC).events
    assert seen.type == control["type"]
    assert look(record).refused[0].reason == "unknown_type"


def test_counts_are_those_of_each_record() -> None:
    """An inspector that has seen unknown fields before does not show them again."""
    inspector = Inspector(load_settings(None, {}), "agent.interactions")
    odd, plain = Record(encoded(INTERACTION | {"x": 1})), Record(encoded(INTERACTION))
    found = [inspector.look(record) for record in (odd, plain, odd)]
    assert [dict(one.unknown_fields) for one in found] == [{"interaction.x": 1}, {}, {"interaction.x": 1}]
    assert summary(found)["unknown_fields"] == {"interaction.x": 2}
    assert summary(found)["formats"]["native"]["records"] == 3


def test_a_terminal_obeys_no_record() -> None:
    """Escape sequences in names are shown as characters that cannot be printed."""
    insight = look(Record(encoded(INTERACTION | {"flow": "a\x1b[2Jb", "\x1b[0m": 1})))
    text = "\n".join(lines([insight], summary([insight])))
    assert "\x1b" not in text
    assert "flow=a" in text
    assert "0/7" in text
