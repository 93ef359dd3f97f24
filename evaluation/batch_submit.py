"""Begin a batch: draw, claim, reserve, remember, upload, begin. In this order, so that whatever breaks can be undone.

Until the provider has said that it began, everything can be given back. If its answer to that is lost, the batch stays
`preparing`, and is looked for by its name the next time that batches are collected: it is never begun twice.
"""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from evaluation.anchors import wanted
from evaluation.batch_plan import Plan, anchor_name, interaction_name
from evaluation.batch_price import BatchPrice
from evaluation.batch_provider import BatchError, LookedInVain, Provider
from evaluation.batch_sample import BatchSample, Chosen, Room, total_cost
from evaluation.batch_store import Batch, BatchStore
from evaluation.pacing import Budget, Spent
from evaluation.plane import as_json, model_of, sampling_of
from evaluation.prompt import has_text
from evaluation.sampling import Kind, draw_of, kind_of
from schemas.canonical import canonical_json
from stream.adapters.native import Interaction

MOST_BYTES: Final = 190_000_000
"""Providers take files of 200 MB."""

MOST_REQUESTS: Final = 50_000
"""And 50,000 requests in each."""

ANCHOR_BYTES: Final = 1_000_000
"""Room that is left for the anchors."""

TEXTS: Final = frozenset({"request", "response", "context", "steps"})
"""What is not kept of an interaction while its batch is out."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """One interaction that may be chosen: what is kept of it, and its request."""

    row: dict[str, Any]
    body: bytes


@dataclass
class Draw:
    """Takes interactions and says what a batch of them would be."""

    plan: Plan
    price: BatchPrice
    rates: dict[Kind, float]
    most: int
    day: int
    seen: Counter[str] = field(default_factory=Counter)
    """Interactions read, by how they ended."""
    without_text: int = 0

    def __post_init__(self) -> None:
        requests = min(self.most * self.plan.samples, MOST_REQUESTS - len(self.plan.anchors()) * self.plan.samples)
        self.sample: BatchSample[Drawing] = BatchSample(self.rates, Room(MOST_BYTES - ANCHOR_BYTES, requests))

    def take(self, event: Interaction) -> None:
        """One interaction."""
        kind = kind_of(event)
        self.seen[kind] += 1
        draw = draw_of(event.environment, event.system, event.id)
        if not self.sample.wants(draw, kind):
            return
        model = model_of(event)
        if not has_text(model):
            self.without_text += 1
            return
        body = self.plan.body(model, self.plan.criteria)
        row = {name: value for name, value in as_json(event).items() if name not in TEXTS}
        size = self.plan.size(body, self.cost(body, len(self.plan.criteria)))
        self.sample.offer(identity_of(event), draw, kind, Drawing(row, body), size)

    def cost(self, body: bytes, criteria: int) -> Spent:
        """What judging one interaction or anchor is expected to cost."""
        read, written = self.plan.expected(body, criteria)
        return Spent(read + written, self.price.micro(read, written, self.day) or 0)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was begun, or would be; `batch` is None where there was nothing to begin."""

    batch: Batch | None
    factor: float
    chosen: int
    judged_before: int
    expected: Spent
    priced: bool


def identity_of(event: Interaction) -> str:
    """What claims go by, the live plane's, too."""
    return f"{event.environment}\x1f{event.system}\x1f{event.id}"


