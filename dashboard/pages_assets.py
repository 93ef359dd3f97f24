"""The page's own files (style, script, icon), each under an address that holds a hash of its content.

They are read and compressed once. An address never changes its content, so a browser keeps it for a year.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

FOREVER: Final = "public, max-age=31536000, immutable"
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its hashed name, its media type, its bytes plain and compressed."""

    name: str
    media_type: str
    plain: bytes
    packed: bytes

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"/static/{self.name}"


def load_assets() -> dict[str, Asset]:
    """All files of `dashboard/static`, by their plain names."""
    found: dict[str, Asset] = {}
    for entry in sorted(files("dashboard").joinpath("static").iterdir(), key=lambda entry: entry.name):
        stem, _, ending = entry.name.rpartition(".")
        if ending not in _TYPES:
            continue
        plain = entry.read_bytes()
        digest = hashlib.sha256(plain).hexdigest()[:12]
        packed = gzip.compress(plain, 9, mtime=0)
        found[entry.name] = Asset(f"{stem}.{digest}.{ending}", _TYPES[ending], plain, packed)
    return found


def takes_gzip(request: Request) -> bool:
    """Whether the browser reads gzip."""
    return "gzip" in request.headers.get("accept-encoding", "")


def serve(asset: Asset, request: Request) -> Response:
    """The file, compressed where the browser reads that."""
    headers = {"cache-control": FOREVER, "vary": "accept-encoding", "x-content-type-options": "nosniff"}
    media_type = f"{asset.media_type}; charset=utf-8"
    if takes_gzip(request):
        return Response(asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=media_type)
    return Response(asset.plain, headers=headers, media_type=media_type)
