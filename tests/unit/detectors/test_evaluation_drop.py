"""`evaluation_drop`: its windows, its numbers, its versions."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.arrays import ArrayView, HourView
from detectors.base import Claim, Detector
from detectors.evaluation_drop import EvaluationDrop, EvaluationDropByVersion, EvaluationDropSettings
from schemas.series import SeriesKey
from tests.support.detectors import DAY, START, run

HOURS = 20 * 24


def scored(daily: float, mean: np.ndarray, seed: int = 1) -> np.ndarray:
    """Counts [H, 3] of `daily` scores a day about `mean` [H], standard deviation 0.7."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(daily / 24, len(mean))
    hour = np.repeat(np.arange(len(mean)), n)
    units = np.rint(1000 * np.clip(mean[hour] + rng.normal(0, 0.7, len(hour)), 1, 5))
    sums = (np.bincount(hour, units**power, len(mean)) for power in (1, 2))
    return np.stack([n, *(one.astype(np.int64) for one in sums)], axis=1)


def claims_of(detector: Detector, rows: dict[tuple[str, ...], np.ndarray]) -> list[tuple[float, SeriesKey, Claim]]:
    keys = [SeriesKey(detector.kind, "prod", "s", dims) for dims in rows]
    view = HourView(detector.kind, keys, np.stack(list(rows.values())), START)
    step = 60
    claims = run(detector, view, range(view.start + step, view.end + 1, step))
    return [((tick - START) / DAY, key, claim) for tick, key, claim in claims]


def fallen(size: float, day: int = 16) -> np.ndarray:
    mean = np.full(HOURS, 4.0)
    mean[day * 24 :] -= size
    return mean


@pytest.mark.parametrize(("daily", "size", "hours"), [(400, 1.0, 8), (60, 0.6, 24), (12, 1.0, 50)])
def test_a_drop_is_found_in_time(daily: float, size: float, hours: int):
    """Many scores tell within hours, few within two days."""
    day, _, claim = claims_of(EvaluationDrop(), {("f", "tone"): scored(daily, fallen(size))})[0]
    assert 16 < day <= 16 + hours / 24
    assert claim.observed < claim.threshold < claim.baseline
    assert claim.baseline == pytest.approx(4.0, abs=0.2)


def test_the_claimed_z_is_the_formula():
    """The z of a claim follows from the counts of its window and of the fourteen days that ended a day before."""
    counts = scored(200, fallen(0.8))
    day, _, claim = claims_of(EvaluationDrop(), {("f", "tone"): counts})[0]
    hour = round(day * 24)
    window, base = counts[hour - claim.evidence["window_hours"] : hour], counts[hour - 360 : hour - 24]
    k, m = window[:, 0].sum(), base[:, 0].sum()
    mean, mu = window[:, 1].sum() / k / 1000, base[:, 1].sum() / m / 1000
    variance = (base[:, 2].sum() / m / 1e6 - mu**2) * m / (m - 1)
    z = (mu - 0.15 - mean) / np.sqrt(variance / k + variance / m + 0.05**2)
    assert (claim.sample_count, claim.baseline_count) == (k, m)
    assert claim.evidence["z"] == pytest.approx(z, rel=1e-4)


def test_a_small_drop_is_no_news():
    """A drop of a tenth of a point is within the margin, however many scores there are."""
    assert claims_of(EvaluationDrop(), {("f", "tone"): scored(500, fallen(0.1))}) == []


def test_too_few_scores_make_no_baseline():
    """Without thirty scores to compare with there is no claim."""
    assert claims_of(EvaluationDrop(), {("f", "tone"): scored(1.2, fallen(2.0))}) == []


def test_the_current_hour_counts_from_its_minutes():
    """Between full hours the minutes of the current one are in the window: a drop need not wait for the hour."""
    rng = np.random.default_rng(2)
    n = rng.poisson(0.5, (1, 16 * DAY))
    mean = np.where(np.arange(16 * DAY) < 15 * DAY, 4.0, 2.0)
    units = np.rint(1000 * (mean + rng.normal(0, 0.5, n.shape))).astype(np.int64)
    view = ArrayView(
        "score", [SeriesKey("score", "p", "s", ("f", "tone"))], np.stack([n, n * units, n * units**2], 2), START
    )
    tick, _, claim = run(EvaluationDrop(), view, range(START + 15, START + 16 * DAY + 1, 15))[0]
    assert tick % 60 != 0
    assert claim.sample_count == n[0, claim.window_start_minute - START : tick - START].sum()


