"""Anchors: known scores, the judge's distance from them, and the judgement that it has changed."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from evaluation.anchor_watch import AnchorWatch
from evaluation.anchors import MIN_SHIFT, anchor_errors, judge_anchors, judge_shifts, shipped_anchors
from evaluation.anchors_command import look
from evaluation.budget import PlaneStore
from evaluation.criteria import shipped
from evaluation.judge_metrics import JudgeMetrics
from evaluation.metrics import PlaneMetrics
from evaluation.pacing import Budget
from evaluation.purse import Purse
from evaluation.scripted import ScriptedJudge
from evaluation.scripted_server import Fault, by_rules, scripted_server
from stream.settings import load_settings
from tests.support.judges import judge_at

CRITERIA = shipped()
NAMESPACE = {"MIDWATCH_REDIS__NAMESPACE": "anchors-restart"}
ROOT = Path(__file__).parents[3]
NAMES = [f"a{number}" for number in range(8)]


def _round(*scores: float) -> dict[tuple[str, str], float]:
    return {(name, "tone"): score for name, score in zip(NAMES, scores, strict=False)}


def test_each_anchor_has_known_scores_for_the_shipped_criteria() -> None:
    """Both ends of each scale are there, so that a judge that always says the same is far from them."""
    for criterion in CRITERIA:
        known = {anchor.known[criterion.name] for anchor in shipped_anchors()}
        assert max(known) == 5
        assert min(known) <= 2


async def test_the_error_is_the_mean_distance() -> None:
    """A judge that says 3 to everything is as far off as the known scores are from 3."""
    anchors = shipped_anchors()
    scores = {(anchor.name, "tone"): 3.0 for anchor in anchors}
    expected = sum(abs(anchor.known["tone"] - 3) for anchor in anchors) / len(anchors)
    assert anchor_errors(scores, anchors) == {"tone": pytest.approx(expected)}


async def test_the_scripted_judge_is_within_its_alert() -> None:
    """The demonstration's judge does not set off the alert on anchors."""
    scores = await judge_anchors(ScriptedJudge(), CRITERIA, shipped_anchors())
    assert all(error <= 1 for error in anchor_errors(scores, shipped_anchors()).values())


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        ((5, 1, 3, 5, 4, 3, 3, 5), False),
        ((4, 1, 2, 4, 3, 2, 2, 4), True),
        ((4.8, 1.2, 3, 4.9, 4.1, 3.2, 2.8, 5), False),
        ((1, 5, 3, 5, 4, 3, 3, 5), False),
        ((4, 1, 2), False),
    ],
    ids=["the same", "harsher throughout", "wavers", "two changed places", "too few"],
)
def test_a_change_is_a_shift_beyond_wavering(now: tuple[float, ...], changed: bool) -> None:
    """A shift of all scores counts; noise, and three anchors, do not."""
    (shift,) = judge_shifts(_round(5, 1, 3, 5, 4, 3, 3, 5), _round(*now))
    assert shift.changed == changed


@given(st.lists(st.floats(1, 5), min_size=8, max_size=8), st.lists(st.floats(1, 5), min_size=8, max_size=8))
def test_a_change_has_a_size_and_looks_the_same_backwards(before: list[float], now: list[float]) -> None:
    """No change below the smallest shift, and the way back is the same shift with the other sign."""
    (there,), (back,) = judge_shifts(_round(*before), _round(*now)), judge_shifts(_round(*now), _round(*before))
    assert there.mean == pytest.approx(-back.mean)
    assert there.changed == back.changed
    assert not there.changed or abs(there.mean) >= MIN_SHIFT


