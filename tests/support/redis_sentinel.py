"""Three sentinels over a master and its replica, on loopback."""

from __future__ import annotations

from typing import Any, Final, Self

from tests.support.real_redis import RealRedis, new_redis
from tests.support.redis_cluster import AT_ONCE, admin, await_until

MASTER: Final = "midwatch-master"
DOWN_MS: Final = 1_000


class _Sentinel(RealRedis):
    """A sentinel: the same program, with a file of its own that it writes what it learns into."""

    def arguments(self) -> list[str]:
        path = self.data_dir / "sentinel.conf"
        path.write_text(f'bind 127.0.0.1\nport {self.port}\ndir "{self.data_dir}"\n', encoding="utf-8")
        return [str(path), "--sentinel"]


class RedisSentinel:
    """`servers` are the master and the replica as they were at the start; `sentinels` watch them."""

    def __init__(self) -> None:
        self.servers = [new_redis(AT_ONCE), new_redis(AT_ONCE)]
        self.sentinels = [new_redis(kind=_Sentinel) for _ in range(3)]

    @property
    def url(self) -> str:
        """The sentinels, as `redis.url` takes them."""
        return "redis://" + ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels) + "/0"

    def master(self) -> RealRedis:
        """The server that the sentinels call the master."""
        with admin(self.sentinels[0]) as client:
            port = int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])
        return next(one for one in self.servers if one.port == port)

    def start(self) -> None:
        """Start everything, and wait until all know each other and the replica follows."""
        for one in (*self.servers, *self.sentinels):
            one.start()
        with admin(self.servers[1]) as replica:
            replica.execute_command("REPLICAOF", "127.0.0.1", self.servers[0].port)
            await_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica follows")
        for one in self.sentinels:
            with admin(one) as client:
                client.execute_command("SENTINEL", "MONITOR", MASTER, "127.0.0.1", self.servers[0].port, 2)
                for name, value in (("down-after-milliseconds", DOWN_MS), ("failover-timeout", 10_000)):
                    client.execute_command("SENTINEL", "SET", MASTER, name, value)
        await_until(lambda: all(self._is_ready(one) for one in self.sentinels), "the sentinels know each other")

    @staticmethod
    def _is_ready(sentinel: RealRedis) -> bool:
        with admin(sentinel) as client:
            state = dict(_pairs(client, "MASTER"))
        return (state["num-other-sentinels"], state["num-slaves"]) == ("2", "1")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for one in (*self.sentinels, *self.servers):
            one.__exit__(None, None, None)


def _pairs(client: Any, what: str) -> list[tuple[str, str]]:
    found = client.execute_command("SENTINEL", what, MASTER)
    return list(found.items()) if isinstance(found, dict) else list(zip(found[::2], found[1::2], strict=True))
