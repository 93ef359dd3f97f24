"""Redaction of what leaves the engine for people to read: payloads of dead letters, details, log lines.

It errs on the safe side: an identifier that looks like a telephone number goes too. What is kept of a payload is its
shape: the names of its fields, numbers, short words. It never raises.

Dropped are free texts (what people and models wrote), values of secret-like names whatever they are, bearer tokens and
tokens of well-known forms, private keys, e-mail addresses (so also `user:password@host`), and runs of nine or more
digits, with separators or without: cards, telephones, accounts.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

MAX_PAYLOAD: Final = 4096
"""Longest redacted payload, in characters."""

HIDDEN: Final = "[redacted]"

FREE_TEXTS: Final = frozenset(
    {"request", "response", "context", "reasoning", "prompt", "completion", "messages", "content"}
)
"""Names whose values are what people or models wrote."""

_MAX_PARSED: Final = 256 * 1024
_MAX_SCANNED: Final = 64 * 1024
_CUT_MARGIN: Final = 512
_MAX_DEPTH: Final = 32
_MAX_MEMBERS: Final = 200

_SENSITIVE: Final = (
    r"pass[_\-. ]?w(?:or)?d|passphrase|passwd|pwd|secret|token|(?:api|access|private)[_\-. ]?key"
    r"|authorization|cookie|credential|session|signature|ssn"
)
_SENSITIVE_NAME: Final = re.compile(_SENSITIVE, re.IGNORECASE)
_TOKEN_COUNT: Final = re.compile(r"(?:[a-z]+_)*tokens")

# Each pattern takes time linear in the text: what may repeat is bounded, or is told apart by its first character.
_QUOTED: Final = r"\\*(?:\"[^\"\\]*(?:\\.?[^\"\\]*)*(?:\"|\Z)|'[^'\\]*(?:\\.?[^'\\]*)*(?:'|\Z))"
_AFTER_NAME: Final = r"[\w.\-]{0,64}\\*[\"']?\s{0,8}[:=]\s{0,8}"
_HEADER: Final = rf"((?:authorization|cookie){_AFTER_NAME})(?:{_QUOTED}|[^\r\n]*)"
_ASSIGNMENT: Final = rf"((?:{_SENSITIVE}){_AFTER_NAME})(?:{_QUOTED}|[\[{{].*|[^\s\"',;&}}\]]+)"
_WRITTEN: Final = rf"(\"(?:{'|'.join(sorted(FREE_TEXTS))})\"\s{{0,8}}:\s{{0,8}})(?:{_QUOTED}|[\[{{].*)"
_HEADER_PATTERN: Final = re.compile(_HEADER, re.IGNORECASE)
_ASSIGNMENT_PATTERN: Final = re.compile(_ASSIGNMENT, re.IGNORECASE | re.DOTALL)
_WRITTEN_PATTERN: Final = re.compile(_WRITTEN, re.IGNORECASE | re.DOTALL)

_FORMS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY.*?(?:-----END [A-Z ]{0,32}-----|\Z)",
        r"\b(?:bearer|basic|digest)[\s:=]{1,8}[^\s\"',;]+",
        r"eyJ[\w-]{4,}(?:\.[\w-]*)*",
        r"(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[a-z]|hf)[-_][\w-]{8,}",
        r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
        r"\d(?:[\s().\-/\u2010-\u2015]{0,3}\d){8,}",
    )
)
_WORD: Final = re.compile(r"[^\s\"'<>,;(){}\[\]\\]+")
_AT: Final = re.compile(r"@|%40")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def redact(payload: bytes, limit: int = MAX_PAYLOAD) -> str:
    """What may be shown of `payload`, JSON or any bytes, in `limit` characters at most."""
    try:
        text = _redact_json(payload)
        if text is None:
            text = _redact_bytes(payload)
    except (ValueError, OverflowError, RecursionError):
        # A dead letter without its payload is worth more than none.
        text = f"[{len(payload)} bytes, not shown]"
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."[:limit]


def redact_text(text: str) -> str:
    """`text` without anything that looks like a secret, an address or a number of a person."""
    text = _HEADER_PATTERN.sub(rf"\1{HIDDEN}", text)
    text = _ASSIGNMENT_PATTERN.sub(rf"\1{HIDDEN}", text)
    for pattern in _FORMS:
        text = pattern.sub(HIDDEN, text)
    return _WORD.sub(lambda word: HIDDEN if _AT.search(word[0]) else word[0], text)


def _redact_json(payload: bytes) -> str | None:
    """The redacted JSON, or None where `payload` is none or too large to parse for this."""
    if len(payload) > _MAX_PARSED:
        return None
    try:
        plain = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return json.dumps(_redact_value(plain, 0), ensure_ascii=False, separators=(",", ":"))


def _redact_value(value: Any, depth: int) -> Any:
    if isinstance(value, dict | list) and depth >= _MAX_DEPTH:
        return "[too deep to show]"
    if isinstance(value, dict):
        return {
            redact_text(name): _redact_member(name, inner, depth + 1)
            for name, inner in list(value.items())[:_MAX_MEMBERS]
        }
    if isinstance(value, list):
        return [_redact_value(inner, depth + 1) for inner in value[:_MAX_MEMBERS]]
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bool) or value is None:
        return value
    return value if redact_text(repr(value)) == repr(value) else HIDDEN


def _redact_member(name: str, value: Any, depth: int) -> Any:
    if name.lower() in FREE_TEXTS:
        return f"[text of {len(value)} characters]" if isinstance(value, str) else HIDDEN
    if _SENSITIVE_NAME.search(name) and not (_TOKEN_COUNT.fullmatch(name) and isinstance(value, int | float)):
        return HIDDEN
    return _redact_value(value, depth)


def _redact_bytes(payload: bytes) -> str:
    """Bytes that are no JSON, or too many: what text there is, with JSON's escapes undone so that they hide nothing."""
    text = payload[:_MAX_SCANNED].decode("utf-8", errors="replace")
    text = _ESCAPE.sub(lambda match: _character(int(match[1], 16)), text)
    text = _WRITTEN_PATTERN.sub(rf"\1{HIDDEN}", text)
    text = redact_text(text)
    if len(payload) > _MAX_SCANNED:
        # A secret that is cut in two at the end could not be recognised.
        text = text[:-_CUT_MARGIN]
    return text


def _character(code: int) -> str:
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
