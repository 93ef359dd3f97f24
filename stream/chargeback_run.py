"""From files of usage and a policy to a month's charges, or to what is wrong with the tags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from costs.chargeback import Chargeback
from costs.chargeback_charges import DAY_MS, ChargeBook
from costs.chargeback_month import Month
from costs.reconcile import CostKind, Reconciliation, Tolerance, our_sums, reconcile
from costs.tags_check import Violations
from costs.tags_policy import Policy
from costs.tags_resolve import Tagger
from stream.adapters import Usage
from stream.chargeback_read import UsageFileError, UsageRead, read_usage
from stream.focus_bill import Bill, BillReader
from stream.settings import Settings


def read_month(
    month: Month, policy: Policy, files: Sequence[Path], kafka: Settings | None = None
) -> tuple[ChargeBook, UsageRead]:
    """The charges of a month, and what was read: from files, and from the Kafka of these settings.

    Raises UsageFileError, TooManyChargesError, OSError, KafkaError.
    """
    book = ChargeBook(month, Tagger(policy))
    read = read_usage(files, book.add)
    if kafka is not None:
        from stream.chargeback_kafka import read_kafka

        read.add(asyncio.run(read_kafka(kafka, month, book.add)))
    if not book.counted:
        raise UsageFileError(_nothing(book, read))
    return book, read


def _nothing(book: ChargeBook, read: UsageRead) -> str:
    if not read.usage:
        others = ", ".join(f"{number} of {kind}" for kind, number in sorted(read.others.items()))
        return f"there is no usage event ({others or 'no event at all'}, {read.rejected} unreadable)"
    first, last = min(book.elsewhere), max(book.elsewhere)
    return f"there is no usage of {book.month}: what was read are {read.usage:,} events of {first} to {last}"


def check_tags(policy: Policy, files: Sequence[Path]) -> tuple[Violations, UsageRead]:
    """What is wrong with the tags of all usage in the files. Raises UsageFileError, OSError."""
    tagger, violations = Tagger(policy), Violations()

    def take(event: Usage) -> None:
        tagged = tagger.read(event.environment, event.system, event.tags)
        violations.note(event.environment, event.system, event.agent, tagged, event.time // DAY_MS)

    read = read_usage(files, take)
    if not read.usage:
        raise UsageFileError("there is no usage event in the files")
    return violations, read


def read_bill(
    report: Chargeback,
    bills: Sequence[Path],
    cost: CostKind,
    tolerance: Tolerance,
    all_services: bool,
    keep_duplicates: bool,
) -> tuple[Reconciliation, Bill]:
    """A chargeback against the provider's bill. Raises FocusError, OSError."""
    reader = BillReader(
        report.month,
        report.by,
        report.book.tagger,
        cost,
        all_services=all_services,
        keep_duplicates=keep_duplicates,
    )
    for path in bills:
        reader.read(path)
    bill = reader.finish()
    return reconcile(our_sums(report, cost), bill.sums, report.by, cost, tolerance), bill
