"""A judge server on loopback that speaks the wire format of OpenAI and Azure, and fails on demand.

It holds no model: its scores are the rules of `evaluation.scripted`, its log-probabilities are made up round them. It
is there so that the real client and everything behind it can be tested and shown without a key.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from aiohttp import web

from evaluation.scripted import scores_of
from evaluation.scripted_batches import ScriptedBatches, add_batches
from evaluation.scripted_wire import answer_text, chat_completion, error_body, response, token_list

HOST: Final = "127.0.0.1"
MAX_BODY: Final = 256 * 1024 * 1024
KEPT: Final = 1000
"""Requests that are kept to be looked at."""

PIECE_BYTES: Final = 65_536
BOMB_BYTES: Final = 20_000_000

Kind: TypeAlias = Literal[
    "rate_limit",
    "quota",
    "server_error",
    "unauthorized",
    "hang",
    "trickle",
    "junk",
    "wrong_form",
    "bad_score",
    "refusal",
    "truncated",
    "content_filter",
    "azure_filter",
    "half_closed",
    "runaway",
    "bomb",
    "compressed",
]

Opinion: TypeAlias = Callable[[str, str, Sequence[str]], dict[str, int]]
"""Scores by system message, user message and criteria."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request goes wrong. `retry_after` is the header's text."""

    kind: Kind
    retry_after: str | None = None


def fenced_record(user: str) -> dict[str, Any]:
    """The record of a user message as the prompt builds it; empty if it is none."""
    lines = user.split("\n")
    if len(lines) != 3 or lines[0] != lines[2]:
        return {}
    try:
        record = json.loads(lines[1])
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def by_rules(_system: str, user: str, names: Sequence[str]) -> dict[str, int]:
    """The opinion of one who reads the record and nothing else."""
    return scores_of(fenced_record(user), names)


