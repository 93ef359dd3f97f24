"""Cases told from one quiet night: everything is healthy but what a story changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import Deployment, Target
from schemas.outputs import Engine, Exemplar, Firing, Scope
from triage.case import (
    AgentDenials,
    BreakerReading,
    Case,
    DenialCount,
    DependencyHealth,
    DeploymentHistory,
    Rate,
    ScoreSummary,
    ScoreTrend,
    VersionOutcome,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ONSET = datetime(2026, 3, 3, 2, 10, tzinfo=UTC)
TICK = datetime(2026, 3, 3, 2, 30, tzinfo=UTC)
FLOW = "refund-flow"
ENGINE = Engine(version="0.1.0", config_hash="c0ffee")
TARGET = Target(kind="argo_rollout", ref={"namespace": "agents", "name": "refund-flow"})
LONG_AGO = ONSET - timedelta(days=2)


def ms(time: datetime) -> int:
    return int((time - EPOCH).total_seconds() * 1000)


def at(minutes_before_onset: float) -> datetime:
    return ONSET - timedelta(minutes=minutes_before_onset)


def firing(detector: str = "escalation_rate", **changes: Any) -> Firing:
    scope = changes.pop("scope", Scope(environment="production", system="refunds", flow=FLOW))
    fired_at = changes.pop("fired_at", TICK)
    values: dict[str, Any] = {
        "firing_id": Firing.make_id(detector, scope, fired_at.isoformat()),
        "detector": detector,
        "tier": "page",
        "observed": 0.137,
        "baseline": 0.041,
        "ratio": 3.34,
        "threshold": 4.2,
        "unit": "share",
        "sample_count": 300,
        "baseline_count": 30_000,
        "confidence": 0.9998,
        "window_start": ONSET,
        "window_end": TICK,
        "ratio_30m": 3.34,
        "meets_3x": True,
        "summary": "41 of 300 escalated in 30 min, 13.7 % against 4.1 %, 3.3x; chance 1 in 6,300",
        "status": "firing",
        "scope": scope,
        "at": fired_at,
        "fired_at": fired_at,
        "onset_at": ONSET,
        **changes,
    }
    return Firing(**values)


def quiet(**changes: Any) -> Case:
    """Escalations tripled, and nothing else is out of the ordinary; scores are stable."""
    made = Case(
        firing=firing(),
        tick_ms=ms(TICK),
        onset_ms=ms(ONSET),
        reference_minutes=1440,
        interactions=Rate(82, 600, 20),
        interactions_before=Rate(1_200, 30_000, 1440),
        reasons={"high_risk": (60, 300), "ambiguous": (22, 900)},
        denials=(agent(denied=2, before=100),),
        dependencies=(dependency(failed=6, before=500, state="closed"),),
        scores=(trend(4.3, 4.3),),
        versions=(VersionOutcome(FLOW, "v1", Rate(82, 600, 20), Rate(1_200, 30_000, 1440)),),
        deployments=(),
        tags={"cost-center": "cc-7"},
        exemplars=(Exemplar(trace_id="t1", interaction_id="i1"),),
    )
    return replace(made, **changes)


def agent(name: str = "refund-agent", *, denied: int, before: int, requests: int = 900) -> AgentDenials:
    top = (DenialCount(name, "payments.transfer", "svc-refunds", denied, before),) if denied else ()
    exemplars = (Exemplar(trace_id="t-denied", interaction_id="i-denied"),)
    return AgentDenials(name, Rate(denied, requests, 20), Rate(before, 45_000, 1440), top, exemplars)


def dependency(
    *, failed: int, before: int, state: str | None, changed: datetime = LONG_AGO, changes: int = 0, **more: Any
) -> DependencyHealth:
    readings: tuple[BreakerReading, ...] = ()
    if state is not None:
        readings = (
            BreakerReading(
                breaker="fraud-check-api",
                instance="all",
                state=state,  # type: ignore[arg-type]
                changed_ms=ms(changed),
                reported_ms=ms(TICK),
                failure_rate=None,
                recent_changes=changes,
                recent_openings=more.get("openings"),
            ),
        )
    exemplars = (Exemplar(trace_id="t-slow", interaction_id="i-slow"),)
    return DependencyHealth(
        "fraud-check-api", Rate(failed, 500, 20), Rate(before, 25_000, 1440), failed // 2, readings, exemplars
    )


def trend(recent: float, before: float, *, count: int = 40, flow: str = FLOW, **more: Any) -> ScoreTrend:
    criterion = more.get("criterion", "escalation_appropriateness")
    return ScoreTrend(flow, criterion, ScoreSummary(count, recent, 0.5), ScoreSummary(1_000, before, 0.5))


def rollout(
    *steps: tuple[float, float], version: str = "v2", previous: str | None = "v1", component: str = FLOW, **more: Any
) -> DeploymentHistory:
    """Steps are (minutes before the onset, share of traffic); -1 for a rollback."""
    history = DeploymentHistory.of(_events(steps, version, previous, component, more))
    assert history is not None
    return history


def _events(
    steps: Iterable[tuple[float, float]], version: str, previous: str | None, component: str, more: dict[str, Any]
) -> list[Deployment]:
    found = []
    for index, (minutes, share) in enumerate(steps):
        phase = "rolled_back" if share < 0 else "completed" if share == 100 else "progressed" if index else "started"
        found.append(
            Deployment(
                id=f"dep-{version}-{index}",
                time=at(minutes),
                environment="production",
                system="refunds",
                change=more.get("change", "flow"),
                component=component,
                version=version,
                previous_version=previous,
                phase=phase,  # type: ignore[arg-type]
                canary_percent=max(share, 0.0),
                target=more.get("target", TARGET),
            )
        )
    return found


def full_ramp(end: float, **more: Any) -> DeploymentHistory:
    """5, 25, 50 and 100 per cent, fifteen minutes each, the last step `end` minutes before the onset."""
    return rollout((end + 45, 5), (end + 30, 25), (end + 15, 50), (end, 100), **more)


def by_version(new: tuple[int, int], old: tuple[int, int]) -> tuple[VersionOutcome, ...]:
    """Escalations and interactions since the onset, of v2 and of v1."""
    return (
        VersionOutcome(FLOW, "v1", Rate(*old, 20), Rate(1_200, 30_000, 1440)),
        VersionOutcome(FLOW, "v2", Rate(*new, 20), Rate(0, 0, 0)),
    )


def injected() -> Case:
    """A prompt injection: one agent is refused."""
    return quiet(denials=(agent(denied=80, before=100),), reasons={"policy": (70, 200), "ambiguous": (12, 1_000)})


def outage(state: str | None = "open", **more: Any) -> Case:
    """A dependency fails half its calls; its breaker is in `state` since two minutes after the onset."""
    changed = at(-2) if state in ("open", "half_open", "forced_open") else LONG_AGO
    reasons = {"dependency_unavailable": (70, 40), "ambiguous": (12, 1_160)}
    broken = dependency(failed=250, before=200, state=state, changed=changed, changes=int(changed > ONSET), **more)
    return quiet(dependencies=(broken,), reasons=reasons)


def judgement() -> Case:
    """Appropriateness falls by a point."""
    return quiet(scores=(trend(3.2, 4.3),), reasons={"ambiguous": (70, 900), "high_risk": (12, 300)})


def bad_deployment() -> Case:
    """A flow change went to all traffic at once, three minutes before the onset."""
    return quiet(
        deployments=(rollout((3, 100)),),
        versions=by_version((82, 600), (0, 0)),
        scores=(trend(4.3, 4.3),),
        reasons={"error": (66, 100), "ambiguous": (16, 1_100)},
    )
