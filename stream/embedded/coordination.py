"""Handlers of the requests to the group coordinator, which is always this one broker."""

import logging
from dataclasses import dataclass

from stream.embedded.codes import Code, Refused
from stream.embedded.groups import Groups
from stream.embedded.members import Committed, Join
from stream.embedded.topics import Topics
from stream.embedded.wire import Fields, Request

_OWN_MEMBER_ID_SINCE = 4
_TRANSACTION = 1
_MAX_METADATA_BYTES = 4096
_NO_OFFSET = -1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Coordination:
    """Answers from the consumer groups.

    Attributes:
        node: id, host and port of this broker, as a FindCoordinator response states them.
    """

    groups: Groups
    topics: Topics
    node: Fields

    async def find_coordinator(self, request: Request) -> Fields:
        """This broker; but there is no coordinator of transactions."""
        if request.body.get("coordinator_type") == _TRANSACTION:
            why = "the embedded broker has no transactions: use an idempotent producer without transactional_id"
            _log.warning("client %r asked for transactions: %s", request.client_id, why)
            code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            return {"error_code": code, "error_message": why, "coordinator_id": -1, "host": "", "port": -1}
        return {"error_code": Code.NONE, "error_message": None, **self.node}

    async def join(self, request: Request) -> Fields:
        """JoinGroup; answered when the new generation begins."""
        body = request.body
        ask = Join(
            member_id=body["member_id"] or "",
            instance_id=body.get("group_instance_id"),
            session_ms=body["session_timeout"],
            rebalance_ms=max(0, body["rebalance_timeout"] if "rebalance_timeout" in body else body["session_timeout"]),
            protocol_type=body["protocol_type"],
            protocols=tuple((each["protocol_name"], each["protocol_metadata"]) for each in body["group_protocols"]),
            client_id=request.client_id,
            must_know_id=request.version >= _OWN_MEMBER_ID_SINCE,
        )
        joined = await self.groups.get(body["group"]).join(ask)
        return {
            "error_code": joined.code,
            "generation_id": joined.generation,
            "group_protocol": joined.protocol,
            "leader_id": joined.leader,
            "member_id": joined.member_id,
            "members": [
                {"member_id": member, "group_instance_id": instance, "member_metadata": subscription}
                for member, instance, subscription in joined.members
            ],
        }

    async def sync(self, request: Request) -> Fields:
        """SyncGroup; answered when the leader has brought the assignment."""
        body = request.body
        assignments = {each["member_id"]: each["member_metadata"] for each in body["group_assignment"]}
        synced = await self.groups.get(body["group"]).sync(body["member_id"], body["generation_id"], assignments)
        return {"error_code": synced.code, "member_assignment": synced.assignment}

    async def heartbeat(self, request: Request) -> Fields:
        """Heartbeat."""
        body = request.body
        return {"error_code": self.groups.get(body["group"]).heartbeat(body["member_id"], body["generation_id"])}

    async def leave(self, request: Request) -> Fields:
        """LeaveGroup."""
        return {"error_code": self.groups.get(request.body["group"]).leave(request.body["member_id"])}

    async def commit(self, request: Request) -> Fields:
        """OffsetCommit: all good partitions of a request are kept, or none if the member is not entitled to."""
        body = request.body
        keep: dict[tuple[str, int], Committed] = {}
        codes: dict[tuple[str, int], Code] = {}
        for topic in body["topics"]:
            for part in topic["partitions"]:
                key = topic["topic"], part["partition"]
                codes[key] = self._commit_fault(*key, part["metadata"])
                if codes[key] is Code.NONE:
                    keep[key] = Committed(part["offset"], part["metadata"] or "")
        group = self.groups.get(body["consumer_group"])
        code = group.commit(body["consumer_id"] or "", body["consumer_group_generation_id"], keep)
        if code is not Code.NONE:
            codes = dict.fromkeys(codes, code)
        return {
            "topics": [
                {
                    "topic": topic["topic"],
                    "partitions": [
                        {"partition": part["partition"], "error_code": codes[topic["topic"], part["partition"]]}
                        for part in topic["partitions"]
                    ],
                }
                for topic in body["topics"]
            ]
        }

    def _commit_fault(self, name: str, partition: int, metadata: str | None) -> Code:
        if len(metadata or "") > _MAX_METADATA_BYTES:
            return Code.OFFSET_METADATA_TOO_LARGE
        try:
            self.topics.partition(name, partition)
        except Refused as refused:
            return refused.code
        return Code.NONE

    async def fetch_offsets(self, request: Request) -> Fields:
        """OffsetFetch: the partitions named, or, when none are, all that the group ever committed."""
        group = self.groups.get(request.body["consumer_group"])
        asked = request.body["topics"]
        if asked is None:
            names = dict.fromkeys(name for name, _ in group.offsets)
            asked = [{"topic": name, "partitions": [p for n, p in group.offsets if n == name]} for name in names]
        nothing = Committed(_NO_OFFSET, "")
        topics = [
            {
                "topic": topic["topic"],
                "partitions": [
                    {
                        "partition": partition,
                        "offset": (found := group.offsets.get((topic["topic"], partition), nothing)).offset,
                        "metadata": found.metadata,
                        "error_code": Code.NONE,
                    }
                    for partition in topic["partitions"]
                ],
            }
            for topic in asked
        ]
        return {"topics": topics, "error_code": Code.NONE}
