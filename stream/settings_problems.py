"""What is wrong with a configuration, all of it, in sentences that say where, what, and what to do."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from stream.settings_schema import UNKNOWN, KeyPath, at, child, is_secret, keys_of, model_of


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: the key (or the variable that set it) and what to do."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class SettingsError(ValueError):
    """The configuration cannot be used; `problems` are all the reasons."""

    def __init__(self, problems: Sequence[Problem], path: Path | None) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        origin = str(path) if path is not None else "the environment"
        super().__init__("\n".join([f"{count} in the configuration ({origin})", *(f"  {one}" for one in problems)]))


def dotted(path: Sequence[str | int]) -> str:
    """A path as TOML writes it: `budgets.support.amount_usd`, an item of a list as `[2]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def find_problems(model: type[BaseModel], data: Mapping[str, Any], variables: Mapping[KeyPath, str]) -> list[Problem]:
    """All problems of `data` under `model`. `variables` names the environment variable that set a path."""
    found = list(_unknown_keys(model, data, (), variables))
    try:
        model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        found.extend(
            _explain(model, one["loc"], one["msg"], data, variables)
            for one in error.errors(include_url=False, include_context=False)
            if one["type"] != "extra_forbidden"
        )
    return found


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint at the nearest known word, or at all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known are {', '.join(known)}" if known else "it takes no keys"


def _unknown_keys(
    kind: Any, data: Mapping[str, Any], path: KeyPath, variables: Mapping[KeyPath, str]
) -> Iterator[Problem]:
    for key, value in data.items():
        below = (*path, key)
        annotation = child(kind, key)
        if annotation is UNKNOWN:
            where = variables.get(below, dotted(below))
            yield Problem(where, f"there is no such key; {did_you_mean(key, keys_of(kind))}")
        elif isinstance(value, Mapping):
            yield from _unknown_keys(annotation, value, below, variables)


def _explain(
    model: type[BaseModel],
    location: tuple[str | int, ...],
    message: str,
    data: Mapping[str, Any],
    variables: Mapping[KeyPath, str],
) -> Problem:
    path, keys = _known_part(model, location)
    where = variables.get(keys, dotted(path))
    annotation = at(model, keys)
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    shown = "" if model_of(annotation) or is_secret(annotation) else _shown(_value_at(data, path))
    return Problem(where, f"{text}{shown}{_hint(model, keys)}")


def _known_part(model: type[BaseModel], location: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], KeyPath]:
    """The part of pydantic's location that the file has too (no branches of unions), and the keys of it alone."""
    path: list[str | int] = []
    keys: list[str] = []
    kind: Any = model
    for part in location:
        if isinstance(part, str):
            kind = child(kind, part)
            if kind is UNKNOWN:
                break
            keys.append(part)
        path.append(part)
    return tuple(path), tuple(keys)


def _value_at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return UNKNOWN
    return data


def _shown(value: Any) -> str:
    if value is UNKNOWN:
        return ""
    text = json.dumps(value, default=str)
    return f", not {text if len(text) <= 80 else text[:77] + '...'}"


def _hint(model: type[BaseModel], keys: KeyPath) -> str:
    parent = model_of(at(model, keys[:-1])) if keys else None
    field = parent.model_fields.get(keys[-1]) if parent is not None else None
    return f" ({field.description})" if field is not None and field.description else ""
