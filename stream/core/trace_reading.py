"""A finished trace, read: the interaction that it was, what was allowed and denied in it, and tokens of agents' sums.

A request is a trace. Its entry is the topmost workflow, agent or model call; its spans are its steps, in the order of
their starts. A tool call that wraps another (an MCP call inside `execute_tool`) is one act, not two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, cast

from schemas.base import MAX_MILLISECONDS, MAX_STEPS
from schemas.words import EscalationReason, Outcome, StepStatus
from stream.adapters.native import Authorization, Escalation, Interaction, Step
from stream.core.spans import CALLER, Mark, Role, SpanFact, Status

UNNAMED: Final = "(unnamed)"
_ACTS: Final = (Role.TOOL, Role.GUARDRAIL, Role.HANDOFF, Role.OTHER)
_NO_STEP: Final = (Role.EVIDENCE, Role.NONE)
_STATUS: Final[dict[int, StepStatus]] = {Status.OK: "ok", Status.ERROR: "error", Status.TIMEOUT: "timeout"}
_MAX_DEPTH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Whose:
    """Which trace it is."""

    environment: str
    system: str
    trace_id: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a trace was.

    Attributes:
        interaction: None for a trace without a workflow, an agent or a model call.
        decisions: what was allowed and denied, by the span that did it.
        sums: the agents' own spans whose tokens count, because no model call has any.
    """

    interaction: Interaction | None
    decisions: dict[bytes, Authorization]
    sums: tuple[SpanFact, ...]


def read_trace(whose: Whose, spans: Iterable[SpanFact]) -> Reading:
    """Read the spans of one trace, each there once, in whatever order."""
    tree = _Tree(spans)
    called = any(span.role in CALLER for span in tree.spans)
    return Reading(_interaction(whose, tree) if called else None, dict(_decisions(whose, tree)), tuple(_sums(tree)))


class _Tree:
    """The spans of a trace in the order of their starts, and how they hang together as far as they are known.

    What starts in the same millisecond stands in the order of its depth.
    """

    def __init__(self, spans: Iterable[SpanFact]) -> None:
        self._by_id: dict[bytes, SpanFact] = {span.span_id: span for span in spans}
        depths = {span.span_id: sum(1 for _ in self.above(span)) for span in self._by_id.values()}
        self.spans = sorted(
            self._by_id.values(), key=lambda span: (span.start_ms, depths[span.span_id], span.end_ms, span.span_id)
        )
        named = {span.agent for span in self.spans if span.agent}
        self._only_agent = named.pop() if len(named) == 1 else ""
        self.wrapped = {span.span_id for span in self.spans if self._wrapper(span) is not None}
        self.denied = self._denied()

    def above(self, span: SpanFact) -> Iterable[SpanFact]:
        """The span's ancestors, nearest first, as far as they are there. Ends in a circle of parents, too."""
        seen = {span.span_id}
        parent = self._by_id.get(span.parent)
        while parent is not None and parent.span_id not in seen and len(seen) < _MAX_DEPTH:
            yield parent
            seen.add(parent.span_id)
            parent = self._by_id.get(parent.parent)

    def agent_of(self, span: SpanFact) -> str:
        """Who did it: the span's own agent, else that of its nearest ancestor, else the trace's only one."""
        if span.agent:
            return span.agent
        return next((one.agent for one in self.above(span) if one.agent), self._only_agent)

    def _wrapper(self, span: SpanFact) -> SpanFact | None:
        """The tool call that a tool call, or a refused call of its code, is a part of."""
        if span.role not in (Role.TOOL, Role.EVIDENCE):
            return None
        outer = None
        for one in self.above(span):
            if one.role == Role.TOOL:
                outer = one
            elif one.role in CALLER:
                break
        return outer

    def _denied(self) -> dict[bytes, str]:
        """The acts that were refused, each with the reason as far as it is known."""
        found: dict[bytes, str] = {}
        for span in self.spans:
            mark = mark_of(span, "denial")
            if mark is None:
                continue
            act = self._wrapper(span) or span
            if act.role in _ACTS:
                found.setdefault(act.span_id, mark[1])
        return found


def mark_of(span: SpanFact, name: str) -> Mark | None:
    """The span's mark of a name."""
    return next((mark for mark in span.marks if mark[0] == name), None)


