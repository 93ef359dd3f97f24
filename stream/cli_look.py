"""Commands that look at what the engine says: verdicts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import ConfigOption, JsonOption, complain, failures, say, settings_of

if TYPE_CHECKING:
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
