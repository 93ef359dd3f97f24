"""The doctor's judgement, over made-up findings."""

import pytest

from stream.doctor import Level, Line, clock_line, redis_lines, topic_lines, worst
from stream.settings import load_settings
from stream.topics import DAY_MS, TopicPlan, TopicReport, differences, plan_topics

GOOD_REDIS = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "maxmemory": 0, "aof_enabled": 1}
PLANS = {plan.name: plan for plan in plan_topics(load_settings(None, {}).kafka)}


def levels(lines: list[Line]) -> list[Level]:
    return [line.level for line in lines]


def report(name: str, configs: dict[str, str], partitions: int = 8) -> TopicReport:
    return TopicReport(PLANS[name], "exists", partitions, {**PLANS[name].configs, **configs})


def test_a_good_redis() -> None:
    """Redis 7 with noeviction and an append-only file is all right."""
    assert levels(redis_lines(GOOD_REDIS)) == ["ok", "ok", "ok"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"redis_version": "6.2.14"}, ["fail", "ok", "ok"]),
        ({"redis_version": "10.0.0"}, ["ok", "ok", "ok"]),
        ({"valkey_version": "9.1.2", "redis_version": "7.2.4"}, ["ok", "ok", "ok"]),
        ({"maxmemory_policy": "allkeys-lru"}, ["ok", "warn", "ok"]),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 1_000_000}, ["ok", "fail", "ok"]),
        ({"aof_enabled": 0}, ["ok", "ok", "warn"]),
    ],
)
def test_redis_that_is_not_fit(change: dict[str, object], expected: list[Level]) -> None:
    """Too old or evicting under a limit is a failure; what only weakens a promise is a warning."""
    lines = redis_lines({**GOOD_REDIS, **change})
    assert levels(lines) == expected
    assert all(line.remedy for line in lines if line.level != "ok")


@pytest.mark.parametrize(
    ("server", "expected"), [(1000, "ok"), (1400, "ok"), (1900, "warn"), (9000, "fail"), (200, "warn")]
)
def test_clock(server: int, expected: Level) -> None:
    """Half a second is nothing, five are too many for leases, in either direction."""
    assert clock_line(server, 990, 1010).level == expected


@pytest.mark.parametrize("server", [1000, 2500, 4000])
def test_slow_answers_are_no_clock_offset(server: int) -> None:
    """Only what cannot be explained by the time that asking took counts as an offset."""
    assert clock_line(server, 1000, 4000).level == "ok"


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        ({}, ["ok"]),
        ({"retention.ms": "-1"}, ["ok"]),
        ({"retention.ms": str(7 * DAY_MS)}, ["warn"]),
        ({"retention.ms": "3600000"}, ["fail"]),
        ({"retention.bytes": "1000000"}, ["warn"]),
        ({"cleanup.policy": "compact"}, ["fail"]),
    ],
)
def test_input_topics(configs: dict[str, str], expected: list[Level]) -> None:
    """Telemetry must be kept for the longest window, whole, and never compacted: records carry no key."""
    assert levels(topic_lines(report("agent.usage", configs), load_settings(None, {}))) == expected


def test_few_partitions() -> None:
    """Fewer partitions than planned limit the workers: a warning."""
    assert levels(topic_lines(report("agent.usage", {}, 1), load_settings(None, {}))) == ["warn"]


def test_snapshots_must_be_compacted() -> None:
    """A snapshots topic that deletes by time would lose the baseline."""
    settings = load_settings(None, {})
    assert levels(topic_lines(report("midwatch.snapshots", {}), settings)) == ["ok"]
    assert levels(topic_lines(report("midwatch.snapshots", {"cleanup.policy": "delete"}), settings)) == ["fail"]
    assert levels(topic_lines(report("midwatch.heartbeats", {"cleanup.policy": "delete,compact"}), settings)) == ["ok"]


@pytest.mark.parametrize("name", ["midwatch.controls", "midwatch.feedback"])
def test_the_last_words_of_humans_must_be_compacted(name: str) -> None:
    """Where plain deletion would forget a silence that is in force, or a judgement, the doctor says so."""
    settings = load_settings(None, {})
    assert levels(topic_lines(report(name, {}), settings)) == ["ok"]
    assert levels(topic_lines(report(name, {"cleanup.policy": "delete"}), settings)) == ["fail"]


def test_missing_topic() -> None:
    """A missing topic is a failure that says how to make it."""
    [line] = topic_lines(TopicReport(PLANS["midwatch.verdicts"], "missing"), load_settings(None, {}))
    assert line.level == "fail"
    assert "midwatch topics create" in line.remedy


def test_worst() -> None:
    """The verdict on the whole is the gravest of its lines."""
    assert worst([]) == "ok"
    assert worst([Line("ok", "a", ""), Line("warn", "b", "")]) == "warn"
    assert worst([Line("fail", "a", ""), Line("warn", "b", "")]) == "fail"


def test_differences_are_shortfalls_only() -> None:
    """More partitions or longer retention than planned is no difference."""
    plan = TopicPlan("t", "", 4, {"cleanup.policy": "delete", "retention.ms": "1000"})
    assert differences(plan, 8, {"cleanup.policy": "delete", "retention.ms": "-1"}) == ()
    assert len(differences(plan, 2, {"cleanup.policy": "compact", "retention.ms": "10"})) == 3
