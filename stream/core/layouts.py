"""The layouts of a stored shard, and the way from an older one to today's.

A stored state begins with its layout, before anything that a layout may change, so that every version can tell a state
that is newer than itself from one that is damaged. Layout 1 had no such head: it begins with zlib's own bytes.

Each step brings the decoded state, a tree of what MessagePack knows, one layout on; and the bytes of an hour, if those
change. Steps are pure, stand here for good, and are tested on states that the older version wrote.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

LAYOUT: Final = 2
"""Today's layout. Raise it when the meaning of a checkpoint changes, and add the step from the one before."""

OLDEST: Final = 1
"""The oldest layout that can be read."""

MAGIC: Final = b"MWS"
"""Begins a stored state of layout 2 or later; the layout follows in two bytes. No zlib stream begins so."""

_HEAD: Final = len(MAGIC) + 2

Tree: TypeAlias = dict[str, Any]


class LayoutError(ValueError):
    """A stored state that this version cannot read: damaged, or of a layout that it does not know."""


class NewerLayout(LayoutError):
    """A stored state that a newer version wrote. It is sound: this version is to be upgraded, nothing made anew."""


def _same(hour: bytes) -> bytes:
    return hour


@dataclass(frozen=True, slots=True)
class Step:
    """From one layout to the next. Raises KeyError or TypeError for what is none of that layout's."""

    state: Callable[[Tree], Tree]
    hour: Callable[[bytes], bytes] = _same


def _give_head_and_traces(tree: Tree) -> Tree:
    """1 to 2: the layout moves from the state into its head; traces are always there (the first states had none)."""
    return {"traces": b""} | {name: value for name, value in tree.items() if name != "layout"}


STEPS: Final[Mapping[int, Step]] = {1: Step(_give_head_and_traces)}
"""By the layout that a step begins at."""


def sealed(body: bytes, layout: int = LAYOUT) -> bytes:
    """A stored state: its head, and its body."""
    return MAGIC + layout.to_bytes(2, "big") + body


def opened(stored: bytes) -> tuple[int, bytes]:
    """Layout and body of a stored state. Raises NewerLayout for one that a newer version wrote, LayoutError."""
    if not stored.startswith(MAGIC):
        return 1, stored
    layout = int.from_bytes(stored[len(MAGIC) : _HEAD], "big")
    check(layout)
    return layout, stored[_HEAD:]


def check(layout: int) -> None:
    """Raise NewerLayout or LayoutError for a layout that this version does not read."""
    if layout > LAYOUT:
        raise NewerLayout(
            f"the stored state has layout {layout}, this version reads up to {LAYOUT}: a newer version of Midwatch "
            "wrote it; upgrade this one"
        )
    if layout < OLDEST:
        raise LayoutError(f"the stored state has layout {layout}, this version reads {OLDEST} to {LAYOUT}")


def tree_of(stored: bytes) -> Tree:
    """The state in today's layout. Raises LayoutError."""
    layout, body = opened(stored)
    try:
        tree = msgspec.msgpack.decode(zlib.decompress(body), type=dict[str, Any])
        for step in range(layout, LAYOUT):
            tree = STEPS[step].state(tree)
    except (zlib.error, msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise LayoutError(f"the checkpoint cannot be read ({error})") from error
    return tree


def hour_of(stored: bytes, layout: int) -> bytes:
    """An hour's bytes in today's layout; `layout` is that of the state that it belongs to."""
    for step in range(layout, LAYOUT):
        stored = STEPS[step].hour(stored)
    return stored
