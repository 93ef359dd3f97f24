"""The commands that tell the engine something: what they refuse, and how they say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from stream.cli import app
from stream.controls import OrderError, SilenceOrder, holds_from, last_words, make_silence
from stream.durations import parse_duration
from tests.unit.core.builders import START
from tests.unit.core.test_controls import ack, silence

runner = CliRunner()
NOW = datetime(2026, 3, 1, 2, 15, 30, tzinfo=UTC)
ADD = ["silences", "add", "--environment", "production", "--system", "refunds", "--reason", "drill"]


def order(**more: Any) -> SilenceOrder:
    plain: dict[str, Any] = dict.fromkeys(("flow", "agent", "budget", "detector", "starts_at"))
    plain |= {"environment": "production", "system": "refunds", "kind": "silence", "reason": "drill", "by": "ada"}
    return SilenceOrder(**{**plain, "ends_at": timedelta(hours=2), **more})


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("1d12h", timedelta(hours=36)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_lengths_of_time(text: str, length: timedelta) -> None:
    """As people write them."""
    assert parse_duration(text) == length


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "0m", "1y", "9" * 40 + "h", "9" * 30 + "w"])
def test_what_is_no_length_of_time(text: str) -> None:
    """The error says how to write it; an absurd one is no crash."""
    with pytest.raises(ValueError, match=r"is no|longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*ADD], "either --for or --until"),
        ([*ADD, "--for", "2h", "--until", "2026-03-01T02:15Z"], "either --for or --until"),
        ([*ADD, "--for", "soon"], "90m, 2h"),
        ([*ADD, "--until", "tomorrow"], "2026-03-01T02:15Z"),
        ([*ADD, "--for", "2h", "--starts", "2026-03-01T02:15"], "with an offset"),
        ([*ADD, "--for", "2h", "--detector", "escalations"], "none of escalation_rate"),
        (["verdicts", "confirm", "inc_x", "--cause", "gremlins"], "none of authorization_scope"),
        (["verdicts", "--json", "ack", "inc_x"], "behind ack"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], said: str) -> None:
    """Exit 2, what was wrong on standard error, nothing on standard output, no cluster asked."""
    result = runner.invoke(app, arguments, env={"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert said in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [*ADD, "--for", "2h"],
        ["silences", "list"],
        ["silences", "expire", "sil_x"],
        ["verdicts", "ack", "inc_x"],
        ["verdicts", "unack", "inc_x"],
        ["verdicts", "confirm", "inc_x"],
        ["verdicts", "precision"],
    ],
)
def test_no_cluster(arguments: list[str]) -> None:
    """Without Kafka: exit 1 and a sentence."""
    result = runner.invoke(app, arguments, env={"MIDWATCH_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert result.exit_code == 1
    assert "no Kafka can be reached at 127.0.0.1:1: check kafka.bootstrap_servers" in result.stderr
    assert "Traceback" not in result.output


def test_a_silence_says_from_when_it_holds() -> None:
    """From the tick after its own minute, or from its start; one that ends another, from the next tick."""
    made = make_silence(order(), NOW)
    assert (made.starts_at, made.ends_at, made.created_by) == (NOW, NOW + timedelta(hours=2), "ada")
    assert holds_from(made) == datetime(2026, 3, 1, 2, 16, tzinfo=UTC)
    later = make_silence(order(starts_at=NOW + timedelta(hours=5), kind="maintenance"), NOW)
    assert holds_from(later) == datetime(2026, 3, 1, 7, 16, tzinfo=UTC)
    ended = later.model_copy(update={"ends_at": NOW})
    assert holds_from(ended) == datetime(2026, 3, 1, 2, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ends_at": timedelta(days=29)}, "at most 28 days"),
        ({"ends_at": NOW - timedelta(minutes=1)}, "which is over"),
        (
            {"starts_at": NOW + timedelta(hours=3), "ends_at": NOW + timedelta(hours=1)},
            "before it starts at 2026-03-01T05:15",
        ),
        ({"reason": "x" * 1001}, "reason"),
        ({"system": ""}, "system"),
    ],
)
def test_a_silence_that_cannot_be(more: dict[str, Any], said: str) -> None:
    """The order is refused in words before anything is written."""
    with pytest.raises(OrderError, match=said):
        make_silence(order(**more), NOW)


def test_two_orders_are_two_silences() -> None:
    """The id follows from the content and the moment."""
    one, other = make_silence(order(), NOW), make_silence(order(), NOW + timedelta(milliseconds=1))
    assert one.id != other.id
    assert one.id == make_silence(order(), NOW).id


def test_the_list_shows_what_the_engine_obeys() -> None:
    """Of several records the last by their own times, whatever their order on the topic."""
    ended = silence(at=START + 3, ends=START + 3)
    silences, acks = last_words([ended, silence(), ack("inc_1", START + 1, withdrawn=True), ack("inc_1")])
    assert silences == {"sil_1": ended}
    assert acks["inc_1"].withdrawn
