"""The logs: one JSON object a line, bounded, and without secrets or personal data."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from stream.logs import MAX_ITEMS, MAX_TEXT, REDACTED, Redactor, configure_logs, secret_values
from stream.settings import load_settings
from stream.settings_sections import LogSettings

SECRET = "correct-horse-battery"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The stream that logs go to, set up for one test and taken down again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs(LogSettings(), [SECRET], stream)
    yield stream
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_line_of_json(log: io.StringIO) -> None:
    """Event, level, logger, UTC time and the values, numbers as numbers; no line break gets through."""
    structlog.get_logger("engine").info("tick", shard=3, note="two\nlines", seconds=0.5)
    [record] = lines(log)
    assert (record["event"], record["level"], record["logger"]) == ("tick", "info", "engine")
    assert (record["shard"], record["note"], record["seconds"]) == (3, "two\nlines", 0.5)
    assert record["timestamp"].endswith("Z")


def test_libraries_go_the_same_way(log: io.StringIO) -> None:
    """Records of the standard library's loggers are JSON too, and redacted too."""
    logging.getLogger("somelib").error("cannot log in with %s", SECRET)
    [record] = lines(log)
    assert record["event"] == f"cannot log in with {REDACTED}"


def test_exceptions_are_redacted(log: io.StringIO) -> None:
    """A secret in an exception's message does not come out through the traceback."""
    try:
        raise ValueError(f"bad password {SECRET} for a.person@example.org")
    except ValueError:
        structlog.get_logger("engine").exception("failed")
    text = log.getvalue()
    assert "ValueError" in text
    assert SECRET not in text
    assert "a.person@example.org" not in text


@pytest.mark.parametrize(
    "values",
    [
        {"password": SECRET},
        {"sasl_password": "other"},
        {"headers": {"Authorization": "Bearer other-token"}},
        {"api_key": "other"},
        {"nested": [{"note": f"x{SECRET}y"}]},
        {"raw": f"\xff{SECRET}".encode("latin-1")},
        {"value": SecretStr("other")},
        {"deep": {"a": {"b": {"c": {"d": {"e": SECRET}}}}}},
        {f"key {SECRET}": 1},
        {"long": "x" * (MAX_TEXT - 5) + SECRET},
    ],
)
def test_secrets_do_not_get_through(log: io.StringIO, values: dict[str, Any]) -> None:
    """A secret is hidden by its key, by its type, and wherever its text occurs."""
    structlog.get_logger("engine").info("event", values=values, **{"inline" + str(len(values)): values})
    text = log.getvalue()
    assert SECRET not in text
    assert "other" not in text
    assert SECRET[:10] not in text, "not even a part of it at a cut"


def test_counts_of_tokens_stay(log: io.StringIO) -> None:
    """Token counts are no secrets; an address of a broker is no personal data."""
    structlog.get_logger("engine").info("usage", input_tokens=3, tokens=4, address="192.168.100.200:9092")
    [record] = lines(log)
    assert (record["input_tokens"], record["tokens"], record["address"]) == (3, 4, "192.168.100.200:9092")


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSONISH)
def test_any_value_can_be_logged(value: Any) -> None:
    """No value makes logging fail, and every result is JSON."""
    json.dumps(Redactor([SECRET]).value("value", value, 4))


def test_values_are_bounded() -> None:
    """One huge value cannot flood the log."""
    redactor = Redactor()
    assert len(redactor.value("text", "word " * 100_000, 4)) < MAX_TEXT + 100
    assert len(redactor.value("list", list(range(10_000)), 4)) == MAX_ITEMS


def test_secrets_of_the_settings_are_known() -> None:
    """Every secret of the configuration is given to the redactor."""
    settings = load_settings(None, {"MIDWATCH_REDIS__PASSWORD": "pw-one", "MIDWATCH_HTTP__TOKEN": "tok-two"})
    assert set(secret_values(settings)) == {"pw-one", "tok-two"}


def test_console_format() -> None:
    """The console format is for people: no JSON."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configure_logs(LogSettings(format="console"), [SECRET], stream)
    structlog.get_logger("engine").info("started", note=SECRET)
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    assert "started" in stream.getvalue()
    assert SECRET not in stream.getvalue()
