"""Fields that no event has: dropped, and counted by event type and name, so that a misspelt field is noticed.

Producers choose these names, so the count is bounded: names that are no plain identifiers, and all that come after the
first `MAX_FIELDS`, are counted together as `OTHER`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec

from schemas.base import JsonObject
from stream.adapters.native import NativeEvent

MAX_FIELDS: Final = 256
"""Most (type, field) pairs that are counted apart."""

OTHER: Final = "(other)"

_PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Shape:
    """The names of an object's fields, and the shapes of those that hold objects or arrays of objects."""

    names: frozenset[str]
    nested: tuple[tuple[str, Shape], ...]


class UnknownFields:
    """How often each unknown field was ignored.

    Attributes:
        counts: by (event type, path of the field); the steps of an interaction share the path `steps.<name>`.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def add(self, event_type: str, paths: list[str]) -> None:
        """Count one ignored field for each of `paths`."""
        for path in paths:
            name = path if _PLAIN_NAME.fullmatch(path) else OTHER
            key = (event_type, name)
            if key not in self.counts and len(self.counts) >= MAX_FIELDS:
                key = (event_type, OTHER)
            self.counts[key] = self.counts.get(key, 0) + 1


def drop_unknown(plain: JsonObject, shape: Shape, prefix: str = "") -> list[str]:
    """Take the fields that `shape` does not have out of `plain`, in place; return their paths, sorted by level."""
    extra = sorted(plain.keys() - shape.names)
    for name in extra:
        del plain[name]
    dropped = [prefix + name for name in extra]
    for name, inner in shape.nested:
        child = plain.get(name)
        for item in child if isinstance(child, list) else (child,):
            if isinstance(item, dict):
                dropped += drop_unknown(item, inner, f"{prefix}{name}.")
    return dropped


def _shape_of(structure: msgspec.inspect.StructType) -> Shape:
    nested = []
    for field in structure.fields:
        inner = _inner_structure(field.type)
        if inner is not None:
            nested.append((field.encode_name, _shape_of(inner)))
    names = {field.encode_name for field in structure.fields}
    if structure.tag_field is not None:
        names.add(structure.tag_field)
    return Shape(frozenset(names), tuple(nested))


def _inner_structure(kind: Any) -> msgspec.inspect.StructType | None:
    """The structure that a field holds: itself, or None, or an array of it."""
    if isinstance(kind, msgspec.inspect.StructType):
        return kind
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return _inner_structure(kind.item_type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return next(filter(None, map(_inner_structure, kind.types)), None)
    return None


def _shapes() -> dict[str, Shape]:
    kinds = msgspec.inspect.multi_type_info(get_args(NativeEvent))
    return {str(kind.tag): _shape_of(kind) for kind in kinds if isinstance(kind, msgspec.inspect.StructType)}


SHAPES: Final = _shapes()
"""The shape of each event type."""
