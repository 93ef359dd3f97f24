"""Spans as the engine keeps them: what one OpenTelemetry span says about an agent, and no more.

An adapter reduces each span to a `SpanFact`; ingest gathers those of one trace, system and tick into a `TracePart`,
which waits in the shard's inbox like everything else; `stream.core.traces` puts traces together again.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec


class Role(IntEnum):
    """What a span does. The smaller number is the better entry of a trace."""

    WORKFLOW = 0
    AGENT = 1
    INFERENCE = 2
    EMBEDDING = 3
    TOOL = 4
    HANDOFF = 5
    GUARDRAIL = 6
    OTHER = 7
    """An operation of the agent's that is none of these: a retrieval, a plan, a look into its memory."""
    EVIDENCE = 8
    """A call of the agent's code that shows a refusal (HTTP 401 or 403); no step by itself."""
    NONE = 9
    """Nothing of an agent's: kept only because the trace ends with it."""


class Root(IntEnum):
    """Where a span stands in its trace."""

    INNER = 0
    LOCAL = 1
    """Its parent is in another process: the first span of this service, as far as it can tell."""
    TRUE = 2
    """It has no parent: the trace ends with it."""


class Status(IntEnum):
    """How a span ended."""

    OK = 0
    ERROR = 1
    TIMEOUT = 2


Mark = tuple[str, str, str]
"""What a rule recognised: the mark's name, its reason, and whom it names; the latter two may be empty."""

CALLER: Final = frozenset({Role.WORKFLOW, Role.AGENT, Role.INFERENCE})
"""What makes a trace an interaction."""


class SpanFact(msgspec.Struct, array_like=True, frozen=True, gc=False, order=True):
    """One span. Times in ms since 1970-01-01 UTC, ids in their own bytes, absent names empty.

    `tokens` are input (the cached ones among them), cached and output tokens and their price in micro-dollars.
    """

    span_id: bytes
    parent: bytes
    start_ms: int
    end_ms: int
    role: int
    status: int = 0
    root: int = 0
    operation: str = ""
    name: str = ""
    agent: str = ""
    flow: str = ""
    version: str = ""
    dependency: str = ""
    conversation: str = ""
    model: str = ""
    provider: str = ""
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    marks: tuple[Mark, ...] = ()

    def bare(self) -> SpanFact:
        """Its place in the trace and its tokens alone."""
        place = (self.span_id, self.parent, self.start_ms, self.end_ms, self.role)
        return SpanFact(*place, root=self.root, tokens=self.tokens)


class TracedSpan(msgspec.Struct, frozen=True, gc=False):
    """A span on its way through ingest: with whose it is, and its end as the event's time.

    One without a trace id is a sign of life alone: it moves its partition's watermark.
    """

    time: int
    environment: str
    system: str
    tags: dict[str, str] | None
    trace_id: bytes
    version: str
    fact: SpanFact

    @property
    def id(self) -> str:
        """What tells it from every other, in words."""
        return f"{self.trace_id.hex()}-{self.fact.span_id.hex()}"


class TracePart(msgspec.Struct, array_like=True, frozen=True, tag="o", gc=False):
    """The spans of one trace in one system that become visible at one tick, as far as one batch had them.

    `whole` says that the trace is counted in this shard; one that is not is here for the sake of `budgets` alone, which
    span several systems. `version` is the service's.
    """

    trace_id: bytes
    environment: str
    system: str
    version: str
    whole: bool
    budgets: tuple[tuple[str, str, str], ...]
    spans: tuple[SpanFact, ...]
