"""`midwatch costs chargeback` and `midwatch costs tags`: what goes where, and with which exit code."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from stream.cli import app

runner = CliRunner()
GPT_4O = 1000 * 2.5e-6 + 100 * 10e-6
"""What 1,000 tokens read and 100 written cost, by hand."""


def event(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "usage", "id": name, "time": "2026-10-05T12:00:00Z", "environment": "prod", "system": "refunds",
        "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "tags": {"cost-center": "4711"}, **changes,
    }  # fmt: skip


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    path = tmp_path / "usage.jsonl"
    events = [
        event("1"),
        event("1"),
        event("2", tags={"Cost-Center": "4712"}),
        event("3", tags=None, system="claims"),
        event("4", model="no-such-model"),
        event("5", time="2026-11-01T00:00:00Z"),
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
    return path


def run(usage: Path, *options: object, month: str = "2026-10") -> Result:
    return runner.invoke(app, ["costs", "chargeback", "--month", month, "--usage", str(usage), *map(str, options)])


def test_the_table_by_hand(usage: Path) -> None:
    """Each owner a line, the one without an owner too; what has no price stands below the total."""
    result = run(usage)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["4711", "1", "1,000", "0", "100", "0.003500", "0.000000", "0.000000", "0.003500"] in lines
    assert ["(untagged)", "1", "1,000", "0", "100", "0.003500", "0.000000", "0.000000", "0.003500"] in lines
    assert ["total", "3", "3,000", "0", "300", "0.010500", "0.000000", "0.000000", "0.010500"] in lines
    assert "Without an owner: 0.003500 USD (33.3% of the total)" in result.stdout
    assert "the price book does not know the model" in result.stdout
    assert "Events: 4 counted; 1 dropped, whose id came before; 1 of other months" in result.stdout


def test_json_is_one_object(usage: Path) -> None:
    """With all numbers exact, and nothing else on standard output."""
    shown = json.loads(run(usage, "--json", "--by", "cost-center,system").stdout)
    assert shown["total_micro_usd"] == 10_500
    assert shown["untagged_micro_usd"] == 3500
    assert [line["tags"] for line in shown["lines"] if line["kind"] == "usage"] == [
        {"cost-center": "4711", "system": "refunds"},
        {"cost-center": "4712", "system": "refunds"},
        {"cost-center": None, "system": "claims"},
    ]
    assert shown["unpriced"] == {"requests": 1, "tokens": 1100}
    assert shown["events"]["duplicates"] == 1
    assert shown["violations"]["total"] == 5


def test_csv_adds_up_and_holds_no_formula(usage: Path, tmp_path: Path) -> None:
    """A value that a spreadsheet would run is text."""
    usage.write_text(json.dumps(event("1", tags={"cost-center": "=1+1"})) + "\n", encoding="utf-8")
    result = run(usage, "--format", "csv", "--out", tmp_path / "out.csv")
    assert (result.exit_code, result.stdout) == (0, "")
    with (tmp_path / "out.csv").open(newline="") as file:
        [line] = csv.DictReader(file)
    assert line["cost-center"] == "'=1+1"
    assert line["total_usd"] == f"{GPT_4O:.6f}"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_it_writes_it_reads_back(usage: Path, tmp_path: Path, suffix: str) -> None:
    """FOCUS rows of either form reconcile with the usage that they are of, to the micro-dollar."""
    rows = tmp_path / f"rows.{suffix}"
    result = run(usage, "--format", "focus", "--out", rows)
    assert "6 FOCUS rows; without a price, and so without a row: 1 calls, 1,100 tokens" in result.stderr
    if suffix == "parquet":
        assert pyarrow.parquet.read_table(rows).num_rows == 6
    options = ("--reconcile", rows, "--tolerance", 0, "--tolerance-usd", 0)
    result = run(usage, *options, "--fail-on-difference", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["reconcile"]["agrees"] is True


def test_a_bill_by_hand(usage: Path, tmp_path: Path) -> None:
    """One resource agrees within a percent, one is not billed, one is not ours; by tag, too."""
    bill = tmp_path / "bill.csv"
    names = (
        "EffectiveCost,BillingCurrency,ChargePeriodStart,ChargeCategory,ServiceCategory,ResourceId,ResourceName,Tags"
    )
    row = '{},USD,2026-10-05T00:00:00Z,{},AI and Machine Learning,{},{},"{{""cost-center"": ""{}""}}"'
    bill.write_text(
        "\n".join([
            names,
            row.format("0.0035", "Usage", "prod/refunds", "a", "4711"),
            row.format("0.0035", "Usage", "prod/refunds", "b", "4712"),
            row.format("5", "Usage", "prod/other", "c", "4712"),
            row.format("1.07", "Tax", "", "d", ""),
        ])
    )  # fmt: skip
    result = run(usage, "--reconcile", bill, "--tolerance-usd", 0.001)
    assert result.exit_code == 0
    assert "By resource: 0 differs, 1 missing in the bill, 1 missing in ours, 1 matched" in result.stdout
    assert "By cost-center: 1 differs, 1 missing in the bill, 0 missing in ours, 1 matched" in result.stdout
    assert "Not compared: 1 row, 1.07 USD of Tax" in result.stdout
    assert "say so in the policy, under [resources]" in result.stdout
    shown = json.loads(run(usage, "--reconcile", bill, "--tolerance-usd", 0.001, "--json").stdout)["reconcile"]
    assert [(line["id"], line["status"], line["difference_usd"]) for line in shown["resources"]["lines"]] == [
        ("prod/claims", "missing_in_bill", -0.0035),
        ("prod/other", "missing_in_ours", 5.0),
        ("prod/refunds", "matched", 0.0),
    ]
    assert shown["bill"]["not_compared"] == {"Tax": {"rows": 1, "usd": 1.07}}
    assert run(usage, "--reconcile", bill, "--fail-on-difference").exit_code == 1


@pytest.mark.parametrize(
    ("options", "month", "code", "said"),
    [
        ([], "2026-13", 2, "there is no month '2026-13'"),
        ([], "october", 2, "write it like 2026-11"),
        ([], "2026-08", 1, "there is no usage of 2026-08: what was read are 6 events of 2026-10 to 2026-11"),
        (["--by", "a,"], "2026-10", 2, "--by 'a,'"),
        (["--by", "a,A"], "2026-10", 2, "different tags"),
        (["--tolerance", "nan"], "2026-10", 2, "tolerance"),
        (["--format", "focus", "--out", "rows.xlsx"], "2026-10", 2, ".csv or .parquet"),
        (["--policy", "none.toml"], "2026-10", 2, "cannot be read"),
        (["--reconcile", "none.csv"], "2026-10", 2, "does not exist"),
        (["--out", "none/there/out.csv"], "2026-10", 1, "there is no directory"),
    ],
)
def test_what_is_wrong_goes_to_standard_error(
    usage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], month: str, code: int, said: str
) -> None:
    """Exit code 2 for a wrong command line or policy, 1 for a failure; nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    result = run(usage, *options, month=month)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_a_tag_that_no_call_bears_is_named(usage: Path) -> None:
    """All of it would be untagged without a word: the tags that there are stand on standard error."""
    result = run(usage, "--by", "costcenter")
    assert result.exit_code == 0
    assert "(untagged)" in result.stdout
    assert "--by costcenter: no call bears this tag; they bear " in result.stderr
    assert "'cost-center'" in result.stderr
    assert "bears this tag" not in run(usage, "--by", "Cost-Center").stderr


