"""Commands that send events: one line for a CI job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from schemas.words import ChangeKind, DeploymentPhase
from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from schemas.base import JsonObject

events_app = typer.Typer(no_args_is_help=True, help="Send events, from a CI job for example.")

SHARES: Final = {"started": 0.0, "completed": 100.0, "rolled_back": 0.0}
"""Per cent of the traffic that a phase means where nothing else is said."""

TOKEN_VARIABLE: Final = "MIDWATCH_INGEST_TOKEN"  # noqa: S105  # the name of a variable

Text = str | None


@events_app.callback()
def _events() -> None:
    """Send events, from a CI job for example."""


@events_app.command("deployment")
def deployment(  # noqa: PLR0913 - one for each option
    environment: Annotated[str, typer.Option("--environment", metavar="E", help="Environment, e.g. production.")],
    system: Annotated[str, typer.Option("--system", metavar="S", help="System, as in its other events.")],
    component: Annotated[str, typer.Option("--component", metavar="C", help="Flow or agent that changes.")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="Version, as interactions name it.")],
    phase: Annotated[DeploymentPhase, typer.Option("--phase", help="How far it has come.")] = "completed",
    canary_percent: Annotated[
        float | None,
        typer.Option("--canary-percent", min=0, max=100, help="Share of traffic; needed with --phase progressed."),
    ] = None,
    change: Annotated[ChangeKind, typer.Option("--change", help="What changes.")] = "flow",
    previous_version: Annotated[Text, typer.Option("--previous-version", metavar="V", help="To return to.")] = None,
    target: Annotated[
        Text,
        typer.Option("--target", metavar="KIND:K=V,...", help="What a rollback acts on: argo_rollout:name=refund."),
    ] = None,
    artifact: Annotated[Text, typer.Option("--artifact", metavar="A", help="Image or package.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="A tag; may be repeated.")] = None,
    time: Annotated[Text, typer.Option("--time", metavar="T", help="When, e.g. 2026-03-01T02:15Z; else now.")] = None,
    identity: Annotated[
        Text, typer.Option("--id", metavar="ID", help="Id; else made of the other arguments: a repeat is one event.")
    ] = None,
    url: Annotated[
        Text, typer.Option("--url", metavar="URL", help="Send to `midwatch ingest` there instead of to Kafka.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help=f"File with the token for --url; else {TOKEN_VARIABLE}.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and print the event; send nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell Midwatch of a change: a flow, model, prompt, schema or configuration, and how much of the traffic it has."""
    given = {
        "environment": environment,
        "system": system,
        "component": component,
        "version": version,
        "phase": phase,
        "canary_percent": _share(phase, canary_percent),
        "change": change,
        "previous_version": previous_version,
        "target": _target(target),
        "artifact": artifact,
        "tags": _pairs("--tag", tags or []) or None,
        "time": _moment(time),
    }
    event = _checked({name: value for name, value in given.items() if value is not None}, identity)
    if dry_run:
        _tell(event, "nothing was sent", None, as_json=as_json)
    elif url is not None:
        from stream.ingest_client import shown

        _tell(event, f"stored by {shown(url)}", _post(url, event, token_file), as_json=as_json)
    else:
        place = _send(config, event)
        _tell(event, f"stored at {place['topic']}/{place['partition']}/{place['offset']}", place, as_json=as_json)


def _checked(given: dict[str, Any], identity: str | None) -> JsonObject:
    """The event. What its id is made of holds a time only if one was given: a job that runs again says the same."""
    from schemas.canonical import jsonable
    from stream.producer import InvalidEvent, make_event

    plain = {name: value for name, value in given.items() if name != "time"}
    if "time" in given:
        plain["time"] = given["time"].isoformat()
    try:
        event = make_event("deployment", {**given, "id": identity}, identity=plain)
    except InvalidEvent as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    return jsonable(event)


def _send(config: Path | None, event: JsonObject) -> JsonObject:
    from aiokafka.errors import KafkaError

    from schemas.words import TOPIC_OF_TYPE
    from stream.controls import ControlError
    from stream.producer import NotStored, send_once
    from stream.settings_clients import kafka_options

    settings = settings_of(config)
    with failures(KafkaError, NotStored, ControlError):
        stored = asyncio.run(send_once(kafka_options(settings.kafka), TOPIC_OF_TYPE["deployment"], event))
    return {"topic": stored.topic, "partition": stored.partition, "offset": stored.offset}


def _post(url: str, event: JsonObject, token_file: Path | None) -> JsonObject:
    from stream.ingest_client import IngestError, post_events

    with failures(IngestError):
        return post_events(url, [event], _token(token_file))


def _token(file: Path | None) -> str | None:
    import os

    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            complain(f"--token-file {file} cannot be read: {error}")
            raise typer.Exit(USAGE) from None
    return os.environ.get(TOKEN_VARIABLE)


def _share(phase: str, said: float | None) -> float:
    if said is None and phase not in SHARES:
        complain(f"--phase {phase} needs --canary-percent: how much of the traffic has it reached?")
        raise typer.Exit(USAGE)
    return SHARES[phase] if said is None else said


def _target(text: str | None) -> JsonObject | None:
    if text is None:
        return None
    kind, _, rest = text.partition(":")
    return {"kind": kind, "ref": _pairs("--target", rest.split(",") if rest else [])}


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            complain(f"{option} {text!r} is not of the form KEY=VALUE")
            raise typer.Exit(USAGE)
        found[key] = value
    return found


def _moment(text: str | None) -> Any:
    from stream.durations import parse_moment

    if text is None:
        return None
    try:
        return parse_moment(text)
    except ValueError as error:
        complain(f"--time {error}")
        raise typer.Exit(USAGE) from None


def _tell(event: JsonObject, done: str, place: JsonObject | None, *, as_json: bool) -> None:
    if as_json:
        say_json({"event": event, "stored": place})
        return
    share = f"{event['canary_percent']:g} % of the traffic"
    what = f"{event['change']} {event['component']} {event['version']} {event['phase']} at {share}"
    say(f"deployment {event['id']}: {event['environment']}/{event['system']}, {what}, {event['time']}; {done}")
