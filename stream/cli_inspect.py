"""The command that shows what the adapters understand of live records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from datetime import datetime

LAST: Final = 20
"""Records that are shown where nothing is said."""


def inspect(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Any topic, e.g. agent.deployments or otlp_spans.")],
    last: Annotated[
        int | None, typer.Option("--last", min=1, max=100_000, help=f"The newest N records; {LAST} if not given.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="Records since a time, or a length of time ago: 30m.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what Midwatch understands of the records of a topic, and why it leaves others out. Commits nothing."""
    from aiokafka.errors import KafkaError

    from stream.inspect_records import TopicMissing, inspect_topic, summary
    from stream.inspect_text import lines

    moment = None if since is None else _moment(since)
    number = LAST if last is None and moment is None else last
    settings = settings_of(config)
    with failures(KafkaError, TopicMissing):
        insights = asyncio.run(inspect_topic(settings, topic, number, moment))
        found = summary(insights)
        if as_json:
            say_json({"topic": topic, "records": [one.to_json() for one in insights], "summary": found})
        elif insights:
            say("\n".join(lines(insights, found)))
        else:
            say(f"no records on {topic}{'' if since is None else f' since {since}'}")


def _moment(text: str) -> datetime:
    """A time, or one so long ago; or the end of the command with exit code 2."""
    from datetime import UTC, datetime

    from stream.durations import parse_duration, parse_moment

    try:
        return datetime.now(UTC) - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return parse_moment(text)
    except ValueError:
        complain(f"--since {text!r} is neither a length of time (30m) nor a time (2026-03-01T02:15Z)")
        raise typer.Exit(USAGE) from None
