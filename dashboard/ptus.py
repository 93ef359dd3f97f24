"""Provisioned throughput as it is used: the commitments of the configuration, and what the dearest models would take.

The figures are those of `midwatch costs compare`, over the usage by the hour that the windows hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from costs.compare import Comparison, Sizing, compare
from costs.crossover_report import LOOK_BACK_HOURS, HourlyUsage
from costs.load import Load
from costs.ptu import HOURS_A_MONTH
from costs.traffic import Traffic
from dashboard.shards import ShardView
from dashboard.views import PtuRow
from schemas.series import MICRO_USD
from stream.cost_inputs import CostInputError, UnitFigures, model_of
from stream.settings import Settings
from stream.settings_costs import CommitmentSection

MODELS: Final = 5
"""Models without a commitment that are looked at, the dearest."""

ANY: Final = "*"
LEAST_HOURS: Final = 24
"""Hours of usage from which on a day's shape is known."""


def ptu_rows(views: Sequence[ShardView], settings: Settings) -> tuple[PtuRow, ...]:
    """A row for each commitment, then one for each of the dearest models that have none."""
    usage = _usage(views)
    since = usage.first_hour
    if since is None or usage.until_hour - since < LEAST_HOURS:
        return ()
    traffic, _ = usage.traffic(settings.price_book())
    rows = [
        row
        for name, section in sorted(settings.commitments.items())
        if (row := _committed(name, section, traffic.get(section.model), settings)) is not None
    ]
    taken = {section.model for section in settings.commitments.values()}
    others = [_compared(one, settings) for name, one in sorted(traffic.items()) if name not in taken]
    found = sorted((row for row in others if row is not None), key=lambda row: -(row.payg_usd or 0.0))
    return (*rows, *found[:MODELS])


def _usage(views: Sequence[ShardView]) -> HourlyUsage:
    usage = HourlyUsage(max((view.machine.tick // 60 for view in views), default=0))
    for view in views:
        windows = view.machine.windows["usage"]
        for hour, block in windows.hour_blocks.items():
            if usage.until_hour - LOOK_BACK_HOURS <= hour < usage.until_hour:
                for row, counts in zip(block.rows.tolist(), block.counts.tolist(), strict=True):
                    _agent, model, pricing = windows.keys[row].dims
                    usage.add(model, pricing, hour, counts)
    return usage


def _committed(name: str, section: CommitmentSection, traffic: Traffic | None, settings: Settings) -> PtuRow | None:
    """What is paid for against what it carries; without traffic of its model nothing is used."""
    micro = section.micro_per_unit(settings.ptu_table()) or 0
    monthly = section.ptus * micro / MICRO_USD * (HOURS_A_MONTH if section.term == "hourly" else 1)
    empty = PtuRow(
        name=name,
        model=section.model,
        units=section.ptus,
        utilisation=None,
        monthly_usd=monthly,
        payg_usd=None,
        break_even_tokens=None,
        advice="No usage of its model is known",
    )
    if section.model == ANY:
        return empty.model_copy(update={"advice": "Name its model to see what it carries"})
    if traffic is None or traffic.unpriced:
        return empty
    try:
        load = Load(traffic, model_of(settings.ptu_table(), section.model, UnitFigures()))
    except CostInputError:
        return empty.model_copy(update={"advice": "What a unit carries of its model is not known"})
    saved = load.saving_usd(section.ptus)
    pays = saved >= monthly
    said = (
        f"Pays: it saves ${saved:,.0f} a month" if pays else f"Does not pay: it saves ${saved:,.0f} of ${monthly:,.0f}"
    )
    return empty.model_copy(
        update={
            "utilisation": load.utilisation(section.ptus),
            "payg_usd": load.payg_usd,
            "break_even_tokens": _break_even(monthly, load),
            "advice": said,
        }
    )


def _compared(traffic: Traffic, settings: Settings) -> PtuRow | None:
    """The cheapest way to run a model that has no units yet; None where it cannot be compared."""
    costs, table = settings.costs, settings.ptu_table()
    if traffic.unpriced:
        return None
    try:
        sizing = Sizing(costs.deployment_type, costs.region)
        found: Comparison = compare(traffic, table, model_of(table, traffic.model, UnitFigures()), sizing)
    except ValueError:
        return None
    way, term, usd = found.best
    chosen = None if term is None else term.peak if way == "ptu" else term.mix
    cheapest = min((one for one in found.terms), key=lambda one: one.unit_usd, default=None)
    least = None if cheapest is None else cheapest.peak.units_usd
    advice = "Stay with pay-as-you-go"
    if chosen is not None and term is not None:
        advice = f"{chosen.units} units ({term.term}) would cost ${usd:,.0f} a month"
    return PtuRow(
        name=f"{traffic.model}, without units",
        model=traffic.model,
        units=0,
        utilisation=None,
        monthly_usd=0.0,
        payg_usd=found.load.payg_usd,
        break_even_tokens=None if least is None else _break_even(least, found.load),
        advice=advice,
    )


def _break_even(monthly_usd: float, load: Load) -> int | None:
    """Normalised tokens a month that would cost as much by pay-as-you-go, at the mean price of what is called now."""
    if not load.normalised or load.payg_usd <= 0:
        return None
    return round(monthly_usd / load.payg_usd * load.normalised)
