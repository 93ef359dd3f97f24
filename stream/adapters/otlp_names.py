"""The names under which telemetry says things: one table each, for every generation and dialect. Data only.

OpenTelemetry's GenAI conventions are still in development and were renamed several times; OpenInference, OpenLLMetry
and Azure AI Foundry have names of their own. Where a span has several of a row, the first counts.
"""

from __future__ import annotations

from typing import Final

from stream.core.spans import Role, Status

ENVIRONMENT: Final = ("deployment.environment.name", "deployment.environment")
"""Resource attributes that name the environment (today's name, and that before semantic conventions 1.27)."""

SYSTEM: Final = ("service.name",)
"""Resource attributes that name the system."""

VERSION: Final = ("service.version",)

SPAN_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "operation": ("gen_ai.operation.name", "llm.request.type"),
    "kind": ("openinference.span.kind", "traceloop.span.kind"),
    "agent": ("gen_ai.agent.name", "agent.name"),
    "agent_version": ("gen_ai.agent.version",),
    "flow": ("gen_ai.workflow.name", "workflow.name", "traceloop.workflow.name"),
    "conversation": ("gen_ai.conversation.id", "session.id", "conversation.id"),
    "tool": ("gen_ai.tool.name", "tool.name"),
    "model": (
        "gen_ai.response.model",
        "gen_ai.request.model",
        "llm.model_name",
        "embedding.model_name",
    ),
    "deployment": ("gen_ai.request.model",),
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
    "tier": (
        "openai.response.service_tier",
        "gen_ai.openai.response.service_tier",
        "gen_ai.openai.request.service_tier",
    ),
    "input": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
    ),
    "cached": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_input",
    ),
    "cost": ("llm.cost.total", "gen_ai.usage.cost"),
    "dependency": ("peer.service", "server.address", "net.peer.name"),
    "error": ("error.type", "exception.type"),
    "http_status": ("http.response.status_code", "http.status_code"),
    "mcp": ("mcp.method.name",),
    "guardrail": ("gen_ai.guardrail.name",),
    "handoff_target": (
        "gen_ai.handoff.to_agent",
        "gen_ai.agent.handoff.target.name",
        "gen_ai.transfer.target.name",
    ),
}
"""Our word for a thing that a span says, and the attributes that hold it."""

ROLE_OF_OPERATION: Final[dict[str, Role]] = {
    "chat": Role.INFERENCE,
    "generate_content": Role.INFERENCE,
    "text_completion": Role.INFERENCE,
    "completion": Role.INFERENCE,
    "embeddings": Role.EMBEDDING,
    "embedding": Role.EMBEDDING,
    "invoke_agent": Role.AGENT,
    "invoke_workflow": Role.WORKFLOW,
    "execute_tool": Role.TOOL,
    "agent_handoff": Role.HANDOFF,
    "handoff": Role.HANDOFF,
    "guardrail_check": Role.GUARDRAIL,
    "run_guardrail": Role.GUARDRAIL,
    "apply_guardrail": Role.GUARDRAIL,
    "retrieval": Role.OTHER,
    "plan": Role.OTHER,
    "create_agent": Role.OTHER,
    "search_memory": Role.OTHER,
    "create_memory": Role.OTHER,
    "update_memory": Role.OTHER,
    "upsert_memory": Role.OTHER,
    "delete_memory": Role.OTHER,
    "create_memory_store": Role.OTHER,
    "delete_memory_store": Role.OTHER,
    "fetch_response": Role.OTHER,
}
"""By `gen_ai.operation.name`. A name that is not here is an operation like any other (`OTHER`)."""

ROLE_OF_KIND: Final[dict[str, Role]] = {
    "llm": Role.INFERENCE,
    "embedding": Role.EMBEDDING,
    "agent": Role.AGENT,
    "chain": Role.WORKFLOW,
    "workflow": Role.WORKFLOW,
    "tool": Role.TOOL,
    "guardrail": Role.GUARDRAIL,
    "retriever": Role.OTHER,
    "reranker": Role.OTHER,
    "task": Role.OTHER,
}
"""By `openinference.span.kind` and `traceloop.span.kind`, in lower case. Others (EVALUATOR, PROMPT) are no part of a
request."""

OPERATION_OF_ROLE: Final[dict[Role, str]] = {
    Role.WORKFLOW: "invoke_workflow",
    Role.AGENT: "invoke_agent",
    Role.INFERENCE: "chat",
    Role.EMBEDDING: "embeddings",
    Role.TOOL: "execute_tool",
    Role.HANDOFF: "agent_handoff",
    Role.GUARDRAIL: "guardrail_check",
    Role.OTHER: "other",
}
"""What a step is called whose span does not say it in the conventions' own words."""

ROLE_OF_SPAN_NAME: Final[dict[str, Role]] = {"workflow.run": Role.WORKFLOW, "executor.process": Role.OTHER}
"""Spans that are known by their names alone (Agent Framework's workflows)."""

PROVIDERS: Final[dict[str, str]] = {
    "openai": "openai",
    "azure": "azure",
    "azure.ai.openai": "azure",
    "az.ai.openai": "azure",
    "azure_openai": "azure",
    "azure.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.inference": "azure",
    "azure.ai.foundry": "azure",
    "anthropic": "anthropic",
    "aws": "aws",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "google": "google",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "mistral": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "groq": "groq",
    "perplexity": "perplexity",
}
"""Providers as the price book calls them. Of others the model alone decides."""

TIERS: Final[dict[str, str]] = {
    "default": "standard",
    "standard": "standard",
    "batch": "batch",
    "flex": "flex",
    "priority": "priority",
}

STATUS_OF_ERROR: Final[dict[str, Status]] = dict.fromkeys(
    (
        "timeout",
        "timeouterror",
        "asyncio.timeouterror",
        "apitimeouterror",
        "openai.apitimeouterror",
        "readtimeout",
        "connecttimeout",
        "pooltimeout",
        "httpx.readtimeout",
        "httpx.connecttimeout",
        "sockettimeout",
        "socket.timeout",
        "requests.exceptions.timeout",
        "deadline_exceeded",
        "deadlineexceeded",
        "java.util.concurrent.timeoutexception",
        "timeoutexception",
        "etimedout",
        "408",
        "504",
    ),
    Status.TIMEOUT,
)
"""`error.type`, in lower case, that means a time-out. Every other one is an error."""

DENIED_ERRORS: Final = (
    "401",
    "403",
    "permissiondenied*",
    "*.permissiondenied*",
    "permission_denied",
    "permissionerror",
    "*.permissionerror",
    "forbidden*",
    "*.forbidden*",
    "unauthorized*",
    "*.unauthorized*",
    "unauthenticated",
    "accessdenied*",
    "access_denied",
    "*.accessdenied*",
    "authorizationerror",
    "notauthorized*",
    "insufficient_scope",
)
"""What an `error.type` looks like that means a refusal."""

HUMAN_TARGETS: Final = (
    "human",
    "human_*",
    "*_human",
    "*_to_human_*",
    "*_human_agent",
    "*_human_support",
    "live_agent",
    "*_live_agent",
    "support_queue",
    "*_support_queue",
    "human_in_the_loop",
    "escalate",
    "escalate_*",
    "*_escalate",
    "escalation",
    "escalation_*",
    "*_escalation",
)
"""What a tool or a target of a hand-off is called that is a human. Capitals, blanks and dashes make no difference."""
