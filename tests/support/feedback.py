"""Feedback by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas.feedback import Feedback

DECIDED = datetime(2026, 3, 4, 2, 15, tzinfo=UTC)


def judged(number: int = 0, **more: Any) -> Feedback:
    """A confirmed verdict of a bad deployment; each number is an incident."""
    body = {
        "id": f"fbk_{number}",
        "time": DECIDED,
        "judgement": "confirmed",
        "incident_id": f"inc_{number}",
        "verdict_id": f"vrd_{number}",
        "decided_at": DECIDED,
        "environment": "production",
        "system": "refunds",
        "detector": "escalation_rate",
        "triage_result": "recent_deployments",
        "check": "recent_deployments",
        "top_cause": "deployment",
        "top_probability": 0.97,
        "by": "ada",
    }
    return Feedback.model_validate(body | more)
