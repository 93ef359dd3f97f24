"""A client of a Redis Cluster that sends each command once, and follows the cluster when it changes.

redis-py's own loop repeats a command whose answer was lost, follows ASK over whichever connection is free, closes all
connections when one node says CLUSTERDOWN, and raises errors that are no `RedisError`. Every command of Midwatch goes
to one slot, so the loop here is short; docs/adr/0028 says why it does what it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final, cast

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    ClusterError,
    MovedError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    SlotNotCoveredError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

KEY_FIRST: Final = frozenset(
    (
        *("DEL", "EXISTS", "EXPIRE", "GET", "MGET", "SET"),
        *("HDEL", "HGET", "HGETALL", "HKEYS", "HMGET", "HSET", "HVALS", "LRANGE", "ZREM"),
    )
)
"""Commands whose first argument is a key, and whose keys, if several, are of one slot."""

SCRIPT_CALLS: Final = frozenset({"EVAL", "EVALSHA"})
PAUSES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds before a refused command is sent again: long enough for a slot to arrive, short beside a lease."""


class _NoParser:
    """redis-py asks one master for the keys of all commands, and knows no cluster while that one is down."""

    async def initialize(self, _node: ClusterNode) -> None:
        """Ask nobody: the keys of our commands are known."""

    async def get_keys(self, *_args: Any) -> None:
        """None are found: such a command is refused before it is sent."""


class ClusterRedis(RedisCluster):
    """The cluster behind the interface of `redis.asyncio.Redis`; every failure is a RedisError or an OSError.

    A refusal (MOVED, ASK, TRYAGAIN, CLUSTERDOWN) says that nothing was done: the command is sent again, a few times
    within a second. A lost connection or a time-out says nothing: it is raised, and the next command asks first who
    holds what now.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands_parser = cast("Any", _NoParser())
        self._failed: str | None = None
        self._doubts = self._settled = 0

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Send a command to the master of its key, or, without a key, to where redis-py sends it."""
        key = _key_of(args) if "target_nodes" not in kwargs else None
        await self.learn()
        try:
            if key is None:
                return await super().execute_command(*args, **kwargs)
            return await self._by_key(key, args, kwargs)
        except RedisClusterException as error:
            raise self._as_redis_error(error) from error

    async def ping(self, **kwargs: Any) -> Any:
        """Ask all masters whether they are there; a replica that is away stops nothing."""
        return await super().ping(target_nodes=RedisCluster.PRIMARIES, **kwargs)

    async def time(self, **kwargs: Any) -> Any:
        """The times of all masters that answer, by their names: redis-py would ask any one of them.

        Raises RedisError or OSError if none answers.
        """
        if "target_nodes" in kwargs:
            return await super().time(**kwargs)
        await self.learn()
        masters = self.get_primaries()
        asked = (self._send(master, ("TIME",), kwargs) for master in masters)
        names = [master.name for master in masters]
        answers = dict(zip(names, await asyncio.gather(*asked, return_exceptions=True), strict=True))
        times = {name: answer for name, answer in answers.items() if not isinstance(answer, BaseException)}
        for failure in answers.values():
            if not times and isinstance(failure, BaseException):
                raise failure
        return times

    async def learn(self) -> None:
        """Know who holds what; ask again if a node has failed since. Raises RedisError."""
        try:
            await self.initialize()
            if (doubts := self._doubts) != self._settled:
                await self.nodes_manager.initialize(last_failed_node_name=self._failed)
                self._settled = max(self._settled, doubts)
        except RedisClusterException as error:
            raise self._as_redis_error(error) from error

    async def _by_key(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        refusal: Exception | None = None
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                node = self.get_node_from_key(key)
            except SlotNotCoveredError as error:
                refusal, node = error, None
            if node is not None:
                try:
                    return await self._send(node, args, kwargs)
                except (AskError, TryAgainError, ClusterDownError) as error:
                    refusal = error
            await self._follow(refusal)
        raise TryAgainError(f"{args[0]} was refused {len(PAUSES)} times, nothing was done: {refusal}") from refusal

    async def _send(self, node: ClusterNode, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return await node.execute_command(*args, **kwargs)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self._doubts, self._failed = self._doubts + 1, node.name
            raise

    async def _follow(self, refusal: Exception | None) -> None:
        """Learn from a refusal. A slot that is on its way (ASK, TRYAGAIN) is waited for, never read in two halves."""
        if isinstance(refusal, MovedError):
            await self.nodes_manager.move_slot(refusal)
        elif not isinstance(refusal, AskError | TryAgainError):
            await self.nodes_manager.initialize()

    def _as_redis_error(self, error: RedisClusterException) -> RedisError:
        for reason in _chain(error):
            if isinstance(reason, AuthenticationError | NoPermissionError):
                return type(reason)(str(reason))
        reasons = " ".join(str(one) for one in _chain(error))
        if "cluster support disabled" in reasons:
            return ClusterError(
                "the server is not a node of a Redis Cluster, but redis.mode is cluster: set redis.mode to single, "
                "or redis.url to the nodes of a cluster"
            )
        known = ",".join(sorted(self.nodes_manager.startup_nodes))
        return RedisConnectionError(f"Error connecting to {known}. {reasons}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _key_of(args: tuple[Any, ...]) -> Any:
    """The key that says where a command goes; None if it has none."""
    command = str(args[0]).upper()
    if command in SCRIPT_CALLS:
        return args[3] if int(args[2]) else None
    return args[1] if command in KEY_FIRST else None
