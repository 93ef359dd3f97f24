"""Commands of the on-call page: serve it alone, and its first screen in a terminal."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from stream.cli_base import ConfigOption, JsonOption, failures, say, settings_of


def dashboard(
    config: ConfigOption = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", hidden=True, help="Say that it is the demonstration.")
    ] = False,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True, help="End with standard input.")] = False,
) -> None:
    """Serve the on-call page alone, beside an engine that runs elsewhere. `midwatch run` serves it as well."""
    from dashboard.serve import page_process

    settings = settings_of(config)
    code = page_process(
        settings,
        simulated=simulated,
        with_parent=with_parent,
        ready=lambda address: say(f"The on-call page: {address}", err=with_parent),
    )
    raise typer.Exit(code)


def top(
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Address of a page; else the topics are read here.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once; exit 1 if the engine is unwell.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The first screen live in a terminal: what is wrong, since when, what to do. Ctrl-C ends it."""
    from rich.console import Console

    from dashboard.top import TopError, run_top

    settings = settings_of(config)
    with failures(TopError):
        code = asyncio.run(run_top(settings, url, Console(), once=once, as_json=as_json))
    raise typer.Exit(code)
