"""From a detector's claim about a row to the firing that is published."""

from __future__ import annotations

from typing import Final

from detectors.base import Claim
from schemas.outputs import Firing, Scope
from schemas.series import SeriesKey
from schemas.words import DetectorName
from stream.core.ticks import MINUTE_MS, rfc3339, time_of

_SCOPED: Final = ("flow", "agent", "budget", "criterion", "version")


def scope_of(key: SeriesKey) -> Scope:
    """The scope that a series stands for."""
    return Scope(**{name: value for name, value in key.labels().items() if name in ("environment", "system", *_SCOPED)})


def firing_of(detector: DetectorName, key: SeriesKey, claim: Claim, tick: int) -> Firing:
    """The firing record for a claim made at `tick`. Its id follows from detector, scope and the tick of opening."""
    scope = scope_of(key)
    fired_at = rfc3339(claim.fired_minute * MINUTE_MS)
    return Firing(
        firing_id=Firing.make_id(detector, scope, fired_at),
        detector=detector,
        status="resolved" if claim.change == "recovered" else "firing",
        tier=claim.tier,
        scope=scope,
        at=time_of(tick),
        fired_at=time_of(claim.fired_minute),
        onset_at=time_of(claim.onset_minute),
        observed=claim.observed,
        baseline=claim.baseline,
        ratio=claim.ratio,
        threshold=claim.threshold,
        unit=claim.unit,
        sample_count=claim.sample_count,
        baseline_count=claim.baseline_count,
        confidence=claim.confidence,
        window_start=time_of(claim.window_start_minute),
        window_end=time_of(claim.window_end_minute),
        ratio_30m=claim.ratio_30m,
        meets_3x=claim.meets_3x,
        summary=claim.summary,
        evidence=dict(claim.evidence),
    )
