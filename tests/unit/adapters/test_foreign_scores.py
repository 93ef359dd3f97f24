"""Scores that others gave, on our scale, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stream.adapters import Decoder
from stream.adapters.native import Evaluation
from stream.cli import app
from tests.unit.adapters.events import NOW_MS, accepted, encoded, rejected

WHOSE = {"environment": "production", "system": "claims", "flow": "triage", "time": "2026-01-05T10:00:00Z"}
RECORD = {
    "event_name": "gen_ai.evaluation.result",
    "timeUnixNano": str(NOW_MS * 1_000_000),
    "resource": {"attributes": {"service.name": "claims", "deployment.environment.name": "production"}},
    "attributes": {
        "gen_ai.evaluation.name": "intent_resolution",
        "gen_ai.evaluation.score.value": 4.0,
        "gen_ai.evaluation.explanation": "It did.",
        "gen_ai.agent.name": "triage",
        "gen_ai.response.id": "r-1",
    },
}


def row(**fields: Any) -> list[Evaluation]:
    """The events of a result row."""
    batch = Decoder().decode_batch([(json.dumps({**WHOSE, **fields}).encode(), (), NOW_MS)])
    assert not batch.rejections, batch.rejections
    return [event for event in batch.events if isinstance(event, Evaluation)]


@pytest.mark.parametrize(
    ("fields", "score"),
    [
        ({"coherence": 4.0, "coherence_result": "pass", "coherence_threshold": 3}, 4.0),
        ({"outputs.coherence.coherence_score": 2, "outputs.coherence.coherence_reason": "No."}, 2.0),
        ({"violence": "Low", "violence_score": 7, "violence_reason": "All of it."}, 1.0),
        ({"violence": "Very low", "violence_score": 0, "violence_reason": "None."}, 5.0),
        ({"task_adherence": 1.0, "task_adherence_result": "pass", "task_adherence_threshold": 0}, 5.0),
        ({"task_completion": 0.0, "task_completion_result": "fail", "task_completion_reason": "No."}, 1.0),
        ({"f1_score": 0.5, "f1_result": "pass", "f1_reason": "."}, 3.0),
    ],
)
def test_rows_are_put_on_our_scale(fields: dict[str, Any], score: float) -> None:
    """By hand: 1 to 5 as it is, severities 0 to 7 turned round, pass and fail as 5 and 1."""
    (event,) = row(**fields)
    assert event.score == score
    assert event.sampling is not None
    assert event.sampling.purpose == "external"


def test_a_row_holds_a_score_for_each_evaluator() -> None:
    """Two evaluators, two criteria; one that was skipped is left out."""
    fields = {f"{k}_{part}": v for k in ("coherence", "fluency") for part, v in (("score", 3), ("result", "pass"))}
    found = row(**fields, relevance_score=None, relevance_result="fail", relevance_status="skipped")
    assert [event.criterion for event in found] == ["coherence", "fluency"]


def test_a_score_that_cannot_be_read_does_not_take_the_others_along() -> None:
    """One of two evaluators is of no known scale: its score is refused and counted, the other's is read."""
    fields = {"mood_score": 80, "mood_reason": ".", "fluency_score": 4, "fluency_reason": "."}
    batch = Decoder().decode_batch([(json.dumps({**WHOSE, **fields}).encode(), (), NOW_MS)])
    assert [event.criterion for event in batch.events if isinstance(event, Evaluation)] == ["fluency"]
    assert [rejection.reason for _, rejection in batch.rejections] == ["invalid_field"]


def test_a_log_record_is_an_evaluation() -> None:
    """The standard's attributes say whose score it is, of what, and when; the same record always has the same id."""
    event = accepted(encoded(RECORD))
    assert isinstance(event, Evaluation)
    assert (event.system, event.flow, event.score, event.interaction_id) == ("claims", "triage", 4.0, "r-1")
    assert event.time == NOW_MS
    assert accepted(encoded(RECORD)).id == event.id


def test_a_stated_range_counts() -> None:
    """20 of 0 to 100 where lower is better is 4.2."""
    stated = {
        "gen_ai.evaluation.min_value": "0",
        "gen_ai.evaluation.max_value": "100",
        "gen_ai.evaluation.desirable_direction": "decrease",
    }
    attributes = {
        **RECORD["attributes"],  # type: ignore[dict-item]
        "gen_ai.evaluation.name": "latency",
        "gen_ai.evaluation.score.value": 20,
        "internal_properties": json.dumps(stated),
    }
    event = accepted(encoded({**RECORD, "attributes": attributes}))
    assert isinstance(event, Evaluation)
    assert event.score == pytest.approx(4.2)


def test_what_cannot_be_mapped_is_refused_with_the_reason() -> None:
    """A value of no known scale, and a record that does not say whose it is."""
    attributes = {**RECORD["attributes"], "gen_ai.evaluation.name": "mood", "gen_ai.evaluation.score.value": 80}  # type: ignore[dict-item]
    assert "state its range" in rejected(encoded({**RECORD, "attributes": attributes})).detail
    assert "without environment, system" in rejected(encoded({**RECORD, "resource": {}})).detail


def test_a_file_is_read_and_its_bad_rows_explained(tmp_path: Path) -> None:
    """The form of `evaluate()`'s output file, with defaults for what rows do not say; nothing is published."""
    path = tmp_path / "results.json"
    rows = [
        {"inputs.query": "?", "outputs.fluency.fluency": 4, "outputs.fluency.fluency_reason": "Good."},
        {"outputs.mood.mood": 80, "outputs.mood.mood_reason": "Sunny."},
    ]
    path.write_text(json.dumps({"rows": rows, "metrics": {}}), encoding="utf-8")
    command = ["evaluate", "import", str(path), "-e", "p", "-s", "s", "-f", "f", "--dry-run", "--json"]
    result = CliRunner().invoke(app, command)
    assert json.loads(result.stdout) == {"rows": 2, "scores": 1, "unread": 1, "published": 0}
    assert "row 2" in result.stderr
    assert "mood" in result.stderr
    assert result.exit_code == 0
