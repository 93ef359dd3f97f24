"""One span's attributes to what the engine keeps of it: its `SpanFact`, and the `usage` event of a model call.

The same for protobuf and JSON. Of a span only the attributes in `SpanMapper.wanted` are looked at; nothing here reads
prompts, answers, arguments or results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.base import MAX_COUNT, MAX_NAME
from stream.adapters.native import Usage
from stream.adapters.otlp_names import (
    OPERATION_OF_ROLE,
    PROVIDERS,
    ROLE_OF_KIND,
    ROLE_OF_OPERATION,
    ROLE_OF_SPAN_NAME,
    SPAN_WORDS,
    STATUS_OF_ERROR,
    TIERS,
)
from stream.adapters.otlp_rules import RuleTable, as_text
from stream.core.spans import Role, Root, SpanFact, Status, TracedSpan

SERVER: Final = 2
CLIENT: Final = 3
CONSUMER: Final = 5
ERROR_CODE: Final = 2
REMOTE_PARENT: Final = 0x300
"""The bits of a span's flags that say, together, that its parent is known to be in another process."""

MAX_COST_USD: Final = 1_000_000
MAX_MARKS: Final = 4

_INFERENCE: Final = (Role.INFERENCE, Role.EMBEDDING)
_SUMS: Final = (Role.AGENT, Role.WORKFLOW)
_REFUSED: Final = frozenset({"401", "403"})


@dataclass(frozen=True, slots=True)
class Names:
    """Whose telemetry it is: the resource attributes that say so, first found counts, and what stands where none does.

    Attributes:
        tags: resource attributes that are chargeback tags.
    """

    environment: tuple[str, ...]
    system: tuple[str, ...]
    version: tuple[str, ...]
    tags: tuple[str, ...]
    no_environment: str
    no_system: str

    def resource(self, attributes: Mapping[str, Any]) -> Resource:
        """Whose it is, by the attributes of a resource."""
        tags = {name: text for name in self.tags if (text := clip(attributes.get(name)))}
        return Resource(
            _first_text(attributes, self.environment) or self.no_environment,
            _first_text(attributes, self.system) or self.no_system,
            _first_text(attributes, self.version),
            tags or None,
        )


@dataclass(frozen=True, slots=True)
class Resource:
    """Who sent a span."""

    environment: str
    system: str
    version: str
    tags: dict[str, str] | None


class SpanMapper:
    """Makes facts of spans.

    Attributes:
        wanted: the span attributes that it looks at.
        resources: who the senders are that were seen lately, by the bytes of what they say of themselves.
    """

    def __init__(self, rules: RuleTable) -> None:
        self.wanted = frozenset({name for names in SPAN_WORDS.values() for name in names} | rules.names)
        self.resources: dict[bytes, Resource] = {}
        self._rules = rules

    def fact(  # noqa: PLR0913  # the fields of a span
        self,
        attributes: dict[str, Any],
        span_id: bytes,
        parent: bytes,
        name: str,
        kind: int,
        flags: int,
        start_ms: int,
        end_ms: int,
        code: int,
    ) -> SpanFact | None:
        """What is kept of a span; None if it says nothing about an agent and no trace can end with it."""
        role = role_of(attributes, name, kind) if attributes else ROLE_OF_SPAN_NAME.get(name, Role.NONE)
        root = Root.INNER
        if not parent:
            root = Root.TRUE
        elif kind in (SERVER, CONSUMER) or flags & REMOTE_PARENT == REMOTE_PARENT:
            root = Root.LOCAL
        marks: tuple[tuple[str, str, str], ...] = ()
        if attributes:
            if role in self._rules.named_roles:
                attributes["span.name"] = name
            marks = self._rules.marks(attributes, role)[:MAX_MARKS]
        status = Status.ERROR if code == ERROR_CODE else Status.OK
        if role is Role.NONE and not marks:
            if root is Root.INNER:
                return None
            return SpanFact(span_id, parent, start_ms, end_ms, role, status, root)
        return self._fact(attributes, (span_id, parent, start_ms, end_ms), name, role, root, status, marks)

    def _fact(
        self,
        said: Mapping[str, Any],
        place: tuple[bytes, bytes, int, int],
        name: str,
        role: Role,
        root: Root,
        status: Status,
        marks: tuple[tuple[str, str, str], ...],
    ) -> SpanFact:
        error = word(said, "error")
        if error is not None and role is not Role.NONE:
            status = STATUS_OF_ERROR.get(as_text(error).lower(), Status.ERROR)
        operation = clip(said.get("gen_ai.operation.name")) or OPERATION_OF_ROLE.get(role, "")
        model = provider = dependency = ""
        tokens = (0, 0, 0, 0)
        shown = name
        if role in _INFERENCE:
            shown = clip(word(said, "model")) or name
        elif role in _SUMS:
            tokens = _tokens(said)
            if tokens[0] or tokens[2]:
                model = clip(word(said, "model"))
                provider = PROVIDERS.get(as_text(word(said, "provider") or "").lower(), "")
        elif role is Role.TOOL:
            shown = clip(word(said, "tool")) or name.removeprefix("execute_tool ")
            dependency = clip(word(said, "dependency")) or shown
        elif role is Role.GUARDRAIL:
            shown = clip(word(said, "guardrail")) or name
        if role in _INFERENCE:
            tokens = _tokens(said)
        agent = clip(word(said, "agent"))
        if role is Role.AGENT and not agent:
            agent = clip(name.removeprefix("invoke_agent "))
        return SpanFact(
            *place,
            role,
            status,
            root,
            operation,
            clip(shown),
            agent,
            clip(word(said, "flow")),
            clip(said.get("gen_ai.agent.version")),
            dependency,
            clip(word(said, "conversation")),
            model,
            provider,
            tokens,
            marks,
        )

    def usage(self, said: Mapping[str, Any], resource: Resource, trace_id: bytes, fact: SpanFact) -> Usage | None:
        """The tokens of a model call; None for what is no call, or has none."""
        if fact.role not in _INFERENCE or not (fact.tokens[0] or fact.tokens[2]):
            return None
        provider = PROVIDERS.get(as_text(word(said, "provider") or "").lower())
        model = clip(word(said, "model"))
        deployment = clip(said.get("gen_ai.request.model")) if provider == "azure" else ""
        return Usage(
            id=f"{trace_id.hex()}-{fact.span_id.hex()}",
            time=fact.end_ms,
            environment=resource.environment,
            system=resource.system,
            tags=resource.tags,
            trace_id=trace_id.hex(),
            conversation_id=fact.conversation or None,
            agent=fact.agent or None,
            flow=fact.flow or None,
            model=model or UNNAMED_MODEL,
            provider=provider,
            deployment=deployment or None,
            service_tier=TIERS.get(as_text(word(said, "tier") or "").lower()),  # type: ignore[arg-type]
            input_tokens=fact.tokens[0],
            cached_input_tokens=fact.tokens[1],
            output_tokens=fact.tokens[2],
            cost_usd=_cost(word(said, "cost")),
        )


