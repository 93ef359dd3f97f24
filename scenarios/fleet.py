"""A simulated fleet of AI agents: its telemetry in event-time order, the same for the same seed.

Every hour of every flow has its own random stream, seeded by (seed, system, flow, hour), so that any stretch of time
can be made without the one before it. Nothing here reads a clock.

    fleet = Fleet(seed=7, happenings={"refunds": (MoreTraffic(...),)})
    for time_ms, event in fleet.events(start_ms, end_ms):
        ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

import msgspec
import numpy as np

from scenarios.fleet_events import Emitted, hour_events
from scenarios.fleet_model import HOUR_MS, Effect, System
from scenarios.fleet_operations import breaker_events, rollout_events
from scenarios.fleet_systems import FLEET
from scenarios.fleet_traffic import draw
from schemas.base import JsonObject

_ENCODER = msgspec.json.Encoder(order="sorted")


def encode(event: JsonObject) -> bytes:
    """The canonical JSON of an event, several times faster than `schemas.canonical` (a test holds them equal)."""
    return _ENCODER.encode(event)


class Fleet:
    """The fleet of `systems` under `happenings` (effects by name of the system).

    Raises ValueError where the happenings name a system that is not in the fleet.
    """

    def __init__(
        self,
        seed: int = 1,
        systems: Sequence[System] = FLEET,
        happenings: Mapping[str, tuple[Effect, ...]] | None = None,
    ) -> None:
        self.seed = seed
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
            for index, system in enumerate(self.systems):
                events += self._hour(index, system, hour)
            events.sort(key=_order)
            yield from (emitted for emitted in events if start_ms <= emitted.time_ms < end_ms)

    def _hour(self, index: int, system: System, hour: int) -> Iterator[Emitted]:
        effects = self._effects.get(system.name, ())
        yield from breaker_events(system, effects, hour)
        for number, flow in enumerate(system.flows):
            rng = np.random.default_rng([self.seed, index, number, hour])
            yield from hour_events(system, flow, effects, hour, draw(system, flow, effects, hour, rng))

    def _rollouts(self, system: System) -> Iterator[Emitted]:
        for flow in system.flows:
            yield from rollout_events(system, flow, self._effects.get(system.name, ()))


_TYPE_AND_ID = itemgetter("type", "id")


def _order(emitted: Emitted) -> tuple[int, tuple[str, str]]:
    return emitted.time_ms, _TYPE_AND_ID(emitted.event)
