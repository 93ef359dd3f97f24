"""Azure's rules for tags, and what a policy makes of the tags that events carry."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from costs.tags import FORBIDDEN, azure_problems
from costs.tags_check import Violations
from costs.tags_policy import Commitment, Policy, TagDefault, TagRule
from costs.tags_resolve import Tagger

DAY = date(2026, 10, 5).toordinal() - date(1970, 1, 1).toordinal()


def kinds(tags: dict[str, str], *, storage: bool = False) -> list[str]:
    return [problem.kind for problem in azure_problems(tags, storage=storage)]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ({f"t{number}": "" for number in range(50)}, []),
        ({f"t{number}": "" for number in range(51)}, ["too_many_tags"]),
        ({"n" * 512: "v" * 256}, []),
        ({"n" * 513: ""}, ["name_too_long"]),
        ({"n": "v" * 257}, ["value_too_long"]),
        ({" ": ""}, ["empty_name"]),
        ({"n": FORBIDDEN}, []),
        ({"Env": "a", "env": "a"}, ["names_collide"]),
        ({"Env": "a", "Environment": "a"}, []),
    ],
)
def test_azure_rules(tags: dict[str, str], found: list[str]) -> None:
    """50 tags, names to 512 characters and values to 256, and names that differ by more than case."""
    assert kinds(tags) == found


@pytest.mark.parametrize("character", FORBIDDEN)
def test_each_forbidden_character_is_found(character: str) -> None:
    """None of them may stand in a name, wherever."""
    assert kinds({f"cost{character}center": ""}) == ["forbidden_character"]


def test_names_on_storage_accounts_are_shorter() -> None:
    """128 characters there, 512 elsewhere."""
    assert kinds({"n" * 128: ""}, storage=True) == []
    assert kinds({"n" * 129: ""}, storage=True) == ["name_too_long"]


def test_without_a_policy_the_four_chargeback_tags_are_required() -> None:
    """The event's own environment and system stand in for the tags of these names."""
    found = Tagger(Policy()).read("prod", "refunds", {"Cost-Center": "4711"})
    assert dict(found.tags) == {"cost-center": "4711", "environment": "prod", "system": "refunds"}
    assert [(problem.kind, problem.tag) for problem in found.problems_on(DAY)] == [("missing", "business-unit")]


def test_names_do_not_differ_by_case_and_values_do() -> None:
    """A tag of another casing is the tag; a value of another casing is another value."""
    policy = Policy(tags={"Env": TagRule(allowed=("prod",))})
    assert list(Tagger(policy).read("e", "s", {"ENV": "prod"}).problems_on(DAY)) == []
    [problem] = Tagger(policy).read("e", "s", {"env": "Prod"}).problems_on(DAY)
    assert problem.kind == "value_not_allowed"
    assert problem.detail == "'Prod' is not one of prod"


def test_casing_of_names_that_the_policy_does_not_know_is_kept() -> None:
    """As Azure keeps it, and shows it in cost reports."""
    assert ("OwnerTeam", "a") in Tagger(Policy()).read("e", "s", {"OwnerTeam": "a"}).tags


def test_aliases_stand_for_their_tag_and_the_tag_itself_counts_first() -> None:
    """`costcentre` is the cost center, where there is none of that name."""
    tagger = Tagger(Policy(tags={"cost-center": TagRule(aliases=("CostCentre", "cc"))}))
    assert tagger.read("e", "s", {"costcentre": "1"}).value("cost-center") == "1"
    assert tagger.read("e", "s", {"cc": "2", "COST-CENTER": "1"}).value("cost-center") == "1"


