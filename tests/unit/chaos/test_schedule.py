"""The order of faults: the same for the same seed, and complete."""

from __future__ import annotations

import inspect
from itertools import islice

import pytest

from benchmarks.chaos.faults import FAULTS, WORKER_DEATHS, describe
from benchmarks.chaos.schedule import BURST_FAULTS, CLUSTER_ONLY, SLOWER_FAULTS, kinds_for, rounds

KINDS = list(FAULTS)


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same faults at the same distances, another seed others."""
    first, again, other = (list(islice(rounds(KINDS, seed), 100)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_round_has_every_kind_and_all_three_phases() -> None:
    """Whatever the shuffle, a round leaves no kind out, and no burst waits between its kills."""
    size = len(KINDS) + len(SLOWER_FAULTS) + BURST_FAULTS
    found = list(islice(rounds(KINDS, 3), 2 * size))
    for one in (found[:size], found[size:]):
        assert {planned.kind for planned in one if planned.phase == "gentle"} == set(KINDS)
        burst = [planned for planned in one if planned.phase == "burst"]
        assert [planned.recovered for planned in burst] == [True] + [False] * (BURST_FAULTS - 1)
        assert len([planned for planned in one if planned.phase == "slower"]) == len(SLOWER_FAULTS)


def test_one_kind_alone_goes_on_without_end() -> None:
    """`--only` narrows the rounds; without kills there is no burst."""
    assert {planned.kind for planned in islice(rounds(["redis_wipe"], 1), 50)} == {"redis_wipe"}


def test_leaders_move_only_in_a_cluster() -> None:
    """With one broker the kind is left out, and asked for it is refused."""
    assert set(KINDS) - set(kinds_for(KINDS, 1)) == CLUSTER_ONLY
    assert kinds_for(KINDS, 3) == KINDS
    with pytest.raises(ValueError, match="--brokers 3"):
        kinds_for(KINDS, 1, ["leader_move"])


def test_an_unknown_kind_is_refused() -> None:
    """The message names it and says what there is."""
    with pytest.raises(ValueError, match=r"no such fault: flood; there are kill, "):
        kinds_for(KINDS, 1, ["flood"])


def test_every_fault_says_what_it_does() -> None:
    """The help shows a sentence for each; those after which somebody must take over are among them."""
    assert all(describe(kind).endswith(".") for kind in KINDS)
    assert all(inspect.iscoroutinefunction(fault) for fault in FAULTS.values())
    assert set(KINDS) >= WORKER_DEATHS
