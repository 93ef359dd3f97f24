"""The commands that compare provisioned throughput with pay-as-you-go: compare, crossover."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stream import cli_costs_options as options
from stream.cli_base import FAILED, ConfigOption, JsonOption, complain, say, say_json
from stream.cli_costs_given import Given, Unit, misused, stretch_of

if TYPE_CHECKING:
    from costs.compare import Comparison
    from stream.cost_inputs import Compared, Load
    from stream.usage_files import UsageTraffic

SHOWN_BAD_LINES = 10
PROVIDER = "azure"
HUNDRED = Decimal(100)


def compare(  # noqa: PLR0913  # an argument for each option
    monthly_tokens: Annotated[
        Decimal | None,
        typer.Option("--monthly-tokens", parser=options.amount, metavar="N", help="Simple form: tokens a month."),
    ] = None,
    ptu_monthly_cost: Annotated[
        Decimal | None,
        typer.Option(
            "--ptu-monthly-cost", parser=options.amount, metavar="USD", help="Simple form: what the PTU cost a month."
        ),
    ] = None,
    payg_per_1k: Annotated[
        Decimal | None,
        typer.Option(
            "--payg-per-1k",
            parser=options.amount,
            metavar="USD",
            help="Simple form: what 1,000 tokens cost pay-as-you-go.",
        ),
    ] = None,
    usage: options.UsageOption = None,
    from_redis: options.RedisOption = False,
    from_kafka: options.KafkaOption = False,
    since: options.SinceOption = None,
    until: options.UntilOption = None,
    rpm: Annotated[
        Decimal | None,
        typer.Option("--rpm", parser=options.amount, metavar="N", help="Described calls: calls a minute on average."),
    ] = None,
    peak: Annotated[
        Decimal, typer.Option("--peak", parser=options.amount, metavar="X", help="How many times that at the peak.")
    ] = Decimal(1),
    input_tokens: Annotated[
        Decimal | None, typer.Option("--input", parser=options.amount, metavar="N", help="Tokens read by a call.")
    ] = None,
    cached: Annotated[
        Decimal, typer.Option("--cached", parser=options.share, metavar="X", help="Share of them from the cache.")
    ] = Decimal(0),
    output_tokens: Annotated[
        Decimal | None, typer.Option("--output", parser=options.amount, metavar="N", help="Tokens written by a call.")
    ] = None,
    model: options.ModelOption = None,
    provider: options.ProviderOption = PROVIDER,
    deployment_type: options.KindOption = "global",
    region: options.RegionOption = "*",
    percentile: options.PercentileOption = HUNDRED,
    ptu_hourly: options.HourlyOption = None,
    ptu_monthly: options.MonthlyOption = None,
    ptu_yearly: options.YearlyOption = None,
    tpm_per_ptu: options.TpmOption = None,
    output_ratio: options.RatioOption = None,
    ptu_table: options.TableOption = None,
    payg_input: options.PaygInputOption = None,
    payg_cached: options.PaygCachedOption = None,
    payg_output: options.PaygOutputOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", dir_okay=False, help="Draw cost over volume: .png, .svg or .html."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Provisioned throughput (PTU) against pay-as-you-go: by a simple formula, or over real traffic.

    Simple: --monthly-tokens, --ptu-monthly-cost, --payg-per-1k. Measured: --usage, --from-kafka or --from-redis.
    Described: --model, --rpm, --peak, --input, --cached, --output.
    """
    simple = {"--monthly-tokens": monthly_tokens, "--ptu-monthly-cost": ptu_monthly_cost, "--payg-per-1k": payg_per_1k}
    alike = {"--rpm": rpm, "--input": input_tokens, "--output": output_tokens}
    forms = [_any(simple), bool(usage), from_kafka, from_redis, _any(alike)]
    if sum(forms) != 1:
        misused(
            f"{'these do not go together: ' + ', '.join(_given(forms)) + '; ' if any(forms) else ''}"
            "say what to compare in one of these forms: --monthly-tokens N --ptu-monthly-cost USD --payg-per-1k USD; "
            "--usage FILE; --from-kafka; --from-redis; or --model M --rpm N --input N --output N"
        )
    stretch = stretch_of(from_kafka, since, until)
    if forms[0]:
        _simple(simple, as_json=as_json)
        return
    given = Given(
        config,
        model,
        provider,
        Unit(deployment_type, region, percentile, ptu_table, tpm_per_ptu, output_ratio),
        (ptu_hourly, ptu_monthly, ptu_yearly),
        (payg_input, payg_cached, payg_output),
    )
    load = _load(alike, peak, cached) if forms[4] else None
    _check_plot(plot)
    with _complaints():
        compared, read = given.compared(usage or [], stretch, load)
        _say_comparisons(compared, read, plot, as_json=as_json)


