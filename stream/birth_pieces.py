"""A large snapshot in pieces, each of which Redis takes within a client's time-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

PIECE_BYTES: Final = 4 * 1024 * 1024
"""A snapshot beyond this is sent in pieces of about so much: each is answered well within a client's time-out."""

STAGED_SECONDS: Final = 600
"""How long pieces wait for the last one."""


def pieces_of(
    state: bytes, hours: Mapping[tuple[int, int], bytes], inboxes: Sequence[tuple[int, bytes]]
) -> list[list[tuple[str, bytes]]]:
    """A large snapshot as pieces of (name, blob), by the names of the keys that they become; none of a small one."""
    items = [("state", state[start : start + PIECE_BYTES]) for start in range(0, len(state), PIECE_BYTES)]
    items += [(f"hour:{kind}:{hour}", blob) for (kind, hour), blob in hours.items()]
    items += [(f"in:{tick}", blob) for tick, blob in inboxes]
    pieces: list[list[tuple[str, bytes]]] = [[]]
    room = PIECE_BYTES
    for name, blob in items:
        if pieces[-1] and len(blob) > room:
            pieces.append([])
            room = PIECE_BYTES
        pieces[-1].append((name, blob))
        room -= len(blob)
    return pieces if len(pieces) > 1 else []
