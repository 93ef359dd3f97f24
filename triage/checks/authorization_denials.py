"""Do denials spike beside the trigger? The runbook's first question, because it is the gravest cause.

An agent that is suddenly refused acts outside its scope: a misconfigured deployment or a prompt injection. Each
agent's share of denied requests since the onset is compared with the reference period by Fisher's exact test against
twice the reference odds; where every request on record is a denial, so that shares say nothing, denials per minute are
compared by the conditional Poisson test instead. The p-value is corrected for the number of agents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from schemas.base import Count, Ratio
from schemas.outputs import Evidence, Finding
from schemas.words import CheckName
from triage.case import AgentDenials, Case
from triage.checks.base import MAX_LISTED, CheckSettings, evaluated, no_data
from triage.statistics import bonferroni, conditional_greater, fisher_greater, rounded
from triage.words import chance, quoted, sentence_number, share_of


class AuthorizationDenialsSettings(CheckSettings):
    """When denials are a spike."""

    alpha: Annotated[Ratio, Field(description="p-value below which denials are a spike (critical)")] = 0.001
    suspicious_alpha: Annotated[Ratio, Field(description="p-value below which denials are raised (warning)")] = 0.02
    natural_ratio: Annotated[
        float, Field(ge=1, le=100, description="how much denials vary without news, as a ratio; the test is against it")
    ] = 2.0
    minimum_denials: Annotated[
        Count, Field(ge=1, description="fewest denials of one agent that count, because a caller retries")
    ] = 5


@dataclass(frozen=True)
class AuthorizationDenialsCheck:
    """The check `authorization_denials`; readings `usual`, `raised`, `spike`."""

    settings: AuthorizationDenialsSettings = field(default_factory=AuthorizationDenialsSettings)
    name: CheckName = "authorization_denials"

    def check(self, case: Case) -> Finding:
        """Critical for a spike, warning where denials are raised but chance is not ruled out."""
        if case.denials is None:
            return no_data(self.name, "No authorization telemetry from this system, so denials cannot be checked.")
        if not any(agent.recent.total for agent in case.denials):
            return no_data(self.name, "No authorization decision since the onset.")
        tested = sorted(
            ((self._p_value(agent, len(case.denials)), agent) for agent in case.denials),
            key=lambda item: (item[0], -item[1].recent.hits, item[1].agent),
        )
        enough = [(p, item) for p, item in tested if item.recent.hits >= self.settings.minimum_denials]
        spikes = [item for p, item in enough if p <= self.settings.alpha]
        p_value, agent = enough[0] if enough else tested[0]
        evidence = _evidence(p_value, agent, tested, len(spikes))
        if spikes:
            evidence["reading"] = "spike"
            summary = _spike_words(p_value, agent, len(spikes))
            return evaluated(self.name, "critical", summary, evidence, agent.exemplars)
        if enough and p_value <= self.settings.suspicious_alpha:
            evidence["reading"] = "raised"
            summary = (
                f"Denials of agent {quoted(agent.agent)} are raised, {_against(agent)} ({chance(p_value)}), "
                "too few to call a spike."
            )
            return evaluated(self.name, "warning", summary, evidence, agent.exemplars)
        evidence["reading"] = "usual"
        recent = sum(item.recent.hits for item in case.denials)
        requests = sum(item.recent.total for item in case.denials)
        summary = f"Denials are as usual: {recent:,} of {requests:,} requests since the onset."
        return evaluated(self.name, "none", summary, evidence)

    def _p_value(self, agent: AgentDenials, agents: int) -> float:
        recent, before = agent.recent, agent.before
        if before.total == 0 or before.hits >= before.total:
            p = conditional_greater(
                recent.hits, recent.minutes, before.hits, before.minutes, self.settings.natural_ratio
            )
        else:
            p = fisher_greater(recent, before, odds=self.settings.natural_ratio)
        return bonferroni(p, agents)


def _against(agent: AgentDenials) -> str:
    return f"{share_of(agent.recent)} against {share_of(agent.before)} before"


def _spike_words(p_value: float, agent: AgentDenials, spikes: int) -> str:
    others = f" {sentence_number(spikes - 1, 'more agent')} refused likewise." if spikes > 1 else ""
    top = agent.top[0] if agent.top else None
    most = (
        f" Most are action {quoted(top.action)} by {quoted(top.principal)} ({top.recent:,}, before {top.before:,})."
        if top
        else ""
    )
    return (
        f"Agent {quoted(agent.agent)} is being refused: {_against(agent)} ({chance(p_value)}).{most}{others} "
        "It acts outside its scope: suspect a prompt injection or a misconfigured deployment."
    )


def _evidence(p_value: float, first: AgentDenials, tested: list[tuple[float, AgentDenials]], spikes: int) -> Evidence:
    top = first.top[0] if first.top else None
    return {
        "p_value": rounded(p_value),
        "agent": first.agent,
        "action": top.action if top else None,
        "principal": top.principal if top else None,
        "agents": len(tested),
        "agents_spiking": spikes,
        "top": [_agent_evidence(p, agent) for p, agent in tested[:MAX_LISTED]],
    }


def _agent_evidence(p_value: float, agent: AgentDenials) -> Evidence:
    return {
        "agent": agent.agent,
        "denials": agent.recent.hits,
        "requests": agent.recent.total,
        "minutes": agent.recent.minutes,
        "denials_before": agent.before.hits,
        "requests_before": agent.before.total,
        "minutes_before": agent.before.minutes,
        "p_value": rounded(p_value),
        "by_action_and_principal": [
            {"action": item.action, "principal": item.principal, "denials": item.recent, "denials_before": item.before}
            for item in agent.top[:MAX_LISTED]
        ],
    }
