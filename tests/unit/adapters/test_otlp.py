"""OTLP records: the real SDK's bytes, every generation of names, rules, and bad input."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.trace import SpanKind, StatusCode

from stream.adapters import Decoder, Evaluation, Limits, Rejection, Usage
from stream.adapters.otlp import DEFAULT_NAMES, OtlpReader
from stream.adapters.otlp_rules import DEFAULT_RULES, Rule
from stream.core.spans import Role, Root, Status, TracedSpan
from tests.support.otlp import RESOURCE, as_json, exporting, facts, pairs, read, reading, request_json, span_json

END_MS = 1_767_607_200_000
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai"}
TOKENS = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 10}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "triage"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "refund"}


@pytest.fixture(scope="module")
def exported() -> bytes:
    """One request of an instrumented agent, by the real SDK and its real exporter."""
    with exporting() as sdk, sdk.tracer.start_as_current_span("POST /chat", kind=SpanKind.SERVER):
        with sdk.tracer.start_as_current_span("invoke_agent triage", attributes={**AGENT, **TOKENS}):
            with sdk.tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes={**CHAT, **TOKENS}):
                pass
            with sdk.tracer.start_as_current_span("execute_tool refund", attributes=TOOL) as tool:
                tool.set_attribute("error.type", "403")
                tool.set_status(StatusCode.ERROR)
            human = {**TOOL, "gen_ai.tool.name": "escalate_to_human", "midwatch.escalation.reason": "policy"}
            with sdk.tracer.start_as_current_span("execute_tool escalate_to_human", attributes=human):
                pass
        bodies = sdk
    return bodies.one_record()


def test_the_sdks_bytes_become_an_interaction(exported: bytes) -> None:
    """Steps in order with their agent and status, the outcome, the denial, and the tokens once."""
    found = reading(exported)
    talk = found.interaction
    assert talk is not None
    assert (talk.environment, talk.system, talk.flow, talk.version) == ("production", "support", "triage", "1.4.2")
    assert talk.outcome == "escalated"
    assert talk.escalation is not None
    assert (talk.escalation.reason, talk.escalation.agent) == ("policy", "triage")
    steps = [(step.agent, step.operation, step.name, step.status) for step in talk.steps or ()]
    assert steps == [
        ("triage", "invoke_agent", "invoke_agent triage", "ok"),
        ("triage", "chat", "gpt-4o", "ok"),
        ("triage", "execute_tool", "refund", "denied"),
        ("triage", "handoff", "escalate_to_human", "ok"),
    ]
    starts = [step.start_ms for step in talk.steps or ()]
    assert starts == sorted(starts)
    (denial,) = found.decisions.values()
    assert (denial.agent, denial.action, denial.decision, denial.reason) == ("triage", "refund", "deny", "403")
    (usage,) = [one for one in read(exported) if isinstance(one, Usage)]
    assert (usage.model, usage.provider, usage.input_tokens, usage.output_tokens) == ("gpt-4o", "openai", 100, 10)
    assert not found.sums, "the agent's own sum repeats what the model call has"


def test_json_reads_like_protobuf(exported: bytes) -> None:
    """The same spans and tokens, whichever the encoding."""
    assert read(as_json(exported)) == read(exported)


def test_a_request_merged_of_others_holds_all_their_spans(exported: bytes) -> None:
    """What a collector batches is what the services sent."""
    assert len(facts(read(exported + exported))) == 2 * len(facts(read(exported)))


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 3}, (7, 0, 3)),
        ({"gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3}, (7, 0, 3)),
        ({"llm.token_count.prompt": 7, "llm.token_count.completion": 3}, (7, 0, 3)),
        ({"llm.usage.prompt_tokens": 7, "llm.usage.completion_tokens": 3}, (7, 0, 3)),
        ({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 5}, (7, 5, 0)),
        ({"gen_ai.usage.input_tokens": 7, "llm.token_count.prompt_details.cache_read": 5}, (7, 5, 0)),
        ({"gen_ai.usage.input_tokens": 7, "gen_ai.usage.cache_read.input_tokens": 50}, (57, 50, 0)),
        ({"gen_ai.usage.input_tokens": 7.0}, (7, 0, 0)),
        ({"gen_ai.usage.input_tokens": -7}, None),
        ({"gen_ai.usage.input_tokens": True}, None),
        ({"gen_ai.usage.input_tokens": 2**60}, None),
    ],
)
def test_every_generation_of_token_names(said: dict[str, Any], tokens: tuple[int, int, int] | None) -> None:
    """Old and new names give the same usage; a count that is none gives no tokens."""
    found = [one for one in read(request_json(span_json(1, 1, {**CHAT, **said}))) if isinstance(one, Usage)]
    counted = [(one.input_tokens, one.cached_input_tokens, one.output_tokens) for one in found]
    assert counted == ([tokens] if tokens else [])


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ({"gen_ai.provider.name": "azure.ai.openai"}, "azure"),
        ({"gen_ai.system": "az.ai.openai"}, "azure"),
        ({"llm.provider": "azure"}, "azure"),
        ({"gen_ai.system": "aws.bedrock"}, "aws"),
        ({"gen_ai.system": "microsoft.agent_framework"}, None),
    ],
)
def test_providers_by_all_their_names(name: dict[str, str], provider: str | None) -> None:
    """A provider is called as the price book calls it; of one that has none the model decides."""
    said = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", **TOKENS, **name}
    (usage,) = [one for one in read(request_json(span_json(1, 1, said))) if isinstance(one, Usage)]
    assert usage.provider == provider


@pytest.mark.parametrize(
    ("said", "more", "role"),
    [
        (CHAT, {}, Role.INFERENCE),
        ({"gen_ai.operation.name": "generate_content"}, {}, Role.INFERENCE),
        ({"gen_ai.operation.name": "embeddings"}, {}, Role.EMBEDDING),
        ({"gen_ai.operation.name": "invoke_workflow"}, {}, Role.WORKFLOW),
        ({"gen_ai.operation.name": "something_new"}, {}, Role.OTHER),
        ({"openinference.span.kind": "LLM"}, {}, Role.INFERENCE),
        ({"openinference.span.kind": "AGENT"}, {}, Role.AGENT),
        ({"openinference.span.kind": "CHAIN"}, {}, Role.WORKFLOW),
        ({"openinference.span.kind": "EVALUATOR"}, {}, Role.NONE),
        ({"traceloop.span.kind": "workflow"}, {}, Role.WORKFLOW),
        ({"llm.request.type": "chat"}, {}, Role.INFERENCE),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4"}, {}, Role.INFERENCE),
        ({"mcp.method.name": "tools/call"}, {"kind": 3}, Role.TOOL),
        ({"mcp.method.name": "tools/call"}, {"kind": 2}, Role.NONE),
        ({"mcp.method.name": "tools/list"}, {"kind": 3}, Role.NONE),
        ({"http.response.status_code": 403}, {"kind": 3}, Role.EVIDENCE),
        ({"http.status_code": 200}, {"kind": 3}, Role.NONE),
        ({}, {"name": "workflow.run"}, Role.WORKFLOW),
    ],
)
def test_what_a_span_does(said: dict[str, Any], more: dict[str, Any], role: Role) -> None:
    """Every dialect's word for it."""
    (fact,) = facts(read(request_json(span_json(1, 1, said, **more))))
    assert fact.role == role


