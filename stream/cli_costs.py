"""The commands about money: `midwatch costs ...`."""

from __future__ import annotations

import typer

from stream.cli_costs_budgets import budgets, prices
from stream.cli_costs_compare import compare, crossover

costs_app = typer.Typer(no_args_is_help=True, help="What the fleet costs, what would be cheaper, and who pays.")


@costs_app.callback()
def _costs() -> None:
    """What the fleet costs, what would be cheaper, and who pays."""


costs_app.command("prices")(prices)
costs_app.command("budgets")(budgets)
costs_app.command("compare")(compare)
costs_app.command("crossover")(crossover)
