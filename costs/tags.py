r"""Chargeback tags and Azure's rules for them.

A resource holds at most 50 tags; a name has at most 512 characters (128 for storage accounts), none of `< > % & \ ? /`;
a value has at most 256. Names are compared without regard to case and keep the casing they were written with; values
differ by case. Source: Microsoft Learn, "Use tags to organize your Azure resources".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

MAX_TAGS: Final = 50
MAX_NAME: Final = 512
MAX_STORAGE_NAME: Final = 128
MAX_VALUE: Final = 256
FORBIDDEN: Final = "<>%&\\?/"

CHARGEBACK_TAGS: Final = ("business-unit", "system", "environment", "cost-center")
"""The tags that chargeback asks for where no policy says otherwise."""

SHOWN: Final = 60
"""Most characters of a name or value that a message repeats."""

Tags = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

ProblemKind = Literal[
    "too_many_tags",
    "empty_name",
    "name_too_long",
    "forbidden_character",
    "value_too_long",
    "names_collide",
    "missing",
    "value_not_allowed",
]


class TagProblem(NamedTuple):
    """One thing wrong with a set of tags: the kind, the tag (empty where it is the whole set), and the sentence."""

    kind: ProblemKind
    tag: str
    detail: str


def fold(name: str) -> str:
    """The form in which two names of one tag are equal."""
    return name.casefold()


def shown(text: str) -> str:
    """A name or value as messages show it: quoted, cut, on one line."""
    cut = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
    return repr(cut)


def azure_problems(tags: Mapping[str, str], *, storage: bool = False) -> Iterator[TagProblem]:
    """What Azure would refuse about `tags`; `storage` applies the shorter names of storage accounts."""
    if len(tags) > MAX_TAGS:
        yield TagProblem("too_many_tags", "", f"has {len(tags)} tags, and Azure takes {MAX_TAGS} of a resource")
    longest = MAX_STORAGE_NAME if storage else MAX_NAME
    first: dict[str, str] = {}
    for name in sorted(tags):
        yield from _name_problems(name, longest)
        if len(tags[name]) > MAX_VALUE:
            length = len(tags[name])
            yield TagProblem(
                "value_too_long", name[:SHOWN], f"the value has {length} characters, of {MAX_VALUE} at most"
            )
        other = first.setdefault(fold(name), name)
        if other != name:
            detail = f"is written {shown(other)} too; Azure's names do not differ by case"
            yield TagProblem("names_collide", name[:SHOWN], detail)


def _name_problems(name: str, longest: int) -> Iterator[TagProblem]:
    if not name.strip():
        yield TagProblem("empty_name", "", "a tag without a name")
    if len(name) > longest:
        yield TagProblem("name_too_long", name[:SHOWN], f"the name has {len(name)} characters, of {longest} at most")
    found = sorted(set(name) & set(FORBIDDEN))
    if found:
        yield TagProblem("forbidden_character", name[:SHOWN], f"the name must not contain {' '.join(found)}")
