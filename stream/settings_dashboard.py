"""The section of the configuration for the on-call page: where it listens, who may read it, who may act."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from stream.settings_sections import Port, Section, is_loopback

SHORTEST_TOKEN: Final = 16
Token = Annotated[SecretStr, Field(min_length=SHORTEST_TOKEN)]
PersonName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
"""No blanks and no brackets: the page writes `(shared token)` behind names that no token proves."""


class Person(Section):
    """Who holds a token of their own. The configuration has its hash alone, so it holds no secret."""

    token_sha256: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description='SHA-256 of the person\'s token: `printf %s "$TOKEN" | sha256sum`. The token must be random.',
    )
    role: Literal["reader", "operator"] = Field("operator", description="Whether they may act, or only look.")


class DashboardSettings(Section):
    """The on-call page. On loopback it needs no token; beyond it a token, and TLS or a trusted proxy."""

    enabled: bool = Field(default=True, description="Whether `midwatch run` serves the page.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; beyond loopback it needs a token.")
    port: Port = Field(9460, description="Port of the page; 0 takes a free one.")
    public_url: str | None = Field(
        None, description="Where people reach the page, e.g. https://midwatch.example.com; pagers link to it."
    )
    operator_token: Token | None = Field(None, description="Token of those who may act. At least 16 characters.")
    operator_token_file: Path | None = Field(None, description="File that holds the token of those who may act.")
    reader_token: Token | None = Field(None, description="Token of those who may only look. At least 16 characters.")
    reader_token_file: Path | None = Field(None, description="File that holds the token of those who may only look.")
    people: dict[PersonName, Person] = Field(
        default_factory=dict, description="Who has a token of their own, by the name that the audit trail has for them."
    )
    tls_certfile: Path | None = Field(None, description="Certificate (PEM), with its chain, to serve HTTPS.")
    tls_keyfile: Path | None = Field(None, description="Private key of the certificate (PEM, not encrypted).")
    proxy_addresses: tuple[str, ...] = Field(
        (), description="Addresses or networks of proxies that do the TLS, and whose user header is believed."
    )
    user_header: str | None = Field(
        None, description="Header in which such a proxy names the user, e.g. X-Forwarded-User; for the audit trail."
    )
    groups_header: str | None = Field(
        None, description="Header in which such a proxy names the user's groups, separated by commas."
    )
    operator_groups: tuple[str, ...] = Field((), description="Groups of that header whose members may act.")
    published_on_loopback: bool = Field(
        default=False,
        description="Whether `host` is reached from loopback alone, as through a container's port that is published "
        "there: plain HTTP is allowed then, with a token, and under loopback's host names only.",
    )
    narrator: bool = Field(
        default=False, description="Let the model of [judge] summarise verdicts that people look at; checked, marked."
    )
    incidents: int = Field(1000, ge=10, le=20_000, description="Most incidents that the page remembers.")

    @model_validator(mode="after")
    def _guarded(self) -> DashboardSettings:
        if wrong := list(self._problems()):
            raise ValueError("\n  ".join(wrong))
        return self

    def _problems(self) -> list[str]:
        wrong: list[str] = []
        if (self.tls_certfile is None) != (self.tls_keyfile is None):
            wrong.append("tls_certfile and tls_keyfile go together: give both or neither")
        hashes = [person.token_sha256 for person in self.people.values()]
        if len(set(hashes)) < len(hashes):
            wrong.append("people: two of them have the same token; give each a token of their own")
        if not is_loopback(self.host):
            wrong.extend(self._unguarded())
        if (self.user_header or self.groups_header) and not self.proxy_addresses:
            wrong.append("user_header and groups_header are believed from proxies alone: name them in proxy_addresses")
        if self.operator_groups and self.groups_header is None:
            wrong.append("operator_groups needs groups_header, which says who is in them")
        for address in self.proxy_addresses:
            try:
                ipaddress.ip_network(address)
            except ValueError:
                wrong.append(f"proxy_addresses: {address} is no IP address or network")
        if self.public_url is not None and not _is_base(self.public_url):
            wrong.append("public_url must be https://host or http://host, without user, query or fragment")
        return wrong

    def _unguarded(self) -> list[str]:
        wrong = []
        tokens = self.operator_token is not None or self.reader_token is not None or bool(self.people)
        if not tokens and (self.published_on_loopback or not self.proxy_addresses):
            wrong.append(
                f"host {self.host} is reachable from outside, and there is no token: "
                "set operator_token_file or MIDWATCH_DASHBOARD__OPERATOR_TOKEN, or listen on 127.0.0.1"
            )
        if self.tls_certfile is None and not self.proxy_addresses and not self.published_on_loopback:
            wrong.append(
                f"host {self.host} is reachable from outside, and there is no TLS: "
                "set tls_certfile and tls_keyfile, or name the proxy that does it in proxy_addresses; in a container "
                "whose port is published on the host's 127.0.0.1 alone, say published_on_loopback = true"
            )
        return wrong

    def incident_url(self, incident_id: str) -> str | None:
        """The address of an incident's page for those who are paged; None where `public_url` is not set."""
        return f"{self.public_url.rstrip('/')}/incidents/{incident_id}" if self.public_url is not None else None


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and plain
