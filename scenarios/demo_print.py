"""What the demonstration prints: progress, each verdict as it comes, and the table of expected against found."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scenarios.demo_judge import Judgement
from scenarios.incidents import Expected, Incident
from schemas.outputs import Finding, Scope, Verdict

_SEVERITY_STYLE = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_MARK = {"none": "[dim]-[/]", "info": "[cyan]i[/]", "warning": "[yellow]![/]", "critical": "[bold red]X[/]"}


WIDTH = 120


def make_console() -> Console:
    """Standard output: as wide as the terminal, or `WIDTH` where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def say(console: Console, text: str) -> None:
    """A line of progress, as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_verdict(console: Console, verdict: Verdict) -> None:
    """One verdict as a few lines: when, how grave, where; what fired; what each check found; what to do."""
    style = _SEVERITY_STYLE[verdict.severity]
    head = Text.assemble(
        (f"{verdict.decided_at:%H:%M} ", "bold"),
        (f"{verdict.status} ", "green" if verdict.status == "resolved" else "bold"),
        (verdict.severity.upper(), style),
        f"  {where(verdict.scope)}  ",
        (verdict.triage_result, style),
        f"  ({verdict.incident_id}, revision {verdict.revision})",
    )
    console.print(head, soft_wrap=True)
    if verdict.status == "resolved":
        return
    say(console, f"      {verdict.trigger.detector}: {verdict.trigger.summary}")
    for finding in verdict.findings:
        console.print(f"      {_finding(finding)}", highlight=False, soft_wrap=True)
    console.print(f"      => {escape(what_to_do(verdict))}", highlight=False, style="bold", soft_wrap=True)


def what_to_do(verdict: Verdict) -> str:
    """The recommendation and its target, with the first cause and its probability."""
    said = f"{verdict.action}; {verdict.recommendation.kind}"
    target = verdict.target
    if target is not None and verdict.recommendation.kind == "rollback":
        said += f" {target.component} from {target.from_version} to {target.to_version} ({target.kind})"
    if verdict.causes:
        said += f"; {verdict.causes[0].cause} {verdict.causes[0].probability:.0%}"
    return said


def where(scope: Scope) -> str:
    """The system and the dimension of a scope."""
    dimension = scope.flow or scope.agent or scope.budget
    return scope.system if dimension is None else f"{scope.system}/{dimension}"


def print_story(console: Console, incidents: Sequence[Incident]) -> None:
    """What is going to happen."""
    table = Table("at", "system", "incident", "what happens", title="The incidents", title_justify="left")
    for incident in sorted(incidents, key=lambda one: one.start_ms):
        table.add_row(clock(incident.start_ms), incident.system, incident.name, incident.story)
    console.print(table)


def print_table(console: Console, judgements: Sequence[Judgement]) -> None:
    """Expected against found, a row for each incident."""
    table = Table("incident", "expected", "found", "after", "right", title="Expected and found", title_justify="left")
    for judgement in judgements:
        incident = judgement.incident
        name = "(unexpected)" if incident is None else f"{incident.name}\n[dim]{incident.system}[/]"
        expected = "nothing" if incident is None else _expected(incident.expected)
        after = "" if judgement.detected_minutes is None else f"{judgement.detected_minutes:.0f} min"
        problems = "; ".join(judgement.problems)
        right = f"[bold red]no[/]: {escape(problems)}" if problems else "[green]yes[/]"
        table.add_row(name, expected, _found(judgement), after, right)
    console.print(table)


def clock(time_ms: int) -> str:
    """Hours and minutes, UTC, of a time in milliseconds since 1970."""
    minutes = time_ms // 60_000 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _finding(finding: Finding) -> str:
    mark = _MARK[finding.severity] if finding.status == "evaluated" else f"[dim]{finding.status}[/]"
    after = " [dim](after stop)[/]" if finding.after_stop else ""
    return f"{mark} {finding.check}: {escape(finding.summary)}{after}"


def _expected(expected: Expected | None) -> str:
    if expected is None:
        return "nothing"
    lines = [f"{expected.triage_result}", f"{' or '.join(expected.recommendations)}; {expected.cause}"]
    if expected.rollback is not None:
        lines.append(f"{expected.rollback.from_version} -> {expected.rollback.to_version}")
    return escape("\n".join([*lines, "resolved"]))


def _found(judgement: Judgement) -> str:
    verdict = judgement.found
    if verdict is None:
        return "nothing"
    cause = verdict.causes[0].cause if verdict.causes else "no cause"
    lines = [verdict.triage_result, f"{verdict.recommendation.kind}; {cause}"]
    if verdict.target is not None:
        lines.append(f"{verdict.target.from_version} -> {verdict.target.to_version}")
    return escape("\n".join([*lines, "resolved" if judgement.resolved else "open"]))
