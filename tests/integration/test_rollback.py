"""`midwatch rollback run` between real topics: approval, one action of two subscribers, verification, restarts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner

from schemas.actions import ActionTaken
from schemas.canonical import canonical_json
from schemas.outputs import Recommendation, Verdict
from schemas.words import ACTIONS_TOPIC, CONTROLS_TOPIC, VERDICTS_TOPIC
from stream.cli import app
from stream.embedded import EmbeddedKafkaProcess, free_port
from stream.rollback.executors.registry import build
from stream.rollback.journal import JournalError
from stream.rollback.run import Service
from stream.settings import Settings, load_settings
from tests.support.engine import Reader, make_topics
from tests.support.programs import Programs
from tests.support.real_kafka import new_cluster
from tests.support.rollback import MINUTE, verdict

pytestmark = pytest.mark.timeout(120)

ROLLOUT = "kubectl get rollouts.argoproj.io flow-1"


def workload(*, aborted: bool) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app.kubernetes.io/version": "2.0"}}}
    status = {"stableRS": "a", "currentPodHash": "b", "abort": aborted}
    return {"metadata": {"uid": "u1"}, "spec": {"template": template}, "status": status}


def configure(folder: Path, bootstrap: str, programs: Programs, **rollback: Any) -> Path:
    """A configuration that lets an Argo Rollout be aborted by the stand-ins, and looks every now and then."""
    keys = {
        "mode": "live",
        "environments": ["production"],
        "action_seconds": 20.0,
        "verify_every_seconds": 0.1,
        "publish_deployment": True,
        **rollback,
    }
    executor = {
        "type": "argo_rollouts",
        "binary": str(programs["kubectl"]),
        "argo_binary": str(programs["kubectl-argo-rollouts"]),
        "namespaces": ["agents"],
    }
    lines = ["[kafka]", f'bootstrap_servers = "{bootstrap}"', "session_timeout_ms = 6000", "[http]", "port = 0"]
    lines += ["[rollback]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    lines += ["[rollback_executors.prod]", *(f"{key} = {json.dumps(value)}" for key, value in executor.items())]
    path = folder / "midwatch.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    folder = tmp_path / "programs"
    folder.mkdir()
    found = Programs(folder, "kubectl", "kubectl-argo-rollouts")
    after = [(ROLLOUT, {"out": workload(aborted=True)})]
    found.answer(
        (ROLLOUT, {"out": workload(aborted=False)}),
        ("kubectl-argo-rollouts abort flow-1", {"out": "rollout 'flow-1' aborted", "then": after}),
    )
    return found


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def bootstrap(request: pytest.FixtureRequest) -> Iterator[str]:
    with EmbeddedKafkaProcess() if request.param == "embedded" else new_cluster() as broker:
        yield broker.bootstrap


@asynccontextmanager
async def subscriber(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A subscriber as a process of its own; ended with SIGTERM, which must be a clean end."""
    log = config.with_name(f"rollback-{os.urandom(4).hex()}.log")
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stream.cli", "rollback", "run", "--config", str(config),
            stdout=sink, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0, log.read_text()


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[None]:
    """A subscriber in this process, which starts in no time."""
    settings = load_settings(config, {})
    executors, problems = build(settings.rollback, settings.rollback_executors)
    assert not problems
    stop = asyncio.Event()
    task = asyncio.create_task(Service(settings, executors).run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


class Stage:
    """The topics round the subscribers, and the command line."""

    def __init__(self, settings: Settings, config: Path, reader: Reader) -> None:
        self.settings = settings
        self.config = config
        self._reader = reader

    @property
    def steps(self) -> list[ActionTaken]:
        return [
            ActionTaken.model_validate_json(record.value)
            for record in self._reader.records
            if record.topic == ACTIONS_TOPIC
        ]

    async def publish(self, given: Verdict) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers) as producer:
            await producer.send_and_wait(VERDICTS_TOPIC, canonical_json(given), key=given.incident_id.encode())

    async def until(self, condition: Callable[[list[ActionTaken]], bool]) -> list[ActionTaken]:
        await self._reader.until(lambda _: condition(self.steps))
        return self.steps

    async def step(self, status: str) -> ActionTaken:
        """The first step of this status."""
        await self.until(lambda steps: any(step.status == status for step in steps))
        return next(step for step in self.steps if step.status == status)

    async def cli(self, *arguments: str, exit_code: int = 0) -> Any:
        command = [*arguments, "--config", str(self.config), "--json"]
        done = await asyncio.to_thread(CliRunner().invoke, app, command)
        assert done.exit_code == exit_code, done.output
        return json.loads(done.stdout) if exit_code == 0 else done.stderr


