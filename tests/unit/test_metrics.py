"""The metrics: names by convention, bounded labels, one registry each."""

import re

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric

from stream.metrics import Metrics

IDENTIFYING = re.compile(r"conversation|trace|user|incident|firing|principal|tenant|id$")


def collected(metrics: Metrics) -> list[Metric]:
    return [one for one in metrics.registry.collect() if one.name.startswith("midwatch_")]


def every_instrument(metrics: Metrics) -> dict[str, tuple[str, ...]]:
    instruments = [value for value in vars(metrics).values() if hasattr(value, "_labelnames")]
    return {one._name: one._labelnames for one in instruments}


def test_names_follow_the_convention() -> None:
    """One prefix, base units in the plural at the end, counters in `_total`."""
    for metric in collected(Metrics("1", "h")):
        assert re.fullmatch(r"midwatch_[a-z_]+", metric.name)
        assert not re.search(r"_(ms|millis|milliseconds|kb|mb|percent|second|byte)$", metric.name), metric.name
        if metric.type == "histogram":
            assert metric.name.endswith("_seconds")
        assert metric.documentation.endswith(".")


def test_no_label_can_hold_an_identifier() -> None:
    """Labels are closed or capped vocabularies: nothing that grows with traffic."""
    instruments = every_instrument(Metrics("1", "h"))
    assert len(instruments) > 20
    for name, labels in instruments.items():
        assert len(labels) <= 3, name
        assert not any(IDENTIFYING.search(label) for label in labels), name


def test_two_engines_do_not_mix() -> None:
    """Each object has its own registry."""
    one, other = Metrics("1", "h"), Metrics("1", "h")
    one.events_folded.labels("usage").inc(3)
    assert one.registry.get_sample_value("midwatch_events_folded_total", {"type": "usage"}) == 3
    assert other.registry.get_sample_value("midwatch_events_folded_total", {"type": "usage"}) is None


def test_a_lost_shard_is_no_longer_shown() -> None:
    """A gauge of a shard whose lease went elsewhere would show a stale value for ever."""
    metrics = Metrics("1", "h")
    metrics.heartbeat.labels("1").set(5)
    metrics.heartbeat.labels("2").set(6)
    metrics.forget_shard(1)
    metrics.forget_shard(7)
    assert metrics.registry.get_sample_value("midwatch_heartbeat_timestamp_seconds", {"shard": "1"}) is None
    assert metrics.registry.get_sample_value("midwatch_heartbeat_timestamp_seconds", {"shard": "2"}) == 6


def test_build_is_named() -> None:
    """Version and configuration hash can be joined to every other series."""
    text = generate_latest(Metrics("0.1.0", "cfg_x").registry).decode()
    assert 'midwatch_build_info{config_hash="cfg_x",version="0.1.0"} 1.0' in text