def test_a_new_version_is_compared_with_the_whole():
    """A version without a past is measured against all versions of its flow; the old one beside it is left alone."""
    new = scored(200, fallen(0.9), seed=2)
    new[: 16 * 24] = 0
    rows: dict[tuple[str, ...], np.ndarray] = {("f", "tone", "v1"): scored(200, fallen(0.0)), ("f", "tone", "v2"): new}
    claims = claims_of(EvaluationDropByVersion(), rows)
    assert {key.dims[2] for _, key, _ in claims} == {"v2"}
    assert claims[0][0] < 17
    assert claims[0][2].evidence["version"] == "v2"
    assert "of version v2" in claims[0][2].summary


def test_one_version_of_a_flow_speaks_at_a_time():
    """Two bad versions of one flow do not open together, so that no two firings are alike; other flows may speak."""
    rows: dict[tuple[str, ...], np.ndarray] = {}
    for flow in ("f", "g"):
        rows[flow, "tone", "v0"] = scored(300, fallen(0.0))
        for version in ("v1", "v2"):
            bad = scored(200, fallen(1.2), seed=len(rows))
            bad[: 16 * 24] = 0
            rows[flow, "tone", version] = bad
    opened = [
        (day, key.dims[0]) for day, key, claim in claims_of(EvaluationDropByVersion(), rows) if claim.change == "opened"
    ]
    assert len(opened) == len(set(opened))
    assert {flow for _, flow in opened} == {"f", "g"}


def test_the_whole_and_its_versions_look_in_different_minutes():
    """The two never make a claim at the same tick."""
    ticks = {}
    for detector in (EvaluationDrop(), EvaluationDropByVersion()):
        dims = ("f", "tone") if detector.kind == "score" else ("f", "tone", "v1")
        minute = np.zeros((1, 17 * DAY, 3), dtype=np.int64)
        minute[0, ::60] = scored(300, fallen(1.0, 15)[: 17 * 24])
        view = ArrayView(detector.kind, [SeriesKey(detector.kind, "p", "s", dims)], minute, START)
        ticks[detector.kind] = {tick for tick, _, _ in run(detector, view, range(START + 5, START + 17 * DAY + 1, 5))}
    assert ticks["score"]
    assert ticks["score_version"]
    assert not ticks["score"] & ticks["score_version"]


def test_no_scores_say_nothing():
    """Without scores a firing neither ends nor is there a new one: silence is no recovery."""
    counts = scored(200, fallen(1.0))
    counts[17 * 24 :] = 0
    changes = [
        claim.change for _, _, claim in claims_of(EvaluationDrop(EvaluationDropSettings()), {("f", "tone"): counts})
    ]
    assert changes == ["opened"]


def test_a_new_version_cannot_have_fallen_before_it_came():
    """Bad from its first score on, in the middle of an hour: the onset is in that hour and not before the version."""
    old, new = np.zeros((2, 17 * DAY, 3), dtype=np.int64)
    old[::60] = scored(600, fallen(0.0))[: 17 * 24]
    came = 16 * DAY + 26
    new[came : came + 60 : 2] = (2, 2 * 2600, 2 * 2600**2)
    keys = [SeriesKey("score_version", "p", "s", ("f", "tone", version)) for version in ("v1", "v2")]
    view = ArrayView("score_version", keys, np.stack([old, new]), START)
    claims = run(EvaluationDropByVersion(), view, range(START + 15 * DAY + 5, START + 17 * DAY, 5))
    _, key, claim = next(found for found in claims if found[2].change == "opened")
    assert key.dims[2] == "v2"
    assert START + came <= claim.onset_minute < claim.fired_minute < START + came + 60
