"""What people hand to a backtest: exports with holes, labels of elsewhere, a flow that fell silent, no budgets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from stream.backtest import Backtest, Config, backtest
from stream.backtest_load import load_history
from stream.backtest_problems import BacktestError
from stream.cli import app
from tests.unit.test_backtest import time, write

DAY = 1440
FLOW = {"environment": "prod", "system": "shop", "flow": "refund"}


def row(minute: int, interactions: Any = 5, escalations: Any = 0, flow: str = "refund") -> dict[str, Any]:
    return {"time": time(minute)} | FLOW | {"flow": flow, "interactions": interactions, "escalations": escalations}


def label(start: str, end: str, **more: str) -> dict[str, str]:
    return {"start": start, "end": end} | FLOW | {"kind": "x"} | more


def ran(folder: Path, labels: list[dict[str, str]] | None, **more: Any) -> Backtest:
    """A steady day of one flow, measured against labels."""
    counts = write(folder / "counts.csv", [row(minute, 8, int(minute % 25 == 0)) for minute in range(DAY)])
    path = None if labels is None else write(folder / "labels.csv", labels)
    return backtest(counts, path, "escalation_rate", Config("test.toml", {}), **more)


def refused(folder: Path, records: list[Mapping[str, Any]], detector: Any = "escalation_rate") -> str:
    with pytest.raises(BacktestError) as caught:
        load_history(write(folder / "counts.csv", records), detector)
    return str(caught.value)


def test_more_escalations_than_interactions_are_named_by_place(tmp_path: Path):
    """The first five minutes are named with their counts, all are counted, and the message says what to do."""
    message = refused(tmp_path, [row(minute, 1, 2 if minute < 7 else 0) for minute in range(30)])
    assert "minutes: 7, at" in message
    assert message.count("(2 of 1)") == 5
    assert "and 2 more" in message
    assert "in the minute of its interaction" in message


def test_what_adds_up_is_possible(tmp_path: Path):
    """Interactions in one row and their escalations in another are one minute, and no contradiction."""
    counts = write(tmp_path / "counts.csv", [row(0, 5, 0), row(0, 0, 2)])
    history = load_history(counts, "escalation_rate")
    assert any("repeat the series and minute" in note for note in history.notes)


def test_a_hole_in_the_export_is_a_note(tmp_path: Path):
    """Where no series has a row for an hour or more, the place and the length are said; a shorter hole is not."""
    counts = write(tmp_path / "counts.csv", [row(0), row(40), row(400)])
    (note,) = load_history(counts, "escalation_rate").notes
    assert time(41)[:16] in note
    assert "359 min" in note
    assert time(1)[:16] not in note


def test_one_row_of_another_year_is_refused_at_once(tmp_path: Path):
    """A history of decades of minutes would run for hours: it is an error, which says from when to when it goes."""
    message = refused(tmp_path, [row(0), row(1) | {"time": "1971-01-01T00:00:00Z"}])
    assert "1971-01-01" in message
    assert "another year" in message


def test_empty_and_unreadable_cells_are_listed_together(tmp_path: Path):
    """An empty cell and a word in the same column are two problems, each with its row."""
    message = refused(tmp_path, [row(0), row(1, ""), row(2, "NA"), row(3) | {"time": "2024-01-01T00:00"}])
    assert "column interactions, row 2: is empty" in message
    assert "column interactions, row 3: 'NA' is not a number" in message
    assert "column time, row 4: '2024-01-01T00:00' has no zone" in message


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("c.csv", b"\xff\xfet\x00i\x00", "UTF-16"),
        ("c.csv", "time,environment,system,flow,interactions,escalations\nZürich".encode("latin-1"), "c.csv"),
        ("c.csv", b"time;environment;system\n", "separated by commas"),
        ("c.csv", b"time,environment,system,flow,flow,interactions,escalations\n", "more than one column flow"),
        ("c.csv", b"time,environment,system,flow,interactions,escalations", "no rows"),
        ("c.csv", b"PAR1....", "name it .parquet"),
        ("c.parquet", b"time,environment", "no Parquet file"),
    ],
)
def test_files_of_another_kind_are_told_apart(tmp_path: Path, name: str, content: bytes, part: str):
    """Encodings, separators and formats that are not meant each have their own message."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BacktestError, match=part):
        load_history(tmp_path / name, "escalation_rate")


def test_parquet_columns_of_the_wrong_type_are_all_named(tmp_path: Path):
    """Numbers as text, times as numbers and names as fractions are refused together, not guessed at."""
    table = pa.table({"time": [1], "environment": ["e"], "system": ["s"], "flow": [1.5], "interactions": ["1"]})
    pa.parquet.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(BacktestError) as caught:
        load_history(tmp_path / "c.parquet", "silence")
    for part in ("column time holds int64", "column flow holds double", "column interactions holds string"):
        assert part in str(caught.value)


def test_parquet_times_without_a_zone_are_utc_and_said_to_be(tmp_path: Path):
    """A timestamp that names no zone is taken as UTC, with a note."""
    moment = datetime.fromisoformat(time(5)).replace(tzinfo=None)
    record = row(0) | {"time": moment}
    pa.parquet.write_table(pa.Table.from_pylist([record]), tmp_path / "c.parquet")
    history = load_history(tmp_path / "c.parquet", "escalation_rate")
    history.view.tick = history.view.end
    assert int(history.view.first_minute[0]) * 60 == int(moment.replace(tzinfo=UTC).timestamp())
    assert any("UTC" in note for note in history.notes)


