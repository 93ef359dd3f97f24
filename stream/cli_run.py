"""Commands that run the engine, or its heart over files: run, replay, demo."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from stream.replay import ReplayStats
    from stream.settings import Settings

SHOWN_BAD_LINES = 10
"""Bad lines that a replay names; all are counted."""

STDOUT = Path("-")


class Format(StrEnum):
    """How the lines of a replayed file are written."""

    NATIVE = "native"
    OTLP = "otlp"


def run(
    config: ConfigOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Worker processes; else engine.workers.")
    ] = None,
) -> None:
    """Run the engine: telemetry from Kafka in, firings and verdicts out; and the on-call page beside it."""
    from stream.page import page_command
    from stream.run import run_workers

    settings = settings_of(config)
    page = page_command(config) if settings.dashboard.enabled else None
    raise typer.Exit(run_workers(settings, workers if workers is not None else settings.engine.workers, page))


def replay(
    files: Annotated[
        list[Path], typer.Argument(metavar="EVENTS.jsonl", exists=True, dir_okay=False, help="Events, one a line.")
    ],
    config: ConfigOption = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT.jsonl", help="Where to write; - for stdout.")
    ] = STDOUT,
    dead_letters: Annotated[
        Path | None, typer.Option("--dead-letters", metavar="FILE", help="Where to write what could not be read.")
    ] = None,
    written: Annotated[
        Format,
        typer.Option("--format", help="native: events, each line's format detected. otlp: OTLP JSON exports alone."),
    ] = Format.NATIVE,
    as_json: JsonOption = False,
) -> None:
    """Run the engine's heart over files of events: firings and verdicts out. The same input gives the same bytes."""
    settings = settings_of(config)
    _refuse_clashes(files, out, dead_letters)
    with failures():
        stats = _replay_files(files, settings, out, dead_letters, only_otlp=written is Format.OTLP)
    for bad in stats.bad_lines[:SHOWN_BAD_LINES]:
        complain(f"{bad.path}, line {bad.line}: {bad.reason}: {bad.detail}")
    if stats.rejected > SHOWN_BAD_LINES:
        complain(f"{stats.rejected} lines could not be read, the first {SHOWN_BAD_LINES} are above")
    # With the records on standard output, the summary would be in the way there.
    if as_json:
        say_json(stats.to_json(), err=out == STDOUT)
    else:
        say(_summary(stats), err=out == STDOUT)
    if stats.rejected and not stats.events:
        complain("no line was an event; is this a file of events, one JSON object a line?")
        raise typer.Exit(FAILED)


def _refuse_clashes(files: list[Path], out: Path, dead_letters: Path | None) -> None:
    """End the command if it would write over what it reads, or two things into one file."""
    taken = {path.resolve(): "is one of the files to read" for path in files}
    for path in (out, dead_letters):
        if path is not None and path != STDOUT and path.resolve() in taken:
            complain(f"cannot write {path}: it {taken[path.resolve()]}")
            raise typer.Exit(USAGE)
        if path is not None and (path.is_file() or not path.exists()):
            taken[path.resolve()] = "is what --out names"


def _replay_files(
    files: list[Path], settings: Settings, out: Path, dead_letters: Path | None, *, only_otlp: bool
) -> ReplayStats:
    from stream.outfile import whole_file
    from stream.replay import replay as replay_files

    with ExitStack() as stack:
        target: IO[bytes] = sys.stdout.buffer if out == STDOUT else stack.enter_context(whole_file(out))
        bad = stack.enter_context(whole_file(dead_letters)) if dead_letters is not None else None
        stats = replay_files(files, settings, target, bad, only_otlp=only_otlp)
        target.flush()
        return stats


def _summary(stats: ReplayStats) -> str:
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(stats.events.items())) or "none"
    return (
        f"events: {kinds}; rejected: {stats.rejected}; ticks: {stats.ticks}; "
        f"firings: {stats.firings}; verdicts: {stats.verdicts}"
    )


def demo(
    headless: Annotated[
        bool, typer.Option("--headless", help="End after the scenario; exit 0 if all is right.")
    ] = False,
    speed: Annotated[
        float, typer.Option("--speed", min=1.0, help="Event time to real time in the live phase.")
    ] = 300.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed is another fleet.")] = 1,
    own_judge: Annotated[
        Path | None,
        typer.Option(
            "--own-judge",
            metavar="FILE",
            dir_okay=False,
            help="Configuration whose judge scores, at your cost, instead of scripted rules.",
        ),
    ] = None,
) -> None:
    """Show the whole engine at work on this machine alone: embedded Kafka and Redis, a simulated fleet, incidents."""
    from scenarios.demo import DemoOptions, run_demo

    try:
        judge = None if own_judge is None else settings_of(own_judge).judge
        options = DemoOptions(headless=headless, speed=speed, seed=seed, own_judge=judge)
        with failures(RuntimeError):
            code = asyncio.run(run_demo(options))
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    raise typer.Exit(code)
