"""What a story expects against what was said: one tick or cross for each expectation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scenarios.stories.model import Expect, Fires, Story
from scenarios.stories.run import Run
from schemas.outputs import Firing, Verdict

ONSET_SLACK_MS = 10 * 60_000


@dataclass(frozen=True, slots=True)
class Mark:
    """One expectation: what it is, whether it was met, and what was found."""

    expected: str
    met: bool
    found: str


def judge(run: Run) -> list[Mark]:
    """Every expectation of the story, in its order."""
    story, incidents = run.entry.story, _incidents(run.verdicts)
    marks: list[Mark] = []
    if story.quiet:
        said = [f"{_clock(f.at.timestamp())} {f.detector} {f.tier}: {f.summary}" for f in run.firings]
        marks.append(Mark("nothing fires", not said, "; ".join(said) or "nothing"))
    left = list(incidents)
    for number, expect in enumerate(story.expect, start=1):
        which = f"incident {number}: " if len(story.expect) > 1 else ""
        mine = next((one for one in left if expect.system in (None, one[0].scope.system)), None)
        if mine is not None:
            left.remove(mine)
        marks += [Mark(which + m.expected, m.met, m.found) for m in _judge_one(story, expect, mine, run)]
    if story.expect:
        more = [f"{one[0].scope.system} at {_clock(one[0].decided_at.timestamp())}" for one in left]
        many = "1 incident" if len(story.expect) == 1 else f"{len(story.expect)} incidents"
        found = f"also {', '.join(more)}" if more else f"{len(incidents)}"
        marks.append(Mark(f"{many}, no more", len(incidents) == len(story.expect), found))
    marks += _never(story, run)
    if run.rejections:
        marks.append(Mark("every event can be read", False, run.rejections[0].detail))
    return marks


def _incidents(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """The verdicts of each incident, by revision; incidents in the order of their first."""
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.incident_id, []).append(verdict)
    return list(found.values())


def _judge_one(story: Story, expect: Expect, mine: list[Verdict] | None, run: Run) -> Iterator[Mark]:
    for fires in expect.fires:
        yield _fired(story, fires, expect.system, run.firings)
    if mine is None:
        yield Mark("a verdict", False, "none")
        return
    standing = _standing(story, expect, mine)
    at = f" at {expect.as_of}" if expect.as_of else ""
    if standing is None:
        yield Mark(f"a verdict{at}", False, f"the first at {_clock(mine[0].decided_at.timestamp())}")
        return
    yield from (Mark(f"{m.expected}{at}", m.met, m.found) for m in _answers(expect, standing))
    yield from _course(story, expect, mine)


def _standing(story: Story, expect: Expect, mine: list[Verdict]) -> Verdict | None:
    """The answer that stands at the asked time; the last one before the end, if none is asked for."""
    until = story.ms(expect.as_of) if expect.as_of else story.ends_ms
    spoken = [one for one in mine if one.decided_at.timestamp() * 1000 <= until and one.status != "resolved"]
    return spoken[-1] if spoken else None


def _fired(story: Story, fires: Fires, system: str | None, firings: Iterable[Firing]) -> Mark:
    wanted = {"flow": fires.flow, "agent": fires.agent, "version": fires.version}
    matching = [
        firing
        for firing in firings
        if firing.status == "firing"
        and firing.detector == fires.detector
        and system in (None, firing.scope.system)
        and all(value in (None, getattr(firing.scope, name)) for name, value in wanted.items())
        and fires.tier in (None, firing.tier)
    ]
    about = "".join(f" of {name} {value}" for name, value in wanted.items() if value)
    what = f"{fires.detector}{about} {'fires' if fires.tier is None else fires.tier + 's'} by {fires.by}"
    if not matching:
        return Mark(what, False, "it does not")
    earliest = 0 if fires.not_before is None else story.ms(fires.not_before)
    times = [firing.at.timestamp() for firing in matching]
    at = next((one for one in times if one * 1000 >= earliest), times[-1])
    return Mark(what, earliest <= at * 1000 <= story.ms(fires.by), f"at {_clock(at)}")


def _answers(expect: Expect, verdict: Verdict) -> Iterator[Mark]:
    """What the verdict says, field by field, as far as the story asks."""
    cause = verdict.causes[0]
    probable = verdict.probable_cause.check if verdict.probable_cause else "none"
    for label, wanted, found in (
        ("triage result", expect.triage_result, verdict.triage_result),
        ("action", expect.action, verdict.action),
        ("probable cause", expect.probable_cause, probable),
        ("top cause", expect.top_cause, cause.cause),
        ("severity", expect.severity, verdict.severity),
        ("flow", expect.flow, verdict.scope.flow),
        ("agent", expect.agent, verdict.scope.agent),
    ):
        if wanted is not None:
            yield Mark(f"{label} {wanted}", found == wanted, str(found))
    if expect.at_least_percent is not None:
        sure = f"{cause.probability:.0%} {cause.cause}"
        yield Mark(
            f"at least {expect.at_least_percent:g} % sure", cause.probability * 100 >= expect.at_least_percent, sure
        )
    if expect.recommendation is not None:
        kinds = expect.recommendation if isinstance(expect.recommendation, list) else [expect.recommendation]
        yield Mark(
            f"recommends {' or '.join(kinds)}", verdict.recommendation.kind in kinds, verdict.recommendation.kind
        )
    yield from _details(expect, verdict)


def _details(expect: Expect, verdict: Verdict) -> Iterator[Mark]:
    if expect.roll_back is not None:
        want, target = expect.roll_back, verdict.target
        found = "none" if target is None else f"{target.component} {target.from_version} -> {target.to_version}"
        wanted = f"{want.component} {want.from_version} -> {want.to_version}"
        yield Mark(f"target {wanted}", found == wanted, found)
    for check, reading in expect.findings.items():
        finding = next((one for one in verdict.findings if one.check == check), None)
        found = "no such check" if finding is None else str(finding.evidence.get("reading", finding.status))
        if finding is not None and finding.status != "evaluated":
            found = finding.status
        yield Mark(f"{check} finds {reading}", found == reading, found)
    if expect.says is not None:
        text = f"{verdict.probable_cause.summary if verdict.probable_cause else ''} {verdict.recommendation.reason}"
        yield Mark(f'it says "{expect.says}"', expect.says in text, text.strip())
    if expect.series_at_least is not None:
        seen = len(verdict.related)
        yield Mark(f"it lists {expect.series_at_least} other series or more", seen >= expect.series_at_least, str(seen))
    yield from _controlled(expect, verdict)


def _controlled(expect: Expect, verdict: Verdict) -> Iterator[Mark]:
    """What people, or an earlier incident, have to do with it."""
    muted = verdict.muted.by if verdict.muted else "none"
    acknowledged = verdict.acknowledged.by if verdict.acknowledged else "none"
    for word, wanted, by in (
        ("muted", expect.muted_by, muted),
        ("acknowledged", expect.acknowledged_by, acknowledged),
    ):
        if wanted is not None:
            yield Mark(_by(word, wanted), by == wanted, _by(word, by))
    if expect.inhibited is not None:
        wanted_flows = sorted(expect.inhibited)
        flows = sorted({scope.flow or "no flow" for scope in verdict.inhibited or ()})
        yield Mark(
            f"explains {', '.join(wanted_flows) or 'nothing'}", flows == wanted_flows, ", ".join(flows) or "nothing"
        )


def _by(word: str, who: str) -> str:
    return f"not {word}" if who == "none" else f"{word} by {who}"


def _course(story: Story, expect: Expect, mine: list[Verdict]) -> Iterator[Mark]:
    """How the incident went: its onset, how often it spoke, and its end."""
    if expect.onset_near is not None:
        off = abs(mine[0].onset_at.timestamp() * 1000 - story.ms(expect.onset_near))
        at = _clock(mine[0].onset_at.timestamp())
        yield Mark(f"onset near {expect.onset_near}", off <= ONSET_SLACK_MS, at)
    if expect.revisions_at_most is not None:
        yield Mark(
            f"{expect.revisions_at_most} revisions at most", len(mine) <= expect.revisions_at_most, str(len(mine))
        )
    yield from _heard(story, expect, mine)
    last = mine[-1]
    ended = f"resolved at {_clock(last.decided_at.timestamp())}" if last.status == "resolved" else "open"
    if expect.resolved_by is not None:
        in_time = last.status == "resolved" and last.decided_at.timestamp() * 1000 <= story.ms(expect.resolved_by)
        yield Mark(f"resolved by {expect.resolved_by}", in_time, ended)
    if expect.open_at_end:
        yield Mark("still open at the end", last.status != "resolved", ended)


def _heard(story: Story, expect: Expect, mine: list[Verdict]) -> Iterator[Mark]:
    """Whether and when somebody is paged: by the first verdict that is not muted."""
    first = next((one for one in mine if one.muted is None), None)
    found = "not heard" if first is None else f"{first.status} at {_clock(first.decided_at.timestamp())}"
    if expect.never_heard:
        yield Mark("nobody is paged", first is None, found)
    if expect.heard is not None:
        begins, by = expect.heard.not_before, expect.heard.by
        at = -1.0 if first is None or first.status != "firing" else first.decided_at.timestamp() * 1000
        in_time = (story.ms(begins) if begins else 0) <= at <= story.ms(by)
        yield Mark(f"it is heard {f'not before {begins}, ' if begins else ''}by {by}", in_time, found)


def _never(story: Story, run: Run) -> Iterator[Mark]:
    """What nobody may say, not even for a minute. A resolved verdict repeats the last answer and is passed over."""
    spoken = [verdict for verdict in run.verdicts if verdict.status != "resolved"]
    said: dict[str, list[tuple[float, str]]] = {
        "detector": [(f.at.timestamp(), f.detector) for f in run.firings],
        "tier": [(f.at.timestamp(), f.tier) for f in run.firings],
        "triage_result": [(v.decided_at.timestamp(), v.triage_result) for v in spoken],
        "top_cause": [(v.decided_at.timestamp(), v.causes[0].cause) for v in spoken],
        "recommendation": [(v.decided_at.timestamp(), v.recommendation.kind) for v in spoken],
        "severity": [(v.decided_at.timestamp(), v.severity) for v in spoken],
        "muted_by": [(v.decided_at.timestamp(), v.muted.by) for v in spoken if v.muted],
    }
    for field, words in said.items():
        for unwanted in getattr(story.never, field):
            at = [moment for moment, word in words if word == unwanted]
            found = f"at {_clock(at[0])}" if at else "never"
            yield Mark(f"never {field.replace('_', ' ')} {unwanted}", not at, found)


def _clock(seconds: float) -> str:
    minutes = int(seconds) // 60 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
