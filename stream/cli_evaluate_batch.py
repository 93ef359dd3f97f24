"""Commands of the cheap nightly run: judge by the provider's Batch API. submit, status, collect, cancel."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of
from stream.durations import parse_duration, parse_since

if TYPE_CHECKING:
    from evaluation.batch_provider import Progress
    from evaluation.batch_run import Begun
    from evaluation.batch_sources import Range
    from evaluation.batch_store import Batch
    from stream.settings import Settings

LOOK_SECONDS = 30.0
SHOWN_PROBLEMS = 10

batch_app = typer.Typer(no_args_is_help=True, help="Judge by the provider's Batch API: slower, at half the price.")

NameArgument = Annotated[str, typer.Argument(metavar="BATCH", help="Its name, as submit and status show it.")]


@batch_app.command("submit")
def submit(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.jsonl]", exists=True, dir_okay=False, help="Interactions; Kafka's if not given."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From when: 24h (ago), or 2026-03-01T02:15Z.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="To when; the present if not given.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Judge all of them, not a sample at the rates of the day.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Draw and reckon; begin nothing.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a sample of stored interactions, and hand it to the provider as one batch."""
    from aiokafka.errors import KafkaError
    from redis.exceptions import RedisError

    from evaluation.batch_provider import BatchError
    from evaluation.batch_run import Source
    from evaluation.batch_run import submit as begin
    from evaluation.batch_sources import SourceError
    from evaluation.build import JudgeConfigError
    from evaluation.criteria import CriteriaError

    if file is None and since is None:
        complain("name a file of interactions, or say from when those on Kafka are wanted: --since 24h")
        raise typer.Exit(USAGE)
    when, settings = _range(since, until), settings_of(config)
    try:
        with failures(SourceError, BatchError, KafkaError, RedisError):
            begun = asyncio.run(begin(settings, os.environ, Source(file, when), every=every, dry_run=dry_run))
    except (CriteriaError, JudgeConfigError) as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    _complain_of(begun)
    if as_json:
        say_json(_json_of(begun))
    else:
        for line in _text_of(begun, dry_run=dry_run):
            say(line)


@batch_app.command("status")
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What is known of the batches, without asking the provider."""
    from redis.exceptions import RedisError

    from evaluation.batch_run import batches

    with failures(RedisError):
        found = asyncio.run(batches(settings_of(config)))
    _show(found, {}, as_json=as_json)


@batch_app.command("collect")
def collect(
    name: Annotated[
        str | None, typer.Argument(metavar="[BATCH]", help="One batch, though it was collected; all open ones if not.")
    ] = None,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="LENGTH", help="Look again for so long until all have ended: 2h.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the scores of the batches that have ended."""
    from aiokafka.errors import KafkaError
    from redis.exceptions import RedisError

    from evaluation.batch_provider import BatchError

    seconds = _length(wait)
    settings = settings_of(config)
    with _configured(), failures(BatchError, KafkaError, RedisError, TimeoutError):
        found, progress, problems = asyncio.run(_collect(settings, name, seconds))
    for problem in problems:
        complain(problem)
    _show(found, progress, as_json=as_json)
    if problems or any(batch.state == "failed" for batch in found):
        raise typer.Exit(FAILED)


