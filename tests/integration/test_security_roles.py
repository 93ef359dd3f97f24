"""Each of Midwatch's parts at work by its own name, with the rights that deploy/ gives that name and no others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AclBinding, AclOperation, AdminClient
from redis.exceptions import NoPermissionError

from dashboard.acts import KafkaActs
from dashboard.model import ReadModel
from dashboard.views import Viewer
from schemas.canonical import canonical_json
from schemas.words import (
    ACTIONS_TOPIC,
    CONTROLS_TOPIC,
    DEAD_LETTERS_TOPIC,
    FEEDBACK_TOPIC,
    FIRINGS_TOPIC,
    HEARTBEATS_TOPIC,
    INPUT_TOPICS,
    OTLP_TOPICS,
    REPORTS_TOPIC,
    SNAPSHOTS_TOPIC,
    UNDELIVERED_TOPIC,
    VERDICTS_TOPIC,
)
from stream.rollback.executors.registry import build
from stream.rollback.run import Service
from stream.settings import Settings, load_settings
from stream.settings_clients import kafka_options, redis_client
from stream.sinks.listing import list_sinks
from stream.sinks.process import Sinks
from stream.topics import plan_topics
from tests.integration.test_plane import Parts as PlaneParts
from tests.integration.test_plane import configured, interaction
from tests.integration.test_rollback import configure as configure_rollback
from tests.integration.test_rollback import workload
from tests.integration.test_security import produce
from tests.support.destinations import destination
from tests.support.engine import Reader, make_topics, send, settings_from, write_config
from tests.support.fortress import Fortress, rules
from tests.support.plane import plane
from tests.support.programs import Programs
from tests.support.rollback import verdict as rollback_verdict
from tests.support.secure_kafka import PASSWORD, USERS, addresses
from tests.support.sinks import KEY, verdict

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]

PAGE: Final = Path(__file__).parents[2] / "docs/security-of-kafka-and-redis.md"
TELEMETRY: Final = {*INPUT_TOPICS, *OTLP_TOPICS}
ANSWERS: Final = {
    VERDICTS_TOPIC, FIRINGS_TOPIC, DEAD_LETTERS_TOPIC, HEARTBEATS_TOPIC, SNAPSHOTS_TOPIC, REPORTS_TOPIC
}  # fmt: skip
ALL: Final = TELEMETRY | ANSWERS | {CONTROLS_TOPIC, FEEDBACK_TOPIC, ACTIONS_TOPIC, UNDELIVERED_TOPIC}
GROUPS: Final = ("midwatch", "midwatch-evaluation", "midwatch-sink-oncall", "midwatch-rollback", "someone-elses")
TOKEN: Final = "0123456789abcdef0123456789abcdef"


def table() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """What the page says: by user, the topics that it reads and writes, and the groups that it joins."""
    words = {"telemetry": TELEMETRY, "answers": ANSWERS}
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and re.fullmatch(r"`[a-z]+`", cells[0]):
            topics = [
                set(re.findall(r"`([\w.-]+)`", cell)).union(*(words[word] for word in words if word in cell))
                for cell in cells[1:]
            ]
            found[cells[0].strip("`")] = (topics[0], topics[1], topics[2])
    return found


def admin(fortress: Fortress, user: str | None) -> AdminClient:
    """Kafka's administration as a user sees it; as the administrator without one."""
    if user is None:
        return AdminClient({"bootstrap.servers": fortress.kafka.bootstrap})
    return AdminClient(
        {
            "bootstrap.servers": addresses(fortress.kafka)[0], "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": user, "sasl.password": PASSWORD,
            "ssl.ca.location": str(fortress.authority.cafile),
        }
    )  # fmt: skip


def allowed(futures: dict[str, Any]) -> Iterator[tuple[str, set[AclOperation]]]:
    """By name, what Kafka says that the asker may do with it."""
    for name, future in futures.items():
        try:
            yield name, set(future.result(30).authorized_operations)
        except KafkaException as refused:
            if "AUTHORIZATION_FAILED" not in refused.args[0].name():
                raise
            yield name, set()


@pytest.fixture
async def secured(fortress: Fortress, tmp_path: Path) -> Fortress:
    """With all of Midwatch's topics."""
    await make_topics(settings_from(write_config(tmp_path, fortress.kafka.bootstrap, fortress.redis_plain)))
    return fortress


