"""Rows of Azure's traces become usage events; a made-up sample of the same shape stands for the real files."""

import json
from pathlib import Path

import pytest

from scenarios import azure_trace
from schemas.events import Usage

SAMPLE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319999,3180,8
2023-11-16 18:17:05,110,0"""


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "AzureLLMInferenceTrace_code.csv"
    path.write_text(SAMPLE, encoding="utf-8")
    return path


def test_every_row_is_one_valid_event_with_its_tokens(trace: Path) -> None:
    """Each row gives one event that the contract accepts, with the row's own counts, in the file's order."""
    events = [Usage.model_validate_json(json.dumps(event)) for event in azure_trace.usage_events(trace)]
    assert [(event.input_tokens, event.output_tokens) for event in events] == [(4808, 10), (3180, 8), (110, 0)]
    assert [event.id for event in events] == ["azure-code-000001", "azure-code-000002", "azure-code-000003"]
    assert {event.system for event in events} == {"azure-llm-code"}


@pytest.mark.parametrize(
    ("timestamp", "time"),
    [
        ("2023-11-16 18:17:03.9799600", "2023-11-16T18:17:03.979Z"),
        ("2023-11-16 23:59:59.9999999", "2023-11-16T23:59:59.999Z"),
        ("2023-11-16 18:17:03.5", "2023-11-16T18:17:03.500Z"),
        ("2023-11-16 18:17:03", "2023-11-16T18:17:03.000Z"),
    ],
)
def test_times_are_cut_to_milliseconds(timestamp: str, time: str) -> None:
    """Seven digits of a second are cut, not rounded: an event never moves into the next minute."""
    assert azure_trace.milliseconds_time(timestamp) == time


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("yesterday,1,2", "'yesterday' is no time"),
        ("2023-11-16 18:17:03,-1,2", "ContextTokens must be a whole number"),
        ("2023-11-16 18:17:03,1", "GeneratedTokens must be a whole number"),
        ("2023-11-16 18:17:03,1,2.5", "GeneratedTokens must be a whole number"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(
    trace: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    """A bad value ends the command with an error that names the file, the line, the column and the value."""
    trace.write_text(SAMPLE + "\n" + line, encoding="utf-8")
    assert azure_trace.main([str(trace)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "AzureLLMInferenceTrace_code.csv, line 5" in error


def test_a_missing_column_is_named(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file without the columns is refused by name, not by a traceback."""
    trace.write_text("TIMESTAMP,ContextTokens\n", encoding="utf-8")
    assert azure_trace.main([str(trace)]) == 1
    assert "no column GeneratedTokens" in capsys.readouterr().err


def test_command_prints_one_event_a_line(trace: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The command prints the events of all its files, and takes the model to assume."""
    assert azure_trace.main([str(trace), str(trace), "--model", "gpt-4.1"]) == 0
    events = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert len(events) == 6
    assert {event["model"] for event in events} == {"gpt-4.1"}
