"""Replay: the same input gives the same bytes, exact counts, and files that are whole or not there."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.canonical import canonical_json
from stream.cli import app
from stream.core.ticks import MINUTE_MS, rfc3339
from stream.outfile import whole_file
from stream.replay import replay
from stream.settings import Settings, load_settings
from tests.integration import traffic

ROOT = Path(__file__).parents[2]
runner = CliRunner()


def extra(number: int, minute: int, **more: Any) -> bytes:
    ms = (traffic.START_MINUTE + minute) * MINUTE_MS
    base = {"id": f"x{number}", "time": rfc3339(ms), "environment": "production", "system": "refunds"}
    return canonical_json(base | more)


def make_lines() -> list[bytes]:
    """Hours of traffic with a spike, and one of every other type; some events twice, many at the same time."""
    lines = [canonical_json(event) for _, event in traffic.events()]
    for number in range(0, traffic.MINUTES, 5):
        step = {"agent": "a", "operation": "execute_tool", "start_ms": 0, "duration_ms": 5, "dependency": "ledger"}
        failing = [step | {"status": status} for status in ("timeout", "timeout", "error")]
        flow: Any = {"type": "interaction", "flow": "refunds-flow", "outcome": "failed", "steps": failing}
        lines.append(extra(number, number, **flow, tags={"cost-center": f"c{number % 3}"}))
        lines.append(extra(number, number, **flow, tags={"cost-center": "z"}, trace_id="t"))
        score: Any = {"type": "evaluation", "flow": "refunds-flow", "criterion": "tone", "score": 1 + number % 5}
        lines += [extra(number // 10, number, **score)] * 2
        lines.append(extra(number, number, type="circuit_breaker", dependency="ledger", state="open"))
        lines.append(extra(number, number, type="usage", model="gpt-4o", input_tokens=1000, output_tokens=10))
    deployment: Any = {"type": "deployment", "change": "flow", "component": "refunds-flow", "version": "7"}
    for body in ("a", "b"):
        lines.append(extra(1, 150, **deployment, phase="completed", canary_percent=40.0, artifact=body))
    return lines


LINES = make_lines()


def settings(shards: int = 16) -> Settings:
    return load_settings(None, {"MIDWATCH_ENGINE__SHARDS": str(shards)})


def replayed(tmp_path: Path, *files: list[bytes], shards: int = 16, batch_lines: int = 500) -> tuple[bytes, Any]:
    paths = []
    for number, lines in enumerate(files):
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_bytes(b"\n".join(lines) + b"\n")
    out = io.BytesIO()
    stats = replay(paths, settings(shards), out, batch_lines=batch_lines)
    return out.getvalue(), stats.to_json()


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    return replayed(tmp_path_factory.mktemp("golden"), LINES)


def test_the_golden_run_says_something(golden) -> None:
    """The comparisons below compare firings and verdicts, not nothing; and the counts are the input's."""
    out, stats = golden
    records = [json.loads(line) for line in out.splitlines()]
    assert {record["record"] for record in records} == {"firing", "verdict"}
    assert {record["scope"]["system"] for record in records} >= {"refunds", "claims"}
    interactions = traffic.MINUTES * traffic.PER_MINUTE * len(traffic.SYSTEMS) + 2 * len(range(0, traffic.MINUTES, 5))
    assert stats["totals"]["flow"]["interactions"] == stats["events"]["interaction"] == interactions
    assert stats["totals"]["usage"]["input_tokens"] == 1000 * stats["events"]["usage"] == 48_000
    assert stats["totals"]["dependency"] == {"calls": 288, "errors": 96, "timeouts": 192}
    assert stats["events"]["evaluation"] == 96
    assert (stats["rejected"], stats["events"]["deployment"], stats["events"]["circuit_breaker"]) == (0, 2, 48)


@pytest.mark.parametrize("batch_lines", [1, 7])
def test_bytes_do_not_depend_on_the_batch_size(tmp_path, golden, batch_lines) -> None:
    """Every line by itself, or a few: the same output and numbers."""
    assert replayed(tmp_path, LINES, batch_lines=batch_lines) == golden


def test_bytes_do_not_depend_on_the_order_of_lines(tmp_path, golden) -> None:
    """Equal timestamps in another order, and any order at all."""
    assert replayed(tmp_path, random.Random(1).sample(LINES, len(LINES))) == golden


def test_bytes_do_not_depend_on_how_lines_lie_in_files(tmp_path, golden) -> None:
    """Three files with a third each, dealt out like cards."""
    assert replayed(tmp_path, LINES[2::3], LINES[::3], LINES[1::3]) == golden


