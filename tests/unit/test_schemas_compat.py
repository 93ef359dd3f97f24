"""The gate on the contract: what was promised is kept, and each kind of broken promise is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.compat import broken_promises
from schemas.released import broken_since, current, direction_of
from stream.cli import app

RELEASED = Path(__file__).parents[2] / "schemas/released"
Change = Callable[[dict[str, Any]], Any]


def changed(name: str, change: Change) -> list[str]:
    """What a change to this version's schema would break."""
    old = current()[name]
    new = copy.deepcopy(old)
    change(new)
    return broken_promises(old, new, direction_of(name))


def put(place: str, value: Any) -> Change:
    """Set the value at a path of keys."""

    def change(schema: dict[str, Any]) -> None:
        *way, last = place.split("/")
        for key in way:
            schema = schema[key]
        schema[last] = value

    return change


def drop(place: str, item: str) -> Change:
    """Take a key or a word away at a path of keys."""

    def change(schema: dict[str, Any]) -> None:
        found: Any = schema
        for key in place.split("/"):
            found = found[key]
        if isinstance(found, list):
            found.remove(item)
        else:
            del found[item]

    return change


def add(place: str, item: str) -> Change:
    """Add a word to a list at a path of keys."""

    def change(schema: dict[str, Any]) -> None:
        found: Any = schema
        for key in place.split("/"):
            found = found[key]
        found.append(item)

    return change


def test_this_version_keeps_what_was_released() -> None:
    """No answer lost a field or gained a word, no event is refused that was taken: else the major version rises."""
    released = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RELEASED.glob("*.json"))}
    assert {"verdict", "firing", "interaction"} <= released.keys()
    assert broken_since(released) == []


@pytest.mark.parametrize("name", sorted(current()))
def test_no_change_breaks_nothing(name: str) -> None:
    """In either direction."""
    schema = current()[name]
    assert broken_promises(schema, schema, "written") == []
    assert broken_promises(schema, schema, "read") == []


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("verdict", drop("properties", "links"), "links: the field is gone"),
        ("verdict", drop("required", "severity"), "severity: may be missing"),
        ("verdict", add("properties/action/enum", "restart"), "action: may be restart"),
        ("verdict", put("properties/revision/type", "string"), "revision: may be string, where integer"),
        ("verdict", drop("$defs/Trigger/properties", "ratio"), "trigger.ratio: the field is gone"),
        ("verdict", add("$defs/Finding/properties/severity/enum", "fatal"), "findings[].severity: may be fatal"),
        ("verdict", drop("$defs/RollbackTarget/required", "from_version"), "target.from_version: may be missing"),
        ("verdict", put("$defs/RankedCause/properties/probability/maximum", 100), "causes[].probability: maximum"),
        ("verdict", put("properties/tags/additionalProperties/type", "integer"), "tags.*: may be integer"),
        ("interaction", add("required", "version"), "version: may be missing"),
        ("interaction", drop("properties/outcome/enum", "abandoned"), "outcome: may be abandoned"),
        ("interaction", put("properties/flow/maxLength", 64), "flow: maxLength may be 256"),
        ("interaction", drop("properties", "tenant"), "tenant: the field is gone"),
        ("interaction", put("$defs/Step/properties/agent/pattern", "^[a-z]+$"), "steps[].agent: pattern"),
    ],
)
def test_each_broken_promise_is_named(name: str, change: Change, said: str) -> None:
    """Fields that go, words that come in answers or go from events, bounds that move the wrong way: with the path."""
    problems = changed(name, change)
    assert any(problem.startswith(said) for problem in problems), problems


@pytest.mark.parametrize(
    ("case", "name", "change"),
    [
        ("a new field of an answer", "verdict", put("properties/mood", {"type": "string"})),
        ("a word less in an answer", "verdict", drop("properties/action/enum", "manual_investigation")),
        ("an answer's field that is always there", "verdict", add("required", "probable_cause")),
        ("a new field of an event", "interaction", put("properties/mood", {"type": "string"})),
        ("a new word of an event", "interaction", add("properties/outcome/enum", "deferred")),
        ("an event's field that may lack", "interaction", drop("required", "flow")),
        ("longer names", "interaction", put("properties/flow/maxLength", 512)),
    ],
)
def test_what_evolves_well_passes(case: str, name: str, change: Change) -> None:
    """New fields, fewer words and more certainty in answers, more freedom in events."""
    assert changed(name, change) == [], case


def test_a_type_that_is_gone_is_said() -> None:
    """An event that nobody reads any more, or an answer that nobody writes."""
    assert broken_since({"mood": {}}) == [("mood", "it is gone altogether")]


def test_the_command_compares_with_an_older_export(tmp_path: Path) -> None:
    """A subscriber checks the copy that it was built against: 0 and a word if all is well, 1 and each problem else."""
    runner = CliRunner()
    runner.invoke(app, ["schemas", "export", str(tmp_path)])
    well = runner.invoke(app, ["schemas", "check", str(tmp_path)])
    assert (well.exit_code, well.stdout) == (0, "nothing that was promised is broken\n")
    path = tmp_path / "json/verdict.json"
    older = json.loads(path.read_text(encoding="utf-8"))
    older["properties"]["mood"] = {"type": "string"}
    path.write_text(json.dumps(older), encoding="utf-8")
    broken = runner.invoke(app, ["schemas", "check", str(tmp_path / "json"), "--json"])
    assert broken.exit_code == 1
    assert json.loads(broken.stdout) == {"broken": [{"schema": "verdict", "problem": "mood: the field is gone"}]}


def test_the_command_says_what_it_cannot_read(tmp_path: Path) -> None:
    """An empty directory, and a file that is no JSON."""
    empty = CliRunner().invoke(app, ["schemas", "check", str(tmp_path)])
    assert empty.exit_code == 1
    assert "holds no schemas of Midwatch" in empty.stderr
    (tmp_path / "verdict.json").write_text("{", encoding="utf-8")
    bad = CliRunner().invoke(app, ["schemas", "check", str(tmp_path)])
    assert bad.exit_code == 1
    assert "verdict.json" in bad.stderr
