"""The plot of cost over volume, with the points at which the ways cross."""

from __future__ import annotations

import base64
import html
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from costs.break_even import CostCurve
from costs.compare import Comparison
from stream.cost_text import tokens

FORMATS: Final = (".png", ".svg", ".html")
MARKED: Final = 3
"""Crossing points of a term that bear their volume."""

_COLOURS: Final = {"hourly": "#b3443c", "monthly": "#2f6f9f", "yearly": "#3b7d4f"}


def plot(path: Path, comparison: Comparison, curve: CostCurve) -> None:
    """Draw to a file; its ending says how: .png, .svg or .html. Raises OSError."""
    if path.suffix == ".html":
        picture = base64.b64encode(_draw(comparison, curve, "png")).decode()
        title = html.escape(_title(comparison))
        page = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            f'<body style="margin:2em auto;max-width:60em"><img alt="{title}" style="width:100%" '
            f'src="data:image/png;base64,{picture}"></body></html>\n'
        )
        path.write_text(page, encoding="utf-8")
    else:
        path.write_bytes(_draw(comparison, curve, path.suffix.removeprefix(".")))


def _title(comparison: Comparison) -> str:
    return f"{comparison.traffic.model}, {comparison.sizing.kind}: cost over volume"


def _draw(comparison: Comparison, curve: CostCurve, form: str) -> bytes:
    # No window system: the figure is made by itself, not through pyplot.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, StrMethodFormatter

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.tokens, curve.payg, color="0.6", linewidth=5, label="pay-as-you-go")
    top = float(curve.payg[-1])
    for term in comparison.terms:
        colour = _COLOURS[term.term]
        axes.plot(
            curve.tokens,
            curve.peak[term.term],
            color=colour,
            linewidth=1,
            linestyle="--",
            label=f"PTU for the peak, {term.term}",
        )
        axes.plot(curve.tokens, curve.mix[term.term], color=colour, linewidth=1.6, label=f"with spillover, {term.term}")
        _mark(axes, curve, *curve.crossings[term.term], colour)
    axes.axvline(curve.tokens_now, color="grey", linewidth=0.8, linestyle=":")
    axes.text(curve.tokens_now, 0.98, "now ", transform=axes.get_xaxis_transform(), color="grey", ha="right", va="top")
    axes.set(xlim=(0, curve.tokens[-1]), ylim=(0, 1.6 * top if top else 1), title=_title(comparison))
    axes.set_xlabel("tokens a month, read and written")
    axes.set_ylabel("dollars a month")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _place: tokens(count)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("${x:,.0f}"))
    axes.grid(visible=True, alpha=0.25)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    if comparison.notes:
        figure.supxlabel("; ".join(comparison.notes[:2]), fontsize=7, color="grey")
    made = BytesIO()
    figure.savefig(made, format=form, dpi=130)
    return made.getvalue()


def _mark(axes: Any, curve: CostCurve, peak: list[float], mix: float | None, colour: str) -> None:
    """A point at each crossing that is in the picture."""
    now = float(curve.payg[-1] / curve.scales[-1])
    shown = [scale for scale in (*peak, *([] if mix is None else [mix])) if scale <= curve.scales[-1]]
    axes.plot([scale * curve.tokens_now for scale in shown], [scale * now for scale in shown], "o", color=colour, ms=6)
    for scale in shown[:MARKED]:
        place = (scale * curve.tokens_now, scale * now)
        axes.annotate(tokens(place[0]), place, (6, -12), textcoords="offset points", color=colour, fontsize="small")