def test_labels_of_another_zone_are_the_same_moment(tmp_path: Path):
    """09:00+02:00 and 07:00Z are one label, counted once."""
    day = time(0)[:10]
    found = ran(
        tmp_path, [label(f"{day}T09:00:00+02:00", f"{day}T10:00:00+02:00"), label(f"{day}T07:00Z", f"{day}T08:00Z")]
    )
    (incident,) = found.to_json()["incidents"]
    assert incident["start"] == f"{day}T07:00:00.000Z"
    assert any("repeat another" in note for note in found.notes)


def test_labels_of_unknown_series_count_as_missed_and_are_named(tmp_path: Path):
    """A mistyped flow lowers the recall, and the note names what may have been meant."""
    good, bad = label(time(60), time(90)), label(time(60), time(90), flow="refnud")
    found = ran(tmp_path, [good, bad])
    assert found.to_json()["metrics"]["page"]["incidents"] == 2
    assert any("did you mean prod/shop/refund" in note for note in found.notes)
    with pytest.raises(BacktestError, match="none of the labels fits"):
        ran(tmp_path, [bad])


def test_labels_outside_the_history_are_left_out(tmp_path: Path):
    """A list of the whole year is fine: what lies elsewhere is counted in a note; where all does, it is an error."""
    inside, outside = label(time(60), time(90)), label("2001-01-01T00:00Z", "2001-01-01T01:00Z")
    found = ran(tmp_path, [inside, outside])
    assert len(found.to_json()["incidents"]) == 1
    assert any("outside" in note for note in found.notes)
    with pytest.raises(BacktestError, match="no label lies in what is measured"):
        ran(tmp_path, [outside])


def test_since_measures_what_comes_after(tmp_path: Path):
    """Earlier labels and series-weeks do not count; a moment outside the history is an error."""
    start = int(datetime.fromisoformat(time(0)).timestamp()) // 60
    found = ran(tmp_path, [label(time(60), time(90)), label(time(900), time(930))], since=start + DAY // 2).to_json()
    assert len(found["incidents"]) == 1
    assert found["metrics"]["page"]["series_weeks"] == pytest.approx(0.5 / 7, abs=1e-3)
    with pytest.raises(BacktestError, match="lies outside"):
        ran(tmp_path, None, since=0)


def test_a_flow_that_is_silent_for_a_week_fires_once(tmp_path: Path):
    """Of three flows one stops for a week: silence opens minutes later, ends at its return, and says nothing else."""
    gap = range(8 * DAY, 15 * DAY)
    counts = [
        row(minute, 2, flow=flow)
        for minute in range(0, 16 * DAY, 5)
        for flow in ("f0", "f1", "f2")
        if flow != "f1" or minute not in gap
    ]
    labels = [label(time(gap.start), time(gap.stop), flow="f1")]
    found = backtest(
        write(tmp_path / "counts.csv", counts), write(tmp_path / "l.csv", labels), "silence", Config("test.toml", {})
    ).to_json()
    pages = [one for one in found["firings"] if one["tier"] == "page"]
    assert [one["flow"] for one in pages] == ["f1"]
    assert time(gap.start) < pages[0]["start"] < time(gap.start + 180)
    assert found["metrics"]["page"]["recall"] == 1.0
    assert found["metrics"]["page"]["by_size"][0]["size"] == "1,000 and more"


def test_budgets_without_amounts_are_an_error(tmp_path: Path):
    """Without an amount nothing can be over it: the message shows what to write, not an empty result."""
    path = write(
        tmp_path / "c.csv", [{"time": time(0), "environment": "e", "system": "s", "budget": "team", "cost_usd": 1}]
    )
    with pytest.raises(BacktestError, match=r"\[budgets\.team\]"):
        backtest(path, None, "burn_rate", Config("test.toml", {}))


def test_scores_need_no_criterion_where_there_is_one(tmp_path: Path):
    """Labels by flow alone fit a flow of one criterion; of two they must say which."""
    base = {"environment": "prod", "system": "shop", "flow": "refund"}
    scores = {"score_sum": 8, "score_sumsq": 32, "scores": 2}
    records = [{"time": time(60 * hour)} | base | {"criterion": "tone"} | scores for hour in range(48)]
    labels = write(tmp_path / "l.csv", [label(time(600), time(900))])
    found = backtest(write(tmp_path / "c.csv", records), labels, "evaluation_drop", Config("test.toml", {}))
    assert found.to_json()["incidents"][0]["criterion"] == "tone"
    records += [one | {"criterion": "correctness"} for one in records]
    with pytest.raises(BacktestError, match="correctness, tone"):
        backtest(write(tmp_path / "c.csv", records), labels, "evaluation_drop", Config("test.toml", {}))


@pytest.mark.parametrize(
    ("more", "code", "part"),
    [
        (["--detector", "silense"], 2, "there are escalation_rate"),
        (["--detector", "escalation_rate", "--since", "yesterday"], 2, "not a time with a zone"),
        (["--detector", "escalation_rate", "--plot", "picture.jpg"], 1, ".png"),
        (["--detector", "escalation_rate", "--labels", "none.csv"], 1, "no such file"),
    ],
)
def test_the_command_explains_itself_on_standard_error(tmp_path: Path, more: list[str], code: int, part: str):
    """A wrong command line exits 2, a file that cannot be used 1, and standard output stays empty."""
    counts = write(tmp_path / "counts.csv", [row(minute) for minute in range(90)])
    done = CliRunner().invoke(app, ["backtest", "--counts", str(counts), *more])
    assert (done.exit_code, done.stdout) == (code, "")
    assert part in done.stderr
