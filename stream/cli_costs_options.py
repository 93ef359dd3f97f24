"""Options that the commands about money share, and what they may be."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer


def amount(text: str | Decimal) -> Decimal:
    """A number that is not negative: dollars, tokens, calls. NaN and infinity are none."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        raise typer.BadParameter(f"'{text}' is no number") from None
    if not number.is_finite() or number < 0:
        raise typer.BadParameter(f"{text} is not possible: give a number from 0 up")
    if number > Decimal("1e18"):
        raise typer.BadParameter(f"{text} is beyond all measure")
    return number


def share(text: str | Decimal) -> Decimal:
    """A share from 0 to 1."""
    number = amount(text)
    if number > 1:
        raise typer.BadParameter(f"{text} is no share: give 0 to 1, as in 0.7 for 70 %")
    return number


def percentile(text: str | Decimal) -> Decimal:
    """A percentile above 0."""
    number = amount(text)
    if not 0 < number <= 100:
        raise typer.BadParameter(f"{text} is no percentile: give more than 0, and 100 at most")
    return number


def day(text: str | date) -> date:
    """A day, `2026-07-01`."""
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no day: write it like 2026-07-01") from None


UsageOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--usage",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Measured calls: events as JSON lines, or .csv or .parquet (an Azure trace's columns or an event's).",
    ),
]
RedisOption = Annotated[
    bool, typer.Option("--from-redis", help="Measured calls: what the engine holds, 27 days by the hour.")
]
KafkaOption = Annotated[
    bool, typer.Option("--from-kafka", help="Measured calls: usage events in the input topics of the configuration.")
]
SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="T", help="With --from-kafka: events from here on; else 28 days before the end."),
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="T", help="With --from-kafka: events before this time; else till now.")
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="M", help="This model only; the calls' model, if a file is silent."),
]
ProviderOption = Annotated[
    str, typer.Option("--provider", metavar="P", help="Provider whose prices count where a call names none.")
]
KindOption = Annotated[
    str, typer.Option("--deployment-type", metavar="T", help="global, data_zone or regional provisioned throughput.")
]
RegionOption = Annotated[str, typer.Option("--region", metavar="R", help="Region, where a contract's price has one.")]
PercentileOption = Annotated[
    Decimal,
    typer.Option("--percentile", parser=percentile, metavar="N", help="Size for this percentile of the minutes."),
]
HourlyOption = Annotated[
    Decimal | None, typer.Option("--ptu-hourly", parser=amount, metavar="USD", help="Price of a PTU for an hour.")
]
MonthlyOption = Annotated[
    Decimal | None,
    typer.Option(
        "--ptu-monthly", parser=amount, metavar="USD", help="Price of a PTU for a month, reserved by the month."
    ),
]
YearlyOption = Annotated[
    Decimal | None,
    typer.Option(
        "--ptu-yearly", parser=amount, metavar="USD", help="Price of a PTU for a month, reserved by the year."
    ),
]
TpmOption = Annotated[
    Decimal | None,
    typer.Option("--tpm-per-ptu", parser=amount, metavar="N", help="Input tokens a minute that a PTU carries."),
]
RatioOption = Annotated[
    Decimal | None,
    typer.Option("--output-ratio", parser=amount, metavar="N", help="Input tokens that an output token counts for."),
]
TableOption = Annotated[
    Path | None,
    typer.Option(
        "--ptu-table",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Your own figures of PTU; see docs/costs.md.",
    ),
]
PaygInputOption = Annotated[
    Decimal | None,
    typer.Option("--payg-input", parser=amount, metavar="USD", help="Pay-as-you-go, a million tokens read."),
]
PaygCachedOption = Annotated[
    Decimal | None,
    typer.Option("--payg-cached", parser=amount, metavar="USD", help="A million tokens read from the cache."),
]
PaygOutputOption = Annotated[
    Decimal | None,
    typer.Option("--payg-output", parser=amount, metavar="USD", help="A million tokens written."),
]
