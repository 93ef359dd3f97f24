"""Settings as client arguments."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from typing import Self

import pytest
from aiohttp import web
from aiokafka.errors import KafkaConnectionError
from redis.exceptions import RedisError

from stream.kafka_oauth import ClientCredentials
from stream.settings import SettingsError, load_settings
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


OAUTH = {
    "MIDWATCH_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "MIDWATCH_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "MIDWATCH_KAFKA__OAUTH_CLIENT_ID": "engine",
    "MIDWATCH_KAFKA__OAUTH_CLIENT_SECRET": "planted-secret",
}


class TokenServer:
    """A token endpoint on loopback: answers with what `answers` holds, the last of them for good."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.url = ""

    async def _serve(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append(" ".join([request.headers["Authorization"], *map(str, form.values())]))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, body=body, content_type="application/json")

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/token", self._serve)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/token"
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    def provider(self, clock: Callable[[], float] = lambda: 0.0, **more: str) -> ClientCredentials:
        settings = load_settings(None, {**OAUTH, "MIDWATCH_KAFKA__OAUTH_TOKEN_URL": self.url, **more})
        return ClientCredentials(settings.kafka, clock)


async def test_a_token_is_asked_for_once_in_its_life() -> None:
    """Ten brokers that connect at once cost one request; after four fifths of its life the token is had anew."""
    now = [0.0]
    answers = [(200, b'{"access_token": "one", "expires_in": 100}'), (200, b'{"access_token": "two"}')]
    async with TokenServer(*answers) as server:
        provider = server.provider(lambda: now[0], MIDWATCH_KAFKA__OAUTH_SCOPE="kafka")
        assert await asyncio.gather(*[provider.token() for _ in range(10)]) == ["one"] * 10
        now[0] = 79.0
        assert await provider.token() == "one"
        now[0] = 81.0
        assert await provider.token() == "two"
        basic = base64.b64encode(b"engine:planted-secret").decode("ascii")
        assert server.asked == [f"Basic {basic} client_credentials kafka"] * 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "invalid_client"}', "it answers 401"),
        (302, b"", "it answers 302"),
        (200, b"<html>", "holds no access_token"),
        (200, b'{"access_token": 5}', "holds no access_token"),
        (200, b'["x"]', "holds no access_token"),
        (200, b'{"access_token": "' + b"x" * 70_000 + b'"}', "holds no access_token"),
    ],
    ids=["refused", "moved", "no JSON", "no text", "no object", "endless"],
)
async def test_a_token_that_cannot_be_had_is_said(status: int, body: bytes, said: str) -> None:
    """With the address and the reason, never the secret; clients try again."""
    async with TokenServer((status, body)) as server:
        with pytest.raises(KafkaConnectionError, match=said) as caught:
            await server.provider().token()
        assert server.url in str(caught.value)
        assert "planted-secret" not in str(caught.value)


async def test_the_secret_follows_no_redirect() -> None:
    """Who can bend the address of the tokens must not be handed the secret."""
    async with TokenServer((200, b'{"access_token": "stolen"}')) as other:

        async def elsewhere(_request: web.Request) -> web.Response:
            return web.Response(status=307, headers={"Location": other.url})

        app = web.Application()
        app.router.add_post("/token", elsewhere)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            other_url, other.url = other.url, f"http://127.0.0.1:{runner.addresses[0][1]}/token"
            provider, other.url = other.provider(), other_url
            with pytest.raises(KafkaConnectionError, match="it answers 307"):
                await provider.token()
        finally:
            await runner.cleanup()
        assert other.asked == []


async def test_a_token_server_that_is_away_is_said() -> None:
    """Nobody listens: the kind of error, and the address."""
    async with TokenServer((200, b"")) as server:
        provider = server.provider()
    with pytest.raises(KafkaConnectionError, match="ConnectError"):
        await provider.token()


def test_kafka_options_with_oauth() -> None:
    """All clients of a process share one provider, and so one token."""
    kafka = load_settings(None, {**OAUTH, "MIDWATCH_KAFKA__OAUTH_TOKEN_URL": "https://login.example/token"}).kafka
    first, second = kafka_options(kafka), kafka_options(kafka)
    assert first["sasl_mechanism"] == "OAUTHBEARER"
    assert first["sasl_oauth_token_provider"] is second["sasl_oauth_token_provider"]
    assert "sasl_plain_password" not in first


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MIDWATCH_KAFKA__OAUTH_TOKEN_URL": ""}, "oauth_token_url"),
        ({"MIDWATCH_KAFKA__OAUTH_TOKEN_URL": "http://login.example/token"}, "must be https"),
        ({"MIDWATCH_KAFKA__SASL_USERNAME": "engine"}, "has no use for sasl_username"),
        ({"MIDWATCH_KAFKA__SECURITY_PROTOCOL": "SSL"}, "security_protocol is not SASL"),
        ({"MIDWATCH_REDIS__SSL_CAFILE": "/ca.pem"}, "does not start with rediss"),
        ({"MIDWATCH_REDIS__URL": "rediss://r/0", "MIDWATCH_REDIS__SSL_CERTFILE": "/c.pem"}, "go together"),
    ],
    ids=["no address", "secret in the clear", "two ways", "no SASL", "no TLS", "half a pair"],
)
def test_half_a_security_is_refused(change: dict[str, str], said: str) -> None:
    """Each with what is missing or too much; the secret is in no message."""
    environ = {**OAUTH, "MIDWATCH_KAFKA__OAUTH_TOKEN_URL": "https://login.example/token", **change}
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings(None, {key: value for key, value in environ.items() if value})
    assert "planted-secret" not in str(caught.value)
