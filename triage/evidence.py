"""What all the findings and the case say together, as a few words from closed vocabularies.

The posterior does not look at numbers: each source of evidence is put into one of a handful of bins, whose likelihood
under each cause is learned from labelled cases. A source that is missing has no bin and counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from schemas.outputs import Finding
from triage.case import Case, Rate
from triage.words import fraction

FEATURES: Final = ("trigger", "denials", "dependency", "scores", "changes", "reasons", "volume")
"""The sources of evidence, in the order in which they are multiplied."""

_TIMES: Final = ((-1, "just_after"), (5, "at_onset"), (15, "close"), (60, "near"), (math.inf, "far"))
"""How long before the onset a change came: the most minutes, and the word."""
_LEANING: Final = 0.1
"""A p-value that proves nothing and still says something."""
_DOMINANT: Final = 0.5


def observe(case: Case, findings: Iterable[Finding]) -> dict[str, str]:
    """The bin of each source of evidence that is there, in the order of `FEATURES`."""
    evaluated = {finding.check: finding.evidence for finding in findings if finding.status == "evaluated"}
    bins = {
        "trigger": case.firing.detector,
        "denials": _denials(evaluated.get("authorization_denials")),
        "dependency": _dependency(evaluated.get("circuit_breaker_state")),
        "scores": _scores(evaluated.get("eval_score_trend")),
        "changes": _changes(evaluated.get("recent_deployments"), case),
        "reasons": _reasons(case),
        "volume": _volume(case),
    }
    return {feature: word for feature in FEATURES if (word := bins[feature]) is not None}


def _denials(evidence: Mapping[str, Any] | None) -> str | None:
    if evidence is None:
        return None
    if evidence["reading"] == "spike":
        return "spike_certain" if evidence["p_value"] < 1e-9 else "spike"
    if evidence["reading"] == "usual" and evidence["p_value"] < _LEANING:
        return "usual_leaning"
    return str(evidence["reading"])


def _dependency(evidence: Mapping[str, Any] | None) -> str | None:
    if evidence is None:
        return None
    if evidence["reading"] == "not_engaged":
        return "not_engaged_certain" if evidence["p_value"] < 1e-9 else "not_engaged"
    return str(evidence["reading"])


def _scores(evidence: Mapping[str, Any] | None) -> str | None:
    if evidence is None:
        return None
    reading, change = evidence["reading"], evidence["change"]
    if reading == "dropping":
        return "dropping_far" if change < -0.8 else "dropping"
    if reading in ("unclear", "stable") and evidence["p_value"] < _LEANING:
        return "unclear_lower"
    return str(reading)


def _changes(evidence: Mapping[str, Any] | None, case: Case) -> str | None:
    if evidence is None:
        return "no_data"
    reading = str(evidence["reading"])
    if reading not in ("short", "ramped"):
        return reading
    minutes = evidence["minutes_before_onset"]
    when = next(word for bound, word in _TIMES if minutes <= bound)
    if reading == "ramped":
        return f"ramped_{when}"
    if evidence.get("outcome") == "unclear":
        return "short_leaning_worse" if evidence["p_value_worse"] < _LEANING else "short_leaning_equal"
    return "short_too_small" if _too_small(evidence, case) else f"short_{when}"


def _too_small(evidence: Mapping[str, Any], case: Case) -> bool:
    """Whether the excess is more than the change's share of the traffic could make, if all of it escalated."""
    shares = evidence["canary_percents"]
    if case.interactions is None or case.interactions_before is None or not shares:
        return False
    excess = fraction(case.interactions) - fraction(case.interactions_before)
    return bool(max(shares) < 100 and excess > max(shares) / 100)


def _reasons(case: Case) -> str | None:
    """The reason that makes up most of the escalations above the usual, or `mixed`."""
    now, then = case.interactions, case.interactions_before
    if not case.reasons or now is None or then is None or then.total == 0:
        return None
    # Both counts of a reason and these totals are of the same periods; what is usual at this hour is another question.
    scale = now.total / then.total
    above = {reason: recent - before * scale for reason, (recent, before) in sorted(case.reasons.items())}
    excess = sum(value for value in above.values() if value > 0)
    if excess < 3:
        return "none"
    reason, most = max(above.items(), key=lambda item: (item[1], item[0]))
    return reason if most >= _DOMINANT * excess else "mixed"


def _volume(case: Case) -> str | None:
    now, then = case.interactions, case.volume_before or case.interactions_before
    if now is None or then is None or then.total == 0 or now.minutes <= 0 or then.minutes <= 0:
        return None
    ratio = _per_minute(now) / _per_minute(then)
    return "fell" if ratio < 0.6 else "surged" if ratio > 1.6 else "usual"


def _per_minute(rate: Rate) -> float:
    return rate.total / rate.minutes
