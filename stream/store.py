"""The shards in Redis: source offsets, inboxes, leases, checkpoints. Every change of a shard is one Lua script.

All keys of a shard carry its hash tag, so a Redis Cluster keeps them together. The client must not repeat a script by
itself; the scripts bear a repetition, but a repetition after a pause could be a zombie's.

| key | what |
|---|---|
| `{ns:shard}:meta` | hash: born, layout, shards, epoch(s), sealed, committed, checkpoint, quiet, pending, newest, ... |
| `{ns:shard}:parts` | hash: for each source partition `#next` offset, `#newest` event ms, `#empty` reference ms |
| `{ns:shard}:in:TICK` | list of packed deltas that become visible at the tick |
| `{ns:shard}:inbytes` | hash: tick to the bytes in its inbox |
| `{ns:shard}:lease` | string with expiry: the owner |
| `{ns:shard}:state` | the last checkpoint |
| `{ns:shard}:unreadable` | a checkpoint that could not be read, set aside, with expiry |
| `{ns:shard}:hour:KIND:HOUR` | packed counts of one hour, with expiry |
| `{ns:shard}:birth:ID:*` | what a large snapshot was sent of before the shard is born of it, with expiry |
| `{ns}:workers` | sorted set: living workers by when they count as gone |
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import chain
from typing import Any, Final
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from detectors.base import HOURS
from stream.birth_pieces import STAGED_SECONDS, pieces_of
from stream.core.checkpoint import Checkpoint, Opened, hours_in, read
from stream.core.layouts import LAYOUT, OLDEST
from stream.core.ticks import NEVER
from stream.redis_scripts import Script

HOUR_TTL_SECONDS: Final = (HOURS + 10 * 24) * 3600
"""An hour outlives the longest window by ten days, so that an engine that was off for a week finds it still there."""
UNREADABLE_SECONDS: Final = 28 * 24 * 3600
INBOX_BYTES: Final = 1024 * 1024
"""What is read of inboxes at once."""

SCRIPTS: Final = (
    *("ingest", "touch", "register", "birth", "acquire", "renew", "seal", "commit", "snapshot", "forget"),
    *("inboxes", "living", "snapped", "stage", "tail", "compact"),
)
PROBED: Final = frozenset({"ingest", "birth", "seal", "commit", "snapshot", "inboxes", "stage", "tail", "compact"})
"""Scripts that touch keys which they are not given: `probe.lua` goes before them."""


class ShardMissing(Exception):
    """The shard is not in Redis: a fresh or a wiped one. It must be brought into being first."""


class PartitionMissing(Exception):
    """The shard does not know the source partition."""


class LayoutMismatch(Exception):
    """Redis holds shards of another number or layout than this configuration."""


@dataclass(eq=False)
class OffsetMismatch(Exception):
    """Another offset is stored than the one the commit expected; nothing was written."""

    partition: str
    next_offset: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Where a shard stands in a source partition. `empty_ms`: event time up to which it was found read to its end."""

    next_offset: int
    newest_ms: int
    empty_ms: int = 0


@dataclass(frozen=True, slots=True)
class Advance:
    """A source partition's part of a commit: from which offset to which, and the newest event time at its end."""

    partition: str
    expected: int
    next_offset: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a commit or a touch learns: bytes waiting in the shard's inboxes, newest event time of all partitions."""

    pending: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Meta:
    """A shard's ticks: up to `committed` evaluated and published, up to `quiet` nothing is emitted.

    `snapshot_ms` is when the shard was last put into the compacted topic, 0 for never.
    """

    committed: int
    sealed: int
    checkpoint: int
    quiet: int
    pending: int
    snapshot_ms: int = 0


@dataclass(frozen=True, slots=True)
class Birth:
    """What a shard starts from: nothing, or a snapshot (state, hours, offsets, open inboxes) taken at `tick`."""

    tick: int = 0
    quiet: int = 0
    state: bytes = b""
    hours: Mapping[tuple[int, int], bytes] | None = None
    parts: Mapping[str, PartitionState] | None = None
    inboxes: Sequence[tuple[int, bytes]] = ()


