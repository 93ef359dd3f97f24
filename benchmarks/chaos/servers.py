"""The servers that the faults hit: a Kafka that can be reached through proxies, and a Redis whose disk can fill up."""

from __future__ import annotations

import resource
import shutil
import tempfile
from pathlib import Path
from typing import Final

from stream.embedded import free_port
from tests.support.real_kafka import KafkaNode, RealKafkaCluster
from tests.support.real_redis import RealRedis

_NO_SIGNAL: Final = "#!/bin/sh\n# A full disk must be an error of write(), as on a real one, and no signal.\n"


class ProxiedNode(KafkaNode):
    """A broker with two doors: its own port for who watches, and one that it advertises at the proxy's port."""

    def __init__(self, node_id: int, directory: Path) -> None:
        super().__init__(node_id, directory)
        self.inner_port = free_port()
        self.proxy_port = free_port()

    def _properties(self, voters: str, nodes: int) -> list[str]:
        kept = [
            line
            for line in super()._properties(voters, nodes)
            if not line.startswith(("listeners=", "advertised.listeners=", "listener.security.protocol.map="))
        ]
        own = f"PLAINTEXT://127.0.0.1:{self.port}"
        return [
            *kept,
            f"listeners={own},PROXIED://127.0.0.1:{self.inner_port},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners={own},PROXIED://127.0.0.1:{self.proxy_port}",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
            "auto.leader.rebalance.enable=true",
            "leader.imbalance.check.interval.seconds=5",
        ]


class ProxiedKafka(RealKafkaCluster):
    """One broker, or three, of that kind."""

    node_class = ProxiedNode

    @property
    def proxied(self) -> list[ProxiedNode]:
        """The brokers, as what they are."""
        return [node for node in self.nodes if isinstance(node, ProxiedNode)]

    @property
    def proxied_bootstrap(self) -> str:
        """Where the workers go."""
        return ",".join(f"127.0.0.1:{node.proxy_port}" for node in self.proxied)


class FragileRedis(RealRedis):
    """A `redis-server` whose append-only file can be taken back to an older state, and whose disk can be full."""

    def __init__(self, program: str) -> None:
        self._tools = tempfile.TemporaryDirectory(prefix="midwatch-chaos-")
        wrapper = Path(self._tools.name) / "redis-server"
        wrapper.write_text(f"{_NO_SIGNAL}trap '' XFSZ\nexec {program} \"$@\"\n")
        wrapper.chmod(0o700)
        super().__init__(str(wrapper))
        self._copy = Path(self._tools.name) / "backup"

    def back_up(self) -> None:
        """Keep the append-only files as they are now."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.data_dir / "appendonlydir", self._copy)

    def restore(self) -> None:
        """Come back with the files of the last backup, as after a restore from yesterday's. Kills what runs."""
        self.kill()
        shutil.rmtree(self.data_dir / "appendonlydir")
        shutil.copytree(self._copy, self.data_dir / "appendonlydir")
        self.start()

    def fill_disk(self) -> None:
        """From now on no file grows: what is appended is refused, as on a full disk."""
        growing = (self.data_dir / "appendonlydir").glob("*.incr.aof")
        size = max(path.stat().st_size for path in growing)
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, hard))

    def free_disk(self) -> None:
        """There is room again."""
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard, hard))

    def discard(self) -> None:
        """Drop what was kept."""
        self._tools.cleanup()
