"""Flagger's gate: whom it lets pass, whom it sends back, and that it guards itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from stream.rollback.executors.flagger import FlaggerGate
from stream.rollback.executors.registry import Executors, Named
from stream.rollback.gate import Gate, shut
from stream.rollback.ledger import Ledger
from stream.rollback.steps import Said, step_of
from stream.settings_rollback import ExecutorSection, GateSettings
from tests.support.rollback import MINUTE, RULES, START, verdict

TOKEN = "a-token-of-some-length"
SECTION = ExecutorSection(type="flagger", namespaces=("agents",), target_kinds=("argo_rollout",))
EXECUTORS = Executors({"flagger": Named("flagger", SECTION, FlaggerGate(("agents",), 10.0))})


@asynccontextmanager
async def asked(answer: bool | None, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    gate = Gate(GateSettings(port=0, **settings), lambda namespace, canary: answer)
    async with gate.serve() as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(("answer", "confirm", "rollback"), [(False, 200, 403), (True, 403, 200), (None, 503, 503)])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_two_hooks(answer: bool | None, confirm: int, rollback: int, method: str) -> None:
    """A confirming hook passes where nothing is wrong, a rollback hook where something is; unknown is neither."""
    async with asked(answer) as client:
        assert (await client.request(method, "/v1/gates/agents/flow-1")).status_code == confirm
        assert (await client.request(method, "/v1/gates/agents/flow-1/rollback")).status_code == rollback
        assert (await client.get("/v1/gates/agents")).status_code == 404


async def test_the_token() -> None:
    """With a token nobody gets an answer without it; it may stand in the URL, where Flagger can put it."""
    async with asked(True, token=SecretStr(TOKEN)) as client:
        path = "/v1/gates/agents/flow-1/rollback"
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, params={"token": "wrong"})).status_code == 401
        assert (await client.get(path, params={"token": TOKEN})).status_code == 200
        assert (await client.get(path, headers={"Authorization": f"Bearer {TOKEN}"})).status_code == 200


def test_nothing_listens_beyond_loopback_without_a_token() -> None:
    """The settings refuse it."""
    with pytest.raises(ValidationError, match="not loopback"):
        GateSettings(host="0.0.0.0")
    assert GateSettings(host="0.0.0.0", token=SecretStr(TOKEN)).host == "0.0.0.0"


def test_how_long_a_gate_is_shut() -> None:
    """From the start, for ten minutes, or until it has turned out; not before, not in a dry run, not elsewhere."""
    ledger, given = Ledger(RULES), verdict()

    def tell(status: Any, minutes: float = 0) -> None:
        step = step_of(given, Said(status, "x"), "live", "flagger", "me", START + minutes * MINUTE)
        assert ledger.apply(step) is None

    tell("proposed")
    assert shut(ledger, EXECUTORS, START) == set()
    tell("started")
    assert shut(ledger, EXECUTORS, START) == {("agents", "flow-1")}
    tell("succeeded")
    assert shut(ledger, EXECUTORS, START + 9.9 * MINUTE) == {("agents", "flow-1")}
    assert shut(ledger, EXECUTORS, START + 10 * MINUTE) == set()
    tell("verified", 5)
    assert shut(ledger, EXECUTORS, START + 6 * MINUTE) == set()
    dry = Ledger(replace(RULES, mode="dry_run"))
    dry.apply(step_of(given, Said("skipped", "x", "dry_run"), "dry_run", "flagger", "me", START))
    assert shut(dry, EXECUTORS, START) == set()