def _given(forms: list[bool]) -> list[str]:
    """The forms of `compare` that are given, by an option that each is known by."""
    names = ("the simple form", "--usage", "--from-kafka", "--from-redis", "described calls (--rpm)")
    return [name for name, given in zip(names, forms, strict=True) if given]


def crossover(  # noqa: PLR0913  # an argument for each option
    usage: options.UsageOption = None,
    from_redis: options.RedisOption = False,
    from_kafka: options.KafkaOption = False,
    since: options.SinceOption = None,
    until: options.UntilOption = None,
    model: options.ModelOption = None,
    provider: options.ProviderOption = PROVIDER,
    deployment_type: options.KindOption = "global",
    region: options.RegionOption = "*",
    ptu_hourly: options.HourlyOption = None,
    ptu_monthly: options.MonthlyOption = None,
    ptu_yearly: options.YearlyOption = None,
    tpm_per_ptu: options.TpmOption = None,
    output_ratio: options.RatioOption = None,
    ptu_table: options.TableOption = None,
    payg_input: options.PaygInputOption = None,
    payg_cached: options.PaygCachedOption = None,
    payg_output: options.PaygOutputOption = None,
    horizon_days: Annotated[
        int, typer.Option("--horizon-days", min=1, max=36_500, metavar="N", help="How far ahead a date is given.")
    ] = 1096,
    confidence: Annotated[
        Decimal,
        typer.Option("--confidence", parser=options.share, metavar="X", help="Of the interval, e.g. 0.8."),
    ] = Decimal("0.8"),
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """When growth flips the recommendation between provisioned throughput and pay-as-you-go, term by term."""
    if [bool(usage), from_kafka, from_redis].count(True) != 1:
        misused(
            "crossover needs a history of calls, two weeks at least: give --usage FILE, --from-kafka or --from-redis"
        )
    stretch = stretch_of(from_kafka, since, until)
    if not 0 < confidence < 1:
        misused(f"--confidence {confidence} must lie between 0 and 1")
    from costs.crossover import crossover as cross
    from stream.cost_text import crossover_parts, render

    given = Given(
        config,
        model,
        provider,
        Unit(deployment_type, region, HUNDRED, ptu_table, tpm_per_ptu, output_ratio),
        (ptu_hourly, ptu_monthly, ptu_yearly),
        (payg_input, payg_cached, payg_output),
    )
    with _complaints():
        compared, read = given.compared(usage or [], stretch, None)
        found = [cross(one, horizon_days, float(confidence)) for one in compared.comparisons]
    _complain_of(read, compared)
    if as_json:
        say_json({"crossovers": [one.to_json() for one in found], **_read_json(read, compared)})
    else:
        say(render(part for one in found for part in crossover_parts(one)))


def _simple(given: dict[str, Decimal | None], *, as_json: bool) -> None:
    from costs.compare_simple import compare_simply
    from stream.cost_text import simple_lines

    missing = [name for name, value in given.items() if value is None]
    if missing:
        misused(f"the simple form also needs {', '.join(missing)}")
    tokens, ptu, payg = (value for value in given.values() if value is not None)
    try:
        found = compare_simply(tokens, ptu, payg)
    except ValueError as error:
        misused(f"--payg-per-1k: {error}")
    if as_json:
        say_json(found.to_json())
    else:
        say("\n".join(simple_lines(found)))


def _load(given: dict[str, Decimal | None], peak: Decimal, cached: Decimal) -> Load:
    from stream.cost_inputs import Load

    missing = [name for name, value in given.items() if value is None]
    if missing:
        misused(f"described calls also need {', '.join(missing)}")
    rpm, read, written = (float(value) for value in given.values() if value is not None)
    if rpm <= 0 or read + written <= 0:
        misused("calls without number or tokens cost nothing: give --rpm, --input and --output above zero")
    if peak < 1:
        misused(f"--peak {peak}: the peak cannot be lower than the average; give 1 or more")
    return Load(rpm, float(peak), read, float(cached), written)


def _check_plot(path: Path | None) -> None:
    from stream.cost_plot import FORMATS

    if path is not None and path.suffix not in FORMATS:
        misused(f"--plot {path}: the file's name must end in {' or '.join(FORMATS)}")


def _say_comparisons(compared: Compared, read: UsageTraffic | None, plot: Path | None, *, as_json: bool) -> None:
    from costs.break_even import cost_curve
    from stream.cost_plot import plot as draw
    from stream.cost_text import comparison_parts, render

    found = [(one, cost_curve(one)) for one in compared.comparisons]
    if plot is not None:
        for place, (one, curve) in enumerate(found):
            draw(plot if place == 0 else _numbered(plot, one), one, curve)
    _complain_of(read, compared)
    if as_json:
        shown = [{**one.to_json(), "break_even_tokens": curve.to_json()} for one, curve in found]
        say_json({"comparisons": shown, **_read_json(read, compared)})
    else:
        say(render(part for one, curve in found for part in comparison_parts(one, curve)))


def _numbered(plot: Path, comparison: Comparison) -> Path:
    """Further models get a file each, with the model in its name."""
    safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in comparison.traffic.model)
    return plot.with_name(f"{plot.stem}-{safe}{plot.suffix}")


