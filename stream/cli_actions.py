"""Commands about actions: what is done about verdicts, saying yes or no to it, stopping all of it, and doing it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of
from stream.cli_controls import ByOption, person

if TYPE_CHECKING:
    from schemas.actions import ActionTaken
    from schemas.controls import Approval
    from stream.approvals import Decision
    from stream.settings import Settings

actions_app = typer.Typer(no_args_is_help=True, help="What is done about verdicts: list, approve, refuse, halt.")
rollback_app = typer.Typer(no_args_is_help=True, help="The subscriber that rolls back what verdicts recommend.")

IdentityArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The incident, its verdict, or the idempotency key (act_...).")
]
NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A remark; it stands in the actions.")]
EnvironmentOption = Annotated[str, typer.Option("--environment", metavar="E", help="Environment, or '*' for all.")]
SystemOption = Annotated[str, typer.Option("--system", metavar="S", help="System, or '*' for all.")]


@actions_app.callback()
def _actions() -> None:
    """What is done about verdicts: list it, approve or refuse it, halt all of it."""


@actions_app.command("list")
def list_actions(
    incident: Annotated[
        str | None, typer.Option("--incident", metavar="ID", help="Every step about this incident.")
    ] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only what is not decided or not ended yet.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the actions, each by its last step, and the halts that hold."""
    from aiokafka.errors import KafkaError

    from schemas.canonical import jsonable
    from stream.approvals import OPEN, last_steps
    from stream.controls import ControlError

    settings = settings_of(config)
    with failures(KafkaError, ControlError):
        steps, halts = asyncio.run(_read(settings))
    shown = [one for one in steps if one.incident_id == incident] if incident is not None else last_steps(steps)
    shown = [one for one in shown if one.status in OPEN] if only_open else shown
    if as_json:
        say_json({"actions": [jsonable(one) for one in shown], "halts": [jsonable(one) for one in halts]})
        return
    lines = [_halt_line(one) for one in halts] + [_line(one) for one in shown]
    say("\n".join(lines) if lines else "no actions")


