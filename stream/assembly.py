"""From settings to the parts of the pure heart, the same for live running, replay and simulation."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from detectors.base import Detector
from detectors.registry import build
from schemas.outputs import Engine
from stream.adapters import Limits as RecordLimits
from stream.core.machine import Limits, ShardMachine
from stream.settings import Settings
from triage.chain import Guard, run_guarded
from triage.registry import build as build_checks
from triage.settings import TriageSettings


def engine_of(settings: Settings) -> Engine:
    """Which engine speaks: the installed version and the hash of what shapes its answers."""
    try:
        installed = version("midwatch")
    except PackageNotFoundError:
        installed = "unpackaged"
    return Engine(version=installed, config_hash=settings.config_hash())


def detectors_of(settings: Settings) -> tuple[Detector, ...]:
    """The detectors that are switched on, with their settings; budgets come from the `[budgets]` section."""
    return build(settings.detector_settings())


def machine_factory(settings: Settings, guard: Guard = run_guarded) -> Callable[[], ShardMachine]:
    """Makes fresh machines for shards."""
    engine = engine_of(settings)
    triage = TriageSettings.model_validate(settings.triage.model_dump())
    checks = build_checks(triage)
    limits = Limits(settings.engine.max_series_per_kind, settings.otlp.limits())

    def make() -> ShardMachine:
        return ShardMachine(detectors_of(settings), triage, engine, limits, guard, checks)

    return make


def record_limits(settings: Settings, *, by_age: bool = True) -> RecordLimits:
    """What a record may be; without `by_age`, whatever its time (replay of old files)."""
    engine = settings.engine
    return RecordLimits(
        max_bytes=settings.limits.max_record_bytes,
        max_depth=settings.limits.max_depth,
        max_future_ms=engine.max_future_seconds * 1000 if by_age else None,
        max_age_ms=engine.max_age_days * 86_400_000 if by_age else None,
    )
