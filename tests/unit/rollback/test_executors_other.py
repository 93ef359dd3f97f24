"""Azure ML, feature flags, commands and Flagger: what is run or sent, and what never is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from stream.embedded import free_port
from stream.rollback.executors.azureml import AzureTraffic
from stream.rollback.executors.base import Order, Refused
from stream.rollback.executors.command import Command, check_template
from stream.rollback.executors.flag import FlagTrigger, check_url
from stream.rollback.executors.flagger import FlaggerGate
from stream.rollback.executors.process import run
from tests.support.programs import Programs
from tests.unit.rollback.test_executors_kubernetes import HOSTILE, order

SHOW = "az ml online-endpoint show --name scorer"


def azure(programs: Programs) -> AzureTraffic:
    return AzureTraffic(programs["az"], "rg", "ws", "sub", 20.0)


def endpoint(**ref: str) -> Order:
    return order(from_version="green", to_version="blue", ref={"endpoint": "scorer", **ref})


async def test_azure_moves_the_bad_deployments_share_alone(tmp_path: Path) -> None:
    """Others keep theirs; where the endpoint lies comes from the configuration."""
    programs = Programs(tmp_path, "az")
    programs.answer(
        (SHOW, {"out": {"traffic": {"blue": 60, "green": 30, "shadow": 10}}}), ("az ml online-endpoint update", {})
    )
    assert await azure(programs).observe(endpoint()) == "serving"
    assert (await azure(programs).execute(endpoint())).ok
    where = ["--resource-group", "rg", "--workspace-name", "ws", "--subscription", "sub", "--output", "json"]
    assert programs.calls[-1] == [
        "az", "ml", "online-endpoint", "update", "--name", "scorer", *where,
        "--traffic", "blue=90 green=0 shadow=10",
    ]  # fmt: skip


async def test_azure_looks_first(tmp_path: Path) -> None:
    """Without traffic on the bad deployment nothing is changed; where nobody serves, nobody is blamed."""
    programs = Programs(tmp_path, "az")
    programs.answer((SHOW, {"out": {"traffic": {"blue": 100, "green": 0}}}))
    outcome = await azure(programs).execute(endpoint())
    assert (outcome.ok, outcome.reason) == (True, "found_done")
    programs.answer((SHOW, {"out": {"traffic": {}}}))
    with pytest.raises(Refused, match="left alone"):
        await azure(programs).execute(endpoint())
    programs.answer((SHOW, {"out": {"traffic": None}}))
    assert await azure(programs).observe(endpoint()) == "unknown"
    assert all("update" not in call for call in programs.calls)


@pytest.mark.parametrize("value", [*HOSTILE, "a=1 b", "green=100"])
async def test_azure_takes_no_hostile_name(tmp_path: Path, value: str) -> None:
    """Nothing that could name another option, deployment or share reaches az."""
    programs = Programs(tmp_path, "az")
    for part in ("endpoint", "from_deployment", "to_deployment"):
        with pytest.raises(Refused):
            await azure(programs).execute(endpoint(**{part: value}))
    assert programs.calls == []


class Trigger:
    """A server of trigger URLs, with the requests that it got."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        self.location = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        status = self.statuses.pop(0) if self.statuses else 200
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def served(trigger: Trigger) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", trigger.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhook/triggers/secret-part"
    finally:
        await runner.cleanup()


def flag_order(**ref: str) -> Order:
    return order(ref=ref or {"flag_key": "refund-v2"})


