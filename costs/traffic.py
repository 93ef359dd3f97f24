"""Traffic to one model, minute by minute: measured, or described in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from costs.ptu import HOURS_A_MONTH, PtuModel

Floats = NDArray[np.float64]

MINUTES_A_DAY: Final = 1440
MAX_MINUTES: Final = 3 * 366 * MINUTES_A_DAY
"""Longest span of a file: three years. More than that is a wrong time stamp."""

DESCRIBED_MINUTES: Final = 7 * MINUTES_A_DAY
COUNTS: Final = ("requests", "input_tokens", "cached_tokens", "output_tokens", "micro")


class TrafficError(ValueError):
    """Traffic that nothing can be made of; the message says why."""


@dataclass(frozen=True)
class Traffic:
    """Sums by minute, [M] each, every minute from the first event's to the last one's; those without events are zero.

    `input_tokens` includes the cached ones. `micro` is what the minute costs as pay-as-you-go, in micro-dollars.
    `first_minute` counts from 1970 UTC; None for traffic that was described. `peak` is how many times the mean the
    busiest minute is, where that was stated instead of measured. `unpriced` requests have no known price.
    """

    model: str
    requests: Floats
    input_tokens: Floats
    cached_tokens: Floats
    output_tokens: Floats
    micro: Floats
    first_minute: int | None = None
    peak: float | None = None
    unpriced: int = 0

    @property
    def minutes(self) -> int:
        """How many minutes it spans."""
        return len(self.requests)

    @property
    def monthly(self) -> float:
        """What sums are multiplied by for a month of 730 hours."""
        return HOURS_A_MONTH * 60 / self.minutes

    def normalised(self, model: PtuModel) -> Floats:
        """[M] normalised tokens of each minute."""
        return np.asarray(model.normalised(self.input_tokens, self.cached_tokens, self.output_tokens))


@dataclass
class TrafficBuilder:
    """Takes calls in, in any order, and makes the traffic of each model of them."""

    _minutes: dict[str, dict[int, list[int]]] = field(default_factory=dict)
    _unpriced: dict[str, int] = field(default_factory=dict)
    _span: tuple[int, int] | None = None

    def add(
        self, model: str, minute: int, input_tokens: int, cached_tokens: int, output_tokens: int, micro: int | None
    ) -> None:
        """One call; `micro` is None where no price is known. Raises TrafficError if times lie years apart."""
        cells = self._minutes.setdefault(model, {})
        cell = cells.get(minute)
        if cell is None:
            cell = cells[minute] = [0] * len(COUNTS)
            self._widen(minute)
        cell[0] += 1
        cell[1] += input_tokens
        cell[2] += min(cached_tokens, input_tokens)
        cell[3] += output_tokens
        if micro is None:
            self._unpriced[model] = self._unpriced.get(model, 0) + 1
        else:
            cell[4] += micro

    def traffic(self) -> dict[str, Traffic]:
        """The traffic of each model, busiest first, all over the same minutes."""
        if self._span is None:
            return {}
        first, last = self._span
        found = {}
        for model, cells in self._minutes.items():
            sums = np.zeros((len(COUNTS), last - first + 1))
            sums[:, np.fromiter(cells, np.int64) - first] = np.array(list(cells.values()), np.float64).T
            found[model] = Traffic(model, *_rows(sums), first, None, self._unpriced.get(model, 0))
        return dict(sorted(found.items(), key=lambda item: (-float(item[1].requests.sum()), item[0])))

    def _widen(self, minute: int) -> None:
        first, last = self._span or (minute, minute)
        self._span = (min(first, minute), max(last, minute))
        if self._span[1] - self._span[0] >= MAX_MINUTES:
            days = (self._span[1] - self._span[0]) // MINUTES_A_DAY
            raise TrafficError(f"the calls lie {days} days apart, three years at most are read: is a time wrong?")


def _rows(sums: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    requests, read, cached, written, micro = sums
    return requests, read, cached, written, micro


@dataclass(frozen=True)
class Described:
    """Calls that are all alike: how many a minute on average, how many times that at the peak, and their tokens.

    `cached` is the share of the input that comes from the cache; `usd` is the pay-as-you-go price of one call.
    """

    rpm: float
    peak: float
    input_tokens: float
    cached: float
    output_tokens: float
    usd: float


def described(model: str, load: Described) -> Traffic:
    """A week of minutes with the mean and the peak that were said.

    How the load spreads between them is assumed: the share `u` of all minutes stays below peak x u^(peak - 1), which
    has the right mean. Sizing for the peak does not hang on that; how much spills over a smaller deployment does.
    """
    if load.peak < 1:
        raise TrafficError("the peak cannot be lower than the average: give 1 or more")
    below = (np.arange(DESCRIBED_MINUTES) + 0.5) / DESCRIBED_MINUTES
    shape = np.power(below, load.peak - 1)
    requests = load.rpm * shape / shape.mean()
    return Traffic(
        model,
        requests,
        requests * load.input_tokens,
        requests * load.input_tokens * load.cached,
        requests * load.output_tokens,
        requests * load.usd * 1e6,
        peak=load.peak,
    )
