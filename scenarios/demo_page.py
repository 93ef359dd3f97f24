"""The on-call page of the demonstration: its process, and whether it shows the incidents that the verdicts speak of."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from scenarios.demo_engine import PACKAGE_ROOT, EngineError, stop_process
from schemas.outputs import Verdict
from stream.embedded.guard import Guard

START_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
PROMPT = "The on-call page: "


@asynccontextmanager
async def page_process(config: Path, log: Path) -> AsyncIterator[str]:
    """`midwatch dashboard` in a process of its own, ended with this context, or with this process; its address."""
    path = os.pathsep.join(filter(None, [PACKAGE_ROOT, os.environ.get("PYTHONPATH", "")]))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIDWATCH_")}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream.cli", "dashboard", "--simulated", "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    guard = Guard(process.pid)
    try:
        yield await _address(process, log)
    finally:
        await stop_process(process)
        guard.release()


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    out = process.stdout
    said = await asyncio.wait_for(out.readline(), START_SECONDS) if out is not None else b""
    line = said.decode().strip()
    if not line.startswith(PROMPT):
        raise EngineError(f"The on-call page did not start: {_end_of(log)}")
    return line.removeprefix(PROMPT)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


async def shown_problem(address: str, verdicts: Iterable[Verdict]) -> str | None:
    """What is wrong with the page's open incidents against the verdicts; None if they agree within half a minute."""
    latest = {verdict.incident_id: verdict for verdict in sorted(verdicts, key=lambda one: one.revision)}
    wanted = {key for key, verdict in latest.items() if verdict.status != "resolved"}
    known = set(latest)
    problem = "the page did not answer"
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=10) as client:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while loop.time() < until:
            view = (await client.get("/api/v1/overview")).json()
            listed = (await client.get("/api/v1/incidents", params={"limit": 500})).json()
            shown = {card["incident_id"] for card in (*view["open"], *view["muted"])}
            every = {card["incident_id"] for card in listed["incidents"]}
            if shown == wanted and every == known:
                return await _unreadable(client, known)
            on_page, said = f"{len(shown)} open of {len(every)}", f"{len(wanted)} open of {len(known)}"
            problem = f"it shows {on_page} incidents, the verdicts say {said}"
            await asyncio.sleep(0.5)
    return problem


async def _unreadable(client: httpx.AsyncClient, incidents: Iterable[str]) -> str | None:
    """Which incident has no page that says it; None if all have one."""
    for incident in sorted(incidents):
        answer = await client.get(f"/incidents/{incident}", headers={"accept": "text/html"})
        if answer.status_code != httpx.codes.OK or incident not in answer.text or 'id="chain-title"' not in answer.text:
            return f"the page of {incident} answers {answer.status_code}, without its runbook"
    return None
