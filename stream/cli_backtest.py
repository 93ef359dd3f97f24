"""The command that looks back: backtest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from stream.backtest import Config


def backtest(  # noqa: PLR0913  # a command has as many arguments as it has options
    counts: Annotated[
        Path,
        typer.Option(
            "--counts",
            metavar="FILE",
            dir_okay=False,
            help="Counts by minute, .parquet or .csv; docs/backtest.md has the columns.",
        ),
    ],
    detector: Annotated[
        str,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="escalation_rate, authorization_denials, burn_rate, evaluation_drop or silence.",
        ),
    ],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", dir_okay=False, help="What really happened, .csv.")
    ] = None,
    config: ConfigOption = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="FILE", dir_okay=False, help="A second configuration to set beside it."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Measure from here on only; before it the detector learns."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", dir_okay=False, help="Draw it too, as .png, .svg or .html."),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            "--series", metavar="KEY", help="Which series to draw, e.g. production/shop/refund; may be repeated."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a detector would have fired on a history; with labels also recall, false alarms and time to detect."""
    from stream.backtest import backtest as run_backtest
    from stream.backtest_problems import BacktestError, UnknownDetectorError
    from stream.backtest_text import text

    this = _config(config, detector)
    other = None if compare is None else _config(compare, detector)
    first = None if since is None else _minute(since)
    if series and plot is None:
        complain("--series says what to draw: it needs --plot FILE")
        raise typer.Exit(USAGE)
    with failures(BacktestError):
        if plot is not None:
            from stream.backtest_plot import check_plot, draw

            check_plot(plot)
        try:
            with _progress() as progress:
                found = run_backtest(counts, labels, detector, this, other, first, progress)
        except UnknownDetectorError as error:
            complain(str(error))
            raise typer.Exit(USAGE) from None
        for note in [] if as_json else found.notes:
            complain(f"note: {note}")
        if plot is not None:
            draw(found, plot, series or ())
    if as_json:
        say_json(found.to_json())
    else:
        say(text(found))
        if plot is not None:
            say(f"\ndrawn: {plot}")


def _config(path: Path | None, detector: str) -> Config:
    from stream.backtest import Config

    settings = settings_of(path).detector_settings().get(detector, {})
    return Config("the defaults" if path is None else path.name, settings)


def _minute(since: str) -> int:
    try:
        time = datetime.fromisoformat(since)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        complain(f"--since {since!r} is not a time with a zone, such as 2024-01-31T00:00Z")
        raise typer.Exit(USAGE)
    return int(time.timestamp()) // 60


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """How far a long run is, on standard error where someone looks at it."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading the history") as status:
        yield lambda done, of: status.update(f"evaluating: {100 * done // max(of, 1)} %")
