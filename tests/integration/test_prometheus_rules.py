"""The alert rules, tried by Prometheus's own engine: each alert fires in its own trouble, and none when all is well."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.exposed import RULES, rules, unknown
from tests.support.promtool import promtool

MINUTES: Final = 600
"""Length of each story, in minutes."""

JOB: Final = 'job="midwatch"'

CALM: Final = {
    f"up{{{JOB}}}": f"1x{MINUTES}",
    'up{job="midwatch-sinks"}': f"1x{MINUTES}",
    'up{job="midwatch-ingest"}': f"0x{MINUTES}",
    f"midwatch_build_info{{{JOB}}}": f"1x{MINUTES}",
    f'midwatch_heartbeat_timestamp_seconds{{{JOB}, shard="0"}}': f"0+60x{MINUTES}",
    f'midwatch_heartbeat_timestamp_seconds{{{JOB}, shard="1"}}': f"0+60x{MINUTES}",
    f'midwatch_dependency_up{{{JOB}, dependency="kafka"}}': f"1x{MINUTES}",
    f'midwatch_consumer_lag_records{{{JOB}, topic="agent.usage"}}': f"90000x{MINUTES}",
    f"midwatch_ingest_paused{{{JOB}}}": f"0x{MINUTES}",
    f'midwatch_records_read_total{{{JOB}, topic="agent.usage"}}': f"0+6000x{MINUTES}",
    f'midwatch_dead_letters_total{{{JOB}, reason="malformed_json"}}': f"0+30x{MINUTES}",
    f'midwatch_series_refused_total{{{JOB}, kind="flow"}}': f"7x{MINUTES}",
    f'midwatch_detector_failures_total{{{JOB}, detector="silence"}}': f"1x{MINUTES}",
    f'midwatch_checks_total{{{JOB}, check="eval_score_trend", status="error"}}': f"0+1x{MINUTES}",
    f'midwatch_checks_total{{{JOB}, check="eval_score_trend", status="evaluated"}}': f"0+3x{MINUTES}",
    f"midwatch_usage_unpriced_total{{{JOB}}}": f"9x{MINUTES}",
    f"midwatch_usage_cost_usd_total{{{JOB}}}": f"0+10x{MINUTES}",
    f'midwatch_usage_untagged_usd_total{{{JOB}, tag="cost-center"}}': f"0+0.4x{MINUTES}",
    'midwatch_budget_spent_usd{budget="b", environment="p", system="s"}': f"900x{MINUTES}",
    'midwatch_budget_amount_usd{budget="b", environment="p", system="s"}': f"1000x{MINUTES}",
    'midwatch_judge_circuit{midwatch_judge_circuit="closed"}': f"1x{MINUTES}",
    'midwatch_judge_changed{criterion="tone"}': f"0x{MINUTES}",
    'midwatch_judge_anchor_error{criterion="tone"}': f"0.6x{MINUTES}",
    'midwatch_judge_unscored_total{reason="timeout"}': f"0+4x{MINUTES}",
    'midwatch_judge_judgements_total{status="scored", method="logprobs"}': f"0+10x{MINUTES}",
    'midwatch_sink_up{sink="pager"}': f"1x{MINUTES}",
    'midwatch_sink_oldest_waiting_seconds{sink="pager"}': f"20x{MINUTES}",
    'midwatch_sink_undelivered_total{sink="pager", reason="refused"}': f"2x{MINUTES}",
}
"""A night without trouble, not without noise: every alert's own metrics are there, below what it asks for."""

FIRING: Final = 'midwatch_firing{detector="escalation_rate", environment="p", system="s", series="f", tier="%s"}'

