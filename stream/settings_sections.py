"""The sections of the configuration: one frozen model each, every key described and with its default.

The descriptions are the comments of `midwatch.example.toml` and the hints of error messages. A `SecretStr` key never
stands in the file: it comes from the environment, or from the file that the `..._file` key beside it names.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.words import INPUT_TOPICS, OTLP_TOPICS

Topic = Annotated[str, Field(min_length=1, max_length=249, pattern=r"^[A-Za-z0-9._-]+$")]
Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Wildcard = Annotated[str, Field(min_length=1, max_length=256)]


class Section(BaseModel):
    """A part of the configuration: frozen, strict, nothing unknown, no value repeated in an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )


class KafkaSettings(Section):
    """The Kafka cluster and what Midwatch reads from it."""

    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="Brokers to start from: host:port, ...")
    group_id: str = Field("midwatch", min_length=1, description="Consumer group of the ingest workers.")
    client_id: str = Field("midwatch", min_length=1, description="Name that the brokers' logs and quotas know us by.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; needed with a SASL protocol."
    )
    sasl_username: str | None = Field(None, description="User name for SASL.")
    sasl_password: SecretStr | None = Field(None, description="Password for SASL.")
    sasl_password_file: Path | None = Field(None, description="File that holds the password for SASL.")
    oauth_token_url: str | None = Field(None, description="OAUTHBEARER: where tokens are had (client credentials).")
    oauth_client_id: str | None = Field(None, description="OAUTHBEARER: the client's name there.")
    oauth_client_secret: SecretStr | None = Field(None, description="OAUTHBEARER: the client's secret.")
    oauth_client_secret_file: Path | None = Field(None, description="OAUTHBEARER: file that holds the secret.")
    oauth_scope: str | None = Field(None, description="OAUTHBEARER: scope to ask for.")
    ssl_cafile: Path | None = Field(None, description="CA certificates (PEM); the system's if not given.")
    ssl_certfile: Path | None = Field(None, description="Client certificate (PEM), with its chain.")
    ssl_keyfile: Path | None = Field(None, description="Private key of the client certificate (PEM, not encrypted).")
    input_topics: tuple[Topic, ...] = Field(
        (*INPUT_TOPICS, *OTLP_TOPICS),
        min_length=1,
        description="Topics to read; any event type may come on any of them.",
    )
    replication_factor: int = Field(
        1, ge=1, le=32_767, description="Copies of each topic that `midwatch topics create` makes; 3 in production."
    )
    partitions: int = Field(8, ge=1, le=10_000, description="Partitions of each input topic that it makes.")
    max_batch_records: int = Field(20_000, ge=1, le=100_000, description="Most records that ingest takes at once.")
    fetch: Literal["auto", "records"] = Field(
        "auto", description="auto: whole batches where the Kafka client allows it. records: record by record, slower."
    )
    fetch_max_wait_ms: int = Field(100, ge=1, le=60_000, description="Longest wait of a fetch for data.")
    session_timeout_ms: int = Field(
        10_000, ge=6000, le=1_800_000, description="Silence after which the group counts a worker as gone."
    )

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> KafkaSettings:
        login: dict[str, object] = {"sasl_username": self.sasl_username, "sasl_password": self.sasl_password}
        oauth: dict[str, object] = {
            "oauth_token_url": self.oauth_token_url,
            "oauth_client_id": self.oauth_client_id,
            "oauth_client_secret": self.oauth_client_secret,
        }
        needed, foreign = (oauth, login) if self.sasl_mechanism == "OAUTHBEARER" else (login, oauth)
        if self.security_protocol.startswith("SASL"):
            wanted: dict[str, object] = {"sasl_mechanism": self.sasl_mechanism, **needed}
            missing = [name for name, value in wanted.items() if value is None]
            if missing:
                raise ValueError(f"security_protocol {self.security_protocol} needs {', '.join(missing)} as well")
            if too_many := [name for name, value in foreign.items() if value is not None]:
                raise ValueError(f"sasl_mechanism {self.sasl_mechanism} has no use for {', '.join(too_many)}")
        elif any(value is not None for value in (self.sasl_mechanism, *login.values(), *oauth.values())):
            raise ValueError("SASL keys are set, but security_protocol is not SASL_SSL or SASL_PLAINTEXT")
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise ValueError("ssl_certfile and ssl_keyfile go together: give both or neither")
        if self.oauth_token_url is not None and not _may_carry_secrets(self.oauth_token_url):
            raise ValueError("oauth_token_url must be https://, or http:// on loopback: the secret goes there")
        return self


