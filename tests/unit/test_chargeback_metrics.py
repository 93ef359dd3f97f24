"""Spend without an owner, live: counted by the required tag that is lacking, and alerted on."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from costs.tags_policy import Policy, TagDefault, TagRule
from costs.tags_spend import SpendTally
from stream.core.fold import Batch, FoldTallies, PartitionFold
from stream.metrics import Metrics
from stream.settings import SettingsError, load_settings
from tests.support.observed import Stage
from tests.unit.costs.usage import usage
from tests.unit.test_observe import run_everything

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/chargeback.yml"
POLICY = Policy(
    tags={
        "cost-center": TagRule(aliases=("cc",)),
        "owner": TagRule(required=False),
        "later": TagRule(since=date(2026, 10, 6)),
    },
    defaults=(TagDefault(system="claims", tags={"cost-center": "1"}),),
)


def test_usage_is_counted_by_the_tag_that_it_lacks() -> None:
    """Aliases and stand-ins are no lack, nor is an optional tag, nor a rule before its day; flat usage is no spend."""
    tallies = FoldTallies(spend=SpendTally(POLICY))
    fold = PartitionFold(5000, tallies=tallies)
    day = 86_400_000
    fold.add(
        [
            usage("1", {"cost-center": "a"}, cost_usd=1.0),
            usage("2", {"CC": "a"}, cost_usd=2.0),
            usage("3", system="claims", cost_usd=4.0),
            usage("4", {"cost-center": ""}, cost_usd=8.0),
            usage("5", cost_usd=16.0, pricing="ptu"),
            usage("6", {"cc": "a"}, cost_usd=32.0, time=usage("x").time + day),
        ],
        Batch(),
    )
    assert tallies.spend is not None
    assert tallies.spend.total == 47_000_000
    assert tallies.spend.untagged == {"cost-center": 8_000_000, "later": 32_000_000}


async def test_the_metrics_are_in_dollars() -> None:
    """By tag, and each label is a tag of the policy."""
    stage = Stage()
    await run_everything(stage)
    assert stage.value("usage_cost_usd_total") == 2.5
    assert stage.value("usage_untagged_usd_total", tag="cost-center") == 2.5
    assert stage.value("usage_untagged_usd_total", tag="business-unit") is None


def test_the_alert_is_on_metrics_that_exist() -> None:
    """Every name in the rule is one that the engine shows, and the rule says what to do."""
    [group] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    shown = {f"{one.name}_total" for one in Metrics("1", "h").registry.collect()}
    for rule in group["rules"]:
        names = set(re.findall(r"midwatch_\w+", rule["expr"]))
        assert names
        assert names <= shown
        assert set(rule["annotations"]) == {"summary", "description"}
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert scraped["rule_files"] == ["/etc/prometheus/rules/*.yml"]


def test_the_policy_is_part_of_the_configuration(tmp_path: Path) -> None:
    """Read and checked with the rest; without a file, the four chargeback tags are required."""
    policy = tmp_path / "policy.toml"
    policy.write_text("[tags.team]\n", encoding="utf-8")
    settings = load_settings(None, {"MIDWATCH_CHARGEBACK__POLICY_FILE": str(policy)})
    assert list(settings.chargeback.policy().tags) == ["team"]
    assert len(load_settings(None, {}).chargeback.policy().tags) == 4
    policy.write_text("[tags.team]\nrequird = true\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="did you mean 'required'"):
        load_settings(None, {"MIDWATCH_CHARGEBACK__POLICY_FILE": str(policy)})
