"""Commands for Grafana: the dashboards as files to provision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_base import JsonOption, failures, say, say_json

grafana_app = typer.Typer(no_args_is_help=True, help="Dashboards for Grafana.")


@grafana_app.callback()
def _grafana() -> None:
    """Dashboards for Grafana."""


@grafana_app.command("export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", file_okay=False, help="Where to write them.")],
    as_json: JsonOption = False,
) -> None:
    """Write the dashboards as JSON files, for Grafana to provision or to import by hand."""
    from stream.grafana.export import export as write

    with failures(OSError):
        written = write(folder)
    if as_json:
        say_json({"dashboards": [str(path) for path in written]})
    else:
        for path in written:
            say(str(path))
