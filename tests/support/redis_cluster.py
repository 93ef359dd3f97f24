"""A Redis Cluster for tests: three masters and three replicas on loopback, with the rules of deploy/redis on each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import redis
from redis.crc import key_slot

from stream.embedded import free_port
from tests.support.real_redis import RealRedis, new_redis

MASTERS: Final = 3
SLOTS: Final = 16_384
USER: Final = "midwatch"
PASSWORD: Final = "cluster-secret"
NODE_TIMEOUT_MS: Final = 2_000
"""How long a node may be silent before the others vote it down."""

ACL: Final = Path(__file__).parents[2] / "deploy/redis/midwatch.acl"
AT_ONCE: Final = ("--repl-diskless-sync-delay", "0")
"""A replica that comes is served at once; by default its master waits five seconds for others."""

_PATIENCE_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05


def acl_file() -> str:
    """Everything for the administrator, the shipped rules for Midwatch's user, in any namespace."""
    rules = ACL.read_text(encoding="utf-8").strip().replace("~{midwatch:*", "~{*").replace("~{midwatch}:*", "")
    return f"user default on nopass ~* &* +@all\n{rules} >{PASSWORD}\n"


def await_until(condition: Callable[[], Any], what: str) -> None:
    """Wait for other processes to agree; they cannot be awaited."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {_PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(_PAUSE_SECONDS)


def admin(node: RealRedis) -> Any:
    """A client for one node that may do everything."""
    return redis.Redis(port=node.port, decode_responses=True, socket_timeout=10)


class RedisCluster:
    """The nodes, masters first; node `i + MASTERS` begins as the replica of node `i`."""

    def __init__(self, masters: int = MASTERS, replicas: int = MASTERS, more: Sequence[str] = ()) -> None:
        self._masters = masters
        self.nodes = [_new_node(more) for _ in range(masters + replicas)]

    @property
    def url(self) -> str:
        """Some of the nodes, as `redis.url` takes them."""
        return "redis://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:3])

    def start(self) -> None:
        """Start the nodes, give each master its slots, let all meet, and wait until they agree."""
        for node in self.nodes:
            (node.data_dir / "users.acl").write_text(acl_file(), encoding="utf-8")
            node.start()
        for index, node in enumerate(self.nodes):
            with admin(node) as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                if index < self._masters:
                    first, last = (SLOTS * edge // self._masters for edge in (index, index + 1))
                    client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
        self._meet()

    def _meet(self) -> None:
        with admin(self.nodes[0]) as first:
            for node in self.nodes[1:]:
                first.execute_command("CLUSTER MEET", "127.0.0.1", node.port, _bus_port(node))
        await_until(lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes), "all nodes met")
        for index, node in enumerate(self.nodes[self._masters :]):
            with admin(node) as client:
                client.execute_command("CLUSTER REPLICATE", self._identity(self.nodes[index % self._masters]))
        self.settle()

    def settle(self) -> None:
        """Start what was killed, and wait until every slot has a master and every replica follows one."""
        for node in self.nodes:
            if not node.running:
                node.start()
        await_until(lambda: all(self._is_well(node) for node in self.nodes), "the cluster is well")

    def _is_well(self, node: RealRedis) -> bool:
        with admin(node) as client:
            info, replication = client.cluster("INFO"), client.info("replication")
            known: dict[str, Any] = client.cluster("NODES")
        fit = replication["role"] == "master" or replication["master_link_status"] == "up"
        failed = [one for one in known.values() if "fail" in one["flags"] or not one["connected"]]
        followers = sum(one["master_id"] != "-" for one in known.values())
        agreed = followers == len(self.nodes) - self._masters and not failed
        return info["cluster_state"] == "ok" and fit and agreed

    def _known(self, node: RealRedis) -> dict[str, Any]:
        with admin(node) as client:
            known: dict[str, Any] = client.cluster("NODES")
            return known

    @staticmethod
    def _identity(node: RealRedis) -> str:
        with admin(node) as client:
            return str(client.execute_command("CLUSTER MYID"))

    def master_of(self, key: str) -> RealRedis:
        """The node that holds a key."""
        slot = key_slot(key.encode())
        for node in self.nodes:
            if node.running:
                with admin(node) as client:
                    for first, last, owner, *_ in client.execute_command("CLUSTER SLOTS"):
                        if first <= slot <= last:
                            return next(one for one in self.nodes if one.port == owner[1])
        raise AssertionError(f"nobody holds slot {slot}")

    def replica_of(self, master: RealRedis) -> RealRedis:
        """The node that follows a master."""
        identity = self._identity(master)
        for name, one in self._known(master).items():
            if one["master_id"] == identity:
                port = int(name.rpartition(":")[2].partition("@")[0])
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody follows the master on port {master.port}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for node in self.nodes:
            node.__exit__(None, None, None)


def _new_node(more: Sequence[str]) -> RealRedis:
    bus = free_port()
    options = [*AT_ONCE, "--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
    options += ["--aclfile", "users.acl"]
    return new_redis([*options, "--cluster-port", str(bus), "--cluster-replica-validity-factor", "0", *more])


def _bus_port(node: RealRedis) -> int:
    return int(node.options[node.options.index("--cluster-port") + 1])


@contextlib.contextmanager
def stop_replication(master: RealRedis) -> Iterator[None]:
    """Cut the replicas off a master, so that what it takes from now on is lost with it; undone where it lives on.

    Its default user gets a password: who is connected stays, a replica that comes back is refused.
    """
    with admin(master) as client:
        client.config_set("requirepass", "nobody-knows")
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        try:
            yield
        finally:
            if master.running:
                client.execute_command("ACL", "LOAD")
