"""What the soak calls a failure."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.soak import Found, failures_of, summary

GOOD: dict[str, Any] = {
    "minutes": 30.0, "lost": 0, "exit_code": 0, "shutdown_seconds": 1.0, "slope_percent_per_10_minutes": 0.4,
}  # fmt: skip


def test_a_run_in_order_has_no_failures() -> None:
    """Memory that falls is no failure, and neither is the slope of a run that is too short to tell."""
    assert failures_of(GOOD) == []
    assert failures_of(GOOD | {"slope_percent_per_10_minutes": -3.0}) == []
    assert failures_of(GOOD | {"slope_percent_per_10_minutes": 3.0, "minutes": 2.0}) == []


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"lost": -2}, "-2 events were lost"),
        ({"exit_code": 75}, "did not end in order"),
        ({"shutdown_seconds": 11.0}, "did not end in order"),
        ({"slope_percent_per_10_minutes": 1.1}, "memory grew by 1.1 %"),
    ],
)
def test_each_promise_fails_by_itself(figures: dict[str, Any], words: str) -> None:
    """And says which it was."""
    [failure] = failures_of(GOOD | figures)
    assert words in failure


def test_the_slope_is_that_of_what_comes_after_the_warm_up() -> None:
    """Two per cent in ten minutes after a steep beginning; the figures that are judged are those of the run."""
    sizes = {at: round(1e9 + (at - 600) / 30e-6) if at > 500 else at * 1_000_000 for at in range(0, 1800, 5)}
    samples = [(float(at), size, float(at)) for at, size in sizes.items()]
    figures = summary(Found(samples, sent=10, counted=9, exit_code=0), 30.0, 1000)
    assert figures["slope_percent_per_10_minutes"] == pytest.approx(2.0, abs=0.05)
    assert [failure.split()[0] for failure in failures_of(figures)] == ["1", "memory"]
