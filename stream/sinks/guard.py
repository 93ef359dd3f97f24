"""Which addresses a delivery may connect to, asked when it connects: after the name was resolved.

A check of the name alone is none: a name may resolve to a private address, now or at the next question. `socket_for`
is asked by aiohttp for each address it would try; `watch_connects` sees every connection that Python code of this
process makes, for libraries that make their own.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

_NAT64: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_REFUSED: ContextVar[list[str] | None] = ContextVar("midwatch_refused_addresses", default=None)
"""Addresses that were refused in this context; None where private addresses are allowed."""


class ForbiddenAddress(OSError):
    """The destination's name leads to an address of a private network, or of this machine."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} is no address of the public internet; if it is meant, set allow_private = true for this sink"
        )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also behind the forms that carry IPv4 in IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast for one in (found, *_carried(found)))


def _carried(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if any(address in network for network in _NAT64) or int(address) >> 32 == 0:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def socket_for(info: Any) -> socket.socket:
    """A socket for one resolved address (an entry of `getaddrinfo`). Raises ForbiddenAddress."""
    family, kind, protocol, _, target = info
    if not is_public(str(target[0])):
        raise ForbiddenAddress(str(target[0]))
    return socket.socket(family=family, type=kind, proto=protocol)


@contextmanager
def public_addresses_only() -> Iterator[list[str]]:
    """Refuse, in this context and in threads that copy it, every connection to an address that is not public.

    The list that it gives grows by the addresses that were refused.
    """
    watch_connects()
    refused: list[str] = []
    token = _REFUSED.set(refused)
    try:
        yield refused
    finally:
        _REFUSED.reset(token)


@cache
def watch_connects() -> None:
    """Let Python tell of connections, once and for the life of the process (an audit hook cannot be taken back)."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        return
    refused, address = _REFUSED.get(), arguments[1]
    if refused is None or address is None:
        return
    # Anything but (host, port, ...) is a socket of this machine.
    host = str(address[0]) if isinstance(address, tuple) and address else str(address)
    if not is_public(host):
        refused.append(host)
        raise ForbiddenAddress(host)
