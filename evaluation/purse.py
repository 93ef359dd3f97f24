"""A purse: one daily budget, what a judgement is expected to take, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from costs.prices import LIST, Called, PriceBook, usd_to_micro
from evaluation.budget import PlaneStore
from evaluation.judgement import Judgement
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import DAY_SECONDS, Budget, Spent

LEARNING = 0.05
"""Weight of each judgement in the expected cost."""


class Purse:
    """Reserves what a judgement should take, settles what it took. Without Redis it lends a small allowance.

    Judgements cost what `prices` says: the contract's prices before the list's. A model without a price is counted, and
    takes tokens alone.

    Attributes:
        expected: tokens and micro-dollars that one interaction took lately.
    """

    def __init__(
        self,
        name: str,
        budget: Budget,
        expected_tokens: int,
        offline_per_hour: int,
        store: PlaneStore,
        metrics: PlaneMetrics,
        wall: Callable[[], float],
        prices: PriceBook = LIST,
    ) -> None:
        self.name = name
        self._prices = prices
        self.budget = budget
        self._tokens, self._micro = float(expected_tokens), 0.0
        self._taken, self._judged = Spent(), 0
        self._store = store
        self._metrics = metrics
        self._wall = wall
        self._offline_per_hour = offline_per_hour
        self._offline = (0, 0)

    @property
    def expected(self) -> Spent:
        """What one interaction is expected to take."""
        return Spent(round(self._tokens), round(self._micro))

    @property
    def day(self) -> int:
        """The UTC day, counted from 1970."""
        return int(self._wall() // DAY_SECONDS)

    async def reserve(self) -> tuple[int, Spent] | None:
        """Take the expected amount out of the day's budget; the day and the amount, or None if it is not there."""
        day, amount = self.day, self.expected
        answer = await self._store.reserve(self.name, day, amount, self.budget)
        if answer is None:
            return (day, Spent()) if self._lends() else None
        return (day, amount) if answer else None

    def _lends(self) -> bool:
        """Whether the allowance for hours without Redis still has something."""
        hour = int(self._wall() // 3600)
        used = self._offline[1] if self._offline[0] == hour else 0
        if used >= self._offline_per_hour:
            return False
        self._offline = (hour, used + 1)
        return True

    async def settle(self, reserved: tuple[int, Spent], judgements: Sequence[Judgement]) -> None:
        """Book what the judgements took, for `show` to learn from."""
        day, amount = reserved
        took = self._cost(judgements)
        await self._store.settle(self.name, day, amount, took)
        if took.tokens:
            self._taken = Spent(self._taken.tokens + took.tokens, self._taken.micro_usd + took.micro_usd)
            self._judged += 1
        self._metrics.tokens.labels(self.name).inc(took.tokens)
        self._metrics.micro_usd.labels(self.name).inc(took.micro_usd / 1e6)

    def _learn(self) -> None:
        """Move what is expected towards the mean of what was taken since; in whatever order that was booked."""
        if not self._judged:
            return
        old = (1 - LEARNING) ** self._judged
        tokens, micro = self._taken.tokens / self._judged, self._taken.micro_usd / self._judged
        self._tokens = tokens + old * (self._tokens - tokens)
        self._micro = micro + old * (self._micro - micro) if self._micro else micro
        self._taken, self._judged = Spent(), 0

    def _cost(self, judgements: Sequence[Judgement]) -> Spent:
        by_model: dict[str, list[int]] = {}
        for one in judgements:
            known = by_model.setdefault(one.model, [0, 0])
            known[0] += one.input_tokens
            known[1] += one.output_tokens
        micro = 0
        for model, (read, written) in by_model.items():
            price = self._prices.micro(Called(model), read, 0, written, self.day) if read or written else 0
            if price is None:
                self._metrics.unpriced.inc()
            micro += price or 0
        return Spent(sum(read + written for read, written in by_model.values()), micro)

    async def show(self) -> Spent | None:
        """What is spent today, also as a metric; None if Redis is away. What it expects from now on is renewed."""
        self._learn()
        spent = await self._store.spent(self.name, self.day)
        if spent is not None:
            for unit, used, limit in (
                ("tokens", spent.tokens, self.budget.tokens),
                ("usd", spent.micro_usd, self.budget.micro_usd),
            ):
                if limit is not None:
                    self._metrics.budget_left.labels(self.name, unit).set(max(0.0, 1 - used / limit))
        return spent


def budget_of(tokens: int | None, usd: float | None) -> Budget:
    """A budget from settings."""
    return Budget(tokens, None if usd is None else usd_to_micro(usd))
