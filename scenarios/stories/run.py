"""A story played through the heart: what happened and what was said, minute by minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from scenarios.fleet import Fleet
from scenarios.fleet_model import HOUR_MS
from scenarios.heart import Heart
from scenarios.stories.controls import People, check_controls
from scenarios.stories.delivery import deliver
from scenarios.stories.files import Entry, StoryError
from scenarios.stories.happenings import DependencyFails, Happening, Mutes
from scenarios.stories.model import Story
from scenarios.stories.world import world_of
from schemas.outputs import Firing, Verdict
from stream.adapters import Rejection
from stream.settings import Settings, settings_model

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One tick at which something was said."""

    tick_ms: int
    firings: tuple[Firing, ...]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """A story and everything that was said in it, in the order of ticks."""

    entry: Entry
    moments: tuple[Moment, ...]
    events: int
    ticks: int
    rejections: tuple[Rejection, ...]

    @property
    def firings(self) -> list[Firing]:
        """All firing records."""
        return [firing for moment in self.moments for firing in moment.firings]

    @property
    def verdicts(self) -> list[Verdict]:
        """All verdicts."""
        return [verdict for moment in self.moments for verdict in moment.verdicts]


def run_story(entry: Entry) -> Run:
    """Play a story. Raises StoryError where it names what it does not have, or acknowledges what is not open."""
    story = entry.story
    try:
        _check_times(story)
        world = world_of(story)
        check_controls(story)
    except ValueError as error:
        raise StoryError(entry.path, [str(error)]) from None
    heart = Heart(settings_of(story))
    fleet = Fleet(story.seed, world.systems, world.effects)
    begins, ends = story.begins_ms, story.ends_ms
    for _ in heart.remember(fleet, begins - story.history_days * 24 * HOUR_MS, begins):
        pass  # What was said before the story began is not part of it.
    lines = deliver(story, fleet.events(begins, ends))
    people = People(entry)
    moments: list[Moment] = []
    for outcome in heart.live(lines, begins, ends, people.say):
        people.hear(outcome.verdicts)
        if outcome.firings or outcome.verdicts:
            moments.append(Moment(outcome.tick * MINUTE_MS, outcome.firings, outcome.verdicts))
    return Run(entry, tuple(moments), len(lines), (ends - begins) // MINUTE_MS, tuple(heart.rejections))


def settings_of(story: Story) -> Settings:
    """The default settings, with the story's budgets."""
    budgets = {one.name: {"system": one.system, "amount_usd": one.amount_usd} for one in story.budget}
    return settings_model().model_validate_json(json.dumps({"budgets": budgets}))


def _check_times(story: Story) -> None:
    if story.ends_ms <= story.begins_ms:
        raise ValueError(f"the story ends ({story.ends}) before it begins ({story.begins})")
    for number, happening in enumerate(story.happens, start=1):
        if story.ms(happening.at) >= story.ends_ms:
            raise ValueError(f"happens[{number}] ({happening.what}) is at {happening.at}, after the end ({story.ends})")


def told(story: Story) -> Iterator[tuple[int, str]]:
    """What happens, in order of time: milliseconds since 1970, and a sentence."""
    found: list[tuple[int, str]] = []
    for happening in story.happens:
        place = "/".join(name for name in (happening.system, happening.flow) if name is not None)
        words = f"{place}: {_named(happening, story).words()}" if place else _named(happening, story).words()
        found.append((story.ms(happening.at), words))
        if isinstance(happening, Mutes) and happening.starts is not None:
            found.append((story.ms(happening.starts), f"begins: {words}"))
        until = getattr(happening, "until", None)
        if until is not None:
            found.append((story.ms(until), f"over: {words}"))
    yield from sorted(found)


def _named(happening: Happening, story: Story) -> Happening:
    """The happening with the name of the dependency that it means, where it left that out."""
    if isinstance(happening, DependencyFails) and happening.dependency is None:
        return happening.model_copy(update={"dependency": story.traffic[0].dependency})
    return happening
