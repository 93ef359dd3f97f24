"""The command that asks the engine: triage."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from stream.ondemand import Answer


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
    from stream.durations import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        complain(f"--at {error}")
        raise typer.Exit(USAGE) from None


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
