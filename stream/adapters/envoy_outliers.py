"""Envoy's outlier detection log (`envoy.data.cluster.v3.OutlierDetectionEvent` as JSON), Istio's too.

Outlier detection is a breaker for each host: EJECT takes it out of the load balancing (open), UNEJECT puts it back
(closed). The cluster is the dependency, the host the instance. An ejection that was only logged (`enforced` false) is
passed over. Field names come in snake case (the event log) or camel case (protobuf's JSON).
"""

from __future__ import annotations

from typing import Final

from stream.adapters.foreign import event, first, moment, number, short, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

STATES: Final = {"EJECT": ("open", "closed"), "UNEJECT": ("closed", "open")}
"""By action: the state, and the one before."""

_CLUSTER: Final = ("cluster_name", "clusterName")
_HOST: Final = ("upstream_url", "upstreamUrl")
_SUCCESS: Final = (
    "eject_success_rate_event.host_success_rate",
    "ejectSuccessRateEvent.hostSuccessRate",
    "eject_failure_percentage_event.host_success_rate",
    "ejectFailurePercentageEvent.hostSuccessRate",
)


_EJECTIONS: Final = ("num_ejections", "numEjections")
_FIRST_TYPE: Final = "CONSECUTIVE_5XX"


def is_outlier_event(payload: Payload) -> bool:
    """Whether the value names a cluster, a host and an action, or how often the host was ejected.

    Envoy writes every field; other writers of protobuf's JSON leave out what has its default, as EJECT and 5XX do.
    """
    plain = payload.object
    acted = "action" in plain or first(plain, _EJECTIONS) is not None
    return acted and first(plain, _CLUSTER) is not None and first(plain, _HOST) is not None


def read_outlier_event(payload: Payload) -> list[Found]:
    """The host's new state. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    action = plain.get("action", "EJECT")
    if not isinstance(action, str) or action not in STATES:
        shown = quote(action) if isinstance(action, str) else "no text"
        raise RejectedRecord("invalid_field", f"Envoy: `action` is {shown}, neither EJECT nor UNEJECT")
    if action == "EJECT" and plain.get("enforced") is not True:
        return [PassedOver("an Envoy ejection that was not enforced")]
    state, before = STATES[action]
    cluster = text_at(plain, *_CLUSTER)
    required = {
        "time": moment(payload, plain.get("timestamp")),
        "environment": None,
        "system": None,
        "dependency": cluster,
        "state": state,
    }
    optional = {
        "breaker": f"outlier detection of {cluster}"[:256],
        "instance": _instance(payload.header("midwatch_instance"), text_at(plain, *_HOST)),
        "previous_state": before,
        "reason": short(plain.get("type", _FIRST_TYPE)),
        "failure_rate": _failure_rate(number(first(plain, _SUCCESS))),
    }
    return [event(payload, "Envoy", "circuit_breaker", required, optional)]


def _instance(proxy: str | None, host: str | None) -> str | None:
    """The host; as one proxy sees it, if the record's header names the proxy: each ejects for itself."""
    return f"{proxy} {host}"[:256] if proxy and host else host


def _failure_rate(success_percent: float | None) -> float | None:
    if success_percent is None or not 0 <= success_percent <= 100:
        return None
    return round(1 - success_percent / 100, 6)
