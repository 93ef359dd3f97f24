"""Verdicts: print them, take them in hand, say afterwards whether they were right, and how often they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.words import CAUSES
from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of
from stream.cli_controls import ByOption, person

if TYPE_CHECKING:
    from stream.settings import Settings

verdicts_app = typer.Typer(invoke_without_command=True, help="Print the verdicts; acknowledge them; judge them.")

IncidentArgument = Annotated[str, typer.Argument(metavar="INCIDENT_ID", help="The incident (or one of its verdicts).")]
VerdictArgument = Annotated[str, typer.Argument(metavar="VERDICT_OR_INCIDENT_ID", help="What is judged.")]
NoteOption = Annotated[str | None, typer.Option("--note", metavar="TEXT", help="A remark.")]
CauseOption = Annotated[
    str | None,
    typer.Option("--cause", metavar="CAUSE", help=f"What it was: {', '.join(CAUSES[:-1])} or {CAUSES[-1]}."),
]


@verdicts_app.callback()
def verdicts(
    context: typer.Context,
    config: ConfigOption = None,
    keep_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on, and print each verdict as it comes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the verdicts, oldest first; or, with a command, take one in hand or judge it."""
    if context.invoked_subcommand is not None:
        if keep_on or as_json:
            complain(f"--follow and --json stand alone or behind {context.invoked_subcommand}, not before it")
            raise typer.Exit(USAGE)
        context.obj = config
        return
    from aiokafka.errors import KafkaError

    from stream.verdicts import VerdictsMissing

    settings = settings_of(config)
    with failures(KafkaError, VerdictsMissing):
        asyncio.run(_print_verdicts(settings, keep_on=keep_on, as_json=as_json))


async def _print_verdicts(settings: Settings, *, keep_on: bool, as_json: bool) -> None:
    from stream.verdicts import follow
    from stream.verdicts_text import verdict_lines

    async for published in follow(settings.kafka, keep_on=keep_on):
        if published.verdict is None:
            complain(f"{published.place} holds no verdict that this version can read; left out")
        elif as_json:
            say(published.value.decode())
        else:
            verdict = published.verdict
            say("\n".join(verdict_lines(verdict, settings.dashboard.incident_url(verdict.incident_id))))


@verdicts_app.command("ack")
def ack(
    context: typer.Context,
    identity: IncidentArgument,
    by: ByOption = None,
    note: NoteOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that you have an incident in hand. It stands in its verdicts until the incident ends, and ends with it."""
    _acknowledge(context, identity, by, note, config, as_json=as_json, withdraw=False)


@verdicts_app.command("unack")
def unack(
    context: typer.Context,
    identity: IncidentArgument,
    by: ByOption = None,
    note: NoteOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an acknowledgement back."""
    _acknowledge(context, identity, by, note, config, as_json=as_json, withdraw=True)


def _acknowledge(
    context: typer.Context,
    identity: str,
    by: str | None,
    note: str | None,
    config: ConfigOption,
    *,
    as_json: bool,
    withdraw: bool,
) -> None:
    from aiokafka.errors import KafkaError

    from schemas.base import format_time
    from schemas.canonical import jsonable
    from stream.controls import ControlError, acknowledge, holds_from
    from stream.verdicts import VerdictsMissing

    settings = settings_of(config or context.obj)
    with failures(KafkaError, VerdictsMissing, ControlError):
        control = asyncio.run(acknowledge(settings, identity, person(by), note, withdraw=withdraw))
    at = format_time(holds_from(control))
    if as_json:
        say_json({**jsonable(control), "holds_from": at})
    else:
        what = "nobody has it in hand" if withdraw else f"{control.by} has it in hand"
        say(f"incident {control.incident_id}: {what}; its verdicts say so from tick {at}")


@verdicts_app.command("confirm")
def confirm(
    context: typer.Context,
    identity: VerdictArgument,
    cause: CauseOption = None,
    by: ByOption = None,
    note: NoteOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that something was wrong, as the verdict said; with --cause, what it was."""
    _judge(context, identity, "confirmed", (cause, person(by), note), config, as_json=as_json)


@verdicts_app.command("refute")
def refute(
    context: typer.Context,
    identity: VerdictArgument,
    cause: CauseOption = None,
    by: ByOption = None,
    note: NoteOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that nothing was wrong: a false alarm; with --cause, what it was instead."""
    _judge(context, identity, "refuted", (cause, person(by), note), config, as_json=as_json)


def _judge(
    context: typer.Context,
    identity: str,
    judgement: str,
    found: tuple[str | None, str, str | None],
    config: ConfigOption,
    *,
    as_json: bool,
) -> None:
    from aiokafka.errors import KafkaError

    from schemas.canonical import jsonable
    from schemas.words import CAUSES
    from stream.controls import ControlError
    from stream.feedback import judge
    from stream.verdicts import VerdictsMissing

    cause = found[0]
    if cause is not None and cause not in CAUSES:
        complain(f"--cause {cause!r} is none of {', '.join(CAUSES)}")
        raise typer.Exit(USAGE)
    settings = settings_of(config or context.obj)
    with failures(KafkaError, VerdictsMissing, ControlError):
        feedback = asyncio.run(judge(settings, identity, judgement, *found))
    if as_json:
        say_json(jsonable(feedback))
        return
    found_text = f", cause {feedback.cause}" if feedback.cause is not None else ""
    answer = f"{feedback.detector}, {feedback.triage_result}"
    say(f"incident {feedback.incident_id} ({answer}): {judgement}{found_text}, by {feedback.by}")


@verdicts_app.command("precision")
def precision(
    context: typer.Context,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="Verdicts of the last so many days.")] = 90,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How often the verdicts that were judged were right: by detector, by check, by week, with 95 % intervals."""
    from aiokafka.errors import KafkaError

    from stream.controls import ControlError
    from stream.feedback import precision_of, read_feedback
    from stream.feedback_text import precision_lines

    settings = settings_of(config or context.obj)
    with failures(KafkaError, ControlError):
        report = precision_of(*asyncio.run(read_feedback(settings)), days)
    if as_json:
        say_json(report.to_json())
    else:
        say("\n".join(precision_lines(report)))
