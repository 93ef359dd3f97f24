"""A feature flag: one POST to its trigger URL (LaunchDarkly's flag triggers, and services that do the same).

The URL comes from a file that the configuration names, never from a verdict; it is https, or http to this machine. No
redirect is followed and no proxy of the environment is used, and since the URL is a secret, no error repeats it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from stream.rollback.executors.base import Order, Outcome, Refused
from stream.rollback.executors.words import WORD, ref
from stream.rollback.verify import Observed
from stream.settings_sections import is_loopback

PASSING: Final = frozenset({408, 425, 429})
"""Refusals that may pass, beside the errors of servers."""


def check_url(url: str) -> str:
    """The URL, if it is one that may be posted to. Raises ValueError, which does not repeat it."""
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("is no https URL")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("is not https, and not on this machine")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password; a trigger URL needs none")
    return url


@dataclass(frozen=True, slots=True)
class FlagTrigger:
    """Turns its flags off. Twice off is off."""

    keys: tuple[str, ...]
    url: str = field(repr=False)
    seconds: float
    idempotent: bool = True

    def plan(self, order: Order) -> str:
        """In words, without the URL."""
        name = "flag_key" if "flag_key" in order.target.ref else "key"
        key = ref(order.target.ref, name, WORD)
        if key not in self.keys:
            raise Refused(f"flag {key} is none of the executor's flag_keys")
        return f"POST to the trigger URL of flag {key}"

    async def observe(self, order: Order) -> Observed:
        """A trigger URL tells nothing."""
        self.plan(order)
        return "unknown"

    async def execute(self, order: Order) -> Outcome:
        """Pull the trigger."""
        words = self.plan(order)
        try:
            async with httpx.AsyncClient(
                follow_redirects=False, trust_env=False, timeout=httpx.Timeout(self.seconds)
            ) as client, client.stream("POST", self.url) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            return Outcome(ok=False, detail=f"{words}: {type(error).__name__}", reason="unreachable", again=True)
        said = f"{words}: HTTP status {status}"
        if answer.is_redirect:
            return Outcome(ok=False, detail=f"{said}: a redirect, which is not followed", reason="redirected")
        return Outcome(ok=answer.is_success, detail=said, again=status >= 500 or status in PASSING)
