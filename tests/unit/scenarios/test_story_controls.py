"""What people tell the engine in a story: it mutes and acknowledges what it covers, and nothing else."""

import re
from pathlib import Path

import pytest

from scenarios.stories.files import StoryError, choose
from scenarios.stories.run import Run, run_story, told
from schemas.canonical import jsonable
from tests.unit.scenarios.test_stories import BAD_CHANGE, failed, written

SILENCE = '\n[[happens]]\nat = "01:30"\nuntil = "02:20"\nwhat = "silence"\nreason = "drill"\n[[expect]]'
ACK = '\n[[happens]]\nat = "02:20"\nwhat = "acknowledgement"\nby = "ada"\n[[expect]]'


def story(more: str, folder: Path) -> Run:
    """The bad change, with more in it before its expectation."""
    return run_story(written(folder, BAD_CHANGE.replace("[[expect]]", more)))


@pytest.mark.parametrize(
    ("name", "said", "instead", "complaint"),
    [
        ("planned-restart", 'muted_by = "maintenance"', 'muted_by = "silence"', "muted by silence"),
        ("planned-restart", 'starts = "02:00"', 'starts = "02:25"', "nobody is paged"),
        ("silence-ends-too-early", 'until = "03:00"', 'until = "02:40"', "it is heard not before 03:00"),
        ("silence-of-another-flow", 'flow = "payout-request"\nreason', "reason", "never muted by silence"),
        ("acknowledged-once", 'at = "02:20"', 'at = "05:20"', "incident 1: acknowledged by ada"),
        ("acknowledged-once", 'acknowledged_by = "none"', 'acknowledged_by = "ada"', "incident 2: acknowledged by ada"),
        ("symptom-joins-its-cause", 'until = "03:40"', 'until = "02:20"', "1 incident, no more"),
        (
            "symptom-joins-its-cause",
            'inhibited = ["where-is-my-refund"]',
            'inhibited = ["refund-request"]',
            "explains refund-request",
        ),
    ],
)
def test_a_story_of_the_suite_fails_with_another_control_or_expectation(
    tmp_path: Path, name: str, said: str, instead: str, complaint: str
) -> None:
    """Each of them hangs on what it is about: without that, the expectation that speaks of it is not met."""
    [entry] = choose([name])
    text = entry.path.read_text(encoding="utf-8")
    assert said in text
    marks = failed(run_story(written(tmp_path, text.replace(said, instead))))
    assert any(complaint in mark.expected for mark in marks), marks


def test_a_silence_holds_from_the_next_tick_until_its_end(tmp_path: Path) -> None:
    """Made at half past one, it mutes the first verdict; at 02:20 the incident speaks, as if it were its first."""
    run = story(SILENCE, tmp_path)
    muted = [verdict for verdict in run.verdicts if verdict.muted]
    assert {verdict.muted.id for verdict in muted if verdict.muted} == {"story-2"}
    assert [v.status for v in run.verdicts].count("firing") == 2
    loud = next(verdict for verdict in run.verdicts if not verdict.muted)
    assert (loud.status, loud.decided_at.strftime("%H:%M")) == ("firing", "02:20")


def test_controls_change_no_firing(tmp_path: Path) -> None:
    """A silence and an acknowledgement change what is marked; what is detected stays the same to the byte."""
    plain, told_much = story("[[expect]]", tmp_path), story(SILENCE.replace("[[expect]]", ACK), tmp_path)
    assert list(map(jsonable, plain.firings)) == list(map(jsonable, told_much.firings))
    assert told_much.rejections == ()


def test_an_acknowledgement_can_be_given_back(tmp_path: Path) -> None:
    """From the tick behind it on the incident bears the name, and from the withdrawal's on none."""
    back = ACK.replace("02:20", "02:30").replace("[[expect]]", "withdrawn = true\n[[expect]]")
    run = story(ACK.replace("[[expect]]", back), tmp_path)
    marked = [(v.decided_at.strftime("%H:%M"), v.acknowledged.by if v.acknowledged else None) for v in run.verdicts]
    assert ("02:21", "ada") in marked
    assert {name for at, name in marked if at > "02:30"} == {None}


def test_what_people_do_is_told_in_order_of_time(tmp_path: Path) -> None:
    """A window that was announced before is told when it is made, when it begins, and when it is over."""
    window = SILENCE.replace("silence", "maintenance window").replace("until =", 'starts = "01:50"\nuntil =')
    words = [words for _, words in told(story(window, tmp_path).entry.story)]
    sentence = "maintenance window from 01:50 until 02:20: drill"
    assert [one for one in words if "window" in one] == [sentence, f"begins: {sentence}", f"over: {sentence}"]


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        ('until = "02:20"', 'until = "01:20"', "happens[2] (silence): it ends (01:20) before it begins (01:30)"),
        ('until = "02:20"', 'starts = "02:20"\nuntil = "02:10"', "it ends (02:10) before it begins (02:20)"),
        ('until = "02:20"', 'until = "2026-04-03 09:00"', "more than 28 days"),
        ('until = "02:20"\n', "", "happens[2].until: this key is missing"),
        ('reason = "drill"', 'reason = "drill"\nagent = "refund"', "no agent refund; there are refund-agent"),
        ('reason = "drill"', 'reason = "drill"\nbudget = "march"', "no budget march; there is none"),
        ('reason = "drill"', 'reason = "drill"\nflow = "payouts"', "no flow payouts in refunds"),
        ('reason = "drill"', 'reason = "drill"\nstart = "02:00"', "unknown key; did you mean 'starts'?"),
    ],
)
def test_a_silence_of_nothing_is_refused(tmp_path: Path, said: str, instead: str, problem: str) -> None:
    """It must cover some time, and what the story has."""
    assert said in SILENCE
    with pytest.raises(StoryError, match=re.escape(problem)):
        story(SILENCE.replace(said, instead), tmp_path)


def test_an_acknowledgement_of_nothing_is_refused(tmp_path: Path) -> None:
    """It says when, and of what there was none: before the incident, or in a system that has none."""
    with pytest.raises(StoryError, match=r"happens\[2\] \(acknowledgement\): at 01:30 no incident is open"):
        story(ACK.replace("02:20", "01:30"), tmp_path)


def test_an_acknowledgement_of_one_of_several_incidents_says_which(tmp_path: Path) -> None:
    """Where two systems are sick at once, the story must name one; the error names both."""
    [entry] = choose(["two-systems-at-once"])
    text = entry.path.read_text(encoding="utf-8")
    with pytest.raises(StoryError, match=r"2 incidents are open .*; name the system or the flow"):
        run_story(written(tmp_path, text.replace("[[expect]]", ACK.replace("02:20", "02:30"), 1)))
