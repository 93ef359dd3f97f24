"""The backtest and the live engine agree: the same data, the same ticks, the same words."""

from __future__ import annotations

import numpy as np

from detectors.arrays import ArrayView, walk
from detectors.escalation_rate import EscalationRate
from schemas.outputs import Engine
from schemas.series import SeriesKey
from stream.core.deltas import KIND_CODE, Count, Delta
from stream.core.machine import ShardMachine
from triage.settings import TriageSettings

START = 28_401_120
MINUTES = 1500


def history() -> tuple[list[SeriesKey], np.ndarray]:
    """Six flows in two systems; two fall ill, one appears in mid-stream, one falls silent for a while."""
    rng = np.random.default_rng(11)
    n = rng.poisson(rng.uniform(1, 12, 6)[:, None], (6, MINUTES))
    rate = np.full((6, MINUTES), 0.04)
    rate[1, 700:800] = 0.3
    rate[4, 900:960] = 0.5
    n[3, :610] = 0
    n[2, 400:1000] = 0
    counts = np.stack([n, rng.binomial(n, rate), np.zeros_like(n)], axis=2)
    return [SeriesKey("flow", "prod", f"s{row % 2}", (f"f{row}",)) for row in range(6)], counts


def test_live_and_backtest_say_the_same():
    """A shard fed minute by minute and a view over the whole history make the same claims at the same ticks."""
    keys, counts = history()
    machine = ShardMachine((EscalationRate(),), TriageSettings(), Engine(version="test", config_hash="test"))
    live = []
    for minute in range(MINUTES):
        rows = np.flatnonzero(counts[:, minute].any(axis=1)).tolist()
        amounts = [
            Count(KIND_CODE["flow"], keys[row].environment, keys[row].system, keys[row].dims, START + minute,
                  tuple(counts[row, minute].tolist()))
            for row in rows
        ]  # fmt: skip
        outcome = machine.step(START + minute + 1, [Delta(counts=tuple(amounts))])
        live += [(outcome.tick, firing.scope.flow, firing.tier, firing.summary) for firing in outcome.firings]
    view = ArrayView("flow", keys, counts, START)
    backtested = [
        (tick, view.keys[claim.series].dims[0], claim.tier, claim.summary)
        for tick, _, claims in walk(EscalationRate(), view, range(START + 1, START + MINUTES + 1))
        for claim in claims
    ]
    assert len(backtested) >= 4
    assert sorted(live) == sorted(backtested)
