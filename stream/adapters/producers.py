"""The tools whose JSON is understood as it is, in the order in which they are asked. A new one is a module and a line.

Each is known by fields that no other has, and that no event of Midwatch's own has. A record of a known tool in a shape
that is not known becomes a dead letter that says so.
"""

from __future__ import annotations

from typing import Final

from stream.adapters import (
    argo_rollouts,
    authzen,
    cdevents,
    envoy_outliers,
    flagger,
    github_deployments,
    mcp,
    opa,
    polly,
    resilience4j,
)
from stream.adapters.found import Format
from stream.adapters.payload import Payload

PRODUCERS: Final = (
    Format("github_deployments", github_deployments.is_webhook, github_deployments.read_webhook),
    Format("cdevents", cdevents.is_cdevent, cdevents.read_cdevent),
    Format("argo_rollouts", argo_rollouts.is_rollout, argo_rollouts.read_rollout),
    Format("flagger", flagger.is_canary, flagger.read_canary),
    Format("resilience4j", resilience4j.is_breaker_event, resilience4j.read_breaker_event),
    Format("polly", polly.is_resilience_event, polly.read_resilience_event),
    Format("envoy_outliers", envoy_outliers.is_outlier_event, envoy_outliers.read_outlier_event),
    Format("mcp", mcp.is_message, mcp.read_message),
    Format("authzen", authzen.is_decision, authzen.read_decision),
    Format("opa", opa.is_decision_log, opa.read_decision_log),
)


def producer_of(payload: Payload) -> Format | None:
    """The tool that wrote the object in a record, or None."""
    return next((known for known in PRODUCERS if known.claims(payload)), None)
