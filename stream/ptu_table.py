"""Reading the table of provisioned throughput that the package ships, or one of the reader's own in the same form."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from costs.ptu import DeploymentType, PtuModel, PtuPrice, PtuTable, Steps, Term

Usd = Annotated[Decimal, Field(ge=0, le=100_000, allow_inf_nan=False)]


class PtuTableError(ValueError):
    """A table that cannot be used, and why."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    input_tpm: float = Field(gt=0)
    output_ratio: float = Field(ge=0)
    steps: dict[DeploymentType, tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    as_of: str
    source: str
    prices_as_of: str
    prices_source: str
    models: dict[str, _Model]
    prices: dict[DeploymentType, dict[Term, Usd]] = Field(default_factory=dict)


@cache
def shipped_table() -> PtuTable:
    """The table of the package."""
    return _parse((files("costs") / "data" / "ptu.toml").read_text(encoding="utf-8"), "the shipped table")


def read_table(path: Path) -> PtuTable:
    """A table from a file. Raises PtuTableError, OSError."""
    return _parse(path.read_text(encoding="utf-8"), str(path))


def _parse(text: str, where: str) -> PtuTable:
    try:
        raw = tomllib.loads(text)
        table = _Table.model_validate({**raw, "models": {name: _gather(row) for name, row in raw["models"].items()}})
    except (tomllib.TOMLDecodeError, KeyError, AttributeError) as error:
        raise PtuTableError(f"{where} is no table of provisioned throughput: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise PtuTableError(f"{where}: {wrong}") from error
    models = {
        name: PtuModel(
            name, row.input_tpm, row.output_ratio, {kind: Steps(*steps) for kind, steps in row.steps.items()}
        )
        for name, row in table.models.items()
    }
    source = f"{table.prices_source} ({table.prices_as_of})"
    prices = tuple(PtuPrice(source, usd, kind) for kind, usd in table.prices.items())
    note = f"units: {table.source}, {table.as_of}"
    return PtuTable(models, prices, note)


def _gather(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the file, its deployment types gathered under one name."""
    own = {name: value for name, value in row.items() if name in {"input_tpm", "output_ratio"}}
    return {**own, "steps": {name: value for name, value in row.items() if name not in own}}
