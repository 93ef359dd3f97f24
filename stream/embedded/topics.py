"""Topics of the embedded broker: their names, partitions and configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stream.embedded.codes import Code, Refused
from stream.embedded.log import UNLIMITED, PartitionLog

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
MAX_PARTITIONS = 1000
DEFAULT_MAX_MESSAGE_BYTES = 1_048_588

_FIXED = {"compression.type": "producer", "message.timestamp.type": "CreateTime", "min.insync.replicas": "1"}
"""Settings that say how the broker works; another value is refused, because it would not be kept to."""
_INTEGERS = (
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
)
_CLEANUP = ("delete", "compact", "compact,delete", "delete,compact")


@dataclass(slots=True)
class Topic:
    """One topic.

    Attributes:
        name: its name.
        partitions: one log each.
        configs: what was set for this topic; the rest are the broker's defaults.
    """

    name: str
    partitions: list[PartitionLog]
    configs: dict[str, str]


class Topics:
    """All topics of the broker.

    `retention.bytes`, `max.message.bytes` and `message.timestamp.after.max.ms` have their effect. `retention.ms` and
    `cleanup.policy` are kept and can be read, but nothing is dropped by time or compacted: a demo replays weeks in
    minutes, and old event times must stay.

    Args:
        partitions: of a topic that does not say how many.
        retention_bytes: kept per partition of a topic that does not say.
    """

    def __init__(self, partitions: int, retention_bytes: int) -> None:
        self._partitions = partitions
        self.defaults = {
            "cleanup.policy": "delete",
            "max.message.bytes": str(DEFAULT_MAX_MESSAGE_BYTES),
            "message.timestamp.after.max.ms": "3600000",
            "retention.bytes": str(retention_bytes),
            "retention.ms": "-1",
            "segment.bytes": "1073741824",
            "segment.ms": "604800000",
            **_FIXED,
        }
        self._topics: dict[str, Topic] = {}

    def names(self) -> list[str]:
        """Every topic, in order of creation."""
        return list(self._topics)

    def get(self, name: str) -> Topic:
        """The topic.

        Raises:
            Refused: UNKNOWN_TOPIC_OR_PARTITION.
        """
        if name not in self._topics:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, f"no topic {name!r}")
        return self._topics[name]

    def partition(self, name: str, index: int) -> PartitionLog:
        """One partition's log.

        Raises:
            Refused: UNKNOWN_TOPIC_OR_PARTITION.
        """
        partitions = self.get(name).partitions
        if not 0 <= index < len(partitions):
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, f"topic {name!r} has no partition {index}")
        return partitions[index]

    def create(self, name: str, partitions: int, configs: Mapping[str, str], *, dry_run: bool = False) -> None:
        """Create a topic; -1 partitions means the broker's default.

        Raises:
            Refused: INVALID_TOPIC, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS or INVALID_CONFIG.
        """
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise Refused(Code.INVALID_TOPIC, f"{name!r}: 1 to 249 letters, digits, dots, underscores and hyphens")
        if name in self._topics:
            raise Refused(Code.TOPIC_ALREADY_EXISTS, f"topic {name!r} exists")
        count = self._partitions if partitions == -1 else partitions
        if not 1 <= count <= MAX_PARTITIONS:
            raise Refused(Code.INVALID_PARTITIONS, f"{count} partitions; 1 to {MAX_PARTITIONS} are possible")
        self._check(configs)
        if not dry_run:
            topic = Topic(name, [PartitionLog(UNLIMITED) for _ in range(count)], {})
            self._topics[name] = topic
            self.configure(name, configs)

    def delete(self, name: str) -> None:
        """Delete a topic and all its records; whoever waits for them is woken.

        Raises:
            Refused: UNKNOWN_TOPIC_OR_PARTITION.
        """
        topic = self.get(name)
        del self._topics[name]
        for log in topic.partitions:
            log.wake()

    def configure(self, name: str, configs: Mapping[str, str], *, dry_run: bool = False) -> None:
        """Replace a topic's configuration: what is not named goes back to its default.

        Raises:
            Refused: UNKNOWN_TOPIC_OR_PARTITION or INVALID_CONFIG.
        """
        topic = self.get(name)
        self._check(configs)
        if not dry_run:
            topic.configs = dict(configs)
            for log in topic.partitions:
                log.retention_bytes = int(self.config(topic, "retention.bytes"))

    def config(self, topic: Topic, key: str) -> str:
        """A topic's value of `key`, its own or the default."""
        return topic.configs.get(key, self.defaults[key])

    def _check(self, configs: Mapping[str, str]) -> None:
        for key, value in configs.items():
            if key not in self.defaults:
                raise Refused(Code.INVALID_CONFIG, f"unknown setting {key!r}; known: {', '.join(self.defaults)}")
            if key in _FIXED and value != _FIXED[key]:
                raise Refused(Code.INVALID_CONFIG, f"the embedded broker has {key}={_FIXED[key]} only, not {value!r}")
            if key in _INTEGERS and not re.fullmatch(r"-1|\d{1,18}", value or ""):
                raise Refused(Code.INVALID_CONFIG, f"{key}={value!r}: -1 or a whole number is wanted")
            if key == "cleanup.policy" and value not in _CLEANUP:
                raise Refused(Code.INVALID_CONFIG, f"cleanup.policy={value!r}: one of {', '.join(_CLEANUP)} is wanted")
