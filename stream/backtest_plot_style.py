"""Colours and lines of the pictures. Distinct for colour-blind readers, and in print: tiers differ in lightness too."""

from __future__ import annotations

from typing import Any, Final

COLOURS: Final = {
    "warning": "#e69f00",
    "page": "#a3280a",
    "label": "#7a7a7a",
    "observed": "#1a1a1a",
    "baseline": "#0072b2",
}
"""From the palette of Okabe and Ito (2008), the page darker than there."""

STYLE: Final[Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "midwatch",
}
