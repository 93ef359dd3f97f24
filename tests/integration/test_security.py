"""Least privilege, with real servers: who proves a name in Kafka or Redis can do its part's work, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka.admin import AdminClient
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from schemas.words import CONTROLS_TOPIC, HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options, redis_client
from tests.integration import traffic
from tests.integration.test_engine import ticks_done
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config
from tests.support.fortress import Fortress
from tests.support.secure_kafka import PASSWORD, unsigned_token

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]

END: Final = traffic.MINUTES + 10


@pytest.fixture
async def token_url() -> AsyncIterator[str]:
    """A token server that gives each client a token in its name, if it has the secret."""

    async def give(request: web.Request) -> web.Response:
        login = aiohttp.BasicAuth.decode(request.headers["Authorization"])
        if login.password != PASSWORD:
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": unsigned_token(login.login), "expires_in": 600})

    app = web.Application()
    app.router.add_post("/token", give)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


async def produce(settings: Settings, topic: str) -> None:
    """One record as the user of the settings. Raises what the client raises."""
    producer = AIOKafkaProducer(**kafka_options(settings.kafka), request_timeout_ms=5000)
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"{}", key=b"k")
    finally:
        await producer.stop()


@pytest.mark.parametrize("way", ["scram", "oauth", "certificate"])
async def test_the_engine_works_with_what_it_may(
    way: str, fortress: Fortress, token_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telemetry in, verdicts out, by the rules of deploy/ alone, however it proves its name; no secret is logged."""
    folder = tmp_path / "midwatch"  # the namespace, which the rules in Redis are for
    folder.mkdir()
    config = write_config(folder, fortress.kafka.bootstrap, fortress.redis_plain)
    await _empty(fortress)
    await make_topics(settings_from(config))
    for name, value in {**fortress.environment(way, "engine", token_url), **fortress.redis_environment()}.items():
        monkeypatch.setenv(name, value)
    async with Reader(fortress.kafka.bootstrap, [VERDICTS_TOPIC, HEARTBEATS_TOPIC]) as reader, engine(config):
        await send(fortress.kafka.bootstrap, [*traffic.records(), *traffic.closing(END)])
        await reader.until(lambda found: any(record.topic == VERDICTS_TOPIC for record in found))
        await reader.until(ticks_done(traffic.START_MINUTE + END - 1))
    log = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.log"))
    assert "worker_started" in log
    assert PASSWORD not in log


async def _empty(fortress: Fortress) -> None:
    """A new engine: nothing in Redis, and no topic from before."""
    admin = AdminClient({"bootstrap.servers": fortress.kafka.bootstrap})
    names = [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")]
    for done in admin.delete_topics(names).values() if names else ():
        done.result(30)
    client = redis_client(load_settings(None, {"MIDWATCH_REDIS__URL": fortress.redis_plain}).redis)
    await client.flushall()
    await client.aclose()


async def test_a_producer_says_things_about_its_agents_and_no_more(fortress: Fortress, tmp_path: Path) -> None:
    """It can neither silence a pager, nor approve a rollback, nor forge a verdict."""
    await make_topics(settings_from(write_config(tmp_path, fortress.kafka.bootstrap, fortress.redis_plain)))
    await produce(fortress.settings("producer"), "agent.interactions")
    for topic in (CONTROLS_TOPIC, VERDICTS_TOPIC, HEARTBEATS_TOPIC, "midwatch.actions"):
        with pytest.raises(TopicAuthorizationFailedError):
            await produce(fortress.settings("producer"), topic)
    await produce(fortress.settings("operator"), CONTROLS_TOPIC)
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(fortress.settings("operator"), VERDICTS_TOPIC)
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(fortress.settings("engine"), "agent.deployments")


async def test_who_cannot_prove_a_name_is_not_let_in(fortress: Fortress) -> None:
    """A wrong password, and a known user without any rule."""
    wrong = {**fortress.environment("scram", "engine"), "MIDWATCH_KAFKA__SASL_PASSWORD": "wrong"}
    with pytest.raises(KafkaError):
        await produce(load_settings(None, wrong), "agent.interactions")
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(fortress.settings("stranger"), "agent.interactions")


async def test_the_redis_user_keeps_to_its_own(fortress: Fortress) -> None:
    """Other keys, the server's settings and emptying it are not its own; nor is an unproven server spoken to."""
    client: Any = redis_client(load_settings(None, fortress.redis_environment()).redis)
    try:
        assert await client.set("{midwatch:0}:probe", "1")
        commands: list[tuple[Any, ...]] = [
            ("SET", "other", "1"),
            ("FLUSHALL",),
            ("CONFIG", "SET", "maxmemory", "1"),
            ("KEYS", "*"),
            ("ACL", "LIST"),
            ("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "other"),
        ]
        for command in commands:
            with pytest.raises((NoPermissionError, RedisError), match=r"(?i)no permissions|permission"):
                await client.execute_command(*command)
    finally:
        await client.aclose()
    wrong = {**fortress.redis_environment(), "MIDWATCH_REDIS__PASSWORD": "wrong"}
    stranger = redis_client(load_settings(None, wrong).redis)
    with pytest.raises(AuthenticationError):
        await stranger.ping()
    await stranger.aclose()
    unchecked = {key: value for key, value in fortress.redis_environment().items() if "CAFILE" not in key}
    untrusting = redis_client(load_settings(None, unchecked).redis)
    with pytest.raises(RedisError, match=r"(?i)certificate"):
        await untrusting.ping()
    await untrusting.aclose()
