"""A day's budget lasts the day."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.pacing import DAY_SECONDS, Budget, Spent, factor

amounts = st.integers(0, 10**9)
seconds = st.floats(0, DAY_SECONDS)


@given(amounts, amounts, amounts, amounts, seconds)
def test_the_factor_is_a_share_and_falls_with_what_is_spent(
    limit: int, spent: int, more: int, wanted: int, second: float
) -> None:
    """Between 0 and 1; more spent never means more sampling; nothing left means nothing."""
    budget, demand = Budget(limit, None), Spent(wanted, 0)
    now = factor(budget, Spent(spent, 0), demand, second)
    assert 0.0 <= now <= 1.0
    assert factor(budget, Spent(spent + more, 0), demand, second) <= now
    if spent >= limit:
        assert wanted == 0 or second == DAY_SECONDS or now == 0.0


@given(amounts, amounts, amounts, seconds)
def test_the_tighter_of_two_limits_counts(tokens: int, micro: int, wanted: int, second: float) -> None:
    """Tokens and money each bind."""
    both = factor(Budget(tokens, micro), Spent(), Spent(wanted, wanted), second)
    alone = [factor(b, Spent(), Spent(wanted, wanted), second) for b in (Budget(tokens, None), Budget(None, micro))]
    assert both == min(alone)


@given(st.floats(1.1, 50.0), st.lists(st.floats(0.2, 3.0), min_size=24, max_size=24))
def test_spending_goes_on_to_the_end_of_the_day(overload: float, hours: list[float]) -> None:
    """Demand far above the budget, uneven by the hour: never over it, and every hour still gets its share of it."""
    limit, spent, by_hour = 1_000_000, 0.0, [0.0] * 24
    for minute in range(1440):
        wanted = limit * overload * hours[minute // 60]
        share = factor(Budget(limit, None), Spent(round(spent), 0), Spent(round(wanted), 0), minute * 60)
        took = share * wanted / 1440
        spent += took
        by_hour[minute // 60] += took
    assert spent <= limit * 1.001
    assert min(by_hour) >= 0.15 * limit / 24 * min(1.0, overload * min(hours))


def test_enough_for_all_thins_nothing() -> None:
    """A budget above the demand, and no limit at all, leave the rates as they are."""
    assert factor(Budget(100, None), Spent(40, 0), Spent(100, 0), DAY_SECONDS / 2) == 1.0
    assert factor(Budget(None, None), Spent(10**9, 10**9), Spent(10**12, 10**12), 0) == 1.0
