"""The section `[ingest_http]`: where `midwatch ingest` listens, whom it lets in, how much it takes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from stream.settings_sections import Port, Section, Topic, is_loopback


class IngestHttpSettings(Section):
    """What `midwatch ingest` takes over HTTP and writes to Kafka."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; beyond loopback it needs a token.")
    port: Port = Field(4318, description="Port, OTLP/HTTP's own; 0 takes a free one.")
    token: SecretStr | None = Field(None, min_length=1, description="Bearer token that senders must send.")
    token_file: Path | None = Field(None, description="File that holds the token.")
    github_secret: SecretStr | None = Field(
        None, min_length=1, description="Secret of GitHub's webhooks, whose signature it checks."
    )
    github_secret_file: Path | None = Field(None, description="File that holds GitHub's secret.")
    max_body_bytes: int = Field(4_194_304, ge=1024, le=268_435_456, description="Longest body, as it is sent.")
    max_unpacked_bytes: int = Field(
        16_777_216, ge=1024, le=268_435_456, description="Longest body once its gzip is undone."
    )
    max_pending_bytes: int = Field(
        67_108_864, ge=65_536, description="Bytes that may wait for Kafka; beyond that senders are told to wait (429)."
    )
    store_seconds: float = Field(10.0, gt=0, le=300, description="Longest wait for Kafka; then the answer is 503.")
    max_connections: int = Field(512, ge=1, le=65_536, description="Connections at once; more get 503.")
    spans_topic: Topic = Field("otlp_spans", description="Topic of what comes to /v1/traces.")
    logs_topic: Topic = Field("otlp_logs", description="Topic of what comes to /v1/logs.")

    @model_validator(mode="after")
    def _guarded(self) -> IngestHttpSettings:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reachable from outside, and there is no token: "
                "set token_file or MIDWATCH_INGEST_HTTP__TOKEN, or listen on 127.0.0.1"
            )
        return self
