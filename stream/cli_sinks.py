"""Where verdicts are delivered to: run the deliveries, list how they stand, try one."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Annotated

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

sinks_app = typer.Typer(no_args_is_help=True, help="Deliver verdicts to pagers, alerts, webhooks and chats.")

NONE = "no sink is configured: add a section [sinks.NAME]; `midwatch check-config --example` shows one of each kind"


@sinks_app.command("run")
def run(config: ConfigOption = None) -> None:
    """Deliver verdicts to every configured sink. `midwatch run` starts this by itself, if delivery.enabled."""
    from stream.settings_sinks import sinks_of
    from stream.sinks.process import run_sinks

    settings = settings_of(config)
    if not sinks_of(settings.sinks):
        complain(NONE)
        raise typer.Exit(USAGE)
    raise typer.Exit(run_sinks(settings))


@sinks_app.command("list")
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show each sink: where to, how many verdicts wait, when it last delivered."""
    from aiokafka.errors import KafkaError

    from stream.settings_sinks import sinks_of
    from stream.sinks.listing import list_sinks
    from stream.verdicts import VerdictsMissing

    settings = settings_of(config)
    lines = []
    if sinks_of(settings.sinks):
        with failures(KafkaError, VerdictsMissing, TimeoutError, ValueError):
            lines = asyncio.run(list_sinks(settings))
    if as_json:
        say_json({"sinks": [dataclasses.asdict(line) for line in lines]})
        return
    if not lines:
        say(NONE)
    for line in lines:
        lag = "never started" if line.lag is None else f"{line.lag} waiting"
        last = f"last delivery {line.last}" if line.last is not None else "nothing delivered yet"
        state = f"; FAILING: {line.failing}" if line.failing is not None else ""
        say(f"{line.name:16} {line.kind:14} {line.destination:32} {lag}, {last}{state}")


@sinks_app.command("test")
def try_one(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The sink, as the configuration names it.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open a test incident at a sink and end it again, and say what came back. Exit code 1 if it was not taken."""
    from stream.settings_problems import did_you_mean
    from stream.settings_sinks import sinks_of
    from stream.sinks.trial import try_sink

    settings = settings_of(config)
    sinks = sinks_of(settings.sinks)
    if name not in sinks:
        complain(f"there is no sink '{name}' that is enabled; {did_you_mean(name, tuple(sinks)) if sinks else NONE}")
        raise typer.Exit(USAGE)
    with failures(ValueError):
        tried = asyncio.run(try_sink(settings, sinks[name], datetime.now(UTC)))
    if as_json:
        say_json({"sink": name, "kind": sinks[name].kind, "sent": [dataclasses.asdict(one) for one in tried]})
    else:
        for one in tried:
            say(f"{one.what:12}{'taken' if one.ok else 'FAILED'}: {one.answer}")
    if not tried or not all(one.ok for one in tried):
        complain(f"{name} did not take the test incident")
        raise typer.Exit(FAILED)
