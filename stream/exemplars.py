"""Exemplars: beside a number, one example of what it counts, for a scraper that asks for OpenMetrics."""

from __future__ import annotations

from typing import Final

MAX_CHARACTERS: Final = 128
"""OpenMetrics allows so many for all names and values of one exemplar together."""


def exemplar(**labels: str | None) -> dict[str, str] | None:
    """The labels that are there, in their order, as far as there is room; None if there is none.

    Ids come from topics and telemetry, so one may be too long: it is left out, never cut; half an id finds nothing.
    """
    found: dict[str, str] = {}
    room = MAX_CHARACTERS
    for name, value in labels.items():
        if value and len(name) + len(value) <= room:
            found[name] = value
            room -= len(name) + len(value)
    return found or None