@asynccontextmanager
async def staged(config: Path) -> AsyncIterator[Stage]:
    settings = load_settings(config, {})
    await make_topics(settings)
    topics = [ACTIONS_TOPIC, CONTROLS_TOPIC, "agent.deployments"]
    async with Reader(settings.kafka.bootstrap_servers, topics) as reader:
        yield Stage(settings, config, reader)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def over(given: Verdict) -> Verdict:
    """The end of its incident."""
    advice = Recommendation(
        kind="none", confidence=1.0, reason="over", requires_approval=True, not_after=now(), idempotency_key="act_none"
    )
    update = {"status": "resolved", "revision": given.revision + 1, "decided_at": now(), "recommendation": advice}
    return given.model_copy(update=update)


async def test_two_subscribers_and_a_person_roll_back_once(bootstrap: str, programs: Programs, tmp_path: Path) -> None:
    """It waits for approval, is done by one of the two, verified at the end; whoever starts anew does nothing more."""
    config = configure(tmp_path, bootstrap, programs)
    given = verdict(1, decided_at=now(), requires_approval=True)
    async with staged(config) as stage:
        async with subscriber(config), subscriber(config):
            await stage.publish(given)
            waiting = await stage.step("awaiting_approval")
            assert waiting.mode == "live"
            [listed] = (await stage.cli("actions", "list", "--open"))["actions"]
            assert (listed["status"], listed["idempotency_key"]) == ("awaiting_approval", "act_1")
            assert [call for call in programs.calls if "abort" in call] == []
            said = await stage.cli("actions", "approve", given.incident_id, "--by", "ada", "--note", "go")
            assert (said["decision"], said["idempotency_key"]) == ("approve", "act_1")
            done = await stage.step("succeeded")
            assert (done.executor, done.needs_attention) == ("prod", False)
            assert "taken already: succeeded" in await stage.cli("actions", "refuse", "act_1", exit_code=1)
            await stage.publish(over(given))
            verified = await stage.step("verified")
            assert verified.evidence["version"] == "rolled_back"
        # Both are gone; the same verdict, by a later revision, is asked for again.
        again = given.model_copy(update={"revision": 3, "decided_at": now(), "status": "updated"})
        other = verdict(2, decided_at=now(), confidence=0.5)
        async with running(config):
            await stage.publish(again)
            await stage.publish(other)
            await stage.until(lambda steps: any(one.idempotency_key == "act_2" for one in steps))
        statuses = [step.status for step in stage.steps if step.idempotency_key == "act_1"]
        assert statuses == ["proposed", "awaiting_approval", "approved", "started", "succeeded", "verified"]
        assert [step.reason for step in stage.steps if step.idempotency_key == "act_2"] == ["low_confidence"]
        approved = next(step for step in stage.steps if step.status == "approved")
        assert (approved.by, approved.detail) == ("ada", "approved by ada: go")
    aborts = [call for call in programs.calls if "abort" in call]
    assert aborts == [["kubectl-argo-rollouts", "abort", "flow-1", "--namespace=agents"]]
    events = [json.loads(one.value) for one in stage._reader.records if one.topic == "agent.deployments"]
    assert [(one["phase"], one["version"]) for one in events] == [("rolled_back", "2.0")]


@pytest.fixture
def embedded() -> Iterator[str]:
    with EmbeddedKafkaProcess() as broker:
        yield broker.bootstrap


async def test_the_kill_switch_and_the_refusal(embedded: str, programs: Programs, tmp_path: Path) -> None:
    """Nothing is done while it is halted; a refusal holds; what is over, or asked for no longer, is not done."""
    config = configure(tmp_path, embedded, programs, max_per_hour=5)
    async with staged(config) as stage:
        await stage.cli("actions", "halt", "--reason", "change freeze", "--by", "bo")
        # Both revisions are there before the subscriber is: it must know the second one when it looks at the first.
        await stage.publish(verdict(5, decided_at=now()))
        await stage.publish(verdict(5, 2, decided_at=now(), kind="escalate"))
        async with running(config):
            await stage.publish(verdict(1, decided_at=now()))
            halted = await stage.step("skipped")
            assert (halted.reason, halted.by) == ("halted", "bo")
            assert "change freeze" in halted.detail
            [halt] = (await stage.cli("actions", "list"))["halts"]
            assert halt["by"] == "bo"
            await stage.cli("actions", "refuse", "act_1", "--note", "it is not that")
            await stage.cli("actions", "resume")
            refused = await stage.step("refused")
            assert "it is not that" in refused.detail
            assert "nothing is halted" in await stage.cli("actions", "resume", exit_code=1)
            assert "is on the topic" in await stage.cli("actions", "approve", "inc_nobody", exit_code=1)
            assert "asks for no rollback now" in await stage.cli("actions", "approve", "inc_5", exit_code=1)
            assert "28 days" in await stage.cli("actions", "halt", "--for", "40d", "--reason", "x", exit_code=2)
            late = verdict(3, decided_at=now() - timedelta(hours=2))
            await stage.publish(late)
            expired = await stage.step("expired")
            assert expired.incident_id == late.incident_id
            assert "it was to be done until" in await stage.cli("actions", "approve", late.incident_id, exit_code=1)
        await stage.publish(verdict(6, decided_at=now()))
        await stage.publish(verdict(6, 2, decided_at=now(), idempotency_key="act_9"))
        for seen in ("vrd_6_1", "act_6"):
            assert "now asks for act_9" in await stage.cli("actions", "approve", seen, exit_code=1)
        assert (await stage.cli("actions", "approve", "vrd_6_2"))["idempotency_key"] == "act_9"
        assert {step.idempotency_key for step in stage.steps} == {"act_1", "act_3"}
    assert programs.calls == []


