"""Evidence: applied twice or in another order it is the same, and it is bounded."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core import evidence as module
from stream.core.deltas import TagsRecord
from stream.core.evidence import Evidence
from stream.core.ticks import MINUTE_MS
from tests.unit.core.builders import START, breaker, deployment, score

DAY = 1440


def tags(identity: str, minute: int, value: str = "x", system: str = "s") -> TagsRecord:
    return TagsRecord(identity, minute * MINUTE_MS, "prod", system, (("cost-center", value),))


def applied(records: Any, prune_at: int | None = None) -> Evidence:
    evidence = Evidence()
    for record in records:
        evidence.apply(record)
    if prune_at is not None:
        evidence.prune(prune_at)
    return evidence


def content(evidence: Evidence) -> list[Any]:
    return list(evidence.records())


records = st.lists(
    st.builds(
        lambda make, number: make(f"r{number}", START + number),
        st.sampled_from([lambda i, m: breaker(i, m * MINUTE_MS), deployment, tags]),
        st.integers(0, 4),
    ),
    max_size=12,
)


@given(records, st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(some, random) -> None:
    """Any order, each record any number of times: the same evidence."""
    again = [*some, *random.sample(some, len(some) // 2)]
    random.shuffle(again)
    assert content(applied(again)) == content(applied(some))


@given(records)
def test_records_give_everything_back(some) -> None:
    """What a checkpoint stores restores the evidence."""
    assert content(applied(content(applied(some)))) == content(applied(some))


def test_a_score_is_new_once() -> None:
    """By environment, system and id."""
    evidence = Evidence()
    assert evidence.first_time(score("a", START))
    assert not evidence.first_time(score("a", START + 5, 1000))
    assert evidence.first_time(score("b", START))


def test_a_score_id_is_forgotten_after_its_time() -> None:
    """Remembered for two days, not for ever."""
    evidence = Evidence()
    evidence.first_time(score("a", START))
    evidence.prune(START + module.SCORE_ID_MINUTES)
    assert not evidence.first_time(score("a", START))
    evidence.prune(START + module.SCORE_ID_MINUTES + 1)
    assert evidence.first_time(score("a", START))


def test_the_newest_score_ids_survive_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the cap the oldest go, and are counted."""
    monkeypatch.setattr(module, "SCORE_IDS", 3)
    evidence = Evidence()
    for number in range(5):
        evidence.first_time(score(f"{number}", START + number))
    evidence.prune(START + 10)
    assert sorted(evidence.score_ids.values()) == [START + 2, START + 3, START + 4]
    assert evidence.dropped["score_id"] == 2


def test_the_tags_of_the_newest_minute_stand() -> None:
    """Those of its first event, whatever the order; and they are forgotten after the longest window."""
    first, second, old = tags("", START + 1, "first"), tags("", START + 1, "second"), tags("", START, "old")
    second = msgspec.structs.replace(second, ms=second.ms + 1)
    for order in permutations([first, second, old]):
        evidence = applied(list(order))
        [record] = evidence.tags.values()
        assert record.tags == (("cost-center", "first"),)
    evidence.prune(START + 1 + module.DAYS * DAY + 1)
    assert not evidence.tags


def test_deployments_over_the_cap_go_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once when far over it, to the cap when pruned; what is left does not depend on the order."""
    monkeypatch.setattr(module, "DEPLOYMENTS_PER_SYSTEM", 3)
    some = [deployment(f"{number:02}", START + number) for number in range(20)]
    assert all(len(applied(some[:n]).deployments["prod", "s"]) <= 6 for n in range(1, 20))
    forwards, backwards = applied(some, START + 30), applied(some[::-1], START + 30)
    assert content(forwards) == content(backwards) == some[-3:]
    assert forwards.dropped["deployment"] == 17


def test_readings_of_a_breaker_are_capped_and_its_last_word_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest readings of two days; one that is silent for longer keeps its last word, for four weeks."""
    monkeypatch.setattr(module, "READINGS_PER_BREAKER", 3)
    some = [breaker(f"{number:02}", (START + number) * MINUTE_MS) for number in range(20)]
    assert all(len(content(applied(some[:n]))) <= 6 for n in range(1, 20))
    evidence = applied(some, START + 30)
    assert content(evidence) == some[-3:]
    evidence.prune(START + 3 * DAY)
    assert content(evidence) == some[-1:]
    evidence.prune(START + 19 + module.DAYS * DAY + 1)
    assert content(evidence) == [] == list(evidence.breakers)


def test_instances_that_come_and_go_do_not_lock_new_ones_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the cap those that spoke last are kept: pods get new names with every rollout."""
    monkeypatch.setattr(module, "BREAKERS_PER_SYSTEM", 3)
    some = [breaker(f"{n}", (START + n) * MINUTE_MS, instance=f"pod-{n:02}") for n in range(20)]
    assert all(len(content(applied(some[:n]))) <= 6 for n in range(1, 20))
    evidence = applied(some, START + 30)
    assert [instance for _, _, instance in evidence.breakers["prod", "s"]] == ["pod-17", "pod-18", "pod-19"]
    assert evidence.dropped["breaker"] == 17


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("tags", lambda n: tags("a", START, system=f"s{n}")),
        ("deployment", lambda n: deployment("a", START, system=f"s{n}")),
        ("breaker", lambda n: breaker("a", START * MINUTE_MS, system=f"s{n}")),
    ],
)
def test_systems_are_capped(monkeypatch: pytest.MonkeyPatch, what: str, make: Any) -> None:
    """A flood of made-up systems is refused and counted; those that are known go on."""
    monkeypatch.setattr(module, "SYSTEMS", 2)
    evidence = applied([make(n) for n in (0, 1, 2, 0)])
    assert len(content(evidence)) == 2
    assert evidence.dropped[what] == 1