async def test_the_metrics_tell_of_a_judge_that_became_harsher() -> None:
    """First round the reference, second a point lower throughout: error, shift and change are shown, by criterion."""
    async with scripted_server() as server, judge_at(server, total_seconds=50) as judge:
        watch = AnchorWatch(judge, CRITERIA, judge.metrics)
        await watch.round()
        value = judge.metrics.registry.get_sample_value
        tone = {"criterion": "tone"}
        before = value("midwatch_judge_anchor_error", tone)
        assert before is not None
        assert value("midwatch_judge_changed", tone) is None

        def harsher(system: str, user: str, names: Any) -> dict[str, int]:
            return {name: max(1, score - 2) for name, score in by_rules(system, user, names).items()}

        server.opinion = harsher
        await watch.round()
        assert value("midwatch_judge_changed", tone) == 1
        assert (value("midwatch_judge_anchor_shift", tone) or 0) < -1
        assert (value("midwatch_judge_anchor_error", tone) or 0) > before


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    """Each name in the rules is one that the judge exposes."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/judge.yml").read_text(encoding="utf-8"))
    asked = {
        name
        for group in rules["groups"]
        for rule in group["rules"]
        for name in re.findall(r"midwatch_\w+", rule["expr"])
    }
    metrics = JudgeMetrics()
    exposed = {f"{one.name}_total" if one.type == "counter" else one.name for one in metrics.registry.collect()}
    assert asked
    assert asked <= exposed


async def test_a_judge_that_is_away_has_not_changed() -> None:
    """A round without scores says nothing."""
    async with scripted_server() as server, judge_at(server, attempts=1) as judge:
        watch = AnchorWatch(judge, CRITERIA, judge.metrics)
        await watch.round()
        server.always = Fault("server_error")
        await watch.round()
        assert judge.metrics.registry.get_sample_value("midwatch_judge_changed", {"criterion": "tone"}) is None
        assert judge.metrics.registry.get_sample_value("midwatch_judge_anchor_rounds_total") == 2


def _harsher(system: str, user: str, names: Any) -> dict[str, int]:
    return {name: max(1, score - 2) for name, score in by_rules(system, user, names).items()}


async def test_a_restart_does_not_forget_what_the_drift_is_measured_against(embedded_redis: Any) -> None:
    """The judge changes while the plane is down: the first round of the new process tells. A reset begins anew."""
    redis = Redis.from_url(embedded_redis.url)
    changed = {"criterion": "tone"}
    async with scripted_server() as server:
        for harsh, expected in ((False, None), (True, 1), ("reset", 0)):
            store = PlaneStore(redis, "anchors-restart", f"process-{harsh}", time.monotonic)
            if harsh:
                server.opinion = _harsher
            if harsh == "reset":
                settings = load_settings(None, {"MIDWATCH_REDIS__URL": embedded_redis.url, **NAMESPACE})
                known = await look(settings, reset=True)
                assert [number for number, _ in known.means.values()] == [8, 8, 8]
                assert not (await look(settings, reset=False)).means
            async with judge_at(server, total_seconds=50) as judge:
                await AnchorWatch(judge, CRITERIA, judge.metrics, None, store).round()
                found = judge.metrics.registry.get_sample_value("midwatch_judge_changed", changed)
                assert found == (0 if expected is None else expected)
    await redis.aclose()


async def test_anchors_are_paid_for_and_left_out_when_the_budget_is_spent(embedded_redis: Any) -> None:
    """Their tokens are the day's; with room for none, the judge is not asked, and that is counted."""
    redis = Redis.from_url(embedded_redis.url)
    store = PlaneStore(redis, "anchors-budget", "me", time.monotonic)
    async with scripted_server() as server, judge_at(server, total_seconds=50) as judge:
        value = judge.metrics.registry.get_sample_value

        def taken() -> float:
            ways = ("input", "output")
            return sum(value("midwatch_judge_call_tokens_total", {"direction": way}) or 0 for way in ways)

        for tokens, asked in ((None, len(shipped_anchors())), (1, 0)):
            server.requests.clear()
            purse = Purse(f"p-{tokens}", Budget(tokens, None), 100, 3, store, PlaneMetrics(), lambda: 1_767_614_400.0)
            await AnchorWatch(judge, CRITERIA, judge.metrics, purse, store).round()
            assert len(server.requests) == asked
            spent = await store.spent(f"p-{tokens}", purse.day)
            assert spent is not None
            assert spent.tokens == (taken() if asked else 0)
        assert value("midwatch_judge_anchors_skipped_total") == len(shipped_anchors())
    await redis.aclose()
