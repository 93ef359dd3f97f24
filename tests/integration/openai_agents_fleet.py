"""Agents of OpenAI's Agents SDK, its tracing carried by OpenInference; prints what the real exporter sent, in hex.

In a process of its own, for the SDK's trace processors are global. The models are scripted: the first looks something
up and hands over.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import agents
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

from tests.support.otlp import exporting


class Scripted(agents.Model):
    """A model that says what it is told to, at 100 tokens in and 10 out."""

    def __init__(self, *script: Any) -> None:
        self._script = list(script)

    async def get_response(self, *_args: Any, **_more: Any) -> agents.ModelResponse:
        """The next answer, in a span as the SDK's own models make one."""
        with agents.generation_span(model="gpt-4o", model_config={}) as span:
            said = self._script.pop(0)
            span.span_data.usage = {"input_tokens": 100, "output_tokens": 10}
        usage = agents.Usage(requests=1, input_tokens=100, output_tokens=10, total_tokens=110)
        return agents.ModelResponse(output=[said], usage=usage, response_id=None)

    def stream_response(self, *_args: Any, **_more: Any) -> AsyncIterator[Any]:
        """The fleet's runners never stream: whoever asks has changed what is tested."""
        raise AssertionError("the agents of this fleet do not stream")


def call(name: str, arguments: str = "{}") -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(arguments=arguments, call_id=f"c-{name}", name=name, type="function_call")


def message(text: str) -> ResponseOutputMessage:
    part = ResponseOutputText(annotations=[], text=text, type="output_text")
    return ResponseOutputMessage(id="m", content=[part], role="assistant", status="completed", type="message")


@agents.function_tool
def lookup(number: str) -> str:
    """Look an order up."""
    return f"order {number} is late"


async def main() -> None:
    """Run the agents once."""
    human: Any = agents.Agent(name="Human agent", model=Scripted(message("A colleague here.")))
    script = (call("lookup", '{"number": "7"}'), call("transfer_to_human_agent"))
    triage: Any = agents.Agent(name="triage", model=Scripted(*script), tools=[lookup], handoffs=[human])
    await agents.Runner.run(triage, "Where is my order?")


if __name__ == "__main__":
    with exporting() as sdk:
        agents.set_trace_processors([])
        OpenAIAgentsInstrumentor().instrument(tracer_provider=sdk.provider)
        asyncio.run(main())
    sys.stdout.write(sdk.one_record().hex())
