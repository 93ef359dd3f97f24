"""`midwatch scenarios`: the list, a story as text and as JSON, wrong names, and exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scenarios.stories.files import paths
from stream.cli import app

runner = CliRunner()

WRONG = """
story = "An ordinary hour in which nothing happens, but something is expected all the same."
ends = "02:00"
history_days = 1
[[expect]]
triage_result = "eval_score_trend"
"""


def test_the_list_names_every_story() -> None:
    """All names, by group; as JSON with their stories."""
    plain = runner.invoke(app, ["scenarios", "list"])
    machine = runner.invoke(app, ["scenarios", "list", "--json"])
    assert plain.exit_code == machine.exit_code == 0
    names = [path.stem for path in paths()]
    assert all(f"  {name} " in plain.stdout for name in names)
    assert [one["name"] for one in json.loads(machine.stdout)] == names


def test_one_story_is_told_minute_by_minute() -> None:
    """What happens, what is noticed, what each check finds, the advice, and every expectation with its tick."""
    result = runner.invoke(app, ["scenarios", "run", "breaker-fails"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    happens = next(index for index, line in enumerate(lines) if line.startswith("02:10  ▸"))
    noticed = next(index for index, line in enumerate(lines) if "● page" in line)
    assert happens < noticed
    for word in ("CRITICAL: circuit_breaker_state", "authorization_denials:", "do: escalate.", "✓  triage result"):
        assert word in result.stdout
    assert "✗  " not in result.stdout.split("the incident is over")[1]


def test_a_story_as_json_is_for_machines() -> None:
    """One object: expectations, firings and verdicts, with the counts of right and wrong."""
    result = runner.invoke(app, ["scenarios", "run", "breaker-fails", "--json"])
    found = json.loads(result.stdout)
    assert (found["passed"], found["failed"]) == (1, 0)
    [story] = found["scenarios"]
    assert story["passed"] is True
    assert all(one["met"] for one in story["expectations"])
    assert story["verdicts"][0]["triage_result"] == "circuit_breaker_state"
    assert story["firings"][0]["record"] == "firing"


def test_a_wrong_expectation_ends_with_a_failure(tmp_path: Path) -> None:
    """A file of one's own can be run; what it expects and is not found is a cross and exit 1."""
    path = tmp_path / "mine.toml"
    path.write_text(WRONG, encoding="utf-8")
    result = runner.invoke(app, ["scenarios", "run", str(path)])
    assert result.exit_code == 1
    assert "✗" in result.stdout


@pytest.mark.parametrize(
    ("name", "hint"), [("brekaer-fails", "breaker-fails"), ("nothing.toml", "there is no file nothing.toml")]
)
def test_an_unknown_name_is_a_wrong_command_line(name: str, hint: str) -> None:
    """Exit 2, nothing on standard output, the nearest name on standard error."""
    result = runner.invoke(app, ["scenarios", "run", name])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert hint in result.stderr


def test_a_name_like_none_other_brings_no_guess() -> None:
    """Only where something is near is it offered; the way to the list is always said."""
    result = runner.invoke(app, ["scenarios", "run", "xyzzy"])
    assert result.exit_code == 2
    assert result.stderr == "midwatch: there is no scenario named xyzzy; `midwatch scenarios list` shows all\n"


def test_a_story_that_contradicts_itself_is_a_wrong_command_line(tmp_path: Path) -> None:
    """Exit 2 as for any file that is no scenario, with the place in it."""
    path = tmp_path / "mine.toml"
    late = '[[happens]]\nat = "09:00"\nwhat = "denials"\nper_interaction = 1.0\n[[expect]]'
    path.write_text(WRONG.replace("[[expect]]", late), encoding="utf-8")
    result = runner.invoke(app, ["scenarios", "run", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "happens[1] (denials) is at 09:00, after the end (02:00)" in result.stderr


def test_a_file_that_is_no_story_is_refused(tmp_path: Path) -> None:
    """Exit 2, with the key that is wrong."""
    path = tmp_path / "mine.toml"
    path.write_text(WRONG.replace("ends", "finishes"), encoding="utf-8")
    result = runner.invoke(app, ["scenarios", "run", str(path)])
    assert result.exit_code == 2
    assert "finishes: unknown key" in result.stderr
