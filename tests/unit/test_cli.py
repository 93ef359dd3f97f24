"""The command line: what goes where, and with which exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app

runner = CliRunner()


def test_help_names_every_command() -> None:
    """`midwatch --help` lists the commands, and imports no client to do so."""
    code = (
        "import sys, stream.cli; print(sorted({'aiokafka', 'redis', 'scipy', 'pyarrow', 'faust'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    result = runner.invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in ("run", "replay", "backtest", "triage", "verdicts", "doctor", "check-config", "topics", "schemas"):
        assert command in result.stdout


def test_version() -> None:
    """`--version` prints the version alone."""
    assert runner.invoke(app, ["--version"]).stdout.strip() == "0.1.0"


def test_check_config_of_a_sound_file(tmp_path: Path) -> None:
    """A sound configuration: exit 0, its hash on standard output, with --json all of it but the secrets."""
    path = tmp_path / "midwatch.toml"
    path.write_text("[engine]\nshards = 3\n", encoding="utf-8")
    result = runner.invoke(app, ["check-config", "--config", str(path)])
    assert result.exit_code == 0
    assert "config_hash cfg_" in result.stdout
    result = runner.invoke(
        app, ["check-config", "-c", str(path), "--json"], env={"MIDWATCH_REDIS__PASSWORD": "hunter2-hunter2"}
    )
    shown = json.loads(result.stdout)
    assert shown["engine"]["shards"] == 3
    assert "hunter2" not in result.output


def test_check_config_of_a_bad_file(tmp_path: Path) -> None:
    """A bad configuration: exit 2, every problem on standard error, nothing on standard output."""
    path = tmp_path / "midwatch.toml"
    path.write_text("[engine]\nshards = 0\nworker = 1\n", encoding="utf-8")
    result = runner.invoke(app, ["check-config", "--config", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "engine.shards" in result.stderr
    assert "did you mean 'workers'?" in result.stderr


def test_check_config_example_is_the_example() -> None:
    """`--example` prints the example file."""
    example = Path(__file__).parents[2] / "midwatch.example.toml"
    assert runner.invoke(app, ["check-config", "--example"]).stdout == example.read_text(encoding="utf-8")


def test_schemas_export(tmp_path: Path) -> None:
    """The documents are written where asked, and named on standard output."""
    result = runner.invoke(app, ["schemas", "export", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert json.loads((tmp_path / "out" / "asyncapi.json").read_text())["asyncapi"] == "3.0.0"
    assert (tmp_path / "out" / "json" / "verdict.json").exists()
    assert len(result.stdout.splitlines()) == len(list((tmp_path / "out").rglob("*.json")))


def test_schemas_export_into_a_file(tmp_path: Path) -> None:
    """A directory that cannot be made is an error on standard error, exit 1, without a traceback."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = runner.invoke(app, ["schemas", "export", str(tmp_path / "file")])
    assert result.exit_code == 1
    assert result.stderr.startswith("midwatch: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [["verdicts"], ["topics", "create"], ["doctor"]])
def test_no_cluster(arguments: list[str]) -> None:
    """Without Kafka, the commands that need it say so and exit 1."""
    environ = {"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "MIDWATCH_REDIS__URL": "redis://127.0.0.1:1"}
    result = runner.invoke(app, arguments, env=environ)
    assert result.exit_code == 1
    assert "no Kafka can be reached at 127.0.0.1:1" in result.output
    assert "Traceback" not in result.output


EVENT = {
    "type": "interaction",
    "id": "i1",
    "time": "2026-03-01T02:00:00Z",
    "environment": "production",
    "system": "claims",
    "flow": "refund",
    "outcome": "escalated",
}


def test_replay_counts_and_names_what_it_could_not_read(tmp_path: Path) -> None:
    """The records go to --out, the numbers to standard output, bad lines by place to standard error."""
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(EVENT) + "\n{broken\n\n" + json.dumps({**EVENT, "id": "i2"}) + "\n", encoding="utf-8")
    out = tmp_path / "out.jsonl"
    bad = tmp_path / "bad.jsonl"
    arguments = ["replay", str(events), "--out", str(out), "--dead-letters", str(bad), "--json"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0
    stats = json.loads(result.stdout)
    assert (stats["events"], stats["rejected"]) == ({"interaction": 2}, 1)
    assert stats["totals"]["flow"]["escalations"] == 2
    assert "events.jsonl, line 2: malformed_json" in result.stderr
    assert json.loads(bad.read_text())["offset"] == 1
    assert out.read_bytes() == b"", "two escalations are no incident"


def test_replay_of_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a wrong command line."""
    assert runner.invoke(app, ["replay", str(tmp_path / "none.jsonl")]).exit_code == 2


def test_replay_into_a_directory(tmp_path: Path) -> None:
    """Output that cannot be written is an error on standard error, exit 1."""
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(EVENT) + "\n", encoding="utf-8")
    result = runner.invoke(app, ["replay", str(events), "--out", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "directory" in result.stderr


def history(minutes: int, quiet: str = "100,4", loud: str = "100,12") -> str:
    """Minutes of one flow, loud in the last half hour."""
    rows = ["time,environment,system,flow,interactions,escalations"]
    for minute in range(minutes):
        counts = loud if minute >= minutes - 30 else quiet
        rows.append(f"2026-03-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z,p,s,f,{counts}")
    return "\n".join(rows) + "\n"


def test_backtest_prints_one_object(tmp_path: Path) -> None:
    """A loud half hour after a quiet day is one page, with the configured settings."""
    (tmp_path / "counts.csv").write_text(history(1500), encoding="utf-8")
    arguments = ["backtest", "--counts", str(tmp_path / "counts.csv"), "--detector", "escalation_rate"]
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert {firing["tier"] for firing in json.loads(result.stdout)["firings"]} == {"warning", "page"}
    assert "60 of 500 escalated in 5 min" in runner.invoke(app, arguments).stdout
    deaf = {f"MIDWATCH_DETECTORS__ESCALATION_RATE__{tier}_SCORE": "300" for tier in ("WARNING", "PAGE")}
    assert json.loads(runner.invoke(app, [*arguments, "--json"], env=deaf).stdout)["firings"] == []


@pytest.mark.parametrize(("detector", "said", "code"), [("nothing", "no detector", 2), ("burn_rate", "budget", 1)])
def test_backtest_of_wrong_things(tmp_path: Path, detector: str, said: str, code: int) -> None:
    """An unknown detector is a wrong command line, exit 2; a file for another one a failure, exit 1. Both are said."""
    (tmp_path / "counts.csv").write_text(history(10), encoding="utf-8")
    result = runner.invoke(app, ["backtest", "--counts", str(tmp_path / "counts.csv"), "--detector", detector])
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr


def test_unknown_command() -> None:
    """A wrong command line exits 2."""
    assert runner.invoke(app, ["watch"]).exit_code == 2
