"""The section `[adapters]`: what the records of other tools leave open."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import MAX_NAME
from stream.adapters import Origin
from stream.settings_sections import Section

Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class AdaptersSettings(Section):
    """Whose the records of other tools are (breakers, deployments, authorization) that do not say it themselves."""

    environment: Name | None = Field(
        None, description="Environment of such records; a header midwatch_environment goes before it."
    )
    system: Name | None = Field(None, description="System of such records; a header midwatch_system goes before it.")

    def origin(self) -> Origin:
        """The same as the decoder takes it."""
        return Origin(self.environment, self.system)
