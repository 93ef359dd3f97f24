"""What a batch asks and of whom: kept with it, so that results are read as they were asked for.

The configuration may change while a batch is out. Its model, criteria and prompt versions are those of its beginning.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from evaluation.anchors import Anchor, shipped_anchors, wanted
from evaluation.batch_rows import LINE_BYTES, Api, endpoint_of, request_line
from evaluation.batch_sample import Size
from evaluation.calls import Request, chat_body, responses_body
from evaluation.criteria import Criterion
from evaluation.judgement import Method
from evaluation.pacing import Spent
from evaluation.prompt import build_prompt
from schemas.events import Interaction
from stream.settings_judge import JudgeSettings

TOP_LOGPROBS: Final = 8
"""Alternatives to ask for: the five digits and some room. The results of a batch are one file, so fewer than live."""

OUTPUT_TOKENS: Final = 120
"""Tokens that a model is expected to write for one criterion: a sentence, a digit and the JSON round them."""

BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of a batch: `samples` for each interaction and each anchor, all criteria in each."""

    provider: str
    model: str
    api: Api
    logprobs: bool
    samples: int
    max_output_tokens: int
    temperature: float | None
    max_text_chars: int
    criteria: tuple[Criterion, ...]

    @classmethod
    def of(cls, judge: JudgeSettings, criteria: Sequence[Criterion]) -> Plan:
        """The plan that a configuration makes."""
        return cls(
            provider=judge.provider,
            model=judge.model,
            api=judge.api,
            logprobs=judge.logprobs,
            # Who gives log-probabilities is asked once. Whether a model does is not known before the batch is back.
            samples=1 if judge.logprobs else judge.samples,
            max_output_tokens=judge.max_output_tokens,
            temperature=judge.temperature,
            max_text_chars=judge.max_text_chars,
            criteria=tuple(criteria),
        )

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Plan:
        """A plan that was kept."""
        criteria = tuple(
            Criterion(one["name"], one["question"], tuple(one["steps"]), tuple(one["scale"]))
            for one in plain["criteria"]
        )
        return cls(**{**plain, "criteria": criteria})

    def to_json(self) -> dict[str, Any]:
        """To be kept."""
        return asdict(self)

    @property
    def endpoint(self) -> str:
        """The address of the requests."""
        return endpoint_of(self.provider, self.api)

    @property
    def unanswered(self) -> Method:
        """The method to name where nothing was answered."""
        return "logprobs" if self.logprobs else "samples" if self.samples > 1 else "single"

    def body(self, interaction: Interaction, criteria: Sequence[Criterion]) -> bytes:
        """The JSON of one request."""
        prompt = build_prompt(interaction, criteria, secrets.token_hex(16), self.max_text_chars)
        request = Request(prompt, tuple(criterion.name for criterion in criteria), self.logprobs)
        make = responses_body if self.api == "responses" else chat_body
        body = make(request, self.model, self.max_output_tokens, self.temperature)
        if self.logprobs:
            body["top_logprobs"] = TOP_LOGPROBS
        return json.dumps(body, ensure_ascii=False).encode()

    def lines(self, name: str, body: bytes) -> Iterator[bytes]:
        """The lines of one interaction or anchor."""
        for custom_id in self.ids(name):
            yield request_line(custom_id, self.endpoint, body)

    def ids(self, name: str) -> tuple[str, ...]:
        """The custom ids of one interaction's or anchor's requests."""
        return tuple(f"{name}.{sample}" for sample in range(self.samples))

    def expected(self, body: bytes, criteria: int) -> tuple[int, int]:
        """Tokens that one interaction is expected to read and to write."""
        return len(body) // BYTES_PER_TOKEN * self.samples, OUTPUT_TOKENS * criteria * self.samples

    def size(self, body: bytes, cost: Spent) -> Size:
        """What one interaction takes."""
        return Size((LINE_BYTES + len(body)) * self.samples, self.samples, cost)

    def wanted(self, interactions: int) -> dict[str, tuple[str, ...]]:
        """By custom id, the criteria that each request of the whole batch asks for."""
        names = tuple(criterion.name for criterion in self.criteria)
        found = {custom_id: names for number in range(interactions) for custom_id in self.ids(interaction_name(number))}
        for anchor in self.anchors():
            asked = tuple(criterion.name for criterion in wanted(anchor, self.criteria))
            found.update(dict.fromkeys(self.ids(anchor_name(anchor)), asked))
        return found

    def anchors(self) -> tuple[Anchor, ...]:
        """The anchors that ride along: those that have a known score for one of the criteria."""
        return tuple(anchor for anchor in shipped_anchors() if wanted(anchor, self.criteria))


def interaction_name(number: int) -> str:
    """What the custom ids of an interaction begin with."""
    return f"i{number}"


def anchor_name(anchor: Anchor) -> str:
    """What the custom ids of an anchor begin with."""
    return f"anchor.{anchor.name}"
