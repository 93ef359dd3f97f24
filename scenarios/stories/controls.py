"""What people tell the engine in a story: silences, maintenance windows, acknowledgements, as events of their topic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from scenarios.fleet_model import ENVIRONMENT
from scenarios.stories import happenings as h
from scenarios.stories.files import Entry, StoryError
from scenarios.stories.model import Story
from schemas.canonical import canonical_json
from schemas.controls import ANY, LONGEST, Acknowledgement, Silence
from schemas.outputs import Verdict
from stream.core.ticks import MINUTE_MS, datetime_of

Said = h.Mutes | h.Acknowledgement


class People:
    """The people of a story. They read every verdict, and say what the story makes them say."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._open: dict[str, Verdict] = {}
        """The last verdict of each incident that is not over."""
        numbered = [(number, one) for number, one in enumerate(entry.story.happens, start=1) if isinstance(one, Said)]
        self._left = sorted(numbered, key=lambda item: entry.story.ms(item[1].at))

    def hear(self, verdicts: Iterable[Verdict]) -> None:
        """Read what was said at a tick."""
        for verdict in verdicts:
            if verdict.status == "resolved":
                self._open.pop(verdict.incident_id, None)
            else:
                self._open[verdict.incident_id] = verdict

    def say(self, tick: int) -> list[bytes]:
        """The controls that `tick` is the first to see. Raises StoryError for an acknowledgement of nothing."""
        said: list[bytes] = []
        while self._left and self._entry.story.ms(self._left[0][1].at) // MINUTE_MS < tick:
            number, one = self._left.pop(0)
            name = f"{self._entry.name}-{number}"
            if isinstance(one, h.Mutes):
                said.append(canonical_json(_silence(name, one, self._entry.story)))
            else:
                about = self._meant(number, one)
                said.append(canonical_json(_acknowledgement(name, one, about, self._entry.story)))
        return said

    def _meant(self, number: int, one: h.Acknowledgement) -> Verdict:
        """The incident that is meant: the one that is open there."""
        found = [
            verdict
            for verdict in self._open.values()
            if one.system in (None, verdict.scope.system) and one.flow in (None, verdict.scope.flow)
        ]
        if len(found) == 1:
            return found[0]
        where = "/".join(name for name in (one.system, one.flow) if name is not None)
        problem = f"no incident{f' of {where}' if where else ''} is open"
        if found:
            open_ones = ", ".join(f"{v.scope.system}/{v.scope.flow or v.trigger.detector}" for v in found)
            problem = f"{len(found)} incidents are open ({open_ones}); name the system or the flow"
        raise StoryError(self._entry.path, [f"happens[{number}] (acknowledgement): at {one.at} {problem}"])


def check_controls(story: Story) -> None:
    """Raises ValueError where a silence covers no time, too long a time, or what the story does not have."""
    agents = {part.agent for part in story.traffic}
    budgets = {part.name for part in story.budget}
    for number, one in enumerate(story.happens, start=1):
        if not isinstance(one, h.Mutes):
            continue
        place = f"happens[{number}] ({one.what})"
        for word, name, known in (("agent", one.agent, agents), ("budget", one.budget, budgets)):
            if name is not None and name not in known:
                there = f"there are {', '.join(sorted(known))}" if known else "there is none"
                raise ValueError(f"{place}: there is no {word} {name}; {there}")
        begins = one.starts or one.at
        if story.ms(one.until) <= max(story.ms(one.at), story.ms(begins)):
            raise ValueError(f"{place}: it ends ({one.until}) before it begins ({begins})")
        if timedelta(milliseconds=story.ms(one.until) - story.ms(one.at)) > LONGEST:
            raise ValueError(f"{place}: it ends more than {LONGEST.days} days after it was made ({one.at})")


def _silence(name: str, one: h.Mutes, story: Story) -> Silence:
    return Silence(
        id=name,
        time=datetime_of(story.ms(one.at)),
        environment=ENVIRONMENT,
        system=one.system or ANY,
        flow=one.flow,
        agent=one.agent,
        budget=one.budget,
        detector=one.detector,
        starts_at=datetime_of(story.ms(one.starts or one.at)),
        ends_at=datetime_of(story.ms(one.until)),
        kind="maintenance" if isinstance(one, h.MaintenanceWindow) else "silence",
        reason=one.reason,
        created_by="story",
    )


def _acknowledgement(name: str, one: h.Acknowledgement, about: Verdict, story: Story) -> Acknowledgement:
    return Acknowledgement(
        id=name,
        time=datetime_of(story.ms(one.at)),
        environment=about.scope.environment,
        system=about.scope.system,
        incident_id=about.incident_id,
        by=one.by,
        note=one.note,
        withdrawn=one.withdrawn,
    )
