"""Traces, put together: once each, whenever their spans come, and the same however the input is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from costs.budgets import BudgetRule
from schemas.series import KINDS, SeriesKey
from stream.core.checkpoint import load, save
from stream.core.deltas import Delta, pack, unpack
from stream.core.fold import Batch, PartitionFold
from stream.core.machine import Limits, ShardMachine
from stream.core.shards import ShardMap
from stream.core.spans import Role, Root, SpanFact, TracedSpan, TracePart
from stream.core.ticks import MINUTE_MS
from stream.core.trace_reading import Whose, read_trace
from stream.core.traces import TraceLimits, Traces
from tests.unit.core.builders import CHECKS, ENGINE, START, TRIAGE

WHOSE = Whose("prod", "support", b"t" * 16, "v1")
START_MS = START * MINUTE_MS


def fact(number: int, role: Role = Role.AGENT, parent: int = 0, at_s: float = 30, **more: Any) -> SpanFact:
    """A span of a second that ends `at_s` seconds after the start."""
    end = START_MS + round(at_s * 1000)
    root = Root.INNER if parent else Root.TRUE
    fields = {"root": root, "agent": "triage" if role is Role.AGENT else "", **more}
    return SpanFact(_id(number), _id(parent) if parent else b"", end - 1000, end, role, **fields)


def _id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def part(*spans: SpanFact, trace: int = 1, system: str = "support", **more: Any) -> TracePart:
    fields = {"version": "v1", "whole": True, "budgets": (), **more}
    return TracePart(trace.to_bytes(16, "big"), "prod", system, spans=spans, **fields)


def machine(**limits: int) -> ShardMachine:
    return ShardMachine([], TRIAGE, ENGINE, Limits(traces=TraceLimits(**limits)), checks=CHECKS)


def totals(one: ShardMachine) -> dict[SeriesKey, tuple[int, ...]]:
    """Counts of every series in the last two hours."""
    found = {}
    for kind in KINDS:
        windows = one.windows[kind]
        if len(windows):
            sums = windows.minutes(120).sum(axis=1)
            found.update({key: tuple(int(n) for n in sums[row]) for row, key in enumerate(windows.keys)})
    return found


def interactions(one: ShardMachine) -> tuple[int, ...]:
    return totals(one).get(SeriesKey("flow", "prod", "support", ("triage",)), (0, 0, 0))


def test_a_trace_is_finished_at_the_tick_that_sees_its_root() -> None:
    """Not before, and the interaction counts in the minute of the root's end."""
    one = machine()
    one.step(START + 1, [Delta((), (part(fact(2, Role.TOOL, 1, at_s=10)),))])
    assert interactions(one) == (0, 0, 0)
    one.step(START + 2, [Delta((), (part(fact(1, at_s=70)),))])
    assert interactions(one) == (1, 0, 0)
    assert one.windows["flow"].minutes(2)[0, 1, 0] == 1
    assert not len(one.traces)


def test_a_local_root_waits_and_a_trace_without_one_waits_longer() -> None:
    """For quiet of `settle_minutes`, of `gap_minutes`."""
    one = machine(settle_minutes=1, gap_minutes=3)
    local = part(fact(1, parent=9, root=Root.LOCAL), trace=1)
    lost = part(fact(1, parent=9), trace=2)
    one.step(START + 1, [Delta((), (local, lost))])
    counts = []
    for tick in range(START + 2, START + 6):
        one.step(tick, ())
        counts.append(interactions(one)[0])
    assert counts == [1, 1, 2, 2]


def test_a_trace_that_never_ends_is_finished_all_the_same() -> None:
    """After `longest_minutes`, however lively it is."""
    one = machine(longest_minutes=4, gap_minutes=3)
    for minute in range(1, 6):
        one.step(START + minute, [Delta((), (part(fact(minute, parent=99, at_s=60 * minute - 1)),))])
    assert one.traces.finished["longest"] == 1
    assert interactions(one)[0] == 1


def test_what_comes_late_makes_no_second_interaction() -> None:
    """A late span of a finished trace is counted as late; what it denied counts, once, however often it is sent."""
    one = machine()
    root, tool = fact(1), fact(2, Role.TOOL, 1, name="pay", marks=(("denial", "403", ""),))
    one.step(START + 1, [Delta((), (part(root),))])
    for tick in range(START + 2, START + 5):
        one.step(tick, [Delta((), (part(root, tool),))])
    assert interactions(one) == (1, 0, 0)
    denials = {key: counts for key, counts in totals(one).items() if key.kind == "denial"}
    assert denials == {SeriesKey("denial", "prod", "support", ("triage", "pay", "(unnamed)")): (1,)}


