"""Who may send: who has the token, or GitHub with its signature.

The token comes as a bearer token, or as the password of basic authorization, for tools that can set no header but take
`https://any:token@host`. Everything is compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from pydantic import SecretStr

from stream.ingest_http.answers import Trouble

SIGNATURE_HEADER: Final = "x-hub-signature-256"
_SCHEME: Final = "sha256="


def check_token(token: SecretStr | None, headers: Mapping[str, str]) -> None:
    """Raises Trouble: 401 unless the token was sent; where none is asked for, 403 for what a web page sends.

    Browsers let any page post to this machine, and say so with the header Origin; no telemetry exporter does.
    """
    if token is None:
        if "origin" in headers:
            raise Trouble(403, "web pages may not send without a token: set ingest_http.token_file, and send the token")
        return
    given = _given(headers.get("authorization", ""))
    expected = token.get_secret_value().encode()
    if given is None or not hmac.compare_digest(given, expected):
        raise Trouble(401, "a bearer token is needed: Authorization: Bearer ...")


def _given(header: str) -> bytes | None:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return None


def check_signature(secret: SecretStr, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises Trouble (401) unless GitHub's signature of the body is there and right."""
    given = headers.get(SIGNATURE_HEADER, "").encode("utf-8", "surrogateescape")
    digest = hmac.new(secret.get_secret_value().encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(given, f"{_SCHEME}{digest}".encode()):
        raise Trouble(401, f"{SIGNATURE_HEADER} is missing or wrong; is it the secret of this webhook?")
