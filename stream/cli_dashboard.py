"""Commands of the on-call page: serve it alone, and its first screen in a terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from stream.cli_base import ConfigOption, say, settings_of


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
