"""Where the costs of both ways cross as the volume grows, the shape of the traffic being the same.

With spillover the answer is one volume: the fewest units that may be deployed save more, the more there is to carry
(`costs.load`), and where they do not pay no larger number does. Sized for the peak there can be several: every step of
the increment is a jump, and between the jumps pay-as-you-go catches up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from costs.compare import Comparison, TermResult
from costs.load import Load
from costs.ptu import DeploymentType, Term
from costs.traffic import Floats
from schemas.base import JsonObject

TOP_SCALE: Final = 1e6
"""Growth beyond which nothing is said."""

MOST_STEPS: Final = 2_000
MOST_CROSSINGS: Final = 20
_BISECTIONS: Final = 200


def mix_break_even(load: Load, unit_usd: float, kind: DeploymentType) -> float | None:
    """The volume, as a multiple of the load's, above which units with spillover are cheaper; None if there is none."""
    least = load.model.steps[kind].minimum
    price = least * unit_usd
    if load.saving_usd(least, TOP_SCALE) <= price:
        return None
    low, high = 0.0, TOP_SCALE
    for _ in range(_BISECTIONS):
        middle = (low * high) ** 0.5 if low > 0 else high / 1e3
        if not low < middle < high:
            break
        if load.saving_usd(least, middle) > price:
            high = middle
        else:
            low = middle
    return high


def peak_crossings(load: Load, unit_usd: float, kind: DeploymentType, peak_tpm: float, top: float) -> list[float]:
    """The volumes up to `top`, as multiples of the load's, at which units for the peak become the cheaper way or not.

    At the first, third, ... they become it, at the second, fourth, ... they stop being it.
    """
    steps, found, cheaper = load.model.steps[kind], list[float](), False
    floor = 0.0
    for place in range(MOST_STEPS):
        if floor >= top or peak_tpm <= 0 or load.payg_usd <= 0 or len(found) >= MOST_CROSSINGS:
            break
        units = steps.nth(place)
        ceiling = units * load.model.input_tpm / peak_tpm
        even = unit_usd * units / load.payg_usd
        if cheaper and even >= floor:
            found.append(floor)
            cheaper = False
        if not cheaper and even < ceiling:
            found.append(max(even, floor))
            cheaper = True
        floor = ceiling
    crossings = [scale for scale in found if scale <= top]
    # A jump at which both happen is no crossing.
    return [s for s in crossings if crossings.count(s) == 1]


@dataclass(frozen=True)
class CostCurve:
    """Cost over volume: [V] multiples of the measured volume, and dollars a month for each way and term."""

    scales: Floats
    tokens: Floats
    """Tokens a month, read and written."""
    payg: Floats
    peak: dict[Term, Floats]
    mix: dict[Term, Floats]
    crossings: dict[Term, tuple[list[float], float | None]]
    """By term: where sizing for the peak crosses pay-as-you-go, and where the mix does; multiples of the volume."""
    tokens_now: float

    def to_json(self) -> JsonObject:
        """The crossing points as JSON, in tokens a month."""
        return {
            term: {
                "peak_sized": [round(scale * self.tokens_now) for scale in peak],
                "mix": None if mix is None else round(mix * self.tokens_now),
            }
            for term, (peak, mix) in self.crossings.items()
        }


def cost_curve(comparison: Comparison, points: int = 400) -> CostCurve:
    """The cost of every way from no volume to well past the measured one and the crossing points near it."""
    load, kind, traffic = comparison.load, comparison.sizing.kind, comparison.traffic
    crossings = {term.term: _crossings(comparison, term) for term in comparison.terms}
    near = [scale for peak, mix in crossings.values() for scale in (*peak[:1], mix or 0.0) if scale <= _FAR]
    scales = np.linspace(0.0, max(2.0, 1.3 * max(near, default=0.0)), points)
    tokens_now = float((traffic.input_tokens.sum() + traffic.output_tokens.sum()) * traffic.monthly)
    peak, mix = {}, {}
    for term in comparison.terms:
        sized = [load.model.units(comparison.peak_tpm * scale, kind) for scale in scales]
        peak[term.term] = np.array([
            term.unit_usd * n + (load.spilled_usd(n, s) if s else 0.0) for n, s in zip(sized, scales, strict=True)
        ])  # fmt: skip
        mix[term.term] = np.array([_mix_usd(load, term.unit_usd, kind, scale) for scale in scales])
    return CostCurve(scales, scales * tokens_now, scales * load.payg_usd, peak, mix, crossings, tokens_now)


_FAR: Final = 5.0
"""Crossing points beyond this multiple of the volume are named, not drawn."""


def _crossings(comparison: Comparison, term: TermResult) -> tuple[list[float], float | None]:
    load, kind = comparison.load, comparison.sizing.kind
    peak = peak_crossings(load, term.unit_usd, kind, load.peak_tpm(), 1000.0)
    return peak, mix_break_even(load, term.unit_usd, kind)


def _mix_usd(load: Load, unit_usd: float, kind: DeploymentType, scale: float) -> float:
    if scale <= 0:
        return 0.0
    units = load.cheapest_units(unit_usd, kind, scale)
    return unit_usd * units + load.spilled_usd(units, scale)
