"""The life of incidents, told tick by tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.canonical import canonical_json
from schemas.outputs import Firing, Verdict
from tests.unit.triage.night import MINUTE_MS, Night, _restarts, fired, over  # noqa: F401 - a fixture for all
from tests.unit.triage.stories import (
    ONSET,
    TICK,
    bad_deployment,
    by_version,
    injected,
    judgement,
    outage,
    quiet,
    rollout,
)
from triage.case import Case


def test_an_incident_opens_once_and_resolves_once():
    """Revision 0 when it fires, silence while nothing changes, one resolved, and nothing is left."""
    night = Night(injected())
    (first,) = night.tick(fired())
    assert (first.revision, first.status, first.triage_result) == (0, "firing", "authorization_denials")
    assert night.ticks(90) == []
    (last,) = night.tick(over(fired()))
    assert (last.revision, last.status, last.incident_id) == (1, "resolved", first.incident_id)
    assert (last.severity, last.recommendation.kind) == ("critical", "none")
    assert night.incidents.open_count == 0
    assert night.ticks(3) == []


def test_a_refire_after_the_resolve_is_a_new_incident():
    """It is never swallowed by the one that is over."""
    night = Night(injected())
    (first,) = night.tick(fired())
    night.tick(over(fired()))
    (again,) = night.tick(fired(2))
    assert (again.revision, again.status) == (0, "firing")
    assert again.incident_id != first.incident_id


def test_firings_of_one_system_within_half_an_hour_are_one_incident():
    """The second flow joins: an update of the same incident, with both scopes; two recoveries, one resolve."""
    night = Night(outage("closed"))
    (first,) = night.tick(fired())
    night.ticks(9)
    (joined,) = night.tick(fired(10, "payout-flow"))
    assert (joined.incident_id, joined.status, joined.revision) == (first.incident_id, "updated", 1)
    assert joined.scope.flow == "refund-flow"
    assert [scope.flow for scope in joined.related] == ["payout-flow"]
    assert night.tick(over(fired())) == []
    (last,) = night.tick(over(fired(10, "payout-flow")))
    assert last.status == "resolved"


def test_all_firings_of_a_tick_are_one_incident_and_one_verdict():
    """A dependency that takes five flows down at once is one page, with the series listed."""
    night = Night(outage("closed"))
    flows = [fired(flow=f"flow-{index}") for index in range(5)]
    (only,) = night.tick(*flows)
    assert len(only.related) == 4
    assert night.tick(*[over(one) for one in flows])[0].status == "resolved"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (fired(31, "payout-flow"), "it comes later than half an hour after the last activity"),
        (fired(5, place={"system": "claims"}), "it is another system's"),
        (fired(5, place={"environment": "staging"}), "it is another environment's"),
        (fired(5, detector="burn_rate"), "a budget's burn stands alone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_belong_opens_its_own(other, why):
    """Two incidents, because the second has nothing to do with the first."""
    night = Night(quiet())
    (first,) = night.tick(fired())
    night.minute = int((other.fired_at - TICK).total_seconds()) // 60
    (second,) = night.tick(other)
    assert second.incident_id != first.incident_id, why
    assert night.incidents.open_count == 2


def test_nothing_joins_a_burning_budget():
    """An escalation in a system whose budget burns is an incident of its own."""
    night = Night(quiet())
    night.tick(fired(detector="burn_rate"))
    night.tick(fired(1))
    assert night.incidents.open_count == 2


def test_activity_keeps_an_incident_open_to_others():
    """Each firing that joins extends the half hour."""
    night = Night(quiet())
    (first,) = night.tick(fired())
    night.minute = 25
    night.tick(fired(25, "payout-flow"))
    night.minute = 50
    assert night.tick(fired(50, "claims-flow")) == []
    night.minute = 60
    (told,) = night.tick()
    assert told.incident_id == first.incident_id
    assert [scope.flow for scope in told.related] == ["payout-flow", "claims-flow"]


def test_a_raise_is_an_update_and_the_page_leads():
    """The same firing, now a page: an update that says so, and the severity follows."""
    night = Night(quiet(scores=None))
    (first,) = night.tick(fired(tier="warning"))
    assert first.severity == "warning"
    (raised,) = night.tick(fired(tier="page"))
    assert (raised.status, raised.severity, raised.trigger.tier) == ("updated", "critical", "page")
    assert night.tick(fired(tier="page")) == []


def test_the_leading_firing_is_the_trigger():
    """Page before warning, then the earliest, then denials before escalations."""
    night = Night(quiet())
    escalation, denial = fired(tier="warning"), fired(detector="authorization_denials", tier="warning")
    (first,) = night.tick(escalation, denial)
    assert first.trigger.detector == "authorization_denials"
    (second,) = night.tick(fired(1, "payout-flow", tier="page"))
    assert second.scope.flow == "payout-flow"
    night.tick(fired(2, "claims-flow", tier="page"))
    (third,) = night.ticks(10)
    assert third.scope.flow == "payout-flow"


def test_the_onset_is_the_earliest_of_all():
    """A firing that joins with an earlier onset moves the incident's."""
    night = Night(injected())
    night.tick(fired())
    (joined,) = night.tick(fired(1, "payout-flow", onset_at=ONSET - timedelta(minutes=7)))
    assert joined.onset_at == ONSET - timedelta(minutes=7)


