"""What the doctor says about Redis: a server's fitness, a cluster's state, what sentinels know, what a fail-over loses.

Every server is asked that may hold a shard: replicas too, for each may be the master tomorrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError, SlotNotCoveredError

from stream.doctor_line import Clock, Level, Line
from stream.redis_cluster import ClusterRedis
from stream.redis_sentinel import MasterRedis
from stream.settings import Settings
from stream.store import Store

REDIS_MAJOR: Final = 7
CLOCK_WARN_MS: Final = 500
CLOCK_FAIL_MS: Final = 5_000
SLOTS: Final = 16_384
SENTINELS: Final = 3
LOST: Final = "what a lost master had not passed on is read from Kafka again"


async def redis_findings(client: Redis, settings: Settings, clock: Clock) -> list[Line]:
    """Everything about the Redis of a configuration. Raises RedisError if it does not answer."""
    if settings.redis.mode == "cluster":
        return await _cluster(cast("ClusterRedis", client), settings, clock)
    info: dict[str, Any] = await client.info()
    lines = await _sentinels(cast("MasterRedis", client), settings, info) if settings.redis.mode == "sentinel" else []
    lines += redis_lines(info)
    if int(info.get("cluster_enabled", 0)):
        detail = "the server is a node of a Redis Cluster, but redis.mode is single"
        return [Line("fail", "redis mode", detail, 'set redis.mode to "cluster", and redis.url to some of its nodes')]
    await client.eval("return 1", 0)
    return [*lines, *sync_lines(await _config(client)), await _clock(client, clock)]


async def _clock(client: Any, clock: Clock, **target: Any) -> Line:
    before = clock()
    seconds, micros = await client.time(**target)
    return clock_line(int(seconds) * 1000 + int(micros) // 1000, before, clock())


async def _config(client: Any, **target: Any) -> dict[str, str]:
    """What may be asked of the server's configuration; nothing where it does not tell."""
    found: dict[str, str] = {}
    for name in ("appendfsync", "min-replicas-to-write"):
        try:
            found |= await client.config_get(name, **target)
        except ResponseError:
            continue
    return {_text(name): _text(value) for name, value in found.items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def redis_lines(info: Mapping[str, Any]) -> list[Line]:
    """What a server's INFO says about its fitness."""
    version = str(info.get("redis_version", "0"))
    name = f"Valkey {info['valkey_version']} (Redis {version})" if "valkey_version" in info else f"Redis {version}"
    if int(version.partition(".")[0]) < REDIS_MAJOR:
        lines = [Line("fail", "redis", f"{name} is too old", f"use Redis {REDIS_MAJOR} or later, or Valkey")]
    else:
        lines = [Line("ok", "redis", f"{name} answers and runs scripts")]
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        lines.append(Line("ok", "redis memory", "noeviction"))
    else:
        level: Level = "fail" if int(info.get("maxmemory", 0)) else "warn"
        detail = f"maxmemory-policy is {policy}: under pressure it would throw windows away"
        lines.append(Line(level, "redis memory", detail, "set maxmemory-policy noeviction"))
    if int(info.get("aof_enabled", 0)):
        lines.append(Line("ok", "redis persistence", "append-only file"))
    else:
        detail = "no append-only file: a restart is a rewind to the last checkpoint"
        lines.append(Line("warn", "redis persistence", detail, "set appendonly yes (appendfsync everysec is enough)"))
    return lines


def sync_lines(config: Mapping[str, str]) -> list[Line]:
    """How often the append-only file reaches the disk, where that is less or more than is needed."""
    found = config.get("appendfsync")
    if found == "no":
        detail = "appendfsync is no: a crash of the machine loses what the system had not written, half a minute or so"
        return [Line("warn", "redis fsync", detail, "set appendfsync everysec: what is lost is read from Kafka again")]
    if found == "always":
        return [Line("ok", "redis fsync", "appendfsync is always: slow, and not needed, for Kafka has it all again")]
    return []


def clock_line(server_ms: int, before_ms: int, after_ms: int) -> Line:
    """How far a server's clock is from ours, given ours before and after asking it."""
    offset = max(before_ms - server_ms, server_ms - after_ms, 0)
    detail = f"at most {offset + (after_ms - before_ms)} ms from ours"
    if offset <= CLOCK_WARN_MS:
        return Line("ok", "redis clock", detail)
    level: Level = "warn" if offset <= CLOCK_FAIL_MS else "fail"
    return Line(level, "redis clock", detail, "synchronise the clocks (NTP): leases and lateness are measured by them")


async def _cluster(client: ClusterRedis, settings: Settings, clock: Clock) -> list[Line]:
    await client.learn()
    by_node: dict[str, list[Line]] = {}
    state: list[Line] = []
    silent: list[Line] = []
    for node in client.get_nodes():
        try:
            if not state:
                info: dict[str, Any] = await client.execute_command("CLUSTER INFO", target_nodes=node)
                nodes: dict[str, Any] = await client.execute_command("CLUSTER NODES", target_nodes=node)
                state = [*cluster_lines(info, nodes), await _clock(client, clock, target_nodes=node)]
            found: dict[str, Any] = await client.info(target_nodes=node)
            by_node[node.name] = redis_lines(found) + sync_lines(await _config(client, target_nodes=node))
        except (RedisError, OSError):
            detail = f"no answer from {node.name}"
            silent.append(Line("warn", "redis", detail, "start it, or take it out of the cluster"))
    return [*state[:-1], *silent, *together(by_node), _spread(client, settings), *state[-1:]]


def _spread(client: ClusterRedis, settings: Settings) -> Line:
    store = Store(cast("Redis", client), settings.redis.namespace, settings.engine.shards)
    held: Counter[str] = Counter()
    for shard in range(store.shards):
        try:
            node = client.get_node_from_key(store.key(shard, "meta"))
        except SlotNotCoveredError:
            node = None
        held["no master"] += node is None
        if node is not None:
            held[node.name] += 1
    return spread_line(+held)


def cluster_lines(info: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> list[Line]:
    """What CLUSTER INFO and CLUSTER NODES say: state, slots, and masters that nobody could follow."""
    served = int(info.get("cluster_slots_ok", 0))
    gone = sorted(_address(name) for name, node in nodes.items() if "fail" in str(node["flags"]))
    alive = {name: node for name, node in nodes.items() if _address(name) not in gone}
    masters = {node["node_id"]: _address(name) for name, node in alive.items() if node["slots"]}
    followed = Counter(node["master_id"] for node in alive.values() if node["master_id"] in masters)
    detail = f"{served} of {SLOTS} slots, {len(masters)} master(s), {sum(followed.values())} replica(s)"
    if info.get("cluster_state") != "ok" or served < SLOTS:
        remedy = "start the nodes that are down; `redis-cli --cluster check` and `--cluster fix` say and mend the rest"
        return [Line("fail", "redis cluster", f"state {info.get('cluster_state')}, {detail}", remedy)]
    lines = [Line("ok", "redis cluster", f"{detail}; {LOST}")]
    if gone:
        lines.append(Line("warn", "redis cluster", f"down: {', '.join(gone)}", "start them, or take them out"))
    if alone := sorted(address for identity, address in masters.items() if not followed[identity]):
        detail = f"no replica follows {', '.join(alone)}: if it is lost, the whole engine waits until it is back"
        lines.append(Line("warn", "redis replicas", detail, "give every master a replica on another machine"))
    return lines


def _address(name: str) -> str:
    return name.partition("@")[0]


def together(by_node: Mapping[str, Sequence[Line]]) -> list[Line]:
    """The lines of several servers, each once; with the servers' names where it is not what all say."""
    names: dict[Line, list[str]] = {}
    for name, lines in by_node.items():
        for line in lines:
            names.setdefault(line, []).append(name)
    return [line if len(who) == len(by_node) else _named(line, who) for line, who in names.items()]


def _named(line: Line, who: Iterable[str]) -> Line:
    return replace(line, detail=f"{line.detail} ({', '.join(sorted(who))})")


def spread_line(held: Mapping[str, int]) -> Line:
    """How the engine's shards lie on the masters."""
    shown = ", ".join(f"{count} on {name}" for name, count in sorted(held.items()))
    return Line("ok", "redis shards", shown)


async def _sentinels(client: MasterRedis, settings: Settings, info: Mapping[str, Any]) -> list[Line]:
    name = str(settings.redis.sentinel_master)
    states = [await _state(sentinel, name) for sentinel in client.asked.sentinels]
    config = await _config(client)
    return sentinel_lines(name, states, int(info.get("connected_slaves", 0)), config)


async def _state(sentinel: Redis, name: str) -> dict[str, Any] | None:
    """What a sentinel says about the master; None if it is away or does not know it."""
    try:
        found: Any = await sentinel.sentinel_master(name)
    except (RedisError, OSError):
        return None
    return dict(found)


def sentinel_lines(
    name: str, states: Sequence[Mapping[str, Any] | None], replicas: int, config: Mapping[str, str]
) -> list[Line]:
    """What the sentinels say, and whether a master that is cut off from them would go on alone."""
    known = [state for state in states if state is not None]
    others = max((int(state["num-other-sentinels"]) for state in known), default=0)
    quorum = max((int(state["quorum"]) for state in known), default=0)
    detail = f"{len(known)} of {len(states)} configured know {name}, {others + 1} in all, quorum {quorum}"
    lines = [Line("ok", "redis sentinel", f"{detail}, {replicas} replica(s); {LOST}")]
    if len(known) < len(states):
        remedy = "start those that are down, or correct redis.url and redis.sentinel_master"
        lines = [Line("warn", "redis sentinel", detail, remedy)]
    if others + 1 < SENTINELS:
        detail = f"{others + 1} sentinel(s): with fewer than {SENTINELS} the loss of one is the end of fail-over"
        lines.append(Line("warn", "redis sentinel", detail, f"run {SENTINELS}, on machines of their own"))
    if not replicas:
        detail = "no replica follows the master: nobody can take its place"
        lines.append(Line("warn", "redis replicas", detail, "give it a replica on another machine"))
    if config.get("min-replicas-to-write", "1") == "0":
        detail = "min-replicas-to-write is 0: a master cut off from the others takes writes until it is found, in vain"
        lines.append(Line("warn", "redis replicas", detail, "set min-replicas-to-write 1, min-replicas-max-lag 10"))
    return lines
