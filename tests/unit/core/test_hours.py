"""Packed hours against a plain dictionary of unpacked ones."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.deltas import CEILING
from stream.core.hours import HourBlock, Hours, check_block, pack_block, unpack_block

WIDTH = 2
FIRST = 490_000

counts = st.tuples(*[st.one_of(st.integers(0, 3), st.sampled_from((255, 256, 65_536, 2**32, CEILING)))] * WIDTH)
hours = st.integers(FIRST, FIRST + 5)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("add"), hours, st.dictionaries(st.integers(0, 4), counts, min_size=1)),
        st.tuples(st.just("pack"), hours, st.none()),
        st.tuples(st.just("forget"), hours, st.none()),
        st.tuples(st.sampled_from(("ask", "cool", "store")), hours, st.none()),
    ),
    max_size=25,
)


def plain(block: HourBlock | None) -> dict[int, list[int]] | None:
    return None if block is None else dict(zip(block.rows.tolist(), block.counts.tolist(), strict=True))


@settings(max_examples=200)
@given(acts=acts)
def test_packed_hours_equal_a_dictionary(acts) -> None:
    """Added to, packed, read and stored in any order, every hour holds what a dictionary of sums holds."""
    held = Hours()
    model: dict[int, dict[int, list[int]]] = {}
    for what, hour, found in acts:
        if what == "add":
            block = held.look(hour) or HourBlock.empty(WIDTH)
            held[hour] = block.plus(np.array(list(found), np.int64), np.array(list(found.values()), np.int64))
            known = model.setdefault(hour, {})
            for row, amounts in found.items():
                before = known.get(row, [0] * WIDTH)
                known[row] = [min(a + b, CEILING) for a, b in zip(before, amounts, strict=True)]
        elif what == "pack":
            held.pack_before(hour)
        elif what == "forget" and hour in model:
            del held[hour], model[hour]
        elif what == "ask":
            assert plain(held.get(hour)) == model.get(hour)
        elif what == "cool":
            held.cool()
        elif what == "store":
            held = Hours((one, held.bytes_of(one)) for one in held)
        assert sorted(held) == sorted(model)
        assert len(held) == len(model)
        assert {hour: plain(block) for hour, block in held.looks()} == model
        assert {hour: plain(unpack_block(held.bytes_of(hour))) for hour in held} == model


def test_an_hour_that_counts_came_to_is_packed_once_it_is_over() -> None:
    """What was restored unpacked, for who reads it often, stays so until a count comes to it."""
    block = HourBlock(np.arange(3, dtype=np.int32), np.ones((3, WIDTH), np.uint8))
    held = Hours([(FIRST, block), (FIRST + 1, block)])
    held[FIRST + 1] = block.plus(np.array([1]), np.array([[1, 1]]))
    held.pack_before(FIRST + 1)
    assert held.look(FIRST) is held.look(FIRST)
    held.pack_before(FIRST + 2)
    assert held.look(FIRST) is block
    assert held.look(FIRST + 1) is not held.look(FIRST + 1)


def test_an_hour_that_is_asked_for_stays_unpacked_until_it_is_cooled() -> None:
    """Questions about one hour, series by series, unpack it once; a single look keeps nothing."""
    held = Hours([(FIRST, pack_block(HourBlock(np.arange(3, dtype=np.int32), np.ones((3, WIDTH), np.uint8))))])
    assert held.look(FIRST) is not held.look(FIRST)
    assert held[FIRST] is held[FIRST]
    asked = held[FIRST]
    held.cool()
    assert held[FIRST] is not asked


def test_a_row_without_events_has_none() -> None:
    """A row before, between or behind those of an hour is not mistaken for one of them."""
    block = HourBlock(np.array([1, 4], np.int32), np.array([[1, 2], [3, 4]], np.uint8))
    found = [block.of_row(row) for row in range(6)]
    assert [None if one is None else one.tolist() for one in found] == [None, [1, 2], None, None, [3, 4], None]


@given(cut=st.integers(0, 60), flip=st.integers(0, 60))
def test_a_damaged_hour_is_found_without_unpacking_it(cut: int, flip: int) -> None:
    """Whatever is cut off or turned round, the check raises, as unpacking would; a sound hour passes."""
    blob = pack_block(HourBlock(np.arange(40, dtype=np.int32), np.arange(80, dtype=np.uint8).reshape(40, WIDTH)))
    check_block(blob)
    damaged = bytearray(blob[: len(blob) - cut])
    damaged[flip % len(damaged)] ^= 0x55
    with pytest.raises((ValueError, zlib.error)):
        check_block(bytes(damaged))


def test_rows_and_counts_that_do_not_fit_together_are_damage() -> None:
    """A block with a row too many is refused although each part of it can be read."""
    block = HourBlock(np.arange(4, dtype=np.int32), np.ones((3, WIDTH), np.uint8))
    with pytest.raises(ValueError, match="do not fit"):
        check_block(pack_block(block))
