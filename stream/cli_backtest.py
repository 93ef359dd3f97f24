"""The command that looks back: backtest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream.cli_base import ConfigOption, JsonOption, failures, say, say_json, settings_of


def backtest(
    counts: Annotated[
        Path, typer.Option("--counts", metavar="FILE", dir_okay=False, help="Counts by minute, .parquet or .csv.")
    ],
    detector: Annotated[str, typer.Option("--detector", metavar="NAME", help="Which detector, e.g. escalation_rate.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", dir_okay=False, help="What really happened, .csv.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a detector would have fired on a history; with labels also recall, false alarms and time to detect."""
    from stream.backtest import backtest as run_backtest
    from stream.backtest_problems import BacktestError

    settings = settings_of(config)
    with failures(BacktestError):
        report = run_backtest(counts, labels, detector, settings.detector_settings().get(detector, {}))
    if as_json:
        say_json(report.to_json())
    else:
        say(report.table())