@actions_app.command("approve")
def approve(
    identity: IdentityArgument,
    note: NoteOption = None,
    length: Annotated[
        str | None, typer.Option("--for", metavar="LENGTH", help="Only if it begins within this time: 10m.")
    ] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve the rollback that an incident's newest verdict recommends."""
    _decide(identity, "approve", (person(by), note), config, length, as_json=as_json)


@actions_app.command("refuse")
def refuse(
    identity: IdentityArgument,
    note: NoteOption = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse the rollback that an incident's newest verdict recommends; also takes an approval back."""
    _decide(identity, "refuse", (person(by), note), config, None, as_json=as_json)


@actions_app.command("halt")
def halt(
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="Why; it stands in the actions.")],
    length: Annotated[str, typer.Option("--for", metavar="LENGTH", help="How long: 2h, 1d; 28 days at most.")] = "4h",
    environment: EnvironmentOption = "*",
    system: SystemOption = "*",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The kill switch: no action of any subscriber, everywhere or in one environment and system, for some time."""
    from stream.approvals import halt as write

    settings = settings_of(config)
    done = _written(write(settings, environment, system, _length(length), person(by), reason))
    _tell(done, _halt_line(done), as_json=as_json)


@actions_app.command("resume")
def resume(
    note: NoteOption = None,
    environment: EnvironmentOption = "*",
    system: SystemOption = "*",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a halt."""
    from stream.approvals import lift

    settings = settings_of(config)
    done = _written(lift(settings, environment, system, person(by), note))
    _tell(done, f"actions may be taken again in {environment}/{system}", as_json=as_json)


@rollback_app.callback()
def _rollback() -> None:
    """The subscriber that rolls back what verdicts recommend, within bounds of its own. A dry run unless told else."""


@rollback_app.command("run")
def run(config: ConfigOption = None) -> None:
    """Read verdicts, and roll back what they recommend: dry run unless rollback.mode is live."""
    from stream.rollback.executors.registry import build
    from stream.rollback.run import run_rollback
    from stream.settings import SettingsError

    settings = settings_of(config)
    executors, problems = build(settings.rollback, settings.rollback_executors)
    if problems:
        complain(str(SettingsError(problems, config)))
        raise typer.Exit(USAGE)
    if settings.rollback.mode == "live" and settings.engine.clock != "wall":
        complain("rollback.mode is live, but engine.clock is stream: a replayed past is no time to act in")
        raise typer.Exit(USAGE)
    if not settings.rollback.environments:
        complain("rollback.environments is empty: every recommendation will be skipped as not_allowed")
    raise typer.Exit(run_rollback(settings, executors))


async def _read(settings: Settings) -> tuple[list[ActionTaken], list[Approval]]:
    """All steps, and the halts that hold now; without an engine to tell the time, as of the last step."""
    from schemas.words import ACTIONS_TOPIC
    from stream.approvals import read_actions, read_approvals
    from stream.controls import ControlError, engine_now
    from stream.restore import partitions_of
    from stream.settings_clients import kafka_options

    if not await partitions_of([ACTIONS_TOPIC], kafka_options(settings.kafka)):
        raise ControlError(f"there is no topic {ACTIONS_TOPIC}; run: midwatch topics create")
    _, book = await read_approvals(settings)
    steps = await read_actions(settings)
    try:
        now = await engine_now(settings)
    except ControlError:
        if not steps:
            return steps, []
        now = max(step.time for step in steps)
    return steps, book.halts(now)


def _decide(
    identity: str,
    decision: Decision,
    said: tuple[str, str | None],
    config: ConfigOption,
    length: str | None,
    *,
    as_json: bool,
) -> None:
    from stream.approvals import decide_action

    valid = _length(length) if length is not None else None
    settings = settings_of(config)
    done = _written(decide_action(settings, identity, decision, *said, valid_for=valid))
    step = None
    try:
        step = _last_step(settings, done.idempotency_key)
    finally:  # It is stored, whatever else cannot be read.
        words = {"approve": "approved", "refuse": "refused"}[decision]
        what = f" ({_what(step)})" if step is not None else ""
        where = f"incident {done.incident_id} in {done.environment}/{done.system}"
        _tell(done, f"{words}: {done.idempotency_key}{what} of {where}, by {done.by}", as_json=as_json)
    if decision == "approve":
        _warn(step)


def _last_step(settings: Settings, key: str) -> ActionTaken | None:
    from aiokafka.errors import KafkaError

    from stream.approvals import last_step_of

    with failures(KafkaError):
        return asyncio.run(last_step_of(settings, key))


def _warn(step: ActionTaken | None) -> None:
    """Say on standard error where an approval alone will not do."""
    from stream.verdicts_text import printable

    if step is None:
        complain("no subscriber has said anything about it yet; is one running (midwatch rollback run)?")
    elif step.mode == "dry_run":
        complain("the subscriber is in a dry run: it will do nothing")
    elif step.status == "skipped":
        complain(printable(f"before that the subscriber said: {step.reason}: {step.detail}"))


def _written(work: Coroutine[Any, Any, Approval]) -> Approval:
    """Wait until it is stored; a wrong order ends with 2, anything else that can go wrong with 1."""
    from aiokafka.errors import KafkaError

    from stream.controls import ControlError, OrderError
    from stream.verdicts import VerdictsMissing

    with failures(KafkaError, ControlError, VerdictsMissing):
        try:
            done = asyncio.run(work)
        except OrderError as error:
            complain(str(error))
            raise typer.Exit(USAGE) from None
    return done


def _length(text: str) -> timedelta:
    from stream.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        complain(f"--for {error}")
        raise typer.Exit(USAGE) from None


def _tell(done: Approval, words: str, *, as_json: bool) -> None:
    from schemas.canonical import jsonable
    from stream.verdicts_text import printable

    if as_json:
        say_json(jsonable(done))
    else:
        say(printable(words))


def _what(step: ActionTaken) -> str:
    target = step.target
    return f"{target.component} {target.from_version} -> {target.to_version or '?'}" if target else "no target"


def _line(step: ActionTaken) -> str:
    from schemas.base import format_time
    from stream.verdicts_text import printable

    status = f"{step.status} ({step.reason})" if step.reason else step.status
    mark = "! " if step.needs_attention else ""
    mode = " dry run" if step.mode == "dry_run" and step.reason != "dry_run" else ""
    where = f"{step.scope.environment}/{step.scope.system}"
    what = f"{step.kind} {_what(step)}"
    first = f"{mark}{format_time(step.time)}  {status}{mode}  {where}  {what}  {step.idempotency_key}"
    return printable(first) + "\n    " + printable(f"{step.incident_id}  by {step.by}: {step.detail}")


def _halt_line(halt: Approval) -> str:
    from schemas.base import format_time
    from stream.verdicts_text import printable

    until = format_time(halt.expires_at) if halt.expires_at is not None else "?"
    return printable(f"HALTED {halt.environment}/{halt.system} until {until}  by {halt.by}: {halt.note or ''}")
