"""Months: those that exist, in UTC, half-open."""

from __future__ import annotations

import pytest

from costs.chargeback_month import Month, MonthError
from tests.unit.costs.usage import ms


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "2026-1", "26-01", "2026/01", "", "2026-01-01", "1999-12", "２０２６-01"]
)
def test_a_month_that_does_not_exist_is_refused(text: str) -> None:
    """The form is YYYY-MM, the number 1 to 12, the year one that events may have."""
    with pytest.raises(MonthError):
        Month.parse(text)


@pytest.mark.parametrize(("text", "hours"), [("2026-10", 744), ("2026-02", 672), ("2028-02", 696), ("2026-12", 744)])
def test_a_month_has_its_hours(text: str, hours: int) -> None:
    """A leap year's February has 29 days; no hour is lost to a change of clocks, for it is UTC."""
    assert Month.parse(text).hours == hours
    assert str(Month.parse(text)) == text


def test_boundaries_are_half_open() -> None:
    """The first instant belongs to the month, the first of the next one does not."""
    month = Month.parse("2026-12")
    assert month.start_ms == ms("2026-12-01T00:00:00")
    assert month.end_ms == ms("2027-01-01T00:00:00")
    assert Month.of(month.start_ms) == month
    assert Month.of(month.end_ms - 1) == month
    assert Month.of(month.end_ms) == Month(2027, 1)
