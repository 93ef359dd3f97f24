"""Event times: what is remembered stays bounded and right."""

from __future__ import annotations

import pytest

from stream.adapters import times
from stream.adapters.times import TimeReader

START = 1_767_607_200_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T10:00:00Z", START),
        ("2026-01-05T10:00:00.1Z", START + 100),
        ("2026-01-05T10:00:07.250Z", START + 7250),
        ("2026-01-05T10:00:07.2509Z", START + 7250),
        ("2026-01-05T10:00:59.999999999Z", START + 59_999),
        ("2026-01-05T10:00:00.123456+00:00", START + 123),
        ("2026-01-05T12:30:00+02:30", START),
        ("2026-01-05t10:00:00z", START),
    ],
)
def test_times_are_milliseconds_and_finer_parts_are_cut_off(text: str, expected: int) -> None:
    """Every form of a time gives the same number, whether its parts were seen before or not."""
    reader = TimeReader()
    assert [reader.read(text), reader.read(text)] == [expected, expected]


def test_only_short_endings_are_remembered() -> None:
    """Microseconds and nanoseconds would fill the memory; they are read without it."""
    reader = TimeReader()
    for number in range(1000):
        reader.read(f"2026-01-05T10:00:00.{number:06d}Z")
        reader.read(f"2026-01-05T10:00:{number % 60:02d}.{number:03d}Z")
    assert len(reader.endings) == 1000
    assert len(reader.minutes) == 1


def test_minutes_are_forgotten_at_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of minutes never grows beyond its cap, and what was forgotten is read again."""
    monkeypatch.setattr(times, "_MINUTES_KEPT", 10)
    reader = TimeReader()
    for minute in [*range(60), *range(60)]:
        assert reader.read(f"2026-01-05T10:{minute:02d}:00Z") == START + minute * 60_000
        assert len(reader.minutes) <= 10


@pytest.mark.parametrize("text", ["", "2026-01-05T10:00:", "2026-01-05T10:00:61Z", "2026-13-05T10:00:00Z", "10:00"])
def test_what_is_no_time_is_refused_and_not_remembered(text: str) -> None:
    """A bad text leaves nothing behind."""
    reader = TimeReader()
    with pytest.raises(ValueError, match="valid datetime"):
        reader.read(text)
    assert not reader.minutes
