"""What `docs/opentelemetry.md` and the collector's configuration say is what the code does."""

from __future__ import annotations

from pathlib import Path

import yaml

from schemas.words import OTLP_TOPICS
from stream.adapters.otlp_names import ENVIRONMENT, SPAN_WORDS, SYSTEM, VERSION
from stream.adapters.otlp_rules import DEFAULT_RULES
from stream.settings import load_settings
from stream.settings_otlp import OtlpSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/opentelemetry.md").read_text(encoding="utf-8")


def test_the_page_names_every_attribute() -> None:
    """One row a word, with its attributes in their order."""
    for names in (ENVIRONMENT, SYSTEM, VERSION, *SPAN_WORDS.values()):
        assert "| " + ", ".join(f"`{name}`" for name in names) + " |" in PAGE


def test_the_page_names_every_mark_and_setting() -> None:
    """Marks of the shipped rules have a row; the keys that bound a trace are explained."""
    for mark in {rule.mark for rule in DEFAULT_RULES}:
        assert f"`{mark}`" in PAGE
    for key in ("settle_minutes", "gap_minutes", "longest_minutes", "open_traces", "spans_per_trace"):
        assert key in OtlpSettings.model_fields
        assert f"`{key}`" in PAGE


def test_the_pages_rules_can_be_used(tmp_path: Path) -> None:
    """The example of rules is a configuration that loads."""
    config = tmp_path / "midwatch.toml"
    config.write_text(PAGE.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    settings = load_settings(config, {})
    assert list(settings.otlp.rules) == ["tier-two", "scope"]
    settings.otlp.reader()


def test_the_collector_writes_where_midwatch_reads() -> None:
    """The exporter's topics are among the input topics, in an encoding that is read."""
    config = yaml.safe_load((ROOT / "deploy/otel-collector/collector.yaml").read_text(encoding="utf-8"))
    exporter = config["exporters"]["kafka/midwatch"]
    topics = {exporter[signal]["topic"] for signal in ("traces", "logs")}
    assert topics == set(OTLP_TOPICS) <= set(load_settings(None, {}).kafka.input_topics)
    assert {exporter[signal]["encoding"] for signal in ("traces", "logs")} == {"otlp_proto"}
    for pipeline in config["service"]["pipelines"].values():
        assert pipeline["exporters"] == ["kafka/midwatch"]
