"""Whatever is recommended, approved, muted or halted, and wherever processes die: what the subscriber never does.

The laws stand in `World.do`, which checks each deed against the plain history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from stream.rollback import decide
from stream.rollback.book import ApprovalBook
from stream.rollback.ledger import Ledger
from stream.rollback.rules import Rules
from stream.rollback.subscriber import Subscriber
from tests.support.rollback import MINUTE, MUTED, RULES, FakeExecutor, Process, World, approval, standing, verdict

Move = tuple[str, dict[str, Any]]

NOW_AND_THEN = 5
"""What makes a verdict none to act on is drawn once in so many times."""


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual, and now and then another."""
    return st.sampled_from([usual] * NOW_AND_THEN + list(others))


INCIDENTS = st.integers(1, 3)
VERDICT = st.fixed_dictionaries(
    {
        "number": INCIDENTS,
        "kind": mostly("rollback", "escalate"),
        "requires_approval": mostly(False, True, True),
        "muted": mostly(None, MUTED),
        "confidence": mostly(0.99, 0.5),
        "component": mostly("one", "two", "three", "four"),
        "environment": mostly("production", "staging"),
        "valid": mostly(15, 1, 1, 1, 600),
    }
)
SAY = st.fixed_dictionaries(
    {"number": INCIDENTS, "decision": mostly("approve", "refuse", "refuse"), "valid": mostly(None, 2)}
)
ROUND = st.fixed_dictionaries(
    {
        "process": st.integers(0, 1),
        "crash_after": mostly(None, *range(9)),
        "rival_at": mostly(None, 0, 1, 2),
    }
)
MOVES: dict[str, tuple[int, st.SearchStrategy[dict[str, Any]]]] = {
    "verdict": (3, VERDICT),
    "say": (1, SAY),
    "halt": (1, st.fixed_dictionaries({"minutes": st.sampled_from([0, 0, 30])})),
    "wait": (2, st.fixed_dictionaries({"minutes": mostly(1, 3, 6, 25)})),
    "round": (4, ROUND),
}
MOVE = st.sampled_from([name for name, (often, _) in MOVES.items() for _ in range(often)]).flatmap(
    lambda name: st.tuples(st.just(name), MOVES[name][1])
)
HISTORIES = st.lists(MOVE, min_size=3, max_size=30)


async def play(world: World, moves: list[Move]) -> None:
    """A history, move by move; time goes on by a second with each."""
    processes = [Process(world, "a"), Process(world, "b")]
    revisions: dict[int, int] = {}
    for name, more in moves:
        world.now += timedelta(seconds=1)
        if name == "verdict":
            fields = dict(more)
            number, valid = fields.pop("number"), fields.pop("valid")
            revisions[number] = revisions.get(number, 0) + 1
            fields |= {"decided_at": world.now, "not_after": world.now + valid * MINUTE}
            world.publish(verdict(number, revisions[number], **fields))
        elif name == "say":
            until = None if more["valid"] is None else world.now + more["valid"] * MINUTE
            world.say(approval(more["number"], more["decision"], world.now, expires_at=until))
        elif name == "halt":
            world.say(standing(world.now, world.now + more["minutes"] * MINUTE))
        elif name == "wait":
            world.now += more["minutes"] * MINUTE
        else:
            process, rival = processes[more["process"]], processes[1 - more["process"]]
            await process.round(crash_after=more["crash_after"], rival=rival, rival_at=more["rival_at"])


@pytest.mark.parametrize("sees", [True, False])
@given(moves=HISTORIES)
@settings(max_examples=100)
def test_no_law_is_ever_broken(sees: bool, moves: list[Move]) -> None:
    """Never twice on one key, never late, muted, refused, halted, unapproved, unasked, nor more often than allowed."""
    asyncio.run(play(World(sees=sees), moves))


