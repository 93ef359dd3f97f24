"""An agent of Microsoft's Agent Framework with its own instrumentation; prints what the real exporter sent, in hex.

In a process of its own: the framework takes the global tracer provider, which can be set only once. Its model is
scripted: it asks for a refund, which is refused, hands over to a human, and says so.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import agent_framework as af
from agent_framework._tools import FunctionInvocationLayer
from agent_framework.observability import ChatTelemetryLayer, enable_instrumentation
from opentelemetry import trace

from tests.support.otlp import exporting


class Scripted(af.BaseChatClient[Any]):
    """A model that says what it is told to, at 100 tokens in and 10 out."""

    OTEL_PROVIDER_NAME = "openai"

    def __init__(self) -> None:
        super().__init__()
        self.model = "gpt-4o"
        self._script = [
            af.Content.from_function_call("c1", "refund", arguments={"amount": 5}),
            af.Content.from_function_call("c2", "escalate_to_human", arguments={"why": "no right to refund"}),
            af.Content.from_text("A colleague will take over."),
        ]

    def _inner_get_response(self, **_: Any) -> Awaitable[af.ChatResponse[Any]]:
        async def answer() -> af.ChatResponse[Any]:
            content = self._script.pop(0)
            usage: Any = {"input_token_count": 100, "output_token_count": 10}
            return af.ChatResponse(messages=[af.Message("assistant", [content])], model="gpt-4o", usage_details=usage)

        return answer()


class Client(FunctionInvocationLayer, ChatTelemetryLayer, Scripted):
    """The scripted model with the framework's own layers on it."""


@af.tool(approval_mode="never_require")
def refund(amount: int) -> str:
    """Refund an amount."""
    raise PermissionError(f"no right to refund {amount}")


@af.tool(approval_mode="never_require")
def escalate_to_human(why: str) -> str:
    """Hand over to a human."""
    return f"handed over: {why}"


async def main() -> None:
    """Run the agent once."""
    agent: Any = af.Agent(Client(), "Help.", name="triage", tools=[refund, escalate_to_human])
    await agent.run("I want my money back.")


if __name__ == "__main__":
    with exporting() as sdk:
        trace.set_tracer_provider(sdk.provider)
        enable_instrumentation()
        asyncio.run(main())
    sys.stdout.write(sdk.one_record().hex())
