"""The subscriber's rounds: tries and their end, what stops it at the last moment, what it tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.actions import ActionTaken
from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.registry import Executors, Named
from stream.rollback.run import rolled_back
from stream.rollback.subscriber import Subscriber, Surroundings
from stream.rollback.verify import Observed
from stream.settings_rollback import ExecutorSection
from tests.support.rollback import MINUTE, MUTED, RULES, START, FakeJournal, Fuse, World, approval, standing, verdict

Step = Callable[[], Outcome]
SECTION = ExecutorSection(type="command", argv=("/bin/true",), target_kinds=("argo_rollout",))


class Scripted:
    """An executor that answers as it is told, one answer an execution."""

    def __init__(self, *answers: Step, observed: Observed = "serving", idempotent: bool = True) -> None:
        self.answers = list(answers)
        self.observed = observed
        self.idempotent = idempotent
        self.runs = 0

    def plan(self, order: Order) -> str:
        return "do it"

    async def observe(self, order: Order) -> Observed:
        return self.observed

    async def execute(self, order: Order) -> Outcome:
        self.runs += 1
        return self.answers.pop(0)()


def fine() -> Outcome:
    return Outcome(ok=True, detail="done")


def passing() -> Outcome:
    return Outcome(ok=False, detail="connection refused", reason="unreachable", again=True)


def refused() -> Outcome:
    raise Refused("it carries 3.0")


def setting(executor: Scripted, world: World, stop_file: Path | None = None, **more: object) -> Subscriber:
    async def no_sleep(_seconds: float) -> None:
        world.now += MINUTE / 60

    around = Surroundings(
        name="me", rules=RULES, executors=Executors({"fake": Named("fake", SECTION, executor)}), book=world.book,
        now=lambda: world.now, stop_file=stop_file, sleep=no_sleep, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return Subscriber(FakeJournal(world, Fuse()), around)


def last(world: World) -> tuple[str, str | None, bool]:
    return world.log[-1].status, world.log[-1].reason, world.log[-1].needs_attention


async def test_what_may_pass_is_tried_again() -> None:
    """Three times at most, and one start says it all."""
    world, executor = World(), Scripted(passing, passing, fine)
    world.publish(verdict())
    await setting(executor, world).reconcile(world.newest)
    assert executor.runs == 3
    assert [step.status for step in world.log] == ["proposed", "started", "succeeded"]


async def test_a_person_is_told_where_it_failed() -> None:
    """After the last try; and it is not started again by a later round, or a later revision."""
    world, executor = World(), Scripted(passing, passing, passing)
    subscriber = setting(executor, world)
    world.publish(verdict())
    await subscriber.reconcile(world.newest)
    assert last(world) == ("failed", "unreachable", True)
    world.publish(verdict(revision=2))
    await subscriber.reconcile(world.newest)
    assert executor.runs == 3


async def test_what_cannot_be_repeated_is_not() -> None:
    """An executor that is not idempotent runs once, however its failure looks."""
    world, executor = World(), Scripted(passing, idempotent=False)
    world.publish(verdict())
    await setting(executor, world).reconcile(world.newest)
    assert (executor.runs, last(world)) == (1, ("failed", "unreachable", True))


async def test_a_failure_that_was_none() -> None:
    """Where the tool failed, but the version is gone, it is done."""
    world, executor = World(), Scripted(lambda: Outcome(ok=False, detail="exit code 1"), observed="rolled_back")
    world.publish(verdict())
    await setting(executor, world).reconcile(world.newest)
    assert last(world) == ("succeeded", "found_done", False)


async def test_a_target_that_moved_on_is_left_alone() -> None:
    """The executor's refusal is a failure that says that nothing was done."""
    world, executor = World(), Scripted(refused)
    world.publish(verdict())
    await setting(executor, world).reconcile(world.newest)
    assert last(world) == ("failed", "left_alone", True)
    assert world.log[-1].detail == "nothing was done: it carries 3.0"


