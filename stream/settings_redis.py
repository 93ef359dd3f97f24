"""The section `redis`: where the state is, and by which of Redis's three ways of running."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.words import DEFAULT_NAMESPACE
from stream.redis_urls import addresses, database
from stream.settings_sections import Seconds, Section


class RedisSettings(Section):
    """The Redis that holds offsets, inboxes, checkpoints and leases."""

    mode: Literal["single", "cluster", "sentinel"] = Field(
        "single", description="single: one server. cluster: a Redis Cluster. sentinel: a master that sentinels name."
    )
    url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="redis://host:port/db, or rediss:// for TLS; no password here. With the other modes some nodes of "
        "the cluster, or the sentinels: redis://host:port,host:port.",
    )
    username: str | None = Field(None, description="User name; Redis's default user if not given.")
    password: SecretStr | None = Field(None, description="Password.")
    password_file: Path | None = Field(None, description="File that holds the password.")
    sentinel_master: str | None = Field(
        None, min_length=1, description="Name by which the sentinels know the master; needed with mode sentinel."
    )
    sentinel_username: str | None = Field(None, description="User name at the sentinels.")
    sentinel_password: SecretStr | None = Field(None, description="Password at the sentinels.")
    sentinel_password_file: Path | None = Field(None, description="File that holds the password at the sentinels.")
    ssl_cafile: Path | None = Field(None, description="CA certificates (PEM); the system's if not given. For rediss://.")
    ssl_certfile: Path | None = Field(None, description="Client certificate (PEM), with its chain. For rediss://.")
    ssl_keyfile: Path | None = Field(None, description="Private key of the client certificate (PEM). For rediss://.")
    namespace: str = Field(
        DEFAULT_NAMESPACE, pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Prefix of every key; one for each engine."
    )
    socket_timeout_seconds: Seconds = Field(5.0, description="Longest wait for an answer.")
    connect_timeout_seconds: Seconds = Field(5.0, description="Longest wait for a connection.")

    @model_validator(mode="after")
    def _fits_together(self) -> RedisSettings:
        problems = [*self._url_problems(), *self._sentinel_problems(), *self._ssl_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _url_problems(self) -> list[str]:
        parts = urlsplit(self.url)
        problems = []
        if parts.scheme not in {"redis", "rediss", "unix"}:
            problems.append("url must start with redis://, rediss:// or unix://")
        if ":" in parts.netloc.rpartition("@")[0] or "password=" in parts.query:
            problems.append("url holds a password: take it out and use MIDWATCH_REDIS__PASSWORD or password_file")
        if problems:
            return problems
        if self.mode != "single":
            return self._several_problems(parts)
        if "," in parts.netloc:
            problems.append("url names several servers, but mode is single: set mode to cluster or sentinel")
        return problems

    def _several_problems(self, parts: SplitResult) -> list[str]:
        """What is wrong with the URL of a cluster, or of sentinels."""
        problems = []
        if parts.scheme == "unix":
            return [f"mode {self.mode} needs url to start with redis:// or rediss://"]
        if "@" in parts.netloc:
            problems.append(f"url names a user: with mode {self.mode} use the key username")
        if parts.query:
            problems.append(f"url has options behind '?', which mode {self.mode} does not take")
        try:
            addresses(self.url)
        except ValueError as error:
            problems.append(f"url: {error}")
        try:
            if database(self.url) and self.mode == "cluster":
                problems.append("url names a database other than 0, and a Redis Cluster has no other")
        except ValueError as error:
            problems.append(f"url: {error}")
        return problems

    def _sentinel_problems(self) -> list[str]:
        keys = ("sentinel_master", "sentinel_username", "sentinel_password")
        given = [key for key in keys if getattr(self, key) is not None]
        if self.mode == "sentinel":
            return [] if "sentinel_master" in given else ["mode sentinel needs sentinel_master as well"]
        return [f"{', '.join(given)} set, but mode is {self.mode}, not sentinel"] if given else []

    def _ssl_problems(self) -> list[str]:
        problems = []
        plain = urlsplit(self.url).scheme != "rediss"
        if plain and (self.ssl_cafile or self.ssl_certfile or self.ssl_keyfile):
            problems.append("ssl keys are set, but url does not start with rediss://")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            problems.append("ssl_certfile and ssl_keyfile go together: give both or neither")
        return problems
