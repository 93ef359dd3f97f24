"""Usage from files of any form, by one decoder; and the policy file."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from stream.adapters import Usage
from stream.chargeback_policy import PolicyError, load_policy
from stream.chargeback_read import UsageFileError, UsageRead, read_usage
from tests.support.otlp import RESOURCE, request_json, span_json

EVENT: dict[str, Any] = {
    "id": "u1",
    "time": "2026-10-05T12:00:00Z",
    "environment": "prod",
    "system": "refunds",
    "model": "gpt-4o",
    "pricing": "ptu",
    "input_tokens": 1000,
    "output_tokens": 100,
    "cost_usd": 0.25,
    "tags": {"cost-center": "a"},
}


def read(*paths: Path) -> tuple[list[Usage], UsageRead]:
    found: list[Usage] = []
    return found, read_usage(paths, found.append)


def as_jsonl(path: Path) -> None:
    path.write_text(json.dumps({"type": "usage", **EVENT}) + "\n\n", encoding="utf-8")


def as_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        lines = csv.DictWriter(file, [*EVENT, "agent", "note"])
        lines.writeheader()
        lines.writerow({**EVENT, "tags": json.dumps(EVENT["tags"]), "agent": "", "note": "x"})


def as_csv_with_tag_columns(path: Path) -> None:
    flat = {**EVENT, "tags.cost-center": "a"}
    del flat["tags"]
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, [*flat, "tags.owner"])
        lines.writeheader()
        lines.writerow(flat)


def as_parquet(path: Path) -> None:
    pa.parquet.write_table(
        pa.table({name: [json.dumps(v) if name == "tags" else v] for name, v in EVENT.items()}), path
    )


def as_parquet_of_nanoseconds(path: Path) -> None:
    columns: dict[str, Any] = {name: [json.dumps(v) if name == "tags" else v] for name, v in EVENT.items()}
    columns["time"] = pa.array([1_791_201_600_000_000_001], pa.timestamp("ns"))
    pa.parquet.write_table(pa.table(columns), path)


def as_typed_parquet(path: Path) -> None:
    columns: dict[str, Any] = {name: [value] for name, value in EVENT.items()}
    columns["time"] = pa.array([datetime(2026, 10, 5, 12, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    columns["tags"] = pa.array([[("cost-center", "a")]], pa.map_(pa.string(), pa.string()))
    columns["input_tokens"] = pa.array([1000.0])
    pa.parquet.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("u.jsonl", as_jsonl),
        ("u.csv", as_csv),
        ("u.csv", as_csv_with_tag_columns),
        ("u.parquet", as_parquet),
        ("u.parquet", as_typed_parquet),
        ("u.parquet", as_parquet_of_nanoseconds),
    ],
)
def test_every_form_says_the_same(tmp_path: Path, name: str, write: Any) -> None:
    """A row is the event that its columns spell; columns that no event has are passed over."""
    write(tmp_path / name)
    [event], stats = read(tmp_path / name)
    assert event == Usage(**{**EVENT, "time": 1_791_201_600_000})
    assert (stats.usage, stats.rejected) == (1, 0)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("input_tokens", "-1", "input_tokens"),
        ("input_tokens", "1.5", "input_tokens"),
        ("input_tokens", "many", "input_tokens"),
        ("cost_usd", "nan", "cost_usd"),
        ("cost_usd", "inf", "cost_usd"),
        ("cost_usd", "-0.5", "cost_usd"),
        ("time", "yesterday", "time"),
        ("tags", "[1]", "tags"),
        ("tags", "{broken", "tags"),
        ("pricing", "free", "pricing"),
    ],
)
def test_a_bad_row_is_refused_with_its_place(tmp_path: Path, column: str, value: str, said: str) -> None:
    """Never taken for zero or for nothing; the row and what was wrong with it are named, the others count."""
    path = tmp_path / "u.csv"
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(EVENT))
        lines.writeheader()
        lines.writerow({**EVENT, "tags": ""})
        lines.writerow({**EVENT, "tags": "", column: value})
    found, stats = read(path)
    assert len(found) == 1
    [bad] = stats.bad
    assert bad.where == f"{path}, line 2"
    assert said in bad.detail


def test_other_events_and_bad_lines_are_counted(tmp_path: Path) -> None:
    """A topic's dump holds everything; what is no usage is no mistake."""
    path = tmp_path / "u.jsonl"
    other = {"type": "authorization", "id": "a", "time": EVENT["time"], "environment": "e", "system": "s", "agent": "x",
             "action": "y", "decision": "allow"}  # fmt: skip
    path.write_text(f"{json.dumps(other)}\nbroken\n{json.dumps({'type': 'usage', **EVENT})}\n", encoding="utf-8")
    found, stats = read(path, path)
    assert len(found) == 2
    assert dict(stats.others) == {"Authorization": 2}
    assert [bad.where for bad in stats.bad] == [f"{path}, line 2"] * 2


def test_otlp_lines_bring_their_model_calls(tmp_path: Path) -> None:
    """A file of a collector's exports: the tokens of each model call, under the tags of its resource."""
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 7}
    path = tmp_path / "spans.jsonl"
    path.write_bytes(request_json(span_json(1, 1, chat), resource={**RESOURCE, "cost-center": "4711"}) + b"\n")
    found: list[Usage] = []
    read = read_usage([path], found.append)
    assert (read.usage, read.rejected) == (1, 0)
    assert [(one.system, one.tags, one.input_tokens) for one in found] == [("support", {"cost-center": "4711"}, 7)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("u.csv", b"", "the file is empty"),
        ("u.csv", b"a,b\n1,2\n", "there is no column environment, id"),
        ("u.csv", b"\x89\xff,b\n1,2\n", "UTF-8"),
        ("u.parquet", b"no parquet", "u.parquet"),
    ],
)
def test_files_that_are_none_of_usage(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """Which file, and what it lacks."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageFileError, match=said):
        read(path)


def test_a_policy_file(tmp_path: Path) -> None:
    """Dates, tables and lists as TOML has them."""
    path = tmp_path / "policy.toml"
    path.write_text(
        """
        [tags.cost-center]
        pattern = "[0-9]{4}"
        since = 2026-01-01
        [[defaults]]
        system = "refunds"
        tags = {cost-center = "4711"}
        [commitments.east]
        units = 15
        usd_per_unit_hour = 1
        """,
        encoding="utf-8",
    )
    policy = load_policy(path)
    assert str(policy.tags["cost-center"].since) == "2026-01-01"
    assert policy.defaults[0].tags == {"cost-center": "4711"}
    assert policy.commitments["east"].units == 15
    assert list(load_policy(None).tags) == ["business-unit", "system", "environment", "cost-center"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tags.x]\nrequird = true", "tags.x.requird: there is no such key; did you mean 'required'?"),
        ("[tags.x]\npattern = '['", "tags.x.pattern: is no regular expression"),
        ("[commitments.c]\nusd_per_month = -1.0", "commitments.c.usd_per_month"),
        ("[commitments.c]\nusd_per_month = nan", "commitments.c.usd_per_month"),
        ("[commitments.c]", "commitments.c: needs either usd_per_month"),
        ("tags = [", "not valid TOML"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said(tmp_path: Path, text: str, said: str) -> None:
    """Where, what, and what to do."""
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert said in str(caught.value)


def test_a_policy_that_is_not_there_is_said(tmp_path: Path) -> None:
    """With its name."""
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.toml")
