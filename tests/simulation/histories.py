"""Histories: lists of steps, made by Hypothesis or by hand, and their run in a world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.simulation.tiny import SYSTEMS, LogRecord, event_value
from tests.simulation.world import CONTROLS, PARTITIONS, SHARDS, WORKERS, Golden, World, golden

KINDS = ("escalate", "escalate", "escalate", "escalate", "resolve", "deny", "score", "deploy", "poison")
CONTROL_KINDS = ("silence", "silence", "silence_all", "expire", "ack", "ack", "poison")
"""What comes on the controls topic."""

SPAN_KINDS = ("span_root", "span_root", "span_human", "span_human", "span_denied", "span_local", "span_plain")
"""What an OpenTelemetry collector writes, a span a record: roots, tool calls, and spans that are no agent's."""

POINTS = 8
"""A read may crash after this many points of the protocol; past the last one nothing happens."""

EVALUATION_POINTS = 4
"""The same for an evaluation."""

_worlds = count()


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    name: str
    args: tuple[Any, ...] = ()


def _number(top: int) -> st.SearchStrategy[int]:
    return st.integers(0, top)


crash = st.one_of(st.none(), _number(POINTS))
reads = st.builds(
    lambda *args: Step("read", args), _number(WORKERS - 1), _number(len(PARTITIONS) - 1), st.integers(1, 12), crash
)
read_alls = st.builds(lambda worker: Step("read_all", (worker,)), _number(WORKERS - 1))
evaluation_crash = st.one_of(st.none(), _number(EVALUATION_POINTS))
evaluations = st.builds(
    lambda *args: Step("evaluate", args),
    _number(WORKERS - 1),
    _number(SHARDS - 1),
    st.booleans(),
    evaluation_crash,
)
moves = st.builds(lambda *args: Step("move", args), _number(WORKERS - 1), st.booleans(), evaluation_crash)
snapshots = st.builds(lambda *args: Step("kafka_snapshot", args), _number(WORKERS - 1), _number(SHARDS - 1))
compactions = st.builds(
    lambda *args: Step("compact", args),
    _number(WORKERS - 1), _number(SHARDS - 1), st.sampled_from(["nothing", "reading", "rollback"]), st.booleans(),
)  # fmt: skip
losses = st.sampled_from([Step("redis_backup"), Step("redis_backup"), Step("redis_rollback"), Step("redis_wipe")])
chaos = st.one_of(
    *(moves, moves, moves, reads, reads, read_alls, evaluations, evaluations, snapshots, losses),
    *(compactions, compactions),
)


idle_moves = st.builds(lambda *args: Step("idle_move", args), _number(WORKERS - 1), evaluation_crash)
idle_chaos = st.one_of(idle_moves, idle_moves, moves, reads, evaluations)


upgrades = st.sampled_from([Step("older_version"), Step("older_version"), Step("damage", (0,)), Step("damage", (1,))])
upgrade_chaos = st.one_of(moves, moves, reads, read_alls, evaluations, snapshots, losses, upgrades, upgrades)


@st.composite
def rounds(draw: st.DrawFn, clock: int, happenings: st.SearchStrategy[Step], events: tuple[str, ...]) -> list[Step]:
    """Every partition speaks at about the same time, some events late; then a few things happen."""
    found = []
    for partition in range(len(PARTITIONS)):
        jitter = st.integers(-90, 60).map(lambda seconds: max(clock + seconds, 0))
        kinds = CONTROL_KINDS if PARTITIONS[partition] == CONTROLS else events
        event = st.tuples(jitter, _number(len(SYSTEMS) - 1), st.sampled_from(kinds))
        found.append(Step("append", (partition, tuple(draw(st.lists(event, min_size=2, max_size=5))))))
    return found + draw(st.lists(happenings, min_size=1, max_size=6))


@st.composite
def histories(
    draw: st.DrawFn, happenings: st.SearchStrategy[Step] = chaos, events: tuple[str, ...] = KINDS
) -> list[Step]:
    """A history of some rounds; Redis may be lost, and any worker may die, at any moment."""
    clock, found = 0, []
    for _ in range(draw(st.integers(1, 5))):
        clock += draw(st.integers(20, 200))
        found += draw(rounds(clock, happenings, events))
    return found


def logs_of(history: Sequence[Step]) -> dict[str, list[LogRecord]]:
    """What a history appends to each log."""
    logs: dict[str, list[LogRecord]] = {name: [] for name in PARTITIONS}
    numbers = count()
    for step in history:
        if step.name == "append":
            partition, events = step.args
            for event in events:
                log = logs[PARTITIONS[partition]]
                log.append(LogRecord(len(log), 0, event_value(next(numbers), *event)))
    return logs


def idle_histories() -> st.SearchStrategy[list[Step]]:
    """Histories in which partitions count as idle when they are read to their end, and Redis keeps what it has.

    Which tick sees an event then depends on when somebody looked, so there is no golden run to compare with; but still
    every event counts once, and nothing is said in two ways.
    """
    return histories(idle_chaos)


async def play(
    redis: Redis, history: Sequence[Step], checkpoint_ticks: int, *, idle: bool = False, **parts: Any
) -> str | None:
    """Play a history, bring it to its end, compare it with the golden run; what differs, or None."""
    world = World(redis, f"sim{next(_worlds)}", checkpoint_ticks, **parts)
    numbers = count()
    latest = 0
    try:
        for step in history:
            if step.name == "append":
                partition, events = step.args
                latest = max([latest, *(second for second, _, _ in events)])
                world.append(partition, [event_value(next(numbers), *event) for event in events])
            else:
                outcome = getattr(world, step.name)(*step.args)
                if outcome is not None:
                    await outcome
        # Every partition speaks once more, late enough that the watermark passes all that happened before.
        for partition in range(len(PARTITIONS)):
            kind = "expire" if PARTITIONS[partition] == CONTROLS else "resolve"
            world.append(partition, [event_value(next(numbers), latest + 240, 0, kind)])
        await world.settle()
        return await difference(world, idle=idle)
    finally:
        await world.redis_wipe()


async def difference(world: World, *, idle: bool) -> str | None:
    """How the world differs from the golden run; after an idle history only its counts can be compared."""
    wanted = golden(world.logs)
    twice = [identity for identity, found in world.emitted.items() if len(found) > 1]
    if twice:
        return f"one id, two bodies: {twice}"
    if not idle and (wrong := _other_answers(world, wanted)):
        return wrong
    if len(world.letters) != wanted.letters:
        return f"{len(world.letters)} dead letters for {wanted.letters} bad records"
    windows = await world.windows()
    miscounted = {
        key: (windows.get(key), wanted.windows.get(key))
        for key in windows.keys() | wanted.windows.keys()
        if windows.get(key) != wanted.windows.get(key)
    }
    return f"windows miscounted: {miscounted}" if miscounted else None


def _other_answers(world: World, wanted: Golden) -> str | None:
    lost = sorted(wanted.emitted.keys() - world.emitted.keys())
    if lost:
        return f"lost: {lost}"
    invented = sorted(world.emitted.keys() - wanted.emitted.keys())
    if invented:
        return f"emitted and not in the golden run: {invented}"
    changed = [i for i, body in wanted.emitted.items() if world.emitted[i] != {body}]
    if changed:
        return f"other bytes than in the golden run: {changed}"
    return None
