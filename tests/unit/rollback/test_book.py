"""What stands of what people said, in whatever order it is read."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from stream.rollback.book import ApprovalBook
from tests.support.rollback import MINUTE, START, approval, standing


def book_of(said: Any) -> ApprovalBook:
    book = ApprovalBook()
    for one in said:
        book.apply(one)
    return book


def test_the_last_word_holds_in_any_order() -> None:
    """By its own time; of two of one time the refusal."""
    words = [approval(at=START), approval(at=START + MINUTE), approval(decision="refuse", at=START + MINUTE)]
    for order in permutations(words):
        said = book_of(order).word("act_1", "inc_1", START + 2 * MINUTE)
        assert said is not None
        assert said.decision == "refuse"


def test_an_approval_expires_and_a_refusal_stands() -> None:
    """What was forbidden is not allowed again by the passing of time, nor by an approval that was given before."""
    until = START + MINUTE
    assert book_of([approval(expires_at=until)]).word("act_1", "inc_1", until - MINUTE / 60) is not None
    assert book_of([approval(expires_at=until)]).word("act_1", "inc_1", until) is None
    words = [approval(at=START - MINUTE), approval(decision="refuse", expires_at=until)]
    said = book_of(words).word("act_1", "inc_1", until + MINUTE)
    assert said is not None
    assert said.decision == "refuse"


def test_a_halt_is_lifted_and_ends_by_itself() -> None:
    """It holds until before its end, or until a later word that is over at its own time."""
    halt = standing(START, START + 30 * MINUTE)
    assert book_of([halt]).halt("production", "refunds", START + 29 * MINUTE) == halt
    assert book_of([halt]).halt("production", "refunds", START + 30 * MINUTE) is None
    lifted = standing(START + 5 * MINUTE, START + 5 * MINUTE)
    for order in permutations([halt, lifted]):
        assert book_of(order).halt("production", "refunds", START + 6 * MINUTE) is None
        assert book_of(order).halts(START + 6 * MINUTE) == []


@pytest.mark.parametrize(
    ("environment", "system", "halted"),
    [("*", "*", True), ("production", "*", True), ("*", "refunds", True), ("staging", "*", False), ("*", "x", False)],
)
def test_a_halt_covers_its_environment_and_system(environment: str, system: str, halted: bool) -> None:
    """Exact, or every one."""
    halt = standing(START, START + 30 * MINUTE, environment=environment, system=system)
    assert (book_of([halt]).halt("production", "refunds", START) is not None) == halted


def test_a_halt_says_nothing_about_a_single_action() -> None:
    """No standing refusal is ever taken for a word about an action, nor the other way round."""
    book = book_of([standing(START, START + 30 * MINUTE)])
    assert book.word("*", "*", START) is None
    assert book_of([approval(decision="refuse")]).halts(START) == []


def test_old_words_are_forgotten_and_halts_that_hold_are_not() -> None:
    """What can no longer matter goes; a long halt stays."""
    book = book_of([approval(), standing(START, START + 20 * 1440 * MINUTE)])
    book.prune(START + 60 * MINUTE)
    assert book.word("act_1", "inc_1", START) is None
    assert book.halt("a", "b", START + 60 * MINUTE) is not None
