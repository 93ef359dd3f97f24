"""What a history of each detector looks like: its columns, its units, and the bands that its quality is told in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from schemas.series import COUNTERS, DIMENSIONS, MICRO_USD, SCORE_UNIT, SeriesKey, SeriesKind
from schemas.words import DetectorName

_HOUR, _DAY = 60, 1440


@dataclass(frozen=True, slots=True)
class Bands:
    """Bands of a quantity, by their ascending inner bounds; `per` is how many of its units make one of a minute."""

    unit: str
    bounds: tuple[float, ...]
    suffix: str = ""
    per: float = 1.0

    def index(self, value: float) -> int:
        """The band that holds `value`."""
        return int(np.digitize(value, self.bounds))

    def names(self) -> list[str]:
        """The bands in words, such as `below 2x`, `2x to 3x`, `3x and more`."""
        return _names([f"{bound:,g}{self.suffix}" for bound in self.bounds])

    def names_per_minute(self) -> list[str]:
        """The same bands in units of a minute."""
        return _names([f"{bound / self.per:.3g}" for bound in self.bounds])


def _names(bounds: list[str]) -> list[str]:
    return [f"below {bounds[0]}", *(f"{a} to {b}" for a, b in pairwise(bounds)), f"{bounds[-1]} and more"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The history of one detector. `counters` gives for each counter of the kind its column and unit."""

    kind: SeriesKind
    counters: tuple[tuple[str, int], ...]
    optional: frozenset[str]
    by_hour: bool
    volume: Bands
    """How much a series has to do, in counter `volume_counter`."""
    size: Bands
    """How large an incident is, measured as `stream.backtest_sizes` says."""
    grace: int
    """Minutes after a label in which a firing still belongs to it: what the detector's windows reach back."""
    learns: int = 0
    """Hours of history before which the detector says nothing."""
    volume_counter: int = 0

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The names of the identity's columns."""
        return ("environment", "system", *DIMENSIONS[self.kind])

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return ("time", *self.dimensions, *(name for name, _ in self.counters if name not in self.optional))

    @property
    def width(self) -> int:
        """How many counters there are."""
        return len(COUNTERS[self.kind])


VOLUME: Final = Bands("a minute", (0.2, 1.0, 5.0, 50.0))
RATIO: Final = Bands("times the rate before", (2.0, 3.0, 5.0), "x")

_FLOW: Final = (("interactions", 1), ("escalations", 1), ("failures", 1))
LAYOUTS: Final[dict[DetectorName, Layout]] = {
    "escalation_rate": Layout(
        "flow", _FLOW, frozenset({"failures"}), by_hour=False, volume=VOLUME, size=RATIO, grace=_HOUR
    ),
    "silence": Layout(
        "flow",
        _FLOW,
        frozenset({"escalations", "failures"}),
        by_hour=False,
        volume=VOLUME,
        size=Bands("interactions missed", (10.0, 100.0, 1000.0)),
        grace=_HOUR,
        learns=168,
    ),
    "authorization_denials": Layout(
        "agent",
        (("requests", 1), ("denials", 1)),
        frozenset(),
        by_hour=False,
        volume=VOLUME,
        size=Bands("denials beyond the usual", (10.0, 30.0, 100.0)),
        grace=_HOUR,
    ),
    "burn_rate": Layout(
        "budget",
        (("requests", 1), ("cost_usd", MICRO_USD)),
        frozenset({"requests"}),
        by_hour=True,
        volume=Bands("USD a day", (10.0, 100.0, 1000.0), per=_DAY),
        size=Bands("% above the budget", (0.0, 5.0, 15.0, 30.0), " %"),
        grace=_DAY,
        learns=72,
        volume_counter=1,
    ),
    "evaluation_drop": Layout(
        "score",
        (("scores", 1), ("score_sum", SCORE_UNIT), ("score_sumsq", SCORE_UNIT**2)),
        frozenset(),
        by_hour=False,
        volume=Bands("scores a day", (15.0, 100.0, 500.0), per=_DAY),
        size=Bands("points lower", (0.2, 0.4, 0.8)),
        grace=2 * _DAY,
        learns=24,
    ),
}


def name_of(key: SeriesKey) -> str:
    """A series as people name it: `production/shop/refund`."""
    return "/".join((key.environment, key.system, *key.dims))


def size_text(value: float) -> str:
    """A size in as many digits as anyone reads."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
