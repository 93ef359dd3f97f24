"""Kafka and Redis for tests, embedded and real. All run as processes, so no test's event loop holds them.

The sessions's servers are shared: every test names its own topics, groups and keys.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from stream.embedded import EmbeddedKafkaProcess, EmbeddedRedis
from tests.support.real_kafka import ExternalKafka, RealKafkaCluster, external_kafka, new_cluster
from tests.support.real_redis import ExternalRedis, RealRedis, external_redis, new_redis
from tests.support.redis_cluster import RedisCluster


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[EmbeddedKafkaProcess]:
    """The embedded broker; `.bootstrap`."""
    with EmbeddedKafkaProcess() as broker:
        yield broker


@pytest.fixture(scope="session")
def real_kafka() -> Iterator[RealKafkaCluster | ExternalKafka]:
    """A real Kafka of one broker, or the one that `MIDWATCH_KAFKA` names; `.bootstrap`."""
    external = external_kafka()
    if external is not None:
        yield external
        return
    with new_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def kafka(request: pytest.FixtureRequest) -> Any:
    """Both, one after the other; `.bootstrap`."""
    return request.getfixturevalue(f"{request.param}_kafka")


@pytest.fixture(scope="session")
def embedded_redis() -> Iterator[EmbeddedRedis]:
    """The embedded Redis; `.url`."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session")
def real_redis() -> Iterator[RealRedis | ExternalRedis]:
    """A real redis-server, or the one that `MIDWATCH_REDIS` names; `.url`."""
    external = external_redis()
    if external is not None:
        yield external
        return
    with new_redis() as server:
        yield server


@pytest.fixture(scope="session", params=["embedded", pytest.param("real", marks=pytest.mark.redis)])
def redis_server(request: pytest.FixtureRequest) -> Any:
    """Both, one after the other; `.url`."""
    return request.getfixturevalue(f"{request.param}_redis")


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[RedisCluster]:
    """A Redis Cluster of six nodes."""
    with RedisCluster() as nodes:
        yield nodes


@pytest.fixture
def redis_cluster(shared_cluster: RedisCluster) -> RedisCluster:
    """It, whole, whatever the test before did to it."""
    shared_cluster.settle()
    return shared_cluster
