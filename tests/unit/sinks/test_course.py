"""What a verdict means to somebody who is told of incidents."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outputs import Verdict
from stream.sinks.course import Course, Filter, differences, kinds_of
from stream.sinks.pagerduty import PagerDutySettings
from tests.support.sinks import ACK, KEY, MUTED, heard, verdict


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        # Nobody knows of it yet.
        (None, verdict(), {"opened"}),
        (None, verdict(revision=3, status="updated"), {"opened"}),
        (None, verdict(acknowledged=ACK), {"opened", "acknowledged"}),
        (None, verdict(muted=MUTED), set()),
        (None, verdict(status="resolved", revision=4), set()),
        # It was muted, and is no longer: a trigger, even if its status is `updated`.
        (heard(verdict(), loud=False), verdict(revision=1, status="updated"), {"opened"}),
        # It stands.
        (heard(verdict()), verdict(revision=1, status="updated"), set()),
        (heard(verdict(severity="warning")), verdict(revision=1, status="updated"), {"changed"}),
        (heard(verdict()), verdict(revision=1, status="updated", acknowledged=ACK), {"acknowledged"}),
        (heard(verdict(acknowledged=ACK)), verdict(revision=1, status="updated"), {"released"}),
        (heard(verdict()), verdict(revision=1, status="updated", muted=MUTED), {"muted"}),
        (heard(verdict()), verdict(revision=1, status="resolved"), {"ended"}),
        (heard(verdict()), verdict(revision=1, status="resolved", muted=MUTED), {"ended"}),
        # It is said again.
        (heard(verdict(revision=2)), verdict(revision=2), set()),
        (heard(verdict(revision=2)), verdict(revision=1, status="resolved"), set()),
    ],
)
def test_what_changes_for_somebody_who_is_told(before: Any, now: Verdict, kinds: set[str]) -> None:
    """Each case of the rules that the verdict's model states."""
    assert kinds_of(before, now) == kinds


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["firing", "updated", "resolved"]),
            st.booleans(),
            st.booleans(),
            st.sampled_from(["critical", "warning", "info"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_a_destination_is_opened_and_closed_in_turns(
    revisions: list[tuple[str, bool, bool, str, bool]],
) -> None:
    """Whatever is said, also twice: nothing opens that stands, nothing ends that does not, the last word holds."""
    course, stands = Course(), False
    for number, (status, muted, acknowledged, severity, twice) in enumerate(revisions):
        one = verdict(
            revision=number,
            status=status,
            muted=MUTED if muted else None,
            acknowledged=ACK if acknowledged else None,
            severity=severity,
        )
        for _ in range(2 if twice else 1):
            kinds = kinds_of(course.heard("inc_x"), one)
            course.note(one, number, told=True)
            assert not ("opened" in kinds and stands)
            assert not (kinds & {"ended", "muted", "changed", "acknowledged"} and not stands and "opened" not in kinds)
            stands = (stands or "opened" in kinds) and not kinds & {"ended", "muted"}
        assert stands == (status != "resolved" and not muted)
        found = course.heard("inc_x")
        assert found is not None
        assert found.loud == stands
        assert [one.incident_id for one in (h.verdict for h in course.standing(0)) if one] == ["inc_x"] * stands


def test_what_was_passed_over_leaves_the_destination_as_it_was() -> None:
    """A verdict that was too old to open an incident does not make its end something to tell."""
    course = Course()
    course.note(verdict(), 1, told=False)
    assert kinds_of(course.heard("inc_x"), verdict(revision=1, status="resolved")) == set()
    assert kinds_of(course.heard("inc_x"), verdict(revision=1, status="updated")) == {"opened"}


def test_differences_are_said_in_words() -> None:
    """A revision names what is new, and nothing else."""
    assert differences(verdict(severity="warning"), verdict(revision=1)) == ["severity: warning → critical"]
    assert differences(verdict(), verdict(revision=1, acknowledged=ACK)) == []


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ({}, True),
        ({"environments": ("prod*",)}, True),
        ({"environments": ("staging",)}, False),
        ({"systems": ("claims", "refunds")}, True),
        ({"severities": ("warning",)}, False),
        ({"tiers": ("page",)}, True),
        ({"tiers": ("warning",), "systems": ("refunds",)}, False),
    ],
)
def test_a_filter_takes_what_meets_all_of_it(keys: dict[str, Any], taken: bool) -> None:
    """Environment, system, severity and tier must all fit; what is not named takes all."""
    settings = PagerDutySettings.model_validate({"routing_key": KEY, **keys})
    assert Filter(settings).takes(verdict()) is taken
