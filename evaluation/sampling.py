"""Which interactions are judged, and with what probability. Pure.

The draw is a hash of the interaction's identity, so every process, today and after a restart, draws alike, in whatever
order the records come. An interaction is judged if its draw is below the rate of its outcome; rates only scale the
threshold, so what is drawn at a low rate is drawn at every higher one. Rates stand on the grid of strata
(`schemas.series.stratum_of`), so that the rate that a score carries is exactly the one that it was drawn with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from schemas.series import MAX_STRATUM, STRATA_PER_HALVING, rate_of
from stream.adapters.native import Interaction

Kind = Literal["resolved", "escalated", "failed", "abandoned", "denied"]
"""How an interaction ended; `denied` if one of its steps was refused, whatever came of it."""

_SCALE: Final = 2.0**64
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Drawn:
    """An interaction that is to be judged: its probability, and whether the lowest rate would have drawn it, too."""

    rate: float
    uniform: bool


def kind_of(event: Interaction) -> Kind:
    """What the sampling rate goes by."""
    if any(step.status == "denied" for step in event.steps or ()):
        return "denied"
    return event.outcome


def draw_of(environment: str, system: str, interaction_id: str) -> float:
    """A number in [0, 1) that follows from the interaction's identity alone."""
    identity = f"{environment}\x1f{system}\x1f{interaction_id}".encode()
    return int.from_bytes(blake2b(identity, digest_size=8, person=b"mw-sample").digest(), "big") / _SCALE


def on_grid(rate: float) -> float:
    """The greatest rate of the grid that is not above `rate`; 0 where the grid ends."""
    if rate >= 1.0:
        return 1.0
    if rate < rate_of(MAX_STRATUM):
        return 0.0
    return rate_of(math.ceil(-STRATA_PER_HALVING * math.log2(rate) - _ROUNDING))


def decide(draw: float, kind: Kind, rates: Mapping[Kind, float], factor: float = 1.0) -> Drawn | None:
    """Whether an interaction is judged. `factor` (0 to 1) thins all rates in proportion (`evaluation.pacing`)."""
    rate = on_grid(rates[kind] * factor)
    if draw >= rate:
        return None
    return Drawn(rate, draw < on_grid(min(rates.values()) * factor))
