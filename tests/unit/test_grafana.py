"""The dashboards ask for metrics that there are, in words that Prometheus takes, and follow Grafana's shape."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import rjsonnet
import yaml
from typer.testing import CliRunner

from stream.cli import app
from stream.grafana.export import BOARDS
from stream.grafana.panels import GRID_WIDTH, Board
from tests.support.exposed import RULES, rules, unknown
from tests.support.promtool import promtool

ROOT = Path(__file__).parents[2]
by_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board.uid))


def asked(board: Board) -> list[str]:
    """Every expression of a board, its choices among them."""
    queries = [query.expr for panel in board.panels() for query in panel.queries]
    return [*queries, *(variable.metric for variable in board.variables)]


@by_board
def test_every_metric_is_there(board: Board) -> None:
    """A renamed metric breaks this, and not the panel of somebody who was woken."""
    assert {name for expression in asked(board) for name in unknown(expression)} == set()


def test_a_renamed_metric_is_noticed() -> None:
    """The test above can fail."""
    assert unknown("sum(midwatch_records_red_total)") == {"midwatch_records_red_total"}
    assert unknown("flow:midwatch_escalation:ratio3m") == {"flow:midwatch_escalation:ratio3m"}


@by_board
def test_prometheus_takes_every_expression(board: Board, tmp_path: Path) -> None:
    """Each is written as a rule, its choices filled in, and read by Prometheus's own parser."""
    filled = [re.sub(r"\$__rate_interval", "5m", re.sub(r"\$(job|environment|system)", ".*", e)) for e in asked(board)]
    found = [{"record": f"board:midwatch_{number}", "expr": expr} for number, expr in enumerate(filled)]
    path = tmp_path / "board.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": found}]}), encoding="utf-8")
    done = promtool("check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@by_board
def test_panels_do_not_overlap_and_say_what_they_show(board: Board) -> None:
    """Every panel has a title, a sentence, a place of its own within 24 columns, and a number of its own."""
    panels: list[dict[str, Any]] = board.to_json()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_WIDTH
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
    assert len({panel["id"] for panel in panels}) == len(panels)


@by_board
def test_the_data_source_is_chosen_by_whoever_looks(board: Board) -> None:
    """No board is tied to one Prometheus, and counters are rated over Grafana's own interval or a fixed span."""
    text = json.dumps(board.to_json())
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {board.uid, "${datasource}"}
    spans = re.findall(r"\brate\(\w+(?:\{[^}]*\})?\[([^\]]+)\]", text.replace('\\"', "'"))
    assert set(spans) <= {"$__rate_interval"}


def test_export_writes_what_compose_and_the_mixin_read(tmp_path: Path) -> None:
    """One file a board; Grafana's provisioning looks where compose mounts them, and the mixin imports those names."""
    done = CliRunner().invoke(app, ["grafana", "export", str(tmp_path / "boards"), "--json"])
    assert done.exit_code == 0, done.output
    written = {Path(path).name for path in json.loads(done.output)["dashboards"]}
    assert written == {f"{board.uid}.json" for board in BOARDS}
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/midwatch.yml").read_text("utf-8"))
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["grafana"]
    folder = provider["providers"][0]["options"]["path"]
    assert f"dashboards:{folder}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert Path(home).parent == Path(folder)
    assert Path(home).name in written


def test_export_says_where_it_cannot_write(tmp_path: Path) -> None:
    """A file in the way is named, with a failure."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = CliRunner().invoke(app, ["grafana", "export", str(tmp_path / "file" / "below")])
    assert done.exit_code == 1
    assert "below" in done.stderr


def test_the_mixin_holds_every_rule_and_board(tmp_path: Path) -> None:
    """By its convention: prometheusAlerts, prometheusRules and grafanaDashboards, and a switch for the incidents."""
    shutil.copytree(RULES[0].parent, tmp_path / "prometheus/rules")
    (tmp_path / "mixin").mkdir()
    shutil.copy(ROOT / "deploy/mixin/mixin.libsonnet", tmp_path / "mixin")
    CliRunner().invoke(app, ["grafana", "export", str(tmp_path / "mixin/dashboards")])
    mixin = f"(import '{tmp_path}/mixin/mixin.libsonnet')"

    def of(expression: str) -> Any:
        return json.loads(rjsonnet.evaluate_snippet("test", expression))

    groups = of(f"{mixin}.prometheusAlerts.groups + {mixin}.prometheusRules.groups")
    assert sum(len(group["rules"]) for group in groups) == len(rules())
    fewer = of(f"({mixin} + {{ _config+:: {{ pageByPrometheus: false }} }}).prometheusAlerts.groups")
    assert "midwatch-incidents" not in {group["name"] for group in fewer}
    assert set(of(f"{mixin}.grafanaDashboards")) == {f"{board.uid}.json" for board in BOARDS}