@batch_app.command("cancel")
def cancel(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Ask the provider to stop a batch. What it has done already is collected, and paid for."""
    from redis.exceptions import RedisError

    from evaluation.batch_provider import BatchError

    settings = settings_of(config)
    with _configured(), failures(BatchError, RedisError):
        batch = asyncio.run(_cancel(settings, name))
    if as_json:
        say_json({"batch": batch.name, "cancelling": True})
    else:
        say(f"{batch.name}: the provider was asked to stop; `midwatch evaluate batch collect` brings what was done")


async def _collect(
    settings: Settings, name: str | None, seconds: float
) -> tuple[list[Batch], dict[str, Progress], list[str]]:
    from evaluation.batch_provider import BatchError
    from evaluation.batch_run import collection

    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    done: dict[str, Batch] = {}
    async with collection(settings, os.environ) as (store, collects):
        while True:
            chosen = [one for one in await store.batches() if (one.open if name is None else one.name == name)]
            if name is not None and not chosen:
                raise BatchError(f"there is no batch {name}: `midwatch evaluate batch status` lists them")
            progress: dict[str, Progress] = {}
            problems: list[str] = []
            for batch in chosen:
                try:
                    done[batch.name], seen = await collects(batch)
                except BatchError as error:
                    problems.append(f"{batch.name}: {error}")
                    done[batch.name] = batch
                else:
                    progress |= {} if seen is None else {batch.name: seen}
            left = any(batch.open for batch in done.values())
            if not left or loop.time() + LOOK_SECONDS > deadline:
                return list(done.values()), progress, problems
            await asyncio.sleep(LOOK_SECONDS)


async def _cancel(settings: Settings, name: str) -> Batch:
    from evaluation.batch_provider import BatchError
    from evaluation.batch_run import provider_of, store_of

    async with store_of(settings) as (_, store), provider_of(settings, os.environ) as provider:
        batch = next((one for one in await store.batches() if one.name == name), None)
        if batch is None:
            raise BatchError(f"there is no batch {name}: `midwatch evaluate batch status` lists them")
        if not batch.open:
            raise BatchError(f"batch {name} has ended ({batch.state}): there is nothing to stop")
        await provider.cancel(batch.provider_id or await provider.find(name))
        return batch


class _configured:  # noqa: N801  # reads as a phrase
    """End with exit code 2 where the judge cannot be built."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from evaluation.build import JudgeConfigError

        if isinstance(error, JudgeConfigError):
            complain(str(error))
            raise typer.Exit(USAGE) from None


def _range(since: str | None, until: str | None) -> Range:
    from evaluation.batch_sources import Range
    from stream.core.ticks import ms_of

    now = datetime.now(UTC)
    try:
        first, last = (None if text is None else ms_of(parse_since(text, now)) for text in (since, until))
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None
    if first is not None and first >= (ms_of(now) if last is None else last):
        complain("--since must lie before --until, and before the present")
        raise typer.Exit(USAGE)
    return Range(first, last)


def _length(text: str | None) -> float:
    try:
        return 0.0 if text is None else parse_duration(text).total_seconds()
    except ValueError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None


def _complain_of(begun: Begun) -> None:
    read = begun.read
    for line in read.bad[:SHOWN_PROBLEMS]:
        complain(line)
    if read.rejected.total() > SHOWN_PROBLEMS:
        complain(f"{read.rejected.total()} records could not be read, the first {SHOWN_PROBLEMS} are above")
    if read.cut:
        complain(
            f"only the first {read.interactions + read.outside + read.others:,} records were read: narrow the range"
        )
    if not begun.submitted.priced:
        complain(
            f"the price of {begun.draw.plan.model} is not known: its cost counts as nothing, and only the budget of "
            "tokens holds; [prices] may say it"
        )


def _json_of(begun: Begun) -> dict[str, Any]:
    read, submitted = begun.read, begun.submitted
    return {
        "batch": submitted.batch.name if submitted.batch else None,
        "provider_id": submitted.batch.provider_id if submitted.batch else None,
        "read": read.interactions,
        "read_by_outcome": dict(sorted(begun.draw.seen.items())),
        "outside": read.outside,
        "unread": read.rejected.total(),
        "cut": read.cut,
        "without_text": begun.draw.without_text,
        "judged_before": submitted.judged_before,
        "interactions": submitted.chosen,
        "factor": submitted.factor,
        "expected_tokens": submitted.expected.tokens,
        "expected_usd": submitted.expected.micro_usd / 1e6 if submitted.priced else None,
    }


def _text_of(begun: Begun, *, dry_run: bool) -> list[str]:
    read, submitted = begun.read, begun.submitted
    thinned = f", thinned to {submitted.factor:.3g} of the rates by the budget" if submitted.factor < 1 else ""
    drawn = submitted.chosen + submitted.judged_before
    lines = [f"{read.interactions:,} interactions read, {drawn:,} drawn{thinned}"]
    if begun.draw.without_text:
        lines.append(f"{begun.draw.without_text:,} drawn ones have no text and were left out")
    if submitted.judged_before:
        lines.append(f"{submitted.judged_before:,} of them were judged before, or are being judged")
    if not submitted.chosen:
        return [*lines, "nothing to judge: no batch was begun"]
    usd = f", ${submitted.expected.micro_usd / 1e6:.4f}" if submitted.priced else ""
    lines.append(f"expected: {submitted.expected.tokens:,} tokens{usd}, anchors among them")
    if submitted.batch is None:
        return [*lines, "dry run: no batch was begun" if dry_run else "no batch was begun"]
    return [*lines, f"{submitted.batch.name} begun; `midwatch evaluate batch collect` brings its scores"]


def _show(found: list[Batch], progress: dict[str, Progress], *, as_json: bool) -> None:
    from evaluation.batch_text import batch_json, batch_lines

    if as_json:
        say_json({"batches": [batch_json(batch, progress.get(batch.name)) for batch in found]})
        return
    for batch in found:
        for line in batch_lines(batch, progress.get(batch.name)):
            say(line)
    if not found:
        say("no batch")
