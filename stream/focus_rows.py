"""Telling apart the rows of a bill in little memory: which are the first of their kind, and which have come before."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_HALF: Final = np.uint64(32)


class SeenRows:
    """A set of 64-bit hashes, as a few sorted arrays: eight bytes a row, and as much again while two are merged.

    Of ten million different rows, the chance that any two are taken for one is 3 in a million.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def first(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """[N] where a hash comes for the first time; all of them have come from now on."""
        fresh = np.zeros(len(hashes), np.bool_)
        unique, places = np.unique(hashes, return_index=True)
        new = np.ones(len(unique), np.bool_)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            new &= run[at] != unique
        fresh[places[new]] = True
        if new.any():
            self._runs.append(unique[new])
            while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
                last = self._runs.pop()
                self._runs[-1] = np.sort(np.concatenate([self._runs[-1], last]))
        return fresh


def row_hashes(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """[N] a hash of all that a row says. Good within this process only."""
    total = np.zeros(batch.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for name in sorted(batch.schema.names):
            total = _mixed(total * _GOLDEN + _column_hashes(batch.column(name)))
    return total


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for factor in _MIX:
        values = (values ^ (values >> _HALF)) * factor
    return values ^ (values >> _HALF)


def _column_hashes(column: Any) -> NDArray[np.uint64]:
    if pa.types.is_floating(column.type):
        numbers = np.asarray(pc.fill_null(column.cast(pa.float64()), np.nan))
        return numbers.view(np.uint64)
    codes, words = coded(column)
    used, where = np.unique(codes, return_inverse=True)
    hashes = np.array([hash(words[code]) & 0xFFFFFFFFFFFFFFFF for code in used.tolist()], np.uint64)
    return np.asarray(hashes[where])


def coded(column: Any) -> tuple[NDArray[np.int64], list[Any]]:
    """[N] codes, and the values that they stand for; the last is None."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    words = [*encoded.dictionary.to_pylist(), None]
    indices = pc.fill_null(encoded.indices.cast(pa.int64()), len(words) - 1)
    return np.asarray(indices), words
