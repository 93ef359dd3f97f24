"""Who reads gives way to who evaluates, for as long as there is something to do, and no longer than is fair."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import pytest

from stream.share import GIVEN, IDLE_SECONDS, URGENT_GIVEN, URGENT_IDLE_SECONDS, Share

STEP = 0.005
GLANCE = 0.00005
READ = 0.02


class Clock:
    """Moves by a glance whenever it is read, and by what is worked."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.read = 0

    def __call__(self) -> float:
        self.seconds += GLANCE
        self.read += 1
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def work(clock: Clock, share: Share, steps: int, done: list[int], *, urgent: bool | None) -> None:
    """So many steps, one in each turn of the loop; without a word if urgent is None."""
    with nullcontext() if urgent is None else share.working(urgent=urgent):
        for step in range(steps):
            clock.seconds += STEP
            done.append(step)
            await asyncio.sleep(0)


async def beside(
    clock: Clock, share: Share, steps: int, *, urgent: bool | None = False, read: float = READ
) -> tuple[int, float]:
    """How many steps are done while another gives way once, and how long that takes."""
    done: list[int] = []
    working = asyncio.create_task(work(clock, share, steps, done, urgent=urgent))
    await asyncio.sleep(0)
    begun, before = clock.seconds, len(done)
    await share.give_way(read)
    found = len(done) - before, clock.seconds - begun
    working.cancel()
    return found


async def test_without_work_it_is_one_turn(clock: Clock) -> None:
    """Others on the loop get their turn, and reading goes on."""
    steps, _ = await beside(clock, Share(clock), 10, urgent=None)
    assert steps == 1


async def test_what_is_to_do_is_done(clock: Clock) -> None:
    """All of it, if it is little."""
    steps, _ = await beside(clock, Share(clock), 5)
    assert steps == 4  # the fifth was done before


@pytest.mark.parametrize(("urgent", "given"), [(False, GIVEN), (True, URGENT_GIVEN)])
@pytest.mark.parametrize("read", [0.002, READ, 0.2])
async def test_it_is_bounded_by_what_was_read(clock: Clock, urgent: bool, given: float, read: float) -> None:
    """Reading is left with its share, however much there is to do; whoever read a little gives way for a little."""
    steps, seconds = await beside(clock, Share(clock), 1000, urgent=urgent, read=read)
    assert given * read <= seconds <= given * read + 2 * STEP
    assert steps >= 1


@pytest.mark.parametrize(("urgent", "idle"), [(False, IDLE_SECONDS), (True, URGENT_IDLE_SECONDS)])
async def test_waiting_for_a_server_is_hardly_waited_for(clock: Clock, urgent: bool, idle: float) -> None:
    """While evaluation waits for an answer, reading goes on; sooner, where nobody waits for what comes of it."""
    share = Share(clock)
    with share.working(urgent=urgent), share.working():
        begun = clock.seconds
        await share.give_way(READ)
    assert idle <= clock.seconds - begun < 2 * idle
    with share.working():
        begun = clock.seconds
        await share.give_way(READ)
    assert clock.seconds - begun < 2 * IDLE_SECONDS


async def test_several_that_work_are_counted(clock: Clock) -> None:
    """It is over when the last has ended, by an error too."""
    share = Share(clock)
    with share.working():
        with pytest.raises(ValueError, match="no"), share.working():
            raise ValueError("no")
        clock.read = 0
        await share.give_way(READ)
        assert clock.read > 2
    clock.read = 0
    await share.give_way(READ)
    assert clock.read == 1
