"""Lua scripts on whichever node holds their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """A script that is sent by its digest, and whole to a server that has not seen it.

    Every node of a cluster has scripts of its own, and one that was promoted a moment ago may have none. A server that
    does not know the digest has run nothing, so to send the text to it is no repetition. redis-py would load the script
    into every master first, which fails while any one of them is down.
    """

    def __init__(self, redis: Redis, text: str) -> None:
        self._redis: Any = redis
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def __call__(self, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it; the first key says where. Raises RedisError."""
        try:
            return await self._redis.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:
            return await self._redis.eval(self._text, len(keys), *keys, *args)
