"""A provider's bill, summed up for a comparison: of a FOCUS file of any size, what belongs to a month and to AI.

Which rows count:

- Effective cost: rows whose charge period starts in the month. Billed cost: rows whose billing period does.
- `ServiceCategory` "AI and Machine Learning" only, unless all services are asked for.
- `Usage` is compared, refunds and corrections included; `Unused` rows of commitments as such. So is `Purchase`, but for
  those that have no effective cost because they pay for other rows.
- `Tax`, `Credit` and `Adjustment` are set aside: usage does not say them. They are summed, so that nothing is lost.
- A row that is wholly equal to an earlier one counts once, unless duplicates are wanted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from costs.chargeback import Group, group_of
from costs.focus_columns import AI
from costs.months import Month
from costs.reconcile import NANO_USD, BillKey, CostKind, Subject, resource_key
from costs.tags import fold
from costs.tags_resolve import Tagger
from stream.chargeback_table import span
from stream.focus_problems import FocusError
from stream.focus_read import focus_batches, version_of
from stream.focus_rows import SeenRows, coded, row_hashes
from stream.focus_values import moment, read_tags, totals

MAX_KEYS: Final = 250_000
"""Most resources and groups of tags of a bill that are told apart."""

MAX_NANO: Final = 2**62
"""Most that one row may cost: 4.6 billion dollars."""

MAX_PROVIDERS: Final = 20
_PLACE: Final = (
    "ChargeCategory", "ChargeClass", "CommitmentDiscountStatus", "CommitmentDiscountId", "ResourceId", "Tags",
)  # fmt: skip
"""The columns that decide where a row belongs."""

_CATEGORIES: Final = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")


@dataclass(slots=True)
class Aside:
    """Rows that were not compared: how many, and their sum in nano-dollars."""

    rows: int = 0
    nano: int = 0

    def add(self, rows: int, nano: int) -> None:
        """Add rows."""
        self.rows += rows
        self.nano += nano


@dataclass(slots=True)
class Bill:
    """What a bill says. `sums` holds what is compared; the rest says what else was in it.

    Attributes:
        aside: rows of the month that are not compared, by charge category.
        duplicates: rows that came before.
        refunds: compared rows below zero, which are part of the sums.
        corrections: compared rows that correct an earlier month's.
        other_services, other_periods: rows that are not of AI, or not of the month.
        converted: rows in another currency, taken from the column in dollars.
        bad_tags: compared rows whose tags are no JSON object; they count as untagged.
    """

    month: Month
    cost: CostKind
    sums: dict[BillKey, int] = field(default_factory=dict)
    rows: int = 0
    compared: int = 0
    aside: dict[str, Aside] = field(default_factory=dict)
    duplicates: Aside = field(default_factory=Aside)
    refunds: Aside = field(default_factory=Aside)
    corrections: Aside = field(default_factory=Aside)
    other_services: int = 0
    other_periods: Counter[str] = field(default_factory=Counter)
    converted: Counter[str] = field(default_factory=Counter)
    bad_tags: int = 0
    versions: set[str] = field(default_factory=set)
    providers: set[str] = field(default_factory=set)


class BillReader:
    """Reads files into a `Bill`. `by` are the tags that lines are made by."""

    def __init__(
        self,
        month: Month,
        by: tuple[str, ...],
        tagger: Tagger,
        cost: CostKind = "effective",
        *,
        all_services: bool = False,
        keep_duplicates: bool = False,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self.bill = Bill(month, cost)
        self._column = "EffectiveCost" if cost == "effective" else "BilledCost"
        self._period = "ChargePeriodStart" if cost == "effective" else "BillingPeriodStart"
        self._names = tuple(fold(tagger.canonical(name)) for name in by)
        self._all_services = all_services
        self._seen = None if keep_duplicates else SeenRows()
        self._max_keys = max_keys
        self._tagger = tagger
        self._group = lru_cache(65_536)(self._read_group)
        self._path = Path()
        self._row = 0

    def read(self, path: Path) -> None:
        """Take a file in. Raises FocusError."""
        self._path, self._row = path, 0
        for batch in focus_batches(path):
            if not self._row:
                self._check_columns(batch.schema.names)
            self._take(batch)
            self._row += batch.num_rows
        if not self._row:
            raise FocusError(f"{path}: the file has no rows")
        self.bill.rows += self._row

    def finish(self) -> Bill:
        """The bill, once all is read. Raises FocusError if nothing in it is of the month."""
        bill = self.bill
        if not bill.compared and not bill.aside and not bill.other_services:
            periods = sorted(bill.other_periods)
            raise FocusError(
                f"the bill has no row whose {self._period} lies in {bill.month}: its {bill.rows:,} rows are of "
                f"{span(periods[0], periods[-1])}"
            )
        return bill

    def _check_columns(self, names: list[str]) -> None:
        required = ["BillingCurrency", "ChargeCategory", self._column, self._period]
        missing = [name for name in required if name not in names]
        if missing:
            raise FocusError(
                f"{self._path}: there is no column {', '.join(missing)}; is this a FOCUS file, 1.0 to 1.4? It has "
                f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
            )
        self.bill.versions.add(version_of(names))

    def _take(self, batch: pa.RecordBatch) -> None:
        rows = np.arange(batch.num_rows, dtype=np.int64)
        mask = self._of_month(batch.column(self._period))
        if not self._all_services and "ServiceCategory" in batch.schema.names:
            codes, words = coded(batch.column("ServiceCategory"))
            of_ai = np.array([word is not None and fold(word) == fold(AI) for word in words])[codes]
            self.bill.other_services += int((mask & ~of_ai).sum())
            mask &= of_ai
        batch, rows = batch.filter(pa.array(mask)), rows[mask]
        if not batch.num_rows:
            return
        nano = self._costs(batch, rows)
        self._note_providers(batch)
        if self._seen is not None:
            fresh = self._seen.first(row_hashes(batch))
            again = nano[~fresh]
            self.bill.duplicates.add(len(again), totals(np.zeros(len(again), np.int64), again, 1)[0])
            batch, rows, nano = batch.filter(pa.array(fresh)), rows[fresh], nano[fresh]
        self._sum_up(batch, rows, nano)

    def _of_month(self, column: Any) -> NDArray[np.bool_]:
        """[N] whether a period starts in the month."""
        codes, words = coded(column)
        months: list[str] = []
        for code, word in enumerate(words):
            if word is None and not (codes == code).any():
                months.append("")
                continue
            start = moment(word)
            if start is None:
                row = self._row + int((codes == code).argmax()) + 1
                said = "is empty" if word is None else f"{str(word)[:60]!r} is no time such as 2026-10-01T00:00:00Z"
                raise FocusError(f"{self._path}, row {row}: {self._period} {said}")
            months.append(f"{start:%Y-%m}")
        here = np.array([month == str(self.bill.month) for month in months])
        for code, number in zip(*np.unique(codes[~here[codes]], return_counts=True), strict=True):
            self.bill.other_periods[months[code]] += int(number)
        return np.asarray(here[codes])

    def _costs(self, batch: pa.RecordBatch, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """[N] costs in nano-dollars."""
        values = np.asarray(pc.fill_null(batch.column(self._column), np.nan))
        codes, words = coded(batch.column("BillingCurrency"))
        name = self._column
        foreign = np.array([word != "USD" for word in words])[codes]
        if foreign.any():
            name = f"x_{self._column}InUsd"
            self._convert(batch, codes, words, foreign, rows, name)
            values = np.where(foreign, np.asarray(pc.fill_null(batch.column(name), np.nan)), values)
        bad = ~np.isfinite(values) | (np.abs(values) * NANO_USD > MAX_NANO)
        if bad.any():
            place = int(bad.argmax())
            said = "is empty or no number" if not np.isfinite(values[place]) else f"{values[place]:g} cannot be a cost"
            raise FocusError(f"{self._path}, row {self._row + int(rows[place]) + 1}: {name} {said}")
        return np.asarray(np.rint(values * NANO_USD).astype(np.int64))

    def _convert(
        self,
        batch: pa.RecordBatch,
        codes: NDArray[np.int64],
        words: list[Any],
        foreign: NDArray[np.bool_],
        rows: NDArray[np.int64],
        name: str,
    ) -> None:
        found = Counter({str(words[code]): int((codes == code).sum()) for code in np.unique(codes).tolist()})
        if name not in batch.schema.names:
            row = self._row + int(rows[int(foreign.argmax())]) + 1
            said = ", ".join(f"{word} ({number:,} rows)" for word, number in sorted(found.items()))
            several = "mixed currencies" if len(found) > 1 else "another currency than ours"
            raise FocusError(
                f"{self._path}: {several}, from row {row} on: {said}. Usage is priced in USD: export the bill in USD, "
                f"or with the column {name}"
            )
        self.bill.converted.update({word: number for word, number in found.items() if word != "USD"})

    def _note_providers(self, batch: pa.RecordBatch) -> None:
        name = next((one for one in ("ProviderName", "ServiceProviderName") if one in batch.schema.names), None)
        if name is not None and len(self.bill.providers) < MAX_PROVIDERS:
            codes, words = coded(batch.column(name))
            self.bill.providers.update(words[code] for code in np.unique(codes).tolist() if words[code])

    def _sum_up(self, batch: pa.RecordBatch, rows: NDArray[np.int64], nano: NDArray[np.int64]) -> None:
        """Add rows to the sums, group by group of those that belong to the same place."""
        columns, combined = [], (nano != 0).astype(np.int64)
        for name in _PLACE:
            column = batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
            codes, words = coded(column)
            columns.append((codes, words))
            combined = np.unique(combined * len(words) + codes, return_inverse=True)[1].reshape(-1)
        _, first, which = np.unique(combined, return_index=True, return_inverse=True)
        below = nano < 0
        sums, counts = totals(which, nano, len(first)), np.bincount(which, minlength=len(first)).tolist()
        refunds = totals(which[below], nano[below], len(first))
        refunded = np.bincount(which[below], minlength=len(first)).tolist()
        for place, row in enumerate(first.tolist()):
            values = [words[codes[row]] for codes, words in columns]
            category = self._category(values[0], int(rows[row]))
            if not self._is_compared(category, bool(nano[row])):
                self.bill.aside.setdefault(category, Aside()).add(counts[place], sums[place])
                continue
            self.bill.compared += counts[place]
            self.bill.refunds.add(refunded[place], refunds[place])
            if values[1] == "Correction":
                self.bill.corrections.add(counts[place], sums[place])
            self._add(self._key(category, values[2:], counts[place]), sums[place])

    def _category(self, value: Any, row: int) -> str:
        found = next((name for name in _CATEGORIES if value is not None and fold(str(value)) == fold(name)), None)
        if found is None:
            raise FocusError(
                f"{self._path}, row {self._row + row + 1}: ChargeCategory {str(value)[:60]!r} is none of "
                f"{', '.join(_CATEGORIES)}"
            )
        return found

    def _is_compared(self, category: str, costs: bool) -> bool:
        return category == "Usage" or (category == "Purchase" and (costs or self.bill.cost == "billed"))

    def _key(self, category: str, values: list[Any], rows: int) -> BillKey:
        status, commitment, resource, tags = values
        subject: Subject = "resource"
        identity = resource
        if category == "Purchase" and commitment:
            subject, identity = "commitment_purchase", commitment
        elif status is not None and fold(status) == "unused":
            subject, identity = "unused_commitment", commitment or resource
        group = self._group(tags)
        if group is None:
            self.bill.bad_tags += rows
            group = (None,) * len(self._names)
        return BillKey(subject, resource_key(identity), group)

    def _add(self, key: BillKey, nano: int) -> None:
        sums = self.bill.sums
        if key not in sums and len(sums) >= self._max_keys:
            raise FocusError(
                f"the bill has more than {self._max_keys:,} different resources and groups of tags: compare by fewer "
                "tags"
            )
        sums[key] = sums.get(key, 0) + nano

    def _read_group(self, text: str | None) -> Group | None:
        """The group of tags as a bill writes them; None if they cannot be read."""
        tags = read_tags(text)
        return None if tags is None else group_of(self._tagger.read_bill(tags), self._names)
