"""The section whose keys belong to the detectors that are installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from detectors.registry import available
from stream.settings_schema import KeyPath

DERIVED: Final[Mapping[KeyPath, str]] = {("detectors", "burn_rate", "budgets"): "budgets"}
"""Keys of installed models that the configuration fills from another section, which is named."""


def detectors_section() -> type[BaseModel]:
    """A model with one field for each detector, built-in or of an installed package: its own settings."""
    fields: dict[str, Any] = {
        name: (detector.Settings, Field(default_factory=detector.Settings)) for name, detector in available().items()
    }
    return create_model(
        "DetectorsSection",
        __config__=ConfigDict(frozen=True, extra="forbid"),
        __doc__="The detectors, by name.",
        **fields,
    )
