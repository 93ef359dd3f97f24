"""A story on the terminal: what happens, what Midwatch notices and finds, a tick or a cross for each expectation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scenarios.stories.files import Entry
from scenarios.stories.judge import Mark
from scenarios.stories.run import Moment, Run, told
from schemas.base import JsonObject
from schemas.canonical import jsonable
from schemas.outputs import Finding, Firing, Scope, Verdict
from schemas.words import MutedBy

WIDTH = 120
_SEVERITY = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_FINDING = {"none": ("·", "dim"), "info": ("i", "cyan"), "warning": ("!", "yellow"), "critical": ("✗", "bold red")}
_MUTED: dict[MutedBy, str] = {
    "silence": "a silence",
    "maintenance": "a maintenance window",
    "inhibition": "an earlier incident that explains it",
}
_TIER = {"page": "bold red", "warning": "yellow"}


def make_console() -> Console:
    """Standard output: as wide as the terminal, up to `WIDTH`, or `WIDTH` where there is none."""
    console = Console()
    return Console(width=min(console.width, WIDTH)) if console.is_terminal else Console(width=WIDTH)


def show_story(console: Console, run: Run, marks: Sequence[Mark]) -> None:
    """The whole story, from its first sentence to its last expectation."""
    console.print(Text.assemble((run.entry.name, "bold"), (f"  {run.entry.group}", "dim")))
    console.print(_indented(Text(run.entry.text), 2))
    console.print(_indented(Text(_setting(run), style="dim"), 2))
    console.print()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for clock, content in _timeline(run):
        grid.add_row(clock, content)
    if grid.row_count:
        console.print(grid)
        console.print()
    show_marks(console, marks)


def show_marks(console: Console, marks: Sequence[Mark]) -> None:
    """The expectations of one story."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_column(style="dim")
    for mark in marks:
        sign = Text("✓", style="green") if mark.met else Text("✗", style="bold red")
        grid.add_row(sign, Text(mark.expected), Text("" if mark.met and mark.found in mark.expected else mark.found))
    console.print(grid)


def show_line(console: Console, entry: Entry, marks: Sequence[Mark], width: int) -> None:
    """One line for a story that was played; what failed goes below it."""
    failed = [mark for mark in marks if not mark.met]
    sign = ("✗", "bold red") if failed else ("✓", "green")
    line = Text.assemble(sign, f"  {entry.name:<{width}}  ", (entry.headline, "dim"))
    console.print(line, no_wrap=True, overflow="ellipsis")
    for mark in failed:
        console.print(Text(f"     expected: {mark.expected}; found: {mark.found}", style="red"))


def show_list(console: Console, entries: Sequence[Entry]) -> None:
    """All stories by group, one line each."""
    width = max((len(entry.name) for entry in entries), default=0)
    for group, members in groupby(entries, key=lambda entry: entry.group):
        console.print(Text(group, style="bold"))
        for entry in members:
            line = Text.assemble(f"  {entry.name:<{width}}  ", (entry.headline, "dim"))
            console.print(line, no_wrap=True, overflow="ellipsis")


def _indented(content: RenderableType, columns: int) -> Padding:
    return Padding(content, (0, 0, 0, columns), expand=False)


def _setting(run: Run) -> str:
    story = run.entry.story
    day = datetime.fromisoformat(story.date).strftime("%A %d %B %Y")
    flows = [f"{one.system}/{one.flow}{f' and {one.flows - 1} more' if one.flows > 1 else ''}" for one in story.traffic]
    rates = ", ".join(
        f"{flow} at {one.per_minute:g} a minute, {one.escalated_percent:g} % to a person"
        for flow, one in zip(flows, story.traffic, strict=True)
    )
    return f"{day}; {story.history_days} days of history; {run.events:,} events. {rates}."


def _timeline(run: Run) -> Iterator[tuple[str, RenderableType]]:
    """Everything in order of time; what happens comes before what is said of it in the same minute."""
    story = run.entry.story
    rows: list[tuple[int, int, RenderableType]] = [
        (at, 0, Text(f"▸ {words}", style="italic cyan")) for at, words in told(story)
    ]
    before: dict[str, Verdict] = {}
    for moment in run.moments:
        rows.append((moment.tick_ms, 1, Group(*_said(moment, before))))
    day = story.ms("00:00")
    for at, _, content in sorted(rows, key=lambda row: row[:2]):
        yield _clock(at, day), content


