"""How a story's events arrive: late, twice, or with a wrong clock, and the same in every run."""

import json
from collections import Counter

import pytest

from scenarios.fleet import Fleet, encode
from scenarios.fleet_events import Emitted
from scenarios.stories.delivery import deliver
from scenarios.stories.model import Story
from scenarios.stories.world import world_of


def story(*happens: dict[str, object]) -> Story:
    data = {"story": "Events take their time, and more.", "quiet": True, "happens": happens, "ends": "03:00"}
    return Story.model_validate_json(json.dumps(data))


def events(told: Story) -> list[Emitted]:
    world = world_of(told)
    return list(Fleet(1, world.systems, world.effects).events(told.begins_ms, told.ends_ms))


def test_without_trouble_the_lines_are_the_events() -> None:
    """Nothing is changed or moved where nothing is amiss."""
    told = story()
    made = events(told)
    assert deliver(told, made) == [encode(event) for _, event in made]


def test_late_events_are_the_same_events_in_another_order() -> None:
    """A fifth comes late: none is lost or changed, and those are spread over the minutes that the story says."""
    told = story({"at": "01:00", "what": "late events", "share_percent": 20, "minutes": 10})
    made = events(told)
    plain, lines = [encode(event) for _, event in made], deliver(told, made)
    assert sorted(lines) == sorted(plain)
    times = [json.loads(line)["time"] for line in lines]
    late = sum(time < newest for time, newest in zip(times, _running_max(times), strict=True))
    assert 0.12 * len(lines) < late < 0.28 * len(lines)


def _running_max(values: list[str]) -> list[str]:
    found: list[str] = []
    for value in values:
        found.append(max(value, found[-1]) if found else value)
    return found


def test_duplicates_are_whole_and_as_many_as_said() -> None:
    """A third comes twice, byte for byte."""
    told = story({"at": "01:00", "what": "duplicates", "share_percent": 33})
    made = events(told)
    counts = Counter(deliver(told, made))
    assert set(counts) == {encode(event) for _, event in made}
    twice = sum(count == 2 for count in counts.values())
    assert set(counts.values()) == {1, 2}
    assert twice / len(counts) == pytest.approx(0.33, abs=0.05)


def test_a_wrong_clock_moves_the_stamps_of_its_producer_alone() -> None:
    """Half of the events are stamped four minutes early; whole interactions, in the period that is said."""
    told = story({"at": "02:00", "until": "02:30", "what": "clock skew", "seconds": -240, "share_percent": 50})
    made = events(told)
    lines = {json.loads(line)["id"]: json.loads(line)["time"] for line in deliver(told, made)}
    moved = [one for one in made if lines[one.event["id"]] != one.event["time"]]
    inside = [one for one in made if told.ms("02:00") <= one.time_ms < told.ms("02:30")]
    assert {one.event["id"] for one in moved} <= {one.event["id"] for one in inside}
    assert 0.35 < len(moved) / len(inside) < 0.65
    traces = {one.event.get("trace_id") for one in moved} - {None}
    assert not traces & {one.event.get("trace_id") for one in inside if one not in moved}