async def test_a_dry_run_says_what_it_would_do(embedded: str, programs: Programs, tmp_path: Path) -> None:
    """Nothing is done, the plan is published once; its time is the telemetry's where that moves time."""
    config = configure(tmp_path, embedded, programs, mode="dry_run")
    config.write_text(config.read_text() + '\n[engine]\nclock = "stream"\n')
    async with staged(config) as stage:
        async with running(config):
            await stage.publish(verdict(1))
            dry = await stage.step("skipped")
        async with running(config):
            await stage.publish(verdict(2, confidence=0.5, decided_at=verdict(1).decided_at + MINUTE))
            await stage.until(lambda steps: any(one.idempotency_key == "act_2" for one in steps))
        assert (dry.mode, dry.reason) == ("dry_run", "dry_run")
        assert "abort flow-1 in agents while 2.0 is a canary" in dry.detail
        assert [step.status for step in stage.steps if step.idempotency_key == "act_1"] == ["proposed", "skipped"]
    assert programs.calls == []


async def test_flagger_asks_at_the_gate(embedded: str, programs: Programs, tmp_path: Path) -> None:
    """The gate is shut, and the rollback hook told to roll back, once the action has started; other canaries go on."""
    config, port = configure(tmp_path, embedded, programs), free_port()
    lines = ["", "[rollback.gate]", "enabled = true", f"port = {port}", "[rollback_executors.flagger]"]
    lines += ['type = "flagger"', 'namespaces = ["agents"]']
    config.write_text(config.read_text() + "\n".join(lines))
    client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    async with staged(config) as stage, running(config), client:
        await stage.publish(verdict(2, decided_at=now(), confidence=0.5))
        await stage.step("skipped")
        assert (await client.get("/v1/gates/agents/flow-1")).status_code == 200
        assert (await client.post("/v1/gates/agents/flow-1/rollback", json={})).status_code == 403
        await stage.publish(verdict(1, decided_at=now()).model_copy(update={"target": _canary()}))
        await stage.step("succeeded")
        assert (await client.get("/v1/gates/agents/flow-1")).status_code == 403
        assert (await client.post("/v1/gates/agents/flow-1/rollback", json={})).status_code == 200
        assert (await client.get("/v1/gates/agents/flow-2")).status_code == 200


async def test_the_topic_of_actions_must_have_one_partition(
    embedded: str, programs: Programs, tmp_path: Path
) -> None:
    """With several there is no one order, and with none no memory: the subscriber does not start, and says so."""
    config = configure(tmp_path, embedded, programs)
    settings = load_settings(config, {})
    executors, _ = build(settings.rollback, settings.rollback_executors)
    with pytest.raises(JournalError, match="midwatch topics create"):
        await Service(settings, executors).run(asyncio.Event())
    admin = AIOKafkaAdminClient(bootstrap_servers=embedded)
    await admin.start()
    await admin.create_topics([NewTopic(ACTIONS_TOPIC, 2, 1)])
    await admin.close()
    with pytest.raises(JournalError, match="has 2 partitions"):
        await Service(settings, executors).run(asyncio.Event())


def _canary() -> Any:
    target = verdict(1).target
    assert target is not None
    return target.model_copy(update={"kind": "flagger_canary"})


async def test_actions_on_a_new_cluster(embedded: str, programs: Programs, tmp_path: Path) -> None:
    """Without the topic there is no telling whether nothing was done: it says so, and what to do."""
    config = configure(tmp_path, embedded, programs)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["actions", "list", "--config", str(config)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "midwatch topics create" in done.stderr