def _read_json(read: UsageTraffic | None, compared: Compared) -> dict[str, Any]:
    counts = {} if read is None else {"rows": read.rows, "duplicates": read.duplicates, "rejected": read.rejected}
    return {"read": counts, "left_out": dict(compared.left_out)}


def _complain_of(read: UsageTraffic | None, compared: Compared) -> None:
    """On standard error: what was passed over."""
    for why in compared.left_out.values():
        complain(f"left out: {why}")
    if read is None:
        return
    for bad in read.bad[:SHOWN_BAD_LINES]:
        complain(f"{bad.path}, line {bad.line}: {bad.reason}: {bad.detail}")
    for record in read.bad_records[:SHOWN_BAD_LINES]:
        complain(f"{record.where}: {record.reason}: {record.detail}")
    if read.cut:
        complain(f"Kafka no longer has the beginning of {read.cut} partitions: some of the time may be missing")
    if read.rejected > SHOWN_BAD_LINES:
        complain(f"{read.rejected} lines could not be read, the first {SHOWN_BAD_LINES} are above")
    if read.duplicates:
        complain(f"{read.duplicates} rows whose id came before were counted once")


@contextmanager
def _complaints() -> Iterator[None]:
    """Turn what is wrong with files and figures into a sentence and exit code 1."""
    from costs.traffic import TrafficError
    from stream.chargeback_read import UsageFileError
    from stream.cost_inputs import CostInputError
    from stream.ptu_table import PtuTableError

    try:
        yield
    except (OSError, UnicodeDecodeError, CostInputError, UsageFileError, TrafficError, PtuTableError) as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None


def _any(values: dict[str, Decimal | None]) -> bool:
    return any(value is not None for value in values.values())
