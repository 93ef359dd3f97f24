"""Usage files as traffic: what each model was asked, minute by minute, and what that costs as pay-as-you-go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, cast

from costs.money import usd_to_micro
from costs.prices import Called, PriceBook
from costs.traffic import Traffic, TrafficBuilder
from schemas.words import ServiceTier
from stream.adapters import Decoder, Limits
from stream.adapters.native import Usage
from stream.adapters.otlp import OtlpReader
from stream.chargeback_read import BadRecord, UsageFileError
from stream.core.ticks import MINUTE_MS
from stream.replay import BAD_LINES_KEPT, BATCH_LINES, BadLine
from stream.usage_columns import Call, column_calls

COLUMNS: Final = (".csv", ".parquet")
IDS_KEPT: Final = 1_000_000
"""Ids of rows among which one that comes again is dropped: the last million at least, two at most."""


@dataclass
class UsageTraffic:
    """What was read. `bad` holds the first lines that are no event, `rejected` counts them all.

    From Kafka, `bad_records` holds them instead, and `cut` counts the partitions that begin too late.
    """

    traffic: dict[str, Traffic] = field(default_factory=dict)
    rows: int = 0
    duplicates: int = 0
    other_events: int = 0
    rejected: int = 0
    bad: list[BadLine] = field(default_factory=list)
    bad_records: list[BadRecord] = field(default_factory=list)
    cut: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """Calls by model, those of models that were not asked for among them."""


def read_traffic(files: Sequence[Path], book: PriceBook, model: str | None, provider: str | None) -> UsageTraffic:
    """The traffic of each model in the files; with `model` of that one alone.

    A file that names no model is taken for `model`; `provider` stands in where a call names none. Raises
    UsageFileError, TrafficError, OSError.
    """
    reader = TrafficReader(book, model, provider)
    for path in files:
        for call in _calls(path, reader.found):
            reader.take(call, path)
    return reader.finish(", ".join(map(str, files)))


class TrafficReader:
    """Makes traffic of calls, in any order, each once. `found` is what was met so far."""

    def __init__(self, book: PriceBook, model: str | None, provider: str | None) -> None:
        self.found = UsageTraffic()
        self._book, self._model, self._provider = book, model, provider
        self._builder, self._ids = TrafficBuilder(), _RecentIds()

    def take(self, call: Call, source: object) -> None:
        """One call of a source. Raises UsageFileError where nothing says which model it is of, TrafficError."""
        self.found.rows += 1
        if call.id is not None and self._ids.again(call.id):
            self.found.duplicates += 1
            return
        name = call.model or self._model
        if name is None:
            raise UsageFileError(f"{source} names no model: say which one with --model")
        self.found.seen[name] += 1
        if self._model in (None, name):
            _add(self._builder, self._book, name, self._provider, call)

    def finish(self, source: str) -> UsageTraffic:
        """What was found, with the traffic. Raises UsageFileError if there is none."""
        self.found.traffic = self._builder.traffic()
        if not self.found.traffic:
            raise UsageFileError(_nothing(source, self.found, self._model))
        return self.found


def _add(builder: TrafficBuilder, book: PriceBook, name: str, provider: str | None, call: Call) -> None:
    tier = cast("ServiceTier | None", call.service_tier)
    called = Called(name, call.provider or provider, call.deployment, tier)
    tokens = (call.input_tokens, call.cached_tokens, call.output_tokens)
    micro = book.micro(called, *tokens, call.day)
    if micro is None and call.cost_usd is not None:
        micro = usd_to_micro(call.cost_usd)
    builder.add(name, call.minute, *tokens, micro)


def _calls(path: Path, found: UsageTraffic) -> Iterator[Call]:
    if path.suffix.lower() in COLUMNS:
        yield from column_calls(path)
        return
    yield from map(call_of, usage_events(path, found))


def call_of(event: Usage) -> Call:
    """A usage event as a call."""
    return Call(
        int(event.time) // MINUTE_MS,
        event.input_tokens,
        event.cached_input_tokens or 0,
        event.output_tokens,
        event.model,
        event.provider,
        event.deployment,
        event.service_tier,
        # Ids are unique within their system.
        f"{event.environment}\0{event.system}\0{event.id}",
        event.cost_usd if event.pricing != "ptu" else None,
    )


def usage_events(path: Path, found: UsageTraffic) -> Iterator[Usage]:
    """The usage events of a file of JSON lines; what is none is counted in `found`. Raises OSError."""
    decoder = Decoder(Limits(max_future_ms=None, max_age_ms=None), otlp=OtlpReader())
    with path.open("rb") as lines:
        numbered = ((number, line) for number, line in enumerate(lines, 1) if not line.isspace())
        while piece := list(islice(numbered, BATCH_LINES)):
            decoded = decoder.decode_batch([(line, (), 0) for _, line in piece])
            for position, rejection in decoded.rejections:
                found.rejected += 1
                if len(found.bad) < BAD_LINES_KEPT:
                    found.bad.append(BadLine(path, piece[position][0], rejection.reason, rejection.detail))
            for event in decoded.events:
                if isinstance(event, Usage):
                    yield event
                else:
                    found.other_events += 1


def _nothing(names: str, found: UsageTraffic, model: str | None) -> str:
    if found.seen:
        known = ", ".join(sorted(found.seen))
        return f"{names}: there is no call of {model}; there are calls of {known}"
    if found.bad:
        first = found.bad[0]
        return f"{names}: no line is a usage event; line {first.line} of {first.path}: {first.reason}: {first.detail}"
    return f"{names}: there is no usage in it"


class _RecentIds:
    """Whether an id came before, among the last million or more."""

    def __init__(self) -> None:
        self._new: set[int] = set()
        self._old: set[int] = set()

    def again(self, identity: str) -> bool:
        """Note an id; True if it is known."""
        code = hash(identity)
        if code in self._new or code in self._old:
            return True
        if len(self._new) >= IDS_KEPT:
            self._old, self._new = self._new, set()
        self._new.add(code)
        return False
