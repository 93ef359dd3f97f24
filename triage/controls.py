"""What humans have told the engine, as of one tick: silences that are active, acknowledgements of incidents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.controls import ANY
from schemas.outputs import Acknowledged, Firing
from schemas.words import SilenceKind


@dataclass(frozen=True, slots=True)
class ActiveSilence:
    """A silence or a maintenance window that is in force. A matcher that is None takes everything."""

    id: str
    kind: SilenceKind
    environment: str
    system: str
    flow: str | None
    agent: str | None
    budget: str | None
    detector: str | None
    ends_ms: int
    reason: str

    def reaches(self, environment: str, system: str) -> bool:
        """Whether it is about this system at all."""
        return self.environment in (ANY, environment) and self.system in (ANY, system)

    def covers(self, firing: Firing) -> bool:
        """Whether nobody is to be paged for this firing."""
        scope = firing.scope
        return (
            self.reaches(scope.environment, scope.system)
            and self.flow in (None, scope.flow)
            and self.agent in (None, scope.agent)
            and self.budget in (None, scope.budget)
            and self.detector in (None, firing.detector)
        )


@dataclass(frozen=True, slots=True)
class Controls:
    """Active silences in order of their ids, and by incident who has it in hand (None where that was withdrawn)."""

    silences: tuple[ActiveSilence, ...] = ()
    acknowledged: Mapping[str, Acknowledged | None] = field(default_factory=dict)


NO_CONTROLS = Controls()
