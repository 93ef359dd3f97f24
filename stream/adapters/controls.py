"""Records of the controls topic: what humans tell the engine, and nothing else.

They are few, so they are read with care from the start, by the contract's models. Telemetry has no business here, as
controls have none among telemetry: each is refused where it does not belong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from schemas.base import JsonObject
from schemas.controls import CONTROL, CONTROL_MODELS, Acknowledgement, Approval, Silence
from schemas.words import CONTROL_TYPES, CONTROLS_TOPIC
from stream.adapters.decoder import Counters, Limits, Record
from stream.adapters.explain import check_age, reject_errors
from stream.adapters.formats import found_in
from stream.adapters.payload import Headers, Payload, without_registry_prefix
from stream.adapters.rejection import RejectedRecord, Rejection, quote
from stream.adapters.times import milliseconds

Control = Silence | Acknowledgement

_NAMES: Final[dict[str, frozenset[str]]] = {
    str(kind): frozenset(model.model_fields) for kind, model in CONTROL_MODELS.items()
}

_WANTED: Final = f"{CONTROLS_TOPIC} takes {', '.join(CONTROL_TYPES)}; telemetry goes to its own topics"


@dataclass(slots=True)
class DecodedControls:
    """A batch of controls. `controls[i]` came from the record at `positions[i]` of the batch.

    `approvals` counts the valid ones, which are for those who act on verdicts and change none.
    """

    controls: list[Control] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    rejections: list[tuple[int, Rejection]] = field(default_factory=list)
    approvals: int = 0


def decode_controls(records: Iterable[Record], limits: Limits, counters: Counters) -> DecodedControls:
    """The controls in records of the controls topic, in their order. Raises nothing on data.

    A tombstone is passed over: what was said before it holds until its own end.
    """
    found = DecodedControls()
    for position, (value, headers, received_ms) in enumerate(records):
        if value is None:
            counters.tombstones += 1
            continue
        try:
            plains = _read(value, headers, limits)
            controls = [_control(plain, received_ms, limits, counters) for plain in plains]
        except RejectedRecord as rejected:
            found.rejections.append((position, rejected.rejection))
            continue
        for control in controls:
            if isinstance(control, Approval):
                found.approvals += 1
            else:
                found.controls.append(control)
                found.positions.append(position)
    return found


def _read(value: bytes, headers: Headers, limits: Limits) -> list[JsonObject]:
    if len(value) > limits.max_bytes:
        raise RejectedRecord("too_large", f"the value has {len(value):,} bytes; at most {limits.max_bytes:,} are read")
    payload = Payload(without_registry_prefix(value), headers, limits.max_depth)
    _, found = found_in(payload)
    if not all(isinstance(plain, dict) for plain in found):
        raise RejectedRecord("unknown_type", f"the record is another tool's; {_WANTED}")
    return [plain for plain in found if isinstance(plain, dict)]


def _control(plain: JsonObject, received_ms: int, limits: Limits, counters: Counters) -> Control | Approval:
    kind = _check_type(plain)
    unknown = sorted(plain.keys() - _NAMES[kind])
    try:
        control = CONTROL.validate_json(json.dumps({name: plain[name] for name in plain if name not in unknown}))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        rejection = reject_errors(errors, error.error_count())
        raise RejectedRecord(rejection.reason, rejection.detail) from None
    too_far = check_age(milliseconds(control.time), received_ms, limits.max_future_ms, limits.max_age_ms)
    if too_far is not None:
        raise RejectedRecord(too_far.reason, too_far.detail)
    counters.unknown_fields.add(kind, unknown)
    return control


def _check_type(plain: JsonObject) -> str:
    if "type" not in plain:
        raise RejectedRecord("missing_type", f"the record has no `type`; {_WANTED}")
    said = plain["type"]
    if said not in CONTROL_TYPES:
        shown = quote(said) if isinstance(said, str) else "no text"
        raise RejectedRecord("unknown_type", f"`type` is {shown}; {_WANTED}")
    return str(said)
