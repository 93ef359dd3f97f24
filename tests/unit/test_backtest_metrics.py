"""The measures of a backtest, counted by hand."""

from __future__ import annotations

import pytest

from schemas.series import SeriesKey
from stream.backtest_metrics import GRACE, Exposure, Interval, Label, metrics

ONE, TWO = (SeriesKey("flow", "prod", "s", (name,)) for name in ("one", "two"))
LABELS = (Label(ONE, 1000, 1100, "3x"), Label(ONE, 5000, 5060, "5x"), Label(TWO, 1000, 1100, "3x"))
EXPOSURE = (Exposure(ONE, 2.0, 10.0), Exposure(TWO, 2.0, 0.1))


def test_each_firing_and_each_label_is_counted_once():
    """Found, missed, early, trailing, late and false: each as the definitions have it."""
    intervals = [
        Interval(ONE, "page", 1012, 1080),  # Finds the first label after 12 minutes.
        Interval(ONE, "page", 1090, 1120),  # The same label again: found already, and not false.
        Interval(ONE, "page", 4990, 5100),  # Was open before the second label: found after 0 minutes.
        Interval(ONE, "page", 9000, 9010),  # False.
        Interval(TWO, "page", 1100 + GRACE, 1300),  # Begins after its label but within the grace: neither.
        Interval(TWO, "page", 1101 + GRACE, 1300),  # Beyond the grace: false.
        Interval(TWO, "page", 900, 999),  # Ends before the label begins: false.
    ]
    page = metrics(intervals, LABELS, EXPOSURE)["page"]
    assert page.found == {LABELS[0]: 12, LABELS[1]: 0}
    assert [one.start for one in page.false_alarms] == [9000, 1101 + GRACE, 900]
    assert page.recall() == pytest.approx(2 / 3)
    assert page.false_alarm_rate == pytest.approx(3 / 4)
    assert page.delay(0.5) == pytest.approx(6)


def test_tiers_are_measured_apart():
    """A warning finds nothing for the page tier."""
    measured = metrics([Interval(ONE, "warning", 1010, 1080)], LABELS, EXPOSURE)
    assert measured["warning"].recall() == pytest.approx(1 / 3)
    assert measured["page"].recall() == 0.0


def test_the_summary_splits_by_kind_and_by_volume():
    """Recall by kind of label and figures by band of volume add up to the whole."""
    summary = metrics([Interval(ONE, "page", 1012, 1080), Interval(TWO, "page", 1, 2)], LABELS, EXPOSURE)[
        "page"
    ].summary()
    assert summary["recall_by_kind"] == {"3x": 0.5, "5x": 0.0}
    bands = {band["per_minute"]: band for band in summary["by_volume"]}
    assert set(bands) == {"below 0.2", "5 to 50"}
    assert (bands["below 0.2"]["incidents"], bands["5 to 50"]["incidents"]) == (1, 2)
    assert (bands["below 0.2"]["false_alarms_per_series_week"], bands["5 to 50"]["false_alarms_per_series_week"]) == (
        0.5,
        0.0,
    )


def test_nothing_to_measure_is_no_error():
    """Without labels and series there is no recall, no delay and no false alarm."""
    page = metrics([], [], [])["page"]
    assert (page.recall(), page.delay(0.5), page.false_alarm_rate) == (None, None, 0.0)
