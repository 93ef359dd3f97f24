"""Times within sentences: found, dated right, escaped; what is no time stays text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.pages_times import told
from dashboard.sentences import clock

ABOUT = datetime(2026, 3, 1, 2, 20, tzinfo=UTC)
YEAR = st.integers(0, 365 * 24 * 60).map(lambda minutes: ABOUT + timedelta(minutes=minutes))
APART = st.integers(-180 * 24 * 60, 180 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))


@given(YEAR, APART)
def test_a_time_that_a_sentence_says_is_found_again(beside: datetime, apart: timedelta) -> None:
    """Whatever `sentences.clock` writes beside the time that a sentence is about is read back to the same minute."""
    at = beside + apart
    said = str(told(f"since {clock(at, beside)}; roll back", beside))
    assert f'<time datetime="{at:%Y-%m-%dT%H:%M}:00.000Z" data-clock>' in said
    assert said.startswith("since <time")
    assert said.endswith("</time>; roll back")


@pytest.mark.parametrize("text", ["2026-03-01T02:02Z", "2026-03-01T02:02:00.000Z", "2026-03-01 02:02 UTC"])
def test_whole_times_are_said_as_people_say_them(text: str) -> None:
    """Today's time of day, and the day where it is another; whoever reads without JavaScript has UTC."""
    assert ">02:02\u00a0UTC</time>: " in told(f"at {text}: watch", ABOUT)
    assert ">1 Mar 02:02\u00a0UTC</time>" in told(f"at {text}", ABOUT, ABOUT + timedelta(days=3))


@pytest.mark.parametrize(
    "text", ["25:61 UTC", "2026-13-45T99:99Z", "02:14", "12:30 UTC on 31 February", "x2026-03-01T02:02Zx"]
)
def test_what_is_no_time_stays_text(text: str) -> None:
    """A time that does not exist, or of no known zone, is not made one."""
    assert "<time" not in told(text, ABOUT)


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from(["02:14 UTC", "2026-03-01T02:02Z", ""]))
def test_telemetry_in_a_sentence_is_escaped(text: str, time: str) -> None:
    """Nothing but `<time>` is markup, and a reader sees the text that was there."""
    said = str(told(f'<script>"{text}" {time}', ABOUT))
    rest = said.replace("</time>", "").split("<time ")
    assert all("<" not in part.partition(">")[2] for part in rest[1:])
    assert "<" not in rest[0]
    shown = unescape(rest[0] + "".join(part.partition(">")[2] for part in rest[1:])).replace("\u00a0", " ")
    if not time.endswith("Z") and "Z" not in text:
        assert shown == f'<script>"{text}" {time}'.replace("\u00a0", " ")
