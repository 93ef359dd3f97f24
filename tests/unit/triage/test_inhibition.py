"""A cause explains its symptoms: they are listed with it, page nobody, and are never swallowed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.outputs import Firing, Verdict
from tests.unit.triage.night import Night, _restarts, fired, over  # noqa: F401 - a fixture for all
from tests.unit.triage.stories import ONSET, TICK, bad_deployment, injected, judgement, outage, quiet

LATER = 45
"""Minutes after the cause's firing: beyond the grouping."""


def symptom(detector: str = "escalation_rate", **changes: Any) -> Firing:
    onset = ONSET + timedelta(minutes=40)
    flow = changes.pop("flow", "payout-flow")
    return fired(LATER, flow, detector, **{"onset_at": onset, **changes})


def opened(story: Any) -> tuple[Night, Verdict]:
    """A night in which the cause's incident has been open for three quarters of an hour."""
    night = Night(story)
    (cause,) = night.tick(fired(detector="authorization_denials"))
    night.ticks(LATER - 1)
    return night, cause


@pytest.mark.parametrize(
    ("story", "later"),
    [
        (outage("closed"), symptom()),
        (outage("closed"), symptom("silence")),
        (outage("closed"), symptom("evaluation_drop")),
        (injected(), symptom()),
        (bad_deployment(), symptom("burn_rate", flow=None)),
        (bad_deployment(), symptom("authorization_denials", flow=None)),
    ],
)
def test_what_the_cause_explains_is_listed_and_opens_nothing(story: Any, later: Firing) -> None:
    """No page of its own; within ten minutes a revision of the cause's incident lists it."""
    night, cause = opened(story)
    assert night.tick(later) == []
    assert night.incidents.open_count == 1
    (told,) = night.ticks(10)
    assert (told.incident_id, told.status) == (cause.incident_id, "updated")
    assert told.inhibited == (later.scope,)
    assert told.related == ()


