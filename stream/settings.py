"""The configuration of an engine: read from a TOML file and the environment, checked whole, then never changed.

`MIDWATCH_SECTION__KEY` in the environment overrides `key` in `[section]`. Secrets come from the environment or from
files alone. Every problem is reported at once, with the key and what to do about it (`SettingsError`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, create_model, model_validator

from costs.budgets import BudgetRule
from costs.prices import PriceBook
from costs.ptu import PtuTable
from costs.ptu_commitments import Commitment
from schemas.canonical import content_id
from stream.ptu_table import shipped_table
from stream.settings_adapters import AdaptersSettings
from stream.settings_chargeback import ChargebackSettings
from stream.settings_costs import (
    CommitmentSection,
    CostsSettings,
    PriceSection,
    PtuPriceSection,
    cost_problems,
    flat_parts,
)
from stream.settings_dashboard import DashboardSettings
from stream.settings_ingest import IngestHttpSettings
from stream.settings_judge import JudgeSettings, judge_problems
from stream.settings_otlp import OtlpSettings
from stream.settings_plugins import detectors_section
from stream.settings_problems import Problem, SettingsError, find_problems
from stream.settings_redis import RedisSettings
from stream.settings_rollback import ExecutorSection, RollbackSettings
from stream.settings_sampling import SamplingSettings
from stream.settings_sections import (
    Budget,
    EngineSettings,
    HttpSettings,
    KafkaSettings,
    LimitsSettings,
    LogSettings,
    Section,
)
from stream.settings_sinks import DeliverySettings, NoSinks, sink_kinds, sinks_section
from stream.settings_source import read_source
from triage.settings import TriageSettings

__all__ = ["Problem", "Settings", "SettingsError", "load_settings", "settings_model"]

SHAPING_ENGINE_KEYS = ("lateness_seconds", "max_future_seconds", "max_age_days", "max_series_per_kind")
"""The engine's keys that change what is said about the same telemetry; the others change how fast, and where."""


