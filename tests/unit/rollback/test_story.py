"""The subscriber behind the engine's own verdicts: a labelled story, from the telemetry to the end of its incidents."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from scenarios.stories.files import choose
from scenarios.stories.run import run_story
from schemas.outputs import Verdict
from tests.support.rollback import RULES, Process, World, approval

LATER = timedelta(seconds=30)


async def test_a_bad_version_that_comes_back_is_rolled_back_twice() -> None:
    """Each incident waits for its own approval, is acted on once, whatever its revisions say, and is verified."""
    [entry] = choose(["rollback-undone"])
    rules = replace(RULES, cool_down=timedelta(hours=1), verify_for=timedelta(minutes=90))
    world = World(rules=rules)
    process = Process(world, "a")
    incidents: list[str] = []
    for verdict in run_story(entry).verdicts:
        world.now = verdict.decided_at + LATER
        if verdict.incident_id not in incidents:
            incidents.append(verdict.incident_id)
            world.gone.clear()  # The pipeline has put the bad version there.
        world.publish(verdict)
        await process.round()
        if verdict.recommendation.kind == "rollback" and process.journal.ledger.entries[_key(verdict)].started is None:
            assert process.journal.ledger.entries[_key(verdict)].last.status == "awaiting_approval"
            said: dict[str, Any] = {"incident_id": verdict.incident_id, "idempotency_key": _key(verdict)}
            world.say(approval(at=world.now, **said))
            await process.round()
    told = ["proposed", "awaiting_approval", "approved", "started", "succeeded", "verified"]
    assert len(incidents) == 2
    for incident in incidents:
        assert [step.status for step in world.log if step.incident_id == incident] == told
    assert [component for _, _, component in world.done] == ["refund-request", "refund-request"]


def _key(verdict: Verdict) -> str:
    return verdict.recommendation.idempotency_key
