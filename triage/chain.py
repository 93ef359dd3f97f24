"""The chain: the runbook's checks in order, the first critical finding decides.

Checks behind the stop still run, as annotations marked `after_stop`, so that a concurrent cause is not hidden. A check
without data and a check that failed are outcomes: neither stops the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.outputs import Finding, ProbableCause
from schemas.words import CHECK_ORDER, Action, TriageResult
from triage.case import Case
from triage.checks.base import Check, failed

Guard = Callable[[Check, Case], Finding]
"""Runs one check on one case and always returns a finding; the engine's guard adds a time limit."""

EXPLANATIONS: Final = (
    ("circuit_breaker_state", "partly_engaged"),
    ("circuit_breaker_state", "engaged"),
    ("circuit_breaker_state", "flapping"),
    ("authorization_denials", "raised"),
    ("eval_score_trend", "dropping_elsewhere"),
    ("eval_score_trend", "other_criterion"),
    ("circuit_breaker_state", "open_not_routing"),
    ("eval_score_trend", "stable"),
)
"""Findings that explain a trigger without being critical, best explanation first: (check, reading)."""


@dataclass(frozen=True, slots=True)
class ChainResult:
    """The chain's answer: every finding in order, and what the first critical one decided."""

    findings: tuple[Finding, ...]
    triage_result: TriageResult
    action: Action
    probable_cause: ProbableCause | None

    @property
    def decided(self) -> Finding | None:
        """The critical finding that decided, None where the chain was inconclusive."""
        return next((finding for finding in self.findings if finding.check == self.triage_result), None)

    def finding(self, check: str) -> Finding | None:
        """The finding of the check of this name."""
        return next((finding for finding in self.findings if finding.check == check), None)


def run_guarded(check: Check, case: Case) -> Finding:
    """The plain guard: an exception becomes a finding that says so. It knows no clock, so it sets no time limit."""
    try:
        return check.check(case)
    except Exception as error:  # noqa: BLE001 - a broken check must never take the verdict down with it
        return failed(check.name, f"The check failed: {type(error).__name__}: {str(error)[:300]}")


def run_chain(checks: Sequence[Check], case: Case, run: Guard = run_guarded) -> ChainResult:
    """All checks in order; the first critical finding of the runbook decides, third-party checks only annotate."""
    findings: list[Finding] = []
    decided: Finding | None = None
    for check in checks:
        finding = run(check, case)
        annotation = decided is not None or check.name not in CHECK_ORDER
        findings.append(finding.model_copy(update={"after_stop": annotation}))
        if not annotation and finding.severity == "critical" and finding.status == "evaluated":
            decided = finding
    if decided is None:
        return ChainResult(tuple(findings), "inconclusive", "manual_investigation", _explanation(findings))
    return ChainResult(
        findings=tuple(findings),
        triage_result=decided.check,
        action="immediate_rollback_or_escalation",
        probable_cause=ProbableCause(check=decided.check, summary=decided.summary),
    )


def _explanation(findings: Sequence[Finding]) -> ProbableCause | None:
    said = {(finding.check, finding.evidence.get("reading")): finding for finding in findings}
    best = next((said[key] for key in EXPLANATIONS if key in said), None)
    return ProbableCause(check=best.check, summary=best.summary) if best else None
