"""All detectors by name, and how a configuration becomes detectors.

A third party adds a detector by an entry point of the group `midwatch.detectors`: its name is the name under which it
is configured, its value a class with a `Settings` model and a constructor that takes one, as the classes below have.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Final, Protocol

from pydantic import ValidationError

from detectors.authorization_denials import AuthorizationDenials
from detectors.base import Detector
from detectors.burn_rate import BurnRate
from detectors.escalation_rate import EscalationRate
from detectors.evaluation_drop import EvaluationDrop, EvaluationDropByVersion, EvaluationDropSettings
from detectors.settings import DetectorSettings
from detectors.silence import Silence
from schemas.words import DetectorName

ENTRY_POINTS: Final = "midwatch.detectors"


class DetectorClass(Protocol):
    """What the registry holds: a class that makes a detector of its settings."""

    @property
    def Settings(self) -> type[DetectorSettings]:  # noqa: N802 - it is a class.
        """The model of its settings; the defaults run."""
        ...

    def __call__(self, settings: Any = None) -> Detector:
        """The detector with these settings, or with the defaults."""
        ...


DETECTORS: Final[dict[DetectorName, DetectorClass]] = {
    "escalation_rate": EscalationRate,
    "authorization_denials": AuthorizationDenials,
    "burn_rate": BurnRate,
    "evaluation_drop": EvaluationDrop,
    "silence": Silence,
}


class DetectorSettingsError(ValueError):
    """Settings that no detector can be made of; the message has one line for each problem."""


def available() -> dict[str, DetectorClass]:
    """The built-in detectors and those of installed packages. A built-in name cannot be taken over."""
    found: dict[str, DetectorClass] = {str(name): detector for name, detector in DETECTORS.items()}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        if point.name in found:
            raise DetectorSettingsError(f"detectors.{point.name}: the name is taken; rename that entry point")
        found[point.name] = point.load()
    return found


def build(settings: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Detector, ...]:
    """The enabled detectors, in order of the registry; those without settings run on their defaults.

    Raises DetectorSettingsError that lists every unknown name, unknown setting and bad value at once.
    """
    wanted, classes = settings or {}, available()
    known = ", ".join(classes)
    problems = [f"detectors.{name}: no such detector; there are {known}" for name in wanted if name not in classes]
    detectors: list[Detector] = []
    for name, detector in classes.items():
        try:
            parsed = detector.Settings.model_validate(dict(wanted.get(name, {})))
        except ValidationError as error:
            problems += [_problem(name, dict(detail)) for detail in error.errors()]
            continue
        if parsed.enabled:
            detectors += _parts(detector, parsed)
    if problems:
        raise DetectorSettingsError("\n".join(problems))
    return tuple(detectors)


def _parts(detector: DetectorClass, settings: DetectorSettings) -> list[Detector]:
    """One detector, and for scores the one that looks at versions beside it."""
    parts = [detector(settings)]
    if isinstance(settings, EvaluationDropSettings) and settings.by_version:
        parts.append(EvaluationDropByVersion(settings))
    return parts


def _problem(name: str, error: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in ("detectors", name, *error["loc"]))
    return f"{path}: {error['msg']}"
