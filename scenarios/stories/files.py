"""The suite's files: finding them by name, reading them, and saying what is wrong with one."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from scenarios.stories import model as models
from scenarios.stories.happenings import Happening
from scenarios.stories.model import Story

_KINDS: dict[str, type[BaseModel]] = {
    get_args(kind.model_fields["what"].annotation)[0]: kind for kind in get_args(get_args(Happening)[0])
}
_TABLES: dict[str, type[BaseModel]] = {
    "traffic": models.Traffic,
    "budget": models.BudgetPart,
    "expect": models.Expect,
    "never": models.Never,
    "fires": models.Fires,
    "roll_back": models.RollBack,
    "heard": models.Heard,
}


class StoryError(ValueError):
    """A scenario that cannot be read; the message names the file and everything that is wrong in it."""

    def __init__(self, path: Path, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n  ".join([f"{path.name} is no scenario:", *self.problems]))


class UnknownStoryError(LookupError):
    """No scenario of that name; the message names the nearest."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the suite: its name (that of the file), the group (that of its folder), and what it says."""

    name: str
    group: str
    path: Path
    story: Story

    @property
    def text(self) -> str:
        """The story as one line."""
        return " ".join(self.story.story.split())

    @property
    def headline(self) -> str:
        """The first sentence of the story."""
        end = self.text.find(". ")
        return self.text if end < 0 else self.text[: end + 1]


def suite_folder() -> Path:
    """Where the files are."""
    return Path(str(files("scenarios").joinpath("suite")))


def paths(folder: Path | None = None) -> list[Path]:
    """The files of the suite, by folder and name."""
    return sorted((folder or suite_folder()).rglob("*.toml"))


def load_suite(folder: Path | None = None) -> list[Entry]:
    """All scenarios. Raises StoryError, and ValueError where two files have one name."""
    entries = [_entry(path) for path in paths(folder)]
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"there are two scenarios named {', '.join(twice)}")
    return entries


def choose(names: Iterable[str], folder: Path | None = None) -> list[Entry]:
    """The scenarios of these names, in the suite's order; all of them where no name is given.

    A name may also be the path of a file that is not in the suite. Raises UnknownStoryError and StoryError.
    """
    wanted = list(names)
    if not wanted:
        return load_suite(folder)
    known = {path.stem: path for path in paths(folder)}
    chosen = [_find(name, known) for name in dict.fromkeys(wanted)]
    return [_entry(path) for path in chosen]


def _find(name: str, known: dict[str, Path]) -> Path:
    if name in known:
        return known[name]
    if name.endswith(".toml") and Path(name).is_file():
        return Path(name)
    if name.endswith(".toml"):
        raise UnknownStoryError(f"there is no file {name}")
    near = difflib.get_close_matches(name, known, n=3) or [one for one in known if name in one][:3]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownStoryError(f"there is no scenario named {name}; {hint}`midwatch scenarios list` shows all")


def _entry(path: Path) -> Entry:
    return Entry(path.stem, path.parent.name, path, load_story(path))


def load_story(path: Path) -> Story:
    """The story in a file. Raises StoryError, and OSError."""
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StoryError(path, [f"it is not valid TOML: {error}"]) from None
    try:
        return Story.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise StoryError(path, _problems(error)) from None


def _problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        place, table = _place(item["loc"])
        match item["type"]:
            case "extra_forbidden":
                yield f"{place}: unknown key; {_hint(str(item['loc'][-1]), table.model_fields)}"
            case "union_tag_invalid":
                said = str(item["ctx"]["tag"])
                yield f'{place}: nothing is called what = "{said}"; {_hint(said, _KINDS)}'
            case "union_tag_not_found":
                yield f"{place}: it lacks a `what`; {_hint('', _KINDS)}"
            case "missing":
                yield f"{place}: this key is missing"
            case "string_pattern_mismatch":
                yield f"{place}: {item['input']!r} is no time; write 02:14, yesterday 19:00 or 2026-03-01 09:30"
            case _:
                message = item["msg"].removeprefix("Value error, ")
                yield f"{place}: {message}" if place else message


def _place(loc: tuple[int | str, ...]) -> tuple[str, type[BaseModel]]:
    """Where in the file, as `happens[2].by_percent` (counted from 1), and the model of the innermost table."""
    words: list[str] = []
    table: type[BaseModel] = Story
    for part in loc:
        if isinstance(part, int):
            words[-1] += f"[{part + 1}]"
        elif part in _KINDS:
            table = _KINDS[part]
        else:
            table = _TABLES.get(part, table)
            words.append(part)
    return ".".join(words), table


def _hint(word: str, known: Iterable[str] | dict[str, Any]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
