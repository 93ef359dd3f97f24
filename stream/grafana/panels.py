"""The parts of a Grafana dashboard as data: a panel, what it asks Prometheus, and how they become Grafana's JSON.

Shapes are those of Grafana's dashboard schema, version 41. Nothing here knows Midwatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from schemas.base import JsonObject

SCHEMA_VERSION: Final = 41
GRID_WIDTH: Final = 24
DATASOURCE: Final[JsonObject] = {"type": "prometheus", "uid": "${datasource}"}

PanelType = Literal["timeseries", "stat", "table", "bargauge"]
Unit = Literal["percentunit", "short", "currencyUSD", "s", "bytes", "reqps", "ops", "none"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus; `legend` in Grafana's `{{label}}` form. `dashed` lines are what is expected.

    `exemplars` shows examples beside the line: the incident, firing or trace that it counts.
    """

    expr: str
    legend: str
    dashed: bool = False
    instant: bool = False
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `width` of 24 columns, `height` in grid rows. `description` is what a reader needs to judge it.

    `steps` colours values from a level on, by name of colour; the first stands for everything below.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: Unit
    kind: PanelType = "timeseries"
    width: int = 12
    height: int = 8
    low: float | None = 0.0
    high: float | None = None
    steps: Sequence[tuple[float | None, str]] = ((None, "green"),)
    stacked: bool = False


def stat(title: str, description: str, query: Query, unit: Unit, steps: Sequence[tuple[float | None, str]]) -> Panel:
    """One number, a quarter of the width, coloured by its level."""
    return Panel(title, description, (query,), unit, kind="stat", width=6, height=5, steps=steps)


def quantiles(histogram: str, matchers: str) -> tuple[Query, Query]:
    """The 99th percentile and the median of a histogram (its name without `_bucket`), over Grafana's own interval."""
    rates = f"sum by (le) (rate({histogram}_bucket{{{matchers}}}[$__rate_interval]))"
    return Query(f"histogram_quantile(0.99, {rates})", "p99"), Query(f"histogram_quantile(0.5, {rates})", "median")


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the dashboard: the values of `label` on `metric`, narrowed by the matchers in it."""

    name: str
    label: str
    metric: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. `uid` never changes: links hang on it."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = field(default_factory=tuple)
    span: str = "now-3h"

    def panels(self) -> tuple[Panel, ...]:
        """All panels, in order."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def to_json(self) -> JsonObject:
        """What Grafana reads."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["midwatch"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": self.span, "to": "now"},
            "timezone": "browser",
            "templating": {"list": [_datasource(), *map(_variable, self.variables)]},
            "annotations": {"list": [_alerts()]},
            "links": [
                {
                    "title": "Midwatch",
                    "type": "dashboards",
                    "tags": ["midwatch"],
                    "asDropdown": True,
                    "includeVars": True,
                    "keepTime": True,
                }
            ],
            "panels": _laid_out(self.rows),
        }


def _laid_out(rows: Sequence[Row]) -> list[JsonObject]:
    """Panels from left to right, row by row, each with its place and a number of its own."""
    found: list[JsonObject] = []
    y = 0
    for row in rows:
        heading = {"h": 1, "w": GRID_WIDTH, "x": 0, "y": y}
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": heading,
                "panels": [],
            }
        )
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > GRID_WIDTH:
                x, y, tallest = 0, y + tallest, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            found.append(_panel(panel, len(found) + 1, place))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _panel(panel: Panel, number: int, place: JsonObject) -> JsonObject:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": DATASOURCE,
        "targets": [_target(query, letter) for letter, query in zip("ABCDEFGH", panel.queries, strict=False)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": [*map(_dashed, _dashed_letters(panel))]},
        "options": _options(panel),
    }


def _target(query: Query, letter: str) -> JsonObject:
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "editorMode": "code",
        "range": not query.instant,
        "instant": query.instant,
        **({"exemplar": True} if query.exemplars else {}),
        **({"format": "table"} if query.instant else {}),
    }


def _defaults(panel: Panel) -> JsonObject:
    steps = [{"value": value, "color": color} for value, color in panel.steps]
    defaults: JsonObject = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.low is not None:
        defaults["min"] = panel.low
    if panel.high is not None:
        defaults["max"] = panel.high
    if panel.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 2,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    else:
        defaults["color"] = {"mode": "thresholds"}
    return defaults


def _dashed_letters(panel: Panel) -> list[str]:
    return [letter for letter, query in zip("ABCDEFGH", panel.queries, strict=False) if query.dashed]


def _dashed(letter: str) -> JsonObject:
    return {
        "matcher": {"id": "byFrameRefID", "options": letter},
        "properties": [
            {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
            {"id": "custom.lineWidth", "value": 1},
        ],
    }


def _options(panel: Panel) -> JsonObject:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm"}
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if panel.kind == "bargauge":
        return {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": reduce}
    return {"colorMode": "value", "graphMode": "area", "textMode": "auto", "reduceOptions": reduce}


def _datasource() -> JsonObject:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "refresh": 1,
    }


def _variable(variable: Variable) -> JsonObject:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": variable.name},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
    }


def _alerts() -> JsonObject:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Midwatch.+", alertname!="MidwatchWatchdog", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{system}} {{series}}",
        "step": "60s",
    }
