"""Evaluation scores and costs while they come in: a line every few simulated minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from costs.prices import price_micro
from scenarios.demo_print import clock
from scenarios.fleet_events import Emitted
from scenarios.fleet_model import MINUTE_MS
from schemas.base import JsonObject
from schemas.series import MICRO_USD, SCORE_UNIT, rate_of, stratum_of
from triage.estimates import Stratum, estimate, interval

EVERY_MINUTES = 20
DAY_MS = 86_400_000


class Board:
    """Means of the scores by criterion, weighted back for their sampling rates, and the dollars of all model calls."""

    def __init__(self, start_ms: int, show: Callable[[str], None], judge: Callable[[], str]) -> None:
        self._show = show
        self._judge = judge
        self._start_ms = self._next_ms = start_ms
        self._next_ms += EVERY_MINUTES * MINUTE_MS
        self._sums: dict[tuple[str, int], list[int]] = {}
        self._micro_usd = 0

    def take(self, events: Iterable[Emitted]) -> None:
        """Count events, in the order of their time, and show the lines that are due."""
        for emitted in events:
            while emitted.time_ms >= self._next_ms:
                self._show(self.line())
                self._show(f"{clock(self._next_ms)} {self._judge()}")
                self._next_ms += EVERY_MINUTES * MINUTE_MS
            if emitted.event["type"] == "evaluation":
                self._score(emitted.event)
            elif emitted.event["type"] == "usage":
                self._cost(emitted.event, emitted.time_ms)

    def line(self) -> str:
        """The means with their 95 % intervals, and what was spent since the start."""
        parts = []
        for criterion in sorted({criterion for criterion, _ in self._sums}):
            strata = [
                Stratum(rate_of(stratum), *sums) for (name, stratum), sums in self._sums.items() if name == criterion
            ]
            found = estimate(strata)
            bounds = interval(found)
            spread = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds is not None else ""
            parts.append(f"{criterion} {found.mean:.2f}{spread} of {found.count:,}")
        scores = ", ".join(parts) or "none yet"
        since = f"since {clock(self._start_ms)}"
        dollars = f"${self._micro_usd / MICRO_USD:,.2f}"
        return f"{clock(self._next_ms)} Scores {since}: {scores}; models' list price {dollars}"

    def _score(self, event: JsonObject) -> None:
        rate = (event.get("sampling") or {}).get("rate", 1.0)
        score = round(event["score"] * SCORE_UNIT)
        sums = self._sums.setdefault((event["criterion"], stratum_of(rate)), [0, 0, 0])
        for index, amount in enumerate((1, score, score * score)):
            sums[index] += amount

    def _cost(self, event: JsonObject, time_ms: int) -> None:
        if event.get("pricing") != "ptu":  # provisioned units cost the same whether they are used or not
            tokens = (event["input_tokens"], event.get("cached_input_tokens", 0), event["output_tokens"])
            self._micro_usd += price_micro(event["model"], event.get("provider"), *tokens, time_ms // DAY_MS) or 0
