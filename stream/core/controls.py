"""Silences and acknowledgements in one shard: the last word about each, and what is in force at a tick.

Of several records of one silence, or about one incident, the one of the latest time holds, whatever the order in which
they come; of two of the same time the one that ends the silence earlier, or withdraws the acknowledgement. No record
is of any use 28 days after its own time: a silence ends by then (`schemas.controls`), and an incident remembers its
acknowledgement itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, cast

from schemas.controls import ANY, LONGEST, Acknowledgement, Silence
from schemas.outputs import Acknowledged
from schemas.words import SilenceKind
from stream.core.deltas import AcknowledgementRecord, ControlRecord, SilenceRecord
from stream.core.ticks import MINUTE_MS, datetime_of, ms_of
from triage.controls import ActiveSilence, Controls

SILENCES: Final = 2_000
"""Silences that a shard remembers."""

ACKNOWLEDGEMENTS: Final = 10_000
"""Acknowledgements that it remembers."""

SLACK: Final = 2
"""A collection is cut back to its cap when it is this many times over it, and when it is pruned."""

MEMORY_MS: Final = int(LONGEST.total_seconds()) * 1000

Control = Silence | Acknowledgement


class ControlBook:
    """The controls of one shard. `dropped`, if given, counts what a cap cut off: what ends first, or is oldest."""

    def __init__(self, dropped: Counter[str] | None = None) -> None:
        self.silences: dict[str, SilenceRecord] = {}
        self.acknowledgements: dict[str, AcknowledgementRecord] = {}
        self._dropped = dropped if dropped is not None else Counter()
        self._acknowledged: dict[str, Acknowledged | None] = {}

    def apply(self, record: ControlRecord) -> None:
        """Take a record in, if it is the last word so far."""
        if isinstance(record, SilenceRecord):
            known = self.silences.get(record.id)
            if known is None or _silence_order(known) < _silence_order(record):
                self.silences[record.id] = record
                if len(self.silences) > SLACK * SILENCES:
                    self._cut_silences()
        else:
            last = self.acknowledgements.get(record.incident_id)
            if last is None or _acknowledgement_order(last) < _acknowledgement_order(record):
                self.acknowledgements[record.incident_id] = record
                self._acknowledged[record.incident_id] = _acknowledged(record)
                if len(self.acknowledgements) > SLACK * ACKNOWLEDGEMENTS:
                    self._cut_acknowledgements()

    def prune(self, tick: int) -> None:
        """Forget what is of no use any longer as of `tick`, and what is over a cap."""
        oldest = tick * MINUTE_MS - MEMORY_MS
        self.silences = {key: record for key, record in self.silences.items() if record.ms >= oldest}
        self._keep(record for record in self.acknowledgements.values() if record.ms >= oldest)
        self._cut_silences()
        self._cut_acknowledgements()

    def _keep(self, records: Iterable[AcknowledgementRecord]) -> None:
        self.acknowledgements = {record.incident_id: record for record in records}
        self._acknowledged = {key: self._acknowledged[key] for key in self.acknowledgements}

    def _cut_silences(self) -> None:
        excess = len(self.silences) - SILENCES
        if excess > 0:
            self._dropped["silence"] += excess
            order = sorted(self.silences.values(), key=lambda record: (record.ends_ms, record.ms, record.id))
            self.silences = {record.id: record for record in order[excess:]}

    def _cut_acknowledgements(self) -> None:
        excess = len(self.acknowledgements) - ACKNOWLEDGEMENTS
        if excess > 0:
            self._dropped["acknowledgement"] += excess
            order = sorted(self.acknowledgements.values(), key=lambda record: (record.ms, record.incident_id))
            self._keep(order[excess:])

    def records(self) -> Iterable[ControlRecord]:
        """Everything, as records that `apply` takes back."""
        yield from (self.silences[key] for key in sorted(self.silences))
        yield from (self.acknowledgements[key] for key in sorted(self.acknowledgements))

    def at(self, tick: int) -> Controls:
        """What is in force at a tick: silences from their start until before their end, the acknowledgements known."""
        now = tick * MINUTE_MS
        active = [record for record in self.silences.values() if record.starts_ms <= now < record.ends_ms]
        active.sort(key=lambda record: record.id)
        return Controls(tuple(_active(record) for record in active), self._acknowledged)


def record_of(control: Control) -> ControlRecord:
    """A control event as the record that a shard keeps."""
    where = (control.id, ms_of(control.time), control.environment, control.system)
    if isinstance(control, Acknowledgement):
        return AcknowledgementRecord(*where, control.incident_id, control.by, control.note, control.withdrawn)
    matchers = (control.flow, control.agent, control.budget, control.detector)
    times = (ms_of(control.starts_at), ms_of(control.ends_at))
    return SilenceRecord(*where, *matchers, *times, control.kind, control.reason)


def is_for_all(record: object) -> bool:
    """Whether a record belongs into every shard: a silence of every environment or of every system."""
    return isinstance(record, SilenceRecord) and ANY in (record.environment, record.system)


def _silence_order(record: SilenceRecord) -> tuple[object, ...]:
    rest = (record.environment, record.system, record.kind, record.reason)
    matchers = tuple(value or "" for value in (record.flow, record.agent, record.budget, record.detector))
    return (record.ms, -record.ends_ms, record.starts_ms, *rest, *matchers)


def _acknowledgement_order(record: AcknowledgementRecord) -> tuple[object, ...]:
    return (record.ms, record.withdrawn, record.by, record.note or "", record.id)


def _active(record: SilenceRecord) -> ActiveSilence:
    return ActiveSilence(
        id=record.id,
        kind=cast("SilenceKind", record.kind),
        environment=record.environment,
        system=record.system,
        flow=record.flow,
        agent=record.agent,
        budget=record.budget,
        detector=record.detector,
        ends_ms=record.ends_ms,
        reason=record.reason,
    )


def _acknowledged(record: AcknowledgementRecord) -> Acknowledged | None:
    return None if record.withdrawn else Acknowledged(by=record.by, at=datetime_of(record.ms), note=record.note)
