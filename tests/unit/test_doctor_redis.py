"""What the doctor makes of what Redis tells: clusters, sentinels, and what a fail-over would cost."""

from __future__ import annotations

from typing import Any

from stream.doctor_line import Line
from stream.doctor_redis import cluster_lines, sentinel_lines, sync_lines, together

WELL = {"cluster_state": "ok", "cluster_slots_ok": "16384"}
STATE: dict[str, Any] = {"num-other-sentinels": 2, "quorum": 2}


def node(name: str, flags: str = "slave", master: str = "-", slots: bool = False) -> dict[str, Any]:
    return {"node_id": name, "flags": flags, "master_id": master, "slots": [["0", "1"]] if slots else []}


def levels(lines: list[Line]) -> dict[str, str]:
    return {line.subject: line.level for line in lines}


def test_a_cluster_that_serves_every_slot_is_well() -> None:
    """Two masters, each with a replica."""
    nodes = {
        "h:1@2": node("m1", "myself,master", slots=True),
        "h:2@2": node("m2", "master", slots=True),
        "h:3@2": node("r1", "slave", "m1"),
        "h:4@2": node("r2", "slave", "m2"),
    }
    (line,) = cluster_lines(WELL, nodes)
    assert line.level == "ok"
    assert "2 master(s), 2 replica(s)" in line.detail


def test_a_master_that_nobody_follows_is_named() -> None:
    """Also where its replica is down."""
    nodes = {"h:1@2": node("m1", "master", slots=True), "h:3@2": node("r1", "slave,fail", "m1")}
    lines = cluster_lines(WELL, nodes)
    assert levels(lines) == {"redis cluster": "warn", "redis replicas": "warn"}
    assert "down: h:3" in lines[1].detail
    assert "no replica follows h:1" in lines[2].detail


def test_slots_without_a_master_are_a_failure() -> None:
    """Whatever the state says: the engine commits to every shard or to none."""
    nodes = {"h:1@2": node("m1", "master", slots=True)}
    for info in ({"cluster_state": "fail", "cluster_slots_ok": "16384"}, {**WELL, "cluster_slots_ok": "16383"}):
        (line,) = cluster_lines(info, nodes)
        assert (line.level, bool(line.remedy)) == ("fail", True)


def test_what_all_servers_say_is_said_once() -> None:
    """What only some say bears their names."""
    same, other = Line("ok", "redis memory", "noeviction"), Line("warn", "redis persistence", "no append-only file")
    assert together({"a": [same], "b": [same, other]}) == [
        same,
        Line("warn", "redis persistence", "no append-only file (b)"),
    ]


def test_sentinels_in_good_order_leave_the_master_alone() -> None:
    """Three that agree, a replica, and a master that takes nothing when it is cut off."""
    (line,) = sentinel_lines("main", [STATE] * 3, 1, {"min-replicas-to-write": "1"})
    assert line.level == "ok"


def test_each_weakness_of_sentinels_is_a_warning() -> None:
    """One that is away, too few of them, no replica, a master that would go on alone."""
    lines = sentinel_lines("main", [{**STATE, "num-other-sentinels": 1}, None], 0, {"min-replicas-to-write": "0"})
    assert {line.level for line in lines} == {"warn"}
    words = " ".join(line.detail for line in lines)
    for word in ("1 of 2 configured", "2 sentinel(s)", "no replica", "min-replicas-to-write is 0"):
        assert word in words, word


def test_the_rate_of_fsync_is_judged_where_it_is_told() -> None:
    """`no` is a warning, `always` a remark, `everysec` nothing; a server that does not tell is not suspected."""
    assert [line.level for line in sync_lines({"appendfsync": "no"})] == ["warn"]
    assert [line.level for line in sync_lines({"appendfsync": "always"})] == ["ok"]
    assert sync_lines({"appendfsync": "everysec"}) == sync_lines({}) == []
