"""tau-bench trajectories become interactions; a made-up sample of the same shape stands for the real file."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from scenarios import taubench
from schemas.base import JsonObject
from schemas.events import EVENT, Interaction


def says(role: str, text: str) -> JsonObject:
    return {"role": role, "content": text}


def calls(tool: str, number: int, arguments: str = "{}") -> JsonObject:
    call = {"id": f"call_{number}", "type": "function", "function": {"name": tool, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def answers(number: int, text: str) -> JsonObject:
    return {"role": "tool", "tool_call_id": f"call_{number}", "name": "ignored", "content": text}


def trajectory(messages: list[JsonObject], gold: Sequence[str] = (), task: int = 3, trial: int = 1) -> JsonObject:
    return {
        "task_id": task,
        "trial": trial,
        "reward": 1.0,
        "info": {"task": {"actions": [{"name": name, "kwargs": {}} for name in gold]}},
        "traj": [says("system", "Policy: be kind."), *messages],
    }


RESOLVED = trajectory(
    [
        says("user", "Cancel my flight."),
        calls("cancel_reservation", 1, '{"id": "A1"}'),
        answers(1, "Error: not found"),
        calls("cancel_reservation", 2, '{"id": "A2"}'),
        answers(2, "cancelled"),
        says("assistant", "Done."),
        says("user", "Thanks ###STOP###"),
    ]
)
ESCALATED = trajectory(
    [
        says("user", "I want a refund."),
        says("assistant", "I cannot do that. Shall I transfer you?"),
        says("user", "Yes, a supervisor please."),
        calls("transfer_to_human_agents", 1),
        answers(1, "Transfer successful"),
    ],
    gold=["transfer_to_human_agents"],
    task=4,
)
CUT_OFF = trajectory([says("user", "Hello"), says("assistant", "Hi"), says("user", "One more thing")], task=5)


def test_every_trajectory_is_one_valid_event() -> None:
    """Each trajectory gives one event that the contract accepts, a minute after the one before."""
    events = [EVENT.validate_json(json.dumps(event)) for event in taubench.interactions([RESOLVED, ESCALATED, CUT_OFF])]
    assert [event.id for event in events] == ["tau-airline-03-1", "tau-airline-04-1", "tau-airline-05-1"]
    assert [(event.time - taubench.POLICY_NOW).total_seconds() for event in events] == [0, 60, 120]
    assert all(isinstance(event, Interaction) for event in events)


def test_outcome_is_what_telemetry_would_know() -> None:
    """A hand-over is escalated, a conversation that the customer ended resolved, a cut-off one abandoned."""
    assert [event["outcome"] for event in taubench.interactions([RESOLVED, ESCALATED, CUT_OFF])] == [
        "resolved",
        "escalated",
        "abandoned",
    ]


def test_steps_are_the_tool_calls() -> None:
    """Steps are the tool calls in order; an answer that begins with Error makes the step an error."""
    (event,) = taubench.interactions([RESOLVED])
    assert [(step["name"], step["status"]) for step in event["steps"]] == [
        ("cancel_reservation", "error"),
        ("cancel_reservation", "ok"),
    ]
    assert [step["start_ms"] for step in event["steps"]] == [2_000, 4_000]


def test_texts_hold_both_sides_without_the_stop_word() -> None:
    """The judge reads what each side said, the tools' answers and the policy, and never the benchmark's stop word."""
    (event,) = taubench.interactions([RESOLVED])
    assert event["request"] == "Cancel my flight.\nThanks"
    assert event["response"] == "Done."
    assert "Policy: be kind." in event["context"]
    assert "Error: not found" in event["context"]
    assert '{"id": "A2"}' in event["context"]
    assert taubench.STOP not in json.dumps(event)


@pytest.mark.parametrize(
    ("last_words", "reason"), [("A supervisor, please.", "customer_request"), ("That would be helpful.", "policy")]
)
def test_reason_is_the_customers_request_only_if_asked_for(last_words: str, reason: str) -> None:
    """A hand-over is the customer's request where the last words ask for a person, else the policy's."""
    handed_over = trajectory([says("user", last_words), calls("transfer_to_human_agents", 1)])
    (event,) = taubench.interactions([handed_over])
    assert event["escalation"] == {"reason": reason, "agent": "airline-agent"}


def test_label_comes_from_the_gold_actions_alone() -> None:
    """Whether a transfer was wanted is the task's gold answer, whatever the agent did."""
    missed = trajectory([says("user", "x ###STOP###")], gold=["transfer_to_human_agents"])
    assert taubench.label(ESCALATED) == taubench.Label("tau-airline-04-1", wanted=True, escalated=True)
    assert taubench.label(missed) == taubench.Label("tau-airline-03-1", wanted=True, escalated=False)
    assert taubench.label(RESOLVED) == taubench.Label("tau-airline-03-1", wanted=False, escalated=False)


def test_command_prints_events_or_labels(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """The command prints one JSON object a line: the events, or with --labels the gold labels."""
    path = tmp_path / "sample.json"
    path.write_text(json.dumps([RESOLVED, ESCALATED]), encoding="utf-8")
    assert taubench.main([str(path)]) == 0
    assert [json.loads(line)["type"] for line in capfdbinary.readouterr().out.splitlines()] == ["interaction"] * 2
    assert taubench.main([str(path), "--labels"]) == 0
    assert [json.loads(line)["wanted"] for line in capfdbinary.readouterr().out.splitlines()] == [False, True]


@pytest.mark.parametrize(
    ("content", "said"), [("{", "is not JSON"), ("{}", "no list"), ('[{"task_id": 1}]', "trajectory 0 has no info")]
)
def test_a_wrong_file_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str
) -> None:
    """A file that holds no trajectories ends the command with an error that says what and where."""
    path = tmp_path / "wrong.json"
    path.write_text(content, encoding="utf-8")
    assert taubench.main([str(path)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "wrong.json" in error