@pytest.mark.parametrize(
    ("mark", "said", "name"),
    [
        ("escalation", {**TOOL, "gen_ai.transfer.target.type": "human"}, "t"),
        ("escalation", {**TOOL, "gen_ai.transfer.target.name": "Human Agent"}, "t"),
        ("escalation", {"gen_ai.operation.name": "agent_handoff", "gen_ai.handoff.to_agent": "support-queue"}, "t"),
        ("escalation", {**TOOL, "gen_ai.tool.name": "escalate_to_human"}, "t"),
        ("escalation", {"gen_ai.operation.name": "run_guardrail", "gen_ai.guardrail.verdict.type": "escalate"}, "t"),
        ("escalation", {"openinference.span.kind": "TOOL", "output.value": "human"}, "handoff to human"),
        ("escalation", {"midwatch.outcome": "escalated"}, "t"),
        ("handoff", {"gen_ai.operation.name": "agent_handoff", "gen_ai.handoff.to_agent": "billing"}, "t"),
        ("handoff", {**TOOL, "gen_ai.transfer.mode": "pass_control"}, "t"),
        ("handoff", {"openinference.span.kind": "TOOL", "output.value": "billing"}, "handoff to billing"),
        ("denial", {**TOOL, "error.type": "PermissionDeniedError"}, "t"),
        ("denial", {**TOOL, "error.type": "builtins.PermissionError"}, "t"),
        ("denial", {**TOOL, "http.response.status_code": 401}, "t"),
        ("denial", {**TOOL, "rpc.response.status_code": "PERMISSION_DENIED"}, "t"),
        ("denial", {"gen_ai.operation.name": "run_guardrail", "gen_ai.guardrail.verdict.type": "deny"}, "t"),
        ("abandoned", {**AGENT, "error.type": "CancelledError"}, "t"),
        ("resolved", {**AGENT, "midwatch.outcome": "resolved"}, "t"),
    ],
)
def test_the_shipped_rules(mark: str, said: dict[str, Any], name: str) -> None:
    """What each rule is there for, it recognises."""
    (fact,) = facts(read(request_json(span_json(1, 1, said, name=name))))
    assert mark in {one[0] for one in fact.marks}


