"""The backtest: files in, firings and measures out, and every bad file explained."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from detectors.arrays import walk
from stream.backtest import Backtest, Config, make_detector, run
from stream.backtest import backtest as run_backtest
from stream.backtest_load import load_history
from stream.backtest_problems import BacktestError
from stream.backtest_text import text

START = 28_401_120
MINUTES = 900
LABEL = (600, 690)


def time(minute: int) -> str:
    return datetime.fromtimestamp((START + minute) * 60, UTC).isoformat().replace("+00:00", "Z")


def rows(sick: str = "f1") -> list[dict[str, object]]:
    """Three flows over fifteen hours; one escalates far too much for an hour and a half."""
    rng = np.random.default_rng(3)
    made: list[dict[str, object]] = []
    for flow in ("f0", "f1", "f2"):
        n = rng.poisson(8, MINUTES)
        rate = np.full(MINUTES, 0.04)
        if flow == sick:
            rate[slice(*LABEL)] = 0.35
        x = rng.binomial(n, rate)
        made += [
            {
                "time": time(minute),
                "environment": "prod",
                "system": "shop",
                "flow": flow,
                "interactions": int(n[minute]),
                "escalations": int(x[minute]),
            }
            for minute in range(MINUTES)
        ]
    return made


def write(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def backtest(counts: Path, labels: Path | None, detector: str, settings: Mapping[str, Any]) -> Backtest:
    return run_backtest(counts, labels, detector, Config("test.toml", settings))


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("history") / "counts.csv", rows())


def test_an_incident_is_found_and_measured(history: Path, tmp_path: Path):
    """The sick flow fires within its label: recall 1, no false alarm, a delay in minutes; and JSON holds it all."""
    label = {"start": time(LABEL[0]), "end": time(LABEL[1]), "environment": "prod", "system": "shop", "flow": "f1"}
    labels = write(tmp_path / "labels.csv", [label | {"kind": "8x"}])
    report = json.loads(json.dumps(backtest(history, labels, "escalation_rate", {}).to_json()))
    assert {firing["flow"] for firing in report["firings"]} == {"f1"}
    assert [firing["tier"] for firing in report["firings"]].count("page") == 1
    for firing in report["firings"]:
        assert firing["detector"] == "escalation_rate"
        assert time(LABEL[0]) < firing["start"] < firing["end"]
    page = report["metrics"]["page"]
    assert (page["recall"], page["false_alarms"], page["recall_by_kind"]) == (1.0, 0, {"8x": 1.0})
    assert 0 < page["time_to_detect_median"] < 30


def test_without_its_label_the_same_firing_is_false(history: Path, tmp_path: Path):
    """A firing that overlaps no label counts as a false alarm, and a label without a firing as missed."""
    label = {"start": time(100), "end": time(160), "environment": "prod", "system": "shop", "flow": "f0", "kind": "3x"}
    page = backtest(history, write(tmp_path / "labels.csv", [label]), "escalation_rate", {}).to_json()["metrics"][
        "page"
    ]
    assert (page["recall"], page["false_alarms"]) == (0.0, 1)


def test_parquet_and_csv_agree(history: Path, tmp_path: Path):
    """The same rows give the same firings from either format, in any order of rows."""
    records = rows()
    order = np.random.default_rng(1).permutation(len(records))
    table = pa.Table.from_pylist(
        [records[i] | {"time": datetime.fromisoformat(str(records[i]["time"]))} for i in order]
    )
    pa.parquet.write_table(table, tmp_path / "counts.parquet")
    left = backtest(history, None, "escalation_rate", {})
    right = backtest(tmp_path / "counts.parquet", None, "escalation_rate", {})
    assert left.to_json() == right.to_json()
    assert "metrics" not in left.to_json()


def test_it_fires_when_the_detector_fires(history: Path):
    """The firings are the claims of the very detector, at the same ticks, with both tiers of a page."""
    detector = make_detector("escalation_rate", {})
    view = load_history(history, "escalation_rate").view
    claims = [
        (tick, claim.change, claim.tier)
        for tick, _, found in walk(
            detector, load_history(history, "escalation_rate").view, range(view.start + 1, view.end + 1)
        )
        for claim in found
    ]
    firings = run(detector, view).firings
    opened = next(tick for tick, change, _ in claims if change == "opened")
    paged = next(tick for tick, _, tier in claims if tier == "page")
    ended = next(tick for tick, change, _ in claims if change == "recovered")
    assert [(one.tier, one.start, one.end) for one in firings] == sorted(
        [("warning", opened, ended), ("page", paged, ended)], key=lambda one: (one[1], one[0])
    )


def test_settings_change_what_fires(history: Path):
    """A threshold that nothing reaches silences the detector; a bad setting is refused with its path."""
    assert (
        backtest(history, None, "escalation_rate", {"warning_score": 299, "page_score": 299}).to_json()["firings"] == []
    )
    with pytest.raises(BacktestError, match=r"detectors\.escalation_rate\.page_scroe"):
        backtest(history, None, "escalation_rate", {"page_scroe": 4})
    with pytest.raises(BacktestError, match="there are escalation_rate"):
        backtest(history, None, "escalations", {})


def test_the_table_says_the_firings_in_words(history: Path):
    """The readable form names the flow and how many escalated."""
    shown = text(backtest(history, None, "escalation_rate", {}))
    assert "prod/shop/f1" in shown
    assert "escalated in" in shown


def test_rows_of_the_same_minute_add_up(tmp_path: Path):
    """Two rows for one series and minute count together; a minute without a row counts nothing."""
    one = rows()[0]
    path = write(tmp_path / "counts.csv", [one, one, one | {"time": time(5)}])
    view = load_history(path, "escalation_rate").view
    view.tick = view.end
    assert view.minutes(6)[0, :, 0].tolist() == [2 * int(str(one["interactions"])), 0, 0, 0, 0, one["interactions"]]


def test_every_problem_of_a_history_is_listed(tmp_path: Path):
    """Negative, fractional and impossible counts and empty names are reported together, each with column and row."""
    records = rows()[:6]
    records[1]["interactions"] = -3
    records[2]["escalations"] = 0.5
    records[3]["escalations"] = 10_000
    records[4]["flow"] = ""
    with pytest.raises(BacktestError) as caught:
        load_history(write(tmp_path / "counts.csv", records), "escalation_rate")
    message = str(caught.value)
    for part in (
        "column interactions, row 2: is negative (-3)",
        "column escalations, row 3: is not a whole number (0.5)",
        f"column escalations is more than interactions; minutes: 1, at {time(3)[:-1]}.000Z prod/shop/f0 (10000 of",
        "column flow, row 5: is empty",
    ):
        assert part in message


def test_unreadable_values_are_listed(tmp_path: Path):
    """A bad time and a bad number are named with row and value, whichever comes first."""
    records = rows()[:9]
    records[7]["time"] = "yesterday"
    records[3]["interactions"] = "many"
    with pytest.raises(BacktestError) as caught:
        load_history(write(tmp_path / "counts.csv", records), "escalation_rate")
    assert "column time, row 8: 'yesterday' is not a time" in str(caught.value)
    assert "column interactions, row 4: 'many' is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("counts.csv", "time,flow\n", "no column environment, system, interactions, escalations"),
        ("counts.csv", "time,environment,system,flow,interactions,escalations\n", "no rows"),
        ("counts.csv", "", "no column time"),
        ("counts.txt", "", "a history is a .parquet or a .csv file"),
        ("counts.parquet", "not parquet", "counts.parquet"),
    ],
)
def test_a_file_that_is_no_history_is_refused(tmp_path: Path, name: str, content: str, part: str):
    """Missing columns, no rows and other formats each have their message."""
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BacktestError, match=part):
        load_history(path, "escalation_rate")


def test_a_missing_file_is_named(tmp_path: Path):
    """A path that does not exist is named, for counts and for labels."""
    with pytest.raises(BacktestError, match="no such file"):
        load_history(tmp_path / "none.csv", "silence")
    with pytest.raises(BacktestError, match="no such file"):
        backtest(tmp_path / "none.csv", tmp_path / "none.csv", "silence", {})


def test_bad_labels_are_listed(history: Path, tmp_path: Path):
    """Every bad row of the labels is reported with its number and reason."""
    good = {"start": time(1), "end": time(2), "environment": "e", "system": "s", "flow": "f", "kind": "k"}
    bad = [good, good | {"start": "noon"}, good | {"end": time(0)}, good | {"flow": ""}, good | {"end": "2024-01-01"}]
    with pytest.raises(BacktestError) as caught:
        backtest(history, write(tmp_path / "labels.csv", bad), "escalation_rate", {})
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["row 2", "row 3", "row 4", "row 5"]
    with pytest.raises(BacktestError, match="no column end, environment"):
        backtest(history, write(tmp_path / "labels.csv", [{"start": time(1)}]), "escalation_rate", {})


def test_money_is_read_by_the_hour(tmp_path: Path):
    """A cost history becomes hours in micro-dollars, and the budget comes from the settings."""
    records: list[dict[str, object]] = [
        {"time": time(60 * hour + part), "environment": "e", "system": "s", "budget": "team", "cost_usd": 5.25}
        for hour in range(24 * 20)
        for part in (0, 30)
    ]
    path = write(tmp_path / "counts.csv", records)
    view = load_history(path, "burn_rate").view
    view.tick = view.end
    assert view.hours(2)[0, :, 1].tolist() == [10_500_000, 10_500_000]
    budgets = {"budgets": {"team": {"amount_usd": 4000}}}
    firings = backtest(path, None, "burn_rate", budgets).to_json()["firings"]
    assert [firing["tier"] for firing in firings] == ["page", "warning"]
    assert firings[0]["budget"] == "team"
    assert firings[0]["open"] is True
    assert backtest(path, None, "burn_rate", {"budgets": {"team": {"amount_usd": 9000}}}).to_json()["firings"] == []


def test_scores_are_read_in_points(tmp_path: Path):
    """Sums of points become thousandths and millionths; hours or minutes, as the file has them."""
    score = {"environment": "e", "system": "s", "flow": "f", "criterion": "tone"}
    records = [{"time": time(0)} | score | {"score_sum": 8.5, "score_sumsq": 36.25, "scores": 2}]
    view = load_history(write(tmp_path / "counts.csv", records), "evaluation_drop").view
    view.tick = view.end
    assert view.hours(1)[0, 0].tolist() == [2, 8500, 36_250_000]
    assert view.keys[0].labels() == score


def test_sums_that_were_rounded_are_no_error(tmp_path: Path):
    """One score of 4.6347 exported as a sum of 4.635 and a square of 21.480444 is a history, not a contradiction."""
    row = {"environment": "prod", "system": "shop", "flow": "f", "criterion": "tone"}
    made = [
        row | {"time": time(60 * hour), "score_sum": "4.635", "score_sumsq": "21.480444", "scores": 1}
        for hour in range(48)
    ]
    assert backtest(write(tmp_path / "c.csv", made), None, "evaluation_drop", {}).report.result.firings == ()


def test_squares_that_cannot_be_are_refused(tmp_path: Path):
    """Squares below what any scores with that sum have are a wrong column, and are said to be."""
    row = {"environment": "prod", "system": "shop", "flow": "f", "criterion": "tone"}
    made = [row | {"time": time(0), "score_sum": "8", "score_sumsq": "30", "scores": 2}]
    with pytest.raises(BacktestError, match="score_sumsq"):
        backtest(write(tmp_path / "c.csv", made), None, "evaluation_drop", {})
