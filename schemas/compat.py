"""Whether a newer contract keeps what an older one promised: the gate that an incompatible change does not pass.

What Midwatch writes may only become narrower: whoever reads by the old schema must be able to read all of it, so a
field that was promised stays, and no word is added to a closed vocabulary. What it reads may only become wider. A field
that is gone is a loss either way, and one that is new is none: readers ignore what they do not know.

The schemas are those that pydantic writes (JSON Schema 2020-12): objects, arrays, `anyOf`, `oneOf`, `enum`, `const`,
`$ref` into `$defs`, and bounds. Of anything else only equality is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

Schema = Mapping[str, Any]
Direction = Literal["written", "read"]

CEILINGS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
FLOORS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
EQUALS: Final = ("pattern", "format", "multipleOf")


def broken_promises(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """What a change from `old` to `new` breaks, one sentence each, with its path; empty if nothing.

    `direction` is `written` for what Midwatch says, `read` for what is said to it.
    """
    lost = list(_lost("", old, new, _Roots(old, new), ()))
    if direction == "written":
        return lost + [f"{path}: {why}" for path, why in _beyond("", new, old, _Roots(new, old), ())]
    return lost + [f"{path}: {why}" for path, why in _beyond("", old, new, _Roots(old, new), ())]


class _Roots:
    """The documents that the references of a pair of schemas lead into."""

    def __init__(self, one: Schema, other: Schema) -> None:
        self._one, self._other = one, other

    def one(self, schema: Schema) -> Schema:
        return _resolved(schema, self._one)

    def other(self, schema: Schema) -> Schema:
        return _resolved(schema, self._other)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _alternatives(schema: Schema) -> list[Schema]:
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return list(schema[word])
    kinds = schema.get("type")
    return [{**schema, "type": kind} for kind in kinds] if isinstance(kinds, list) else [schema]


def _lost(path: str, old: Schema, new: Schema, roots: _Roots, seen: tuple[str, ...]) -> Iterator[str]:
    """Fields of `old` that `new` no longer has, wherever both are objects."""
    for before, after in _matching(old, new, roots):
        mark = f"{before.get('title')}/{after.get('title')}"
        if mark in seen and before.get("title"):
            continue
        fields: Schema = after.get("properties", {})
        for name, field in before.get("properties", {}).items():
            here = f"{path}.{name}".removeprefix(".")
            if name not in fields:
                yield f"{here}: the field is gone"
            else:
                yield from _lost(here, field, fields[name], roots, (*seen, mark))
        if "items" in before and "items" in after:
            yield from _lost(f"{path}[]", before["items"], after["items"], roots, (*seen, mark))


def _matching(old: Schema, new: Schema, roots: _Roots) -> Iterator[tuple[Schema, Schema]]:
    """The pairs of alternatives that stand for the same thing: by title where there is one, else by type."""
    newer = [roots.other(each) for each in _alternatives(roots.other(new))]
    for each in _alternatives(roots.one(old)):
        before = roots.one(each)
        for after in newer:
            same = before.get("title") == after.get("title") if "properties" in before else True
            if before.get("type") == after.get("type") and (same or len(newer) == 1):
                yield before, after


def _beyond(path: str, one: Schema, other: Schema, roots: _Roots, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Where a value that `one` allows is refused by `other`."""
    one, other = roots.one(one), roots.other(other)
    choices = [roots.other(each) for each in _alternatives(other)]
    for each in _alternatives(one):
        alternative = roots.one(each)
        found = [list(_refused(path, alternative, choice, roots, seen)) for choice in choices]
        if all(found):
            yield from min(found, key=len)


def _refused(path: str, one: Schema, other: Schema, roots: _Roots, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    mark = f"{one.get('title')}/{other.get('title')}"
    if one.get("title") and mark in seen and "properties" in one:
        return
    seen = (*seen, mark)
    yield from _kind(path, one, other)
    yield from _words(path, one, other)
    yield from _bounds(path, one, other)
    yield from _fields(path, one, other, roots, seen)
    for word, step in (("items", "[]"), ("additionalProperties", ".*")):
        inner, outer = one.get(word), other.get(word)
        if isinstance(outer, Mapping) and isinstance(inner, Mapping):
            yield from _beyond(f"{path}{step}", inner, outer, roots, seen)


def _kind(path: str, one: Schema, other: Schema) -> Iterator[tuple[str, str]]:
    kind, wanted = one.get("type"), other.get("type")
    if wanted is None or kind == wanted or (kind, wanted) == ("integer", "number"):
        return
    if kind is None and ("const" in one or "enum" in one):
        return
    yield path, f"may be {kind or 'anything'}, where {wanted} was promised"


def _words(path: str, one: Schema, other: Schema) -> Iterator[tuple[str, str]]:
    """`enum` and `const`, a vocabulary of one word."""
    allowed = _vocabulary(other)
    if allowed is None:
        return
    used = _vocabulary(one)
    if used is None:
        yield path, f"may be any {one.get('type', 'value')}, where one of {', '.join(map(str, allowed))} was promised"
    elif more := [word for word in used if word not in allowed]:
        yield path, f"may be {', '.join(map(str, more))}, which was not promised"


def _vocabulary(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    words: list[Any] | None = schema.get("enum")
    return words


def _bounds(path: str, one: Schema, other: Schema) -> Iterator[tuple[str, str]]:
    for word in CEILINGS:
        if word in other and (word not in one or one[word] > other[word]):
            yield path, f"{word} may be {one.get(word, 'anything')}, where {other[word]} was promised"
    for word in FLOORS:
        if word in other and (word not in one or one[word] < other[word]):
            yield path, f"{word} may be {one.get(word, 'anything')}, where {other[word]} was promised"
    for word in EQUALS:
        if word in other and one.get(word) != other[word] and _vocabulary(one) is None:
            yield path, f"{word} is {one.get(word, 'gone')}, where {other[word]} was promised"


def _fields(path: str, one: Schema, other: Schema, roots: _Roots, seen: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    needed = one.get("required", ())
    for name in other.get("required", ()):
        if name not in needed:
            yield f"{path}.{name}".removeprefix("."), "may be missing, where it was promised"
    known: Schema = other.get("properties", {})
    for name, field in one.get("properties", {}).items():
        if name in known:
            yield from _beyond(f"{path}.{name}".removeprefix("."), field, known[name], roots, seen)
