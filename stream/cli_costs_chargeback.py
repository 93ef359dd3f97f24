"""The commands about who pays: chargeback and tags."""

from __future__ import annotations

import math
import sys
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from costs.chargeback import Chargeback
    from costs.months import Month
    from costs.reconcile import Tolerance
    from costs.tags_policy import Policy
    from stream.chargeback_read import UsageRead
    from stream.settings import Settings

SHOWN_BAD_RECORDS = 10
SHOWN_TAGS = 10


class Format(StrEnum):
    """What the lines are written as."""

    TABLE = "table"
    CSV = "csv"
    FOCUS = "focus"


class Cost(StrEnum):
    """Which cost of the bill is compared."""

    EFFECTIVE = "effective"
    BILLED = "billed"


PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="TOML: required tags, stand-ins, commitments; else the config's."),
]


def chargeback(  # noqa: PLR0913 - each is an option
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="The calendar month, UTC.")],
    usage: Annotated[
        list[Path] | None,
        typer.Option("--usage", metavar="FILE", exists=True, dir_okay=False, help="Usage: .jsonl, .parquet or .csv."),
    ] = None,
    from_kafka: Annotated[
        bool, typer.Option("--from-kafka", help="Usage from the input topics of the configuration.")
    ] = False,
    by: Annotated[str, typer.Option("--by", metavar="TAG[,TAG]", help="Tags that make the lines.")] = "cost-center",
    policy: PolicyOption = None,
    config: ConfigOption = None,
    form: Annotated[Format, typer.Option("--format", help="What the lines are written as.")] = Format.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to; FOCUS rows as .csv or .parquet.")
    ] = None,
    bills: Annotated[
        list[Path] | None,
        typer.Option(
            "--reconcile", metavar="FILE", exists=True, dir_okay=False, help="The bill, as FOCUS: .csv or .parquet."
        ),
    ] = None,
    cost: Annotated[
        Cost, typer.Option("--cost", help="effective: what use is worth. billed: what the invoice says.")
    ] = Cost.EFFECTIVE,
    tolerance: Annotated[
        float, typer.Option("--tolerance", metavar="SHARE", min=0, max=1, help="Share by which two amounts may differ.")
    ] = 0.01,
    tolerance_usd: Annotated[
        float, typer.Option("--tolerance-usd", metavar="USD", min=0, help="Or the dollars by which they may.")
    ] = 0.01,
    all_services: Annotated[
        bool, typer.Option("--all-services", help="Compare all of the bill, not its AI services alone.")
    ] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Count rows of the bill that are equal in every column.")
    ] = False,
    fail_on_difference: Annotated[
        bool, typer.Option("--fail-on-difference", help="Exit code 1 unless everything is matched.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """What a month's usage costs, by the tags that say who pays; with a bill, also where the two differ."""
    from aiokafka.errors import KafkaError

    from costs.chargeback import chargeback as make_chargeback
    from costs.chargeback_charges import TooManyChargesError
    from stream.chargeback_read import UsageFileError
    from stream.chargeback_run import read_bill, read_month
    from stream.focus_problems import FocusError
    from stream.focus_text import bill_json, reconciliation_text

    usage, bills = usage or [], bills or []
    if not usage and not from_kafka:
        complain("name files of usage with --usage, or read them with --from-kafka")
        raise typer.Exit(USAGE)
    when, names, settings = _month(month), _names(by), settings_of(config)
    rules = _policy(policy, settings)
    allowed = _tolerance(tolerance, tolerance_usd)
    _check_out(out, form, [*usage, *bills, *([policy] if policy else [])])
    with failures(UsageFileError, TooManyChargesError, FocusError, KafkaError):
        book, read = read_month(when, rules, usage, settings, from_kafka=from_kafka)
        report = make_chargeback(book, names)
        found = None
        if bills:
            found = read_bill(report, bills, cost.value, allowed, all_services, keep_duplicates)
        _write(report, form, out, quiet=as_json)
    _say_bad_records(read)
    _say_unknown_names(names, {name for key in book.charges for name, _ in key.tags})
    if as_json:
        shown: dict[str, Any] = {**report.to_json(), "rejected": read.rejected}
        if found is not None:
            shown["reconcile"] = {**found[0].to_json(), "bill": bill_json(found[1])}
        say_json(shown)
    elif found is not None:
        # Rows on standard output stay alone there.
        say(f"\n{reconciliation_text(*found)}", err=form != Format.TABLE and out is None)
    if found is not None and fail_on_difference and not found[0].agrees:
        raise typer.Exit(FAILED)


def _month(text: str) -> Month:
    from costs.months import Month

    try:
        return Month.parse(text)
    except ValueError as error:
        complain(f"--month: {error}")
        raise typer.Exit(USAGE) from None


def _policy(path: Path | None, settings: Settings) -> Policy:
    from stream.chargeback_policy import PolicyError, load_policy

    try:
        return load_policy(path) if path is not None else settings.chargeback.policy()
    except PolicyError as error:
        complain(str(error))
        raise typer.Exit(USAGE) from None


def _names(text: str) -> list[str]:
    from costs.tags import fold

    names = [name.strip() for name in text.split(",")]
    if not all(names) or len({fold(name) for name in names}) < len(names):
        complain(f"--by '{text}': name one or more different tags, with commas between them")
        raise typer.Exit(USAGE)
    return names


def _say_unknown_names(names: list[str], borne: set[str]) -> None:
    """A tag that no call bears was probably misspelt."""
    from costs.tags import fold, shown

    known = {fold(name) for name in borne}
    for name in names:
        if fold(name) not in known:
            there = ", ".join(shown(one) for one in sorted(borne)[:SHOWN_TAGS]) or "none at all"
            complain(f"--by {name}: no call bears this tag; they bear {there}")


def _tolerance(relative: float, usd: float) -> Tolerance:
    from costs.reconcile import NANO_USD, Tolerance

    if not math.isfinite(relative) or not math.isfinite(usd):
        complain("--tolerance and --tolerance-usd are numbers")
        raise typer.Exit(USAGE)
    return Tolerance(relative, round(usd * NANO_USD))


def _check_out(out: Path | None, form: Format, read: list[Path]) -> None:
    """End the command if what it would write has no place."""
    if out is None:
        return
    if form == Format.FOCUS and out.suffix.lower() not in {".csv", ".parquet"}:
        complain(f"--out {out}: FOCUS rows are written as .csv or .parquet")
        raise typer.Exit(USAGE)
    if out.resolve() in {path.resolve() for path in read}:
        complain(f"--out {out} is one of the files to read")
        raise typer.Exit(USAGE)


def _write(report: Chargeback, form: Format, out: Path | None, *, quiet: bool) -> None:
    """The lines to `out`, or to standard output if nothing else goes there."""
    from stream.outfile import whole_file

    if out is None and quiet:
        return
    with ExitStack() as stack:
        target: IO[bytes] = sys.stdout.buffer if out is None else stack.enter_context(whole_file(out))
        _write_lines(report, form, target, parquet=out is not None and out.suffix.lower() == ".parquet")
        target.flush()


def _write_lines(report: Chargeback, form: Format, target: IO[bytes], *, parquet: bool) -> None:
    from costs.focus import focus_rows
    from stream.chargeback_text import table, write_csv
    from stream.focus_write import write_focus_csv, write_focus_parquet

    if form == Format.TABLE:
        target.write(f"{table(report)}\n".encode())
        return
    if form == Format.CSV:
        write_csv(report, target)
        return
    write = write_focus_parquet if parquet else write_focus_csv
    rows = write(focus_rows(report), target)
    unpriced = report.unpriced
    said = f"{rows:,} FOCUS rows"
    if unpriced.requests:
        said += f"; without a price, and so without a row: {unpriced.requests:,} calls, {unpriced.tokens:,} tokens"
    say(said, err=True)


def tags(
    usage: Annotated[
        list[Path], typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Usage: .jsonl, .parquet or .csv.")
    ],
    policy: PolicyOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is wrong with the tags of usage, under Azure's rules and the policy, by who sends it. Exit code 1 if any."""
    from stream.chargeback_read import UsageFileError
    from stream.chargeback_run import check_tags
    from stream.chargeback_text import violations_text

    rules = _policy(policy, settings_of(config))
    with failures(UsageFileError):
        violations, read = check_tags(rules, usage)
    _say_bad_records(read)
    if as_json:
        say_json({"usage": read.usage, "rejected": read.rejected, "violations": violations.to_json()})
    elif violations.total:
        say("\n".join(violations_text(violations, None)[1:]))
    else:
        say(f"The tags of all {read.usage:,} usage events are as they should be.")
    if violations.total:
        raise typer.Exit(FAILED)


def _say_bad_records(read: UsageRead) -> None:
    for bad in read.bad[:SHOWN_BAD_RECORDS]:
        complain(f"{bad.where}: {bad.reason}: {bad.detail}")
    if read.rejected > SHOWN_BAD_RECORDS:
        complain(f"{read.rejected} records could not be read, the first {SHOWN_BAD_RECORDS} are above")
    if read.cut:
        complain(f"Kafka no longer has the beginning of {read.cut} partitions: some of the month may be missing")
