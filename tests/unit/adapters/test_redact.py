"""Redaction: what is secret or personal never survives, in JSON or in any bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.redact import MAX_PAYLOAD, redact, redact_text

SECRET = "Zq7vXw3K"
"""What must not be seen where a name says that it is secret; it looks like nothing in particular."""

SECRET_NAMES = [
    "authorization", "Authorization", "password", "passwd", "user_password", "token", "access_token", "refreshToken",
    "api_key", "apiKey", "X-API-Key", "secret", "client_secret", "cookie", "Set-Cookie", "session_id", "credentials",
    "private_key", "signature",
]  # fmt: skip

FREE_NAMES = ["request", "response", "context", "reasoning"]

RECOGNISED = [
    "jane.doe@example.com",
    "jane%40example.com",
    "user:hunter2@db.example.com",
    "4111111111111111",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "+49 (151) 234-567-89",
    "0151.2345.6789",
    "Bearer abc.def-ghi",
    "Basic dXNlcjpwdw==",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "sk-proj-abcdefgh12345678",
    "ghp_abcdefghijklmnop",
    "AKIAIOSFODNN7EXAMPLE",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
]
"""Secrets that are known by their form, wherever they stand."""

harmless = st.text(st.sampled_from("abc XYZ.,:-_/\\\"'{}[]\n\té😀"), max_size=30)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**6) | st.floats(0, 1) | harmless,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(harmless, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def planted(draw: st.DrawFn, member: st.SearchStrategy[tuple[str, Any]]) -> Any:
    """A JSON value with `member` in an object at some depth."""
    name, value = draw(member)
    tree: Any = draw(st.dictionaries(harmless, plain_json, max_size=3)) | {name: value}
    for _ in range(draw(st.integers(0, 4))):
        tree = [draw(plain_json), tree] if draw(st.booleans()) else {draw(harmless): tree}
    return tree


def forms(tree: Any) -> list[bytes]:
    """The tree as JSON in several spellings, as JSON inside a text, and as bytes that are no JSON any more."""
    compact = json.dumps(tree, separators=(",", ":")).encode()
    spaced = json.dumps(tree, ensure_ascii=False, indent=1).encode()
    return [
        compact,
        spaced,
        b"\xff" + compact,
        b"{" + spaced,
        compact + b"}\xfe",
        json.dumps({"a": spaced.decode()}).encode(),
    ]


def spellings(secret: str) -> list[str]:
    """The secret as it stands, and as JSON writes it."""
    return [secret, json.dumps(secret)[1:-1]]


@settings(max_examples=150, deadline=None)
@given(
    planted(st.tuples(st.sampled_from(SECRET_NAMES), st.sampled_from([SECRET, [SECRET], {"a": SECRET}, f"x {SECRET}"])))
)
def test_values_of_secret_names_never_survive(tree: Any) -> None:
    """Whatever is under a secret-like name goes, at any depth, in JSON whole or broken."""
    for payload in forms(tree):
        assert SECRET not in redact(payload)


@settings(max_examples=150, deadline=None)
@given(planted(st.tuples(st.sampled_from(FREE_NAMES), st.sampled_from([SECRET, f'a "{SECRET}" b\\', f"a\n{SECRET}"]))))
def test_free_texts_never_survive(tree: Any) -> None:
    """What people and models wrote goes."""
    for payload in forms(tree)[:5]:
        assert SECRET not in redact(payload)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(RECOGNISED), harmless, harmless)
def test_secrets_of_known_form_never_survive(data: st.DataObject, secret: str, before: str, after: str) -> None:
    """A token, an address or a long number goes from any value, any name, and any bytes."""
    name, value = f"{before} {secret} {after}", f"{after} {secret}"
    tree = data.draw(planted(st.sampled_from([("note", value), (name, 1), ("list", [value])])))
    for payload in [*forms(tree), value.encode()]:
        shown = redact(payload)
        for spelling in spellings(secret):
            assert spelling not in shown
    assert secret not in redact_text(value)


@pytest.mark.parametrize(
    "text",
    [
        f"password={SECRET}&user=x",
        f"Authorization: Digest {SECRET} {SECRET}",
        f"Cookie: a={SECRET}; b={SECRET}",
        f"api_key: '{SECRET}'",
        f'{{"token":"{SECRET}',
        f'{{"token":"{SECRET}\\',
        f'{{\\"password\\": \\"a\\\\\\"{SECRET}\\"}}',
        f"client_secret = {SECRET}",
    ],
)
def test_secrets_outside_of_json_never_survive(text: str) -> None:
    """Forms, headers, configuration lines and JSON that is cut off or escaped are searched as text."""
    assert SECRET not in redact(text.encode())
    assert SECRET not in redact_text(text)


def test_numbers_are_searched_too() -> None:
    """A card number may be sent as a number."""
    assert "4111" not in redact(b'{"card":4111111111111111,"other":41111111.11111111}')


def test_escapes_hide_nothing() -> None:
    """Broken JSON may spell characters as escapes."""
    assert "jane" not in redact(b'{"a":"jane\\u0040example.com" \xff')


def test_what_is_harmless_stays() -> None:
    """The shape of an event is still to be seen: names, counts, words, the time."""
    event = {"type": "usage", "time": "2026-01-05T10:00:00.123Z", "input_tokens": 12, "model": "gpt-4.1", "outcome": 5}
    assert json.loads(redact(json.dumps(event).encode())) == event


def test_free_texts_leave_their_length() -> None:
    """How long a text was helps to find the fault; what it said does not."""
    assert json.loads(redact(b'{"request":"hello"}')) == {"request": "[text of 5 characters]"}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 100))
def test_any_bytes_are_shown_within_the_limit(payload: bytes, limit: int) -> None:
    """Nothing is raised, the limit holds, and what is shown can be written as UTF-8."""
    shown = redact(payload, limit)
    assert len(shown) <= limit
    shown.encode()


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"b":' * 200 + b"1" + b"}" * 200,
        b"9" * 5000,
        b"\xff" * 1_000_000,
        b"a" * 1_000_000,
        b'"' * 300_000,
        b"password" * 40_000,
        b"password:" * 40_000,
        b"@" * 300_000,
        b"1 2 3 " * 60_000,
        b'"token":"\\' * 30_000,
        b"\\u0000\\ud800" * 30_000,
        b"-----BEGIN " * 30_000,
    ],
    ids=lambda payload: f"{payload[:12]!r}",
)
def test_hostile_payloads_are_shown_within_the_limit(payload: bytes) -> None:
    """Payloads made to be slow or deep are answered like any other."""
    assert len(redact(payload)) <= MAX_PAYLOAD
    redact(payload).encode()


def test_a_secret_that_the_scan_would_cut_is_not_shown() -> None:
    """At the end of what is scanned of a huge payload, half a secret could look harmless."""
    for shift in range(24):
        payload = b'"request":"' + b"x" * (65_500 + shift) + b'", "card": "4111 1111 1111 1111"' + b" " * 300_000
        assert "4111" not in redact(payload)
