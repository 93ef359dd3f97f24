"""What a bill of some size costs to read: seconds, and the memory of the process.

Run it with `python -m benchmarks.focus [MEGABYTES] [csv|parquet]`; 300 and csv if nothing is given. A bill of that size
is made in a temporary directory (hourly rows of 400 resources with 60 sets of tags, a third of it AI, in the columns
that an Azure export has), read as `midwatch costs chargeback --reconcile` reads it, in a process of its own, and thrown
away.
"""

from __future__ import annotations

import csv
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pyarrow.csv
import pyarrow.parquet

from costs.months import Month
from costs.tags_policy import Policy
from costs.tags_resolve import Tagger
from stream.focus_bill import BillReader

MEGABYTE: Final = 1 << 20
RESOURCES: Final = 400
MONTH: Final = Month.parse("2026-10")
X_COLUMNS: Final = 25
HEADS: Final = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
    "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity",
    "ConsumedUnit", "ContractedCost", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "PricingCategory",
    "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "ResourceId", "ResourceName",
    "ResourceType", "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "Tags",
    *(f"x_Column{number}" for number in range(X_COLUMNS)),
)  # fmt: skip


def write_bill(path: Path, size: int) -> None:
    """Write rows until the file has `size` bytes."""
    rng = random.Random(1)
    forms = [_form(number) for number in range(RESOURCES)]
    start = datetime(2026, 10, 1, tzinfo=UTC)
    hours = [f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%MZ}" for hour in range(MONTH.hours + 1)]
    with path.open("w") as file:
        file.write(f"{','.join(HEADS)}\n")
        while file.tell() < size:
            rows = []
            for _ in range(5000):
                hour, tokens = rng.randrange(MONTH.hours), rng.randrange(1_000_000)
                varying = {
                    "cost": f"{tokens * 2.5e-6:.10f}",
                    "start": hours[hour],
                    "end": hours[hour + 1],
                    "tokens": tokens,
                }
                rows.append(forms[rng.randrange(RESOURCES)] % varying)
            file.writelines(rows)


def _form(number: int) -> str:
    """The rows of a resource: what differs from hour to hour is left open: cost, start, end, tokens."""
    account = (
        f"/subscriptions/{number % 9:036}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/a{number}"
    )
    values = {
        "BillingAccountId": "1234567:89",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": "2026-11-01T00:00Z",
        "BillingPeriodStart": "2026-10-01T00:00Z",
        "ChargeCategory": "Usage",
        "ChargeDescription": "gpt 4o 1120 Inp glbl Tokens",
        "ChargeFrequency": "Usage-Based",
        "ConsumedUnit": "Tokens",
        "InvoiceId": "G0123",
        "InvoiceIssuerName": "Microsoft",
        "PricingCategory": "Standard",
        "PricingUnit": "Tokens",
        "ProviderName": "Microsoft",
        "PublisherName": "Microsoft",
        "RegionId": "swedencentral",
        "ResourceId": account,
        "ResourceName": f"a{number}",
        "ResourceType": "Azure AI services",
        "ServiceCategory": "Compute" if number % 3 else "AI and Machine Learning",
        "ServiceName": "Azure OpenAI",
        "SkuId": "DZH318Z0",
        "SkuMeter": "meter",
        "SkuPriceId": "DZH318Z0/001",
        "SubAccountId": f"/subscriptions/{number % 9:036}",
        "Tags": json.dumps({"cost-center": f"47{number % 60:02}", "env": "prod", "owner": f"team-{number % 60}"}),
        **{f"x_Column{column}": f"value of column {column}" for column in range(X_COLUMNS)},
        **dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), "%(cost)s"),
        **dict.fromkeys(("ConsumedQuantity", "PricingQuantity"), "%(tokens)s"),
        "ChargePeriodStart": "%(start)s",
        "ChargePeriodEnd": "%(end)s",
    }
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([values.get(name, "") for name in HEADS])
    return line.getvalue()


def read_bill(path: Path) -> None:
    """Read a bill and print what it took."""
    started = time.perf_counter()
    reader = BillReader(MONTH, ("cost-center",), Tagger(Policy()))
    reader.read(path)
    bill = reader.finish()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{path.stat().st_size / MEGABYTE:,.0f} MB, {bill.rows:,} rows, {bill.compared:,} of them compared: "
        f"{time.perf_counter() - started:.1f} s, {peak} MB at most in memory"
    )


def main() -> None:
    """Make a bill, and read it in a fresh process."""
    if sys.argv[1:2] == ["--read"]:
        read_bill(Path(sys.argv[2]))
        return
    size, suffix = int(sys.argv[1]) if sys.argv[1:] else 300, sys.argv[2] if sys.argv[2:] else "csv"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bill.csv"
        write_bill(path, size * MEGABYTE)
        if suffix == "parquet":
            source, path = pyarrow.csv.open_csv(path), path.with_suffix(".parquet")
            with pyarrow.parquet.ParquetWriter(path, source.schema) as writer:
                for batch in source:
                    writer.write_batch(batch)
        subprocess.run([sys.executable, "-m", "benchmarks.focus", "--read", str(path)], check=True)


if __name__ == "__main__":
    main()
