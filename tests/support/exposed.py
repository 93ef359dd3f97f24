"""Every metric that Midwatch exposes, and every one that its rules record."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from prometheus_client import CollectorRegistry

from evaluation.judge_metrics import JudgeMetrics
from evaluation.metrics import PlaneMetrics
from stream.metrics import Metrics
from stream.signal_metrics import SignalCollector

RULES: Final = sorted((Path(__file__).parents[2] / "deploy/prometheus/rules").glob("*.yml"))
SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}


def rules() -> list[dict[str, Any]]:
    """The recording and alert rules, in the order of the files."""
    texts = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for text in texts for group in text["groups"] for rule in group["rules"]]


@cache
def metrics() -> frozenset[str]:
    """Names as Prometheus stores them."""
    registries = [Metrics("1", "h").registry, JudgeMetrics().registry, PlaneMetrics().registry, CollectorRegistry()]
    SignalCollector(registries[-1], 1)
    exposed = {
        f"{family.name}{suffix}"
        for registry in registries
        for family in registry.collect()
        for suffix in SUFFIXES.get(family.type, ("",))
    }
    return frozenset(exposed | {rule["record"] for rule in rules() if "record" in rule})


def unknown(expression: str) -> set[str]:
    """The metrics of ours in an expression that there are not."""
    return set(re.findall(r"(?:\w+:)?midwatch_\w+(?::\w+)?", expression)) - metrics()
