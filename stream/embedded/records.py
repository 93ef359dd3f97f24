"""Handlers of the requests that carry records: Produce, Fetch, ListOffsets and DeleteRecords."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from stream.embedded.batches import Batch, split_batches
from stream.embedded.codes import Code, Refused
from stream.embedded.log import PartitionLog
from stream.embedded.topics import Topic, Topics
from stream.embedded.wire import Fields, Request

_EARLIEST = -2
_LATEST = -1
_NOWHERE = -1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Records:
    """Answers from the partition logs."""

    topics: Topics

    async def produce(self, request: Request) -> Fields | None:
        """Append; None, so no answer at all, when the producer wants no acknowledgement.

        Raises:
            Refused: an append failed and the producer wants no acknowledgement: it learns by losing its connection.
        """
        topics = [
            {
                "topic": topic["topic"],
                "partitions": [self._answer_append(request.body, topic["topic"], part) for part in topic["partitions"]],
            }
            for topic in request.body["topics"]
        ]
        if request.body["required_acks"] != 0:
            return {"topics": topics}
        for code in (part["error_code"] for topic in topics for part in topic["partitions"]):
            if code is not Code.NONE:
                raise Refused(code, "a produce without acknowledgement failed")
        return None

    def _answer_append(self, body: Fields, name: str, part: Fields) -> Fields:
        code, offset, start = Code.NONE, _NOWHERE, _NOWHERE
        try:
            _check_produce(body)
            offset, start = self._append(name, part)
        except Refused as refused:
            _log.info("produce to %s/%s refused: %s", name, part["partition"], refused)
            code = refused.code
        return {
            "partition": part["partition"],
            "error_code": code,
            "offset": offset,
            "timestamp": -1,
            "log_start_offset": start,
        }

    def _append(self, name: str, part: Fields) -> tuple[int, int]:
        """Base offset of what was appended, and start offset of its partition.

        Raises:
            Refused: unknown partition, bytes that are no batches, a batch too large or out of sequence.
        """
        log = self.topics.partition(name, part["partition"])
        batches = list(split_batches(part["messages"] or b""))
        if not batches:
            raise Refused(Code.CORRUPT_MESSAGE, "no record batch")
        self._check_limits(self.topics.get(name), batches)
        return log.append(batches), log.start_offset

    def _check_limits(self, topic: Topic, batches: list[Batch]) -> None:
        limit = int(self.topics.config(topic, "max.message.bytes"))
        if any(len(batch.data) > limit for batch in batches):
            raise Refused(Code.MESSAGE_TOO_LARGE, f"a batch exceeds max.message.bytes={limit}")
        ahead = int(self.topics.config(topic, "message.timestamp.after.max.ms"))
        latest = time.time_ns() // 1_000_000 + ahead
        if any(batch.max_timestamp > latest for batch in batches):
            raise Refused(Code.INVALID_TIMESTAMP, f"a record is more than {ahead} ms in the future")

    async def fetch(self, request: Request) -> Fields:
        """Read; waits up to `max_wait_time` ms until `min_bytes` are there or something is wrong.

        Fetch sessions are not kept: session id 0 tells a client to name all its partitions each time (KIP-227).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.body["max_wait_time"] / 1000
        appended = asyncio.Event()
        watched = self._watch(request.body["topics"], appended)
        try:
            while True:
                appended.clear()
                topics, size, failed = self._read(request.body)
                if failed or size >= request.body["min_bytes"] or loop.time() >= deadline:
                    break
                try:
                    async with asyncio.timeout_at(deadline):
                        await appended.wait()
                except TimeoutError:
                    pass
        finally:
            for log in watched:
                log.unwatch(appended)
        return {"error_code": Code.NONE, "session_id": 0, "topics": topics}

    def _watch(self, topics: list[Fields], event: asyncio.Event) -> list[PartitionLog]:
        logs = []
        for topic in topics:
            for part in topic["partitions"]:
                try:
                    logs.append(self.topics.partition(topic["topic"], part["partition"]))
                except Refused:
                    continue
        for log in logs:
            log.watch(event)
        return logs

    def _read(self, body: Fields) -> tuple[list[Fields], int, bool]:
        """The topics of a Fetch response, how many bytes of records they hold, and whether a partition has an error."""
        size, failed, topics = 0, False, []
        for topic in body["topics"]:
            partitions = []
            for part in topic["partitions"]:
                answer = self._read_partition(topic["topic"], part, body["max_bytes"] - size, first=size == 0)
                size += len(answer["message_set"])
                failed |= answer["error_code"] != Code.NONE
                partitions.append(answer)
            topics.append({"topics": topic["topic"], "partitions": partitions})
        return topics, size, failed

    def _read_partition(self, name: str, part: Fields, room: int, *, first: bool) -> Fields:
        answer: Fields = {
            "partition": part["partition"],
            "error_code": Code.NONE,
            "highwater_offset": _NOWHERE,
            "last_stable_offset": _NOWHERE,
            "log_start_offset": _NOWHERE,
            "aborted_transactions": None,
            "preferred_read_replica": -1,
            "message_set": b"",
        }
        try:
            log = self.topics.partition(name, part["partition"])
            found = log.read(part["fetch_offset"], min(part["max_bytes"], room), at_least_one=first)
            answer["message_set"] = b"".join(found)
            answer["highwater_offset"] = answer["last_stable_offset"] = log.end_offset
            answer["log_start_offset"] = log.start_offset
        except Refused as refused:
            answer["error_code"] = refused.code
        return answer

    async def list_offsets(self, request: Request) -> Fields:
        """Offsets by time; -2 asks for the earliest, -1 for the end."""
        return _for_each(request.body["topics"], "topic", self._offset)

    def _offset(self, name: str, part: Fields) -> Fields:
        log = self.topics.partition(name, part["partition"])
        timestamp, offset = -1, _NOWHERE
        if part["timestamp"] == _EARLIEST:
            offset = log.start_offset
        elif part["timestamp"] == _LATEST:
            offset = log.end_offset
        elif (found := log.at_time(part["timestamp"])) is not None:
            timestamp, offset = found
        return {"partition": part["partition"], "error_code": Code.NONE, "timestamp": timestamp, "offset": offset}

    async def delete_records(self, request: Request) -> Fields:
        """Move the start of partitions forward."""
        return _for_each(request.body["topics"], "name", self._delete)

    def _delete(self, name: str, part: Fields) -> Fields:
        start = self.topics.partition(name, part["partition_index"]).delete_before(part["offset"])
        return {"partition_index": part["partition_index"], "low_watermark": start, "error_code": Code.NONE}


def _check_produce(body: Fields) -> None:
    if body["required_acks"] not in (-1, 0, 1):
        raise Refused(Code.INVALID_REQUIRED_ACKS, f"acks={body['required_acks']}: -1, 0 or 1 is wanted")
    if body["transactional_id"]:
        raise Refused(Code.INVALID_REQUEST, "the embedded broker has no transactions")


def _for_each(topics: list[Fields], name_field: str, answer: Callable[[str, Fields], Fields]) -> Fields:
    """`answer(topic, partition)` for every partition asked for; a refusal becomes the partition's error code."""
    replies = []
    for topic in topics:
        partitions = []
        for part in topic["partitions"]:
            try:
                partitions.append(answer(topic[name_field], part))
            except Refused as refused:
                nothing = {"timestamp": -1, "offset": _NOWHERE, "low_watermark": _NOWHERE}
                partitions.append({**part, **nothing, "error_code": refused.code})
        replies.append({name_field: topic[name_field], "partitions": partitions})
    return {"topics": replies}
