"""The section `[sampling]`: what `midwatch evaluate run` judges, and what it may spend."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.words import TOPIC_OF_TYPE, Outcome
from stream.settings_sections import Port, Seconds, Section, Topic


class SamplingSettings(Section):
    """What `midwatch evaluate run` judges, how fast, and what it may spend."""

    topics: tuple[Topic, ...] = Field(
        (TOPIC_OF_TYPE["interaction"],), min_length=1, description="Topics to read interactions from."
    )
    start_at: Literal["latest", "earliest"] = Field(
        "latest", description="Where the very first start begins: with new interactions, or with all that are kept."
    )
    resolved_rate: float = Field(0.05, gt=0, le=1, description="Share of resolved interactions to judge.")
    escalated_rate: float = Field(0.25, gt=0, le=1, description="Share of escalated ones.")
    failed_rate: float = Field(0.1, gt=0, le=1, description="Share of failed ones.")
    abandoned_rate: float = Field(0.05, gt=0, le=1, description="Share of abandoned ones.")
    denied_rate: float = Field(0.25, gt=0, le=1, description="Share of those with a denied step.")
    tokens_per_day: int | None = Field(2_000_000, ge=1, description="Tokens a day (UTC) for the judge.")
    usd_per_day: float | None = Field(20.0, gt=0, le=1e6, description="Dollars a day (UTC) for the judge.")
    expected_tokens: int = Field(2_000, ge=1, le=1_000_000, description="Tokens of one interaction, until measured.")
    concurrency: int = Field(8, ge=1, le=256, description="Interactions that are judged at once in this process.")
    judge_seconds: Seconds = Field(60.0, description="Longest time for one interaction; then it has no score.")
    offline_per_hour: int = Field(
        60, ge=0, le=100_000, description="Interactions an hour that are judged while Redis is away, by each process."
    )
    burst_interactions: int = Field(
        20, ge=0, le=100, description="Most escalated interactions of a new incident; 0: off."
    )
    burst_seconds: Seconds = Field(90.0, description="Longest time for the burst of one incident.")
    burst_tokens_per_day: int | None = Field(500_000, ge=1, description="Tokens a day for all bursts.")
    burst_usd_per_day: float | None = Field(5.0, gt=0, le=1e6, description="Dollars a day for all bursts.")
    batch_interactions: int = Field(
        5_000, ge=1, le=50_000, description="Most interactions of one batch; beyond, its sampling is thinned."
    )
    batch_tokens_per_day: int | None = Field(5_000_000, ge=1, description="Tokens a day (UTC) for batches.")
    batch_usd_per_day: float | None = Field(10.0, gt=0, le=1e6, description="Dollars a day (UTC) for batches.")
    batch_price_share: float = Field(
        0.5, gt=0, le=1, description="Batch price over ordinary price, for models whose batch price is not known."
    )
    away_seconds: Seconds = Field(60.0, description="Kafka away for longer than this: exit, to be started again.")
    http_port: Port = Field(
        9480, description="Port of /metrics, /healthz and /readyz, on http.host; 0 takes a free one."
    )

    def rates(self) -> dict[Outcome | Literal["denied"], float]:
        """The sampling rates by how an interaction ended."""
        return {
            "resolved": self.resolved_rate,
            "escalated": self.escalated_rate,
            "failed": self.failed_rate,
            "abandoned": self.abandoned_rate,
            "denied": self.denied_rate,
        }
