"""Budgets: which usage counts against which, and in which series."""

from __future__ import annotations

import pytest

from costs.budgets import BudgetRule
from schemas.series import SeriesKey

TAGS = {"cost-center": "retail", "business-unit": "bank"}


@pytest.mark.parametrize(
    ("rule", "covered"),
    [
        (BudgetRule("all"), True),
        (BudgetRule("b", environment="prod"), True),
        (BudgetRule("b", environment="test"), False),
        (BudgetRule("b", system="refunds"), True),
        (BudgetRule("b", system="claims"), False),
        (BudgetRule("b", tags=(("cost-center", "retail"),)), True),
        (BudgetRule("b", tags=(("cost-center", "retail"), ("business-unit", "other"))), False),
        (BudgetRule("b", tags=(("absent", ""),)), False),
        (BudgetRule("b", tags=(("Cost-Center", "retail"),)), True),
        (BudgetRule("b", tags=(("Cost-Center", "Retail"),)), False),
    ],
)
def test_a_budget_covers_what_its_every_condition_meets(rule: BudgetRule, covered: bool) -> None:
    """Environment, system and all tags must match; a star matches anything; names of tags do not differ by case."""
    assert rule.covers("prod", "refunds", TAGS) is covered


def test_usage_without_tags_meets_no_tagged_budget() -> None:
    """An event that carries no tags counts only where no tag is asked for."""
    assert not BudgetRule("b", tags=(("cost-center", "retail"),)).covers("prod", "refunds", None)
    assert BudgetRule("b").covers("prod", "refunds", None)


def test_of_names_that_differ_by_case_the_budgets_own_counts_first() -> None:
    """Then the first in order, as in chargeback: one call counts under one value of a tag."""
    tags = {"Cost-Center": "bank", "COST-CENTER": "claims", "cost-center": "retail"}
    assert BudgetRule("b", tags=(("cost-center", "retail"),)).covers("prod", "refunds", tags)
    assert not BudgetRule("b", tags=(("cost-center", "bank"),)).covers("prod", "refunds", tags)
    assert BudgetRule("b", tags=(("cost-Center", "claims"),)).covers("prod", "refunds", tags)


def test_the_series_of_a_budget_names_what_it_is_over() -> None:
    """A budget over every system stands under a star."""
    assert BudgetRule("llm", environment="prod").key() == SeriesKey("budget", "prod", "*", ("llm",))
