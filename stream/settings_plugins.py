"""The sections whose keys belong to the detectors and checks that are installed."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, create_model

from triage.settings import TriageSettings


class OpenSection(BaseModel):
    """Takes any key: stands for a package that is not there."""

    model_config = ConfigDict(frozen=True, extra="allow")


def detectors_section() -> type[BaseModel]:
    """A model with one field for each detector: its own settings."""
    try:
        from detectors.registry import DETECTORS
    except ImportError:
        return OpenSection
    fields = {
        name: (detector.Settings, Field(default_factory=detector.Settings)) for name, detector in DETECTORS.items()
    }
    config = ConfigDict(frozen=True, extra="forbid")
    return create_model("DetectorsSection", __config__=config, __doc__="The detectors, by name.", **fields)


def triage_section() -> type[BaseModel]:
    """The settings of the chain and its checks."""
    return TriageSettings