TROUBLE: Final[dict[str, dict[str, str | None]]] = {
    "MidwatchWatchdog": {},
    "MidwatchDown": {name: None for name in CALM if JOB in name},
    "MidwatchStalled": {
        f'midwatch_heartbeat_timestamp_seconds{{{JOB}, shard="{shard}"}}': f"0+60x500 30000x{MINUTES - 500}"
        for shard in (0, 1)
    },
    "MidwatchShardStalled": {
        f'midwatch_heartbeat_timestamp_seconds{{{JOB}, shard="1"}}': f"0+60x500 30000x{MINUTES - 500}"
    },
    "MidwatchPartDown": {'up{job="midwatch-sinks"}': f"1x500 0x{MINUTES - 500}"},
    "MidwatchSettingsDiffer": {f'midwatch_build_info{{{JOB}, config_hash="another"}}': f"1x{MINUTES}"},
    "MidwatchDependencyDown": {f'midwatch_dependency_up{{{JOB}, dependency="kafka"}}': f"1x500 0x{MINUTES - 500}"},
    "MidwatchLagging": {f'midwatch_consumer_lag_records{{{JOB}, topic="agent.usage"}}': f"0+1000x{MINUTES}"},
    "MidwatchIngestPaused": {f"midwatch_ingest_paused{{{JOB}}}": f"1x{MINUTES}"},
    "MidwatchDeadLetters": {f'midwatch_dead_letters_total{{{JOB}, reason="malformed_json"}}': f"0+90x{MINUTES}"},
    "MidwatchFleetSilent": {
        f'midwatch_records_read_total{{{JOB}, topic="agent.usage"}}': f"0+6000x550 3300000x{MINUTES - 550}",
        f'midwatch_dead_letters_total{{{JOB}, reason="malformed_json"}}': f"0x{MINUTES}",
    },
    "MidwatchCapReached": {f'midwatch_series_refused_total{{{JOB}, kind="flow"}}': f"7x580 8x{MINUTES - 580}"},
    "MidwatchDetectorFailing": {f'midwatch_detector_failures_total{{{JOB}, detector="silence"}}': f"0+1x{MINUTES}"},
    "MidwatchCheckFailing": {
        f'midwatch_checks_total{{{JOB}, check="eval_score_trend", status="error"}}': f"0+4x{MINUTES}"
    },
    "MidwatchUsageUnpriced": {f"midwatch_usage_unpriced_total{{{JOB}}}": f"0+5x{MINUTES}"},
    "MidwatchUntaggedSpend": {
        f'midwatch_usage_untagged_usd_total{{{JOB}, tag="cost-center"}}': f"0+0.6x{MINUTES}",
    },
    "MidwatchFiring": {FIRING % "page": f"1x{MINUTES}"},
    "MidwatchBudgetOverrun": {
        'midwatch_budget_spent_usd{budget="b", environment="p", system="s"}': f"1001x{MINUTES}",
    },
    "MidwatchJudgeDown": {'midwatch_judge_circuit{midwatch_judge_circuit="closed"}': f"0x{MINUTES}"},
    "MidwatchSinkDown": {'midwatch_sink_up{sink="pager"}': f"1x500 0x{MINUTES - 500}"},
    "MidwatchSinkLate": {'midwatch_sink_oldest_waiting_seconds{sink="pager"}': f"0+1x{MINUTES}"},
    "MidwatchVerdictsUndelivered": {
        'midwatch_sink_undelivered_total{sink="pager", reason="refused"}': f"2x590 3x{MINUTES - 590}"
    },
    "MidwatchJudgeChanged": {'midwatch_judge_changed{criterion="tone"}': f"1x{MINUTES}"},
    "MidwatchJudgeFarFromAnchors": {'midwatch_judge_anchor_error{criterion="tone"}': f"1.4x{MINUTES}"},
    "MidwatchJudgeSilent": {'midwatch_judge_unscored_total{reason="timeout"}': f"0+6x{MINUTES}"},
}
"""By alert: the series that are otherwise than in a calm night; None takes one away."""


ALERTS: Final = sorted({rule["alert"] for rule in rules() if "alert" in rule})


def story(name: str, changes: dict[str, str | None], firing: list[str]) -> dict[str, Any]:
    """One test of promtool's: the calm night with changes, and the alerts that fire at its end."""
    series = {key: value for key, value in {**CALM, **changes}.items() if value is not None}
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "promql_expr_test": [
            {
                "expr": 'max by (alertname) (ALERTS{alertstate="firing"} > 0)',
                "eval_time": f"{MINUTES}m",
                "exp_samples": samples,
            }
        ],
    }


def run(tmp_path: Path, stories: list[dict[str, Any]]) -> str:
    """Nothing if Prometheus's engine agrees with every story, else what it says."""
    path = tmp_path / "stories.yml"
    files = [str(rule) for rule in RULES]
    path.write_text(
        yaml.safe_dump({"rule_files": files, "evaluation_interval": "1m", "tests": stories}, width=10_000), "utf-8"
    )
    done = promtool("test", "rules", path)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_a_calm_night_sets_off_the_watchdog_alone(tmp_path: Path) -> None:
    """Noise below every threshold wakes nobody; the dead man's switch fires all the time."""
    assert run(tmp_path, [story("calm", {}, ["MidwatchWatchdog"])]) == ""


def test_every_alert_has_a_trouble() -> None:
    """A new alert without a story fails here."""
    assert sorted(TROUBLE) == ALERTS


@pytest.mark.parametrize("alert", TROUBLE)
def test_an_alert_fires_in_its_own_trouble(alert: str, tmp_path: Path) -> None:
    """Alone but for the watchdog and what follows from it."""
    besides = {"MidwatchStalled": ["MidwatchShardStalled"], "MidwatchDown": []}
    firing = sorted({"MidwatchWatchdog", alert, *besides.get(alert, [])})
    assert run(tmp_path, [story(alert, TROUBLE[alert], firing)]) == ""


def test_a_story_can_fail(tmp_path: Path) -> None:
    """An alert that should fire and does not is said."""
    assert "MidwatchDown" in run(tmp_path, [story("calm", {}, ["MidwatchWatchdog", "MidwatchDown"])])


def test_a_warning_is_no_page(tmp_path: Path) -> None:
    """The severity is the detector's tier."""
    firing = story("warning", {FIRING % "warning": f"1x{MINUTES}"}, [])
    expr = 'max by (severity) (ALERTS{alertname="MidwatchFiring", alertstate="firing"})'
    firing["promql_expr_test"] = [
        {"expr": expr, "eval_time": "60m", "exp_samples": [{"labels": '{severity="warning"}', "value": 1}]}
    ]
    assert run(tmp_path, [firing]) == ""


def test_prometheus_finds_nothing_wrong_with_the_rules() -> None:
    """Prometheus's own check, with all its hints."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_it_means(alert: str) -> None:
    """By the mixins' convention: a common first word, a severity, a one-line summary and a description."""
    assert re.fullmatch(r"Midwatch[A-Z]\w+", alert)
    for rule in (rule for rule in rules() if rule.get("alert") == alert):
        assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}
        summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
        assert "\n" not in summary
        assert len(summary) < 140
        assert description.rstrip().endswith(".")


def test_the_rules_ask_for_metrics_that_there_are() -> None:
    """A renamed metric breaks this, not the night in which its alert is missed."""
    for rule in rules():
        assert unknown(rule["expr"]) == set()
