"""Saying yes or no to what a verdict recommends, and stopping everything: approvals written to `midwatch.controls`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Literal

from pydantic import ValidationError

from schemas.actions import ActionTaken
from schemas.base import format_time
from schemas.canonical import content_id, jsonable
from schemas.controls import ANY, CONTROL, Approval
from schemas.outputs import Verdict
from schemas.words import ACTIONS_TOPIC, CONTROLS_TOPIC
from stream.controls import MOMENT, ControlError, OrderError, engine_now, publish_control
from stream.restore import read_values
from stream.rollback.book import ApprovalBook
from stream.settings import Settings
from stream.settings_clients import kafka_options
from stream.verdicts import follow

Decision = Literal["approve", "refuse"]

OPEN: Final = frozenset({"proposed", "awaiting_approval", "approved", "started"})
"""Statuses of an action about which something is still to come."""

TAKEN: Final = frozenset({"started", "succeeded", "failed", "verified", "not_verified"})
"""Statuses of an action behind which no word about it matters: it is taken once."""

SEE: Final = "midwatch actions list"


def actions_in(values: Iterable[bytes]) -> list[ActionTaken]:
    """The steps among some records, in their order."""
    found = []
    for value in values:
        try:
            found.append(ActionTaken.model_validate_json(value))
        except ValidationError:
            continue
    return found


async def read_actions(settings: Settings) -> list[ActionTaken]:
    """All steps on the topic, in their order. Raises KafkaError."""
    return actions_in(await read_values(ACTIONS_TOPIC, kafka_options(settings.kafka)))


async def last_step_of(settings: Settings, key: str) -> ActionTaken | None:
    """The last step of an action; a live one before one of a dry run. Raises KafkaError."""
    found = [one for one in last_steps(await read_actions(settings)) if one.idempotency_key == key]
    return max(found, key=lambda one: one.mode == "live", default=None)


def last_steps(steps: Iterable[ActionTaken]) -> list[ActionTaken]:
    """The last step of each action (key and mode), in the order in which they were taken."""
    last: dict[tuple[str, str], ActionTaken] = {}
    for step in steps:
        key = (step.idempotency_key, step.mode)
        last.pop(key, None)
        last[key] = step
    return list(last.values())


async def read_approvals(settings: Settings) -> tuple[list[Approval], ApprovalBook]:
    """All approvals on the topic, and what stands of them. Raises KafkaError."""
    book, found = ApprovalBook(), []
    for value in await read_values(CONTROLS_TOPIC, kafka_options(settings.kafka)):
        try:
            control = CONTROL.validate_json(value)
        except ValidationError:
            continue
        if isinstance(control, Approval):
            found.append(control)
            book.apply(control)
    return found, book


async def decide_action(
    settings: Settings,
    identity: str,
    decision: Decision,
    by: str,
    note: str | None = None,
    *,
    valid_for: timedelta | None = None,
) -> Approval:
    """Approve or refuse what the newest verdict of an incident recommends; the approval, once it is stored.

    `identity` is the incident's id, one of its verdicts', or the idempotency key. Raises ControlError where there is
    nothing (any more) to decide about, OrderError for what is no approval, VerdictsMissing, KafkaError.
    """
    verdict = await _asked_for(settings, identity)
    advice = verdict.recommendation
    last_step = await last_step_of(settings, advice.idempotency_key)
    if last_step is not None and last_step.status in TAKEN and last_step.mode == "live":
        when = format_time(last_step.time)
        raise ControlError(f"{advice.idempotency_key} is taken already: {last_step.status} at {when}; see: {SEE}")
    now = await engine_now(settings)
    if decision == "approve" and verdict.muted is not None:
        raise ControlError(f"incident {verdict.incident_id} is muted, and nobody acts on a muted verdict")
    if decision == "approve" and advice.not_after < now:
        raise ControlError(f"it was to be done until {format_time(advice.not_after)}; it is {format_time(now)} now")
    said, _ = await read_approvals(settings)
    last = max((one.time for one in said if one.idempotency_key == advice.idempotency_key), default=None)
    at = now if last is None else max(now, last + MOMENT)
    body = {
        "time": at,
        "environment": verdict.scope.environment,
        "system": verdict.scope.system,
        "incident_id": verdict.incident_id,
        "idempotency_key": advice.idempotency_key,
        "decision": decision,
        "by": by,
        "note": note,
        "expires_at": at + valid_for if valid_for is not None else None,
    }
    approval = _approval(body)
    await publish_control(settings, approval)
    return approval


async def halt(settings: Settings, environment: str, system: str, length: timedelta, by: str, note: str) -> Approval:
    """Refuse every action of an environment and a system (`*` for all) for some time. Raises OrderError, KafkaError."""
    at = await engine_now(settings)
    said, _ = await read_approvals(settings)
    before = [one.time for one in said if one.is_standing and (one.environment, one.system) == (environment, system)]
    at = max([at, *(time + MOMENT for time in before)])
    approval = _approval(_standing(environment, system, by, note) | {"time": at, "expires_at": at + length})
    await publish_control(settings, approval)
    return approval


async def lift(settings: Settings, environment: str, system: str, by: str, note: str | None = None) -> Approval:
    """End the standing refusal of exactly this environment and system. Raises ControlError if there is none."""
    at = await engine_now(settings)
    _, book = await read_approvals(settings)
    known = [one for one in book.halts(at) if (one.environment, one.system) == (environment, system)]
    if not known:
        raise ControlError(f"nothing is halted for {environment}/{system}; see: {SEE}")
    at = max(at, known[0].time + MOMENT)
    approval = _approval(_standing(environment, system, by, note) | {"time": at, "expires_at": at})
    await publish_control(settings, approval)
    return approval


def _standing(environment: str, system: str, by: str, note: str | None) -> dict[str, object]:
    return {
        "environment": environment,
        "system": system,
        "incident_id": ANY,
        "idempotency_key": ANY,
        "decision": "refuse",
        "by": by,
        "note": note,
    }


def _approval(body: dict[str, object]) -> Approval:
    try:
        approval = Approval.model_validate({"id": "new", **body})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in error.errors()]
        raise OrderError("; ".join(problems).replace("Value error, ", "")) from None
    return approval.model_copy(update={"id": content_id("apr", {**jsonable(approval), "id": ""})})


async def _asked_for(settings: Settings, identity: str) -> Verdict:
    """The newest verdict of the incident, if it still recommends a rollback."""
    asked: Verdict | None = None
    newest: dict[str, Verdict] = {}
    async for published in follow(settings.kafka, keep_on=False):
        verdict = published.verdict
        if verdict is None:
            continue
        known = newest.get(verdict.incident_id)
        if known is None or known.revision <= verdict.revision:
            newest[verdict.incident_id] = verdict
        if identity in (verdict.incident_id, verdict.verdict_id, verdict.recommendation.idempotency_key):
            asked = verdict
    if asked is None:
        raise ControlError(f"no verdict, incident or action {identity} is on the topic; see: {SEE}")
    incident = asked.incident_id
    found = newest[incident]
    if found.status == "resolved":
        raise ControlError(f"incident {incident} is over since {format_time(found.decided_at)}")
    if found.recommendation.kind != "rollback":
        raise ControlError(f"incident {incident} asks for no rollback now, but says: {found.recommendation.reason}")
    # Who names the incident means what it asks for now; who names a verdict or a key, what stands there.
    if identity != incident and _key(asked) != _key(found):
        raise ControlError(f"{identity} was replaced: incident {incident} now asks for {_key(found)}")
    return found


def _key(verdict: Verdict) -> str:
    return verdict.recommendation.idempotency_key
