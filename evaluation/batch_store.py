"""What is known of batches, in Redis, so that any process on any machine can go on with one.

| key | what |
|---|---|
| `{ns:judge}:batches` | hash: each batch by its name, as JSON: plan, state, the provider's id, what came of it |
| `{ns:judge}:batch:NAME` | hash: each interaction by its number, as JSON, without its texts; with expiry |
| `{ns:judge}:claim:HASH` | `batch:NAME` for each interaction of a batch that is out, its results afterwards |

A batch is `preparing` while it is uploaded, `out` once the provider has it, then `collected`, or `failed` where none of
it came to anything. Unlike the live plane nothing here goes on without Redis: it raises RedisError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from redis.asyncio import Redis

from evaluation.budget import BUDGET_TTL_SECONDS, DONE_TTL_SECONDS, claim_key, judge_prefix, script
from evaluation.pacing import DAY_SECONDS, Budget, Spent

State: TypeAlias = Literal["preparing", "out", "collected", "failed"]

CLAIM_TTL_SECONDS: Final = 4 * DAY_SECONDS
"""Providers promise a day; Azure lets a batch take longer. Then an interaction may be judged live after all."""

ROWS_TTL_SECONDS: Final = 30 * DAY_SECONDS
"""As long as providers keep result files: so long a batch can be collected again."""

MOST_KEPT: Final = 200
"""Batches that are remembered after they have ended; the oldest are forgotten."""

AT_ONCE: Final = 500
PURSE: Final = "batch"


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch. Times are seconds since 1970; `plan` is what `evaluation.batch_plan` makes of it."""

    name: str
    state: State
    created: float
    plan: Mapping[str, Any]
    interactions: int
    day: int
    reserved: Spent
    provider_id: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether something is still to come."""
        return self.state in ("preparing", "out")


class BatchStore:
    """Batches, their interactions, claims and budget."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        self._redis: Any = redis
        self._prefix = judge_prefix(namespace)
        self._reserve, self._unclaim = script(redis, "reserve"), script(redis, "unclaim")
        self._claims, self._close = script(redis, "claims"), script(redis, "close")

    async def batches(self) -> list[Batch]:
        """All that are remembered, oldest first."""
        found = [_read(value) for value in await self._redis.hvals(self._all)]
        return sorted(found, key=lambda batch: (batch.created, batch.name))

    async def save(self, batch: Batch) -> Batch:
        """Keep a batch as it is now."""
        await self._redis.hset(self._all, batch.name, json.dumps(asdict(batch)))
        return batch

    async def begin(self, batch: Batch, rows: Sequence[bytes]) -> None:
        """Remember a batch and its interactions before the provider hears of it."""
        ended = [one.name for one in await self.batches() if not one.open][: -MOST_KEPT or None]
        if ended:
            await self._redis.hdel(self._all, *ended)
        for start in range(0, len(rows), AT_ONCE):
            part = {str(start + index): row for index, row in enumerate(rows[start : start + AT_ONCE])}
            await self._redis.hset(self._rows(batch.name), mapping=part)
        await self._redis.expire(self._rows(batch.name), ROWS_TTL_SECONDS)
        await self.save(batch)

    async def rows(self, name: str) -> dict[int, bytes]:
        """The interactions of a batch by their number; empty once they have expired."""
        found = await self._redis.hgetall(self._rows(name))
        return {int(number): row for number, row in sorted(found.items(), key=lambda pair: int(pair[0]))}

    async def claim(self, name: str, identities: Sequence[str]) -> list[bool]:
        """Claim interactions for a batch; which of them are its now. The others were judged, or are being judged."""
        mine: list[bool] = []
        for start in range(0, len(identities), AT_ONCE):
            keys = [claim_key(self._prefix, identity) for identity in identities[start : start + AT_ONCE]]
            mine.extend(map(bool, await self._claims(keys=keys, args=[_owner(name), CLAIM_TTL_SECONDS])))
        return mine

    async def settle_claims(self, name: str, results: Mapping[str, bytes | None]) -> None:
        """Put results in the place of a batch's claims; give up those without. Others' claims are left alone."""
        items = list(results.items())
        for start in range(0, len(items), AT_ONCE):
            part = items[start : start + AT_ONCE]
            keys = [claim_key(self._prefix, identity) for identity, _ in part]
            await self._unclaim(keys=keys, args=[_owner(name), DONE_TTL_SECONDS, *(found or b"" for _, found in part)])

    async def spent(self, day: int) -> Spent:
        """What batches of a day have spent or reserved."""
        found = await self._redis.hmget(self._purse(day), ["tokens", "micro"])
        return Spent(*(int(value or 0) for value in found))

    async def reserve(self, day: int, amount: Spent, budget: Budget) -> bool:
        """Take an amount out of a day's budget, if it is there."""
        limits = [-1 if limit is None else limit for limit in (budget.tokens, budget.micro_usd)]
        arguments = [amount.tokens, amount.micro_usd, *limits, BUDGET_TTL_SECONDS]
        return bool(await self._reserve(keys=[self._purse(day)], args=arguments))

    async def close(self, batch: Batch, state: State, took: Spent, result: Mapping[str, Any]) -> Batch:
        """End a batch: what it took goes in the place of what was reserved, once, however often it is ended."""
        ended = replace(batch, state=state, result=result)
        change = [took.tokens - batch.reserved.tokens, took.micro_usd - batch.reserved.micro_usd, BUDGET_TTL_SECONDS]
        arguments = [batch.name, json.dumps(asdict(ended)), int(batch.open), *change]
        await self._close(keys=[self._all, self._purse(batch.day)], args=arguments)
        return ended

    async def lock(self, name: str, owner: str, seconds: int) -> bool:
        """Keep others from collecting the same batch meanwhile."""
        return bool(await self._redis.set(f"{self._rows(name)}:lock", owner, nx=True, ex=seconds))

    async def unlock(self, name: str, owner: str) -> None:
        """Let others."""
        await self._unclaim(keys=[f"{self._rows(name)}:lock"], args=[owner, 1, b""])

    @property
    def _all(self) -> str:
        return f"{self._prefix}:batches"

    def _rows(self, name: str) -> str:
        return f"{self._prefix}:batch:{name}"

    def _purse(self, day: int) -> str:
        return f"{self._prefix}:spent:{PURSE}:{day}"


def _owner(name: str) -> str:
    return f"batch:{name}"


def _read(value: bytes) -> Batch:
    plain = json.loads(value)
    return Batch(**{**plain, "reserved": Spent(**plain["reserved"])})