def _clock(ms: int, day_ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%H:%M}" if 0 <= ms - day_ms < 86_400_000 else f"{moment:%d %b %H:%M}"


def _said(moment: Moment, before: dict[str, Verdict]) -> Iterator[RenderableType]:
    for firing in moment.firings:
        yield _firing(firing)
    for verdict in moment.verdicts:
        yield from _verdict(verdict, before.get(verdict.incident_id))
        before[verdict.incident_id] = verdict


def _firing(firing: Firing) -> Text:
    if firing.status == "resolved":
        return Text(f"○ {firing.detector} of {_where(firing.scope)}: {firing.summary}", style="green")
    return Text.assemble(
        (f"● {firing.tier}", _TIER[firing.tier]), f" {firing.detector} of {_where(firing.scope)}: {firing.summary}"
    )


def _verdict(verdict: Verdict, before: Verdict | None) -> Iterator[RenderableType]:
    """The verdict in plain words. The findings only where they are new: at first, and when the answer changes."""
    if verdict.status == "resolved":
        yield Text("  the incident is over", style="green")
        return
    told_before = before is not None and before.triage_result == verdict.triage_result
    word = "still " if told_before and before is not None and before.severity == verdict.severity else ""
    yield Text.assemble(
        "  ",
        (f"{word}{verdict.severity.upper()}", _SEVERITY[verdict.severity]),
        f": {_answer(verdict)}",
    )
    for note in _notes(verdict):
        yield _indented(Text(note, style="magenta"), 4)
    if not told_before:
        for finding in verdict.findings:
            yield _indented(_finding(finding), 4)
    ranked = ", ".join(f"{one.cause.replace('_', ' ')} {one.probability:.0%}" for one in verdict.causes[:3])
    yield _indented(Text(f"causes: {ranked}", style="dim"), 4)
    yield Padding(
        Text(f"do: {verdict.recommendation.kind}. {verdict.recommendation.reason}"), (0, 0, 0, 4), expand=False
    )


def _notes(verdict: Verdict) -> Iterator[str]:
    """Why nobody is paged, who has it in hand, which symptoms it explains."""
    muted, acknowledged = verdict.muted, verdict.acknowledged
    if muted is not None:
        reason = f": {muted.reason}" if muted.reason else ""
        yield f"muted by {_MUTED[muted.by]}{reason}; nobody is paged"
    if acknowledged is not None:
        yield f"acknowledged by {acknowledged.by}{f': {acknowledged.note}' if acknowledged.note else ''}"
    if verdict.inhibited:
        yield f"explains what fires later: {', '.join(sorted({_where(scope) for scope in verdict.inhibited}))}"


def _answer(verdict: Verdict) -> str:
    if verdict.triage_result == "inconclusive":
        check = verdict.probable_cause.check if verdict.probable_cause else None
        best = f", best explained by {check}" if check else ""
        return f"no check is critical{best} ({verdict.action})"
    return f"{verdict.triage_result} ({verdict.action})"


def _finding(finding: Finding) -> Table:
    sign, style = _FINDING[finding.severity] if finding.status == "evaluated" else ("?", "dim")
    note = "" if finding.status == "evaluated" else f" [{finding.status}]"
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column()
    after = "(after the stop) " if finding.after_stop else ""
    text = Text.assemble((f"{finding.check}{note}: ", "bold"), (f"{after}{finding.summary}", style))
    grid.add_row(Text(sign, style=style), text)
    return grid


def _where(scope: Scope) -> str:
    named = [scope.flow, scope.agent, scope.budget, scope.criterion, scope.version]
    return "/".join([scope.system, *(name for name in named if name is not None)])


def to_json(run: Run, marks: Sequence[Mark]) -> JsonObject:
    """A run for machines."""
    return {
        "name": run.entry.name,
        "group": run.entry.group,
        "passed": all(mark.met for mark in marks),
        "expectations": [{"expected": m.expected, "met": m.met, "found": m.found} for m in marks],
        "happens": [{"at": _rfc(at), "what": words} for at, words in told(run.entry.story)],
        "firings": [jsonable(firing) for firing in run.firings],
        "verdicts": [jsonable(verdict) for verdict in run.verdicts],
    }


def _rfc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