class ScriptedServer:
    """The server's behaviour, to be changed while it runs.

    `faults` befall the next requests, one each; `always` befalls all others. `logprobs` says whether they are given,
    left out without a word, or refused.
    """

    def __init__(self, opinion: Opinion = by_rules) -> None:
        self.opinion = opinion
        self.logprobs: Literal["given", "left_out", "refused"] = "given"
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.paths: deque[str] = deque(maxlen=KEPT)
        self.keys: deque[str] = deque(maxlen=KEPT)
        self.url = ""
        self.batches = ScriptedBatches(self._row)
        self.written = 0
        self._closing = asyncio.Event()

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST .../chat/completions."""
        return await self._answer(request, await self._taken(request))

    async def responses(self, request: web.Request) -> web.StreamResponse:
        """POST .../responses."""
        return await self._answer(request, await self._taken(request))

    async def _taken(self, request: web.Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.requests.append(body)
        self.paths.append(request.path_qs)
        self.keys.append(request.headers.get("api-key", request.headers.get("Authorization", "")))
        return body

    def _row(self, body: dict[str, Any], kind: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body of one row of a batch."""
        self.requests.append(body)
        if kind in _STATUS:
            return _STATUS[kind][0], error_body("As was asked for.", _STATUS[kind][1])
        if wants_logprobs(body) and self.logprobs == "refused":
            return 400, no_logprobs()
        return 200, self.answer_to(body, cast("Kind | None", kind))

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        fault = self.faults.popleft() if self.faults else self.always
        if fault is not None and fault.kind in _STATUS:
            return _error(fault)
        if wants_logprobs(body) and self.logprobs == "refused":
            return web.json_response(no_logprobs(), status=400)
        kind = fault.kind if fault else None
        return await self._sent(request, kind, self.answer_to(body, kind))

    def answer_to(self, body: dict[str, Any], kind: Kind | None = None) -> dict[str, Any]:
        """The body of the answer to a request's body, by its API."""
        chat = "messages" in body
        form = body["response_format"]["json_schema"] if chat else body["text"]["format"]
        texts = {message["role"]: message["content"] for message in body["messages" if chat else "input"]}
        names = list(form["schema"]["properties"])
        text = answer_text(self.opinion(texts["system"], texts["user"], names), 'It said "score": 5, 1 or 3.')
        if kind == "bad_score":
            text = text.replace('"score": ', '"score": 9')
        given = wants_logprobs(body) and self.logprobs == "given" and kind is None
        return _body(kind, text, token_list(text) if given else None, len(str(body)), chat=chat)

    async def _sent(self, request: web.Request, kind: Kind | None, answer: dict[str, Any]) -> web.StreamResponse:
        if kind == "junk":
            return web.Response(text="<html>It works!</html>", content_type="text/html")
        if kind == "wrong_form":
            return web.json_response({"choices": "none", "output": 7})
        if kind == "hang":
            await self._closing.wait()
        if kind == "runaway":
            return await self._endlessly(request)
        if kind == "bomb":
            return web.Response(body=gzip.compress(b" " * BOMB_BYTES), headers={"Content-Encoding": "gzip"})
        if kind == "compressed":
            return web.Response(
                body=gzip.compress(json.dumps(answer).encode()),
                headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
            )
        if kind in {"half_closed", "trickle"}:
            return await self._slowly(request, json.dumps(answer).encode(), whole=kind == "trickle")
        return web.json_response(answer)

    async def _endlessly(self, request: web.Request) -> web.StreamResponse:
        """A body without an end, as fast as it is read; `written` counts its bytes."""
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        while not self._closing.is_set():
            try:
                await stream.write(b" " * PIECE_BYTES)
            except ConnectionError:
                break
            self.written += PIECE_BYTES
        return stream

    async def _slowly(self, request: web.Request, data: bytes, *, whole: bool) -> web.StreamResponse:
        """A body that comes byte by byte until the server closes, or ends in its middle with the connection."""
        stream = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        await stream.prepare(request)
        await stream.write(data[: len(data) // 2])
        for byte in data[len(data) // 2 :] if whole else b"":
            try:
                await asyncio.wait_for(self._closing.wait(), 0.05)
                break
            except TimeoutError:
                await stream.write(bytes([byte]))
        if request.transport is not None:
            request.transport.abort() if not whole else request.transport.close()
        return stream

    def close(self) -> None:
        """Let go of requests that hang."""
        self._closing.set()


def wants_logprobs(body: dict[str, Any]) -> bool:
    """Whether a request asks for log-probabilities, in either API."""
    return bool(body.get("logprobs")) or "message.output_text.logprobs" in (body.get("include") or ())


def no_logprobs() -> dict[str, Any]:
    """The error of a model that refuses to give them."""
    return error_body("You are not allowed to request logprobs from this model", None, "logprobs")


_STATUS: Final = {
    "rate_limit": (429, "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota"),
    "server_error": (500, "server_error"),
    "unauthorized": (401, "invalid_api_key"),
    "azure_filter": (400, "content_filter"),
}


def _error(fault: Fault) -> web.Response:
    status, code = _STATUS[fault.kind]
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    return web.json_response(error_body("As was asked for.", code), status=status, headers=headers)


def _body(
    kind: Kind | None, text: str, tokens: Sequence[Any] | None, prompt_chars: int, *, chat: bool
) -> dict[str, Any]:
    refusal = "I cannot help with that." if kind == "refusal" else None
    cut = kind in {"truncated", "content_filter"}
    shown = None if refusal else text[: len(text) // 2] if cut else text
    if chat:
        finish = {"truncated": "length", "content_filter": "content_filter"}.get(kind or "", "stop")
        return chat_completion(shown, tokens, prompt_chars, finish=finish, refusal=refusal)
    why = {"truncated": "max_output_tokens", "content_filter": "content_filter"}.get(kind or "")
    return response(shown, tokens, prompt_chars, incomplete=why, refusal=refusal)


@asynccontextmanager
async def scripted_server(opinion: Opinion = by_rules, port: int = 0) -> AsyncIterator[ScriptedServer]:
    """A server on loopback for as long as the context lasts; its `url` is without the path. Port 0 takes a free one."""
    server = ScriptedServer(opinion)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/responses", server.responses)
    app.router.add_post("/openai/deployments/{deployment}/chat/completions", server.chat)
    app.router.add_post("/openai/responses", server.responses)
    add_batches(app, server.batches)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        server.url = f"http://{HOST}:{runner.addresses[0][1]}"
        yield server
    finally:
        server.close()
        await runner.cleanup()
