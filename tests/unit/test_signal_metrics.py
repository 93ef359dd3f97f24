"""Signals on `/metrics`: capped over all shards of a process, gone with a shard, and never a broken exposition."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.core.machine import ShardMachine
from stream.signal_metrics import SIGNAL_SECONDS, SignalCollector
from tests.unit.core.builders import START, machine, traffic

NASTY = 'fl"ow\\with\nall <script>'


def shard_of(*names: str, volume: int = 5) -> ShardMachine:
    shard = machine()
    shard.step(START, [traffic(START - 1, volume, 1, name=name) for name in names])
    return shard


def shown(registry: CollectorRegistry, name: str = "midwatch_flow_interactions") -> list[str]:
    metrics = [metric for metric in registry.collect() if metric.name == name]
    return [sample.labels.get("flow", "") for metric in metrics for sample in metric.samples]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_the_cap_holds_over_all_shards(registry: CollectorRegistry) -> None:
    """Two shards of three flows under a cap of four show the four busiest, and count two as hidden."""
    signals = SignalCollector(registry, 4)
    signals.look(0, shard_of("a", "b", "c", volume=9), 0.0)
    signals.look(1, shard_of("d", "e", "f", volume=2), 0.0)
    assert shown(registry) == ["a", "b", "c", "d"]
    assert registry.get_sample_value("midwatch_series_hidden", {"kind": "flow"}) == 2


def test_a_lost_shard_is_no_longer_shown(registry: CollectorRegistry) -> None:
    """Its new owner shows it; showing it twice would double every sum."""
    signals = SignalCollector(registry, 10)
    signals.look(0, shard_of("a"), 0.0)
    signals.forget(0)
    assert shown(registry) == []
    signals.look(0, shard_of("b"), 0.1)
    assert shown(registry) == ["b"]


def test_a_shard_is_not_looked_at_at_every_tick(registry: CollectorRegistry) -> None:
    """While catching up a tick comes every few milliseconds; one look in `SIGNAL_SECONDS` is enough."""
    signals = SignalCollector(registry, 10)
    signals.look(0, shard_of("a"), 0.0)
    signals.look(0, shard_of("a", "b"), SIGNAL_SECONDS - 0.1)
    assert shown(registry) == ["a"]
    signals.look(0, shard_of("a", "b"), SIGNAL_SECONDS)
    assert shown(registry) == ["a", "b"]


def test_zero_shows_nothing(registry: CollectorRegistry) -> None:
    """Who wants no names out of telemetry in the monitoring system gets none."""
    signals = SignalCollector(registry, 0)
    signals.look(0, shard_of("a"), 0.0)
    assert shown(registry) == []


def test_names_out_of_telemetry_are_escaped(registry: CollectorRegistry) -> None:
    """A name of quotes, line breaks and markup stays one label value."""
    signals = SignalCollector(registry, 10)
    signals.look(0, shard_of(NASTY), 0.0)
    parsed = text_string_to_metric_families(generate_latest(registry).decode())
    values = {sample.labels.get("flow") for metric in parsed for sample in metric.samples}
    assert NASTY in values


def test_the_document_lists_every_signal() -> None:
    """`docs/metrics.md` has one row a signal, in the order of the code."""
    collector = SignalCollector(CollectorRegistry(), 1)
    rows = [
        f"| `{one.name}` | {', '.join(f'`{label}`' for label in one._labelnames)} | {one.documentation} |"
        for one in collector.describe()
    ]
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    table = page.split("<!-- signals:begin -->\n")[1].split("\n<!-- signals:end -->")[0]
    assert table.splitlines()[2:] == rows
