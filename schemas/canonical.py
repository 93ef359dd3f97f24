"""Canonical JSON and the ids that are derived from it.

The same value always gives the same bytes: keys sorted, no white space, UTF-8, floats in their shortest form, times as
RFC 3339 with milliseconds. It follows RFC 8785 but for the sorting of keys by code point instead of UTF-16 unit and
Python's notation of exponents, which no reader of JSON can tell apart. Not-a-number and infinity are refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from pydantic import BaseModel

from schemas.base import JsonObject


def jsonable(value: BaseModel) -> JsonObject:
    """The model as plain JSON types, fields that are None left out."""
    return value.model_dump(mode="json", exclude_none=True)


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value (or of a model). Raises ValueError for NaN and infinity."""
    if isinstance(value, BaseModel):
        value = jsonable(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_id(prefix: str, value: Any) -> str:
    """`prefix` and the first 130 bits of SHA-256 over the canonical JSON, in lower-case base 32 (26 characters)."""
    digest = hashlib.sha256(canonical_json(value)).digest()
    return f"{prefix}_{base64.b32encode(digest)[:26].decode().lower()}"
