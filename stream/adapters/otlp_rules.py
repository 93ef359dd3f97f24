"""Rules that recognise in a span what no convention has a name for yet: escalations, hand-offs, denials, outcomes.

A rule looks at attributes of one span: all of `when` must be there and match one of their patterns. Patterns are those
of a shell (`*`, `?`), whole value, capitals ignored; `_`, `-` and blanks are the same. The shipped rules are data at
the end of this file; `[otlp] rules` adds others, which are asked first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any, Final, Literal, get_args

from schemas.words import EscalationReason
from stream.adapters.otlp_names import DENIED_ERRORS, HUMAN_TARGETS, SPAN_WORDS
from stream.core.spans import Mark, Role

MarkName = Literal["escalation", "handoff", "denial", "abandoned", "failed", "resolved"]
REASONS: Final = frozenset(get_args(EscalationReason))
SPAN_NAME: Final = "span.name"
"""Stands for the span's name among the attributes of a rule."""

_MEMO: Final = 4096
_SAME: Final = str.maketrans("- ", "__")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        mark: what a span is that matches.
        when: attribute to patterns; all must match. `span.name` is the span's name.
        roles: the kinds of span that are looked at; none means any.
        reason: the escalation's reason.
        reason_from: an attribute that says the reason, where it is one of Midwatch's words.
        target_from: attributes that name whom it goes to, for the step's name.
    """

    mark: MarkName
    when: Mapping[str, Sequence[str]]
    roles: tuple[Role, ...] = ()
    reason: EscalationReason | None = None
    reason_from: str | None = None
    target_from: tuple[str, ...] = ()


@dataclass(slots=True)
class _Compiled:
    rule: Rule
    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    memo: dict[tuple[str, str], bool] = field(default_factory=dict)

    def matches(self, attributes: Mapping[str, Any], role: Role) -> bool:
        if self.rule.roles and role not in self.rule.roles:
            return False
        return all(
            (value := attributes.get(name)) is not None and self._fits(name, pattern, value)
            for name, pattern in self.patterns
        )

    def _fits(self, name: str, pattern: re.Pattern[str], value: Any) -> bool:
        if isinstance(value, list):
            return any(self._fits(name, pattern, one) for one in value)
        text = as_text(value)[:256]
        known = self.memo.get((name, text))
        if known is None:
            if len(self.memo) >= _MEMO:
                self.memo.clear()
            known = self.memo[name, text] = pattern.fullmatch(_normal(text)) is not None
        return known

    def mark(self, attributes: Mapping[str, Any]) -> Mark:
        rule = self.rule
        if rule.mark == "denial":
            shown = attributes[self.patterns[0][0]]
            return (rule.mark, as_text(shown)[:256] if not isinstance(shown, list) else "", "")
        said = as_text(attributes.get(rule.reason_from, "")) if rule.reason_from else ""
        reason = said.lower() if said.lower() in REASONS else (rule.reason or "")
        target = next((as_text(attributes[name]) for name in rule.target_from if name in attributes), "")
        return (rule.mark, reason, target[:256])


class RuleTable:
    """The rules of an engine, ready to be asked. The first rule of a mark that matches gives it.

    Attributes:
        names: the attributes that any rule reads.
        named_roles: the kinds of span whose name any rule reads.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_trigger: dict[str, list[tuple[int, _Compiled]]] = {}
        names: set[str] = set()
        named: set[Role] = set()
        for order, rule in enumerate(rules):
            if not rule.when:
                raise ValueError("a rule needs an attribute to look at")
            patterns = tuple((name, _pattern(globs)) for name, globs in rule.when.items())
            self._by_trigger.setdefault(patterns[0][0], []).append((order, _Compiled(rule, patterns)))
            names |= {*rule.when, *rule.target_from, *filter(None, (rule.reason_from,))}
            if SPAN_NAME in rule.when:
                named |= set(rule.roles or Role)
        self.names = frozenset(names - {SPAN_NAME})
        self.named_roles = frozenset(named)
        self._triggers = frozenset(self._by_trigger)

    def marks(self, attributes: Mapping[str, Any], role: Role) -> tuple[Mark, ...]:
        """What the rules recognise in a span, each mark once."""
        triggers = self._triggers & attributes.keys()
        if not triggers:
            return ()
        found: dict[str, Mark] = {}
        asked = sorted((pair for name in triggers for pair in self._by_trigger[name]), key=lambda pair: pair[0])
        for _, compiled in asked:
            if compiled.rule.mark not in found and compiled.matches(attributes, role):
                found[compiled.rule.mark] = compiled.mark(attributes)
        return tuple(found.values())


