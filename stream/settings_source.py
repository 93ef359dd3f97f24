"""Where settings come from: the TOML file, the environment above it, and the files that hold secrets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from stream.settings_plugins import DERIVED
from stream.settings_problems import Problem, did_you_mean, dotted
from stream.settings_schema import UNKNOWN, KeyPath, at, keys_of, model_of, secrets_below

PREFIX = "MIDWATCH_"
SEPARATOR = "__"
MAX_SECRET_BYTES = 65_536


@dataclass(slots=True)
class Source:
    """Raw settings, which variable set which path, and what went wrong on the way."""

    data: dict[str, Any] = field(default_factory=dict)
    variables: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def put(self, path: KeyPath, value: Any) -> None:
        """Set a value, making the tables above it."""
        table = self.data
        for key in path[:-1]:
            below = table.setdefault(key, {})
            if not isinstance(below, dict):
                return  # The wrong shape above is reported when the whole is checked.
            table = below
        table[path[-1]] = value

    def get(self, path: KeyPath) -> Any:
        """The value at a path, None where there is none."""
        value: Any = self.data
        for key in path:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value


def read_source(path: Path | None, environ: Mapping[str, str], model: type[BaseModel]) -> Source:
    """The file's values, under the environment's, with secrets read from their files."""
    source = Source()
    if path is not None:
        source.data = _read_toml(path, source.problems)
    _refuse_secrets_in_file(source, model)
    _apply_environment(source, environ, model)
    _refuse_derived(source)
    _read_secret_files(source, model)
    return source


def _read_toml(path: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        problems.append(Problem("", f"the file cannot be read: {error.strerror or error}"))
    except UnicodeDecodeError as error:
        problems.append(Problem("", f"the file is not UTF-8 (byte {error.start}); save it as UTF-8"))
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem("", f"the file is not valid TOML: {error}"))
    return {}


def _refuse_secrets_in_file(source: Source, model: type[BaseModel]) -> None:
    for path, _ in secrets_below(model):
        if source.get(path) is not None:
            source.problems.append(
                Problem(
                    dotted(path),
                    f"a secret must not stand in the file; set {variable_of(path)}, or point {path[-1]}_file to it",
                )
            )
            source.put(path, None)


def _refuse_derived(source: Source) -> None:
    for path, section in DERIVED.items():
        if source.get(path) is not None:
            where = source.variables.get(path, dotted(path))
            source.problems.append(Problem(where, f"is filled from [{section}]; put it there"))


def _apply_environment(source: Source, environ: Mapping[str, str], model: type[BaseModel]) -> None:
    for name in sorted(environ):
        if not name.startswith(PREFIX) or SEPARATOR not in name:
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR))
        annotation = at(model, path)
        if annotation is UNKNOWN:
            source.problems.append(Problem(name, _no_such_variable(model, path)))
            continue
        source.variables[path] = name
        source.put(path, _parse(environ[name], annotation))


def _no_such_variable(model: type[BaseModel], path: KeyPath) -> str:
    known: KeyPath = ()
    while at(model, (*known, path[len(known)])) is not UNKNOWN:
        known = (*known, path[len(known)])
    hint = did_you_mean(path[len(known)], keys_of(at(model, known)))
    return f"there is no key {dotted(path)}; {hint}"


def _parse(text: str, annotation: Any) -> Any:
    """Text where the key takes text, else the TOML value that the text spells, else the text (to be refused later)."""
    if model_of(annotation) is None and annotation is not Any:
        try:
            TypeAdapter(annotation).validate_json(json.dumps(text), strict=True)
        except ValidationError:
            pass
        else:
            return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_secret_files(source: Source, model: type[BaseModel]) -> None:
    for path, _ in secrets_below(model):
        file_path = (*path[:-1], f"{path[-1]}_file")
        name = source.get(file_path)
        if not isinstance(name, str):
            continue
        if source.get(path) is not None:
            where = source.variables.get(path, dotted(path))
            source.problems.append(Problem(where, f"is set, and {dotted(file_path)} too; keep one of them"))
            continue
        try:
            secret = Path(name).read_bytes()[:MAX_SECRET_BYTES].decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            source.problems.append(Problem(dotted(file_path), f"the secret cannot be read from {name}: {reason}"))
            continue
        if not secret:
            source.problems.append(Problem(dotted(file_path), f"{name} is empty; write the secret into it"))
            continue
        source.put(path, secret)


def variable_of(path: KeyPath) -> str:
    """The environment variable that overrides a key."""
    return PREFIX + SEPARATOR.join(part.upper() for part in path)
