"""Evidence that is not a count: deployments, breaker states, tags, and which scores were counted already.

Beside it the controls, that is silences and acknowledgements (`stream.core.controls`). Exemplars are kept by series,
beside the windows (`stream.core.exemplars`).

Every record has an id or an order of its own, so applying one twice, or two in another order, changes nothing. All of
it is bounded by the named caps; what a cap cuts off is the oldest, and counted in `dropped`. (Of two records with one
id and different content the one applied last stands: the order is that of ticks, and within a tick that of `merge`.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sized
from hashlib import blake2b
from typing import Final, TypeVar

from schemas.events import Deployment
from stream.core.controls import ControlBook
from stream.core.deltas import (
    AcknowledgementRecord,
    BreakerRecord,
    DeploymentRecord,
    Record,
    ScoreRecord,
    SilenceRecord,
    TagsRecord,
)
from stream.core.ticks import MINUTE_MS

DAYS: Final = 28
"""How long deployments, tags and the last word of a breaker are remembered."""
SYSTEMS: Final = 10_000
"""Systems of a shard that can have deployments, breakers or tags."""
DEPLOYMENTS_PER_SYSTEM: Final = 500
BREAKER_HOURS: Final = 48
READINGS_PER_BREAKER: Final = 100
BREAKERS_PER_SYSTEM: Final = 500
BURST_SCORES_PER_SYSTEM: Final = 200
BURST_HOURS: Final = 24
SCORE_IDS: Final = 500_000
SCORE_ID_MINUTES: Final = 2 * 24 * 60
"""How long a score's id is remembered: a score that is repeated later than this counts again."""

SLACK: Final = 2
"""A collection is cut back to its cap when it is this many times over it, and when it is pruned."""

System = tuple[str, str]
BreakerKey = tuple[str, str, str]
Readings = dict[tuple[int, str], BreakerRecord]
_Key = TypeVar("_Key")
_Entries = TypeVar("_Entries", bound=Sized)