def as_text(value: Any) -> str:
    """An attribute's value as text; `true` and `false` as JSON has them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _normal(text: str) -> str:
    return text.lower().translate(_SAME)


def _pattern(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(_normal(glob)) for glob in globs))


_HANDOFF_NAMES: Final = SPAN_WORDS["handoff_target"]
_DENIABLE: Final = (Role.TOOL, Role.GUARDRAIL, Role.HANDOFF, Role.OTHER)
_TOOL_NAMES: Final = SPAN_WORDS["tool"]


def _each(names: Iterable[str], mark: MarkName, patterns: Sequence[str], **more: Any) -> list[Rule]:
    return [Rule(mark, {name: patterns}, **more) for name in names]


DEFAULT_RULES: Final[tuple[Rule, ...]] = (
    # What an application says itself goes first.
    Rule("escalation", {"midwatch.outcome": ("escalated",)}, reason_from="midwatch.escalation.reason"),
    Rule("abandoned", {"midwatch.outcome": ("abandoned",)}),
    Rule("failed", {"midwatch.outcome": ("failed",)}),
    Rule("resolved", {"midwatch.outcome": ("resolved",)}),
    # Escalations: a transfer to a human, by its type or the name of whom it goes to; a guardrail that asks for one.
    Rule(
        "escalation",
        {"gen_ai.transfer.target.type": ("human",)},
        reason_from="midwatch.escalation.reason",
        target_from=_HANDOFF_NAMES,
    ),
    *_each(
        _HANDOFF_NAMES,
        "escalation",
        HUMAN_TARGETS,
        reason_from="midwatch.escalation.reason",
        target_from=_HANDOFF_NAMES,
    ),
    *_each(
        _TOOL_NAMES,
        "escalation",
        HUMAN_TARGETS,
        roles=(Role.TOOL, Role.HANDOFF),
        reason_from="midwatch.escalation.reason",
    ),
    Rule("escalation", {"gen_ai.guardrail.verdict.type": ("escalate",)}, reason="policy"),
    Rule("escalation", {"gen_ai.guardrail.action.type": ("escalate",)}, reason="policy"),
    Rule(
        "escalation",
        {SPAN_NAME: tuple(f"handoff_to_{target}" for target in HUMAN_TARGETS)},
        roles=(Role.TOOL, Role.HANDOFF),
        target_from=("output.value",),
    ),
    # Hand-offs from agent to agent.
    *_each(_HANDOFF_NAMES, "handoff", ("*",), target_from=_HANDOFF_NAMES),
    Rule("handoff", {"gen_ai.transfer.mode": ("pass_control",)}, target_from=_HANDOFF_NAMES),
    Rule("handoff", {SPAN_NAME: ("handoff_to_*",)}, roles=(Role.TOOL, Role.HANDOFF), target_from=("output.value",)),
    # Denials: of a tool or another act of the agent's, never of the model call itself (a wrong key is no trespass).
    Rule("denial", {"error.type": DENIED_ERRORS}, roles=_DENIABLE),
    Rule("denial", {"exception.type": DENIED_ERRORS}, roles=_DENIABLE),
    *_each(SPAN_WORDS["http_status"], "denial", ("401", "403"), roles=(*_DENIABLE, Role.EVIDENCE)),
    Rule(
        "denial",
        {"rpc.response.status_code": ("permission_denied", "unauthenticated", "7", "16", "401", "403")},
        roles=_DENIABLE,
    ),
    Rule("denial", {"rpc.grpc.status_code": ("7", "16")}, roles=_DENIABLE),
    Rule("denial", {"gen_ai.agent.tool.disposition": ("deny",)}),
    Rule("denial", {"gen_ai.guardrail.verdict.type": ("deny",)}),
    Rule("denial", {"gen_ai.guardrail.action.type": ("block",)}),
    Rule("denial", {"midwatch.decision": ("deny",)}),
    # A request that its user gave up.
    Rule("abandoned", {"error.type": ("cancellederror", "*.cancellederror", "cancelled", "canceled", "aborterror")}),
)
"""What is recognised without any configuration."""