async def test_a_flag_is_turned_off_by_one_post() -> None:
    """To the URL of the configuration, whatever the target says; the URL is in no word that is published."""
    trigger = Trigger()
    async with served(trigger) as url:
        flag = FlagTrigger(("refund-v2",), url, 5.0)
        outcome = await flag.execute(flag_order(flag_key="refund-v2", url="http://evil.example/"))
        assert outcome.ok
        assert "secret-part" not in outcome.detail + repr(flag) + flag.plan(flag_order())
    assert trigger.requests == [("POST", "/webhook/triggers/secret-part")]


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (404, False), (401, False)])
async def test_a_refused_trigger(status: int, again: bool) -> None:
    """What may pass may be tried again, a refusal not."""
    trigger = Trigger()
    trigger.statuses = [status]
    async with served(trigger) as url:
        outcome = await FlagTrigger(("refund-v2",), url, 5.0).execute(flag_order())
    assert (outcome.ok, outcome.again) == (False, again)


async def test_no_redirect_is_followed() -> None:
    """A redirect is a failure: it could lead anywhere."""
    trigger = Trigger()
    trigger.statuses = [302]
    async with served(trigger) as url:
        trigger.location = url + "/elsewhere"
        outcome = await FlagTrigger(("refund-v2",), url, 5.0).execute(flag_order())
    assert (outcome.ok, outcome.reason, len(trigger.requests)) == (False, "redirected", 1)


async def test_a_server_that_is_not_there() -> None:
    """It may be tried again, and the URL stays out of the words."""
    url = f"http://127.0.0.1:{free_port()}/secret-part"
    outcome = await FlagTrigger(("refund-v2",), url, 5.0).execute(flag_order())
    assert (outcome.ok, outcome.again, "secret-part" in outcome.detail) == (False, True, False)


@pytest.mark.parametrize("key", ["other", *HOSTILE])
async def test_other_flags_are_refused(key: str) -> None:
    """A URL is for the flags that its section names."""
    with pytest.raises(Refused):
        FlagTrigger(("refund-v2",), "https://x.example/", 1.0).plan(flag_order(key=key))


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "http://x.example/", "https://", "x", "https://u:p@x.example/", "file:///etc/passwd"]
)
def test_urls_that_are_not_posted_to(url: str) -> None:
    """Plain text beyond this machine, other schemes and credentials are refused, without repeating the URL."""
    with pytest.raises(ValueError) as error:
        check_url(url)
    assert url not in str(error.value)


def command(programs: Programs, *arguments: str, check: tuple[str, ...] = (), seconds: float = 20.0) -> Command:
    return Command((str(programs["roll"]), *arguments), check, seconds, idempotent=False)


async def test_a_command_gets_plain_words(tmp_path: Path) -> None:
    """Each placeholder is filled in within its argument; the command gets none of our variables."""
    programs = Programs(tmp_path, "roll")
    programs.answer(("roll", {"out": "done"}))
    os.environ["MIDWATCH_SECRET_FOR_TEST"] = "hunter2"
    try:
        outcome = await command(
            programs, "--flow={component}", "{from_version}", "{to_version}", "{ref.namespace}", "{environment}/x"
        ).execute(order())
    finally:
        del os.environ["MIDWATCH_SECRET_FOR_TEST"]
    assert outcome.ok
    assert programs.calls == [["roll", "--flow=flow-1", "2.0", "1.9", "agents", "production/x"]]
    assert not [name for name in programs.environment if name.startswith("MIDWATCH_")]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["component", "from_version", "to_version", "ref"])
async def test_a_command_gets_no_hostile_word(tmp_path: Path, field: str, value: str) -> None:
    """It is refused whole, and no program is run."""
    programs = Programs(tmp_path, "roll")
    given = order()
    change: dict[str, Any] = {"ref": {"flag": value}} if field == "ref" else {field: value}
    given = Order("production", "refunds", "inc_1", "act_1", given.target.model_copy(update=change))
    name = "ref.flag" if field == "ref" else field
    with pytest.raises(Refused):
        await command(programs, f"{{{name}}}").execute(given)
    assert programs.calls == []


