"""The small plots of the benchmarks, all in one style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

COLOURS: Final = ("#1f4e79", "#c55a11", "#548235", "#7f7f7f")
INCHES: Final = (4.6, 2.9)


def lines(
    path: Path,
    title: str,
    axes: tuple[str, str],
    xs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    logarithmic: tuple[bool, bool] = (True, True),
) -> None:
    """Lines over the same `xs`, with a legend where there are several, as a small PNG.

    `axes` are the names of x and y, `logarithmic` says which of them are so. Metadata is left out, so that the same
    figures give the same bytes.
    """
    mpl.rcParams["font.size"] = 8
    figure = Figure(figsize=INCHES, layout="constrained")
    plane = figure.subplots()
    for (name, ys), colour in zip(series.items(), COLOURS, strict=False):
        plane.plot(xs, ys, marker="o", markersize=3.5, linewidth=1.2, color=colour, label=name)
    scales = (plane.set_xscale, plane.set_yscale)
    for on, axis, scale in zip(logarithmic, (plane.xaxis, plane.yaxis), scales, strict=True):
        if on:
            scale("log")
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axis.set_major_formatter(formatter)
        axis.set_minor_formatter(NullFormatter())
    plane.set_xticks(list(xs), [f"{x:,.0f}" for x in xs])
    plane.set_xticks([], minor=True)
    if not logarithmic[1]:
        plane.set_ylim(0, 1.1 * max(y for ys in series.values() for y in ys))
    plane.set_title(title, loc="left", fontsize=9)
    plane.set_xlabel(axes[0])
    plane.set_ylabel(axes[1])
    plane.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    plane.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        plane.legend(frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})
