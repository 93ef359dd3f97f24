"""The burst: when an incident opens, its own escalated interactions are judged at once.

It runs beside everything else, within its own time and budget. Its scores reach the engine as evaluation events of
purpose `burst`; the engine triages an open incident again every tick, and so they join the verdict as a later
revision. The first verdict is out before the burst begins, so a judge that is late or fails delays nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from evaluation.plane import Plane
from evaluation.purse import Purse
from schemas.base import JsonObject
from schemas.outputs import Verdict
from stream.adapters import Decoder
from stream.adapters.decoder import Limits
from stream.adapters.native import Interaction
from stream.core.ticks import ms_of

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.judge")

ANY_AGE: Final = Limits(max_future_ms=None, max_age_ms=None)


LOOKS: Final = 5
LOOK_AGAIN_SECONDS: Final = 2.0


class Bursts:
    """Judges what new incidents are made of. `take` never raises but for being cancelled."""

    def __init__(self, plane: Plane, purse: Purse) -> None:
        self._plane = plane
        self._purse = purse
        self._decoder = Decoder(ANY_AGE)
        self._begun: dict[str, None] = {}

    async def take(self, value: bytes | None) -> None:
        """One record of the verdict topic."""
        verdict = first_firing(value)
        most = self._plane.settings.burst_interactions
        if verdict is None or not most or verdict.incident_id in self._begun:
            return
        self._begun[verdict.incident_id] = None
        if len(self._begun) > 1000:
            del self._begun[next(iter(self._begun))]
        found = await self._interactions(verdict, most)
        for _ in range(LOOKS):
            if found:
                break
            # The engine may be ahead of this process.
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            found = await self._interactions(verdict, most)
        result = "empty"
        if found:
            result = await self._judge(verdict, found)
        self._plane.metrics.bursts.labels(result).inc()
        log.info("burst", incident_id=verdict.incident_id, interactions=len(found), result=result)

    async def _judge(self, verdict: Verdict, found: list[Interaction]) -> str:
        sampling: JsonObject = {
            "rate": 1.0,
            "purpose": "burst",
            "uniform": False,
            "incident_id": verdict.incident_id,
        }
        limit = asyncio.Semaphore(self._plane.settings.concurrency)

        async def one(event: Interaction) -> None:
            async with limit:
                await self._plane.score(event, sampling, self._purse)

        try:
            async with asyncio.timeout(self._plane.settings.burst_seconds):
                await asyncio.gather(*(one(event) for event in found))
        except TimeoutError:
            return "late"
        finally:
            await self._purse.show()
        return "done"

    async def _interactions(self, verdict: Verdict, most: int) -> list[Interaction]:
        """The newest escalated interactions of the incident's scope since its onset."""
        scope = verdict.scope
        records = await self._plane.store.recent(f"{scope.environment}\x1f{scope.system}")
        onset = ms_of(verdict.onset_at)
        found: dict[str, Interaction] = {}
        for record in records:
            event = self._decoder.decode(record, (), -1)
            if (
                isinstance(event, Interaction)
                and event.outcome == "escalated"
                and event.time >= onset
                and scope.flow in (None, event.flow)
            ):
                found[event.id] = event
        return sorted(found.values(), key=lambda event: (-event.time, event.id))[:most]


def first_firing(value: bytes | None) -> Verdict | None:
    """The verdict that opens an incident, or None for any other record, and for an incident that is muted."""
    if value is None:
        return None
    try:
        plain = msgspec.json.decode(value)
        if not isinstance(plain, dict) or plain.get("status") != "firing" or plain.get("muted"):
            return None
        return Verdict.model_validate_json(value)
    except (msgspec.MsgspecError, ValueError):
        return None
