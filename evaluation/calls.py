"""One call of a model through the `openai` client, over either API, as a reply or as the reason why there is none."""

from __future__ import annotations

import asyncio
import email.utils
import math
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import openai

from evaluation.answer import answer_schema
from evaluation.bounded import too_large
from evaluation.judgement import NoDataReason
from evaluation.prompt import Prompt
from evaluation.weighting import Token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.chat import ChatCompletion
    from openai.types.responses import Response

TOP_LOGPROBS: Final = 20
"""Alternatives to ask for, the most that the APIs give."""

SCHEMA_NAME: Final = "judgements"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered. `tokens` is empty where it gave no log-probabilities; `model` is the one that it names."""

    text: str
    tokens: tuple[Token, ...]
    model: str
    input_tokens: int
    output_tokens: int


class CallFailed(Exception):
    """There is no answer to use. `code` is for the log: a status or an error's code, never a provider's prose."""

    def __init__(
        self,
        reason: NoDataReason,
        code: str,
        *,
        again: bool = False,
        wait_seconds: float | None = None,
        tokens: tuple[int, int] = (0, 0),
        refused: bool = False,
    ) -> None:
        super().__init__(f"{reason} ({code})")
        self.reason = reason
        self.code = code
        self.again = again
        self.wait_seconds = wait_seconds
        self.tokens = tokens
        self._refused = refused

    @property
    def down(self) -> bool:
        """Whether nobody answers: a time-out, a server that fails, a wrong key, a quota that is used up.

        A limit of the rate is no such thing, nor is one request that the server refuses.
        """
        if self.reason == "rate_limited":
            return not self.again
        return self.reason in {"timeout", "unavailable"} and not self._refused


class NoLogprobs(Exception):
    """The model refuses to give log-probabilities; the same call without them may work."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks."""

    prompt: Prompt
    criteria: tuple[str, ...]
    logprobs: bool


class Caller(Protocol):
    """Makes one call. Raises `CallFailed`, `NoLogprobs`."""

    async def __call__(self, request: Request) -> Reply:
        """The reply."""
        ...


@dataclass(frozen=True, slots=True)
class ChatCaller:
    """Chat Completions."""

    client: openai.AsyncOpenAI
    model: str
    max_output_tokens: int
    temperature: float | None

    async def __call__(self, request: Request) -> Reply:
        """The reply; raises as `Caller` says."""
        body = chat_body(request, self.model, self.max_output_tokens, self.temperature)
        with failures():
            return read_chat(await self.client.chat.completions.create(**body))


@dataclass(frozen=True, slots=True)
class ResponsesCaller:
    """The Responses API. Nothing is stored at the provider."""

    client: openai.AsyncOpenAI
    model: str
    max_output_tokens: int
    temperature: float | None

    async def __call__(self, request: Request) -> Reply:
        """The reply; raises as `Caller` says."""
        body = responses_body(request, self.model, self.max_output_tokens, self.temperature)
        with failures():
            return read_response(await self.client.responses.create(**body))


def chat_body(request: Request, model: str, max_output_tokens: int, temperature: float | None) -> dict[str, Any]:
    """The body of a Chat Completions call."""
    schema = {"name": SCHEMA_NAME, "strict": True, "schema": answer_schema(request.criteria)}
    return {
        "model": model,
        "messages": _messages(request.prompt),
        "response_format": {"type": "json_schema", "json_schema": schema},
        "max_completion_tokens": max_output_tokens,
        **({} if temperature is None else {"temperature": temperature}),
        **({"logprobs": True, "top_logprobs": TOP_LOGPROBS} if request.logprobs else {}),
    }


def responses_body(request: Request, model: str, max_output_tokens: int, temperature: float | None) -> dict[str, Any]:
    """The body of a Responses call."""
    schema = {
        "type": "json_schema",
        "name": SCHEMA_NAME,
        "strict": True,
        "schema": answer_schema(request.criteria),
    }
    wanted: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": TOP_LOGPROBS}
    return {
        "model": model,
        "input": _messages(request.prompt),
        "text": {"format": schema},
        "max_output_tokens": max_output_tokens,
        "store": False,
        **({} if temperature is None else {"temperature": temperature}),
        **(wanted if request.logprobs else {}),
    }


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]