class Submission:
    """Begins a batch out of what was drawn."""

    def __init__(self, store: BatchStore, provider: Provider | None, budget: Budget, wall: Callable[[], float]) -> None:
        self._store = store
        self._provider = provider
        self._budget = budget
        self._wall = wall

    async def __call__(self, draw: Draw) -> Submitted:
        """Begin; without a provider only say what would be. Raises `BatchError`, RedisError."""
        plan, day = draw.plan, draw.day
        anchors = {anchor_name(one): plan.body(one.interaction(), wanted(one, plan.criteria)) for one in plan.anchors()}
        extra = _sum(draw.cost(body, len(plan.criteria)) for body in anchors.values())
        factor, chosen = draw.sample.choose(_less(self._budget, await self._store.spent(day), extra))
        priced = draw.price.micro(1_000_000, 0, day) is not None
        if self._provider is None or not chosen:
            cost = _sum([total_cost(chosen), extra]) if chosen else Spent()
            return Submitted(None, factor, len(chosen), 0, cost, priced)
        name = f"bat_{secrets.token_hex(8)}"
        claimed = await self._store.claim(name, [one.identity for one in chosen])
        mine = [one for one, is_mine in zip(chosen, claimed, strict=True) if is_mine]
        before = len(chosen) - len(mine)
        if not mine:
            return Submitted(None, factor, 0, before, Spent(), priced)
        cost = _sum([total_cost(mine), extra])
        batch = Batch(name, "preparing", self._wall(), plan.to_json(), len(mine), day, cost)
        batch = await self._begun(batch, mine, anchors, plan, self._provider)
        return Submitted(batch, factor, len(mine), before, cost, priced)

    async def _begun(
        self,
        batch: Batch,
        mine: Sequence[Chosen[Drawing]],
        anchors: Mapping[str, bytes],
        plan: Plan,
        provider: Provider,
    ) -> Batch:
        """The batch once the provider has it; what went before is undone where it does not come to that."""
        reserved = False
        try:
            await self._reserve(batch)
            reserved = True
            rows = [_row(one) for one in mine]
            await self._store.begin(batch, rows)
            with tempfile.TemporaryFile(prefix="midwatch-batch-") as file:
                for name, body in _bodies(mine, anchors):
                    file.writelines(plan.lines(name, body))
                file.seek(0)
                file_id = await provider.upload(file)
        except BaseException as error:
            await self._undo(batch, mine, reserved=reserved, why=str(error))
            raise
        try:
            provider_id = await provider.begin(file_id, plan.endpoint, batch.name)
        except BatchError as error:
            provider_id = await self._found(batch, mine, provider, error, file_id)
        return await self._store.save(replace(batch, state="out", provider_id=provider_id))

    async def _reserve(self, batch: Batch) -> None:
        if not await self._store.reserve(batch.day, batch.reserved, self._budget):
            raise BatchError("another batch took what was left of the day's budget: begin again")

    async def _found(
        self, batch: Batch, mine: Sequence[Chosen[Drawing]], provider: Provider, error: BatchError, file_id: str
    ) -> str:
        """The provider's id after all, where it had begun and its answer was lost. Raises `BatchError`."""
        try:
            return await provider.find(batch.name)
        except LookedInVain:
            await self._undo(batch, mine, reserved=True, why=str(error))
            await provider.forget(file_id)
            raise error from None
        except BatchError:
            raise BatchError(
                f"{error}; whether batch {batch.name} was begun is not known: `midwatch evaluate batch collect` looks "
                "for it, and gives its interactions and its budget back if it was not"
            ) from error

    async def _undo(self, batch: Batch, mine: Sequence[Chosen[Drawing]], *, reserved: bool, why: str) -> None:
        await self._store.settle_claims(batch.name, {one.identity: None for one in mine})
        if reserved:
            await self._store.close(batch, "failed", Spent(), {"why": why})


def _row(one: Chosen[Drawing]) -> bytes:
    return canonical_json({"event": one.item.row, "sampling": sampling_of(one.drawn)})


def _bodies(mine: Sequence[Chosen[Drawing]], anchors: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for number, one in enumerate(mine):
        yield interaction_name(number), one.item.body
    yield from anchors.items()


def _sum(costs: Iterable[Spent]) -> Spent:
    every = list(costs)
    return Spent(sum(cost.tokens for cost in every), sum(cost.micro_usd for cost in every))


def _less(budget: Budget, spent: Spent, extra: Spent) -> Budget:
    """What is left of a budget for interactions."""
    return Budget(
        None if budget.tokens is None else max(budget.tokens - spent.tokens - extra.tokens, 0),
        None if budget.micro_usd is None else max(budget.micro_usd - spent.micro_usd - extra.micro_usd, 0),
    )
