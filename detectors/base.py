"""What a detector is: windows of all series in, claims about some of them out.

A detector is pure. It looks at all series of one kind at once, keeps its memory in arrays with one row a series (so
that the memory can be stored, restored and compared), and is asked once for each event-time tick, in order.

Time is in integer minutes since 1970-01-01 UTC. Tick `T` sees the minutes before `T`: the last column of a window is
minute `T - 1`. Ticks come one a minute; a series that appears gets a fresh row at the end of every array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from schemas.series import SeriesKey, SeriesKind
from schemas.words import DetectorName, Tier

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
State = dict[str, NDArray[Any]]
"""A detector's memory: named arrays whose first axis is the series. Only NumPy types that `numpy.save` stores without
pickling. The engine appends rows from `fresh`, drops rows of expired series, and stores and restores the arrays."""

MINUTES = 120
"""Minutes that a window view holds."""

HOURS = 28 * 24
"""Hours that a window view can be asked for."""


class WindowView(Protocol):
    """The windows of all series of one kind, as of tick `tick`."""

    @property
    def kind(self) -> SeriesKind:
        """The kind of series, which gives the counters their meaning."""
        ...

    @property
    def tick(self) -> int:
        """The tick: the last minute seen is `tick - 1`."""
        ...

    @property
    def keys(self) -> Sequence[SeriesKey]:
        """[S] in order of (tick of first appearance, key), so that sums over rows are the same in every run."""
        ...

    @property
    def group(self) -> NDArray[np.int64]:
        """[S] code of each series' (environment, system), 0 to G - 1: the fleet that a young series borrows from."""
        ...

    @property
    def first_minute(self) -> NDArray[np.int64]:
        """[S] the minute in which each series was first seen."""
        ...

    @property
    def last_minute(self) -> NDArray[np.int64]:
        """[S] the latest minute before `tick` in which each series had an event."""
        ...

    def minutes(self, last: int) -> Counts:
        """[S, last, C] counts of the minutes `tick - last` to `tick - 1`; `last` is at most `MINUTES`. Read only."""
        ...

    def minutes_at(self, rows: NDArray[np.intp], last: int) -> Counts:
        """[R, last, C] the same of these rows only. Read only."""
        ...

    def minute_sums(self, last: int, counter: int) -> Counts:
        """[S] sums of one counter over the same minutes, for a fraction of the cost; then `minutes_at` a few."""
        ...

    def hours(self, last: int) -> Counts:
        """[S, last, C] counts of the `last` full hours before the hour of `tick`. Read only.

        Costly: not for every tick.
        """
        ...

    def hour_sums(self, spans: Sequence[int]) -> Counts:
        """[S, len(spans), C] sums over the last so many full hours before the hour of `tick`; `spans` ascend.

        The same as sums over `hours`, for a fraction of its cost.
        """
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """What a detector says of one series at one tick: it opens, is raised from warning to page, goes on, or recovered.

    The engine turns a claim into a published firing. Numbers are those of `schemas.outputs.Trigger`.
    """

    series: int
    """Row of the series in the view."""
    change: str
    """`opened`, `raised`, `recovered`."""
    tier: Tier
    observed: float
    baseline: float
    threshold: float
    unit: str
    sample_count: int
    baseline_count: float
    confidence: float
    fired_minute: int
    """Tick at which the firing was opened."""
    onset_minute: int
    """Estimated change point."""
    window_start_minute: int
    window_end_minute: int
    summary: str
    ratio_30m: float | None = None
    meets_3x: bool | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """`observed / baseline`, or None where the baseline is zero."""
        return self.observed / self.baseline if self.baseline > 0 else None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a detector sees of one series at one tick, whether it claims anything or not: for pictures."""

    observed: float | None
    """The signal; None where there is nothing to see."""
    baseline: float
    threshold: float | None
    """What `observed` would have to reach to page; None where no single value decides."""
    unit: str
    signal: str
    """What `observed` is, such as the rate of so many minutes."""
    score: float
    """What is compared with `warning` and `page`."""
    warning: float
    page: float
    score_name: str


class Detector(Protocol):
    """One detector: its name, the series that it looks at, and one step for each tick."""

    name: ClassVar[DetectorName]
    kind: ClassVar[SeriesKind]

    def fresh(self, size: int) -> State:
        """Memory for `size` new series."""
        ...

    def step(self, view: WindowView, state: State) -> tuple[State, list[Claim]]:
        """The memory after this tick, and the claims that changed at it, in order of the series' keys.

        `state` may be changed in place and returned. Raises nothing on data: a series without evidence has no claim.
        """
        ...


@runtime_checkable
class Sighted(Protocol):
    """A detector that can say what it sees, and so can be drawn."""

    def sight(self, view: WindowView, state: State, row: int) -> Sight:
        """What it sees of one row, with the memory as `step` left it at the view's tick."""
        ...


@runtime_checkable
class Expecting(Protocol):
    """A detector that knows what to expect of every series: for metrics and the page."""

    def expected(self, state: State) -> Floats:
        """[S] what is expected, in the detector's unit, as of its last step; NaN where nothing is known yet."""
        ...