def test_a_graver_answer_is_given_at_once():
    """The denials arrive three minutes late: the verdict is corrected in the same tick."""
    night = Night(quiet())
    (first,) = night.tick(fired())
    assert first.triage_result == "inconclusive"
    night.ticks(2)
    night.story = injected()
    (graver,) = night.tick()
    assert (graver.status, graver.triage_result, graver.severity) == ("updated", "authorization_denials", "critical")


def test_a_softer_answer_must_hold():
    """One tick of calm changes nothing; after five in a row the softer answer is given, once."""
    night = Night(judgement())
    night.tick(fired())
    night.story = quiet()
    assert night.ticks(4) == []
    night.story = judgement()
    assert night.tick() == []
    night.story = quiet()
    assert night.ticks(4) == []
    (softer,) = night.tick()
    assert softer.triage_result == "inconclusive"
    assert night.ticks(10) == []


def test_softer_answers_that_disagree_do_not_add_up():
    """Two softer answers in turn: neither holds, so nothing is said."""
    night = Night(judgement())
    night.tick(fired())
    for _ in range(5):
        night.story = quiet()
        assert night.tick() == []
        night.story = outage("open")
        assert night.tick() == []


def test_a_sure_cause_that_was_not_named_is_told_once_it_holds():
    """The answer is the same, the evidence has made up its mind: readers of `causes` hear of it, once."""
    night = Night(quiet(scores=None, reasons={"policy": (60, 300)}))
    (first,) = night.tick(fired())
    night.story = quiet()
    assert night.ticks(4) == []
    (sure,) = night.tick()
    assert (first.causes[0].cause, sure.causes[0].cause) == ("unknown", "legitimate_traffic")
    assert sure.causes[0].probability >= 0.9
    assert night.ticks(10) == []


def test_a_firing_that_joins_does_not_soften_the_answer_early():
    """While a softer answer waits, an update repeats the graver one with its own findings."""
    night = Night(judgement())
    (first,) = night.tick(fired())
    night.story = quiet()
    night.tick()
    (joined,) = night.tick(fired(2, "payout-flow"))
    assert (joined.status, joined.triage_result) == ("updated", "eval_score_trend")
    assert joined.findings == first.findings
    assert joined.related != first.related


def test_a_rollback_that_no_longer_stands_is_withdrawn_at_once():
    """The outcome by version clears the change: no machine waits for that; to come back it must hold."""
    night = Night(bad_deployment())
    (first,) = night.tick(fired())
    assert first.recommendation.kind == "rollback"
    night.story = quiet(deployments=(rollout((3, 50)),), versions=by_version((41, 300), (41, 300)))
    (withdrawn,) = night.tick()
    assert withdrawn.recommendation.kind != "rollback"
    night.story = bad_deployment()
    assert night.ticks(4) == []
    (again,) = night.tick()
    assert again.recommendation.kind == "rollback"


def test_after_half_an_hour_it_is_looked_at_every_five_minutes():
    """Each tick at first, then seldom: a long incident does not cost for ever."""
    night = Night(injected())
    night.tick(fired())
    night.ticks(30)
    assert len(night.gathered) == 31
    night.ticks(50)
    assert len(night.gathered) == 41


def test_two_page_incidents_speak_in_the_order_in_which_they_opened():
    """Verdicts of a tick are ordered, whatever order the firings come in."""
    one, two = fired(place={"system": "a"}), fired(place={"system": "b"})
    first = Night(injected()).tick(one, two)
    second = Night(injected()).tick(two, one)
    assert [canonical_json(v) for v in first] == [canonical_json(v) for v in second]


