"""The fault suite's telemetry: the same for the same seed, and as good or as bad as it says."""

from __future__ import annotations

from collections import Counter

from benchmarks.chaos.traffic import (
    CALM_MINUTES,
    MARK,
    MAX_RECORD_BYTES,
    SLICE_MS,
    START_MS,
    SYSTEMS,
    Fleet,
    Sent,
    cause_at,
)
from stream.adapters import Decoder, Limits
from stream.core.ticks import MINUTE_MS

SLICES = 600
FLEET = Fleet(1, 20)


def everything() -> list[Sent]:
    return [record for number in range(SLICES) for record in FLEET.records(number)]


def test_a_slice_depends_on_the_seed_and_its_number_alone() -> None:
    """Told again, or told alone, it is the same to the byte; another seed is another one."""
    assert list(FLEET.records(7)) == list(Fleet(1, 20).records(7))
    assert list(FLEET.records(7)) != list(Fleet(2, 20).records(7))


def test_poison_is_what_bears_the_mark_and_nothing_else() -> None:
    """The decoder refuses each marked record and reads each other one; about one in a hundred is marked."""
    decoder = Decoder(Limits(max_bytes=MAX_RECORD_BYTES))
    records = everything()
    decoded = decoder.decode_batch([(r.value, (), r.ms) for r in records])
    refused = {at for at, _ in decoded.rejections}
    assert refused == {at for at, record in enumerate(records) if MARK in record.value}
    assert 0.005 < len(refused) / len(records) < 0.02
    assert len({rejection.reason for _, rejection in decoded.rejections}) >= 4


def test_events_come_late_and_twice() -> None:
    """Some records are repeated as they are, and none comes later than its own slice ends."""
    records = everything()
    repeated = [value for value, times in Counter(r.value for r in records).items() if times > 1]
    assert repeated
    assert all(START_MS <= r.ms < START_MS + SLICES * SLICE_MS for r in records)


def test_incidents_follow_the_script() -> None:
    """After the calm every system has incidents, of every cause in turn."""
    assert all(cause_at(system, START_MS + (CALM_MINUTES - 1) * MINUTE_MS) is None for system in range(SYSTEMS))
    seen = {cause_at(0, START_MS + minute * MINUTE_MS) for minute in range(CALM_MINUTES, CALM_MINUTES + 600)}
    assert seen == {None, "deployment", "denials", "dependency", "riskier cohort"}
