"""Small histories of events for each detector, and the same counted by minute as a file for a backtest."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.base import JsonObject
from stream.core.ticks import MINUTE_MS, rfc3339

HOUR, DAY = 60, 1440
START: Final = 29_539_200
"""2026-03-01, 00:00 UTC, in minutes."""

Event = tuple[int, JsonObject]
"""Event time in milliseconds, and the event."""


def events_of(detector: str) -> list[Event]:
    """A history in which the detector fires at least once, in the order of event time."""
    made = sorted(_HISTORIES[detector](np.random.default_rng(11)), key=lambda event: event[0])
    return [(ms, {"id": f"e{number}", "time": rfc3339(ms)} | event) for number, (ms, event) in enumerate(made)]


def settings_of(detector: str) -> dict[str, str]:
    """The environment of a configuration in which this detector alone runs."""
    environ = {f"MIDWATCH_DETECTORS__{name.upper()}__ENABLED": "false" for name in _HISTORIES if name != detector}
    environ["MIDWATCH_ENGINE__SHARDS"] = "2"
    if detector == "burn_rate":
        for system in ("s0", "s1"):
            environ[f"MIDWATCH_BUDGETS__{system}__SYSTEM"] = system
            environ[f"MIDWATCH_BUDGETS__{system}__ENVIRONMENT"] = "prod"
            environ[f"MIDWATCH_BUDGETS__{system}__AMOUNT_USD"] = "1700"
    return environ


def write_counts(detector: str, events: list[Event], path: Path) -> Path:
    """The events as the history of a backtest: one row for each series and minute."""
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for ms, event in events:
        dims, amounts = _COUNTED[detector](event)
        key = (rfc3339(ms // MINUTE_MS * MINUTE_MS), event["environment"], event["system"], *dims.values())
        row = rows.setdefault(key, dict.fromkeys(amounts, 0.0))
        for name, amount in amounts.items():
            row[name] += amount
    names = ("time", "environment", "system", *_COUNTED[detector](events[0][1])[0])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, *next(iter(rows.values()))])
        writer.writerows([*key, *row.values()] for key, row in rows.items())
    return path


def _spread(rng: np.random.Generator, minute: int, count: int) -> Iterator[int]:
    """Times of `count` events within a minute."""
    yield from ((START + minute) * MINUTE_MS + rng.integers(0, MINUTE_MS, count)).tolist()


def interaction(system: str, flow: str, escalated: bool) -> JsonObject:
    """One interaction."""
    outcome = "escalated" if escalated else "resolved"
    return {"type": "interaction", "environment": "prod", "system": system, "flow": flow, "outcome": outcome}


def _escalations(rng: np.random.Generator) -> Iterator[Event]:
    """Four flows in two systems: one falls ill, one is new in mid-stream, one is silent for a while."""
    for row in range(4):
        for minute in range(1080):
            if (row == 3 and minute < 610) or (row == 2 and 300 < minute < 700):
                continue
            rate = 0.35 if row == 1 and 700 <= minute < 790 else 0.04
            for ms in _spread(rng, minute, int(rng.poisson(4))):
                yield ms, interaction(f"s{row % 2}", f"f{row}", bool(rng.random() < rate))


def _denials(rng: np.random.Generator) -> Iterator[Event]:
    for row in range(3):
        for minute in range(720):
            rate = 0.5 if row == 1 and 500 <= minute < 540 else 0.001
            for ms in _spread(rng, minute, int(rng.poisson(4))):
                decision = "deny" if rng.random() < rate else "allow"
                named = {"agent": f"a{row}", "action": "read", "decision": decision}
                yield ms, {"type": "authorization", "environment": "prod", "system": f"s{row % 2}"} | named


def _silence(rng: np.random.Generator) -> Iterator[Event]:
    for row in range(2):
        for minute in range(8 * DAY + 6 * HOUR):
            if row == 1 and 8 * DAY <= minute < 8 * DAY + 100:
                continue
            for ms in _spread(rng, minute, int(rng.poisson(0.5))):
                yield ms, interaction(f"s{row}", f"f{row}", escalated=False)


def _scores(rng: np.random.Generator) -> Iterator[Event]:
    for row in range(2):
        for minute in range(6 * DAY):
            mean = 2.6 if row == 1 and 2 * DAY + 600 <= minute < 3 * DAY else 4.2
            for ms in _spread(rng, minute, int(rng.poisson(0.12))):
                score = round(float(np.clip(rng.normal(mean, 0.6), 1, 5)), 2)
                named = {"flow": f"f{row}", "criterion": "tone", "score": score}
                yield ms, {"type": "evaluation", "environment": "prod", "system": f"s{row}"} | named


def _costs(rng: np.random.Generator) -> Iterator[Event]:
    """Over the end of a month, at which what fired in it ends."""
    tokens = {"model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100}
    for row in range(2):
        for minute in range(23 * DAY + 7, 32 * DAY, 15):
            dollars = 6.0 if row == 1 and minute >= 27 * DAY else 2.0
            for ms in _spread(rng, minute, 1):
                cost = round(float(dollars * rng.gamma(8, 1 / 8)), 4)
                yield ms, {"type": "usage", "environment": "prod", "system": f"s{row}", "cost_usd": cost} | tokens


_HISTORIES: Final[Mapping[str, Callable[[np.random.Generator], Iterator[Event]]]] = {
    "escalation_rate": _escalations,
    "authorization_denials": _denials,
    "silence": _silence,
    "evaluation_drop": _scores,
    "burn_rate": _costs,
}


def _flow(event: JsonObject) -> tuple[dict[str, Any], dict[str, float]]:
    escalated = event["outcome"] == "escalated"
    return {"flow": event["flow"]}, {"interactions": 1, "escalations": int(escalated)}


def _agent(event: JsonObject) -> tuple[dict[str, Any], dict[str, float]]:
    return {"agent": event["agent"]}, {"requests": 1, "denials": int(event["decision"] == "deny")}


def _score(event: JsonObject) -> tuple[dict[str, Any], dict[str, float]]:
    score = event["score"]
    dims = {"flow": event["flow"], "criterion": event["criterion"]}
    return dims, {"scores": 1, "score_sum": score, "score_sumsq": score * score}


def _cost(event: JsonObject) -> tuple[dict[str, Any], dict[str, float]]:
    return {"budget": event["system"]}, {"requests": 1, "cost_usd": event["cost_usd"]}


_COUNTED: Final[Mapping[str, Callable[[JsonObject], tuple[dict[str, Any], dict[str, float]]]]] = {
    "escalation_rate": _flow,
    "silence": _flow,
    "authorization_denials": _agent,
    "evaluation_drop": _score,
    "burn_rate": _cost,
}