def test_firings_and_verdicts_do_not_depend_on_the_shards(tmp_path, golden) -> None:
    """One shard with everything in it says the same as sixteen."""
    assert replayed(tmp_path, LINES, shards=1) == golden


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_bytes_do_not_depend_on_the_hash_seed(tmp_path, golden, seed) -> None:
    """A process with another seed writes the same file."""
    events, out = tmp_path / "events.jsonl", tmp_path / "out.jsonl"
    events.write_bytes(b"\n".join(LINES))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MIDWATCH_")} | {"PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "stream.cli", "replay", str(events), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    assert out.read_bytes() == golden[0]


EVENT = LINES[0]


def test_standard_output_holds_the_records_alone(tmp_path) -> None:
    """Without --out, and with -, the summary is on standard error, as text or as JSON."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join(LINES))
    result = runner.invoke(app, ["replay", str(events), "--json"])
    assert result.exit_code == 0
    assert {json.loads(line)["record"] for line in result.stdout.splitlines()} == {"firing", "verdict"}
    assert json.loads(result.stderr)["rejected"] == 0
    (tmp_path / "one.jsonl").write_bytes(EVENT)
    result = runner.invoke(app, ["replay", str(tmp_path / "one.jsonl"), "--out", "-"])
    assert result.stdout == ""
    assert "1 interaction; rejected: 0; ticks: 1" in result.stderr


def test_bad_lines_are_named_by_file_and_line_from_one(tmp_path) -> None:
    """Empty lines are no events and no errors, but they count as lines; each file counts anew."""
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(EVENT + b"\r\n  \n\n{oops\n" + EVENT)
    bad = tmp_path / "bad.jsonl"
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    result = runner.invoke(app, ["replay", *files, "--dead-letters", str(bad), "--format", "native"])
    assert result.exit_code == 0
    for file in files:
        assert f"{file}, line 4: malformed_json" in result.stderr
    assert [(json.loads(line)["topic"], json.loads(line)["offset"]) for line in bad.read_text().splitlines()] == [
        ("a.jsonl", 3),
        ("b.jsonl", 3),
    ]


def test_many_bad_lines_are_counted_and_the_first_are_named(tmp_path) -> None:
    """A file of something else is no flood; and a run in which nothing was an event is a failure."""
    (tmp_path / "notes.txt").write_text("not an event\n" * 25)
    result = runner.invoke(app, ["replay", str(tmp_path / "notes.txt"), "--out", str(tmp_path / "out.jsonl")])
    assert result.exit_code == 1
    assert result.stderr.count("malformed_json") == 10
    assert "25 lines could not be read, the first 10 are above" in result.stderr
    assert "one JSON object a line" in result.stderr


@pytest.mark.parametrize("option", ["--out", "--dead-letters"])
def test_input_is_not_written_over(tmp_path, option) -> None:
    """By any spelling of its name: exit 2, and the file is as it was."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(EVENT)
    result = runner.invoke(app, ["replay", str(events), option, str(tmp_path / "." / "x" / ".." / "events.jsonl")])
    assert result.exit_code == 2
    assert "one of the files to read" in result.stderr
    assert events.read_bytes() == EVENT


def test_two_outputs_need_two_files(tmp_path) -> None:
    """Records and dead letters do not go into one file."""
    (tmp_path / "events.jsonl").write_bytes(EVENT)
    both = str(tmp_path / "both.jsonl")
    result = runner.invoke(app, ["replay", str(tmp_path / "events.jsonl"), "--out", both, "--dead-letters", both])
    assert (result.exit_code, "what --out names" in result.stderr) == (2, True)


def test_a_directory_that_is_not_there_is_named(tmp_path) -> None:
    """The error names the path that was given and the directory that is missing."""
    (tmp_path / "events.jsonl").write_bytes(EVENT)
    out = tmp_path / "none" / "out.jsonl"
    result = runner.invoke(app, ["replay", str(tmp_path / "events.jsonl"), "--out", str(out)])
    assert result.exit_code == 1
    assert f"cannot write {out}: there is no directory" in result.stderr


def test_a_failure_leaves_the_older_file_and_nothing_beside_it(tmp_path) -> None:
    """What is half written never has the file's name."""
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"older")

    def fail() -> None:
        with whole_file(out) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [out]


def test_a_whole_file_keeps_mode_and_link(tmp_path) -> None:
    """An older file's permissions stay, and a symbolic link goes on pointing at it."""
    out, link = tmp_path / "out.jsonl", tmp_path / "link"
    out.write_bytes(b"older")
    out.chmod(0o640)
    link.symlink_to(out)
    with whole_file(link) as file:
        file.write(b"newer")
        assert out.read_bytes() == b"older"
    assert (out.read_bytes(), link.is_symlink(), out.stat().st_mode & 0o777) == (b"newer", True, 0o640)


def test_a_device_is_written_to_directly() -> None:
    """It is not replaced by a file."""
    with whole_file(Path(os.devnull)) as file:
        file.write(b"gone")
    assert not Path(os.devnull).is_file()
