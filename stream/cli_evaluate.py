"""Commands of the evaluation plane: run, import, calibrate, trends, batch."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of
from stream.cli_evaluate_batch import batch_app
from stream.cli_evaluate_trends import trends

SHOWN_PROBLEMS = 10

evaluate_app = typer.Typer(no_args_is_help=True, help="Judge a sample of the interactions.")
evaluate_app.add_typer(batch_app, name="batch")


@evaluate_app.command("run")
def run(config: ConfigOption = None) -> None:
    """Judge a sample of the interactions on Kafka, and publish their scores."""
    from evaluation.agent import run_plane
    from evaluation.build import JudgeConfigError, build_judge
    from evaluation.criteria import CriteriaError, load_criteria

    settings = settings_of(config)
    try:
        criteria = load_criteria(settings.judge.criteria_file, settings.judge.criteria)
        judge = build_judge(settings, os.environ)
    except (CriteriaError, JudgeConfigError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    raise typer.Exit(run_plane(settings, judge, criteria))


@evaluate_app.command("import")
def import_scores(  # noqa: PLR0913  # a command line's options
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="JSON or JSON lines.")],
    config: ConfigOption = None,
    environment: Annotated[str | None, typer.Option("--environment", "-e", help="For rows that name none.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="For rows that name none.")] = None,
    flow: Annotated[str | None, typer.Option("--flow", "-f", help="For rows that name none.")] = None,
    version: Annotated[str | None, typer.Option("--version", help="For rows that name none.")] = None,
    time: Annotated[str | None, typer.Option("--time", help="RFC 3339, for rows without one; now if left out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and explain; publish nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish the scores of other evaluators: rows of azure-ai-evaluation, or gen_ai.evaluation.result records."""
    from aiokafka.errors import KafkaError

    from evaluation.others import publish, read_rows
    from schemas.base import format_time

    settings = settings_of(config)
    given = {"environment": environment, "system": system, "flow": flow, "version": version}
    defaults = {key: value for key, value in given.items() if value is not None}
    defaults["time"] = time or format_time(datetime.now(UTC))
    with failures(KafkaError, UnicodeDecodeError):
        rows = list(read_rows(file, defaults))
        events = [event for row in rows for event in row.events]
        if events and not dry_run:
            asyncio.run(publish(events, settings.kafka))
    bad = [row for row in rows if row.problem]
    for row in bad[:SHOWN_PROBLEMS]:
        complain(f"{file}, row {row.number}: {row.problem}")
    if len(bad) > SHOWN_PROBLEMS:
        complain(f"{len(bad)} rows could not be read, the first {SHOWN_PROBLEMS} are above")
    if as_json:
        say_json(
            {"rows": len(rows), "scores": len(events), "unread": len(bad), "published": 0 if dry_run else len(events)}
        )
    else:
        done = "read, none published" if dry_run else "published"
        say(f"{len(rows)} rows: {len(events)} scores {done}, {len(bad)} rows could not be read")
    if not events:
        raise typer.Exit(FAILED)


@evaluate_app.command("calibrate")
def calibrate(
    file: Annotated[
        Path, typer.Argument(metavar="LABELLED.jsonl", exists=True, dir_okay=False, help="Labels, with scores or not.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far the judge agrees with people's labels, by criterion."""
    from evaluation.build import JudgeConfigError
    from evaluation.calibration import calibrate as compare
    from evaluation.calibration import text_of
    from evaluation.criteria import CriteriaError
    from evaluation.labelled import LabelledFileError

    settings = settings_of(config)
    try:
        with failures(LabelledFileError):
            found = compare(file, settings, os.environ)
    except (CriteriaError, JudgeConfigError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if as_json:
        say_json(found.to_json())
    else:
        for line in text_of(found):
            say(line)
    if not found.agreements:
        complain(f"{file} gave no pair of label and score")
        raise typer.Exit(FAILED)


@evaluate_app.command("anchors")
def anchors(
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget it: the next round is the reference, its judge the right one.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the judge's first scores of the anchors, which its drift is measured against."""
    from redis.exceptions import RedisError

    from evaluation.anchors_command import look

    settings = settings_of(config)
    with failures(RedisError):
        found = asyncio.run(look(settings, reset=reset))
    if as_json:
        say_json(found.to_json())
        return
    for (name, version), (number, mean) in found.means.items():
        say(f"{found.model}  {name}: mean {mean:.2f} over {number} anchors ({version})")
    if not found.means:
        say(f"{found.model} has no reference yet: its next round of anchors becomes it")
    elif reset:
        say("forgotten: the next round of anchors becomes the reference")


evaluate_app.command("trends")(trends)
