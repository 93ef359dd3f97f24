"""The sections `[sinks.NAME]`, whose keys belong to the kinds of sinks that are installed, and `[delivery]`.

Which keys a section has depends on its `kind`, which only the file or the environment says. So the model of the
sections is made for one configuration: one field for each name, of the settings of its kind. What reads, checks and
explains the other sections then needs to know nothing of it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model

from stream.settings_problems import Problem, did_you_mean
from stream.settings_sections import Port, Section
from stream.sinks.base import SinkSettings
from stream.sinks.registry import available

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KIND_VARIABLE: Final = re.compile(r"MIDWATCH_SINKS__([A-Z0-9_]+?)__KIND")
_CONFIG: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DeliverySettings(Section):
    """The process that delivers verdicts to the sinks."""

    enabled: bool = Field(
        default=True, description="Whether `midwatch run` starts it; else run `midwatch sinks run` yourself."
    )
    http_port: Port = Field(
        9481, description="Port of its /metrics, /healthz and /readyz, on http.host; 0 takes a free one."
    )


class UnknownSink(BaseModel):
    """Stands for a section whose kind is not known, so that nothing else is complained of."""

    model_config = ConfigDict(frozen=True, extra="allow")


class NoSinks(BaseModel):
    """Where verdicts are delivered to. The keys of each kind are in docs/sinks.md."""

    model_config = _CONFIG


def sinks_section(kinds: Mapping[str, str]) -> tuple[type[BaseModel], list[Problem]]:
    """The model of the sections for names and their kinds, and what is wrong with those."""
    known, fields, problems = available(), {}, []
    for name, kind in sorted(kinds.items()):
        where = f"sinks.{name}"
        if not NAME.fullmatch(name) or hasattr(BaseModel, name):
            what = "is no name for a sink: small letters, digits and _, a letter first, 40 at most"
            problems.append(Problem(where, f"{what}, and no word that is reserved"))
            if not hasattr(BaseModel, name) and not name.startswith("_"):
                fields[name] = (UnknownSink, Field(default=None))
            continue
        if kind not in known:
            what = f"there is no kind '{kind}'; " if kind else "is missing; "
            problems.append(Problem(f"{where}.kind", what + did_you_mean(kind, tuple(known))))
        model = known[kind].Settings if kind in known else UnknownSink
        fields[name] = (model, Field(default=None))
    section = create_model("SinksSection", __base__=NoSinks, __doc__=NoSinks.__doc__, **fields)  # type: ignore[call-overload]
    return section, problems


def sink_kinds(path: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """The names of the sections and their kinds. A file that cannot be read has none; that is said elsewhere."""
    tables: Any = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_bytes().decode()).get("sinks", {})
        except (OSError, ValueError):
            tables = {}
    found: dict[str, str] = {}
    if isinstance(tables, dict):
        for name, table in tables.items():
            kind = table.get("kind", "") if isinstance(table, dict) else ""
            found[name] = kind if isinstance(kind, str) else ""
    for variable in sorted(environ):
        match = _KIND_VARIABLE.fullmatch(variable)
        if match is not None:
            found[match[1].lower()] = environ[variable]
    return found


def sinks_of(section: BaseModel) -> dict[str, SinkSettings]:
    """The sinks of a configuration by name, the disabled ones left out."""
    found = {name: getattr(section, name) for name in sorted(type(section).model_fields)}
    return {name: one for name, one in found.items() if isinstance(one, SinkSettings) and one.enabled}


def sink_examples() -> Iterator[tuple[str, str, list[tuple[str, Any, str]]]]:
    """For the example file: a name for each built-in kind, what it is, and (key, default, description) of its keys."""
    from stream.sinks.registry import SINKS

    base = set(SinkSettings.model_fields) - {"kind"}
    for kind, sink in SINKS.items():
        model = sink.Settings
        secrets = {name.removesuffix("_file") for name in model.model_fields if name.endswith("_file")}
        keys = [name for name in model.model_fields if name not in secrets]
        # What all share stands once, with the first.
        shown = [name for name in keys if kind == "alertmanager" or name not in base]
        rows = [
            (name, _default(model.model_fields[name]), model.model_fields[name].description or "") for name in shown
        ]
        yield f"my_{kind}", (model.__doc__ or "").split("\n\n")[0], rows


def _default(field: Any) -> Any:
    value = field.get_default(call_default_factory=True)
    return list(value) if isinstance(value, tuple) else value
