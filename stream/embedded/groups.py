"""Consumer groups: who belongs, which generation counts, and what was committed (Kafka's classic group protocol).

The life of a group, and what starts each step:

    EMPTY -> PREPARING    a member joins
    PREPARING -> SYNCING  everyone known has joined, or the slowest one's rebalance time-out is over: a new generation
    SYNCING -> STABLE     the leader has brought the assignment
    SYNCING, STABLE -> PREPARING  someone joins, leaves, falls silent, or the leader joins again
    any -> EMPTY          the last member is gone

A member that waits for an answer to its own join or sync cannot be silent, so its session time-out does not count then.
"""

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field

from stream.embedded.codes import Code, Refused
from stream.embedded.members import Committed, Join, Joined, Member, State, Synced

MAX_SESSION_MS = 1_800_000


@dataclass(slots=True)
class Group:
    """One consumer group. Used from one event loop only."""

    state: State = State.EMPTY
    generation: int = 0
    offsets: dict[tuple[str, int], Committed] = field(default_factory=dict)
    _members: dict[str, Member] = field(default_factory=dict)
    _announced: set[str] = field(default_factory=set)
    _protocol: str = ""
    _leader: str = ""
    _barrier: asyncio.TimerHandle | None = None

    async def join(self, ask: Join) -> Joined:
        """Join or join again; answered when the new generation begins."""
        refusal = self._refusal(ask)
        if refusal is not None:
            return Joined(refusal, ask.member_id)
        if not ask.member_id:
            self._replace_static(ask)
            ask_id = f"{ask.client_id or 'member'}-{uuid.uuid4()}"
            if ask.must_know_id and ask.instance_id is None:
                self._announced.add(ask_id)
                return Joined(Code.MEMBER_ID_REQUIRED, ask_id)
        else:
            ask_id = ask.member_id
        self._announced.discard(ask_id)
        member = self._members.get(ask_id)
        if member is not None and not self._changes(member, ask):
            self._touch(member)
            return self._joined(member)
        return await self._enter(ask_id, ask)

    async def _enter(self, member_id: str, ask: Join) -> Joined:
        member = self._members.setdefault(member_id, Member(member_id, ask))
        member.ask = ask
        member.answer_join(Joined(Code.UNKNOWN_MEMBER_ID, member_id))
        joining: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        member.joining = joining
        self._prepare()
        return await joining

    def _refusal(self, ask: Join) -> Code | None:
        if not 0 < ask.session_ms <= MAX_SESSION_MS:
            return Code.INVALID_SESSION_TIMEOUT
        if ask.member_id and ask.member_id not in self._members and ask.member_id not in self._announced:
            return Code.UNKNOWN_MEMBER_ID
        others = [member for member in self._members.values() if member.id != ask.member_id]
        if any(other.ask.protocol_type != ask.protocol_type for other in others):
            return Code.INCONSISTENT_GROUP_PROTOCOL
        if not ask.protocols or not self._shared_protocols([*(other.ask for other in others), ask]):
            return Code.INCONSISTENT_GROUP_PROTOCOL
        return None

    def _changes(self, member: Member, ask: Join) -> bool:
        """Whether a known member's join begins a new generation: a mere repeat by a follower does not."""
        if self.state is State.STABLE:
            return member.id == self._leader or member.ask.protocols != ask.protocols
        if self.state is State.SYNCING:
            return member.ask.protocols != ask.protocols
        return True

    def _replace_static(self, ask: Join) -> None:
        """A restarted static member takes the place of its former self at once, not after a session time-out."""
        if ask.instance_id is not None:
            for member in [m for m in self._members.values() if m.ask.instance_id == ask.instance_id]:
                self._remove(member)

    @staticmethod
    def _shared_protocols(asks: list[Join]) -> list[str]:
        """Assignors that everyone knows, in the first one's order."""
        known = [{name for name, _ in ask.protocols} for ask in asks]
        return [name for name, _ in asks[0].protocols if all(name in names for names in known)]

    def _prepare(self) -> None:
        if self.state is not State.PREPARING:
            for member in self._members.values():
                member.answer_sync(Synced(Code.REBALANCE_IN_PROGRESS))
            self.state = State.PREPARING
            patience = max(member.ask.rebalance_ms for member in self._members.values())
            self._barrier = asyncio.get_running_loop().call_later(patience / 1000, self._begin_generation)
        if all(member.joining is not None for member in self._members.values()):
            self._begin_generation()

    def _begin_generation(self) -> None:
        self._lift_barrier()
        for member in [m for m in self._members.values() if m.joining is None]:
            self._forget(member)
        self.generation += 1
        if not self._members:
            self.state = State.EMPTY
            return
        self.state = State.SYNCING
        asks = [member.ask for member in self._members.values()]
        shared = self._shared_protocols(asks)
        votes = Counter(next(name for name, _ in ask.protocols if name in shared) for ask in asks)
        self._protocol = max(shared, key=lambda name: votes[name])
        if self._leader not in self._members:
            self._leader = next(iter(self._members))
        for member in list(self._members.values()):
            member.assignment = b""
            member.answer_join(self._joined(member))
            self._touch(member)

    def _joined(self, member: Member) -> Joined:
        everyone: tuple[tuple[str, str | None, bytes], ...] = ()
        if member.id == self._leader:
            everyone = tuple(
                (other.id, other.ask.instance_id, dict(other.ask.protocols)[self._protocol])
                for other in self._members.values()
            )
        return Joined(Code.NONE, member.id, self.generation, self._protocol, self._leader, everyone)

    async def sync(self, member_id: str, generation: int, assignments: dict[str, bytes]) -> Synced:
        """Hand in the assignment (leader) and get one's own; answered when the leader has handed it in."""
        code = self._standing(member_id, generation)
        if code is not Code.NONE:
            return Synced(code)
        member = self._members[member_id]
        self._touch(member)
        if self.state is State.PREPARING:
            return Synced(Code.REBALANCE_IN_PROGRESS)
        if self.state is State.STABLE:
            return Synced(Code.NONE, member.assignment)
        if member_id != self._leader:
            member.answer_sync(Synced(Code.REBALANCE_IN_PROGRESS))
            syncing: asyncio.Future[Synced] = asyncio.get_running_loop().create_future()
            member.syncing = syncing
            return await syncing
        self.state = State.STABLE
        for other in self._members.values():
            other.assignment = assignments.get(other.id, b"")
            other.answer_sync(Synced(Code.NONE, other.assignment))
            self._touch(other)
        return Synced(Code.NONE, member.assignment)

    def heartbeat(self, member_id: str, generation: int) -> Code:
        """Say that the member lives; REBALANCE_IN_PROGRESS asks it to join again."""
        code = self._standing(member_id, generation)
        if code is Code.NONE:
            self._touch(self._members[member_id])
            if self.state is State.PREPARING:
                return Code.REBALANCE_IN_PROGRESS
        return code

    def leave(self, member_id: str) -> Code:
        """Leave the group; the others share its partitions at once."""
        self._announced.discard(member_id)
        if member_id not in self._members:
            return Code.UNKNOWN_MEMBER_ID
        self._remove(self._members[member_id])
        return Code.NONE

    def commit(self, member_id: str, generation: int, offsets: dict[tuple[str, int], Committed]) -> Code:
        """Keep the offsets, if the member and its generation count; a group without members takes them from anyone."""
        if generation >= 0 or member_id or self._members:
            code = self._standing(member_id, generation)
            if code is not Code.NONE:
                return code
            self._touch(self._members[member_id])
            if self.state is State.SYNCING:
                return Code.REBALANCE_IN_PROGRESS
        self.offsets.update(offsets)
        return Code.NONE

    def close(self) -> None:
        """Stop all timers and refuse everyone who waits."""
        for member in list(self._members.values()):
            self._forget(member)
        self._lift_barrier()
        self.state = State.EMPTY

    def _standing(self, member_id: str, generation: int) -> Code:
        if member_id not in self._members:
            return Code.UNKNOWN_MEMBER_ID
        return Code.NONE if generation == self.generation else Code.ILLEGAL_GENERATION

    def _touch(self, member: Member) -> None:
        if member.session is not None:
            member.session.cancel()
        member.session = asyncio.get_running_loop().call_later(member.ask.session_ms / 1000, self._expire, member)

    def _expire(self, member: Member) -> None:
        if member.joining is None and member.syncing is None and self._members.get(member.id) is member:
            self._remove(member)

    def _remove(self, member: Member) -> None:
        self._forget(member)
        if not self._members:
            self._begin_generation()
        else:
            self._prepare()

    def _forget(self, member: Member) -> None:
        del self._members[member.id]
        if member.session is not None:
            member.session.cancel()
        member.answer_join(Joined(Code.UNKNOWN_MEMBER_ID, member.id))
        member.answer_sync(Synced(Code.UNKNOWN_MEMBER_ID))

    def _lift_barrier(self) -> None:
        if self._barrier is not None:
            self._barrier.cancel()
            self._barrier = None


class Groups:
    """All consumer groups of the broker."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def get(self, group_id: str | None) -> Group:
        """The group, made at its first mention.

        Raises:
            Refused: INVALID_GROUP_ID, without a name.
        """
        if not group_id:
            raise Refused(Code.INVALID_GROUP_ID, "a group needs a name")
        return self._groups.setdefault(group_id, Group())

    def forget_topic(self, name: str) -> None:
        """Drop what was committed for a topic that is deleted."""
        for group in self._groups.values():
            for key in [key for key in group.offsets if key[0] == name]:
                del group.offsets[key]

    def close(self) -> None:
        """Stop all timers."""
        for group in self._groups.values():
            group.close()
