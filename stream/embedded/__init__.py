"""Kafka and Redis without anything to install, for the demo and for tests. Never for production."""

from stream.embedded.broker import EmbeddedKafka
from stream.embedded.ports import free_port
from stream.embedded.process import EmbeddedKafkaProcess
from stream.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedKafka", "EmbeddedKafkaProcess", "EmbeddedRedis", "free_port"]
