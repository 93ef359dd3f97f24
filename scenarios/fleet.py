"""A simulated fleet of AI agents: its telemetry in event-time order, the same for the same seed.

Every hour of every flow has its own random stream, seeded by (seed, system, flow, hour), so that any stretch of time
can be made without the one before it. Nothing here reads a clock.

    fleet = Fleet(seed=7, happenings={"refunds": (MoreTraffic(...),)})
    for time_ms, event in fleet.events(start_ms, end_ms):
        ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec
import numpy as np

from scenarios.fleet_events import Emitted, hour_events
from scenarios.fleet_model import HOUR_MS, Effect, Flow, System, Unheard, of_kind
from scenarios.fleet_operations import breaker_events, rollout_events
from scenarios.fleet_systems import FLEET
from scenarios.fleet_traffic import Traffic, draw
from schemas.base import JsonObject

_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(event: JsonObject) -> bytes:
    """The canonical JSON of an event, several times faster than `schemas.canonical` (a test holds them equal)."""
    return _ENCODER.encode(event)


class Fleet:
    """The fleet of `systems` under `happenings` (effects by name of the system).

    Without `with_scores` no scores come, and every interaction carries its texts, so that a judge can score it.
    Raises ValueError where the happenings name a system that is not in the fleet.
    """

    def __init__(
        self,
        seed: int = 1,
        systems: Sequence[System] = FLEET,
        happenings: Mapping[str, tuple[Effect, ...]] | None = None,
        *,
        with_scores: bool = True,
    ) -> None:
        self.seed = seed
        self.with_scores = with_scores
        self.systems = tuple(systems)
        self._effects = dict(happenings or {})
        unknown = sorted(set(self._effects) - {system.name for system in self.systems})
        if unknown:
            known = ", ".join(system.name for system in self.systems)
            raise ValueError(f"no system {', '.join(unknown)} in the fleet; there are {known}")

    def events(self, start_ms: int, end_ms: int) -> Iterator[Emitted]:
        """All events from `start_ms` up to `end_ms`, by time; those of the same millisecond by type and id."""
        operations = [emitted for system in self.systems for emitted in self._rollouts(system)]
        for hour in range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS)):
            events = [emitted for emitted in operations if emitted.time_ms // HOUR_MS == hour]
            for system in self.systems:
                events += self._hour(system, hour)
            events.sort(key=_order)
            yield from (emitted for emitted in events if start_ms <= emitted.time_ms < end_ms)

    def operations(self, start_ms: int, end_ms: int) -> Iterator[Emitted]:
        """The events of rollouts and breakers alone, by time: what a history in counts does not hold."""
        events = [emitted for system in self.systems for emitted in self._rollouts(system)]
        for hour in range(start_ms // HOUR_MS, -(-end_ms // HOUR_MS)):
            for system in self.systems:
                effects = self.effects(system)
                events += _heard(effects, breaker_events(system, effects, hour))
        yield from sorted((one for one in events if start_ms <= one.time_ms < end_ms), key=_order)

    def effects(self, system: System) -> tuple[Effect, ...]:
        """What happens to a system."""
        return self._effects.get(system.name, ())

    def traffic(self, system: System, flow: Flow, hour: int) -> Traffic:
        """One hour of a flow's interactions; the hour alone seeds it."""
        index, number = self.systems.index(system), system.flows.index(flow)
        rng = np.random.default_rng([self.seed, index, number, hour])
        return draw(system, flow, self.effects(system), hour, rng)

    def _hour(self, system: System, hour: int) -> Iterator[Emitted]:
        effects = self.effects(system)
        yield from _heard(effects, breaker_events(system, effects, hour))
        for flow in system.flows:
            traffic = self.traffic(system, flow, hour)
            yield from _heard(effects, hour_events(system, flow, effects, hour, traffic, with_scores=self.with_scores))

    def _rollouts(self, system: System) -> Iterator[Emitted]:
        effects = self.effects(system)
        for flow in system.flows:
            yield from _heard(effects, rollout_events(system, flow, effects))


def _heard(effects: tuple[Effect, ...], events: Iterable[Emitted]) -> Iterator[Emitted]:
    """The events that come: all but those of types that are unheard at their time."""
    deaf = of_kind(effects, Unheard)
    for emitted in events:
        if not any(
            emitted.event["type"] in one.types and one.period.start_ms <= emitted.time_ms < one.period.end_ms
            for one in deaf
        ):
            yield emitted


_TYPE_AND_ID = itemgetter("type", "id")


def _order(emitted: Emitted) -> tuple[int, tuple[str, str]]:
    return emitted.time_ms, _TYPE_AND_ID(emitted.event)
