"""The life of a firing: each rule of detectors/lifecycle.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors import lifecycle
from detectors.settings import DetectorSettings

SETTINGS = DetectorSettings(hold_minutes=3, flap_window_minutes=20, freeze_hours=1)
LOUD, QUIET, BETWEEN = "!", ".", "-"


def live(course: str, state: dict[str, np.ndarray] | None = None, start: int = 100) -> list[tuple[int, str]]:
    """What happens along a course: `w` and `p` ask for warning and page, `.` is quiet, `-` is neither."""
    memory = lifecycle.fresh(1) if state is None else state
    events = []
    for tick, word in enumerate(course, start):
        wanted = np.array([{"w": 1, "p": 2}.get(word, 0)], dtype=np.int8)
        changes = lifecycle.advance(memory, tick, wanted, np.array([word == QUIET]), SETTINGS)
        events += [(tick - start, name) for name in ("opened", "raised", "recovered") if getattr(changes, name).size]
    return events


def names(events: Sequence[tuple[int, str]]) -> list[str]:
    return [name for _, name in events]


def test_it_opens_is_raised_and_recovers():
    """The whole life, each change once and at its tick: recovery after three minutes of quiet."""
    assert live("..wwwpp....") == [(2, "opened"), (5, "raised"), (10, "recovered")]


def test_it_may_open_at_page_and_is_never_lowered():
    """A page opens as a page; a weaker claim after it changes nothing."""
    assert live("pwwp") == [(0, "opened")]


def test_quiet_must_last():
    """Quiet that breaks starts again: neither a weak claim nor mere absence of a strong one counts as quiet."""
    assert live("w..-..-..w..") == [(0, "opened")]
    assert live("w---------") == [(0, "opened")]


def test_flapping_doubles_the_hold():
    """Each reopening soon after the last end doubles the hold: 3, 6, 12 minutes."""
    course = "w...." + "w......." + "w............."
    assert live(course) == [
        (0, "opened"), (4, "recovered"), (5, "opened"), (12, "recovered"), (13, "opened"), (26, "recovered"),
    ]  # fmt: skip


def test_a_later_opening_does_not_flap():
    """After the flap window the hold is the plain one again."""
    events = live("w....w......." + "." * 30 + "w....")
    assert events[-2:] == [(43, "opened"), (47, "recovered")]


def test_the_baseline_is_frozen_while_open_and_for_its_lag_after():
    """Frozen from the opening to the end and for the lag after it; a firing over the cap thaws."""
    memory = lifecycle.fresh(1)
    live("w", memory)
    assert lifecycle.frozen(memory, 101, 30, SETTINGS)[0]
    assert not lifecycle.frozen(memory, 100 + 61, 30, SETTINGS)[0]
    live("....", memory, 101)
    assert memory["closed"][0] == 104
    assert lifecycle.frozen(memory, 133, 30, SETTINGS)[0]
    assert not lifecycle.frozen(memory, 134, 30, SETTINGS)[0]


def test_a_series_that_never_fired_is_not_frozen():
    """Minute 0 stands for never, not for a recovery in 1970."""
    assert not lifecycle.frozen(lifecycle.fresh(2), 10, 30, SETTINGS).any()


def test_the_recovered_row_tells_the_tier_it_had():
    """The tier of an ended firing is the highest that it reached."""
    memory = lifecycle.fresh(2)
    tick = 100
    for wanted, quiet in (([1, 1], False), ([0, 2], False), *[([0, 0], True)] * 4):
        changes = lifecycle.advance(memory, tick, np.array(wanted, dtype=np.int8), np.array([quiet, quiet]), SETTINGS)
        tick += 1
    assert changes.recovered.tolist() == [0, 1]
    assert changes.ended_tiers.tolist() == [lifecycle.WARNING, lifecycle.PAGE]
