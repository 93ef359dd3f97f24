"""A score weighted by the probabilities of its token: sum of p(s) * s over the scores 1 to 5 (G-Eval, Liu et al. 2023).

A judge that wavers between 3 and 4 says so in the probabilities of the one token that holds the digit, where a single
answer says 3 or 4. The token is the one that covers the digit of the right criterion in the answer's JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.answer import score_places

MIN_MASS: Final = 0.5
"""Least probability that the five digits must have together; below it the token was no score, or the list is cut."""

_DIGIT: Final = re.compile(rb"\s*([1-5])(?![0-9.eE])")


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, as bytes: a character may be spread over several. `top` holds the alternatives."""

    text: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...]


def weighted_scores(text: str, tokens: Sequence[Token]) -> dict[str, float]:
    """The weighted score of each criterion for which the tokens give one.

    Empty if the tokens do not spell `text`: then nothing says which token is which.
    """
    if b"".join(token.text for token in tokens) != text.encode():
        return {}
    found: dict[str, float] = {}
    for name, place in score_places(text).items():
        at = len(text[:place].encode())
        score = _weighted(*_token_at(tokens, at))
        if score is not None:
            found[name] = score
    return found


def _token_at(tokens: Sequence[Token], at: int) -> tuple[Token, int]:
    """The token that covers byte `at`, and how far into it that byte is."""
    start = 0
    for token in tokens:
        if at < start + len(token.text):
            return token, at - start
        start += len(token.text)
    raise IndexError(at)


def _weighted(token: Token, offset: int) -> float | None:
    """The mean over the digits 1 to 5 among the alternatives, renormalised; None if they are too few to tell."""
    chances = {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0, 5: 0.0}
    for text, logprob in _alternatives(token).items():
        digit = _digit(text, token.text[:offset])
        if digit is not None and not math.isnan(logprob):
            chances[digit] += math.exp(min(logprob, 0.0))
    mass = sum(chances.values())
    if mass < MIN_MASS:
        return None
    return sum(score * chance for score, chance in chances.items()) / mass


def _alternatives(token: Token) -> Mapping[bytes, float]:
    """The chosen token and its alternatives, each once: providers list the chosen one among them, or do not."""
    return {token.text: token.logprob, **dict(token.top)}


def _digit(text: bytes, before: bytes) -> int | None:
    """The score that an alternative would have written, with or without what stands before it in the same token."""
    for start in dict.fromkeys((before, b"")):
        found = _DIGIT.match(text[len(start) :]) if text.startswith(start) else None
        if found:
            return int(found.group(1))
    return None
