"""The verifier: what was found against what must be there. Pure, so that it can be tried on forged results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from benchmarks.chaos.recount import Place, Window

SHOWN = 5
"""Examples of what is wrong that a check names."""


@dataclass(frozen=True, slots=True)
class Check:
    """One demand: its number, what it may be at most (or must be at least), and whether it holds."""

    demand: str
    found: float
    wanted: str
    ok: bool
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the verifier looks at.

    Attributes:
        wanted_said: bodies by id, of the golden run.
        wanted_windows: counts, of the recount from the topics.
        poison: places of the records that bear the mark of poison.
        rejected: places of the records that the decoder refuses, in the recount.
        said: bodies by id, each with how often it stands on the topics.
        windows: counts, as Redis holds them.
        letters: places that dead letters name, each with how often.
    """

    wanted_said: Mapping[str, bytes]
    wanted_windows: Mapping[Window, int]
    poison: AbstractSet[Place]
    rejected: AbstractSet[Place]
    said: Mapping[str, Counter[bytes]]
    windows: Mapping[Window, int]
    letters: Counter[Place] = field(default_factory=Counter)


def none_of(demand: str, wrong: list[str]) -> Check:
    """A demand that holds if there is nothing wrong."""
    return Check(demand, len(wrong), "0", not wrong, tuple(wrong[:SHOWN]))


def at_least(demand: str, found: float, wanted: float) -> Check:
    """A demand for a number."""
    return Check(demand, found, f">= {wanted:,}", found >= wanted)


def checks(evidence: Evidence) -> list[Check]:
    """Promises 1, 2 and 5, as numbers that must be zero."""
    miscounted, wrong = _miscounted(evidence)
    found = [Check("events miscounted", miscounted, "0", not miscounted, tuple(wrong[:SHOWN]))]
    lost = sorted(evidence.wanted_said.keys() - evidence.said.keys())
    found.append(none_of("verdicts lost", [one for one in lost if _is_verdict(one)]))
    found.append(none_of("firings lost", [one for one in lost if not _is_verdict(one)]))
    found.append(none_of("ids with two bodies", sorted(i for i, bodies in evidence.said.items() if len(bodies) > 1)))
    found.append(none_of("bodies with two ids", _two_ids(evidence)))
    found.append(none_of("said and not in the golden run", sorted(evidence.said.keys() - evidence.wanted_said.keys())))
    found.append(none_of("other bytes than in the golden run", _other_bytes(evidence)))
    found.append(none_of("poison without a dead letter", _places(evidence.poison - evidence.letters.keys())))
    found.append(none_of("dead letters that are no poison", _places(evidence.letters.keys() - evidence.poison)))
    found.append(none_of("poison that the recount reads", _places(evidence.poison ^ evidence.rejected)))
    return found


def _miscounted(evidence: Evidence) -> tuple[int, list[str]]:
    """By how much all counters are wrong together, and where."""
    total, wrong = 0, []
    for place in sorted(evidence.windows.keys() | evidence.wanted_windows.keys()):
        have, want = evidence.windows.get(place, 0), evidence.wanted_windows.get(place, 0)
        if have != want:
            total += abs(have - want)
            wrong.append(f"{'/'.join(map(str, place))}: {have} instead of {want}")
    return total, wrong


def _is_verdict(identity: str) -> bool:
    return "/" not in identity


def _two_ids(evidence: Evidence) -> list[str]:
    """Verdicts that say the same thing under two ids."""
    ids: dict[str, set[str]] = {}
    for identity, bodies in evidence.said.items():
        if _is_verdict(identity):
            for body in bodies:
                ids.setdefault(_said_of(json.loads(body)), set()).add(identity)
    return sorted(" and ".join(sorted(found)) for found in ids.values() if len(found) > 1)


def _said_of(verdict: dict[str, Any]) -> str:
    """What a verdict is about, whatever ids it bears: this and the moment make it one statement."""
    about = {name: verdict.get(name) for name in ("scope", "decided_at", "status")}
    trigger = verdict.get("trigger") or {}
    return json.dumps({**about, "detector": trigger.get("detector")}, sort_keys=True)


def _other_bytes(evidence: Evidence) -> list[str]:
    return sorted(
        identity
        for identity, bodies in evidence.said.items()
        if identity in evidence.wanted_said and bodies.keys() != {evidence.wanted_said[identity]}
    )


def _places(places: AbstractSet[Place]) -> list[str]:
    return [f"{topic}/{partition}/{offset}" for topic, partition, offset in sorted(places)]
