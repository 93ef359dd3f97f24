"""Evidence that is not a count: deployments, breaker states, exemplars, tags, and which scores were already counted.

Every record has an id or an order of its own, so applying one twice, or two in another order, changes nothing. All of
it is bounded by the named caps; what a cap cuts off is the oldest, and counted in `dropped`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from schemas.events import Deployment
from schemas.series import KINDS, SeriesKey
from stream.core.deltas import (
    EXEMPLARS_PER_MINUTE,
    BreakerRecord,
    DeploymentRecord,
    ExemplarRecord,
    Record,
    ScoreRecord,
    TagsRecord,
)
from stream.core.ticks import MINUTE_MS

DEPLOYMENT_DAYS: Final = 28
DEPLOYMENTS_PER_SYSTEM: Final = 500
BREAKER_HOURS: Final = 48
READINGS_PER_BREAKER: Final = 100
BREAKERS_PER_SYSTEM: Final = 500
EXEMPLAR_MINUTES: Final = 120
SCORE_IDS: Final = 500_000
SCORE_ID_MINUTES: Final = 2 * 24 * 60
"""How long a score's id is remembered: a score that is repeated later than this counts again."""

System = tuple[str, str]
BreakerKey = tuple[str, str, str]


class Evidence:
    """The evidence of all systems of one shard."""

    def __init__(self) -> None:
        self.deployments: dict[System, dict[str, DeploymentRecord]] = {}
        self.breakers: dict[System, dict[BreakerKey, dict[tuple[int, str], BreakerRecord]]] = {}
        self.exemplars: dict[SeriesKey, dict[int, list[ExemplarRecord]]] = {}
        self.tags: dict[System, TagsRecord] = {}
        self.score_ids: dict[str, int] = {}
        self.dropped: Counter[str] = Counter()
        self._parsed: dict[str, Deployment] = {}

    def apply(self, record: Record) -> bool:
        """Take a record in. False for a score that was already counted."""
        match record:
            case DeploymentRecord():
                self.deployments.setdefault((record.environment, record.system), {})[record.id] = record
            case BreakerRecord():
                self._apply_breaker(record)
            case ExemplarRecord():
                self._apply_exemplar(record)
            case TagsRecord():
                known = self.tags.get((record.environment, record.system))
                if known is None or (record.ms, record.id, record.tags) > (known.ms, known.id, known.tags):
                    self.tags[record.environment, record.system] = record
            case ScoreRecord():
                return self._first_time(record)
        return True

    def _apply_breaker(self, record: BreakerRecord) -> None:
        breakers = self.breakers.setdefault((record.environment, record.system), {})
        key = (record.dependency, record.breaker, record.instance)
        if key not in breakers and len(breakers) >= BREAKERS_PER_SYSTEM:
            self.dropped["breaker"] += 1
            return
        readings = breakers.setdefault(key, {})
        readings[record.ms, record.id] = record

    def _apply_exemplar(self, record: ExemplarRecord) -> None:
        key = SeriesKey(KINDS[record.kind], record.environment, record.system, record.dims)
        known = self.exemplars.setdefault(key, {}).setdefault(record.minute, [])
        if record not in known:
            known.append(record)
            known.sort(key=lambda r: (r.rank, r.interaction_id))
            del known[EXEMPLARS_PER_MINUTE:]

    def _first_time(self, record: ScoreRecord) -> bool:
        identity = f"{record.environment}\x1f{record.system}\x1f{record.id}"
        short = blake2b(identity.encode(), digest_size=9).hexdigest()
        if short in self.score_ids:
            return False
        self.score_ids[short] = record.ms // MINUTE_MS
        return True

    def prune(self, tick: int) -> None:
        """Forget what is older than its window as of `tick`, and what is over a cap, oldest first."""
        for system, known in self.deployments.items():
            oldest = (tick - DEPLOYMENT_DAYS * 1440) * MINUTE_MS
            kept = sorted((r for r in known.values() if r.ms >= oldest), key=lambda r: (r.ms, r.id))
            self.dropped["deployment"] += max(len(kept) - DEPLOYMENTS_PER_SYSTEM, 0)
            self.deployments[system] = {r.id: r for r in kept[-DEPLOYMENTS_PER_SYSTEM:]}
        for breakers in self.breakers.values():
            for key, readings in breakers.items():
                breakers[key] = _recent_readings(readings, (tick - BREAKER_HOURS * 60) * MINUTE_MS)
        for series in list(self.exemplars):
            minutes = {m: x for m, x in self.exemplars[series].items() if m >= tick - EXEMPLAR_MINUTES}
            if minutes:
                self.exemplars[series] = minutes
            else:
                del self.exemplars[series]
        self._prune_scores(tick)
        live = {r.body for known in self.deployments.values() for r in known.values()}
        self._parsed = {body: event for body, event in self._parsed.items() if body in live}

    def _prune_scores(self, tick: int) -> None:
        kept = {k: m for k, m in self.score_ids.items() if m >= tick - SCORE_ID_MINUTES}
        if len(kept) > SCORE_IDS:
            self.dropped["score_id"] += len(kept) - SCORE_IDS
            kept = dict(sorted(kept.items(), key=lambda item: (-item[1], item[0]))[:SCORE_IDS])
        self.score_ids = kept

    def parse(self, record: DeploymentRecord) -> Deployment:
        """The deployment event of a record."""
        event = self._parsed.get(record.body)
        if event is None:
            event = self._parsed[record.body] = Deployment.model_validate_json(record.body)
        return event

    def records(self) -> Iterable[Record]:
        """Everything but the score ids, as records that `apply` takes back."""
        for system in sorted(self.deployments):
            yield from (self.deployments[system][key] for key in sorted(self.deployments[system]))
        for system in sorted(self.breakers):
            for key in sorted(self.breakers[system]):
                yield from (self.breakers[system][key][at] for at in sorted(self.breakers[system][key]))
        for series in sorted(self.exemplars):
            for minute in sorted(self.exemplars[series]):
                yield from self.exemplars[series][minute]
        yield from (self.tags[system] for system in sorted(self.tags))


def _recent_readings(
    readings: dict[tuple[int, str], BreakerRecord], oldest_ms: int
) -> dict[tuple[int, str], BreakerRecord]:
    order = sorted(readings)
    kept = [at for at in order if at[0] >= oldest_ms] or order[-1:]
    return {at: readings[at] for at in kept[-READINGS_PER_BREAKER:]}
