"""A checkpoint at any tick, and everything goes on as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import State
from detectors.registry import build
from stream.core.checkpoint import Checkpoint, LayoutError, hours_in, load, mark_clean, save
from stream.core.deltas import KIND_CODE, Delta
from stream.core.layouts import sealed, tree_of
from stream.core.machine import Outcome, ShardMachine
from tests.unit.core.builders import (
    CHECKS,
    ENGINE,
    START,
    TRIAGE,
    Recorder,
    breaker,
    count,
    deployment,
    exemplar,
    machine,
    score,
)

ROOT = Path(__file__).parents[3]
TICKS = 70


def everything(minute: int) -> Delta:
    """A delta with a bit of each, different every minute."""
    number = minute % 7
    records = (
        score(f"s{minute % 5}", minute, 1000 * (number % 5 + 1), "v1"),
        breaker(f"b{minute}", minute * 60_000, "open" if number > 3 else "closed", f"pod-{number}"),
        exemplar(f"x{minute}", minute, number),
        deployment(f"d{number}", minute),
    )
    counts = [count(minute - late, 5, number, name=f"f{number}") for late in (0, 90)]
    counts += [count(minute, 2**33, 1, kind="budget"), count(minute, 3, 1, 1, kind="dependency")]
    return Delta(tuple(counts), records)


def advance(shard: ShardMachine, first: int, last: int) -> list[Outcome]:
    return [shard.step(tick, [everything(tick - 1)] if tick % 3 else []) for tick in range(first, last)]


def revived(stored: Checkpoint, fresh: ShardMachine | None = None) -> ShardMachine:
    shard = fresh or machine()
    load(shard, stored.state, stored.hours)
    return shard


@settings(max_examples=20)
@given(at=st.integers(1, TICKS - 1), length=st.integers(1, 8))
def test_a_loaded_machine_goes_on_like_the_one_that_was_saved(at: int, length: int) -> None:
    """Equal outcomes, and equal bytes of the next checkpoint, wherever the cut was."""
    shard = machine()
    advance(shard, START, START + at)
    other = revived(save(shard, all_hours=True))
    assert save(other, all_hours=True) == save(shard, all_hours=True)
    assert advance(other, START + at, START + at + length) == advance(shard, START + at, START + at + length)
    assert save(other, all_hours=True) == save(shard, all_hours=True)


def test_changed_hours_alone_suffice() -> None:
    """Storing what changed, time after time, holds the same as storing all of it."""
    shard, stored = machine(), {}
    for start in range(START, START + 200, 25):
        advance(shard, start, start + 25)
        piece = save(shard)
        stored.update(piece.hours)
        mark_clean(shard)
    assert len(piece.hours) < len(stored)
    whole = save(shard, all_hours=True)
    assert {place: stored[place] for place in hours_in(piece.state)} == whole.hours
    assert piece.state == whole.state


def test_a_save_alone_leaves_the_hours_due() -> None:
    """If the commit fails, the next checkpoint must hold them again."""
    shard = machine()
    advance(shard, START, START + 5)
    assert save(shard) == save(shard)
    assert save(shard).hours


def test_an_empty_machine_can_be_saved() -> None:
    """A shard that has seen nothing is a state like any other."""
    assert revived(save(machine())).tick == 0


def test_the_built_in_detectors_keep_their_form() -> None:
    """No step changes the names, types or row shapes of a detector's memory, so all of it comes back."""
    shard = ShardMachine(build(), TRIAGE, ENGINE, checks=CHECKS)
    advance(shard, START, START + 130)
    for detector in shard.detectors:
        state, fresh = shard.states[detector.name, detector.kind], detector.fresh(0)
        assert {n: (a.dtype, a.shape[1:]) for n, a in state.items()} == {
            n: (a.dtype, a.shape[1:]) for n, a in fresh.items()
        }, detector.name
    other = revived(save(shard, all_hours=True), ShardMachine(build(), TRIAGE, ENGINE, checks=CHECKS))
    assert advance(other, START + 130, START + 140) == advance(shard, START + 130, START + 140)
    assert save(other, all_hours=True) == save(shard, all_hours=True)


