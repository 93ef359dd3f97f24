"""What detectors make of packed windows is, to the last bit, what they make of plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.arrays import append_rows
from detectors.base import Claim, Counts, Detector, State
from detectors.burn_rate import Budget, BurnRate, BurnRateSettings
from detectors.registry import build
from schemas.series import COUNTERS, SCORE_UNIT, SeriesKey, SeriesKind
from stream.core.hours import Hours
from stream.core.windows import KindWindows
from tests.support.plain_windows import PlainWindows

SERIES = 23
BEGIN = 29_000_040 // 60 * 60
PAST_HOURS = 17 * 24
ASKED_HOURS = 40
TICKS = 100
MORE: dict[str, tuple[str, ...]] = {"score": ("tone",), "score_version": ("tone", "v1")}
BUDGETS = {f"s{row}": Budget(amount_usd=300.0) for row in range(SERIES)}
DETECTORS = [BurnRate(BurnRateSettings(budgets=BUDGETS)) if one.name == "burn_rate" else one for one in build()]


def keys(kind: SeriesKind) -> list[SeriesKey]:
    return [SeriesKey(kind, "prod", f"sys{row % 3}", (f"s{row}", *MORE.get(kind, ()))) for row in range(SERIES)]


def amounts(kind: SeriesKind, trials: NDArray[np.int64], share: float, rng: np.random.Generator) -> Counts:
    """Counters [k, C] of so many trials, a share of which goes wrong."""
    found = np.zeros((len(trials), len(COUNTERS[kind])), np.int64)
    found[:, 0] = trials
    if kind in MORE:
        score = np.where(rng.random(len(trials)) < share, 2, 4) * SCORE_UNIT
        found[:, 1], found[:, 2] = trials * score, trials * score**2
    elif kind == "budget":
        found[:, 1] = trials * 60_000
    else:
        found[:, 1] = rng.binomial(trials, share)
    return found


def traffic(kind: SeriesKind, rng: np.random.Generator) -> Iterator[tuple[int, Any, Any, Any]]:
    """(tick, rows, minutes, amounts) of what becomes visible: an incident of some rows, one that stops, late ones."""
    usual, share = 40.0 * rng.lognormal(0.0, 1.5, SERIES), 0.001 if kind == "agent" else 0.04
    usual[0] = 3000.0
    for tick in range(BEGIN - PAST_HOURS * 60 + 60, BEGIN + 1, 60):
        rows = np.flatnonzero(trials := rng.poisson(usual))
        yield tick, rows, np.full(len(rows), tick - 1), amounts(kind, trials[rows], share, rng)
    sick = rng.random(SERIES) < 0.3
    for tick in (tick for tick in range(BEGIN + 1, BEGIN + TICKS) if tick % 41):
        trials = rng.poisson(usual / 60)
        trials[0] *= tick < BEGIN + 10
        for chosen, part in ((sick, 0.5 if 20 < tick - BEGIN < 70 else share), (~sick, share)):
            rows = np.flatnonzero((trials > 0) & chosen)
            late = np.where(rng.random(len(rows)) < 0.02, rng.integers(1, 5000, len(rows)), 0)
            yield tick, rows, tick - 1 - late, amounts(kind, trials[rows], part, rng)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        (one[name].dtype, one[name].tobytes()) == (other[name].dtype, other[name].tobytes()) for name in one
    )


def step(detector: Detector, view: Any, state: State) -> tuple[State, list[Claim]]:
    state, claims = detector.step(view, state)
    return state, [replace(one, evidence=dict(one.evidence)) for one in claims]


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: f"{one.name}-{one.kind}")
def test_detectors_say_the_same_of_packed_and_of_plain_windows(detector: Detector) -> None:
    """Weeks of hours, an incident, late events, and a load in between: the same memory and claims, bit by bit."""
    rng = np.random.default_rng(7)
    claims = 0
    packed, plain = KindWindows(detector.kind), PlainWindows(detector.kind, keys(detector.kind), 0)
    for view in (packed, plain):
        view.tick = BEGIN - PAST_HOURS * 60
    packed.grow(keys(detector.kind), [packed.tick] * SERIES)
    plain.first_minute[:], plain.last_minute[:] = packed.first_minute, packed.last_minute
    fresh = detector.fresh(0)
    states = [append_rows(fresh, detector.fresh(SERIES)), append_rows(fresh, detector.fresh(SERIES))]
    for tick, rows, minutes, found in traffic(detector.kind, rng):
        if tick > plain.tick:
            packed.advance(tick)
            plain.advance(tick)
        packed.add(rows, minutes, found)
        plain.add(rows, minutes, found)
        if tick < BEGIN - ASKED_HOURS * 60:
            continue
        states[0], said = step(detector, packed, states[0])
        states[1], wanted = step(detector, plain, states[1])
        assert said == wanted
        assert same(*states)
        claims += len(said)
        if tick % 7 == 0:
            packed.cool()
        if tick == BEGIN + 35:
            packed.hour_blocks = Hours((hour, packed.hour_blocks.bytes_of(hour)) for hour in packed.hour_blocks)
            packed.ring.restore(packed.ring.dense(SERIES), tick)
    assert claims
