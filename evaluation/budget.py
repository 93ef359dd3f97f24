"""The plane's memory in Redis: the day's budget, claims of interactions, and the last escalated interactions.

| key | what |
|---|---|
| `{ns:judge}:spent:PURSE:DAY` | hash: tokens and micro-dollars spent or reserved, with expiry |
| `{ns:judge}:wanted:BUCKET` | hash: what the full rates would have spent in ten minutes, with expiry |
| `{ns:judge}:claim:HASH` | the owner while an interaction is judged, its results afterwards, with expiry |
| `{ns:judge}:batch...` | see `evaluation.batch_store` |
| `{ns:judge}:anchors:NAME` | hash: the anchors' first scores, which later rounds are compared with, with expiry |
| `{ns:judge}:recent:HASH` | list: the newest escalated interactions of one system, with expiry |

Redis away is no reason to stop or to spend without limit: every call then answers None at once for some seconds, and
the caller falls back to a small allowance of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from importlib.resources import files
from typing import Any, Final, Literal, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from evaluation.pacing import DAY_SECONDS, Budget, Spent
from stream.redis_scripts import Script

BUCKET_SECONDS: Final = 600
BUDGET_TTL_SECONDS: Final = 3 * DAY_SECONDS
DONE_TTL_SECONDS: Final = 2 * DAY_SECONDS
"""As long as the engine remembers a score's id: within it a repeat changes nothing, and costs nothing."""

REFERENCE_TTL_SECONDS: Final = 366 * DAY_SECONDS
"""How long the anchors' first scores are kept after the last round."""

RECENT_TTL_SECONDS: Final = 2 * 3600
RECENT_PER_SYSTEM: Final = 100
PAUSE_SECONDS: Final = 5.0
"""How long Redis is not asked again after it failed."""

_T = TypeVar("_T")


