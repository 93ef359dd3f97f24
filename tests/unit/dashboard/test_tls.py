"""The page by a certificate of its own: TLS, and cookies that stay on it."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest

from dashboard.model import ReadModel
from dashboard.serve import address_of, listen, serving
from stream.settings import load_settings
from tests.support.certificates import Authority

TOKEN = "operator-token-0123456789"


async def test_with_a_certificate_the_page_speaks_tls_alone(tmp_path: Path) -> None:
    """Who trusts its authority gets in by a Secure cookie under HSTS; who does not, and plain HTTP, get nothing."""
    authority = Authority(tmp_path)
    certfile, keyfile = authority.issue("midwatch")
    settings = load_settings(None, {
        "MIDWATCH_DASHBOARD__PORT": "0", "MIDWATCH_DASHBOARD__OPERATOR_TOKEN": TOKEN,
        "MIDWATCH_DASHBOARD__TLS_CERTFILE": str(certfile), "MIDWATCH_DASHBOARD__TLS_KEYFILE": str(keyfile),
        "MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "MIDWATCH_REDIS__URL": "redis://127.0.0.1:9/0",
    })  # fmt: skip
    made = listen(settings.dashboard)
    address = address_of(settings.dashboard, made)
    assert address.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=authority.cafile)
    async with serving(ReadModel(settings), made) as server:
        await server.listening.wait()
        async with httpx.AsyncClient(base_url=address, verify=trusting) as http:
            done = await http.post("/login", data={"token": TOKEN, "name": "ada"})
            assert (done.status_code, "Secure" in done.headers["set-cookie"]) == (303, True)
            assert "max-age" in done.headers["strict-transport-security"]
            me = (await http.get("/api/v1/me")).json()
            assert (me["name"], me["role"]) == ("ada (shared token)", "operator")
        async with httpx.AsyncClient(base_url=address) as stranger:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await stranger.get("/healthz")
        async with httpx.AsyncClient(base_url=address.replace("https", "http")) as plain:
            with pytest.raises(httpx.RemoteProtocolError):
                await plain.get("/healthz")
