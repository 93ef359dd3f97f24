"""Provisioned against pay-as-you-go: by the simple formula, and over traffic."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costs.break_even import cost_curve, mix_break_even, peak_crossings
from costs.compare import Comparison, Sizing, compare
from costs.compare_simple import compare_simply
from costs.load import Load
from costs.ptu import PtuModel, PtuPrice, PtuTable, Steps
from costs.traffic import Described, Traffic, TrafficBuilder, TrafficError, described
from stream.ptu_table import shipped_table

TABLE = shipped_table()
MODEL = PtuModel("m", 1_000.0, 4.0, {"global": Steps(15, 5)})
amounts = st.decimals(Decimal("0.01"), Decimal(10**9), places=2)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ((10_000_000, 50, "0.01"), (100.0, 50.0, "ptu", 5_000_000.0)),
        ((5_000_000, 50, "0.01"), (50.0, 50.0, "payg", 5_000_000.0)),  # equal is not cheaper
        ((0, 50, "0.01"), (0.0, 50.0, "payg", 5_000_000.0)),
    ],
)
def test_the_simple_form_by_hand(given_: tuple[int, int, str], wanted: tuple[float, float, str, float]) -> None:
    """A price for 1,000 tokens, a cost of the month, and nothing else."""
    tokens, ptu, payg = given_
    found = compare_simply(Decimal(tokens), Decimal(ptu), Decimal(payg)).to_json()
    names = ("payg_monthly", "ptu_monthly", "recommendation", "breakeven_tokens")
    assert found == dict(zip(names, wanted, strict=True))


@given(amounts, amounts)
def test_the_simple_break_even_breaks_even(ptu: Decimal, payg: Decimal) -> None:
    """At the break-even both ways cost the same, and one token in a thousand more makes units the cheaper way."""
    even = compare_simply(Decimal(0), ptu, payg).breakeven_tokens
    assert float(even / 1000 * payg) == pytest.approx(float(ptu))
    assert compare_simply(even * Decimal("1.001"), ptu, payg).recommendation == "ptu"
    assert compare_simply(even * Decimal("0.999"), ptu, payg).recommendation == "payg"


def test_nothing_breaks_even_with_what_is_free() -> None:
    """A price of zero has no break-even."""
    with pytest.raises(ValueError, match="above zero"):
        compare_simply(Decimal(1), Decimal(1), Decimal(0))


def test_the_gpt_5_case() -> None:
    """30 calls a minute, 3 times that at the peak, 3,000 tokens in of which 70 % cached, 300 out."""
    usd = (900 * 1.25 + 2_100 * 0.125 + 300 * 10) / 1e6
    traffic = described("gpt-5", Described(30, 3, 3_000, 0.7, 300, usd))
    model = TABLE.model("gpt-5")
    assert model is not None
    found = compare(traffic, TABLE, model, Sizing())
    assert found.load.payg_usd == pytest.approx(5_765.175)
    assert [(t.term, t.peak.units, round(t.peak.usd, 6)) for t in found.terms] == [
        ("hourly", 65, 47_450),
        ("monthly", 65, 16_900),
        ("yearly", 65, 14_365),
    ]
    assert found.best == ("payg", None, found.load.payg_usd)
    # 4,750 tokens a minute for 730 hours at the mean price of a normalised token.
    assert found.terms[1].needed_utilisation == pytest.approx(260 / (4_750 * 60 * 730 * usd / 3_300))


def traffic_of(minutes: list[tuple[int, int, int]], price: float = 2.0) -> Traffic:
    """(input, cached, output) of each minute; a normalised token costs `price` millionths of a dollar."""
    builder = TrafficBuilder()
    for minute, (read, kept, written) in enumerate(minutes):
        micro = round((read - min(read, kept) + 4 * written) * price + min(read, kept) * price / 10)
        builder.add("m", minute, read, kept, written, micro)
    return builder.traffic()["m"]


def test_spillover_by_hand() -> None:
    """Minutes of 10, 20 and 60 thousand; 15 units carry 15 thousand: 5 and 45 of 90 spill, 40 of 45 are used."""
    load = Load(traffic_of([(10_000, 0, 0), (20_000, 0, 0), (60_000, 0, 0)], price=1.0), MODEL)
    month = 730 * 60 / 3
    assert load.payg_usd == pytest.approx(0.09 * month)
    assert load.spilled_usd(15) == pytest.approx(0.05 * month)
    assert load.spilled_share(15) == pytest.approx(50 / 90)
    assert load.utilisation(15) == pytest.approx(40 / 45)
    assert load.spilled_usd(60) == 0
    assert load.utilisation(60) == pytest.approx(0.5)
    assert load.peak_tpm() == 60_000
    assert load.peak_tpm(60) == 20_000


minutes_of_calls = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 60_000), st.integers(0, 9_000)), min_size=1, max_size=40
)


@settings(max_examples=150)
@given(minutes_of_calls, st.floats(0.01, 500), st.floats(0.1, 20))
def test_the_cheapest_mix_is_no_dearer_than_any_other(
    minutes: list[tuple[int, int, int]], unit_usd: float, scale: float
) -> None:
    """Not than pay-as-you-go, than units for the peak, nor than any number of units in between."""
    load = Load(traffic_of(minutes), MODEL)
    best = load.cheapest_units(unit_usd, "global", scale)
    cost = unit_usd * best + load.spilled_usd(best, scale)
    top = MODEL.units(load.peak_tpm() * scale, "global")
    rivals = [0, *(MODEL.steps["global"].nth(n) for n in range(MODEL.steps["global"].place(top) + 2))]
    assert cost <= min(unit_usd * n + load.spilled_usd(n, scale) for n in rivals) * (1 + 1e-9) + 1e-9


@settings(max_examples=150)
@given(minutes_of_calls, st.floats(0.01, 200))
def test_the_break_even_of_the_mix_breaks_even(minutes: list[tuple[int, int, int]], unit_usd: float) -> None:
    """Above it the cheapest way has units, below it none; without one no volume has."""
    load = Load(traffic_of(minutes), MODEL)
    even = mix_break_even(load, unit_usd, "global")
    if even is None:
        assert load.cheapest_units(unit_usd, "global", 1e5) == 0
    else:
        assert load.cheapest_units(unit_usd, "global", even * 1.01) > 0
        assert load.cheapest_units(unit_usd, "global", even * 0.99) == 0
        least = MODEL.steps["global"].minimum
        assert load.saving_usd(least, even) == pytest.approx(least * unit_usd, rel=1e-6)


@settings(max_examples=100)
@given(minutes_of_calls, st.floats(0.01, 200), st.floats(0.001, 30))
def test_the_crossings_of_the_peak_tell_which_way_is_cheaper(
    minutes: list[tuple[int, int, int]], unit_usd: float, scale: float
) -> None:
    """After an odd number of crossings units for the peak are cheaper, after an even number they are not."""
    load = Load(traffic_of(minutes), MODEL)
    crossings = peak_crossings(load, unit_usd, "global", load.peak_tpm(), 30.0)
    if load.peak_tpm() <= 0 or any(abs(scale / one - 1) < 1e-6 for one in crossings) or len(crossings) >= 20:
        return
    units = MODEL.units(load.peak_tpm() * scale, "global")
    difference = unit_usd * units - load.payg_usd * scale
    if abs(difference) > 1e-6:
        assert (difference < 0) == (sum(one < scale for one in crossings) % 2 == 1)


def test_a_steady_load_crosses_where_a_full_deployment_pays() -> None:
    """15 units for 15 dollars each against 100 dollars for a full load of them: from 2.25 times the load on."""
    load = Load(traffic_of([(15_000, 0, 0)] * 60, price=100 / (15_000 * 730 * 60) * 1e6), MODEL)
    assert load.payg_usd == pytest.approx(100, rel=1e-3)
    assert mix_break_even(load, 15.0, "global") is None  # a full unit is worth 6.67
    assert mix_break_even(load, 5.0, "global") == pytest.approx(0.75, rel=1e-3)
    assert peak_crossings(load, 5.0, "global", 15_000, 1.0) == [pytest.approx(0.75, rel=1e-3)]


def comparison(traffic: Traffic) -> Comparison:
    table = PtuTable({"m": MODEL}, (PtuPrice("test", {"monthly": Decimal(5)}),))
    return compare(traffic, table, MODEL, Sizing())


def test_the_curve_goes_through_the_measured_volume() -> None:
    """At the measured volume the lines have the comparison's numbers, at none they cost nothing."""
    found = comparison(traffic_of([(15_000, 3_000, 10), (30_000, 0, 900), (100, 0, 0)]))
    curve = cost_curve(found, points=201)
    now = int(np.argmin(np.abs(curve.scales - 1)))
    assert curve.scales[now] == pytest.approx(1)
    assert curve.payg[now] == pytest.approx(found.load.payg_usd)
    assert curve.mix["monthly"][now] == pytest.approx(found.terms[0].mix.usd)
    assert curve.peak["monthly"][now] == pytest.approx(found.terms[0].peak.usd)
    assert curve.payg[0] == curve.mix["monthly"][0] == curve.peak["monthly"][0] == 0


