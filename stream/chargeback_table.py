"""Tables of text, the same for every report about costs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 200


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: Collection[int], *, total: bool = False) -> str:
    """A table whose columns `texts` stand to the left, the others to the right; `total` sets the last row apart."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=False)
    for place, head in enumerate(heads):
        table.add_column(Text(head), justify="left" if place in texts else "right", overflow="fold")
    for number, row in enumerate(rows):
        if total and number == len(rows) - 1:
            table.add_section()
        table.add_row(*(Text(plain(value)) for value in row))
    console = Console(width=_WIDTH, file=StringIO(), record=True, color_system=None)
    console.print(table)
    return "\n".join(line.rstrip() for line in console.export_text().rstrip("\n").split("\n"))


def number_of(count: int, one: str, many: str) -> str:
    """How many of something, in words that fit the number."""
    return f"{count:,} {one if count == 1 else many}"


def span(first: object, last: object) -> str:
    """From something to something, or that one thing."""
    return str(first) if first == last else f"{first} to {last}"


def plain(text: str) -> str:
    """Text that writes no control character to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def money(amounts: Collection[int], unit: int) -> Callable[[int | None], str]:
    """How to show amounts (in parts of a dollar, `unit` to the dollar): to the cent, or finer if some is below one."""
    fine = any(0 < abs(amount) * 100 < unit for amount in amounts)

    def show(amount: int | None) -> str:
        if amount is None:
            return "-"
        return f"{Decimal(amount) / unit:,.{6 if fine else 2}f}"

    return show
