"""Members of a consumer group: what they ask, what they are answered, and who waits for an answer."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto

from stream.embedded.codes import Code

Protocols = tuple[tuple[str, bytes], ...]


class State(Enum):
    """Where a group is in its life."""

    EMPTY = auto()
    PREPARING = auto()
    SYNCING = auto()
    STABLE = auto()


@dataclass(frozen=True, slots=True)
class Join:
    """A request to join.

    Attributes:
        member_id: empty for a newcomer.
        instance_id: of a static member, or None.
        session_ms: silence after which the member counts as dead.
        rebalance_ms: how long others wait for it to join again.
        protocol_type: "consumer" for consumers.
        protocols: assignors in order of preference, each with the member's subscription.
        client_id: makes member ids readable.
        must_know_id: a newcomer is told its id and has to join again with it (KIP-394, from version 4 on).
    """

    member_id: str
    instance_id: str | None
    session_ms: int
    rebalance_ms: int
    protocol_type: str
    protocols: Protocols
    client_id: str
    must_know_id: bool


@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a join; `members` (id, instance id, subscription) is for the leader only."""

    code: Code
    member_id: str
    generation: int = -1
    protocol: str = ""
    leader: str = ""
    members: tuple[tuple[str, str | None, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to a sync."""

    code: Code
    assignment: bytes = b""


@dataclass(frozen=True, slots=True)
class Committed:
    """An offset that a group committed, with the client's note."""

    offset: int
    metadata: str


@dataclass(slots=True)
class Member:
    """A member, and the futures of its join and sync while they are unanswered."""

    id: str
    ask: Join
    assignment: bytes = b""
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[Synced] | None = None
    session: asyncio.TimerHandle | None = None

    def answer_join(self, joined: Joined) -> None:
        """Answer the join that waits, if one does."""
        if self.joining is not None and not self.joining.done():
            self.joining.set_result(joined)
        self.joining = None

    def answer_sync(self, synced: Synced) -> None:
        """Answer the sync that waits, if one does."""
        if self.syncing is not None and not self.syncing.done():
            self.syncing.set_result(synced)
        self.syncing = None
