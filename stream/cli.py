"""The command line. Every command is thin, and imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from stream.cli_actions import actions_app, rollback_app
from stream.cli_backtest import backtest
from stream.cli_base import quiet_libraries
from stream.cli_config import check_config, doctor, schemas_app, topics_app
from stream.cli_controls import silences_app
from stream.cli_costs import costs_app
from stream.cli_costs_chargeback import chargeback, tags
from stream.cli_dashboard import dashboard, top
from stream.cli_evaluate import evaluate_app
from stream.cli_events import events_app
from stream.cli_grafana import grafana_app
from stream.cli_ingest import ingest
from stream.cli_inspect import inspect
from stream.cli_look import triage
from stream.cli_run import demo, replay, run
from stream.cli_scenarios import scenarios_app
from stream.cli_sinks import sinks_app
from stream.cli_verdicts import verdicts_app

app = typer.Typer(
    name="midwatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Stands watch over a fleet of AI agents: telemetry from Kafka in, one verdict out.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("midwatch"))
        raise typer.Exit


@app.callback()
def _root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Stands watch over a fleet of AI agents: telemetry from Kafka in, one verdict out."""


app.command("run")(run)
app.command("ingest")(ingest)
app.command("replay")(replay)
app.command("backtest")(backtest)
app.command("demo")(demo)
app.command("dashboard")(dashboard)
app.command("top")(top)
app.command("triage")(triage)
app.command("inspect")(inspect)
app.add_typer(verdicts_app, name="verdicts")
app.add_typer(silences_app, name="silences")
app.add_typer(actions_app, name="actions")
app.add_typer(rollback_app, name="rollback")
app.add_typer(events_app, name="events")
app.add_typer(sinks_app, name="sinks")
app.command("doctor")(doctor)
app.command("check-config")(check_config)
app.add_typer(scenarios_app, name="scenarios")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(topics_app, name="topics")
app.add_typer(schemas_app, name="schemas")
app.add_typer(costs_app, name="costs")
app.add_typer(grafana_app, name="grafana")
costs_app.command("chargeback")(chargeback)
costs_app.command("tags")(tags)


def main() -> None:
    """Entry point of the `midwatch` script and of `python -m stream.cli`."""
    quiet_libraries()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
