"""What all detectors' settings share: how a firing opens, holds and ends.

Settings are values: frozen, checked when they are made, with every unknown name refused. They come from a configuration
file or from environment variables, so numbers may be given as text and lists stand for tuples.
"""

from __future__ import annotations

from pydantic import ConfigDict, Field

from schemas.base import Model


class SettingsPart(Model):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)


class DetectorSettings(SettingsPart):
    """Settings that every detector has."""

    enabled: bool = Field(default=True, description="Whether this detector runs.")
    hold_minutes: int = Field(
        default=15, ge=0, le=10_080, description="Minutes that a series must be quiet before its firing ends."
    )
    flap_window_minutes: int = Field(
        default=120,
        ge=0,
        le=10_080,
        description="A firing that reopens this soon after its end is flapping: its hold doubles, up to 8 times.",
    )
    freeze_hours: int = Field(
        default=24,
        ge=1,
        le=720,
        description="Longest time that an open firing keeps its baseline frozen. A level that stays is then learned.",
    )


class Tiers(DetectorSettings):
    """Settings of a detector whose evidence is one score with two thresholds."""

    warning_score: float = Field(default=3.3, gt=0, le=300, description="Score that opens a firing as a warning.")
    page_score: float = Field(default=4.2, gt=0, le=300, description="Score that opens or raises a firing as a page.")
