"""A client of the master that sentinels name at the moment."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel

from stream.redis_urls import DEFAULT_PORTS, addresses, database
from stream.settings_redis import RedisSettings


class MasterRedis(Redis):
    """The master; every new connection asks the sentinels first. It closes them with itself."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close the connections to the master and to the sentinels."""
        await super().aclose(close_connection_pool)
        await self.asked.aclose()

    @property
    def asked(self) -> Sentinel:
        """The sentinels that are asked."""
        found: Any = self.connection_pool
        sentinel: Sentinel = found.sentinel_manager
        return sentinel


def sentinel_client(settings: RedisSettings, options: dict[str, Any]) -> Redis:
    """A client for `redis.sentinel_master`; `options` are those of every data node, TLS counts for both."""
    own = {"username": settings.sentinel_username, "password": secret(settings.sentinel_password)}
    asked = addresses(settings.url, DEFAULT_PORTS["sentinel"])
    sentinel = Sentinel(asked, sentinel_kwargs={**options, **own}, **options)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(
        str(settings.sentinel_master), redis_class=MasterRedis, db=database(settings.url)
    )
    return client


def secret(value: SecretStr | None) -> str | None:
    """What a client takes."""
    return value.get_secret_value() if value is not None else None
