"""Examples beside numbers: within OpenMetrics' bounds, whatever ids hold, and shown where they help."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.exposition import generate_latest

from schemas.outputs import Exemplar, Finding
from stream.core.machine import Outcome
from stream.evaluate_tallies import EvaluateTallies
from stream.exemplars import MAX_CHARACTERS, exemplar
from stream.standing import Staleness
from tests.unit.test_cli_verdicts_text import example

ids = st.one_of(st.none(), st.text(max_size=200))


@given(ids, ids)
def test_what_is_said_is_taken(incident: str | None, trace: str | None) -> None:
    """Whatever ids hold, the client library takes them: it raises for more than OpenMetrics allows."""
    found = exemplar(incident_id=incident, trace_id=trace)
    counter = Counter("midwatch_test", "Test.", registry=CollectorRegistry())
    counter.inc(exemplar=found)
    assert found is None or sum(map(len, [*found, *found.values()])) <= MAX_CHARACTERS
    assert found is None or set(found.values()) <= {incident, trace}


def test_an_id_is_whole_or_not_there() -> None:
    """A trace id that does not fit is left out, and the incident stays."""
    assert exemplar(incident_id="inc_1", trace_id="t" * 256) == {"incident_id": "inc_1"}
    assert exemplar(incident_id=None) is None


def test_a_verdict_shows_its_incident_and_a_trace() -> None:
    """As its finding has it; the text that Prometheus reads holds both."""
    finding: dict[str, Any] = {"check": "recent_deployments", "status": "evaluated", "severity": "critical"}
    shown = Finding(**finding, summary="s", exemplars=(Exemplar(interaction_id="i"), Exemplar(trace_id="ab" * 16)))
    verdict = example().model_copy(update={"findings": (shown,)})
    tallies = EvaluateTallies()
    tallies.note([Outcome(tick=1, verdicts=(verdict,))], Staleness(1, None))
    found = tallies.examples[verdict.status, verdict.triage_result]
    assert found == {"incident_id": verdict.incident_id, "trace_id": "ab" * 16}
    registry = CollectorRegistry()
    Counter("midwatch_test", "Test.", registry=registry).inc(exemplar=found)
    text = cast("Any", generate_latest)(registry).decode()
    assert f'# {{incident_id="{verdict.incident_id}",trace_id="{"ab" * 16}"}} 1.0' in text
