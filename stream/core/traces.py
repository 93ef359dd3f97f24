"""Traces put together from spans that come in any order and over any number of batches, workers and partitions.

The parts of a trace become visible at ticks, as everything does (`stream.core.ticks`), and a trace is finished at one:

- when its true root, the span without a parent, is visible: whatever ended before it is visible by then as well;
- when its local root, whose parent is another service's span, is, and nothing came for `settle_minutes`;
- when nothing came for `gap_minutes`, or it has been open for `longest_minutes`;
- before that, if more than `open_traces` are open: those that were quiet the longest.

A finished trace counts once. Its id is remembered for a while, so that what comes late does not count as another
interaction. Everything here is a function of the ticks and of what becomes visible at them, in no order, so it is the
same for every size of batch, every number of workers, after every crash and in a replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stream.adapters.native import Authorization, Interaction
from stream.core.deltas import KIND_CODE, Count
from stream.core.spans import Role, Root, SpanFact, TracePart
from stream.core.ticks import MINUTE_MS
from stream.core.trace_reading import UNNAMED, Whose, read_trace

Key = tuple[str, str, bytes]
"""Environment, system, trace id."""

BudgetName = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class TraceLimits:
    """When a trace is finished, in ticks (minutes), and the caps that bound the memory of a shard."""

    settle_minutes: int = 1
    gap_minutes: int = 5
    longest_minutes: int = 60
    remember_minutes: int = 15
    open_traces: int = 20_000
    spans_per_trace: int = 500
    remembered: int = 200_000


@dataclass(slots=True)
class _Open:
    """A trace that is not finished."""

    first_tick: int
    last_tick: int = 0
    root: int = Root.INNER
    version: str = ""
    whole: bool = False
    budgets: set[BudgetName] = field(default_factory=set)
    spans: dict[bytes, SpanFact] = field(default_factory=dict)


@dataclass(slots=True)
class _Done:
    """A finished trace: when, and the ids of the spans that counted as decisions, one after another."""

    tick: int
    acts: bytes

    def has(self, span_id: bytes) -> bool:
        """Whether a span has counted."""
        return any(self.acts[at : at + len(span_id)] == span_id for at in range(0, len(self.acts), _SPAN_ID_BYTES))


@dataclass(slots=True)
class Finished:
    """What one tick finished: the events to be folded, and counts that are ready."""

    events: list[Interaction | Authorization] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)


class _SavedTrace(msgspec.Struct, array_like=True, gc=False):
    key: Key
    first_tick: int
    last_tick: int
    root: int
    version: str
    whole: bool
    budgets: list[BudgetName]
    spans: list[SpanFact]


class _Saved(msgspec.Struct, array_like=True):
    open: list[_SavedTrace]
    done: list[tuple[str, str, int, bytes, list[bytes]]]
    """Environment, system, tick, the ids that were finished then, one after another, and the acts of each."""


_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Saved)


class Traces:
    """The open traces of one shard, and which were finished lately.

    For metrics there is what finished traces (`root`, `local_root`, `gap`, `longest`, `cap`), and what was left out:
    spans that came `late` or `repeated`, those beyond a trace's cap (`over_spans`), ids `forgotten` at theirs.
    """

    def __init__(self, limits: TraceLimits = TraceLimits()) -> None:
        self.limits = limits
        self.finished: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self._open: dict[Key, _Open] = {}
        self._done: dict[Key, _Done] = {}

    def __len__(self) -> int:
        return len(self._open)

    def step(self, tick: int, parts: Iterable[TracePart]) -> Finished:
        """Take in what becomes visible at `tick`, and finish what is due then."""
        found = Finished()
        self._forget(tick - self.limits.remember_minutes)
        gathered: dict[Key, list[TracePart]] = {}
        for part in parts:
            gathered.setdefault((part.environment, part.system, part.trace_id), []).append(part)
        for key in sorted(gathered):
            if key in self._done:
                self._late(key, gathered[key], found)
            else:
                self._take(tick, key, gathered[key])
        due = [(key, why) for key, trace in self._open.items() if (why := self._due(tick, trace))]
        for key, why in sorted(due):
            self._finish(tick, key, why, found)
        self._obey_caps(tick, found)
        return found

    def last_due(self) -> int | None:
        """The tick by which everything that is open is finished if nothing more comes; None if nothing is open."""
        waits = (self._wait(trace) for trace in self._open.values())
        return max(waits, default=None)

    def _wait(self, trace: _Open) -> int:
        quiet = self.limits.settle_minutes if trace.root else self.limits.gap_minutes
        return min(trace.last_tick + quiet, trace.first_tick + self.limits.longest_minutes)

    def _due(self, tick: int, trace: _Open) -> str:
        """Why the trace is finished at `tick`; empty if it is not."""
        if trace.root == Root.TRUE:
            return "root"
        quiet = tick - trace.last_tick
        if trace.root == Root.LOCAL and quiet >= self.limits.settle_minutes:
            return "local_root"
        if quiet >= self.limits.gap_minutes:
            return "gap"
        return "longest" if tick - trace.first_tick >= self.limits.longest_minutes else ""

    def _take(self, tick: int, key: Key, parts: Sequence[TracePart]) -> None:
        spans = _unique(parts)
        trace = self._open.get(key)
        if trace is None:
            # The end of a trace of which nothing else was seen: one of the many that are no agent's.
            if all(span.role == Role.NONE and not span.marks for span in spans):
                return
            trace = self._open[key] = _Open(tick)
        trace.last_tick = tick
        for part in parts:
            trace.version = max(trace.version, part.version)
            trace.whole |= part.whole
            trace.budgets.update(part.budgets)
        for span in spans:
            trace.root = max(trace.root, span.root)
            if span.span_id in trace.spans:
                self.left_out["repeated"] += 1
            elif len(trace.spans) >= self.limits.spans_per_trace:
                self.left_out["over_spans"] += 1
            else:
                trace.spans[span.span_id] = span

    def _late(self, key: Key, parts: Sequence[TracePart], found: Finished) -> None:
        spans = [span for span in _unique(parts) if span.role != Role.NONE]
        self.left_out["late"] += len(spans)
        if not any(part.whole for part in parts):
            return
        done = self._done[key]
        for span_id, decision in read_trace(Whose(*key, max(part.version for part in parts)), spans).decisions.items():
            if len(done.acts) >= self.limits.spans_per_trace * _SPAN_ID_BYTES:
                self.left_out["over_spans"] += 1
            elif not done.has(span_id):
                done.acts += span_id
                found.events.append(decision)

    def _finish(self, tick: int, key: Key, why: str, found: Finished) -> None:
        trace = self._open.pop(key)
        self.finished[why] += 1
        reading = read_trace(Whose(*key, trace.version), trace.spans.values())
        self._done[key] = _Done(tick, b"".join(reading.decisions))
        if trace.whole:
            if reading.interaction is not None:
                found.events.append(reading.interaction)
            found.events += reading.decisions.values()
        for span in reading.sums:
            read, cached, written, cost = span.tokens
            minute = span.end_ms // MINUTE_MS
            if trace.whole:
                dims = (span.agent or UNNAMED, span.model or UNNAMED, "payg")
                amounts = (1, read, cached, written, cost)
                found.counts.append(Count(KIND_CODE["usage"], *key[:2], dims, minute, amounts))
            for environment, system, name in sorted(trace.budgets):
                found.counts.append(Count(KIND_CODE["budget"], environment, system, (name,), minute, (1, cost)))

    def _obey_caps(self, tick: int, found: Finished) -> None:
        beyond = len(self._open) - self.limits.open_traces
        if beyond > 0:
            oldest = sorted(self._open, key=lambda key: (self._open[key].last_tick, key))[:beyond]
            for key in oldest:
                self._finish(tick, key, "cap", found)
        beyond = len(self._done) - self.limits.remembered
        if beyond > 0:
            self.left_out["forgotten"] += beyond
            for key in sorted(self._done, key=lambda key: (self._done[key].tick, key))[:beyond]:
                del self._done[key]

    def _forget(self, horizon: int) -> None:
        if any(done.tick <= horizon for done in self._done.values()):
            self._done = {key: done for key, done in self._done.items() if done.tick > horizon}

    def save(self) -> bytes:
        """The open traces and the ids of the finished ones; empty if there are none. The same state, the same bytes."""
        if not self._open and not self._done:
            return b""
        saved = [
            _SavedTrace(
                key,
                trace.first_tick,
                trace.last_tick,
                trace.root,
                trace.version,
                trace.whole,
                sorted(trace.budgets),
                [trace.spans[span_id] for span_id in sorted(trace.spans)],
            )
            for key, trace in sorted(self._open.items(), key=lambda item: item[0])
        ]
        done: dict[tuple[str, str, int], dict[bytes, bytes]] = {}
        for (environment, system, trace_id), one in self._done.items():
            done.setdefault((environment, system, one.tick), {})[trace_id] = one.acts
        finished = [
            (*place, b"".join(sorted(acts)), [acts[trace_id] for trace_id in sorted(acts)])
            for place, acts in sorted(done.items())
        ]
        return _encoder.encode(_Saved(saved, finished))

    def load(self, blob: bytes) -> None:
        """The inverse of `save`. Raises msgspec.MsgspecError for bytes that are none of ours."""
        if not blob:
            return
        saved = _decoder.decode(blob)
        self._open = {
            one.key: _Open(
                one.first_tick,
                one.last_tick,
                one.root,
                one.version,
                one.whole,
                set(one.budgets),
                {span.span_id: span for span in one.spans},
            )
            for one in saved.open
        }
        self._done = {
            (environment, system, ids[at * _TRACE_ID_BYTES : (at + 1) * _TRACE_ID_BYTES]): _Done(tick, own)
            for environment, system, tick, ids, acts in saved.done
            for at, own in enumerate(acts)
        }


def _unique(parts: Iterable[TracePart]) -> list[SpanFact]:
    """The spans of all parts, each id once, in an order of their own: of several with one id the smallest stays."""
    found: dict[bytes, SpanFact] = {}
    for span in sorted(span for part in parts for span in part.spans):
        found.setdefault(span.span_id, span)
    return sorted(found.values(), key=lambda span: (span.end_ms, span.span_id))
