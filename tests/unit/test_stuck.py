"""The last words of a stuck engine fit what is wrong."""

from __future__ import annotations

from functools import partial

from aiokafka.errors import KafkaTimeoutError
from redis.exceptions import ResponseError

from stream.health import Contact
from stream.stuck import Diagnosis, Trouble


class Bench:
    """A diagnosis over contacts that are silent for as long as a test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.silent = {"kafka": 0.0, "redis": 0.0}
        self.trouble = Trouble(lambda: self.now)

    def words(self, part: str) -> str:
        contacts = {name: Contact(_never, partial(self.silent.__getitem__, name)) for name in self.silent}
        for contact in contacts.values():
            contact._answered = 0.0
        places = {"kafka": "broker:9092", "redis": "redis://cache"}
        return Diagnosis(contacts, places, {"evaluate": self.trouble}, lambda: "  a > b").of(part)


async def _never() -> bool:
    return False


def test_a_silent_server_is_looked_at_first() -> None:
    """Its place and its silence are said; what failed elsewhere is a consequence."""
    bench = Bench()
    bench.silent["redis"] = 61.0
    bench.trouble.note(KafkaTimeoutError())
    words = bench.words("evaluate")
    assert "redis at redis://cache: last answered 61 s ago" in words
    assert "to do: see whether Redis runs" in words
    bench.silent = {"kafka": 61.0, "redis": 0.0}
    assert "to do: see whether the brokers run" in bench.words("ingest")


def test_a_server_that_refuses_is_told_from_one_that_is_silent() -> None:
    """The last error is named, with its age and how often there was one; it says which server refuses."""
    bench = Bench()
    bench.trouble.note(KafkaTimeoutError())
    bench.trouble.note(ResponseError("OOM command not allowed"))
    bench.now += 7
    words = bench.words("evaluate")
    assert "last error, 7 s ago, one of 2: ResponseError: OOM command not allowed" in words
    assert "to do: Redis answers, but refuses or is slow" in words
    bench.trouble.note(KafkaTimeoutError())
    assert "to do: Kafka answers, but does not take what is written" in bench.words("evaluate")


def test_without_a_clue_the_tasks_are_the_clue() -> None:
    """Both answer and nothing failed: what waits for what is to be kept."""
    words = Bench().words("ingest")
    assert "to do: both servers answer" in words
    assert words.endswith("what waits for what:\n  a > b")
