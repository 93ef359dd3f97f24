"""Pauses between attempts, and what a provider asks for."""

from __future__ import annotations

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.calls import retry_after
from evaluation.retrying import LONGEST_SECONDS, Retrying
from evaluation.scoring import shared


@given(st.integers(1, 10), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 3600))
def test_a_pause_is_never_shorter_than_asked_and_bounded_beyond_it(
    attempt: int, chance: float, asked: float | None
) -> None:
    """Retry-After is kept to, with a second of jitter at the most, so that many do not come back at once."""
    pause = Retrying(10, lambda: chance, lambda _failure: None).pause(attempt, asked)
    assert (asked or 0.0) <= pause <= (LONGEST_SECONDS if asked is None else asked + 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_in_each_form(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, a date (read at second 60); nonsense is no wish."""
    answer = httpx2.Response(429, headers=headers, request=httpx2.Request("POST", "http://judge"))
    error = openai.RateLimitError("slow down", response=answer, body=None)
    assert retry_after(error, lambda: 60.0) == seconds


@given(st.integers(0, 10**9), st.integers(1, 20))
def test_shared_tokens_add_up(total: int, parts: int) -> None:
    """No token is lost or paid twice when they are divided over criteria."""
    found = shared(total, parts)
    assert sum(found) == total
    assert max(found) - min(found) <= 1
