"""`escalation_rate`: what its formulas promise beyond the common contract."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.arrays import walk
from detectors.base import Claim, State
from detectors.baseline import Baseline, BaselineConstants, cap
from detectors.escalation_rate import EscalationRate, EscalationRateSettings
from tests.support.detectors import DAY, START, Counts, run, view_of


def history(volume: float, rate: np.ndarray, seed: int = 1, series: int = 1) -> Counts:
    """Counts of `series` flows with the same volume and rates [M]."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(volume, (series, len(rate)))
    return np.stack([n, rng.binomial(n, rate), np.zeros_like(n)], axis=2)


def steady(minutes: int, rate: float = 0.04) -> np.ndarray:
    return np.full(minutes, rate)


def claims_of(counts: Counts, **settings: object) -> list[tuple[int, Claim]]:
    detector = EscalationRate(EscalationRateSettings.model_validate(settings))
    view = view_of(detector, counts)
    return [
        (tick - START, claim) for tick, _, claim in run(detector, view, range(START + 1, START + counts.shape[1] + 1))
    ]


def memory_after(counts: Counts) -> State:
    """The memory of a detector that never fires, so that nothing is frozen."""
    detector = EscalationRate(EscalationRateSettings(warning_score=299, page_score=299))
    *_, (_, memory, _) = walk(detector, view_of(detector, counts), range(START + 5, START + counts.shape[1] + 1, 5))
    return memory


def test_the_claimed_score_is_the_exact_tail():
    """The score of a claim is SciPy's negative-binomial tail of its own numbers, less the price of the looks."""
    rate = steady(900)
    rate[700:760] = 0.3
    counts = history(8.0, rate)
    detector = EscalationRate()
    view = view_of(detector, counts)
    for _, memory, claims in walk(detector, view, range(START + 1, START + 901)):
        for claim in claims:
            if claim.change == "recovered":
                continue
            evidence = claim.evidence
            w = evidence["window_minutes"]
            assert counts[0, view.tick - START - w : view.tick - START, 1].sum() == evidence["events"]
            shape = 1 / (float(memory["doubt"][0]) + float(memory["flutter"][0]) / w)
            mean = 1.4 * float(memory["rate"][0]) * claim.sample_count
            tail = -stats.nbinom.logsf(evidence["events"] - 1, shape, shape / (shape + mean)) / np.log(10)
            assert evidence["score"] == pytest.approx(tail - max(0, np.log10(30 / w)), rel=1e-4)
            assert claim.confidence == pytest.approx(1 - 10 ** -evidence["score"], abs=1e-5)


def test_the_rate_is_learned():
    """After two days the expected rate is the true one within its error, whatever the fleet's prior was."""
    memory = memory_after(history(20.0, steady(2 * DAY, 0.08), series=3))
    assert memory["rate"] == pytest.approx(0.08, rel=0.12)


