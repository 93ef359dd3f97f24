"""Argo Rollouts: the webhook of `deploy/argo-rollouts/`, or a Rollout object as the Kubernetes API shows it.

The template sends `{"producer": "argo-rollouts", "trigger": ..., "time": ..., "rollout": {...}}`; what is read of the
rollout stands at the same paths as in the object itself.

| status | phase | share of traffic |
|---|---|---|
| `abort` is true | `rolled_back` | 0 |
| `phase: Healthy` | `completed` | 100 |
| else, by `currentStepIndex` | `started` at 0, `progressed` after | see below |

The share is `status.canary.weights.canary.weight` (with a traffic router), else the last `setWeight` of the steps that
are done. A blue-green rollout has all traffic once the active service points to the new pods.
"""

from __future__ import annotations

from typing import Any, Final

from schemas.base import JsonObject
from stream.adapters.changes import deployment, own_words
from stream.adapters.foreign import at, moment, number, text, text_at
from stream.adapters.found import Found, PassedOver
from stream.adapters.payload import Payload
from stream.adapters.rejection import RejectedRecord, quote

PRODUCER: Final = "argo-rollouts"
_PHASES: Final = ("Healthy", "Progressing", "Paused", "Degraded")
_DOMAIN: Final = "midwatch.io/"
_NAME_LABELS: Final = ("app.kubernetes.io/name", "app")
_VERSION_LABEL: Final = "app.kubernetes.io/version"
_FULL: Final = 100.0


def is_rollout(payload: Payload) -> bool:
    """Whether the value is the template's, or a Rollout."""
    plain = payload.object
    return plain.get("producer") == PRODUCER or _is_rollout_object(plain)


def _is_rollout_object(plain: JsonObject) -> bool:
    api = plain.get("apiVersion")
    return plain.get("kind") == "Rollout" and isinstance(api, str) and api.startswith("argoproj.io/")


def read_rollout(payload: Payload) -> list[Found]:
    """How far the rollout has come. Raises RejectedRecord, with what is missing."""
    plain = payload.object
    rollout = plain if _is_rollout_object(plain) else plain.get("rollout")
    if not isinstance(rollout, dict) or not isinstance(rollout.get("status"), dict):
        raise RejectedRecord("invalid_field", "Argo Rollouts: `rollout.status` is missing; is it the shipped template?")
    phase = at(rollout, "status.phase")
    if phase not in _PHASES:
        shown = quote(phase) if isinstance(phase, str) else "no text"
        raise RejectedRecord("invalid_field", f"Argo Rollouts: `status.phase` is {shown}, none of {', '.join(_PHASES)}")
    reached = _reached(rollout, phase)
    if reached is None:
        return [PassedOver(f"an Argo rollout that is {phase} and says no share of traffic")]
    return [_deployment(payload, plain, rollout, reached)]


def _deployment(payload: Payload, plain: JsonObject, rollout: JsonObject, reached: tuple[str, float]) -> JsonObject:
    labels = _labels(rollout)
    own = own_words({key.removeprefix(_DOMAIN): value for key, value in labels.items() if key.startswith(_DOMAIN)})
    own.pop("canary_percent", None)
    name, namespace = text_at(rollout, "metadata.name"), text_at(rollout, "metadata.namespace")
    image = text_at(rollout, "spec.template.spec.containers.0.image")
    target = {"kind": "argo_rollout", "ref": {"namespace": namespace or "default", "name": name}}
    guessed: dict[str, Any] = {
        "time": moment(payload, plain.get("time") if "rollout" in plain else None),
        "component": next((found for key in _NAME_LABELS if (found := text(labels.get(key)))), name),
        "version": text(labels.get(_VERSION_LABEL)) or _tag(image) or text_at(rollout, "status.currentPodHash"),
        "phase": reached[0],
        "canary_percent": reached[1],
        "target": target if name else None,
        "artifact": image,
    }
    return deployment(payload, "Argo Rollouts", own, guessed)


def _labels(rollout: JsonObject) -> dict[str, Any]:
    """Labels and annotations; those of the pods go first, for they change with the version."""
    places = ("metadata.labels", "metadata.annotations", "spec.template.metadata.labels")
    found: dict[str, Any] = {}
    for place in (*places, "spec.template.metadata.annotations"):
        part = at(rollout, place)
        found |= part if isinstance(part, dict) else {}
    return found


def _reached(rollout: JsonObject, phase: str) -> tuple[str, float] | None:
    if at(rollout, "status.abort") is True:
        return "rolled_back", 0.0
    if phase == "Healthy":
        return "completed", _FULL
    share = _blue_green(rollout) if at(rollout, "spec.strategy.blueGreen") is not None else _canary(rollout)
    if share is None:
        return None
    return ("started" if share == 0 else "progressed"), share


def _blue_green(rollout: JsonObject) -> float | None:
    active, new = at(rollout, "status.blueGreen.activeSelector"), at(rollout, "status.currentPodHash")
    return None if active is None or new is None else _FULL if active == new else 0.0


def _canary(rollout: JsonObject) -> float | None:
    routed = number(at(rollout, "status.canary.weights.canary.weight"))
    if routed is not None:
        return routed
    index, steps = number(at(rollout, "status.currentStepIndex")), at(rollout, "spec.strategy.canary.steps")
    if index is None or not isinstance(steps, list):
        return None
    # A rollout that is paused stands behind the step that set the weight.
    weights = [number(at(step, "setWeight")) for step in steps[: max(int(index), 0)]]
    return next((weight for weight in reversed(weights) if weight is not None), 0.0)


def _tag(image: str | None) -> str | None:
    """The tag of an image, else its digest cut short."""
    if image is None:
        return None
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    if colon and tag:
        return tag
    return digest[:19] or None