class Evidence:
    """The evidence of all systems of one shard."""

    def __init__(self) -> None:
        self.deployments: dict[System, dict[str, DeploymentRecord]] = {}
        self.breakers: dict[System, dict[BreakerKey, Readings]] = {}
        self.tags: dict[System, TagsRecord] = {}
        self.bursts: dict[System, dict[str, ScoreRecord]] = {}
        self.score_ids: dict[str, int] = {}
        self.dropped: Counter[str] = Counter()
        self.controls = ControlBook(self.dropped)
        self._parsed: dict[str, Deployment] = {}

    def apply(self, record: Record) -> None:
        """Take a record in. Scores are counted, if `first_time` says so; those of a burst are kept here instead."""
        match record:
            case DeploymentRecord():
                self._apply_deployment(record)
            case BreakerRecord():
                self._apply_breaker(record)
            case TagsRecord():
                self._apply_tags(record)
            case SilenceRecord() | AcknowledgementRecord():
                self.controls.apply(record)
            case ScoreRecord(purpose="burst"):
                self._apply_burst(record)
            case _:  # scores are counted, exemplars are kept beside the windows of their series
                pass

    def _has_room(self, system: System, known: Mapping[System, object], what: str) -> bool:
        if system in known or len(known) < SYSTEMS:
            return True
        self.dropped[what] += 1
        return False

    def _apply_deployment(self, record: DeploymentRecord) -> None:
        system = (record.environment, record.system)
        if self._has_room(system, self.deployments, "deployment"):
            known = self.deployments.setdefault(system, {})
            known[record.id] = record
            if len(known) > SLACK * DEPLOYMENTS_PER_SYSTEM:
                self.deployments[system] = self._cut_deployments(known, 0)

    def _apply_breaker(self, record: BreakerRecord) -> None:
        system = (record.environment, record.system)
        if self._has_room(system, self.breakers, "breaker"):
            breakers = self.breakers.setdefault(system, {})
            key = (record.dependency, record.breaker, record.instance)
            readings = breakers.setdefault(key, {})
            readings[record.ms, record.id] = record
            if len(readings) > SLACK * READINGS_PER_BREAKER:
                breakers[key] = _newest(readings, READINGS_PER_BREAKER)
            if len(breakers) > SLACK * BREAKERS_PER_SYSTEM:
                self.breakers[system] = self._cut_breakers(breakers)

    def _apply_burst(self, record: ScoreRecord) -> None:
        system = (record.environment, record.system)
        if self._has_room(system, self.bursts, "burst"):
            known = self.bursts.setdefault(system, {})
            known[record.id] = record
            if len(known) > SLACK * BURST_SCORES_PER_SYSTEM:
                self.bursts[system] = self._cut_bursts(known, 0)

    def _cut_bursts(self, known: dict[str, ScoreRecord], oldest_ms: int) -> dict[str, ScoreRecord]:
        kept = sorted((r for r in known.values() if r.ms >= oldest_ms), key=lambda r: (r.ms, r.id))
        self.dropped["burst"] += max(len(kept) - BURST_SCORES_PER_SYSTEM, 0)
        return {r.id: r for r in kept[-BURST_SCORES_PER_SYSTEM:]}

    def _apply_tags(self, record: TagsRecord) -> None:
        system = (record.environment, record.system)
        known = self.tags.get(system)
        if known is None:
            if self._has_room(system, self.tags, "tags"):
                self.tags[system] = record
        elif record.stands_before(known):
            self.tags[system] = record

    def first_time(self, record: ScoreRecord) -> bool:
        """Whether this score was not seen before; it is remembered."""
        identity = f"{record.environment}\x1f{record.system}\x1f{record.id}"
        short = blake2b(identity.encode(), digest_size=9).hexdigest()
        if short in self.score_ids:
            return False
        self.score_ids[short] = record.ms // MINUTE_MS
        return True

    def prune(self, tick: int) -> None:
        """Forget what is older than its window as of `tick`, and what is over a cap, oldest first."""
        oldest = (tick - DAYS * 1440) * MINUTE_MS
        deployments = {system: self._cut_deployments(known, oldest) for system, known in self.deployments.items()}
        self.deployments = _filled(deployments)
        self._prune_breakers(oldest, (tick - BREAKER_HOURS * 60) * MINUTE_MS)
        self.tags = {system: record for system, record in self.tags.items() if record.ms >= oldest}
        oldest_burst = (tick - BURST_HOURS * 60) * MINUTE_MS
        self.bursts = _filled({system: self._cut_bursts(known, oldest_burst) for system, known in self.bursts.items()})
        self._prune_scores(tick)
        self.controls.prune(tick)
        live = {r.body for known in self.deployments.values() for r in known.values()}
        self._parsed = {body: event for body, event in self._parsed.items() if body in live}

    def _cut_deployments(self, known: dict[str, DeploymentRecord], oldest_ms: int) -> dict[str, DeploymentRecord]:
        kept = sorted((r for r in known.values() if r.ms >= oldest_ms), key=lambda r: (r.ms, r.id))
        self.dropped["deployment"] += max(len(kept) - DEPLOYMENTS_PER_SYSTEM, 0)
        return {r.id: r for r in kept[-DEPLOYMENTS_PER_SYSTEM:]}

    def _prune_breakers(self, oldest_ms: int, oldest_reading_ms: int) -> None:
        """A breaker that is silent for hours keeps its last word, for it reports changes; not for ever."""
        for system, breakers in self.breakers.items():
            recent = {
                key: _newest({at: r for at, r in readings.items() if at[0] >= oldest_reading_ms}, READINGS_PER_BREAKER)
                or _newest(readings, 1)
                for key, readings in breakers.items()
                if max(readings)[0] >= oldest_ms
            }
            self.breakers[system] = self._cut_breakers(recent)
        self.breakers = _filled(self.breakers)

    def _cut_breakers(self, breakers: dict[BreakerKey, Readings]) -> dict[BreakerKey, Readings]:
        """Those that spoke last: instances come and go, and their names with them."""
        if len(breakers) <= BREAKERS_PER_SYSTEM:
            return breakers
        self.dropped["breaker"] += len(breakers) - BREAKERS_PER_SYSTEM
        order = sorted(breakers, key=lambda key: (max(breakers[key]), key))
        return {key: breakers[key] for key in order[-BREAKERS_PER_SYSTEM:]}

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
        yield from (self.tags[system] for system in sorted(self.tags))
        yield from self.controls.records()
        for system in sorted(self.bursts):
            yield from (self.bursts[system][key] for key in sorted(self.bursts[system]))


def _newest(readings: Readings, cap: int) -> Readings:
    return {at: readings[at] for at in sorted(readings)[-cap:]}


def _filled(collections: dict[_Key, _Entries]) -> dict[_Key, _Entries]:
    return {key: entries for key, entries in collections.items() if entries}