def test_defaults_stand_in_by_system_and_never_over_a_tag() -> None:
    """The first default that covers the system counts; an empty value is none."""
    policy = Policy(
        tags={"cost-center": TagRule()},
        defaults=(TagDefault(system="refunds", tags={"cost-center": "1"}), TagDefault(tags={"cost-center": "2"})),
    )
    tagger = Tagger(policy)
    assert tagger.read("e", "refunds", None).value("cost-center") == "1"
    assert tagger.read("e", "claims", {"cost-center": ""}).value("cost-center") == "2"
    assert tagger.read("e", "claims", {"Cost-center": "9"}).value("cost-center") == "9"


def test_an_empty_value_of_a_required_tag_is_missing() -> None:
    """Azure lets a value be empty; nobody pays then."""
    found = Tagger(Policy(tags={"cost-center": TagRule()})).read("e", "s", {"cost-center": ""})
    assert [problem.kind for problem in found.problems_on(DAY)] == ["missing"]


def test_a_pattern_must_fit_the_whole_value() -> None:
    """Four digits are not five."""
    rule = TagRule(pattern="[0-9]{4}")
    assert rule.accepts("4711")
    assert not rule.accepts("47110")


def test_a_rule_holds_from_its_day_on() -> None:
    """Usage of the day before is not held to it."""
    found = Tagger(Policy(tags={"x": TagRule(since=date(2026, 10, 5))})).read("e", "s", None)
    assert list(found.problems_on(DAY - 1)) == []
    assert [problem.kind for problem in found.problems_on(DAY)] == ["missing"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tags": {"x": {"pattern": "["}}},
        {"tags": {"x": {}, "X": {}}},
        {"tags": {"x": {"aliases": ["y"]}, "Y": {}}},
        {"resources": {"refunds": "/subscriptions/1"}},
        {"commitments": {"c": {}}},
        {"commitments": {"c": {"usd_per_month": -1.0}}},
        {"commitments": {"c": {"usd_per_month": float("nan")}}},
        {"commitments": {"c": {"usd_per_month": 1.0, "units": 3}}},
        {"commitments": {"c": {"units": 3}}},
        {"unknown": 1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    """No broken pattern, no name for two tags, no price that is negative, not a number, doubled or half."""
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_a_commitment_covers_its_models_and_systems() -> None:
    """Without models it covers all of them."""
    commitment = Commitment(system="refunds", models=("gpt-5",), usd_per_month=1.0)
    assert commitment.covers("prod", "refunds", "gpt-5")
    assert not commitment.covers("prod", "claims", "gpt-5")
    assert not commitment.covers("prod", "refunds", "gpt-5-mini")
    assert Commitment(usd_per_month=1.0).covers("prod", "claims", "any")


def test_a_system_has_the_resource_that_the_policy_names() -> None:
    """By environment and system, then by environment; else it stands for itself."""
    policy = Policy(resources={"prod/refunds": "/a", "prod/*": "/b"})
    assert [
        policy.resource_of("prod", "refunds"),
        policy.resource_of("prod", "x"),
        policy.resource_of("test", "x"),
    ] == [
        "/a",
        "/b",
        "test/x",
    ]


def test_violations_are_counted_by_who_sends_them_and_bounded() -> None:
    """Kinds beyond the cap are counted, not listed."""
    tagger, violations = Tagger(Policy(tags={"x": TagRule()})), Violations()
    for agent in ("a", "a", "b"):
        violations.note("prod", "refunds", agent, tagger.read("prod", "refunds", None), DAY)
    assert [(one.agent, calls) for one, calls in violations.ranked()] == [("a", 2), ("b", 1)]
    assert (violations.total, violations.calls) == (3, 3)


def test_violations_beyond_the_cap_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer that invents values does not fill the memory."""
    monkeypatch.setattr("costs.tags_check.MAX_KINDS", 2)
    tagger, violations = Tagger(Policy(tags={"x": TagRule(allowed=("a",))})), Violations()
    for number in range(5):
        violations.note("prod", "s", None, tagger.read("prod", "s", {"x": str(number)}), DAY)
    assert (len(violations.found), violations.unlisted, violations.total) == (2, 3, 5)
