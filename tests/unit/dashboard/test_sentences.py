"""A verdict in one sentence: right for every detector and state, plain, and without a number that it lacks."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import sentences
from schemas.canonical import jsonable
from schemas.outputs import Acknowledged, Muted, Scope
from schemas.words import CAUSES, CHECK_ORDER
from tests.support.dashboard_verdicts import AT, findings, recommendation, resolved, trigger, verdict


def test_a_bad_change_is_told_with_its_numbers_and_the_way_back() -> None:
    """The sentence of the runbook: what, how much, since when, why, what to do."""
    said = sentences.sentence(verdict())
    assert said == (
        "Refund of refunds escalates 13.7 % of requests, 3.3x normal, since 02:14 UTC; likeliest cause: flow refund "
        "2026.11.3 shipped at 02:02 UTC, which went to 100 % without finishing its canary; "
        "roll back refund 2026.11.3 to 2026.11.2"
    )
    assert sentences.headline(verdict()) == "Escalations 3.3x normal in refunds"


@pytest.mark.parametrize(
    ("detector", "scope", "numbers", "wanted"),
    [
        ("authorization_denials", {"agent": "executor"}, {}, "Agent executor of refunds is refused 13.7 % of what it"),
        (
            "burn_rate",
            {"budget": "support", "system": "*", "environment": "*", "flow": None},
            {"observed": 410.0, "baseline": 300.0, "summary": "spent $1 of $2, used up on 2026-03-20"},
            "Budget support burns $410 a day where $300 would last the month, used up on 2026-03-20",
        ),
        (
            "evaluation_drop",
            {"criterion": "correctness", "version": "7"},
            {"observed": 3.1, "baseline": 4.2},
            "Correctness of refund of refunds 7 fell to 3.10 of 5, from 4.20",
        ),
        ("silence", {}, {"summary": "nothing for 20 min"}, "Refund of refunds has gone silent: nothing for 20 min"),
        ("a_plugin", {}, {"summary": "odd"}, "Refund of refunds: odd"),
    ],
)
def test_each_detector_says_what_it_saw(
    detector: str, scope: dict[str, Any], numbers: dict[str, Any], wanted: str
) -> None:
    """Five detectors, and one of an installed package, in their own words."""
    where = Scope(**{"environment": "production", "system": "refunds", "flow": "refund", **scope})
    fired = trigger(**{"detector": detector, **numbers})
    assert sentences.sentence(verdict(trigger=fired, scope=where)).startswith(wanted)


def test_states_are_told() -> None:
    """Muted says that nobody is paged and until when; acknowledged who has it; resolved that it is over."""
    muted = verdict(muted=Muted(by="silence", id="sil_1", until=AT + timedelta(hours=1)))
    assert "pages nobody: silence until 03:20 UTC" in sentences.sentence(muted)
    inhibited = verdict(muted=Muted(by="inhibition", id="inc_2"))
    assert "another incident explains it" in sentences.sentence(inhibited)
    taken = verdict(acknowledged=Acknowledged(by="ada", at=AT))
    assert sentences.sentence(taken).endswith("ada is on it")
    over = sentences.sentence(resolved())
    assert over.startswith("Over since 03:00 UTC: escalations 3.3x normal in refunds, begun 02:14 UTC; the cause was: ")
    assert sentences.advice(resolved()) == "Nothing to do"


def test_an_inconclusive_verdict_names_the_likeliest_cause_and_its_doubt() -> None:
    """Where no check decides, the sentence says so, with the first cause and its probability."""
    unsure = verdict(
        triage_result="inconclusive", probable_cause=None, recommendation=recommendation(kind="investigate")
    )
    said = sentences.sentence(unsure)
    assert "no check is certain, likeliest is a recent change (97 %); look into it" in said
    assert "no cause found yet" in sentences.sentence(unsure.model_copy(update={"causes": ()}))


def test_another_day_and_another_environment_are_named() -> None:
    """A time of another day says which; anything but production says where it is."""
    old = verdict(onset_at=AT - timedelta(days=2), scope=Scope(environment="staging", system="refunds", flow="refund"))
    said = sentences.sentence(old)
    assert "since 02:20 UTC on 27 February" in said
    assert "refunds (staging)" in said


_texts = st.text(max_size=80)


@given(
    names=st.lists(st.text(min_size=1, max_size=80), min_size=4, max_size=4),
    evidence=st.dictionaries(
        st.sampled_from(
            ["change", "component", "version", "changed_at", "ramp_lacks", "agent", "action", "dependency"]
        ),
        st.one_of(_texts, st.integers(), st.none(), st.lists(_texts, max_size=2)),
    ),
    result=st.sampled_from([*CHECK_ORDER, "inconclusive"]),
    cause=st.sampled_from(CAUSES),
    detector=st.sampled_from(["escalation_rate", "authorization_denials", "burn_rate", "evaluation_drop", "silence"]),
)
def test_whatever_telemetry_says_a_sentence_is_one_bounded_line(
    names: list[str], evidence: dict[str, Any], result: Any, cause: Any, detector: str
) -> None:
    """No name and no evidence breaks a sentence, makes it long, or brings a control character into it."""
    scope = Scope(environment=names[0], system=names[1], flow=names[2], agent=names[3])
    told = verdict(
        scope=scope,
        trigger=trigger(detector=detector, summary=names[0]),
        triage_result=result,
        findings=findings(**evidence),
    ).model_copy(update={"causes": ()})
    for said in (sentences.sentence(told), sentences.headline(told), sentences.advice(told)):
        assert said
        assert said.isprintable()
        assert len(said) <= sentences.LONGEST


@given(
    observed=st.floats(min_value=1e-4, max_value=1.0),
    ratio=st.floats(min_value=1.0, max_value=900.0),
)
def test_every_number_is_the_verdicts_own(observed: float, ratio: float) -> None:
    """Numbers in a sentence come from the verdict, rounded; there are no others."""
    told = verdict(trigger=trigger(observed=observed, ratio=ratio))
    text = json.dumps(jsonable(told))
    own = [float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    own += [100 * number for number in own]
    clock = r"\d\d:\d\d UTC|2026\.11\.\d"
    for number in re.findall(r"\d[\d,]*(?:\.\d+)?", re.sub(clock, "", sentences.sentence(told))):
        value = float(number.replace(",", ""))
        assert any(abs(value - one) <= 0.051 * max(abs(one), 1.0) for one in own), (number, text)
