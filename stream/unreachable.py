"""A server that does not answer, in the words of whoever has to bring it back: which one, where, what to look at."""

from __future__ import annotations

import re
from typing import Final

KAFKA_REMEDY: Final = "check kafka.bootstrap_servers, security_protocol and that the brokers are up"
REDIS_REMEDY: Final = "check redis.url, username and password, and that the server is up"

CLUSTER_REMEDY: Final = 'set redis.mode to "cluster", and redis.url to some of its nodes'
SENTINEL_REMEDY: Final = "check redis.url (the sentinels), sentinel_master and its spelling, and that they are up"

_BROKER: Final = re.compile(r"\('([^']+)', (\d+)")
"""One of the addresses in aiokafka's message, which are Python tuples there."""

_REDIS: Final = re.compile(r"connecting to (\S+?)\.(?: |$)")


def unreachable(error: Exception) -> tuple[str, str] | None:
    """What does not answer and what to do about it; None if the error is another one.

    Told by the names of the clients' errors, so that no client is imported for it.
    """
    kind, text = type(error), str(error)
    client = kind.__module__.partition(".")[0]
    if client == "aiokafka" and kind.__name__ == "KafkaConnectionError" and "bootstrap" in text:
        brokers = ", ".join(f"{host}:{port}" for host, port in _BROKER.findall(text))
        return f"no Kafka can be reached{f' at {brokers}' if brokers else ''}", KAFKA_REMEDY
    if client == "redis" and kind.__name__ == "MovedError":
        return "the Redis that answers is a node of a cluster, but redis.mode is not cluster", CLUSTER_REMEDY
    if client == "redis" and kind.__name__ == "MasterNotFoundError":
        return "no sentinel names a Redis master that is up", SENTINEL_REMEDY
    address = _REDIS.search(text)
    if client == "redis" and kind.__name__ == "ConnectionError" and address is not None:
        return f"no Redis can be reached at {address[1]}", REDIS_REMEDY
    return None
