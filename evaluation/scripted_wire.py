"""Bodies in the form of Chat Completions and of the Responses API, log-probabilities included."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from evaluation.answer import score_places
from evaluation.scripted import SCRIPTED_MODEL

_TOKEN: Final = re.compile(r"\d|[^\W\d]+|\W")
_SURE: Final = 0.8
"""Probability of the score itself; the rest goes to its neighbours."""


def answer_text(scores: Mapping[str, int], reasoning: str) -> str:
    """The answer that a model would write."""
    return json.dumps({name: {"reasoning": reasoning, "score": score} for name, score in scores.items()})


def chances(score: int) -> dict[int, float]:
    """The probabilities of the digits around a score: most for it, the rest for its neighbours."""
    near = [other for other in (score - 1, score + 1) if 1 <= other <= 5]
    return {score: _SURE, **dict.fromkeys(near, (1 - _SURE) / len(near))}


def token_list(text: str) -> list[dict[str, Any]]:
    """The tokens of an answer with their log-probabilities; the digits of its scores have alternatives."""
    places = set(score_places(text).values())
    return [
        _scored(int(found.group())) if found.start() in places else _plain(found.group())
        for found in _TOKEN.finditer(text)
    ]


def _scored(score: int) -> dict[str, Any]:
    top = [_entry(str(digit), math.log(chance)) for digit, chance in chances(score).items()]
    return {**top[0], "top_logprobs": top}


def _plain(text: str) -> dict[str, Any]:
    entry = _entry(text, -0.01)
    return {**entry, "top_logprobs": [entry]}


def _entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "bytes": list(text.encode()), "logprob": logprob}


def chat_completion(
    text: str | None,
    tokens: Sequence[Any] | None,
    prompt_chars: int,
    *,
    finish: str = "stop",
    refusal: str | None = None,
) -> dict[str, Any]:
    """A Chat Completions body."""
    used, written = prompt_chars // 4, len(text or "") // 4
    message = {"role": "assistant", "content": text, "refusal": refusal}
    logprobs = None if tokens is None else {"content": list(tokens), "refusal": None}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": SCRIPTED_MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}],
        "usage": {"prompt_tokens": used, "completion_tokens": written, "total_tokens": used + written},
    }


def response(
    text: str | None,
    tokens: Sequence[Any] | None,
    prompt_chars: int,
    *,
    incomplete: str | None = None,
    refusal: str | None = None,
) -> dict[str, Any]:
    """A Responses body."""
    used, written = prompt_chars // 4, len(text or "") // 4
    part: dict[str, Any] = {"type": "output_text", "text": text or "", "annotations": [], "logprobs": tokens or []}
    if refusal is not None:
        part = {"type": "refusal", "refusal": refusal}
    return {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 0,
        "model": SCRIPTED_MODEL,
        "status": "incomplete" if incomplete else "completed",
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "error": None,
        "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}],
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": {
            "input_tokens": used,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": used + written,
        },
    }


def error_body(message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """An error as the APIs give it."""
    return {"error": {"message": message, "type": "scripted_error", "param": param, "code": code}}
