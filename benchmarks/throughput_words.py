"""The events of the throughput benchmark as somebody who writes the job by hand would declare them, for msgspec.

Fields that are not counted are not declared; msgspec checks the type tag and the types of those that are. Each class
has its `series` spelt out: a shared one would look names up in what is measured.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from benchmarks.throughput_meter import MINUTE_CHARACTERS


class _Event(msgspec.Struct, tag_field="type"):
    time: str
    environment: str
    system: str


class Interaction(_Event, tag="interaction"):
    """One conversation."""

    flow: str
    outcome: str

    @property
    def series(self) -> str:
        """What it is counted by."""
        return f"interaction|{self.environment}|{self.system}|{self.flow}"


class Usage(_Event, tag="usage"):
    """Tokens of one call."""

    flow: str
    input_tokens: int
    output_tokens: int

    @property
    def series(self) -> str:
        """What it is counted by."""
        return f"usage|{self.environment}|{self.system}|{self.flow}"


class Authorization(_Event, tag="authorization"):
    """One decision."""

    agent: str
    decision: str

    @property
    def series(self) -> str:
        """What it is counted by."""
        return f"authorization|{self.environment}|{self.system}|{self.agent}"


class Evaluation(_Event, tag="evaluation"):
    """One score."""

    flow: str
    score: float

    @property
    def series(self) -> str:
        """What it is counted by."""
        return f"evaluation|{self.environment}|{self.system}|{self.flow}"


DECODER: Final = msgspec.json.Decoder(Interaction | Usage | Authorization | Evaluation)


class Minutes:
    """Counts of a batch by minute and series. A minute's text is checked the first time that it comes."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self.total = 0

    def add(self, value: bytes) -> None:
        """Decode, check and count one event."""
        event = DECODER.decode(value)
        minute = event.time[:MINUTE_CHARACTERS]
        counts = self.counts.get(minute)
        if counts is None:
            datetime.fromisoformat(event.time)
            counts = self.counts[minute] = {}
        series = event.series
        counts[series] = counts.get(series, 0) + 1
        self.total += 1

    def arguments(self, name: str) -> list[str | int]:
        """Key, field and number of every count, one after another."""
        return [
            part
            for minute, counts in self.counts.items()
            for series, number in counts.items()
            for part in (f"{name}:{minute}", series, number)
        ]


ADD: Final = """
for i = 1, #ARGV, 3 do redis.call('HINCRBY', ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
return #ARGV / 3
"""
"""The script that adds a batch's counts, as `Minutes.arguments` gives them."""
