"""The sections whose keys belong to the detectors and checks that are installed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OpenSection(BaseModel):
    """Takes any key: stands for a package that is not there."""

    model_config = ConfigDict(frozen=True, extra="allow")


def detectors_section() -> type[BaseModel]:
    """A model with one field for each detector: its own settings."""
    return OpenSection


def triage_section() -> type[BaseModel]:
    """The settings of the chain and its checks."""
    return OpenSection