@pytest.mark.parametrize(
    ("story", "firing", "why"),
    [
        (quiet(), symptom(), "nothing decided the open incident"),
        (judgement(), symptom(), "a judgement that degrades explains nothing"),
        (outage("closed"), symptom("burn_rate"), "a dependency explains no burn"),
        (outage("closed"), symptom(onset_at=ONSET - timedelta(minutes=1)), "it began before the cause"),
        (outage("closed"), symptom(place={"system": "claims"}), "it is another system's"),
        (bad_deployment(), symptom(), "the deployment was another flow's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_nothing_explains_stands_alone(story: Any, firing: Firing, why: str) -> None:
    """It opens an incident of its own, as it would without the other one."""
    night, cause = opened(story)
    (own,) = night.tick(firing)
    assert (own.status, own.muted) == ("firing", None), why
    assert own.incident_id != cause.incident_id


def test_a_cause_that_the_symptom_s_own_case_does_not_show_explains_nothing() -> None:
    """The breaker is long well again when the symptom begins: somebody else's fault, and a page."""
    night, _ = opened(outage("closed"))
    night.story = quiet()
    (own,) = night.tick(symptom())
    assert (own.status, own.muted) == ("firing", None)


def test_an_old_incident_that_turns_with_the_news_does_not_swallow_them() -> None:
    """Open and inconclusive for long, it is decided by the outage that begins now: the outage has its own page."""
    night, _ = opened(quiet())
    night.story = outage("closed")
    assert [v.triage_result for v in night.ticks(6)] == ["circuit_breaker_state"]
    (own,) = night.tick(symptom())
    assert (own.status, own.muted) == ("firing", None)


def test_when_the_cause_ends_the_symptom_speaks() -> None:
    """The cause's incident is over, what it explained goes on: one resolve, and one incident for what is left."""
    night, cause = opened(outage("closed"))
    first, second = symptom(), symptom("silence")
    night.tick(first, second)
    resolve, own = night.tick(over(fired(detector="authorization_denials")))
    assert (resolve.incident_id, resolve.status) == (cause.incident_id, "resolved")
    assert (own.status, own.revision, own.muted) == ("firing", 0, None)
    assert [scope.flow for scope in own.related] == []
    assert night.incidents.open_count == 1
    assert night.tick(over(first)) == []
    assert [v.status for v in night.tick(over(second))] == ["resolved"]


def test_when_the_answer_changes_the_symptom_speaks() -> None:
    """What the incident's cause no longer explains is taken anew, as a firing of its own right."""
    night, cause = opened(outage("closed"))
    night.tick(symptom())
    night.story = quiet()
    listed, softer, own = night.ticks(60)
    assert (listed.incident_id, listed.inhibited) == (cause.incident_id, (symptom().scope,))
    assert (softer.incident_id, softer.triage_result) == (cause.incident_id, "inconclusive")
    assert (own.status, own.muted, own.scope) == ("firing", None, symptom().scope)
    assert night.incidents.open_count == 2


def test_a_symptom_that_recovers_leaves_no_trace() -> None:
    """It was nobody's page, so nobody hears of its end; the cause's incident goes on."""
    night, _ = opened(outage("closed"))
    night.tick(symptom())
    assert night.tick(over(symptom())) == []
    (last,) = night.tick(over(fired(detector="authorization_denials")))
    assert (last.status, last.inhibited) == ("resolved", None)


def test_a_budget_that_burns_for_the_same_reason_waits() -> None:
    """Of two incidents of one tick the one that explains the other pages; the other is muted, and speaks after it."""
    night = Night(bad_deployment())
    cause, burn = night.tick(fired(), fired(detector="burn_rate", onset_at=ONSET + timedelta(minutes=5)))
    assert cause.muted is None
    assert burn.muted is not None
    assert (burn.muted.by, burn.muted.id, burn.status) == ("inhibition", cause.incident_id, "firing")
    resolve, loud = night.tick(over(fired()))
    assert resolve.status == "resolved"
    assert (loud.incident_id, loud.status, loud.muted) == (burn.incident_id, "firing", None)


STORIES = (outage("closed"), injected(), bad_deployment(), judgement(), quiet())
happenings = st.lists(
    st.tuples(
        st.integers(1, 50),
        st.integers(0, len(STORIES) - 1),
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.sampled_from(["escalation_rate", "authorization_denials", "silence", "burn_rate"]),
                st.integers(0, 90),
            ),
            max_size=3,
        ),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happenings)
def test_no_firing_is_swallowed(history: list[Any]) -> None:
    """After any tick each open firing is in exactly one incident, and if it is inhibited, that one goes on without it.

    At the end everything recovers: every incident has one resolve, none is left, and what was heard ended heard.
    """
    night, said = Night(quiet()), []
    live: dict[tuple[int, str], Firing] = {}
    for minutes, story, changes in history:
        night.minute += minutes
        night.story = STORIES[story]
        records: dict[tuple[int, str], Firing] = {}
        for flow, detector, late in changes:
            key = (flow, detector)
            if key in records:
                continue
            if key in live:
                records[key] = over(live.pop(key))
            else:
                onset = TICK + timedelta(minutes=night.minute - late)
                records[key] = live[key] = fired(night.minute, f"flow-{flow}", detector, onset_at=onset)
        said += night.tick(*records.values())
        homes: dict[str, int] = {}
        for incident in night.incidents.grouping.open.values():
            assert not incident.is_over
            for identity, member in incident.members.items():
                homes[identity] = homes.get(identity, 0) + int(member.open)
        assert {identity for identity, count in homes.items() if count} == {f.firing_id for f in live.values()}
        assert max(homes.values(), default=0) <= 1
    said += night.tick(*[over(firing) for firing in live.values()])
    assert night.incidents.open_count == 0
    ended = [verdict.incident_id for verdict in said if verdict.status == "resolved"]
    assert sorted(ended) == sorted({verdict.incident_id for verdict in said})