UNNAMED_MODEL: Final = "(unnamed)"
"""Stands for the model of a call that does not say it; such a call has no price, and is counted as such."""


def traced(resource: Resource, trace_id: bytes, fact: SpanFact) -> TracedSpan:
    """A fact on its way."""
    return TracedSpan(
        fact.end_ms, resource.environment, resource.system, resource.tags, trace_id, resource.version, fact
    )


def role_of(said: Mapping[str, Any], name: str, kind: int) -> Role:
    """What a span with these attributes does."""
    operation = said.get("gen_ai.operation.name")
    if operation is not None:
        role = ROLE_OF_OPERATION.get(as_text(operation), Role.OTHER)
    elif (label := word(said, "kind")) is not None:
        role = ROLE_OF_KIND.get(as_text(label).lower(), Role.NONE)
    elif (operation := said.get("llm.request.type")) is not None:
        role = ROLE_OF_OPERATION.get(as_text(operation), Role.OTHER)
    elif (method := said.get("mcp.method.name")) is not None:
        role = Role.TOOL if method == "tools/call" else Role.NONE
    elif said.get("gen_ai.request.model") is not None:
        role = Role.INFERENCE
    else:
        role = ROLE_OF_SPAN_NAME.get(name, Role.NONE)
    if role is Role.NONE:
        status = word(said, "http_status")
        if status is not None and kind == CLIENT and as_text(status) in _REFUSED:
            return Role.EVIDENCE
    # The other side of a tool call: the caller's own span counts.
    return Role.NONE if role is Role.TOOL and kind == SERVER else role


def word(said: Mapping[str, Any], what: str) -> Any:
    """The first attribute that holds a thing, or None."""
    for name in SPAN_WORDS[what]:
        value = said.get(name)
        if value is not None:
            return value
    return None


def clip(value: Any) -> str:
    """A name, cut to the longest that an event may have; empty for none."""
    if value is None:
        return ""
    return value[:MAX_NAME] if isinstance(value, str) else as_text(value)[:MAX_NAME]


def _first_text(attributes: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((text for name in names if (text := clip(attributes.get(name)))), "")


def _tokens(said: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Input with the cached ones, cached, output. An API that reports cached tokens apart has fewer than it reports."""
    read, cached, written = (_count(word(said, what)) for what in ("input", "cached", "output"))
    return (read if cached <= read else min(read + cached, MAX_COUNT), cached, written, 0)


def _count(value: Any) -> int:
    if type(value) is int:
        return value if 0 <= value <= MAX_COUNT else 0
    if isinstance(value, float) and value.is_integer():
        return int(value) if 0 <= value <= MAX_COUNT else 0
    return 0


def _cost(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= MAX_COST_USD else None
