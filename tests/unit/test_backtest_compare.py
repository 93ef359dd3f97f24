"""Two configurations side by side, the size of incidents, and the picture of a backtest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream.backtest import Backtest, Config
from stream.backtest import backtest as run_backtest
from stream.backtest_plot import draw
from stream.backtest_problems import BacktestError
from stream.cli import app
from tests.unit.test_backtest import LABEL, rows, time, write

DEAF = {"warning_score": 299.0, "page_score": 299.0}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A history with one incident, and its label."""
    folder = tmp_path_factory.mktemp("compared")
    label = {"start": time(LABEL[0]), "end": time(LABEL[1]), "environment": "prod", "system": "shop", "flow": "f1"}
    return write(folder / "counts.csv", rows()), write(folder / "labels.csv", [label | {"kind": "8x"}])


def compared(files: tuple[Path, Path], other: dict[str, float], *, labelled: bool = True) -> Backtest:
    labels = files[1] if labelled else None
    return run_backtest(files[0], labels, "escalation_rate", Config("this", {}), Config("other", other))


def test_what_only_one_configuration_finds_is_said(files: tuple[Path, Path]):
    """Beside a detector that never fires, the incident and its firing are this configuration's alone."""
    found = compared(files, DEAF).to_json()["compare"]
    assert [one["flow"] for one in found["found_by_one"]["page"]["only_this"]] == ["f1"]
    assert found["found_by_one"]["page"]["only_other"] == []
    assert len(found["matched"]["page"]["only_this"]) == 1
    assert found["matched"]["page"]["both"] == 0
    assert found["difference"]["page"]["recall"] == -1.0
    assert {one["key"] for one in found["settings"]} == {"warning_score", "page_score"}


def test_a_configuration_beside_itself_differs_in_nothing(files: tuple[Path, Path]):
    """All firings match, and every difference is zero or unknown on both sides."""
    found = compared(files, {}).to_json()["compare"]
    assert found["settings"] == []
    for tier in ("warning", "page"):
        assert found["matched"][tier] == {"both": 1, "only_this": [], "only_other": []}
        assert not any(found["difference"][tier].values())


def test_without_labels_firings_are_matched_all_the_same(files: tuple[Path, Path]):
    """Who has no labels sees which firings only one configuration has."""
    found = compared(files, DEAF, labelled=False).to_json()["compare"]
    assert "found_by_one" not in found
    assert len(found["matched"]["page"]["only_this"]) == 1
    assert found["difference"]["page"]["firings"] == -1


def test_the_size_of_an_incident_is_measured_from_the_counts(files: tuple[Path, Path]):
    """The label says 8x; what counts is the rate during it over the rate before it: .35 over .04."""
    report = compared(files, {}).to_json()
    sizes = [row for row in report["metrics"]["page"]["by_size"] if row["incidents"]]
    assert len(sizes) == 1
    assert sizes[0]["size"] == "5x and more"
    assert sizes[0]["recall"] == 1.0


@pytest.mark.parametrize("kind", ["png", "svg", "html"])
def test_a_picture_is_the_same_in_every_run(files: tuple[Path, Path], tmp_path: Path, kind: str):
    """The same backtest gives the same bytes, and a page needs no other file."""
    found = compared(files, DEAF)
    for name in ("one", "two"):
        draw(found, tmp_path / f"{name}.{kind}")
    content = (tmp_path / f"one.{kind}").read_bytes()
    assert content == (tmp_path / f"two.{kind}").read_bytes()
    if kind == "png":
        assert content.startswith(b"\x89PNG")
    else:
        text = content.decode()
        assert "Paged" in text
        assert not any(part in text for part in ("<script", 'src="', "url(http", "<link"))


@pytest.mark.parametrize(
    ("name", "series", "part"),
    [
        ("picture.pdf", (), ".html"),
        ("nowhere/picture.png", (), "there is no directory"),
        ("picture.png", ("prod/shop/f9",), "prod/shop/f"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_explained(
    files: tuple[Path, Path], tmp_path: Path, name: str, series: tuple[str, ...], part: str
):
    """An unknown form, a missing folder, an unknown series: each says what there is instead, and writes nothing."""
    with pytest.raises(BacktestError, match=part):
        draw(compared(files, {}), tmp_path / name, series)
    assert not (tmp_path / name).exists()


def test_the_command_compares_and_draws(files: tuple[Path, Path], tmp_path: Path):
    """`--compare`, `--labels`, `--plot` and `--json` together: one object on standard output, a picture in its file."""
    other = tmp_path / "deaf.toml"
    other.write_text("[detectors.escalation_rate]\nwarning_score = 299.0\npage_score = 299.0\n")
    picture = tmp_path / "picture.png"
    arguments = ["backtest", "--counts", str(files[0]), "--labels", str(files[1]), "--detector", "escalation_rate"]
    run = CliRunner().invoke(app, [*arguments, "--compare", str(other), "--plot", str(picture), "--json"])
    assert run.exit_code == 0, run.output
    said = json.loads(run.stdout)
    assert said["compare"]["difference"]["page"]["recall"] == -1.0
    assert picture.stat().st_size > 10_000


def test_series_without_a_plot_is_a_wrong_command_line(files: tuple[Path, Path]):
    """`--series` says what to draw: without `--plot` it is an error, not silence."""
    run = CliRunner().invoke(
        app, ["backtest", "--counts", str(files[0]), "--detector", "escalation_rate", "--series", "prod/shop/f1"]
    )
    assert run.exit_code == 2
    assert "--plot" in run.output