def test_usage_has_to_come_from_somewhere() -> None:
    """Files or Kafka."""
    result = runner.invoke(app, ["costs", "chargeback", "--month", "2026-10"])
    assert result.exit_code == 2
    assert "--usage" in result.stderr
    assert "--from-kafka" in result.stderr


def test_it_never_writes_over_what_it_reads(usage: Path) -> None:
    """Not over usage, bill or policy."""
    before = usage.read_bytes()
    assert run(usage, "--format", "csv", "--out", usage).exit_code == 2
    assert usage.read_bytes() == before


def test_a_bad_bill_leaves_no_file_behind(usage: Path, tmp_path: Path) -> None:
    """All is read before anything is written."""
    bill = tmp_path / "bill.csv"
    bill.write_text("a,b\n1,2\n")
    result = run(usage, "--reconcile", bill, "--format", "csv", "--out", tmp_path / "out.csv")
    assert result.exit_code == 1
    assert "is this a FOCUS file" in result.stderr
    assert not (tmp_path / "out.csv").exists()


def test_tags_lists_violations_by_who_sends_them(usage: Path, tmp_path: Path) -> None:
    """Exit code 1 while there are any, 0 once there are none."""
    result = runner.invoke(app, ["costs", "tags", str(usage)])
    assert result.exit_code == 1
    assert "Tags: 7 violations in 6 calls" in result.stdout
    shown = json.loads(runner.invoke(app, ["costs", "tags", str(usage), "--json"]).stdout)
    assert shown["violations"]["found"][0] == {
        "environment": "prod", "system": "refunds", "agent": None, "problem": "missing", "tag": "business-unit",
        "detail": "the policy requires it", "calls": 5,
    }  # fmt: skip
    policy = tmp_path / "policy.toml"
    policy.write_text('[tags.system]\n[[defaults]]\ntags = {cost-center = "0000"}\n')
    result = runner.invoke(app, ["costs", "tags", str(usage), "--policy", str(policy)])
    assert result.exit_code == 0
    assert result.stdout == "The tags of all 6 usage events are as they should be.\n"