def test_a_finished_trace_that_is_sent_again_counts_once() -> None:
    """A collector that sends a whole request twice changes nothing, at once or later."""
    spans = (fact(1), fact(2, Role.TOOL, 1, name="pay"), fact(3, Role.TOOL, 1, name="ask", marks=(("denial", "", ""),)))
    once, again = machine(), machine()
    for tick in range(START + 1, START + 4):
        once.step(tick, [Delta((), (part(*spans),))] if tick == START + 1 else ())
        again.step(tick, [Delta((), (part(*spans), part(*spans[:1])))])
    assert totals(once) == totals(again)
    assert totals(once)[SeriesKey("agent", "prod", "support", ("triage",))] == (2, 1)


def test_traces_of_no_agent_leave_nothing() -> None:
    """Neither an open trace nor a count."""
    one = machine()
    one.step(START + 1, [Delta((), (part(fact(1, Role.NONE)),))])
    assert not len(one.traces)
    assert totals(one) == {}
    assert one.traces.save() == b""


def test_caps_finish_the_quietest_and_are_counted() -> None:
    """More open traces than allowed: none is lost, the oldest are finished early. Spans beyond a trace's cap go."""
    one = machine(open_traces=2, spans_per_trace=2)
    for trace in range(1, 5):
        spans = [fact(number, parent=99) for number in range(1, 5)]
        one.step(START + trace, [Delta((), (part(*spans, trace=trace),))])
    assert len(one.traces) == 2
    assert (one.traces.finished["cap"], one.traces.left_out["over_spans"]) == (2, 8)
    assert interactions(one)[0] == 2


def test_tokens_of_an_agent_count_only_where_no_model_call_has_any() -> None:
    """An agent's sum repeats its calls; of nested agents the outermost sums up the rest."""
    outer, inner = fact(1, tokens=(30, 0, 3, 7)), fact(2, parent=1, tokens=(10, 0, 1, 2))
    call = fact(3, Role.INFERENCE, 2, tokens=(10, 0, 1, 0))
    assert read_trace(WHOSE, [outer, inner, call]).sums == ()
    assert read_trace(WHOSE, [inner, outer]).sums == (outer,)


def test_sums_count_in_budgets_of_other_shards() -> None:
    """A budget over several systems lives in a shard of its own, and gets its tokens once."""
    shards = ShardMap(16)
    everything = BudgetRule("all")
    own, other = shards["prod", "support"], shards["*", "*"]
    assert own != other
    spans = [fact(1, tokens=(1_000_000, 0, 1_000, 0), model="gpt-4o"), fact(2, Role.TOOL, 1, at_s=20)]
    fold, batch = PartitionFold(5_000, (everything, BudgetRule("own", "prod", "support"))), Batch()
    fold.add([TracedSpan(s.end_ms, "prod", "support", None, b"t" * 16, "v1", s) for s in spans], batch)
    found = {}
    for number, ticks in batch.spread(shards).items():
        one = machine()
        for _ in one.run({tick: [unpack(pack(delta))] for tick, delta in ticks.items()}, START + 2):
            pass
        found[number] = totals(one)
    assert set(found) == {own, other}
    assert set(found[other]) == {everything.key()}
    (requests, cost) = found[other][everything.key()]
    assert requests == 1
    assert cost > 2_000_000
    usage = SeriesKey("usage", "prod", "support", ("triage", "gpt-4o", "payg"))
    assert found[own][usage] == (1, 1_000_000, 0, 1_000, cost)
    assert found[own][SeriesKey("budget", "prod", "support", ("own",))] == (1, cost)


def test_a_refused_call_below_a_tool_is_the_tools_denial() -> None:
    """The tool swallowed the 403; the MCP call in between is no act of its own. A model call's 403 is no denial."""
    agent = fact(1)
    tool = fact(2, Role.TOOL, 1, name="pay")
    mcp = fact(3, Role.TOOL, 2, name="pay")
    http = fact(4, Role.EVIDENCE, 3, marks=(("denial", "403", ""),))
    call = fact(5, Role.INFERENCE, 1)
    key = fact(6, Role.EVIDENCE, 5, marks=(("denial", "401", ""),))
    found = read_trace(WHOSE, [http, key, call, mcp, tool, agent])
    assert [(d.action, d.decision, d.agent) for d in found.decisions.values()] == [("pay", "deny", "triage")]
    assert found.interaction is not None
    steps = [(step.operation, step.name, step.status) for step in found.interaction.steps or ()]
    assert len(steps) == 3
    assert ("other", "pay", "denied") in steps


def test_parents_in_a_circle_are_read() -> None:
    """Broken telemetry costs no endless loop."""
    found = read_trace(WHOSE, [fact(1, parent=2), fact(2, parent=1), fact(3, parent=3)])
    assert found.interaction is not None


