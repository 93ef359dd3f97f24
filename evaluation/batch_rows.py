"""The lines of a provider's batch: requests out, results in. Pure.

A request is `{"custom_id", "method", "url", "body"}`, a result `{"custom_id", "response": {"status_code", "body"},
"error"}`, in the output file where it went well and in the error file where it did not, in any order. Whatever else
stands there has no score and a reason.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from evaluation.answer import InvalidAnswer
from evaluation.calls import CallFailed, Reply, failures, read_chat, read_response
from evaluation.judgement import NoDataReason
from evaluation.scoring import Answer, read_answer

Api: TypeAlias = Literal["chat", "responses"]

EMPTY_LINE: Final = {"custom_id": "", "method": "POST", "url": "", "body": {}}
LINE_BYTES: Final = len(json.dumps(EMPTY_LINE)) + 80
"""What a line takes beside its body, with room for the id and the address."""


def endpoint_of(provider: str, api: Api) -> str:
    """The address of the requests. Azure's has no version in it."""
    path = "/responses" if api == "responses" else "/chat/completions"
    return f"/v1{path}" if provider == "openai" or api == "responses" else path


def request_line(custom_id: str, url: str, body: bytes) -> bytes:
    """One line of the input file; `body` is JSON."""
    head = json.dumps({"custom_id": custom_id, "method": "POST", "url": url})
    return head[:-1].encode() + b', "body": ' + body + b"}\n"


@dataclass
class Results:
    """What came for each request: an answer, or why there is none. `odd` counts lines that belong to no request."""

    wanted: Mapping[str, Sequence[str]]
    """The criteria that each request asked for, by its custom id."""
    api: Api
    found: dict[str, Answer | NoDataReason] = field(default_factory=dict)
    tokens: dict[str, tuple[int, int]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)

    def take(self, line: bytes) -> None:
        """One line of a result file."""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            self.odd["not_json"] += 1
            return
        custom_id = row.get("custom_id") if isinstance(row, dict) else None
        if not isinstance(custom_id, str) or custom_id not in self.wanted:
            self.odd["unknown_request"] += 1
        elif custom_id in self.found:
            self.odd["twice"] += 1
        else:
            self._take(custom_id, row)

    def _take(self, custom_id: str, row: Mapping[str, Any]) -> None:
        try:
            reply = _reply(row, self.api)
        except CallFailed as failure:
            self.tokens[custom_id] = failure.tokens
            self.found[custom_id] = failure.reason
            self.codes[failure.code[:64]] += 1
            return
        self.tokens[custom_id] = (reply.input_tokens, reply.output_tokens)
        try:
            self.found[custom_id] = read_answer(reply, self.wanted[custom_id])
        except InvalidAnswer:
            self.found[custom_id] = "invalid_output"
            self.codes["invalid"] += 1

    def answers_of(self, custom_ids: Collection[str]) -> list[Answer] | NoDataReason:
        """The answers of one interaction's requests, or the first's reason; `unavailable` for one that is missing."""
        found = [self.found.get(custom_id, "unavailable") for custom_id in custom_ids]
        answers = [one for one in found if isinstance(one, Answer)]
        if answers:
            return answers
        return next(one for one in found if not isinstance(one, Answer))

    def tokens_of(self, custom_ids: Collection[str]) -> tuple[int, int]:
        """Tokens read and written for these requests."""
        spent = [self.tokens.get(custom_id, (0, 0)) for custom_id in custom_ids]
        return sum(read for read, _ in spent), sum(written for _, written in spent)

    @property
    def missing(self) -> int:
        """Requests that no line speaks of."""
        return len(self.wanted) - len(self.found)


def _reply(row: Mapping[str, Any], api: Api) -> Reply:
    """The reply in a result. Raises `CallFailed`."""
    response = row.get("response")
    if isinstance(response, dict) and response.get("status_code") == 200:
        body = response.get("body")
        if not isinstance(body, dict):
            raise CallFailed("invalid_output", "no_body")
        with failures():
            if api == "responses":
                return read_response(Response.construct(**body))
            return read_chat(ChatCompletion.construct(**body))
    status = response.get("status_code") if isinstance(response, dict) else None
    raise CallFailed(*_why(status, _error_of(row)))


def _error_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result's error: beside the response, or in its body, as an object, as the APIs give it, or as nothing."""
    response = row.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    for place in (row.get("error"), body.get("error") if isinstance(body, dict) else None):
        if isinstance(place, dict):
            return place
    return {}


def _why(status: Any, error: Mapping[str, Any]) -> tuple[NoDataReason, str]:
    code = str(error.get("code") or status or "no_response")
    if "content_filter" in code or "content_policy" in code:
        return "refused", code
    if status == 429:
        return "rate_limited", code
    if "logprobs" in f"{error.get('param')} {error.get('message')}":
        return "unavailable", "logprobs_refused"
    return "unavailable", code