def _decisions(whose: Whose, tree: _Tree) -> Iterable[tuple[bytes, Authorization]]:
    """One decision for each tool call, and one for whatever else was refused."""
    trace = whose.trace_id.hex()
    for span in tree.spans:
        denied = span.span_id in tree.denied
        if span.span_id in tree.wrapped or not (denied or span.role == Role.TOOL):
            continue
        if not denied and (mark_of(span, "escalation") or mark_of(span, "handoff")):
            continue
        decision = Authorization(
            id=f"{trace}-{span.span_id.hex()}",
            time=span.end_ms,
            environment=whose.environment,
            system=whose.system,
            trace_id=trace,
            agent=tree.agent_of(span) or UNNAMED,
            action=span.name or span.operation or UNNAMED,
            decision="deny" if denied else "allow",
            reason=tree.denied.get(span.span_id) or None,
            version=whose.version or None,
            interaction_id=trace,
        )
        yield span.span_id, decision


def _interaction(whose: Whose, tree: _Tree) -> Interaction:
    entry = _entry(tree)
    ends = [span for span in tree.spans if span.root]
    start = min(span.start_ms for span in tree.spans)
    end = max(span.end_ms for span in ends or tree.spans)
    trace = whose.trace_id.hex()
    outcome, escalation = _outcome(tree, entry, ends)
    return Interaction(
        id=trace,
        time=end,
        environment=whose.environment,
        system=whose.system,
        trace_id=trace,
        conversation_id=next((span.conversation for span in tree.spans if span.conversation), None),
        flow=entry.flow or entry.agent or (entry.name if entry.role != Role.INFERENCE else "") or whose.system,
        version=entry.version or whose.version or None,
        model=next((span.name for span in tree.spans if span.role == Role.INFERENCE and span.name), None),
        outcome=outcome,
        escalation=escalation,
        duration_ms=float(min(max(end - start, 0), MAX_MILLISECONDS)),
        steps=tuple(_steps(tree, start)),
    )


def _entry(tree: _Tree) -> SpanFact:
    """The topmost span that makes the trace an interaction; of several a workflow, then an agent, then the earliest."""
    callers = [span for span in tree.spans if span.role in CALLER]
    topmost = [span for span in callers if not any(one.role in CALLER for one in tree.above(span))]
    return min(topmost or callers, key=lambda span: (span.role, span.start_ms, span.span_id))


def _outcome(tree: _Tree, entry: SpanFact, ends: list[SpanFact]) -> tuple[Outcome, Escalation | None]:
    marks: dict[str, tuple[SpanFact, Mark]] = {}
    for span in tree.spans:
        for mark in span.marks:
            marks.setdefault(mark[0], (span, mark))
    if "escalation" in marks:
        span, mark = marks["escalation"]
        if not mark[1]:
            return "escalated", None
        return "escalated", Escalation(reason=cast("EscalationReason", mark[1]), agent=tree.agent_of(span) or None)
    ended = [entry, *ends]
    if any(mark_of(span, "abandoned") for span in ended):
        return "abandoned", None
    if "failed" in marks:
        return "failed", None
    if "resolved" not in marks and any(span.status != Status.OK for span in ended):
        return "failed", None
    return "resolved", None


def _steps(tree: _Tree, start: int) -> Iterable[Step]:
    steps = [span for span in tree.spans if span.role not in _NO_STEP and span.span_id not in tree.wrapped]
    for span in steps[:MAX_STEPS]:
        has_tokens = span.tokens[0] or span.tokens[2]
        handoff = mark_of(span, "escalation") or mark_of(span, "handoff")
        yield Step(
            agent=tree.agent_of(span) or UNNAMED,
            operation="handoff" if handoff else span.operation or "other",
            name=(handoff[2] if handoff else "") or span.name or None,
            start_ms=float(min(span.start_ms - start, MAX_MILLISECONDS)),
            duration_ms=float(span.end_ms - span.start_ms),
            status="denied" if span.span_id in tree.denied else _STATUS[span.status],
            dependency=None if handoff else span.dependency or None,
            input_tokens=span.tokens[0] if has_tokens else None,
            output_tokens=span.tokens[2] if has_tokens else None,
        )


def _sums(tree: _Tree) -> Iterable[SpanFact]:
    """The outermost agents' spans that have tokens, where no model call has any: those sum up what is below them."""
    with_tokens = [span for span in tree.spans if span.tokens[0] or span.tokens[2]]
    if any(span.role in (Role.INFERENCE, Role.EMBEDDING) for span in with_tokens):
        return
    ids = {span.span_id for span in with_tokens}
    for span in with_tokens:
        if not any(one.span_id in ids for one in tree.above(span)):
            yield span