# The laws: nothing depends on how the input is cut, where it is interrupted, or in which order a tick's parts come.

ROLES = (Role.AGENT, Role.AGENT, Role.INFERENCE, Role.TOOL, Role.HANDOFF, Role.NONE)


@st.composite
def spans(draw: st.DrawFn) -> TracedSpan:
    """A span of one of a few traces, within some minutes; ids repeat."""
    number, role = draw(st.integers(1, 12)), draw(st.sampled_from(ROLES))
    marks = draw(st.sampled_from([(), (("escalation", "policy", ""),), (("denial", "403", ""),)]))
    root = draw(st.sampled_from([Root.INNER, Root.INNER, Root.LOCAL, Root.TRUE]))
    tokens = draw(st.sampled_from([(0, 0, 0, 0), (100, 0, 10, 0)]))
    at_s = draw(st.integers(0, 400))
    parent = draw(st.integers(1, 12))
    one = fact(number, role, parent, at_s, root=root, marks=marks, tokens=tokens, model="gpt-4o")
    trace = draw(st.integers(1, 4)).to_bytes(16, "big")
    return TracedSpan(one.end_ms, "prod", draw(st.sampled_from(["support", "claims"])), None, trace, "v1", one)


SHORT = {"settle_minutes": 1, "gap_minutes": 2, "longest_minutes": 4, "remember_minutes": 3, "spans_per_trace": 3}
SMALL = {**SHORT, "open_traces": 2}


def run(deltas: Iterable[dict[int, Delta]], restart_every: int = 0) -> ShardMachine:
    """A machine over deltas by tick; made anew from its checkpoint every so many ticks."""
    inboxes: dict[int, list[Delta]] = {}
    for ticks in deltas:
        for tick, delta in ticks.items():
            inboxes.setdefault(tick, []).append(unpack(pack(delta)))
    one = machine(**SMALL)
    for upto in range(min(inboxes, default=START), START + 20):
        for _ in one.run({tick: found for tick, found in inboxes.items() if one.tick < tick <= upto}, upto):
            pass
        if restart_every and upto % restart_every == 0 and one.tick:
            saved = save(one, all_hours=True)
            one = machine(**SMALL)
            load(one, saved.state, saved.hours)
    return one


def fold(pieces: Sequence[Sequence[TracedSpan]]) -> list[dict[int, Delta]]:
    """What each batch of one partition brings."""
    one, found = PartitionFold(20_000, (BudgetRule("b", "prod", "support"),)), []
    for piece in pieces:
        batch = Batch()
        one.add(piece, batch)
        found.append(batch.spread(ShardMap(1)).get(0, {}))
    return found


@settings(max_examples=150, deadline=None)
@given(log=st.lists(spans(), max_size=25), cuts=st.lists(st.integers(0, 25), max_size=6), restart=st.integers(0, 3))
def test_batches_and_restarts_change_nothing(log: list[TracedSpan], cuts: list[int], restart: int) -> None:
    """One batch without a restart, and any batches with restarts: the same counts, the same state to the byte."""
    edges = [0, *sorted(cuts), len(log)]
    whole = run(fold([log]))
    cut = run(reversed(fold([log[a:b] for a, b in pairwise(edges)])), restart)
    assert totals(whole) == totals(cut)
    assert save(whole, all_hours=True) == save(cut, all_hours=True)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.tuples(spans(), st.integers(1, 8)), max_size=25))
def test_every_trace_counts_once(parts: list[tuple[TracedSpan, int]]) -> None:
    """As long as a trace is remembered it makes one interaction at most, and one only if it has a caller."""
    book = Traces(TraceLimits(settle_minutes=1, gap_minutes=2, longest_minutes=5, open_traces=2))
    found: list[str] = []
    for tick in range(1, 20):
        due = [
            TracePart(one.trace_id, one.environment, one.system, "v1", True, (), (one.fact,))
            for one, at in parts
            if at == tick
        ]
        done = book.step(tick, due)
        found += [f"{e.system}/{e.id}" for e in done.events if not hasattr(e, "decision")]
    callers = {
        f"{one.system}/{one.trace_id.hex()}"
        for one, _ in parts
        if one.fact.role in (Role.AGENT, Role.INFERENCE)
    }
    assert len(found) == len(set(found))
    assert set(found) <= callers
    assert not len(book)


def test_the_state_comes_back_whole() -> None:
    """Open and finished traces survive a checkpoint, byte for byte."""
    one = Traces()
    one.step(1, [part(fact(1, parent=9), trace=1, budgets=(("*", "*", "b"),)), part(fact(1), trace=2)])
    other = Traces()
    other.load(one.save())
    assert other.save() == one.save()
    assert len(other) == 1
    assert other.step(2, [part(fact(1), trace=2)]).events == []
