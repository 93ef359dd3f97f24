"""The money sections of the configuration: what is refused, and what reaches pricing, detectors and the hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from costs.prices import Called
from stream.settings import SettingsError, load_settings

DAY = 20_700


def write(directory: Path, text: str) -> Path:
    path = directory / "midwatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, {})
    return str(caught.value)


def test_every_bad_price_is_told_at_once(tmp_path: Path) -> None:
    """Negative, NaN, infinite and absurd prices, other currencies, days that turn round: one reading names them all."""
    said = problems(
        write(
            tmp_path,
            """
            [prices.negative]
            model = "a"
            input = -1
            output = 1
            [prices.nan]
            model = "b"
            input = nan
            output = inf
            [prices.absurd]
            model = "c"
            input = 2000000
            output = 1
            [prices.euros]
            model = "d"
            currency = "EUR"
            input = 1
            output = 1
            from_date = 2026-07-01
            until_date = 2026-06-30
            above = { lots = { input = 1, output = 1 } }
            [prices.typo]
            model = "e"
            inputs = 1
            output = 1
            """,
        )
    )
    for wanted in (
        "prices.negative.input",
        "prices.nan.input",
        "prices.nan.output",
        "prices.absurd.input",
        "currency EUR cannot be mixed",
        "until_date 2026-06-30 lies before from_date 2026-07-01",
        "above.lots",
        "did you mean 'input'?",
    ):
        assert wanted in said, wanted


def test_sections_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    """Twin contracts, a budget that is not there, a unit without a price."""
    said = problems(
        write(
            tmp_path,
            """
            [prices.a]
            model = "m"
            input = 1
            output = 1
            [prices.b]
            model = "m"
            input = 2
            output = 2
            [commitments.c]
            ptus = 50
            term = "yearly"
            deployment_type = "regional"
            from_date = 2026-07-01
            budget = "suport"
            """,
        )
    )
    assert "prices.a and prices.b price the same calls" in said
    assert "there is no budget 'suport'" in said
    assert "no price is known for a regional unit, yearly" in said


def test_months_and_days_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """TOML refuses such a date itself; one written as text is refused by its key."""
    text = '[prices.a]\nmodel = "m"\ninput = 1\noutput = 1\nfrom_date = "2026-02-30"\n'
    assert "prices.a.from_date" in problems(write(tmp_path, text))


def test_contract_prices_reach_the_price_book_and_the_hash(tmp_path: Path) -> None:
    """A contract prices the calls, tier by tier; with it the configuration is another one."""
    path = write(
        tmp_path,
        """
        [prices.own]
        model = "gpt-5"
        input = 1.0
        cached_input = 0.1
        output = 8.0
        tiers.batch = { input = 0.5, output = 4.0 }
        """,
    )
    loaded = load_settings(path, {})
    book = loaded.price_book()
    assert book.micro(Called("gpt-5", "azure"), 1_000, 500, 100, DAY) == 500 + 50 + 800
    assert book.micro(Called("gpt-5", None, None, "batch"), 1_000, 500, 100, DAY) == 500 + 400
    assert loaded.config_hash() != load_settings(None, {}).config_hash()


def test_commitments_reach_the_detector(tmp_path: Path) -> None:
    """Their price comes from the contract for units, else from the list; the detector gets what accrues to a budget."""
    path = write(
        tmp_path,
        """
        [budgets.support]
        amount_usd = 30000
        system = "support"
        [budgets.other]
        amount_usd = 10
        system = "other"
        [commitments.c]
        ptus = 65
        term = "monthly"
        from_date = 1970-01-02
        system = "support"
        [commitments.d]
        ptus = 15
        term = "hourly"
        from_date = 2026-07-01
        until_date = 2026-07-31
        budget = "support"
        [ptu_prices.p]
        hourly_usd = 0.5
        """.replace("1970-01-02", "2000-01-01"),
    )
    budgets = load_settings(path, {}).detector_settings()["burn_rate"]["budgets"]
    monthly, hourly = budgets["support"]["flat"]
    assert (monthly["usd"], monthly["every"], monthly["end_hour"]) == (16_900, "month", None)
    assert (hourly["usd"], hourly["every"]) == (7.5, "hour")
    assert hourly["end_hour"] - hourly["first_hour"] == 31 * 24
    assert budgets["other"]["flat"] == []
