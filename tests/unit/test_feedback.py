"""Feedback: the last word counts, precision is a share with an interval, labels of metrics are bounded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from scipy.stats import binomtest

from schemas.canonical import canonical_json
from stream.feedback import Share, last_words, precision_of
from stream.feedback_text import precision_lines
from stream.feedback_watch import show
from stream.metrics import Metrics
from tests.support.feedback import DECIDED, judged

LATER = timedelta(minutes=5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilson_s(counts: tuple[int, int]) -> None:
    """It is SciPy's, to the last digits."""
    share = Share(*counts)
    low, high = binomtest(*counts).proportion_ci(0.95, "wilson")
    assert share.interval == pytest.approx((low, high), abs=1e-12)


def test_the_last_judgement_of_an_incident_counts() -> None:
    """A confirmation that is taken back is a refutation; foreign records are passed over."""
    first, second = judged(), judged(judgement="refuted", time=DECIDED + LATER)
    values = [canonical_json(second), b"not json", canonical_json(first), canonical_json(judged(1))]
    assert [one.judgement for one in last_words(values)] == ["refuted", "confirmed"]


def test_precision_by_detector_by_check_and_by_week() -> None:
    """A detector is right where something was wrong; a check where, besides, no other cause was found."""
    found = [
        judged(0),
        judged(1, cause="deployment"),
        judged(2, cause="dependency"),
        judged(3, judgement="refuted", cause="legitimate_traffic"),
        judged(4, judgement="refuted", detector="silence", triage_result="inconclusive", check=None),
        judged(5, decided_at=DECIDED - timedelta(days=8)),
        judged(6, decided_at=DECIDED - timedelta(days=60)),
    ]
    report = precision_of(found, DECIDED + LATER, 30).to_json()
    detectors = {name: (one["right"], one["judged"]) for name, one in report["by_detector"].items()}
    assert detectors == {"escalation_rate": (4, 5), "silence": (0, 1)}
    checks = {name: (one["right"], one["judged"]) for name, one in report["by_check"].items()}
    assert checks == {"recent_deployments": (3, 5), "inconclusive": (0, 1)}
    assert {week: one["judged"] for week, one in report["by_week"].items()} == {"2026-02-23": 1, "2026-03-02": 5}
    assert report["other_causes"] == {"dependency": 1, "legitimate_traffic": 1}


def test_the_table_reads() -> None:
    """Counts, share and interval in a line each; without judgements a hint what to do."""
    lines = list(precision_lines(precision_of([judged(0), judged(1, judgement="refuted")], DECIDED, 30)))
    assert any("escalation_rate" in line and "1 of 2" in line and "50.0%" in line for line in lines)
    assert "confirm --help" in next(iter(precision_lines(precision_of([], DECIDED, 30))))


def test_the_metrics_say_the_same_and_grow_no_labels() -> None:
    """Judged verdicts by what was judged, precision of 28 days; detectors that are not installed are one label."""
    metrics = Metrics("1", "h")
    strangers = [judged(10 + number, detector=f"made-up-{number}") for number in range(50)]
    old = judged(2, judgement="refuted", decided_at=DECIDED - timedelta(days=40))
    show(metrics, [judged(0), judged(1, cause="dependency"), old, *strangers], DECIDED + LATER)

    def value(name: str, **labels: str) -> float | None:
        where = {"detector": "escalation_rate", "check": "recent_deployments", **labels}
        return metrics.registry.get_sample_value(f"midwatch_feedback_{name}", where)

    judgements = {kind: value("verdicts", judgement=kind) for kind in ("confirmed", "other_cause", "refuted")}
    assert judgements == {"confirmed": 1, "other_cause": 1, "refuted": 1}
    assert value("precision_ratio", window="28d") == 1
    assert value("verdicts", detector="other", judgement="confirmed") == 50
    show(metrics, [], DECIDED)
    assert "midwatch_feedback_verdicts{" not in generate_latest(metrics.registry).decode()