def _searched(moves_hold: Callable[[list[Move]], None]) -> None:
    """Look for a history that breaks a law, always the same way, without shrinking it."""
    quick = settings(
        max_examples=1_000,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    quick(given(moves=HISTORIES)(moves_hold))()


def _no_people(verdict: Any, book: Any, now: Any, stopped: Any) -> None:
    return None


def _never_expired(self: Ledger, step: Any, refusal: Any = Ledger.refusal) -> str | None:
    why = refusal(self, step)
    return None if why == "expired" else why


def _late(self: Rules, verdict: Any) -> Any:
    return verdict.decided_at + 90 * MINUTE


LAST_LOOK: tuple[Any, str, Any] = (Subscriber, "_forbidden", lambda self, step, verdict: None)
"""Right before a deed it is asked again what was asked when it was decided."""

MUTANTS: dict[str, tuple[list[tuple[Any, str, Any]], str]] = {
    "any_claim_counts": ([(Ledger, "refusal", lambda self, step: None)], "twice"),
    "starts_are_forgotten": ([(Ledger, "_start", lambda self, step: None)], "twice"),
    "the_muted_are_heard": ([(decide, "_people", _no_people), LAST_LOOK], "muted|refusal"),
    "nobody_need_approve": (
        [(decide, "_approval_steps", lambda *_: iter(())), LAST_LOOK],
        "without approval|expired approval|against a refusal",
    ),
    "time_is_no_matter": (
        [(decide, "_times", lambda *_: None), (Rules, "deadline", _late), (Ledger, "refusal", _never_expired)],
        "too late",
    ),
    "no_pace": ([(Ledger, "pace", lambda self, subject, now: None)], "an hour allows|cooling down"),
    "no_halt": ([(ApprovalBook, "halt", lambda self, environment, system, now: None)], "in a halt"),
    "any_confidence": ([(decide, "_bounds", lambda *_: None)], "on a guess|where it may not"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_guard_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of the guards the histories find the law that it keeps."""
    changes, said = MUTANTS[name]
    for place, attribute, change in changes:
        monkeypatch.setattr(place, attribute, change)
    # An executor that looks first would find the second deed done.
    sees = name not in {"any_claim_counts", "starts_are_forgotten", "no_pace"}
    with pytest.raises(AssertionError, match=said):
        _searched(lambda moves: asyncio.run(play(World(sees=sees), moves)))


async def _die_and_go_on(sees: bool, crash_after: int) -> tuple[World, Process, bool]:
    """One recommendation, a process that dies at a point, and rounds behind it until all that can be said is."""
    world = World(sees=sees)
    process = Process(world, "a")
    world.publish(verdict(1))
    lived = await process.round(crash_after=crash_after)
    world.now += RULES.lease + MINUTE
    for _ in range(4):
        await process.round()
        world.now += MINUTE
    return world, process, lived


@pytest.mark.parametrize("sees", [True, False])
@pytest.mark.parametrize("crash_after", range(10))
async def test_a_crash_at_each_point(sees: bool, crash_after: int) -> None:
    """Wherever it dies, it is done once at the end, or, where nobody can tell, a person is told; never twice."""
    world, process, lived = await _die_and_go_on(sees, crash_after)
    assert lived == (crash_after >= 8)
    last = world.log[-1]
    # From the claim to the word about its end nobody knows whether it was done, unless the tool can tell.
    unknown = not sees and 3 <= crash_after <= 6
    if unknown:
        assert (last.status, last.reason, last.needs_attention) == ("failed", "unknown_outcome", True)
        assert len(world.done) == (crash_after >= 5)
    else:
        assert [status.partition(":")[0] for status in process.statuses()][-1] == "succeeded"
        assert len(world.done) == 1


@pytest.mark.parametrize("crash_after", [5, 6])
async def test_what_cannot_look_is_not_repeated(crash_after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is needed: an executor that wrongly calls itself repeatable acts twice after such a crash."""
    monkeypatch.setattr(FakeExecutor, "idempotent", True)
    with pytest.raises(AssertionError, match="twice"):
        await _die_and_go_on(False, crash_after)


async def test_two_processes_that_know_nothing_of_each_other() -> None:
    """Both decide before either has written: the topic's order lets one of them act."""
    world = World()
    one, two = Process(world, "a"), Process(world, "b")
    world.publish(verdict(1))
    await one.round(rival=two, rival_at=1)
    starts = [step.by for step in world.log if step.status == "started"]
    assert (starts, len(world.done)) == (["b", "a"], 1)
    assert [step.by for step in world.log if step.status == "succeeded"] == ["b"]
