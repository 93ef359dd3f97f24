"""The suite of stories: each one comes out as it says, and a story that says something else fails."""

import re
from pathlib import Path

import pytest

from scenarios.stories.files import Entry, StoryError, UnknownStoryError, choose, load_story, load_suite, paths
from scenarios.stories.judge import Mark, judge
from scenarios.stories.run import Run, run_story, told

ROOT = Path(__file__).parents[3]
NAMES = [path.stem for path in paths()]

BAD_CHANGE = """
story = "Version 1.1 goes to all traffic at once and escalates far more than before."
ends = "02:40"
[[happens]]
at = "02:00"
what = "deployment"
version = "1.1"
escalates_percent = 40
[[expect]]
fires = [{ detector = "escalation_rate", tier = "page", by = "02:15" }]
triage_result = "recent_deployments"
"""


def written(folder: Path, text: str, name: str = "story") -> Entry:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return Entry(name, folder.name, path, load_story(path))


def failed(run: Run) -> list[Mark]:
    return [mark for mark in judge(run) if not mark.met]


@pytest.mark.parametrize("name", NAMES)
def test_a_story_comes_out_as_it_says(name: str) -> None:
    """Everything that the story expects is found, and nothing that must not be said is said."""
    [entry] = choose([name])
    assert failed(run_story(entry)) == []


def test_the_suite_is_large_and_its_names_are_unique() -> None:
    """There are forty stories and more, in groups, each with a name and a sentence of its own."""
    entries = load_suite()
    assert len(entries) >= 40
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(re.fullmatch(r"[a-z0-9-]+", entry.name) for entry in entries)
    assert len({entry.headline for entry in entries}) == len(entries)


@pytest.mark.parametrize(
    ("said", "instead", "complaint"),
    [
        ('triage_result = "recent_deployments"', 'triage_result = "eval_score_trend"', "triage result"),
        ('by = "02:15"', 'by = "02:01"', "pages by 02:01"),
        ('detector = "escalation_rate"', 'detector = "silence"', "silence pages"),
        ('triage_result = "recent_deployments"', 'top_cause = "dependency"', "top cause dependency"),
        ('triage_result = "recent_deployments"', 'recommendation = "none"', "recommends none"),
        ('triage_result = "recent_deployments"', 'resolved_by = "02:30"', "resolved by 02:30"),
        ('triage_result = "recent_deployments"', 'system = "claims"', "a verdict"),
        ('triage_result = "recent_deployments"', 'onset_near = "01:10"', "onset near 01:10"),
        ('triage_result = "recent_deployments"', 'says = "the moon"', "it says"),
        (
            'triage_result = "recent_deployments"',
            'findings = { eval_score_trend = "dropping" }',
            "eval_score_trend finds",
        ),
        ("[[expect]]", '[never]\ntriage_result = ["recent_deployments"]\n[[expect]]', "never triage result"),
    ],
)
def test_a_story_with_a_wrong_expectation_fails(tmp_path: Path, said: str, instead: str, complaint: str) -> None:
    """The right story passes; with one expectation turned wrong, that expectation and no other is named."""
    assert said in BAD_CHANGE
    marks = failed(run_story(written(tmp_path, BAD_CHANGE.replace(said, instead))))
    assert marks
    assert any(complaint in mark.expected for mark in marks), marks


def test_the_right_story_passes_and_is_the_same_every_time(tmp_path: Path) -> None:
    """A story is a function of its file: the same verdicts, to the byte."""
    entry = written(tmp_path, BAD_CHANGE)
    first, second = run_story(entry), run_story(entry)
    assert failed(first) == []
    assert first.verdicts
    assert [v.model_dump_json() for v in first.verdicts] == [v.model_dump_json() for v in second.verdicts]


def test_a_quiet_story_fails_where_something_fires(tmp_path: Path) -> None:
    """`quiet = true` over a bad change is wrong, and the mark says what fired."""
    text = BAD_CHANGE[: BAD_CHANGE.index("[[expect]]")].replace('ends = "02:40"', 'ends = "02:40"\nquiet = true')
    [mark] = failed(run_story(written(tmp_path, text)))
    assert mark.expected == "nothing fires"
    assert "escalation_rate" in mark.found


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        (
            "escalates_percent",
            "escalates_percnt",
            "happens[1].escalates_percnt: unknown key; did you mean 'escalates_percent'?",
        ),
        (
            'what = "deployment"',
            'what = "deploymnt"',
            "nothing is called what = \"deploymnt\"; did you mean 'deployment'?",
        ),
        ('what = "deployment"\n', "", "happens[1]: it lacks a `what`"),
        ('at = "02:00"', 'at = "2am"', "happens[1].at: '2am' is no time"),
        ('version = "1.1"\n', "", "happens[1].version: this key is missing"),
        ('by = "02:15"', 'befor = "02:15"', "expect[1].fires[1].befor: unknown key"),
        ("escalates_percent = 40", "escalates_percent = 400", "less than or equal to 100"),
        ("[[expect]]", "quiet = true\n[[expect]]", "happens[1].quiet: unknown key"),
        ('story = "', "story = ", "not valid TOML"),
    ],
)
def test_a_file_that_is_no_story_is_refused(tmp_path: Path, said: str, instead: str, problem: str) -> None:
    """The error names the file, the place in it, what is wrong and what was probably meant."""
    assert said in BAD_CHANGE
    with pytest.raises(StoryError) as caught:
        written(tmp_path, BAD_CHANGE.replace(said, instead))
    assert "story.toml" in str(caught.value)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("said", "instead", "problem"),
    [
        ('version = "1.1"', 'version = "1.1"\nsystem = "claims"', "there is no system claims; there are refunds"),
        ('version = "1.1"', 'version = "1.1"\nflow = "x"', "there is no flow x"),
        (
            'what = "deployment"\nversion = "1.1"\nescalates_percent = 40',
            'what = "rollback"\nversion = "9"',
            "not deployed",
        ),
        ('at = "02:00"', 'at = "04:00"', "after the end"),
        ('ends = "02:40"', 'ends = "00:10"', "before it begins"),
    ],
)
def test_a_story_that_contradicts_itself_is_refused(tmp_path: Path, said: str, instead: str, problem: str) -> None:
    """What a story names must exist in it, and its times must be in order."""
    assert said in BAD_CHANGE
    with pytest.raises(StoryError, match=re.escape(problem)):
        run_story(written(tmp_path, BAD_CHANGE.replace(said, instead)))


def test_a_story_must_say_what_is_found(tmp_path: Path) -> None:
    """A file without expectations proves nothing and is refused."""
    with pytest.raises(StoryError, match="either"):
        written(tmp_path, BAD_CHANGE[: BAD_CHANGE.index("[[expect]]")])


def test_an_unknown_name_says_the_nearest() -> None:
    """A misspelt name is met with the one that was probably meant."""
    with pytest.raises(UnknownStoryError, match=r"did you mean .*breaker-flaps"):
        choose(["braker-flaps"])


def test_what_happens_is_told_in_order_of_time() -> None:
    """The telling is by time, with the ends of what lasts."""
    [entry] = choose(["noisy-but-normal"])
    times = [at for at, _ in told(entry.story)]
    assert times == sorted(times)
    assert len(times) == 7


def test_the_page_lists_every_story() -> None:
    """`docs/scenarios.md` has one line for each story, as `midwatch scenarios list` has it, and no other."""
    text = (ROOT / "docs/scenarios.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \|$", text, re.MULTILINE)
    assert listed == [(entry.name, entry.headline) for entry in load_suite()]
