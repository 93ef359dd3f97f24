"""Exemplars: packed and cut down, they show in every case what all of them would."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.deltas import EXEMPLARS_PER_MINUTE
from stream.core.exemplars import SHOWN, Exemplar, Exemplars, long, short
from tests.unit.core.builders import START

MINUTES = 12

identities = st.sampled_from([f"i{number}" for number in range(30)])
shown = st.lists(
    st.tuples(st.integers(START, START + MINUTES - 1), st.integers(0, 9), identities, st.sampled_from(["t", "", None])),
    max_size=40,
)
texts = st.one_of(
    st.text(st.characters(codec="utf-8")),
    st.uuids().map(str),
    st.builds("{}{}".format, st.text(st.characters(codec="utf-8"), max_size=5), st.uuids()),
    st.builds("{}{}".format, st.text(max_size=5, alphabet="int-_A0\0"), st.text("0123456789abcdef", max_size=40)),
    st.uuids().map(lambda one: str(one).upper()),
)


def kept(found, parts: int = 1) -> Exemplars:
    """All of them added to row 3, packed away `parts` times on the way."""
    held = Exemplars()
    for place, (minute, rank, identity, trace) in enumerate(found):
        held.add(3, minute, rank, identity, trace)
        if place % parts == 0:
            held.cool()
    held.cool()
    return held


def chosen(found: list[Exemplar], onset: int) -> list[Exemplar]:
    """What a case shows of these."""
    return sorted((one for one in found if one.minute >= onset), key=Exemplar.place)[:SHOWN]


@settings(max_examples=300)
@given(found=shown)
def test_every_case_shows_what_all_exemplars_would(found) -> None:
    """Of each minute those of the smallest rank, of those the smallest since the onset, whatever the onset."""
    simple: dict[int, list[Exemplar]] = {}
    for one in sorted({Exemplar(*values) for values in found}, key=Exemplar.place):
        if len(simple.setdefault(one.minute, [])) < EXEMPLARS_PER_MINUTE:
            simple[one.minute].append(one)
    every = [one for minute in simple.values() for one in minute]
    held = kept(found).of(3)
    for onset in range(START, START + MINUTES):
        assert chosen(held, onset) == chosen(every, onset)


@given(found=shown, parts=st.integers(1, 50), random=st.randoms(use_true_random=False))
def test_order_repetition_and_packing_do_not_matter(found, parts, random) -> None:
    """Any order, each any number of times, packed away at any time: the same are kept."""
    again = [*found, *random.sample(found, len(found) // 2)]
    random.shuffle(again)
    assert kept(again, parts).of(3) == kept(found).of(3)


@settings(max_examples=300)
@given(text=texts)
def test_ids_come_back_as_they_were(text: str) -> None:
    """Whatever they look like: digits in capitals, an odd number of them, dashes elsewhere, or none."""
    assert long(short(text)) == text


def test_ids_of_digits_take_half() -> None:
    """A trace of 32 digits and a UUID behind a prefix are packed into their sixteen bytes and a few more."""
    assert len(short("ab" * 16)) == 18
    assert len(short("int-3e25960a-79db-49b6-9f12-6d8f8a2c1d55")) == 22


def test_every_part_comes_back() -> None:
    """Minute, rank, id and trace, with a trace or without."""
    found = [(START, crc32(b"own"), "own", None), (START + 1, 7, "other", "t")]
    assert [tuple(one) for one in kept(found).of(3)] == found


def test_a_busy_series_keeps_few() -> None:
    """Two a minute for two hours, in random order of ranks: some twenty are left, not 240."""
    ranks = np.random.default_rng(0).permutation(240).tolist()
    held = kept([(START + place // 2, rank, f"i{rank}", None) for place, rank in enumerate(ranks)])
    assert SHOWN <= len(held.of(3)) < 40


def test_exemplars_are_forgotten_with_the_minutes() -> None:
    """And so that their series has none."""
    held = kept([(START, 1, "a", None), (START + 1, 2, "b", None)])
    held.prune(START + 1)
    assert [one.interaction_id for one in held.of(3)] == ["b"]
    held.prune(START + 2)
    assert (held.of(3), list(held.rows())) == ([], [])


def test_rows_close_up_when_others_are_dropped() -> None:
    """What was row 3 of five is row 1 when the first two are gone."""
    held = kept([(START, 1, "a", None)])
    held.keep(np.array([False, False, True, True, True]))
    assert [one.interaction_id for one in held.of(1)] == ["a"]
    assert list(held.rows()) == [1]
