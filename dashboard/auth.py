"""Who looks, and whether they may act: tokens, sessions, proxies. Knows no web framework.

* On loopback, without tokens and without proxies, whoever reaches the page is the local operator.
* A token comes once, in the body of the login or as a bearer token; never in an address. The session that a login
  opens is a signed cookie; its key is the process's own, so a restart ends every session.
* A person's own token (`people`) proves a name. A shared one does not: its holder says a name at the login or in
  `X-Midwatch-Name`, and wherever that name stands, `(shared token)` stands behind it.
* A proxy's user header is believed from `proxy_addresses` alone. Its users may look; those of `operator_groups`, and
  those who have logged in with the operators' token, may act.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import SecretStr

from dashboard.views import Viewer
from schemas.base import MAX_NAME
from stream.settings_dashboard import DashboardSettings
from stream.settings_sections import is_loopback

COOKIE: Final = "midwatch_session"
NAME_HEADER: Final = "x-midwatch-name"
"""Who acts with a shared bearer token, for the audit trail, e.g. a bot's name; the role's name without it."""

UNPROVEN: Final = " (shared token)"
"""Behind a name that its bearer chose."""

SESSION_SECONDS: Final = 12 * 3600
TRIES: Final = 10
"""Wrong tokens of one address within `TRY_SECONDS` after which it has to wait."""

TRY_SECONDS: Final = 300.0
ADDRESSES: Final = 10_000
"""Addresses whose failures are remembered."""

Role = Literal["reader", "operator"]


class TooManyTries(Exception):
    """An address has given too many wrong tokens and must wait."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request comes from and what it carries; header names in lower case."""

    address: str
    headers: Mapping[str, str]
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A viewer, and whether a browser sends what names them by itself: then acts need the CSRF token."""

    viewer: Viewer
    by_browser: bool


@dataclass(frozen=True, slots=True)
class _Token:
    """What opens the page: its SHA-256, what it allows, and whose it is; None for one that several share."""

    digest: str
    role: Role
    owner: str | None

    def named(self, given: str) -> str:
        """Who acts with it, as the audit trail has it."""
        if self.owner is not None:
            return self.owner
        said = given.strip()[: MAX_NAME - len(UNPROVEN)]
        return f"{said}{UNPROVEN}" if said and said.isprintable() else self.role


class Gate:
    """Decides who a caller is. `clock` gives seconds; `local_name` is what the local operator is called."""

    def __init__(self, settings: DashboardSettings, clock: Callable[[], float], local_name: str = "operator") -> None:
        self._clock = clock
        self._local_name = local_name
        self._key = secrets.token_bytes(32)
        held: list[tuple[Role, SecretStr | None]] = [
            ("operator", settings.operator_token),
            ("reader", settings.reader_token),
        ]
        self._tokens = [
            _Token(_digest(token.get_secret_value()), role, None) for role, token in held if token is not None
        ]
        self.asks_names = bool(self._tokens)
        """Whether a login may come with a token that proves no name."""
        self._tokens += [_Token(one.token_sha256, one.role, name) for name, one in settings.people.items()]
        self._proxies = [ipaddress.ip_network(address) for address in settings.proxy_addresses]
        self._user_header = (settings.user_header or "").lower()
        self._groups_header = (settings.groups_header or "").lower()
        self._operator_groups = frozenset(settings.operator_groups)
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self.is_open = not self._tokens and not self._proxies and is_loopback(settings.host)

    @property
    def takes_tokens(self) -> bool:
        """Whether there is anything to log in with."""
        return bool(self._tokens)

    def who(self, caller: Caller) -> Known | None:
        """Who calls; None for a stranger. Raises TooManyTries."""
        if "authorization" in caller.headers:
            token = self._bearer(caller)
            if token is None:
                return None
            name = token.named(caller.headers.get(NAME_HEADER, ""))
            return Known(self._viewer(name, token.role), by_browser=False)
        user = self._proxy_user(caller)
        if session := self._session(caller.cookie):
            name, role = session
            return Known(self._viewer(user or name, role), by_browser=True)
        if user is not None:
            return Known(self._viewer(user, self._proxy_role(caller)), by_browser=True)
        return Known(self._viewer(self._local_name, "operator"), by_browser=True) if self.is_open else None

    def log_in(self, address: str, token: str, name: str) -> tuple[str, str] | None:
        """The session's cookie, and who it is for; None for a wrong token. Raises TooManyTries."""
        found = self._token_of(address, token)
        if found is None:
            return None
        who = found.named(name)
        body = {"n": who, "r": found.role, "e": self._clock() + SESSION_SECONDS}
        text = base64.urlsafe_b64encode(json.dumps(body).encode()).decode()
        return f"{text}.{self._sign('session', text)}", who

    def csrf_holds(self, viewer: Viewer, given: str) -> bool:
        """Whether a request carries the token that the viewer's pages have."""
        return hmac.compare_digest(viewer.csrf.encode(), given.encode("utf-8", "surrogateescape"))

    def is_proxy(self, address: str) -> bool:
        """Whether a request comes from a trusted proxy."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self._proxies)

    def _viewer(self, name: str, role: Role) -> Viewer:
        return Viewer(name=name, role=role, csrf=self._sign("csrf", f"{role}/{name}"))

    def _session(self, cookie: str | None) -> tuple[str, Role] | None:
        text, _, signature = (cookie or "").rpartition(".")
        if not text or not hmac.compare_digest(signature.encode(), self._sign("session", text).encode()):
            return None
        body = json.loads(base64.urlsafe_b64decode(text))
        return (body["n"], body["r"]) if body["e"] > self._clock() else None

    def _bearer(self, caller: Caller) -> _Token | None:
        scheme, _, token = caller.headers["authorization"].partition(" ")
        return self._token_of(caller.address, token.strip()) if scheme.lower() == "bearer" else None

    def _proxy_user(self, caller: Caller) -> str | None:
        if not self._user_header or not self.is_proxy(caller.address):
            return None
        return caller.headers.get(self._user_header, "").strip()[:MAX_NAME] or None

    def _proxy_role(self, caller: Caller) -> Role:
        groups = {one.strip() for one in caller.headers.get(self._groups_header, "").split(",")}
        return "operator" if groups & self._operator_groups else "reader"

    def _token_of(self, address: str, given: str) -> _Token | None:
        """The token that was given; a wrong one counts against its address."""
        count, since = self._failures.get(address, (0, self._clock()))
        if self._clock() - since >= TRY_SECONDS:
            count, since = 0, self._clock()
        if count >= TRIES:
            raise TooManyTries
        digest = _digest(given)
        # Every token is compared, so that the time tells nothing.
        held = [token for token in self._tokens if hmac.compare_digest(digest, token.digest)]
        if held:
            self._failures.pop(address, None)
            return held[0]
        self._failures[address] = (count + 1, since)
        self._failures.move_to_end(address)
        while len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        return None

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
