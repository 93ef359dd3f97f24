"""The commands about money, as people and programs meet them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from schemas.canonical import canonical_json
from stream.cli import app

runner = CliRunner()
GPT_5 = ("--rpm", "30", "--peak", "3", "--input", "3000", "--cached", "0.7", "--output", "300", "--model", "gpt-5")
START = datetime(2026, 11, 1, tzinfo=UTC)
HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def costs(*arguments: object) -> Result:
    return runner.invoke(app, ["costs", *map(str, arguments)])


def answer(*arguments: object) -> Any:
    result = costs(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def usage(number: int, at: datetime, **fields: Any) -> bytes:
    """A call of gpt-5: 1,000 tokens in, 100 out; 2,250 micro-dollars by the list."""
    event = {
        "type": "usage", "id": f"u{number}", "time": at.isoformat().replace("+00:00", "Z"),
        "environment": "production", "system": "support", "model": "gpt-5", "provider": "azure",
        "input_tokens": 1_000, "output_tokens": 100,
    }  # fmt: skip
    return canonical_json({**event, **fields}) + b"\n"


def trace(path: Path, *rows: str) -> Path:
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_the_simple_form_has_exactly_four_answers() -> None:
    """Tokens a month, a PTU cost and a price for 1,000 tokens."""
    asked = ("compare", "--monthly-tokens", 10_000_000, "--ptu-monthly-cost", 50, "--payg-per-1k", 0.01)
    assert answer(*asked) == {
        "payg_monthly": 100.0,
        "ptu_monthly": 50.0,
        "recommendation": "ptu",
        "breakeven_tokens": 5_000_000.0,
    }
    assert "5,000,000 tokens a month" in costs(*asked).stdout


def test_the_gpt_5_case_on_the_command_line() -> None:
    """PAYG 5,765 dollars a month; 65 PTU for 47,450 by the hour, 16,900 by the month, 14,365 by the year."""
    [found] = answer("compare", *GPT_5)["comparisons"]
    assert round(found["payg_monthly_usd"]) == 5_765
    assert [(one["term"], one["peak_sized"]["ptus"], one["peak_sized"]["monthly_usd"]) for one in found["terms"]] == [
        ("hourly", 65, 47_450),
        ("monthly", 65, 16_900),
        ("yearly", 65, 14_365),
    ]
    assert found["recommendation"] == {"way": "payg", "term": None, "monthly_usd": 5_765.18}
    assert "not verified" in found["terms"][0]["price_source"]
    shown = costs("compare", *GPT_5).stdout
    assert all(text in shown for text in ("$47,450", "$16,900", "$14,365", "$5,765"))


def test_prices_on_the_command_line_go_before_all_others() -> None:
    """Of units and of tokens, and the figures of a unit."""
    own = ("--ptu-hourly", 0.1, "--payg-input", 10, "--payg-cached", 1, "--payg-output", 80)
    [found] = answer("compare", *GPT_5, *own, "--tpm-per-ptu", 9_500, "--output-ratio", 8)["comparisons"]
    assert found["payg_monthly_usd"] == pytest.approx(8 * 5_765.175, abs=0.01)
    assert found["terms"][0]["peak_sized"]["ptus"] == 35
    assert found["terms"][0]["peak_sized"]["monthly_usd"] == 35 * 73
    assert found["recommendation"]["way"] in {"ptu", "mix"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "one of these forms"),
        (("--monthly-tokens", 1), 2, "also needs --ptu-monthly-cost, --payg-per-1k"),
        (("--monthly-tokens", 1, *GPT_5), 2, "do not go together: the simple form, described calls (--rpm); say what"),
        (("--monthly-tokens", "nan", "--ptu-monthly-cost", 1, "--payg-per-1k", 1), 2, "give a number from 0 up"),
        (("--monthly-tokens", -1, "--ptu-monthly-cost", 1, "--payg-per-1k", 1), 2, "give a number from 0 up"),
        (("--monthly-tokens", 1, "--ptu-monthly-cost", 1, "--payg-per-1k", 0), 2, "above zero"),
        (("--rpm", 1, "--input", 1, "--output", 1), 2, "--model"),
        ((*GPT_5, "--cached", 1.5), 2, "no share"),
        ((*GPT_5, "--deployment-type", "galactic"), 2, "known are global"),
        ((*GPT_5, "--plot", "cost.pdf"), 2, ".png or .svg or .html"),
        (("--rpm", 1, "--input", 1, "--output", 1, "--model", "gpt-6"), 1, "no price of gpt-6 is known"),
        ((*GPT_5[:-1], "claude-sonnet-4-5", "--provider", "anthropic"), 1, "--tpm-per-ptu"),
    ],
)
def test_what_makes_no_sense_is_said(arguments: tuple[object, ...], code: int, said: str) -> None:
    """A clear sentence on standard error, and nothing on standard output."""
    result = costs("compare", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("gpt-40",), "did you mean gpt-4, gpt-4o or "),
        (("gpt-4o", "--provider", "azur"), "no price of gpt-4o at azur is known; did you mean provider azure?"),
        (("xyzzy",), "no price of xyzzy is known. Its usage"),
    ],
)
def test_an_unknown_model_says_what_was_meant(arguments: tuple[object, ...], meant: str) -> None:
    """Names that are near, or the provider; nothing where nothing is near."""
    result = costs("prices", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert meant in result.stderr


def test_a_trace_is_compared(tmp_path: Path) -> None:
    """Two minutes, unsorted, by hand: gpt-4o at 2.50 and 10 dollars a million."""
    path = trace(tmp_path / "t.csv", "2023-11-16 18:18:03.9799600,30000,2500", "2023-11-16 18:17:59.1,10000,0")
    [found] = answer("compare", "--usage", path, "--model", "gpt-4o")["comparisons"]
    usd = (40_000 * 2.5 + 2_500 * 10) / 1e6
    assert found["payg_monthly_usd"] == pytest.approx(usd * 730 * 30, abs=0.01)
    assert (found["peak_tpm"], found["mean_tpm"], found["minutes"]) == (40_000, 25_000, 2)
    assert found["terms"][0]["peak_sized"]["ptus"] == 20
    assert any("2 minutes" in note for note in found["notes"])


def test_the_same_usage_in_every_layout(tmp_path: Path) -> None:
    """Events as lines, as CSV and as Parquet give the same comparison; an id that comes twice counts once."""
    lines = [usage(n, START + timedelta(minutes=n)) for n in range(9)]
    (tmp_path / "u.jsonl").write_bytes(b"".join([*lines, lines[0], b"not json\n"]))
    rows = [json.loads(line) for line in [*lines, lines[0]]]
    table = pa.Table.from_pylist([{name: row[name] for name in row if name != "type"} for row in rows])
    pq.write_table(table, tmp_path / "u.parquet")
    names = ["id", "time", "model", "provider", "input_tokens", "output_tokens"]
    text = "\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)])
    (tmp_path / "u.csv").write_text(text + "\n", encoding="utf-8")
    found = [answer("compare", "--usage", tmp_path / f"u.{kind}") for kind in ("jsonl", "csv", "parquet")]
    assert found[0]["comparisons"] == found[1]["comparisons"] == found[2]["comparisons"]
    assert found[0]["comparisons"][0]["payg_monthly_usd"] == pytest.approx(0.00225 * 730 * 60)
    assert [one["read"]["duplicates"] for one in found] == [1, 1, 1]
    assert found[0]["read"]["rejected"] == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", "", "is empty"),
        ("head.csv", HEAD, "there is no usage in it"),
        ("empty.jsonl", "", "there is no usage in it"),
        ("other.jsonl", '{"type": "deployment"}\n', "no line is a usage event"),
        ("columns.csv", "a,b\n1,2\n", "has no column time, input_tokens, output_tokens"),
        (
            "minus.csv",
            f"{HEAD}2023-11-16 18:17,1,1\n2023-11-16 18:17,-5,1\n",
            "row 2",
        ),
        ("text.csv", f"{HEAD}2023-11-16 18:17,many,1\n", "many"),
        ("time.csv", f"{HEAD}2023-13-16 18:17,1,1\n", "a time is written"),
        ("gap.csv", f"{HEAD}2023-11-16 18:17,,1\n", "input_tokens is missing"),
        ("binary.parquet", "PAR0", "binary.parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    """Exit 1, and a sentence that says what is wrong with which file."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    result = costs("compare", "--usage", tmp_path / name, "--model", "gpt-4o")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_models_without_price_or_figures_are_left_out_aloud(tmp_path: Path) -> None:
    """Unknown is never zero: what cannot be compared is named, with the reason; the others are compared."""
    calls = [usage(1, START), usage(2, START, model="in-house"), usage(3, START, model="gpt-3.5-turbo")]
    (tmp_path / "u.jsonl").write_bytes(b"".join(calls))
    result = costs("compare", "--usage", tmp_path / "u.jsonl", "--json")
    found = json.loads(result.stdout)
    assert [one["model"] for one in found["comparisons"]] == ["gpt-5"]
    assert found["left_out"].keys() == {"in-house", "gpt-3.5-turbo"}
    assert "1 of 1 calls of in-house have no price" in result.stderr
    assert costs("compare", "--usage", tmp_path / "u.jsonl", "--model", "in-house").exit_code == 1
    absent = costs("compare", "--usage", tmp_path / "u.jsonl", "--model", "o3")
    assert "there are calls of gpt-3.5-turbo, gpt-5, in-house" in absent.stderr


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_the_plot_is_a_picture(tmp_path: Path, kind: str) -> None:
    """Each format is what its name says."""
    path = tmp_path / f"cost.{kind}"
    assert costs("compare", *GPT_5, "--plot", path).exit_code == 0
    start = path.read_bytes()[:200]
    assert {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[kind] in start


def test_crossover_names_a_date_or_says_why_not(tmp_path: Path) -> None:
    """Growing traffic gets a date within an interval; two days of it get none."""
    lines = [
        usage(d * 24 + h, START + timedelta(days=d, hours=h), input_tokens=round(400_000 * 1.02**d), output_tokens=0)
        for d in range(40)
        for h in range(24)
    ]
    prices = ("--payg-input", 2, "--payg-output", 10, "--ptu-monthly", 6)
    (tmp_path / "u.jsonl").write_bytes(b"".join(lines))
    [found] = answer("crossover", "--usage", tmp_path / "u.jsonl", "--model", "gpt-5", *prices)["crossovers"]
    assert found["growth"]["percent_a_month"] == pytest.approx(100 * (1.02 ** (365 / 12) - 1), rel=0.01)
    assert {flip["term"] for flip in found["flips"]} == {"hourly", "monthly", "yearly"}
    (tmp_path / "short.jsonl").write_bytes(b"".join(lines[:48]))
    result = costs("crossover", "--usage", tmp_path / "short.jsonl", "--model", "gpt-5")
    assert result.exit_code == 0
    assert "too few to see growth" in result.stdout
    assert costs("crossover").exit_code == 2


def test_prices_say_where_they_are_from(tmp_path: Path) -> None:
    """The list, a contract, or nowhere."""
    config = tmp_path / "midwatch.toml"
    config.write_text('[prices.ours]\nmodel = "gpt-5"\ninput = 1.0\noutput = 8.0\n', encoding="utf-8")
    [step] = answer("prices", "gpt-5", "--provider", "azure")["steps"]
    assert (step["input_usd"], step["cached_input_usd"], step["output_usd"]) == (1.25, 0.125, 10.0)
    assert answer("prices", "gpt-5", "-c", config)["source"] == "contract ours"
    assert "ours" in costs("prices", "-c", config).stdout
    unknown = costs("prices", "gpt-6")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "unpriced" in unknown.stderr
    assert costs("prices", "gpt-5", "--tier", "gold").exit_code == 2


def test_budgets_from_a_log(tmp_path: Path) -> None:
    """By hand: ten calls of 2,250 micro-dollars, and half a day of 15 PTU at a dollar an hour."""
    config = tmp_path / "midwatch.toml"
    config.write_text(
        '[budgets.support]\namount_usd = 1000\nsystem = "support"\n[budgets.idle]\namount_usd = 1\nsystem = "x"\n'
        '[commitments.c]\nptus = 15\nterm = "hourly"\nfrom_date = 2026-11-01\nbudget = "support"\n',
        encoding="utf-8",
    )
    lines = [usage(n, START + timedelta(hours=n)) for n in range(10)]
    lines += [usage(90, START, pricing="ptu"), usage(91, START, model="in-house")]
    lines.append(usage(92, START + timedelta(hours=11, minutes=59), pricing="spillover"))
    (tmp_path / "u.jsonl").write_bytes(b"".join(lines))
    result = costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config, "--json")
    found = {one["budget"]: one for one in json.loads(result.stdout)["budgets"]}
    assert found["support"]["usage_usd"] == pytest.approx(11 * 0.00225)
    assert found["support"]["committed_usd"] == 12 * 15
    assert found["support"]["committed_month_usd"] == 720 * 15
    assert found["support"]["spent_usd"] == pytest.approx(180.02475)
    assert "few" in found["support"]["why_no_forecast"]
    assert found["idle"]["spent_usd"] == 0
    assert "1 calls of in-house have no price" in result.stderr
    assert "$180 (18%)" in costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config).stdout
    bad = costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config, "--month", "2026-13")
    assert (bad.exit_code, "there is no month" in bad.stderr) == (2, True)
    assert costs("budgets", "--usage", tmp_path / "u.jsonl").exit_code == 2


