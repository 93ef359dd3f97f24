"""Least privilege, with real servers: who proves a name in Kafka or Redis can do its part's work, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from schemas.words import CONTROLS_TOPIC, HEARTBEATS_TOPIC, VERDICTS_TOPIC
from stream.embedded import free_port
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options, redis_client
from tests.integration import traffic
from tests.integration.test_engine import ticks_done
from tests.support.certificates import Authority
from tests.support.engine import Reader, engine, make_topics, send, settings_from, write_config
from tests.support.real_kafka import RealKafkaCluster, new_cluster
from tests.support.real_redis import new_redis
from tests.support.secure_kafka import PASSWORD, SecureKafka, SecureNode, addresses, unsigned_token

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
RECORDER: Final = "import json, sys; print(json.dumps(sys.argv[2:]), file=open(sys.argv[1], 'a'))"
END: Final = traffic.MINUTES + 10


@dataclass(frozen=True)
class Fortress:
    """A Kafka and a Redis with the access rules that lie in deploy/."""

    kafka: RealKafkaCluster
    authority: Authority
    redis_tls: str
    redis_plain: str

    def environment(self, way: str, user: str, token_url: str = "") -> dict[str, str]:
        """The variables by which `user` comes in by `way`: scram, oauth or certificate."""
        sasl, tls = addresses(self.kafka)
        found = {"SSL_CAFILE": str(self.authority.cafile), "BOOTSTRAP_SERVERS": sasl, "SECURITY_PROTOCOL": "SASL_SSL"}
        if way == "scram":
            found |= {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": user, "SASL_PASSWORD": PASSWORD}
        elif way == "oauth":
            found |= {"SASL_MECHANISM": "OAUTHBEARER", "OAUTH_CLIENT_ID": user, "OAUTH_CLIENT_SECRET": PASSWORD}
            found |= {"OAUTH_TOKEN_URL": token_url}
        else:
            certfile, keyfile = self.authority.issue(user)
            found |= {"BOOTSTRAP_SERVERS": tls, "SECURITY_PROTOCOL": "SSL"}
            found |= {"SSL_CERTFILE": str(certfile), "SSL_KEYFILE": str(keyfile)}
        return {f"MIDWATCH_KAFKA__{name}": value for name, value in found.items()}

    def settings(self, user: str) -> Settings:
        return load_settings(None, self.environment("scram", user))


def rules(folder: Path) -> list[AclBinding]:
    """What `deploy/kafka/acls.sh` asks for, as Kafka's own tool would read it."""
    asked = folder / "acls.jsonl"
    program = folder / "record.py"
    program.write_text(RECORDER, encoding="utf-8")
    environ = {**os.environ, "KAFKA_ACLS": f"{sys.executable} {program} {asked}"}
    subprocess.run(["bash", DEPLOY / "kafka/acls.sh"], env=environ, check=True, timeout=60)
    found = []
    for line in asked.read_text(encoding="utf-8").splitlines():
        arguments: list[str] = json.loads(line)
        assert arguments.pop(0) == "--add"
        pairs = list(zip(arguments[::2], arguments[1::2], strict=True))
        user = dict(pairs)["--allow-principal"]
        pattern = ResourcePatternType[dict(pairs).get("--resource-pattern-type", "literal").upper()]
        for operation in [AclOperation[_snake(value)] for key, value in pairs if key == "--operation"]:
            for key, name in pairs:
                if key in {"--topic", "--group"}:
                    kind = ResourceType[key.removeprefix("--").upper()]
                    found.append(AclBinding(kind, name, pattern, user, "*", operation, AclPermissionType.ALLOW))
    return list(dict.fromkeys(found))


def _snake(name: str) -> str:
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name).strip("_").upper()


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    folder = tmp_path_factory.mktemp("fortress")
    SecureNode.authority = authority = Authority(folder)
    certfile, keyfile = authority.issue("redis")
    password = hashlib.sha256(PASSWORD.encode()).hexdigest()
    rule = (DEPLOY / "redis/midwatch.acl").read_text(encoding="utf-8").strip()
    (folder / "users.acl").write_text(f"user default on nopass ~* &* +@all\n{rule} #{password}\n", encoding="utf-8")
    port = free_port()
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certfile), "--tls-key-file", str(keyfile)]
    tls += ["--tls-ca-cert-file", str(authority.cafile), "--tls-auth-clients", "no"]
    with new_cluster(1, SecureKafka) as kafka, new_redis([*tls, "--aclfile", str(folder / "users.acl")]) as redis:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        for done in admin.create_acls(rules(folder)).values():
            done.result(30)
        yield Fortress(kafka, authority, f"rediss://127.0.0.1:{port}/0", redis.url)


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


def redis_environment(fortress: Fortress) -> dict[str, str]:
    """The variables by which the engine comes into Redis: over TLS, as a user that may little."""
    found = {
        "URL": fortress.redis_tls,
        "USERNAME": "midwatch",
        "PASSWORD": PASSWORD,
        "SSL_CAFILE": str(fortress.authority.cafile),
    }
    return {f"MIDWATCH_REDIS__{name}": value for name, value in found.items()}


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
    for name, value in {**fortress.environment(way, "engine", token_url), **redis_environment(fortress)}.items():
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
    client: Any = redis_client(load_settings(None, redis_environment(fortress)).redis)
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
    wrong = {**redis_environment(fortress), "MIDWATCH_REDIS__PASSWORD": "wrong"}
    stranger = redis_client(load_settings(None, wrong).redis)
    with pytest.raises(AuthenticationError):
        await stranger.ping()
    await stranger.aclose()
    unchecked = {key: value for key, value in redis_environment(fortress).items() if "CAFILE" not in key}
    untrusting = redis_client(load_settings(None, unchecked).redis)
    with pytest.raises(RedisError, match=r"(?i)certificate"):
        await untrusting.ping()
    await untrusting.aclose()
