"""Series: the identities that windows are kept for, and the counters that each kind of series has.

All counters are integers, so that sums do not depend on their order: money in micro-dollars, scores in thousandths.
"""

from __future__ import annotations

import math
from typing import Final, Literal, NamedTuple

SeriesKind = Literal[
    "flow",
    "flow_version",
    "flow_reason",
    "agent",
    "denial",
    "dependency",
    "score",
    "score_version",
    "budget",
    "usage",
    "score_stratum",
]

DIMENSIONS: Final[dict[SeriesKind, tuple[str, ...]]] = {
    "flow": ("flow",),
    "flow_version": ("flow", "version"),
    "flow_reason": ("flow", "reason"),
    "agent": ("agent",),
    "denial": ("agent", "action", "principal"),
    "dependency": ("dependency",),
    "score": ("flow", "criterion"),
    "score_version": ("flow", "criterion", "version"),
    "budget": ("budget",),
    "usage": ("agent", "model", "pricing"),
    "score_stratum": ("flow", "criterion", "version", "stratum"),
}
"""The names of a series' own dimensions, beside environment and system."""

COUNTERS: Final[dict[SeriesKind, tuple[str, ...]]] = {
    "flow": ("interactions", "escalations", "failures"),
    "flow_version": ("interactions", "escalations"),
    "flow_reason": ("escalations",),
    "agent": ("requests", "denials"),
    "denial": ("denials",),
    "dependency": ("calls", "errors", "timeouts"),
    "score": ("scores", "score_sum", "score_sumsq"),
    "score_version": ("scores", "score_sum", "score_sumsq"),
    "budget": ("requests", "cost"),
    "usage": ("requests", "input_tokens", "cached_input_tokens", "output_tokens", "cost"),
    "score_stratum": ("scores", "score_sum", "score_sumsq"),
}
"""The names of the counters, in the order of the last axis of a window. `score_sum` is in thousandths of a point,
`score_sumsq` in millionths of a squared point, `cost` in micro-dollars; the others are counts."""

KINDS: Final[tuple[SeriesKind, ...]] = tuple(DIMENSIONS)

STRATA_PER_HALVING: Final = 4
MAX_STRATUM: Final = 80
"""Sampling rates stand on a grid, `2 ** (-stratum / 4)` from 1 down to one in a million: the scores of a stratum share
one weight, so sums of scores stay integers and the weights enter when they are read."""

SCORE_UNIT: Final = 1000
"""Thousandths of a score point: the fixed point in which scores are summed."""

MICRO_USD: Final = 1_000_000
"""Micro-dollars to the dollar."""


def stratum_of(rate: float) -> int:
    """The stratum on the grid that is nearest to a sampling rate."""
    return min(max(round(-STRATA_PER_HALVING * math.log2(rate)), 0), MAX_STRATUM)


def rate_of(stratum: int) -> float:
    """The sampling rate of a stratum."""
    return float(2.0 ** (-stratum / STRATA_PER_HALVING))


class SeriesKey(NamedTuple):
    """The identity of a series. `dims` has one value for each name in `DIMENSIONS[kind]`."""

    kind: SeriesKind
    environment: str
    system: str
    dims: tuple[str, ...]

    def labels(self) -> dict[str, str]:
        """Environment, system and the named dimensions."""
        named = dict(zip(DIMENSIONS[self.kind], self.dims, strict=True))
        return {"environment": self.environment, "system": self.system, **named}