def read_chat(completion: ChatCompletion) -> Reply:
    """A completion as a reply. Raises `CallFailed`."""
    usage = completion.usage
    tokens = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    if not completion.choices:
        raise CallFailed("invalid_output", "no_choice", again=True, tokens=tokens)
    choice = completion.choices[0]
    if choice.finish_reason == "length":
        raise CallFailed("truncated", "length", tokens=tokens)
    if choice.finish_reason == "content_filter":
        raise CallFailed("refused", "content_filter", tokens=tokens)
    if choice.message.refusal:
        raise CallFailed("refused", "refusal", tokens=tokens)
    content = choice.logprobs.content if choice.logprobs else None
    return _reply(choice.message.content, content, completion.model, tokens)


def read_response(response: Response) -> Reply:
    """A response as a reply. Raises `CallFailed`."""
    usage = response.usage
    tokens = (usage.input_tokens or 0, usage.output_tokens or 0) if usage else (0, 0)
    if response.status == "incomplete":
        why = response.incomplete_details.reason if response.incomplete_details else None
        raise CallFailed("refused" if why == "content_filter" else "truncated", str(why), tokens=tokens)
    if response.status not in {"completed", None}:
        code = response.error.code if response.error else str(response.status)
        raise CallFailed("unavailable", code, again=True, tokens=tokens)
    parts = [part for item in response.output or () if item.type == "message" for part in item.content or ()]
    if any(part.type == "refusal" for part in parts):
        raise CallFailed("refused", "refusal", tokens=tokens)
    texts = [part for part in parts if part.type == "output_text"]
    found = [token for part in texts for token in part.logprobs or ()]
    return _reply("".join(part.text for part in texts), found, response.model, tokens)


def _reply(text: str | None, tokens: Sequence[Any] | None, model: str, spent: tuple[int, int]) -> Reply:
    if not text:
        raise CallFailed("invalid_output", "empty", again=True, tokens=spent)
    return Reply(text, tuple(map(_token, tokens or ())), model or "unknown", *spent)


def _token(found: Any) -> Token:
    """A token of either API. Compatible servers leave out `bytes`, or the alternatives."""
    top = tuple((_bytes_of(other), float(other.logprob)) for other in found.top_logprobs or ())
    return Token(_bytes_of(found), float(found.logprob), top)


def _bytes_of(token: Any) -> bytes:
    raw = getattr(token, "bytes", None)
    return bytes(raw) if raw is not None else str(token.token).encode()


@contextmanager
def failures() -> Iterator[None]:
    """What a call can raise, as `CallFailed` or `NoLogprobs`: the client's errors, and a body of the wrong form."""
    try:
        yield
    except (CallFailed, NoLogprobs, asyncio.CancelledError):
        raise
    except openai.APITimeoutError:
        raise CallFailed("timeout", "timeout", again=True) from None
    except openai.APIConnectionError as error:
        if too_large(error):
            # Made again it would be as large, and is paid for each time.
            raise CallFailed("invalid_output", "too_large") from None
        raise CallFailed("unavailable", "connection", again=True) from None
    except openai.APIStatusError as error:
        raise _of_status(error, time.time) from None
    except (openai.OpenAIError, ValueError, TypeError, AttributeError, LookupError) as error:
        # The client does not check the form of an answer: a body that is no completion breaks wherever it is read.
        raise CallFailed("invalid_output", type(error).__name__, again=True) from None


def _of_status(error: openai.APIStatusError, wall: Callable[[], float]) -> Exception:
    code = error.code or str(error.status_code)
    if error.status_code == 429:
        # A quota that is used up does not come back within a retry.
        again = error.code != "insufficient_quota"
        return CallFailed("rate_limited", code, again=again, wait_seconds=retry_after(error, wall))
    if error.status_code in {408, 409} or error.status_code >= 500:
        return CallFailed("unavailable", code, again=True, wait_seconds=retry_after(error, wall))
    if "content_filter" in code or "content_policy" in code:
        return CallFailed("refused", code)
    if error.status_code in {400, 422} and "logprobs" in f"{error.param} {error.message}":
        return NoLogprobs(code)
    return CallFailed("unavailable", code, refused=error.status_code in {400, 413, 422})


def retry_after(error: openai.APIStatusError, wall: Callable[[], float]) -> float | None:
    """Seconds that the provider asks to wait, if it says so in any of the three ways in use; never negative."""
    headers = error.response.headers
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) / divisor
        except ValueError:
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        return max(email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - wall(), 0.0)
    except (TypeError, ValueError):
        return None
