"""A signed webhook, as Standard Webhooks says: every verdict, exactly as it stands on the topic.

`webhook-id` is the verdict's id, so a receiver drops repeats by it; `webhook-timestamp` is the time of the attempt, so
a receiver refuses what is replayed later; `webhook-signature` holds one signature for each secret, so that secrets can
be changed without losing a message. Source: https://github.com/standard-webhooks/standard-webhooks
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from stream.sinks.base import BaseSink, HttpSinkSettings, Parcel, Step

SHORTEST_SECRET: Final = 24
"""Bytes, as the standard asks for."""

FOR_GOOD: Final = frozenset({400, 410, 413, 415, 422})
"""Beside the usual, 410: the receiver wants no more."""


class WebhookSettings(HttpSinkSettings):
    """A receiver of Standard Webhooks."""

    kind: Literal["webhook"] = "webhook"
    url: str = Field("", validate_default=True, description="Address that is posted to.")
    secret: SecretStr | None = Field(
        None, description="Signing secret, whsec_ and base64; several with spaces or on lines while they are changed."
    )
    secret_file: Path | None = Field(None, description="File that holds the signing secrets.")

    @model_validator(mode="after")
    def _whole(self) -> WebhookSettings:
        wrong = self.url_problems([self.url], "url")
        if self.secret is None:
            wrong.append("there is no signing secret: set secret_file, or SECRET in the environment")
        else:
            wrong.extend(_secret_problems(self.secret.get_secret_value().split()))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def _secret_problems(secrets: list[str]) -> list[str]:
    if not secrets:
        return ["the signing secret is empty"]
    for number, secret in enumerate(secrets, start=1):
        try:
            bare = secret.removeprefix("whsec_").rstrip("=")
            key = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except (binascii.Error, ValueError):
            return [f"signing secret {number} is not whsec_ and base64"]
        if len(key) < SHORTEST_SECRET:
            return [f"signing secret {number} has less than {SHORTEST_SECRET} bytes; make one: openssl rand -base64 32"]
    return []


class Webhook(BaseSink):
    """Tells a machine of every verdict, the muted and the resolved ones too."""

    Settings = WebhookSettings
    every_verdict: ClassVar[bool] = True

    def __init__(self, settings: WebhookSettings) -> None:
        from standardwebhooks.webhooks import Webhook as Signer

        from stream.sinks.http import Http

        self._settings = settings
        self._http = Http(settings)
        assert settings.secret is not None  # noqa: S101  # the settings' validator saw to it
        self._signers = [Signer(secret) for secret in settings.secret.get_secret_value().split()]

    @property
    def destination(self) -> str:
        """The host: the path may be a secret."""
        return urlsplit(self._settings.url).netloc

    def parcels(self, step: Step) -> list[Parcel]:
        """The verdict's bytes."""
        return [Parcel(step.verdict.status, step.value, {"id": step.verdict.verdict_id})]

    async def send(self, parcel: Parcel) -> str:
        """Sign and post."""
        identity, now = parcel.about["id"], datetime.now(UTC)
        text = parcel.body.decode()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(identity, now, text) for signer in self._signers),
        }
        return await self._http.post(self._settings.url, parcel.body, headers, FOR_GOOD)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
