"""The Kafka wire: frames in and out, and the layout of each request and response as plain dictionaries.

The layouts are aiokafka's own schema classes, so broker and client cannot disagree about a field. A handler sees and
returns dictionaries; `encode_reply` keeps the fields that the request's version has, so handlers know no versions.
"""

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from types import ModuleType
from typing import Any

from aiokafka.protocol import admin, commit, coordination, fetch, group, metadata, offset, produce, transaction
from aiokafka.protocol.types import Array, Schema

from stream.embedded.codes import Api, Code

MAX_FRAME_BYTES = 104_857_600
"""The largest request that is read: Kafka's `socket.request.max.bytes`."""

Fields = dict[str, Any]

_LENGTH = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")
_ALWAYS = {"throttle_time_ms": 0}
"""Fields that no handler sets: the broker never throttles."""


class WireError(Exception):
    """Bytes that are no request this broker can answer. The connection is closed, as Kafka does."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        api: what is asked.
        version: of the request and so of its response.
        correlation_id: sent back with the response.
        client_id: the name the client gave itself; may be empty.
        body: the fields, by their names in aiokafka's schemas.
    """

    api: Api
    version: int
    correlation_id: int
    client_id: str
    body: Fields


class UnsupportedVersion(WireError):
    """A known API in a version that is not offered."""

    def __init__(self, api: Api, version: int, correlation_id: int) -> None:
        super().__init__(f"{api.name} version {version} is not among those offered by ApiVersions")
        self.api = api
        self.correlation_id = correlation_id


_OFFERED: dict[Api, tuple[ModuleType, str, int, int]] = {
    Api.PRODUCE: (produce, "Produce", 3, 7),
    Api.FETCH: (fetch, "Fetch", 5, 11),
    Api.LIST_OFFSETS: (offset, "Offset", 1, 3),
    Api.METADATA: (metadata, "Metadata", 0, 5),
    Api.OFFSET_COMMIT: (commit, "OffsetCommit", 2, 3),
    Api.OFFSET_FETCH: (commit, "OffsetFetch", 1, 3),
    Api.FIND_COORDINATOR: (coordination, "FindCoordinator", 0, 1),
    Api.JOIN_GROUP: (group, "JoinGroup", 0, 5),
    Api.HEARTBEAT: (group, "Heartbeat", 0, 1),
    Api.LEAVE_GROUP: (group, "LeaveGroup", 0, 1),
    Api.SYNC_GROUP: (group, "SyncGroup", 0, 3),
    Api.API_VERSIONS: (admin, "ApiVersion", 0, 2),
    Api.CREATE_TOPICS: (admin, "CreateTopics", 0, 3),
    Api.DELETE_TOPICS: (admin, "DeleteTopics", 0, 3),
    Api.DELETE_RECORDS: (admin, "DeleteRecords", 0, 1),
    Api.INIT_PRODUCER_ID: (transaction, "InitProducerId", 0, 0),
    Api.DESCRIBE_CONFIGS: (admin, "DescribeConfigs", 0, 2),
    Api.ALTER_CONFIGS: (admin, "AlterConfigs", 0, 1),
}


def _layouts() -> dict[tuple[Api, int], tuple[Schema, Schema]]:
    """Request and response schema of each offered version.

    Where aiokafka has no class for a version in the range (JoinGroup 3 and 4, SyncGroup 2), the layout is that of the
    version before it: those versions changed behaviour only.
    """
    layouts: dict[tuple[Api, int], tuple[Schema, Schema]] = {}
    for api, (module, stem, oldest, newest) in _OFFERED.items():
        for version in range(oldest, newest + 1):
            known = getattr(module, f"{stem}Request_v{version}", None)
            layouts[api, version] = (
                (known.SCHEMA, known.RESPONSE_TYPE.SCHEMA) if known is not None else layouts[api, version - 1]
            )
    return layouts


_LAYOUTS = _layouts()


def offered_versions() -> list[Fields]:
    """The rows of an ApiVersions response."""
    return [
        {"api_key": int(api), "min_version": oldest, "max_version": newest}
        for api, (_, _, oldest, newest) in _OFFERED.items()
    ]


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame without its length; None when the client has closed the connection between two frames.

    Raises:
        WireError: the stated length is negative, smaller than a header or above `MAX_FRAME_BYTES`.
        asyncio.IncompleteReadError: the connection ended inside a frame.
    """
    try:
        (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    except asyncio.IncompleteReadError as cut:
        if cut.partial:
            raise
        return None
    if not _HEADER.size <= size <= MAX_FRAME_BYTES:
        raise WireError(f"a frame of {size} bytes; {_HEADER.size} to {MAX_FRAME_BYTES} are read")
    return await reader.readexactly(size)


def decode_request(frame: bytes) -> Request:
    """Read one frame.

    Raises:
        UnsupportedVersion: the API is known, the version is not.
        WireError: unknown API, a body that does not fit its layout, or bytes left over.
    """
    key, version, correlation_id, name_length = _HEADER.unpack_from(frame)
    try:
        api = Api(key)
    except ValueError:
        raise WireError(f"unknown API key {key}") from None
    if (api, version) not in _LAYOUTS:
        raise UnsupportedVersion(api, version, correlation_id)
    schema, _ = _LAYOUTS[api, version]
    body = BytesIO(frame)
    body.seek(_HEADER.size)
    try:
        client_id = body.read(name_length).decode() if name_length > 0 else ""
        fields = _named(schema, schema.decode(body))
    except (ValueError, OverflowError, MemoryError) as error:
        raise WireError(f"malformed {api.name} version {version}: {error}") from error
    if body.tell() != len(frame):
        raise WireError(f"malformed {api.name} version {version}: {len(frame) - body.tell()} bytes left over")
    return Request(api, version, correlation_id, client_id, fields)


def encode_reply(request: Request, fields: Mapping[str, Any]) -> bytes:
    """The frame that answers `request`; fields that its version does not have are left out."""
    _, schema = _LAYOUTS[request.api, request.version]
    return _frame(request.correlation_id, schema.encode(_ordered(schema, fields)))


def encode_unsupported_api_versions(correlation_id: int) -> bytes:
    """The answer to an ApiVersions newer than ours: version 0, error 35 and the table; the client then steps down."""
    _, schema = _LAYOUTS[Api.API_VERSIONS, 0]
    fields = {"error_code": Code.UNSUPPORTED_VERSION, "api_versions": offered_versions()}
    return _frame(correlation_id, schema.encode(_ordered(schema, fields)))


def _frame(correlation_id: int, body: bytes) -> bytes:
    return struct.pack(">ii", len(body) + 4, correlation_id) + body


def _named(layout: Any, value: Any) -> Any:
    """Tuples in schema order to dictionaries by field name, all the way down."""
    if isinstance(layout, Schema):
        return {name: _named(field, part) for name, field, part in zip(layout.names, layout.fields, value, strict=True)}
    if isinstance(layout, Array) and value is not None:
        return [_named(layout.array_of, item) for item in value]
    return value


def _ordered(layout: Any, value: Any) -> Any:
    """The inverse of `_named`; a name that the layout lacks is dropped."""
    if isinstance(layout, Schema):
        return tuple(
            _ordered(field, value[name] if name in value else _ALWAYS[name])
            for name, field in zip(layout.names, layout.fields, strict=True)
        )
    if isinstance(layout, Array) and value is not None:
        return [_ordered(layout.array_of, item) for item in value]
    return value
