"""What the demonstration prints says what a reader has to know."""

import io

from rich.console import Console

from scenarios.demo_judge import judge
from scenarios.demo_print import print_story, print_table, print_verdict
from scenarios.incidents import incidents
from tests.unit.scenarios.verdict_samples import firing, right, story

LABELLED = incidents(1_772_611_200_000)
BAD_DEPLOYMENT = next(incident for incident in LABELLED if incident.name == "bad deployment")


def console() -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    return Console(file=output, width=160, color_system=None), output


def test_a_verdict_says_when_where_what_and_what_to_do() -> None:
    """A firing verdict shows its time, scope, trigger, every finding and the rollback; markup in a text stays text."""
    to, output = console()
    verdict = right(BAD_DEPLOYMENT)
    strange = verdict.trigger.model_copy(update={"summary": "[bold]40 of 200[/nonsense]"})
    print_verdict(to, verdict.model_copy(update={"trigger": strange}))
    text = output.getvalue()
    for part in ("09:30", "CRITICAL", "lending/loan-prequalification", "[bold]40 of 200[/nonsense]"):
        assert part in text
    assert all(f"{finding.check}: {finding.summary}" in text for finding in verdict.findings)
    assert "rollback loan-prequalification from 7.5.0 to 7.4.0 (argo_rollout); deployment 95%" in text


def test_a_resolved_verdict_is_one_line() -> None:
    """What is over needs no evidence on the screen."""
    to, output = console()
    print_verdict(to, right(BAD_DEPLOYMENT, "resolved", 1))
    assert len(output.getvalue().splitlines()) == 1


def test_the_story_and_the_table_name_every_incident() -> None:
    """Before and after, each incident has its row; what is wrong is said in its row."""
    to, output = console()
    print_story(to, LABELLED)
    print_table(to, judge(LABELLED, story(BAD_DEPLOYMENT), [firing(BAD_DEPLOYMENT)]))
    text = output.getvalue()
    assert all(text.count(incident.name) == 2 for incident in LABELLED)
    assert "7.5.0 -> 7.4.0" in text
    assert "no: no verdict" in text
