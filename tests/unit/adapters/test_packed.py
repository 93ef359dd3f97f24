"""Gzip with bounds: what unpacks to too much, ends too early, or is of too many members."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.adapters import packed
from stream.adapters.packed import gunzip
from stream.adapters.rejection import RejectedRecord


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=8), st.integers(1, 64))
@settings(max_examples=150)
def test_members_are_put_together(parts: list[bytes], fed: int) -> None:
    """Of one member or several, and however the bytes are handed over; one byte less room, and it is refused."""
    value = b"".join(gzip.compress(part, mtime=0) for part in parts)
    whole = b"".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_FED", fed)
        assert gunzip(value, len(whole)) == whole
        with pytest.raises(RejectedRecord, match="ends too early"):
            gunzip(value[:-1], len(whole))
        if whole:
            with pytest.raises(RejectedRecord, match="unpacks to more"):
                gunzip(value, len(whole) - 1)


def test_a_flood_of_empty_members_is_refused() -> None:
    """Each takes 20 bytes, and unpacks to nothing: their number is bounded, not their size alone."""
    with pytest.raises(RejectedRecord, match="more than 4,096 members"):
        gunzip(gzip.compress(b"", mtime=0) * 5_000, 1024)
