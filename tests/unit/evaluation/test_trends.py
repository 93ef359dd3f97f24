"""Trends: means weighted back by bucket, flow and version; read out of Redis; shown."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evaluation.trends import Cell, Place, Question, trends
from schemas.base import JsonObject
from schemas.series import rate_of
from stream.cli import app
from stream.core.ticks import rfc3339
from tests.support.shards import open_shards, shard_settings
from tests.unit.adapters.events import INTERACTION

HOUR = 492_000
PLACE = Place("production", "refunds", "refund", "tone", "v1")
ALL = Question(HOUR, HOUR + 48, 24)

scores = st.lists(
    st.tuples(st.integers(0, 47), st.sampled_from([0, 8, 17]), st.sampled_from(["v1", "v2"]), st.integers(1, 5)),
    min_size=1,
    max_size=60,
)


def _cells(drawn: list[tuple[int, int, str, int]]) -> list[Cell]:
    """A cell for each score."""
    return [
        Cell(PLACE._replace(version=version), HOUR + hour, rate_of(stratum), 1, 1000 * score, 1_000_000 * score**2)
        for hour, stratum, version, score in drawn
    ]


@given(scores, st.randoms(use_true_random=False))
def test_a_mean_weighs_each_score_by_one_over_its_rate(drawn: list[tuple[int, int, str, int]], random: Any) -> None:
    """Of all, of each version and of each bucket; the buckets hold every score once; the order of cells is nothing."""
    found = trends(_cells(drawn), ALL)
    shuffled = list(drawn)
    random.shuffle(shuffled)
    assert [trend.to_json() for trend in trends(_cells(shuffled), ALL)] == [trend.to_json() for trend in found]
    for trend in found:
        mine = [one for one in drawn if trend.version in (None, one[2])]
        for mean, some in [
            (trend.whole, mine),
            *(
                (b, [one for one in mine if b.start_ms <= (HOUR + one[0]) * 3_600_000 < b.end_ms])
                for b in trend.buckets
            ),
        ]:
            weight = math.fsum(1 / rate_of(stratum) for _, stratum, _, _ in some)
            expected = math.fsum(score / rate_of(stratum) for _, stratum, _, score in some) / weight
            assert mean.summary.count == len(some)
            assert mean.summary.mean == pytest.approx(expected)
            assert (mean.low is None) or 1 <= mean.low <= mean.summary.mean + 1e-9
        assert sum(bucket.summary.count for bucket in trend.buckets) == len(mine)
        assert sum(number for _, number in trend.rates) == len(mine)
    assert len(found) == (3 if len({one[2] for one in drawn}) == 2 else 1)


def test_a_thinned_day_does_not_look_like_worse_work() -> None:
    """Ten times as many bad ones are drawn of the escalated: the plain mean is 2.7, the weighted one what was done."""
    cells = [Cell(PLACE, HOUR, 1.0, 40, 80_000, 160_000_000), Cell(PLACE, HOUR, 1 / 16, 10, 50_000, 250_000_000)]
    (trend,) = trends(cells, ALL)
    assert trend.whole.summary.mean == pytest.approx((40 * 2 + 160 * 5) / 200)
    assert trend.rates == ((1.0, 40), (1 / 16, 10))


def test_only_what_is_asked_for_is_told() -> None:
    """Time, place and version choose; a bucket at the edge says from when and to when it speaks."""
    cells = [Cell(PLACE, HOUR + hour, 1.0, 2, 8_000, 32_000_000) for hour in (-1, 0, 5, 47, 48)]
    cells += [Cell(PLACE._replace(flow="other"), HOUR, 1.0, 1, 1_000, 1_000_000)]
    (trend,) = trends(cells, Question(HOUR + 3, HOUR + 48, 24, flow="refund", version="v1"))
    assert trend.version == "v1"
    assert [bucket.summary.count for bucket in trend.buckets] == [2, 2]
    assert trend.buckets[0].start_ms == (HOUR + 3) * 3_600_000
    assert trends(cells, Question(HOUR, HOUR + 48, 24, criterion="correctness")) == []
    with pytest.raises(ValueError, match="more than 1,000 buckets"):
        Question(0, 5000, 1)


DAY_MS = 24 * 3_600_000
LAST_MS = 1_772_366_400_000
"""2026-03-01T12:00Z."""


def _score(number: int, at_ms: int, score: float, **more: Any) -> JsonObject:
    where = {"environment": "production", "system": "refunds", "flow": "refund", "criterion": "tone", "version": "v1"}
    return {"type": "evaluation", "id": f"e-{number}", "time": rfc3339(at_ms), "score": score, **where, **more}


async def test_what_the_engine_holds_is_shown(embedded_redis: Any, tmp_path: Path) -> None:
    """Scores of three days, by the command, in words and as JSON; nothing of it disturbs the engine."""
    settings = shard_settings(embedded_redis.url, "trends")
    sampled = {"rate": 0.25, "purpose": "sample", "uniform": False}
    events = [_score(n, LAST_MS - (n % 3) * DAY_MS, 2.0 + n % 3) for n in range(30)]
    events += [_score(30 + n, LAST_MS, 5.0, sampling=sampled, version="v2") for n in range(8)]
    # A score moves no watermark: an interaction does.
    closing = {**INTERACTION, "id": "closing", "time": rfc3339(LAST_MS + 600_000)}
    config = tmp_path / "midwatch.toml"
    config.write_text(
        f'[redis]\nurl = "{embedded_redis.url}"\nnamespace = "trends"\n[engine]\nshards = {settings.engine.shards}\n'
    )

    async def run(*words: str) -> tuple[int, str, str]:
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["evaluate", "trends", "--config", str(config), *words]
        )
        return result.exit_code, result.stdout, result.stderr

    async with open_shards(settings) as shards:
        await shards.take([*sorted(events, key=lambda event: str(event["time"])), closing])
        await shards.evaluate()
        code, out, err = await run("--json", "--system", "refunds")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert [trend["version"] for trend in found["trends"]] == [None, "v1", "v2"]
        assert found["trends"][0]["scores"] == 38
        assert found["trends"][0]["rates"] == [{"rate": 1.0, "scores": 30}, {"rate": 0.25, "scores": 8}]
        assert [bucket["mean"] for bucket in found["trends"][1]["buckets"]] == [4.0, 3.0, 2.0]
        last = found["trends"][0]["buckets"][-1]
        assert last["mean"] == pytest.approx((10 * 2 + 8 * 5 / 0.25) / (10 + 8 / 0.25), abs=1e-3)
        code, out, _ = await run("--version", "v1", "--bucket", "1d", "--since", "36h")
        assert code == 0
        assert "tone  production/refunds, refund, version v1" in out
        assert out.count("10 scores") == 2
        code, out, err = await run("--criterion", "mood")
        assert (code, out) == (1, "")
        assert "production/refunds refund tone" in err
        assert "buckets of 6 h" in (await run())[1]
        for words in (["--bucket", "90m"], ["--since", "soon"], ["--since", "1h", "--until", "2h"]):
            assert (await run(*words))[0] == 2
