"""Numbers in words."""

from __future__ import annotations

import pytest

from detectors import words


@pytest.mark.parametrize(
    ("rate", "text"), [(0.137, "13.7 %"), (0.041, "4.1 %"), (0.0, "0.0 %"), (0.000032, "0.0032 %"), (1.0, "100.0 %")]
)
def test_percent(rate: float, text: str):
    """A rate keeps two telling digits."""
    assert words.percent(rate) == text


@pytest.mark.parametrize(("score", "text"), [(3.8, "1 in 6,300"), (0.0, "1 in 1"), (13, "below 1 in a trillion")])
def test_chance(score: float, text: str):
    """A score is said as a chance."""
    assert words.chance(score) == text


@pytest.mark.parametrize(
    ("minutes", "text"), [(30, "30 min"), (60, "60 min"), (120, "2 h"), (1440, "24 h"), (14400, "10 d")]
)
def test_span(minutes: int, text: str):
    """A span is said in the largest unit that is whole."""
    assert words.span(minutes) == text


def test_confidence_is_never_certain():
    """However large the score, a doubt remains; however small, it is no negative number."""
    assert words.score_confidence(300) == 0.999999
    assert words.score_confidence(-1) == 0.0


def test_times_are_rfc_3339():
    """A minute is published as RFC 3339 with milliseconds."""
    assert words.at(28_404_000) == "2024-01-03T00:00:00.000Z"