def test_the_hour_of_the_day_is_learned():
    """A flow that escalates thrice as often at night is expected to, and its night does not fire."""
    night = (np.arange(8 * DAY) // 60 % 24) < 6
    counts = history(20.0, np.where(night, 0.12, 0.04))
    assert [tick for tick, _ in claims_of(counts) if tick > 4 * DAY] == []
    season_x, season_e = (memory_after(counts)[name][0] for name in ("season_x", "season_e"))
    factor = season_x / season_e
    assert factor[1:5].mean() / factor[8:22].mean() == pytest.approx(3, rel=0.25)


def test_learning_waits_half_an_hour():
    """Nothing of the last thirty minutes is in the baseline: a change there does not change it."""
    calm, wild = history(20.0, steady(DAY)), history(20.0, steady(DAY))
    wild[0, -30:, 1] = wild[0, -30:, 0]
    assert np.array_equal(memory_after(calm)["level_x"], memory_after(wild)["level_x"])


def test_one_burst_is_capped():
    """Five minutes of nothing but escalations count as no more than the cap."""
    calm, wild = history(20.0, steady(DAY)), history(20.0, steady(DAY))
    wild[0, -40:-35, 1] = wild[0, -40:-35, 0]
    gain = float(memory_after(wild)["level_x"][0] - memory_after(calm)["level_x"][0])
    expected = 0.04 * wild[0, -40:-35, 0].sum()
    assert gain <= cap(np.array([1.3 * expected]))[0]


def test_the_baseline_is_frozen_while_open_and_thaws_at_the_cap():
    """A shift that stays keeps its firing for the freeze, is then learned, and the firing ends for good."""
    rate = steady(5 * DAY)
    rate[DAY:] = 0.16
    events = [(tick, claim.change) for tick, claim in claims_of(history(20.0, rate), freeze_hours=12) if tick > 600]
    assert [change for _, change in events if change != "raised"] == ["opened", "recovered"]
    opened, recovered = events[0][0], events[-1][0]
    assert DAY < opened < DAY + 30
    assert opened + 12 * 60 < recovered < opened + 48 * 60


def test_both_scales_of_scatter_are_learned():
    """Lasting scatter and fast flutter are told apart: each grows where it is, and without any both are small."""
    rng = np.random.default_rng(5)
    minutes = 4 * DAY
    fast = np.clip(0.05 * rng.gamma(2, 0.5, minutes), 0, 0.6)
    slow = np.clip(np.repeat(0.05 * rng.gamma(4, 0.25, minutes // 60), 60), 0, 0.6)
    flutter, lasting = {}, {}
    for name, rate in {"none": steady(minutes, 0.05), "fast": fast, "slow": slow}.items():
        memory = memory_after(history(200.0, rate, seed=2))
        flutter[name] = float(memory["flutter"][0])
        lasting[name] = float(memory["doubt"][0])
    assert flutter["fast"] > 0.3 > 0.1 > flutter["none"]
    assert lasting["slow"] > 0.05 > lasting["none"]


def test_clumps_are_learned_and_do_not_page():
    """Where escalations come three at a time the clump factor says so, and two clumps in a row are no news."""
    rng = np.random.default_rng(3)
    single, clumped = (history(4.0, steady(8 * DAY, 0.003), seed=2, series=6) for _ in range(2))
    clumped[..., 1] = np.minimum(3 * rng.poisson(clumped[..., 0] * 0.001), clumped[..., 0])
    factors = {name: memory_after(counts)["clump"] for name, counts in (("one", single), ("three", clumped))}
    assert factors["one"].max() < 1.3
    assert factors["three"].min() > 2
    assert not [claim for tick, claim in claims_of(clumped) if tick > 4 * DAY and claim.tier == "page"]


@pytest.mark.parametrize(("spread", "fires"), [([30], False), ([15, 15], False), ([10, 10, 10], True)])
def test_one_bad_minute_is_no_incident(spread: list[int], fires: bool):
    """Thirty escalations in one minute or two of a calm flow do not open; the same over three minutes do."""
    counts = history(30.0, steady(2 * DAY, 0.02), seed=6, series=2)
    counts[0, DAY + 230 : DAY + 320, 1] = 0
    counts[0, DAY + 300 : DAY + 300 + len(spread), 1] = spread
    opened = [tick for tick, claim in claims_of(counts) if claim.series == 0 and DAY + 300 < tick < DAY + 320]
    assert bool(opened) is fires


def test_telemetry_in_batches_is_still_seen():
    """A flow that reports once an hour has one minute to show an incident in, and shows it."""
    counts = history(0.0, steady(6 * DAY, 0.0), series=2)
    rng = np.random.default_rng(8)
    n = rng.poisson(300.0, (2, 6 * 24))
    rate = np.full(6 * 24, 0.04)
    rate[5 * 24 + 6 : 5 * 24 + 9] = 0.3
    counts[:, ::60, 0] = n
    counts[0, ::60, 1] = rng.binomial(n[0], rate)
    counts[1, ::60, 1] = rng.binomial(n[1], 0.04)
    opened = [(tick, claim) for tick, claim in claims_of(counts) if claim.change == "opened" and tick > 3 * DAY]
    assert [claim.series for _, claim in opened] == [0]
    assert 5 * DAY + 360 < opened[0][0] <= 5 * DAY + 430


@pytest.mark.parametrize(("escalations", "fires"), [(9, False), (10, True)])
def test_the_literal_rule_wants_its_count(escalations: int, fires: bool):
    """Ten escalations at three times the rate fire, nine at more than that do not."""
    counts = history(0.0, steady(2 * DAY, 0.0))
    counts[0, :, 0] = 10
    counts[0, : DAY + DAY // 2 : 30, 1] = 3
    counts[0, DAY + DAY // 2 + 29, 1] = escalations
    counts[0, DAY + DAY // 2 : DAY + DAY // 2 + 30, 0] = 10 if escalations == 10 else 8
    assert bool(claims_of(counts[:, : DAY + DAY // 2 + 30], rule="ratio")) is fires


@pytest.mark.parametrize(("volume", "escalations", "threshold"), [(10, 30, 0.1), (2, 12, 10 / 60)])
def test_the_threshold_of_the_literal_rule_is_the_rule(volume: int, escalations: int, threshold: float):
    """Three times the day's rate of 1/30, or ten escalations of the half hour's sixty where that is more."""
    counts = history(0.0, steady(2 * DAY, 0.0))
    counts[0, :, 0] = volume
    counts[0, : DAY // 3 * volume // 10, 1] = 1
    counts[0, DAY : DAY + escalations, 1] = 1
    [claim] = [claim for _, claim in claims_of(counts[:, : DAY + 30], rule="ratio")]
    assert claim.threshold == pytest.approx(threshold, rel=1e-5)
    assert claim.unit == "escalations per interaction"
    assert claim.observed >= claim.threshold


@pytest.mark.parametrize(("before", "fires"), [(480, True), (481, False)])
def test_the_literal_rule_fires_at_three_times_exactly(before: int, fires: bool):
    """30 of 300 against 480 of 14,400 is 3x to the digit and fires; one escalation more in the day is less than 3x."""
    counts = history(0.0, steady(2 * DAY, 0.0))
    counts[0, :, 0] = 10
    counts[0, :before, 1] = 1
    counts[0, DAY : DAY + 30, 1] = 1
    assert [tick for tick, _ in claims_of(counts[:, : DAY + 30], rule="ratio")] == ([DAY + 30] if fires else [])


def test_the_literal_rule_needs_a_day_with_escalations():
    """Without one escalation in the last 24 full hours there is no ratio, so nothing fires."""
    counts = history(0.0, steady(DAY + 60, 0.0))
    counts[0, :, 0] = 10
    counts[0, DAY : DAY + 30, 1] = 5
    assert claims_of(counts[:, : DAY + 30], rule="ratio") == []


@pytest.mark.parametrize("rule", ["scan", "ratio"])
def test_every_claim_states_the_literal_ratio(rule: str):
    """Whichever rule decides, a claim says the ratio of 30 minutes to its baseline, and whether that is 3x."""
    rate = steady(2 * DAY)
    rate[DAY + 600 : DAY + 700] = 0.3
    claims = [claim for _, claim in claims_of(history(20.0, rate), rule=rule)]
    assert claims
    for claim in claims:
        assert claim.ratio_30m is not None
        assert claim.meets_3x is (claim.ratio_30m >= 3)


def test_the_literal_rule_is_the_literal_rule():
    """`rule = "ratio"` fires at the first minute where 30 minutes run at 3x the 24 full hours, on ten escalations."""
    rate = steady(3 * DAY)
    rate[2 * DAY + 200 : 2 * DAY + 320] = 0.2
    counts = history(10.0, rate, seed=4)
    n, x = counts[0, :, 0], counts[0, :, 1]
    expected = next(
        tick
        for tick in range(DAY, 3 * DAY)
        if x[tick - 30 : tick].sum() >= 10
        and x[tick - 30 : tick].sum() / n[tick - 30 : tick].sum()
        >= 3 * x[(h := tick // 60 * 60) - DAY : h].sum() / n[h - DAY : h].sum()
    )
    tick, claim = next((tick, claim) for tick, claim in claims_of(counts, rule="ratio") if tick > DAY)
    assert tick == expected
    assert claim.tier == "page"
    assert claim.meets_3x
    assert claim.ratio_30m == pytest.approx(claim.observed / claim.baseline, rel=1e-4)
    assert claim.threshold >= 2.9 * claim.baseline


def test_a_new_fleet_does_not_page_before_anything_is_known_of_it():
    """A system that escalates a quarter of everything by design is learned, not paged, from its first minute on."""
    assert claims_of(history(30.0, steady(600, 0.25), series=2)) == []


def test_a_young_series_says_that_it_borrows():
    """A series with twelve minutes of history and no chance of a baseline says so in its words."""
    rate = steady(2000)
    counts = history(30.0, rate, series=4)
    counts[3, :1900] = 0
    counts[3, 1900:, 1] = counts[3, 1900:, 0] // 2
    claim = next(claim for _, claim in claims_of(counts) if claim.change == "opened")
    assert "borrows the fleet's rate" in claim.summary
    assert claim.evidence["fleet_share"] > 0.5
    assert claim.baseline == pytest.approx(0.04, rel=0.3)


def test_the_fleet_is_no_giants_own():
    """A series of huge volume does not set the fleet's rate alone."""
    state = Baseline(BaselineConstants())
    memory = EscalationRate().fresh(11)
    memory["level_n"][:] = [1e7, *[2000] * 10]
    memory["level_x"][:] = [1e6, *[60] * 10]
    rates = state.fleet_rate(memory, np.zeros(11, dtype=np.int64))
    assert 0.03 < rates[0] < 0.06


def test_a_gap_in_the_ticks_ages_the_baseline():
    """After a day without a tick the level has faded by a day, and nothing else has changed."""
    counts = history(20.0, steady(3 * DAY))
    counts[0, DAY : 3 * DAY - 10] = 0
    detector = EscalationRate()
    ticks = [*range(START + 1, START + DAY + 1), START + 3 * DAY - 10]
    steps = [memory["level_n"].copy() for _, memory, _ in walk(detector, view_of(detector, counts), ticks)]
    # 30 minutes of the first day were still to be learned; they lie beyond the reach of the window by then.
    assert steps[-1][0] == pytest.approx(steps[-2][0] * 0.5 ** (2 / 4), rel=0.02)


def test_memory_is_small():
    """The memory of a series stays below 600 bytes."""
    assert sum(array.nbytes for array in EscalationRate().fresh(1).values()) < 600
