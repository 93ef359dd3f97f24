"""The section of the configuration about who pays."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from costs.tags_policy import Policy
from stream.chargeback_policy import PolicyError, load_policy
from stream.settings_sections import Section


class ChargebackSettings(Section):
    """Who pays: the tags that usage must carry."""

    policy_file: Path | None = Field(
        None, description="TOML file of the chargeback policy; without one, the four chargeback tags are required."
    )

    @field_validator("policy_file")
    @classmethod
    def _is_sound(cls, path: Path | None) -> Path | None:
        try:
            load_policy(path)
        except PolicyError as error:
            raise ValueError(str(error)) from None
        return path

    def policy(self) -> Policy:
        """The policy, read anew. Raises PolicyError if the file has changed for the worse."""
        return load_policy(self.policy_file)
