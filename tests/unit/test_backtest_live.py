"""Live, replay and backtest say the same: the same telemetry, the same ticks, the same words, for each detector."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.registry import DETECTORS
from schemas.base import JsonObject
from schemas.canonical import canonical_json, jsonable
from stream.adapters import Decoder
from stream.assembly import machine_factory, record_limits
from stream.backtest import Config, backtest
from stream.core.fold import Batch, PartitionFold
from stream.core.shards import ShardMap
from stream.core.ticks import MINUTE_MS
from stream.replay import Inboxes, replay
from stream.settings import Settings, load_settings
from tests.support.histories import START, Event, events_of, interaction, settings_of, write_counts

_DIMENSIONS = ("flow", "agent", "budget", "criterion")

Said = tuple[str, str, int, int | None, str]
"""Series, tier, tick from which and tick to which it fired, and the words of its beginning."""


def live(events: Sequence[Event], settings: Settings, partitions: int = 2, batch: int = 997) -> list[Said]:
    """What shards say that are fed by the fold of ingest: source partitions in the order of arrival, in batches."""
    decoder = Decoder(record_limits(settings, by_age=False))
    lateness = int(settings.engine.lateness_seconds * 1000)
    folds = [PartitionFold(lateness, settings.budget_rules()) for _ in range(partitions)]
    shards = ShardMap(settings.engine.shards)
    inboxes: Inboxes = {}
    for first in range(0, len(events), batch):
        gained = Batch()
        for number, fold in enumerate(folds):
            lines = [canonical_json(event) for _, event in events[first : first + batch][number::partitions]]
            decoded = decoder.decode_batch([(line, (), 0) for line in lines])
            assert not decoded.rejections
            fold.add(decoded.events, gained)
        for shard, ticks in gained.spread(shards).items():
            for tick, delta in ticks.items():
                inboxes.setdefault(shard, {}).setdefault(tick, []).append(delta)
    last = max(tick for ticks in inboxes.values() for tick in ticks)
    make = machine_factory(settings)
    outcomes = [outcome for ticks in inboxes.values() for outcome in make().run(ticks, last)]
    return spans(jsonable(firing) for outcome in outcomes for firing in outcome.firings)


def replayed(events: Iterable[Event], settings: Settings, folder: Path) -> list[Said]:
    """What a replay of the events as a file says, whatever the order of its lines."""
    path = folder / "events.jsonl"
    path.write_bytes(b"".join(canonical_json(event) + b"\n" for _, event in events))
    out = io.BytesIO()
    replay([path], settings, out)
    records = map(json.loads, out.getvalue().splitlines())
    return spans(record for record in records if record["record"] == "firing")


def spans(firings: Iterable[JsonObject]) -> list[Said]:
    """Published firings as one record for each tier that was reached."""
    found: dict[str, dict[str, list[Any]]] = {}
    ended: dict[str, int] = {}
    for firing in sorted(firings, key=lambda firing: str(firing["at"])):
        tick = minute_of(firing["at"])
        if firing["status"] == "resolved":
            ended[firing["firing_id"]] = tick
            continue
        series = _named(firing["scope"])
        tiers = found.setdefault(firing["firing_id"], {})
        for tier in ("warning", firing["tier"]):
            tiers.setdefault(tier, [series, tier, tick, firing["summary"]])
    return sorted(
        (series, tier, tick, ended.get(firing_id), summary)
        for firing_id, tiers in found.items()
        for series, tier, tick, summary in tiers.values()
    )


def backtested(detector: str, events: list[Event], settings: Settings, folder: Path) -> list[Said]:
    """What a backtest says of the events, counted by minute in a file."""
    counts = write_counts(detector, events, folder / "counts.csv")
    firings = backtest(counts, None, detector, Config("test", settings.detector_settings()[detector])).to_json()
    return sorted(
        (
            _named(one),
            one["tier"],
            minute_of(one["start"]),
            None if one.get("open") else minute_of(one["end"]),
            one["summary"],
        )
        for one in firings["firings"]
    )


def _named(labels: JsonObject) -> str:
    return "/".join(labels[name] for name in ("environment", "system", *_DIMENSIONS) if labels.get(name))


def minute_of(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "m").astype(int))


def arriving(events: list[Event], most_late_ms: int) -> list[Event]:
    """The events in an order of arrival: each up to `most_late_ms` after its time."""
    rng = np.random.default_rng(5)
    when = [ms + int(rng.integers(0, most_late_ms)) for ms, _ in events]
    return [events[index] for index in np.argsort(when, kind="stable").tolist()]


@pytest.mark.parametrize("detector", list(DETECTORS))
def test_live_replay_and_backtest_fire_at_the_same_ticks(detector: str, tmp_path: Path):
    """Events that come out of order, but not late, give the same firings by each way: from, to, tier and words."""
    settings = load_settings(None, settings_of(detector))
    events = events_of(detector)
    lateness = int(settings.engine.lateness_seconds * 1000)
    said = live(arriving(events, lateness), settings)
    shuffled = [events[index] for index in np.random.default_rng(3).permutation(len(events)).tolist()]
    assert said
    assert any(end is not None for *_, end, _ in said)
    assert replayed(shuffled, settings, tmp_path) == said
    assert backtested(detector, shuffled, settings, tmp_path) == said


def late_history() -> tuple[list[Event], list[Event]]:
    """A steady flow, and escalations of minutes 600 to 605 of it that come once minute 620 is under way."""
    rng = np.random.default_rng(2)
    steady = [
        ((START + minute) * MINUTE_MS + 1000 * number, interaction("s0", "f0", bool(rng.random() < 0.03)))
        for minute in range(720)
        for number in range(5)
    ]
    late = [
        ((START + minute) * MINUTE_MS + 500, interaction("s0", "f0", escalated=True))
        for minute in range(600, 606)
        for _ in range(8)
    ]
    named = [(ms, {"id": f"e{n}", "time": _text(ms)} | event) for n, (ms, event) in enumerate(steady + late)]
    return named[: len(steady)], named[len(steady) :]


def _text(ms: int) -> str:
    return str(np.datetime64(ms, "ms")) + "Z"


def test_late_events_count_in_their_minute_from_the_tick_that_is_open(tmp_path: Path):
    """Live sees late events at the first tick that was not evaluated when they came; files know no lateness."""
    settings = load_settings(None, settings_of("escalation_rate"))
    steady, late = late_history()
    cut = next(index for index, (ms, _) in enumerate(steady) if ms >= (START + 620) * MINUTE_MS) + 1
    said = live([*steady[:cut], *late, *steady[cut:]], settings, partitions=1)
    passed = ((START + 620) * MINUTE_MS - int(settings.engine.lateness_seconds * 1000)) // MINUTE_MS
    assert [(tier, tick) for _, tier, tick, *_ in said] == [("page", passed + 1), ("warning", passed + 1)]
    in_time = replayed([*steady, *late], settings, tmp_path)
    assert backtested("escalation_rate", [*steady, *late], settings, tmp_path) == in_time
    assert all(START + 600 < tick <= START + 606 for _, _, tick, *_ in in_time)
