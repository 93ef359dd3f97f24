"""The answer that a judge is asked for: its schema, and how a text becomes scores. Reasoning comes before the score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_ANSWER: Final = 200_000
"""Longest answer that is looked at, in characters."""

MAX_REASONING: Final = 500
"""Longest reasoning that is kept."""


class InvalidAnswer(ValueError):
    """The text is not what was asked for; says where."""


class Scored(BaseModel):
    """The score of one criterion."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reasoning: Annotated[str, Field(description="One sentence: what decided the score.")]
    # No Literal: pydantic finds true among its values, as 1.
    score: Annotated[int, Field(ge=1, le=5, description="1 is worst, 5 is best.")]


_ANSWER: Final = TypeAdapter(dict[str, Scored])


def answer_schema(names: Sequence[str]) -> dict[str, Any]:
    """The strict JSON schema of an answer: one `Scored` by the name of each criterion, none missing, none beside."""
    return {
        "type": "object",
        "properties": {name: {"$ref": "#/$defs/Scored"} for name in names},
        "required": list(names),
        "additionalProperties": False,
        "$defs": {"Scored": Scored.model_json_schema()},
    }


def parse_answer(text: str, names: Sequence[str]) -> dict[str, Scored]:
    """The scores by criterion. Raises `InvalidAnswer`, never with the answer's own words: they may be anyone's."""
    if len(text) > MAX_ANSWER:
        raise InvalidAnswer(f"an answer of {len(text)} characters")
    try:
        answer = _ANSWER.validate_python(json.loads(text, object_pairs_hook=_once))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InvalidAnswer(f"{'.'.join(map(str, first['loc']))}: {first['type']}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"not JSON ({type(error).__name__})") from None
    if set(answer) != set(names):
        raise InvalidAnswer("criteria are missing, or there are others")
    return answer


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: of two scores for one criterion neither can be believed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def score_places(text: str) -> dict[str, int]:
    """By criterion, the index in a valid answer's `text` at which the digit of its score stands.

    Found by walking the JSON, so that no `"score": 5` inside a sentence of reasoning is taken for it.
    """
    places: dict[str, int] = {}
    for name, start in _members(text, _after_space(text, 0)):
        for key, place in _members(text, start):
            if key == "score":
                places[name] = place
    return places


def _members(text: str, start: int) -> Iterator[tuple[str, int]]:
    """The keys of the object that begins at `start`, each with the index of its value."""
    decoder = json.JSONDecoder()
    position = _after_space(text, start + 1)
    while text[position] != "}":
        key, position = decoder.raw_decode(text, position)
        position = _after_space(text, _after_space(text, position) + 1)
        yield key, position
        _, position = decoder.raw_decode(text, position)
        position = _after_space(text, position)
        if text[position] == ",":
            position = _after_space(text, position + 1)


def _after_space(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position
