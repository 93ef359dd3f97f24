"""From files of usage and a policy to a month's charges, or to what is wrong with the tags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from costs.chargeback import Chargeback
from costs.chargeback_charges import DAY_MS, ChargeBook
from costs.months import Month
from costs.reconcile import CostKind, Reconciliation, Tolerance, our_sums, reconcile
from costs.tags_check import Violations
from costs.tags_policy import ANY, Commitment, Policy
from costs.tags_resolve import Tagger
from schemas.series import MICRO_USD
from stream.adapters import Usage
from stream.chargeback_read import UsageFileError, UsageRead, read_usage
from stream.chargeback_table import span
from stream.focus_bill import Bill, BillReader
from stream.settings import Settings


def with_flat_costs(policy: Policy, settings: Settings, month: Month) -> Policy:
    """A policy, and those commitments of the configuration that accrue in a month and that it does not name itself."""
    found = dict(policy.commitments)
    for one in settings.flat_costs():
        micro, model = one.accrued_micro(*month), settings.commitments[one.name].model
        if micro and one.name not in found:
            found[one.name] = Commitment(
                usd_per_month=micro / MICRO_USD,
                environment=one.environment,
                system=one.system,
                models=() if model == ANY else (model,),
                tags=dict(one.tags),
            )
    return policy.model_copy(update={"commitments": found})


def read_month(
    month: Month, policy: Policy, files: Sequence[Path], settings: Settings, *, from_kafka: bool = False
) -> tuple[ChargeBook, UsageRead]:
    """The charges of a month, and what was read: from files, and with `from_kafka` from the input topics.

    Prices and commitments are those of the settings; what the policy says of a commitment goes first.
    Raises UsageFileError, TooManyChargesError, OSError, KafkaError.
    """
    tagger = Tagger(with_flat_costs(policy, settings, month))
    book = ChargeBook(month, tagger, settings.price_book(), settings.ptu_table())
    read = read_usage(files, book.add)
    if from_kafka:
        from stream.chargeback_kafka import read_kafka

        read.add(asyncio.run(read_kafka(settings, month, book.add)))
    if not book.counted:
        raise UsageFileError(_nothing(book, read))
    return book, read


def _nothing(book: ChargeBook, read: UsageRead) -> str:
    if not read.usage:
        others = ", ".join(f"{number} of {kind}" for kind, number in sorted(read.others.items()))
        return f"there is no usage event ({others or 'no event at all'}, {read.rejected} unreadable)"
    months = span(min(book.elsewhere), max(book.elsewhere))
    return f"there is no usage of {book.month}: what was read are {read.usage:,} events of {months}"


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
