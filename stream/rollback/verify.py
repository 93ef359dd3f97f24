"""Whether a rollback helped and held: read from what Midwatch publishes, and from the tool that did it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from schemas.actions import ActionTaken
from schemas.base import format_time
from schemas.outputs import Evidence, Verdict
from stream.rollback.rules import Rules
from stream.rollback.steps import Said

Observed = Literal["rolled_back", "serving", "moved_on", "unknown"]
"""What the tool says: the version to leave is gone; it serves; another one than both does; it cannot tell."""


def verify(done: ActionTaken, newest: Verdict, observed: Observed, rules: Rules, now: datetime) -> Said | None:
    """How an action that succeeded has turned out, or None while that is open.

    `verified`: its incident, whose newest verdict is `newest`, is resolved, for which every firing must have recovered
    by the detectors' own stricter threshold and hold time; and the version to leave does not serve.
    """
    minutes = round((now - done.time).total_seconds() / 60, 1)
    evidence: Evidence = {
        "version": observed,
        "minutes": minutes,
        "verdict_id": newest.verdict_id,
        "status": newest.status,
        "observed": newest.trigger.observed,
        "baseline": newest.trigger.baseline,
        "unit": newest.trigger.unit,
    }
    version = done.target.from_version if done.target else "the version"
    if observed == "serving":
        words = f"{version} serves again {minutes:g} min after it was rolled back: something deploys it anew"
        return Said("not_verified", words, "came_back", attention=True, evidence=evidence)
    if newest.status == "resolved" and newest.revision > done.revision:
        when = format_time(newest.decided_at)
        if observed == "unknown":
            words = f"every firing has recovered by {when}; which version serves, the executor cannot say"
            return Said("verified", words, "rate_only", evidence=evidence)
        words = f"every firing has recovered by {when}, and {version} does not serve"
        return Said("verified", words, evidence=evidence)
    if now > done.time + rules.verify_for:
        words = f"the incident is still open {minutes:g} min after the rollback of {version}: look further"
        return Said("not_verified", words, "not_recovered", attention=True, evidence=evidence)
    return None
