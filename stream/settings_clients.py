"""Settings as the arguments of the Kafka and Redis clients, so that every part connects the same way."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stream.kafka_oauth import token_provider
from stream.settings_sections import KafkaSettings, RedisSettings


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
    """A client that sends each command once.

    redis-py 8 repeats a command up to ten times when a connection breaks, scripts too, by default in clients made of
    host and port. The scripts' own compare-and-set makes a repeat harmless, but a repeat hides how long the first try
    took while a lease runs out. So it is said here, and does not hang on how a client is made.
    """
    password = settings.password.get_secret_value() if settings.password is not None else None
    secure: dict[str, Any] = {}
    if settings.url.startswith("rediss://"):
        secure = {
            "ssl_ca_certs": _text(settings.ssl_cafile),
            "ssl_certfile": _text(settings.ssl_certfile),
            "ssl_keyfile": _text(settings.ssl_keyfile),
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": True,
        }
    return Redis.from_url(
        settings.url,
        username=settings.username,
        password=password,
        socket_timeout=settings.socket_timeout_seconds,
        socket_connect_timeout=settings.connect_timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        **secure,
    )


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