@pytest.mark.parametrize("user", USERS)
def test_kafka_allows_what_the_page_says(user: str, secured: Fortress) -> None:
    """For every topic and group a real Kafka's own answer is that of the table, and nobody may make or change one."""
    reads, writes, joins = table().get(user, (set(), set(), set()))
    client = admin(secured, user)
    assert {plan.name for plan in plan_topics(secured.settings(user).kafka)} == ALL
    topics = dict(
        allowed(client.describe_topics(TopicCollection(sorted(ALL)), include_authorized_operations=True))
    )
    assert {name for name, may in topics.items() if AclOperation.READ in may} == reads
    assert {name for name, may in topics.items() if AclOperation.WRITE in may} == writes
    harmless = {AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS}
    assert set().union(*topics.values()) <= harmless
    groups = dict(allowed(client.describe_consumer_groups(list(GROUPS), include_authorized_operations=True)))
    assert {name for name, may in groups.items() if AclOperation.READ in may} == joins


def test_the_table_knows_every_user() -> None:
    """But for the stranger, who may nothing."""
    assert set(table()) == set(USERS) - {"stranger"}


def test_a_rollback_that_tells_of_itself_gets_one_right_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PUBLISH_DEPLOYMENT=yes it may write deployments, and nothing else changes."""
    before = set(rules(tmp_path))
    monkeypatch.setenv("PUBLISH_DEPLOYMENT", "yes")
    (tmp_path / "acls.jsonl").unlink()
    more: set[AclBinding] = set(rules(tmp_path)) - before
    assert {(one.name, one.principal, one.operation) for one in more} == {
        ("agent.deployments", "User:rollback", AclOperation.WRITE),
        ("agent.deployments", "User:rollback", AclOperation.DESCRIBE),
    }


async def refused(settings: Settings, *, writes: str, reads: str, group: str) -> None:
    """Tries to write, to read and to join what is another part's, as the clients do it."""
    with pytest.raises(TopicAuthorizationFailedError):
        await produce(settings, writes)
    options = kafka_options(settings.kafka)
    reading = AIOKafkaConsumer(reads, **options)
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await asyncio.wait_for(reading.start(), 20)
    finally:
        await reading.stop()
    joining = AIOKafkaConsumer(VERDICTS_TOPIC, **options, group_id=group)
    try:
        with pytest.raises(GroupAuthorizationFailedError):
            await asyncio.wait_for(joining.start(), 20)
    finally:
        await joining.stop()


async def publish(fortress: Fortress, one: Any) -> None:
    """A verdict, as the engine's user."""
    async with AIOKafkaProducer(**kafka_options(fortress.settings("engine").kafka)) as producer:
        await producer.send_and_wait(VERDICTS_TOPIC, canonical_json(one), key=one.incident_id.encode())


async def test_the_deliveries(secured: Fortress) -> None:
    """A verdict is delivered and committed, one that is refused is put aside; an operator sees how far it has come."""
    good, bad = verdict("inc_good", system="roles"), verdict("inc_bad", system="roles")
    async with destination("pager", [400], answer=202) as server:
        sink = {
            "KIND": "pagerduty", "ROUTING_KEY": KEY, "URL": f"{server.url}/v2/enqueue", "ALLOW_PRIVATE": "true",
            "SYSTEMS": '["roles"]', "START_AT": "earliest",
        }  # fmt: skip
        more = {f"MIDWATCH_SINKS__ONCALL__{name}": value for name, value in sink.items()}
        settings = secured.settings("delivery", **more)
        await publish(secured, bad)
        sinks, stop = Sinks(settings), asyncio.Event()
        running = asyncio.create_task(sinks.run(stop))
        try:
            async with Reader(secured.kafka.bootstrap, [UNDELIVERED_TOPIC]) as reader:
                await reader.until(bool)
            await publish(secured, good)
            await server.until(lambda it: len(it.taken) == 1)
        finally:
            stop.set()
            await asyncio.wait_for(running, 30)
            await sinks.close()
    [line] = await list_sinks(secured.settings("operator", **more))
    assert (line.name, line.lag, line.failing) == ("oncall", 0, None)
    await refused(settings, writes=VERDICTS_TOPIC, reads="agent.interactions", group="midwatch")


