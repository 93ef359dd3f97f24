"""Replay with controls among the events: the same bytes each time, the same firings as without them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from stream.core.ticks import MINUTE_MS, rfc3339
from tests.integration import traffic
from tests.unit.test_replay import replayed

LINES = [canonical_json(event) for _, event in traffic.events()]
"""Four hours; `refunds` escalates and `claims` is denied from minute 200 on."""

SPIKE = traffic.SPIKE_AT


def at(minute: int) -> str:
    return rfc3339((traffic.START_MINUTE + minute) * MINUTE_MS)


def silence(identity: str, made: int, starts: int, ends: int, **matchers: str) -> bytes:
    body = {"type": "silence", "id": identity, "time": at(made), "starts_at": at(starts), "ends_at": at(ends)}
    where = {"environment": "production", "system": "refunds", "reason": "drill", "created_by": "ada"}
    return canonical_json({**body, **where, **matchers})


def records(out: bytes, kind: str) -> list[dict[str, Any]]:
    return [record for record in map(json.loads, out.splitlines()) if record["record"] == kind]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return replayed(tmp_path_factory.mktemp("plain"), LINES)[0]


def test_a_silence_in_a_file_mutes_and_its_end_speaks(tmp_path: Path) -> None:
    """It is counted as an event, covers the first verdict, and the incident speaks when it ends while still firing."""
    out, stats = replayed(tmp_path, [*LINES, silence("q", 10, SPIKE - 60, SPIKE + 25)])
    assert stats["events"]["silence"] == 1
    assert stats["rejected"] == 0
    said = [v for v in records(out, "verdict") if v["scope"]["system"] == "refunds"]
    assert said[0]["muted"]["id"] == "q"
    loud = next(v for v in said if "muted" not in v)
    assert (loud["decided_at"], loud["status"]) == (at(SPIKE + 25), "firing")
    assert all("muted" not in v for v in records(out, "verdict") if v["scope"]["system"] == "claims")


def test_an_acknowledgement_in_a_file_is_a_revision(tmp_path: Path, plain: bytes) -> None:
    """It names the incident; the revision comes at the tick after its minute."""
    first = next(v for v in records(plain, "verdict") if v["scope"]["system"] == "refunds")
    ack = {"type": "acknowledgement", "id": "a", "time": at(SPIKE + 20), "by": "bo"}
    place = {"incident_id": first["incident_id"], "environment": "production", "system": "refunds"}
    out, _ = replayed(tmp_path, [*LINES, canonical_json({**ack, **place})])
    acked = next(v for v in records(out, "verdict") if "acknowledged" in v)
    assert (acked["decided_at"], acked["status"]) == (at(SPIKE + 21), "updated")
    assert acked["acknowledged"] == {"by": "bo", "at": at(SPIKE + 20)}


def test_the_same_bytes_in_any_order_cut_and_number_of_shards(tmp_path: Path) -> None:
    """A star goes into every shard; where lines stand, and how many shards there are, changes no byte."""
    controls = [silence("q", 10, SPIKE, SPIKE + 9, system="*"), silence("q", 40, SPIKE + 2, SPIKE + 20, system="*")]
    wanted = replayed(tmp_path, [*LINES, *controls])[0]
    shuffled = [*controls, *LINES]
    random.Random(5).shuffle(shuffled)
    assert replayed(tmp_path, shuffled[:700], shuffled[700:], shards=3, batch_lines=77)[0] == wanted
    assert any("muted" in v for v in records(wanted, "verdict"))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            lambda number, made, wait, length, system: silence(
                f"q{number}", made, made + wait, made + wait + length, system=system
            ),
            st.integers(0, 2),
            st.integers(0, traffic.MINUTES - 2),
            st.integers(0, 60),
            st.integers(1, 200),
            st.sampled_from(["*", "refunds", "claims"]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_silencing_changes_no_firing(tmp_path: Path, plain: bytes, controls: list[bytes]) -> None:
    """Whatever is silenced when: the same firings are published, byte for byte, and the same incidents are told."""
    out, _ = replayed(tmp_path, [*LINES, *controls])
    assert records(out, "firing") == records(plain, "firing")
    assert {v["incident_id"] for v in records(out, "verdict")} == {v["incident_id"] for v in records(plain, "verdict")}


def test_what_is_no_control_says_so(tmp_path: Path) -> None:
    """A silence that never ends is a bad line with its reason; an unknown type is explained as telemetry."""
    endless = silence("q", 0, 0, 60 * 24 * 29)
    _, stats = replayed(tmp_path, [*LINES[:5], endless, b'{"type":"silense"}'])
    assert stats["rejected"] == 2
