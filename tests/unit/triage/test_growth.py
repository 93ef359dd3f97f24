"""An outage that takes hundreds of series down is one incident, one page, and a handful of revisions."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from tests.unit.triage.night import Night, _restarts, fired  # noqa: F401 - a fixture for all
from tests.unit.triage.stories import outage

KAFKA_DEFAULT = 1_000_000
"""Bytes that a broker takes by default (`message.max.bytes`), rounded down."""


def test_five_hundred_at_once_are_one_page_that_lists_them() -> None:
    """One verdict, every series in it, small enough for Kafka."""
    night = Night(outage("closed"))
    (only,) = night.tick(*[fired(flow=f"flow-{number}") for number in range(500)])
    assert (only.status, len(only.related), only.related_total) == ("firing", 499, None)
    assert len(canonical_json(only)) < KAFKA_DEFAULT
    assert night.ticks(30) == []


def test_five_hundred_one_after_the_other_are_a_handful_of_revisions() -> None:
    """Fifty more each minute: one first page, a revision at each doubling, and one that has them all."""
    night = Night(outage("closed"))
    said = []
    for minute in range(10):
        said += night.tick(*[fired(minute, f"flow-{minute}-{number}") for number in range(50)])
    said += night.ticks(30)
    assert len({verdict.incident_id for verdict in said}) == 1
    assert [verdict.status for verdict in said] == ["firing", *["updated"] * (len(said) - 1)]
    assert len(said) <= 6
    assert len(said[-1].related) == 499


def test_names_of_any_length_keep_it_below_kafka_s_limit() -> None:
    """The list is cut by its bytes, and the rest is counted."""
    night = Night(outage("closed"))
    (said,) = night.tick(*[fired(flow=f"{number:04}" + "\U0001f6a8" * 252) for number in range(900)])
    assert len(canonical_json(said)) < KAFKA_DEFAULT
    assert 0 < len(said.related) < 899
    assert said.related_total == 899


def test_another_kind_of_detector_is_told_at_once() -> None:
    """Scores drop as well: the picture is another one, however few they are."""
    night = Night(outage("closed"))
    night.tick(*[fired(flow=f"flow-{number}") for number in range(100)])
    assert night.tick(fired(1, "flow-x")) == []
    (told,) = night.tick(fired(2, "flow-y", "evaluation_drop"))
    assert len(told.related) == 101


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 8), min_size=1, max_size=25))
def test_all_are_told_and_few_times(joins: list[int]) -> None:
    """Whatever joins when: ten minutes after the last one all are listed, in a revision a doubling and a few more."""
    night = Night(outage("closed"))
    said = night.tick(fired())
    for minute, count in enumerate(joins, start=1):
        said += night.tick(*[fired(minute, f"flow-{minute}-{number}") for number in range(count)])
    said += night.ticks(10)
    total = 1 + sum(joins)
    assert len(said[-1].related) == total - 1
    assert len(said) <= 1 + total.bit_length() + len(joins) // 10 + 1