class Settings(Section):
    """The whole configuration; its attributes are the sections of the file.

    `detectors` holds the settings models of the detectors that are installed, so its class is known at run time only:
    see `settings_model`. `sinks` holds one model for each sink that is configured: see `stream.settings_sinks`.
    """

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    adapters: AdaptersSettings = Field(default_factory=AdaptersSettings)
    detectors: BaseModel
    triage: TriageSettings = Field(default_factory=TriageSettings)
    budgets: dict[str, Budget] = Field(default_factory=dict, description="Monthly budgets by name.")
    prices: dict[str, PriceSection] = Field(
        default_factory=dict, description="Contract prices by name; they go before the list prices."
    )
    commitments: dict[str, CommitmentSection] = Field(
        default_factory=dict, description="Provisioned units that are paid for, used or not, by name."
    )
    ptu_prices: dict[str, PtuPriceSection] = Field(
        default_factory=dict, description="Contract prices of provisioned units by name; they go before the list's."
    )
    costs: CostsSettings = Field(default_factory=CostsSettings)
    chargeback: ChargebackSettings = Field(default_factory=ChargebackSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    dashboard: DashboardSettings = Field(default_factory=DashboardSettings)
    ingest_http: IngestHttpSettings = Field(default_factory=IngestHttpSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    sampling: SamplingSettings = Field(default_factory=SamplingSettings)
    judge: JudgeSettings = Field(default_factory=JudgeSettings)
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    rollback: RollbackSettings = Field(default_factory=RollbackSettings)
    rollback_executors: dict[str, ExecutorSection] = Field(
        default_factory=dict, description="What the rollback subscriber rolls back with, by name."
    )
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    sinks: BaseModel = Field(default_factory=NoSinks)
    otlp: OtlpSettings = Field(default_factory=OtlpSettings)

    @model_validator(mode="after")
    def _money_is_sound(self) -> Settings:
        wrong = list(cost_problems(self.prices, self.commitments, self.budgets, self.ptu_table()))
        if wrong:
            raise ValueError("\n  ".join(wrong))
        return self

    def price_book(self) -> PriceBook:
        """What calls cost: contract prices above the list."""
        return PriceBook([section.override(name) for name, section in sorted(self.prices.items())])

    def ptu_table(self) -> PtuTable:
        """What provisioned units carry and cost: contract prices above the list."""
        return shipped_table().with_prices(section.price(name) for name, section in sorted(self.ptu_prices.items()))

    def flat_costs(self) -> tuple[Commitment, ...]:
        """What accrues by the hour, by name."""
        table = self.ptu_table()
        return tuple(section.commitment(name, table) for name, section in sorted(self.commitments.items()))

    def budget_rules(self) -> tuple[BudgetRule, ...]:
        """Which usage counts against which budget, by name."""
        return tuple(
            BudgetRule(name, budget.environment, budget.system, tuple(sorted(budget.tags.items())))
            for name, budget in sorted(self.budgets.items())
        )

    def detector_settings(self) -> dict[str, dict[str, Any]]:
        """What `detectors.registry.build` takes: each detector's settings, the budgets among them."""
        found: dict[str, dict[str, Any]] = self.detectors.model_dump(mode="json")
        flat = self.flat_costs()
        found["burn_rate"]["budgets"] = {
            rule.name: {
                "amount_usd": self.budgets[rule.name].amount_usd,
                "flat_usd": self.budgets[rule.name].flat_usd,
                "flat": flat_parts(flat, rule),
            }
            for rule in self.budget_rules()
        }
        return found

    def _named(self) -> dict[str, Mapping[str, Section]]:
        """The sections that their owners name, but for those that are empty: what is not there changes no hash."""
        money: dict[str, Mapping[str, Section]] = {
            "prices": self.prices,
            "commitments": self.commitments,
            "ptu_prices": self.ptu_prices,
        }
        return {"budgets": self.budgets, **{name: sections for name, sections in money.items() if sections}}

    def config_hash(self) -> str:
        """A content id of what shapes the answers; hosts, ports, names and secrets are not part of it."""
        engine = self.engine.model_dump(mode="json", include=set(SHAPING_ENGINE_KEYS))
        shaping = {
            "detectors": self.detectors.model_dump(mode="json"),
            "triage": self.triage.model_dump(mode="json"),
            **{
                table: {name: section.model_dump(mode="json") for name, section in sections.items()}
                for table, sections in self._named().items()
            },
            "limits": self.limits.model_dump(mode="json", exclude={"dead_letter_payloads"}),
        }
        if self.adapters != AdaptersSettings():
            shaping["adapters"] = self.adapters.model_dump(mode="json")
        if self.otlp != OtlpSettings():  # as with the named sections: what is not there changes no hash
            shaping["otlp"] = self.otlp.model_dump(mode="json")
        return content_id("cfg", {**shaping, "engine": engine})


@cache
def settings_model() -> type[Settings]:
    """`Settings` with the section of the installed detectors filled in."""
    detectors = detectors_section()
    return create_model(
        "Settings",
        __base__=Settings,
        __doc__=Settings.__doc__,
        detectors=(detectors, Field(default_factory=detectors)),
        sinks=(NoSinks, Field(default_factory=NoSinks)),
    )


def _with_sinks(kinds: Mapping[str, str]) -> tuple[type[Settings], list[Problem]]:
    """`settings_model` with a section for each sink of a configuration, and what is wrong with their names."""
    if not kinds:
        return settings_model(), []
    section, problems = sinks_section(kinds)
    return create_model("Settings", __base__=settings_model(), __doc__=Settings.__doc__, sinks=(section, ...)), problems


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of the TOML file at `path` (defaults if None) under the overrides in `environ`.

    Raises `SettingsError` with every problem found: an unreadable file, wrong TOML, unknown keys, wrong values,
    secrets in the file, overrides that name nothing.
    """
    model, wrong_sinks = _with_sinks(sink_kinds(path, environ))
    source = read_source(path, environ, model)
    problems = [
        *source.problems,
        *wrong_sinks,
        *find_problems(model, source.data, source.variables),
        *judge_problems(source.data, source.variables),
    ]
    if problems:
        raise SettingsError(problems, path)
    return model.model_validate_json(json.dumps(source.data, default=str))
