"""The words that go to people: the plain sentence first, bounded, without anything a chat or a terminal would obey."""

from __future__ import annotations

from typing import Final

from schemas.base import format_time
from schemas.outputs import Verdict
from stream.sinks.base import Step
from stream.sinks.course import differences
from stream.verdicts_text import answer_lines, place, printable

_HARMLESS: Final = str.maketrans({"@": "＠", "<": "‹", ">": "›", "`": "ˋ"})
"""What chats take for mentions, links and code: names come from telemetry."""


_IN_SENTENCE: Final = ("because: ", "do: ", "target: ")


def clip(text: str, length: int) -> str:
    """`text`, or its beginning and an ellipsis, in `length` characters at most."""
    return text if len(text) <= length else text[: max(length - 3, 0)] + "..."[:length]


def headline(verdict: Verdict, length: int = 250) -> str:
    """One line: where, and what was seen."""
    return clip(printable(f"{place(verdict.scope)}: {verdict.trigger.summary}"), length)


def sentence(verdict: Verdict) -> str:
    """What it means and what to do, in one sentence."""
    advice = verdict.recommendation
    cause = verdict.probable_cause
    why = f"Most likely {cause.check}: {cause.summary}. " if cause is not None else "No cause found. "
    approval = ", needs approval" if advice.requires_approval else ""
    todo = f"Do: {advice.kind} ({advice.confidence:.0%} sure{approval}, until {format_time(advice.not_after)})"
    if verdict.target is not None:
        back = f" to {verdict.target.to_version}" if verdict.target.to_version is not None else ""
        todo += f", {verdict.target.component} {verdict.target.from_version}{back}"
    return printable(f"{why}{todo}.")


def details(verdict: Verdict) -> str:
    """The findings and the causes, a line each; the rest of the answer is the sentence's."""
    lines = (line.strip() for line in answer_lines(verdict))
    return "\n".join(printable(line) for line in lines if not line.startswith(_IN_SENTENCE))


def message(step: Step, length: int) -> tuple[str, str]:
    """Title and body for a chat or a mail: an opening says all, a revision only what changed."""
    verdict, kinds = step.verdict, step.kinds
    where = harmless(place(verdict.scope))
    lines: list[str]
    if "ended" in kinds:
        title = f"RESOLVED {where}"
        lines = [f"It is over; it began {format_time(verdict.onset_at)}. The answer was {verdict.triage_result}."]
    elif "muted" in kinds and verdict.muted is not None:
        title = f"MUTED {where}"
        reason = f": {verdict.muted.reason}" if verdict.muted.reason else ""
        lines = [harmless(f"It goes on, but nobody is to be paged ({verdict.muted.by} {verdict.muted.id}{reason}).")]
    elif "opened" in kinds:
        title = f"{verdict.severity.upper()} {where}"
        lines = [harmless(verdict.trigger.summary), harmless(sentence(verdict)), harmless(details(verdict))]
    else:
        title = f"UPDATE {where}"
        known = step.before.verdict if step.before is not None else None
        lines = [harmless(line) for line in (differences(known, verdict) if known is not None else [])]
    if "acknowledged" in kinds and verdict.acknowledged is not None:
        note = f": {verdict.acknowledged.note}" if verdict.acknowledged.note else ""
        lines.insert(0, harmless(f"{verdict.acknowledged.by} has it in hand{note}."))
    if "released" in kinds:
        lines.insert(0, "Nobody has it in hand any more.")
    tail = f"\n{step.link}" if step.link is not None else f"\n{verdict.incident_id}"
    return clip(title, 200), clip("\n".join(lines), length - len(tail)) + tail


def harmless(text: str) -> str:
    """Text that no chat takes for a mention, a link or markup."""
    return "\n".join(printable(line) for line in text.splitlines()).translate(_HARMLESS)
