"""Copies of what the page shows: text and Markdown for the incident channel, CSV for a spreadsheet. Pure.

Names come from telemetry. In text control characters are gone; in Markdown what would be markup, a link or a mention is
escaped; in CSV a cell that a spreadsheet would take for a formula is made text (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dashboard.views import CostsView, IncidentView, QualityView
from schemas.base import format_time
from stream.verdicts_text import printable

_MARKUP: Final = re.compile(r"([\\`*_\[\]<>#|~&])")
_LINK: Final = re.compile(r"(?i)(?<=[a-z]):(?=//)|(?<=www)\.|@")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_text(view: IncidentView, link: str | None) -> str:
    """The incident in plain text."""
    return "\n".join(printable(line) for line in _lines(view, link)) + "\n"


def _lines(view: IncidentView, link: str | None) -> Iterator[str]:
    card, verdict = view.card, view.verdict
    yield f"{card.severity.upper()}: {card.headline} ({card.state})"
    yield card.sentence
    yield f"Do: {card.advice}. {view.recommendation.reason}"
    yield f"Since {format_time(card.onset_at)}; verdict {card.revision} of {format_time(card.decided_at)}."
    yield "Runbook:"
    for step in view.chain:
        mark = "->" if step.decided else "  "
        said = step.finding.summary if step.finding is not None else step.why or "no answer"
        yield f" {mark} {step.order}. {step.check}: {said}"
    if verdict.causes:
        yield "Causes: " + ", ".join(f"{one.cause} {one.probability:.0%}" for one in verdict.causes[:3])
    for action in view.actions[-5:]:
        yield f"{format_time(action.at)} {action.by}: {action.what}{f' ({action.detail})' if action.detail else ''}"
    if view.narration is not None:
        yield f"Summary by a model, not checked by a person: {view.narration}"
    yield f"Incident {card.incident_id}{f': {link}' if link else ''}"


def as_markdown(view: IncidentView, link: str | None) -> str:
    """The incident in Markdown."""
    card, verdict = view.card, view.verdict
    lines = [
        f"**{card.severity.upper()}: {markdown(card.headline)}** ({card.state})",
        "",
        markdown(card.sentence),
        "",
        f"**Do:** {markdown(card.advice)}. {markdown(view.recommendation.reason)}",
        "",
    ]
    for step in view.chain:
        said = step.finding.summary if step.finding is not None else step.why or "no answer"
        check = markdown(step.check)
        lines.append(f"{step.order}. {f'**{check}**' if step.decided else check}: {markdown(said)}")
    lines.append("")
    if verdict.causes:
        ranked = ", ".join(f"{one.cause} {one.probability:.0%}" for one in verdict.causes[:3])
        lines += [f"Causes: {markdown(ranked)}", ""]
    if view.narration is not None:
        lines += [f"_Summary by a model, not checked by a person:_ {markdown(view.narration)}", ""]
    since = f"Since {format_time(card.onset_at)}, verdict {card.revision} of {format_time(card.decided_at)}"
    lines.append(f"{markdown(since)}: {f'<{link}>' if link else markdown(card.incident_id)}")
    return "\n".join(lines) + "\n"


def markdown(text: str) -> str:
    """A text that a Markdown reader shows as it is."""
    # A space of no width keeps a reader from making links and mentions out of names.
    broken = _LINK.sub(lambda found: f"{found[0]}\u200b", printable(text))
    return _MARKUP.sub(r"\\\1", broken)


def quality_csv(view: QualityView) -> str:
    """The table of scores."""
    names = ("flow", "version", "criterion", "mean", "low", "high", "scores", "method")
    return _csv(names, ([getattr(row, name) for name in names] for row in view.rows))


def costs_csv(view: CostsView) -> str:
    """The spend by the chosen tag."""
    names = ("value", "cost_usd", "share", "tokens", "unpriced")
    return _csv((view.tag, *names[1:]), ([getattr(row, name) for name in names] for row in view.rows))


def _csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([cell(name) for name in names])
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def cell(value: object) -> object:
    """A value as a spreadsheet must take it: numbers as they are, texts never as a formula."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
