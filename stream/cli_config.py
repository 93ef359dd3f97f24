"""Commands about the set-up: check-config, doctor, topics, schemas."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.cli_base import FAILED, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from stream.settings import Settings
    from stream.topics import TopicReport

topics_app = typer.Typer(no_args_is_help=True, help="Midwatch's topics.")
schemas_app = typer.Typer(no_args_is_help=True, help="The contract for programs.")

MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def check_config(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    example: Annotated[bool, typer.Option("--example", help="Print the example file: every key, its default.")] = False,
) -> None:
    """Read the configuration, say everything that is wrong with it, and show what is in force."""
    if example:
        from stream.settings import settings_model
        from stream.settings_example import example_toml

        typer.echo(example_toml(settings_model()), nl=False)
        return
    settings = settings_of(config)
    shown = {"config_hash": settings.config_hash(), **settings.model_dump(mode="json")}
    if as_json:
        say_json(shown)
        return
    origin = str(config) if config is not None else "no file, defaults and environment"
    say(f"The configuration is sound ({origin}).")
    say(f"config_hash {shown['config_hash']}")


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Is everything that the engine stands on there: Kafka, topics, retention, Redis, clocks? Exit code 1 if not."""
    from stream.doctor import examine, worst

    settings = settings_of(config)
    lines = asyncio.run(examine(settings, lambda: time.time_ns() // 1_000_000))
    if as_json:
        say_json({"worst": worst(lines), "lines": [dataclasses.asdict(line) for line in lines]})
    else:
        for line in lines:
            say(f"{MARKS[line.level]}  {line.subject}: {line.detail}{f' -> {line.remedy}' if line.remedy else ''}")
    if worst(lines) == "fail":
        raise typer.Exit(FAILED)


@topics_app.callback()
def _topics() -> None:
    """Midwatch's topics."""


@topics_app.command("create")
def topics_create(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Make the topics that are missing, and say how the others differ from the plan. Changes none that exists."""
    from aiokafka.errors import KafkaError

    from stream.topics import TopicsError

    settings = settings_of(config)
    with failures(KafkaError, TopicsError):
        reports = asyncio.run(_create_topics(settings))
    if as_json:
        say_json({"topics": [_topic_object(report) for report in reports]})
    else:
        for report in reports:
            extra = "; ".join(report.differences) or report.error
            say(f"{report.status:8}{report.plan.name:28}{report.plan.purpose}{f': {extra}' if extra else ''}")
    if any(report.status == "failed" for report in reports):
        complain("some topics could not be made")
        raise typer.Exit(FAILED)


async def _create_topics(settings: Settings) -> list[TopicReport]:
    from aiokafka.admin import AIOKafkaAdminClient

    from stream.settings_clients import kafka_options
    from stream.topics import create_topics, plan_topics

    admin = AIOKafkaAdminClient(**kafka_options(settings.kafka))
    try:
        await admin.start()
        return await create_topics(admin, plan_topics(settings.kafka), settings.kafka.replication_factor)
    finally:
        await admin.close()


def _topic_object(report: TopicReport) -> dict[str, object]:
    return {
        "name": report.plan.name,
        "status": report.status,
        "partitions": report.partitions,
        "differences": list(report.differences),
        "error": report.error,
    }


@schemas_app.callback()
def _schemas() -> None:
    """The contract for programs."""


@schemas_app.command("export")
def schemas_export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")],
) -> None:
    """Write the JSON Schema of every event and answer, and the AsyncAPI document, into DIR."""
    from schemas.export import documents

    with failures():
        for name, body in documents().items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
            say(str(target))


@schemas_app.command("check")
def schemas_check(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="What an older version exported.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Say what this version breaks of the contract in DIR, as written by `midwatch schemas export`; 1 if anything."""
    from schemas.released import broken_since

    problems = broken_since(_exported(directory))
    if as_json:
        say_json({"broken": [{"schema": name, "problem": problem} for name, problem in problems]})
    else:
        for name, problem in problems:
            say(f"{name}: {problem}")
        if not problems:
            say("nothing that was promised is broken")
    if problems:
        raise typer.Exit(FAILED)


def _exported(directory: Path) -> dict[str, dict[str, object]]:
    """The schemas in a directory that `schemas export` wrote, or in its json/, by name."""
    folder = directory / "json" if (directory / "json").is_dir() else directory
    paths = sorted(folder.glob("*.json"))
    found = {}
    for path in paths:
        try:
            schema = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            complain(f"{path} cannot be read as a JSON Schema: {error}")
            raise typer.Exit(FAILED) from None
        if isinstance(schema, dict) and str(schema.get("$id", "")).startswith("urn:midwatch:"):
            found[path.stem] = schema
    if not found:
        complain(f"{directory} holds no schemas of Midwatch; write them by: midwatch schemas export DIR")
        raise typer.Exit(FAILED)
    return found
