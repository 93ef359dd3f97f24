"""Real telemetry that nobody here wrote: the counts come out exactly as the files have them.

The data is looked for in `MIDWATCH_DATA`, else in `../shared/data` beside the project.
"""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from evaluation.calibration import calibrate
from scenarios import azure_trace, taubench
from schemas.base import JsonObject
from schemas.canonical import canonical_json
from schemas.events import Interaction, Usage
from stream.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
TAU = Path("tau-bench") / "gpt-4o-airline.json"
AZURE = Path("azure-llm-trace")


def data(name: Path) -> Path:
    """The path of a data set; without it the test is skipped, or fails where real parts are required."""
    path = Path(os.environ.get("MIDWATCH_DATA") or ROOT.parent / "shared" / "data") / name
    if path.exists():
        return path
    reason = f"{path} is not there; MIDWATCH_DATA says where the real data is"
    if os.environ.get("MIDWATCH_REQUIRE_REAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def conversations() -> list[Interaction]:
    events = taubench.interactions(taubench.load(data(TAU)))
    return [Interaction.model_validate_json(canonical_json(event)) for event in events]


def requests(path: Path) -> Iterator[Usage]:
    for event in azure_trace.usage_events(path):
        yield Usage.model_validate_json(canonical_json(event))


def test_taubench_is_200_interactions_of_which_48_escalate(conversations: list[Interaction]) -> None:
    """All trajectories are valid interactions, each with an id of its own, and 48 of them hand over."""
    outcomes = Counter(event.outcome for event in conversations)
    assert outcomes == {"resolved": 147, "escalated": 48, "abandoned": 5}
    assert len({event.id for event in conversations}) == 200
    assert all((event.escalation is not None) == (event.outcome == "escalated") for event in conversations)


def test_taubench_keeps_every_tool_call_and_the_words(conversations: list[Interaction]) -> None:
    """The steps are all 1,164 tool calls of the file, and no interaction is without words for the judge."""
    assert sum(len(event.steps or ()) for event in conversations) == 1_164
    assert sum(step.status == "error" for event in conversations for step in event.steps or ()) == 73
    assert all(event.request and event.context for event in conversations)


def test_taubench_labels_are_the_gold_actions() -> None:
    """A transfer was wanted in 16 interactions: 6 done, 10 missed; 42 were done unneeded."""
    labels = map(taubench.label, taubench.load(data(TAU)))
    assert Counter((label.wanted, label.escalated) for label in labels) == {
        (True, True): 6,
        (True, False): 10,
        (False, True): 42,
        (False, False): 142,
    }


@pytest.mark.parametrize(("service", "rows"), [("conv", 19_366), ("code", 8_819)])
def test_azure_token_sums_equal_the_files(service: str, rows: int) -> None:
    """Every row is a valid usage event, and the tokens add up to what the file itself adds up to."""
    path = data(AZURE / f"AzureLLMInferenceTrace_{service}.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        truth = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(lines)]
    found = [(event.input_tokens, event.output_tokens) for event in requests(path)]
    assert len(found) == rows
    assert found == truth


def test_commands_write_what_the_functions_make(
    capfdbinary: pytest.CaptureFixture[bytes], conversations: list[Interaction]
) -> None:
    """The command line prints the same events, one a line."""
    assert taubench.main([str(data(TAU))]) == 0
    lines = capfdbinary.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [event.id for event in conversations]


def replayed(events: Iterable[JsonObject], directory: Path) -> JsonObject:
    """What `midwatch replay --json` says about these events."""
    path = directory / "events.jsonl"
    path.write_bytes(b"".join(canonical_json(event) + b"\n" for event in events))
    command = [sys.executable, "-m", "stream.cli", "replay", str(path), "--out", str(directory / "out.jsonl"), "--json"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIDWATCH_")}
    done = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    said: JsonObject = json.loads(done.stdout)
    return said


def test_calibrating_on_taubench_gives_its_gold_labels(tmp_path: Path) -> None:
    """52 of 200 handovers or their lack were wrong (42 unneeded, 10 missed), and all 200 are compared."""
    path = tmp_path / "labelled.jsonl"
    lines = taubench.labelled(taubench.load(data(TAU)))
    path.write_bytes(b"\n".join(canonical_json(line) for line in lines))
    settings = load_settings(None, {"MIDWATCH_JUDGE__PROVIDER": "scripted"})
    (found,) = calibrate(path, settings, {}).agreements
    assert (found.criterion, found.pairs) == ("escalation_appropriateness", 200)
    assert [sum(row) for row in found.confusion] == [42 + 10, 0, 0, 0, 142 + 6]


def test_replay_counts_200_interactions_and_48_escalations(tmp_path: Path) -> None:
    """The counts that enter the windows are the file's: nothing lost, nothing twice, nothing refused."""
    said = replayed(taubench.interactions(taubench.load(data(TAU))), tmp_path)
    assert said["events"] == {"interaction": 200}
    assert said["rejected"] == said["unknown_fields"] == 0
    assert said["totals"]["flow"] == {"interactions": 200, "escalations": 48, "failures": 0}
    assert said["totals"]["flow_reason"] == {"escalations": 48}


def test_replay_adds_up_the_tokens_of_both_services(tmp_path: Path) -> None:
    """The tokens of all 28,185 requests add up to the files' own sums, and every request has a price."""
    paths = [data(AZURE / f"AzureLLMInferenceTrace_{service}.csv") for service in ("conv", "code")]
    said = replayed((event for path in paths for event in azure_trace.usage_events(path)), tmp_path)
    sums = Counter[str]()
    for path in paths:
        with path.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                sums["requests"] += 1
                sums["input_tokens"] += int(row["ContextTokens"])
                sums["output_tokens"] += int(row["GeneratedTokens"])
    assert {name: said["totals"]["usage"][name] for name in sums} == dict(sums)
    assert sums["requests"] == 28_185
    assert said["rejected"] == 0
    assert said["unpriced"] == {}
