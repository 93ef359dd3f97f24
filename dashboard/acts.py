"""What a viewer may do, by the functions that the command line uses: stored in Kafka first, then logged.

The record on its topic is the audit trail: who, when, what. The log line beside it holds no note and no token.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from dashboard.memory import Memory
from dashboard.sentences import clock
from dashboard.views import ActResult, Viewer
from schemas.base import format_time
from schemas.canonical import jsonable
from schemas.outputs import Scope, Verdict
from schemas.words import CAUSES
from stream.approvals import Decision, decide_action
from stream.controls import ControlError, SilenceOrder, acknowledge, add_silence, holds_from
from stream.feedback import judge
from stream.settings import Settings
from stream.verdicts import VerdictsMissing

LONGEST_MINUTES: Final = 28 * 24 * 60
NOTE: Final = 1000

log: structlog.stdlib.BoundLogger = structlog.get_logger("midwatch.audit")
_Result = TypeVar("_Result")


class Refused(ValueError):
    """It cannot be done; the message is a sentence for the viewer."""


class KafkaActs:
    """Is a `dashboard.views.Acts`."""

    def __init__(self, settings: Settings, memory: Memory) -> None:
        self._settings = settings
        self._memory = memory

    async def acknowledge(self, viewer: Viewer, incident_id: str, note: str, *, withdraw: bool) -> ActResult:
        """See `Acts.acknowledge`."""
        _may(viewer)
        verdict = self._known(incident_id)
        remark = _remark(note)
        control = await _stored(
            acknowledge(self._settings, verdict.incident_id, viewer.name, remark, withdraw=withdraw)
        )
        self._memory.control(control)
        await self._audit(viewer, "withdraw_acknowledgement" if withdraw else "acknowledge", incident_id, control.id)
        what = "Nobody has it in hand any longer" if withdraw else f"{viewer.name} has it in hand"
        at = holds_from(control)
        return ActResult(
            ok=True,
            text=f"{what}; the verdict says so from {clock(at, control.time)}.",
            detail={"control": jsonable(control)},
        )

    async def silence(self, viewer: Viewer, incident_id: str, minutes: int, reason: str) -> ActResult:
        """See `Acts.silence`."""
        _may(viewer)
        scope = self._known(incident_id).scope
        if not 1 <= minutes <= LONGEST_MINUTES:
            raise Refused(f"a silence lasts from 1 minute to {LONGEST_MINUTES // 1440} days, not {minutes} minutes")
        if not reason.strip():
            raise Refused("say why: the reason stands in the verdicts")
        order = SilenceOrder(
            environment=scope.environment,
            system=scope.system,
            flow=scope.flow,
            agent=scope.agent,
            budget=scope.budget,
            detector=None,
            starts_at=None,
            ends_at=timedelta(minutes=minutes),
            kind="silence",
            reason=reason.strip()[:NOTE],
            by=viewer.name,
        )
        control = await _stored(add_silence(self._settings, order))
        self._memory.control(control)
        await self._audit(viewer, "silence", incident_id, control.id)
        return ActResult(
            ok=True,
            text=f"Nobody is paged for {_place(scope)} until {clock(control.ends_at, control.time)}; watching goes on.",
            detail={"control": jsonable(control), "ends_at": format_time(control.ends_at)},
        )

    async def judge(self, viewer: Viewer, incident_id: str, *, right: bool, cause: str | None, note: str) -> ActResult:
        """See `Acts.judge`."""
        _may(viewer)
        verdict = self._known(incident_id)
        if cause is not None and cause not in CAUSES:
            raise Refused(f"the cause is one of {', '.join(CAUSES)}")
        word = "confirmed" if right else "refuted"
        feedback = await _stored(judge(self._settings, verdict.incident_id, word, cause, viewer.name, _remark(note)))
        self._memory.feedback(feedback)
        await self._audit(viewer, word, incident_id, feedback.id)
        return ActResult(
            ok=True, text=f"Noted: the verdict was {word}. It counts in the precision.", detail=jsonable(feedback)
        )

    async def decide_rollback(self, viewer: Viewer, incident_id: str, key: str, *, approve: bool) -> ActResult:
        """See `Acts.decide_rollback`."""
        _may(viewer)
        verdict = self._known(incident_id)
        advice = verdict.recommendation
        if advice.kind != "rollback" or advice.idempotency_key != key:
            raise Refused("the verdict does not recommend this rollback any longer: look at the incident again")
        if verdict.status == "resolved" or verdict.muted is not None:
            raise Refused("the incident is over or silenced: nothing is to be rolled back")
        # The same function as the command's: it looks at the topics once more, where somebody may have been quicker.
        decision: Decision = "approve" if approve else "refuse"
        control = await _stored(decide_action(self._settings, key, decision, viewer.name))
        self._memory.control(control)
        await self._audit(viewer, f"{control.decision}_rollback", incident_id, control.id)
        until = clock(advice.not_after, control.time)
        said = f"Approved: the rollback may run until {until}." if approve else "Refused: nothing will be rolled back."
        return ActResult(ok=True, text=said, detail={"control": jsonable(control)})

    def _known(self, incident_id: str) -> Verdict:
        story = self._memory.story(incident_id)
        if not story:
            raise Refused("no such incident is known here")
        return story[-1]

    async def _audit(self, viewer: Viewer, act: str, incident_id: str, record: str) -> None:
        log.info("act", act=act, by=viewer.name, role=viewer.role, incident=incident_id, record=record)
        await self._memory.wake()


def _may(viewer: Viewer) -> None:
    if viewer.role != "operator":
        raise Refused("you may look, not act: log in with the operators' token")


def _remark(note: str) -> str | None:
    return note.strip()[:NOTE] or None


def _place(scope: Scope) -> str:
    named = (scope.flow, scope.agent, scope.budget)
    return "/".join((scope.environment, scope.system, *(name for name in named if name is not None)))


async def _stored(work: Awaitable[_Result]) -> _Result:
    """The result; what kept it from being stored, as a sentence."""
    try:
        return await work
    except (ControlError, VerdictsMissing) as error:
        raise Refused(str(error)) from error
    except ValidationError as error:
        raise Refused("; ".join(one["msg"] for one in error.errors())) from error
    except (KafkaError, OSError, TimeoutError) as error:
        log.warning("act_not_stored", error=type(error).__name__, detail=str(error))
        raise Refused("Kafka does not take it now: nothing was done, try again") from error
