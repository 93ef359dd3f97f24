"""Copies for other places: names from telemetry stay names, whatever a reader would make of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.copies import cell, markdown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "  @x"])
def test_a_spreadsheet_takes_no_text_for_a_formula(text: str) -> None:
    """OWASP's list, and the same behind spaces; numbers and plain names are as they were."""
    assert str(cell(text)).startswith("'")
    assert (cell(-1.5), cell("refund"), cell(None), cell(3)) == (-1.5, "refund", "", 3)


@given(st.text(max_size=60))
def test_markdown_shows_a_name_as_it_is(text: str) -> None:
    """No bare character that makes markup, a mention or a link is left, and the readable text is still there."""
    said = markdown(text)
    bare = said.replace("\\\\", "")
    for mark in "*_[]<>`|~":
        assert bare.count(mark) == bare.count(f"\\{mark}")
    assert "@" not in said.replace("@\u200b", "")
    plain = "".join(character if character.isprintable() else "\ufffd" for character in text)
    if "://" not in text and "www." not in text.lower():
        assert markdown(text).replace("\u200b", "").replace("\\", "") == plain.replace("\u200b", "").replace("\\", "")
