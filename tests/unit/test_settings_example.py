"""The example configuration is complete, true and in step with the models."""

import re
import tomllib
from pathlib import Path

from stream.settings import load_settings, settings_model
from stream.settings_example import example_toml

EXAMPLE = Path(__file__).parents[2] / "midwatch.example.toml"


def test_example_is_what_the_models_say() -> None:
    """The checked-in file is the generated one: `make schemas` writes it."""
    assert EXAMPLE.read_text(encoding="utf-8") == example_toml(settings_model())


def test_example_changes_nothing() -> None:
    """Loading the example gives exactly the defaults."""
    assert load_settings(EXAMPLE, {}) == load_settings(None, {})


def test_every_commented_key_can_be_used() -> None:
    """Taking the comment sign from every key leaves valid TOML with only known keys."""
    named = "budgets|prices|commitments|ptu_prices|rollback_executors"
    keys = re.compile(rf"^# (?=(\[({named})\.|[a-z_]+ = ))", re.MULTILINE)
    table = tomllib.loads(keys.sub("", EXAMPLE.read_text(encoding="utf-8")))
    assert table["budgets"]["support"]["amount_usd"] > 0
    model = settings_model()
    assert set(table) == set(model.model_fields)
    kafka = set(table["kafka"])
    assert kafka == set(type(load_settings(None, {}).kafka).model_fields) - {"sasl_password", "oauth_client_secret"}
