"""The command that takes telemetry over HTTP."""

from __future__ import annotations

import asyncio

from stream.cli_base import ConfigOption, complain, failures, settings_of


def ingest(config: ConfigOption = None) -> None:
    """Take telemetry over HTTP (OTLP, JSON, CloudEvents, webhooks) and write it to Kafka."""
    from aiokafka.errors import KafkaError

    from stream.ingest_http.serve import run_ingest, unread_topics
    from stream.logs import configure_logs, secret_values

    settings = settings_of(config)
    configure_logs(settings.log, secret_values(settings))
    for topic in unread_topics(settings):
        complain(f"{topic} is not in kafka.input_topics: what comes for it is stored, but no engine reads it")
    with failures(KafkaError):
        asyncio.run(run_ingest(settings))
