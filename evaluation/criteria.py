"""What is judged: criteria as data, shipped ones and an operator's own.

A criterion is a table of a TOML file, named by its key:

    [tone]
    question = "..."            what is asked
    steps = ["...", "..."]      how to go about it, in order
    [tone.scale]                what each score means, all five
    1 = "..."
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.canonical import content_id

SHIPPED: Final = "criteria.toml"
SCORES: Final = (1, 2, 3, 4, 5)
MAX_CRITERIA: Final = 20
"""Most criteria of one configuration: they share one call, and each is a metric label."""

NAME: Final = re.compile(r"^[a-z][a-z0-9_]{0,63}$")

Sentence = Annotated[str, Field(min_length=1, max_length=2000)]


class CriteriaError(ValueError):
    """A file of criteria that cannot be used; says which file, which key, and what is wrong."""


class _Table(BaseModel):
    """A criterion as it stands in a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: Sentence
    steps: Annotated[list[Sentence], Field(min_length=1, max_length=20)]
    scale: Annotated[dict[str, Sentence], Field(description="1 to 5")]


_FILE: Final = TypeAdapter(dict[str, _Table])


@dataclass(frozen=True, slots=True)
class Criterion:
    """One question about an interaction. `scale` holds what 1, 2, 3, 4 and 5 mean, in this order."""

    name: str
    question: str
    steps: tuple[str, ...]
    scale: tuple[str, str, str, str, str]

    def version(self, template: str) -> str:
        """The prompt version: a content id of the criterion's text and of the prompt `template` round it."""
        return content_id(
            "prm", {"question": self.question, "steps": self.steps, "scale": self.scale, "template": template}
        )


@cache
def shipped() -> tuple[Criterion, ...]:
    """The criteria that come with Midwatch: correctness, escalation_appropriateness, tone."""
    text = resources.files("evaluation").joinpath("data", SHIPPED).read_text(encoding="utf-8")
    return parse_criteria(text, SHIPPED)


def load_criteria(path: Path | None, names: Iterable[str] = ()) -> tuple[Criterion, ...]:
    """The shipped criteria and those of the file at `path`, which may replace shipped ones of the same name.

    With `names`, these alone, in their order. Raises `CriteriaError`.
    """
    found = {criterion.name: criterion for criterion in shipped()}
    if path is not None:
        found.update((criterion.name, criterion) for criterion in _read(path))
    wanted = tuple(dict.fromkeys(names)) or tuple(found)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise CriteriaError(f"there is no criterion {', '.join(unknown)}; there are {', '.join(found)}")
    if len(wanted) > MAX_CRITERIA:
        raise CriteriaError(f"{len(wanted)} criteria are too many for one call; at most {MAX_CRITERIA}")
    return tuple(found[name] for name in wanted)


def _read(path: Path) -> tuple[Criterion, ...]:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise CriteriaError(f"the criteria in {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise CriteriaError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return parse_criteria(text, str(path))


def parse_criteria(text: str, where: str) -> tuple[Criterion, ...]:
    """The criteria of a TOML text; `where` names it in errors. Raises `CriteriaError`."""
    try:
        tables = _FILE.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise CriteriaError(f"{where} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise CriteriaError(f"{where}: {key}: {first['msg']}; a criterion has question, steps and scale") from None
    return tuple(_criterion(name, table, where) for name, table in tables.items())


def _criterion(name: str, table: _Table, where: str) -> Criterion:
    if not NAME.match(name):
        raise CriteriaError(f"{where}: the name {name!r} does not do: lower-case letters, digits and _, from a letter")
    if sorted(table.scale) != [str(score) for score in SCORES]:
        raise CriteriaError(f"{where}: {name}.scale must say what 1, 2, 3, 4 and 5 mean, each once and no other")
    worst, poor, fair, good, best = (table.scale[str(score)] for score in SCORES)
    return Criterion(name, table.question, tuple(table.steps), (worst, poor, fair, good, best))