class Grown(Recorder):
    """The recorder of a later version: it remembers more."""

    def fresh(self, size: int) -> State:
        return {**super().fresh(size), "week": np.zeros((size, 7))}


def test_a_detector_whose_memory_changed_starts_afresh() -> None:
    """Windows and incidents are kept; the detector gets fresh rows and goes on."""
    shard = machine()
    advance(shard, START, START + 10)
    other = revived(save(shard, all_hours=True), machine(Grown()))
    assert len(other.windows["flow"]) == len(shard.windows["flow"])
    advance(other, START + 10, START + 12)
    assert other.states["escalation_rate", "flow"]["week"].shape == (len(other.windows["flow"]), 7)


def test_an_hour_that_has_expired_is_empty() -> None:
    """An engine that was off for longer than an hour is kept comes back without that hour, and with everything else."""
    shard = machine()
    advance(shard, START, START + 5)
    stored = save(shard)
    (place, *others) = stored.hours
    back = machine()
    load(back, stored.state, {k: v for k, v in stored.hours.items() if k != place})
    assert back.tick == shard.tick
    held = {(KIND_CODE[kind], hour) for kind, windows in back.windows.items() for hour in windows.hour_blocks}
    assert held == set(others)


def repacked(blob: bytes, change: Any) -> bytes:
    value = tree_of(blob)
    change(value)
    return sealed(zlib.compress(msgspec.msgpack.encode(value)))


def flipped(blob: bytes, at: int) -> bytes:
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


CORRUPTIONS: dict[str, Any] = {
    "empty": lambda blob: b"",
    "cut off": lambda blob: blob[: len(blob) // 2],
    "a flipped bit": lambda blob: flipped(blob, len(blob) // 2),
    "not ours": lambda blob: zlib.compress(b"hello"),
    "no UTF-8": lambda blob: zlib.compress(b"\x81\xa1\xff\x01"),
    "a field too few": lambda blob: repacked(blob, lambda v: v.pop("tick")),
    "a wrong shape": lambda blob: repacked(blob, lambda v: v["kinds"]["flow"]["ring"].__setitem__(1, [3, 3, 3])),
    "an unknown type": lambda blob: repacked(blob, lambda v: v["kinds"]["flow"]["ring"].__setitem__(0, "<x9")),
    "an unknown kind of hour": lambda blob: repacked(blob, lambda v: v["hours"].append([99, 1])),
    "broken evidence": lambda blob: repacked(blob, lambda v: v.update(evidence=b"\xc1")),
    "broken incidents": lambda blob: repacked(blob, lambda v: v.update(incidents=b"{")),
}


@pytest.mark.parametrize("how", CORRUPTIONS)
def test_a_corrupt_state_is_refused(how: str) -> None:
    """One kind of error for all of them, so that the caller can rebuild."""
    shard = machine()
    advance(shard, START, START + 5)
    stored = save(shard)
    with pytest.raises(LayoutError, match=r"cannot be read|hour 1 "):
        load(machine(), CORRUPTIONS[how](stored.state), stored.hours)


@pytest.mark.parametrize("how", ["empty", "cut off", "a flipped bit", "not ours"])
def test_a_corrupt_hour_is_refused(how: str) -> None:
    """The same for the hours."""
    shard = machine()
    advance(shard, START, START + 5)
    stored = save(shard)
    broken = {place: CORRUPTIONS[how](blob) for place, blob in stored.hours.items()}
    with pytest.raises(LayoutError, match="cannot be read"):
        load(machine(), stored.state, broken)


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    """Three processes with three seeds write the same checkpoint."""
    code = (
        "import hashlib; from tests.unit.core.test_checkpoint import *; shard = machine();"
        "advance(shard, START, START + 70); c = save(shard);"
        "print(hashlib.sha256(c.state + b''.join(c.hours.values())).hexdigest(), list(c.hours))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "random")
    }
    assert len(said) == 1