async def test_the_rollback(secured: Fortress, tmp_path: Path) -> None:
    """It rolls back what a verdict asks for, and says so; it can forge neither a verdict nor an approval."""
    (tmp_path / "programs").mkdir()
    programs = Programs(tmp_path / "programs", "kubectl", "kubectl-argo-rollouts")
    shown = "kubectl get rollouts.argoproj.io flow-1"
    after = [(shown, {"out": workload(aborted=True)})]
    abort = ("kubectl-argo-rollouts abort flow-1", {"out": "aborted", "then": after})
    programs.answer((shown, {"out": workload(aborted=False)}), abort)
    config = configure_rollback(tmp_path, "unused:9", programs, publish_deployment=False)
    settings = load_settings(config, secured.environment("scram", "rollback"))
    executors, problems = build(settings.rollback, settings.rollback_executors)
    assert not problems
    stop = asyncio.Event()
    running = asyncio.create_task(Service(settings, executors).run(stop))
    try:
        await publish(secured, rollback_verdict(decided_at=datetime.now(UTC).replace(microsecond=0)))
        async with Reader(secured.kafka.bootstrap, [ACTIONS_TOPIC]) as reader:
            await reader.until(lambda found: any(b'"succeeded"' in record.value for record in found))
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)
    assert sum(call[1] == "abort" for call in programs.calls) == 1
    await refused(settings, writes=CONTROLS_TOPIC, reads=FEEDBACK_TOPIC, group="midwatch")


async def test_the_page(secured: Fortress) -> None:
    """It shows an incident and takes it in hand; in Redis it reads, and writes nothing."""
    settings = secured.settings("page", **secured.redis_environment("midwatch-page"), MIDWATCH_ENGINE__CLOCK="wall")
    told = verdict("inc_roles_page", system="roles")
    await publish(secured, told)
    model = ReadModel(settings)
    reading = asyncio.create_task(model.run())
    try:
        async with asyncio.timeout(60):
            known = -1
            while not model.memory.story(told.incident_id):
                known = await model.memory.changed(known, 1.0)
        viewer = Viewer(name="ada", role="operator", csrf=TOKEN)
        done = await KafkaActs(settings, model.memory).acknowledge(viewer, told.incident_id, "", withdraw=False)
        assert done.ok
        assert await model.views() == []
        client: Any = redis_client(settings.redis)
        for command in (("SET", "{midwatch:0}:state", "x"), ("EVAL", "return 1", 0), ("GET", "other")):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*command)
        assert await client.hgetall("{midwatch:0}:parts") is not None
        await client.aclose()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    await refused(settings, writes=VERDICTS_TOPIC, reads="agent.usage", group="midwatch")


async def test_the_judge(secured: Fortress, tmp_path: Path) -> None:
    """It scores what comes, in a group of Faust's; in Redis it has its own keys alone."""
    folder = tmp_path / "midwatch"
    folder.mkdir()
    config = configured(folder, PlaneParts(addresses(secured.kafka)[0], secured.redis_tls))
    secret = tmp_path / "password"
    secret.write_text(PASSWORD, encoding="utf-8")
    variables = {**secured.environment("scram", "judge"), **secured.redis_environment("midwatch-judge")}
    text = config.read_text(encoding="utf-8")
    for section in ("kafka", "redis"):
        keys = {
            name.rpartition("__")[2].lower(): value
            for name, value in variables.items()
            if f"_{section.upper()}__" in name and not name.endswith(("PASSWORD", "URL", "SERVERS"))
        }
        lines = "".join(f'{name} = "{value}"\n' for name, value in keys.items())
        password = "sasl_password_file" if section == "kafka" else "password_file"
        text = text.replace(f"[{section}]\n", f'[{section}]\n{lines}{password} = "{secret}"\n')
    config.write_text(text, encoding="utf-8")
    reader, judging = Reader(secured.kafka.bootstrap, ["agent.evaluations"]), plane(config, tmp_path / "judged.txt")
    async with reader, judging:
        await send(secured.kafka.bootstrap, [interaction(f"roles-{n}", n, "escalated") for n in range(4)])
        await reader.until(lambda found: sum(b'"roles-' in record.value for record in found) >= 4)
    settings = settings_from(config)
    client: Any = redis_client(settings.redis)
    try:
        assert await client.lrange("{midwatch:judge}:nothing", 0, -1) == []
        assert [key async for key in _keys(secured, "{midwatch:judge}:*")], "it kept something there"
        for command in (("GET", "{midwatch:0}:state"), ("FLUSHALL",)):
            with pytest.raises(NoPermissionError):
                await client.execute_command(*command)
    finally:
        await client.aclose()
    await refused(settings, writes=VERDICTS_TOPIC, reads=CONTROLS_TOPIC, group="midwatch")


async def _keys(fortress: Fortress, pattern: str) -> Any:
    client: Any = redis_client(load_settings(None, {"MIDWATCH_REDIS__URL": fortress.redis_plain}).redis)
    async for key in client.scan_iter(pattern):
        yield key
    await client.aclose()
