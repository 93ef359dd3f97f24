"""What the commands about money say to people: comparisons, crossovers, prices."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import Final

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from costs.break_even import CostCurve
from costs.compare import Choice, Comparison
from costs.compare_simple import SimpleComparison
from costs.crossover import Crossover, Flip
from costs.prices import Quote

_WIDTH: Final = 120
_NARROWEST: Final = 80
_WAYS: Final = {"payg": "pay-as-you-go", "ptu": "PTU for the peak", "mix": "PTU with spillover"}


def render(parts: Iterable[RenderableType]) -> str:
    """Plain text, as wide as the terminal."""
    width = max(_NARROWEST, min(_WIDTH, shutil.get_terminal_size((_WIDTH, 0)).columns))
    console = Console(width=width, record=True, file=StringIO(), color_system=None, highlight=False, markup=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return "\n".join(line.rstrip() for line in console.export_text().rstrip().splitlines())


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Table:
    """A table whose first `left` columns are words, the others numbers."""
    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="none", pad_edge=False)
    for place, name in enumerate(head):
        made.add_column(name, justify="left" if place < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def dollars(amount: float, digits: int = 0) -> str:
    """An amount as people write it."""
    return f"-${-amount:,.{digits}f}" if amount < 0 else f"${amount:,.{digits}f}"


def tokens(count: float) -> str:
    """A number of tokens in words of millions and billions."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{count / size:,.4g} {word}"
    return f"{count:,.0f}"


def simple_lines(found: SimpleComparison) -> list[str]:
    """The simple form's answer."""
    return [
        f"pay-as-you-go  {dollars(float(found.payg_monthly), 2)} a month",
        f"provisioned    {dollars(float(found.ptu_monthly), 2)} a month",
        f"recommended    {found.recommendation}",
        f"break-even     {found.breakeven_tokens:,.0f} tokens a month",
        "One price for all tokens, and no word on the peak: see `midwatch costs compare --usage` for the full form.",
    ]


def comparison_parts(found: Comparison, curve: CostCurve) -> Iterator[RenderableType]:
    """One model's comparison."""
    traffic, load, monthly = found.traffic, found.load, found.traffic.monthly
    read, kept = float(traffic.input_tokens.sum()), float(traffic.cached_tokens.sum())
    written = float(traffic.output_tokens.sum())
    yield (
        f"{traffic.model}, {found.sizing.kind}: a month of 730 h has {traffic.requests.sum() * monthly:,.0f} requests, "
        f"{tokens(read * monthly)} tokens in ({kept / read if read else 0:.0%} cached), {tokens(written * monthly)} out"
    )
    at = "at the peak" if found.sizing.percentile >= 100 else f"in the {found.sizing.percentile:g} % minute"
    yield (
        f"pay-as-you-go {dollars(load.payg_usd)} a month; {load.mean_tpm:,.0f} normalised tokens a minute on average, "
        f"{found.peak_tpm:,.0f} {at}"
    )
    head = ("term", "a PTU", "worth it from", "for the peak", "a month", "used", "with spillover", "a month", "used")
    rows = []
    for term in found.terms:
        need = term.needed_utilisation
        rows.append((
            term.term, dollars(term.unit_usd, 2), "never" if need is None or need > 1 else f"{need:.0%} use",
            *_choice(term.peak), *_choice(term.mix),
        ))  # fmt: skip
    yield table("", head, rows)
    way, best, usd = found.best
    units = "" if best is None else f", {(best.peak if way == 'ptu' else best.mix).units} PTU {best.term}"
    yield f"cheapest: {_WAYS[way]}{units}: {dollars(usd)} a month"
    yield from _crossing_lines(curve)
    yield from (f"note: {note}" for note in found.notes)
    yield ""


def _choice(choice: Choice) -> tuple[str, str, str]:
    used = f"{choice.utilisation:.0%}" if choice.units else "-"
    spilled = f" ({choice.spilled_share:.0%} spills)" if choice.units and choice.spilled_share >= 0.005 else ""
    return f"{choice.units} PTU{spilled}" if choice.units else "none", dollars(choice.usd), used


def _crossing_lines(curve: CostCurve) -> Iterator[str]:
    for term, (peak, mix) in curve.crossings.items():
        if mix is None and not peak:
            yield f"{term}: PTU do not pay at any volume of such traffic"
            continue
        spilling = "at no volume" if mix is None else f"from {tokens(mix * curve.tokens_now)} tokens a month on"
        sized = "at no volume"
        if peak:
            places = [tokens(scale * curve.tokens_now) for scale in peak[:4]]
            ends = [f"from {one}" if place % 2 == 0 else f"to {one}" for place, one in enumerate(places)]
            sized = " ".join(ends) + (" ..." if len(peak) > 4 else "")
        yield f"{term}: PTU pay {spilling} with spillover, {sized} if sized for the peak"


def crossover_parts(found: Crossover) -> Iterator[RenderableType]:
    """One model's growth, and when its recommendations flip."""
    traffic = found.comparison.traffic
    yield f"{traffic.model}, {found.comparison.sizing.kind}: {tokens(found.monthly_tokens)} tokens a month now"
    if found.growth is None:
        yield f"no date can be given: {found.why}"
    else:
        growth, low, high = found.growth.monthly_percent
        yield (
            f"growth {growth:+.1f} % a month ({found.growth.confidence:.0%}: {low:+.1f} to {high:+.1f} %), "
            f"from {found.growth.days} days"
        )
    rows = [
        (
            flip.term,
            "with spillover" if flip.manner == "mix" else "for the peak",
            flip.now,
            "never, at any volume" if flip.volume is None else f"{flip.to} at {tokens(flip.volume)} a month",
            _when(flip, known=found.growth is not None),
        )
        for flip in found.flips
    ]
    yield table("", ("term", "PTU", "cheaper now", "flips", "when (earliest to latest)"), rows, left=5)
    yield from (f"note: {note}" for note in found.comparison.notes)
    yield ""


def _when(flip: Flip, *, known: bool) -> str:
    if flip.volume is None or not known:
        return "-"
    if flip.at is None and flip.earliest is None:
        return "not in sight"
    middle = "not in sight" if flip.at is None else flip.at.isoformat()
    return f"{middle} ({flip.earliest or 'no date'} to {flip.latest or 'no date'})"


def quote_rows(model: str, tier: str, quote: Quote) -> Iterator[tuple[str, ...]]:
    """The price of a model, a row for each step of its input length."""
    above = 0
    for limit, prices in quote.steps:
        length = "any" if limit is None and not above else f"above {above:,}" if limit is None else f"up to {limit:,}"
        usd = (f"{float(price) * 1_000_000:,.4g}" for price in prices)
        yield (model, tier, quote.source, length, *usd)
        above = limit or 0
