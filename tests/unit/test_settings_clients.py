"""Settings as client arguments."""

import asyncio
import ssl

import pytest
from redis.exceptions import RedisError

from stream.settings import load_settings
from stream.settings_clients import kafka_options, redis_client


async def test_redis_sends_a_command_once() -> None:
    """When the connection breaks after a command was sent, the command is not sent again behind our back."""
    received: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if b"EVALSHA" in data:
                received.append(data)
                break
            writer.write(b"+OK\r\n" * data.count(b"\r\n*") + b"+OK\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = load_settings(None, {"MIDWATCH_REDIS__URL": f"redis://127.0.0.1:{port}/0?protocol=2"})
        client = redis_client(settings.redis)
        with pytest.raises(RedisError):
            await client.evalsha("0" * 40, 0)
        await client.aclose()
    assert len(received) == 1


def test_kafka_options_of_a_plain_cluster() -> None:
    """Without security there is none; several brokers are several."""
    options = kafka_options(load_settings(None, {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "a:1, b:2"}).kafka)
    assert options["bootstrap_servers"] == ["a:1", "b:2"]
    assert "ssl_context" not in options
    assert "sasl_mechanism" not in options


def test_kafka_options_with_sasl_over_tls() -> None:
    """SASL over TLS checks the brokers' certificates and hands the password on."""
    options = kafka_options(
        load_settings(
            None,
            {
                "MIDWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
                "MIDWATCH_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
                "MIDWATCH_KAFKA__SASL_USERNAME": "engine",
                "MIDWATCH_KAFKA__SASL_PASSWORD": "pw",
            },
        ).kafka
    )
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("engine", "pw")
