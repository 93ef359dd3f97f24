"""What a check is, and the three ways in which it can answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pydantic import ConfigDict

from schemas.base import Model
from schemas.outputs import Evidence, Exemplar, Finding
from schemas.words import CheckName, FindingSeverity
from triage.case import Case
from triage.words import bounded

MAX_LISTED = 5
"""Most agents, dependencies, flows or rollouts that one finding's evidence lists."""


class CheckSettings(Model):
    """Settings of a check. Unknown keys are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Check(Protocol):
    """One step of the runbook: a case in, a finding out. Pure, deterministic, and without data it says so.

    `evidence["reading"]` is the check's answer in one word of its own closed vocabulary; the posterior reads it.
    """

    @property
    def name(self) -> CheckName:
        """The check's name, as it appears in findings."""
        ...

    def check(self, case: Case) -> Finding:
        """The finding for this case. Raises nothing on data; a source that is None is `no_data`."""
        ...


def evaluated(
    check: CheckName,
    severity: FindingSeverity,
    summary: str,
    evidence: Evidence,
    exemplars: Iterable[Exemplar] = (),
) -> Finding:
    """The answer of a check that had what it needs."""
    return Finding(
        check=check,
        severity=severity,
        status="evaluated",
        summary=bounded(summary),
        evidence=evidence,
        exemplars=tuple(exemplars)[:MAX_LISTED],
    )


def no_data(check: CheckName, summary: str, evidence: Evidence | None = None) -> Finding:
    """The answer of a check whose source is missing or says too little. It never stops the chain."""
    return Finding(
        check=check,
        severity="none",
        status="no_data",
        summary=bounded(summary),
        evidence=evidence or {"reading": "none"},
    )


def failed(check: CheckName, summary: str) -> Finding:
    """The answer in place of a check that failed or ran out of time. It never stops the chain."""
    return Finding(check=check, severity="none", status="error", summary=bounded(summary))