@pytest.mark.parametrize(
    "said",
    [
        {**TOOL, "gen_ai.tool.name": "humanities_search"},
        {**TOOL, "error.type": "ValueError"},
        {**CHAT, "error.type": "401"},
        {**AGENT, "error.type": "403"},
        {"gen_ai.operation.name": "run_guardrail", "gen_ai.guardrail.verdict.type": "allow"},
    ],
)
def test_what_the_shipped_rules_leave_alone(said: dict[str, Any]) -> None:
    """A model call with a wrong key is no trespass, and not every tool with a human in its name is one."""
    (fact,) = facts(read(request_json(span_json(1, 1, said))))
    assert fact.marks == ()


def test_a_rule_of_ones_own_goes_first() -> None:
    """A configured rule adds to the shipped ones, and decides where both match."""
    own = Rule("escalation", {"app.queue": ("tier-?",)}, reason="high_risk", target_from=("app.queue",))
    reader = OtlpReader(DEFAULT_NAMES, (own, *DEFAULT_RULES))
    value = request_json(span_json(1, 1, {**AGENT, "app.queue": "Tier 2", "midwatch.outcome": "escalated"}))
    talk = reading(value, reader).interaction
    assert talk is not None
    assert talk.escalation is not None
    assert talk.escalation.reason == "high_risk"


def test_a_time_out_is_told_from_an_error() -> None:
    """By the error's type, or by the exception that the span recorded."""
    event = {"name": "exception", "attributes": pairs({"exception.type": "TimeoutError"})}
    status = {"code": "STATUS_CODE_ERROR"}
    spans = (
        span_json(1, 1, {**TOOL, "error.type": "504"}),
        span_json(1, 2, TOOL, status=status, events=[event]),
        span_json(1, 3, TOOL, status={"code": 2}),
        span_json(1, 4, TOOL, status={"code": 1}),
    )
    statuses = [fact.status for fact in facts(read(request_json(*spans)))]
    assert statuses == [Status.TIMEOUT, Status.TIMEOUT, Status.ERROR, Status.OK]


def test_where_a_span_stands() -> None:
    """The true root has no parent; a local one is a server's, or says that its parent is remote."""
    spans = (
        span_json(1, 1, AGENT),
        span_json(1, 2, AGENT, 9, kind="SPAN_KIND_SERVER"),
        span_json(1, 3, AGENT, 9, flags=0x300),
        span_json(1, 4, AGENT, 9, flags=0x100),
    )
    roots = [fact.root for fact in facts(read(request_json(*spans)))]
    assert roots == [Root.TRUE, Root.LOCAL, Root.LOCAL, Root.INNER]


def test_spans_of_no_agent_only_end_traces() -> None:
    """Inner spans of other services are passed over; the newest of them still moves the watermark."""
    http = {"http.request.method": "GET", "http.response.status_code": 200}
    value = request_json(span_json(1, 1, http, end_ms=END_MS), span_json(1, 2, http, 1, end_ms=END_MS + 5_000))
    root, life = read(value)
    assert (root.fact.role, root.fact.root) == (Role.NONE, Root.TRUE)
    assert (life.trace_id, life.time) == (b"", END_MS + 5_000)


def log_request(**fields: Any) -> ExportLogsServiceRequest:
    """One evaluation result as a log record in protobuf."""
    request = ExportLogsServiceRequest()
    part = request.resource_logs.add()
    for key, value in RESOURCE.items():
        part.resource.attributes.add(key=key).value.string_value = value
    record = part.scope_logs.add().log_records.add(
        time_unix_nano=END_MS * 1_000_000, event_name="gen_ai.evaluation.result", trace_id=b"\1" * 16, **fields
    )
    record.attributes.add(key="gen_ai.evaluation.name").value.string_value = "coherence"
    record.attributes.add(key="gen_ai.evaluation.score.value").value.double_value = 4.0
    return request


def test_evaluation_results_of_logs_and_span_events() -> None:
    """The same score by protobuf, JSON and a span's event; its interaction is the trace."""
    attributes = pairs({"gen_ai.evaluation.name": "coherence", "gen_ai.evaluation.score.value": 4.0})
    record = {
        "timeUnixNano": str(END_MS * 1_000_000),
        "eventName": "gen_ai.evaluation.result",
        "traceId": "01" * 16,
        "attributes": attributes,
    }
    resource = {"attributes": pairs(RESOURCE)}
    logs = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]}).encode()
    event = {"name": "gen_ai.evaluation.result", "timeUnixNano": str(END_MS * 1_000_000), "attributes": attributes}
    span = request_json(span_json(int("01" * 16, 16), 1, {}, events=[event]))
    found = [
        [one for one in read(value) if isinstance(one, Evaluation)]
        for value in (log_request().SerializeToString(), logs, span)
    ]
    assert found[0] == found[1] == found[2]
    (score,) = found[0]
    assert (score.criterion, score.score, score.flow, score.version) == ("coherence", 4.0, "support", "1.4.2")
    assert (score.time, score.interaction_id) == (END_MS, "01" * 16)