class EngineSettings(Section):
    """Shards, event time, leases, caps."""

    shards: int = Field(16, ge=1, le=1024, description="Shards, by hash of environment and system. Fixed for good.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes that `midwatch run` starts.")
    lateness_seconds: float = Field(5.0, ge=0, le=3600, description="How late an event may come and be seen at once.")
    idle_grace_seconds: float = Field(
        2.0, ge=0, le=3600, description="How long a partition that is read to its end holds the watermark back."
    )
    clock: Literal["wall", "stream"] = Field(
        "wall", description="wall: ticks go on in a silence. stream: telemetry alone moves time (demo, catching up)."
    )
    max_future_seconds: int = Field(300, ge=0, le=86_400, description="Events further ahead than this are refused.")
    max_age_days: int = Field(28, ge=1, le=366, description="Events older than this are refused.")
    lease_seconds: float = Field(10.0, ge=1, le=600, description="How long a shard's lease lasts without renewal.")
    checkpoint_ticks: int = Field(10, ge=1, le=1440, description="Most ticks (minutes) between checkpoints of a shard.")
    max_series_per_kind: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="Series of one kind in a shard, each about 2.5 kB in Redis, 3 kB in the worker; more are refused.",
    )
    stuck_seconds: float = Field(60.0, ge=5, le=3600, description="No progress for this long while behind: exit.")
    stop_seconds: float = Field(5.0, ge=1, le=600, description="Longest that ending in order may take.")
    stale_minutes: float = Field(
        10.0, ge=1, le=1440, description="What is said of ticks further back is marked stale: nobody is paged for it."
    )
    pending_bytes_limit: int = Field(
        67_108_864, ge=65_536, description="Inbox size of a shard, in bytes, above which ingest waits for evaluation."
    )


class Budget(Section):
    """One monthly budget: the usage events that it covers, and the amount."""

    environment: Wildcard = Field("*", description="Environment that the budget covers, * for all.")
    system: Wildcard = Field("*", description="System that it covers, * for all.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags that an event must carry, e.g. cost-center.")
    amount_usd: float = Field(gt=0, le=1e9, description="Dollars a calendar month (UTC).")
    flat_usd: float = Field(
        0.0, ge=0, le=1e9, description="Dollars of it that are spent anyway, evenly; or name them in [commitments]."
    )


class HttpSettings(Section):
    """/metrics, /healthz and /readyz."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; beyond loopback it needs a token.")
    port: Port = Field(9464, description="Port of the first worker, one more for each further one; 0 takes free ones.")
    token: SecretStr | None = Field(None, min_length=1, description="Bearer token that readers must send.")
    token_file: Path | None = Field(None, description="File that holds the token.")
    series_metrics: int = Field(
        200, ge=0, le=10_000, description="Series of each kind that /metrics shows: those that fire, then the busiest."
    )

    @model_validator(mode="after")
    def _guarded(self) -> HttpSettings:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reachable from outside, and there is no token: "
                "set token_file or MIDWATCH_HTTP__TOKEN, or listen on 127.0.0.1"
            )
        return self


class LogSettings(Section):
    """What is logged, and how."""

    format: Literal["json", "console"] = Field("json", description="json: an object a line. console: for a terminal.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error.")


class LimitsSettings(Section):
    """What one record may be; beyond it is a dead letter."""

    max_record_bytes: int = Field(2_097_152, ge=1024, le=67_108_864, description="Longest record value, in bytes.")
    max_depth: int = Field(64, ge=4, le=256, description="Deepest nesting of JSON.")
    dead_letter_payloads: bool = Field(
        default=True,
        description="Put the start of a bad record, redacted, into its dead letter; false: where it is, only.",
    )


def _may_carry_secrets(url: str) -> bool:
    """Whether a secret may be sent to an address: over TLS, or to this machine."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(str(parts.hostname)))
    )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only. A name other than `localhost` is not trusted."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
