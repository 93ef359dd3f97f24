"""Deliveries connect to public addresses alone, unless others are allowed; asked when they connect."""

import asyncio
import contextvars
import smtplib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from stream.sinks.base import DeliveryFailed, HttpSinkSettings
from stream.sinks.guard import ForbiddenAddress, is_public, public_addresses_only, socket_for
from stream.sinks.http import Http, retry_after
from tests.support.certificates import Authority
from tests.support.destinations import destination


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::",
        "2001:0:7f00:1::", "localhost", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    """Private, local, shared, multicast and unspecified ones, also those carried in IPv6, and what is no address."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_addresses_that_are_public(address: str) -> None:
    """Addresses of the internet pass, mapped ones as well."""
    assert is_public(address)


def test_a_name_that_leads_to_a_private_address_gives_no_socket() -> None:
    """What counts is the resolved address that is about to be connected to."""
    info = socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0]
    with pytest.raises(ForbiddenAddress, match="allow_private"):
        socket_for(info)


async def test_the_http_client_refuses_a_private_address_after_resolving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to loopback is not connected to; with allow_private it is."""
    async with destination("d") as server:
        url = server.url.replace("127.0.0.1", "localhost") + "/x"
        closed = Http(HttpSinkSettings(kind="x"))
        with pytest.raises(DeliveryFailed) as failure:
            await closed.post(url, b"{}", {})
        await closed.close()
        assert failure.value.reason == "forbidden_address"
        assert failure.value.everyone
        assert server.requests == []
        allowed = Http(HttpSinkSettings(kind="x", allow_private=True))
        assert (await allowed.post(server.url, b"{}", {})).startswith("200")
        await allowed.close()


async def test_python_code_in_a_thread_is_refused_too() -> None:
    """Libraries that make their own connections are held to it in the threads that they run in, and only there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with public_addresses_only() as refused:
            context = contextvars.copy_context()
        with pytest.raises(OSError, match="allow_private"):
            await asyncio.to_thread(context.run, smtplib.SMTP, "127.0.0.1", port, None, 1)
        assert refused == ["127.0.0.1"]
        await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", port), 1).close())


@pytest.mark.parametrize(
    ("fault", "reason", "again", "everyone"),
    [
        (400, "refused", False, False),
        (413, "refused", False, False),
        (401, "rejected_by_destination", True, True),
        (404, "rejected_by_destination", True, True),
        (307, "rejected_by_destination", True, True),
        (429, "rate_limited", True, True),
        (500, "server_error", True, False),
        (503, "server_error", True, False),
        ("cut", "connection", True, True),
        ("half", "connection", True, True),
        ("hang", "timeout", True, True),
    ],
)
async def test_what_an_answer_means(fault: Any, reason: str, again: bool, everyone: bool) -> None:
    """Which failures are about the message, which may pass, which are the destination's; no redirect is followed."""
    async with destination("d", [fault], retry_after="7") as server:
        http = Http(HttpSinkSettings(kind="x", allow_private=True, timeout_seconds=0.5 if fault == "hang" else 30.0))
        with pytest.raises(DeliveryFailed) as failure:
            await http.post(server.url + "/x", b"{}", {})
        await http.close()
        error = failure.value
        assert (error.reason, error.again, error.everyone) == (reason, again, everyone)
        assert error.wait_seconds == (7 if fault in (429, 503) else None)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("12", 12), ("-3", 0), ("nan", None), ("soon", None), ("999999", 3600),
     ("Thu, 01 Jan 1970 00:01:40 GMT", 90)],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """Seconds or a date, bounded; nonsense is none."""
    assert retry_after(header, 10.0) == seconds


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Of a server whose authority is not known nothing is told; with its tls_cafile it is."""
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*authority.issue("server"))
    async with destination("d", tls=tls) as server:
        strangers = Http(HttpSinkSettings(kind="x", allow_private=True))
        with pytest.raises(DeliveryFailed, match="certificate"):
            await strangers.post(server.url, b"{}", {})
        await strangers.close()
        assert server.requests == []
        friends = Http(HttpSinkSettings(kind="x", allow_private=True, tls_cafile=authority.cafile))
        assert (await friends.post(server.url, b"{}", {})).startswith("200")
        await friends.close()