async def test_a_secret_of_the_configuration_is_not_published(tmp_path: Path) -> None:
    """What a command line holds is passed on, and not repeated in the steps."""
    programs = Programs(tmp_path, "roll")
    programs.answer(("roll", {"out": "used token=hunter2hunter2"}))
    executor = command(programs, "--token=hunter2hunter2", "{component}")
    outcome = await executor.execute(order())
    assert programs.calls == [["roll", "--token=hunter2hunter2", "flow-1"]]
    assert "hunter2" not in outcome.detail + executor.plan(order())
    assert "flow-1" in outcome.detail


async def test_a_program_does_not_see_our_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may hold the passwords of Kafka and Redis; what else is in the environment it needs, and has."""
    monkeypatch.setenv("MIDWATCH_KAFKA__SASL_PASSWORD", "hunter2hunter2")
    monkeypatch.setenv("KUBECONFIG", "/etc/kube")
    program = "import os; print(sorted(name for name in os.environ if name.startswith(('MIDWATCH', 'KUBE'))))"
    ran = await run([sys.executable, "-c", program], 30)
    assert ran.out.strip() == b"['KUBECONFIG']"


@pytest.mark.parametrize(("code", "observed"), [(0, "rolled_back"), (1, "serving"), (3, "unknown")])
async def test_a_check_tells_how_it_stands(tmp_path: Path, code: int, observed: str) -> None:
    """By its exit code; without one nobody knows."""
    programs = Programs(tmp_path, "roll")
    programs.answer(("roll", {"code": code}))
    check = (str(programs["roll"]), "{component}")
    assert await command(programs, check=check).observe(order()) == observed
    assert await command(programs).observe(order()) == "unknown"


@pytest.mark.parametrize("argv", [("/bin/{component}",), ("/bin/x", "{}"), ("/bin/x", "{password}"), ("/x", "{ref.}")])
def test_templates_that_cannot_be_filled_in(argv: tuple[str, ...]) -> None:
    """They are refused when the configuration is read, not at night."""
    with pytest.raises(ValueError):
        check_template(argv)


async def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """At the time limit; its child, which holds the pipe open, ends as well."""
    script = tmp_path / "hang"
    script.write_text("#!/bin/sh\nsleep 300 &\necho $! > child\nwait\n", encoding="utf-8")
    script.chmod(0o755)
    ran = await run(["/usr/bin/env", "-C", str(tmp_path), str(script)], 1.0)
    assert ran.code is None
    assert "killed" in ran.said()
    assert not _is_running(int((tmp_path / "child").read_text()))


async def test_what_a_program_leaves_behind_is_killed_too(tmp_path: Path) -> None:
    """A child that holds the pipe open when the program itself has ended long ago."""
    script = tmp_path / "leave"
    script.write_text("#!/bin/sh\nsleep 300 &\necho $! > child\n", encoding="utf-8")
    script.chmod(0o755)
    ran = await run(["/usr/bin/env", "-C", str(tmp_path), str(script)], 1.0)
    assert "killed" in ran.said()
    child = int((tmp_path / "child").read_text())
    async with asyncio.timeout(10.0):
        while _is_running(child):  # noqa: ASYNC110  # it is no child of ours, whose end could be awaited
            await asyncio.sleep(0.01)


def _is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return state.rpartition(")")[2].split()[0] not in "ZX"


async def test_a_flood_of_output_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to its end, so that the program can go on, and kept only in part; then it does not count as read."""
    monkeypatch.setattr("stream.rollback.executors.process.MAX_OUTPUT", 1_000)
    ran = await run(["/usr/bin/env", "head", "-c", "1000000", "/dev/zero"], 20.0)
    assert (ran.code, len(ran.out), ran.ok) == (0, 1_000, False)


def test_flaggers_gate_is_for_named_namespaces() -> None:
    """The gate of a canary elsewhere is not shut."""
    gate = FlaggerGate(("agents",), 10.0)
    assert gate.canary(order()) == ("agents", "flow-1")
    with pytest.raises(Refused):
        gate.plan(order(ref={"namespace": "other", "name": "flow-1"}))
