"""A real Kafka for tests: one broker or several (KRaft), on loopback, in a temporary directory, ended by process id."""

import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from stream.embedded import free_port
from stream.embedded.guard import Guard, wait_or_kill
from tests.support.kafka_libs import LibsUnavailable, kafka_libs
from tests.support.kafka_ready import await_ready
from tests.support.real import unavailable

EXTERNAL = "MIDWATCH_KAFKA"
_CLUSTER_ID = "bWlkd2F0Y2gtdGVzdHMtMQ"
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ExternalKafka:
    """A running Kafka that `MIDWATCH_KAFKA` names."""

    bootstrap: str


class KafkaNode:
    """One broker that is also a controller: its ports, its directory and its process."""

    def __init__(self, node_id: int, directory: Path) -> None:
        self.node_id = node_id
        self.directory = directory
        self.port = free_port()
        self.controller_port = free_port()
        self.log_file = directory / "server.out"
        self._settings = directory / "server.properties"
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def pid(self) -> int:
        """Process id; an error when it is not running."""
        assert self._process is not None, f"Kafka node {self.node_id} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started, and neither stopped nor killed since."""
        return self._process is not None

    def format(self, java: list[str], voters: str, nodes: int) -> None:
        """Write the settings and prepare the data directory."""
        self.directory.mkdir()
        self._settings.write_text("".join(f"{line}\n" for line in self._properties(voters, nodes)))
        tool = ["kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._settings), *self._users()]
        done = subprocess.run([*java, *tool], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"Kafka's storage cannot be formatted: {done.stdout}{done.stderr}"

    def start(self, java: list[str]) -> None:
        """Start the process; it is ready some seconds later."""
        with self.log_file.open("ab") as out:
            self._process = subprocess.Popen(
                [*java, *_JVM, "kafka.Kafka", str(self._settings)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._guard = Guard(self._process.pid)

    def stop(self) -> None:
        """End the broker in an orderly way (SIGTERM)."""
        if self._process is not None:
            self._process.terminate()
            self._ended(_STOP_SECONDS)

    def kill(self) -> None:
        """End the broker as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._ended(_STOP_SECONDS)

    def check_alive(self) -> None:
        """Fail with the broker's own last words if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            words = self.log_file.read_text(errors="replace")[-2000:]
            raise AssertionError(f"Kafka node {self.node_id} ended with code {self._process.returncode}: {words}")

    def _ended(self, seconds: float) -> None:
        assert self._process is not None
        wait_or_kill(self._process, seconds)
        self._process = None
        if self._guard is not None:
            self._guard.release()
            self._guard = None

    def _users(self) -> list[str]:
        """More arguments for the formatting: users that the cluster knows from the start."""
        return []

    def _properties(self, voters: str, nodes: int) -> list[str]:
        copies = min(nodes, 3)
        in_sync = max(1, copies - 1)
        return [
            "process.roles=broker,controller",
            f"node.id={self.node_id}",
            f"controller.quorum.voters={voters}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}",
            "inter.broker.listener.name=PLAINTEXT",
            "controller.listener.names=CONTROLLER",
            "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            f"log.dirs={self.directory / 'data'}",
            "num.partitions=4",
            f"default.replication.factor={copies}",
            f"min.insync.replicas={in_sync}",
            f"offsets.topic.replication.factor={copies}",
            "offsets.topic.num.partitions=4",
            f"transaction.state.log.replication.factor={copies}",
            f"transaction.state.log.min.isr={in_sync}",
            "transaction.state.log.num.partitions=4",
            f"share.coordinator.state.topic.replication.factor={copies}",
            f"share.coordinator.state.topic.min.isr={in_sync}",
            "broker.session.timeout.ms=4000",  # A killed broker can come back only when its session is over.
            "broker.heartbeat.interval.ms=500",
            "group.initial.rebalance.delay.ms=0",
            "group.min.session.timeout.ms=1000",
            "log.retention.check.interval.ms=1000",
            "log.retention.ms=-1",  # The telemetry of tests is of a fixed date, long ago.
            "log.cleaner.dedupe.buffer.size=2097152",
        ]


class RealKafkaCluster:
    """`n` brokers with replication; started, stopped and broken without an event loop. They end with their parent.

    Args:
        n: brokers; up to three replicas of everything, all but one of them in sync.
        libs: directory of Kafka's jars.
    """

    node_class: ClassVar[type[KafkaNode]] = KafkaNode

    def __init__(self, n: int = 1, libs: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="midwatch-kafka-")
        root = Path(self._temporary.name)
        self.nodes = [self.node_class(number, root / f"node-{number}") for number in range(1, n + 1)]
        self._java = ["java", "-cp", f"{libs if libs is not None else kafka_libs()}/*"]

    @property
    def bootstrap(self) -> str:
        """Addresses of all brokers, with commas."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> str:
        """Start all brokers and wait until they serve; the bootstrap addresses."""
        voters = ",".join(f"{node.node_id}@127.0.0.1:{node.controller_port}" for node in self.nodes)
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda node: node.format(self._java, voters, len(self.nodes)), self.nodes))
        for node in self.nodes:
            node.start(self._java)
        for node in self.nodes:
            self._await_ready(node)
        return self.bootstrap

    def restart(self, index: int = 0) -> None:
        """Start a broker that was stopped or killed, on its data and its port, and wait until it serves."""
        self.nodes[index].start(self._java)
        self._await_ready(self.nodes[index])

    def kill(self, index: int = 0) -> None:
        """SIGKILL to one broker."""
        self.nodes[index].kill()

    def stop(self) -> None:
        """End all brokers and drop their data."""
        for node in self.nodes:
            node.kill()  # Nothing is to be kept, so nothing need be flushed.
        self._temporary.cleanup()

    def _await_ready(self, node: KafkaNode) -> None:
        running = sum(each.running for each in self.nodes)
        await_ready(f"127.0.0.1:{node.port}", running, node.check_alive)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def external_kafka() -> ExternalKafka | None:
    """The Kafka that `MIDWATCH_KAFKA` names, if it does."""
    address = os.environ.get(EXTERNAL)
    return ExternalKafka(address) if address else None


def new_cluster(n: int = 1, kind: type[RealKafkaCluster] = RealKafkaCluster) -> RealKafkaCluster:
    """A cluster that is not yet started; skips (or fails, see `unavailable`) without Java or Kafka's jars."""
    if shutil.which("java") is None:
        unavailable(f"no Java for a real Kafka: install a JRE 17 and Maven, or set {EXTERNAL}=host:port")
    try:
        return kind(n, kafka_libs())
    except LibsUnavailable as why:
        unavailable(f"no real Kafka: {why}; or set {EXTERNAL}=host:port")
