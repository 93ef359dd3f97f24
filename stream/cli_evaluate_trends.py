"""`midwatch evaluate trends`: how the scores of criteria, flows and versions went."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of
from stream.durations import parse_duration, parse_since

if TYPE_CHECKING:
    from evaluation.trends import Question
    from evaluation.trends_read import Held

LISTED = 20


def trends(  # noqa: PLR0913 - each is an option
    criterion: Annotated[str | None, typer.Option("--criterion", help="This criterion only.")] = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="This environment only.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="This system only.")] = None,
    flow: Annotated[str | None, typer.Option("--flow", "-f", help="This flow only.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="This version only.")] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="From when: 7d (ago), or 2026-03-01T00:00Z; 28 days back.")
    ] = "7d",
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="To when; the latest if not given.")
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="LENGTH", help="Whole hours, like 1h, 6h or 1d; chosen if not given."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the weighted means of the scores over time, with 95 % intervals, as the engine holds them in Redis."""
    from redis.exceptions import RedisError

    from evaluation.trends import Question
    from evaluation.trends import trends as make
    from evaluation.trends_read import read_scores
    from evaluation.trends_text import trend_lines
    from stream.core.checkpoint import LayoutError
    from stream.ondemand_read import OnDemandError
    from stream.store import LayoutMismatch

    settings = settings_of(config)
    hours = _hours(bucket)
    _moments(since, until, datetime.now(UTC))
    with failures(RedisError, OnDemandError, LayoutMismatch, LayoutError):
        held = asyncio.run(read_scores(settings, environment, system))
    # The engine's own present: its clock may be the telemetry's, as in the demonstration.
    now = datetime.now(UTC) if held.as_of_ms is None else datetime.fromtimestamp(held.as_of_ms / 1000, UTC)
    first, end = _moments(since, until, now)
    try:
        question = Question(first, end, hours or _chosen(end - first), environment, system, flow, criterion, version)
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    found = make(held.cells, question)
    if as_json:
        say_json(
            {
                "as_of": None if held.as_of_ms is None else _rfc(held.as_of_ms),
                "bucket_hours": question.bucket_hours,
                "trends": [trend.to_json() for trend in found],
            }
        )
    else:
        if found and held.as_of_ms is not None:
            say(
                f"as of {_rfc(held.as_of_ms)}, buckets of {question.bucket_hours} h; means weighted back for the "
                "sampling, with 95 % intervals"
            )
        for line in trend_lines(found):
            say(line)
    if not found:
        complain(_nothing(held, question))
        raise typer.Exit(FAILED)


def _moments(since: str, until: str | None, now: datetime) -> tuple[int, int]:
    """First hour and end, from 1970."""
    try:
        first = parse_since(since, now).timestamp() // 3600
        end = -(-(parse_since(until, now) if until else now).timestamp() // 3600)
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if first >= end:
        complain("--since must lie before --until, and before the present")
        raise typer.Exit(USAGE)
    return int(first), int(end)


def _hours(bucket: str | None) -> int | None:
    if bucket is None:
        return None
    try:
        seconds = parse_duration(bucket).total_seconds()
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if seconds % 3600:
        complain(f"--bucket {bucket}: the engine keeps scores by the hour; give whole hours, like 1h, 6h or 1d")
        raise typer.Exit(USAGE)
    return int(seconds // 3600)


def _chosen(hours: int) -> int:
    """Buckets that fit on a screen."""
    return next((step for step in (1, 6, 24) if hours / step <= 30), 24)


def _rfc(ms: int) -> str:
    from stream.core.ticks import rfc3339

    return rfc3339(ms)


def _nothing(held: Held, question: Question) -> str:
    if not held.cells:
        return (
            "no scores are held: is `midwatch run` reading agent.evaluations, and is this its configuration "
            "(redis.url, redis.namespace)?"
        )
    places = sorted({f"{p.environment}/{p.system} {p.flow} {p.criterion}" for p in (cell.place for cell in held.cells)})
    more = f" and {len(places) - LISTED} more" if len(places) > LISTED else ""
    newest, since = (_rfc(hour * 3_600_000) for hour in (max(cell.hour for cell in held.cells), question.first_hour))
    return (
        f"no scores like that since {since}; the newest are of the hour {newest}, and there are "
        f"(environment/system flow criterion): {', '.join(places[:LISTED])}{more}"
    )
