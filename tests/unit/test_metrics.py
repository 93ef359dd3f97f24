"""The metrics: names by convention, bounded labels, one registry each."""

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from stream.metrics import Metrics
from stream.observe import READY_LAG_RECORDS, READY_LAG_TICKS
from stream.watchdog import EXIT_STUCK

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


def test_the_document_lists_every_metric() -> None:
    """`docs/metrics.md` has one row a metric, in the order of the code: name, type, labels, meaning."""
    rows = []
    for one in vars(Metrics("1", "h")).values():
        if isinstance(one, MetricWrapperBase):
            family = next(iter(one.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in one._labelnames) or "-"
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    table = page.split("<!-- metrics:begin -->\n")[1].split("\n<!-- metrics:end -->")[0]
    assert table.splitlines()[2:] == rows


def test_the_document_says_the_limits() -> None:
    """The limits of readiness and the exit code that the page names are those of the code."""
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8")
    for said in (f"{READY_LAG_RECORDS}\nrecords of lag", f"{READY_LAG_TICKS} ticks", f"exit code {EXIT_STUCK}"):
        assert said in page, said
