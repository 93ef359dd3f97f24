"""The life of a firing, for all series at once: none, warning, page, recovered.

The rules, all of them in this file:

* A series opens at the tier that its evidence asks for, and may be raised from warning to page. It is never lowered.
* It recovers once it has been quiet for the hold time without a break. "Quiet" is the detector's own, stricter
  question: not "too weak to open" but "back to normal", so a firing at the edge does not open and close by turns. It
  may be asked of a shorter window than the one that opened, which holds the incident for long after its end.
* A series that reopens soon after it recovered is flapping: its hold doubles, up to eight times.
* While a series is open its baseline is frozen, and for the baseline's lag after it as well, because the minutes that
  a lagged baseline would learn next are those of the incident. A firing that lasts longer than the cap thaws: what
  stays that long is the new normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.base import State
from detectors.settings import DetectorSettings

NONE, WARNING, PAGE = 0, 1, 2
"""Codes of the tiers, in the order of their gravity."""

_MOST_FLAPS = 3
_MINUTES_PER_HOUR = 60

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]
Levels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows whose state changed at this tick, each in ascending order."""

    opened: Rows
    raised: Rows
    recovered: Rows
    ended_tiers: Levels
    """The tier that each of `recovered` had."""


_NO_ROWS: Rows = np.empty(0, dtype=np.intp)
_UNCHANGED = Changes(_NO_ROWS, _NO_ROWS, _NO_ROWS, np.empty(0, dtype=np.int8))


def fresh(size: int) -> State:
    """The part of a detector's memory that is its firings' life, for `size` series. Minute 0 stands for "never".

    `onset` is noted by the detector when it makes the claim.
    """
    return {
        "tier": np.zeros(size, dtype=np.int8),
        "flaps": np.zeros(size, dtype=np.int8),
        "fired": np.zeros(size, dtype=np.int32),
        "onset": np.zeros(size, dtype=np.int32),
        "quiet_since": np.zeros(size, dtype=np.int32),
        "closed": np.zeros(size, dtype=np.int32),
    }


def open_rows(state: State) -> Rows:
    """Rows with an open firing."""
    return np.flatnonzero(state["tier"])


def frozen(state: State, tick: int, lag: int, settings: DetectorSettings) -> Mask:
    """[S] whether the baseline must not learn at `tick`; `lag` is the baseline's own, in minutes."""
    tier, fired, closed = state["tier"], state["fired"], state["closed"]
    held = (tier > NONE) & (tick - fired <= settings.freeze_hours * _MINUTES_PER_HOUR)
    thawing = (tier == NONE) & (closed > 0) & (tick - closed < lag)
    return np.asarray(held | thawing)


def advance(
    state: State, tick: int, wanted: Levels, quiet: Mask, settings: DetectorSettings, over: Mask | None = None
) -> Changes:
    """Move every series one tick on; changes `state` in place.

    `wanted` [S] is the tier that the evidence asks for now, `quiet` [S] whether an open series is back to normal.
    Where `over` [S] holds, what was claimed has lost its object: an open firing ends at once, and is not flapping.
    """
    tier = state["tier"]
    if not wanted.any() and not tier.any():
        return _UNCHANGED
    opened = np.flatnonzero((tier == NONE) & (wanted > NONE))
    raised = np.flatnonzero((tier == WARNING) & (wanted == PAGE))
    recovered = _recovered(state, tick, quiet, settings)
    if over is not None and over.any():
        recovered = np.union1d(recovered, np.flatnonzero((tier > NONE) & over))
    _open(state, tick, opened, wanted, settings)
    tier[raised] = PAGE
    changes = Changes(opened, raised, recovered, tier[recovered])
    _close(state, tick, recovered)
    if over is not None:
        state["closed"][recovered[over[recovered]]] = 0
    return changes


def _recovered(state: State, tick: int, quiet: Mask, settings: DetectorSettings) -> Rows:
    """Open rows whose quiet has lasted for the hold; notes where a quiet stretch begins or breaks."""
    is_open, since = state["tier"] > NONE, state["quiet_since"]
    calm = is_open & quiet
    since[~calm] = 0
    since[calm & (since == 0)] = tick
    hold = settings.hold_minutes << state["flaps"].astype(np.int64)
    return np.flatnonzero(calm & (tick - since >= hold))


def _open(state: State, tick: int, rows: Rows, wanted: Levels, settings: DetectorSettings) -> None:
    if rows.size == 0:
        return
    closed, flaps = state["closed"][rows], state["flaps"][rows]
    again = (closed > 0) & (tick - closed < settings.flap_window_minutes)
    state["flaps"][rows] = np.where(again, np.minimum(flaps + 1, _MOST_FLAPS), 0)
    state["tier"][rows] = wanted[rows]
    state["fired"][rows] = tick
    state["quiet_since"][rows] = 0


def _close(state: State, tick: int, rows: Rows) -> None:
    state["tier"][rows] = NONE
    state["closed"][rows] = tick
    state["quiet_since"][rows] = 0
