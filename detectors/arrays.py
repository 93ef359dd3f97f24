"""Windows over dense arrays in memory: for tests, for backtests, for replay of files. And rows of a detector's memory.

An `ArrayView` slides over a history that is held once; nothing is copied when the tick moves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from detectors.base import HOURS, MINUTES, Claim, Counts, Detector, State
from schemas.series import COUNTERS, SeriesKey, SeriesKind

_HOUR = 60


def append_rows(state: State, more: State) -> State:
    """`state` with the rows of `more` at its end."""
    return {name: np.concatenate((array, more[name])) for name, array in state.items()}


def take_rows(state: State, rows: NDArray[np.intp]) -> State:
    """`state` with these rows only, in this order."""
    return {name: array[rows] for name, array in state.items()}


class ArrayView:
    """A `WindowView` over counts [S, M, C] that begin at minute `start`.

    Series show up as an engine would see them: those first seen before the tick, in order of (first minute, key). So
    the view has its own order, `keys`; series that never have an event never show up. Set `tick` to slide.
    """

    def __init__(self, kind: SeriesKind, keys: Sequence[SeriesKey], counts: Counts, start: int) -> None:
        if counts.ndim != 3 or counts.shape[0] != len(keys) or counts.shape[2] != len(COUNTERS[kind]):
            raise ValueError(
                f"counts of kind {kind!r} must be [{len(keys)} series, minutes, {len(COUNTERS[kind])} counters], "
                f"not {counts.shape}"
            )
        if start % _HOUR:
            raise ValueError(f"the history must begin at a full hour, not at minute {start}")
        self._kind: SeriesKind = kind
        self._start = start
        active: NDArray[np.bool_] = (counts != 0).any(axis=2)
        spoke = active.any(axis=1)
        first = np.where(spoke, active.argmax(axis=1) + start, np.iinfo(np.int64).max)
        order = sorted(np.flatnonzero(spoke).tolist(), key=lambda row: (int(first[row]), keys[row]))
        self._all_keys = tuple(keys[row] for row in order)
        self._first = first[order]
        self._counts = counts if order == list(range(len(keys))) else counts[order]
        self._active = active[order]
        self._group = _groups(self._all_keys)
        self._hours: Counts | None = None
        self._last = np.zeros(len(order), dtype=np.int64)
        self._tick = start
        self._size = 0

    step: ClassVar[int] = 1
    """Minutes between the ticks that make sense."""

    @property
    def start(self) -> int:
        """The first minute of the history."""
        return self._start

    @property
    def end(self) -> int:
        """The minute after the last of the history: the last tick."""
        return int(self._start + self._counts.shape[1] * self.step)

    @property
    def history(self) -> Counts:
        """[S, M, C] the whole history of the series seen so far, a column for every `step` minutes. Read only."""
        return self._counts[: self._size]

    def part(self, keys: Collection[SeriesKey]) -> ArrayView:
        """A view over these series only, which stands at the start."""
        rows = [row for row, key in enumerate(self._all_keys) if key in keys]
        return type(self)(self._kind, [self._all_keys[row] for row in rows], self._counts[rows], self._start)

    def totals(self, counter: int) -> Counts:
        """[S] the sum of one counter over the whole history, of the series seen so far."""
        return np.asarray(self._counts[: self._size, :, counter].sum(axis=1))

    @property
    def kind(self) -> SeriesKind:
        """See `WindowView.kind`."""
        return self._kind

    @property
    def tick(self) -> int:
        """The minute that the view is as of."""
        return self._tick

    @tick.setter
    def tick(self, tick: int) -> None:
        length = self._counts.shape[1]
        if not self._start <= tick <= self._start + length:
            raise ValueError(f"tick {tick} lies outside {self._start} to {self._start + length}")
        if tick < self._tick:
            self._last[:] = 0
            self._tick = self._start
        fresh = self._active[:, self._tick - self._start : tick - self._start]
        if fresh.shape[1]:
            back = fresh[:, ::-1].argmax(axis=1)
            self._last = np.where(fresh.any(axis=1), tick - 1 - back, self._last)
        self._tick = tick
        self._size = int(np.searchsorted(self._first, tick))

    @property
    def keys(self) -> tuple[SeriesKey, ...]:
        """[S] the series seen so far."""
        return self._all_keys[: self._size]

    @property
    def size(self) -> int:
        """S."""
        return self._size

    @property
    def group(self) -> NDArray[np.int64]:
        """[S] see `WindowView.group`."""
        return self._group[: self._size]

    @property
    def first_minute(self) -> NDArray[np.int64]:
        """[S] see `WindowView.first_minute`."""
        return self._first[: self._size]

    @property
    def last_minute(self) -> NDArray[np.int64]:
        """[S] see `WindowView.last_minute`."""
        return self._last[: self._size]

    def minutes(self, last: int) -> Counts:
        """See `WindowView.minutes`."""
        if not 0 < last <= MINUTES:
            raise ValueError(f"a view holds 1 to {MINUTES} minutes, not {last}")
        return self._window(self._counts, self._tick - self._start, last)

    def minutes_at(self, rows: NDArray[np.intp], last: int) -> Counts:
        """See `WindowView.minutes_at`."""
        return np.asarray(self.minutes(last)[rows])

    def minute_sums(self, last: int, counter: int) -> Counts:
        """See `WindowView.minute_sums`."""
        return np.asarray(self.minutes(last)[:, :, counter].sum(axis=1))

    def hours(self, last: int) -> Counts:
        """See `WindowView.hours`."""
        if not 0 < last <= HOURS:
            raise ValueError(f"a view holds 1 to {HOURS} hours, not {last}")
        if self._hours is None:
            full = self._counts.shape[1] // _HOUR
            whole = self._counts[:, : full * _HOUR]
            self._hours = whole.reshape(whole.shape[0], full, _HOUR, -1).sum(axis=2, dtype=np.int64)
        return self._window(self._hours, (self._tick - self._start) // _HOUR, last)

    def hour_sums(self, spans: Sequence[int]) -> Counts:
        """See `WindowView.hour_sums`."""
        hours = self.hours(spans[-1])
        return np.stack([hours[:, spans[-1] - span :].sum(axis=1) for span in spans], axis=1)

    def _window(self, counts: Counts, end: int, last: int) -> Counts:
        """The last columns before `end`; zeros stand for what lies before the history."""
        window = counts[: self._size, max(0, end - last) : end]
        if end >= last:
            return window
        padded = np.zeros((self._size, last, counts.shape[2]), dtype=counts.dtype)
        padded[:, last - end :] = window
        return padded


class HourView(ArrayView):
    """An `ArrayView` over counts by the hour [S, H, C]. Only full hours can be its ticks, and it has no minutes."""

    step: ClassVar[int] = _HOUR

    def __init__(self, kind: SeriesKind, keys: Sequence[SeriesKey], counts: Counts, start: int) -> None:
        super().__init__(kind, keys, counts, start)
        self._hours = self._counts
        self._first = (self._first - start) * _HOUR + start

    @property
    def tick(self) -> int:
        """The minute that the view is as of: a full hour."""
        return self._tick

    @tick.setter
    def tick(self, tick: int) -> None:
        if tick % _HOUR or not self._start <= tick <= self._start + self._counts.shape[1] * _HOUR:
            raise ValueError(f"tick {tick} is no full hour of the history")
        self._tick = tick
        self._size = int(np.searchsorted(self._first, tick))
        spoke = self._active[:, : (tick - self._start) // _HOUR]
        back = spoke[:, ::-1].argmax(axis=1) if spoke.shape[1] else np.zeros(len(spoke), dtype=np.int64)
        self._last = np.where(spoke.any(axis=1), tick - _HOUR * back - 1, 0) if spoke.shape[1] else self._last

    def minutes(self, last: int) -> Counts:
        """Zeros: at a full hour no minutes have passed since the last one."""
        return np.zeros((self._size, last, self._counts.shape[2]), dtype=np.int64)


def _groups(keys: Sequence[SeriesKey]) -> NDArray[np.int64]:
    """[S] code of each series' (environment, system), numbered in order of first appearance."""
    codes: dict[tuple[str, str], int] = {}
    return np.array([codes.setdefault((key.environment, key.system), len(codes)) for key in keys], dtype=np.int64)


def walk(
    detector: Detector, view: ArrayView, ticks: Iterator[int] | Sequence[int], state: State | None = None
) -> Iterator[tuple[int, State, list[Claim]]]:
    """Run a detector over the ticks as an engine does, with a fresh row for each series that shows up."""
    memory = detector.fresh(0) if state is None else state
    rows = len(next(iter(memory.values())))
    for tick in ticks:
        view.tick = tick
        if view.size > rows:
            memory = append_rows(memory, detector.fresh(view.size - rows))
            rows = view.size
        memory, claims = detector.step(view, memory)
        yield tick, memory, claims
