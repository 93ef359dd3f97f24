"""What humans found out about a verdict afterwards: the labels by which the engine's precision is measured."""

from __future__ import annotations

from typing import Literal

from schemas.base import Model, Name, Ratio, Time
from schemas.controls import Remark
from schemas.outputs import AnyDetector
from schemas.words import Cause, CheckName, Judgement, TriageResult


class Feedback(Model):
    """A human's judgement of an incident's verdict, on the compacted topic `midwatch.feedback`: the last word holds.

    `confirmed`: something was wrong, as the detector said. `refuted`: nothing was. `cause` is what the humans found,
    where they said it; `top_cause` and `top_probability` are what the verdict ranked first, `check` the check that
    decided it. The record speaks for itself: no verdict has to be looked up to count it.
    """

    type: Literal["feedback"] = "feedback"
    id: Name
    time: Time
    judgement: Judgement
    incident_id: Name
    verdict_id: Name
    decided_at: Time
    environment: Name
    system: Name
    detector: AnyDetector
    triage_result: TriageResult
    check: CheckName | None = None
    top_cause: Cause | None = None
    top_probability: Ratio | None = None
    cause: Cause | None = None
    by: Name
    note: Remark | None = None

    @property
    def is_right(self) -> bool:
        """Whether the answer was right, as far as it was said: something was wrong, and no other cause was named."""
        return self.judgement == "confirmed" and self.cause in (None, self.top_cause)
