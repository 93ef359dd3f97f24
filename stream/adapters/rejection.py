"""Why a record was refused: the value that says so, and the exception that carries it to the decoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from schemas.words import DeadLetterReason
from stream.redact import redact_text

MAX_DETAIL: Final = 500
"""Longest detail, in characters."""

MAX_QUOTED: Final = 64
"""Most characters of a producer's own words that a detail repeats."""

_UNPRINTABLE: Final = re.compile(
    r"[^\x20-\x7e\xa1-\ud7ff\uf900-\uffef]"
    r"|[\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff]"
)
"""Controls, private and unassigned planes; and signs that cannot be seen or turn the direction of a line. Written out,
for what Python calls printable changes with its version, and a dead letter does not."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that is no event. `detail` says what was wrong and where, never the value itself."""

    reason: DeadLetterReason
    detail: str


class RejectedRecord(Exception):
    """The record cannot be read; `rejection` says why."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(detail)
        self.rejection = Rejection(reason, clip(detail, MAX_DETAIL))

    def within(self, place: str) -> Rejection:
        """The rejection of a part, with the place of that part in the record."""
        return Rejection(self.rejection.reason, clip(f"{place}: {self.rejection.detail}", MAX_DETAIL))


def clip(text: str, length: int) -> str:
    """`text`, or its beginning and an ellipsis, in `length` characters at most."""
    return text if len(text) <= length else text[: length - 3] + "..."


def quote(text: str) -> str:
    """A producer's own word (a field's name, a type) fit for a detail: redacted, printable, short, in quotes."""
    return f"'{_UNPRINTABLE.sub('?', clip(redact_text(text[: 4 * MAX_QUOTED]), MAX_QUOTED))}'"