def _text(value: Any) -> str:
    """A reply as text; the client is set to give bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _part_states(fields: Iterable[tuple[Any, Any]]) -> dict[str, PartitionState]:
    values: dict[str, dict[str, int]] = {}
    for field, value in fields:
        name, _, what = _text(field).rpartition("#")
        values.setdefault(name, {})[what] = int(value)
    return {
        name: PartitionState(v["next"], v.get("newest", NEVER), v.get("empty", 0))
        for name, v in sorted(values.items())
    }


def script_text(name: str) -> str:
    """The source of one of our scripts."""
    return files("stream").joinpath(f"lua/{name}.lua").read_text(encoding="utf-8")


class Store:
    """All shards of one namespace."""

    def __init__(
        self, redis: Redis, namespace: str, shards: int, scripts: Mapping[str, str] | None = None
    ) -> None:
        self.redis = redis
        self.shards = shards
        self.namespace = namespace
        texts = {name: script_text(name) for name in SCRIPTS} | dict(scripts or {})
        probe = script_text("probe")
        self._scripts = {name: Script(redis, probe * (name in PROBED) + text) for name, text in texts.items()}

    def key(self, shard: int, name: str) -> str:
        """The Redis key `name` of a shard."""
        return f"{{{self.namespace}:{shard}}}:{name}"

    def _keys(self, shard: int, *names: str) -> list[str]:
        return [self.key(shard, name) for name in names]

    async def run(self, name: str, keys: list[str], args: Sequence[Any]) -> Any:
        """Run one of our scripts. Raises RedisError."""
        return await self._scripts[name](keys=keys, args=args)

    async def meta(self, shard: int) -> Meta | None:
        """The shard's ticks, or None if it is not there. Raises LayoutMismatch for another layout or number."""
        names = ("born", "layout", "shards", "committed", "sealed", "checkpoint", "quiet", "pending", "snapshot")
        found = await self.redis.hmget(self.key(shard, "meta"), list(names))
        if found[0] is None:
            return None
        _, layout, shards, *ticks = (int(value or 0) for value in found)
        if layout > LAYOUT:
            raise LayoutMismatch(
                f"shard {shard} in Redis has layout {layout}, this version reads up to {LAYOUT}: a newer version of "
                "Midwatch has taken it over; upgrade this one"
            )
        if shards != self.shards or layout < OLDEST:
            raise LayoutMismatch(
                f"Redis holds {shards} shards of layout {layout}, this engine has {self.shards} of layout {LAYOUT}: "
                "use another redis.namespace (windows are then rebuilt from Kafka), or set engine.shards back"
            )
        return Meta(*ticks)

    async def parts(self, shard: int) -> dict[str, PartitionState]:
        """Where the shard stands in every source partition that it knows."""
        raw = await self.redis.hgetall(self.key(shard, "parts"))
        return _part_states(raw.items())

    async def birth(self, shard: int, birth: Birth) -> bool:
        """Bring a shard into being; False if it is there already, or does not take snapshots and this is one.

        A large snapshot is sent in pieces beforehand, which the last script makes the shard's. Raises RedisError.
        """
        names = self.key(shard, f"birth:{uuid4().hex}:names")
        staged: set[str] = set()
        for piece in pieces_of(birth.state, birth.hours or {}, birth.inboxes):
            staged.update(name for name, _ in piece)
            args = [names.removesuffix("names"), STAGED_SECONDS, *chain.from_iterable(piece)]
            if not await self.run("stage", [self.key(shard, "meta"), names], args):
                return False
        if staged:
            birth = replace(birth, state=b"", hours=None, inboxes=())
        fields: list[Any] = []
        for name, part in (birth.parts or {}).items():
            fields += [f"{name}#next", part.next_offset, f"{name}#newest", part.newest_ms]
        args = [LAYOUT, self.shards, birth.tick, birth.quiet, birth.state]
        args += [self.key(shard, "in:"), self.key(shard, "hour:"), HOUR_TTL_SECONDS, len(staged)]
        args += [len(fields) // 2, *fields, len(birth.hours or {})]
        for (kind, hour), blob in (birth.hours or {}).items():
            args += [f"{kind}:{hour}", blob]
        for tick, blob in birth.inboxes:
            args += [tick, blob]
        made = await self.run("birth", [*self._keys(shard, "meta", "parts", "inbytes", "state"), names], args)
        if made < 0:
            raise RedisError(f"what was sent of shard {shard}'s snapshot is no longer in Redis: it is to be sent again")
        return bool(made)

    async def register(self, shard: int, starts: Mapping[str, PartitionState]) -> None:
        """Make source partitions known; those that are keep their place."""
        args = [value for name, part in starts.items() for value in (name, part.next_offset, part.newest_ms)]
        self._present(await self.run("register", self._keys(shard, "meta", "parts"), args), shard)

    async def ingest(
        self, shard: int, advances: Sequence[Advance], deltas: Sequence[tuple[int, bytes]]
    ) -> Progress:
        """Commit packed deltas by tick together with the offsets they cover.

        Raises OffsetMismatch, PartitionMissing or ShardMissing; nothing is written then.
        """
        args: list[Any] = [self.key(shard, "in:"), len(advances)]
        for advance in advances:
            args += [advance.partition, advance.expected, advance.next_offset, advance.newest_ms]
        for tick, blob in deltas:
            args += [tick, blob]
        reply = self._present(await self.run("ingest", self._keys(shard, "meta", "parts", "inbytes"), args), shard)
        if reply[0] == 0:
            raise OffsetMismatch(reply[1].decode(), int(reply[2]), int(reply[3] or NEVER))
        if reply[0] == -1:
            raise PartitionMissing(f"shard {shard} does not know the source partition {reply[1].decode()}")
        return Progress(int(reply[1]), int(reply[2]))

    async def touch(self, shard: int, empties: Sequence[tuple[str, int, int]]) -> Progress:
        """Note partitions found read to their end: (partition, next offset, reference ms).

        Raises OffsetMismatch or PartitionMissing where the shard stands elsewhere, ShardMissing if it is not there.
        """
        args = [value for entry in empties for value in entry]
        reply = self._present(await self.run("touch", self._keys(shard, "meta", "parts"), args), shard)
        if reply[0] == 0:
            name = reply[1].decode()
            if not reply[2]:
                raise PartitionMissing(f"shard {shard} does not know the source partition {name}")
            raise OffsetMismatch(name, int(reply[2]), int(reply[3] or NEVER))
        return Progress(int(reply[1]), int(reply[2]))

    def _present(self, reply: Any, shard: int) -> Any:
        if reply[0] == -2:
            raise ShardMissing(f"shard {shard} is not in Redis")
        return reply

    async def acquire(self, shard: int, owner: str, lease_ms: int) -> str | None:
        """Take the lease: the token of the new epoch, or None if another holds it (or the shard is not there)."""
        token = await self.run("acquire", self._keys(shard, "meta", "lease"), [owner, lease_ms])
        return None if token is None else _text(token)

    async def renew(self, shard: int, owner: str, token: str, lease_ms: int, committed: int | None = None) -> bool:
        """Keep the lease, or give it up with `lease_ms` 0. False if it has passed to another, or a commit was lost."""
        args = [owner, token, lease_ms, "" if committed is None else committed]
        return bool(await self.run("renew", self._keys(shard, "meta", "lease"), args))

    async def holder(self, shard: int) -> str | None:
        """Who holds the lease."""
        value = await self.redis.get(self.key(shard, "lease"))
        return None if value is None else _text(value)

    async def living(self, owner: str, now_ms: int, ttl_ms: int) -> int:
        """Note that this worker lives; how many do. A worker that has not said so for `ttl_ms` is gone."""
        return int(await self.run("living", [f"{{{self.namespace}}}:workers"], [owner, now_ms + ttl_ms, now_ms]))

    async def leave(self, owner: str) -> None:
        """Note that this worker stops."""
        await self.redis.zrem(f"{{{self.namespace}}}:workers", owner)

    async def seal(
        self, shard: int, token: str, upto: int, first: int, committed: int | None = None
    ) -> dict[int, list[bytes]] | None:
        """Seal up to a tick; the inboxes of the ticks `first` to `upto` that have one.

        None if fenced, or if another tick is committed than the caller believes. Raises RedisError.
        """
        found = await self.seal_some(shard, token, upto, first, committed)
        return None if found is None else {
            tick: blobs if isinstance(blobs, list) else [blob async for blob in self.pieces(shard, tick, blobs)]
            for tick, blobs in found.items()
        }

    async def seal_some(
        self, shard: int, token: str, upto: int, first: int, committed: int | None = None
    ) -> dict[int, list[bytes] | int] | None:
        """The same, but of large inboxes only the size: replies must be short, so they are read in `pieces`."""
        args = [token, upto, first, self.key(shard, "in:"), "" if committed is None else committed, INBOX_BYTES]
        reply = await self.run("seal", self._keys(shard, "meta", "inbytes"), args)
        if reply[0] == 0:
            return None
        return {int(tick): list(blobs) or int(size) for tick, size, blobs in zip(*[iter(reply[1:])] * 3, strict=True)}

    async def pieces(self, shard: int, tick: int, size: int) -> AsyncIterator[bytes]:
        """The packed deltas of a sealed inbox of `size` bytes, which no longer changes. Raises RedisError."""
        at, step, left = 0, 16, size
        while left:
            piece: Any = await self.redis.lrange(self.key(shard, f"in:{tick}"), at, at + step - 1)
            read = sum(map(len, piece))
            if not piece or read > left:
                raise RedisError(f"the inbox of shard {shard} for tick {tick} has changed: Redis has lost data")
            for blob in piece:
                yield blob
            at, left = at + len(piece), left - read
            step = max(INBOX_BYTES * len(piece) // read, 1)

    async def inboxes(self, shard: int, first: int, last: int) -> list[bytes]:
        """What becomes visible from tick `first` to tick `last`, packed, in order; nothing is changed."""
        args = [first, last, self.key(shard, "in:")]
        found: list[bytes] = await self.run("inboxes", self._keys(shard, "inbytes"), args)
        return found

    async def inbox_sizes(self, shard: int) -> dict[int, int]:
        """The ticks at which anything waits in the shard, ascending, each with its bytes."""
        fields: Any = await self.redis.hgetall(self.key(shard, "inbytes"))
        return dict(sorted((int(tick), int(size)) for tick, size in fields.items()))

    async def commit(
        self, shard: int, token: str, expected: int, tick: int, checkpoint: Checkpoint | None = None
    ) -> bool:
        """Commit the ticks up to `tick`, with a checkpoint if given. False if fenced."""
        args: list[Any] = [token, expected, tick, self.key(shard, "in:"), self.key(shard, "hour:"), HOUR_TTL_SECONDS]
        args += [b"" if checkpoint is None else checkpoint.state, LAYOUT]
        for (kind, hour), blob in (checkpoint.hours if checkpoint else {}).items():
            args += [f"{kind}:{hour}", blob]
        return bool(await self.run("commit", self._keys(shard, "meta", "inbytes", "state"), args))

    def unreadable(self, shard: int) -> str:
        """The key of a state that was set aside."""
        return self.key(shard, "unreadable")

    async def forget(self, shard: int, token: str, *, snapshots: bool = True) -> bool:
        """Set a shard aside whose state cannot be read: it is to be brought into being anew. False if fenced.

        Without `snapshots` whoever makes it anew makes it from the telemetry.
        """
        keys = self._keys(shard, "meta", "state", "unreadable")
        return bool(await self.run("forget", keys, [token, UNREADABLE_SECONDS, int(not snapshots)]))

    async def takes_snapshots(self, shard: int) -> bool:
        """Whether a shard that is not there may be brought into being from a snapshot."""
        return await self.redis.hget(self.key(shard, "meta"), "without") is None

    async def open_ends(
        self, shard: int, token: str, committed: int
    ) -> tuple[dict[str, PartitionState], list[tuple[int, bytes]]] | None:
        """Offsets, and the packed deltas of ticks not yet committed, as of one moment. None if fenced."""
        args = [token, committed, self.key(shard, "in:")]
        reply = await self.run("snapshot", self._keys(shard, "meta", "parts", "inbytes"), args)
        if reply[0] == 0:
            return None
        parts = _part_states(zip(reply[1][::2], reply[1][1::2], strict=True))
        inboxes = zip(reply[2::2], reply[3::2], strict=True)
        return parts, [(int(tick), blob) for tick, blobs in inboxes for blob in blobs]

    async def note_snapshot(self, shard: int, token: str, at_ms: int) -> None:
        """Note when the shard was last put into the compacted topic, for whoever holds it next."""
        await self.run("snapped", self._keys(shard, "meta"), [token, at_ms])

    async def load(self, shard: int) -> tuple[bytes, dict[tuple[int, int], bytes]]:
        """The last checkpoint (empty if there is none) and its hours. Raises LayoutError."""
        state: Any = await self.redis.get(self.key(shard, "state"))
        return (state, await self._hours(shard, hours_in(state))) if state else (b"", {})

    async def open(self, shard: int) -> tuple[Opened, dict[tuple[int, int], bytes]] | None:
        """The same, with the checkpoint read, once; None if there is none. Raises LayoutError."""
        state: Any = await self.redis.get(self.key(shard, "state"))
        if not state:
            return None
        opened = read(state)
        return opened, await self._hours(shard, opened.hours)

    async def _hours(self, shard: int, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        names = [self.key(shard, f"hour:{kind}:{hour}") for kind, hour in places]
        blobs: list[Any] = []
        for start in range(0, len(names), 1000):
            blobs += await self.redis.mget(names[start : start + 1000])
        return {place: blob for place, blob in zip(places, blobs, strict=True) if blob is not None}