def test_caps_refuse_and_count():
    """More incidents or firings than the caps are counted, not raised; their recovery is ignored."""
    night = Night(injected(), max_open_incidents=1, max_firings=2, max_related=1)
    night.tick(fired(), fired(flow="b"), fired(flow="c"), fired(place={"system": "claims"}))
    assert (night.incidents.refused_firings, night.incidents.refused_incidents) == (1, 1)
    assert night.tick(over(fired(flow="c")), over(fired(place={"system": "claims"}))) == []
    assert night.incidents.open_count == 1


def test_related_scopes_beyond_the_cap_are_counted():
    """The verdict lists so many, and says how many there are."""
    night = Night(injected(), max_related=2)
    (said,) = night.tick(*[fired(flow=f"flow-{index}") for index in range(6)])
    assert len(said.related) == 2
    assert said.related_total == 5
    assert said.with_id() == said


def test_a_recovery_of_the_unknown_is_ignored():
    """A resolved record without its incident changes nothing."""
    assert Night(injected()).tick(over(fired())) == []


def test_opened_and_recovered_in_one_tick_is_told_twice():
    """A gap may hold both: the verdict is not lost, and it is over."""
    first, last = Night(injected()).tick(fired(), over(fired()))
    assert (first.status, last.status) == ("firing", "resolved")


def test_a_broken_check_does_not_lose_the_verdict():
    """The guard's error is an outcome; the incident is told all the same."""

    def broken(check: Any, case: Case) -> Any:
        from triage.checks.base import failed

        return failed(check.name, "Out of time.")

    night = Night(injected())
    (said,) = night.incidents.step(night.now, [fired()], night.gather, run=broken)
    assert (said.triage_result, said.severity) == ("inconclusive", "critical")


STORIES: dict[str, Callable[[], Case]] = {
    "injected": injected,
    "outage": lambda: outage("closed"),
    "designed": outage,
    "judgement": judgement,
    "deployment": bad_deployment,
    "quiet": quiet,
}
steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(STORIES)),
        st.lists(
            st.tuples(
                st.integers(0, 5),
                st.sampled_from(["escalation_rate", "authorization_denials", "burn_rate"]),
                st.booleans(),
            ),
            max_size=4,
        ),
    ),
    min_size=1,
    max_size=25,
)


def play(night: Night, history: Sequence[Any], *, restart: int | None = None) -> list[bytes]:
    """Play a history of (story, what happens to which series); perhaps through a stored state before one step."""
    live: dict[tuple[int, str], Firing] = {}
    said: list[bytes] = []
    for index, (story, happenings) in enumerate(history):
        if index == restart:
            night.restart()
        night.story = STORIES[story]()
        records: dict[tuple[int, str], Firing] = {}
        for series, detector, page in happenings:
            key = (series, detector)
            known = live.get(key)
            if key in records:
                continue
            if known is None:
                opened = fired(index, f"flow-{series}", detector, tier="page" if page else "warning")
                live[key] = records[key] = opened
            elif known.tier == "warning" and page:
                live[key] = records[key] = known.model_copy(update={"tier": "page"})
            else:
                records[key] = over(live.pop(key))
        said.extend(canonical_json(verdict) for verdict in night.tick(*records.values()))
    return said


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(0, 24))
def test_a_stored_state_goes_on_as_if_nothing_had_been(history, restart):
    """Stopping before any step and going on from the JSON gives the same verdicts, byte for byte."""
    assert play(Night(quiet()), history, restart=restart) == play(Night(quiet()), history)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_every_incident_is_a_clean_story(history):
    """Revisions count up from a firing, nothing follows a resolve, ids are the content's, scopes belong together."""
    verdicts = [Verdict.model_validate_json(data) for data in play(Night(quiet()), history)]
    stories: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        stories.setdefault(verdict.incident_id, []).append(verdict)
        assert verdict.with_id().verdict_id == verdict.verdict_id
    for story in stories.values():
        assert [verdict.revision for verdict in story] == list(range(len(story)))
        assert story[0].status == "firing"
        heard = [verdict.muted is None for verdict in story]
        # "firing" until it has been heard, then "updated".
        assert all(
            verdict.status == ("firing" if unmuted and not any(heard[:index]) else "updated")
            for index, (verdict, unmuted) in enumerate(zip(story, heard, strict=True))
            if index > 0 and verdict.status != "resolved"
        )
        assert len({(v.scope.environment, v.scope.system) for v in story}) == 1
    assert len({verdict.verdict_id for verdict in verdicts}) == len(verdicts)
