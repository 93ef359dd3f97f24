"""The commands about what is paid: prices, budgets."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

from stream import cli_costs_options as options
from stream.cli_base import FAILED, USAGE, ConfigOption, JsonOption, complain, failures, say, say_json, settings_of

if TYPE_CHECKING:
    from costs.months import Month
    from costs.prices import Quote
    from schemas.words import ServiceTier
    from stream.cost_budgets_read import Counted
    from stream.settings import Settings

SHOWN_BAD_LINES = 10


def prices(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="As in the events; without it, your contracts.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="P", help="As in the events, e.g. azure.")
    ] = None,
    deployment: Annotated[str | None, typer.Option("--deployment", metavar="D", help="As in the events.")] = None,
    tier: Annotated[
        str, typer.Option("--tier", metavar="T", help="Service tier: standard, batch, flex or priority.")
    ] = "standard",
    on: Annotated[
        date | None, typer.Option("--day", parser=options.day, metavar="DAY", help="As of this day; else today.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a model costs, and where the price is from: a contract of the configuration, or the list."""
    from costs.prices import Called
    from costs.prices_near import meant
    from schemas.words import ServiceTier
    from stream.settings_costs import day_of

    settings = settings_of(config)
    if model is None:
        _say_contracts(settings, as_json=as_json)
        return
    if tier not in get_args(ServiceTier):
        _misused(f"--tier {tier}: known are {', '.join(get_args(ServiceTier))}")
    day = day_of(on) if on is not None else int(time.time()) // 86_400
    named = None if tier == "standard" else cast("ServiceTier", tier)
    quote = settings.price_book().quote(Called(model, provider, deployment, named), day)
    if quote is None:
        near = meant(model, provider)
        complain(
            f"no price of {model}{f' at {provider}' if provider else ''} is known"
            f"{f'; did you mean {near}?' if near else '.'} Its usage is counted as unpriced, with 0 dollars "
            "(midwatch_usage_unpriced_total), until it has a price in [prices]"
        )
        raise typer.Exit(FAILED)
    _say_quote(model, tier, quote, as_json=as_json)


def budgets(
    usage: Annotated[
        list[Path] | None,
        typer.Option("--usage", metavar="FILE", exists=True, dir_okay=False, help="Events as JSON lines; else Redis."),
    ] = None,
    month: Annotated[
        str | None, typer.Option("--month", metavar="YYYY-MM", help="This month; else that of the newest usage.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Each budget: spent, pace, forecast with its interval, and when it is used up. From --usage, else from Redis."""
    from costs.months import Month
    from stream.cost_budgets import budget_rows, report_budgets
    from stream.cost_text import render, table

    settings = settings_of(config)
    asked: Month | None = None
    if month is not None:
        try:
            asked = Month.parse(month)
        except ValueError as error:
            _misused(f"--month: {error}")
    if not settings.budgets:
        _misused("there is no budget in the configuration: write one, like [budgets.support] with amount_usd = 25000.0")
    counted = _counted(settings, usage)
    if counted.as_of_minute is None:
        complain("there is no usage event in it" if usage else "Redis holds no usage yet: is `midwatch run` reading?")
        raise typer.Exit(FAILED)
    reports = report_budgets(settings, counted.spends, counted.as_of_minute, asked)
    _complain_of(counted)
    if as_json:
        say_json({"budgets": [one.to_json() for one in reports], "unpriced": dict(counted.unpriced)})
        return
    head = ("budget", "a month", "spent", "committed", "a day", "forecast", "80 %", "")
    title = f"{reports[0].month}, as of {reports[0].to_json()['as_of'][:16]}Z"
    say(render([table(title, head, budget_rows(reports))]))


def _counted(settings: Settings, usage: list[Path] | None) -> Counted:
    from redis.exceptions import RedisError

    from stream.core.checkpoint import LayoutError
    from stream.cost_budgets_read import count_files, count_redis
    from stream.ondemand_read import OnDemandError
    from stream.store import LayoutMismatch

    with failures(OnDemandError, RedisError, LayoutMismatch, LayoutError):
        if usage:
            return count_files(usage, settings)
        return asyncio.run(count_redis(settings))


def _complain_of(counted: Counted) -> None:
    for bad in counted.bad[:SHOWN_BAD_LINES]:
        complain(f"{bad.path}, line {bad.line}: {bad.reason}: {bad.detail}")
    if counted.rejected > SHOWN_BAD_LINES:
        complain(f"{counted.rejected} lines could not be read, the first {SHOWN_BAD_LINES} are above")
    for model, calls in sorted(counted.unpriced.items()):
        complain(f"{calls} calls of {model} have no price and count as 0 dollars: give it one in [prices]")


def _say_quote(model: str, tier: str, quote: Quote, *, as_json: bool) -> None:
    from stream.cost_text import quote_rows, render, table

    if as_json:
        steps = [
            {
                "up_to_input_tokens": limit,
                **{
                    name: float(price) * 1_000_000
                    for name, price in zip(("input_usd", "cached_input_usd", "output_usd"), prices, strict=True)
                },
            }
            for limit, prices in quote.steps
        ]
        say_json({"model": model, "tier": tier, "source": quote.source, "per": 1_000_000, "steps": steps})
        return
    head = ("model", "tier", "source", "input tokens", "read", "cached", "written")
    say(render([table("dollars for a million tokens", head, quote_rows(model, tier, quote), left=4)]))


def _say_contracts(settings: Settings, *, as_json: bool) -> None:
    from stream.cost_text import render, table

    if as_json:
        names = ("prices", "ptu_prices", "commitments")
        say_json({
            name: {own: section.model_dump(mode="json") for own, section in getattr(settings, name).items()}
            for name in names
        })  # fmt: skip
        return
    rows = [
        (
            name,
            one.model,
            one.provider or "any",
            one.deployment or "any",
            f"{one.from_date or '...'} to {one.until_date or '...'}",
            f"{one.input:g}",
            f"{one.input if one.cached_input is None else one.cached_input:g}",
            f"{one.output:g}",
        )
        for name, one in sorted(settings.prices.items())
    ]
    if not rows:
        say("The configuration has no contract prices; list prices count. Name a model to see its price.")
        return
    head = ("contract", "model", "provider", "deployment", "holds", "read", "cached", "written")
    say(render([table("contract prices, dollars for a million tokens", head, rows, left=5)]))


def _misused(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(USAGE)