def test_a_budget_that_is_spent_says_when_that_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten dollars at 2.25 an hour are gone in the fifth hour, not when somebody looks; nothing is cut for its width."""
    config = tmp_path / "midwatch.toml"
    config.write_text('[budgets.support]\namount_usd = 10\nsystem = "support"\n', encoding="utf-8")
    hours = 200
    lines = [usage(n, START + timedelta(hours=n), cost_usd=2.25) for n in range(hours)]
    (tmp_path / "u.jsonl").write_bytes(b"".join(lines))
    found = json.loads(costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config, "--json").stdout)
    [budget] = found["budgets"]
    assert budget["usage_usd"] == hours * 2.25
    assert budget["forecast"]["overrun_at"] == f"{START + timedelta(hours=4):%Y-%m-%dT%H:%M}:00.000Z"
    text = costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config).stdout
    assert f"used up {START:%Y-%m-%d}" in text
    monkeypatch.setenv("COLUMNS", "80")
    narrow = costs("budgets", "--usage", tmp_path / "u.jsonl", "-c", config).stdout
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "--from-redis", "--since", "2026-10-01T00:00Z"], "--since and --until say what to read with"),
        (["compare", "--from-kafka", "--since", "October"], "--since 'October' is no time with an offset"),
        (
            ["crossover", "--from-kafka", "--since", "2026-10-02T00:00Z", "--until", "2026-10-01T00:00+02:00"],
            "there is no time from 2026-10-02T00:00:00Z to 2026-09-30T22:00:00Z",
        ),
        (["crossover", "--from-kafka", "--from-redis"], "give --usage FILE, --from-kafka or --from-redis"),
        (["compare", "--from-kafka", "--rpm", "3"], "these do not go together: --from-kafka, described calls"),
    ],
)
def test_a_stretch_that_is_none_is_a_wrong_command_line(arguments: list[str], said: str) -> None:
    """Before any server is asked: exit code 2, and what to write instead."""
    result = costs(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
