"""A small in-memory broker that speaks the Kafka protocol, for the demo and for tests. Never for production.

What it has: topics, records of format 2 in every compression, long-polling fetches, offsets by time, consumer groups,
committed offsets, idempotent producers, the admin calls that Midwatch makes, retention by bytes.

What it has not: transactions (a transactional id is refused), replication, disks, retention by time, compaction, TLS
and passwords. It keeps everything in memory, loses everything when it ends, and listens on loopback only.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from stream.embedded.admin import NODE_ID, Admin
from stream.embedded.codes import Api, Refused
from stream.embedded.coordination import Coordination
from stream.embedded.groups import Groups
from stream.embedded.records import Records
from stream.embedded.topics import Topics
from stream.embedded.wire import (
    Fields,
    Request,
    UnsupportedVersion,
    WireError,
    decode_request,
    encode_reply,
    encode_unsupported_api_versions,
    read_frame,
)

DEFAULT_RETENTION_BYTES = 256 * 1024 * 1024
_READ_AHEAD_BYTES = 4 * 1024 * 1024
_log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Fields | None]]


class EmbeddedKafka:
    """The broker, served by the running event loop. `EmbeddedKafkaProcess` runs the same in a process of its own.

    Args:
        host: a loopback address.
        port: 0 takes a free one.
        partitions: of topics created without saying how many.
        retention_bytes: kept per partition, -1 for everything; topics may set their own `retention.bytes`.
        auto_create_topics: whether a topic begins to exist when a client first asks for it.

    Raises:
        ValueError: the host is not a loopback address, or there are no partitions.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        partitions: int = 4,
        retention_bytes: int = DEFAULT_RETENTION_BYTES,
        auto_create_topics: bool = True,
    ) -> None:
        self._host = loopback(host)
        self._port = port
        self._auto_create_topics = auto_create_topics
        if partitions < 1:
            raise ValueError(f"partitions={partitions}: a topic has at least one")
        if retention_bytes < -1:
            raise ValueError(f"retention_bytes={retention_bytes}: -1 for no bound, or a number of bytes")
        self._topics = Topics(partitions, retention_bytes)
        self._groups = Groups()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._handlers: dict[Api, Handler] = {}

    @property
    def bootstrap(self) -> str:
        """`host:port`, as clients want it.

        Raises:
            RuntimeError: the broker is not started.
        """
        if self._server is None:
            raise RuntimeError("the embedded broker is not started: call start() first")
        return f"{self._host}:{self._port}"

    async def start(self) -> str:
        """Listen; the address for clients.

        Raises:
            OSError: the port is taken.
        """
        self._server = await asyncio.start_server(self._connected, self._host, self._port, limit=_READ_AHEAD_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]
        self._handlers = self._table()
        return self.bootstrap

    async def stop(self) -> None:
        """Close every connection and the port. The records stay until the object goes, so `start` serves them again."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()
        self._groups.close()
        self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _table(self) -> dict[Api, Handler]:
        """Who answers what."""
        records = Records(self._topics)
        admin = Admin(self._topics, self._groups, self._host, self._port, self._auto_create_topics)
        node = {"coordinator_id": NODE_ID, "host": self._host, "port": self._port}
        groups = Coordination(self._groups, self._topics, node)
        return {
            Api.PRODUCE: records.produce,
            Api.FETCH: records.fetch,
            Api.LIST_OFFSETS: records.list_offsets,
            Api.METADATA: admin.metadata,
            Api.OFFSET_COMMIT: groups.commit,
            Api.OFFSET_FETCH: groups.fetch_offsets,
            Api.FIND_COORDINATOR: groups.find_coordinator,
            Api.JOIN_GROUP: groups.join,
            Api.HEARTBEAT: groups.heartbeat,
            Api.LEAVE_GROUP: groups.leave,
            Api.SYNC_GROUP: groups.sync,
            Api.API_VERSIONS: admin.api_versions,
            Api.CREATE_TOPICS: admin.create_topics,
            Api.DELETE_TOPICS: admin.delete_topics,
            Api.DELETE_RECORDS: records.delete_records,
            Api.INIT_PRODUCER_ID: admin.init_producer_id,
            Api.DESCRIBE_CONFIGS: admin.describe_configs,
            Api.ALTER_CONFIGS: admin.alter_configs,
        }

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: requests one after another, as Kafka does. A fault ends this connection only."""
        peer = writer.get_extra_info("peername")
        try:
            await self._converse(reader, writer)
        except WireError as error:
            _log.warning("closed the connection from %s: %s", peer, error)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            _log.debug("the connection from %s broke: %s", peer, error)
        except asyncio.CancelledError:
            _log.debug("closed the connection from %s: the broker stops", peer)
        except Exception:  # noqa: BLE001 - A fault of ours must not leave the client waiting; it is logged whole.
            _log.exception("closed the connection from %s: a request could not be answered", peer)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (frame := await read_frame(reader)) is not None:
            try:
                reply = await self._answer(decode_request(frame))
            except UnsupportedVersion as newer:
                if newer.api is not Api.API_VERSIONS:
                    raise
                reply = encode_unsupported_api_versions(newer.correlation_id)
            if reply is not None:
                writer.write(reply)
                await writer.drain()

    async def _answer(self, request: Request) -> bytes | None:
        try:
            fields = await self._handlers[request.api](request)
        except Refused as refused:
            raise WireError(f"{request.api.name}: {refused}") from refused
        return None if fields is None else encode_reply(request, fields)


def loopback(host: str) -> str:
    """The address to bind.

    Raises:
        ValueError: not an IPv4 loopback address or "localhost".
    """
    address = "127.0.0.1" if host == "localhost" else host
    try:
        allowed = ipaddress.IPv4Address(address).is_loopback
    except ValueError:
        allowed = False
    if not allowed:
        raise ValueError(f"host={host!r}: an embedded server listens on loopback only, such as 127.0.0.1")
    return address
