"""The example configuration, written from the models: every key, its default, and what it does."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stream.settings_costs import CommitmentSection, PriceSection, PtuPriceSection, TokenPrices
from stream.settings_plugins import DERIVED
from stream.settings_rollback import ExecutorSection
from stream.settings_schema import KeyPath, model_of, secrets_below
from stream.settings_sections import Budget
from stream.settings_source import variable_of

HEAD = """\
The configuration of Midwatch. Every key is here with its default: leave out what you do not change.
MIDWATCH_SECTION__KEY in the environment overrides a key; "midwatch check-config" says what is wrong with the whole.
Secrets never stand here. They come from the environment, or from the file that a ..._file key names:
"""

NAMED: Mapping[str, tuple[str, BaseModel]] = {
    "budgets": ("support", Budget(amount_usd=25_000.0, tags={"cost-center": "4711"})),
    "prices": (
        "support-gpt5",
        PriceSection(
            model="gpt-5",
            provider="azure",
            deployment="support-gpt5",
            from_date=date(2026, 7, 1),
            until_date=date(2027, 6, 30),
            input=1.1,
            cached_input=0.11,
            output=8.8,
            tiers={"batch": TokenPrices(input=0.55, cached_input=0.055, output=4.4)},
            above={"272000": TokenPrices(input=2.2, cached_input=0.22, output=13.2)},
        ),
    ),
    "commitments": (
        "support-gpt5",
        CommitmentSection(
            ptus=65,
            term="monthly",
            from_date=date(2026, 7, 1),
            until_date=date(2027, 6, 30),
            price_usd=260.0,
            region="swedencentral",
            model="gpt-5",
            system="support",
            tags={"cost-center": "4711"},
            budget="support",
        ),
    ),
    "ptu_prices": (
        "sweden", PtuPriceSection(region="swedencentral", hourly_usd=1.0, monthly_usd=260.0, yearly_usd=221.0)
    ),
    "rollback_executors": (
        "production",
        ExecutorSection(
            type="argo_rollouts",
            environments=("production",),
            cluster="production-eu",
            binary=Path("/usr/local/bin/kubectl"),
            argo_binary=Path("/usr/local/bin/kubectl-argo-rollouts"),
            namespaces=("agents",),
        ),
    ),
}  # fmt: skip
"""An example of each kind of section that has names of its owner's."""


def example_toml(model: type[BaseModel]) -> str:
    """The example file for `model` (a `Settings` class), as text."""
    lines = [f"# {line}" for line in HEAD.splitlines()]
    lines.extend(f"#   {variable_of(path)}" for path, _ in secrets_below(model))
    for name, field in model.model_fields.items():
        section = model_of(field.annotation)
        lines.extend(_table((name,), section) if section is not None else _named(name, field.description or ""))
    return "\n".join(lines) + "\n"


def _table(path: KeyPath, model: type[BaseModel]) -> Iterator[str]:
    defaults = model().model_dump(mode="json")
    secrets = {found for found, _ in secrets_below(model)}
    yield from ("", *_comment((model.__doc__ or "").split("\n\n")[0]), f"[{'.'.join(path)}]")
    for name, field in model.model_fields.items():
        if model_of(field.annotation) is None and (name,) not in secrets and (*path, name) not in DERIVED:
            yield from _comment(field.description or "")
            yield _assignment(name, defaults[name])
    for name, field in model.model_fields.items():
        below = model_of(field.annotation)
        if below is not None:
            yield from _table((*path, name), below)


def _named(name: str, description: str) -> Iterator[str]:
    """Sections that have names of the reader's own stand as a comment."""
    own, example = NAMED[name]
    yield from ("", *_comment(f"{description} For example:"), f"# [{name}.{own}]")
    values = example.model_dump(mode="json")
    for key, field in type(example).model_fields.items():
        yield f"# {_assignment(key, values[key])}  # {field.description}"


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), width=110):
        yield f"# {line}"


def _assignment(name: str, value: Any) -> str:
    return f'# {name} = ""' if value is None else f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
