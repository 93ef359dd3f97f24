"""Commands that look at what the engine says and knows: verdicts, triage."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from stream.ondemand import Answer
    from stream.settings import Settings


def verdicts(
    config: ConfigOption = None,
    keep_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on, and print each verdict as it comes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the verdicts, oldest first."""
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
            say("\n".join(verdict_lines(published.verdict)))


def triage(
    environment: Annotated[str, typer.Option("--environment", metavar="E", help="Environment, e.g. production.")],
    system: Annotated[str, typer.Option("--system", metavar="S", help="System, as in its events.")],
    flow: Annotated[str | None, typer.Option("--flow", metavar="F", help="One flow; else the whole system.")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="T", help="As of this time, e.g. 2026-03-01T02:15Z, up to 90 min back; else now."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the triage chain on the last 30 minutes of one system, whether or not anything fired. Changes nothing."""
    from redis.exceptions import RedisError

    from stream.core.checkpoint import LayoutError
    from stream.ondemand import Question, ask
    from stream.ondemand_read import OnDemandError
    from stream.store import LayoutMismatch

    settings = settings_of(config)
    question = Question(environment, system, flow, _moment(at) if at is not None else None)
    with failures(OnDemandError, RedisError, LayoutMismatch, LayoutError):
        answer = asyncio.run(ask(settings, question))
    if as_json:
        say_json(answer.to_json())
    else:
        _print_answer(answer)


def _moment(text: str) -> datetime:
    """A time with its offset from UTC, or the end of the command with exit code 2."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        complain(f"--at {text!r} is no time with an offset: write it like 2026-03-01T02:15Z or 2026-03-01T03:15+01:00")
        raise typer.Exit(USAGE)
    return moment


def _print_answer(answer: Answer) -> None:
    from schemas.base import format_time
    from stream.verdicts_text import answer_lines, place, printable

    verdict = answer.verdict
    lines = [
        f"{format_time(verdict.decided_at)}  asked  {place(verdict.scope)}",
        f"  {answer.summary()}",
        f"  onset taken as {format_time(verdict.onset_at)}; {verdict.triage_result} -> {verdict.action}",
        *answer_lines(verdict),
    ]
    say("\n".join(printable(line) for line in lines))
