"""The two Azure traces on the command line: the comparison is that of a plain count over the files' rows."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.cli import app
from tests.integration.test_real_data import AZURE, data

READ_USD, WRITTEN_USD = 2.5e-6, 10e-6
"""gpt-4o, dollars a token."""

TPM, RATIO = 2_500, 4
"""gpt-4o, what a unit carries and what a written token counts for."""


def minute_of(timestamp: str) -> str:
    return timestamp[:16]


def number_of(minute: str) -> int:
    return int(minute[11:13]) * 60 + int(minute[14:16])


def plain_count(path: Path) -> tuple[float, int, int]:
    """Dollars of all rows, normalised tokens of the busiest minute, and the minutes from first to last."""
    usd, minutes = 0.0, Counter[str]()
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            read, written = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            usd += read * READ_USD + written * WRITTEN_USD
            minutes[minute_of(row["TIMESTAMP"])] += read + RATIO * written
    return usd, max(minutes.values()), number_of(max(minutes)) - number_of(min(minutes)) + 1


@pytest.mark.parametrize(
    ("service", "rows", "units", "mix"),
    [("conv", 19_366, 400, ("mix", 215)), ("code", 8_819, 525, ("payg", 0))],
)
def test_a_trace_is_compared_as_counted(service: str, rows: int, units: int, mix: tuple[str, int]) -> None:
    """The same dollars, the same peak, the units that follow from it, and the cheapest way of each."""
    path = data(AZURE / f"AzureLLMInferenceTrace_{service}.csv")
    result = CliRunner().invoke(app, ["costs", "compare", "--usage", str(path), "--model", "gpt-4o", "--json"])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    [found] = answer["comparisons"]
    usd, peak, minutes = plain_count(path)
    assert answer["read"]["rows"] == rows
    # Every call is rounded to a micro-dollar by itself.
    assert found["payg_monthly_usd"] == pytest.approx(usd * 730 * 60 / minutes, abs=rows * 0.5e-6 * 730 + 0.01)
    assert (found["peak_tpm"], found["minutes"]) == (peak, minutes)
    assert {term["peak_sized"]["ptus"] for term in found["terms"]} == {math.ceil(peak / TPM / 5) * 5} == {units}
    best = found["recommendation"]
    chosen = [term["cheapest_mix"]["ptus"] for term in found["terms"] if term["term"] == best["term"]]
    assert (best["way"], chosen[0] if chosen else 0) == mix
