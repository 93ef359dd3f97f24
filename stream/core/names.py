"""Which series of one kind there are: their names by row, and their rows by name.

A name is kept once. Environment and system are shared by all series of a system, and a `SeriesKey` is made when one is
asked for: a hundred thousand of them would weigh more than what they name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from schemas.series import DIMENSIONS, SeriesKey, SeriesKind

System = tuple[str, str]
Dims = tuple[str, ...]


class Names(Sequence[SeriesKey]):
    """The series of one kind in the order of their rows."""

    def __init__(self, kind: SeriesKind) -> None:
        self.kind: SeriesKind = kind
        self.group: NDArray[np.int64] = np.zeros(0, np.int64)
        """[S] the code of each row's system: systems are numbered by first appearance."""
        self._systems: list[System] = []
        self._codes: dict[System, int] = {}
        self._rows: list[dict[Any, int]] = []
        self._own: list[Any] = []
        # With a single dimension its value stands for the tuple of it.
        self._single = len(DIMENSIONS[kind]) == 1

    def add(self, keys: Iterable[SeriesKey]) -> None:
        """Rows for new series, in this order."""
        codes = []
        for key in keys:
            system = (key.environment, key.system)
            code = self._codes.setdefault(system, len(self._codes))
            if code == len(self._systems):
                self._systems.append(system)
                self._rows.append({})
            own = key.dims[0] if self._single else key.dims
            self._rows[code][own] = len(self._own)
            self._own.append(own)
            codes.append(code)
        self.group = np.concatenate([self.group, np.array(codes, np.int64)])

    def row(self, environment: str, system: str, dims: Dims) -> int | None:
        """The row of a series, None if it is not known."""
        code = self._codes.get((environment, system))
        return None if code is None else self._rows[code].get(dims[0] if self._single else dims)

    def rows_of(self, environment: str, system: str) -> list[tuple[SeriesKey, int]]:
        """The series of one system with their rows, in the order of rows."""
        code = self._codes.get((environment, system))
        return [] if code is None else [(self[row], row) for row in self._rows[code].values()]

    def __len__(self) -> int:
        return len(self._own)

    @overload
    def __getitem__(self, row: int) -> SeriesKey: ...
    @overload
    def __getitem__(self, row: slice) -> list[SeriesKey]: ...
    def __getitem__(self, row: int | slice) -> SeriesKey | list[SeriesKey]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        environment, system = self._systems[self.group[row]]
        own = self._own[row]
        return SeriesKey(self.kind, environment, system, (own,) if self._single else own)

    def __iter__(self) -> Iterator[SeriesKey]:
        for code, own in zip(self.group.tolist(), self._own, strict=True):
            environment, system = self._systems[code]
            yield SeriesKey(self.kind, environment, system, (own,) if self._single else own)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it grows