class PlaneStore:
    """Redis as the plane uses it. Nothing here raises for Redis being away; `up` says whether it answered last."""

    def __init__(self, redis: Redis, namespace: str, owner: str, monotonic: Callable[[], float]) -> None:
        self.up = True
        self._redis = redis
        self._prefix = judge_prefix(namespace)
        self._owner = owner
        self._monotonic = monotonic
        self._retry_at = 0.0
        self._claims = 0
        self._reserve, self._settle = script(redis, "reserve"), script(redis, "settle")
        self._claim, self._keep, self._unclaim = (script(redis, name) for name in ("claim", "keep", "unclaim"))
        self._want, self._remember = script(redis, "want"), script(redis, "remember")
        self._reference = script(redis, "reference")

    async def _ask(self, question: Callable[[], Awaitable[_T]]) -> _T | None:
        if self._monotonic() < self._retry_at:
            return None
        try:
            answer = await question()
        except (RedisError, OSError, TimeoutError):
            self.up, self._retry_at = False, self._monotonic() + PAUSE_SECONDS
            return None
        self.up = True
        return answer

    async def spent(self, purse: str, day: int) -> Spent | None:
        """What a purse has spent on a day (counted from 1970); None if Redis is away."""
        found = await self._ask(lambda: _await(self._redis.hmget(self._purse(purse, day), ["tokens", "micro"])))
        return None if found is None else Spent(*(int(value or 0) for value in found))

    async def reserve(self, purse: str, day: int, amount: Spent, budget: Budget) -> bool | None:
        """Take an amount out of a budget, if it is there; None if Redis is away."""
        limits = [-1 if limit is None else limit for limit in (budget.tokens, budget.micro_usd)]
        arguments = [amount.tokens, amount.micro_usd, *limits, BUDGET_TTL_SECONDS]
        answer = await self._ask(lambda: self._reserve(keys=[self._purse(purse, day)], args=arguments))
        return None if answer is None else bool(answer)

    async def settle(self, purse: str, day: int, reserved: Spent, actual: Spent) -> None:
        """Put what it really took in the place of what was reserved."""
        change = [actual.tokens - reserved.tokens, actual.micro_usd - reserved.micro_usd, BUDGET_TTL_SECONDS]
        await self._ask(lambda: self._settle(keys=[self._purse(purse, day)], args=change))

    async def want(self, now_seconds: float, amount: Spent) -> Spent | None:
        """Add to the demand of all processes; what a day would take at the demand of the last 10 to 20 minutes."""
        bucket = int(now_seconds // BUCKET_SECONDS)
        begun = now_seconds % BUCKET_SECONDS

        keys = [self._wanted(bucket), self._wanted(bucket - 1)]
        arguments = [amount.tokens, amount.micro_usd, 3 * BUCKET_SECONDS]
        found = await self._ask(lambda: self._want(keys=keys, args=arguments))
        if found is None:
            return None
        earlier = [int(value) for value in found[2:]]
        # A start, or a backlog that is read within a minute, is no forecast of the day: ten minutes are the least.
        seconds = BUCKET_SECONDS + (begun if any(earlier) else 0.0)
        tokens, micro = ((now + then) * DAY_SECONDS / seconds for now, then in zip(found[:2], earlier, strict=True))
        return Spent(round(tokens), round(micro))

    def ticket(self) -> bytes:
        """What stands in a claim while it is ours: another one for each claim, so that it is ours alone."""
        self._claims += 1
        return f"owner:{self._owner}-{self._claims}".encode()

    async def claim(self, identity: str, ticket: bytes, lease_ms: int) -> bytes | None:
        """Claim an interaction: empty if it is ours, else who has it or what came of it; None if Redis is away."""
        key = self._key("claim", identity)
        return await self._ask(lambda: self._claim(keys=[key], args=[ticket, lease_ms]))

    async def keep(self, identity: str, ticket: bytes, lease_ms: int) -> None:
        """Hold a claim for so long from now on."""
        key = self._key("claim", identity)
        await self._ask(lambda: self._keep(keys=[key], args=[ticket, lease_ms]))

    async def done(self, identity: str, ticket: bytes, results: bytes) -> None:
        """Put what came of it in the place of the claim; a repeat finds it. `ticket` may be older results."""
        key = self._key("claim", identity)
        if await self._ask(lambda: self._unclaim(keys=[key], args=[ticket, DONE_TTL_SECONDS, results])) == 0:
            # Redis was away when it was begun, or the claim ran out: it may be somebody else's by now.
            await self._ask(lambda: _await(self._redis.set(key, results, nx=True, ex=DONE_TTL_SECONDS)))

    async def release(self, identity: str, ticket: bytes) -> None:
        """Give a claim up, unless it ran out and is somebody else's by now."""
        key = self._key("claim", identity)
        await self._ask(lambda: self._unclaim(keys=[key], args=[ticket, DONE_TTL_SECONDS, b""]))

    async def reference(self, name: str, scores: Mapping[str, float]) -> dict[str, float] | None:
        """Keep the scores of anchors that have none yet, and give all that have; None if Redis is away."""
        key = f"{self._prefix}:anchors:{name}"
        pairs = [part for field, score in scores.items() for part in (field, repr(score))]
        found = await self._ask(lambda: self._reference(keys=[key], args=[REFERENCE_TTL_SECONDS, *pairs]))
        if found is None:
            return None
        return {field.decode(): float(score) for field, score in zip(found[::2], found[1::2], strict=True)}

    async def remember(self, system: str, record: bytes) -> None:
        """Keep an escalated interaction for a burst."""
        arguments = [record, RECENT_PER_SYSTEM, RECENT_TTL_SECONDS]
        await self._ask(lambda: self._remember(keys=[self._key("recent", system)], args=arguments))

    async def recent(self, system: str) -> list[bytes]:
        """The newest escalated interactions of a system, newest first."""
        return await self._ask(lambda: _await(self._redis.lrange(self._key("recent", system), 0, -1))) or []

    def _purse(self, purse: str, day: int) -> str:
        return f"{self._prefix}:spent:{purse}:{day}"

    def _wanted(self, bucket: int) -> str:
        return f"{self._prefix}:wanted:{bucket}"

    def _key(self, kind: Literal["claim", "recent"], identity: str) -> str:
        return _hashed(self._prefix, kind, identity)


def script(redis: Redis, name: str) -> Script:
    """One of the judge's scripts."""
    return Script(redis, files("evaluation").joinpath(f"lua/{name}.lua").read_text(encoding="utf-8"))


def judge_prefix(namespace: str) -> str:
    """What all keys begin with: one hash tag, so that scripts may touch several in a cluster."""
    return f"{{{namespace}:judge}}"


def claim_key(prefix: str, identity: str) -> str:
    """The key of an interaction's claim."""
    return _hashed(prefix, "claim", identity)


def _hashed(prefix: str, kind: str, identity: str) -> str:
    return f"{prefix}:{kind}:{blake2b(identity.encode(), digest_size=16).hexdigest()}"


async def _await(answer: Any) -> Any:
    """redis-py types its answers as awaitable or not; ours always are."""
    return await answer
