"""Looking around in the tree of configuration models: what stands below a key, which keys are there, which secret."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

KeyPath = tuple[str, ...]

UNKNOWN: Any = object()
"""What `child` gives for a key that does not exist."""


def model_of(kind: Any) -> type[BaseModel] | None:
    """The model that an annotation stands for, seen through `| None`."""
    for part in _alternatives(kind):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def child(kind: Any, key: str) -> Any:
    """The annotation of `key` below an annotation; `UNKNOWN` where there is no such key, `Any` where any may be."""
    model = model_of(kind)
    if model is not None:
        field = model.model_fields.get(key)
        if field is not None:
            return field.annotation
        return Any if model.model_config.get("extra") == "allow" else UNKNOWN
    for part in _alternatives(kind):
        if typing.get_origin(part) is dict:
            return typing.get_args(part)[1]
    return Any if kind is Any else UNKNOWN


def at(kind: Any, path: KeyPath) -> Any:
    """The annotation at a path, or `UNKNOWN`."""
    for key in path:
        kind = child(kind, key)
    return kind


def keys_of(kind: Any) -> tuple[str, ...]:
    """The keys that may stand below an annotation, as far as they are fixed."""
    model = model_of(kind)
    return tuple(model.model_fields) if model is not None else ()


def is_secret(kind: Any) -> bool:
    """Whether values of an annotation are secret."""
    return any(part is SecretStr for part in _alternatives(kind))


def secrets_below(model: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every secret key of a tree of models, with its path."""
    for name, field in model.model_fields.items():
        nested = model_of(field.annotation)
        if nested is not None:
            yield from secrets_below(nested, (*prefix, name))
        elif is_secret(field.annotation):
            yield (*prefix, name), field


def _alternatives(kind: Any) -> tuple[Any, ...]:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(kind)[0])
    if origin in {typing.Union, types.UnionType}:
        return tuple(part for branch in typing.get_args(kind) for part in _alternatives(branch))
    return (kind,)