@pytest.mark.parametrize("word", ["halt", "refuse"])
async def test_a_word_between_two_tries_stops_it(word: str) -> None:
    """What is said while it is at work is heard before the next try."""
    world, executor = World(), Scripted(passing, fine)
    world.publish(verdict())

    async def refresh() -> None:
        if executor.runs == 1:
            said = standing(world.now, world.now + 9 * MINUTE) if word == "halt" else approval(1, "refuse", world.now)
            world.say(said)

    await setting(executor, world, refresh=refresh).reconcile(world.newest)
    assert executor.runs == 1
    assert world.log[-1].status == "failed"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"muted": MUTED}, "muted"),
        ({"status": "resolved"}, "superseded"),
        ({"kind": "escalate"}, "superseded"),
        ({"idempotency_key": "act_9"}, "superseded"),
        ({"requires_approval": True}, "not_approved"),
    ],
)
async def test_a_newer_revision_between_two_tries_stops_it(more: dict[str, Any], reason: str) -> None:
    """The tries may take minutes; what the incident's newest verdict says by then holds for the next one."""
    world, executor = World(), Scripted(passing, fine)
    world.publish(verdict())

    async def refresh() -> None:
        if executor.runs == 1:
            world.publish(verdict(revision=2, **more))

    await setting(executor, world, refresh=refresh, newest=world.newest.get).reconcile(world.newest)
    assert executor.runs == 1
    assert last(world) == ("failed", reason, True)
    assert "connection refused" in world.log[-1].detail


async def test_an_approval_that_runs_out_between_two_tries_stops_it() -> None:
    """It was given for a start within its time, and for no later one."""
    world, executor = World(), Scripted(passing, fine)
    world.publish(verdict(requires_approval=True))
    world.say(approval(expires_at=START + MINUTE / 120))
    await setting(executor, world).reconcile(world.newest)
    assert (executor.runs, last(world)) == (1, ("failed", "not_approved", True))


async def test_the_stop_file_stops_it(tmp_path: Path) -> None:
    """While the file exists nothing is started; once it is gone, it goes on."""
    world, executor, path = World(), Scripted(fine), tmp_path / "stop"
    path.touch()
    subscriber = setting(executor, world, path)
    world.publish(verdict())
    await subscriber.reconcile(world.newest)
    assert (executor.runs, last(world)) == (0, ("skipped", "halted", False))
    path.unlink()
    await subscriber.reconcile(world.newest)
    assert executor.runs == 1


async def test_one_deed_a_round() -> None:
    """After a deed, what was read before it may be out of date: the next one waits for the next round."""
    world, executor = World(), Scripted(fine, fine)
    subscriber = setting(executor, world)
    for number in (1, 2):
        world.publish(verdict(number))
    await subscriber.reconcile(world.newest)
    assert executor.runs == 1
    await subscriber.reconcile(world.newest)
    assert executor.runs == 2


async def test_it_is_verified_now_and_then() -> None:
    """The executor is asked once a minute, until the incident has ended; then the outcome is said, once."""
    world, executor = World(), Scripted(fine)
    subscriber = setting(executor, world)
    world.publish(verdict())
    await subscriber.reconcile(world.newest)
    executor.observed = "rolled_back"
    world.publish(verdict(revision=2, status="resolved", kind="none"))
    for _ in range(3):
        await subscriber.reconcile(world.newest)
        world.now += MINUTE
    assert [step.status for step in world.log] == ["proposed", "started", "succeeded", "verified"]
    assert world.log[-1].evidence["version"] == "rolled_back"


async def test_the_deployment_event_is_announced_before_the_end_is_said() -> None:
    """So that a crash in between announces it twice, with the same id, rather than never."""
    world, executor = World(), Scripted(fine)
    world.publish(verdict())
    seen: list[tuple[int, ActionTaken]] = []

    async def announce(step: ActionTaken) -> None:
        seen.append((len(world.log), step))

    await setting(executor, world, announce=announce).reconcile(world.newest)
    [(steps, step)] = seen
    assert steps == 2
    event, again = rolled_back(step), rolled_back(step.model_copy(update={"time": START + MINUTE}))
    assert event is not None
    assert again is not None
    assert (event.phase, event.canary_percent) == ("rolled_back", 0)
    assert (event.version, event.previous_version) == ("2.0", "1.9")
    assert event.id == again.id


async def test_an_order_for_nobody_and_for_two() -> None:
    """No executor for a kind of target, or more than one, is said; nothing is guessed."""
    world, executor = World(), Scripted()
    executors = Executors({name: Named(name, SECTION, executor) for name in ("a", "b")})
    around = Surroundings("me", RULES, executors, world.book, lambda: world.now)
    world.publish(verdict())
    await Subscriber(FakeJournal(world, Fuse()), around).reconcile(world.newest)
    assert last(world) == ("skipped", "no_executor", False)
    assert "several executors serve" in world.log[-1].detail