def test_the_policy_of_the_configuration_counts_unless_another_is_named(usage: Path, tmp_path: Path) -> None:
    """`[chargeback] policy_file`, under `--policy`."""
    (tmp_path / "ours.toml").write_text('[tags.cost-center]\naliases = ["team"]\n')
    config = tmp_path / "midwatch.toml"
    config.write_text(f"[chargeback]\npolicy_file = '{tmp_path / 'ours.toml'}'\n")
    usage.write_text(json.dumps(event("1", tags={"team": "a"})) + "\n", encoding="utf-8")
    assert json.loads(run(usage, "--config", config, "--json").stdout)["untagged_micro_usd"] == 0
    (tmp_path / "other.toml").write_text("[tags.cost-center]\n")
    result = run(usage, "--config", config, "--policy", tmp_path / "other.toml", "--json")
    assert json.loads(result.stdout)["untagged_micro_usd"] == 3500


def test_prices_and_commitments_of_the_configuration_count(usage: Path, tmp_path: Path) -> None:
    """Contract prices go before the list; a commitment that the policy does not name is shared out all the same."""
    config = tmp_path / "midwatch.toml"
    config.write_text(
        """
        [prices.ours]
        model = "gpt-4o"
        input = 1.0
        output = 2.0
        [commitments.east]
        ptus = 15
        term = "hourly"
        from_date = 2026-10-31
        price_usd = 1.0
        model = "gpt-5"
        """
    )
    events = [event("1"), event("2", model="gpt-5", pricing="ptu")]
    usage.write_text("".join(json.dumps(one) + "\n" for one in events), encoding="utf-8")
    shown = json.loads(run(usage, "--config", config, "--json").stdout)
    assert shown["commitments"] == {"east": 360.0}
    assert [(line["payg_usd"], line["provisioned_usd"]) for line in shown["lines"]] == [(0.0012, 360.0)]
    policy = tmp_path / "policy.toml"
    policy.write_text('[commitments.east]\nusd_per_month = 5\nmodels = ["gpt-5"]\n')
    shown = json.loads(run(usage, "--config", config, "--policy", policy, "--json").stdout)
    assert shown["commitments"] == {"east": 5.0}


def test_records_that_cannot_be_read_are_named(usage: Path) -> None:
    """The first of them with their lines; all are counted."""
    with usage.open("a") as file:
        file.write("broken\n")
    result = run(usage, "--json")
    assert "usage.jsonl, line 7: malformed_json" in result.stderr
    assert json.loads(result.stdout)["rejected"] == 1
