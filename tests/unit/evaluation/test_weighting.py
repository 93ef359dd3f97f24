"""The score's token: found in the JSON, weighed by its alternatives."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.answer import InvalidAnswer, parse_answer, score_places
from evaluation.weighting import Token, weighted_scores

NAMES = ("correctness", "tone")


def _tokens(text: str, *, at: dict[int, Token]) -> list[Token]:
    """One token for each byte, but those that are given by the index of their first byte."""
    data, found, position = text.encode(), [], 0
    while position < len(data):
        token = at.get(position) or Token(data[position : position + 1], -0.1, ())
        found.append(token)
        position += len(token.text)
    return found


def _top(**chances: float) -> tuple[tuple[bytes, float], ...]:
    return tuple((text.removeprefix("d").encode(), math.log(chance)) for text, chance in chances.items())


@given(st.text(), st.text(), st.integers(1, 5), st.integers(1, 5), st.sampled_from([None, 2]))
def test_the_digit_is_found_whatever_the_reasoning_says(
    first: str, second: str, one: int, two: int, indent: int | None
) -> None:
    """Quotes, braces, digits and other alphabets in the reasoning do not move the place."""
    answer = {
        "correctness": {"reasoning": first, "score": one},
        "tone": {"reasoning": second, "score": two},
    }
    text = json.dumps(answer, ensure_ascii=False, indent=indent)
    places = score_places(text)
    assert {name: int(text[place]) for name, place in places.items()} == {"correctness": one, "tone": two}


def test_each_criterion_has_its_own_token() -> None:
    """Two criteria, two tokens, two means: .5*2+.5*3 and 4, although the reasoning holds a multi-byte character."""
    text = '{"correctness": {"reasoning": "né: \\"score\\": 1", "score": 2}, "tone": {"reasoning": "", "score": 4}}'
    data = text.encode()
    first, second = data.index(b"2}"), data.index(b"4}")
    tokens = _tokens(
        text,
        at={first: Token(b"2", math.log(0.5), _top(d2=0.5, d3=0.5)), second: Token(b"4", 0.0, ())},
    )
    assert weighted_scores(text, tokens) == pytest.approx({"correctness": 2.5, "tone": 4.0})


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (Token(b"4", math.log(0.6), _top(d4=0.6, d5=0.2, d10=0.2)), (0.6 * 4 + 0.2 * 5) / 0.8),
        (Token(b" 4", math.log(0.6), ((b" 4", math.log(0.6)), (b"5", math.log(0.4)))), 4.4),
        (Token(b"4}", math.log(0.6), ((b"5}", math.log(0.4)),)), 4.4),
        (Token(b"4", math.log(0.6), ((b"5", math.nan), (b"3", -9999.0))), 4.0),
        (Token(b"4", math.log(0.3), _top(dx=0.7)), None),
    ],
    ids=["not ten", "with a space", "with a brace", "sentinels", "too little mass"],
)
def test_alternatives_count_where_they_are_scores(token: Token, expected: float | None) -> None:
    """The five digits alone, with what stands beside them in the token; nothing where they are improbable."""
    text = '{"tone": {"reasoning": "", "score": 4}}'
    start = text.index(token.text.decode())
    found = weighted_scores(text, _tokens(text, at={start: token}))
    assert found.get("tone") == (None if expected is None else pytest.approx(expected))


def test_tokens_of_another_text_say_nothing() -> None:
    """Where tokens do not spell the answer no token is the score's."""
    text = '{"tone": {"reasoning": "", "score": 4}}'
    assert weighted_scores(text, _tokens(text, at={})[1:]) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"correctness": {"reasoning": "", "score": 4}}',
        '{"correctness": {"reasoning": "", "score": 4}, "tone": {"reasoning": "", "score": 4.5}}',
        '{"correctness": {"reasoning": "", "score": 4}, "tone": {"reasoning": "", "score": "4"}}',
        '{"correctness": {"reasoning": "", "score": 4}, "tone": {"reasoning": "", "score": true}}',
        '{"correctness": {"reasoning": "", "score": 0}, "tone": {"reasoning": "", "score": 4}}',
        '{"correctness": {"reasoning": "", "score": NaN}, "tone": {"reasoning": "", "score": 4}}',
        '{"correctness": {"reasoning": "", "score": 4, "score": 5}, "tone": {"reasoning": "", "score": 4}}',
        '{"correctness": {"reasoning": "", "score": 4}, "tone": {"reasoning": "", "score": 4}} and more',
        "[" * 100_000,
    ],
)
def test_an_answer_of_another_form_is_none(text: str) -> None:
    """Nothing is guessed: no score is taken from what is not the whole, exact answer."""
    with pytest.raises(InvalidAnswer):
        parse_answer(text, NAMES)
