"""The checks by name, in the runbook's order, and those of third parties behind them.

A third party's package declares an entry point in the group `midwatch.checks`: a callable without arguments that
returns a check. Such checks run after the runbook's four, as annotations: they never decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

from schemas.words import CHECK_ORDER, CheckName
from triage.checks.authorization_denials import AuthorizationDenialsCheck
from triage.checks.base import Check, failed
from triage.checks.circuit_breaker_state import CircuitBreakerStateCheck
from triage.checks.eval_score_trend import EvalScoreTrendCheck
from triage.checks.recent_deployments import RecentDeploymentsCheck
from triage.settings import TriageSettings

GROUP: Final = "midwatch.checks"
"""The entry point group of third-party checks."""

CHECKS: Final[dict[CheckName, Callable[[TriageSettings], Check]]] = {
    "authorization_denials": lambda settings: AuthorizationDenialsCheck(settings.authorization_denials),
    "circuit_breaker_state": lambda settings: CircuitBreakerStateCheck(settings.circuit_breaker_state),
    "eval_score_trend": lambda settings: EvalScoreTrendCheck(settings.eval_score_trend),
    "recent_deployments": lambda settings: RecentDeploymentsCheck(settings.recent_deployments),
}
"""How each check of the runbook is made."""


def build(settings: TriageSettings, third_party: Iterable[EntryPoint] | None = None) -> tuple[Check, ...]:
    """The runbook's checks in order, then those of third parties in order of their names.

    Raises TypeError for an entry point that makes no check, ValueError for a name that is taken or that a finding
    cannot carry.
    """
    runbook = [CHECKS[name](settings) for name in CHECK_ORDER]
    points = entry_points(group=GROUP) if third_party is None else third_party
    taken: set[str] = set(CHECK_ORDER)
    extra: list[Check] = []
    for point in sorted(points, key=lambda item: (item.name, item.value)):
        check = point.load()()
        name = getattr(check, "name", None)
        if not isinstance(name, str) or not callable(getattr(check, "check", None)):
            raise TypeError(f"entry point {point.name} = {point.value} ({GROUP}) makes no check: no name or check()")
        if name in taken:
            raise ValueError(f"entry point {point.name} = {point.value} ({GROUP}): a check named {name} exists already")
        failed(cast("CheckName", name), "")  # A name that no finding can carry is better refused here than at 2 am.
        taken.add(name)
        extra.append(check)
    return (*runbook, *extra)
