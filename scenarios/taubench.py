"""tau-bench trajectories as Midwatch interactions: real conversations of a GPT-4o airline agent.

Source: `historical_trajectories/gpt-4o-airline.json` of sierra-research/tau-bench (MIT). Each trajectory becomes one
interaction: the tool calls are its steps, the words of both sides are the texts for the judge, and calling
`transfer_to_human_agents` is an escalation. The gold actions of the task say whether a transfer was wanted, which is
a true label for `escalation_appropriateness`.

What the file does not say is decided here, the same way in every run:

- Times. One interaction ends each minute from the moment that the agent's policy calls now; one message takes a second.
- Outcome. A conversation that the customer ended is `resolved`, whether or not the benchmark rewarded it: production
  telemetry does not know the gold answer. One that was cut off at the turn limit is `abandoned`.
- Reason of an escalation. `customer_request` if the customer's last words ask for a person, else `policy`.

Command line: `python -m scenarios.taubench FILE > events.jsonl`, with `--labels` for the labels instead, with
`--labelled` for both in the form that `midwatch evaluate calibrate` takes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.base import MAX_TEXT, JsonObject, format_time
from schemas.canonical import canonical_json

TRANSFER = "transfer_to_human_agents"
"""The tool whose call hands the customer to a human."""

STOP = "###STOP###"
"""What the simulated customer says when done."""

POLICY_NOW = datetime(2024, 5, 15, 20, 0, tzinfo=UTC)
"""The moment that the agent's policy calls now, 2024-05-15 15:00 EST."""

MESSAGE_MS = 1_000
_ASKS_FOR_PERSON = re.compile(r"\b(human|agent|person|someone|supervisor|transfer|connect|escalat\w*)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Label:
    """The gold answer for one interaction: whether handing it to a human was wanted, and whether that was done."""

    interaction_id: str
    wanted: bool
    escalated: bool


def load(path: Path) -> list[JsonObject]:
    """The trajectories of a file. Raises ValueError with the file and the position of what is not a trajectory."""
    try:
        trajectories = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(trajectories, list):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not the type of an argument
            f"{path} holds no list of trajectories; expected tau-bench's historical_trajectories format"
        )
    for index, trajectory in enumerate(trajectories):
        missing = sorted({"task_id", "trial", "traj", "info"} - set(trajectory))
        if missing:
            raise ValueError(f"{path}: trajectory {index} has no {', '.join(missing)}")
    return trajectories


def interactions(trajectories: Iterable[JsonObject]) -> Iterator[JsonObject]:
    """One valid `interaction` event for each trajectory, in their order, a minute apart."""
    for index, trajectory in enumerate(trajectories):
        yield interaction(trajectory, POLICY_NOW + timedelta(minutes=index))


def interaction(trajectory: JsonObject, ended: datetime) -> JsonObject:
    """The event of one trajectory that ended at `ended`."""
    messages: Sequence[JsonObject] = trajectory["traj"]
    event: JsonObject = {
        "type": "interaction",
        "id": interaction_id(trajectory),
        "time": format_time(ended),
        "environment": "benchmark",
        "system": "tau-airline",
        "flow": "airline-support",
        "model": "gpt-4o",
        "outcome": outcome(messages),
        "duration_ms": MESSAGE_MS * len(messages),
        "steps": list(_steps(messages)),
        "request": _clip("\n".join(_said(messages, "user"))),
        "response": _clip("\n".join(_said(messages, "assistant"))),
        "context": _clip(_transcript(messages)),
    }
    if event["outcome"] == "escalated":
        event["escalation"] = {"reason": _reason(messages), "agent": "airline-agent"}
    return event


def interaction_id(trajectory: JsonObject) -> str:
    """The id of a trajectory's interaction: task and trial name it."""
    return f"tau-airline-{trajectory['task_id']:02d}-{trajectory['trial']}"


def outcome(messages: Sequence[JsonObject]) -> str:
    """`escalated`, `resolved` or `abandoned`, as the module says."""
    if any(_calls(message, TRANSFER) for message in messages):
        return "escalated"
    return "resolved" if STOP in (messages[-1].get("content") or "") else "abandoned"


def label(trajectory: JsonObject) -> Label:
    """The gold label: a transfer was wanted if it is among the task's gold actions."""
    wanted = any(action["name"] == TRANSFER for action in trajectory["info"]["task"]["actions"])
    return Label(interaction_id(trajectory), wanted, outcome(trajectory["traj"]) == "escalated")


def labelled(trajectories: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """Each interaction with its label for `escalation_appropriateness`: 5 for what was wanted, 1 for the opposite."""
    for event, gold in zip(interactions(trajectories), map(label, trajectories), strict=True):
        right = gold.wanted == gold.escalated
        yield {"interaction": event, "labels": {"escalation_appropriateness": 5 if right else 1}}


def _steps(messages: Sequence[JsonObject]) -> Iterator[JsonObject]:
    """The tool calls. A tool that answered with an error is a step with status `error`."""
    for position, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            answer = _answer(messages[position + 1 :], call["id"])
            yield {
                "agent": "airline-agent",
                "operation": "execute_tool",
                "name": call["function"]["name"],
                "start_ms": MESSAGE_MS * position,
                "duration_ms": MESSAGE_MS,
                "status": "error" if answer.startswith("Error") else "ok",
            }


def _answer(later: Sequence[JsonObject], call_id: str) -> str:
    """The first answer to a call. Ids of calls do come twice in a conversation, so the next one is the right one."""
    return next((message["content"] or "" for message in later if message.get("tool_call_id") == call_id), "")


def _calls(message: JsonObject, tool: str) -> bool:
    return any(call["function"]["name"] == tool for call in message.get("tool_calls") or ())


def _said(messages: Sequence[JsonObject], role: str) -> Iterator[str]:
    for message in messages:
        text = (message.get("content") or "").replace(STOP, "").strip()
        if message["role"] == role and text:
            yield text


def _reason(messages: Sequence[JsonObject]) -> str:
    position = next(index for index, message in enumerate(messages) if _calls(message, TRANSFER))
    last_words = list(_said(messages[:position], "user"))[-1:]
    return "customer_request" if any(map(_ASKS_FOR_PERSON.search, last_words)) else "policy"


def _transcript(messages: Sequence[JsonObject]) -> str:
    """The whole conversation with the policy in front and the tools' answers in place: what a judge has to know."""
    return "\n".join(_line(message) for message in messages)


def _line(message: JsonObject) -> str:
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls") or ()]
    return f"{message['role']}: {' '.join([message.get('content') or '', *calls]).replace(STOP, '').strip()}"


def _clip(text: str) -> str:
    return text[:MAX_TEXT]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the events, or the labels, one JSON object a line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scenarios.taubench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path, help="historical_trajectories/gpt-4o-airline.json of tau-bench")
    parser.add_argument("--labels", action="store_true", help="print the gold labels instead of the events")
    parser.add_argument("--labelled", action="store_true", help="print events with labels for evaluate calibrate")
    options = parser.parse_args(arguments)
    try:
        trajectories = load(options.file)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    lines: Iterable[Any] = interactions(trajectories)
    if options.labels:
        lines = (
            {"interaction_id": gold.interaction_id, "wanted": gold.wanted, "escalated": gold.escalated}
            for gold in map(label, trajectories)
        )
    if options.labelled:
        lines = labelled(trajectories)
    for line in lines:
        sys.stdout.buffer.write(canonical_json(line) + b"\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