def test_logs_that_are_no_scores_are_passed_over() -> None:
    """An ordinary log record is nothing of ours, and no dead letter."""
    request = log_request()
    request.resource_logs[0].scope_logs[0].log_records[0].event_name = "user.login"
    (life,) = read(request.SerializeToString())
    assert isinstance(life, TracedSpan)
    assert not life.trace_id


def test_metrics_are_refused_in_words() -> None:
    """Metrics look much like spans; the answer says what they are."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="requests", unit="1")
    metric.sum.data_points.add(as_int=1)
    (refused,) = read(request.SerializeToString())
    assert refused == Rejection("unsupported_format", "OTLP metrics; spans and logs are read")


def test_times_out_of_bounds_are_counted_and_the_rest_counts() -> None:
    """A span from the far future must not drag the watermark along; its neighbours are read all the same."""
    spans = [span_json(1, one, AGENT, end_ms=END_MS) for one in (1, 2)]
    far = [span_json(2, one, AGENT, end_ms=END_MS + 3_600_000) for one in (3, 4)]
    batch = Decoder(Limits(), otlp=OtlpReader()).decode_batch([(request_json(*spans, *far), (), END_MS)])
    assert [one.time for one in batch.events] == [END_MS, END_MS]
    ((position, refused),) = batch.rejections
    assert (position, refused.reason) == (0, "future_timestamp")
    assert refused.detail.startswith("2 of the record's")


@pytest.mark.parametrize(
    "broken",
    [
        {"traceId": "xyz"},
        {"traceId": "00" * 16},
        {"spanId": "12"},
        {"endTimeUnixNano": "soon"},
        {"endTimeUnixNano": 0},
        {"endTimeUnixNano": 1e300},
    ],
)
def test_a_span_that_is_none_is_refused_alone(broken: dict[str, Any]) -> None:
    """Its neighbour counts."""
    value = request_json(span_json(1, 1, AGENT) | broken, span_json(1, 2, AGENT))
    fact, refused = read(value)
    assert fact.fact.span_id == bytes.fromhex(f"{2:016x}")
    assert isinstance(refused, Rejection)


SAMPLE = request_json(span_json(1, 1, {**CHAT, **TOKENS}), span_json(1, 2, AGENT))


def _only_known(found: list[Any]) -> None:
    assert all(isinstance(one, TracedSpan | Usage | Evaluation | Rejection) for one in found)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_broken_bytes_never_raise(exported: bytes, data: st.DataObject) -> None:
    """Cut, flipped and random bytes, and JSON with anything in any place: an event, a span or a dead letter."""
    base = data.draw(st.sampled_from([exported, SAMPLE, log_request().SerializeToString()]))
    kind = data.draw(st.sampled_from(["cut", "flip", "random"]))
    if kind == "cut":
        value = base[: data.draw(st.integers(0, len(base)))]
    elif kind == "flip":
        value = bytearray(base)
        for _ in range(data.draw(st.integers(1, 8))):
            value[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    else:
        value = b"\x0a" + data.draw(st.binary(max_size=200))
    _only_known(read(bytes(value)))


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("traceId", "spanId", "parentSpanId", "kind", "flags", "status", "endTimeUnixNano", "attributes", "events")


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(FIELDS), value=anything)
def test_json_with_anything_in_a_field_never_raises(name: str, value: Any) -> None:
    """A field of another type is a dead letter or is passed over."""
    _only_known(read(request_json(span_json(1, 1, AGENT) | {name: value})))


def test_json_that_is_too_deep_is_a_dead_letter() -> None:
    """A hundred thousand brackets end neither the decoder nor the process."""
    deep = b'{"resourceSpans":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    nested = b'{"arrayValue":{"values":[' * 20_000
    attribute = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"key":"error.type","value":' + nested
    for value in (deep, attribute):
        (refused,) = read(value)
        assert isinstance(refused, Rejection)


def test_a_decoder_without_a_reader_refuses_otlp(exported: bytes) -> None:
    """Whoever cannot put traces together says so."""
    for value in (exported, SAMPLE):
        batch = Decoder().decode_batch([(value, (), -1)])
        assert [one.reason for _, one in batch.rejections] == ["unsupported_format"]
