"""What senders are told: one model for all that went well, one exception for all that did not."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

RETRY_SECONDS: Final = 1
"""What senders are told to wait: short, for the wait is for room, not for repair."""


class Refused(BaseModel):
    """A record that is not stored, and why; `index` counts from 0 in the order of the body."""

    index: int
    reason: str
    detail: str


class Answer(BaseModel):
    """What became of a request's records. Those that are refused are not stored and make no dead letter."""

    stored: int = Field(description="Records that are stored in Kafka, on every replica that must have them.")
    topics: dict[str, int] = Field(default_factory=dict, description="How many on which topic.")
    passed_over: int = Field(0, description="Records that were understood and hold nothing that Midwatch keeps.")
    refused: list[Refused] = Field(default_factory=list, description="Records that are not stored; the first 100.")
    faulty_parts: list[Refused] = Field(
        default_factory=list, description="Parts of stored records that hold several, which become dead letters."
    )
    refused_count: int = Field(0, description="How many records are not stored.")
    unknown_fields: dict[str, int] = Field(default_factory=dict, description="Fields that no event has: misspelt?")


class Problem(BaseModel):
    """Why a request as a whole was refused."""

    detail: str


class Status(BaseModel):
    """Why an OTLP request was refused, as OTLP/HTTP says it."""

    message: str


class Trouble(Exception):
    """A request cannot be served; `status` is HTTP's, `detail` says what to do."""

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
