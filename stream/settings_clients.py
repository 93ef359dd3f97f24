"""Settings as the arguments of the Kafka and Redis clients, so that every part connects the same way."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.kafka_oauth import token_provider
from stream.redis_cluster import ClusterRedis
from stream.redis_sentinel import secret, sentinel_client
from stream.redis_urls import addresses
from stream.settings_redis import RedisSettings
from stream.settings_sections import KafkaSettings

NO_LIMIT: Final = 2**31
"""Connections to one node: as many as commands are under way, as with one server."""


def kafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """What every aiokafka client takes: where the cluster is and how to speak to it."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "client_id": kafka.client_id,
        "security_protocol": kafka.security_protocol,
    }
    if kafka.security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(kafka)
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_oauth_token_provider"] = token_provider(kafka)
    elif kafka.sasl_mechanism is not None and kafka.sasl_password is not None:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password.get_secret_value()
    return options


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=kafka.ssl_cafile)
    if kafka.ssl_certfile is not None:
        context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
    return context


def redis_client(settings: RedisSettings) -> Redis:
    """A client of the Redis that is configured: one server, a cluster, or the master that sentinels name.

    It sends each command once. redis-py 8 repeats a command up to ten times when a connection breaks, scripts too, by
    default in clients made of host and port. The scripts' own compare-and-set makes a repeat harmless, but a repeat
    hides how long the first try took while a lease runs out. So it is said here, and does not hang on how a client is
    made. A cluster's client is no `Redis` by class, but speaks as one.
    """
    if settings.mode == "cluster":
        nodes = [ClusterNode(host, port) for host, port in addresses(settings.url)]
        # Slots that nobody serves are an error of the commands that need them, and for the doctor to see.
        bounds: dict[str, Any] = {"max_connections": NO_LIMIT, "require_full_coverage": False}
        cluster = ClusterRedis(startup_nodes=nodes, **bounds, **_redis_options(settings))
        return cast("Redis", cluster)
    if settings.mode == "sentinel":
        return sentinel_client(settings, _redis_options(settings))
    return Redis.from_url(settings.url, **_redis_options(settings, by_url=True))


def _redis_options(settings: RedisSettings, *, by_url: bool = False) -> dict[str, Any]:
    """How to speak to every node: who we are, TLS, patience. A URL says by itself whether it is TLS."""
    options: dict[str, Any] = {
        "username": settings.username,
        "password": secret(settings.password),
        "socket_timeout": settings.socket_timeout_seconds,
        "socket_connect_timeout": settings.connect_timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": False,
    }
    if settings.url.startswith("rediss://"):
        options |= {
            "ssl_ca_certs": _text(settings.ssl_cafile),
            "ssl_certfile": _text(settings.ssl_certfile),
            "ssl_keyfile": _text(settings.ssl_keyfile),
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
        }
        if not by_url:
            options["ssl"] = True
    return options


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
