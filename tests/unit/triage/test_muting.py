"""Silences and acknowledgements: what is marked, when an incident speaks, and what they never change."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.outputs import Acknowledged
from tests.unit.triage.night import MINUTE_MS, Night, _restarts, fired, over  # noqa: F401 - a fixture for all
from tests.unit.triage.stories import TICK, bad_deployment, ms, outage, quiet
from triage.controls import ActiveSilence, Controls
from triage.words import moment

HOUR_MS = 60 * MINUTE_MS


def silence(identity: str = "sil_1", hours: int = 2, **matchers: Any) -> ActiveSilence:
    where = {"environment": "production", "system": "refunds", "flow": None, "agent": None}
    rest = {"budget": None, "detector": None, "kind": "silence", "reason": "drill"}
    return ActiveSilence(id=identity, ends_ms=ms(TICK) + hours * HOUR_MS, **{**where, **rest, **matchers})


def under(*silences: ActiveSilence, **acknowledged: Acknowledged | None) -> Controls:
    return Controls(silences, acknowledged)


def test_a_silenced_incident_is_told_and_marked() -> None:
    """The verdict is there with all it says; it names the silence, and nothing in it goes without approval."""
    automatic = {"recommendation": {"automatic_rollback": True}}
    night = Night(bad_deployment())
    night.settings = night.settings.model_copy(
        update={"recommendation": night.settings.recommendation.model_copy(update=automatic["recommendation"])}
    )
    night.restart()
    night.controls = under(silence())
    (said,) = night.tick(fired())
    assert (said.status, said.triage_result) == ("firing", "recent_deployments")
    assert said.muted is not None
    assert (said.muted.by, said.muted.id, said.muted.reason) == ("silence", "sil_1", "drill")
    assert said.muted.until == moment(ms(TICK) + 2 * HOUR_MS)
    assert said.recommendation.requires_approval
    assert said.with_id() == said


@pytest.mark.parametrize(
    ("matchers", "covered"),
    [
        ({"environment": "*", "system": "*"}, True),
        ({"environment": "staging"}, False),
        ({"system": "claims"}, False),
        ({"flow": "refund-flow"}, True),
        ({"flow": "payout-flow"}, False),
        ({"agent": "clerk"}, False),
        ({"budget": "b"}, False),
        ({"detector": "escalation_rate"}, True),
        ({"detector": "silence"}, False),
    ],
)
def test_every_matcher_must_fit(matchers: dict[str, Any], covered: bool) -> None:
    """Environment and system exactly or by a star; flow, agent, budget and detector exactly, if they are given."""
    assert silence(**matchers).covers(fired()) is covered


def test_it_speaks_when_the_silence_ends() -> None:
    """Muted all along, then a first page: the status is `firing`, though its revision is not the first."""
    night = Night(quiet())
    night.controls = under(silence())
    (muted,) = night.tick(fired())
    assert night.ticks(10) == []
    night.controls = under()
    (loud,) = night.tick()
    assert (loud.revision, loud.status, loud.muted) == (1, "firing", None)
    assert loud.incident_id == muted.incident_id
    assert night.ticks(10) == []


def test_a_silence_that_comes_later_is_a_revision_and_so_is_its_end() -> None:
    """Page, silence, page again: `updated` both times, for it has been heard before."""
    night = Night(quiet())
    night.tick(fired())
    night.controls = under(silence(kind="maintenance"))
    (muted,) = night.tick()
    assert (muted.status, muted.muted and muted.muted.by) == ("updated", "maintenance")
    night.controls = under()
    (loud,) = night.tick()
    assert (loud.status, loud.muted) == ("updated", None)


def test_one_firing_that_is_not_silenced_speaks_for_all() -> None:
    """An incident is muted only when every open firing is; the loud one's recovery mutes it, its joining unmutes it."""
    night = Night(quiet())
    night.controls = under(silence(flow="refund-flow"))
    (first,) = night.tick(fired())
    assert first.muted is not None
    (second,) = night.tick(fired(1, "payout-flow"))
    assert (second.status, second.muted) == ("firing", None)
    (third,) = night.tick(over(fired(1, "payout-flow")))
    assert third.muted is not None
    (last,) = night.tick(over(fired()))
    assert (last.status, last.muted) == ("resolved", third.muted)


def test_it_says_until_when_it_is_muted() -> None:
    """Of two silences that are both needed the one that ends first counts; of two for the same firing the longer."""
    night = Night(quiet())
    short, long = silence("a", 1, flow="refund-flow"), silence("b", 3, flow="refund-flow")
    other = silence("c", 2, flow="payout-flow")
    night.controls = under(short, long, other)
    (said,) = night.tick(fired(), fired(flow="payout-flow"))
    assert said.muted is not None
    assert said.muted.id == "c"


def test_an_acknowledgement_lasts_as_long_as_its_incident() -> None:
    """It is a revision, it outlives its record, it is in the resolve, and the next incident is without."""
    night = Night(quiet())
    (first,) = night.tick(fired())
    ada = Acknowledged(by="ada", at=moment(night.now), note="on it")
    night.controls = under(**{first.incident_id: ada})
    (acked,) = night.tick()
    assert (acked.status, acked.acknowledged) == ("updated", ada)
    night.controls = under()
    assert night.ticks(5) == []
    (last,) = night.tick(over(fired()))
    assert (last.status, last.acknowledged) == ("resolved", ada)
    (again,) = night.tick(fired(9))
    assert again.acknowledged is None


def test_an_acknowledgement_can_be_taken_back() -> None:
    """The withdrawal is a revision without it."""
    night = Night(quiet())
    (first,) = night.tick(fired())
    night.controls = under(**{first.incident_id: Acknowledged(by="ada", at=moment(night.now))})
    night.tick()
    night.controls = under(**{first.incident_id: None})
    (back,) = night.tick()
    assert (back.status, back.acknowledged) == ("updated", None)
    assert night.ticks(3) == []


def test_a_graver_answer_of_a_muted_incident_is_told_and_muted() -> None:
    """Triage goes on under a silence."""
    night = Night(quiet())
    night.controls = under(silence())
    night.tick(fired())
    night.story = outage("closed")
    (graver,) = night.tick()
    assert (graver.triage_result, graver.severity) == ("circuit_breaker_state", "critical")
    assert graver.muted is not None
