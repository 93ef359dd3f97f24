"""Commands that tell the engine something: silences, maintenance windows."""

from __future__ import annotations

import asyncio
import getpass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from schemas.controls import Silence
    from stream.settings import Settings

silences_app = typer.Typer(no_args_is_help=True, help="Silences and maintenance windows: whom not to page for what.")

Matcher = str | None
ByOption = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; else the user of this shell.")]


@silences_app.callback()
def _silences() -> None:
    """Silences and maintenance windows: whom not to page for what. Detection goes on; verdicts say `muted`."""


@silences_app.command("add")
def add(  # noqa: PLR0913 - one for each option
    environment: Annotated[str, typer.Option("--environment", metavar="E", help="Environment, or '*' for all.")],
    system: Annotated[str, typer.Option("--system", metavar="S", help="System, or '*' for all.")],
    reason: Annotated[str, typer.Option("--reason", metavar="R", help="Why; it stands in the verdicts.")],
    flow: Annotated[Matcher, typer.Option("--flow", metavar="F", help="This flow alone.")] = None,
    agent: Annotated[Matcher, typer.Option("--agent", metavar="A", help="This agent alone.")] = None,
    budget: Annotated[Matcher, typer.Option("--budget", metavar="B", help="This budget alone.")] = None,
    detector: Annotated[
        Matcher, typer.Option("--detector", metavar="D", help="This detector's firings alone, e.g. escalation_rate.")
    ] = None,
    length: Annotated[str | None, typer.Option("--for", metavar="LENGTH", help="How long: 90m, 2h, 1d12h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="T", help="Until, e.g. 2026-03-01T06:00Z.")] = None,
    starts: Annotated[str | None, typer.Option("--starts", metavar="T", help="From when on; else at once.")] = None,
    maintenance: Annotated[bool, typer.Option("--maintenance", help="It is a planned maintenance window.")] = False,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Page nobody for what matches, for some time; at most until 28 days from now."""
    from aiokafka.errors import KafkaError

    from stream.controls import ControlError, OrderError, SilenceOrder, add_silence

    _check_detector(detector)
    starts_at = _moment("--starts", starts) if starts is not None else None
    kind = "maintenance" if maintenance else "silence"
    matchers = (environment, system, flow, agent, budget, detector)
    order = SilenceOrder(*matchers, starts_at, _end(length, until), kind, reason, person(by))
    settings = settings_of(config)
    with failures(KafkaError, ControlError):
        try:
            silence = asyncio.run(add_silence(settings, order))
        except OrderError as error:
            complain(str(error))
            raise typer.Exit(USAGE) from None
    _tell(silence, as_json=as_json)


@silences_app.command("list")
def list_silences(
    every: Annotated[bool, typer.Option("--all", help="Those that are over as well.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the silences that are in force or to come."""
    from aiokafka.errors import KafkaError

    from stream.controls import ControlError

    settings = settings_of(config)
    with failures(KafkaError, ControlError):
        now, silences = asyncio.run(_known(settings))
    shown = [
        (state, silence)
        for silence in sorted(silences, key=lambda one: (one.starts_at, one.id))
        if (state := state_of(silence, now)) != "over" or every
    ]
    if as_json:
        say_json({"silences": [{**_object(silence), "state": state} for state, silence in shown]})
    elif shown:
        say("\n".join(f"{state:8}{_line(silence)}" for state, silence in shown))
    else:
        say("no silences" if every else "no silences in force or to come")


@silences_app.command("expire")
def expire(
    identity: Annotated[str, typer.Argument(metavar="ID", help="The silence, as `silences list` names it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence now."""
    from aiokafka.errors import KafkaError

    from stream.controls import ControlError, expire_silence

    settings = settings_of(config)
    with failures(KafkaError, ControlError):
        silence = asyncio.run(expire_silence(settings, identity))
    _tell(silence, as_json=as_json)


def state_of(silence: Silence, now: datetime) -> str:
    """`active`, `pending` before its start, or `over`."""
    if silence.is_expired or silence.ends_at <= now:
        return "over"
    return "active" if silence.starts_at <= now else "pending"


def person(by: str | None) -> str:
    """Who speaks: the one named, or the user of this shell."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


async def _known(settings: Settings) -> tuple[datetime, list[Silence]]:
    from stream.controls import engine_now, known

    silences, _ = await known(settings)
    return await engine_now(settings), list(silences.values())


def _check_detector(name: str | None) -> None:
    from detectors.registry import available

    if name is not None and name not in (names := available()):
        complain(f"--detector {name!r} is none of {', '.join(names)}")
        raise typer.Exit(USAGE)


def _end(length: str | None, until: str | None) -> datetime | timedelta:
    from stream.durations import parse_duration

    if (length is None) == (until is None):
        complain("say how long: either --for or --until")
        raise typer.Exit(USAGE)
    if until is not None:
        return _moment("--until", until)
    try:
        return parse_duration(length or "")
    except ValueError as error:
        complain(f"--for {error}")
        raise typer.Exit(USAGE) from None


def _moment(option: str, text: str) -> datetime:
    from stream.durations import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        complain(f"{option} {error}")
        raise typer.Exit(USAGE) from None


def _object(silence: Silence) -> dict[str, Any]:
    from schemas.canonical import jsonable

    return jsonable(silence)


def _tell(silence: Silence, *, as_json: bool) -> None:
    from schemas.base import format_time
    from stream.controls import holds_from

    at = format_time(holds_from(silence))
    if as_json:
        say_json({**_object(silence), "holds_from": at})
    elif silence.is_expired:
        say(f"ended: {_line(silence)}; incidents speak again from tick {at}")
    else:
        say(f"{_line(silence)}; holds from tick {at}")


def _line(silence: Silence) -> str:
    from schemas.base import format_time
    from stream.verdicts_text import printable

    named = {"flow": silence.flow, "agent": silence.agent, "budget": silence.budget, "detector": silence.detector}
    rest = "".join(f" {name}={value}" for name, value in named.items() if value is not None)
    times = f"{format_time(silence.starts_at)} to {format_time(silence.ends_at)}"
    what = f"{silence.kind} {silence.id}  {silence.environment}/{silence.system}{rest}  {times}"
    return printable(f"{what}  by {silence.created_by}: {silence.reason}")