def test_a_percentile_spills_what_lies_above_it() -> None:
    """Sized for the median minute, the busier half is paid as pay-as-you-go."""
    load = comparison(traffic_of([(15_000, 0, 0), (15_000, 0, 0), (60_000, 0, 0)]))
    sized = compare(load.traffic, PtuTable({}, (PtuPrice("t", {"hourly": Decimal(1)}),)), MODEL, Sizing(percentile=50))
    assert sized.terms[0].peak.units == 15
    assert sized.terms[0].peak.spilled_usd == pytest.approx(load.load.payg_usd / 2)


def test_what_cannot_be_is_said() -> None:
    """A kind that a model has not, a peak below the mean, calls years apart, and terms without a price."""
    traffic = traffic_of([(1, 0, 0)])
    with pytest.raises(ValueError, match="cannot be provisioned as regional"):
        compare(traffic, TABLE, MODEL, Sizing("regional"))
    with pytest.raises(TrafficError, match="lower than the average"):
        described("m", Described(1, 0.5, 1, 0, 1, 1))
    builder = TrafficBuilder()
    builder.add("m", 0, 1, 0, 1, 1)
    with pytest.raises(TrafficError, match="is a time wrong"):
        builder.add("m", 3 * 366 * 1440, 1, 0, 1, 1)
    model = TABLE.models["gpt-5"]
    assert any("no price is known" in note for note in compare(traffic, TABLE, model, Sizing("regional")).notes)


@given(st.floats(1, 50), st.floats(0.1, 1e4))
def test_described_traffic_has_the_mean_and_stays_below_the_peak(peak: float, rpm: float) -> None:
    """The assumed shape keeps what was said."""
    traffic = described("m", Described(rpm, peak, 10, 0.5, 1, 0.001))
    assert traffic.requests.mean() == pytest.approx(rpm)
    assert traffic.requests.max() <= rpm * peak * (1 + 1e-9)
    assert traffic.cached_tokens.sum() == pytest.approx(traffic.input_tokens.sum() / 2)


def test_units_that_cost_as_much_are_not_recommended() -> None:
    """15 units that are always full, for exactly what the same calls cost as pay-as-you-go: nothing is gained."""
    traffic = traffic_of([(15_000, 0, 0)], price=1.0)
    for unit_usd, way in ((Decimal("43.8"), "payg"), (Decimal("43.7"), "ptu"), (Decimal("43.9"), "payg")):
        table = PtuTable({"m": MODEL}, (PtuPrice("test", {"monthly": unit_usd}),))
        found = compare(traffic, table, MODEL, Sizing())
        assert found.load.payg_usd == 657.0
        assert (found.terms[0].recommendation, found.best[0]) == (way, way)
