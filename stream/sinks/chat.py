"""Chat and mail, by apprise: Slack, Teams, Discord, Matrix, mail and some hundred and eighty others.

An opening says all in a few lines, the plain sentence first; a revision says only what changed, and nothing if nothing
did. Apprise is not asynchronous and makes its own connections: it runs in a thread, under a time-out, and where private
addresses are not allowed they are refused when it connects. A message that was sent and not yet committed when the
process died is sent once more: a chat has no key by which to drop it.
Source: https://github.com/caronc/apprise
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.words import Severity
from stream.sinks.base import BaseSink, DeliveryFailed, Parcel, SinkSettings, Step
from stream.sinks.guard import ForbiddenAddress, public_addresses_only
from stream.sinks.text import message

TYPES: Final[dict[Severity, str]] = {"critical": "failure", "warning": "warning", "info": "info"}
GRACE_SECONDS: Final = 2.0
"""Apprise's own time-out comes first; this much later the thread is left to itself."""

THREADS: Final = 2
"""Threads of one sink: one that hangs leaves another."""


class ChatSettings(SinkSettings):
    """A channel, a room or a mailbox that apprise knows how to reach."""

    kind: Literal["apprise"] = "apprise"
    url: SecretStr | None = Field(None, description="Apprise's address of it; it holds tokens, so it is a secret.")
    url_file: Path | None = Field(None, description="File that holds apprise's address.")
    max_chars: int = Field(1500, ge=200, le=20_000, description="Longest message.")

    @model_validator(mode="after")
    def _whole(self) -> ChatSettings:
        if self.url is None:
            raise ValueError("there is no address: set url_file, or URL in the environment")
        text = self.url.get_secret_value()
        if len(text.split()) != 1 or "://" not in text:
            raise ValueError("the address must be one of apprise's, e.g. slack://... or mailto://...")
        return self


class Chat(BaseSink):
    """Tells people where they talk."""

    Settings = ChatSettings

    def __init__(self, settings: ChatSettings) -> None:
        import apprise

        assert settings.url is not None  # noqa: S101  # the settings' validator saw to it
        self._settings = settings
        self._url = settings.url.get_secret_value()
        asset = apprise.AppriseAsset(http_redirects=False, secure_logging=True, storage_mode="memory")
        self._apprise = apprise.Apprise(asset=asset)
        with warnings.catch_warnings():
            # With the first address apprise imports all its plug-ins; some of those use what Python will drop.
            warnings.simplefilter("ignore", DeprecationWarning)
            known = self._apprise.add(self._url)
        if not known:
            raise ValueError("apprise cannot read the address; see its documentation of that service")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="midwatch-chat")

    @property
    def destination(self) -> str:
        """The service; the rest of the address is secret."""
        return urlsplit(self._url).scheme

    def parcels(self, step: Step) -> list[Parcel]:
        """One message, where a person learns something by it."""
        if not step.kinds:
            return []
        title, body = message(step, self._settings.max_chars)
        over = bool(step.kinds & {"ended", "muted"})
        kind = "success" if over else TYPES[step.verdict.severity]
        what = "opened" if "opened" in step.kinds else min(step.kinds)
        return [Parcel(what, json.dumps({"title": title, "body": body, "type": kind}).encode())]

    async def send(self, parcel: Parcel) -> str:
        """Hand it to apprise, in a thread."""
        content = json.loads(parcel.body)
        seconds = self._settings.timeout_seconds
        refused: list[str] = []
        with ExitStack() as stack:
            if not self._settings.allow_private:
                refused = stack.enter_context(public_addresses_only())
            context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(self._threads, context.run, self._notify, content)
        try:
            result = await asyncio.wait_for(work, seconds + GRACE_SECONDS)
        except TimeoutError:
            raise DeliveryFailed("timeout", f"apprise did not end within {seconds:g} s", everyone=True) from None
        if refused:
            raise DeliveryFailed("forbidden_address", str(ForbiddenAddress(refused[0])), everyone=True)
        return _read(result)

    def _notify(self, content: dict[str, str]) -> Any:
        from apprise import NotifyFormat, NotifyType

        return self._apprise.notify(
            body=content["body"],
            title=content["title"],
            notify_type=NotifyType(content["type"]),
            body_format=NotifyFormat.TEXT,
            interpret_escapes=False,
            timeout=self._settings.timeout_seconds,
        )

    async def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _read(result: Any) -> str:
    """What apprise's result means. It does not say whether a failure may pass: it may."""
    from apprise import AppriseResultStatus

    if result.status is AppriseResultStatus.SUCCESS:
        return "sent"
    if result.status is AppriseResultStatus.TIMEOUT:
        raise DeliveryFailed("timeout", "apprise had no answer in time", everyone=True)
    raise DeliveryFailed("connection", "apprise could not deliver; the service or its token refused", everyone=True)
