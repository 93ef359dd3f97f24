"""Shards: every worker, machine and version puts a system into the same one."""

from __future__ import annotations

from collections import Counter

import pytest

from stream.core.shards import ShardMap, shard_of


def test_a_system_stays_in_its_shard() -> None:
    """The hash is part of what Redis holds: these values may never change."""
    assert [shard_of("production", system, 16) for system in ("refunds", "claims", "onboarding")] == [12, 10, 3]


def test_environment_and_system_are_kept_apart() -> None:
    """Moving a letter from the one to the other makes another system."""
    assert len({shard_of(a, b, 2**30) for a, b in (("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc"))}) == 4


def test_systems_spread_over_the_shards() -> None:
    """No shard of sixteen gets twice its share of 16,000 systems."""
    found = Counter(shard_of("production", f"system-{number}", 16) for number in range(16_000))
    assert len(found) == 16
    assert max(found.values()) < 2_000


def test_the_shard_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of environments and systems gets the right shard, and the memo forgets rather than grows."""
    monkeypatch.setattr("stream.core.shards.NAMES", 6)
    shards = ShardMap(3)
    for environment in ("prod", "test", "staging", "prod"):
        names = [f"system-{number}" for number in range(11)]
        wanted = [shard_of(environment, name, 3) for name in names]
        assert [shards[environment, name] for name in names] == wanted
        assert [shards.within(environment)[name] for name in names] == wanted
        assert len(shards._within) + sum(map(len, shards._within.values())) <= 6
    for number in range(20):
        shards.within(f"environment-{number}")
    assert len(shards._within) <= 6
