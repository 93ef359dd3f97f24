"""The chargeback policy: which tags usage must carry, what stands in for them, and what the month's commitments cost.

A policy is data (a TOML file); these models are its shape. Names of tags, and aliases of them, are compared without
regard to case.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from costs.money import usd_to_micro
from costs.months import Month
from costs.ptu_commitments import Commitment as FlatCost
from costs.tags import CHARGEBACK_TAGS, fold

ANY = "*"

Name = Annotated[str, Field(min_length=1, max_length=256)]
Value = Annotated[str, Field(min_length=1, max_length=256)]
Dollars = Annotated[float, Field(ge=0, le=1e9)]


class _Part(BaseModel):
    """A part of the policy: frozen, strict, nothing unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class TagRule(_Part):
    """What one tag must be."""

    required: bool = Field(default=True, description="Whether usage must carry the tag.")
    allowed: tuple[Value, ...] = Field((), description="Values that the tag may have, exactly; any if none are given.")
    pattern: str | None = Field(None, description="Regular expression that the whole value must match.")
    aliases: tuple[Name, ...] = Field((), description="Other names that count as this tag.")
    since: date | None = Field(None, description="Day from which the rule holds, YYYY-MM-DD; always if not given.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return pattern

    def accepts(self, value: str) -> bool:
        """Whether the tag may have this value."""
        if self.allowed and value not in self.allowed:
            return False
        return self.pattern is None or re.fullmatch(self.pattern, value) is not None


class TagDefault(_Part):
    """Tags that usage of an environment and system has where it carries none of its own."""

    environment: Name = Field(ANY, description="Environment, * for all.")
    system: Name = Field(ANY, description="System, * for all.")
    tags: dict[Name, Value] = Field(description="Tags and their values.")

    def covers(self, environment: str, system: str) -> bool:
        """Whether the default is for this system."""
        return self.environment in (ANY, environment) and self.system in (ANY, system)


class Commitment(_Part):
    """A flat cost that stands whether it is used or not, such as provisioned throughput, and the usage it covers."""

    id: Name | None = Field(None, description="The provider's id of it, as the bill names it; else the name here.")
    provider: Name = Field("azure", description="Whose it is, as usage events name it.")
    environment: Name = Field(ANY, description="Environment that it serves, * for all.")
    system: Name = Field(ANY, description="System that it serves, * for all.")
    models: tuple[Name, ...] = Field((), description="Models that it serves; all if none are given.")
    usd_per_month: Dollars | None = Field(None, description="Dollars a calendar month; or units and usd_per_unit_hour.")
    units: int | None = Field(None, ge=1, le=1_000_000, description="Provisioned units, billed by the hour.")
    usd_per_unit_hour: Annotated[float, Field(ge=0, le=10_000)] | None = Field(None, description="Dollars for each.")
    output_weight: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="Input tokens that one output token counts for; by the model if not given."
    )
    capacity_tokens_per_minute: int | None = Field(
        None, ge=1, le=10**12, description="Normalised tokens that it can serve; then what is not used stands alone."
    )
    tags: dict[Name, Value] = Field(default_factory=dict, description="Tags of what is not used.")

    @model_validator(mode="after")
    def _has_one_price(self) -> Commitment:
        by_hour = (self.units, self.usd_per_unit_hour)
        if (self.usd_per_month is not None) == any(part is not None for part in by_hour):
            raise ValueError("needs either usd_per_month, or units and usd_per_unit_hour")
        if self.usd_per_month is None and None in by_hour:
            raise ValueError("units and usd_per_unit_hour go together: give both")
        return self

    def micro_in(self, month: Month) -> int:
        """Micro-dollars that it costs in a month, by the rule for all commitments (`costs.ptu_commitments`)."""
        if self.usd_per_month is not None:
            cost = FlatCost("", 1, "monthly", usd_to_micro(self.usd_per_month), month.first_hour)
        else:
            per_hour = usd_to_micro(self.usd_per_unit_hour or 0.0)
            cost = FlatCost("", self.units or 0, "hourly", per_hour, month.first_hour)
        return cost.accrued_micro(*month)

    def covers(self, environment: str, system: str, model: str) -> bool:
        """Whether provisioned usage of this model draws on it."""
        if self.environment not in (ANY, environment) or self.system not in (ANY, system):
            return False
        return not self.models or model in self.models


class Billing(_Part):
    """Who bills whom, as FOCUS rows name them."""

    account_id: Name = Field("midwatch", description="BillingAccountId of the rows.")
    account_name: Name | None = Field(None, description="BillingAccountName of the rows.")
    issuer: Name | None = Field(
        None, description="Who charges the owners, if not the provider of the models; it is then ProviderName as well."
    )
    provider: Name | None = Field(None, description="ProviderName where the event names none; else the model's maker.")


class Policy(_Part):
    """The whole policy."""

    tags: dict[Name, TagRule] = Field(
        default_factory=lambda: {name: TagRule() for name in CHARGEBACK_TAGS}, description="Rules by tag."
    )
    defaults: tuple[TagDefault, ...] = Field((), description="Stand-ins for tags; the first that covers counts.")
    commitments: dict[Name, Commitment] = Field(default_factory=dict, description="Flat costs by name.")
    resources: dict[Name, Annotated[str, Field(min_length=1, max_length=2048)]] = Field(
        default_factory=dict,
        description="The provider's id of the resource that 'environment/system' uses (system: * too).",
    )
    billing: Billing = Field(default_factory=Billing, description="Who bills whom.")
    storage: bool = Field(default=False, description="Hold names to the 128 characters of storage accounts.")

    @model_validator(mode="after")
    def _names_differ(self) -> Policy:
        owner: dict[str, str] = {}
        for name, rule in self.tags.items():
            for written in (name, *rule.aliases):
                other = owner.setdefault(fold(written), name)
                if other != name:
                    raise ValueError(f"the name {written!r} stands for both {other!r} and {name!r}")
        return self

    @field_validator("resources")
    @classmethod
    def _are_systems(cls, resources: dict[str, Any]) -> dict[str, Any]:
        for where in resources:
            if not all(where.partition("/")):
                raise ValueError(f"{where!r} is no 'environment/system'")
        return resources

    def resource_of(self, environment: str, system: str) -> str:
        """The provider's id of the resource that a system uses, else `environment/system`."""
        own = f"{environment}/{system}"
        return self.resources.get(own) or self.resources.get(f"{environment}/{ANY}") or own
